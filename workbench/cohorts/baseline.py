"""What runs of a kind do, to hold another run against: the acts they did, the tools they called and in which order, the arguments they gave.

`Baseline.of(runs)` reads runs one trusts, such as one good run of the same task, or the runs of this agent last week; nothing is learned beyond counting.
Acts are compared by tool and identifying arguments: text that is worded anew each time, such as a summary for a colleague, is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import log2
from typing import TypeVar

from workbench.analysis.calls import MAX_DEPTH
from workbench.analysis.effects import ATTEMPT_ONLY, IDEMPOTENCY_KEYS, effects_of
from workbench.model import Json, Run
from workbench.shown import Shown

WORDED = 4
"""A text of more words is worded, not identifying."""
START, END = "(start)", "(end)"
WEIGHTS = {"any": 0.5, "acts": 1.0, "values": 1.0, "calls": 0.3}
"""What counts in the distance of two runs: whether their acts differ at all, how many acts, how many identifying values, how many calls."""

VERSION_KEYS = ("version", "agent_version", "service.version", "release", "revision", "git_sha", "commit")
"""The metadata of a run in which the version of its agent may stand."""

T = TypeVar("T")

Act = tuple[str, tuple[tuple[str, str], ...]]
"""A tool and the paths and values of its identifying arguments."""


@dataclass(frozen=True)
class Departure:
    """How a run departs from the nearest run of a baseline: 0 is the same acts and calls, 1 is nothing in common."""

    distance: float
    missing: tuple[Act, ...]
    extra: tuple[Act, ...]
    nearest: str


@dataclass(frozen=True)
class Profile:
    """What one run did, counted."""

    run_id: str
    acts: Counter[Act]
    tools: Counter[str]

    @cached_property
    def values(self) -> frozenset[tuple[str, str, str]]:
        """The identifying values of all acts, each with its tool and path."""
        return frozenset((tool, path, value) for tool, given in self.acts for path, value in given)


@dataclass(frozen=True)
class Given:
    """What a cohort gave for one argument of one tool: in how many calls of how many, of which types, within which range, which values."""

    calls: int
    present: int
    types: frozenset[str]
    least: float | None
    most: float | None
    values: frozenset[str] | None
    """The values where they are few and recur, as in an enumeration; None where they are free."""


@dataclass(frozen=True)
class Baseline(Shown):
    """What a cohort of runs does. Build it with `Baseline.of`."""

    profiles: tuple[Profile, ...]
    follows: dict[str, Counter[str]]
    """For each tool, and for the start of a run, how often which tool was called next; `(end)` where none was."""
    arguments: dict[tuple[str, str], Given]

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Baseline:
        """The baseline of these runs. ValueError when there are none."""
        profiles, follows, given = list[Profile](), defaultdict[str, Counter[str]](Counter), defaultdict[str, list[dict[str, Json]]](list)
        for run in runs:
            profiles.append(profile(run))
            for before, after in transitions(run):
                follows[before][after] += 1
            for step in run.of_kind("tool"):
                if step.tool_call and step.tool_call.arguments is not None:
                    given[step.tool_call.name].append(step.tool_call.arguments)
        if not profiles:
            raise ValueError("a baseline needs at least one run")
        return cls(tuple(profiles), dict(follows), {key: one for tool, calls in given.items() for key, one in _arguments(tool, calls)})

    @property
    def runs(self) -> int:
        """How many runs it was built from."""
        return len(self.profiles)

    def departure(self, run: Run) -> Departure:
        """How a run departs from the run of this baseline that it is nearest to."""
        mine = profile(run)
        distance, nearest = min(((distance_of(mine, other), other) for other in self.profiles), key=lambda pair: pair[0])
        missing, extra = nearest.acts - mine.acts, mine.acts - nearest.acts
        return Departure(distance, tuple(missing.elements()), tuple(extra.elements()), nearest.run_id)

    def surprise(self, before: str, after: str) -> float:
        """How unlikely it is that `after` is called next after `before`, in bits; one more call of each known tool is assumed, so it is never infinite."""
        known = {name for counts in self.follows.values() for name in counts} | {after}
        counts = self.follows.get(before, Counter())
        return -log2((counts[after] + 1) / (counts.total() + len(known)))


def version_of(run: Run) -> str | None:
    """The version of the agent that made a run, as its metadata says; None where it doesn't."""
    return next((str(run.metadata[key]) for key in VERSION_KEYS if run.metadata.get(key)), None)


def profile(run: Run) -> Profile:
    """The acts of a run that did not fail, by what identifies them, and the tools it called."""
    acts = Counter(act for effect in effects_of(run) if effect.outcome != "failed" and (act := (effect.tool, identifying(effect.arguments)))[1])
    return Profile(run.run_id, acts, Counter(step.name for step in run.of_kind("tool")))


def distance_of(one: Profile, other: Profile) -> float:
    """How far two runs are apart, from 0 to 1."""
    parts = {
        "any": float(one.acts != other.acts),
        "acts": _apart(one.acts, other.acts),
        "values": _apart(Counter(one.values), Counter(other.values)),
        "calls": _apart(one.tools, other.tools),
    }
    return sum(WEIGHTS[name] * value for name, value in parts.items()) / sum(WEIGHTS.values())


def _apart(one: Counter[T], other: Counter[T]) -> float:
    either = (one | other).total()
    return 1 - (one & other).total() / either if either else 0.0


def identifying(arguments: dict[str, Json] | None) -> tuple[tuple[str, str], ...]:
    """Paths and values of the arguments that say which act it is, in order of their names; texts worded anew and keys of the attempt are left out."""
    kept = {name: value for name, value in (arguments or {}).items() if not IDEMPOTENCY_KEYS.match(name) and not ATTEMPT_ONLY.match(name)}
    return tuple(sorted((path, value) for path, value in _leaves(kept) if len(value.split()) <= WORDED))


def _leaves(value: Json, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH or value is None or value == "":
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path, depth + 1)
    else:
        yield path, f"{value:g}" if isinstance(value, float) else str(value).casefold()


def transitions(run: Run) -> Iterator[tuple[str, str]]:
    """Each tool call with the one before it, from the start of the run to its end."""
    before = START
    for step in run.of_kind("tool"):
        yield before, step.name
        before = step.name
    yield before, END


def _arguments(tool: str, calls: list[dict[str, Json]]) -> Iterator[tuple[tuple[str, str], Given]]:
    given: dict[str, list[Json]] = defaultdict(list)
    for one in calls:
        for name, value in one.items():
            given[name].append(value)
    for name, values in given.items():
        numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        texts = frozenset(value for value in values if isinstance(value, str))
        recurring = texts if len(texts) * FEW <= len(values) else None
        types = frozenset(type_name(value) for value in values)
        yield (tool, name), Given(len(calls), len(values), types, min(numbers, default=None), max(numbers, default=None), recurring)


FEW = 4
"""Texts of which each recurs so often on average are an enumeration."""


def type_name(value: Json) -> str:
    """JSON's name of a value's type."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "boolean"
    names = ((str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in names if isinstance(value, kind)), "number")
