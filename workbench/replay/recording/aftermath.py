"""What was done to a recorded thread after the cut, beside resuming it: inputs given, states put in by `update_state`, starts from an earlier checkpoint.

Each begins a stretch of root checkpoints; the first stretch, 0, begins at the cut. Going back to a checkpoint leaves a branch behind, which was run all
the same: a re-run does all of it again, in the order of time, each start from where it was started. Checkpoint ids sort by time.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from workbench.reading.tasks import BY_UPDATE, UPDATE, aside
from workbench.reading.threads import opened
from workbench.reading.threads.tables import RawWrite, Tables, WriteRow
from workbench.replay.protocol import Done, Later, Spot
from workbench.replay.recording.cut import Cut

BEGINNING: Mapping[str, Done] = {"input": "input", "update": "update", "fork": "back"}
"""By the source of a checkpoint that begins a stretch, what was done."""

ENDING = ("loop", "update")
"""The sources of a checkpoint that a run's last step may have led to."""


@dataclass(frozen=True)
class Aftermath:
    """The root checkpoints after the cut, up to the newest that the run has steps of, and what each stretch of them began with."""

    cut: Cut
    newest: str

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """The root checkpoints after that of the cut, oldest first, on branches that were left too."""
        found = (one for one in self.cut.later if one <= self.newest or (self._source(one) in ENDING and self._parent(one) == self.newest))
        return tuple(found)

    @cached_property
    def _told(self) -> tuple[dict[str, int], tuple[_Begun, ...], tuple[str, ...]]:
        """Of each root the number of its stretch, what begins the stretches, and what can't be done again."""
        stretches, begun, lost = {self.cut.root: 0}, list[_Begun](), list[str]()
        before = self.cut.root
        for one in self.roots:
            source, parent = self._source(one), self._parent(one)
            kind = BEGINNING.get(source)
            if kind is not None:
                begun.append(_Begun(one, kind, parent, parent == before))
                if kind == "back" and self._step(one) != self._step(parent) + 1:
                    lost.append(f"checkpoint {one} is a copy of one that stands beside it (update_state as __copy__)")
            elif parent != before and (ghosts := [other for other in self.roots if parent < other < one]) and not self._left_empty(ghosts):
                lost.append(f"checkpoint {one} goes on from {parent}, which the thread had moved past, and the tasks that ran from there twice share their ids")
            if source == "loop" and parent == before and (gap := self._step(one) - self._step(before)) > 1:
                lost.append(f"{gap} super-steps led to checkpoint {one}, and of those between, and the input to them, none was kept (durability='exit')")
            stretches[one] = len(begun)
            before = one
        return stretches, tuple(begun), tuple(lost)

    def _left_empty(self, roots: Sequence[str]) -> bool:
        """Whether nothing was run from any of these."""
        with opened(self.cut.database) as tables:
            return not any(True for one in roots for _ in tables.writes(self.cut.thread_id, ("", one)))

    @property
    def stretches(self) -> Mapping[str, int]:
        """Of each root checkpoint from the cut on, the number of its stretch."""
        return self._told[0]

    @property
    def updated(self) -> frozenset[str]:
        """The root checkpoints that `update_state` was called on."""
        return frozenset(one.parent for one in self._told[1] if one.kind == "update")

    @property
    def lost(self) -> tuple[str, ...]:
        """What was done after the cut and can't be done again, in words."""
        inner = [
            f"update_state changed the state of the subgraph {place[0]}"
            for place, row in self.cut.rows.items()
            if place[0] and place not in self.cut.kept and self.cut.source(place) == "update" and self.cut.root_at(place) in self.stretches
        ]
        return (*self._told[2], *inner)

    def later(self, restarts: Mapping[int, int]) -> tuple[Later, ...]:
        """What was done, oldest first. `restarts` are, by stretch, how often the graph was started again with neither an answer nor an input."""
        begun = self._told[1]
        if not begun:
            return ()
        with opened(self.cut.database) as tables:
            return tuple(self._later(tables, number, one, restarts.get(number, 0)) for number, one in enumerate(begun, 1))

    def _later(self, tables: Tables, number: int, one: _Begun, restarts: int) -> Later:
        written = list(tables.writes(self.cut.thread_id, ("", one.parent))) if one.kind == "update" or not one.at_head else []
        tasks = tuple(sorted({update_id(row.task_id) for row in written if by_update(row)})) if one.kind == "update" and self._first(one) else ()
        state = None if tasks or one.kind == "back" else next(iter(tables.raw_checkpoints(self.cut.thread_id, [("", one.checkpoint_id)])))
        return Later(
            kind=one.kind,
            parent=one.parent,
            spot=None if one.at_head else self._spot(one.parent, tuple(sorted({row.task_path for row in written if row.task_path and not by_update(row)}))),
            tasks=tasks,
            type=str(state.kind) if state else "",
            data=base64.b64encode(state.value).decode("ascii") if state else "",
            restarts=max(restarts, one.kind == "update" and self._went_on(tables, number, one)),
        )

    def _first(self, one: _Begun) -> bool:
        """Whether an update is the first of its checkpoint: what is kept there was written by that."""
        updates = (other for namespace, other in self.cut.rows if not namespace and self._source(other) == "update" and self._parent(other) == one.parent)
        return min(updates) == one.checkpoint_id

    def _went_on(self, tables: Tables, number: int, one: _Begun) -> bool:
        """Whether the graph was started again from what an update made: checkpoints alone do not tell that as a start."""
        several = sum(other == number for other in self.stretches.values()) > 1
        return several or any(not by_update(row) for row in tables.writes(self.cut.thread_id, ("", one.checkpoint_id)))

    def _spot(self, root: str, ran: tuple[str, ...]) -> Spot:
        """Where a stretch began that did not begin where the thread stood."""
        stretch = self.stretches.get(root)
        if stretch is None or root == self.cut.root:
            return Spot(checkpoint_id=root)
        same = [one for one, other in self.stretches.items() if other == stretch]
        return Spot(checkpoint_id=root, stretch=stretch, back=len(same) - 1 - same.index(root), ran=ran)

    def idle(self) -> bool:
        """Whether nothing was run from the cut before something else was done to the thread: the fork's step is an `update_state`."""
        first = next(iter(self.roots), None)
        if first is None or self._source(first) != "update" or self._parent(first) != self.cut.root or len(self.cut.levels) > 1:
            return False
        with opened(self.cut.database) as tables:
            return all(by_update(row) for row in tables.writes(self.cut.thread_id, ("", self.cut.root)))

    def _source(self, one: str) -> str:
        return self.cut.source(("", one))

    def _parent(self, one: str) -> str:
        return self.cut.rows["", one].parent or ""

    def _step(self, one: str) -> int:
        return self.cut.super_step(("", one))


@dataclass(frozen=True)
class _Begun:
    """What begins a stretch: its first checkpoint, what was done, the checkpoint it was done to, and whether the thread stood there."""

    checkpoint_id: str
    kind: Done
    parent: str
    at_head: bool


def by_update(row: RawWrite | WriteRow) -> bool:
    """Whether `update_state` wrote this, and no node."""
    return row.task_path.startswith(BY_UPDATE) or aside(row.task_id, row.checkpoint_id) == UPDATE


def update_id(task_id: str) -> str:
    """By which what `update_state` wrote is told from what the node wrote whose task it finished."""
    return f"update {task_id}"
