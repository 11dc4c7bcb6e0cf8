"""A report's findings and runs as tables to go on with: CSV for a spreadsheet, Parquet for a frame.

One file holds the findings, one beside it the runs (`report.csv` and `report.runs.csv`); of an audit there is one with the answers.
Parquet has every text as it was recorded. In CSV control characters stand as code points, and a text that a spreadsheet would take for a
formula begins with an apostrophe (OWASP, *CSV Injection*).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from workbench.audit import Answer
from workbench.frames import RUNS, Schema, findings_frame, rows_frame
from workbench.model import Json, canonical
from workbench.report.contents import Listed, Report, listed
from workbench.report.markup import visible

FORMULA = ("=", "+", "-", "@", "\t", "\r")
LISTED: Schema = {
    name: RUNS[name] for name in ("run_id", "agent", "status", "outcome", "started", "duration_ms", "steps", "effects", "total_tokens", "cost_usd")
}
LISTED |= {name: RUNS[name] for name in ("cost_unrecorded_calls", "forked_from", "forked_at_step")}
ANSWERS: Schema = {
    "capability": pl.String,
    "item": pl.String,
    "asks": pl.String,
    "verdict": pl.String,  # met, not met or no evidence
    "for": pl.Int64,  # signs that speak for it
    "against": pl.Int64,
    "says": pl.List(pl.String),
    "record": pl.String,  # what to record to get evidence
    "evidence": pl.List(pl.Struct({"run_id": pl.String, "step": pl.Int64, "path": pl.String, "sha256": pl.String, "says": pl.String})),
}


def csv(report: Report, path: Path) -> None:
    """Write a report's tables as CSV."""
    _write(report, path, lambda frame, file: _flat(frame).write_csv(file))


def parquet(report: Report, path: Path) -> None:
    """Write a report's tables as Parquet."""
    _write(report, path, lambda frame, file: frame.write_parquet(file))


def beside(path: Path) -> Path:
    """Where the runs' table goes when the findings' goes to `path`."""
    return path.with_suffix(f".runs{path.suffix}")


def runs_listed(report: Report) -> pl.DataFrame:
    """One row for each run of a report. The columns are `LISTED`."""
    sides = [report.comparison.left, report.comparison.right, *(one.right for one in report.others)] if report.comparison else report.runs
    return rows_frame([_row(one) for one in report.listed or map(listed, sides)], LISTED)


def _write(report: Report, path: Path, write: Callable[[pl.DataFrame, Path], object]) -> None:
    if report.audit:
        write(rows_frame([_answer_row(answer) for answer in report.audit.answers], ANSWERS), path)
        return
    write(findings_frame(report.findings), path)
    write(runs_listed(report), beside(path))


def _answer_row(answer: Answer) -> list[Json]:
    told = answer.model_dump(mode="json")
    return [told[{"for": "holds", "against": "fails"}.get(name, name)] for name in ANSWERS]


def _row(one: Listed) -> list[Json]:
    told = one.model_dump() | {"started": one.started_ns, "total_tokens": one.tokens}
    return [told[name] for name in LISTED]


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with texts, and lists as JSON, that no spreadsheet executes."""
    open_to_text = [name for name, kind in frame.schema.items() if kind == pl.String or kind.is_nested()]
    return frame.with_columns(pl.Series(name, [_inert(value) for value in frame[name].to_list()], dtype=pl.String) for name in open_to_text)


def _inert(value: Json) -> str | None:
    if value is None:
        return None
    text = visible(value if isinstance(value, str) else canonical(value))
    return f"'{text}" if text.startswith(FORMULA) else text
