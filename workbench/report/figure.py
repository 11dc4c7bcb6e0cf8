"""A plotly figure as static inline SVG: lines, markers, horizontal bars, vertical marks, axes, legend and title.

Small on purpose: it draws what `workbench.charts` uses and refuses anything else. Ink is `currentColor`, so a figure reads in light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

from workbench.model import Json
from workbench.report.markup import Markup, element, join

WIDTH, HEIGHT = 620, 240
LETTER_PX, TICKS, MARKER_PX, GAP = 6.6, 6, 3.2, 0.25
TOP, BOTTOM, LEFT, RIGHT = 44, 44, 56, 18
DASHES = {"dash": "4 3", "dot": "1 3"}


class FigureError(ValueError):
    """A figure this renderer can't draw. The message names what is unknown and what is known."""


@dataclass(frozen=True)
class Scale:
    """Maps a range of values to a range of pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel for a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2)

    def ticks(self) -> list[float]:
        """Round numbers across the range: steps of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [round(number * step, 10) for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Frame:
    """Where the axes lie."""

    x: Scale
    y: Scale
    y2: Scale | None
    rows: dict[float, str] | None
    """The names of rows, for horizontal bars."""


def svg(figure: dict[str, Json], says: str, name: str) -> Markup:
    """Draw a figure. `says` describes it for who can't see it, `name` makes its ids unique. FigureError on a trace it does not know."""
    traces, layout = figure.get("data", []), figure.get("layout", {})
    for trace in traces:
        if trace["type"] not in {"scatter", "bar"} or (trace["type"] == "bar" and trace.get("orientation") != "h"):
            raise FigureError(f"a trace of type {trace['type']!r}: only scatter and horizontal bar can be drawn in a report")
    height = layout.get("height", HEIGHT)
    frame = _frame(traces, layout, height)
    title = layout.get("title", {}).get("text", "")
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", says, id=f"{name}-desc"),
        element("text", title, x=0, y=16, class_="plot-title"),
        *_legend(traces if layout.get("barmode") == "group" else traces[::-1]),
        *_grid(frame, layout),
        *(chain.from_iterable(_bars(traces, layout, frame)) if frame.rows is not None else ()),
        *chain.from_iterable(_line(trace, frame) for trace in traces if trace["type"] == "scatter"),
        *_marks(layout, frame),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="plot",
    )


def _frame(traces: list[Json], layout: Json, height: int) -> Frame:
    yaxis = layout.get("yaxis", {})
    rows = dict(zip(yaxis["tickvals"], yaxis["ticktext"], strict=True)) if "tickvals" in yaxis else None
    left = LEFT if rows is None else min(WIDTH / 2, 16 + LETTER_PX * max((len(text) for text in rows.values()), default=0))
    second = [value for trace in traces if trace.get("yaxis") == "y2" for value in trace["y"]]
    x_low, x_high = _extent([value for trace in traces for value in trace["x"]], layout.get("xaxis", {}))
    if layout.get("barmode") == "stack":
        x_high = max((sum(lengths) for lengths in zip(*(trace["x"] for trace in traces), strict=True)), default=1)
    right = WIDTH - (LEFT if second else RIGHT)
    floor, ceiling = height - BOTTOM, TOP
    y_range = (-0.5, len(rows) - 0.5 or 0.5) if rows else _extent([value for trace in traces if trace.get("yaxis") != "y2" for value in trace["y"]], yaxis)
    y2 = Scale(*_extent(second, layout.get("yaxis2", {})), floor, ceiling) if second else None
    return Frame(Scale(x_low, x_high, left, right), Scale(*y_range, floor, ceiling), y2, rows)


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
    for tick in (tick for tick in frame.x.ticks() if frame.rows is None or tick == int(tick)):  # bars count things: no half ones
        yield element("line", x1=frame.x(tick), x2=frame.x(tick), y1=bottom, y2=top, class_="grid")
        yield _text(f"{tick:g}", frame.x(tick), bottom + 16, "middle")
    ticks = {tick: f"{tick:,g}" for tick in frame.y.ticks()} if frame.rows is None else frame.rows
    for tick, text in ticks.items():
        if frame.rows is None:
            yield element("line", x1=frame.x.start, x2=frame.x.end, y1=frame.y(tick), y2=frame.y(tick), class_="grid")
        yield _text(text, frame.x.start - 8, frame.y(tick) + 4, "end")
    for tick in frame.y2.ticks() if frame.y2 else ():
        yield _text(f"{tick:g}", frame.x.end + 8, frame.y2(tick) + 4 if frame.y2 else 0, "start")
    yield element("line", x1=frame.x.start, x2=frame.x.end, y1=bottom, y2=bottom, class_="axis")
    yield _text(layout.get("xaxis", {}).get("title", {}).get("text", ""), (frame.x.start + frame.x.end) / 2, bottom + 34, "middle", "plot-label")
    yield _text(layout.get("yaxis", {}).get("title", {}).get("text", ""), 0, top - 8, "start", "plot-label")
    if frame.y2:
        yield _text(layout["yaxis2"].get("title", {}).get("text", ""), WIDTH, top - 8, "end", "plot-label")


def _line(trace: Json, frame: Frame) -> Iterator[Markup]:
    up = frame.y2 if trace.get("yaxis") == "y2" and frame.y2 else frame.y
    points = [(frame.x(x), up(y)) for x, y in zip(trace["x"], trace["y"], strict=True)]
    path = _stairs(points) if trace.get("line", {}).get("shape") == "hv" else points
    if "lines" in trace.get("mode", "lines"):
        yield element("polyline", points=" ".join(f"{x},{y}" for x, y in path), fill="none", stroke=_colour(trace), stroke_width=1.8, stroke_linejoin="round")
    if "markers" in trace.get("mode", ""):
        for (across, upward), x, y in zip(points, trace["x"], trace["y"], strict=True):
            yield element("circle", element("title", f"{x}: {y:g}"), cx=across, cy=upward, r=MARKER_PX, fill=_colour(trace))


def _stairs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A step line: across at the old height, then up."""
    corners = [(after[0], before[1]) for before, after in pairwise(points)]
    return [point for pair in zip(points, [*corners, None], strict=False) for point in pair if point is not None]


def _bars(traces: list[Json], layout: Json, frame: Frame) -> Iterator[Iterator[Markup]]:
    stacked = layout.get("barmode") == "stack"
    room = (frame.y.start - frame.y.end) / max(1, len(frame.rows or ()))
    thick = room * (1 - 2 * GAP) / (1 if stacked else len(traces))
    reached = dict.fromkeys(frame.rows or (), 0.0)
    for number, trace in enumerate(reversed(traces) if not stacked else traces):
        shift = -room * (0.5 - GAP) + (0 if stacked else number * thick)
        yield _bar(trace, frame, shift, thick, reached if stacked else dict.fromkeys(reached, 0.0))


def _bar(trace: Json, frame: Frame, shift: float, thick: float, reached: dict[float, float]) -> Iterator[Markup]:
    for row, length in zip(trace["y"], trace["x"], strict=True):
        begin, end = frame.x(reached[row]), frame.x(reached[row] + length)
        reached[row] += length
        top = frame.y(row) + shift
        yield element(
            "rect",
            element("title", f"{trace['name']}: {length:g}"),
            x=begin,
            y=round(top, 2),
            width=round(end - begin, 2),
            height=round(thick, 2),
            fill=_colour(trace),
            rx=1.5,
        )
        if length:
            yield _text(f"{length:g}", end - 6 if end - begin > 2 * LETTER_PX else end + 4, round(top + thick / 2 + 4, 2), "end", "bar-number")


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
    """One swatch a trace, from the right; a single trace needs none."""
    right = float(WIDTH - RIGHT)
    for trace in traces if len(traces) > 1 else ():
        right -= LETTER_PX * len(trace["name"]) + 26
        yield join(element("rect", x=right, y=7, width=10, height=10, fill=_colour(trace), rx=2), _text(trace["name"], right + 15, 16, "start"))


def _colour(trace: Json) -> str:
    return str(trace.get("marker", {}).get("color") or trace.get("line", {}).get("color") or "currentColor")


def _text(text: str, x: float, y: float, anchor: str, class_: str = "tick") -> Markup:
    return element("text", text, x=round(x, 2), y=round(y, 2), text_anchor=anchor, class_=class_) if text else Markup()
