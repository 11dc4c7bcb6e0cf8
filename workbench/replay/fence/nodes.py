"""Serves the nodes of a re-run whose recorded writes must stand for them, by LangGraph's own task runner: at the root, in subgraphs, `@task`s too.

A node whose calls are recorded is run, and its calls are served. One that made none, or not all of whose calls were captured, is not: nobody knows
what its code reaches for, so what it wrote to the state is put there instead, questions to a person included. That holds as long as the
re-run is on course, that is, nothing was changed and every node wrote what it wrote in the recording; from there on nodes see another state
than they did, so their code runs, inside the sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import TracebackType
from typing import Any

from langchain_core.runnables import RunnableConfig, ensure_config
from langgraph._internal._constants import CONFIG_KEY_RESUMING, CONFIG_KEY_SCRATCHPAD
from langgraph._internal._runnable import RunnableCallable
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel import _runner
from langgraph.pregel._algo import task_path_str
from langgraph.types import PregelExecutableTask, interrupt

from workbench.model import Json, canonical
from workbench.reading import kinds
from workbench.reading.serde import MESSAGES, UndecodedError
from workbench.reading.tasks import ERROR_SOURCE
from workbench.replay.fence import answers, breakpoints, functions, supersteps, tuples
from workbench.replay.fence.breakpoints import Pause
from workbench.replay.fence.journal import Journal, Seen
from workbench.replay.fence.tuples import Tuples
from workbench.replay.recording import numbering
from workbench.replay.recording.course import Course
from workbench.replay.recording.identities import Ids, renamed
from workbench.replay.recording.numbering import Numbers
from workbench.replay.recording.place import graph_of, node_path
from workbench.replay.recording.scrubbing import Scrubber
from workbench.replay.recording.tape import Call, Unanswered
from workbench.replay.recording.tasks import CONTAINING, MIXED, OPAQUE, RETURNED, Stored, Task, Tasks
from workbench.taps import threads

HOOKS = ("run_with_retry", "arun_with_retry")
PROBE = "workbench_probe"
SEND, READ, CHECKPOINT_NS = "__pregel_send", "__pregel_read", "checkpoint_ns"
ERROR, INTERRUPT = "__error__", "__interrupt__"
TELLING = {RETURNED: "what it returned", "__end__": "what it returned", "__previous__": "what it keeps", "__pregel_tasks": "what it sends"}
"""Channels of LangGraph's own that hold what a task has to say, in words."""


def current_task() -> str | None:
    """The id of the task whose code is running here, or started this thread; None outside of any."""
    config = threads.around() or {}
    return task_in(str((config.get("metadata") or {}).get("langgraph_checkpoint_ns") or ""))


def task_in(namespace: str) -> str | None:
    """The id of the task that a namespace ends in; None where it names none."""
    parts = [part for part in namespace.split("|") if ":" in part]
    return parts[-1].rpartition(":")[2] if parts else None


def asked_here() -> int:
    """How many questions the task whose code is running here has asked so far; a node may ask before it calls its tool, and the tool's question is another."""
    scratchpad = (ensure_config().get("configurable") or {}).get(CONFIG_KEY_SCRATCHPAD)
    counter = getattr(getattr(scratchpad, "interrupt_counter", None), "_counter", None)
    return 0 if counter is None else int(repr(counter.__self__).removeprefix("count(").removesuffix(")"))


@dataclass
class Nodes:
    """The nodes of one re-run. `execute` names those that run in any case ("*" for all); `reached` says what a task's code was refused, by task id."""

    tasks: Tasks
    serializer: JsonPlusSerializer
    journal: Journal
    lost: list[str]
    scrubber: Scrubber
    reached: Callable[[str], list[str]]
    course: Course
    thread_id: str
    tuples: Tuples
    execute: Collection[str] = ()
    path: Sequence[tuple[str, int]] = ()
    """Where the cut lies, while the graph runs on from it as a start did that was given an input (`Request.path`)."""
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    """Of recorded tasks, the numbers of the graphs that their tool calls started."""
    asked: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    """Of recorded tasks, the questions they asked and were answered, in order; None for one whose words were lost."""
    notes: list[str] = field(default_factory=list)
    unanswered: dict[str, list[str]] = field(default_factory=dict)
    """What tasks asked for that nobody recorded, by task id."""
    askers: dict[str, str] = field(default_factory=dict)
    """Of the questions that tasks stopped to ask, by their ids, the recorded task that asked it: the innermost, which stops first."""
    crashes: Counter[str] = field(default_factory=Counter)
    """How often recorded tasks failed, each to be started again, and have not failed here yet."""
    strayed: list[str] = field(default_factory=list)
    """The nodes that wrote other values than recorded, where those that they write now stand."""
    failures: set[str] = field(default_factory=set)
    """The recorded tasks that those repeat which failed since the graph was last started."""
    used: Collection[int] = ()
    """The steps whose recordings an earlier part of this re-run was served."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _served: set[str] = field(default_factory=set)
    """The recorded tasks whose writes have stood for one."""
    _mixed: dict[str | None, tuple[Task, str | None]] = field(default_factory=dict)
    """Tasks whose code runs although their recorded writes could stand for it, by id: what they repeat, and where."""
    _below: dict[str, set[str]] = field(default_factory=dict)
    """The tasks that ran inside of others, by the id of the outer one."""

    def can_stand_in(self, task_id: str | None) -> bool:
        """Whether a running task has recorded writes that could be served in place of what it does."""
        return task_id in self._mixed and self.course.holds(self._mixed[task_id][1])

    def leave(self, namespace: str, thread_id: str | None) -> None:
        """The re-run is off course there: recorded writes say nothing of what that reaches."""
        self.course.leave(namespace if thread_id == self.thread_id else None)

    def _place(self, task: PregelExecutableTask) -> str | None:
        """A task's namespace; None where a graph has a thread of its own, whose steps say nothing beside those of the re-run."""
        return _namespace(task) if task.config["configurable"].get("thread_id") == self.thread_id else None

    def recorded(self, task: PregelExecutableTask) -> Task | None:
        """The recorded task that this one repeats."""
        own, namespace, step = _stands(task)
        for part in own.split("|"):
            self._below.setdefault(part.rpartition(":")[2], set()).add(task.id)
        if (place := self._place(task)) is not None:
            self.course.begin(place, task.path, step)
        known = self.tasks.of(task.id, namespace, step, task_path_str(task.path), task.name)
        if known is not None and task.id in self.tasks.translated:
            self.journal.tell({"task": [task.id, self.tasks.translated[task.id]]})
        return known

    def stand_in(self, task: PregelExecutableTask, recorded: Task | None, why: str = "") -> PregelExecutableTask | None:
        """The task with the recorded writes as its body; None where it has to run."""
        if recorded is None or not self.course.holds(self._place(task)) or {task.name, "*"} & set(self.execute):
            return None
        return self._standing(task, recorded, why)

    def call_again(self, task: PregelExecutableTask) -> PregelExecutableTask | None:
        """A `@task` off the recorded course, with the writes of the recorded call that was given the same; None where there is none, or it may read more.

        Each recorded call is served once, but for one that the graph's cache would answer.
        """
        if not functions.is_call(task) or self.course.holds(self._place(task)) or {task.name, "*"} & set(self.execute):
            return None
        calls, given = self.tasks.calls(task.name), functions.arguments_of(task)
        alike = [one for one in calls if given and functions.same(one.given, given) and self.tasks.returned(one)]
        place = task_path_str(task.path), self.tasks.stretch
        with self._lock:
            left = [one for one in alike if task.cache_key is not None or self._is_left(one, place)]
            if not left:
                return None
            found = min(left, key=lambda one: ((one.path, one.stretch) != place, one.stretch != self.tasks.stretch, one.recorded_step or 0))
            self._served.add(found.task_id)
        self.tasks.translated[task.id] = found.task_id
        self.journal.tell({"task": [task.id, found.task_id]})
        return self._standing(task, found, functions.SAME)

    def _is_left(self, call: Task, place: tuple[str, int]) -> bool:
        """Whether a recorded call was not served yet; before a kill it may have been in vain, and then is made again at its own place."""
        return call.task_id not in self._served and (call.recorded_step not in self.used or (call.path, call.stretch) == place)

    def _standing(self, task: PregelExecutableTask, recorded: Task, why: str) -> PregelExecutableTask | None:
        """The task with the recorded writes as its body; None where these can't be read."""
        writes = self._decoded(recorded)
        if writes is None:
            return None
        self._served.add(recorded.task_id)
        told, fails = self.asked.get(recorded.task_id, ()), self.crashes[recorded.task_id] > 0
        if not fails:
            self._note(task, recorded, why)
        self.tuples.ran.discard(task.id)
        body = _Body(writes, [told[number] if number < len(told) else None for number in range(recorded.asked)], self.tasks.seen(recorded), fails=fails)
        return replace(task, proc=RunnableCallable(body.run, body.arun, name=task.name), retry_policy=(), cache_key=None)

    def _decoded(self, recorded: Task) -> list[tuple[int, str, Any]] | None:
        """What a task wrote; None where some value is of a type that the graph's schema does not name, so that its code has to make it."""
        before = len(self.lost)
        found = [(idx, channel, self.tuples.given(channel, self.value(kind, value))) for idx, channel, kind, value in self.tasks.writes(recorded)]
        return found if len(self.lost) == before else None

    def wrote(self, task_id: str) -> Iterator[Any]:
        """The values that the recorded task of this id wrote; none for a task that is not done again."""
        with contextlib.suppress(LookupError):
            yield from (self.value(kind, value) for idx, _, kind, value in self.tasks.writes(self.tasks.one(task_id)) if idx >= 0)

    def value(self, kind: str | None, value: bytes | None) -> Any:
        """A recorded value. What is of a type that the graph's schema does not name is plain data, and `lost` says so."""
        return None if kind is None or value is None else self.serializer.loads_typed((kind, value))

    def _note(self, task: PregelExecutableTask, recorded: Task, why: str) -> None:
        namespace = _namespace(task)
        call = Call("node", task.name, node_path(namespace, None), None)
        seen = Seen(call, namespace, task.name, None, self.journal.clock())
        self.journal.note(seen, "served", from_step=recorded.recorded_step, says=why)

    def beyond(self, pause: Pause) -> list[Task] | None:
        """The recorded tasks by which the recorded run went on past this breakpoint; None where it did not, or went on elsewhere."""
        if not pause.nodes:
            ended = self.tasks.around(pause.namespace)
            return None if ended is None else [ended]
        recorded = self.tasks.together(pause.namespace, pause.step)
        return recorded if pause.nodes <= {one.node for one in recorded} else None

    # ---- around a task that runs

    def enter(self, task: PregelExecutableTask) -> None:
        """A task begins. A graph in it that keeps its state takes its input, as it did, where only the re-run goes on from a checkpoint."""
        self.tuples.ran.add(task.id)
        if self.path and not self._holds_the_cut(task):
            task.config["configurable"][CONFIG_KEY_RESUMING] = False

    def _holds_the_cut(self, task: PregelExecutableTask) -> bool:
        """Whether the cut lies inside of a task. A graph that keeps its state is known by the node alone; several that a task runs have numbers behind."""
        own, around, step = _stands(task)
        keeping = f"{around}|{task.name}" if around else task.name
        within = [inner for outer, (inner, _) in pairwise(self.path) if outer == (around, step)]
        return any(inner == one or inner.startswith(f"{one}|") for inner in within for one in (own, keeping))

    def begin(self, task: PregelExecutableTask, recorded: Task | None) -> None:
        """A task's code is about to run."""
        if recorded is not None and recorded.task_id in self.numbers:
            numbering.count(task.config, self.numbers[recorded.task_id])
        if recorded is not None and recorded.role == MIXED:
            self._mixed[task.id] = recorded, self._place(task)

    def instead(self, task: PregelExecutableTask, recorded: Task | None, *, failed: bool = False) -> PregelExecutableTask | None:
        """After a task's code ran: its recorded writes, where it reached for something that was refused or that nobody recorded.

        Where it failed, so do its recorded writes stand for what a task inside it reached for: it may have ended by going elsewhere, and written nothing.
        """
        self._mixed.pop(task.id, None)  # a thread that outlives it asks too late for that
        inside = sorted(self._below.get(task.id, ())) if failed else []
        reached = [*(one for task_id in [task.id, *inside] for one in self.reached(task_id)), *self.unanswered.pop(task.id, ())]
        if not reached or recorded is None or recorded.role not in ((MIXED, CONTAINING) if failed else (MIXED,)):
            return None
        return self.stand_in(task, recorded, f"it reached for {'; '.join(reached)}: its recorded writes were served instead")

    def stopped(self, recorded: Task | None, stop: GraphBubbleUp) -> None:
        """A task stopped to ask something, or goes elsewhere."""
        if recorded is not None and isinstance(stop, GraphInterrupt):
            for question in stop.args[0]:
                self.askers.setdefault(question.id, recorded.task_id)

    def failed(self, task: PregelExecutableTask, recorded: Task | None, error: Exception) -> None:
        """A task failed: a span of it tells that the failure of the whole was this one."""
        if recorded is not None:
            self.failures.add(recorded.task_id)
            self.crashes[recorded.task_id] -= 1
        self.journal.node_failed(task.name, _namespace(task), error)

    def compare(self, task: PregelExecutableTask, recorded: Task | None) -> PregelExecutableTask | None:
        """After a task's code ran: its recorded writes, where it wrote anything else. Its code ran for the sake of the calls in it.

        Where its code is what was asked for, or what it wrote can't be made again, what it writes now stands, and nodes after it see another state.
        """
        place = self._place(task)
        if recorded is None or not self.course.holds(place):
            return None
        stored = [one for one in self.tasks.writes(recorded) if one[0] >= 0]
        others = sorted(self._others(task.writes, stored)) if stored else []
        if not others:
            return None
        self.tuples.learn(task.writes)
        told = f"{task.name} wrote other values than recorded"
        if recorded.role != OPAQUE and (served := self.stand_in(task, replace(recorded, asked=0), f"{told} ({', '.join(others)})")):
            served_instead = f"{told} ({', '.join(others)}): its recorded writes were served (execute={[task.name]} lets those of its code stand)"
            self.notes += [] if served_instead in self.notes else [served_instead]
            return served
        self.course.leave(place)
        self.strayed.append(task.name)
        self.journal.tell({"strayed": task.name})
        if (note := f"{told}: the nodes after it ran, in the sandbox, instead of being served") not in self.notes:
            self.notes.append(note)
        return None

    def _others(self, writes: Sequence[tuple[str, Any]], stored: Sequence[Stored]) -> Iterator[str]:
        """The channels to which other values went. In which order they were written to says nothing: edges stand in a set."""
        now: dict[str, list[Any]] = {}
        then: dict[str, list[Stored]] = {}
        for channel, value in writes:
            now.setdefault(channel, []).append(value)
        for one in stored:
            then.setdefault(one[1], []).append(one)
        for channel in filter(_tells, now.keys() | then.keys()):
            values, before = now.get(channel, []), then.get(channel, [])
            if len(values) != len(before) or not all(map(self._equal, values, before)):
                yield _known_as(channel)

    def _equal(self, value: Any, stored: Stored) -> bool:
        packed = self.serializer.dumps_typed(value)
        if packed == (stored[2], stored[3]):
            return True
        try:
            now, then = (canonical(_without_ids(self._told(*one))) for one in (packed, (stored[2], stored[3])))
        except UndecodedError:
            return False
        return now == then or bool(self.scrubber.plain(now) == self.scrubber.plain(then))  # but for what differs from run to run: ids, and times of now

    def _told(self, kind: str | None, packed: bytes | None) -> Json:
        """A write with the types in it."""
        if kind != "msgpack":
            kind, packed = self.serializer.dumps_typed([self.value(kind, packed)])
        return kinds.of_packed(packed or b"")


def _namespace(task: PregelExecutableTask) -> str:
    """A task's own checkpoint namespace."""
    return str(task.config["configurable"].get(CHECKPOINT_NS) or "")


def _stands(task: PregelExecutableTask) -> tuple[str, str, int]:
    """Where a task stands: its own namespace, that of the graph it runs in, and its super-step there."""
    own = _namespace(task)
    return own, graph_of(own, task.path), int((task.config.get("metadata") or {}).get("langgraph_step", 0))


def _tells(channel: str) -> bool:
    """Whether a channel holds what a node has to say, or where it sends what: LangGraph's own else don't."""
    return channel in TELLING or not channel.startswith("__")


def _known_as(channel: str) -> str:
    return TELLING.get(channel, channel)


def _without_ids(told: Json) -> Json:
    """A value without the ids of the messages in it, which LangGraph gives anew in each run."""
    if isinstance(told, list):
        return [_without_ids(one) for one in told]
    if not isinstance(told, dict):
        return told
    parts = told.get(kinds.OF)
    if kinds.MADE in told and isinstance(parts, list) and str(parts[0]).startswith(MESSAGES) and isinstance(parts[2], dict):
        return [*parts[:2], {name: _without_ids(one) for name, one in parts[2].items() if name != "id"}]
    return {name: _without_ids(one) for name, one in told.items()}


class _Body:
    """The body of a task whose recorded writes stand for it."""

    def __init__(self, writes: list[tuple[int, str, Any]], asked: Sequence[Json], seen: Ids, *, fails: bool) -> None:
        self.seen, self.fails = seen, fails
        self.outputs = [(channel, value) for idx, channel, value in writes if idx >= 0 and channel != ERROR_SOURCE]
        self.error = next((value for _, channel, value in writes if channel == ERROR), None)
        self.questions = list(_questions(writes, asked))

    def run(self, _: Any, config: RunnableConfig) -> Any:
        """Ask what it asked, then write what it wrote, or fail as it failed."""
        for question in self.questions:
            interrupt(question)
        if self.error is not None and (self.fails or not self.outputs):
            raise answers.exception(str(self.error))
        configurable = config["configurable"]
        configurable[SEND](renamed(self.outputs, self.seen, configurable[READ]) if self.seen else self.outputs)
        return next((value for channel, value in self.outputs if channel == RETURNED), None)

    async def arun(self, given: Any, config: RunnableConfig) -> Any:
        """The same where the graph runs asynchronously."""
        return self.run(given, config)


def _questions(writes: list[tuple[int, str, Any]], told: Sequence[Json]) -> Iterator[Any]:
    """What a task stopped to ask, in turn. Of questions before the last its writes keep only the answers: what else was told of them stands for each."""
    asked = [one.value for _, channel, value in writes if channel == INTERRUPT for one in (value if isinstance(value, list | tuple) else [value])]
    yield from told[: max(0, len(told) - len(asked))]
    yield from asked


# ---- the hook


_nodes: Any = None
"""The `Nodes` that answer, or a probe."""


def put_up(nodes: Nodes | None) -> None:
    """Let these nodes answer from now on. LookupError when LangGraph no longer runs tasks where it did."""
    global _nodes  # noqa: PLW0603  # process-global, as the fence is
    _nodes = nodes
    breakpoints.put_up()
    tuples.put_up(nodes.tuples if nodes else None)
    supersteps.put_up()
    for name, patched in zip(HOOKS, (_patched, _patched_later), strict=True):
        original = getattr(_runner, name, None)
        if original is None:
            raise LookupError(f"langgraph has no {_runner.__name__}.{name} any more")
        if not hasattr(original, "workbench"):
            wrapper = patched(original)
            wrapper.workbench = original  # type: ignore[attr-defined]
            setattr(_runner, name, wrapper)


class _Probe:
    """Counts the tasks that come by."""

    def __init__(self) -> None:
        self.seen = 0

    def recorded(self, task: PregelExecutableTask) -> None:
        self.seen += task.name == PROBE

    def instead(self, *_: Any, **__: Any) -> None:
        """Nothing stands in."""

    compare = enter = stopped = failed = call_again = instead


def probe() -> int:
    """Run a node of our own in each way there is; returns how often it was seen here, and leaves what answered before in place."""
    global _nodes  # noqa: PLW0603  # as above
    before, counting = _nodes, _Probe()
    builder = StateGraph(MessagesState)
    builder.add_node(PROBE, lambda _: {})
    builder.add_edge(START, PROBE)
    graph = builder.compile()
    _nodes = counting
    try:
        graph.invoke({"messages": []})
        asyncio.run(graph.ainvoke({"messages": []}))
    finally:
        _nodes = before
    return counting.seen


def _begun(task: PregelExecutableTask) -> tuple[Task | None, PregelExecutableTask | None]:
    """The recorded task, and what stands in for it from the start."""
    if _nodes is not None:
        _nodes.enter(task)
    recorded = _nodes.recorded(task) if _nodes else None
    if _nodes is None:
        return None, None
    served = _nodes.stand_in(task, recorded) if recorded is not None and recorded.role == OPAQUE else None
    served = served or _nodes.call_again(task)
    if recorded is None:
        return None, served
    if served is None:
        _nodes.begin(task, recorded)
    return recorded, served


class _Underway:
    """A task on its way: what was recorded of it, and what stands in for it, from the start or once its code has run within this."""

    def __init__(self, task: PregelExecutableTask) -> None:
        self.task = task
        self.recorded, self.served = _begun(task)

    def __enter__(self) -> None:
        """The task's code runs."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """What stands in for it now, if anything must. A failure that nothing stands in for is the task's own."""
        if _nodes is None:
            return False
        if isinstance(error, GraphBubbleUp):
            _nodes.stopped(self.recorded, error)
        elif error is None:
            self.served = _nodes.instead(self.task, self.recorded) or _nodes.compare(self.task, self.recorded)
        elif isinstance(error, Exception | Unanswered):
            self.served = _nodes.instead(self.task, self.recorded, failed=True)
            if self.served is None and isinstance(error, Exception):
                _nodes.failed(self.task, self.recorded, error)
        return self.served is not None


@contextlib.contextmanager
def _told(underway: _Underway) -> Iterator[None]:
    """Tell of the question that a task stops to ask as it was recorded, or of its failure."""
    try:
        yield
    except GraphBubbleUp as stop:
        if _nodes is not None:
            _nodes.stopped(underway.recorded, stop)
        raise
    except Exception as error:
        if _nodes is not None:
            _nodes.failed(underway.task, underway.recorded, error)
        raise


def _patched(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_with_retry(task: PregelExecutableTask, retry_policy: Any, *args: Any, **kwargs: Any) -> Any:
        underway = _Underway(task)
        if underway.served is None:
            with underway:
                result = original(task, retry_policy, *args, **kwargs)
        if underway.served is None:
            return result
        with _told(underway):
            return original(underway.served, (), *args, **kwargs)

    return run_with_retry


def _patched_later(original: Callable[..., Any]) -> Callable[..., Any]:
    async def arun_with_retry(task: PregelExecutableTask, retry_policy: Any, *args: Any, **kwargs: Any) -> Any:
        underway = _Underway(task)
        if underway.served is None:
            with underway:
                result = await original(task, retry_policy, *args, **kwargs)
        if underway.served is None:
            return result
        with _told(underway):
            return await original(underway.served, (), *args, **kwargs)

    return arun_with_retry
