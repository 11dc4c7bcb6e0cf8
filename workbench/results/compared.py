"""Runs side by side, as a notebook holds them: text and HTML, frames, JSON and a report."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench import detection
from workbench.analysis.calls import token_count
from workbench.comparison.comparison import Ignored, beside
from workbench.comparison.comparison import compare as compare_runs
from workbench.model import Aligned, Comparison, Effect, Finding, Json, Receipt, Run
from workbench.report import Report, comparison_report, save, static
from workbench.report.forks import findings_words
from workbench.report.quantities import DASH, line, plural, spent_by
from workbench.report.steps import gist

if TYPE_CHECKING:
    import polars as pl

    from workbench.widgets import ComparisonView

SIGNS = {"same": "=", "changed": "Δ", "added": "+", "removed": "−"}
MAX_TOLD = 60


class Recorded(Protocol):
    """A run in a store: its value, what was found in it, and, for a fork, its receipt."""

    @property
    def run(self) -> Run:
        """The run itself."""

    @property
    def findings(self) -> list[Finding]:
        """What the detectors found in it."""

    @property
    def receipt(self) -> Receipt | None:
        """For a fork, what was asked and what ran."""

    @property
    def requests(self) -> Sequence[Effect]:
        """The effects of what its plain nodes asked by HTTP themselves."""

    def final_state(self) -> dict[str, Json]:
        """The full state it left."""

    def with_records(self, report: Report) -> Report:
        """A report with what people made of the findings of its detectors."""


Comparable = Recorded | Run


class Compared:
    """Two or more runs aligned step by step with the first of them, the reference: what differs, effects, spending, outcomes, findings gone and new."""

    def __init__(self, reference: Comparable, *others: Comparable, ignore: Collection[Ignored] = ()) -> None:
        if not others:
            raise ValueError("a comparison needs at least two runs: compare(reference, other, …)")
        self.sides: tuple[Comparable, ...] = (reference, *others)
        self.ignore = tuple(ignore)

    @cached_property
    def findings(self) -> tuple[list[Finding], ...]:
        """What the detectors found in each run, the reference's first."""
        return tuple(detection.examine(one)[0] if isinstance(one, Run) else one.findings for one in self.sides)

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The reference against each other run."""
        return self._aligned(self.ignore)

    def _aligned(self, ignore: Collection[Ignored]) -> tuple[Comparison, ...]:
        reference, *others = map(_run, self.sides)
        mine, *theirs = self.findings
        asked, *others_asked = (() if isinstance(one, Run) else one.requests for one in self.sides)
        return tuple(
            compare_runs(reference, other, ignore=ignore, findings=(mine, found), requests=(asked, requests))
            for other, found, requests in zip(others, theirs, others_asked, strict=True)
        )

    @property
    def comparison(self) -> Comparison:
        """The reference against the first of the others."""
        return self.comparisons[0]

    @property
    def effects(self) -> dict[str, str]:
        """How often each effect was attempted, such as `{"book_flight": "2 → 1"}`, of several runs `"2 → 1, 2"`; by tool, all its keys together."""
        totals: dict[str, list[int]] = {}
        for number, comparison in enumerate(self.comparisons, start=1):
            for one in comparison.effects:
                counts = totals.setdefault(one.tool, [0] * len(self.sides))
                counts[0] += one.original if number == 1 else 0
                counts[number] += one.fork
        return {tool: f"{counts[0]} → {', '.join(map(str, counts[1:]))}" for tool, counts in totals.items()}

    def summary(self) -> pl.DataFrame:
        """One row a run, the reference first: outcome, steps the same and not, effects, spending, findings gone and new."""
        from workbench.frames import compared_frame  # noqa: PLC0415  # polars takes a third of a second to import

        return compared_frame(self.comparisons)

    def frame(self) -> pl.DataFrame:
        """One row for each step of each run but the reference: how it relates to the reference's step, and what changed in it."""
        from workbench.frames import aligned_frame  # noqa: PLC0415  # as above

        return aligned_frame(self.comparisons)

    def to_json(self) -> Json:
        """The comparison as JSON: for each run but the reference its rows, effects, spending, outcome, and findings gone and new."""
        reference = self.comparison.left
        return {"reference": _run_json(reference), "ignored": list(self.ignore), "effects": self.effects, "runs": [*map(_comparison_json, self.comparisons)]}

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """A report on the comparison; written to `path` (`workbench.report.save`) when one is given."""
        receipt = None if isinstance(self.sides[1], Run) else self.sides[1].receipt
        made = comparison_report(self.comparison, receipt, self.findings[0], self.findings[1], self.comparisons[1:], self.ignore)
        stored = next((one for one in self.sides if not isinstance(one, Run)), None)
        made = stored.with_records(made) if stored else made
        if path is not None:
            save(made, Path(path))
        return made

    def view(self, **chosen: Any) -> ComparisonView:
        """The live view, open at the first divergence; `chosen` sets what it shows, as its traits do: `view(row=12, inline=True)`."""
        from workbench.widgets import ComparisonView  # noqa: PLC0415  # ipywidgets is only needed in a notebook

        return ComparisonView(self._aligned, texts=lambda: (self._repr_html_(), repr(self)), end=self._end, ignore=self.ignore, **chosen)

    def _end(self, place: int) -> dict[str, Json]:
        """The state at the end of a run, by its place. LookupError where it isn't known."""
        side = self.sides[place]
        if not isinstance(side, Run):
            return side.final_state()
        raise LookupError(f"{side.run_id} was handed over without its store, so the state it left is not at hand")

    def __repr__(self) -> str:
        if len(self.sides) == 2:  # noqa: PLR2004  # two runs have a view of their own
            return static.comparison_text(self.comparison)
        return static.tabular_text(self._title, self._says, self._columns, self._rows)

    def _repr_html_(self) -> str:
        if len(self.sides) == 2:  # noqa: PLR2004  # as above
            return static.comparison_html(self.comparison)
        summary = static.tabular_html(self._title, self._says, self._columns, self._rows, [""] * len(self._rows))
        steps, tones = self._steps
        return summary + static.tabular_html("step by step", (), ("", *(run.run_id for run in map(_run, self.sides))), steps, tones)

    @property
    def _title(self) -> str:
        return f"{_run(self.sides[0]).run_id} against {plural(len(self.sides) - 1, 'run')}"

    @property
    def _says(self) -> list[str]:
        return [f"{tool}: {counts}" for tool, counts in self.effects.items()]

    _columns = ("run", "outcome", "steps", "differs", "spent", "findings")

    @property
    def _rows(self) -> list[tuple[str, ...]]:
        reference = self.comparison.left
        return [(*_head(reference), "the reference", spent_by(reference), ""), *map(_row, self.comparisons)]

    @property
    def _steps(self) -> tuple[list[tuple[str, ...]], list[str]]:
        rows = beside(self.comparisons)
        cells = [(_sign(row.others), _told(self.comparison.left, row.reference), *map(self._cell, range(len(row.others)), row.others)) for row in rows]
        return cells, ["" if all(one and one.relation == "same" for one in row.others) else "warning" for row in rows]

    def _cell(self, number: int, row: Aligned | None) -> str:
        if row is None or row.right is None:
            return DASH
        return "the same" if row.relation == "same" else f"{_told(self.comparisons[number].right, row.right)} ({', '.join(row.aspects) or row.relation})"


def _run(one: Comparable) -> Run:
    return one if isinstance(one, Run) else one.run


def _head(run: Run) -> tuple[str, str, str]:
    return run.run_id, line(run.outcome, 120), str(len(run.steps))


def _row(comparison: Comparison) -> tuple[str, ...]:
    relations = [row.relation for row in comparison.rows]
    differs = ", ".join(f"{relations.count(name)} {name}" for name in ("changed", "added", "removed") if name in relations)
    return *_head(comparison.right), differs or "nowhere", spent_by(comparison.right), findings_words(comparison)


def _sign(rows: Sequence[Aligned | None]) -> str:
    return "".join(DASH if row is None else SIGNS[row.relation] for row in rows)


def _told(run: Run, index: int | None) -> str:
    return DASH if index is None else f"{index} {line(f'{run.step(index).name} {gist(run.step(index))}', MAX_TOLD)}"


def _run_json(run: Run) -> dict[str, Json]:
    return {
        "run_id": run.run_id,
        "status": run.status,
        "outcome": run.outcome,
        "steps": len(run.steps),
        "tokens": token_count(run.tokens),
        "cost_usd": run.cost_usd,
        "cost_unrecorded_calls": run.uncosted_calls,
    }


def _comparison_json(comparison: Comparison) -> dict[str, Json]:
    whole = comparison.model_dump(mode="json", include={"rows", "effects"})
    findings = {name: None if some is None else [one.detector for one in some] for name, some in (("gone", comparison.gone), ("new", comparison.new))}
    return {**_run_json(comparison.right), **whole, "findings": findings, "cut_short": comparison.cut_short}
