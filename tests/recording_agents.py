"""Runs an agent for real in a folder, with a checkpointer of its own there, recorded as a user would, and reads back what was recorded."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

import workbench as wb

CHECKPOINTS, STORE = "checkpoints.sqlite", "bench.db"


@contextlib.contextmanager
def recording(graph: Any, folder: Path, *, spans: bool = True) -> Iterator[Any]:
    """The graph to call; without `spans`, its checkpoints alone are kept."""
    with contextlib.closing(sqlite3.connect(folder / CHECKPOINTS, check_same_thread=False)) as connection:
        saved = graph.copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(saved, folder / STORE) if spans else contextlib.nullcontext(saved) as running:
            yield running


@contextlib.asynccontextmanager
async def recording_later(graph: Any, folder: Path, **given: Any) -> AsyncIterator[Any]:
    """The same to be called asynchronously, and `given` a store."""
    async with AsyncSqliteSaver.from_conn_string(str(folder / CHECKPOINTS)) as saver:
        with wb.record(graph.copy(update={"checkpointer": saver, **given}), folder / STORE) as running:
            yield running


@contextlib.contextmanager
def read_back(folder: Path) -> Iterator[wb.RecordedRun]:
    """The run of the thread that was recorded there."""
    with contextlib.closing(wb.open(folder / STORE)) as bench:
        bench.ingest(folder / CHECKPOINTS)
        yield bench.run("thread")
