"""Which tools are called in which order: what runs usually do, and what one run did."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from workbench.charts.drawing import GREY, INK, SEVERITY_COLOURS, new_figure, plain
from workbench.cohorts.baseline import END
from workbench.frames import MORE, OTHER

LEFT = " left the most frequent ways here"
USUAL, CHOSEN = "rgba(138,147,160,0.28)", "rgba(208,138,30,0.45)"
HEIGHT, ROW_PX = 150, 34
WIDE_PX, NODE_PX, LETTER_PX, LAST = 860, 14, 5.8, 1.7
"""Labels are cut to fit a figure of this width. They stand to the right of a node, in the last column to its left: the space before it is wider, for both."""


def tool_flow(flow: pl.DataFrame, run_id: str | None = None) -> go.Figure:
    """The calls of many runs in order (`flow_frame`), as wide as runs took that way; what the one run did is highlighted.

    Columns are the first, second, … call of a run; each node says how many runs were there. Where runs leave the most frequent ways they stand together,
    as (other), and are followed no further.
    """
    places = _places(flow)
    figure = new_figure("Tools called, in order" + (f": {plain(run_id, 40)} highlighted" if run_id else ""), "", "")
    columns = max((column for column, _ in places), default=0) or 1
    gap = 1 / (columns - 1 + LAST)
    letters = int((WIDE_PX * gap - NODE_PX - 8) / LETTER_PX)
    nodes = {
        "label": [_label(tool, runs, letters) for (_, tool), (_, runs) in places.items()],
        "customdata": [f"{plain(tool)}: {runs:,} runs{LEFT if tool == OTHER else ''}" for (_, tool), (_, runs) in places.items()],
        "hovertemplate": "%{customdata}<extra></extra>",
        "x": [0.999 if column == columns else 0.001 + 0.998 * column * gap for column, _ in places],
        "y": [y for y, _ in places.values()],
        "color": [SEVERITY_COLOURS["warning"] if chosen else GREY for chosen in _visited(flow, places)],
        "pad": 14,
        "thickness": NODE_PX,
        "line": {"width": 0},
    }
    number = {place: row for row, place in enumerate(places)}
    rows = list(flow.select("position", "before", "after", "runs", "chosen").iter_rows())
    links = {
        "source": [number[position, before] for position, before, *_ in rows],
        "target": [number[position + 1, after] for position, _, after, *_ in rows],
        "value": [runs for *_, runs, _ in rows],
        "color": [CHOSEN if chosen else USUAL for *_, chosen in rows],
        "hovertemplate": "%{source.customdata} → %{target.customdata}<br>%{value} went this way<extra></extra>",
    }
    figure.add_sankey(node=nodes, link=links, arrangement="fixed", textfont={"color": INK, "size": 11, "shadow": "none"})
    figure.update_layout(
        margin={"l": 10, "r": 10, "b": 20, "t": 66},  # plotly draws the tallest columns above their place, over the title
        height=HEIGHT + 26 + ROW_PX * max((sum(1 for one, _ in places if one == column) for column in range(columns + 1)), default=1),
    )
    return figure


def _label(tool: str, runs: int, letters: int) -> str:
    """A node's name and its runs; the name is what is cut."""
    count = f" ({runs:,})"
    return plain(tool, max(6, letters - len(count))) + count


Places = dict[tuple[int, str], tuple[float, int]]
"""For each column and tool the middle of its node from the top, from 0 to 1, and how many runs were there; tools first, the most frequent at the top."""


def _places(flow: pl.DataFrame) -> Places:
    came = flow.select(pl.col("position") + 1, pl.col("after").alias("tool"), "runs")
    began = flow.filter(pl.col("position") == 0).select("position", pl.col("before").alias("tool"), "runs")
    counted = pl.concat([began, came]).group_by("position", "tool").agg(pl.col("runs").sum())
    aside = pl.col("tool").is_in([END, MORE, OTHER])
    ordered = counted.sort("position", aside, "runs", "tool", descending=[False, False, True, False])
    total = ordered.filter(pl.col("position") == 0)["runs"].sum() or 1
    found: Places = {}
    for (_,), column in ordered.group_by(["position"], maintain_order=True):
        below, pad = 0.0, min(0.12, 0.5 / max(1, column.height))
        for position, tool, runs in column.iter_rows():
            share = runs / total * (1 - pad * (column.height - 1))
            found[position, tool] = min(0.999, max(0.001, below + share / 2)), runs
            below += share + pad
    return found


def _visited(flow: pl.DataFrame, places: Places) -> list[bool]:
    taken = flow.filter("chosen")
    there = {(position + shift, tool) for column, shift in (("before", 0), ("after", 1)) for position, tool in taken.select("position", column).iter_rows()}
    return [place in there for place in places]
