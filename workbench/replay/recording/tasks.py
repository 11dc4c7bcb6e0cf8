"""What the tasks of a recorded thread wrote, set aside in a file of its own: a re-run is handed it, undecoded, and can't change it.

A task is one execution of a node. That of a re-run has another id than the recorded one that it repeats, since ids hang on those of checkpoints;
what both have in common is the place: the namespace (its task ids translated), the super-step, and the path within it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import Any

from workbench.model import Run, Span
from workbench.normalise.branches import UPDATED
from workbench.reading import serde
from workbench.reading.tasks import node_of_path
from workbench.reading.threads import Place, Tables, opened
from workbench.reading.threads.states import state_of
from workbench.reading.threads.tables import RawWrite
from workbench.replay.recording.aftermath import Aftermath, by_update, update_id
from workbench.replay.recording.cut import Cut, lineage, parents_of
from workbench.replay.recording.identities import Mentions, ids_in
from workbench.semconv import read

SCHEMA = """
CREATE TABLE tasks (task_id TEXT PRIMARY KEY, namespace TEXT, step INTEGER, path TEXT, node TEXT, role TEXT, recorded_step INTEGER, asked INTEGER,
    stretch INTEGER, given TEXT);
CREATE TABLE writes (task_id TEXT, idx INTEGER, channel TEXT, type TEXT, value BLOB, PRIMARY KEY (task_id, idx, channel));
CREATE TABLE seen (task_id TEXT PRIMARY KEY, ids TEXT);
"""
OPAQUE, MIXED, CONTAINING, NEVER = "opaque", "mixed", "containing", "never"
"""Roles: its writes stand for it, since it made no recorded call or not all of them can be served; its calls are served, and its writes only
where that isn't enough; it ran other tasks, which are recorded themselves, and its writes are served where one of them fails that had not;
its writes are never served, since it is the input or routes by channels that are no more."""
RETURNED = "__return__"
"""The channel to which a `@task` writes what it returned."""
PULLED, START, CALLED = "~__pregel_pull, ", "__start__", "~__pregel_push, ~"
"""How the paths of tasks begin that are nodes and that other tasks called; the node that takes the input."""
GIVEN = "input.value"
"""The attribute in which a span tells what a task was given."""
OLD_CHANNELS = ("start:",)
"""Channels that only older versions of LangGraph route by: a task that wrote to one can't be served to a newer one."""


@dataclass
class Uses:
    """What a run's tasks did, by task id: those that made calls which can be served, and those of which some call can't."""

    nodes: dict[str, tuple[str, int]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    """How many questions each stopped to ask a person; of all but the last, the words are lost."""
    calling: set[str] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    given: dict[str, str] = field(default_factory=dict)
    """What each was given, as its span tells it."""


def uses_of(run: Run, served: Collection[int], lacking: Collection[int], spans: Iterable[Span] = ()) -> Uses:
    """Sort a run's tasks: `served` are the steps whose answers were captured (exchanges count for the step they belong to), `lacking` those not."""
    found = Uses()
    for step in run.steps:
        tasks = [part.rpartition(":")[2] for part in (step.namespace or "").split("|") if ":" in part]
        if step.task_id:
            failed = step.task_id in found.nodes and run.step(found.nodes[step.task_id][1]).status == "error"
            if step.task_id not in found.nodes or (failed and step.name != UPDATED):  # one that failed was started again
                found.nodes[step.task_id] = step.node or step.name, step.index
            tasks.append(step.task_id)
            found.asked[step.task_id] += step.kind == "human" and step.tool_call is not None
        if step.index in served and step.kind != "human":
            found.calling.update(tasks)
        if step.index in lacking and step.kind != "human" and step.task_id:
            found.lacking.add(step.task_id)
    found.given = dict(_given(spans, {node for node, _ in found.nodes.values()}))
    return found


def _given(spans: Iterable[Span], nodes: Collection[str]) -> Iterator[tuple[str, str]]:
    """What tasks of these nodes were given, by their ids, as the outermost spans in them tell it: the same for each attempt."""
    every = {(one.trace_id, one.span_id): one for one in spans}
    found: dict[str, set[str]] = {}
    for span in every.values():
        text = span.attributes.get(GIVEN)
        if not isinstance(text, str) or span.name not in nodes:
            continue
        namespace, around = read(span).namespace or "", every.get((span.trace_id, span.parent_span_id or ""))
        node, _, task = namespace.rpartition("|")[2].rpartition(":")
        if node == span.name and not (around and read(around).namespace == namespace):
            found.setdefault(task, set()).add(text)
    return ((task, texts.pop()) for task, texts in found.items() if len(texts) == 1)


def set_aside(aftermath: Aftermath, uses: Uses, target: Path) -> None:
    """Write what the tasks from the cut on wrote into a new file, and what `update_state` put into the state then."""
    cut, stretches = aftermath.cut, aftermath.stretches
    with opened(cut.database) as tables, contextlib.closing(sqlite3.connect(target)) as database, database:
        database.executescript(SCHEMA)
        places = lineage(cut, stretches) | {("", one): cut.super_step(("", one)) for one in aftermath.updated}
        tasks: dict[str, tuple[Place, str]] = {}
        old: set[str] = set()
        mentions, meant = Mentions(), dict[str, set[str]]()
        for row in tables.raw_writes(cut.thread_id, sorted(places, key=lambda place: (place[1], place[0]))):
            task_id = update_id(row.task_id) if by_update(row) else row.task_id
            if task_id != row.task_id or not cut.keeps_task((row.namespace, row.checkpoint_id), row.task_id):
                tasks[task_id] = ((row.namespace, row.checkpoint_id), row.task_path)
                old |= {task_id} if row.channel.startswith(OLD_CHANNELS) else set()
                database.execute("INSERT OR REPLACE INTO writes VALUES (?, ?, ?, ?, ?)", (task_id, row.idx, row.channel, row.kind, row.value))
                if _means_earlier(mentions, row):
                    meant.setdefault(task_id, set()).add(row.channel)
        containing = _containing(tasks, places) | _keeping(tasks, places, cut)
        database.executemany("INSERT INTO seen VALUES (?, ?)", _seen(tables, cut.thread_id, tasks, meant))
        database.executemany(
            "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (*row, stretches.get(cut.root_at(tasks[str(row[0])][0]) or "", 0), uses.given.get(str(row[0])))
                for row in _rows(tasks, places, uses, old, containing)
            ),
        )


def _rows(
    tasks: Mapping[str, tuple[Place, str]], places: Mapping[Place, int], uses: Uses, old: Collection[str], containing: Collection[str]
) -> Iterator[tuple[object, ...]]:
    for task_id, (place, path) in tasks.items():
        node, recorded = uses.nodes.get(task_id.removeprefix(update_id("")), ("", None))
        node = node_of_path(path) or node
        never, mixed = task_id in old or node == START, task_id in uses.calling and task_id not in uses.lacking
        role = NEVER if never else CONTAINING if task_id in containing else MIXED if mixed else OPAQUE
        yield task_id, place[0], places[place] + 1, path, node, role, recorded, uses.asked[task_id]


def _means_earlier(mentions: Mentions, row: RawWrite) -> bool:
    if row.idx < 0 or row.channel.startswith("__"):
        return False
    try:
        return mentions.earlier(serde.decode(row.kind or "null", row.value or b"").value)
    except serde.UndecodedError:
        return False  # then it can't be served either


def _seen(tables: Tables, thread_id: str, tasks: Mapping[str, tuple[Place, str]], meant: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Of the tasks that meant messages by their ids, those of the messages that they saw. A state that can't be read leaves a task out."""
    for task_id, channels in meant.items():
        with contextlib.suppress(LookupError, serde.UndecodedError):
            yield task_id, json.dumps(ids_in(state_of(tables, thread_id, tasks[task_id][0]), channels))


def _containing(tasks: Mapping[str, tuple[Place, str]], places: Mapping[Place, int]) -> set[str]:
    """The tasks that ran others, which are recorded themselves: subgraphs, by the namespaces in them, and callers of `@task`, by the paths."""
    found = {part.rpartition(":")[2] for namespace, _ in places for part in namespace.split("|") if ":" in part}
    callers = {(place, task_id, path) for task_id, (place, path) in tasks.items() if path}
    called = [(place, path) for place, path in tasks.values() if path.startswith(CALLED)]
    return found | {task_id for place, task_id, path in callers if any(place == other and path in below and path != below for other, below in called)}


def _keeping(tasks: Mapping[str, tuple[Place, str]], places: Mapping[Place, int], cut: Cut) -> set[str]:
    """The tasks that ran a subgraph which keeps its state from one time to the next: its namespace names the node, and no task."""
    above = set()
    for place in places:
        around, _, name = place[0].rpartition("|")
        if name and ":" not in name:
            above.add(((around, parents_of(cut.rows[place]).get(around)), PULLED + name))
    return {task_id for task_id, found in tasks.items() if found in above}


@dataclass(frozen=True)
class Task:
    """A recorded task. `step` is the super-step it ran in, `recorded_step` the run's step that stands for it, `asked` how many questions it asked."""

    task_id: str
    namespace: str
    step: int
    path: str
    node: str
    role: str
    recorded_step: int | None
    asked: int
    stretch: int = 0
    given: str | None = None
    """What it was given, as its span tells it."""


def written_channels(path: Path) -> dict[str, set[str]]:
    """The channels that the recorded tasks in such a file wrote to, by the graph they ran in: the nodes that lead to it joined with `|`."""
    found: dict[str, set[str]] = {}
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        for namespace, channel in database.execute("SELECT DISTINCT namespace, channel FROM writes JOIN tasks USING (task_id) WHERE idx >= 0"):
            found.setdefault("|".join(part.partition(":")[0] for part in namespace.split("|")), set()).add(channel)
    return found


KEPT_TASKS = 16
Stored = tuple[int, str, str | None, bytes | None]
"""A write: idx, channel, type and value, undecoded."""


class Tasks:
    """The recorded tasks in such a file, by place."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(f"file:{path}?immutable=1", uri=True, check_same_thread=False)
        self._lock = threading.Lock()
        self._known: dict[str, list[Stored]] = {}
        """What tasks wrote that were looked at just now: that is asked for several times while one is done again."""
        self._at_place: dict[tuple[str, int, int], list[Task]] = {}
        self._by_id = {one.task_id: one for one in starmap(Task, self._rows("SELECT * FROM tasks ORDER BY rowid DESC"))}
        for one in self._by_id.values():
            if not one.task_id.startswith(update_id("")):
                self._at_place.setdefault((one.namespace, one.step, one.stretch), []).append(one)
        self._calls: dict[str, list[Task]] = {}
        for one in self._by_id.values():
            if one.role == OPAQUE and one.given is not None and one.path.startswith(CALLED):
                self._calls.setdefault(one.node, []).append(one)
        self.translated: dict[str, str] = {}
        """The recorded task's id, by that of the task of the re-run that repeats it."""
        self.stretch = 0
        """Which stretch of the recording is being done again: on two branches, tasks may stand at the same place."""

    def of(self, task_id: str, namespace: str, step: int, path: str, node: str) -> Task | None:
        """The recorded task that this one of the re-run repeats; None where none did. `namespace` is that of the graph it runs in."""
        found = self._one_of(self.together(namespace, step), path, node)
        if found is not None:
            self.translated[task_id] = found.task_id
        return found

    def together(self, namespace: str, step: int) -> list[Task]:
        """The recorded tasks of one super-step of a graph of the re-run, newest first."""
        return self._at_place.get((self._recorded(namespace), step, self.stretch), [])

    def around(self, namespace: str) -> Task | None:
        """The recorded task in which a graph of the re-run ran, where it came to its end."""
        found = self._by_id.get(self._recorded(namespace).rpartition(":")[2])
        return found if found is not None and any(idx >= 0 for idx, *_ in self.writes(found)) else None

    @staticmethod
    def _one_of(tasks: Sequence[Task], path: str, node: str) -> Task | None:
        exact = [one for one in tasks if one.path == path]
        pathless = [one for one in tasks if not one.path and one.node == node]
        return exact[0] if exact else pathless[0] if len(pathless) == 1 else None

    def calls(self, node: str) -> Sequence[Task]:
        """The recorded calls of the `@task` of this name whose writes can stand for one, in no order."""
        return self._calls.get(node, [])

    def returned(self, task: Task) -> bool:
        """Whether a call came to an end, and not to an error or a question."""
        return not task.asked and any(channel == RETURNED for _, channel, *_ in self.writes(task))

    def one(self, task_id: str) -> Task:
        """The recorded task of this id. LookupError where there is none."""
        return self._by_id[task_id]

    def _recorded(self, namespace: str) -> str:
        """A namespace of the re-run with the task ids of the recording."""
        parts = [part.rpartition(":") for part in namespace.split("|")] if namespace else []
        return "|".join(f"{name}{colon}{self.translated.get(task, task)}" for name, colon, task in parts)

    def writes(self, task: Task) -> list[Stored]:
        """What a task wrote, in order; errors, interrupts and answers to them have negative indexes."""
        if (known := self._known.get(task.task_id)) is None:
            known = self._rows("SELECT idx, channel, type, value FROM writes WHERE task_id = ? ORDER BY idx", task.task_id)
            if len(self._known) >= KEPT_TASKS:
                self._known.clear()
            self._known[task.task_id] = known
        return list(known)

    def seen(self, task: Task) -> dict[str, list[str | None]]:
        """The ids of the messages that a task saw, by channel, where it meant some of them by their ids."""
        found = self._rows("SELECT ids FROM seen WHERE task_id = ?", task.task_id)
        return dict(json.loads(found[0][0])) if found else {}

    def _rows(self, sql: str, *given: Any) -> list[Any]:
        with self._lock:
            return self._database.execute(sql, given).fetchall()
