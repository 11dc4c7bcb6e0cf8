"""The branches of a thread that was taken up again from an earlier checkpoint: what was said on one of them is not known on the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from workbench.model import Checkpoint, Step
from workbench.normalise.ledger import Ledger, Task

UPDATED = "update_state"
"""The name of the step that stands for a person's change of the state."""


class Branches:
    """Tells which branch of a thread a task is on; each is named by the first checkpoint on it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._children: dict[str, list[Checkpoint]] = defaultdict(list)
        for one in ledger.roots:
            self._children[one.parent_checkpoint_id or ""].append(one)
        self._branch: dict[str, str] = {}
        self._parent: dict[str, str] = {}
        for one in ledger.roots:
            before = self._branch.get(one.parent_checkpoint_id or "")
            if before is not None and len(self._children[one.parent_checkpoint_id or ""]) == 1:
                self._branch[one.checkpoint_id] = before
            else:
                self._branch[one.checkpoint_id] = one.checkpoint_id
                self._parent[one.checkpoint_id] = before or ""

    def way_to(self, branch: str) -> list[str]:
        """The branches that lead to one, the oldest first, and itself."""
        way = [branch] if branch else []
        while way and (before := self._parent.get(way[-1])):
            way.append(before)
        return way[::-1]

    def of(self, task: Task) -> str:
        """The branch that a task's writes are on; empty where that can't be told."""
        return self._of(task.checkpoint)

    def _of(self, checkpoint: Checkpoint) -> str:
        parents = checkpoint.metadata.get("parents")
        around = parents.get("") if checkpoint.namespace and isinstance(parents, dict) else checkpoint.checkpoint_id
        made = [one.checkpoint_id for one in self._children.get(str(around), ()) if one.source == "loop"]
        return self._branch.get(made[-1] if made else str(around), "")

    def left(self, steps: Iterable[Step]) -> list[int]:
        """The steps on branches that the thread does not stand on any more, by index."""
        head = self._ledger.head
        if head is None or len(self._parent) == 1:
            return []
        kept = {"", *self.way_to(self._branch[head.checkpoint_id])}
        return [step.index for step in steps if step.name != UPDATED and (place := self._ledger.place(step)) and self._of(place) not in kept]
