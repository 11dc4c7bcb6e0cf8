"""What figures are made of: one look, trace text made plain, bars in rows and columns, marks at steps."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

INK, ACCENT, GREY = "#757d89", "#3f7fbf", "#8a93a0"
"""The ink has a contrast of 4:1 on white and on near-black: a figure doesn't know which it will stand on."""
SEVERITY_COLOURS = {"error": "#d1495b", "warning": "#d08a1e", "info": "#5b8fb9"}
"""Each stands out on white and on dark grey."""
PALETTE = ("#3f7fbf", "#d08a1e", "#4f9d69", "#8d6cab", "#c0605f", "#8a93a0")
MAX_TEXT, MAX_ROWS = 60, 40
LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "$": "＄", "\n": " ", "\r": " ", "\t": " "})  # noqa: RUF001  # look-alikes are the point


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """Trace text for a figure: what plotly would take for markup or mathematics replaced by look-alikes, on one line, cut with an ellipsis."""
    line = text[: limit + 1].translate(LOOKALIKES)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def new_figure(title: str, across: str, up: str) -> go.Figure:
    """An empty figure in our look, which reads on light and on dark."""
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
    figure.update_xaxes(title={"text": across}, gridcolor="rgba(128,128,128,0.25)", zeroline=False, automargin=True)
    figure.update_yaxes(title={"text": up}, gridcolor="rgba(128,128,128,0.25)", zeroline=False, automargin=True)
    return figure


def add_line(
    figure: go.Figure, x: Sequence[float], y: Sequence[float], name: str, colour: str, *, dash: str = "solid", axis: str = "y", stairs: bool = False
) -> None:
    """A line without marks; `stairs` keeps each value until the next."""
    line = {"color": colour, "dash": dash, "shape": "hv" if stairs else "linear"}
    figure.add_scatter(x=list(x), y=list(y), mode="lines", line=line, name=name, yaxis=axis, showlegend=True)


def add_bars(figure: go.Figure, lengths: Sequence[float | None], name: str, colour: str) -> None:
    """A bar in each row, none where the length is None."""
    figure.add_bar(y=list(range(len(lengths))), x=list(lengths), name=name, marker_color=colour, orientation="h")


def add_columns(figure: go.Figure, heights: Sequence[float], name: str, colour: str) -> None:
    """An upright bar in each column."""
    figure.add_bar(x=list(range(len(heights))), y=list(heights), name=name, marker_color=colour)


def in_rows(figure: go.Figure, mode: str, names: Sequence[str], row_px: int) -> go.Figure:
    """Name the rows by number, so that two names cut to the same text stay two rows."""
    figure.update_yaxes(tickmode="array", tickvals=list(range(len(names))), ticktext=list(names))
    figure.update_xaxes(rangemode="tozero")
    figure.update_layout(barmode=mode, height=120 + row_px * len(names))
    return figure


def in_columns(figure: go.Figure, names: Sequence[str]) -> go.Figure:
    """The same of columns, stacked."""
    figure.update_xaxes(tickmode="array", tickvals=list(range(len(names))), ticktext=list(names))
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(barmode="stack")
    return figure


def marked(figure: go.Figure, findings: pl.DataFrame | None) -> go.Figure:
    """A dashed line at each step that has a finding, in its severity's colour."""
    if findings is None:
        return figure
    placed = findings.filter(pl.col("step").is_not_null())
    for step, severity, detector in placed.select("step", pl.col("severity").cast(pl.String), "detector").iter_rows():
        figure.add_vline(x=step, line={"color": SEVERITY_COLOURS[severity], "dash": "dash", "width": 1}, name=plain(detector))
    return figure
