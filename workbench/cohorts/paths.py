"""The paths that an agent's runs take from tool to tool: how varied they are, and a flowchart of them.

Paths are told apart by the tools called, repetitions of one tool in a row counted once. Their entropy (Shannon 1948) is 0 where there is but one: then the
agent is a pipeline, and its flowchart is a single line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from itertools import groupby, pairwise
from math import log2

from workbench.model import Run, Value

START, END = "start", "end"
SHARED = 0.95
"""The share of runs on one path from which on an agent is a pipeline."""
Path = tuple[str, ...]


class Paths(Value):
    """The paths of some runs: each with how many runs took it, the most frequent first."""

    counts: tuple[tuple[Path, int], ...]
    without: int = 0
    """Runs that called no tool."""

    @property
    def runs(self) -> int:
        """How many runs called tools."""
        return sum(count for _, count in self.counts)

    @property
    def entropy_bits(self) -> float:
        """How much a run's path tells, in bits."""
        return sum(count / self.runs * log2(self.runs / count) for _, count in self.counts)

    @property
    def is_pipeline(self) -> bool:
        """Whether nearly all runs take one path."""
        return bool(self.counts) and self.counts[0][1] / self.runs >= SHARED

    @cached_property
    def arrows(self) -> Counter[tuple[str, str]]:
        """How many times each tool was followed by each, from `start` to `end`."""
        found: Counter[tuple[str, str]] = Counter()
        for path, count in self.counts:
            for arrow in pairwise((START, *path, END)):
                found[arrow] += count
        return found


def path_of(run: Run) -> Path:
    """The tools a run called, in order, repetitions in a row once."""
    return tuple(name for name, _ in groupby(step.name for step in run.of_kind("tool")))


def paths_of(runs: Iterable[Run]) -> Paths:
    """The paths of these runs, read one at a time."""
    found = Counter(map(path_of, runs))
    without = found.pop((), 0)
    return Paths(counts=tuple(sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))), without=without)
