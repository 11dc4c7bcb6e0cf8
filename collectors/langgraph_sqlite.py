"""LangGraph checkpoints in SQLite, as `SqliteSaver` writes them: every thread's checkpoints with the writes of the tasks that started there.

Read by raw SQL from a read-only connection: the saver's own reader alters the file and calls what the file names. Values are decoded
without importing, calling or unpickling anything; what is encrypted or refused is counted and said. Checkpoint states are left where they
are and fetched one at a time by `state`. All schemas since langgraph 0.2 are read; where a task's node is not stored, it is worked out.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ormsgpack

from workbench import serde
from workbench.model import Checkpoint, Json, Record, Skip, Write
from workbench.plugins import Example
from workbench.source import Source, SourceError, readonly
from workbench.tasks import NULL_TASK, START, TASKS, Naming, Place, created_ns

MAGIC = b"SQLite format 3\x00"
COLUMNS = {
    "checkpoints": {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "type", "checkpoint", "metadata"},
    "writes": {"thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "value"},
}
CHECKPOINTS_SQL = """
    SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, metadata FROM checkpoints WHERE thread_id = ? ORDER BY checkpoint_id
"""
WRITES_SQL = """
    SELECT checkpoint_ns, checkpoint_id, task_id, {task_path}, idx, channel, type, CASE WHEN length(value) <= ? THEN value END, length(value)
    FROM writes WHERE thread_id = ? {where} ORDER BY checkpoint_id, {task_path}, task_id, idx
"""
BLOB_SQL = "SELECT type, checkpoint, parent_checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
FROM_METADATA = "its row is missing: taken from the next checkpoint's metadata"
MAX_ANCESTORS = 20_000

Key = tuple[str, str]
"""Namespace and checkpoint id."""


def accepts(source: Source) -> bool:
    """Whether this is a SQLite database with the saver's two tables, or one too damaged to tell."""
    if not source.head.startswith(MAGIC):
        return False
    try:
        with _database(source.path) as database:
            return not _missing(database)
    except SourceError:
        return True


def collect(source: Source) -> Iterator[Record]:
    """The checkpoints of all threads, oldest first within each, and what could not be read. SourceError when nothing can."""
    _check(source)
    with _database(source.path) as database:
        if missing := _missing(database):
            raise SourceError(f"{source.path}: no LangGraph checkpoint database: {missing}")
        skipped = Skipped(str(source.path))
        try:
            for thread_id in _threads(database):
                yield from Thread(database, thread_id, skipped).checkpoints()
        except sqlite3.DatabaseError as error:
            yield Skip(place=str(source.path), reason=f"cut off or damaged from here on: {error}; what was read before stands")
        yield from skipped.skips()


def state(path: Path, thread_id: str, namespace: str, checkpoint_id: str) -> dict[str, Json]:
    """The channel values of one checkpoint, DeltaChannels rebuilt. LookupError when it isn't there; SourceError when it can't be decoded."""
    place = f"{path}: checkpoint {checkpoint_id} of thread {thread_id!r}"
    with _database(path) as database:
        try:
            return _state(database, (thread_id, namespace, checkpoint_id))
        except serde.UndecodedError as error:
            raise SourceError(f"{place}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise SourceError(f"{place}: cut off or damaged: {error}") from error
        except LookupError:
            raise LookupError(f"{place} is not there") from None


# ---- the file


def _check(source: Source) -> None:
    if not source.head:
        raise SourceError(f"{source.path}: empty; a checkpoint database begins with {MAGIC[:15].decode()!r}")
    if source.compressed:
        raise SourceError(f"{source.path}: a compressed database; decompress it first, states are read from it later")
    if not source.head.startswith(MAGIC):
        raise SourceError(f"{source.path}: no SQLite database; one begins with {MAGIC[:15].decode()!r}, this with {source.head[:15]!r}")


@contextlib.contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with readonly(path) as database:
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            database.execute("PRAGMA trusted_schema = 0")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield database
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        raise SourceError(f"{path}: can't be read as SQLite ({error}); copy the database anew, with its -wal file if there is one") from error


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


def _threads(database: sqlite3.Connection) -> Iterator[str]:
    """The threads that have checkpoints, then those of which only writes were kept."""
    known = dict.fromkeys(str(row[0]) for row in database.execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id"))
    yield from known
    yield from (str(row[0]) for row in database.execute("SELECT DISTINCT thread_id FROM writes ORDER BY thread_id") if str(row[0]) not in known)


def _select_writes(database: sqlite3.Connection, where: str = "") -> str:
    return WRITES_SQL.format(task_path="task_path" if "task_path" in _columns(database, "writes") else "''", where=where)


@dataclass
class Skipped:
    """Counts what was not read, by place and reason."""

    path: str
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, what: str, reason: str) -> None:
        """Count one."""
        self.counts[what, reason] += 1

    def skips(self) -> Iterator[Skip]:
        """One Skip for each place and reason."""
        for (what, reason), count in self.counts.items():
            yield Skip(place=f"{self.path}: {what}", reason=reason, count=count)


# ---- one thread


@dataclass(frozen=True)
class Row:
    """A row of `checkpoints`, its state left in the database."""

    namespace: str
    checkpoint_id: str
    parent: str | None
    kind: str
    metadata: dict[str, Json]

    @property
    def step(self) -> int | None:
        """The super-step, None where the metadata doesn't say."""
        step = self.metadata.get("step")
        return step if isinstance(step, int) else None

    @property
    def source(self) -> str | None:
        """input, loop, update or fork."""
        source = self.metadata.get("source")
        return source if isinstance(source, str) else None

    @property
    def written(self) -> dict[str, Json]:
        """What langgraph before 0.5 noted in the metadata: node to the channels that it wrote."""
        written = self.metadata.get("writes")
        return written if isinstance(written, dict) else {}


class Thread:
    """One thread of the database: reads its rows, names its tasks' nodes, and makes Checkpoints of them."""

    def __init__(self, database: sqlite3.Connection, thread_id: str, skipped: Skipped) -> None:
        """Read the rows. DatabaseError where the file breaks off."""
        self.database, self.thread_id, self.skipped = database, thread_id, skipped
        self.rows = [self._row(*row) for row in database.execute(CHECKPOINTS_SQL, (thread_id,))]
        self.writes: dict[Key, list[Write]] = defaultdict(list)
        for namespace, checkpoint_id, *rest in database.execute(_select_writes(database), (serde.MAX_VALUE_BYTES, thread_id)):
            self.writes[str(namespace), str(checkpoint_id)].append(self._write(*rest))
        if not self.rows and not self.writes:
            skipped.add(f"thread {thread_id!r}", "its id is no UTF-8 text: its rows can't be addressed")

    def checkpoints(self) -> Iterator[Checkpoint]:
        """The thread's checkpoints, oldest first, then writes whose checkpoint is missing."""
        self._fill_from_metadata()
        self._name_nodes()
        for row in self.rows:
            note = self._note(row)
            yield Checkpoint(
                thread_id=self.thread_id,
                namespace=row.namespace,
                checkpoint_id=row.checkpoint_id,
                parent_checkpoint_id=row.parent,
                step=row.step,
                source=row.source,
                created_ns=created_ns(row.checkpoint_id),
                metadata={key: value for key, value in row.metadata.items() if key != "writes"},
                writes=tuple(self.writes.pop((row.namespace, row.checkpoint_id), ())),
                note=note,
            )
        for (namespace, checkpoint_id), writes in sorted(self.writes.items()):
            yield Checkpoint(
                thread_id=self.thread_id,
                namespace=namespace,
                checkpoint_id=checkpoint_id,
                created_ns=created_ns(checkpoint_id),
                writes=tuple(writes),
                note="only its writes were kept",
            )

    def _row(self, namespace: Json, checkpoint_id: Json, parent: Json, kind: Json, metadata: Json) -> Row:
        fields: Json = {}
        try:
            fields = serde.decode_json(metadata or "{}").value
        except (serde.UndecodedError, TypeError, AttributeError) as error:
            self.skipped.add("metadata", f"not decoded: {error}")
        return Row(str(namespace), str(checkpoint_id), None if parent is None else str(parent), str(kind), fields if isinstance(fields, dict) else {})

    def _write(self, task: Json, path: Json, idx: Json, channel: Json, kind: Json, blob: Json, size: Json) -> Write:
        value, note = _decoded(str(kind), blob, size)
        if note:
            self.skipped.add("writes", note)
        number = idx if isinstance(idx, int) else 0
        return Write(task_id=str(task), task_path=str(path or ""), idx=number, channel=str(channel), value=value, note=note)

    def _note(self, row: Row) -> str | None:
        """Why this checkpoint's state can't be fetched, where its type already says so."""
        if "+" not in row.kind and row.kind != "pickle":
            return None
        try:
            serde.decode(row.kind, b"")
        except serde.UndecodedError as error:
            self.skipped.add("checkpoints", str(error))
            return str(error)
        return None

    def _fill_from_metadata(self) -> None:
        """Where the rows of `writes` are missing, take what langgraph before 0.5 also noted in the next checkpoint's metadata."""
        for row in self.rows:
            at = row.checkpoint_id if row.source == "input" else row.parent
            if row.source not in ("input", "loop") or at is None or self.writes.get((row.namespace, at)):
                continue
            nodes = row.written if row.source == "loop" or START in row.written else {START: row.written}
            self.writes[row.namespace, at] = [
                Write(task_id="", node=node, idx=number, channel=channel, value=value, note=FROM_METADATA)
                for node, written in nodes.items()
                for number, (channel, value) in enumerate(_channels(written))
            ]

    # ---- the nodes of the tasks

    def _name_nodes(self) -> None:
        naming = self._naming()
        children: dict[Key, list[Row]] = defaultdict(list)
        by_place: dict[Key, Row] = {}
        for known in self.rows:
            children[known.namespace, known.parent or ""].append(known)
            by_place[known.namespace, known.checkpoint_id] = known
        for place, writes in self.writes.items():
            row = by_place.get(place)
            parent = self.writes.get((place[0], row.parent or ""), []) if row else []
            sent = serde.sends(write.value for write in parent if write.channel == TASKS)
            nodes: dict[str, str | None] = {}
            for task in dict.fromkeys(write.task_id for write in writes if write.task_id not in (NULL_TASK, "")):
                mine = [write for write in writes if write.task_id == task]
                where = Place(place[1], place[0], None if row is None or row.step is None else row.step + 1)
                nodes[task] = naming.node(task, mine[0].task_path, where, sent) or _guess(mine, row, children[place], naming)
            self.writes[place] = [write if write.node else write.model_copy(update={"node": nodes.get(write.task_id)}) for write in writes]

    def _naming(self) -> Naming:
        naming = Naming()
        naming.learn_nodes(node for row in self.rows if row.source != "input" for node in row.written)
        for row in self.rows:
            naming.learn_namespace(row.namespace)
        unnamed = False
        for writes in self.writes.values():
            naming.learn_nodes(serde.sends(write.value for write in writes if write.channel == TASKS))
            for write in writes:
                naming.learn_channel(write.channel)
                unnamed |= not write.task_path and write.task_id not in (NULL_TASK, "")
        if unnamed:
            self._learn_states(naming)
        return naming

    def _learn_states(self, naming: Naming) -> None:
        """Take nodes and triggers from the last state of each graph, for databases that don't store a task's path."""
        last = {"|".join(part.rpartition(":")[0] for part in row.namespace.split("|")): row for row in self.rows}
        for row in last.values():
            found = self.database.execute(BLOB_SQL, (self.thread_id, row.namespace, row.checkpoint_id)).fetchone()
            try:
                content = _skim(str(found[0]), _bytes(found[1]))
            except serde.UndecodedError:  # said where the state is fetched; the nodes then have weaker signs
                continue
            naming.learn_seen({str(node): seen for node, seen in _dict(content.get("versions_seen")).items() if isinstance(seen, dict)})
            for channel in _dict(content.get("channel_versions")):
                naming.learn_channel(str(channel))


def _decoded(kind: str, blob: Json, size: Json) -> tuple[Json, str | None]:
    """A write's value, and why it is absent or not as it was meant to be. SQL left out what is too large."""
    if blob is None and size:
        return None, f"refused: {size:,} bytes, more than {serde.MAX_VALUE_BYTES:,}"
    try:
        decoded = serde.decode(kind, _bytes(blob))
    except serde.UndecodedError as error:
        return None, str(error)
    return decoded.value, _said(decoded.refused)


def _bytes(blob: Json) -> bytes:
    return blob if isinstance(blob, bytes) else str(blob or "").encode("utf-8", "replace")


def _skim(kind: str, blob: bytes) -> dict[str, Json]:
    """A checkpoint with its objects left undecoded, for its plain parts."""
    return _dict(serde.unpack(blob) if kind == "msgpack" else serde.decode(kind, blob).value)


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _said(refused: Sequence[str]) -> str | None:
    return f"refused: it asks to call {', '.join(sorted(set(refused)))}; read as plain data" if refused else None


def _channels(written: Json) -> Iterator[tuple[str, Json]]:
    """Channel and value of what a node wrote, as the metadata has it: an object, a list of objects for parallel tasks, or null."""
    for part in written if isinstance(written, list) else [written]:
        yield from _dict(part).items()


def _guess(writes: Sequence[Write], row: Row | None, children: Sequence[Row], naming: Naming) -> str | None:
    """The node of a task by weaker signs: an input starts the graph; 0.2 nodes write their name to a channel; one task, one name noted."""
    if row is not None and row.source == "input" and not writes[0].task_path:
        return START
    for write in writes:
        if (
            isinstance(write.value, str)
            and write.value in naming.triggers
            and (write.channel == write.value or write.channel.startswith(f"branch:{write.value}:"))
        ):
            return str(write.value)
    noted = {node for child in children for node in child.written if child.source == "loop"}
    return noted.pop() if len(noted) == 1 else None


# ---- one full state


def _state(database: sqlite3.Connection, place: tuple[str, str, str]) -> dict[str, Json]:
    content, parent = _checkpoint(database, place)
    values = _dict(content.get("channel_values"))
    deltas = sorted(set(_delta_channels(database, place)) - values.keys())
    rebuilt = {channel: _rebuild(database, place, parent, channel) for channel in deltas}
    return {**serde.snapshots(values), **{channel: value for channel, value in rebuilt.items() if value is not None}}


def _checkpoint(database: sqlite3.Connection, place: tuple[str, str, str]) -> tuple[dict[str, Json], str | None]:
    row = database.execute(BLOB_SQL, place).fetchone()
    if row is None:
        raise LookupError(place)
    content = serde.decode(str(row[0]), _bytes(row[1])).value
    return _dict(content), None if row[2] is None else str(row[2])


def _delta_channels(database: sqlite3.Connection, place: tuple[str, str, str]) -> list[str]:
    """Channels whose value this checkpoint may leave out: LangGraph counts their updates since the last snapshot in the metadata."""
    row = database.execute("SELECT metadata FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?", place).fetchone()
    return list(_dict(_dict(serde.decode_json(row[0] or "{}").value).get("counters_since_delta_snapshot")))


def _rebuild(database: sqlite3.Connection, place: tuple[str, str, str], parent: str | None, channel: str) -> Json:
    """A DeltaChannel's value: the nearest ancestor's, then every write from there on. None where nothing was written."""
    thread_id, namespace, _ = place
    pending: list[list[Json]] = []
    base: Json = None
    seen: set[str] = set()
    while parent is not None and parent not in seen and len(seen) < MAX_ANCESTORS:
        seen.add(parent)
        pending.append(_written(database, (thread_id, namespace, parent), channel))
        content, grandparent = _checkpoint(database, (thread_id, namespace, parent))
        if channel in (values := _dict(content.get("channel_values"))):
            base = serde.snapshots(values)[channel]
            break
        parent = grandparent
    for value in (value for values in reversed(pending) for value in values):
        base = _reduce(base, value)
    return base


def _written(database: sqlite3.Connection, place: tuple[str, str, str], channel: str) -> list[Json]:
    sql = _select_writes(database, "AND checkpoint_ns = ? AND checkpoint_id = ? AND channel = ?")
    rows = database.execute(sql, (serde.MAX_VALUE_BYTES, *place, channel))
    return [serde.decode(str(kind), _bytes(blob)).value for *_, kind, blob, _size in rows]


def _reduce(base: Json, value: Json) -> Json:
    """What the usual reducers do: messages by id, lists end to end, objects merged, an Overwrite instead of everything before it.

    The graph's own reducer is code and not in the file; a value that none of these fits is set beside what was there.
    """
    if serde.is_type(value, "Overwrite"):
        return value.get("value")
    if base is None:
        base = {} if isinstance(value, dict) and "type" not in value else []
    if isinstance(base, dict) and isinstance(value, dict):
        return {**base, **value}
    added = value if isinstance(value, list) else [value]
    return _add_messages(base, added) if isinstance(base, list) else [base, *added]


def _add_messages(base: list[Json], added: list[Json]) -> list[Json]:
    kept = list(base)
    for item in added:
        number = next((n for n, old in enumerate(kept) if _message_id(item) and _message_id(old) == _message_id(item)), None)
        if _dict(item).get("type") == "remove":
            kept = [] if _message_id(item) == "__remove_all__" else [old for n, old in enumerate(kept) if n != number]
        elif number is None:
            kept.append(item)
        else:
            kept[number] = item
    return kept


def _message_id(value: Json) -> str | None:
    message = _dict(value)
    return message.get("id") if "content" in message or message.get("type") == "remove" else None


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
