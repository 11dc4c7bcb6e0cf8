"""Runs the collectors over files, stores what they yield, and derives the runs anew that it touches."""

from __future__ import annotations

import gc
import hashlib
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from workbench.database import Database, Location
from workbench.model import Json, Record, Run, Skip, Step
from workbench.normalise import from_conversation, normalise
from workbench.plugins import Collector, Input, accepting, collector_of, collectors
from workbench.redaction import Redactor, key_beside, key_file, new_key, rules_of
from workbench.semconv import Reader, conversation_of
from workbench.source import Source, SourceError
from workbench.store import Added, Group, Origin, Store, Touch

logger = logging.getLogger("workbench.collection")

BLOCK_BYTES = 1 << 20
PLACES_SHOWN = 3
RUNS_AT_ONCE = 50
GARBAGE_AT = 100_000
NOT_TRACES = frozenset(
    {".md", ".txt", ".csv", ".toml", ".py", ".pyc", ".lock", ".png", ".html", ".ipynb", ".sql", ".db-wal", ".db-shm", ".sqlite-wal", ".sqlite-shm"}
)
"""Files that stand beside traces in a folder; named alone they are tried all the same."""


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

    @property
    def skipped(self) -> int:
        """How many things in it could not be used."""
        return sum(skip.count for skip in self.skips)


@dataclass
class Summary:
    """What came of one `ingest`: its files, the runs that are new or changed, and everything that was skipped."""

    files: list[FileSummary] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    redacted: dict[str, int] = field(default_factory=dict)
    """How many values were replaced, by kind."""

    @property
    def skipped(self) -> int:
        """How many things could not be used, over all files."""
        return sum(file.skipped for file in self.files)

    def skips_told(self) -> list[str]:
        """One line for each reason: how many, where (the first three places), why."""
        by_reason: dict[str, list[Skip]] = {}
        for skip in (skip for file in self.files for skip in file.skips):
            by_reason.setdefault(skip.reason.removeprefix(f"{skip.place}: "), []).append(skip)
        return [f"skipped {sum(skip.count for skip in skips):,} × {reason} ({_places(skips)})" for reason, skips in by_reason.items()]


def ingest(
    store: Store, paths: Iterable[Location], *, progress: Callable[[Location, int, int], None] | None = None, redactor: Redactor | None = None
) -> Summary:
    """Read files, folders and databases into the store; `progress(path, done, total)` is called before each file. `redactor` replaces what must not be kept.

    A file that no collector knows, or that breaks off, is a counted skip; the others are read. IngestError for a path
    that does not exist, and for a database that can't be reached or that no collector knows.
    """
    files = list(_files(paths))
    summary, touched, reader = Summary(), Added(), Reader()
    with _fewer_collections():
        for number, path in enumerate(files):
            if progress:
                progress(path, number, len(files))
            summary.files += _ingest_one(store, path, touched, redactor, reader)
        summary.runs = list(dict.fromkeys((*touched.derived, *_derive(store, touched, reader))))
    summary.redacted = dict(redactor.counts) if redactor else {}
    return summary


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
class Renormalised:
    """What came of deriving every run anew: how many there are, those that changed or are new, and those that are no runs of their own any more."""

    runs: int
    changed: tuple[str, ...]
    retired: tuple[str, ...]


def renormalise(store: Store) -> Renormalised:
    """Derive every run anew from what is stored, by the conventions as they are now. What was collected stays as it is, and so do forks."""
    store.rename(conversation_of)
    found: list[str] = []
    changed: list[str] = []
    for run in _derived(store, store.everything(), Reader()):
        found.append(run.run_id)
        if store.save_runs([run]):
            changed.append(run.run_id)
    return Renormalised(len(found), tuple(changed), tuple(store.retire(found)))


def redactor_of(store: Store) -> Redactor | None:
    """What replaces secrets, and what the folder one works in asks for, on the way into this store; None where redaction is turned off there."""
    rules = rules_of(Path.cwd())
    return Redactor(rules, _key_of(store)) if rules else None


def _key_of(store: Store) -> bytes:
    """The secret of a store's pseudonyms. A server store that was used before it had one of its own takes that of the folder one works in."""
    if not isinstance(store.path, Database):
        return key_beside(store.path)
    local = key_file(store.forks.with_suffix(""))
    return store.setting("redaction-key", lambda: local.read_bytes() if local.exists() else new_key())


def add_live(store: Store, origin: Origin, records: Iterable[Record]) -> Added:
    """Store records as they come in, redacted, durably, in one transaction. Their runs are derived by `catch_up`, of this process or another."""
    redactor = redactor_of(store)
    return store.add(origin, redactor.records(records) if redactor else records, conversation_of, live=True)


def catch_up(store: Store) -> list[str]:
    """Derive the runs of what came in live since the last time; returns those that are new or changed.

    A trace that can't be derived is logged and stays pending, and keeps no other from its runs.
    """
    pending = store.pending()
    if not pending.upto:
        return []
    failed: set[str] = set()
    try:
        runs = _derive(store, Added(traces=set(pending.traces), threads=set(pending.threads)))
    except Exception:
        logger.exception("deriving one by one, since together it failed")
        each = [Added(traces={trace}) for trace in sorted(pending.traces)] + [Added(threads={thread}) for thread in sorted(pending.threads)]
        runs = [run for touched in each for run in _derived_or_told(store, touched, failed)]
    store.settle(pending, failed)
    return runs


def _derived_or_told(store: Store, touched: Added, failed: set[str]) -> list[str]:
    try:
        return _derive(store, touched)
    except Exception:
        failed |= touched.traces | touched.threads
        logger.exception("no run could be derived of %s; its records are safe", ", ".join(touched.traces | touched.threads))
        return []


def state(store: Store, run: Run, step: Step) -> dict[str, Json]:
    """The full state a step started from, fetched from the database it was recorded in, redacted as on the way in. LookupError says why there is none."""
    if step.checkpoint_id is None or run.conversation_id is None:
        raise LookupError(f"step {step.index} of {run.run_id} has no checkpoint: its state was not recorded")
    path, name = store.checkpoint_source(run.conversation_id, step.namespace or "", step.checkpoint_id)
    if isinstance(path, Path) and not path.exists():
        raise LookupError(f"the state stands in {path}, which is not there any more; ingest it again from where it is now")
    fetch = collectors()[name].state
    if fetch is None:
        raise LookupError(f"the collector {name} keeps no states")
    fetched = fetch(path, run.conversation_id, step.namespace or "", step.checkpoint_id)
    redactor = redactor_of(store)
    return redactor.state(fetched) if redactor else fetched


def _places(skips: Sequence[Skip]) -> str:
    shown = [_from_here(skip.place) for skip in skips[:PLACES_SHOWN]]
    return ", ".join([*shown, f"and {len(skips) - len(shown):,} more places"] if len(skips) > len(shown) else shown)


def _from_here(place: str) -> str:
    return place.removeprefix(f"{Path.cwd()}/")


def _files(paths: Iterable[Location]) -> Iterator[Location]:
    for path in paths:
        if isinstance(path, Database):
            yield _reachable(path)
        elif path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file() and _may_be_a_trace(one))
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


def _may_be_a_trace(path: Path) -> bool:
    return path.suffix.lower() not in NOT_TRACES and not any(part.startswith((".", "__")) for part in path.parts[-2:])


def _ingest_one(store: Store, path: Location, touched: Added, redactor: Redactor | None, reader: Reader) -> list[FileSummary]:
    source = path if isinstance(path, Database) else Source(path)
    try:
        able = list(accepting(source) if isinstance(source, Database) else filter(None, [collector_of(source)]))
    except (SourceError, OSError) as error:
        return [FileSummary(path, None, {}, 0, (Skip(place=str(path), reason=str(error)),))]
    if not able:
        return [FileSummary(path, None, {}, 0, (Skip(place=str(path), reason=_unknown(source)),))]
    return [_ingest_by(collector, store, source, path, touched, redactor, reader) for collector in able]


def _ingest_by(collector: Collector, store: Store, source: Input, path: Location, touched: Added, redactor: Redactor | None, reader: Reader) -> FileSummary:
    records = _until_broken(collector, source, path)

    def settle(settled: Collection[Touch]) -> None:
        now = Added(traces={trace for trace, _ in settled}, threads={thread for _, thread in settled if thread is not None})
        touched.derived.extend(_derive(store, now, reader))

    added = store.add(origin_of(path, collector), redactor.records(records) if redactor else records, reader.conversation_of, settle=settle)
    touched.traces |= added.traces
    touched.threads |= added.threads
    touched.conversations |= added.conversations
    touched.histories |= added.histories
    return FileSummary(path, collector.name, added.records, added.new, tuple(added.skips))


def origin_of(path: Location, collector: Collector) -> Origin:
    """Where records come from. A database has no bytes to hash, and goes on changing: there is one origin for each collector that reads it."""
    if isinstance(path, Database):
        return Origin(path, hashlib.sha256(f"{collector.name} {path}".encode()).hexdigest(), collector.name)
    return Origin(path.resolve(), sha256(path), collector.name)


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


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()


def _derive(store: Store, touched: Added, reader: Reader | None = None) -> list[str]:
    """Derive what was touched anew, a batch of runs at a time, so that memory stays bounded; returns the runs that are new or changed."""
    runs, changed = _derived(store, touched, reader or Reader()), list[str]()
    while batch := list(itertools.islice(runs, RUNS_AT_ONCE)):
        changed += store.save_changed(batch)
    return changed


def _derived(store: Store, touched: Added, reader: Reader) -> Iterator[Run]:
    for group in store.groups(touched.traces, touched.threads):
        yield from _runs_of(group, reader)
    for conversation, path in store.conversations(touched.conversations):
        yield from_conversation(conversation).model_copy(update={"sources": (path,)})
    for run, path in store.histories(touched.histories):
        yield run.model_copy(update={"sources": (path,)})


def _runs_of(group: Group, reader: Reader) -> Sequence[Run]:
    return [run.model_copy(update={"sources": group.paths}) for run in normalise(group.spans, group.checkpoints, group.logs, reader.read)]
