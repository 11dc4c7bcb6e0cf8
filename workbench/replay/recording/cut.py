"""Copies a recorded LangGraph thread, up to the state before one step, into a database of its own, by raw SQL: no payload is decoded.

The cut is a place in a tree. At the root it is one checkpoint: everything that leads to it (by the parent chain; step numbers and ids alone
would take in abandoned forks) is kept, its own super-step is run again. Inside a subgraph it is one checkpoint at each level: at the levels
above, tasks of the same super-step that had finished keep their writes, so that only the branch with the cut runs again. Answers to earlier
interrupts at the cut are dropped: they would be taken for answers to new questions.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import xxhash

from workbench.database import Location
from workbench.model import Checkpoint, Json, Step
from workbench.reading import serde
from workbench.reading.tasks import TASKS, node_of_path
from workbench.reading.threads import CheckpointRow, Place, Tables, opened
from workbench.reading.threads.tables import RawCheckpoint, WriteRow

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
BRANCH = "branch:to:"
"""How the channel begins by which an edge names its node."""


Tasks = Mapping[str, str]
"""Tasks of one super-step by their ids, each with its path, which names its node where no packet was sent to it."""


class CutError(LookupError):
    """A thread that can't be cut there. The message says what is missing."""


@dataclass(frozen=True)
class Cut:
    """Where a thread is cut. `levels` are the checkpoints in force from the root graph down, the last one is run again."""

    database: Location
    thread_id: str
    levels: tuple[Place, ...]
    kept: frozenset[Place]
    finished: Mapping[Place, Tasks]
    rows: Mapping[Place, CheckpointRow] = field(repr=False, compare=False)
    """All checkpoints of the thread without their states; read once, since SQLite reads through the states to get at them."""

    @property
    def path(self) -> tuple[tuple[str, int], ...]:
        """The namespaces of the levels, each with the number of its super-step that is run again."""
        return tuple((place[0], self.super_step(place) + 1) for place in self.levels)

    @property
    def root(self) -> str:
        """The root checkpoint in force at the cut."""
        return self.levels[0][1]

    @cached_property
    def later(self) -> tuple[str, ...]:
        """The root checkpoints of the same line that were made after the cut's, oldest first, on branches that were left too. Their ids sort by time."""
        return later_roots(self.rows, self.root)

    def source(self, place: Place) -> str:
        """What made a checkpoint: an input, the loop, an update or a fork."""
        return str(_metadata(self.rows.get(place)).get("source") or "")

    def noted(self, place: Place) -> dict[str, Json]:
        """What LangGraph noted in a checkpoint of how the start that made it was configured, in its configurable or its metadata."""
        return {name: value for name, value in _metadata(self.rows.get(place)).items() if name not in OURS and not name.startswith(("langgraph_", "__", "ls_"))}

    def super_step(self, place: Place) -> int:
        """The number of the super-step that made a checkpoint."""
        return int(_metadata(self.rows.get(place)).get("step") or 0)

    def root_at(self, place: Place) -> str | None:
        """The root checkpoint in force at a place."""
        return _root(place, self.rows.get(place))

    def came_later(self, step: Step) -> bool:
        """Whether a step of the recorded run was made from the cut's checkpoint or a later one, rather than on a branch that had been left before."""
        root = self.root_of(step)
        return root is None or root >= self.root

    def root_of(self, step: Step) -> str | None:
        """The root checkpoint that a step of the recorded run started from."""
        return self.root_at((step.namespace or "", step.checkpoint_id or ""))

    def in_force(self, step: Step, namespace: str) -> str | None:
        """The checkpoint of a graph around a step of the recorded run, or of its own graph, that it started from."""
        place = (step.namespace or "", step.checkpoint_id or "")
        row = self.rows.get(place)
        return place[1] or None if place[0] == namespace else parents_of(row).get(namespace) if row else None

    def input_of(self, place: Place) -> Place | None:
        """The checkpoint that holds the input that a graph was given just before a place, or there; None where it went on without."""
        row = self.rows.get(place)
        return next((one for one in (place, (place[0], row.parent or "" if row else "")) if self.source(one) == "input"), None)

    @property
    def at(self) -> Place:
        """The checkpoint whose super-step is run again."""
        return self.levels[-1]

    def keeps(self, step: Step) -> bool:
        """Whether a step of a fork, read from what `fresh` tells, stands inside a task that goes on."""
        return self.keeps_task((step.namespace or "", step.checkpoint_id or ""), step.task_id)

    def keeps_task(self, place: Place, task_id: str | None) -> bool:
        """Whether what a task did from a checkpoint stands, rather than being done again."""
        if place in self.levels:
            return task_id in self.finished.get(place, ())
        return place in self.kept


def locate(databases: Sequence[Location], thread_id: str | None, step: Step) -> Cut:
    """Find the database that holds the checkpoint a step started from, and plan the cut. CutError when none does."""
    place = (step.namespace or "", str(step.checkpoint_id))
    for sought in (thread_id, None):
        for database in databases:
            with opened(database) as tables:
                if found := _thread_with(tables, place, sought):
                    return _plan(tables, database, found, place)
    names = ", ".join(str(database) for database in databases) or "none was given"
    raise CutError(f"no recorded database holds checkpoint {place[1]}" + (f" of {place[0]}" if place[0] else "") + f" (looked in: {names})")


def _thread_with(tables: Tables, place: Place, thread_id: str | None) -> str | None:
    """The thread that has a checkpoint: this one, or whichever when none is named, which on a server takes long."""
    if thread_id is None:
        return next(iter(tables.threads_with(place)), None)
    return thread_id if tables.has(thread_id, place) else None


def _plan(tables: Tables, database: Location, thread_id: str, place: Place) -> Cut:
    rows = _rows(tables, thread_id)
    parents = {one: parents_of(row) for one, row in rows.items()}
    enclosing = sorted(parents[place].items(), key=lambda level: len(level[0]))
    levels = (*((ns, one) for ns, one in enclosing if ns != place[0]), place)
    if levels[0][0] != "":
        raise CutError(f"{database}: the metadata of checkpoint {place[1]} in {place[0]} doesn't say which root checkpoint it belongs to")
    chains = {ns: _chain(rows, (ns, one)) for ns, one in levels}
    chains[""] |= _gone_back_to(rows, levels[0][1])
    finished = {level: _beside(_finished(tables, thread_id, level), level[0], place[0]) for level in levels[:-1]}
    kept = frozenset(one for one, above in parents.items() if _keeps(one, above, dict(levels), chains, finished))
    return Cut(database, thread_id, levels, kept, finished, rows)


def _rows(tables: Tables, thread_id: str) -> dict[Place, CheckpointRow]:
    return {(row.namespace, row.checkpoint_id): row for row in tables.checkpoints(thread_id)}


def parents_of(row: CheckpointRow) -> dict[str, str]:
    """The checkpoints in force above one inside a subgraph, by namespace."""
    found = _metadata(row).get("parents") if row.namespace else None
    return found if isinstance(found, dict) else {}


def _root(place: Place, row: CheckpointRow | None) -> str | None:
    """The root checkpoint in force at a place."""
    return parents_of(row).get("") if row and place[0] else place[1] or None


def _chain(rows: Mapping[Place, CheckpointRow], place: Place) -> frozenset[str]:
    """A checkpoint and all its ancestors in its namespace."""
    found: dict[str, None] = {}
    namespace, one = place
    while one and one not in found:
        found[one] = None
        row = rows.get((namespace, one))
        one = row.parent or "" if row else ""
    return frozenset(found)


def later_roots(rows: Mapping[Place, CheckpointRow], root: str) -> tuple[str, ...]:
    """The root checkpoints made after this one that descend from the same first one, oldest first."""
    lines: dict[str, str] = {}
    for one in sorted(one for namespace, one in rows if not namespace):
        parent = rows["", one].parent or ""
        lines[one] = lines.get(parent, one)
    return tuple(one for one, line in lines.items() if one > root and line == lines.get(root))


def _gone_back_to(rows: Mapping[Place, CheckpointRow], root: str) -> frozenset[str]:
    """What leads to the checkpoints before the cut that the thread went back to after it, on branches that had been left then."""
    parents = {rows["", one].parent or "" for one in later_roots(rows, root)}
    return frozenset[str]().union(*(_chain(rows, ("", one)) for one in parents if one < root))


def _finished(tables: Tables, thread_id: str, place: Place) -> Tasks:
    """The tasks that wrote a result from a checkpoint; errors, interrupts and resumes have negative indexes."""
    return {row.task_id: row.task_path for row in tables.writes(thread_id, place) if row.idx >= 0}


def _beside(tasks: Tasks, around: str, namespace: str) -> Tasks:
    """The tasks of the graph `around`, but for the one that a namespace inside it ran in."""
    below = _below(around, namespace)
    return {task_id: path for task_id, path in tasks.items() if not _ran_in(below, task_id, path)}


def _keeps(
    place: Place,
    above: Mapping[str, str],
    levels: Mapping[str, str],
    chains: Mapping[str, frozenset[str]],
    finished: Mapping[Place, Tasks],
) -> bool:
    """Whether a checkpoint belongs to what leads to the cut: on its path by ancestry, beside its path if the task it ran in stands."""
    namespace, checkpoint_id = place
    if namespace in levels:
        return checkpoint_id in chains[namespace]
    around = max((ns for ns in levels if ns == "" or namespace.startswith(f"{ns}|")), key=len)
    origin = above.get(around)
    if origin != levels[around]:
        return origin in chains[around]
    below = _below(around, namespace)
    return any(_ran_in(below, task_id, path) for task_id, path in finished.get((around, origin), {}).items())


def _below(around: str, namespace: str) -> str:
    """The part of a namespace that names its subgraph in the graph `around`: `node:task`, or `node` of one that keeps its state between tasks."""
    return namespace[len(around) :].removeprefix("|").partition("|")[0]


def _ran_in(below: str, task_id: str, path: str) -> bool:
    """Whether a subgraph of that name ran in a task. One that keeps its state is known by the node alone, which the task's path spells out."""
    _, colon, task = below.rpartition(":")
    return task == task_id if colon else node_of_path(path) == below


def _metadata(row: CheckpointRow | None) -> dict[str, Json]:
    found = json.loads(row.metadata) if row and row.metadata else {}
    return found if isinstance(found, dict) else {}


# ---- copying


def copy(cut: Cut, scratch: Path, thread_id: str) -> str:
    """Write what leads to the cut into a new SQLite database, as a thread of this name; returns its `history`. SourceError for what can't be copied."""
    places, told = sorted(cut.kept), History(cut)
    with opened(cut.database) as tables, contextlib.closing(sqlite3.connect(scratch)) as target, target:
        target.executescript(SCHEMA)
        checkpoints = ((thread_id, *told.seen(row)) for row in tables.raw_checkpoints(cut.thread_id, places))
        target.executemany("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", checkpoints)
        writes = ((thread_id, *row) for row in tables.raw_writes(cut.thread_id, places) if cut.keeps_task(row[:2], row.task_id))
        target.executemany("INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", writes)
    return told.hash


def copy_thread(database: Location, thread_id: str, scratch: Path) -> None:
    """Write a whole thread, with its subgraphs and all that was written, into a new SQLite database. SourceError for a state that can't be copied."""
    with opened(database) as tables, contextlib.closing(sqlite3.connect(scratch)) as target, target:
        places = sorted(_rows(tables, thread_id))
        target.executescript(SCHEMA)
        target.executemany("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", ((thread_id, *row) for row in tables.raw_checkpoints(thread_id, places)))
        target.executemany("INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", ((thread_id, *row) for row in tables.raw_writes(thread_id, places)))


def history(database: Path, thread_id: str, cut: Cut) -> str:
    """The hash of what leads to the cut, as a copy holds it: every kept checkpoint but the one at the cut, whose state may be changed."""
    told = History(cut)
    with opened(database) as tables:
        for row in tables.raw_checkpoints(thread_id, sorted(cut.kept - {cut.at})):
            told.seen(row)
    return told.hash


class History:
    """The hash of what leads to a cut, from its rows in any order."""

    def __init__(self, cut: Cut) -> None:
        self._at = cut.at
        self._digests: dict[Place, bytes] = {}

    def seen(self, row: RawCheckpoint) -> RawCheckpoint:
        """Take in one checkpoint and hand it on. The one at the cut does not count."""
        place, found = (row.namespace, row.checkpoint_id), xxhash.xxh3_128()
        for part in row if place != self._at else ():
            found.update(part if isinstance(part, bytes) else str(part).encode())
            found.update(b"\0")
        if place != self._at:
            self._digests[place] = found.digest()
        return row

    @property
    def hash(self) -> str:
        """That of all that was seen, as 32 hex digits."""
        return xxhash.xxh3_128(b"".join(digest for _, digest in sorted(self._digests.items()))).hexdigest()


# ---- what came after


def waits_before(cut: Cut, last: str | None) -> frozenset[str]:
    """The root graph's nodes that the tasks of its checkpoint `last` named to run next, of which none wrote anything: the run stopped before them."""
    head = next((place for place, row in cut.rows.items() if not place[0] and row.parent == last), None)
    if last is None or head is None:
        return frozenset()
    with opened(cut.database) as tables:
        begun = any(True for _ in tables.writes(cut.thread_id, head))
        named = (_named(row) for row in tables.writes(cut.thread_id, ("", last)))
        return frozenset() if begun else frozenset(node for node in named if node)


def _named(row: WriteRow) -> str | None:
    """The node that a write names to run next."""
    if row.channel == TASKS and row.value is not None:
        with contextlib.suppress(serde.UndecodedError):
            sent = serde.decode(row.kind, row.value).value
            return str(sent.get("node")) if serde.is_type(sent, "Send") else None
    return row.channel.removeprefix(BRANCH) if row.channel.startswith(BRANCH) else None


def lineage(cut: Cut, roots: Collection[str]) -> dict[Place, int]:
    """The checkpoints from the cut on, subgraphs' included, with these root checkpoints in force, each with the super-step that made it."""
    return {place: cut.super_step(place) for place in cut.rows if (place in cut.levels or place not in cut.kept) and cut.root_at(place) in roots}


def fresh(cut: Cut, checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Of a fork's checkpoints, those that it wrote itself, and those of the super-step that is run again, in the root graph and inside its tasks.

    What stands of that super-step (`Cut.keeps`) is told along: without it, what a task passes on from inside would be taken for new. So are, without
    what was written from them, the older ones that lead to where the fork went back to: else what it did from there would be taken for another thread's.
    """
    places = [(one.namespace, one.checkpoint_id) for one in checkpoints]
    around = {place: cut.root_at(place) for place in places if place in cut.kept}
    own = [one for one, place in zip(checkpoints, places, strict=True) if around.get(place, cut.root) == cut.root]
    known = {one.checkpoint_id for one in own}
    if all(one.namespace or one.checkpoint_id == cut.root or one.parent_checkpoint_id in known for one in own):
        return own
    return [one.model_copy(update={"writes": ()}) for one in checkpoints if not one.namespace and one.checkpoint_id not in known] + own
