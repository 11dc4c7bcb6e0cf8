"""The store: append-only, content-addressed, one writer at a time, any number of readers."""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, bindparam, create_engine, event, func, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from workbench import overview
from workbench.database import Database, Location, location
from workbench.model import (
    Checkpoint,
    Conversation,
    Finding,
    Json,
    LedgerEntry,
    Log,
    Note,
    NotEvaluated,
    Receipt,
    Record,
    Review,
    Run,
    Skip,
    Span,
    Value,
    canonical,
    digest,
)
from workbench.overview import Found, Overview, overview_of, step_columns
from workbench.source import SourceError
from workbench.store import contents, dialect, searching
from workbench.store.deletion import Deleted, DeletionError, Extent, remove
from workbench.store.dialect import APPLICATION_ID, BUSY_MS
from workbench.store.migrations import VERSION, StoreError, migrate
from workbench.store.packing import from_bytes, to_bytes
from workbench.store.payloads import Payloads, load, load_json, load_many, packed, pointed_at, unpacked
from workbench.store.recent import Recent
from workbench.store.schema import TABLES
from workbench.store.searching import Hit
from workbench.verdict import Verdict

V = TypeVar("V", bound=Value)
BATCH = 2_000
NAMES_SHOWN = 5
GROUPS_AT_ONCE = 50
LONG_RUN = 1_000
"""Steps from which a run keeps them column by column too: reading fewer takes no time one would notice."""
PAGE_BYTES = 16_384
"""Of a new store. Most payloads fit on such a page with others; on SQLite's 4 KiB many spill over."""


SOURCE, SKIP, SPAN, LOG, CHECKPOINT, CONVERSATION, HISTORY = map(TABLES.__getitem__, ("source", "skip", "span", "log", "checkpoint", "conversation", "history"))
RUN, STEP, EXAMINATION, FINDING, RECEIPT, PENDING, SETTING = map(TABLES.__getitem__, ("run", "step", "examination", "finding", "receipt", "pending", "setting"))
ALERT, REVIEW, LEDGER = TABLES["alert"], TABLES["review"], TABLES["ledger"]
JUDGEMENT, NOTE = TABLES["judgement"], TABLES["note"]


# Asked for every run: built once, because building a query takes longer than running one of these.
THREADS_OF_TRACE = "SELECT DISTINCT conversation_id FROM span WHERE trace_id = ? AND conversation_id IS NOT NULL"
TRACES_OF_THREAD = "SELECT DISTINCT trace_id FROM span WHERE conversation_id = ?"
CHECKPOINTS_OF_THREAD = select(CHECKPOINT).where(CHECKPOINT.c.thread_id == bindparam("thread")).order_by(CHECKPOINT.c.seq)
ROWS_OF_TRACE = {table.name: select(table).where(table.c.trace_id == bindparam("trace")).order_by(table.c.seq) for table in (SPAN, LOG)}
NEWEST = select(func.max(RUN.c.seq)).group_by(RUN.c.run_id)
OLDEST_FIRST = RUN.c.started_ns.is_(None), RUN.c.started_ns, RUN.c.seq
NEWEST_REVISION = select(RUN.c.revision).where(RUN.c.run_id == bindparam("run")).order_by(RUN.c.seq.desc()).limit(1)


PENDING_KINDS = ("trace", "thread", "conversation", "history")

RAW = {Span: "span", Log: "log", Checkpoint: "checkpoint", Conversation: "conversation", Run: "history"}
"""The table of each kind of record."""
KEYS = {
    "span": ("trace_id", "span_id", "start_ns"),
    "log": ("trace_id", "span_id"),
    "checkpoint": ("thread_id", "namespace", "checkpoint_id"),
    "conversation": ("run_id",),
    "history": ("run_id",),
}
"""The columns that are fields of the record; the whole record stands in its payload."""


class RunNotFoundError(LookupError):
    """No run of that id. The message names the nearest ones."""


@dataclass(frozen=True)
class Origin:
    """The file or database that records come from: its path or URL, the hash of its bytes (or of the URL), the collector that reads it."""

    path: Location
    sha256: str
    collector: str


@dataclass
class Added:
    """What came of one file: records by kind, how many of them were new, what was skipped, and which runs have to be derived anew."""

    records: dict[str, int] = field(default_factory=dict)
    new: int = 0
    skips: list[Skip] = field(default_factory=list)
    traces: set[str] = field(default_factory=set)
    threads: set[str] = field(default_factory=set)
    conversations: set[str] = field(default_factory=set)
    histories: set[str] = field(default_factory=set)
    derived: list[str] = field(default_factory=list)
    """Runs that were derived while their file was still being read."""
    marks: list[tuple[int, int]] = field(default_factory=list)
    """First and last mark of what was noted as pending; see `Store.settle_marks`."""


Touch = tuple[str, str | None]
"""A trace that got records, and the conversation they name."""


class _Waiting:
    """What was touched since its runs were derived, by how lately."""

    def __init__(self) -> None:
        self._round = 0
        self._touched: dict[Touch, int] = {}

    def note(self, touched: Iterable[Touch]) -> None:
        """Another batch touched these."""
        self._round += 1
        self._touched.update(dict.fromkeys(touched, self._round))

    def settled(self) -> frozenset[Touch]:
        """What neither of the last two batches touched, nor its trace's or conversation's others; it waits no longer."""
        busy = {name for touch, number in self._touched.items() if number > self._round - 2 for name in touch if name is not None}
        found = frozenset(touch for touch in self._touched if busy.isdisjoint(touch))
        for touch in found:
            del self._touched[touch]
        return found


@dataclass(frozen=True)
class Pending:
    """What no run was derived from since it changed; `upto` is what to settle it by."""

    traces: frozenset[str]
    threads: frozenset[str]
    conversations: frozenset[str]
    histories: frozenset[str]
    upto: int


@dataclass(frozen=True)
class Group:
    """All spans, logs and checkpoints that belong together: one thread's, or one trace's. `paths` are the files they came from."""

    spans: tuple[Span, ...]
    logs: tuple[Log, ...]
    checkpoints: tuple[Checkpoint, ...]
    paths: tuple[str, ...]


class Store:
    """A workbench store, in one SQLite file or a PostgreSQL database. Open it with `Store.open`; close it, or use it as a context manager."""

    def __init__(self, path: Location, engine: Engine) -> None:
        self.path = path
        self._engine = engine
        self._recent = Recent()
        self._mine = threading.local()

    @classmethod
    def open(cls, path: Location, *, create: bool = True) -> Store:
        """Open a store, creating or migrating it. StoreError says what is wrong with the file or database; it is then left as it was."""
        return cls._open_server(path, create) if isinstance(path, Database) else cls._open_file(path, create)

    @classmethod
    def _open_file(cls, path: Path, create: bool) -> Store:
        if not create and not path.exists():
            raise StoreError(f"there is no store {path}; `workbench ingest PATH --store {path}` makes one")
        if path.is_dir():
            raise StoreError(f"{path} is a folder; a store is one file, such as {path / 'workbench.db'}")
        if not path.parent.is_dir():
            raise StoreError(f"the folder {path.parent} of the store does not exist")
        version = _version_of(path)
        engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        store = cls(path, engine)
        try:
            if version != VERSION:
                with store._writing() as connection:
                    migrate(connection, str(path))
        except DatabaseError as error:
            raise StoreError(f"{path} can't be opened as a store: {error.orig}") from error
        return store

    @classmethod
    def _open_server(cls, database: Database, create: bool) -> Store:
        with ExitStack() as undone:
            try:
                store = cls(database, dialect.server(database))
                undone.enter_context(store)
                store._prepare(create)
            except SourceError as error:
                raise StoreError(str(error)) from error
            except DatabaseError as error:
                raise StoreError(f"{database} can't be opened as a store: {error.orig}") from error
            undone.pop_all()
        return store

    def _prepare(self, create: bool) -> None:
        """Make a server's database a store of the newest version, where it is one or is empty."""
        with self._engine.connect() as connection:
            version, others = dialect.version(connection), dialect.foreign_tables(connection)
        if others:
            raise StoreError(f"{self.path} is no workbench store: it has tables of something else ({', '.join(others[:3])}); give an empty database")
        if not create and not version:
            raise StoreError(f"there is no store in {self.path}; `workbench ingest PATH --store {self.path}` makes one")
        if version != VERSION:
            with self._writing() as connection:
                migrate(connection, str(self.path))

    @property
    def forks(self) -> Path:
        """The folder in which forks keep their own threads: beside a store's file, or for a server named after its database in the folder you work in."""
        return Path(f"{self.path.name or 'workbench'}.forks") if isinstance(self.path, Database) else self.path.with_name(f"{self.path.name}.forks")

    def close(self) -> None:
        """Let go of the file or server."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction that takes the write lock at once, so that two writers queue instead of failing halfway. Inside one of this thread's, that one."""
        if (outer := getattr(self._mine, "connection", None)) is not None:
            yield outer
            return
        with self._told_if_unwritable(), self._engine.connect().execution_options(immediate=True) as connection, connection.begin():
            self._mine.connection = connection
            try:
                yield connection
            finally:
                self._mine.connection = None

    @contextmanager
    def _told_if_unwritable(self) -> Iterator[None]:
        """A disk that is full, or a folder that can't be written, as a StoreError: the transaction is undone, and nothing is wrong with the store."""
        try:
            yield
        except DatabaseError as error:
            if reason := dialect.unwritable(error):
                raise StoreError(f"{self.path}: {reason}; what was stored before is as it was") from error
            raise

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection to read what is stored, and what this thread's own transaction has stored so far."""
        if (outer := getattr(self._mine, "connection", None)) is not None:
            yield outer
            return
        with self._engine.connect() as connection:
            yield connection

    # ---- what came in

    def add(
        self,
        origin: Origin,
        records: Iterable[Record],
        conversation_of: Callable[[Span], str | None],
        *,
        pending: bool = False,
        settle: Callable[[Collection[Touch]], bool] | None = None,
    ) -> Added:
        """Store one file's records in one transaction: all of it, or nothing. What is already there stays as it is and is not counted as new.

        `pending` also marks what was touched, so that whoever comes next derives its runs, whatever happens to this process.
        `settle` is called within the transaction when more came in than is remembered, with what was not touched lately. It derives their runs, so that
        they are not to be derived any more, unless they are touched again; False where it could not.
        """
        added, waiting = Added(), _Waiting()
        with self._writing() as connection:
            source_id = _source_id(connection, origin)
            rest = iter(records)
            while batch := list(itertools.islice(rest, BATCH)):
                waiting.note(self._add_batch(connection, source_id, batch, conversation_of, added))
                if settle and self._recent.is_filling and (settled := waiting.settled()) and settle(settled):
                    added.traces -= {trace for trace, _ in settled}
                    added.threads -= {thread for _, thread in settled if thread is not None}
            _put_skips(connection, source_id, added.skips)
            if pending:
                added.marks += _mark(connection, added)
        return added

    def pending(self) -> Pending:
        """What came in and is not in a run yet."""
        with self._engine.connect() as connection:
            rows = list(connection.execute(select(PENDING)))
        names = {kind: frozenset(row.name for row in rows if row.kind == kind) for kind in PENDING_KINDS}
        return Pending(names["trace"], names["thread"], names["conversation"], names["history"], max((row.seq for row in rows), default=0))

    def settle(self, pending: Pending, failed: Collection[str] = ()) -> None:
        """Say that the runs of what was pending are saved, but for the `failed`. What came in meanwhile stays pending."""
        with self._writing() as connection:
            connection.execute(PENDING.delete().where(PENDING.c.seq <= pending.upto, PENDING.c.name.not_in(failed)))

    def settle_marks(self, marks: Iterable[tuple[int, int]]) -> None:
        """Say that the runs of what one's own `add` marked are saved. What others marked meanwhile stays pending."""
        with self._writing() as connection:
            for first, last in marks:
                connection.execute(PENDING.delete().where(PENDING.c.seq.between(first, last)))

    def _add_batch(
        self, connection: Connection, source_id: int, batch: Sequence[Record], conversation_of: Callable[[Span], str | None], added: Added
    ) -> set[Touch]:
        rows: dict[str, list[dict[str, Json]]] = {name: [] for name in RAW.values()}
        payloads, before = Payloads(), 0
        for record in batch:
            added.records[type(record).__name__] = added.records.get(type(record).__name__, 0) + 1
            if isinstance(record, Skip):
                added.skips.append(record)
                continue
            if isinstance(record, Receipt | Review):
                added.new += _add_told(connection, source_id, record, payloads)
                continue
            row = {column: getattr(record, column) for column in KEYS[RAW[type(record)]]}
            address = payloads.put(record)
            if isinstance(record, Span):
                row["conversation_id"] = conversation_of(record)
            if isinstance(record, Span | Checkpoint):
                self._recent.keep(address, record, payloads.characters - before)
                before = payloads.characters
            rows[RAW[type(record)]].append(row | {"sha256": address, "source_id": source_id})
        payloads.save(connection)
        for name, values in rows.items():
            added.new += _insert(connection, TABLES[name], values)
        # A known span may come from a file that was cut off before its thread was known: what was touched is derived anew, new or not.
        added.traces |= {row["trace_id"] for row in (*rows["span"], *rows["log"])}
        added.threads |= {row["thread_id"] for row in rows["checkpoint"]} | {row["conversation_id"] for row in rows["span"] if row["conversation_id"]}
        added.conversations |= {row["run_id"] for row in rows["conversation"]}
        added.histories |= {row["run_id"] for row in rows["history"]}
        return {(row["trace_id"], row.get("conversation_id")) for row in (*rows["span"], *rows["log"])}

    def everything(self) -> Added:
        """All that runs are derived from, as if it had just come in."""
        with self._engine.connect() as connection:
            traces = {*_column(connection, select(SPAN.c.trace_id).distinct()), *_column(connection, select(LOG.c.trace_id).distinct())}
            named = _column(connection, select(SPAN.c.conversation_id).distinct().where(SPAN.c.conversation_id.is_not(None)))
            threads = {*_column(connection, select(CHECKPOINT.c.thread_id).distinct()), *named}
            conversations, histories = (set(_column(connection, select(table.c.run_id).distinct())) for table in (CONVERSATION, HISTORY))
        return Added(traces=traces, threads=threads, conversations=conversations, histories=histories)

    def rename(self, conversation_of: Callable[[Span], str | None]) -> int:
        """Ask anew which conversation each stored span belongs to; returns how many got another answer. The spans themselves stay as they are."""
        changed, last = 0, 0
        query = select(SPAN.c.seq, SPAN.c.sha256, SPAN.c.conversation_id).order_by(SPAN.c.seq).limit(BATCH)
        with self._writing() as connection:
            while rows := list(connection.execute(query.where(SPAN.c.seq > last))):
                last = rows[-1].seq
                spans = load(connection, Span, (row.sha256 for row in rows))
                for row, conversation_id in zip(rows, map(conversation_of, spans), strict=True):
                    if conversation_id != row.conversation_id:
                        connection.execute(SPAN.update().where(SPAN.c.seq == row.seq).values(conversation_id=conversation_id))
                        changed += 1
        return changed

    def retire(self, kept: Iterable[str]) -> list[str]:
        """Take out the derived runs that are not `kept`, with what detectors said of them; returns their ids.

        Forks, and the runs they left, stay: they can't be derived again.
        """
        with self._writing() as connection:
            forked = select(RUN.c.forked_from).where(RUN.c.forked_from.is_not(None))
            derived = _column(connection, select(RUN.c.run_id).distinct().where(RUN.c.forked_from.is_(None), RUN.c.run_id.not_in(forked)))
            gone = sorted(set(derived) - set(kept))
            for run_id in gone:
                connection.execute(FINDING.delete().where(FINDING.c.run_id == run_id))
                connection.execute(EXAMINATION.delete().where(EXAMINATION.c.run_id == run_id))
                connection.execute(STEP.delete().where(STEP.c.revision.in_(select(RUN.c.revision).where(RUN.c.run_id == run_id))))
                connection.execute(RUN.delete().where(RUN.c.run_id == run_id))
            if gone:
                searching.drop(connection)
        return gone

    def groups(self, traces: Iterable[str], threads: Iterable[str]) -> Iterator[Group]:
        """The spans and checkpoints that belong with these traces and threads, one group a thread, or a trace that names none."""
        wanted = iter(self._lone_and_threads(traces, threads))
        while some := list(itertools.islice(wanted, GROUPS_AT_ONCE)):
            with self._reading() as connection:  # short reads: a long one would keep the write-ahead log from being emptied
                for lone, thread in some:
                    every = [] if thread is None else dialect.first_column(connection, TRACES_OF_THREAD, thread)
                    own = {lone} if thread is None else {trace for trace in every if self._is_of_one_thread(connection, trace)}
                    group = self._group(connection, own, thread)
                    if thread is None or group.spans or group.checkpoints:
                        yield group

    def _lone_and_threads(self, traces: Iterable[str], threads: Iterable[str]) -> list[tuple[str, str | None]]:
        """The traces that name no thread, or several, each with None; then the threads."""
        lone, named = list[tuple[str, str | None]](), set(threads)
        with self._reading() as connection:
            for trace in sorted(set(traces)):
                found = dialect.first_column(connection, THREADS_OF_TRACE, trace)
                if len(found) == 1:
                    named.add(found[0])
                else:
                    lone.append((trace, None))
        return lone + [("", thread) for thread in sorted(named)]

    def _is_of_one_thread(self, connection: Connection, trace: str) -> bool:
        return len(dialect.first_column(connection, THREADS_OF_TRACE, trace)) == 1

    def _group(self, connection: Connection, traces: set[str], thread: str | None) -> Group:
        span_rows, log_rows = (_rows_of(connection, table, traces) for table in (SPAN, LOG))
        checkpoint_rows = list(connection.execute(CHECKPOINTS_OF_THREAD, {"thread": thread})) if thread is not None else []
        newest_spans = {(row.trace_id, row.span_id): row for row in span_rows}.values()
        newest_checkpoints = {(row.namespace, row.checkpoint_id): row for row in checkpoint_rows}.values()
        used = {row.source_id for row in (*newest_spans, *log_rows, *newest_checkpoints)}
        paths = _column(connection, select(SOURCE.c.path).distinct().where(SOURCE.c.source_id.in_(used)).order_by(SOURCE.c.path))
        return Group(
            spans=tuple(self._newest(connection, Span, [row.sha256 for row in newest_spans])),
            logs=tuple(load(connection, Log, (row.sha256 for row in log_rows))),
            checkpoints=tuple(self._newest(connection, Checkpoint, [row.sha256 for row in newest_checkpoints])),
            paths=tuple(paths),
        )

    def _newest(self, connection: Connection, kind: type[V], addresses: Sequence[str]) -> Iterator[V]:
        """The records behind these addresses, those that came in just now from memory."""
        here = [found if isinstance(found := self._recent.take(address), kind) else None for address in addresses]
        rest = load(connection, kind, [address for address, found in zip(addresses, here, strict=True) if found is None])
        return (next(rest) if found is None else found for found in here)

    def spans(self, traces: Iterable[str]) -> list[Span]:
        """The spans of these traces, as they were recorded."""
        with self._engine.connect() as connection:
            rows = {(row.trace_id, row.span_id): row for row in _rows_of(connection, SPAN, set(traces))}
            return list(load(connection, Span, (row.sha256 for row in rows.values())))

    def conversations(self, run_ids: Iterable[str]) -> Iterator[tuple[Conversation, str]]:
        """The newest version of each of these conversations, with the path it came from."""
        return self._told(CONVERSATION, Conversation, run_ids)

    def histories(self, run_ids: Iterable[str]) -> Iterator[tuple[Run, str]]:
        """The newest version of each of these runs as its source told it, with the path it came from."""
        return self._told(HISTORY, Run, run_ids)

    def _told(self, table: Table, kind: type[V], run_ids: Iterable[str]) -> Iterator[tuple[V, str]]:
        query = select(table.c.sha256, SOURCE.c.path).join(SOURCE, SOURCE.c.source_id == table.c.source_id)
        with self._reading() as connection:
            for run_id in sorted(run_ids):
                row = connection.execute(query.where(table.c.run_id == run_id).order_by(table.c.seq.desc()).limit(1)).one()
                yield next(iter(load(connection, kind, [row.sha256]))), row.path

    def checkpoint_source(self, thread_id: str, namespace: str, checkpoint_id: str) -> tuple[Location, str]:
        """The database that holds a checkpoint's full state, and the collector that can read it. LookupError when no such checkpoint is known."""
        where = (CHECKPOINT.c.thread_id == thread_id, CHECKPOINT.c.namespace == namespace, CHECKPOINT.c.checkpoint_id == checkpoint_id)
        query = select(SOURCE.c.path, SOURCE.c.collector).join(CHECKPOINT, SOURCE.c.source_id == CHECKPOINT.c.source_id).where(*where)
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(CHECKPOINT.c.seq.desc()).limit(1)).first()
        if row is None:
            raise LookupError(f"no checkpoint {checkpoint_id} of thread {thread_id} in the store")
        return location(row.path), row.collector

    def newest_checkpoint(self, thread_id: str) -> str | None:
        """The id of the newest checkpoint of a thread's root graph (ids are in time order); None where none is known."""
        query = select(func.max(CHECKPOINT.c.checkpoint_id)).where(CHECKPOINT.c.thread_id == thread_id, CHECKPOINT.c.namespace == "")
        with self._engine.connect() as connection:
            return connection.execute(query).scalar()

    def source_hashes(self, path: Path) -> list[str]:
        """The hashes of a file's bytes each time it was ingested; empty for one that never was."""
        with self._engine.connect() as connection:
            return _column(connection, select(SOURCE.c.sha256).where(SOURCE.c.path == str(path)))

    # ---- runs

    def save_runs(self, runs: Iterable[Run], *, prefix: int = 0) -> int:
        """Store each run as its newest revision where it differs from the one that is there; returns how many did.

        `prefix` is how many leading steps of a fork are its parent's: they are not stored again.
        """
        saved = 0
        rest = iter(runs)
        while batch := list(itertools.islice(rest, BATCH)):
            saved += len(self.save_changed(batch, prefix=prefix))
        return saved

    def save_changed(self, runs: Sequence[Run], *, prefix: int = 0) -> list[str]:
        """Store these runs in one transaction, as `save_runs` does; returns the ids of those that are new or changed."""
        payloads = Payloads()
        run_rows: list[dict[str, Json]] = []
        step_rows: list[dict[str, Json]] = []
        with self._writing() as connection:
            newest = {run.run_id: connection.execute(NEWEST_REVISION, {"run": run.run_id}).scalar() for run in runs}
            for run in runs:
                row, steps = _rows_of_run(run, prefix, payloads)
                if newest[run.run_id] != row["revision"]:
                    newest[run.run_id] = row["revision"]
                    run_rows.append(row)
                    step_rows += steps
            payloads.save(connection)
            _insert(connection, STEP, step_rows)
            _insert(connection, RUN, run_rows)
        return [row["run_id"] for row in run_rows]

    def run_ids(self) -> list[str]:
        """All runs, oldest first; those without a time stand last."""
        with self._engine.connect() as connection:
            return _column(connection, select(RUN.c.run_id).where(RUN.c.seq.in_(NEWEST)).order_by(*OLDEST_FIRST))

    def overviews(self) -> list[Overview]:
        """What a list of runs says of each, in the order of `run_ids`. What was counted in another way before is counted anew."""
        query = select(*(RUN.c[name] for name in Overview._fields), RUN.c.overview, RUN.c.seq).where(RUN.c.seq.in_(NEWEST)).order_by(*OLDEST_FIRST)
        with self._reading() as connection:
            rows = connection.execute(query).all()
            older = {row[-1]: overview_of(self._run(connection, row[0])[0]) for row in rows if row[-2] != overview.VERSION}
        if older:
            with self._writing() as connection:
                for seq, found in older.items():
                    connection.execute(RUN.update().where(RUN.c.seq == seq).values(_columns_of(found)))
        sources: dict[str, tuple[str, ...]] = {}
        listed: list[Overview] = []
        for *fields, text, _, seq in rows:
            if seq in older:
                listed.append(older[seq])
                continue
            if text not in sources:
                sources[text] = tuple(json.loads(text))
            listed.append(Overview._make((*fields, sources[text])))
        return listed

    def step_columns(self, run_id: str) -> list[list[Json]] | None:
        """The steps of a long run column by column, as `workbench.frames.columns_frame` takes them; None for a run whose steps have to be read."""
        query = select(RUN.c.step_columns, RUN.c.overview).where(RUN.c.run_id == run_id).order_by(RUN.c.seq.desc()).limit(1)
        with self._reading() as connection:
            stored, version = connection.execute(query).one()
        return None if stored is None or version != overview.VERSION else from_bytes(contents.unshut_checked(stored))

    def runs(self, run_ids: Iterable[str] | None = None) -> Iterator[Run]:
        """These runs (all of them by default), whole, one at a time."""
        with self._engine.connect() as connection:
            for run_id in self.run_ids() if run_ids is None else run_ids:
                yield self._run(connection, run_id)[0]

    def headers(self) -> Iterator[Run]:
        """Every run without its steps, in the order of `run_ids`: a payload each, so that many can be gone through."""
        query = select(RUN.c.run_id, RUN.c.sha256).where(RUN.c.seq.in_(NEWEST)).order_by(*OLDEST_FIRST)
        with self._reading() as connection:
            for _, header in _loaded(connection, query):
                yield Run.model_validate({name: value for name, value in header.items() if name != "prefix"})

    def run(self, run_id: str) -> Run:
        """One run, by its id or by the start of it that no other run shares. RunNotFoundError names the nearest."""
        return next(self.runs([self.resolve(run_id)]))

    def resolve(self, run_id: str) -> str:
        """The full id of a run, given it or an unambiguous start of it."""
        known = self.run_ids()
        if run_id in known:
            return run_id
        starts = [one for one in known if one.startswith(run_id)]
        if run_id and len(starts) == 1:
            return starts[0]
        if not known:
            raise RunNotFoundError(f"there is no run {run_id!r}: {self.path} holds none; `workbench ingest PATH --store {self.path}` adds some")
        near = starts[:5] or get_close_matches(run_id, known, n=3)
        said = f"it could be any of {', '.join(near)}" if starts else f"the nearest is {' or '.join(near)}" if near else f"it holds {_some(known)}"
        raise RunNotFoundError(f"there is no run {run_id!r} in {self.path}; {said}")

    def _run(self, connection: Connection, run_id: str) -> tuple[Run, str]:
        columns = RUN.c.sha256, RUN.c.revision, RUN.c.forked_from
        row = connection.execute(select(*columns).where(RUN.c.run_id == run_id).order_by(RUN.c.seq.desc()).limit(1)).one()
        header = load_json(connection, row.sha256)
        prefix = header.pop("prefix")
        addresses = _column(connection, select(STEP.c.sha256).where(STEP.c.revision == row.revision).order_by(STEP.c.position))
        steps = tuple(unpacked(connection, addresses))
        if prefix:
            steps = self._run(connection, row.forked_from)[0].steps[:prefix] + steps
        return Run.model_validate(header | {"steps": ()}).model_copy(update={"steps": steps}), row.revision

    # ---- findings and receipts

    def unexamined(self, fingerprint: str) -> list[str]:
        """The runs whose newest revision these detectors have not seen."""
        newest = select(func.max(RUN.c.seq)).group_by(RUN.c.run_id)
        seen = select(EXAMINATION.c.revision).where(EXAMINATION.c.fingerprint == fingerprint)
        query = select(RUN.c.run_id).where(RUN.c.seq.in_(newest), RUN.c.revision.not_in(seen)).order_by(RUN.c.started_ns.is_(None), RUN.c.started_ns, RUN.c.seq)
        with self._engine.connect() as connection:
            return _column(connection, query)

    def save_examination(
        self, run_id: str, fingerprint: str, findings: Sequence[Finding], not_evaluated: Sequence[NotEvaluated], verdict: Verdict | None = None
    ) -> None:
        """Store what the detectors said of a run's newest revision, and the verdict on it."""
        payloads = Payloads()
        rows = [{"run_id": one.run_id, "detector": one.detector, "severity": one.severity, "sha256": payloads.put(one)} for one in findings]
        lacks = payloads.put_json(
            {"not_evaluated": [one.model_dump(mode="json") for one in not_evaluated], "verdict": verdict and verdict.model_dump(mode="json")}
        )
        with self._writing() as connection:
            payloads.save(connection)
            revision = connection.execute(NEWEST_REVISION, {"run": run_id}).scalar_one()
            values = {"run_id": run_id, "revision": revision, "fingerprint": fingerprint, "sha256": lacks}
            seq = connection.execute(EXAMINATION.insert().values(values).returning(EXAMINATION.c.seq)).scalar_one()
            _insert(connection, FINDING, [row | {"examination": seq, "position": number} for number, row in enumerate(rows)])

    def examined(self, only: str | None = None) -> dict[str, tuple[list[Finding], list[NotEvaluated]]]:
        """For each examined run (or `only` this one), the findings of its newest examination and what could not be evaluated."""
        newest = select(func.max(EXAMINATION.c.seq)).group_by(EXAMINATION.c.run_id)
        if only is not None:
            newest = newest.where(EXAMINATION.c.run_id == only)
        chosen = select(EXAMINATION.c.run_id, EXAMINATION.c.sha256).where(EXAMINATION.c.seq.in_(newest)).order_by(EXAMINATION.c.seq)
        placed = select(FINDING.c.run_id, FINDING.c.sha256).where(FINDING.c.examination.in_(newest)).order_by(FINDING.c.examination, FINDING.c.position)
        result: dict[str, tuple[list[Finding], list[NotEvaluated]]] = {}
        with self._engine.connect() as connection:
            for run_id, told in _loaded(connection, chosen):
                result[run_id] = ([], [NotEvaluated.model_validate(one) for one in _rest(told)["not_evaluated"]])
            for run_id, told in _loaded(connection, placed):
                result[run_id][0].append(Finding.model_validate(told))
        return result

    def found(self) -> dict[str, list[Found]]:
        """For each examined run, in what order its newest examination told it, what it found: detector and severity, and nothing else is read."""
        newest = select(func.max(EXAMINATION.c.seq)).group_by(EXAMINATION.c.run_id)
        rows = select(FINDING.c.run_id, FINDING.c.detector, FINDING.c.severity).where(FINDING.c.examination.in_(newest))
        with self._engine.connect() as connection:
            told: dict[str, list[Found]] = {run_id: [] for run_id in _column(connection, select(EXAMINATION.c.run_id).distinct())}
            for run_id, detector, severity in connection.execute(rows.order_by(FINDING.c.examination, FINDING.c.position)):
                told[run_id].append(Found(detector, severity))
        return told

    def verdicts(self, only: str | None = None) -> dict[str, Verdict]:
        """For each examined run (or `only` this one), the verdict of its newest examination; a run examined before there were verdicts has none."""
        newest = select(func.max(EXAMINATION.c.seq)).group_by(EXAMINATION.c.run_id)
        query = select(EXAMINATION.c.run_id, EXAMINATION.c.sha256).where(
            EXAMINATION.c.seq.in_(newest if only is None else newest.where(EXAMINATION.c.run_id == only))
        )
        with self._engine.connect() as connection:
            found = {run_id: _rest(told).get("verdict") for run_id, told in _loaded(connection, query.order_by(EXAMINATION.c.seq))}
        return {run_id: Verdict.model_validate(one) for run_id, one in found.items() if one}

    def save_receipt(self, receipt: Receipt) -> None:
        """Store a fork's receipt."""
        payloads = Payloads()
        address = payloads.put(receipt)
        with self._writing() as connection:
            payloads.save(connection)
            _insert(connection, RECEIPT, [{"run_id": receipt.run_id, "sha256": address}])

    def receipt(self, run_id: str) -> Receipt | None:
        """A fork's receipt; None for a run that is no fork."""
        with self._engine.connect() as connection:
            address = connection.execute(select(RECEIPT.c.sha256).where(RECEIPT.c.run_id == run_id)).scalar()
            return None if address is None else next(iter(load(connection, Receipt, [address])))

    def has_setting(self, name: str) -> bool:
        """Whether the store keeps something under a name."""
        with self._engine.connect() as connection:
            return connection.execute(select(SETTING.c.name).where(SETTING.c.name == name)).scalar() is not None

    def setting(self, name: str, first: Callable[[], bytes]) -> bytes:
        """What the store keeps under a name for all who use it; where nothing is there yet, what `first` makes, from then on."""
        query = select(SETTING.c.value).where(SETTING.c.name == name)
        with self._engine.connect() as connection:
            known = connection.execute(query).scalar()
        if known is None:
            with self._writing() as connection:  # another may have been quicker: what is there counts
                _insert(connection, SETTING, [{"name": name, "value": first()}])
                known = connection.execute(query).scalar_one()
        return bytes(known)

    def kept(self, name: str) -> bytes | None:
        """What the store keeps under a name, None for nothing."""
        with self._engine.connect() as connection:
            known: bytes | None = connection.execute(select(SETTING.c.value).where(SETTING.c.name == name)).scalar()
        return None if known is None else bytes(known)

    def keep(self, name: str, value: bytes) -> None:
        """Keep something under a name, in place of what was there."""
        with self._writing() as connection:
            connection.execute(SETTING.delete().where(SETTING.c.name == name))
            _insert(connection, SETTING, [{"name": name, "value": value}])

    def raise_alerts(self, findings: Iterable[Finding], now_ns: int) -> list[Finding]:
        """Note these findings as ones to tell of; returns those nobody was told of yet, each once."""
        by_key = {finding.key: finding for finding in findings}
        rows = [{"key": key, "run_id": finding.run_id, "raised_ns": now_ns, "sent_ns": None} for key, finding in by_key.items()]
        with self._writing() as connection:
            _insert(connection, ALERT, rows)
            unsent = set(_column(connection, select(ALERT.c.key).where(ALERT.c.sent_ns.is_(None))))
        return [finding for key, finding in by_key.items() if key in unsent]

    def settle_alert(self, key: str, now_ns: int) -> None:
        """Note that someone was told of a finding."""
        with self._writing() as connection:
            connection.execute(ALERT.update().where(ALERT.c.key == key, ALERT.c.sent_ns.is_(None)).values(sent_ns=now_ns))

    def alerts_sent(self) -> int:
        """How many findings someone was told of."""
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).where(ALERT.c.sent_ns.is_not(None))).scalar_one())

    def save_review(self, review: Review) -> None:
        """Keep what a person made of a finding, beside what was said of it before."""
        with self._writing() as connection:
            _insert(connection, REVIEW, [review.model_dump()])

    def reviews(self, *, until_ns: int | None = None) -> list[Review]:
        """What people made of findings, the newest word on each, oldest first; as it stood at a moment, where one is given."""
        query = select(REVIEW).where(REVIEW.c.origin.is_(None)).order_by(REVIEW.c.seq)
        with self._engine.connect() as connection:
            rows = connection.execute(query if until_ns is None else query.where(REVIEW.c.reviewed_ns <= until_ns)).mappings()
            newest = {row["key"]: _review(row) for row in rows}
        return list(newest.values())

    def reviews_elsewhere(self, run_id: str) -> list[tuple[str, Review]]:
        """What people elsewhere made of a run's findings, with the share bundle it came with. It decides nothing here."""
        query = select(REVIEW).where(REVIEW.c.origin.is_not(None), REVIEW.c.run_id == run_id).order_by(REVIEW.c.seq)
        with self._engine.connect() as connection:
            return [(str(row["origin"]), _review(row)) for row in connection.execute(query).mappings()]

    def save_note(self, note: Note) -> None:
        """Keep what a person wrote down about an incident."""
        with self._writing() as connection:
            _insert(connection, NOTE, [note.model_dump()])

    def notes(self, incident: str) -> list[Note]:
        """What was written down about an incident, oldest first."""
        query = select(NOTE).where(NOTE.c.incident == incident).order_by(NOTE.c.seq)
        with self._engine.connect() as connection:
            return [Note(**{name: value for name, value in row.items() if name != "seq"}) for row in connection.execute(query).mappings()]

    def append_entry(self, entry: LedgerEntry) -> bool:
        """Add a line to the ledger of side effects; False, with nothing added, where it begins what has been begun before under the same key."""
        payloads = Payloads()
        row = {"run_id": entry.run_id, "event": entry.event, "key": digest(entry.key), "idempotency_key": entry.idempotency_key, "at_ns": entry.at_ns}
        row["sha256"] = payloads.put(entry)
        with self._writing() as connection:
            payloads.save(connection)
            return _insert(connection, LEDGER, [row]) == 1

    def entries(self, *, key: str | None = None, idempotency_key: str | None = None, run_id: str | None = None) -> list[LedgerEntry]:
        """The lines of the ledger with this business key, idempotency key and fork, oldest first."""
        wanted = {LEDGER.c.key: None if key is None else digest(key), LEDGER.c.idempotency_key: idempotency_key, LEDGER.c.run_id: run_id}
        query = (
            select(LEDGER.c.sha256)
            .where(*(column == value for column, value in wanted.items() if value is not None), LEDGER.c.sha256 != "")
            .order_by(LEDGER.c.seq)
        )
        with self._engine.connect() as connection:
            return list(load(connection, LedgerEntry, _column(connection, query)))

    def judgement(self, key: str) -> str | None:
        """What a judge answered to the question with this key; None where it was never asked."""
        with self._engine.connect() as connection:
            found: str | None = connection.execute(select(JUDGEMENT.c.answer).where(JUDGEMENT.c.key == key)).scalar()
        return found

    def save_judgement(self, key: str, run_id: str, answer: str) -> None:
        """Keep what a judge answered."""
        with self._writing() as connection:
            _insert(connection, JUDGEMENT, [{"key": key, "run_id": run_id, "answer": answer}])

    def skips(self) -> list[tuple[str, Skip]]:
        """Everything that was skipped, with the path it was in."""
        query = select(SOURCE.c.path, SKIP).join(SKIP, SKIP.c.source_id == SOURCE.c.source_id).order_by(SOURCE.c.path, SKIP.c.place)
        with self._engine.connect() as connection:
            return [(row.path, Skip(place=row.place, reason=row.reason, count=row.count)) for row in connection.execute(query)]

    def search(self, words: str, *, limit: int = 50) -> list[Hit]:
        """The steps in which all these words were said, the best first. The index is brought up to date before."""
        if not words.replace('"', "").strip():
            return []
        with self._writing() as connection:
            for run_id, revision in searching.outdated(connection):
                searching.take_in(connection, self._run(connection, run_id)[0], revision)
            return searching.find(connection, words.replace("\0", " "), limit)

    # ---- taking out

    def delete(self, run_id: str, *, dependants: bool = False) -> Deleted:
        """Delete a run with everything only it used; nothing of it stays in the file, which shrinks, or in a server's tables.

        StoreError when it is deleted but what was removed could not be overwritten yet. DeletionError when forks were made of it, or other runs were
        derived from the same thread or trace: `dependants` deletes them too.
        """
        run_id = self.resolve(run_id)
        size = dialect.size(self.path)
        with self._engine.connect().execution_options(immediate=True) as connection:
            dialect.overwrite_removed(connection)
            with connection.begin():
                runs, paths = self._with_dependants(connection, run_id)
                if len(runs) > 1 and not dependants:
                    raise DeletionError(f"on {run_id} hang {', '.join(one for one in runs if one != run_id)}; delete them too, or not at all")
                done = remove(connection, self._extent(connection, runs))
                searching.drop(connection)
        done.files = tuple(self._unlink_forks(paths))
        if left := dialect.rebuild(self.path):
            raise StoreError(f"the run is deleted, but {left}")
        done.bytes_before, done.bytes_after = size, dialect.size(self.path)
        return done

    def _with_dependants(self, connection: Connection, run_id: str) -> tuple[list[str], list[str]]:
        """A run, its forks and theirs, and all runs derived from the same thread; and the files they came from."""
        every = {known: self._run(connection, known)[0].model_copy(update={"steps": ()}) for known in self.run_ids()}
        found, waiting = dict[str, None](), [run_id]
        while waiting:
            current = waiting.pop()
            if current not in found:
                found[current] = None
                thread = every[current].conversation_id
                waiting += [one.run_id for one in every.values() if one.forked_from == current or (thread and one.conversation_id == thread)]
        return list(found), [path for one in found for path in every[one].sources]

    def _extent(self, connection: Connection, runs: Sequence[str]) -> Extent:
        traces, threads = set[str](), set[str]()
        for run_id in runs:
            run, _ = self._run(connection, run_id)
            own = () if run.forked_from else run.steps
            traces |= {run_id, *(step.trace_id for step in own if step.trace_id)}
            if run.conversation_id:
                threads.add(run.conversation_id)
                traces |= set(dialect.first_column(connection, TRACES_OF_THREAD, run.conversation_id))
        return Extent(tuple(runs), frozenset(traces), frozenset(threads))

    def _unlink_forks(self, paths: Iterable[str]) -> Iterator[str]:
        """Remove the databases forks ran in, which lie beside the store. The files a run was recorded in are not ours to remove."""
        folder = self.forks.resolve()
        for path in map(Path, paths):
            for part in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                if part.resolve().parent == folder and part.exists():
                    part.unlink()
                    yield str(part)

    def verify(self, progress: Callable[[str, int, int], None] | None = None) -> list[str]:
        """Re-hash every payload and follow every reference; returns what disagrees, nothing when all is well.

        `progress("payloads", done, total)` is called from time to time.
        """
        with self._engine.connect() as connection:
            steps = set(_column(connection, select(STEP.c.sha256).distinct()))
            known: set[str] = set()
            wanted: dict[str, str] = {}
            problems: list[str] = []
            total = int(connection.execute(select(func.count()).select_from(contents.PAYLOAD)).scalar_one())
            for number, (address, content) in enumerate(contents.every(connection)):
                if progress and number % BATCH == 0:
                    progress("payloads", number, total)
                known.add(address)
                problem, targets = _checked(address, content, step=address in steps)
                problems += [problem] if problem else []
                wanted |= {target: f"{'step' if address in steps else 'payload'} {address[:12]}" for target in targets if target not in known}
            for table in (SPAN, LOG, CHECKPOINT, CONVERSATION, HISTORY, RUN, STEP, EXAMINATION, FINDING, RECEIPT, LEDGER):
                missing = [address for address in _column(connection, select(table.c.sha256)) if address and address not in known]
                problems += [f"{table.name}: payload {address[:12]} is missing" for address in missing]
            problems += [f"{owner}: {target[:12]}, which it points at, is missing" for target, owner in wanted.items() if target not in known]
            problems += searching.disagreements(connection)
            problems += dialect.damage(connection)
        return problems


def _rows_of_run(run: Run, prefix: int, payloads: Payloads) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """The row of a run and those of its steps but the first `prefix`; their contents go to `payloads`."""
    steps = [payloads.put_json(step) for step in packed(run.steps[prefix:], payloads)]
    header = run.model_dump(mode="json", exclude={"steps"}) | {"prefix": prefix}
    revision = hashlib.sha256(canonical([header, steps]).encode("utf-8", "surrogatepass")).hexdigest()
    row = {"revision": revision, "sha256": payloads.put_json(header), **_columns_of(overview_of(run))}
    row["step_columns"] = contents.shut_checked(to_bytes(step_columns(run))) if len(run.steps) >= LONG_RUN else None
    return row, [{"revision": revision, "position": number, "sha256": address} for number, address in enumerate(steps)]


def _columns_of(found: Overview) -> dict[str, Json]:
    """An overview as columns of `run`."""
    return {**found._asdict(), "sources": json.dumps(found.sources), "overview": overview.VERSION}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")


def _checked(address: str, content: bytes | ValueError, *, step: bool) -> tuple[str | None, set[str]]:
    """What is wrong with a payload, and what it points at where nothing is."""
    if isinstance(content, ValueError):
        return f"payload {address[:12]}: {content}", set()
    actual = hashlib.sha256(content).hexdigest()
    if actual != address:
        return f"payload {address[:12]}: its content hashes to {actual[:12]}", set()
    return None, pointed_at(content, step=step)


# ---- rows


def _loaded(connection: Connection, query: Any) -> Iterator[tuple[str, Json]]:
    """For each row of a query for names and addresses, the name and the JSON behind the address; many are fetched at once."""
    rows = connection.execute(query).all()
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        yield from zip((row[0] for row in some), load_many(connection, [row[1] for row in some]), strict=True)


def _review(row: Any) -> Review:
    return Review(**{name: row[name] for name in Review.model_fields})


def _add_told(connection: Connection, source_id: int, record: Receipt | Review, payloads: Payloads) -> int:
    """Keep what a share bundle tells of its runs, unless it is there already; returns whether it was new."""
    if isinstance(record, Receipt):
        return _insert(connection, RECEIPT, [{"run_id": record.run_id, "sha256": payloads.put(record)}])
    path = connection.execute(select(SOURCE.c.path).where(SOURCE.c.source_id == source_id)).scalar_one()
    row = record.model_dump() | {"origin": Path(path).name}
    same = (REVIEW.c[name] == row[name] for name in ("key", "verdict", "note", "reviewed_ns", "origin"))
    known = connection.execute(select(REVIEW.c.seq).where(*same)).first()
    return 0 if known else _insert(connection, REVIEW, [row])


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Json]]) -> int:
    """Insert what is not there yet; returns how many rows that was."""
    if not rows:
        return 0
    names = [column.name for column in table.columns]
    return dialect.insert_new(connection, table, [tuple(map(row.get, names)) for row in rows])


def _source_id(connection: Connection, origin: Origin) -> int:
    values = {"path": str(origin.path), "sha256": origin.sha256, "collector": origin.collector}
    _insert(connection, SOURCE, [values])
    query = select(SOURCE.c.source_id).where(SOURCE.c.path == values["path"], SOURCE.c.sha256 == values["sha256"])
    return int(connection.execute(query).scalar_one())


def _mark(connection: Connection, added: Added) -> list[tuple[int, int]]:
    """Note what was touched as pending; gives the first and last mark. They are numbered without a gap: a writer is alone until it is done."""
    names = zip(PENDING_KINDS, (added.traces, added.threads, added.conversations, added.histories), strict=True)
    marks: list[dict[str, Json]] = [{"kind": kind, "name": name} for kind, some in names for name in sorted(some)]
    if not _insert(connection, PENDING, marks):
        return []
    last = int(connection.execute(select(func.max(PENDING.c.seq))).scalar_one())
    return [(last - len(marks) + 1, last)]


def _put_skips(connection: Connection, source_id: int, skips: Sequence[Skip]) -> None:
    counts: dict[tuple[str, str], int] = {}
    for skip in skips:
        counts[skip.place, skip.reason] = counts.get((skip.place, skip.reason), 0) + skip.count
    _insert(connection, SKIP, [{"source_id": source_id, "place": place, "reason": reason, "count": n} for (place, reason), n in counts.items()])


def _rest(stored: Json) -> dict[str, Json]:
    """What an examination holds beside its findings; it was the list of what could not be evaluated before there were verdicts."""
    return {"not_evaluated": stored} if isinstance(stored, list) else dict(stored)


def _rows_of(connection: Connection, table: Table, traces: Iterable[str]) -> list[Any]:
    """All rows of these traces, oldest first within each."""
    return [row for trace in sorted(traces) for row in connection.execute(ROWS_OF_TRACE[table.name], {"trace": trace}).all()]


def _column(connection: Connection, query: Any) -> list[Any]:
    return list(connection.execute(query).scalars())


# ---- connections


def _version_of(path: Path) -> int:
    """The store version in a file's header, 0 for a new file; read as bytes, so that a file that is no store of ours is not touched."""
    if not path.exists():
        return 0
    with path.open("rb") as stream:
        header = stream.read(100)
    if not header:
        return 0
    if not header.startswith(b"SQLite format 3\0"):
        raise StoreError(f"{path} is no workbench store, nor any SQLite database; give another --store")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID and not _is_being_made(path):
        raise StoreError(f"{path} is a SQLite database, but no workbench store; give another --store, or `workbench ingest {path}` to read it")
    return int.from_bytes(header[60:64], "big")


def _is_being_made(path: Path) -> bool:
    """Whether the mark of a store stands in the write-ahead log alone, because another process made it just now."""
    if not path.with_name(path.name + "-wal").exists():
        return False
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)) as connection:
        application, tables = (connection.execute(query).fetchone()[0] for query in ("PRAGMA application_id", "SELECT count(*) FROM sqlite_master"))
    return bool(application == APPLICATION_ID or tables == 0)


def _configure(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by us, see _begin
    for pragma in (f"page_size = {PAGE_BYTES}", f"busy_timeout = {BUSY_MS}", "journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")
