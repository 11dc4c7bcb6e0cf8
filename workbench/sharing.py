"""Share bundles: runs in one file that another workbench opens and replays, redacted, with proof that nothing redacted is left in it.

What the rules name is replaced by the pseudonyms of the store, equal values by equal ones, in spans, logs, runs and in the states of
the runs' threads; then whatever was replaced anywhere is replaced everywhere. The finished file is searched, every cell and its raw bytes,
for each original: where one is left the bundle is not made. A thread with a value that can't be rewritten safely (a pickle, encrypted,
of unknown kind) stays out, which is said: its runs can be read and not replayed. A thread is shared whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ahocorasick_rs

from workbench.database import Location
from workbench.model import Json, Log, Run, Span, Value
from workbench.normalise.services import named_services, parts_of
from workbench.reading import bundles
from workbench.reading.rewriting import Rewrite, rewrite, rewrite_plain
from workbench.reading.serde import UndecodedError
from workbench.reading.threads import opened
from workbench.redaction import Redactor
from workbench.replay.recording.cut import SCHEMA
from workbench.semconv import read
from workbench.source import SourceError
from workbench.store import Store

LEAST_BYTES = 6
"""A shorter original occurs in hashes and ids by chance: that it is gone can't be shown, which is counted and said."""
MAX_NESTED = 1_000_000


class SharingError(ValueError):
    """A bundle that can't be made. The message says why, without saying what was to be hidden."""


class Shared(Value):
    """What went into a bundle: runs, threads whose states travel along, what was left out and why, what was replaced by kind."""

    runs: tuple[str, ...]
    records: int
    threads: tuple[str, ...]
    left_out: dict[str, str]
    redacted: dict[str, int]
    searched: int
    """How many originals the finished file was searched for."""
    too_short: int
    """How many more were replaced, and are too short to be searched for."""


@dataclass(frozen=True)
class Row:
    """One stored value of a thread: the table, the columns before it, its kind and bytes, and the columns after it."""

    table: str
    before: tuple[Json, ...]
    kind: str
    value: bytes
    after: tuple[Json, ...] = ()


def share(store: Store, runs: Sequence[Run], path: Path, redactor_of: Callable[[dict[str, str]], Redactor], keys: Collection[str] = ()) -> Shared:
    """Write a bundle of these runs. `redactor_of` makes a redactor that gathers originals, `keys` are names to look for in JSON inside texts too.

    SharingError where an original is left in it; nothing is written then.
    """
    originals: dict[str, str] = {}
    redactor = redactor_of(originals)
    records = list(_records(store, runs))
    threads, left_out = _threads(store, runs)
    once = _Scrubber(redactor, keys).text
    plain = [(kind, rewrite_plain(record, once)) for kind, record in records]
    threads, left_out = _rewritten(threads, left_out, once)
    again = _Everywhere(originals).text
    content = [(kind, json.dumps(rewrite_plain(record, again), ensure_ascii=False)) for kind, record in plain]
    threads, left_out = _rewritten(threads, left_out, again)
    _write(path, content, threads, originals)
    long = list(filter(_searchable, originals))
    return Shared(
        runs=tuple(run.run_id for run in runs),
        records=len(content),
        threads=tuple(threads),
        left_out=left_out,
        redacted=dict(redactor.counts),
        searched=len(long),
        too_short=len(originals) - len(long),
    )


# ---- what is shared


def _records(store: Store, runs: Sequence[Run]) -> Iterator[tuple[str, Json]]:
    """The spans and logs of runs, each once; a run without any is told as a whole. Then what is told of them."""
    seen: set[tuple[str, str]] = set()
    for run in runs:
        found = [record for record in _recorded(store, run) if (record.trace_id, record.model_dump_json()) not in seen]
        seen |= {(record.trace_id, record.model_dump_json()) for record in found}
        if found or (run.forked_from is None and _has_thread(run)):
            yield from ((type(record).__name__, record.model_dump(mode="json")) for record in found)
        else:
            yield "Run", run.model_copy(update={"sources": ()}).model_dump(mode="json")
    yield from _told(store, {run.run_id for run in runs})


def _told(store: Store, run_ids: set[str]) -> Iterator[tuple[str, Json]]:
    """The receipts of forks, of recorded databases only the names, and what people here made of findings, but not who they are."""
    for receipt in filter(None, map(store.receipt, sorted(run_ids))):
        named = {name.rpartition("/")[2]: sha256 for name, sha256 in receipt.parent_sha256.items()}
        yield "Receipt", receipt.model_copy(update={"parent_sha256": named}).model_dump(mode="json")
    for review in store.reviews():
        if review.run_id in run_ids:
            yield "Review", review.model_dump(mode="json", exclude={"by"})


def _recorded(store: Store, run: Run) -> list[Span | Log]:
    if run.forked_from is not None:
        return []
    traces = {step.trace_id for step in run.steps if step.trace_id}
    found: list[Span | Log] = []
    for group in store.groups(traces, [run.conversation_id] if run.conversation_id else []):
        spans = _own_spans(group.spans, traces)
        if len(spans) < len(group.spans) and run.run_id != run.conversation_id:
            return []  # by themselves they would become a run of the conversation's own id
        own = {span.trace_id for span in spans}
        found += [*spans, *(log for log in group.logs if log.trace_id in own or len(spans) == len(group.spans))]
    return found


def _own_spans(spans: Sequence[Span], traces: set[str]) -> Sequence[Span]:
    """The spans of a conversation that a run with these traces was derived from: not those of a service that has nothing to do with it."""
    parts = parts_of(spans, {(span.trace_id, span.span_id): read(span) for span in spans}) if len(named_services(spans)) > 1 else ()
    return next((part.spans for part in parts if any(span.trace_id in traces for span in part.spans)), spans)


def _has_thread(run: Run) -> bool:
    return run.conversation_id is not None and any(step.checkpoint_id for step in run.steps)


def _threads(store: Store, runs: Iterable[Run]) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """The stored values of the runs' threads, and the threads that can't be had, with the reason."""
    found: dict[str, list[Row]] = {}
    left_out: dict[str, str] = {}
    for run in runs:
        first = next((step for step in run.steps if step.checkpoint_id), None)
        if first is None or run.conversation_id is None or run.conversation_id in found:
            continue
        if run.forked_from is not None:
            left_out[run.conversation_id] = f"{run.run_id} is a fork: its states stay where it was made; share {run.forked_from} and fork it again"
            continue
        try:
            place, _ = store.checkpoint_source(run.conversation_id, first.namespace or "", str(first.checkpoint_id))
            found[run.conversation_id] = list(_rows(place, run.conversation_id))
        except (LookupError, SourceError, OSError) as error:
            left_out[run.conversation_id] = str(error.args[0] if error.args else error)
    return found, left_out


def _rows(database: Location, thread_id: str) -> Iterator[Row]:
    with opened(database) as tables:
        places = sorted({(row.namespace, row.checkpoint_id) for row in tables.checkpoints(thread_id)})
        for state in tables.raw_checkpoints(thread_id, places):
            yield Row("checkpoints", (thread_id, *state[:3]), state.kind, state.value, (_text(state.metadata),))
        for write in tables.raw_writes(thread_id, places):
            yield Row("writes", (thread_id, *write[:6]), str(write.kind), write.value or b"")


def _text(metadata: str | bytes | None) -> str:
    return metadata.decode("utf-8", "replace") if isinstance(metadata, bytes) else metadata or "{}"


# ---- what is replaced


def _rewritten(threads: dict[str, list[Row]], left_out: dict[str, str], text: Rewrite) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """The threads with texts replaced, and those left out with the ones that can't be rewritten."""
    done: dict[str, list[Row]] = {}
    for thread_id, rows in threads.items():
        try:
            done[thread_id] = [_row(row, text) for row in rows]
        except UndecodedError as error:
            left_out = left_out | {thread_id: f"its states can't be redacted safely: {error}"}
    return done, left_out


def _row(row: Row, text: Rewrite) -> Row:
    after = tuple(json.dumps(rewrite_plain(_metadata(str(one)), text)) for one in row.after)
    return Row(row.table, row.before, row.kind, rewrite(row.kind, row.value, text), after)


def _metadata(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UndecodedError(f"metadata that is no JSON ({error})") from error


class _Scrubber:
    """Replaces what the rules name, in JSON inside texts too."""

    def __init__(self, redactor: Redactor, keys: Collection[str]) -> None:
        self._redactor, self._keys = redactor, tuple(key.lower() for key in keys)

    def text(self, text: str, name: str) -> str:
        if text[:1] in "{[" and len(text) <= MAX_NESTED and any(key in text.lower() for key in self._keys):
            with contextlib.suppress(ValueError, RecursionError):
                inside = json.loads(text)
                found = rewrite_plain(inside, self.text)
                return self._redactor.text(text if found == inside else json.dumps(found, ensure_ascii=False), name)
        return self._redactor.text(text, name)


class _Everywhere:
    """Replaces what was replaced anywhere, wherever it stands."""

    def __init__(self, pseudonyms: Mapping[str, str]) -> None:
        self._pseudonyms = dict(pseudonyms)
        known = sorted(filter(_searchable, pseudonyms), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str, _: str) -> str:
        return self._pattern.sub(lambda found: self._pseudonyms[found[0]], text) if self._pattern else text


def _searchable(original: str) -> bool:
    return len(original.encode("utf-8", "surrogatepass")) >= LEAST_BYTES


# ---- the file and its proof


def _write(path: Path, records: list[tuple[str, str]], threads: dict[str, list[Row]], originals: Collection[str]) -> None:
    """Make the file beside its place, search it, and only then give it its name."""
    with tempfile.TemporaryDirectory(prefix=".share-", dir=path.parent) as folder:
        made = Path(folder) / "case"
        with contextlib.closing(sqlite3.connect(made)) as database, database:
            database.executescript(SCHEMA)
            bundles.add(database, records)
            for row in (row for rows in threads.values() for row in rows):
                values = (*row.before, row.kind, row.value, *row.after)
                database.execute(f"INSERT INTO {row.table} VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608  # one of two names of ours
        prove(made, originals)
        os.replace(made, path)  # noqa: PTH105  # as one act


def prove(path: Path, originals: Collection[str]) -> None:
    """SharingError where a bundle holds an original, in any cell or in its raw bytes, as text or as JSON escapes it."""
    forms = sorted({form for one in filter(_searchable, originals) for form in _forms(one)})
    if not forms:
        return
    search = ahocorasick_rs.BytesAhoCorasick(forms)
    for place, content in _contents(path):
        if found := search.find_matches_as_indexes(content):
            raise SharingError(f"not shared: {len(found):,} × something that was redacted is still in {place}; nothing was written")


def _forms(original: str) -> Iterator[bytes]:
    yield original.encode("utf-8", "surrogatepass")
    yield json.dumps(original, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    yield json.dumps(original)[1:-1].encode("ascii")


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every cell of every table: a long one is spread over pages in the file. Then the file as it is."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in database.execute(f"SELECT * FROM {table}"):  # noqa: S608  # a table of ours
                for cell in row:
                    yield f"table {table}", cell if isinstance(cell, bytes) else str(cell).encode("utf-8", "surrogatepass")
    yield "the file", path.read_bytes()
