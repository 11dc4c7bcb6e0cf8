"""What came in: spans, logs, checkpoints, conversations and histories, as they were recorded, and what of it no run was derived from yet."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, Table, func, select

from workbench.database import Location, location
from workbench.model import (
    Checkpoint,
    Conversation,
    Json,
    Log,
    Receipt,
    Record,
    Review,
    Run,
    Skip,
    Span,
    Value,
)
from workbench.store import answers, dialect
from workbench.store.opened import Opened
from workbench.store.payloads import Payloads, load
from workbench.store.recent import Recent
from workbench.store.rows import (
    ANSWER,
    BATCH,
    CHECKPOINT,
    CONVERSATION,
    HISTORY,
    LOG,
    PENDING,
    RECEIPT,
    REVIEW,
    SKIP,
    SOURCE,
    SPAN,
    column,
    insert,
)
from workbench.store.schema import TABLES

V = TypeVar("V", bound=Value)
GROUPS_AT_ONCE = 50
THREADS_OF_TRACE = "SELECT DISTINCT conversation_id FROM span WHERE trace_id = ? AND conversation_id IS NOT NULL"
TRACES_OF_THREAD = "SELECT DISTINCT trace_id FROM span WHERE conversation_id = ?"
SPANS_OF_TRACE = "SELECT trace_id, span_id, sha256, source_id FROM span WHERE trace_id = ? ORDER BY seq"
LOGS_OF_TRACE = "SELECT sha256, source_id FROM log WHERE trace_id = ? ORDER BY seq"
CHECKPOINTS_OF_THREAD = "SELECT namespace, checkpoint_id, sha256, source_id FROM checkpoint WHERE thread_id = ? ORDER BY seq"
PATH = "SELECT path FROM source WHERE source_id = ?"
PENDING_KINDS = ("trace", "thread", "conversation", "history")

RAW = {Span: "span", Log: "log", Checkpoint: "checkpoint", Conversation: "conversation", Run: "history"}
"""The table of each kind of record."""
GROUPED = frozenset((Span, Checkpoint))
"""The kinds that are read again at once, since runs are derived of many of them together."""
KEYS = {
    "span": ("trace_id", "span_id", "start_ns"),
    "log": ("trace_id", "span_id"),
    "checkpoint": ("thread_id", "namespace", "checkpoint_id"),
    "conversation": ("run_id",),
    "history": ("run_id",),
}
"""The columns that are fields of the record; the whole record stands in its payload."""


@dataclass(frozen=True)
class Origin:
    """The file or database that records come from: its path or URL, what tells its bytes (or the URL) from any others, the collector that reads it."""

    path: Location
    fingerprint: str
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
    absorbed: set[str] = field(default_factory=set)
    """The traces that went into other runs than their own, such as their conversation's."""
    marks: list[tuple[int, int]] = field(default_factory=list)
    """First and last mark of what was noted as pending; see `Collected.settle_marks`."""
    redacted: dict[str, int] = field(default_factory=dict)
    """How many values were replaced on the way in, by kind."""

    def count(self, batch: Iterable[Record]) -> None:
        """Count records by kind."""
        for kind, count in Counter(map(type, batch)).items():
            self.records[kind.__name__] = self.records.get(kind.__name__, 0) + count


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


class Collected(Opened):
    """The store's records."""

    def __init__(self, path: Location, engine: Engine) -> None:
        super().__init__(path, engine)
        self._recent = Recent()

    def add(
        self,
        origin: Origin,
        records: Iterable[Record],
        conversation_of: Callable[[Span], str | None],
        marks_of: Callable[[Span], tuple[str, ...]] = lambda _: (),
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
                touched = self._add_batch(connection, source_id, batch, conversation_of, added)
                _put_answers(connection, batch, marks_of)
                waiting.note(touched)
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
        self._texts.forget()
        with self._writing() as connection:
            connection.execute(PENDING.delete().where(PENDING.c.seq <= pending.upto, PENDING.c.name.not_in(failed)))

    def settle_marks(self, marks: Iterable[tuple[int, int]]) -> None:
        """Say that the runs of what one's own `add` marked are saved. What others marked meanwhile stays pending."""
        self._texts.forget()
        with self._writing() as connection:
            for first, last in marks:
                connection.execute(PENDING.delete().where(PENDING.c.seq.between(first, last)))

    def _add_batch(
        self, connection: Connection, source_id: int, batch: Sequence[Record], conversation_of: Callable[[Span], str | None], added: Added
    ) -> set[Touch]:
        rows: dict[str, list[dict[str, Json]]] = {name: [] for name in RAW.values()}
        payloads, before, newest = Payloads(self._texts), 0, list[tuple[str, Value, int]]()
        added.count(batch)
        for record in batch:
            kind = type(record)
            name = RAW.get(kind)
            if name is None:
                if isinstance(record, Skip):
                    added.skips.append(record)
                elif isinstance(record, Receipt | Review):
                    added.new += _add_told(connection, source_id, record, payloads)
                continue
            fields, address = record.__dict__, payloads.put(record)
            row = {column: fields[column] for column in KEYS[name]}
            row["sha256"], row["source_id"] = address, source_id
            if isinstance(record, Span):
                row["conversation_id"] = conversation_of(record)
            if kind in GROUPED:
                newest.append((address, record, -before + (before := payloads.characters)))
            rows[name].append(row)
        self._recent.keep(newest)
        payloads.save(connection)
        for name, values in rows.items():
            added.new += insert(connection, TABLES[name], values)
        # A known span may come from a file that was cut off before its thread was known: what was touched is derived anew, new or not.
        added.traces |= {row["trace_id"] for row in (*rows["span"], *rows["log"])}
        added.threads |= {row["thread_id"] for row in rows["checkpoint"]} | {row["conversation_id"] for row in rows["span"] if row["conversation_id"]}
        added.conversations |= {row["run_id"] for row in rows["conversation"]}
        added.histories |= {row["run_id"] for row in rows["history"]}
        return {(row["trace_id"], row.get("conversation_id")) for row in (*rows["span"], *rows["log"])}

    def everything(self) -> Added:
        """All that runs are derived from, as if it had just come in."""
        with self._engine.connect() as connection:
            traces = {*column(connection, select(SPAN.c.trace_id).distinct()), *column(connection, select(LOG.c.trace_id).distinct())}
            named = column(connection, select(SPAN.c.conversation_id).distinct().where(SPAN.c.conversation_id.is_not(None)))
            threads = {*column(connection, select(CHECKPOINT.c.thread_id).distinct()), *named}
            conversations, histories = (set(column(connection, select(table.c.run_id).distinct())) for table in (CONVERSATION, HISTORY))
        return Added(traces=traces, threads=threads, conversations=conversations, histories=histories)

    def rename(self, conversation_of: Callable[[Span], str | None], marks_of: Callable[[Span], tuple[str, ...]] = lambda _: ()) -> int:
        """Ask anew which conversation each stored span belongs to, and which answer it tells of; returns how many are of another conversation now.

        The spans themselves stay as they are.
        """
        changed, last = 0, 0
        query = select(SPAN.c.seq, SPAN.c.sha256, SPAN.c.conversation_id).order_by(SPAN.c.seq).limit(BATCH)
        with self._writing() as connection:
            connection.execute(ANSWER.delete())
            while rows := list(connection.execute(query.where(SPAN.c.seq > last))):
                last = rows[-1].seq
                spans = list(load(connection, Span, (row.sha256 for row in rows)))
                _put_answers(connection, spans, marks_of)
                for row, conversation_id in zip(rows, map(conversation_of, spans), strict=True):
                    if conversation_id != row.conversation_id:
                        connection.execute(SPAN.update().where(SPAN.c.seq == row.seq).values(conversation_id=conversation_id))
                        changed += 1
        return changed

    def groups(self, traces: Iterable[str], threads: Iterable[str]) -> Iterator[Group]:
        """The spans and checkpoints that belong with these traces and threads, one group a thread, or a trace that names none."""
        wanted = iter(self._lone_and_threads(traces, threads))
        while some := list(itertools.islice(wanted, GROUPS_AT_ONCE)):
            paths: dict[int, str] = {}
            with self._reading() as connection:  # short reads: a long one would keep the write-ahead log from being emptied
                for lone, thread in some:
                    every = [] if thread is None else dialect.first_column(connection, TRACES_OF_THREAD, thread)
                    own = {lone} if thread is None else {trace for trace in every if self._is_of_one_thread(connection, trace)}
                    own |= {guest for guest in answers.guests_of(connection, own) if not self._is_of_one_thread(connection, guest)}
                    group = self._group(connection, own, thread, paths)
                    if thread is None or group.spans or group.checkpoints:
                        yield group

    def _lone_and_threads(self, traces: Iterable[str], threads: Iterable[str]) -> list[tuple[str, str | None]]:
        """The traces that name no thread, or several, each with None; then the threads."""
        lone, named = set[str](), set(threads)
        with self._reading() as connection:
            for trace in set(traces):
                host, found = self._host_of(connection, trace)
                if len(found) == 1:
                    named.add(found[0])
                else:
                    lone.add(host)
        return [*((trace, None) for trace in sorted(lone)), *(("", thread) for thread in sorted(named))]

    def _host_of(self, connection: Connection, trace: str) -> tuple[str, list[str]]:
        """The trace that a trace's spans belong with, most often itself, and the threads that one names."""
        found = dialect.first_column(connection, THREADS_OF_TRACE, trace)
        host = None if len(found) == 1 else answers.host_of(connection, trace)
        return (trace, found) if host is None else (host, dialect.first_column(connection, THREADS_OF_TRACE, host))

    def _is_of_one_thread(self, connection: Connection, trace: str) -> bool:
        return len(dialect.first_column(connection, THREADS_OF_TRACE, trace)) == 1

    def _group(self, connection: Connection, traces: set[str], thread: str | None, paths: dict[int, str]) -> Group:
        checkpoint_rows = [] if thread is None else dialect.fetched(connection, CHECKPOINTS_OF_THREAD, thread)
        spans, checkpoints = _newest(_rows_of(connection, SPANS_OF_TRACE, traces)), _newest(checkpoint_rows)
        logs = _rows_of(connection, LOGS_OF_TRACE, traces)
        used = {source_id for _, source_id in (*spans, *logs, *checkpoints)}
        for source_id in used - paths.keys():
            paths[source_id] = dialect.first_column(connection, PATH, source_id)[0]
        return Group(
            spans=tuple(self._loaded(connection, Span, [address for address, _ in spans])),
            logs=tuple(load(connection, Log, (address for address, _ in logs))),
            checkpoints=tuple(self._loaded(connection, Checkpoint, [address for address, _ in checkpoints])),
            paths=tuple(sorted({paths[source_id] for source_id in used})),
        )

    def _loaded(self, connection: Connection, kind: type[V], addresses: Sequence[str]) -> Iterator[V]:
        """The records behind these addresses, those that came in just now from memory."""
        here = [found if isinstance(found, kind) else None for found in self._recent.take(addresses)]
        rest = load(connection, kind, [address for address, found in zip(addresses, here, strict=True) if found is None])
        return (next(rest) if found is None else found for found in here)

    def spans(self, traces: Iterable[str]) -> list[Span]:
        """The spans of these traces, as they were recorded."""
        with self._engine.connect() as connection:
            return list(load(connection, Span, (address for address, _ in _newest(_rows_of(connection, SPANS_OF_TRACE, set(traces))))))

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

    def fingerprints(self, path: Path) -> list[str]:
        """What told a file's bytes from any others each time it was ingested; empty for one that never was."""
        with self._engine.connect() as connection:
            return column(connection, select(SOURCE.c.fingerprint).where(SOURCE.c.path == str(path)))

    def skips(self) -> list[tuple[str, Skip]]:
        """Everything that was skipped, with the path it was in."""
        query = select(SOURCE.c.path, SKIP).join(SKIP, SKIP.c.source_id == SOURCE.c.source_id).order_by(SOURCE.c.path, SKIP.c.place)
        with self._engine.connect() as connection:
            return [(row.path, Skip(place=row.place, reason=row.reason, count=row.count)) for row in connection.execute(query)]


def _rows_of(connection: Connection, sql: str, traces: Iterable[str]) -> list[tuple[Json, ...]]:
    """All rows of these traces, oldest first within each."""
    return [row for trace in sorted(traces) for row in dialect.fetched(connection, sql, trace)]


def _newest(rows: Iterable[tuple[Json, ...]]) -> Collection[list[Json]]:
    """Address and source of each record, whose first two columns are its key; of one that came several times the newest."""
    return {(first, second): rest for first, second, *rest in rows}.values()


def _add_told(connection: Connection, source_id: int, record: Receipt | Review, payloads: Payloads) -> int:
    """Keep what a share bundle tells of its runs, unless it is there already; returns whether it was new."""
    if isinstance(record, Receipt):
        return insert(connection, RECEIPT, [{"run_id": record.run_id, "sha256": payloads.put(record)}])
    path = connection.execute(select(SOURCE.c.path).where(SOURCE.c.source_id == source_id)).scalar_one()
    row = record.model_dump() | {"origin": Path(path).name}
    same = (REVIEW.c[name] == row[name] for name in ("key", "verdict", "note", "reviewed_ns", "origin"))
    known = connection.execute(select(REVIEW.c.seq).where(*same)).first()
    return 0 if known else insert(connection, REVIEW, [row])


def _source_id(connection: Connection, origin: Origin) -> int:
    values = {"path": str(origin.path), "fingerprint": origin.fingerprint, "collector": origin.collector}
    insert(connection, SOURCE, [values])
    query = select(SOURCE.c.source_id).where(SOURCE.c.path == values["path"], SOURCE.c.fingerprint == values["fingerprint"])
    return int(connection.execute(query).scalar_one())


def _mark(connection: Connection, added: Added) -> list[tuple[int, int]]:
    """Note what was touched as pending; gives the first and last mark. They are numbered without a gap: a writer is alone until it is done."""
    names = zip(PENDING_KINDS, (added.traces, added.threads, added.conversations, added.histories), strict=True)
    marks: list[dict[str, Json]] = [{"kind": kind, "name": name} for kind, some in names for name in sorted(some)]
    if not insert(connection, PENDING, marks):
        return []
    last = int(connection.execute(select(func.max(PENDING.c.seq))).scalar_one())
    return [(last - len(marks) + 1, last)]


def _put_answers(connection: Connection, batch: Iterable[Record], marks_of: Callable[[Span], tuple[str, ...]]) -> None:
    told = ((record, marks) for record in batch if isinstance(record, Span) and (marks := marks_of(record)))
    insert(connection, ANSWER, [row for span, marks in told for row in answers.rows_of(span, marks)])


def _put_skips(connection: Connection, source_id: int, skips: Sequence[Skip]) -> None:
    counts: dict[tuple[str, str], int] = {}
    for skip in skips:
        counts[skip.place, skip.reason] = counts.get((skip.place, skip.reason), 0) + skip.count
    insert(connection, SKIP, [{"source_id": source_id, "place": place, "reason": reason, "count": n} for (place, reason), n in counts.items()])
