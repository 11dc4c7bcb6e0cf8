"""Where a re-run's graph stops at a breakpoint (`interrupt_before`, `interrupt_after`), as LangGraph's own loop tells: its state tells only that it stands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langgraph.errors import GraphInterrupt
from langgraph.pregel._loop import PregelLoop

METHODS = ("tick", "after_tick")


@dataclass(frozen=True)
class Pause:
    """A graph that stopped at a breakpoint: its namespace, the super-step that it would do next, and the nodes in it, none where it only had to end."""

    namespace: str
    step: int
    nodes: frozenset[str]
    thread_id: str

    def __str__(self) -> str:
        return (
            f"before {', '.join(sorted(self.nodes))}" if self.nodes else f"at the end of {self.namespace.rpartition('|')[2].partition(':')[0] or 'the graph'}"
        )


_heard: list[Pause] = []


def put_up() -> None:
    """Hear of each breakpoint from now on. LookupError when LangGraph no longer stops where it did."""
    for name in METHODS:
        original = getattr(PregelLoop, name, None)
        if original is None:
            raise LookupError(f"langgraph has no {PregelLoop.__qualname__}.{name} any more")
        if not hasattr(original, "workbench"):
            setattr(PregelLoop, name, _patched(original))


def heard() -> list[Pause]:
    """The breakpoints since this was last asked."""
    found, _heard[:] = list(_heard), []
    return found


def _patched(original: Callable[[PregelLoop], Any]) -> Callable[[PregelLoop], Any]:
    @functools.wraps(original)
    def step(self: PregelLoop) -> Any:
        try:
            return original(self)
        except GraphInterrupt:
            _heard.append(_pause(self))
            raise

    step.workbench = original  # type: ignore[attr-defined]
    return step


def _pause(loop: PregelLoop) -> Pause:
    """The tasks that a loop holds at a breakpoint are those to come, before a node and after one."""
    nodes = frozenset(task.name for task in loop.tasks.values())
    return Pause("|".join(loop.checkpoint_ns), loop.step, nodes, str(loop.config["configurable"].get("thread_id")))
