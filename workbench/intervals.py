"""How sure a share is that was counted in few cases: intervals for figures that stand in findings, backtests and controls."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, variance
from typing import NamedTuple

Z_95 = 1.959963984540054
"""Of a normal distribution, 95 % lies within so many standard deviations."""


class Share(NamedTuple):
    """`hits` of `total`, with the share and its 95 % interval; all three are None where there was nothing to count."""

    hits: int
    total: int
    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "– (0 of 0)"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] ({self.hits} of {self.total})"


def share(hits: int, total: int) -> Share:
    """A share with its Wilson score interval (Wilson 1927), which holds for few cases and for shares of 0 and 1 too. ValueError unless 0 ≤ hits ≤ total."""
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total} is no share")
    if total == 0:
        return Share(0, 0, None, None, None)
    found, spread = hits / total, Z_95**2 / total
    middle = (found + spread / 2) / (1 + spread)
    half = Z_95 * sqrt(found * (1 - found) / total + spread / (4 * total)) / (1 + spread)
    return Share(hits, total, found, max(0.0, middle - half), min(1.0, middle + half))


def difference(one: Share, other: Share) -> tuple[float, float] | None:
    """The 95 % interval of the difference of two shares (Newcombe 1998, method 10); None where either counts nothing."""
    if None in (one.value, other.value):
        return None
    (p, low, high), (q, other_low, other_high) = ((side.value or 0.0, side.low or 0.0, side.high or 0.0) for side in (one, other))
    return p - q - sqrt((p - low) ** 2 + (other_high - q) ** 2), p - q + sqrt((high - p) ** 2 + (q - other_low) ** 2)


class Mean(NamedTuple):
    """The mean of `total` values with its 95 % interval, and the square of its standard error."""

    total: int
    value: float
    low: float
    high: float
    error2: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] ({self.total} runs)"


def mean(values: Sequence[float]) -> Mean:
    """The mean of some twenty values or more, with the interval of the normal distribution. ValueError for fewer than two values."""
    if len(values) < 2:  # noqa: PLR2004  # one value has no spread
        raise ValueError(f"{len(values)} values have no interval")
    middle, error2 = fmean(values), variance(values) / len(values)
    half = Z_95 * sqrt(error2)
    return Mean(len(values), middle, middle - half, middle + half, error2)
