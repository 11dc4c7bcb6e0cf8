"""Where things lie on a drawing, and the few elements that all drawings are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.model import Json
from workbench.report.markup import Markup, element

WIDTH, HEIGHT = 620, 240
LETTER_PX, TICKS, GAP = 6.6, 6, 0.25
TOP, BOTTOM, LEFT, RIGHT = 44, 44, 56, 18


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
    rows: dict[float, str] | None = None
    """The names of rows, for horizontal bars."""
    columns: dict[float, str] | None = None
    """The names of columns, for upright bars."""


def colour_of(trace: Json) -> str:
    """The colour of a trace's marks, else of its line, else the text's."""
    return str(trace.get("marker", {}).get("color") or trace.get("line", {}).get("color") or "currentColor")


def written(text: str, x: float, y: float, anchor: str, class_: str = "tick") -> Markup:
    """A text at a place; nothing for no text."""
    return element("text", text, x=round(x, 2), y=round(y, 2), text_anchor=anchor, class_=class_) if text else Markup()
