"""Where in a graph a call was made: the nodes around it, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.reading.tasks import NODE_ERROR

PUSH = "__pregel_push"


def node_path(namespace: str | None, node: str | None) -> str:
    """The nodes from the root graph down, without task ids: `quote:1f…|` and `look_up` become `quote/look_up`."""
    names = [part.partition(":")[0] for part in (namespace or "").split("|") if part and not part.isdecimal()]
    return "/".join([*names, *([node] if node else [])])


def graph_of(namespace: str, path: Sequence[Any]) -> str:
    """The namespace of the graph that a task runs in, from the task's own.

    A `@task` runs in that of its caller, yet names the caller in its own; so does an error handler with what failed.
    """
    parts = [part for part in namespace.split("|") if part]
    return "|".join(parts[: len(parts) - 1 - _callers(path)])


def _callers(path: Sequence[Any]) -> int:
    """How many tasks called one another to come to this one: each call's path holds its caller's, and a handler's that of what failed."""
    found = int(len(path) > len((NODE_ERROR, False)) and path[-2] == NODE_ERROR)
    while len(path) > 1 and path[0] == PUSH and isinstance(path[1], list | tuple):
        found, path = found + 1, path[1]
    return found


def own_path(namespace: str, path: Sequence[Any]) -> str:
    """The node path of a task, as recorded ones are told: a `@task` beside its caller."""
    graph, task = graph_of(namespace, path), namespace.rpartition("|")[2]
    return node_path(f"{graph}|{task}" if graph else task, None)
