"""Copies a recorded LangGraph thread, up to the state before one step, into a database of its own, by raw SQL: no payload is decoded.

The cut is a place in a tree. At the root it is one checkpoint: everything that leads to it (by the parent chain; step numbers and ids alone
would take in abandoned forks) is kept, its own super-step is run again. Inside a subgraph it is one checkpoint at each level: at the levels
above, tasks of the same super-step that had finished keep their writes, so that only the branch with the cut runs again. Answers to earlier
interrupts at the cut are dropped: they would be taken for answers to new questions.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.model import Checkpoint, Json, Step
from workbench.source import readonly

Place = tuple[str, str]
"""A checkpoint within a thread: namespace and checkpoint id."""
SCHEMA = """
CREATE TABLE checkpoints (
    thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, parent_checkpoint_id TEXT,
    type TEXT, checkpoint BLOB, metadata BLOB, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));
CREATE TABLE writes (
    thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, task_id TEXT NOT NULL,
    task_path TEXT NOT NULL DEFAULT '', idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT, value BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx));
"""
OURS = frozenset(
    ("source", "step", "parents", "writes", "run_id", "thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map", "counters_since_delta_snapshot")
)
"""Metadata that LangGraph keeps for itself. `run_id` must not be given again: LangGraph would discard new input."""
MAX_ANCESTORS = 1_000_000


class CutError(LookupError):
    """A thread that can't be cut there. The message says what is missing."""


@dataclass(frozen=True)
class Cut:
    """Where a thread is cut. `levels` are the checkpoints in force from the root graph down, the last one is run again."""

    database: Path
    thread_id: str
    levels: tuple[Place, ...]
    kept: frozenset[Place]
    finished: Mapping[Place, frozenset[str]]
    configurable: Mapping[str, Json]

    def super_steps(self, first: str) -> tuple[int, bool]:
        """How many super-steps lie between a root checkpoint and the cut, and whether the former holds an input."""
        with readonly(self.database) as database:
            steps = [_metadata(database, self.thread_id, ("", one)) for one in (first, self.levels[0][1])]
        return steps[1].get("step", 0) - steps[0].get("step", 0), steps[0].get("source") == "input"

    @property
    def at(self) -> Place:
        """The checkpoint whose super-step is run again."""
        return self.levels[-1]

    def keeps_task(self, place: Place, task_id: str | None) -> bool:
        """Whether what a task did from a checkpoint stands, rather than being done again."""
        if place in self.levels:
            return task_id in self.finished.get(place, ())
        return place in self.kept


def locate(databases: Sequence[Path], thread_id: str | None, step: Step) -> Cut:
    """Find the database that holds the checkpoint a step started from, and plan the cut. CutError when none does."""
    place = (step.namespace or "", str(step.checkpoint_id))
    for path in databases:
        with readonly(path) as database:
            rows = database.execute("SELECT thread_id FROM checkpoints WHERE checkpoint_ns = ? AND checkpoint_id = ?", place).fetchall()
            threads = [row[0] for row in rows]
            if threads:
                return _plan(database, path, str(thread_id if thread_id in threads else threads[0]), place)
    names = ", ".join(str(path) for path in databases) or "none was given"
    raise CutError(f"no recorded database holds checkpoint {place[1]}" + (f" of {place[0]}" if place[0] else "") + f" (looked in: {names})")


def _plan(database: sqlite3.Connection, path: Path, thread_id: str, place: Place) -> Cut:
    parents = {(ns, one): above for ns, one, above in _checkpoints(database, thread_id)}
    enclosing = sorted(parents[place].items(), key=lambda level: len(level[0]))
    levels = (*((ns, one) for ns, one in enclosing if ns != place[0]), place)
    if levels[0][0] != "":
        raise CutError(f"{path}: the metadata of checkpoint {place[1]} in {place[0]} doesn't say which root checkpoint it belongs to")
    chains = {ns: _chain(database, thread_id, (ns, one)) for ns, one in levels}
    finished = {level: _finished(database, thread_id, level) - {_task_below(level[0], place[0])} for level in levels[:-1]}
    kept = frozenset(one for one, above in parents.items() if _keeps(one, above, dict(levels), chains, finished))
    return Cut(path, thread_id, levels, kept, finished, _configurable(database, thread_id, levels[0]))


def _checkpoints(database: sqlite3.Connection, thread_id: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every checkpoint of a thread, with the checkpoints in force above it by namespace."""
    sql = "SELECT checkpoint_ns, checkpoint_id, CASE WHEN checkpoint_ns = '' THEN NULL ELSE metadata END FROM checkpoints WHERE thread_id = ?"
    for ns, one, metadata in database.execute(sql, (thread_id,)):
        yield ns, one, json.loads(metadata).get("parents") or {} if metadata else {}


def _chain(database: sqlite3.Connection, thread_id: str, place: Place) -> frozenset[str]:
    """A checkpoint and all its ancestors in its namespace."""
    sql = """
        WITH RECURSIVE chain(id) AS (
            SELECT ?3 UNION SELECT parent_checkpoint_id FROM checkpoints JOIN chain ON checkpoint_id = chain.id
            WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND parent_checkpoint_id IS NOT NULL LIMIT ?4)
        SELECT id FROM chain"""
    return frozenset(row[0] for row in database.execute(sql, (thread_id, *place, MAX_ANCESTORS)))


def _finished(database: sqlite3.Connection, thread_id: str, place: Place) -> frozenset[str]:
    """The tasks that wrote a result from a checkpoint; errors, interrupts and resumes have negative indexes."""
    sql = "SELECT DISTINCT task_id FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? AND idx >= 0"
    return frozenset(row[0] for row in database.execute(sql, (thread_id, *place)))


def _keeps(
    place: Place,
    above: Mapping[str, str],
    levels: Mapping[str, str],
    chains: Mapping[str, frozenset[str]],
    finished: Mapping[Place, frozenset[str]],
) -> bool:
    """Whether a checkpoint belongs to what leads to the cut: on its path by ancestry, beside its path if the task it ran in stands."""
    namespace, checkpoint_id = place
    if namespace in levels:
        return checkpoint_id in chains[namespace]
    around = max((ns for ns in levels if ns == "" or namespace.startswith(f"{ns}|")), key=len)
    origin = above.get(around)
    if origin != levels[around]:
        return origin in chains[around]
    return _task_below(around, namespace) in finished.get((around, origin), ())


def _task_below(around: str, namespace: str) -> str:
    """The task of the graph `around` that a namespace inside it ran in; empty for a subgraph that keeps its state between tasks."""
    inner = namespace[len(around) :].removeprefix("|")
    return inner.partition("|")[0].rpartition(":")[2] if ":" in inner.partition("|")[0] else ""


def _configurable(database: sqlite3.Connection, thread_id: str, place: Place) -> dict[str, Json]:
    """What the run was configured with, as LangGraph noted it in a checkpoint's metadata."""
    metadata = _metadata(database, thread_id, place)
    return {key: value for key, value in metadata.items() if key not in OURS and not key.startswith(("langgraph_", "__", "ls_"))}


def _metadata(database: sqlite3.Connection, thread_id: str, place: Place) -> dict[str, Json]:
    row = database.execute("SELECT metadata FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?", (thread_id, *place)).fetchone()
    found = json.loads(row[0]) if row and row[0] else {}
    return found if isinstance(found, dict) else {}


# ---- copying


def copy(cut: Cut, scratch: Path, thread_id: str) -> None:
    """Write what leads to the cut into a new database, as a thread of this name."""
    with readonly(cut.database) as source, contextlib.closing(sqlite3.connect(scratch)) as target, target:
        target.executescript(SCHEMA)
        target.executemany("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", _rows(source, cut, thread_id))
        target.executemany("INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _writes(source, cut, thread_id))


def _rows(source: sqlite3.Connection, cut: Cut, thread_id: str) -> Iterator[tuple[Json, ...]]:
    sql = "SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
    for ns, one in sorted(cut.kept):
        for row in source.execute(sql, (cut.thread_id, ns, one)):
            yield (thread_id, ns, one, *row)


def _writes(source: sqlite3.Connection, cut: Cut, thread_id: str) -> Iterator[tuple[Json, ...]]:
    path = "task_path" if any(row[1] == "task_path" for row in source.execute("PRAGMA table_info(writes)")) else "''"
    sql = f"SELECT task_id, {path}, idx, channel, type, value FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"  # noqa: S608
    for ns, one in sorted(cut.kept):
        for row in source.execute(sql, (cut.thread_id, ns, one)):
            if cut.keeps_task((ns, one), row[0]):
                yield (thread_id, ns, one, *row)


# ---- what came after


def later_inputs(cut: Cut, last: str | None) -> tuple[tuple[str, str], ...]:
    """The inputs that were given to the thread between the cut and its root checkpoint `last`, oldest first, undecoded: (type, base64)."""
    if last is None:
        return ()
    with readonly(cut.database) as database:
        after = _chain(database, cut.thread_id, ("", last)) - _chain(database, cut.thread_id, cut.levels[0])
        sql = "SELECT type, checkpoint, metadata FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ?"
        rows = [database.execute(sql, (cut.thread_id, one)).fetchone() for one in sorted(after)]
    inputs = [row for row in rows if row and json.loads(row[2] or b"{}").get("source") == "input"]
    return tuple((str(kind), base64.b64encode(blob).decode("ascii")) for kind, blob, _ in inputs)


def fresh(cut: Cut, checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Of a fork's checkpoints, those that it wrote itself, and at the cut only what its own tasks wrote."""
    found = []
    for one in checkpoints:
        place = (one.namespace, one.checkpoint_id)
        if place in cut.levels:
            found.append(one.model_copy(update={"writes": tuple(write for write in one.writes if not cut.keeps_task(place, write.task_id))}))
        elif place not in cut.kept:
            found.append(one)
    return found
