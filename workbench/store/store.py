"""The store: append-only, content-addressed; what came in, what was made of it, what was said of it, what re-runs did."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, func, select

from workbench.store import answers, contents, dialect, searching
from workbench.store.collected import TRACES_OF_THREAD, Collected
from workbench.store.deletion import Deleted, DeletionError, Extent, remove
from workbench.store.derived import Derived
from workbench.store.kept import Kept
from workbench.store.migrations import StoreError
from workbench.store.payloads import pointed_at
from workbench.store.rows import (
    BATCH,
    CHECKPOINT,
    CONVERSATION,
    EXAMINATION,
    FINDING,
    HISTORY,
    LEDGER,
    LOG,
    RECEIPT,
    RUN,
    SPAN,
    STEP,
    column,
)
from workbench.store.said import Said


class Store(Collected, Derived, Said, Kept):
    """A workbench store, in one SQLite file or a PostgreSQL database. Open it with `Store.open`; close it, or use it as a context manager."""

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
            traces |= answers.guests_of(connection, traces)
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
            steps = set(column(connection, select(STEP.c.sha256).distinct()))
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
                missing = [address for address in column(connection, select(table.c.sha256)) if address and address not in known]
                problems += [f"{table.name}: payload {address[:12]} is missing" for address in missing]
            problems += [f"{owner}: {target[:12]}, which it points at, is missing" for target, owner in wanted.items() if target not in known]
            problems += searching.disagreements(connection)
            problems += dialect.damage(connection)
        return problems


def _checked(address: str, content: bytes | ValueError, *, step: bool) -> tuple[str | None, set[str]]:
    """What is wrong with a payload, and what it points at where nothing is."""
    if isinstance(content, ValueError):
        return f"payload {address[:12]}: {content}", set()
    actual = hashlib.sha256(content).hexdigest()
    if actual != address:
        return f"payload {address[:12]}: its content hashes to {actual[:12]}", set()
    return None, pointed_at(content, step=step)
