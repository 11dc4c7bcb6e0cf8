"""A plotly figure as static inline SVG: lines, markers, bars, flows, vertical marks, axes, legend and title.

Small on purpose: it draws what `workbench.charts` uses and refuses anything else. Ink is `currentColor`, so a figure reads in light and dark.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

from workbench.model import Json
from workbench.report.bars import columns_of_bars, rows_of_bars
from workbench.report.canvas import BOTTOM, HEIGHT, LEFT, LETTER_PX, RIGHT, TOP, WIDTH, Frame, Scale, colour_of, written
from workbench.report.markup import Markup, element, join
from workbench.report.ribbons import ribbons

MARKER_PX, COLUMN_NAMES = 3.2, 12
TITLE_PX, SWATCH_PX, FEW_TRACES = 150, 26, 4
DASHES = {"dash": "4 3", "dot": "1 3"}


class FigureError(ValueError):
    """A figure this renderer can't draw. The message names what is unknown and what is known."""


def svg(figure: dict[str, Json], says: str, name: str) -> Markup:
    """Draw a figure. `says` describes it for who can't see it, `name` makes its ids unique. FigureError on a trace it does not know."""
    traces, layout = figure.get("data", []), figure.get("layout", {})
    unknown = [trace["type"] for trace in traces if trace["type"] not in {"scatter", "bar", "sankey"}]
    if unknown:
        raise FigureError(f"a trace of type {unknown[0]!r}: only scatter, bar and sankey can be drawn in a report")
    height = layout.get("height", HEIGHT)
    title = layout.get("title", {}).get("text", "")
    flows = [trace for trace in traces if trace["type"] == "sankey"]
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", says, id=f"{name}-desc"),
        element("text", title, x=0, y=16, class_="plot-title"),
        *(chain.from_iterable(ribbons(trace, height) for trace in flows) if flows else _plotted(traces, layout, height)),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="plot",
    )


def _plotted(traces: list[Json], layout: Json, height: int) -> Iterator[Markup]:
    """What stands on axes."""
    frame = _frame(traces, layout, height)
    bars = [trace for trace in traces if trace["type"] == "bar"]
    yield from _legend(traces if layout.get("barmode") == "group" else traces[::-1])
    yield from _grid(frame, layout)
    if frame.rows is not None:
        yield from chain.from_iterable(rows_of_bars(bars, layout, frame))
    if frame.columns is not None:
        yield from columns_of_bars(bars, frame)
    yield from chain.from_iterable(_line(trace, frame) for trace in traces if trace["type"] == "scatter")
    yield from _marks(layout, frame)


def _frame(traces: list[Json], layout: Json, height: int) -> Frame:
    if any(trace["type"] == "bar" and trace.get("orientation") != "h" for trace in traces):
        return _columns_frame(traces, layout, height)
    yaxis = layout.get("yaxis", {})
    rows = _named(yaxis)
    left = LEFT if rows is None else min(WIDTH / 2, 16 + LETTER_PX * max((len(text) for text in rows.values()), default=0))
    second = [value for trace in traces if trace.get("yaxis") == "y2" for value in trace["y"]]
    x_low, x_high = _extent([value for trace in traces for value in trace["x"] if value is not None], layout.get("xaxis", {}))
    if layout.get("barmode") == "stack":
        x_high = max((sum(filter(None, lengths)) for lengths in zip(*(trace["x"] for trace in traces), strict=True)), default=1) or 1
    right = WIDTH - (LEFT if second else RIGHT)
    floor, ceiling = height - BOTTOM, TOP
    y_range = (-0.5, len(rows) - 0.5 or 0.5) if rows else _extent([value for trace in traces if trace.get("yaxis") != "y2" for value in trace["y"]], yaxis)
    y2 = Scale(*_extent(second, layout.get("yaxis2", {})), floor, ceiling) if second else None
    return Frame(Scale(x_low, x_high, left, right), Scale(*y_range, floor, ceiling), y2, rows)


def _columns_frame(traces: list[Json], layout: Json, height: int) -> Frame:
    """For upright bars: a column each, as high as its bars together."""
    columns = _named(layout.get("xaxis", {})) or {}
    highest = max((sum(filter(None, heights)) for heights in zip(*(trace["y"] for trace in traces), strict=True)), default=1) or 1
    across = Scale(-0.5, len(columns) - 0.5 or 0.5, LEFT, WIDTH - RIGHT)
    return Frame(across, Scale(0, highest * 1.05, height - BOTTOM, TOP), None, None, columns)


def _named(axis: Json) -> dict[float, str] | None:
    """The names of an axis's rows or columns, where it has any."""
    return dict(zip(axis["tickvals"], axis["ticktext"], strict=True)) if "tickvals" in axis else None


def _extent(values: list[float], axis: Json) -> tuple[float, float]:
    """The range an axis asks for, else the values' own with a little air; never empty."""
    if "range" in axis:
        return axis["range"][0], axis["range"][1]
    low, high = min(values, default=0), max(values, default=1)
    if axis.get("rangemode") == "tozero":
        return min(0, low), max(high, 0) * 1.05 or 1
    air = (high - low) * 0.02
    return (low - air, high + air) if high > low else (low - 0.5, high + 0.5)


def _grid(frame: Frame, layout: Json) -> Iterator[Markup]:
    bottom, top = frame.y.start, frame.y.end
    for tick, text in _across(frame).items():
        if frame.columns is None:
            yield element("line", x1=frame.x(tick), x2=frame.x(tick), y1=bottom, y2=top, class_="grid")
        yield written(text, frame.x(tick), bottom + 16, "middle")
    ticks = {tick: f"{tick:,g}" for tick in frame.y.ticks()} if frame.rows is None else frame.rows
    for tick, text in ticks.items():
        if frame.rows is None:
            yield element("line", x1=frame.x.start, x2=frame.x.end, y1=frame.y(tick), y2=frame.y(tick), class_="grid")
        yield written(text, frame.x.start - 8, frame.y(tick) + 4, "end")
    for tick in frame.y2.ticks() if frame.y2 else ():
        yield written(f"{tick:g}", frame.x.end + 8, frame.y2(tick) + 4 if frame.y2 else 0, "start")
    yield element("line", x1=frame.x.start, x2=frame.x.end, y1=bottom, y2=bottom, class_="axis")
    yield written(layout.get("xaxis", {}).get("title", {}).get("text", ""), (frame.x.start + frame.x.end) / 2, bottom + 34, "middle", "plot-label")
    yield written(layout.get("yaxis", {}).get("title", {}).get("text", ""), 0, top - 8, "start", "plot-label")
    if frame.y2:
        yield written(layout["yaxis2"].get("title", {}).get("text", ""), WIDTH, top - 8, "end", "plot-label")


def _across(frame: Frame) -> dict[float, str]:
    """What stands below the figure: round numbers, or as many columns' names as there is room for. Few things are counted whole: no half ones."""
    if frame.columns is not None:
        stride = -(-len(frame.columns) // COLUMN_NAMES)
        return {at: name for number, (at, name) in enumerate(frame.columns.items()) if number % stride == 0}
    whole = frame.rows is not None and 1 <= frame.x.high < COLUMN_NAMES
    return {tick: f"{tick:,g}" for tick in frame.x.ticks() if not whole or tick == int(tick)}


def _line(trace: Json, frame: Frame) -> Iterator[Markup]:
    up = frame.y2 if trace.get("yaxis") == "y2" and frame.y2 else frame.y
    points = [(frame.x(x), up(y)) for x, y in zip(trace["x"], trace["y"], strict=True)]
    path = _stairs(points) if trace.get("line", {}).get("shape") == "hv" else points
    if "lines" in trace.get("mode", "lines"):
        yield element(
            "polyline",
            points=" ".join(f"{x},{y}" for x, y in path),
            fill="none",
            stroke=colour_of(trace),
            stroke_width=1.8,
            stroke_linejoin="round",
            stroke_dasharray=DASHES.get(trace.get("line", {}).get("dash", "")),
        )
    if "markers" in trace.get("mode", ""):
        for (across, upward), x, y in zip(points, trace["x"], trace["y"], strict=True):
            yield element("circle", element("title", f"{x}: {y:g}"), cx=across, cy=upward, r=MARKER_PX, fill=colour_of(trace))


def _stairs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A step line: across at the old height, then up."""
    corners = [(after[0], before[1]) for before, after in pairwise(points)]
    return [point for pair in zip(points, [*corners, None], strict=False) for point in pair if point is not None]


def _marks(layout: Json, frame: Frame) -> Iterator[Markup]:
    for shape in layout.get("shapes", ()):
        at, line = frame.x(shape["x0"]), shape.get("line", {})
        title = element("title", f"{shape.get('name', '')} at {shape['x0']:g}")
        yield element(
            "line",
            title,
            x1=at,
            x2=at,
            y1=frame.y.start,
            y2=frame.y.end,
            stroke=line["color"],
            stroke_width=1.4,
            stroke_dasharray=DASHES.get(line.get("dash", "")),
        )


def _legend(traces: list[Json]) -> Iterator[Markup]:
    """One swatch a trace, from the right, names cut so that the title has room; a single trace needs none."""
    right = float(WIDTH - RIGHT)
    limit = int(((WIDTH - TITLE_PX) / max(1, len(traces)) - SWATCH_PX) / LETTER_PX)
    for trace in traces if len(traces) > 1 else ():
        name = trace["name"] if len(trace["name"]) <= limit or len(traces) <= FEW_TRACES else trace["name"][: max(1, limit - 1)] + "…"
        right -= LETTER_PX * len(name) + SWATCH_PX
        yield join(element("rect", x=right, y=7, width=10, height=10, fill=colour_of(trace), rx=2), written(name, right + 15, 16, "start"))
