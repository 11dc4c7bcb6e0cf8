"""Deletes a run and everything only it used, so that no byte of it stays in the file.

What goes: the run's rows, the spans, logs, checkpoints and conversations it was derived from, and every payload that nothing else points at.
A payload others use too stays: it is theirs. Removed pages are overwritten (`secure_delete`) and the file is rebuilt
without them; a server's tables are written anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select, update

from workbench.shown import Shown
from workbench.store import contents
from workbench.store.contents import PAYLOAD, batched
from workbench.store.payloads import pointed_at
from workbench.store.schema import TABLES

IN_CLAUSE = 500
OF_TRACES = ("span", "log")
OF_RUNS = ("conversation", "history", "run", "examination", "finding", "receipt")
FROM_SOURCES = ("span", "log", "checkpoint", "conversation", "history")
"""The tables whose rows say from which file they came."""
ABOUT_RUNS = ("alert", "review", "judgement", "note")
"""What was said of runs, without a payload of its own."""
ROOTS = ("span", "log", "checkpoint", "conversation", "history", "run", "step", "examination", "finding", "receipt", "ledger")
"""The tables that point at payloads."""


class DeletionError(ValueError):
    """A run that can't be deleted by itself. The message says what hangs on it."""


@dataclass
class Deleted(Shown):
    """What went: runs, rows by table, payloads and their bytes, files; `payloads_kept` is what other runs use too."""

    runs: tuple[str, ...]
    rows: dict[str, int] = field(default_factory=dict)
    payloads: int = 0
    payload_bytes: int = 0
    payloads_kept: int = 0
    files: tuple[str, ...] = ()
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True)
class Extent:
    """What the runs to delete were derived from."""

    runs: tuple[str, ...]
    traces: frozenset[str]
    threads: frozenset[str]

    @property
    def rows(self) -> Iterator[tuple[str, str, Collection[str]]]:
        """What these runs were derived from and what was derived of them: table, column, and the values that are theirs."""
        yield "checkpoint", "thread_id", self.threads
        yield from ((name, "trace_id", self.traces) for name in OF_TRACES)
        yield from ((name, "run_id", self.runs) for name in OF_RUNS)


def remove(connection: Connection, extent: Extent) -> Deleted:
    """Delete rows and payloads, within the caller's transaction."""
    done = Deleted(extent.runs)
    sources = _sources(connection, extent)
    steps_before = set(_addresses(connection, "step"))
    candidates = _with_targets(connection, set(_taken_out(connection, extent, done)), steps_before)
    used = _with_targets(connection, {address for name in ROOTS for address in _addresses(connection, name)}, set(_addresses(connection, "step")))
    gone = {one.hex() for one in connection.execute(select(PAYLOAD.c.sha256)).scalars()} - used  # what retired runs left behind, too
    done.payloads, done.payloads_kept = len(gone), len(candidates & used)
    done.payload_bytes = contents.remove(connection, gone)
    _forget_pending(connection, extent)
    _forget_answers(connection, extent)
    _forget_sources(connection, sources, done)
    return done


def _taken_out(connection: Connection, extent: Extent, done: Deleted) -> Iterator[str]:
    """Delete the rows of these runs; gives the addresses they pointed at."""
    run = TABLES["run"]
    revisions = [
        one for batch in batched(extent.runs, IN_CLAUSE) for one in connection.execute(select(run.c.revision).where(run.c.run_id.in_(batch))).scalars()
    ]
    for name, column, values in (("step", "revision", revisions), *extent.rows):
        table = TABLES[name]
        for batch in batched(values, IN_CLAUSE):
            here = table.c[column].in_(batch)
            yield from connection.execute(select(table.c.sha256).where(here)).scalars()
            done.rows[name] = done.rows.get(name, 0) + connection.execute(delete(table).where(here)).rowcount
    for name in ABOUT_RUNS:
        for batch in batched(extent.runs, IN_CLAUSE):
            gone = connection.execute(delete(TABLES[name]).where(TABLES[name].c.run_id.in_(batch)))
            done.rows[name] = done.rows.get(name, 0) + gone.rowcount
    yield from _forget_acts(connection, extent.runs)
    done.rows = {name: count for name, count in done.rows.items() if count}


def _forget_acts(connection: Connection, runs: Sequence[str]) -> Iterator[str]:
    """Empty these runs' lines of the ledger; gives the addresses they pointed at. That a key was used stays known: no act may be done live twice."""
    ledger = TABLES["ledger"]
    for batch in batched(runs, IN_CLAUSE):
        here = ledger.c.run_id.in_(batch)
        yield from connection.execute(select(ledger.c.sha256).where(here)).scalars()
        connection.execute(delete(ledger).where(here, ledger.c.event.in_(("attempted", "refused"))))
        connection.execute(update(ledger).where(here).values(sha256="", key=""))


def _with_targets(connection: Connection, addresses: set[str], steps: set[str]) -> set[str]:
    """These payloads and all they point at, at any depth."""
    found: set[str] = set()
    wanted = addresses
    while wanted := wanted - found:
        found |= wanted
        following: set[str] = set()
        for batch in batched(wanted, IN_CLAUSE):
            for address, content in contents.fetch(connection, batch).items():
                following |= pointed_at(content, step=address in steps)
        wanted = following
    return found


def _addresses(connection: Connection, name: str) -> Iterable[str]:
    return connection.execute(select(TABLES[name].c.sha256)).scalars()


def _forget_pending(connection: Connection, extent: Extent) -> None:
    """What came in live of these, and was in no run yet, is not waited for any more."""
    pending = TABLES["pending"]
    for batch in batched(extent.traces | extent.threads, IN_CLAUSE):
        connection.execute(delete(pending).where(pending.c.name.in_(batch)))


def _forget_answers(connection: Connection, extent: Extent) -> None:
    answer = TABLES["answer"]
    for batch in batched(extent.traces, IN_CLAUSE):
        connection.execute(delete(answer).where(answer.c.trace_id.in_(batch)))


def _sources(connection: Connection, extent: Extent) -> set[int]:
    """The files that these runs were read from."""
    return {
        one
        for name, column, values in extent.rows
        if name in FROM_SOURCES
        for batch in batched(values, IN_CLAUSE)
        for one in connection.execute(select(TABLES[name].c.source_id).where(TABLES[name].c[column].in_(batch)).distinct()).scalars()
    }


def _forget_sources(connection: Connection, sources: set[int], done: Deleted) -> None:
    """Forget those of these files of which nothing is left, and what was said of them: a skip's reason may quote the file."""
    source, skip = TABLES["source"], TABLES["skip"]
    used = {one for name in FROM_SOURCES for one in connection.execute(select(TABLES[name].c.source_id).distinct()).scalars()}
    for batch in batched(map(str, sorted(sources - used)), IN_CLAUSE):
        numbers = [int(one) for one in batch]
        for table in (skip, source):
            done.rows[table.name] = done.rows.get(table.name, 0) + connection.execute(delete(table).where(table.c.source_id.in_(numbers))).rowcount
