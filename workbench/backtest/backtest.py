"""Would this guard have helped? A condition over step features, or a detector at a threshold, tried on recorded runs.

A guard stops a run after the first step at which its condition holds. What that saved is what came after; what it cost is every good run it
would have stopped too. Which runs failed is told by labels, never guessed: without them only the stops and the money are known.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from workbench.backtest.conditions import ConditionError, condition
from workbench.backtest.features import FEATURES, features_frame
from workbench.intervals import Share, share
from workbench.model import Finding, Run

Labels = Mapping[str, bool] | pl.DataFrame | str | Path
"""Which runs failed: by run id, as a frame or a CSV file with the columns `run_id` and `failed` (or `success`)."""

STOPS: dict[str, pl.DataType | type[pl.DataType]] = {
    "run_id": pl.String,
    "failed": pl.Boolean,  # null where no label says
    "at_step": pl.Int64,  # null for a run that is not stopped
    "steps_after": pl.Int64,  # steps that would not have been made
    "cost": pl.Float64,  # of the whole run, in US dollars
    "cost_saved": pl.Float64,
    "tokens_saved": pl.Int64,
}
THRESHOLDS = 10
YES, NO = frozenset(("true", "1", "yes")), frozenset(("false", "0", "no"))


class LabelError(ValueError):
    """Labels that can't be read. The message names the place, the value and what would be right."""


@dataclass(frozen=True)
class Backtest:
    """What a guard would have done to each run (`stops`, one row a run), and how well that goes with which runs failed."""

    guard: str
    stops: pl.DataFrame
    not_recorded: dict[str, int]
    """Features the guard asks for that some runs didn't record at all, and how many: there it could not hold."""

    @property
    def precision(self) -> Share:
        """Of the runs it stops, the share that failed."""
        stopped = self._labelled.filter(pl.col("at_step").is_not_null())
        return share(int(stopped["failed"].sum()), stopped.height)

    @property
    def recall(self) -> Share:
        """Of the runs that failed, the share it stops."""
        return self._stopped_of(failed=True)

    @property
    def good_runs_stopped(self) -> Share:
        """Of the runs that went well, the share it stops."""
        return self._stopped_of(failed=False)

    @property
    def stopped(self) -> int:
        """How many runs it stops, labelled or not."""
        return self.stops["at_step"].count()

    @property
    def tokens_saved(self) -> int | None:
        """Tokens of the steps after the stops; None where none were recorded."""
        saved = self.stops["tokens_saved"].drop_nulls()
        return int(saved.sum()) if len(saved) else None

    @property
    def cost_saved(self) -> float | None:
        """US dollars not spent after the stops; None where no stopped run has a cost."""
        saved = self.stops["cost_saved"].drop_nulls()
        return float(saved.sum()) if len(saved) else None

    @property
    def _labelled(self) -> pl.DataFrame:
        return self.stops.filter(pl.col("failed").is_not_null())

    def _stopped_of(self, *, failed: bool) -> Share:
        those = self._labelled.filter(pl.col("failed") == failed)
        return share(those["at_step"].count(), those.height)


def backtest(runs: Iterable[Run], guard: str | pl.Expr, labels: Labels | None = None) -> Backtest:
    """Try a guard such as `cost > 0.50 or same_effect > 1` on runs, one at a time: memory is bounded by the longest.

    The condition is a text as `workbench.backtest.conditions` reads it, or a polars expression, over the columns of `workbench.backtest.features`.
    ConditionError for one that can't be read, asks for an unknown column, looks at later steps, or is no yes-or-no.
    """
    expression = _condition(guard)
    known = read_labels(labels)
    asked = sorted(set(expression.meta.root_names()))
    missing = dict.fromkeys(asked, 0)
    rows = []
    for run in runs:
        frame = features_frame([run])
        for name in asked:
            missing[name] += frame[name].null_count() == frame.height
        rows.append(_stop(run, frame, _first(frame, expression), known))
    text = guard if isinstance(guard, str) else str(guard)
    return Backtest(text, pl.DataFrame(rows, schema=STOPS, orient="row"), {name: count for name, count in missing.items() if count})


def backtest_findings(runs: Iterable[Run], findings: Iterable[Finding], labels: Labels | None = None) -> list[Backtest]:
    """Try each detector as a guard, at each of its scores (ten at most): it stops a run at the first finding with that score or more.

    A finding about a whole run is only known at its end: it stops the run there and saves nothing.
    """
    frames = {run.run_id: (run, features_frame([run])) for run in runs}
    by_detector: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.run_id in frames:
            by_detector.setdefault(finding.detector, []).append(finding)
    known = read_labels(labels)
    found = []
    for detector, raised in sorted(by_detector.items()):
        for threshold in _thresholds(raised):
            first = _first_of([one for one in raised if one.score >= threshold])
            rows = [_stop(run, frame, _place(frame, first, run_id), known) for run_id, (run, frame) in frames.items()]
            found.append(Backtest(f"{detector} ≥ {threshold:g}", pl.DataFrame(rows, schema=STOPS, orient="row"), {}))
    return found


def read_labels(labels: Labels | None) -> dict[str, bool]:
    """Which runs failed, by run id. LabelError names the row and value that can't be read."""
    if labels is None:
        return {}
    if isinstance(labels, pl.DataFrame):
        return dict(_labels(labels.iter_rows(named=True), labels.columns, "the frame"))
    if isinstance(labels, Mapping):
        return {run_id: bool(failed) for run_id, failed in labels.items()}
    path = Path(labels)
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        return dict(_labels(rows, list(rows.fieldnames or ()), str(path)))


def _labels(rows: Iterable[Mapping[str, object]], columns: list[str], place: str) -> Iterator[tuple[str, bool]]:
    said = next((name for name in ("failed", "success") if name in columns), None)
    if said is None or "run_id" not in columns:
        raise LabelError(f"{place} should have the columns run_id and failed (or success); it has {', '.join(columns) or 'none'}")
    for number, row in enumerate(rows, start=2):
        value = str(row[said] if row[said] is not None else "").strip().lower()
        if value not in YES | NO | {""}:
            raise LabelError(f"{place}, row {number}: {said} should be true, false or empty, not {row[said]!r}")
        if value:
            yield str(row["run_id"]), (value in YES) == (said == "failed")


def _condition(given: str | pl.Expr) -> pl.Expr:
    expression = condition(given, FEATURES) if isinstance(given, str) else given
    try:
        kind = pl.DataFrame(schema=FEATURES).clear(1).select(expression).dtypes[0]  # one row of nulls
    except PolarsError as error:
        raise ConditionError(f"{given} can't be computed: {error}") from error
    if kind != pl.Boolean:
        raise ConditionError(f"{given} is {kind}, and should be a condition that holds or not, such as cost > 0.50")
    return expression


def _first(frame: pl.DataFrame, expression: pl.Expr) -> int | None:
    """The row at which a condition holds first, None where it never does. ConditionError where it only holds in the light of later rows."""
    held = frame.select(pl.lit(value=False) | expression).to_series().fill_null(value=False).arg_true()
    if not len(held):
        return None
    row = int(held[0])
    if not frame.head(row + 1).select(expression).to_series()[-1]:
        raise ConditionError(f"the condition looks at later steps: at step {frame['step'][row]} of {frame['run_id'][0]} a guard could not have known it")
    return row


def _stop(run: Run, frame: pl.DataFrame, row: int | None, known: Mapping[str, bool]) -> tuple[object, ...]:
    cost, tokens = (frame[name][-1] if frame.height else None for name in ("cost", "tokens"))
    if row is None:
        return run.run_id, known.get(run.run_id), None, None, cost, None, None
    saved = (None if total is None else total - (frame[name][row] or 0) for name, total in (("cost", cost), ("tokens", tokens)))
    return run.run_id, known.get(run.run_id), int(frame["step"][row]), frame.height - row - 1, cost, *saved


def _thresholds(raised: list[Finding]) -> list[float]:
    scores = sorted({finding.score for finding in raised})
    every = max(1, -(-len(scores) // THRESHOLDS))
    return scores[::every]


def _first_of(raised: list[Finding]) -> dict[str, int | None]:
    """The first step at which each run is flagged; None where only the whole run is."""
    first: dict[str, int | None] = {}
    for finding in raised:
        before = first.get(finding.run_id)
        first[finding.run_id] = finding.step if before is None else min(before, finding.step if finding.step is not None else before)
    return first


def _place(frame: pl.DataFrame, first: Mapping[str, int | None], run_id: str) -> int | None:
    """The row of the first flagged step, the last row where only the whole run is flagged, None for a run that isn't."""
    if run_id not in first or not frame.height:
        return None
    step = first[run_id]
    return frame.height - 1 if step is None else min(int(frame["step"].search_sorted(step)), frame.height - 1)
