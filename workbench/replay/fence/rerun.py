"""Re-runs a graph on its scratch thread behind the fence: from the cut, through recorded answers and inputs, to wherever it stops."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import sqlite3
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.pregel import Pregel
from langgraph.pregel._loop import AsyncPregelLoop, SyncPregelLoop
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Interrupt, StateSnapshot

from workbench.model import CallRecord, Interaction, Json
from workbench.replay.budget import Meter
from workbench.replay.channel import Line
from workbench.replay.fence import fence, graphs, nodes, reload
from workbench.replay.fence.alterations import Alterations
from workbench.replay.fence.injected import Crossing
from workbench.replay.fence.journal import Journal, Seen
from workbench.replay.fence.nodes import Nodes
from workbench.replay.fence.overlay import decoding, overlay, recorded_channels, replace_message, serializer_of
from workbench.replay.fence.playback import FenceError, Playback, plain
from workbench.replay.fence.reach import Reach
from workbench.replay.fence.tripwire import Tripwire
from workbench.replay.protocol import Alteration, Answer, Request, Resumed
from workbench.replay.recording.contexts import UNKNOWN, ContextError, rebuilt
from workbench.replay.recording.course import Course
from workbench.replay.recording.tape import Call, CutOff, Divergence, Served, Tape
from workbench.replay.recording.tasks import Tasks
from workbench.replay.told import listed

Graph = Pregel[Any, Any, Any, Any]
STOP, NOTHING = object(), object()
STORE = "the graph's store holds what its module puts there and nothing else in a re-run: what runs had put there was not recorded"
FLAGS = ("moved", "repeated", "scrubbed", "stale")
"""How the notes of an answer begin that was not given to the same call at the same place."""
SURVIVES_A_KILL = "PRAGMA synchronous = NORMAL"
"""What a checkpoint's commit has to outlive is the process, not the power: it does not wait for the disk."""
STEPS = ("tool", "human", "retrieval", "model")
"""The kinds of calls that are steps, so that each should be made again."""
ASYNC_ONLY = re.compile(
    r"(?:NotImplementedError|TypeError|RuntimeError): .*\b(?:[Ss]ynchronous (?:implementation|function)|sync(?:hronous)? context|async API)", re.DOTALL
)
"""How LangChain and LangGraph say that a graph has parts that only run asynchronously."""


class Runner(Protocol):
    """A graph on its scratch thread."""

    config: RunnableConfig

    def invoke(self, given: Any, limit: int | None, context: Any) -> Any:
        """Run until the graph ends or stops, for so many super-steps at most. Returns the state as it stands in memory."""

    def state(self) -> StateSnapshot:
        """Where the thread stands."""


def rerun(request: Request, line: Line, wire: Tripwire) -> Answer:
    """Do what a request asks, and tell on the line what is done. The process must be shut in before, and watched by this tripwire."""
    try:
        fence.prove()
        graph = graphs.load(request.graph)
        graphs.check(graph, request.nodes, request.graph)
        graphs.check_channels(graph, recorded_channels(graph, request), request.graph)
        for one in request.contexts:
            rebuilt(graph.context_schema, one, str)
        fence.prove()
        if request.state is not None:
            overlay(graph, request, request.state)
        alteration, replaced = request.alteration, False
        if alteration.message is not None and replace_message(graph, request, alteration.message):
            alteration = alteration.model_copy(update={"message": None})
            replaced = True
    except (graphs.GraphError, FenceError, ContextError) as error:
        return Answer(ended="refused", says=str(error))
    except Divergence as divergence:
        return Answer(ended="refused", says=f"{request.graph} calls a model or tool while it is being loaded, which a fork can't serve: {divergence}")
    gone = request.resumed or Resumed(part=0, records=0, used=(), freed=False, applied=0, starts=0)
    tape = Tape(request.cassette, steps=request.steps, stops=() if request.state else request.stops, stale=request.stale)
    playback = Playback(
        tape,
        Journal(request.run_id, tell=line.tell, first=gone.records, part=gone.part),
        models_live=request.models_live,
        edited=request.edited,
        opened=frozenset(request.opened),
        stale_answers=request.stale_answers,
        altered=Alterations(alteration, expects=tape.expects),
        reach=Reach(line, frozenset(request.outside), alteration.settings, Crossing.of(graph)),
        meter=Meter(request.budget, spent=gone.spent),
    )
    playback.altered.applied = gone.applied
    _go_on(playback, gone)
    fence.put_up(playback)
    playback.notes.extend(_said_before(graph, request))
    with decoding() as lost:
        if request.recorded:
            playback.nodes = _nodes(request, playback, graph, lost, wire, freed=gone.freed)
            nodes.put_up(playback.nodes)
        ended, says, state = _through(playback, request, graph)
    if lost:
        playback.notes.append(f"values of {', '.join(lost)} in the state were handed on as plain data: the graph's schema does not name these types")
    answer = _answer(playback, ended, says)
    return answer.model_copy(update={"state": state, "applied": replaced or playback.altered.applied > 0 or _edited(playback)})


def _said_before(graph: Graph, request: Request) -> Iterator[str]:
    """What there is to say of a re-run before it begins."""
    if graph.store is not None:
        yield STORE
    if graph.context_schema is not None and not request.contexts:
        yield UNKNOWN
    by_hand = dict.fromkeys(name for one in request.contexts for name in one.by_hand or ())
    if any(one.by_hand is not None for one in request.contexts):
        yield "the run's context was given by hand" + (f": {', '.join(by_hand)}" if any(by_hand) else "")


def _go_on(playback: Playback, gone: Resumed) -> None:
    """Leave out what an earlier part of this re-run has done."""
    playback.journal.go_on(gone.root, gone.starts)
    playback.tape.leave_out(gone.used)
    for _ in range(max(0, gone.starts - 1)):
        playback.tape.restart()
    if gone.freed:
        playback.tape.free()


def _edited(playback: Playback) -> bool:
    return any(record.answer == "edited" for record in playback.journal.records)


def _through(playback: Playback, request: Request, graph: Graph) -> tuple[str, str, tuple[str, str] | None]:
    """Drive the graph to its end. One that turns out to run asynchronously alone, before it made any call, is begun again so.

    Returns how it ended, what there is to say about it, and the hashes of its last state in memory and reloaded.
    """
    loops = graphs.needs_loop(graph)
    mark = _last_write(request)
    ended = _driven(playback, request, graph, loops=loops)
    if loops or playback.journal.records or not ASYNC_ONLY.match(ended[1]):
        return ended
    _forget_failure(request, mark)
    playback.journal.forget()
    return _driven(playback, request, graph, loops=True)


def _driven(playback: Playback, request: Request, graph: Graph, *, loops: bool) -> tuple[str, str, tuple[str, str] | None]:
    with runner(graph, request, loops=loops) as running:
        drive = Drive(running, playback, request, graph)
        return *drive.through(), reload.compared(graph, request.database, running.config, drive.held)


def _last_write(request: Request) -> int:
    with contextlib.closing(sqlite3.connect(request.database)) as database:
        return int(database.execute("SELECT coalesce(max(rowid), 0) FROM writes").fetchone()[0])


def _forget_failure(request: Request, mark: int) -> None:
    """Take back what the thread was told of a graph that could not be run in this way."""
    with contextlib.closing(sqlite3.connect(request.database)) as database, database:
        database.execute("DELETE FROM writes WHERE rowid > ? AND channel = '__error__'", (mark,))


def _nodes(request: Request, playback: Playback, graph: Graph, lost: list[str], wire: Tripwire, *, freed: bool) -> Nodes:
    """What stands for the nodes that can't be looked into. On a state that was changed they see what they did not see."""
    wire.whose = nodes.current_task
    return Nodes(
        tasks=Tasks(Path(request.recorded)),
        serializer=serializer_of(graph),
        journal=playback.journal,
        lost=lost,
        scrubber=playback.tape.scrubber,
        reached=wire.of,
        course=Course(lost=freed or request.state is not None or request.alteration.message != playback.altered.asked.message),
        thread_id=request.run_id,
        execute=request.execute,
        path=() if request.resumed else request.path,
        numbers=request.numbers,
    )


def _answer(playback: Playback, ended: Any, says: str) -> Answer:
    if playback.divergence is not None:
        ended, says = "halted", "\n  ".join([str(playback.divergence), *(one for one in playback.notes if one in (STORE, UNKNOWN))])
    elif ended == "failed":
        says = "\n  ".join([says, *(one for one in playback.notes if one == UNKNOWN)])
    left = [one.step for one in playback.tape.left if _expected(playback, one)]
    notes = [*playback.notes, *(playback.nodes.notes if playback.nodes else ()), *_flagged(playback.journal.records)]
    if playback.edited is not None and not _edited(playback) and not playback.altered.applied:
        notes.append(f"the changed call, step {playback.edited}, was never made: the change had no effect")
    elif playback.altered.asked != Alteration() and not playback.altered.applied:
        notes.append("no call was made that the change applies to: it had no effect")
    journal, tasks = playback.journal, tuple(playback.nodes.tasks.translated.items()) if playback.nodes else ()
    told = {"records": tuple(journal.records), "spans": tuple(journal.spans), "tasks": tasks, "notes": tuple(notes)}
    told |= {"left": tuple(left), "opened": tuple(playback.opened)}
    return Answer(ended=ended, says=says, spent=playback.meter.now(), **told)


def _expected(playback: Playback, one: Interaction) -> bool:
    """Whether a call that was not made again should have been. Where spans tell of calls, one that only the state tells of was none of a tool's."""
    told = any(other.sources.get("asked") == "span" for other in playback.tape.cassette.interactions)
    untold = told and one.kind == "tool" and one.sources.get("asked") == "checkpoint"
    return one.kind in STEPS and not untold and not _goes_live(playback, one) and one.step != playback.edited


def _goes_live(playback: Playback, one: Interaction) -> bool:
    """Whether calls like this recorded one are made anew."""
    return (one.kind == "model" and playback.models_live) or playback.reach.takes(one.kind, one.name)


def _flagged(records: Sequence[CallRecord]) -> Iterator[str]:
    """A line for each way in which calls were served otherwise than as recorded."""
    for flag in FLAGS:
        flagged = [record for record in records if any(part.startswith(flag) for part in record.says.split("; "))]
        if flagged:
            yield f"{len(flagged)} answers were {flag}: {listed(f'{one.kind} {one.name}' for one in flagged)}"


# ---- driving


class Drive:
    """Starts the graph at the cut, and again as often as the recording did: with recorded answers, with recorded inputs, after a crash."""

    def __init__(self, running: Runner, playback: Playback, request: Request, graph: Graph) -> None:
        self.running, self.playback, self.request, self.name = running, playback, request, graph.get_name()
        serializer = serializer_of(graph)
        self.inputs = deque(serializer.loads_typed((kind, base64.b64decode(blob)))["channel_values"].get("__start__") for kind, blob in request.inputs)
        self.restarts = request.restarts
        self.held: Any = None
        self.context: Any = None
        self.schema = graph.context_schema
        self.gone = request.resumed
        self.started = max(0, self.gone.starts - 1) if self.gone else 0
        if self.gone is not None:
            self._take_up(self.gone)
        self.limit = request.limits[0] if request.limits else None

    def through(self) -> tuple[str, str]:
        """Run to the end. Returns how it ended and what there is to say about it."""
        given: Any = self._first()
        while given is not STOP:
            failed = self._invoke(given)
            if self.playback.divergence is not None:
                return "halted", str(self.playback.divergence)
            try:
                given = self._next()
            except Exception as error:  # noqa: BLE001  # a reducer of the agent's, which takes in what was written before it shows where it stands
                self.held = None
                return "failed", failed or f"{type(error).__name__}: {error}"
            if given is STOP:
                return self._ending(failed)
        return self._ending("")

    def _take_up(self, gone: Resumed) -> None:
        """Be where an earlier part of this re-run was when it was killed."""
        for _ in range(len(self.inputs) - (len(self.inputs) if gone.inputs is None else gone.inputs)):
            self.taken = self.inputs.popleft()
        self.restarts = self.restarts if gone.restarts is None else gone.restarts

    def _first(self) -> Any:
        """What the graph is given first: nothing, for it goes on from its checkpoint, unless a kill came before that was saved."""
        gone = self.gone
        if gone is None:
            return None
        if gone.given == "input" and self._at() == gone.at:
            return self.taken
        if self.running.state().interrupts:
            self.playback.tape.give_back(gone.answers)
            return self._next()
        return None

    def _given_context(self) -> Any:
        """What this start is given as its context."""
        given = self.request.contexts
        context = given[min(self.started, len(given) - 1)] if given else None
        self.started += 1
        return None if context is None else rebuilt(self.schema, context, self.playback.lacks)

    def _at(self) -> str | None:
        found = self.running.state().config["configurable"].get("checkpoint_id")
        return None if found is None else str(found)

    def _invoke(self, given: Any) -> str:
        """Run once. Returns the agent's own error, if it ended with one; a divergence is kept by what plays."""
        failed, limits, self.held = "", self.request.limits, None
        kind = "none" if given is None else "resume" if isinstance(given, Command) else "input"
        self.context = self._given_context()
        several = given.resume if isinstance(given, Command) and isinstance(given.resume, dict) else None
        self.playback.journal.start(self.name, plain(several), given=kind, at=self._at(), inputs=len(self.inputs), restarts=self.restarts)
        try:
            self.held = self.running.invoke(given, self.limit, self.context)
            self.playback.settle()
        except CutOff as stop:
            self.playback.cut_off = None
            self.playback.notes.append(str(stop))
        except Divergence as divergence:
            failed = str(divergence)
        except Exception as error:  # noqa: BLE001  # whatever the agent raises is how its run ended
            failed = f"{type(error).__name__}: {error}"
        if limits:  # the error counts from where the graph was started, the limit is that of the run
            failed = failed.replace(f"limit of {self.limit} reached", f"limit of {limits[1]} reached")
        if self.playback.nodes is not None:
            self.playback.nodes.path = ()  # what it is started with from here on is what the recorded run was
        self.playback.journal.stop(failed)
        self.limit = limits[1] if limits else None
        return failed

    def _next(self) -> Any:
        """What the recorded run went on with: answers to the questions asked, an input, or None to resume; STOP where it did not go on."""
        snapshot = self.running.state()
        if snapshot.interrupts:
            answers = {one.id: answer for one in snapshot.interrupts if (answer := self._answer(one)) is not NOTHING}
            if answers:
                return Command(resume=_as_given(answers))
        again = not snapshot.interrupts and bool(snapshot.next) and self.restarts > len(self.inputs)
        if not again and not self.inputs:
            return STOP
        self.restarts -= 1
        self.playback.tape.restart()
        return None if again else self.inputs.popleft()

    def _answer(self, asked: Interrupt) -> Json:
        asker = self.playback.nodes.askers.get(asked.id) if self.playback.nodes else None
        call = Call("human", "interrupt", "", plain(asked.value), asker)
        seen = Seen(call=call, namespace="", node=None, thread_id=self.request.run_id, started_ns=self.playback.journal.clock())
        try:
            served = self._said(call)
        except Divergence as unanswered:
            self.playback.notes.append(str(unanswered))
            return NOTHING
        self.restarts -= 1
        changed = served.interaction.step == self.playback.edited
        if changed:
            self.playback.free(seen)
        self.playback.journal.note(seen, "edited" if changed else "served", from_step=served.interaction.step, says="; ".join(served.notes))
        return served.interaction.result

    def _said(self, asked: Call) -> Served:
        """The recorded answer of a person. It may be the very thing that the recorded run was started again with, so it is looked for there too."""
        try:
            return self.playback.tape.take(asked)
        except CutOff:
            self.playback.tape.restart()
            return self.playback.tape.take(asked)

    def _ending(self, failed: str) -> tuple[str, str]:
        if self.running.state().interrupts:
            return "interrupted", "it asks a person something for which there is no recorded answer"
        return ("failed", failed) if failed else ("done", "")


def _as_given(answers: dict[str, Json]) -> Json:
    """One answer as a person gives it, so that it is kept as theirs was; several by the questions' ids, and so one that could be taken for such."""
    (first, *others) = answers.values()
    return answers if others or first is None or isinstance(first, dict) else first


# ---- the graph on its scratch thread


@contextmanager
def runner(graph: Graph, request: Request, *, loops: bool) -> Iterator[Runner]:
    """The graph pointed at scratch: no other checkpointer, store or cache. `loops`: it has to run in an event loop."""
    config: RunnableConfig = {"configurable": {**request.configurable, "thread_id": request.run_id}}
    store = _store(graph)
    wait_for_no_checkpoint()
    if loops:
        with asyncio.Runner() as loop:
            connected = AsyncSqliteSaver.from_conn_string(request.database)
            saver = loop.run(connected.__aenter__())
            saver.serde = serializer_of(graph)
            loop.run(_written_by_the_system(saver))
            try:
                yield _Looped(graph.copy(update={"checkpointer": saver, "store": store, "cache": None}), config, loop)
            finally:
                loop.run(connected.__aexit__(None, None, None))
    else:
        with contextlib.closing(sqlite3.connect(request.database, check_same_thread=False)) as connection:
            connection.execute(SURVIVES_A_KILL)
            yield _Direct(graph.copy(update={"checkpointer": SqliteSaver(connection, serde=serializer_of(graph)), "store": store, "cache": None}), config)


def _store(graph: Graph) -> BaseStore | None:
    """The store of a re-run: the graph's own where that is in memory, as its module made it, else an empty one."""
    return graph.store if graph.store is None or isinstance(graph.store, InMemoryStore) else InMemoryStore()


class _Written:
    """Stands for a checkpoint that was written, in a loop that never writes one.

    LangGraph 1.2 waits for it after each super-step, in a subgraph without a checkpointer too, which has none to wait for.
    """

    def result(self) -> None:
        """Nothing is waited for."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


def wait_for_no_checkpoint() -> None:
    """Let subgraphs without a checkpointer run where each checkpoint is written before the next super-step."""
    for loop in (SyncPregelLoop, AsyncPregelLoop):
        if not hasattr(loop, "_put_checkpoint_fut"):
            setattr(loop, "_put_checkpoint_fut", _Written())  # noqa: B010  # which it sets itself with the first checkpoint


async def _written_by_the_system(saver: AsyncSqliteSaver) -> None:
    await saver.conn.execute(SURVIVES_A_KILL)


class _Direct:
    def __init__(self, graph: Graph, config: RunnableConfig) -> None:
        self.graph, self.config = graph, config

    def invoke(self, given: Any, limit: int | None, context: Any) -> Any:
        return self.graph.invoke(given, _limited(self.config, limit), context=context, durability="sync")

    def state(self) -> StateSnapshot:
        return self.graph.get_state(self.config)


class _Looped:
    def __init__(self, graph: Graph, config: RunnableConfig, loop: asyncio.Runner) -> None:
        self.graph, self.config, self.loop = graph, config, loop

    def invoke(self, given: Any, limit: int | None, context: Any) -> Any:
        return self.loop.run(self.graph.ainvoke(given, _limited(self.config, limit), context=context, durability="sync"))

    def state(self) -> StateSnapshot:
        return self.loop.run(self.graph.aget_state(self.config))


def _limited(config: RunnableConfig, limit: int | None) -> RunnableConfig:
    return config if limit is None else {**config, "recursion_limit": limit}
