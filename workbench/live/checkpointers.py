"""Checkpoints of the graphs one calls: which checkpointer keeps which thread, and how its checkpoints come into a store, so that the run can be forked.

A SQLite file or a PostgreSQL database is read where it is, and only the threads that were called. Any other checkpointer, such as one in memory, is asked by
LangGraph's own interface, and what it says is copied by LangGraph's own saver into a SQLite file in the store's folder of forks: as it is, not redacted, like
every database that a run is recorded in. Deleting the run deletes the copy.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.pregel import Pregel

from workbench import collection
from workbench.database import Location, location
from workbench.store import Store
from workbench.taps import starts
from workbench.taps.starts import Graph

logger = logging.getLogger("workbench.live")


@dataclass(frozen=True)
class Called:
    """A thread that a graph was called with: the graph, its checkpointer, and where that keeps its checkpoints, None where no database of ours to read does."""

    thread_id: str
    graph: Pregel[Any, Any, Any, Any]
    saver: BaseCheckpointSaver[Any] | None
    place: Location | None

    @property
    def named(self) -> str | None:
        """The graph as "module:attribute", as a re-run imports it; None where no module but the notebook holds it."""
        modules = [(name, module) for name, module in list(sys.modules.items()) if name != "__main__" and module is not None]
        found = (f"{name}:{key}" for name, module in modules for key, value in list(vars(module).items()) if self._is(value))
        return next(found, None)

    def _is(self, value: object) -> bool:
        if not isinstance(value, Pregel):
            return False
        builder = getattr(value, "builder", None)  # `with_config` makes a copy of the same plan
        return value is self.graph or (builder is not None and builder is getattr(self.graph, "builder", None))


@contextmanager
def called_threads() -> Iterator[dict[str, Called]]:
    """Note the threads that LangGraph graphs are called with inside, each with the outermost graph that has a checkpointer."""
    noted: dict[str, Called] = {}

    def note(graph: Graph, config: RunnableConfig | None, *_: Any) -> RunnableConfig | None:
        thread = _thread_of(config) or _thread_of(graph.config)
        if thread and (thread not in noted or noted[thread].saver is None):
            saver = graph.checkpointer if isinstance(graph.checkpointer, BaseCheckpointSaver) else None
            noted[thread] = Called(thread, graph, saver, place_of(saver))
        return config

    with starts.hearing(note):
        yield noted


def _thread_of(config: RunnableConfig | None) -> str:
    """The thread as checkpointers are told it, empty where there is none."""
    thread = ((config or {}).get("configurable") or {}).get("thread_id")
    return "" if thread is None else str(thread)


def place_of(saver: BaseCheckpointSaver[Any] | None) -> Location | None:
    """The file or database a checkpointer writes to, asked while it is open; None where there is none, or it doesn't say."""
    try:
        return _database_of(getattr(saver, "conn", None))
    except Exception:  # whatever it is: the call that is noted must not fail by it, and `keep` asks the checkpointer itself
        logger.exception("not known where %s writes to", type(saver).__name__)
        return None


def _database_of(connection: Any) -> Location | None:
    if isinstance(connection, sqlite3.Connection):
        files = {name: file for _, name, file in connection.execute("PRAGMA database_list")}
        return Path(files["main"]) if files.get("main") else None
    if hasattr(connection, "getconn"):  # a pool of psycopg's
        with connection.connection() as one:
            return _server_of(one)
    return _server_of(connection) if hasattr(connection, "pgconn") else None


def _server_of(connection: Any) -> Location:
    """The database of a psycopg connection. Its password is remembered for this process alone, as if it had stood in a URL."""
    info = connection.info
    user = quote(info.user, safe="") + (f":{quote(info.password, safe='')}" if info.password else "")
    given = {"host": info.host, "port": str(info.port), **{key: value for key, value in info.get_parameters().items() if key in ("options", "sslmode")}}
    return location(f"postgresql://{user}@/{quote(info.dbname, safe='')}?{urlencode(given, quote_via=quote)}")


def keep(store: Store, called: Called) -> tuple[Location, int]:
    """Store a thread's checkpoints; returns the database they are read from, where they had to be copied the copy, and how many there are.

    LookupError where there is no checkpointer; SourceError, or what the checkpointer raises, where it can't be read.
    """
    if called.saver is None:
        raise LookupError("its graph has no checkpointer")
    place = called.place or _copied(called.saver, called.thread_id, store.forks)
    return place, collection.add_thread(store, place, called.thread_id)


def _copied(saver: BaseCheckpointSaver[Any], thread_id: str, folder: Path) -> Path:
    """A file with a thread's checkpoints and their writes. What an earlier copy holds stays in it."""
    every = list(saver.list({"configurable": {"thread_id": thread_id}}))
    if not every:
        raise LookupError(f"{type(saver).__name__} has no checkpoint of it")
    folder.mkdir(exist_ok=True)
    path = folder / f"recorded-{hashlib.sha256(thread_id.encode()).hexdigest()[:16]}.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        copy = SqliteSaver(connection, serde=saver.serde)
        for one in reversed(every):  # the oldest first
            place = one.config["configurable"]
            root: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": place["checkpoint_ns"]}}
            copy.put(one.parent_config or root, one.checkpoint, one.metadata, {})
            writes: dict[str, list[tuple[str, Any]]] = defaultdict(list)
            for task_id, channel, value in one.pending_writes or ():
                writes[task_id].append((channel, value))
            for task_id, those in writes.items():
                copy.put_writes(one.config, those, task_id)
    return path
