"""Starts a re-run's graph at the cut, and again as often as the recorded run was: with recorded answers, with recorded inputs, after a crash."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Interrupt

from workbench.model import Json
from workbench.replay.fence import breakpoints
from workbench.replay.fence.answers import exception
from workbench.replay.fence.breakpoints import Pause
from workbench.replay.fence.journal import Seen
from workbench.replay.fence.later import LostError, Places, Updates, input_of
from workbench.replay.fence.overlay import serializer_of
from workbench.replay.fence.playback import Playback, plain
from workbench.replay.fence.runner import Graph, Runner
from workbench.replay.fence.supersteps import counted_from
from workbench.replay.protocol import Later, Request, Resumed, Start
from workbench.replay.recording.aftermath import update_id
from workbench.replay.recording.configs import configured
from workbench.replay.recording.contexts import rebuilt
from workbench.replay.recording.tape import Call, CutOff, Divergence, Served

T = TypeVar("T")
STOP, NOTHING = object(), object()
BACK = "the thread was started again from an earlier checkpoint, as it was recorded: what had been done since then is on a branch that was left"


class Drive:
    """Starts the graph at the cut, and again as often as the recording did: with recorded answers, with recorded inputs, after a crash."""

    def __init__(self, running: Runner, playback: Playback, request: Request, graph: Graph) -> None:
        self.running, self.playback, self.request, self.name = running, playback, request, graph.get_name()
        self.serializer = serializer_of(graph)
        self.later, self.places = deque(request.later), Places(request)
        self.updates = Updates(running, playback, self.serializer, request)
        self.at: str | None = None
        self.restarts = request.restarts
        self.held: Any = None
        self.context: Any = None
        self.schema, self.tags = graph.context_schema, frozenset((graph.config or {}).get("tags") or ())
        self.gone = request.resumed
        self.saying: list[str] = []
        self.started = max(0, self.gone.starts - (not self.gone.stopped)) if self.gone else int(request.idle)
        self.paused: list[Pause] = []
        if self.gone is not None:
            self._take_up(self.gone)
        self._in_stretch()
        self.crashes = [one for one in request.crashes if one.start >= self.started]

    def through(self) -> tuple[str, str]:
        """Run to the end. Returns how it ended and what there is to say about it."""
        given, failed = self._first(), ""
        while given is not STOP and not self._halted():
            failed = self._invoke(given)
            try:
                given = STOP if self._halted() else self._next(failed)
            except Exception as error:  # noqa: BLE001  # a reducer of the agent's, which takes in what was written before it shows where it stands
                self.held = None
                return "failed", failed or f"{type(error).__name__}: {error}"
        return ("halted", str(self.playback.divergence)) if self._halted() else self._ending(failed)

    def _halted(self) -> bool:
        return self.playback.divergence is not None

    def _take_up(self, gone: Resumed) -> None:
        """Be where an earlier part of this re-run was when it was killed."""
        for _ in range(len(self.later) - (len(self.later) if gone.later is None else gone.later)):
            self.taken = self.later.popleft()
        self.restarts = self.restarts if gone.restarts is None else gone.restarts
        self.paused = [Pause(namespace, step, frozenset(nodes), thread_id) for namespace, step, nodes, thread_id in gone.paused]
        for number, stood_at in enumerate(self.places.updated_since(gone.at or self.request.cut[1])):
            done = self.later.popleft()
            self.restarts, self.paused = done.restarts, []
            self.places.ends.append(stood_at)
            if number >= gone.updates:
                self.updates.tell(done)

    def _in_stretch(self) -> None:
        """Let recorded tasks and people's answers be those of the stretch that is being done again."""
        number, every = len(self.places.ends), self.request.later
        if self.playback.nodes is not None:
            self.playback.nodes.tasks.stretch = number
        end = next((one.first for one in every[number:] if one.first is not None), None)
        first = every[number - 1].first if number else 0
        self.playback.tape.turn = (self._after_all if end is None else end) if first is None else first, end

    @property
    def _after_all(self) -> int:
        return max((one.step for one in self.request.cassette.interactions), default=0) + 1

    def _left_unanswered(self) -> bool:
        """Whether nobody answered what the recorded run had asked in this stretch."""
        first, end = self.playback.tape.turn
        return any(one.kind == "human" and first <= one.step and (end is None or one.step < end) for one in self.request.cassette.missing)

    def _first(self) -> Any:
        """What the graph is given first: nothing, for it goes on from its checkpoint, unless a kill came before that was saved."""
        gone = self.gone
        if gone is None or not gone.starts:
            return self._next("") if self.request.idle else None
        if not gone.stopped and gone.given in ("input", "back") and self._at() == gone.at:
            return self._begun(self.taken)
        if self.running.state().interrupts:
            self.playback.tape.give_back(gone.answers)
            return self._next("")
        return self._next("") if gone.stopped else None

    def _given_context(self) -> Any:
        """What this start is given as its context."""
        context = self._now(self.request.contexts)
        return None if context is None else rebuilt(self.schema, context, self.playback.lacks)

    def _configured(self) -> RunnableConfig:
        """How this start is configured."""
        start = self._now(self.request.starts) or Start()
        config = configured(start, self.tags, self.playback.lacks)
        return config if start.limit is None else {**config, "recursion_limit": start.limit}

    def _now(self, given: Sequence[T]) -> T | None:
        """What this start is given; the last holds for those after it."""
        return given[min(self.started, len(given) - 1)] if given else None

    def _at(self) -> str | None:
        found = self.running.state().config["configurable"].get("checkpoint_id")
        return None if found is None else str(found)

    def _invoke(self, given: Any) -> str:
        """Run once. Returns the agent's own error, if it ended with one; a divergence is kept by what plays."""
        failed, raised, self.held = "", "", None
        breakpoints.heard()
        if self.playback.nodes is not None:
            self.playback.nodes.failures.clear()
        kind = "resume" if isinstance(given, Command) else "input" if given is not None else "none" if self.at is None else "back"
        self.context, config, begun = self._given_context(), self._configured(), {} if self.started else self.request.begun
        self.started += 1
        several = given.resume if isinstance(given, Command) and isinstance(given.resume, dict) else None
        about: dict[str, Json] = {"later": len(self.later), "restarts": self.restarts, "ends": self.places.ends, "stops": self.playback.tape.stops}
        self.playback.journal.start(self.name, plain(several), given=kind, at=self._at(), notes=self.saying, **about)
        self.playback.notes.keep(self.saying)
        self.saying = []
        try:
            with counted_from(begun):
                self.held = self.running.invoke(given, config, self.context, self.at)
            self.playback.settle()
        except CutOff as stop:
            self.playback.cut_off = None
            self.playback.notes.append(str(stop))
        except Divergence as divergence:
            failed, raised = str(divergence), type(divergence).__name__
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever the agent raises is how its run ended
            raised = type(error).__name__
            failed = f"{raised}: {error}"
        if self.playback.nodes is not None:
            self.playback.nodes.path = ()  # what it is started with from here on is what the recorded run was
        self.at = None
        self.paused = [one for one in breakpoints.heard() if one.thread_id == self.request.run_id]
        self.playback.journal.stop(failed, raised, [[one.namespace, one.step, sorted(one.nodes), one.thread_id] for one in self.paused])
        return failed

    def _next(self, failed: str) -> Any:
        """What the recorded run went on with: answers to the questions asked, an input, or None to resume; STOP where it did not go on."""
        if failed and not self._crashed_so(failed):
            return STOP
        snapshot = self.running.state()
        if snapshot.interrupts:
            answers = {one.id: answer for one in self._in_turn(snapshot.interrupts) if (answer := self._answer(one)) is not NOTHING}
            if answers:
                return Command(resume=_as_given(answers, alone=len(snapshot.interrupts) == 1))
        again = not snapshot.interrupts and bool(snapshot.next) and (self._passes() if self.paused else self.restarts > 0)
        if snapshot.interrupts and not self.playback.on_course and not self._left_unanswered():
            return STOP  # what came then was done once the recorded run had its answers
        if not again:
            return STOP if self.paused and not self.playback.on_course and not self._updated_here() else self._next_done()
        self.restarts -= self.restarts > 0
        if not self.paused:
            self.playback.tape.restart()
        return None

    def _updated_here(self) -> bool:
        """Whether the recorded run stopped at this very breakpoint too, since its state was updated there."""
        done, nodes = next(iter(self.later), None), self.playback.nodes
        tasks = [nodes.tasks.one(task) for task in done.tasks] if done is not None and done.spot is None and nodes is not None else []
        return any(task.step == one.step and not one.namespace for task in tasks for one in self.paused)

    def _next_done(self) -> Any:
        """Do what was done next to the recorded thread, and give what it was started with then; STOP where nothing more was done."""
        if not self.later:
            return STOP
        done = self.later.popleft()
        self.places.ends.append(self._at() or "")
        self._in_stretch()
        if self._needless(done):
            self.restarts = 0
            self.updates.leave_out(done)
            return self._next_done()
        self.restarts = done.restarts
        try:
            if done.kind != "update":
                self.playback.tape.restart()
                return self._begun(done)
            self.updates.put(done, self.places.of(done.spot))
        except LostError as lost:
            self._halt(str(lost))
            return STOP
        self.held, self.paused = None, []
        return self._next("")

    def _needless(self, done: Later) -> bool:
        """Whether it put something in the place of what tasks were to write that failed in the recorded run, and have not here."""
        return bool({update_id(one.task_id) for one in self.crashes if one.task_id} & {*done.tasks})

    def _begun(self, done: Later) -> Any:
        """What a start is given that begins a stretch, and where it is made. LostError where there is no such place."""
        self.at = self.places.of(done.spot)
        if done.spot is not None:
            self.saying.append(BACK)
        return None if done.kind == "back" else input_of(self.serializer, done)

    def _halt(self, why: str) -> None:
        call = Call("thread", "the thread", "", None)
        self.playback.halt(Seen(call=call, namespace="", node=None, thread_id=self.request.run_id, started_ns=self.playback.journal.clock()), Divergence(why))

    def _passes(self) -> bool:
        """Whether the recorded run went on past the breakpoints that the graph stopped at, and so does this one."""
        beyond = [self.playback.nodes.beyond(one) if self.playback.nodes else None for one in self.paused]
        if None in beyond:
            return False
        self.playback.tape.restart(before=min((one.recorded_step for those in beyond for one in those or () if one.recorded_step is not None), default=None))
        if not self.playback.on_course:
            self.saying.append(f"it went on past the breakpoint {self._where()}, as the recorded run did, though what stood before it was changed")
        return True

    def _where(self) -> str:
        return " and ".join(sorted({str(one) for one in self.paused}))

    def _crashed_so(self, failed: str) -> bool:
        """Whether the recorded run failed at the same place, and was started again. Of each such failure that is true once.

        Off the recorded course it has to be the same error too; on it, code of the agent's may have made another of it before it was recorded.
        """
        here = self.playback.nodes.failures if self.playback.nodes else frozenset()
        kind = failed.partition(":")[0]
        for one in self.crashes:
            there = one.task_id is None or not here or one.task_id in here
            if there and (self.playback.on_course or type(exception(one.error)).__name__ == kind):
                self.crashes = [other for other in self.crashes if other.start > one.start]
                return True
        return False

    def _in_turn(self, asked: Sequence[Interrupt]) -> Sequence[Interrupt]:
        """The questions that are answered now. One that was asked once more in the recording, as others were answered, waits for those that are there."""
        again = {one.id: self.playback.tape.asks_again(self._asked(one)) for one in asked}
        if now := [one for one in asked if not again[one.id]]:
            return now
        self.playback.tape.leave_out([attempt.step for attempts in again.values() for attempt in attempts])
        return asked

    def _asked(self, asked: Interrupt) -> Call:
        """A question, with the recorded task that asked it."""
        asker = self.playback.nodes.askers.get(asked.id) if self.playback.nodes else None
        return Call("human", "interrupt", "", plain(asked.value), asker)

    def _answer(self, asked: Interrupt) -> Json:
        call = self._asked(asked)
        seen = Seen(call=call, namespace="", node=None, thread_id=self.request.run_id, started_ns=self.playback.journal.clock())
        try:
            served = self._said(call)
        except Divergence as unanswered:
            self.playback.notes.append(str(unanswered))
            return NOTHING
        changed = served.interaction.step == self.playback.edited
        if changed:
            self.playback.free(seen)
        self.playback.journal.note(seen, "edited" if changed else "served", from_step=served.interaction.step, says="; ".join(served.notes))
        return served.interaction.result

    def _said(self, asked: Call) -> Served:
        """The recorded answer of a person. It may be the very thing that the recorded run was started again with, so it is looked for there too."""
        try:
            return self.playback.tape.take(asked, on_course=self.playback.on_course)
        except CutOff:
            self.playback.tape.restart()
            return self.playback.tape.take(asked, on_course=self.playback.on_course)

    def _ending(self, failed: str) -> tuple[str, str]:
        """How it ended. A failure is told first: LangGraph keeps a question pending whose answer its task failed with."""
        if failed:
            return "failed", failed
        snapshot = self.running.state()
        if snapshot.interrupts:
            return "interrupted", "it asks a person something for which there is no recorded answer"
        if not snapshot.next:
            return "done", ""
        waits = f"at the breakpoint {self._where()}, past which the recorded run did not go" if self.paused else f"before {', '.join(snapshot.next)}"
        self.playback.notes.append(f"it stopped {waits}")
        return "interrupted", f"it stopped {waits}"


def _as_given(answers: dict[str, Json], *, alone: bool) -> Json:
    """The answer to a lone question as a person gives it, so that it is kept as theirs was; others by the questions' ids, and one that looks like such."""
    first = next(iter(answers.values()))
    return answers if not alone or first is None or isinstance(first, dict) else first
