"""Plotly figures from the frames of `workbench.frames`: aggregate charts, one function each. Stepping through a run is the viewer's work.

Plotly reads a small HTML in text; whatever comes from a trace goes through `plain` first.
"""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

INK, ACCENT, GREY = "#5b6472", "#3f7fbf", "#8a93a0"
SEVERITY_COLOURS = {"error": "#d1495b", "warning": "#d08a1e", "info": "#5b8fb9"}
"""Each stands out on white and on dark grey."""
MAX_TEXT, MAX_ROWS = 60, 40
LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "$": "＄", "\n": " ", "\r": " ", "\t": " "})  # noqa: RUF001  # look-alikes are the point


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """Trace text for a figure: what plotly would take for markup or mathematics replaced by look-alikes, on one line, cut with an ellipsis."""
    line = text[: limit + 1].translate(LOOKALIKES)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def confidence(steps: pl.DataFrame, findings: pl.DataFrame | None = None) -> go.Figure:
    """Confidence by step of one run (`steps_frame`), with a mark at each finding's step. Steps without a confidence have no point."""
    given = steps.filter(pl.col("confidence").is_not_null())
    figure = _figure("Confidence by step", "step", "confidence")
    figure.add_scatter(
        x=given["step"].to_list(),
        y=given["confidence"].to_list(),
        mode="lines+markers",
        name="confidence",
        marker_color=ACCENT,
        text=[plain(name) for name in given["name"].to_list()],
        hovertemplate="step %{x} · %{text}<br>confidence %{y:.2f}<extra></extra>",
    )
    figure.update_yaxes(range=[0, 1.02])
    return _marked(figure, findings)


def tokens(steps: pl.DataFrame, findings: pl.DataFrame | None = None) -> go.Figure:
    """Tokens and dollars spent so far, by step of one run (`steps_frame`). What was not recorded is left out, not taken for zero."""
    figure = _figure("Spent so far", "step", "tokens")
    counted = steps.filter(pl.col("total_tokens").is_not_null())
    _cumulative(figure, counted, "total_tokens", "tokens", ACCENT, "y")
    priced = steps.filter(pl.col("cost_usd").is_not_null())
    if priced.height:
        _cumulative(figure, priced, "cost_usd", "US dollars", SEVERITY_COLOURS["warning"], "y2")
        figure.update_layout(yaxis2={"title": {"text": "US dollars"}, "overlaying": "y", "side": "right", "showgrid": False, "rangemode": "tozero"})
    figure.update_yaxes(rangemode="tozero")
    return _marked(figure, findings)


def findings_by_run(findings: pl.DataFrame) -> go.Figure:
    """How many findings of each severity each run has (`findings_frame`), the run with the most at the top."""
    figure = _figure("Findings by run", "findings", "")
    counted = findings.group_by("run_id", pl.col("severity").cast(pl.String)).len()
    totals = counted.group_by("run_id").agg(pl.col("len").sum()).sort(["len", "run_id"], descending=[True, False])
    order = totals["run_id"].head(MAX_ROWS).to_list()[::-1]
    if totals.height > MAX_ROWS:
        figure.update_layout(title_text=f"Findings by run: the first {MAX_ROWS} of {totals.height:,}")
    for severity, colour in SEVERITY_COLOURS.items():
        count = dict(counted.filter(pl.col("severity") == severity).select("run_id", "len").iter_rows())
        if count:
            _bars(figure, [count.get(run_id, 0) for run_id in order], severity, colour)
    return _rows(figure, "stack", [plain(run_id, 40) for run_id in order], 26)


def effects(counts: pl.DataFrame) -> go.Figure:
    """How often each effect was attempted in the original and in the fork (`effects_frame`)."""
    figure = _figure("Effects attempted", "attempts", "")
    rows = counts.head(MAX_ROWS).reverse()
    if counts.height > MAX_ROWS:
        figure.update_layout(title_text=f"Effects attempted: the first {MAX_ROWS} of {counts.height:,}")
    _bars(figure, rows["fork"].to_list(), "fork", ACCENT)
    _bars(figure, rows["original"].to_list(), "original", GREY)
    return _rows(figure, "group", [plain(key, 48) for key in rows["key"].to_list()], 44)


def _figure(title: str, across: str, up: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        title={"text": title, "x": 0, "font": {"size": 14}},
        font={"color": INK, "size": 12},
        height=240,
        margin={"l": 60, "r": 60, "t": 40, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.12},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(title={"text": across}, gridcolor="rgba(128,128,128,0.25)", zeroline=False)
    figure.update_yaxes(title={"text": up}, gridcolor="rgba(128,128,128,0.25)", zeroline=False, automargin=True)
    return figure


def _bars(figure: go.Figure, lengths: list[int], name: str, colour: str) -> None:
    figure.add_bar(y=list(range(len(lengths))), x=lengths, name=name, marker_color=colour, orientation="h")


def _rows(figure: go.Figure, mode: str, names: list[str], row_px: int) -> go.Figure:
    """Name the rows by number, so that two names cut to the same text stay two rows."""
    figure.update_yaxes(tickmode="array", tickvals=list(range(len(names))), ticktext=names)
    figure.update_xaxes(rangemode="tozero")
    figure.update_layout(barmode=mode, height=120 + row_px * len(names))
    return figure


def _cumulative(figure: go.Figure, rows: pl.DataFrame, column: str, name: str, colour: str, axis: str) -> None:
    figure.add_scatter(
        x=rows["step"].to_list(), y=rows[column].cum_sum().to_list(), mode="lines", line_shape="hv", line_color=colour, name=name, yaxis=axis, showlegend=True
    )


def _marked(figure: go.Figure, findings: pl.DataFrame | None) -> go.Figure:
    """A dashed line at each step that has a finding, in its severity's colour."""
    if findings is None:
        return figure
    placed = findings.filter(pl.col("step").is_not_null())
    for step, severity, detector in placed.select("step", pl.col("severity").cast(pl.String), "detector").iter_rows():
        figure.add_vline(x=step, line={"color": SEVERITY_COLOURS[severity], "dash": "dash", "width": 1}, name=plain(detector))
    return figure
