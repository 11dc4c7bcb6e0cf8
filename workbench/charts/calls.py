"""What calls take and cost, by kind, tool and model; and how often effects were attempted."""

from __future__ import annotations

from typing import Literal

import plotly.graph_objects as go
import polars as pl

from workbench.charts.drawing import ACCENT, GREY, MAX_ROWS, PALETTE, SEVERITY_COLOURS, add_bars, in_rows, new_figure, plain
from workbench.frames import latency_frame, models_frame

PERCENTILES = {"p50_ms": "median", "p95_ms": "95th percentile", "max_ms": "longest"}


def latency(steps: pl.DataFrame, by: Literal["kind", "name"] = "kind") -> go.Figure:
    """How long steps took (`steps_frame`, of one run or of several together), in milliseconds: median, 95th percentile and longest, by kind or by name.

    Steps without both times count nowhere.
    """
    figure = new_figure(f"Latency by {by}", "milliseconds", "")
    rows = _first(figure, latency_frame(steps, by))
    for (column, says), colour in reversed(list(zip(PERCENTILES.items(), (ACCENT, SEVERITY_COLOURS["warning"], GREY), strict=True))):
        add_bars(figure, [round(value, 1) for value in rows[column].to_list()], says, colour)
    names = [f"{plain(name, 36)} ({calls:,})" for name, calls in rows.select(by, "steps").iter_rows()]
    return in_rows(figure, "group", names, 64)


def cost_by_model(steps: pl.DataFrame) -> go.Figure:
    """US dollars by model (`steps_frame`), the dearest at the top; where no cost was recorded at all, tokens."""
    every = models_frame(steps)
    priced = every["cost_usd"].drop_nulls().len() > 0
    column, unit = ("cost_usd", "US dollars") if priced else ("total_tokens", "tokens")
    figure = new_figure(f"{unit} by model", unit, "")
    rows = _first(figure, every.filter(pl.col(column).is_not_null()).sort([column, "model"], descending=[True, False]))
    add_bars(figure, rows[column].to_list(), unit, PALETTE[0])
    return in_rows(figure, "stack", [f"{plain(name or '(no name)', 36)} ({calls:,})" for name, calls in rows.select("model", "calls").iter_rows()], 30)


def effects(counts: pl.DataFrame) -> go.Figure:
    """How often each effect was attempted in the original and in the fork (`effects_frame`)."""
    figure = new_figure("Effects attempted", "attempts", "")
    rows = _first(figure, counts)
    add_bars(figure, rows["fork"].to_list(), "fork", ACCENT)
    add_bars(figure, rows["original"].to_list(), "original", GREY)
    return in_rows(figure, "group", [plain(key, 48) for key in rows["key"].to_list()], 44)


def _first(figure: go.Figure, rows: pl.DataFrame) -> pl.DataFrame:
    """As many rows as can be read, the first of them at the top; the title says of how many."""
    if rows.height > MAX_ROWS:
        figure.update_layout(title_text=f"{figure.layout.title.text}: the first {MAX_ROWS} of {rows.height:,}")
    return rows.head(MAX_ROWS).reverse()
