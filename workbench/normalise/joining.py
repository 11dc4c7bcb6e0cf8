"""Which LangGraph task a span ran in, and so which checkpoint was in force.

Exactly where the span names its task; else inferred by what was said (ids of tool calls, content) or, failing that, by time. Two parallel
branches that said the same can't be told apart without a task: that is why an inferred join is marked as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from workbench.model import Joined, Json, Reading
from workbench.normalise.forest import Node
from workbench.normalise.ledger import Ledger, Task, is_start
from workbench.reading.messages import message_of

MAX_NESTING = 6
SHORT = 8
"""Shorter texts than this prove nothing: "ok" is written by many."""


@dataclass(frozen=True)
class Place:
    """Where a span ran. `namespace` is the checkpoint's, so without the task itself."""

    task_id: str | None = None
    namespace: str | None = None
    checkpoint_id: str | None = None
    node: str | None = None
    joined: Joined = "none"


class Joiner:
    """Finds the place of each span, one after the other, in time order: a task that has its model call is not given another's."""

    def __init__(self, ledger: Ledger) -> None:
        """Of the tasks of a ledger."""
        self.ledger = ledger
        self.claimed: set[tuple[str, str]] = set()

    @cached_property
    def _said(self) -> dict[str, list[Task]]:
        """Which tasks wrote what. Only made for spans that don't name their task."""
        found: dict[str, list[Task]] = defaultdict(list)
        for task in self.ledger.tasks:
            for mark in set(_marks_of(task)) if not is_start(task) else ():
                found[mark].append(task)
        return found

    def place(self, node: Node, reading: Reading) -> Place:
        """Where a call's span ran; `reading` is all that is known of the call."""
        if reading.namespace:
            return self._named(node, reading.namespace)
        found = self._by_content(node, reading) or self._by_time(node, reading) if self.ledger.tasks else None
        if found is None:
            return Place()
        self.claimed.add((reading.kind, found.task_id or ""))
        return Place(found.task_id, found.checkpoint.namespace, found.checkpoint.checkpoint_id, found.node, "inferred")

    def _named(self, node: Node, namespace: str) -> Place:
        outer, _, last = namespace.rpartition("|")
        name, _, task_id = last.rpartition(":")
        if (task := self.ledger.by_id.get(task_id)) is not None:
            return Place(task_id, task.checkpoint.namespace, task.checkpoint.checkpoint_id, task.node or name or None, "exact")
        checkpoint = self.ledger.in_force(outer, node.span.start_ns)
        if checkpoint is None:
            return Place(task_id or None, outer, None, name or None)
        return Place(task_id or None, outer, checkpoint.checkpoint_id, name or None, "exact")

    def _by_content(self, node: Node, reading: Reading) -> Task | None:
        for mark in _marks_of_call(reading):
            tasks = [task for task in self._said.get(mark, []) if _before(task, node.span.start_ns)]
            fresh = [task for task in tasks if reading.kind == "tool" or (reading.kind, task.task_id or "") not in self.claimed]
            if fresh or tasks:
                return (fresh or tasks)[-1]
        return None

    def _by_time(self, node: Node, reading: Reading) -> Task | None:
        if node.span.start_ns is None:
            return None
        running = [task for task in self.ledger.running(node.span.start_ns) if not is_start(task)]
        free = [task for task in running if (reading.kind, task.task_id or "") not in self.claimed]
        return next(iter(free or running), None)


def _before(task: Task, at_ns: int | None) -> bool:
    return at_ns is None or task.checkpoint.created_ns is None or task.checkpoint.created_ns <= at_ns


def _marks_of(task: Task) -> Iterator[str]:
    """What a span's record of the same task would have to say: ids of calls asked for and answered, and texts."""
    for raw in task.messages:
        message = message_of(raw)
        if message is None:
            continue
        if message.role == "tool" and message.tool_call_id:
            yield f"answer {message.tool_call_id}"
        if message.role == "assistant":
            yield from (f"ask {call.call_id}" for call in message.tool_calls if call.call_id)
    for write in task.outputs:
        yield from (f"text {text}" for text in _texts(write.value))


def _marks_of_call(reading: Reading) -> Iterator[str]:
    if reading.kind == "tool" and reading.call_id:
        yield f"answer {reading.call_id}"
    if reading.output is not None:
        yield from (f"ask {call.call_id}" for call in reading.output.tool_calls if call.call_id)
        yield f"text {reading.output.content.strip()}"
    if isinstance(reading.result, str):
        yield f"text {reading.result.strip()}"


def _texts(value: Json, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        if len(value.strip()) >= SHORT:
            yield value.strip()
    elif depth < MAX_NESTING and isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item, depth + 1)
