"""The checkpoints of one lineage, indexed: its tasks, what each wrote, and which checkpoints follow which."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from workbench.model import Checkpoint, Json, Step, Write
from workbench.normalise.recorded import messages_in
from workbench.reading import serde
from workbench.reading.tasks import ERROR_SOURCE, INPUT, NULL_TASK, START, TASKS, UPDATE, index_of_path

INTERRUPT, RESUME, ERROR = "__interrupt__", "__resume__", "__error__"
SIGNALS = frozenset((INTERRUPT, RESUME, ERROR, ERROR_SOURCE))
CONTROL = ("branch:", "start:", "__")
RETURNED = "__return__"
END, PREVIOUS = "__end__", "__previous__"
"""The channels to which an `@entrypoint` writes what it returns, and what it keeps for its next start."""


@dataclass(eq=False)
class Task:
    """One node's execution: the checkpoint it started from and what it wrote. `task_id` is None where only metadata tells of it."""

    task_id: str | None
    node: str | None
    checkpoint: Checkpoint
    writes: tuple[Write, ...]
    outputs: tuple[Write, ...] = field(init=False)
    """What it wrote beside interrupts, resumes and errors: a task with any has finished."""

    def __post_init__(self) -> None:
        """Tell what it wrote from what it signalled."""
        self.outputs = tuple([write for write in self.writes if write.channel not in SIGNALS])
        self._channels = {write.channel for write in self.writes}

    @property
    def namespace(self) -> str:
        """The namespace that a subgraph in this task has, and that spans in this task carry."""
        own = f"{self.node}:{self.task_id}"
        return f"{self.checkpoint.namespace}|{own}" if self.checkpoint.namespace else own

    @cached_property
    def messages(self) -> tuple[dict[str, Json], ...]:
        """The LangChain messages it wrote, in order."""
        return tuple(raw for write in self.outputs for raw in messages_in(write.value))

    @cached_property
    def changes(self) -> dict[str, Json]:
        """Channels of the state it wrote, control channels left out. Several writes to one channel stand in a list."""
        found: dict[str, list[Json]] = defaultdict(list)
        for write in self.outputs:
            if write.channel == RETURNED or not _is_control(write, self.node):
                found[write.channel].append(write.value)
        return {channel: values[0] if len(values) == 1 else _together(values) for channel, values in found.items()}

    def of(self, channel: str) -> list[Json]:
        """The values of one channel; lists are opened, as interrupts and resumes are stored in them."""
        return [item for write in self.writes if write.channel == channel for item in (write.value if isinstance(write.value, list) else [write.value])]

    def wrote(self, channel: str) -> bool:
        """Whether it wrote to a channel at all, decoded or not."""
        return channel in self._channels


def _is_control(write: Write, node: str | None) -> bool:
    """Whether a write only routes: before 0.3 a node wrote its name to a channel of its name, which a channel of the state may have too."""
    return write.channel.startswith(CONTROL) or write.channel == node == write.value


def _together(values: list[Json]) -> list[Json]:
    return [item for value in values for item in value] if all(isinstance(value, list) for value in values) else values


class Ledger:
    """All checkpoints of one lineage and of its subgraphs."""

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Index them; a checkpoint given twice counts once."""
        self._by_key = {(one.namespace, one.checkpoint_id): one for one in checkpoints}
        self.checkpoints = sorted(self._by_key.values(), key=lambda one: (one.created_ns or 0, one.namespace, one.step or 0, one.checkpoint_id))
        self.tasks = [task for checkpoint in self.checkpoints for task in _tasks(checkpoint)]
        self.by_id = {task.task_id: task for task in sorted(self.tasks, key=lambda task: task.node != UPDATE) if task.task_id}  # a node's own, where it has any
        self._in_namespace: dict[str, list[Checkpoint]] = defaultdict(list)
        for checkpoint in self.checkpoints:
            self._in_namespace[checkpoint.namespace].append(checkpoint)

    @cached_property
    def roots(self) -> list[Checkpoint]:
        """The checkpoints of the root graph, oldest first."""
        return self._in_namespace.get("", [])

    @cached_property
    def answered_by_hand(self) -> frozenset[str]:
        """The ids of the calls whose answers people put into the state, and no node: whether they were made, the answers don't tell."""
        answered: dict[bool, set[str]] = {True: set(), False: set()}
        for task in self.tasks:
            answered[task.node == UPDATE].update(str(raw["tool_call_id"]) for raw in task.messages if raw.get("tool_call_id"))
        return frozenset(answered[True] - answered[False])

    @property
    def returned(self) -> Json:
        """What a functional agent's `@entrypoint` returned in the last start that came to an end; None for any other graph."""
        ended = (task for task in reversed(self.tasks) if not task.checkpoint.namespace and task.wrote(PREVIOUS))
        return next((write.value for task in ended for write in task.outputs if write.channel == END), None)

    @property
    def head(self) -> Checkpoint | None:
        """The newest checkpoint of the root graph: where the thread stands."""
        return self.roots[-1] if self.roots else None

    def place(self, step: Step) -> Checkpoint | None:
        """The checkpoint that a step started from, None for one that has none here."""
        return self._by_key.get((step.namespace or "", step.checkpoint_id or ""))

    def parent(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """The checkpoint before, None at the beginning or where it was not kept."""
        return self._by_key.get((checkpoint.namespace, checkpoint.parent_checkpoint_id or ""))

    def after(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """The checkpoint that the graph made from this one; None where it made none."""
        return next((one for one in self._in_namespace[checkpoint.namespace] if one.parent_checkpoint_id == checkpoint.checkpoint_id), None)

    def next_ns(self, checkpoint: Checkpoint) -> float:
        """When the checkpoint after this one was made, so when its tasks were done. Infinite where they never were."""
        return self._next.get((checkpoint.namespace, checkpoint.checkpoint_id), math.inf)

    @cached_property
    def _next(self) -> dict[tuple[str, str], int]:
        made = ((one.namespace, one.parent_checkpoint_id, one.created_ns) for one in reversed(self.checkpoints))
        return {(namespace, parent): at for namespace, parent, at in made if parent is not None and at is not None}

    def tasks_at(self, checkpoint: Checkpoint) -> list[Task]:
        """The tasks that started from a checkpoint."""
        return self._by_place.get((checkpoint.namespace, checkpoint.checkpoint_id), [])

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], list[Task]]:
        found: dict[tuple[str, str], list[Task]] = defaultdict(list)
        for task in self.tasks:
            found[task.checkpoint.namespace, task.checkpoint.checkpoint_id].append(task)
        return found

    def in_force(self, namespace: str, at_ns: int | None) -> Checkpoint | None:
        """The newest checkpoint of a namespace at a moment. None where it has none so early, or the moment is not known."""
        found = self._in_namespace.get(namespace, [])
        number = bisect_right(found, at_ns, key=lambda one: one.created_ns or 0) if at_ns is not None else 0
        return found[number - 1] if number else None

    def running(self, at_ns: int) -> Iterator[Task]:
        """The tasks that may have been running at a moment, those of the deepest subgraphs first."""
        for namespace in self._deepest_first:
            checkpoint = self.in_force(namespace, at_ns)
            yield from self.tasks_at(checkpoint) if checkpoint else ()

    def packet(self, task: Task) -> Json:
        """What a Send gave a task to work on. None for a task that was started otherwise, or where that can't be told."""
        parent, index = self.parent(task.checkpoint), index_of_path(task.writes[0].task_path)
        if parent is None or index is None:
            return None
        sent = [write.value for write in parent.writes if write.channel == TASKS]
        return sent[index].get("arg") if index < len(sent) and serde.is_type(sent[index], "Send") else None

    @cached_property
    def _deepest_first(self) -> list[str]:
        return sorted(self._in_namespace, key=lambda namespace: -depth_of(namespace))

    def inside(self, task: Task) -> list[Task]:
        """The tasks of the subgraphs that ran in a task, at any depth."""
        return self._inside.get(task.namespace, []) if task.task_id else []

    @cached_property
    def _inside(self) -> dict[str, list[Task]]:
        found: dict[str, list[Task]] = defaultdict(list)
        for task in self.tasks:
            segments = task.checkpoint.namespace.split("|") if task.checkpoint.namespace else []
            for count in range(1, len(segments) + 1):
                found["|".join(segments[:count])].append(task)
            for outer in self._keeping(task.checkpoint):
                found[outer.namespace].append(task)
        return found

    def _keeping(self, checkpoint: Checkpoint) -> list[Task]:
        """The tasks around a subgraph that keeps its state from one time to the next: its namespace names their node, and no task."""
        around, _, node = checkpoint.namespace.rpartition("|")
        parents = checkpoint.metadata.get("parents")
        above = parents.get(around) if node and ":" not in node and isinstance(parents, dict) else None
        return [task for task in self._by_place.get((around, str(above)), ()) if task.node == node]

    def went_on(self, checkpoint: Checkpoint) -> bool:
        """Whether the graph itself made a later checkpoint from this one; a fork or a new input doesn't finish what was going on."""
        return (checkpoint.namespace, checkpoint.checkpoint_id) in self._continued

    @cached_property
    def _continued(self) -> set[tuple[str, str | None]]:
        return {(one.namespace, one.parent_checkpoint_id) for one in self.checkpoints if one.source == "loop"}

    @cached_property
    def _roots_by_id(self) -> dict[str, Checkpoint]:
        return {one.checkpoint_id: one for one in self.checkpoints if not one.namespace}

    def answer(self, checkpoint: Checkpoint) -> list[Json]:
        """What `Command(resume=…)` gave for a whole checkpoint, kept under the null task; inside a subgraph, with the root's. Empty where nothing did."""
        parents = checkpoint.metadata.get("parents")
        root = self._roots_by_id.get(str(parents.get(""))) if checkpoint.namespace and isinstance(parents, dict) else None
        if root is not None:
            return self.answer(root)
        return [write.value for write in checkpoint.writes if write.task_id == NULL_TASK and write.channel == RESUME]


def depth_of(namespace: str) -> int:
    """How many subgraphs deep a checkpoint namespace is."""
    return len(namespace.split("|")) if namespace else 0


def _tasks(checkpoint: Checkpoint) -> Iterator[Task]:
    """The tasks in the order of their paths, those that stopped it last: the others finished before it did. After them what people put in."""
    grouped: dict[tuple[str, str | None], list[Write]] = defaultdict(list)
    for write in checkpoint.writes:
        if write.task_id != NULL_TASK:
            grouped[write.task_id, _apart(write)].append(write)
    tasks = [
        Task(task_id or None, next((write.node for write in writes if write.node), None), checkpoint, tuple(writes)) for (task_id, _), writes in grouped.items()
    ]
    yield from sorted(tasks, key=lambda task: (task.node == UPDATE, task.wrote(INTERRUPT) or (task.wrote(ERROR) and not task.wrote(ERROR_SOURCE))))


def _apart(write: Write) -> str | None:
    """What tells writes under one task's id apart: those of `update_state`, which may finish a node's task under its id, are not the node's own."""
    return UPDATE if write.node == UPDATE else write.node if not write.task_id else None


def is_start(task: Task) -> bool:
    """Whether a task only put the input into the channels."""
    return task.node in (START, INPUT)
