"""LangGraph checkpoints in SQLite, as `SqliteSaver` writes them: every thread's checkpoints with the writes of the tasks that started there.

Read by raw SQL from a read-only connection: the saver's own reader alters the file and calls what the file names. Values are decoded
without importing, calling or unpickling anything; what is encrypted or refused is counted and said. Checkpoint states are left where they
are and fetched one at a time by `state`. All schemas since langgraph 0.2 are read; where a task's node is not stored, it is worked out.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import ormsgpack

from workbench.model import Json, Record
from workbench.plugins import Example
from workbench.reading.bundles import is_bundle
from workbench.reading.threads import MissingTablesError, checkpoints, fetch_state, opened
from workbench.source import Source, SourceError

MAGIC = b"SQLite format 3\x00"


def accepts(source: Source) -> bool:
    """Whether this is a SQLite database with the saver's two tables, or one too damaged to tell."""
    if not source.head.startswith(MAGIC) or is_bundle(source):
        return False
    try:
        with opened(source.path):
            return True
    except MissingTablesError:
        return False
    except SourceError:
        return True


def collect(source: Source) -> Iterator[Record]:
    """The checkpoints of all threads, oldest first within each, and what could not be read. SourceError when nothing can."""
    _check(source)
    yield from checkpoints(source.path)


def state(location: Path, thread_id: str, namespace: str, checkpoint_id: str) -> dict[str, Json]:
    """The channel values of one checkpoint, DeltaChannels rebuilt. LookupError when it isn't there; SourceError when it can't be decoded."""
    return fetch_state(location, thread_id, (namespace, checkpoint_id))


def _check(source: Source) -> None:
    if not source.head:
        raise SourceError(f"{source.path}: empty; a checkpoint database begins with {MAGIC[:15].decode()!r}")
    if source.compressed:
        raise SourceError(f"{source.path}: a compressed database; decompress it first, states are read from it later")
    if not source.head.startswith(MAGIC):
        raise SourceError(f"{source.path}: no SQLite database; one begins with {MAGIC[:15].decode()!r}, this with {source.head[:15]!r}")


# ---- examples


def _example(writes: Sequence[tuple[str, str, bytes]]) -> bytes:
    """A database of one thread with an input and a step, and these writes (channel, type, value) of the step's one task."""
    first, second = "1f1e6b96-c8ab-63e2-bfff-f9e4ca52e887", "1f1e6b96-c8bc-693d-8000-ddcf9ccf1196"
    task, path = "906c33cf-e58c-ad64-c11c-78a127841966", "~__pregel_pull, plan"
    blob = ormsgpack.packb({"v": 4, "id": second, "channel_values": {}, "channel_versions": {}, "versions_seen": {}})
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        for table, keys in _SCHEMA.items():
            database.execute(f"CREATE TABLE {table} ({keys})")
        for checkpoint, parent, meta in ((first, None, '{"source": "input", "step": -1}'), (second, first, '{"source": "loop", "step": 0}')):
            database.execute("INSERT INTO checkpoints VALUES ('1', '', ?, ?, 'msgpack', ?, ?)", (checkpoint, parent, blob, meta))
        rows = [(second, task, path, number, *write) for number, write in enumerate(writes)]
        database.executemany("INSERT INTO writes VALUES ('1', '', ?, ?, ?, ?, ?, ?, ?)", rows)
        database.commit()
        return database.serialize()


_SCHEMA: Mapping[str, str] = {
    "checkpoints": "thread_id TEXT, checkpoint_ns TEXT, checkpoint_id TEXT, parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB",
    "writes": "thread_id TEXT, checkpoint_ns TEXT, checkpoint_id TEXT, task_id TEXT, task_path TEXT, idx INTEGER, channel TEXT, type TEXT, value BLOB",
}
EXAMPLES = (
    Example("checkpoints.sqlite", _example([("topics", "msgpack", ormsgpack.packb(["otel"])), ("branch:to:agent", "null", b"")]), {"Checkpoint": 2}),
    Example("hostile.sqlite", _example([("topics", "pickle", b"cos\nsystem\n(S'true'\ntR.")]), {"Checkpoint": 2, "Skip": 1}),
    Example("encrypted.sqlite", _example([("topics", "msgpack+aes", b"\x00" * 16)]), {"Checkpoint": 2, "Skip": 1}),
)
