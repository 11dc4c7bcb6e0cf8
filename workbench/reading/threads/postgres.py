"""Checkpoint tables in PostgreSQL, as `PostgresSaver` makes them: a checkpoint is JSON, its channel values stand apart by channel and version.

Read in transactions that are READ ONLY, with a time limit for each statement and a snapshot for each thread. Values that the saver keeps
inline (numbers, texts) are JSON; the others are LangGraph's serialised values, each with a type of its own, so that of a state with an encrypted
channel the others can be read.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import ormsgpack
import psycopg

from workbench.database import Database, limited, reading
from workbench.model import Json
from workbench.reading import serde
from workbench.reading.threads.tables import BrokenOffError, CheckpointRow, MissingTablesError, Place, RawCheckpoint, RawWrite, StateRow, WriteRow
from workbench.source import SourceError

COPIED_ROWS = 100
FIX_MAP, MAP_16, MAP_32 = 16, b"\xde", b"\xdf"
COLUMNS = {
    "checkpoints": {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "checkpoint", "metadata"},
    "checkpoint_blobs": {"thread_id", "checkpoint_ns", "channel", "version", "type", "blob"},
    "checkpoint_writes": {"thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "blob"},
}
COLUMNS_OF = """
    SELECT attname FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
    WHERE attrelid = to_regclass(%s::text) AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p')
"""
THREADS = """
    SELECT thread_id, bool_or(kept) FROM (SELECT DISTINCT thread_id, true AS kept FROM checkpoints
        UNION ALL SELECT DISTINCT thread_id, false FROM checkpoint_writes) AS every
    GROUP BY thread_id ORDER BY bool_or(kept) DESC, thread_id COLLATE "C"
"""
CHECKPOINTS = """
    SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, '', metadata::text FROM checkpoints WHERE thread_id = %s
    ORDER BY checkpoint_id COLLATE "C"
"""
WRITES = """
    SELECT checkpoint_ns, checkpoint_id, task_id, {task_path}, idx, channel, coalesce(type, ''),
        CASE WHEN octet_length(blob) <= %s THEN blob END, octet_length(blob)
    FROM checkpoint_writes WHERE thread_id = %s {where}
    ORDER BY checkpoint_id COLLATE "C", {task_path} COLLATE "C", task_id COLLATE "C", idx
"""
HAS = "SELECT 1 FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s"
PLACES = "(checkpoint_ns, checkpoint_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
STATES = """
    SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint::text, metadata::text FROM checkpoints WHERE thread_id = %s AND {places}
"""
BLOBS = """
    SELECT checkpoint_ns, checkpoint_id, blobs.channel, blobs.type, CASE WHEN octet_length(blobs.blob) <= %s THEN blobs.blob END, octet_length(blobs.blob)
    FROM checkpoints CROSS JOIN LATERAL jsonb_each_text(checkpoint -> 'channel_versions') AS version
    JOIN checkpoint_blobs AS blobs USING (thread_id, checkpoint_ns)
    WHERE blobs.channel = version.key AND blobs.version = version.value AND blobs.type <> 'empty' AND thread_id = %s AND {places} {only}
"""
RAW_WRITES = """
    SELECT checkpoint_ns, checkpoint_id, task_id, {task_path}, idx, channel, type, blob FROM checkpoint_writes WHERE thread_id = %s AND {places}
"""
FINGERPRINT = """
    SELECT encode(sha256(coalesce(string_agg(hash, ''::bytea ORDER BY hash), ''::bytea)), 'hex')
    FROM (SELECT sha256(convert_to(one::text, 'UTF8')) AS hash FROM {table} AS one WHERE thread_id = %s) AS rows
"""
MAX_BYTES = (1 << 31) - 1


class PostgresTables:
    """A database with the saver's three tables. Open it with `PostgresTables.opened`."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._fresh()
        for table, columns in COLUMNS.items():
            self._check(table, columns)
        self._task_path = "task_path" if "task_path" in self._columns("checkpoint_writes") else "''::text"

    @classmethod
    @contextlib.contextmanager
    def opened(cls, database: Database) -> Iterator[PostgresTables]:
        """The tables of a database, looked for along its search path. SourceError when it can't be reached, MissingTablesError when it lacks them."""
        with reading(database) as connection:
            try:
                yield cls(connection)
            except MissingTablesError as error:
                raise MissingTablesError(f"{database}: no LangGraph checkpoint database: {error}") from None

    def threads(self) -> Iterator[str]:
        """See `Tables`. Each thread is read in a snapshot of its own: one held for long would keep the server from cleaning up."""
        for thread_id, _ in list(self._execute(THREADS)):
            self._fresh()
            yield thread_id

    def has(self, thread_id: str, place: Place) -> bool:
        """See `Tables`."""
        return any(self._execute(HAS, thread_id, *place))

    def threads_with(self, place: Place) -> list[str]:
        """See `Tables`."""
        return [row[0] for row in self._execute("SELECT thread_id FROM checkpoints WHERE checkpoint_ns = %s AND checkpoint_id = %s", *place)]

    def checkpoints(self, thread_id: str) -> Iterator[CheckpointRow]:
        """See `Tables`."""
        return (CheckpointRow(*row) for row in self._stream(CHECKPOINTS, thread_id))

    def writes(self, thread_id: str, place: Place | None = None, channel: str | None = None) -> Iterator[WriteRow]:
        """See `Tables`."""
        given = [*(place or ()), *(() if channel is None else (channel,))]
        where = ("AND checkpoint_ns = %s AND checkpoint_id = %s " if place else "") + ("" if channel is None else "AND channel = %s")
        sql = WRITES.format(task_path=self._task_path, where=where)
        return (WriteRow(*row) for row in self._stream(sql, serde.MAX_VALUE_BYTES, thread_id, *given))

    def skim(self, thread_id: str, place: Place) -> dict[str, Json]:
        """See `Tables`."""
        sql = "SELECT (checkpoint - 'channel_values')::text FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s"
        return next((_object(row[0]) for row in self._execute(sql, thread_id, *place)), {})

    def state(self, thread_id: str, place: Place, channel: str | None = None) -> StateRow | None:
        """See `Tables`. In place of a channel that can't be decoded stands why: `{"$type": "undecoded", "why": "encrypted: key not given"}`."""
        for _, _, parent, checkpoint, metadata in self._execute(STATES.format(places=PLACES), thread_id, *_columns_of([place])):
            values = _object(checkpoint).get("channel_values")
            return StateRow(parent, metadata, {**(values if isinstance(values, dict) else {}), **self._blobs(thread_id, place, channel)})
        return None

    def raw_checkpoints(self, thread_id: str, places: Iterable[Place]) -> Iterator[RawCheckpoint]:
        """See `Tables`. The values are put together as they are, undecoded, into one msgpack value, as the SQLite saver keeps them."""
        for batch in _batched(places):
            blobs: dict[Place, dict[str, bytes]] = defaultdict(dict)
            for namespace, one, channel, kind, blob, _ in self._execute(BLOBS.format(places=PLACES, only=""), MAX_BYTES, thread_id, *_columns_of(batch)):
                blobs[namespace, one][channel] = _packed(channel, kind, blob)
            for namespace, one, parent, checkpoint, metadata in self._execute(STATES.format(places=PLACES), thread_id, *_columns_of(batch)):
                yield RawCheckpoint(namespace, one, parent, "msgpack", _spliced(_object(checkpoint), blobs[namespace, one]), metadata)

    def raw_writes(self, thread_id: str, places: Iterable[Place]) -> Iterator[RawWrite]:
        """See `Tables`."""
        sql = RAW_WRITES.format(task_path=self._task_path, places=PLACES)
        for batch in _batched(places):
            yield from (RawWrite(*row) for row in self._execute(sql, thread_id, *_columns_of(batch)))

    def fingerprint(self, thread_id: str) -> str:
        """A hash of the thread's rows in the three tables, worked out by the server."""
        self._fresh()
        hashes = [row[0] for table in COLUMNS for row in self._execute(FINGERPRINT.format(table=table), thread_id)]
        return hashlib.sha256("".join(hashes).encode("ascii")).hexdigest()

    def _blobs(self, thread_id: str, place: Place, channel: str | None) -> dict[str, Json]:
        sql = BLOBS.format(places=PLACES, only="" if channel is None else "AND blobs.channel = %s")
        rows = self._execute(sql, serde.MAX_VALUE_BYTES, thread_id, *_columns_of([place]), *(() if channel is None else (channel,)))
        return {name: _decoded(kind, blob, size) for _, _, name, kind, blob, size in rows}

    # ---- the connection

    def _fresh(self) -> None:
        """Begin a new snapshot."""
        limited(self._connection)

    def _check(self, table: str, columns: set[str]) -> None:
        found = self._columns(table)
        if not found:
            raise MissingTablesError(f"it has no table {table} on its search path")
        if absent := columns - found:
            shallow = "; a ShallowPostgresSaver keeps no history that could be read" if "version" in absent or "checkpoint_id" in absent else ""
            raise MissingTablesError(f"its table {table} has no column {', '.join(sorted(absent))}{shallow}")

    def _columns(self, table: str) -> set[str]:
        return {row[0] for row in self._execute(COLUMNS_OF, table)}

    def _execute(self, sql: str, *parameters: Json) -> Iterator[tuple[Any, ...]]:
        with _told_as_broken(), self._connection.cursor() as cursor:
            yield from cursor.execute(sql, parameters)

    def _stream(self, sql: str, *parameters: Json) -> Iterator[tuple[Any, ...]]:
        """The rows as the server sends them, none kept. A cursor on the server would do as well, with three round trips instead of one."""
        with _told_as_broken(), self._connection.cursor() as cursor:
            yield from cursor.stream(sql, parameters)


@contextlib.contextmanager
def _told_as_broken() -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, UnicodeDecodeError) as error:
        raise BrokenOffError(f"can't be read from here on: {' '.join(str(error).split())}") from error


def _columns_of(places: Iterable[Place]) -> tuple[list[str], list[str]]:
    return [place[0] for place in places], [place[1] for place in places]


def _batched(places: Iterable[Place]) -> Iterator[list[Place]]:
    rest = iter(places)
    while batch := list(itertools.islice(rest, COPIED_ROWS)):
        yield batch


def _object(text: str) -> dict[str, Json]:
    value = serde.decode_json(text).value
    return value if isinstance(value, dict) else {}


def _decoded(kind: str, blob: bytes | None, size: int | None) -> Json:
    """A channel's value, or why there is none."""
    if blob is None and size:
        return {"$type": "undecoded", "why": f"{size:,} bytes, more than {serde.MAX_VALUE_BYTES:,}"}
    try:
        return serde.decode(kind, blob or b"").value
    except serde.UndecodedError as error:
        return {"$type": "undecoded", "why": str(error)}


# ---- splicing


def _packed(channel: str, kind: str, blob: bytes) -> bytes:
    """A serialised value as it stands within a larger msgpack value."""
    if kind == "msgpack":
        return blob
    if kind in serde.LITERALS:
        return ormsgpack.packb(None if kind == "null" else blob)
    raise SourceError(f"the channel {channel!r} is kept as {kind}, which can't be copied without loading it; only msgpack can")


def _spliced(checkpoint: dict[str, Json], blobs: dict[str, bytes]) -> bytes:
    """A checkpoint's JSON and its channels' bytes as the one value that the SQLite saver would have written."""
    inline = checkpoint.get("channel_values")
    values = {name: _pack(value) for name, value in (inline.items() if isinstance(inline, dict) else ()) if name not in blobs} | blobs
    return _map({name: _pack(value) for name, value in checkpoint.items() if name != "channel_values"} | {"channel_values": _map(values)})


def _pack(value: Json) -> bytes:
    try:
        return ormsgpack.packb(value)
    except ormsgpack.MsgpackEncodeError as error:
        raise SourceError(f"a value in a checkpoint's JSON can't be copied: {error}") from error


def _map(packed: dict[str, bytes]) -> bytes:
    """A msgpack map of values that are packed already (https://github.com/msgpack/msgpack/blob/master/spec.md#map-format-family)."""
    count = len(packed)
    head = bytes([0x80 | count]) if count < FIX_MAP else MAP_16 + count.to_bytes(2, "big") if count < 1 << 16 else MAP_32 + count.to_bytes(4, "big")
    return head + b"".join(ormsgpack.packb(name) + value for name, value in packed.items())
