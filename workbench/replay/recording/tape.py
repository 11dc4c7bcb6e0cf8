"""The tape: plays a cassette, one recorded answer for one same call, in recorded order.

Two calls are the same when their kind, name, node path (without task ids) and canonical arguments are. Ids and times are no part of it, and a
model's name is none either, since a scripted or renamed model may stand in its place. Going by order alone would swap the answers of parallel
calls and still look well; of the very same call of several branches, each is given its own.
"""

from __future__ import annotations

import difflib
import shlex
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from workbench.literals import text_literal
from workbench.model import Cassette, Interaction, Json, canonical, digest, digest_of
from workbench.replay.recording.scrubbing import ID, Scrubber, strings_of

NEAREST = 3
POLL_SECONDS = 0.001
MAX_COMPARED_CHARACTERS = 4000
LEAVE_OUT = "leave out: what differs from run to run and says nothing is named by a pattern, in [tool.workbench.replay.scrub] of your pyproject.toml"
MAX_DIFFERENCES = 4
SHOWN_CHARACTERS = 120
BY_PLACE = "given by place"
"""How the note of an answer begins whose question was not recorded: it was given where it had been given then."""
IN_TURN = "given in turn"
"""How the note of an answer begins that may have been another's: they were given in the recorded order."""


UNTYPED = "untyped"
"""How the note of an answer begins of which a span's text is known alone, and that may be text or what it says."""


class Divergence(BaseException):  # it is how a re-run ends, and no Exception: an agent's error handling must not catch it
    """A re-run asked for something that has no recording. The message names the cassette, the call, the nearest recordings and what differs."""


class CutOff(BaseException):
    """A replay has come to where the recorded run was cut off: killed, or stopped by someone. `miss` is the divergence it would be otherwise."""

    def __init__(self, step: int, miss: str) -> None:
        super().__init__(f"the recorded run was cut off after step {step} and started again")
        self.miss = miss


class Unanswered(BaseException):
    """A call that nobody could have recorded, made in a node whose writes were: they are served in its place."""


@dataclass(frozen=True)
class Call:
    """A call that a re-run makes."""

    kind: str
    name: str
    node_path: str
    arguments: Json
    task_id: str | None = None
    """The recorded task that the one which makes the call repeats."""
    call_id: str | None = None
    text: str | None = field(default=None, compare=False, repr=False)
    """Its arguments as canonical JSON text, where somebody has that already."""

    @cached_property
    def sha256(self) -> str:
        """The digest of its canonical arguments."""
        return digest(self.arguments) if self.text is None else digest_of(self.text)

    def __str__(self) -> str:
        if self.kind == "tool":
            return f"tool {self.name}({_short(canonical(self.arguments))})" + (f" at {self.node_path}" if self.node_path else "")
        if self.kind == "human":
            return f"question to a person: {_short(canonical(self.arguments))}"
        if self.kind != "model":
            return f"{self.kind} call {self.name}({_short(canonical(self.arguments))}) at {self.node_path or 'no node'}"
        last = self.arguments[-1] if self.arguments else {}
        return f"model call at {self.node_path or 'no node'} with {len(self.arguments)} messages, the last: {_short(canonical(last))}"


class Miss(NamedTuple):
    """A call without a recording: whether another's answer could be served, and whether one differs in some text alone."""

    call: Call
    stale: bool
    alike: bool


@dataclass(frozen=True)
class Served:
    """A recorded answer. `asked` are the questions that this very call had stopped to ask before and that were answered when it was made, in order."""

    interaction: Interaction
    notes: tuple[str, ...] = ()
    asked: tuple[Json, ...] = ()


class Tape:
    """Plays the interactions of some steps of a cassette. Each recorded tool answer is given out once; parallel calls may take from it at once.

    `stops` are the steps after which the recorded run was cut off and started again. Until `free` is called, what was recorded after the next
    stop is not served before `restart`: an unchanged replay breaks off where the recording did. `stale` names the tools (or "model", "http", ...)
    for which a call without a recording is served the nearest one's answer, marked as such. `remedies` says what can be done about a call without one.
    """

    def __init__(
        self,
        cassette: Cassette,
        *,
        steps: Collection[int] | None = None,
        stops: Sequence[int] = (),
        stale: Collection[str] = (),
        scrubber: Scrubber | None = None,
        remedies: Callable[[Miss], Iterable[str]] | None = None,
    ) -> None:
        self.cassette, self.stale, self._remedies = cassette, frozenset(stale), remedies or remedies_of_fork
        self._stops = deque(sorted(stops))
        self._places = [place for place, one in enumerate(cassette.interactions) if steps is None or one.step in steps]
        self.interactions = [cassette.interactions[place] for place in self._places]
        self.scrubber = scrubber or scrubber_of(cassette)
        self._exact: dict[tuple[str, str], list[int]] = {}
        for number, one in enumerate(self.interactions):
            self._exact.setdefault((one.kind, digest(one.arguments)), []).append(number)
        self._left = set(range(len(self.interactions)))
        self._lock = threading.Lock()
        self.freed = False
        """Whether something was changed or went live."""
        self.turn: tuple[int, int | None] = (0, None)
        """The steps, from the first and before the other, whose answers of people are served: nobody answers in advance what is asked in another turn."""

    @cached_property
    def _scrubbed(self) -> dict[tuple[str, str], list[int]]:
        """As `_exact`, of arguments without what differs from run to run. Only made when something is not found exactly."""
        found: dict[tuple[str, str], list[int]] = {}
        for number, one in enumerate(self.interactions):
            found.setdefault((one.kind, digest(self.scrubber.plain(one.arguments))), []).append(number)
        return found

    @property
    def left(self) -> tuple[Interaction, ...]:
        """What was recorded and has not been asked for yet."""
        return tuple(self.interactions[number] for number in sorted(self._left))

    def leave_out(self, steps: Collection[int]) -> None:
        """An earlier part of this re-run has been served the recordings of these steps."""
        with self._lock:
            self._left -= {number for number, one in enumerate(self.interactions) if one.step in steps}

    def give_back(self, steps: Collection[int]) -> None:
        """The recordings of these steps may be served again: a kill kept them from being taken in."""
        with self._lock:
            self._left |= {number for number, one in enumerate(self.interactions) if one.step in steps}

    def await_taken(self, steps: Collection[int], seconds: float) -> None:
        """Wait until the answers of these steps have been served, no longer than this."""
        wanted = {number for number, one in enumerate(self.interactions) if one.step in steps}
        end = time.monotonic() + seconds
        while wanted & self._left and time.monotonic() < end:
            time.sleep(POLL_SECONDS)

    def restart(self, *, before: int | None = None) -> None:
        """The run is started again: what was recorded up to the next stop may be served now, or up to the first stop that is not `before` a step."""
        with self._lock:
            passed = len(self._stops) and 1 if before is None else sum(stop < before for stop in self._stops)
            for _ in range(passed):
                self._stops.popleft()

    @property
    def stops(self) -> int:
        """How many stops are still to come."""
        return len(self._stops)

    def go_on(self, stops: int) -> None:
        """An earlier part of this re-run had so many stops still to come."""
        with self._lock:
            while len(self._stops) > stops:
                self._stops.popleft()

    def free(self) -> None:
        """Something was changed or went live, so the re-run need no longer stop where the recording did."""
        with self._lock:
            self.freed = True
            self._stops.clear()

    def knows(self, call: Call) -> bool:
        """Whether calls of this kind were recorded at all at this place, so that one without a recording differs from what was done there."""
        return any(one.kind == call.kind and one.node_path == call.node_path for one in self.interactions)

    def take(self, call: Call, *, on_course: bool = False) -> Served:
        """The recorded answer to a call. Divergence where there is none, CutOff where the recording broke off.

        An answer to a question whose words were lost is only given `on_course`, where all is as recorded so far, and to the task that asked it.
        """
        with self._lock:
            same = self._same(call)
            if (found := self._taken(call, same, ())) is not None:
                return found
            scrubbed = self._unworded(call) if call.kind == "human" and on_course else self._alike(call)
            if (found := self._taken(call, scrubbed, ("scrubbed",)) or self._stale(call)) is not None:
                return found
            miss = self._miss(call, same or scrubbed)
            if self._stops and not any(self.interactions[number].step <= self._stops[0] for number in self._left):
                raise CutOff(self._stops[0], miss)
            raise Divergence(miss)

    def take_one_of(self, steps: Collection[int] | None, call: Call) -> Served | None:
        """The recorded answer to a call, where it is that of one of these steps (None: any); it stays where it isn't."""
        with self._lock:
            for same, notes in ((self._same(call), ()), (self._alike(call), ("scrubbed",))):
                number = self._next(call, [one for one in same if self.interactions[one].node_path == call.node_path])
                if number is not None:
                    return self._taken(call, [number], notes) if steps is None or self.interactions[number].step in steps else None
        return None

    def _taken(self, call: Call, same: Sequence[int], notes: tuple[str, ...]) -> Served | None:
        """The first of the same calls that was not served yet, at its own place before elsewhere; a model may be asked the same again."""
        here = [number for number in same if call.kind == "human" or self.interactions[number].node_path == call.node_path]
        for candidates, moved in ((here, False), (same, True)):
            number = self._next(call, candidates)
            if number is not None:
                self._left.remove(number)
                one = self.interactions[number]
                told = (*((f"moved from {one.node_path or 'no node'}",) if moved else ()), *self._told(notes, one, call))
                return Served(one, told, self._asked(same, number))
        if call.kind == "model" and here:
            one = self.interactions[max(here, key=lambda number: ([not apart for apart in self._apart(number, call)], number))]
            return Served(one, ("repeated", *self._told(notes, one, call)))
        return None

    def _next(self, call: Call, same: Iterable[int]) -> int | None:
        """Of the same calls the one to serve next: that of its own task and id, then in recorded order. Branches may make it at once, in any order."""
        return min((one for one in same if one in self._left), key=lambda number: (self._apart(number, call), number), default=None)

    def _apart(self, number: int, call: Call) -> tuple[bool, bool]:
        """Whether the same call is known to have been made by another task, and under another id."""
        one = self.interactions[number]
        return bool(call.task_id and one.task_id and call.task_id != one.task_id), bool(call.call_id and one.call_id and call.call_id != one.call_id)

    def expects(self, call: Call) -> int | None:
        """The place in the cassette of the recording that a call would be served; None where it has none, or has been served it."""
        with self._lock:
            number = self._next(call, self._same(call) or self._alike(call))
        return None if number is None else self._places[number]

    @staticmethod
    def _told(notes: tuple[str, ...], one: Interaction, call: Call) -> tuple[str, ...]:
        if unworded(one):
            return (f"{BY_PLACE}: what was asked there was not recorded",)
        told = tuple(f"{note}: {'; '.join(differences(one.arguments, call.arguments))}" for note in notes)
        return (*told, f"{IN_TURN}: the same was asked at once and answered otherwise, and which answer was whose is not recorded") if one.at_once else told

    def _same(self, call: Call) -> list[int]:
        """The recordings of the same call. That a question was put without words, and one recorded whose words were lost, makes them no same one."""
        if call.kind == "human" and call.arguments is None:
            return []
        exact = self._exact.get((call.kind, call.sha256), [])
        if call.kind == "human":
            first, end = self.turn
            exact = [one for one in exact if first <= self.interactions[one].step and (end is None or self.interactions[one].step < end)]
        lone = list(call.arguments.values()) if isinstance(call.arguments, dict) else []
        if call.kind == "tool" and len(lone) == 1 and isinstance(lone[0], str):  # recorded without the argument's name
            exact = sorted([*exact, *self._exact.get(("tool", digest(lone[0])), [])])
        return self._fitting(call, exact)

    def _alike(self, call: Call) -> list[int]:
        """The recordings of the same call but for times and ids. A question is only the same in the same words."""
        if call.kind == "human":
            return []
        return self._fitting(call, self._scrubbed.get((call.kind, digest(self.scrubber.plain(call.arguments))), []))

    def _unworded(self, call: Call) -> list[int]:
        """The questions of the very task that asks now whose words were lost."""
        return [number for number in self._exact.get(("human", digest(None)), []) if self.interactions[number].task_id == call.task_id is not None]

    def _fitting(self, call: Call, numbers: Sequence[int]) -> list[int]:
        """Those of the same tool that are not past the next stop. A model's name is no part of a call: a scripted one may stand in its place."""
        fit = [number for number in numbers if call.kind != "tool" or self.interactions[number].name == call.name]
        return [number for number in fit if not (self._stops and self.interactions[number].step > self._stops[0])]

    def _stale(self, call: Call) -> Served | None:
        """The nearest recording's answer, where that was asked for by name. Never a person's word."""
        if not self.stale & {call.name, call.kind} or call.kind == "human":
            return None
        kin = self._kin(call)
        if not kin:
            return None
        number = max(kin, key=lambda one: likeness(self.interactions[one].arguments, call.arguments))
        self._left.discard(number)
        return Served(self.interactions[number], self._told(("stale",), self.interactions[number], call))

    def _kin(self, call: Call) -> list[int]:
        """The recordings of which a call could be served one that is stale: those of the same tool, or for other calls of the same kind."""
        return [number for number, one in enumerate(self.interactions) if one.kind == call.kind and (call.kind != "tool" or one.name == call.name)]

    def _asked(self, same: Sequence[int], number: int) -> tuple[Json, ...]:
        """What the attempts at the same call before this one stopped to ask. What this one asks again had not been answered: another call's question was."""
        done = self.interactions[number]
        before = [self.interactions[one] for one in same if one < number and one not in self._left]
        own = [one for one in before if (one.task_id, one.call_id) == (done.task_id, done.call_id)] or before
        questions = {canonical(one.result): one.result for one in own if one.interrupted}
        if done.interrupted:
            questions.pop(canonical(done.result), None)
        return tuple(questions.values())

    def asks_again(self, asked: Call) -> list[Interaction]:
        """The attempts to come at the recorded call that asks this which asked it once more, for those of other tasks were answered before it."""
        own = [one for one in self.interactions if one.kind == "tool" and one.task_id == asked.task_id is not None]
        if len({one.call_id for one in own}) != 1:
            return []
        return [one for one in self.left if one in own and one.interrupted and canonical(one.result) == canonical(asked.arguments)]

    def _miss(self, call: Call, same: Sequence[int]) -> str:
        recorded = f"cassette of run {self.cassette.run_id} ({len(self.interactions)} recorded answers from here on, {len(self._left)} left)"
        lines = [f"no recording of {call} in the {recorded}"]
        if same:
            steps = ", ".join(str(self.interactions[number].step) for number in same)
            lines.append(f"  the same call was recorded at step {steps}, and each recording has been served once")
        lines += [f"  {line}" for line in self._nearest(call)] if not same else []
        lines += [f"  not captured: {line}" for line in self.cassette.missing if call.name == line.name or (call.kind == line.kind == "model")]
        kin = [self.interactions[number] for number in self._kin(call)]
        alike = not same and any(_same_build(one.arguments, call.arguments) for one in kin)
        return "\n".join([*lines, *(f"  {line}" for line in self._remedies(Miss(call, bool(kin), alike)))])

    def _nearest(self, call: Call) -> Iterator[str]:
        kin = [one for one in self.interactions if one.kind == call.kind and not unworded(one)]
        elsewhere = "it was asked in another turn" if call.kind == "human" else "only the place differs"
        for one in sorted(kin, key=lambda one: (one.name == call.name, likeness(one.arguments, call.arguments)), reverse=True)[:NEAREST]:
            differs = "; ".join(differences(one.arguments, call.arguments)) or elsewhere
            yield f"nearest: step {one.step} {one.name} at {one.node_path or 'no node'}: {differs}"
        lost = [str(one.step) for one in self.interactions if one.kind == call.kind and unworded(one)]
        if lost:
            yield f"what was asked at step {', '.join(lost)} was not recorded: that answer is given only where nothing was changed before it"
        elif not kin:
            yield f"no {call.kind} call was recorded from here on"


def unworded(one: Interaction) -> bool:
    """Whether a person's answer is to a question whose words were lost."""
    return one.kind == "human" and one.arguments is None


def scrubber_of(cassette: Cassette) -> Scrubber:
    """What a cassette's calls are compared without. An id is data where an answer brought it before any call named it."""
    found: list[frozenset[str]] = []

    def is_data(one: str) -> bool:
        if not found:  # only looked for where something is not found exactly
            found.append(_brought(cassette))
        return one in found[0]

    return Scrubber(cassette.moments, is_data, cassette.scrub)


def _brought(cassette: Cassette) -> frozenset[str]:
    """The ids that answers brought before any call named them."""
    data: set[str] = set()
    named: set[str] = set()
    for one in cassette.interactions:
        named |= {found for text in strings_of(one.arguments) for found in ID.findall(text)}
        data |= {found for text in strings_of([one.result, one.message]) for found in ID.findall(text) if found not in named}
    return frozenset(data)


def likeness(recorded: Json, asked: Json) -> float:
    """How alike two calls are, from 0 to 1: lists of messages by the share that is the same at the same place, anything else by its text."""
    if isinstance(recorded, list) and isinstance(asked, list):
        same = sum(bool(one == other) for one, other in zip(recorded, asked, strict=False))
        return same / max(len(recorded), len(asked), 1)
    one, other = (canonical(value)[:MAX_COMPARED_CHARACTERS] for value in (recorded, asked))
    return difflib.SequenceMatcher(a=one, b=other, autojunk=False).ratio()


def _same_build(one: Json, other: Json) -> bool:
    """Whether two values differ in the words of their texts alone."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same_build(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same_build, one, other))
    return one == other or (isinstance(one, str) and isinstance(other, str))


def remedies_of_fork(miss: Miss) -> Iterator[str]:
    """What a fork offers where a call has no recording."""
    call = miss.call
    name = "model" if call.kind == "model" else call.name
    if call.kind == "human":
        yield "a person has to answer: an approval is never carried over to another question"
        return
    if call.kind == "tool":
        yield "edit: put a result in its place (fork at that step with tool_result=…, --tool-result), or change what leads to the call"
    if miss.stale:
        yield f"serve stale: stale=[{text_literal(name)}] (--serve-stale {shlex.quote(name)}) gives it the nearest recording's answer, marked as stale"
    if miss.alike:
        yield LEAVE_OUT
    if call.kind == "model":
        yield 'go live: the model would have to think anew, so name it as live (live=["model"], --live model); tools stay fenced'
    if call.kind == "tool":
        live = f"tool:{name}"
        yield f"go live: live=[{text_literal(live)}] (--live {shlex.quote(live)}) calls it for real, once a person has approved the call"


def differences(recorded: Json, asked: Json) -> list[str]:
    """Where two values differ, as text: `$.flight: recorded "NH 11", asked "NH 12"`. At most four places."""
    found = list(_differences(recorded, asked, "$"))
    more = [f"and {len(found) - MAX_DIFFERENCES} more"] if len(found) > MAX_DIFFERENCES else []
    return found[:MAX_DIFFERENCES] + more


def _differences(recorded: Json, asked: Json, path: str) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(asked, dict):
        for key in sorted({*recorded, *asked}):
            yield from _part(recorded, asked, key, f"{path}.{key}", key in recorded, key in asked)
    elif isinstance(recorded, list) and isinstance(asked, list):
        for index in range(max(len(recorded), len(asked))):
            yield from _part(recorded, asked, index, f"{path}[{index}]", index < len(recorded), index < len(asked))
    elif canonical(recorded) != canonical(asked):
        yield f"{path}: recorded {_short(canonical(recorded))}, asked {_short(canonical(asked))}"


def _part(recorded: Json, asked: Json, key: str | int, path: str, was: bool, now: bool) -> Iterator[str]:
    if was and now:
        yield from _differences(recorded[key], asked[key], path)
    elif was:
        yield f"{path}: recorded {_short(canonical(recorded[key]))}, not asked"
    else:
        yield f"{path}: not recorded, asked {_short(canonical(asked[key]))}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
