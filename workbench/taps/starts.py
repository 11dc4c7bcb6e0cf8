"""Where a LangGraph graph is started: the one place to hear of each start, with its config and the context that it is given.

Every way to run a graph goes through `Pregel.stream` or `Pregel.astream`. What a graph is given as its context stands in no checkpoint and no span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel

Graph = Pregel[Any, Any, Any, Any]
Listener = Callable[[Graph, RunnableConfig | None, Any, bool], RunnableConfig | None]
"""Hears of a start: the graph, its config, its context, and whether it runs in an event loop. Returns the config to start it with."""

LOOPS = "workbench.start.loops"
"""The attribute that tells whether a run was started in an event loop: a tool, a model or a node may do there what it refuses elsewhere."""
METHODS = {"stream": False, "astream": True}
_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Let this listener hear of each start from now on, beside those that do."""
    _listeners.append(listener)
    for name, loops in METHODS.items():
        original = getattr(Pregel, name)
        if not hasattr(original, "workbench"):
            setattr(Pregel, name, _heard(original, loops=loops))


def forget(listener: Listener) -> None:
    """Let this listener hear no more."""
    if listener in _listeners:
        _listeners.remove(listener)


@contextmanager
def hearing(listener: Listener) -> Iterator[None]:
    """Let this listener hear of each start inside."""
    listen(listener)
    try:
        yield
    finally:
        forget(listener)


def _heard(original: Callable[..., Any], *, loops: bool) -> Callable[..., Any]:
    @wraps(original)
    def started(graph: Graph, given: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        for listener in tuple(_listeners):
            config = listener(graph, config, options.get("context"), loops)
        return original(graph, given, config, **options)

    started.workbench = original  # type: ignore[attr-defined]  # marks it as patched
    return started
