"""Whether the state a re-run ended with in memory is what a fresh process would find: what is not saved, or comes back otherwise, shows here."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.pregel import Pregel

from workbench.model import digest
from workbench.reading.kinds import of_packed
from workbench.reading.serde import UndecodedError
from workbench.replay.fence.overlay import decoding, serializer_of

Graph = Pregel[Any, Any, Any, Any]
UNSAVED = ("UntrackedValue", "EphemeralValue")
"""Channels that are not meant to be saved."""


def compared(graph: Graph, database: str, config: RunnableConfig, held: Any) -> tuple[str, str] | None:
    """The hashes of the state in memory and of the state reloaded from the database; None where the graph returned no state."""
    if not isinstance(held, Mapping):
        return None
    names = sorted(name for name in held if name in graph.channels and type(graph.channels[name]).__name__ not in UNSAVED)
    values = {name: held[name] for name in names}
    memory = _digest(graph, values)
    try:
        with decoding() as lost:
            reloaded = _reloaded(graph, database, config)
    except sqlite3.Error as error:
        return memory, f"can't be reloaded: {error}"
    if lost:  # it is this reading that leaves them plain data, and not the agent's own
        serializer = serializer_of(graph)
        memory = _digest(graph, serializer.loads_typed(serializer.dumps_typed(values)))
    return memory, _digest(graph, {name: reloaded.get(name) for name in names})


def _reloaded(graph: Graph, database: str, config: RunnableConfig) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(f"{Path(database).as_uri()}?mode=ro", uri=True)) as connection:
        saver = SqliteSaver(connection, serde=serializer_of(graph))
        saver.is_setup = True  # or it would change the database, which is only to be read
        found: dict[str, Any] = graph.copy(update={"checkpointer": saver, "store": None, "cache": None}).get_state(config).values
        return found


def _digest(graph: Graph, values: dict[str, Any]) -> str:
    packed = serializer_of(graph).dumps_typed(values)[1]
    try:
        return digest(of_packed(packed))
    except UndecodedError:  # too large or too deep to be looked into
        return hashlib.sha256(packed).hexdigest()
