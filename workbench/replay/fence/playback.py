"""One re-run as it plays: what its calls are answered with, what was changed, where it halts. Every call of the process is put to it.

It is global to the process, not bound to a context: a thread that the agent started itself would otherwise find no fence. After a divergence
nothing is answered any more, and a divergence that somebody's thread swallowed still fails the run.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import ensure_config

from workbench.model import EffectClass, Json, as_json
from workbench.replay.budget import Meter, OverBudgetError
from workbench.replay.fence.alterations import Alterations, model_name
from workbench.replay.fence.journal import Journal, Notes, Seen, place, step_of
from workbench.replay.fence.nodes import Nodes, current_task, task_in
from workbench.replay.fence.reach import Reach
from workbench.replay.recording.history import History
from workbench.replay.recording.tape import Call, CutOff, Divergence, Served, Tape, Unanswered
from workbench.taps.threads import in_a_loop

TWIN = "_workbench_twin"
"""Marks a copy of a tool or model that is made for one call."""
BEGIN_SECONDS = 1.0
"""How long a call that fails waits for those beside it, which an agent that makes one after the other only makes then."""
BY_NODE = frozenset(("http", "embedding", "retrieval"))
"""Kinds of calls that not every recorder captures: where none was in a node, what the node wrote is served in their place."""


class FenceError(RuntimeError):
    """The fence can't be put up, so nothing may run. The message says which hook failed."""


@dataclass
class Playback:
    """One re-run: its tape, its journal, and what may go live. `edited` is the step whose recorded result was replaced."""

    tape: Tape
    journal: Journal
    models_live: bool = False
    before: frozenset[int] = frozenset()
    """The steps that were made before the fork's own: a call that repeats one is served, whatever is live."""
    edited: int | None = None
    opened: frozenset[int] = frozenset()
    """The tool calls whose code runs, since something inside them was changed."""
    beside: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Of the tool calls that failed or stopped, the calls that had begun beside them by then."""
    asked_otherwise: frozenset[int] = frozenset()
    """The tool calls that were given the person's answer which is another now."""
    execute: frozenset[str] = frozenset()
    """The tools whose code runs where what it reads is otherwise now, among nodes that run in any case."""
    declared: Mapping[str, EffectClass] = field(default_factory=dict)
    """What calling a tool does, as far as the user's project declares it."""
    sandboxed: bool = False
    """Whether the process is shut in by the kernel, not only guarded."""
    other_context: tuple[str, ...] = ()
    """The fields of the run's context that are others than recorded."""
    parts: Mapping[str, bool] = field(default_factory=dict)
    """The parts of the state by their names, and whether checkpoints hold them."""
    altered: Alterations = field(default_factory=Alterations)
    reach: Reach = field(default_factory=Reach)
    meter: Meter = field(default_factory=Meter)
    divergence: Divergence | None = None
    cut_off: tuple[Seen, CutOff] | None = None
    notes: Notes = field(default_factory=lambda: Notes(lambda _: None))
    nodes: Nodes | None = None
    unsure: dict[str, str] = field(default_factory=dict)
    """The tasks whose code, on the recorded course, has looked for something that was not recorded, and where."""
    history: History = field(default_factory=History)

    def served(self, seen: Seen) -> Served:
        """The recorded answer to a call. Raises Divergence where there is none, and for every call after one."""
        self.check(seen)
        try:
            with guarded(seen.call):
                return self.tape.take(seen.call)
        except CutOff as stop:
            self.cut_off = seen, stop
            raise
        except Divergence as divergence:
            self._leave_to_node(seen, divergence)
            raise self.halt(seen, divergence) from None

    def earlier(self, seen: Seen) -> Served | None:
        """The recorded answer to a call that is to go live, where that was made before the fork's own step; None for any other."""
        return self.one_of(self.before, seen)

    def one_of(self, steps: Collection[int], seen: Seen) -> Served | None:
        """The recorded answer to a call, where that is one of these steps'; None for any other."""
        if not steps:
            return None
        with guarded(seen.call):
            found = self.tape.take_one_of(steps, seen.call)
        if found is not None:
            self.check(seen)
        return found

    def _leave_to_node(self, seen: Seen, divergence: Divergence) -> None:
        """Give a call up that nobody recorded, in favour of what its node wrote, which somebody did. So where it may hang on what the store then held."""
        task = current_task()
        if self.nodes is None or not task or seen.call.kind == "human" or not self.nodes.can_stand_in(task):
            return
        if task in self.unsure or (seen.call.kind in BY_NODE and not self.tape.knows(seen.call)):
            about = f"{seen.call}, after the graph's {self.unsure[task]} had been asked for what was not recorded" if task in self.unsure else str(seen.call)
            self.nodes.unanswered.setdefault(task, []).append(about)
            raise Unanswered(str(divergence)) from None

    def let_begin(self, step: int) -> None:
        """Wait until the calls have begun that had when this one failed or stopped: LangGraph gives up those that still wait for a thread."""
        if step in self.beside and threading.current_thread() is not threading.main_thread() and not in_a_loop():
            self.tape.await_taken(self.beside[step], BEGIN_SECONDS)

    def repeats(self, namespace: str) -> str | None:
        """The recorded task that the task of this namespace repeats."""
        task = task_in(namespace)
        return task if task is None or self.nodes is None else self.nodes.tasks.translated.get(task)

    def free(self, seen: Seen) -> None:
        """A call was changed or went live: what was recorded after it no longer stands by itself."""
        self.tape.free()
        if self.nodes is not None:
            self.nodes.leave(seen.namespace, seen.thread_id)

    @property
    def on_course(self) -> bool:
        """Whether all is as it was recorded so far: nothing was changed, nothing went live, and every node wrote what it wrote then."""
        return not self.tape.freed and not self.altered.applied and (self.nodes is None or self.nodes.course.holds(None))

    def check(self, seen: Seen) -> None:
        """Raise the divergence there was, if any: nothing is answered after the first halt, nor after a cut-off that the agent swallowed."""
        self.settle()
        if self.divergence is not None:
            self.journal.note(seen, "halted", says="nothing is answered after the first halt")
            raise self.divergence
        with self.within(seen):
            self.meter.step()

    @contextmanager
    def within(self, seen: Seen) -> Iterator[None]:
        """Let the re-run end where its budget does."""
        try:
            yield
        except OverBudgetError as error:
            raise self.halt(seen, Divergence(str(error))) from None

    def thinks(self, model: BaseChatModel) -> bool:
        """Whether a model's calls are live, inside the sandbox or outside."""
        return self.models_live or self.reach.takes("model", model_name(model)) or bool(self.altered.asked.settings and self.reach.names)

    def settle(self) -> None:
        """Take a cut-off that did not end the run for what it is: a call without a recording."""
        if self.cut_off is not None:
            (seen, stop), self.cut_off = self.cut_off, None
            self.halt(seen, Divergence(stop.miss))

    def halt(self, seen: Seen, divergence: Divergence) -> Divergence:
        """Let the re-run end here: nothing is answered any more. Returns the divergence, to be raised."""
        self.divergence = divergence
        self.journal.note(seen, "halted", says=str(divergence), error=f"halted: {str(divergence).partition(chr(10))[0]}")
        return divergence

    def lacks(self, why: str, what: str = "context") -> Any:
        """End the re-run here, where code asks for something of its context, or of `what` else, that was not recorded. Raises the divergence."""
        raise self.halt(seen_here(Call(what, what, "", None), None, None), Divergence(why))

    def has_in_part(self, what: str) -> None:
        """Code looks for something of which a re-run has a part alone. On the recorded course that changes nothing unseen; off it, it has to be asked for."""
        if self.on_course and (task := current_task()):
            self.unsure[task] = what
        why = f"the graph's {what} was asked for something, and what runs had put there was not recorded"
        if not self.on_course and what not in self.tape.stale:
            self.lacks(f"{why}: take what it holds in this re-run for that (stale={[what]}, --serve-stale {what}), or change what leads to it", what)
        elif not self.on_course and f"stale: {why}" not in self.notes:
            self.notes.append(f"stale: {why}")

    def fault(self, what: str, error: Exception) -> Divergence:
        """The fence failed where it was to answer: let the re-run end here. Returns the divergence, to be raised."""
        divergence = Divergence(f"the fence failed at {what}: {type(error).__name__}: {error}; nothing was executed")
        around = Seen(call=Call("fence", what, "", None), namespace="", node=None, thread_id=None, started_ns=self.journal.clock())
        return self.halt(around, divergence)

    def note(self, seen: Seen, served: Served, *, output: Json = None, error: BaseException | str | None = None) -> None:
        """Write down a served call."""
        step = served.interaction.step
        answer: Literal["edited", "served"] = "edited" if step == self.edited and self.altered.asked.fault is None else "served"
        if answer == "edited":
            self.free(seen)
        self.journal.note(seen, answer, from_step=step, says="; ".join(served.notes), output=output, error=error)


_playing: Playback | None = None


def playing() -> Playback:
    """What plays in this process. FenceError when a call comes before anything does."""
    if _playing is None:
        raise FenceError("a call was made before the fence had anything to play")
    return _playing


def play(new: Playback) -> None:
    """Let this re-run be the one that plays."""
    global _playing  # noqa: PLW0603  # process-global on purpose: see the module's docstring
    _playing = new


@contextmanager
def guarded(what: object) -> Iterator[None]:
    """Halt where the fence itself fails at a call. An Exception would be taken for the tool's or the model's own, and might be swallowed."""
    try:
        yield
    except Exception as error:
        raise playing().fault(str(what), error) from error


# ---- where a call was made


def seen_here(call: Call, config: Any, metadata: Any, **fields: Any) -> Seen:
    """A call with its place in the graph, from the config it was given or else from the one in force."""
    around = ensure_config(config)
    known = {**(around.get("metadata") or {}), **(metadata or {})}
    configurable = around.get("configurable") or {}
    namespace, node, path = place({"checkpoint_ns": configurable.get("checkpoint_ns"), **known})
    thread = known.get("thread_id") or configurable.get("thread_id")
    placed = replace(call, node_path=path, task_id=playing().repeats(namespace), call_id=fields.get("call_id"))
    return Seen(call=placed, place=step_of(known), namespace=namespace, node=node, thread_id=thread, started_ns=time.time_ns(), **fields)


def plain(value: Any) -> Json:
    """A value as JSON holds it; what JSON has no form for is its text."""
    return json.loads(json.dumps(value, default=as_json)) if value else None


def pause(seconds: float) -> None:
    """Let a call take longer."""
    if seconds:  # even a sleep of no time hands the processor to somebody else
        time.sleep(seconds)
