"""Bars on a drawing: lying in rows, each with its number, or upright in columns, one on top of the other."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model import Json
from workbench.report.canvas import GAP, LETTER_PX, Frame, colour_of, written
from workbench.report.markup import Markup, element

COLUMN_GAP, LEAST_PX = 0.12, 10
"""A bar that is thinner has no number on it."""


def rows_of_bars(traces: list[Json], layout: Json, frame: Frame) -> Iterator[Iterator[Markup]]:
    """Lying bars, stacked or side by side in each row."""
    stacked = layout.get("barmode") == "stack"
    room = (frame.y.start - frame.y.end) / max(1, len(frame.rows or ()))
    thick = room * (1 - 2 * GAP) / (1 if stacked else len(traces))
    reached = dict.fromkeys(frame.rows or (), 0.0)
    for number, trace in enumerate(reversed(traces) if not stacked else traces):
        shift = -room * (0.5 - GAP) + (0 if stacked else number * thick)
        yield _bar(trace, frame, shift, thick, reached if stacked else dict.fromkeys(reached, 0.0))


def _bar(trace: Json, frame: Frame, shift: float, thick: float, reached: dict[float, float]) -> Iterator[Markup]:
    for row, length in zip(trace["y"], trace["x"], strict=True):
        if length is None:
            continue
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
            fill=colour_of(trace),
            rx=1.5,
        )
        if length and thick >= LEAST_PX:
            inside = end - begin > LETTER_PX * (len(f"{length:g}") + 1)
            at = (end - 6, "end", "bar-number") if inside else (end + 4, "start", "tick")
            yield written(f"{length:g}", at[0], round(top + thick / 2 + 4, 2), at[1], at[2])


def columns_of_bars(traces: list[Json], frame: Frame) -> Iterator[Markup]:
    """Upright bars, stacked in each column."""
    room = (frame.x.end - frame.x.start) / max(1, len(frame.columns or ()))
    reached = dict.fromkeys(frame.columns or (), 0.0)
    for trace in traces:
        for column, height in zip(trace["x"], trace["y"], strict=True):
            if height:
                yield _upright(trace, frame, column, (reached[column], reached[column] + height), room)
                reached[column] += height


def _upright(trace: Json, frame: Frame, column: float, span: tuple[float, float], room: float) -> Markup:
    foot, head = frame.y(span[0]), frame.y(span[1])
    wide = room * (1 - 2 * COLUMN_GAP)
    title = element("title", f"{trace['name']}: {span[1] - span[0]:g}")
    place = {"x": round(frame.x(column) - wide / 2, 2), "y": head, "width": round(wide, 2), "height": round(foot - head, 2)}
    return element("rect", title, **place, fill=colour_of(trace), rx=1)
