"""Many runs: what was found in each and when, and what each cost."""

from __future__ import annotations

from typing import Literal

import plotly.graph_objects as go
import polars as pl

from workbench.charts.drawing import ACCENT, MAX_ROWS, PALETTE, SEVERITY_COLOURS, add_bars, add_columns, in_columns, in_rows, new_figure, plain
from workbench.frames import findings_over_time_frame

SHOWN = 5
"""How many detectors have a colour of their own; the others share one."""


def findings_by_run(findings: pl.DataFrame) -> go.Figure:
    """How many findings of each severity each run has (`findings_frame`), the run with the most at the top."""
    figure = new_figure("Findings by run", "findings", "")
    counted = findings.group_by("run_id", pl.col("severity").cast(pl.String)).len()
    totals = counted.group_by("run_id").agg(pl.col("len").sum()).sort(["len", "run_id"], descending=[True, False])
    order = totals["run_id"].head(MAX_ROWS).to_list()[::-1]
    if totals.height > MAX_ROWS:
        figure.update_layout(title_text=f"Findings by run: the first {MAX_ROWS} of {totals.height:,}")
    for severity, colour in SEVERITY_COLOURS.items():
        count = dict(counted.filter(pl.col("severity") == severity).select("run_id", "len").iter_rows())
        if count:
            add_bars(figure, [count.get(run_id, 0) for run_id in order], severity, colour)
    return in_rows(figure, "stack", [plain(run_id, 40) for run_id in order], 26)


def findings_over_time(findings: pl.DataFrame, runs: pl.DataFrame, by: Literal["severity", "detector"] = "severity") -> go.Figure:
    """How many findings the runs have that started in each stretch of time (`findings_frame`, `overviews_frame`), stacked by severity or detector.

    At most 24 stretches of equal length; findings of runs without a time are left out, and the title says how many.
    """
    counted = findings_over_time_frame(findings, runs, by)
    placed = int(counted["findings"].sum())
    left_out = f" ({findings.height - placed:,} of runs without a time left out)" if placed < findings.height else ""
    names = _names(counted, by)
    alone = f": {plain(names[0][0] or '', 32)}" if len(names) == 1 else ""
    figure = new_figure(f"Findings over time{alone}{left_out}", "started (UTC)", "findings")
    stretches = counted["started"].unique().sort().to_list()
    for name, colour in names:
        those = counted.filter(pl.col(by) == name) if name is not None else counted.filter(~pl.col(by).is_in([one for one, _ in names if one]))
        heights = dict(those.group_by("started").agg(pl.col("findings").sum()).iter_rows())
        add_columns(figure, [heights.get(start, 0) for start in stretches], plain(name or "other", 32), colour)
    if by == "detector" and not alone:  # their names need more room than there is above
        figure.update_layout(legend={"orientation": "v", "x": 1.02, "xanchor": "left", "y": 1}, margin={"r": 230})
    same_day = len({start.date() for start in stretches}) == 1
    return in_columns(figure, [f"{start:%H:%M}" if same_day else f"{start:%m-%d %H:%M}" for start in stretches])


def _names(counted: pl.DataFrame, by: str) -> list[tuple[str | None, str]]:
    """What has a colour of its own, None for the others: severities by gravity, detectors by how often."""
    if by == "severity":
        present = set(counted["severity"].to_list())
        return [(name, colour) for name, colour in SEVERITY_COLOURS.items() if name in present]
    order = counted.group_by("detector").agg(pl.col("findings").sum()).sort(["findings", "detector"], descending=[True, False])["detector"].to_list()
    return [*zip(order[:SHOWN], PALETTE, strict=False), *([(None, PALETTE[-1])] if len(order) > SHOWN else [])]


def cost_by_run(runs: pl.DataFrame, budget_usd: float | None = None) -> go.Figure:
    """What each run cost (`overviews_frame`), the dearest at the top, in US dollars, or in tokens where no cost was recorded; with the budget's line.

    The title counts the model calls that the bars leave out, since their cost was not recorded.
    """
    priced = runs["cost_usd"].drop_nulls().len() > 0
    column, unit = ("cost_usd", "US dollars") if priced else ("total_tokens", "tokens")
    ranked = runs.filter(pl.col(column).is_not_null()).sort([column, "run_id"], descending=[True, False])
    shown = f": the first {MAX_ROWS} of {ranked.height:,}" if ranked.height > MAX_ROWS else ""
    left_out = int(ranked["cost_unrecorded_calls"].head(MAX_ROWS).sum()) if priced else 0
    without = f", without {left_out:,} model call{'s' if left_out > 1 else ''}" if left_out else ""
    figure = new_figure(f"{unit} by run{shown}{without}", unit, "")
    rows = ranked.head(MAX_ROWS).reverse()
    add_bars(figure, rows[column].to_list(), unit, ACCENT)
    if priced and budget_usd is not None:
        figure.add_vline(x=budget_usd, line={"color": SEVERITY_COLOURS["error"], "dash": "dash", "width": 2}, name="budget")
    return in_rows(figure, "stack", [plain(run_id, 40) for run_id in rows["run_id"].to_list()], 26)
