"""Which node a LangGraph task belongs to.

A task's id is a hash of the checkpoint it starts from, its place and its node. Databases written before `langgraph-checkpoint-sqlite` 3.1.2
store the id and no name, so the name is found by hashing the candidates until one fits (`langgraph.pregel._algo`, 0.2.60 to 1.2). A hash
that fits is proof; where none does (0.2.0, encrypted Sends) weaker signs are read.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1

from xxhash import xxh3_128_hexdigest

START = "__start__"
INPUT = "__input__"
"""The node given here to what is no task: the input that a DeltaChannel reads from the checkpoint before it."""
UPDATE = "__update__"
"""The node given here to what is no task: values that `update_state` put into the state."""
BY_UPDATE = "~__interrupt__, "
"""How the paths begin of what `update_state` wrote, also where it finished a node's task under that one's id."""
PULL, PUSH, TASKS = "__pregel_pull", "__pregel_push", "__pregel_tasks"
PULLED = f"~{PULL}, "
ERROR_SOURCE = "__error_source_node__"
"""The channel in which a failed task names its node, where an error handler takes over."""
NODE_ERROR = "node_error_handler"
HANDLES = f", {NODE_ERROR}, 0000000000"
"""How the path of an error handler's task ends, behind that of the task that failed."""
HANDLER, EVERY_HANDLER = "__error_handler__", "__default_error_handler__"
"""How the node of one node's error handler begins, before the name of that; and the node of one that is every node's."""
NULL_TASK = "00000000-0000-0000-0000-000000000000"
SORTABLE = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?6([0-9a-f]{3})-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
"""A version 6 UUID, with its time in units of 100 ns."""
SECONDS_1582_TO_1970 = 12_219_292_800
MAX_SENDS = 1000
MAX_TRIGGERS = 6
MAX_CANDIDATES = 20_000
TRIGGER = ("branch:to:", "start:")


def task_id(checkpoint_id: str, *parts: str, version: int = 4) -> str:
    """The id LangGraph gives a task: `parts` are namespace with node, step, node, `PULL` and its triggers or `PUSH` and its index.

    ValueError when the checkpoint id is no UUID.
    """
    seed = uuid.UUID(checkpoint_id).bytes
    text = "".join(parts).encode("utf-8", "surrogatepass")
    digest = xxh3_128_hexdigest(seed + text) if version > 1 else sha1(seed + text, usedforsecurity=False).hexdigest()
    return str(uuid.UUID(hex=digest[:32]))


def aside(task: str, checkpoint_id: str) -> str | None:
    """`INPUT` or `UPDATE` for ids under which LangGraph stores values that no node wrote; None for a task's."""
    try:
        seed = uuid.UUID(checkpoint_id)
    except ValueError:
        return None
    return {str(uuid.uuid5(seed, "__input__")): INPUT, str(uuid.uuid5(seed, "__interrupt__")): UPDATE}.get(task)


def created_ns(checkpoint_id: str) -> int | None:
    """When a checkpoint was made: its id is a version 6 UUID, which begins with the time. None for any other id."""
    found = SORTABLE.fullmatch(checkpoint_id)
    return None if found is None else max(0, int(found[1] + found[2] + found[3], 16) * 100 - SECONDS_1582_TO_1970 * 1_000_000_000)


def node_of_path(task_path: str) -> str | None:
    """The node that a `task_path` spells out: `~__pregel_pull, plan` is plan.

    None for a Send or a call, whose path has only numbers, and for an error handler, whose path is that of what failed.
    """
    return task_path.removeprefix(PULLED) if task_path.startswith(PULLED) and not task_path.endswith(HANDLES) else None


def handles_errors(node: str | None) -> bool:
    """Whether a node is the error handler of others."""
    return node is not None and (node.startswith(HANDLER) or node == EVERY_HANDLER)


def task_of(namespace: str | None) -> str | None:
    """The task something ran in: the last segment's id of the checkpoint namespace `node:task_id|node:task_id`."""
    return (namespace or "").rpartition("|")[2].rpartition(":")[2] or None


def index_of_path(task_path: str) -> int | None:
    """The number of the Send that a `task_path` spells out: `~__pregel_push, 0000000002, 0000000000` is 2. None for an error handler."""
    if task_path.endswith(HANDLES):
        return None
    parts = task_path.removeprefix(f"~{PUSH}, ").split(", ")
    return int(parts[0]) if task_path.startswith(f"~{PUSH}, ") and parts[0].isdigit() else None


@dataclass
class Naming:
    """What is known about the nodes of one thread, and the search for the node of a task.

    `known` maps task ids to nodes where a subgraph's namespace says so; `triggers` maps each node to the channels that may start it;
    `channels` are further channels that may do so.
    """

    known: dict[str, str] = field(default_factory=dict)
    triggers: dict[str, set[str]] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)

    def learn_namespace(self, namespace: str) -> None:
        """Take task ids and nodes from `node:task_id|node:task_id`."""
        for segment in namespace.split("|"):
            node, _, task = segment.rpartition(":")
            if node:
                self.known[task] = node
                self.triggers.setdefault(node, set())

    def learn_nodes(self, nodes: Iterable[str]) -> None:
        """Take names of nodes whose triggers are not known."""
        for node in nodes:
            self.triggers.setdefault(node, set())

    def learn_channel(self, channel: str) -> None:
        """Take a channel, and the node it starts where its name says so: `branch:to:plan`, `start:plan`, `branch:a:condition:plan`."""
        self.channels.add(channel)
        if channel.startswith(("branch:", "start:")):
            prefix = next((prefix for prefix in TRIGGER if channel.startswith(prefix)), None)
            node = channel.removeprefix(prefix) if prefix else channel.rpartition(":")[2]
            self.triggers.setdefault(node, set()).add(channel)

    def learn_seen(self, versions_seen: Mapping[str, Mapping[str, object]]) -> None:
        """Take nodes and their triggers from a checkpoint's `versions_seen`."""
        for node, seen in versions_seen.items():
            if node != "__interrupt__":
                self.triggers.setdefault(node, set()).update(seen)

    def node(self, task: str, path: str, place: Place, sent: Sequence[str] = ()) -> str | None:
        """The node of a task: from its path, a namespace, or a hash that fits. None where none of them says."""
        found = node_of_path(path) or self.known.get(task) or aside(task, place.checkpoint_id) or self._by_hash(task, path, place, sent)
        if found:
            self.known[task] = found
        return found

    def handler(self, task: str, failed: Mapping[str, str], place: Place) -> str | None:
        """The node of an error handler's task, by the tasks that failed there, each with its node. None where none fits."""
        for failed_id, node in failed.items():
            around = f"{place.namespace}|{node}:{failed_id}".removeprefix("|")
            for name in (f"{HANDLER}{node}", EVERY_HANDLER):
                if Place(place.checkpoint_id, around, place.step).fits(task, name, (PUSH, NODE_ERROR, failed_id)):
                    return name
        return None

    def _by_hash(self, task: str, path: str, place: Place, sent: Sequence[str]) -> str | None:
        index = index_of_path(path)
        if path and index is None:
            return None
        numbers = [index] if index is not None else range(min(len(sent), MAX_SENDS) if sent else 1)
        names = list(dict.fromkeys([*sent, *self.triggers]))
        pushed = ((name, (PUSH, str(number))) for name in names for number in numbers)
        pulled = iter(()) if path else self._pulled()
        candidates = itertools.islice(itertools.chain(pushed, pulled), MAX_CANDIDATES)
        return next((name for name, ending in candidates if place.fits(task, name, ending)), None)

    def _pulled(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield START, (PULL, START)
        for name, triggers in self.triggers.items():
            some = sorted(triggers)[:MAX_TRIGGERS]
            for size in range(len(some), 0, -1):
                yield from ((name, (PULL, *chosen)) for chosen in itertools.combinations(some, size))
        for name in self.triggers:
            yield from ((name, (PULL, channel)) for channel in sorted(self.channels))


@dataclass(frozen=True)
class Place:
    """Where a task starts: checkpoint, namespace, and the step it takes (one more than the checkpoint's)."""

    checkpoint_id: str
    namespace: str
    step: int | None

    def fits(self, task: str, name: str, ending: tuple[str, ...]) -> bool:
        """Whether a task of this node, started here, has this id."""
        if self.step is None:
            return False
        path = f"{self.namespace}|{name}" if self.namespace else name
        try:
            return any(task_id(self.checkpoint_id, path, str(self.step), name, *ending, version=version) == task for version in (4, 1))
        except ValueError:
            return False
