"""The course of one run, step by step: how sure the model was, and what was spent."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from workbench.analysis.drift import AT_LEAST, LIMIT, drift_of
from workbench.charts.drawing import ACCENT, GREY, PALETTE, SEVERITY_COLOURS, add_line, marked, new_figure, plain
from workbench.model import Budget


def confidence(steps: pl.DataFrame, findings: pl.DataFrame | None = None) -> go.Figure:
    """Confidence by step of one run (`steps_frame`), with a mark at each finding's step. Steps without a confidence have no point.

    From eight confidences on, the right axis shows the sum of falls that the Page-Hinkley test watches (`workbench.analysis.drift`), with its limit: where the
    sum passes it and the fall lasts, the confidence has drifted, and the levels before and after are drawn.
    """
    given = steps.filter(pl.col("confidence").is_not_null())
    figure = new_figure("Confidence by step", "step", "confidence")
    at, values = given["step"].to_list(), given["confidence"].to_list()
    figure.add_scatter(
        x=at,
        y=values,
        mode="lines+markers",
        name="confidence",
        marker_color=ACCENT,
        text=[plain(name) for name in given["name"].to_list()],
        hovertemplate="step %{x} · %{text}<br>confidence %{y:.2f}<extra></extra>",
    )
    figure.update_yaxes(range=[0, 1.02])
    _add_drift(figure, at, values)
    return marked(figure, findings)


def _add_drift(figure: go.Figure, at: list[int], values: list[float]) -> None:
    if len(values) < AT_LEAST:
        return
    drift = drift_of(values)
    watched = len(at) if drift.alarm is None else drift.alarm + 1  # after the alarm the sum only grows
    add_line(figure, at[:watched], drift.sums[:watched], "sum of falls", GREY, axis="y2")
    add_line(figure, [at[0], at[-1]], [LIMIT, LIMIT], "limit", SEVERITY_COLOURS["error"], dash="dot", axis="y2")
    if drift.alarm is not None:
        before, after = values[: drift.alarm], values[drift.alarm :]
        levels = [sum(before) / len(before)] * 2 + [sum(after) / len(after)] * 2
        add_line(figure, [at[0], at[drift.alarm], at[drift.alarm], at[-1]], levels, "mean before, after", PALETTE[3], dash="dash")
    _right(figure, "sum of falls (× noise)")


def tokens(steps: pl.DataFrame, findings: pl.DataFrame | None = None, budget: Budget | None = None) -> go.Figure:
    """Tokens and dollars spent so far, by step of one run (`steps_frame`), with the budget's lines. What was not recorded is left out, not taken for zero."""
    figure = new_figure("Spent so far", "step", "tokens")
    counted = steps.filter(pl.col("total_tokens").is_not_null())
    add_line(figure, counted["step"].to_list(), counted["total_tokens"].cum_sum().to_list(), "tokens", ACCENT, stairs=True)
    limit = budget or Budget()
    _limit(figure, steps, limit.tokens, "budget in tokens", ACCENT, "y")
    priced = steps.filter(pl.col("cost_usd").is_not_null())
    if priced.height:
        dollars = SEVERITY_COLOURS["warning"]
        add_line(figure, priced["step"].to_list(), priced["cost_usd"].cum_sum().to_list(), "US dollars", dollars, axis="y2", stairs=True)
        _limit(figure, steps, limit.usd, "budget in dollars", dollars, "y2")
        _right(figure, "US dollars")
    figure.update_yaxes(rangemode="tozero")
    return marked(figure, findings)


def _limit(figure: go.Figure, steps: pl.DataFrame, limit: float | None, name: str, colour: str, axis: str) -> None:
    at = steps["step"].to_list()
    if limit is not None and at:
        add_line(figure, [min(at), max(at)], [limit, limit], name, colour, dash="dash", axis=axis)


def _right(figure: go.Figure, title: str) -> None:
    """A second axis on the right."""
    figure.update_layout(yaxis2={"title": {"text": title}, "overlaying": "y", "side": "right", "showgrid": False, "rangemode": "tozero", "tickmode": "auto"})
