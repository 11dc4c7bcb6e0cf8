"""Runs of one agent, told apart by what may have changed between them: the version they ran, the model they called, the day they ran on.

Versions are read from the run's metadata, models from its model calls, days from its times. Of each run only what is compared is kept, so that memory is not
bounded by the store; a run that is to be cited is read again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Generic, TypeVar

from workbench.cohorts.baseline import version_of
from workbench.model import Run

T = TypeVar("T")

KINDS = ("version", "model", "day")
ENOUGH = 20
"""How many runs a period has at least: fewer say little about what an agent usually does."""


@dataclass(frozen=True)
class Observed(Generic[T]):
    """What a comparison keeps of one run: when it began, what tells it apart, and what is compared."""

    run_id: str
    agent: str | None
    at_ns: int
    marks: dict[str, str]
    value: T


@dataclass(frozen=True)
class Change(Generic[T]):
    """Two neighbouring periods of one agent, each with enough runs: from the version (model, day) `before` to the one `after`."""

    kind: str
    before: str
    after: str
    was: list[Observed[T]]
    now: list[Observed[T]]

    def __str__(self) -> str:
        return f"{self.kind} {self.before} to {self.after} of {self.was[0].agent}"


def observed(run: Run, value: T) -> Observed[T]:
    """What is kept of a run."""
    marks = {
        "version": version_of(run),
        "model": next((step.model for step in run.of_kind("model") if step.model), None),
        "day": None if run.started_ns is None else datetime.fromtimestamp(run.started_ns // 10**9, UTC).date().isoformat(),
    }
    return Observed(run.run_id, run.agent, run.started_ns or 0, {kind: mark for kind, mark in marks.items() if mark}, value)


def by_agent(runs: Iterable[Observed[T]]) -> dict[str | None, list[Observed[T]]]:
    """The observations of each agent, in the order of their times."""
    found: dict[str | None, list[Observed[T]]] = defaultdict(list)
    for one in runs:
        found[one.agent].append(one)
    return {agent: sorted(those, key=lambda one: one.at_ns) for agent, those in found.items()}


def changes(runs: Sequence[Observed[T]]) -> list[Change[T]]:
    """Each two neighbouring periods of an agent's runs, by version, by model and by day; those with too few runs are left out."""
    return [Change(kind, before[0], after[0], before[1], after[1]) for kind in KINDS for before, after in pairwise(_periods(kind, runs))]


def fetched(runs: Iterable[Run], run_ids: Collection[str]) -> dict[str, Run]:
    """Some of the runs, whole, read once more; nothing is read where none is asked for."""
    return {run.run_id: run for run in runs if run.run_id in run_ids} if run_ids else {}


def _periods(kind: str, runs: Sequence[Observed[T]]) -> Iterator[tuple[str, list[Observed[T]]]]:
    found: dict[str, list[Observed[T]]] = defaultdict(list)
    for one in runs:
        if kind in one.marks:
            found[one.marks[kind]].append(one)
    return ((name, those) for name, those in found.items() if len(those) >= ENOUGH)
