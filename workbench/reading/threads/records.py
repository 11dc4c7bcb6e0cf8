"""Makes checkpoints of a thread's rows: writes decoded as plain data, tasks named by their node, what can't be read counted and said.

All schemas since langgraph 0.2 are read; where a task's node is not stored, it is worked out. States are left where they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from workbench.model import LAST_SAID, Checkpoint, Json, Skip, Write
from workbench.reading import serde
from workbench.reading.tasks import BY_UPDATE, ERROR_SOURCE, HANDLES, NULL_TASK, START, TASKS, UPDATE, Naming, created_ns, node_of_path
from workbench.reading.tasks import Place as TaskPlace
from workbench.reading.threads.states import state_of
from workbench.reading.threads.tables import CheckpointRow, Place, Tables, WriteRow

FROM_METADATA = "its row is missing: taken from the next checkpoint's metadata"


def read_threads(tables: Tables, skipped: Skipped) -> Iterator[Checkpoint]:
    """The checkpoints of all threads, oldest first within each. What could not be read is counted in `skipped`."""
    for thread_id in tables.threads():
        yield from Thread(tables, thread_id, skipped).checkpoints()


@dataclass
class Skipped:
    """Counts what was not read, by place and reason."""

    path: str
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, what: str, reason: str) -> None:
        """Count one."""
        self.counts[what, reason] += 1

    def skips(self) -> Iterator[Skip]:
        """One Skip for each place and reason."""
        for (what, reason), count in self.counts.items():
            yield Skip(place=f"{self.path}: {what}", reason=reason, count=count)


class Row(NamedTuple):
    """A row of `checkpoints`, its state left in the database."""

    namespace: str
    checkpoint_id: str
    parent: str | None
    kind: str
    metadata: dict[str, Json]

    @property
    def step(self) -> int | None:
        """The super-step, None where the metadata doesn't say."""
        step = self.metadata.get("step")
        return step if isinstance(step, int) else None

    @property
    def source(self) -> str | None:
        """input, loop, update or fork."""
        source = self.metadata.get("source")
        return source if isinstance(source, str) else None

    @property
    def written(self) -> dict[str, Json]:
        """What langgraph before 0.5 noted in the metadata: node to the channels that it wrote."""
        written = self.metadata.get("writes")
        return written if isinstance(written, dict) else {}


class Thread:
    """One thread of a database: reads its rows, names its tasks' nodes, and makes Checkpoints of them."""

    def __init__(self, tables: Tables, thread_id: str, skipped: Skipped) -> None:
        """Read the rows. SourceError where the database breaks off."""
        self.tables, self.thread_id, self.skipped = tables, thread_id, skipped
        self.rows = [self._row(row) for row in tables.checkpoints(thread_id)]
        self.writes: dict[Place, list[Write]] = defaultdict(list)
        for row in tables.writes(thread_id):
            self.writes[row.namespace, row.checkpoint_id].append(self._write(row))
        if not self.rows and not self.writes:
            skipped.add(f"thread {thread_id!r}", "its id is no UTF-8 text: its rows can't be addressed")

    def checkpoints(self) -> Iterator[Checkpoint]:
        """The thread's checkpoints, oldest first, then writes whose checkpoint is missing.

        Where nothing else tells what was said, as after `durability="exit"`, the metadata of the newest are given the last message of its state.
        """
        head = max((row.checkpoint_id for row in self.rows if not row.namespace), default=None) if not self.writes else None
        self._fill_from_metadata()
        self._name_nodes()
        for row in self.rows:
            note = self._note(row)
            yield Checkpoint.made(
                {
                    "thread_id": self.thread_id,
                    "namespace": row.namespace,
                    "checkpoint_id": row.checkpoint_id,
                    "parent_checkpoint_id": row.parent,
                    "step": row.step,
                    "source": row.source,
                    "created_ns": created_ns(row.checkpoint_id),
                    "metadata": {key: value for key, value in row.metadata.items() if key != "writes"}
                    | (self._last_said(row) if row.checkpoint_id == head and not row.namespace and not row.written else {}),
                    "writes": tuple(self.writes.pop((row.namespace, row.checkpoint_id), ())),
                    "note": note,
                }
            )
        for (namespace, checkpoint_id), writes in sorted(self.writes.items()):
            yield Checkpoint(
                thread_id=self.thread_id,
                namespace=namespace,
                checkpoint_id=checkpoint_id,
                created_ns=created_ns(checkpoint_id),
                writes=tuple(writes),
                note="only its writes were kept",
            )

    def _last_said(self, row: Row) -> dict[str, Json]:
        """The last message in the state of a checkpoint, if there is one."""
        try:
            state = state_of(self.tables, self.thread_id, (row.namespace, row.checkpoint_id))
        except (serde.UndecodedError, LookupError):
            return {}
        messages = state.get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        said = last.get("content") if isinstance(last, dict) else None
        blocks = said if isinstance(said, list) else [{"text": said}]
        text = "".join(str(block.get("text") or "") for block in blocks if isinstance(block, dict))
        return {LAST_SAID: text} if text else {}

    def _row(self, row: CheckpointRow) -> Row:
        fields: Json = {}
        try:
            fields = serde.decode_json(row.metadata or "{}").value
        except (serde.UndecodedError, TypeError, AttributeError) as error:
            self.skipped.add("metadata", f"not decoded: {error}")
        return Row(row.namespace, row.checkpoint_id, row.parent, row.kind, fields if isinstance(fields, dict) else {})

    def _write(self, row: WriteRow) -> Write:
        value, note = _decoded(row)
        if note:
            self.skipped.add("writes", note)
        fields = {"task_id": row.task_id, "task_path": row.task_path, "node": UPDATE if row.task_path.startswith(BY_UPDATE) else node_of_path(row.task_path)}
        return Write.made({**fields, "idx": row.idx, "channel": row.channel, "value": value, "note": note})

    def _note(self, row: Row) -> str | None:
        """Why this checkpoint's state can't be fetched, where its type already says so."""
        if "+" not in row.kind and row.kind != "pickle":
            return None
        try:
            serde.decode(row.kind, b"")
        except serde.UndecodedError as error:
            self.skipped.add("checkpoints", str(error))
            return str(error)
        return None

    def _fill_from_metadata(self) -> None:
        """Where the rows of `writes` are missing, take what langgraph before 0.5 also noted in the next checkpoint's metadata."""
        for row in self.rows:
            at = row.checkpoint_id if row.source == "input" else row.parent
            if row.source not in ("input", "loop") or at is None or self.writes.get((row.namespace, at)):
                continue
            nodes = row.written if row.source == "loop" or START in row.written else {START: row.written}
            self.writes[row.namespace, at] = [
                Write(task_id="", node=node, idx=number, channel=channel, value=value, note=FROM_METADATA)
                for node, written in nodes.items()
                for number, (channel, value) in enumerate(_channels(written))
            ]

    # ---- the nodes of the tasks

    def _name_nodes(self) -> None:
        """Find the nodes of tasks whose path doesn't spell them out."""
        unnamed = {place: tasks for place, writes in self.writes.items() if (tasks := _unnamed(writes))}
        if not unnamed:
            return
        naming = self._naming()
        children: dict[Place, list[Row]] = defaultdict(list)
        by_place: dict[Place, Row] = {}
        for known in self.rows:
            children[known.namespace, known.parent or ""].append(known)
            by_place[known.namespace, known.checkpoint_id] = known
        for place, tasks in unnamed.items():
            row, writes = by_place.get(place), self.writes[place]
            parent = self.writes.get((place[0], row.parent or ""), []) if row else []
            sent = serde.sends(write.value for write in parent if write.channel == TASKS)
            nodes: dict[str, str | None] = {}
            for task in tasks:
                mine = [write for write in writes if write.task_id == task and not write.node]
                where = TaskPlace(place[1], place[0], None if row is None or row.step is None else row.step + 1)
                failed = {write.task_id: str(write.value) for write in writes if write.channel == ERROR_SOURCE} if mine[0].task_path.endswith(HANDLES) else {}
                nodes[task] = (
                    naming.handler(task, failed, where) or naming.node(task, mine[0].task_path, where, sent) or _guess(mine, row, children[place], naming)
                )
            self.writes[place] = [write if write.node else write.model_copy(update={"node": nodes.get(write.task_id)}) for write in writes]

    def _naming(self) -> Naming:
        naming = Naming()
        naming.learn_nodes(node for row in self.rows if row.source != "input" for node in row.written)
        for row in self.rows:
            naming.learn_namespace(row.namespace)
        unnamed = False
        for writes in self.writes.values():
            naming.learn_nodes(serde.sends(write.value for write in writes if write.channel == TASKS))
            for write in writes:
                naming.learn_channel(write.channel)
                unnamed |= not write.task_path and write.task_id not in (NULL_TASK, "")
        if unnamed:
            self._learn_states(naming)
        return naming

    def _learn_states(self, naming: Naming) -> None:
        """Take nodes and triggers from the last state of each graph, for databases that don't store a task's path."""
        last = {"|".join(part.rpartition(":")[0] for part in row.namespace.split("|")): row for row in self.rows}
        for row in last.values():
            try:
                content = self.tables.skim(self.thread_id, (row.namespace, row.checkpoint_id))
            except serde.UndecodedError:  # said where the state is fetched; the nodes then have weaker signs
                continue
            naming.learn_seen({str(node): seen for node, seen in _dict(content.get("versions_seen")).items() if isinstance(seen, dict)})
            for channel in _dict(content.get("channel_versions")):
                naming.learn_channel(str(channel))


def _unnamed(writes: Sequence[Write]) -> list[str]:
    """The tasks among writes whose node is not known yet, each once."""
    return list(dict.fromkeys(write.task_id for write in writes if not write.node and write.task_id not in (NULL_TASK, "")))


def _decoded(row: WriteRow) -> tuple[Json, str | None]:
    """A write's value, and why it is absent or not as it was meant to be. The database left out what is too large."""
    if row.value is None and row.size:
        return None, f"refused: {row.size:,} bytes, more than {serde.MAX_VALUE_BYTES:,}"
    try:
        decoded = serde.decode(row.kind, row.value or b"")
    except serde.UndecodedError as error:
        return None, str(error)
    return decoded.value, _said(decoded.refused)


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _said(refused: Sequence[str]) -> str | None:
    return f"refused: it asks to call {', '.join(sorted(set(refused)))}; read as plain data" if refused else None


def _channels(written: Json) -> Iterator[tuple[str, Json]]:
    """Channel and value of what a node wrote, as the metadata has it: an object, a list of objects for parallel tasks, or null."""
    for part in written if isinstance(written, list) else [written]:
        yield from _dict(part).items()


def _guess(writes: Sequence[Write], row: Row | None, children: Sequence[Row], naming: Naming) -> str | None:
    """The node of a task by weaker signs: an input starts the graph; 0.2 nodes write their name to a channel; one task, one name noted."""
    if row is not None and row.source == "input" and not writes[0].task_path:
        return START
    for write in writes:
        if (
            isinstance(write.value, str)
            and write.value in naming.triggers
            and (write.channel == write.value or write.channel.startswith(f"branch:{write.value}:"))
        ):
            return str(write.value)
    noted = {node for child in children for node in child.written if child.source == "loop"}
    return noted.pop() if len(noted) == 1 else None
