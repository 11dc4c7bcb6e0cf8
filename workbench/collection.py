"""Runs the collectors over files, stores what they yield, and derives the runs anew that it touches."""

from __future__ import annotations

import gc
import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from weakref import WeakKeyDictionary

from sqlalchemy.exc import OperationalError
from xxhash import xxh3_128

from workbench.analysis.effects import with_declared
from workbench.database import Database, Location
from workbench.model import Json, Record, Run, Skip, Span, Step
from workbench.normalise import from_conversation, normalise
from workbench.normalise.services import named_services
from workbench.plugins import Collector, Input, accepting, collector_of, collectors
from workbench.project import tool_classes
from workbench.reading.tables import damage
from workbench.reading.threads import checkpoints
from workbench.redaction import Redactor, Rules, key_beside, key_file, new_key, rules_of
from workbench.semconv import Reader, conversation_of, marks_of
from workbench.shown import Shown
from workbench.source import Source, SourceError
from workbench.store import Added, Group, Origin, Pending, Store, Touch

logger = logging.getLogger("workbench.collection")

_LIVE_REDACTORS: WeakKeyDictionary[Store, tuple[Rules | None, Redactor | None]] = WeakKeyDictionary()

PLACES_SHOWN, NAMED = 3, 8
REDACTED, WHOLE = b"redacted", b"whole"
NO_CONVENTION = "none"
RUNS_AT_ONCE = 50
TOLD_EVERY = 1_000
RUNS = "runs"
GARBAGE_AT = 500_000
ARCHIVE = "a {} archive, which is not unpacked here: what it unpacks to has no bound; unpack it, and ingest the files in it"
NOT_TRACES = frozenset({".md", ".toml", ".py", ".pyc", ".lock", ".png", ".html", ".ipynb", ".sql", ".db-wal", ".db-shm", ".sqlite-wal", ".sqlite-shm"})
"""Files that stand beside traces in a folder and are counted without being opened; named alone they are tried all the same."""
SELDOM_TRACES = frozenset({".txt", ".csv", ".tsv"})
"""Files that may hold anything: an empty one in a folder is no trace that lacks its content."""
HIDDEN = "hidden"


Progress = Callable[[Location | str, int, int], None]
"""Called with what is being worked on, how much of it is done, and how much there is. Another total begins another piece of work."""
Watch = Callable[[Input, Iterable[Record]], Iterable[Record]]


class IngestError(ValueError):
    """A path or database that can't be ingested at all. The message says what would be right."""


@dataclass(frozen=True)
class FileSummary:
    """What came of one file or database."""

    path: Location
    collector: str | None
    records: dict[str, int]
    new: int
    skips: tuple[Skip, ...]
    conventions: dict[str, int] = field(default_factory=dict)
    """How many of its spans speak which convention; under "none" those that speak none."""
    beside: bool = False
    """Whether it only stood in a folder among others, and is of no format known here: it is named, and nothing was lost by it."""

    @property
    def skipped(self) -> int:
        """How many things in it could not be used."""
        return 0 if self.beside else sum(skip.count for skip in self.skips)


@dataclass
class Summary:
    """What came of one `ingest`: its files, the runs that are new or changed, and everything that was skipped."""

    files: list[FileSummary] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    redacted: dict[str, int] = field(default_factory=dict)
    """How many values were replaced, by kind."""
    unopened: Counter[str] = field(default_factory=Counter)
    """How many files of the folders were left alone without being opened, by the end of their names; hidden ones together."""

    @property
    def nothing_read(self) -> bool:
        """Whether something was skipped, and nothing at all could be used."""
        return self.skipped > 0 and not any(count for file in self.files for kind, count in file.records.items() if kind != "Skip")

    @property
    def skipped(self) -> int:
        """How many things could not be used, over all files."""
        return sum(file.skipped for file in self.files)

    @property
    def conventions(self) -> dict[str, int]:
        """How many spans speak which convention, the most spoken first."""
        return dict(sum((Counter(file.conventions) for file in self.files), Counter()).most_common())

    @property
    def beside(self) -> list[Location]:
        """The files in a folder that are of no format known here."""
        return [file.path for file in self.files if file.beside]

    def left_alone_told(self) -> str | None:
        """What of the folders was left alone: by name what was looked at, by kind and count what was not; None where nothing was."""
        named = [_from_here(str(path)) for path in self.beside]
        named = [*named[:NAMED], f"{len(named) - NAMED:,} more"] if len(named) > NAMED else named
        kinds = [f"{count:,} × {kind} (not opened)" for kind, count in sorted(self.unopened.items())]
        return f"of no format known here, and left alone: {', '.join([*named, *kinds])}" if named or kinds else None

    def skips_told(self) -> list[str]:
        """One line for each reason: how many, where (the first three places), why."""
        by_reason: dict[str, list[Skip]] = {}
        for skip in (skip for file in self.files if not file.beside for skip in file.skips):
            by_reason.setdefault(skip.reason.removeprefix(f"{skip.place}: "), []).append(skip)
        return [f"skipped {sum(skip.count for skip in skips):,} × {reason} ({_places(skips)})" for reason, skips in by_reason.items()]


def ingest(store: Store, paths: Iterable[Location], *, progress: Progress | None = None, redactor: Redactor | None = None) -> Summary:
    """Read files, folders and databases into the store; `redactor` replaces what must not be kept.

    `progress` is called again and again: with the file being read, and how many bytes of all; then with "runs", and how many of them are derived.

    A file that no collector knows, or that breaks off, is a counted skip; the others are read. IngestError for a path
    that does not exist, and for a database that can't be reached or that no collector knows.
    """
    given = set(paths := list(paths))
    summary, touched, reader = Summary(), Added(), Reader()
    files = list(_files(paths, summary.unopened))
    sizes = [_size(path) for path in files]
    total, before = sum(sizes), itertools.accumulate(sizes, initial=0)
    with _fewer_collections():
        for path, size, done in zip(files, sizes, before, strict=False):
            watch = _watch(progress, path, done, size, total) if progress else _unwatched
            summary.files += _ingest_one(store, path, touched, redactor, reader, watch, named=path in given)
        summary.runs = list(dict.fromkeys((*touched.derived, *_derive(store, touched, reader, progress))))
    store.settle_marks(touched.marks)
    summary.redacted = dict(redactor.counts) if redactor else {}
    return summary


def _watch(progress: Progress, path: Location, before: int, size: int, total: int) -> Watch:
    """Tells how many bytes are read of all while the records of one file go by."""

    def watched(source: Input, records: Iterable[Record]) -> Iterator[Record]:
        for number, record in enumerate(records):
            if number % TOLD_EVERY == 0:
                progress(path, before + min(source.position if isinstance(source, Source) else 0, size), total)
            yield record

    progress(path, before, total)
    return watched


def _unwatched(_: Input, records: Iterable[Record]) -> Iterable[Record]:
    return records


def _size(path: Location) -> int:
    return path.stat().st_size if isinstance(path, Path) else 1


@contextmanager
def _fewer_collections() -> Iterator[None]:
    """Let Python look for circles of garbage less often: reading makes millions of objects and no circles, and looking took a sixth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE_AT, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(frozen=True)
class Renormalised(Shown):
    """What came of deriving every run anew: how many there are, those that changed or are new, and those that are no runs of their own any more."""

    runs: int
    changed: tuple[str, ...]
    retired: tuple[str, ...]


def renormalise(store: Store, *, progress: Progress | None = None) -> Renormalised:
    """Derive every run anew from what is stored, by the conventions as they are now. What was collected stays as it is, and so do forks."""
    store.rename(conversation_of, marks_of)
    found: list[str] = []
    changed: list[str] = []
    everything = store.everything()
    for run in _numbered(_derived(store, everything, Reader()), everything, progress):
        found.append(run.run_id)
        if store.save_runs([run]):
            changed.append(run.run_id)
    return Renormalised(len(found), tuple(changed), tuple(store.retire(found)))


def redactor_of(store: Store) -> Redactor | None:
    """What replaces secrets, and what the folder one works in asks for, on the way into this store; None where redaction is turned off there."""
    rules = rules_of(Path.cwd())
    return Redactor(rules, key_of(store)) if rules else None


def key_of(store: Store) -> bytes:
    """The secret of a store's pseudonyms. A server store that was used before it had one of its own takes that of the folder one works in."""
    if not isinstance(store.path, Database):
        return key_beside(store.path)
    local = key_file(store.forks.with_suffix(""))
    return store.setting("redaction-key", lambda: local.read_bytes() if local.exists() else new_key())


def add_live(store: Store, origin: Origin, records: Iterable[Record]) -> Added:
    """Store records as they come in, redacted, durably, in one transaction. Their runs are derived by `catch_up`, of this process or another."""
    redactor = _live_redactor(store)
    before = redactor.counts.copy() if redactor else Counter[str]()
    added = store.add(origin, redactor.records(records) if redactor else records, conversation_of, marks_of, pending=True)
    added.redacted = dict(redactor.counts - before) if redactor else {}
    return added


def add_thread(store: Store, place: Location, thread_id: str) -> int:
    """Store the checkpoints of one thread of a database, as ingesting the whole of it would, and derive nothing yet; returns how many there are.

    SourceError where the database can't be read.
    """
    collector = collectors()["langgraph-postgres" if isinstance(place, Database) else "langgraph-sqlite"]
    redactor, origin, records = _live_redactor(store), origin_of(place, collector), checkpoints(place, thread_id)
    added = store.add(origin, redactor.records(records) if redactor else records, conversation_of, pending=True)
    store.keep(_choice(origin.path), REDACTED if redactor else WHOLE)
    return added.records.get("Checkpoint", 0)


def _live_redactor(store: Store) -> Redactor | None:
    """As `redactor_of`; the same as for the batch before while the rules are the same, so that what recurs is looked through once."""
    rules = rules_of(Path.cwd())
    known = _LIVE_REDACTORS.get(store)
    if known is None or known[0] != rules:
        known = _LIVE_REDACTORS[store] = rules, Redactor(rules, key_of(store)) if rules else None
    return known[1]


def catch_up(store: Store) -> list[str]:
    """Derive the runs of what came in live, or by an ingest that was killed, since the last time; returns those that are new or changed.

    A trace that can't be derived is logged and stays pending, and keeps no other from its runs. Where it is the store that can't be written to (full,
    locked, read-only), that is logged once and all stays pending.
    """
    pending = store.pending()
    if not pending.upto:
        return []
    failed: set[str] = set()
    try:
        runs = _derive(store, _touching(pending))
    except OperationalError as error:
        logger.warning("what came in since the last time is in no run yet, since the store can't be written to: %s", error.orig)
        return []
    except Exception:
        logger.exception("deriving one by one, since together it failed")
        runs = [run for touched in _each(pending) for run in _derived_or_told(store, touched, failed)]
    store.settle(pending, failed)
    return runs


def _touching(pending: Pending) -> Added:
    return Added(traces=set(pending.traces), threads=set(pending.threads), conversations=set(pending.conversations), histories=set(pending.histories))


def _each(pending: Pending) -> Iterator[Added]:
    """What is pending one by one, so that what can't be derived keeps no other from its runs."""
    yield from (Added(traces={name}) for name in sorted(pending.traces))
    yield from (Added(threads={name}) for name in sorted(pending.threads))
    yield from (Added(conversations={name}) for name in sorted(pending.conversations))
    yield from (Added(histories={name}) for name in sorted(pending.histories))


def _derived_or_told(store: Store, touched: Added, failed: set[str]) -> list[str]:
    try:
        return _derive(store, touched)
    except Exception:
        names = touched.traces | touched.threads | touched.conversations | touched.histories
        failed |= names
        logger.exception("no run could be derived of %s; its records are safe", ", ".join(names))
        return []


def state(store: Store, run: Run, step: Step) -> dict[str, Json]:
    """The full state a step started from, fetched from the database it was recorded in. LookupError says why there is none.

    It is redacted as the store was when it was filled from there: not at all after `--no-redaction`, else by today's rules (the built-in ones where
    redaction is turned off today); by today's rules alone where the store doesn't know.
    """
    if step.checkpoint_id is None or run.conversation_id is None:
        raise LookupError(f"step {step.index} of {run.run_id} has no checkpoint: its state was not recorded")
    return _state_at(store, run.conversation_id, step.namespace or "", step.checkpoint_id)


def final_state(store: Store, run: Run) -> dict[str, Json]:
    """The full state that a run left, fetched as `state` does: that of the newest checkpoint of its thread. LookupError says why there is none."""
    newest = None if run.conversation_id is None else store.newest_checkpoint(run.conversation_id)
    if newest is None:
        raise LookupError(f"{run.run_id} was recorded without LangGraph checkpoints, so the state it left is not known")
    return _state_at(store, str(run.conversation_id), "", newest)


def _state_at(store: Store, thread_id: str, namespace: str, checkpoint_id: str) -> dict[str, Json]:
    path, name = store.checkpoint_source(thread_id, namespace, checkpoint_id)
    if isinstance(path, Path) and not path.exists():
        raise LookupError(f"the state stands in {path}, which is not there any more; ingest it again from where it is now")
    fetch = collectors()[name].state
    if fetch is None:
        raise LookupError(f"the collector {name} keeps no states")
    fetched = fetch(path, thread_id, namespace, checkpoint_id)
    redactor = _state_redactor(store, path)
    return redactor.state(fetched) if redactor else fetched


def _choice(path: Location) -> str:
    """The setting under which a store keeps whether what came from there was redacted. No path can be read from it: it outlives a deleted run."""
    return f"redaction {hashlib.sha256(str(path).encode()).hexdigest()}"


def _state_redactor(store: Store, path: Location) -> Redactor | None:
    chosen = store.kept(_choice(path))
    if chosen == WHOLE:
        return None
    return redactor_of(store) or (Redactor(Rules(), key_of(store)) if chosen == REDACTED else None)


def _places(skips: Sequence[Skip]) -> str:
    shown = [_from_here(skip.place) for skip in skips[:PLACES_SHOWN]]
    return ", ".join([*shown, f"and {len(skips) - len(shown):,} more places"] if len(skips) > len(shown) else shown)


def _from_here(place: str) -> str:
    return place.removeprefix(f"{Path.cwd()}/")


def _files(paths: Iterable[Location], unopened: Counter[str]) -> Iterator[Location]:
    """The files and databases to read; what a folder holds beside them is counted in `unopened`."""
    for path in paths:
        if isinstance(path, Database):
            yield _reachable(path)
        elif path.is_dir():
            for one in sorted(one for one in path.rglob("*") if one.is_file()):
                if (kind := _no_trace(one)) is None:
                    yield one
                else:
                    unopened[kind] += 1
        elif path.exists():
            yield path
        else:
            beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            near = get_close_matches(path.name, beside, n=1)
            raise IngestError(f"there is no {path}" + (f"; beside it is {near[0]}" if near else ""))


def _reachable(database: Database) -> Database:
    """A database that will be read; asked before anything is, since a URL that someone typed is no file of many that may be passed over."""
    schemes = sorted({scheme for collector in collectors().values() for scheme in collector.schemes})
    if database.scheme not in schemes:
        raise IngestError(f"{database}: no collector reads {database.scheme} URLs; there are collectors for {', '.join(schemes)}, and for files")
    try:
        if collector_of(database):
            return database
    except SourceError as error:
        raise IngestError(str(error)) from error
    raise IngestError(f"{database}: nothing in it is known; looked for the tables of {', '.join(_readers_of(database))} on its search path")


def _readers_of(database: Database) -> list[str]:
    return [name for name, collector in collectors().items() if database.scheme in collector.schemes]


def _no_trace(path: Path) -> str | None:
    """What a file in a folder is that is not even opened: hidden, of a kind that holds no traces, or an empty text. None for one that is."""
    if any(part.startswith((".", "__")) for part in path.parts[-2:]):
        return HIDDEN
    kind = path.suffix.lower()
    if kind in SELDOM_TRACES and not path.stat().st_size:
        return f"empty {kind}"
    return kind if kind in NOT_TRACES else None


def _ingest_one(store: Store, path: Location, touched: Added, redactor: Redactor | None, reader: Reader, watch: Watch, *, named: bool) -> list[FileSummary]:
    source = path if isinstance(path, Database) else Source(path)
    try:
        if isinstance(source, Source) and source.archive:
            return [FileSummary(path, None, {}, 0, (Skip(place=str(path), reason=ARCHIVE.format(source.archive)),))]
        able = list(accepting(source) if isinstance(source, Database) else filter(None, [collector_of(source)]))
    except (SourceError, OSError) as error:
        return [FileSummary(path, None, {}, 0, (Skip(place=str(path), reason=str(error)),))]
    if not able:
        broken = isinstance(source, Source) and damage(source)
        beside = not named and not broken and _is_something(source)
        return [FileSummary(path, None, {}, 0, (Skip(place=str(path), reason=broken or _unknown(source)),), beside=beside)]
    return [_ingest_by(collector, store, source, touched, redactor, reader, watch) for collector in able]


def _ingest_by(collector: Collector, store: Store, source: Input, touched: Added, redactor: Redactor | None, reader: Reader, watch: Watch) -> FileSummary:
    path = source if isinstance(source, Database) else source.path
    records = watch(source, _until_broken(collector, source, path))
    reader.dialects.clear()

    def settle(settled: Collection[Touch]) -> bool:
        now = Added(traces={trace for trace, _ in settled}, threads={thread for _, thread in settled if thread is not None})
        try:
            touched.derived.extend(_derive(store, now, reader))
        except Exception:  # whatever it is, it must not keep the file's records from being stored: it shows again when they are, and are derived
            logger.exception("runs could not be derived while their file was read")
            return False
        return True

    origin = origin_of(path, collector)
    added = store.add(origin, redactor.records(records) if redactor else records, reader.conversation_of, reader.marks_of, pending=True, settle=settle)
    touched.traces |= added.traces
    touched.threads |= added.threads
    touched.conversations |= added.conversations
    touched.histories |= added.histories
    touched.marks += added.marks
    if collector.state:
        store.keep(_choice(origin.path), REDACTED if redactor else WHOLE)
    dialects = {name or NO_CONVENTION: count for name, count in reader.dialects.items()}
    return FileSummary(path, collector.name, added.records, added.new, tuple(added.skips), dialects)


def origin_of(path: Location, collector: Collector) -> Origin:
    """Where records come from. A database has no bytes to hash, and goes on changing: there is one origin for each collector that reads it."""
    if isinstance(path, Database):
        return Origin(path, hashlib.sha256(f"{collector.name} {path}".encode()).hexdigest(), collector.name)
    return Origin(path.resolve(), fingerprint(path), collector.name)


def _is_something(source: Input) -> bool:
    """Whether a file has content that nothing is wrong with."""
    return isinstance(source, Source) and bool(source.head)


def _unknown(source: Input) -> str:
    if isinstance(source, Source) and not source.head:
        return "the file is empty"
    return f"no collector knows this format; there are {', '.join(collectors())}"


def _until_broken(collector: Collector, source: Input, path: Location) -> Iterator[Record]:
    """A collector's records; where the input turns out to be broken, a skip that says so ends them."""
    try:
        yield from collector.collect(source)
    except SourceError as error:
        yield Skip(place=str(path), reason=str(error))


def fingerprint(path: Path) -> str:
    """What tells a file's bytes from any others (XXH3, 128 bits): as fast as the file can be read.

    No proof against forgery, and none is needed: each record of the file has a SHA-256 of its own.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, xxh3_128).hexdigest()


def is_as_ingested(store: Store, path: Path) -> bool:
    """Whether a file still has the bytes that it was ingested with."""
    known = store.fingerprints(path.resolve())
    return fingerprint(path) in known or _sha256(path) in known


def _sha256(path: Path) -> str:
    """The fingerprint of files that were ingested before version 14 of the store."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _derive(store: Store, touched: Added, reader: Reader | None = None, progress: Progress | None = None) -> list[str]:
    """Derive what was touched anew, a batch of runs at a time, so that memory stays bounded; returns the runs that are new or changed."""
    runs, changed = _numbered(_derived(store, touched, reader or Reader()), touched, progress), list[str]()
    while batch := list(itertools.islice(runs, RUNS_AT_ONCE)):
        changed += store.save_changed(batch)
    store.absorb(touched.absorbed)
    return changed


def _numbered(runs: Iterable[Run], touched: Added, progress: Progress | None) -> Iterator[Run]:
    """The runs, told as they come. How many there will be is known to be at most one for each thread or trace that was touched."""
    total = max(len(touched.threads), len(touched.traces)) + len(touched.conversations) + len(touched.histories)
    for number, run in enumerate(runs):
        if progress:
            progress(RUNS, min(number, total), total)
        yield run


def _derived(store: Store, touched: Added, reader: Reader) -> Iterator[Run]:
    """The runs of what was touched, with what the folder one works in declares of their tools."""
    declared = tool_classes(Path.cwd())
    return (with_declared(run, declared) for run in _read(store, touched, reader))


def _read(store: Store, touched: Added, reader: Reader) -> Iterator[Run]:
    for group in store.groups(touched.traces, touched.threads):
        runs = _runs_of(group, reader)
        before = {span.trace_id for span in group.spans} | _apart_before(group.spans, runs) | _alone_before(store, runs)
        touched.absorbed |= before - {run.run_id for run in runs}
        yield from runs
    for conversation, path in store.conversations(touched.conversations):
        yield from_conversation(conversation).model_copy(update={"sources": (path,)})
    for run, path in store.histories(touched.histories):
        yield run.model_copy(update={"sources": (path,)})


def _apart_before(spans: Sequence[Span], runs: Sequence[Run]) -> set[str]:
    """The ids that runs of services may have had while these were not known to belong together, or to another one first."""
    services = named_services(spans)
    return {f"{run.conversation_id}~{name}" for run in runs for name in services} if len(services) > 1 else set()


def _alone_before(store: Store, runs: Sequence[Run]) -> set[str]:
    """The ids of runs of sessions while nothing was known of the other in whose trace they hang; one with traces of its own keeps its run."""
    hung = {run.conversation_id for run in runs[1:] if run.conversation_id and run.conversation_id != runs[0].conversation_id}
    return {session for session in hung if not any(store.groups((), [session]))}


def _runs_of(group: Group, reader: Reader) -> Sequence[Run]:
    return [run.model_copy(update={"sources": group.paths}) for run in normalise(group.spans, group.checkpoints, group.logs, reader.read)]
