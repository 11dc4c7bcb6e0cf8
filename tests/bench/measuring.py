"""How benches measure: two pieces of work in turns, CPU and wall time, and of the rounds' ratios the median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """Seconds of one piece of work: of CPU in this process, and of wall time."""

    cpu: float
    wall: float


def spent(work: Callable[[], object]) -> Spent:
    """What one piece of work takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


def in_turns(rounds: int, *works: Callable[[], object]) -> list[tuple[Spent, ...]]:
    """What each of the works takes in each round."""
    return [tuple(spent(work) for work in works) for _ in range(rounds)]


def ratio(rounds: Sequence[tuple[Spent, ...]], what: str, ours: int = 0, floor: int = 1) -> float:
    """The median over the rounds of ours against the floor, of `cpu` or `wall`."""
    return statistics.median(getattr(one[ours], what) / max(getattr(one[floor], what), 1e-9) for one in rounds)


def told(name: str, rounds: Sequence[tuple[Spent, ...]], wanted: str) -> str:
    """One line: the ratio in CPU and in wall time, and what is wanted."""
    return f"  {name}: {ratio(rounds, 'cpu'):.2f} × in CPU, {ratio(rounds, 'wall'):.2f} × in wall time (wanted: {wanted})"
