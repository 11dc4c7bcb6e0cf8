"""A graph on its scratch thread: pointed at no other checkpointer, store or cache, and run directly or in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_CHECKPOINT_NS
from langgraph._internal._runnable import RunnableCallable
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.pregel import Pregel
from langgraph.pregel._loop import AsyncPregelLoop, SyncPregelLoop
from langgraph.pregel._read import PregelNode
from langgraph.types import StateSnapshot, StateUpdate

from workbench.replay.fence.overlay import serializer_of
from workbench.replay.fence.stores import store_of
from workbench.replay.protocol import Request

Graph = Pregel[Any, Any, Any, Any]
Writers = Sequence[tuple[str, Callable[[dict[str, Any]], None]]]
"""What is to be written by `update_state` in place of what nodes of these names would write, each given the `configurable` of its task."""
SURVIVES_A_KILL = "PRAGMA synchronous = NORMAL"
"""What a checkpoint's commit has to outlive is the process, not the power: it does not wait for the disk."""


class Runner(Protocol):
    """A graph on its scratch thread."""

    config: RunnableConfig

    def invoke(self, given: Any, config: RunnableConfig, context: Any, at: str | None = None) -> Any:
        """Run until the graph ends or stops, configured so, from where the thread stands or from one of its checkpoints.

        Returns the state as it stands in memory. What is done next to the thread is configured so, too.
        """

    def update(self, writers: Writers, at: str | None) -> None:
        """Call `update_state` there, with these in place of what the nodes of these names write."""

    def nodes(self, at: str | None) -> tuple[Mapping[str, set[str]], Sequence[str]]:
        """The graph's nodes with the channels that start each, and those that were to run next there."""

    def put(self, checkpoint: Checkpoint, at: str | None) -> None:
        """Add this checkpoint behind that one, as `update_state` would have made it."""

    def state(self) -> StateSnapshot:
        """Where the thread stands."""


@contextmanager
def runner(graph: Graph, request: Request, *, loops: bool) -> Iterator[Runner]:
    """The graph pointed at scratch: no other checkpointer, store or cache. `loops`: it has to run in an event loop."""
    config: RunnableConfig = {"configurable": {**(request.starts[0].configurable if request.starts else {}), "thread_id": request.run_id}}
    graph = graph.copy(update={"store": store_of(graph), "cache": None, "interrupt_before_nodes": _breakpoints(graph, request.waits)})
    wait_for_no_checkpoint()
    if loops:
        with asyncio.Runner() as loop:
            connected = AsyncSqliteSaver.from_conn_string(request.database)
            saver = loop.run(connected.__aenter__())
            saver.serde = serializer_of(graph)
            loop.run(_written_by_the_system(saver))
            try:
                yield _Looped(graph, saver, config, loop)
            finally:
                loop.run(connected.__aexit__(None, None, None))
    else:
        with contextlib.closing(sqlite3.connect(request.database, check_same_thread=False)) as connection:
            connection.execute(SURVIVES_A_KILL)
            yield _Direct(graph, SqliteSaver(connection, serde=serializer_of(graph)), config)


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
    def __init__(self, graph: Graph, saver: SqliteSaver, config: RunnableConfig) -> None:
        self.graph, self.saver, self.config = graph.copy(update={"checkpointer": saver}), saver, config

    def invoke(self, given: Any, config: RunnableConfig, context: Any, at: str | None = None) -> Any:
        self.config = _threaded(config, self.config)
        return self.graph.invoke(given, _placed(self.config, at), context=context, durability="sync")

    def update(self, writers: Writers, at: str | None) -> None:
        _writing(self.graph, writers).bulk_update_state(_placed(self.config, at), _updates(writers))

    def nodes(self, at: str | None) -> tuple[Mapping[str, set[str]], Sequence[str]]:
        return _triggers(self.graph), self.graph.get_state(_placed(self.config, at)).next

    def put(self, checkpoint: Checkpoint, at: str | None) -> None:
        before = self.graph.get_state(_placed(self.config, at))
        self.saver.put(_root(before), *_updated(checkpoint, before), {})

    def state(self) -> StateSnapshot:
        return self.graph.get_state(self.config)


class _Looped:
    def __init__(self, graph: Graph, saver: AsyncSqliteSaver, config: RunnableConfig, loop: asyncio.Runner) -> None:
        self.graph, self.saver, self.config = graph.copy(update={"checkpointer": saver}), saver, config
        self.loop = loop

    def invoke(self, given: Any, config: RunnableConfig, context: Any, at: str | None = None) -> Any:
        self.config = _threaded(config, self.config)
        return self.loop.run(self.graph.ainvoke(given, _placed(self.config, at), context=context, durability="sync"))

    def update(self, writers: Writers, at: str | None) -> None:
        self.loop.run(_writing(self.graph, writers).abulk_update_state(_placed(self.config, at), _updates(writers)))

    def nodes(self, at: str | None) -> tuple[Mapping[str, set[str]], Sequence[str]]:
        return _triggers(self.graph), self.loop.run(self.graph.aget_state(_placed(self.config, at))).next

    def put(self, checkpoint: Checkpoint, at: str | None) -> None:
        before = self.loop.run(self.graph.aget_state(_placed(self.config, at)))
        self.loop.run(self.saver.aput(_root(before), *_updated(checkpoint, before), {}))

    def state(self) -> StateSnapshot:
        return self.loop.run(self.graph.aget_state(self.config))


def _threaded(config: RunnableConfig, before: RunnableConfig) -> RunnableConfig:
    """A config on the thread of the one before."""
    return {**config, "configurable": {**config.get("configurable", {}), "thread_id": before["configurable"]["thread_id"]}}


def _placed(config: RunnableConfig, at: str | None) -> RunnableConfig:
    """The config of one of the thread's checkpoints."""
    return config if at is None else {**config, "configurable": {**config["configurable"], "checkpoint_id": at}}


def _root(before: StateSnapshot) -> RunnableConfig:
    """The config of a checkpoint of the root graph, as a saver wants it."""
    return {**before.config, "configurable": {CONFIG_KEY_CHECKPOINT_NS: "", **before.config["configurable"]}}


def _updated(checkpoint: Checkpoint, before: StateSnapshot) -> tuple[Checkpoint, CheckpointMetadata]:
    """A checkpoint under an id of its own, which makes it the newest, and its metadata."""
    step = (before.metadata or {}).get("step", -1) + 1
    return {**checkpoint, "id": str(uuid6(clock_seq=step))}, {"source": "update", "step": step, "parents": {}}


def _triggers(graph: Graph) -> dict[str, set[str]]:
    return {name: set(node.triggers) for name, node in graph.nodes.items()}


def _updates(writers: Writers) -> list[list[StateUpdate]]:
    """One update by all of them, each of which is given its place among those of its node."""
    return [[StateUpdate({"place": number}, name) for number, (name, _) in enumerate(writers)]]


def _writing(graph: Graph, writers: Writers) -> Graph:
    """The graph with nodes that write so, for `update_state` alone, which has a node's writers write."""
    found = graph.copy()

    def write(given: dict[str, int], config: RunnableConfig) -> None:
        writers[given["place"]][1](config["configurable"])

    async def write_later(given: dict[str, int], config: RunnableConfig) -> None:
        write(given, config)

    writer = RunnableCallable(write, write_later, name="update_state")
    found.nodes = {**found.nodes, **{name: PregelNode(channels=[], triggers=[], writers=[writer]) for name, _ in writers}}
    return found
