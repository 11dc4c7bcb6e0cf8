"""From where LangGraph counts the super-steps of a start against its recursion limit: a re-run begins in the midst of one."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langgraph.pregel._loop import AsyncPregelLoop, PregelLoop, SyncPregelLoop

_begun: dict[str, int] = {}


@contextmanager
def counted_from(begun: Mapping[str, int]) -> Iterator[None]:
    """Let the graphs in these namespaces, as each is gone on with for the first time inside, count from what stands there."""
    _begun.update(begun)
    try:
        yield
    finally:
        _begun.clear()


def put_up() -> None:
    """See each graph begin from now on. LookupError when LangGraph no longer begins where it did."""
    for kind, name, patched in ((SyncPregelLoop, "__enter__", _patched), (AsyncPregelLoop, "__aenter__", _patched_later)):
        original = vars(kind).get(name)
        if original is None:
            raise LookupError(f"langgraph has no {kind.__qualname__}.{name} any more")
        if not hasattr(original, "workbench"):
            setattr(kind, name, patched(original))


def _patched(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def enter(self: SyncPregelLoop) -> Any:
        entered = original(self)
        _count(self)
        return entered

    enter.workbench = original  # type: ignore[attr-defined]
    return enter


def _patched_later(original: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    @functools.wraps(original)
    async def enter(self: AsyncPregelLoop) -> Any:
        entered = await original(self)
        _count(self)
        return entered

    enter.workbench = original  # type: ignore[attr-defined]
    return enter


def _count(loop: PregelLoop) -> None:
    begun = _begun.pop("|".join(loop.checkpoint_ns), None)
    if begun is not None:
        loop.stop = begun + loop.config["recursion_limit"] + 1
