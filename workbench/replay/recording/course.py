"""Where a re-run goes another way than the recording, and which of its tasks that reaches.

What was changed in one task reaches what that task goes on to do, and the later steps of its graph and of those around it. What runs beside it in the same step
was given the state of before, so that nothing depends on which of the two begins first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, zip_longest
from typing import Any

from workbench.replay.recording.place import graph_of


@dataclass
class Course:
    """The way of one re-run. A task is told by its checkpoint namespace; None is code, or a graph with a thread of its own, that stands nobody knows where."""

    lost: bool = False
    """Whether it goes another way from its first step on."""
    _steps: dict[str, int] = field(default_factory=dict)
    """Of tasks that a graph runs, their steps. A `@task` has none of its own: whoever called it goes on in the same one."""
    _left: set[str] = field(default_factory=set)

    def begin(self, namespace: str, path: Sequence[Any], step: int) -> None:
        """A task begins, at a step of its graph."""
        if graph_of(namespace, path) == namespace.rpartition("|")[0]:
            self._steps[namespace] = step

    def leave(self, namespace: str | None) -> None:
        """Something goes another way in this task."""
        if namespace is None:
            self.lost = True
        else:
            self._left.add(namespace)

    def holds(self, namespace: str | None) -> bool:
        """Whether nothing that reaches this task has gone another way."""
        if self.lost or namespace is None:
            return not (self.lost or self._left)
        return not any(self._reaches(left, namespace) for left in tuple(self._left))

    def _reaches(self, left: str, other: str) -> bool:
        """Whether a change in one task reaches another: where their ways part, in the same graph, the other's step has to come later."""
        parted = next(((one, two) for one, two in zip_longest(_levels(left), _levels(other)) if one != two), None)
        if parted is None or None in parted:
            return True
        before, after = (self._steps.get(part) for part in parted)
        return before is None or after is None or after > before


def _levels(namespace: str) -> list[str]:
    """The namespaces of the tasks around one and its own, outermost first."""
    return list(accumulate(namespace.split("|"), "{}|{}".format))
