"""Sweeps and controls, as a notebook holds them: what came of every fork, how often the outcome changed, and whether the change did it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.comparison.controls import Controlled, Outcome, controlled, rate
from workbench.intervals import Share
from workbench.model import Change, Json, Receipt, Run
from workbench.replay.sweeps import Cell
from workbench.report import Report, save, static, sweep_report
from workbench.report.quantities import DASH, line, plural
from workbench.report.sweeps import Sweep, SweptFork, SweptGroup, last_word, said_of

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Repetition:
    """One fork of a sweep: its run and receipt; without them, why not. `how` says whether it was done now or before, failed, or was left."""

    cell: Cell
    how: Literal["done", "done before", "failed", "left"]
    run: Run | None = None
    receipt: Receipt | None = None
    says: str = ""


@dataclass(frozen=True)
class Group:
    """The repetitions of one change at one step."""

    at: int
    change: Change
    repetitions: tuple[Repetition, ...]

    @property
    def runs(self) -> list[Run]:
        """The forks that there are."""
        return [one.run for one in self.repetitions if one.run]

    @property
    def name(self) -> str:
        """The change in a few words."""
        return said_of(self.change)


class Swept:
    """The forks of one run, grouped by step and change, with the rate of one named outcome; unchanged forks at the same step are the controls."""

    def __init__(self, parent: Run, outcome: Outcome, repetitions: Sequence[Repetition]) -> None:
        self.parent, self.outcome = parent, outcome
        self.repetitions = tuple(repetitions)

    @cached_property
    def groups(self) -> list[Group]:
        """Repetitions by step and change, in the order they were asked for."""
        found: dict[str, list[Repetition]] = {}
        for one in self.repetitions:
            found.setdefault(f"{one.cell.at} {one.cell.change.model_dump_json()}", []).append(one)
        return [Group(members[0].cell.at, members[0].cell.change, tuple(members)) for members in found.values()]

    def controlled(self, group: Group) -> Controlled | None:
        """A group against the unchanged forks at its step; None where there are none, or it is itself unchanged."""
        controls = [other for other in self.groups if other.at == group.at and other.change.kind == "none"]
        return controlled(self.outcome, group.runs, controls[0].runs) if controls and group.change.kind != "none" else None

    @property
    def verdicts(self) -> list[str]:
        """For each change that has controls, what may be concluded."""
        return [f"step {group.at}, {group.name}: {found.verdict}" for group in self.groups if (found := self.controlled(group))]

    def frame(self) -> pl.DataFrame:
        """One row a fork: step, change, number, what came of it, and whether the outcome held."""
        import polars as pl  # noqa: PLC0415  # it takes a third of a second to import

        from workbench.frames import SWEPT  # noqa: PLC0415  # as above

        return pl.DataFrame([self._frame_row(one) for one in self.repetitions], schema=SWEPT, orient="row")

    @property
    def sweep(self) -> Sweep:
        """The same as a frozen value."""
        return Sweep(
            run_id=self.parent.run_id,
            counted=self.outcome.name,
            word=self.outcome.word,
            groups=tuple(map(self._group, self.groups)),
            forks=tuple(map(self._fork, self.repetitions)),
        )

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """A report on the sweep; written to `path` when one is given, in the format of its ending (`workbench.report.save`)."""
        made = sweep_report(self.sweep, self.parent, [one.run for one in self.repetitions if one.run])
        if path is not None:
            save(made, Path(path))
        return made

    def _group(self, group: Group) -> SweptGroup:
        found, held = self.controlled(group), self._rate(group)
        return SweptGroup(
            at=group.at,
            change=group.change,
            forks=len(group.runs),
            hits=held.hits,
            judged=held.total,
            difference=found.difference if found else None,
            verdict=found.verdict if found else "",
        )

    def _fork(self, one: Repetition) -> SweptFork:
        receipt, told = one.receipt, self._came_to(one)
        return SweptFork(
            at=one.cell.at,
            change=one.cell.change,
            number=one.cell.number,
            how=one.how,
            says=one.says,
            **told,
            unjudged=self.outcome.unjudged(one.run) if one.run else "",
            clean=receipt.clean if receipt else None,
            live_calls=receipt.calls.live if receipt else None,
            seconds=receipt.seconds if receipt else None,
            evidence=last_word(one.run) if one.run else None,
        )

    def to_json(self) -> Json:
        """The sweep as JSON: every fork, the rate of the outcome by step and change, and what may be concluded."""
        groups = [
            {
                "at": group.at,
                "change": group.change.model_dump(mode="json"),
                **self._rate(group)._asdict(),
                "unjudged": self._unjudged(group),
                "difference": self._interval(group),
            }
            for group in self.groups
        ]
        forks = [
            {"at": one.cell.at, "change": one.cell.change.kind, "number": one.cell.number, "how": one.how, "says": one.says, **self._came_to(one)}
            for one in self.repetitions
        ]
        return {"run_id": self.parent.run_id, "outcome": self.outcome.name, "groups": groups, "verdicts": self.verdicts, "forks": forks}

    def __repr__(self) -> str:
        return static.tabular_text(self._title, self._says, self._columns, list(self._rows()))

    def _repr_html_(self) -> str:
        rows = list(self._rows())
        return static.tabular_html(self._title, self._says, self._columns, rows, [""] * len(rows))

    @property
    def _title(self) -> str:
        return f"{plural(len(self.repetitions), 'fork')} of {self.parent.run_id}, counting: {self.outcome.name}"

    @property
    def _says(self) -> list[str]:
        hows = [one.how for one in self.repetitions]
        counts = ", ".join(f"{hows.count(how):,} {how}" for how in dict.fromkeys(hows))
        why = sorted({one.says for one in self.repetitions if one.says})
        return [counts, *self.verdicts, *(line(says, 300) for says in why[:5])]

    _columns = ("step", "change", "forks", "not judged", "outcome held", "more than unchanged", "came to")

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for group in self.groups:
            answers = [run.outcome for run in group.runs]
            most = max(set(answers), key=answers.count) if answers else DASH
            yield str(group.at), group.name, str(len(group.runs)), str(self._unjudged(group)), str(self._rate(group)), self._difference(group), line(most, 100)

    def _difference(self, group: Group) -> str:
        """By how much the outcome held more often than unchanged, as its 95 % interval (Newcombe): one that holds 0 shows nothing."""
        found = self._interval(group)
        return DASH if found is None else "[{:+.2f}, {:+.2f}]".format(*found)

    def _interval(self, group: Group) -> tuple[float, float] | None:
        found = self.controlled(group)
        return found.difference if found else None

    def _rate(self, group: Group) -> Share:
        return rate(self.outcome, group.runs)

    def _unjudged(self, group: Group) -> int:
        return sum(bool(self.outcome.unjudged(run)) for run in group.runs)

    def _came_to(self, one: Repetition) -> dict[str, Json]:
        if one.run is None or one.receipt is None:
            return {"run_id": None, "status": None, "outcome": None, "held": None}
        held = None if self.outcome.unjudged(one.run) else self.outcome.holds(one.run)
        return {"run_id": one.run.run_id, "status": one.run.status, "outcome": one.run.outcome, "held": held}

    def _frame_row(self, one: Repetition) -> tuple[Json, ...]:
        told = self._came_to(one)
        live = one.receipt.calls.live if one.receipt else None
        seconds = one.receipt.seconds if one.receipt else None
        return (one.cell.at, said_of(one.cell.change), one.cell.number, one.how, *told.values(), live, seconds, one.says)
