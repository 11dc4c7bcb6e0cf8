"""A graph on its scratch thread: pointed at no other checkpointer, store or cache, and run directly or in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.pregel import Pregel
from langgraph.pregel._loop import AsyncPregelLoop, SyncPregelLoop
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import StateSnapshot

from workbench.replay.fence.overlay import serializer_of
from workbench.replay.protocol import Request

Graph = Pregel[Any, Any, Any, Any]
SURVIVES_A_KILL = "PRAGMA synchronous = NORMAL"
"""What a checkpoint's commit has to outlive is the process, not the power: it does not wait for the disk."""


class Runner(Protocol):
    """A graph on its scratch thread."""

    config: RunnableConfig

    def invoke(self, given: Any, limit: int | None, context: Any) -> Any:
        """Run until the graph ends or stops, for so many super-steps at most. Returns the state as it stands in memory."""

    def state(self) -> StateSnapshot:
        """Where the thread stands."""


@contextmanager
def runner(graph: Graph, request: Request, *, loops: bool) -> Iterator[Runner]:
    """The graph pointed at scratch: no other checkpointer, store or cache. `loops`: it has to run in an event loop."""
    config: RunnableConfig = {"configurable": {**request.configurable, "thread_id": request.run_id}}
    scratch = {"store": _store(graph), "cache": None, "interrupt_before_nodes": _breakpoints(graph, request.waits)}
    wait_for_no_checkpoint()
    if loops:
        with asyncio.Runner() as loop:
            connected = AsyncSqliteSaver.from_conn_string(request.database)
            saver = loop.run(connected.__aenter__())
            saver.serde = serializer_of(graph)
            loop.run(_written_by_the_system(saver))
            try:
                yield _Looped(graph.copy(update={"checkpointer": saver, **scratch}), config, loop)
            finally:
                loop.run(connected.__aexit__(None, None, None))
    else:
        with contextlib.closing(sqlite3.connect(request.database, check_same_thread=False)) as connection:
            connection.execute(SURVIVES_A_KILL)
            yield _Direct(graph.copy(update={"checkpointer": SqliteSaver(connection, serde=serializer_of(graph)), **scratch}), config)


def _store(graph: Graph) -> BaseStore | None:
    """The store of a re-run: the graph's own where that is in memory, as its module made it, else an empty one."""
    return graph.store if graph.store is None or isinstance(graph.store, InMemoryStore) else InMemoryStore()


def _breakpoints(graph: Graph, waits: Sequence[str]) -> Sequence[str]:
    """The nodes that the graph stops before: its own, and those that the recorded run stood before at its end, which it may have been told at its start."""
    own = graph.interrupt_before_nodes
    return own if own == "*" else [*own, *(one for one in waits if one in graph.nodes)]


class _Written:
    """Stands for a checkpoint that was written, in a loop that never writes one.

    LangGraph 1.2 waits for it after each super-step, in a subgraph without a checkpointer too, which has none to wait for.
    """

    def result(self) -> None:
        """Nothing is waited for."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


def wait_for_no_checkpoint() -> None:
    """Let subgraphs without a checkpointer run where each checkpoint is written before the next super-step."""
    for loop in (SyncPregelLoop, AsyncPregelLoop):
        if not hasattr(loop, "_put_checkpoint_fut"):
            setattr(loop, "_put_checkpoint_fut", _Written())  # noqa: B010  # which it sets itself with the first checkpoint


async def _written_by_the_system(saver: AsyncSqliteSaver) -> None:
    await saver.conn.execute(SURVIVES_A_KILL)


class _Direct:
    def __init__(self, graph: Graph, config: RunnableConfig) -> None:
        self.graph, self.config = graph, config

    def invoke(self, given: Any, limit: int | None, context: Any) -> Any:
        return self.graph.invoke(given, _limited(self.config, limit), context=context, durability="sync")

    def state(self) -> StateSnapshot:
        return self.graph.get_state(self.config)


class _Looped:
    def __init__(self, graph: Graph, config: RunnableConfig, loop: asyncio.Runner) -> None:
        self.graph, self.config, self.loop = graph, config, loop

    def invoke(self, given: Any, limit: int | None, context: Any) -> Any:
        return self.loop.run(self.graph.ainvoke(given, _limited(self.config, limit), context=context, durability="sync"))

    def state(self) -> StateSnapshot:
        return self.loop.run(self.graph.aget_state(self.config))


def _limited(config: RunnableConfig, limit: int | None) -> RunnableConfig:
    return config if limit is None else {**config, "recursion_limit": limit}
