"""The ledger of side effects: every one that a re-run attempted, how it was answered, and for a live one how it ended. Lines are only added.

A live call has two lines: `begun` before it is made, and `done`, `failed` or `unknown` after. One that was begun and never ended may have
happened: it counts as unknown, and is never repeated without a person.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from workbench.analysis.effects import business_key, classify, classify_request, effects_of
from workbench.model import CallRecord, Cause, EffectClass, Json, LedgerEntry, Run, digest

KEY_DIGITS = 32
WRITTEN_AT_ONCE = 64
WRITTEN_AFTER_SECONDS = 1.0
ATTEMPTED = frozenset(("tool", "http"))
"""The kinds of calls that may change the world: a tool's, and the requests that a plain node makes itself."""


class Ledger(Protocol):
    """Where the lines are kept."""

    def append_entry(self, entry: LedgerEntry) -> bool:
        """Add a line; False, with nothing added, where it begins a live call whose idempotency key has been begun before."""

    def append_entries(self, entries: Sequence[LedgerEntry]) -> None:
        """Add lines at once, but for those that `append_entry` would not add."""

    def entries(self, *, key: str | None = None, idempotency_key: str | None = None, run_id: str | None = None) -> list[LedgerEntry]:
        """The lines with these, oldest first."""


@dataclass
class Pages:
    """A ledger in memory, for forks without a store."""

    lines: list[LedgerEntry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append_entry(self, entry: LedgerEntry) -> bool:
        """Add a line, as a store would."""
        with self._lock:
            keys = {one.idempotency_key for one in self.lines if one.event == "begun"}
            if entry.event == "begun" and entry.idempotency_key and entry.idempotency_key in keys:
                return False
            self.lines.append(entry)
            return True

    def append_entries(self, entries: Sequence[LedgerEntry]) -> None:
        """Add lines, as a store would."""
        for entry in entries:
            self.append_entry(entry)

    def entries(self, *, key: str | None = None, idempotency_key: str | None = None, run_id: str | None = None) -> list[LedgerEntry]:
        """The lines with these."""
        wanted = {"key": key, "idempotency_key": idempotency_key, "run_id": run_id}
        return [one for one in self.lines if all(value in (None, getattr(one, name)) for name, value in wanted.items())]


def idempotency_key(root_run_id: str, place: str, nth: int, tool: str, arguments: Json) -> str:
    """The key of one act: from the recorded run, the step (super-step, task and node) it is made at and what is asked; never from a time or fork.

    So the same act at the same step has the same key in every fork of a run, and when a killed fork goes on.
    """
    act = business_key(tool, arguments) if isinstance(arguments, dict) else [tool, arguments]
    return "wb-" + digest([root_run_id, place, nth, act])[:KEY_DIGITS]


def class_of(name: str, declared: EffectClass | None, kind: str = "tool") -> tuple[EffectClass, bool]:
    """What calling a tool, or making an HTTP request, does, and whether that is only guessed. A guess counts as an effect, whatever it is."""
    if declared:
        return declared, False
    method, _, url = name.partition(" ")
    return (classify_request(method, url) if kind == "http" else classify(name)), True


def is_effect(name: str, declared: EffectClass | None, kind: str = "tool") -> bool:
    """Whether such a call belongs in the ledger: unless it is declared to read only, or its name, or a request's method, says that it only looks."""
    return kind in ATTEMPTED and class_of(name, declared, kind)[0] != "read-only"


@dataclass
class Causes:
    """Tells why an act is attempted again: the run was started again, the model asked again, else the code around the tool tried again."""

    models: int = 0
    starts: int = -1
    last: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def after(cls, parent: Run, again: Collection[int]) -> Causes:
        """As things stand at the cut: with what the parent attempted before."""
        found = cls()
        standing = {step.index for step in parent.steps} - set(again)
        for effect in effects_of(parent):
            if effect.step in standing:
                found.last[effect.key] = (-1, 0)
        return found

    def resumed(self, lines: Iterable[LedgerEntry]) -> None:
        """These were attempted before the re-run was killed."""
        self.last = {one.key: (-1, -1) for one in lines} | self.last

    def began(self) -> None:
        """The graph is started: the first time at the cut, then again, as the recorded run was resumed."""
        self.starts += 1

    def of(self, key: str) -> Cause:
        """Why this act is attempted now; it is remembered."""
        before = self.last.get(key)
        self.last[key] = self.models, self.starts
        if before is None:
            return "first"
        if before[1] != self.starts:
            return "resume"
        return "model" if before[0] != self.models else "retry"

    def heard(self, record: CallRecord) -> None:
        """A model call stands between what was attempted before it and after it."""
        self.models += record.kind == "model"


@dataclass
class Scribe:
    """Writes the lines of one re-run. `clock` gives nanoseconds since 1970.

    What was not live touched nothing, and stands in what the re-run told as well: such lines are written together, those that a kill takes by whoever goes on.
    """

    ledger: Ledger
    run_id: str
    parent_run_id: str
    root_run_id: str
    declared: Mapping[str, EffectClass] = field(default_factory=dict)
    causes: Causes = field(default_factory=Causes)
    clock: Callable[[], int] = time.time_ns
    _causes: dict[str, Cause] = field(default_factory=dict)
    _waiting: list[LedgerEntry] = field(default_factory=list)
    _there: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of each act and how it was answered, how many lines an earlier part of the re-run left."""

    @contextmanager
    def taken_up(self) -> Iterator[None]:
        """Be told again what was told before a kill: what stands in the ledger already is not written once more."""
        there = self.ledger.entries(run_id=self.run_id)
        self._there = Counter((one.idempotency_key, one.answered) for one in there if one.event == "attempted")
        yield
        self._there.clear()
        self._causes.clear()
        self.causes.resumed(there)

    def told(self, record: CallRecord, place: str, nth: int, declared: EffectClass | None = None) -> None:
        """Add a line for a tool call or request that was answered otherwise than live; live ones have theirs from the broker."""
        self.causes.heard(record)
        kind: Literal["tool", "http"] = "http" if record.kind == "http" else "tool"
        if record.kind == kind and record.answer != "live" and is_effect(record.name, self.declared.get(record.name, declared), kind):
            entry = self.entry(kind, record.name, record.arguments, place, nth, declared)
            self._write(entry.model_copy(update={"answered": record.answer, "says": record.says}))

    def _write(self, entry: LedgerEntry) -> None:
        same = entry.idempotency_key, entry.answered
        if self._there[same]:
            self._there[same] -= 1
            return
        self._waiting.append(entry)
        if len(self._waiting) >= WRITTEN_AT_ONCE or entry.at_ns - self._waiting[0].at_ns > WRITTEN_AFTER_SECONDS * 1e9:
            self.flush()

    def flush(self) -> None:
        """Write down what waits."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.ledger.append_entries(waiting)

    def entry(
        self, kind: Literal["tool", "model", "http"], name: str, arguments: Json, place: str, nth: int, declared: EffectClass | None = None
    ) -> LedgerEntry:
        """A line that says that something was attempted, and why again."""
        effect, guessed = class_of(name, self.declared.get(name, declared), kind)
        key = business_key(name, arguments) if isinstance(arguments, dict) else name
        keyed = kind in ATTEMPTED and (guessed or effect != "read-only")
        act = idempotency_key(self.root_run_id, place, nth, name, arguments)
        if act not in self._causes:  # asked about before it goes live, and told of after: one attempt
            self._causes[act] = self.causes.of(key)
        return LedgerEntry(
            run_id=self.run_id,
            parent_run_id=self.parent_run_id,
            root_run_id=self.root_run_id,
            event="attempted",
            kind=kind,
            name=name,
            key=key,
            idempotency_key=act if keyed else "",
            effect=effect,
            guessed=guessed,
            cause=self._causes[act],
            arguments=arguments if kind in ATTEMPTED else None,
            at_ns=self.clock(),
        )
