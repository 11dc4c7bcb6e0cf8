"""What is read of a checkpoint database, whichever it is: rows as they are stored, values undecoded except for states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from workbench.model import Json
from workbench.source import SourceError

Place = tuple[str, str]
"""A checkpoint within a thread: namespace and checkpoint id."""


class MissingTablesError(SourceError):
    """A database of something else. The message says which table or column it lacks."""


class BrokenOffError(SourceError):
    """A database that can't be read any further, because it is damaged or gone. What was read before stands."""


class CheckpointRow(NamedTuple):
    """A checkpoint without its state. `kind` is the type of its value, "" where the values have types of their own; `metadata` is JSON text."""

    namespace: str
    checkpoint_id: str
    parent: str | None
    kind: str
    metadata: str | bytes | None


class WriteRow(NamedTuple):
    """A write of a task. `value` is None where it is larger than `serde.MAX_VALUE_BYTES`: `size` is its length in bytes then too."""

    namespace: str
    checkpoint_id: str
    task_id: str
    task_path: str
    idx: int
    channel: str
    kind: str
    value: bytes | None
    size: int


class StateRow(NamedTuple):
    """A checkpoint with the channel values that stand in it, decoded."""

    parent: str | None
    metadata: str | bytes | None
    values: dict[str, Json]


class RawCheckpoint(NamedTuple):
    """A checkpoint with its state as one value of LangGraph's serializer, to be copied."""

    namespace: str
    checkpoint_id: str
    parent: str | None
    kind: str
    value: bytes
    metadata: str | bytes | None


class RawWrite(NamedTuple):
    """A write to be copied."""

    namespace: str
    checkpoint_id: str
    task_id: str
    task_path: str
    idx: int
    channel: str
    kind: str | None
    value: bytes | None


class Tables(Protocol):
    """A checkpoint database, open for reading. Methods raise BrokenOffError where it is damaged or goes away."""

    def threads(self) -> Iterator[str]:
        """The threads that have checkpoints in order of their ids, then those of which only writes were kept."""

    def has(self, thread_id: str, place: Place) -> bool:
        """Whether a thread has this checkpoint."""

    def threads_with(self, place: Place) -> list[str]:
        """The threads that have this checkpoint. No index helps: ask `has` where the thread is known."""

    def checkpoints(self, thread_id: str) -> Iterator[CheckpointRow]:
        """A thread's checkpoints, oldest first."""

    def writes(self, thread_id: str, place: Place | None = None, channel: str | None = None) -> Iterator[WriteRow]:
        """A thread's writes in the order LangGraph applies them: all, or those of one checkpoint, or of one channel there."""

    def skim(self, thread_id: str, place: Place) -> dict[str, Json]:
        """The plain parts of a checkpoint (`versions_seen`, `channel_versions`), objects left undecoded. UndecodedError."""

    def state(self, thread_id: str, place: Place, channel: str | None = None) -> StateRow | None:
        """A checkpoint with the channel values that stand in it (or this one alone); None where there is no such checkpoint. UndecodedError."""

    def raw_checkpoints(self, thread_id: str, places: Iterable[Place]) -> Iterator[RawCheckpoint]:
        """These checkpoints with their states, to be copied. SourceError for a state that can't be copied."""

    def raw_writes(self, thread_id: str, places: Iterable[Place]) -> Iterator[RawWrite]:
        """The writes of these checkpoints, to be copied."""

    def fingerprint(self, thread_id: str) -> str:
        """A hash, 64 hex digits, that differs when anything of the database (SQLite: its file) or of the thread (PostgreSQL) does."""
