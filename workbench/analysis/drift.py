"""Whether a series of confidences falls and stays low: the Page-Hinkley test (Page 1954, Hinkley 1970), in units of the series' own noise.

The sum grows by how far each value lies below the mean so far, less an allowance, and never falls below zero; above the limit it raises an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

AT_LEAST = 8
"""Fewer values are too few to tell a fall within a run from noise."""
LEVEL = 3
"""The first values, whose mean the rest is held against."""
ALLOWANCE, LIMIT = 0.5, 6.0
"""In units of the noise."""
LEAST_NOISE, LEAST_FALL = 0.03, 0.15


class Drift(NamedTuple):
    """The sum after each value, and the place of the value at which the fall is beyond noise and lasts; None where it never is."""

    sums: tuple[float, ...]
    alarm: int | None


def drift_of(values: Sequence[float], first: int = LEVEL, least: float = LEAST_FALL) -> Drift:
    """Page-Hinkley over these values: the level that they fall from is the mean of the `first`, `least` the smallest fall that counts."""
    if len(values) <= first:
        return Drift((), None)
    noise, level = noise_of(values), fmean(values[:first])
    total, so_far, alarm, sums = 0.0, level, None, list[float]()
    for number, value in enumerate(values):
        if number > first:
            so_far += (values[number - 1] - so_far) / number
        total = max(0.0, total + (so_far - value) / noise - ALLOWANCE)
        sums.append(total)
        if total > LIMIT and alarm is None:
            if level - median(values[number:]) >= max(least, 2 * noise):
                alarm = number
            else:
                total = 0.0  # it recovered: begin anew
    return Drift(tuple(sums), alarm)


def noise_of(values: Sequence[float]) -> float:
    """Standard deviation around the trend, from how far the differences of neighbours lie from their median; 0.886 makes it exact for normal noise."""
    moves = [second - first for first, second in pairwise(values)]
    trend = median(moves)
    return max(LEAST_NOISE, 0.886 * fmean(abs(move - trend) for move in moves))
