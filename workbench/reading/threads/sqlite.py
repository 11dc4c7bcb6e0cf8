"""Checkpoint tables in SQLite, as `SqliteSaver` makes them.

Read by raw SQL from a read-only connection: the saver's own reader alters the file and calls what the file names.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from workbench.model import Json
from workbench.reading import serde
from workbench.reading.threads.tables import BrokenOffError, CheckpointRow, MissingTablesError, Place, RawCheckpoint, RawWrite, StateRow, WriteRow
from workbench.source import SourceError, readonly

BLOCK_BYTES = 1 << 20
COLUMNS = {
    "checkpoints": {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "type", "checkpoint", "metadata"},
    "writes": {"thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "value"},
}
CHECKPOINTS = """
    SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, metadata FROM checkpoints WHERE thread_id = ? ORDER BY checkpoint_id
"""
CHECKPOINT = """
    SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?
"""
HAS = "SELECT 1 FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
WRITES = """
    SELECT checkpoint_ns, checkpoint_id, task_id, {task_path}, idx, channel, type, CASE WHEN length(value) <= ? THEN value END, length(value)
    FROM writes WHERE thread_id = ? {where} ORDER BY checkpoint_id, {task_path}, task_id, idx
"""
RAW_WRITES = """
    SELECT checkpoint_ns, checkpoint_id, task_id, {task_path}, idx, channel, type, value
    FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?
"""


class SqliteTables:
    """A file with the saver's two tables. Open it with `SqliteTables.opened`."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self._database = database

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[SqliteTables]:
        """The tables of a file, which does not change. SourceError when it can't be read, MissingTablesError when it lacks them."""
        try:
            with readonly(path) as database:
                database.text_factory = lambda text: text.decode("utf-8", "replace")
                database.execute("PRAGMA trusted_schema = 0")
                database.execute("PRAGMA mmap_size = 0")  # a mapped file that someone truncates in the meantime ends the process, not the reading
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if lacks := _missing(database):
                    raise MissingTablesError(f"{path}: no LangGraph checkpoint database: {lacks}")
                yield cls(path, database)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise SourceError(f"{path}: can't be read as SQLite ({error}); copy the database anew, with its -wal file if there is one") from error

    def threads(self) -> Iterator[str]:
        """See `Tables`."""
        known = dict.fromkeys(str(row[0]) for row in self._execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id"))
        yield from known
        yield from (str(row[0]) for row in self._execute("SELECT DISTINCT thread_id FROM writes ORDER BY thread_id") if str(row[0]) not in known)

    def has(self, thread_id: str, place: Place) -> bool:
        """See `Tables`."""
        return any(self._execute(HAS, thread_id, *place))

    def threads_with(self, place: Place) -> list[str]:
        """See `Tables`."""
        return [str(row[0]) for row in self._execute("SELECT thread_id FROM checkpoints WHERE checkpoint_ns = ? AND checkpoint_id = ?", *place)]

    def checkpoints(self, thread_id: str) -> Iterator[CheckpointRow]:
        """See `Tables`."""
        for namespace, one, parent, kind, metadata in self._execute(CHECKPOINTS, thread_id):
            yield CheckpointRow(str(namespace), str(one), _text(parent), str(kind), metadata)

    def writes(self, thread_id: str, place: Place | None = None, channel: str | None = None) -> Iterator[WriteRow]:
        """See `Tables`."""
        given = [*(place or ()), *(() if channel is None else (channel,))]
        where = ("AND checkpoint_ns = ? AND checkpoint_id = ? " if place else "") + ("" if channel is None else "AND channel = ?")
        sql = WRITES.format(task_path=self._task_path(), where=where)
        for namespace, one, task, path, idx, name, kind, value, size in self._execute(sql, serde.MAX_VALUE_BYTES, thread_id, *given):
            number = idx if isinstance(idx, int) else 0
            yield WriteRow(
                str(namespace), str(one), str(task), str(path or ""), number, str(name), str(kind), None if value is None else _bytes(value), size or 0
            )

    def skim(self, thread_id: str, place: Place) -> dict[str, Json]:
        """See `Tables`."""
        for _, kind, blob, _ in self._execute(CHECKPOINT, thread_id, *place):
            return _dict(serde.unpack(_bytes(blob)) if kind == "msgpack" else serde.decode(str(kind), _bytes(blob)).value)
        return {}

    def state(self, thread_id: str, place: Place, channel: str | None = None) -> StateRow | None:
        """See `Tables`. A file keeps all channels in one value, which is decoded whole."""
        for parent, kind, blob, metadata in self._execute(CHECKPOINT, thread_id, *place):
            values = _dict(_dict(serde.decode(str(kind), _bytes(blob)).value).get("channel_values"))
            return StateRow(_text(parent), metadata, values)
        return None

    def raw_checkpoints(self, thread_id: str, places: Iterable[Place]) -> Iterator[RawCheckpoint]:
        """See `Tables`."""
        for place in places:
            yield from (RawCheckpoint(*place, *row) for row in self._execute(CHECKPOINT, thread_id, *place))

    def raw_writes(self, thread_id: str, places: Iterable[Place]) -> Iterator[RawWrite]:
        """See `Tables`."""
        sql = RAW_WRITES.format(task_path=self._task_path())
        for place in places:
            yield from (RawWrite(*row) for row in self._execute(sql, thread_id, *place))

    def fingerprint(self, thread_id: str) -> str:
        """The hash of the file's bytes, with its write-ahead log where there is one."""
        found = hashlib.sha256()
        for part in (self.path, self.path.with_name(self.path.name + "-wal")):
            if part.exists():
                with part.open("rb") as stream:
                    while block := stream.read(BLOCK_BYTES):
                        found.update(block)
        return found.hexdigest()

    def _task_path(self) -> str:
        return "task_path" if "task_path" in _columns(self._database, "writes") else "''"

    def _execute(self, sql: str, *parameters: Json) -> Iterator[tuple[Json, ...]]:
        try:
            yield from self._database.execute(sql, parameters)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise BrokenOffError(f"cut off or damaged from here on: {error}") from error


def _missing(database: sqlite3.Connection) -> str:
    """What a checkpoint database has and this one lacks, in words; empty when it is one. A view is no table: it can compute without end."""
    for table, columns in COLUMNS.items():
        row = database.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
        if row is None or str(row[0]).upper().startswith("CREATE VIRTUAL"):
            return f"it has no table {table}"
        if absent := columns - _columns(database, table):
            return f"its table {table} has no column {', '.join(sorted(absent))}"
    return ""


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[0]) for row in database.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _bytes(blob: Json) -> bytes:
    return blob if isinstance(blob, bytes) else str(blob or "").encode("utf-8", "replace")


def _text(value: Json) -> str | None:
    return None if value is None else str(value)


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
