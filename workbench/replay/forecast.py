"""What a fork would do, told before it is made: which steps stand, what is served, thinks anew, asks a person, halts, and how it is shut in.

It follows from the recording alone. What the agent does after a change is its own: from there on a recorded answer is served where the same call is
made again, and any other call halts. Nothing is run and nothing written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from workbench.analysis.effects import ACTING
from workbench.database import Location
from workbench.model import PASSED_ON, Cassette, Change, EffectClass, Level, Run, Step, Value
from workbench.replay.changes import MODEL
from workbench.replay.effects.ledger import class_of
from workbench.replay.isolation import lacks, settings_of
from workbench.replay.isolation.risk import risk_of
from workbench.replay.protocol import Request
from workbench.replay.recording.asking import uncalled
from workbench.replay.recording.captured import hands_over_to
from workbench.replay.recording.contexts import others_of
from workbench.replay.recording.tasks import uses_of
from workbench.replay.unmet import unmet
from workbench.replay.wishes import REPLACED, Wish, located, request_of

How = Literal["served", "edited", "stands", "executed", "live", "asks", "stops", "halts", "unreached"]
WORDS: dict[How, str] = {
    "edited": "answered by your change",
    "served": "served from the recording",
    "stands": "not run: what the node wrote is put in its place",
    "executed": "its code runs, inside the sandbox",
    "live": "thinks anew, inside the sandbox",
    "asks": "made for real, after a person's yes",
    "stops": "asks a person, and nobody's answer was recorded: the fork stops there",
    "halts": "has no recorded answer: the fork halts there",
    "unreached": "not reached",
}
"""How a step would be answered, in words."""


class Expected(Value):
    """How one of the steps that are done again would be answered. `says` is why, where that needs saying."""

    step: int
    kind: str
    name: str
    how: How
    says: str = ""


class Reachable(Value):
    """A tool that the agent can call: what calling it does, whether that is only guessed, how often it was recorded after the cut, whether it is to go live."""

    name: str
    effect: EffectClass
    guessed: bool
    recorded: int
    live: bool


class Forecast(Value):
    """What a fork of `run_id` at step `at` would do. `kept` steps stand as they were recorded."""

    run_id: str
    at: int
    change: Change
    live: tuple[str, ...]
    kept: int
    steps: tuple[Expected, ...]
    tools: tuple[Reachable, ...]
    risk: str
    level: Level
    lacks: str = ""
    """What this machine lacks to reach that level; empty when it does."""
    notes: tuple[str, ...] = ()
    """Names that were asked for and that the recording has not."""

    def of(self, how: How) -> list[Expected]:
        """The steps that would be answered so."""
        return [one for one in self.steps if one.how == how]

    @property
    def blocked(self) -> list[Reachable]:
        """The tools that change the world, or may, and are not named as live: no call of theirs is made."""
        return [one for one in self.tools if not one.live and one.effect != "read-only"]


def foresee(wish: Wish, databases: Sequence[Location]) -> Forecast:
    """What a fork would do. ForkError when it can't be made, IsolationError for settings that make no sense."""
    request = request_of(wish, located(databases, wish), Path())
    settings, risk = settings_of(Path.cwd()), risk_of(request)
    level = wish.isolation or settings.level(risk)
    again = [wish.parent.step(index) for index in request.steps]
    return Forecast(
        run_id=wish.parent.run_id,
        at=wish.step.index,
        change=wish.change,
        live=wish.live,
        kept=len(wish.parent.steps) - len(again),
        steps=tuple(_Foresight(wish, request).expected(again)),
        tools=tuple(tools_of(wish.parent, wish.terms.declared, wish.live, request.steps)),
        risk=risk,
        level=level,
        lacks=lacks(level, settings),
        notes=(*unmet(wish), *_of_context(wish), *_of_the_end(request)),
    )


def _of_context(wish: Wish) -> Iterator[str]:
    if others := others_of(wish.contexts):
        yield f"of the context, {', '.join(others)} was recorded with another value: a tool whose code reads it is not served what it returned then, and halts"


def _of_the_end(request: Request) -> Iterator[str]:
    if request.waits:
        yield f"it stops at the breakpoint before {', '.join(request.waits)}, past which the recorded run did not go"


def tools_of(run: Run, declared: Mapping[str, EffectClass], live: Sequence[str] = (), again: Sequence[int] = ()) -> Iterator[Reachable]:
    """The tools that a run called or was offered, those it called first."""
    called = [(step.tool_call.name if step.tool_call else step.name, step) for step in run.of_kind("tool")]
    said = {name: step.declared for name, step in called}
    for name in dict.fromkeys([*(name for name, _ in called), *(run.tools or ())]):
        effect, guessed = class_of(name, declared.get(name) or said.get(name))
        count = sum(one == name and step.index in again for one, step in called)
        yield Reachable(name=name, effect=effect, guessed=guessed, recorded=count, live=f"tool:{name}" in live)


class _Foresight:
    """Goes through the steps as the re-run would, and knows whether it still is where the recording was."""

    def __init__(self, wish: Wish, request: Request) -> None:
        self.wish, self.request = wish, request
        cassette: Cassette = request.cassette
        self.recorded = {one.step for one in cassette.interactions}
        self.unworded = {one.step for one in cassette.unworded}
        self.missing = {one.step: one for one in cassette.missing}
        uses = uses_of(wish.parent, {one.step for one in cassette.interactions if one.kind != "human"}, set(self.missing))
        self.calling = uses.calling - uses.lacking
        fault = request.alteration.fault
        self.slow = fault is not None and fault.kind == "slow"
        self.exchange = fault.name if fault is not None and fault.call_kind == "http" else None
        self.on = wish.change.kind not in ("state", "message", "system", "model", "tools") and not others_of(wish.contexts)
        self.ended = False
        self.uncalled = uncalled(wish.parent)
        self.updates = {one.step for one in request.later if one.kind == "update"}
        self.handing = {one.step: one for one in cassette.interactions if one.kind == "tool" and hands_over_to(one.result)}

    def expected(self, again: Sequence[Step]) -> Iterator[Expected]:
        """How each step would be answered."""
        for step in again:
            how, says = ("unreached", "") if self.ended else self._of(step)
            self.ended = self.ended or how in ("halts", "stops")
            yield Expected(step=step.index, kind=step.kind, name=step.name, how=how, says=says)

    def _of(self, step: Step) -> tuple[How, str]:
        if step.index in self.request.before:
            return "served", "it came before the step, so it is not done for real" if self._live(step) else ""
        if step.index != self.wish.step.index or self.wish.change.kind not in REPLACED:
            return self._unchanged(step)
        if self.exchange is not None:
            how, says = self._unchanged(step)
            self.on = self.on and self.slow
            return how, "; ".join(filter(None, (says, f"{self.exchange} comes late" if self.slow else f"{self.exchange} is answered by your change")))
        if self.slow:
            return "served", "late, as your change asks"
        self.on = False
        return "edited", ""

    def _unchanged(self, step: Step) -> tuple[How, str]:
        """How a step would be answered that is not changed itself."""
        if step.index in self.updates:
            return "stands", "what update_state put into the state is put in as recorded" + ("" if self.on else ", whatever has changed before it")
        if step.kind == "model":
            return self._model(step)
        if step.kind == "tool" and f"tool:{step.tool_call.name if step.tool_call else step.name}" in self.wish.live:
            self.on = False
            return "asks", ""
        if step.kind == "node" or step.index in self.uncalled or (step.index in self.missing and self.missing[step.index].by_node):
            return self._node(step)
        if step.kind == "human" and step.status == "ok" and PASSED_ON in step.notes:
            return "served", "the question from inside, passed on with its answer"
        if step.kind == "human":
            if not self.on and step.index in self.unworded:
                return "stops", "what was asked was not recorded, so the answer is carried over to no question"
            return self._served(step, "stops") if step.tool_call else ("stands", "what the user said, as recorded")
        how, says = self._served(step, "halts")
        return how, self._reading(step) if how == "served" and step.kind == "tool" and not self.on else says

    def _reading(self, step: Step) -> str:
        """What comes of a tool's call whose code reads the state: what it reads is not known before the code is loaded, that it hands over is."""
        same = "where it is asked for again in the same words; any other call halts"
        if (recorded := self.handing.get(step.index)) is None:
            return f"{same}, and so does one whose code reads state, store or context that differs"
        acts = class_of(recorded.name, self.wish.terms.declared.get(recorded.name) or step.declared)[0] in ACTING
        runs = recorded.name in self.wish.execute or not acts
        return f"{same}; it hands over, and where what it passes on differs, " + ("its code runs, in the sandbox" if runs else "it halts")

    def _live(self, step: Step) -> bool:
        """Whether calls of this name are to be made for real, or to think anew."""
        called = step.tool_call.name if step.tool_call else step.model or step.name
        return f"{step.kind}:{called}" in self.wish.live or (step.kind == "model" and MODEL in self.wish.live)

    def _model(self, step: Step) -> tuple[How, str]:
        if MODEL in self.wish.live:
            self.on = False
            return "live", ""
        if f"{MODEL}:{step.model or step.name}" in self.wish.live:
            self.on = False
            return "asks", "once for all calls of this model"
        if not self.on:
            return "halts", "it is shown something else than in the recording: name the model as live"
        return self._served(step, "halts")

    def _node(self, step: Step) -> tuple[How, str]:
        runs = step.task_id in self.calling or not self.on or {str(step.node), "*"} & set(self.wish.execute)
        return ("executed", "its calls are served" if step.task_id in self.calling else "") if runs else ("stands", "")

    def _served(self, step: Step, otherwise: How) -> tuple[How, str]:
        if step.index not in self.recorded:
            return otherwise, self.missing[step.index].why if step.index in self.missing else ""
        return "served", "" if self.on else "where it is asked for again in the same words; any other call halts"
