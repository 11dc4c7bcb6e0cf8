"""Runs out of the histories of durable engines: what is the same whichever engine wrote them.

An engine's collector reads events and keeps `Operation`s: each became a step that was started, perhaps tried again, and ended. `History` holds
them with what is known of the whole, and tells the `Run`. Files hold one history or many, as a list or under keys: `read_histories` finds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.model import PASSED_ON, Json, Message, Record, Run, Skip, Status, Step, StepKind, ToolCall, canonical, digest
from workbench.reading.documents import json_documents
from workbench.reading.exchanges import Exchange, exchange_of, opened
from workbench.reading.messages import time_ns
from workbench.reading.spans import told
from workbench.source import Source, SourceError

Fields = dict[str, Json]

CHILD = "child workflow "
UNUSABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)
"""What taking apart an event of another shape than the engine's can raise."""
MAX_CONTAINER_DEPTH = 4
BRIEF = 120
NEXT_PAGE = ("nextToken", "nextPageToken", "nextMarker")
SAYING = ("user_input", "user_message", "message", "prompt", "text", "content", "query", "question")
YES, NO = ("yes", "y", "ok", "true", "approve", "approved", "confirm", "confirmed", "accept", "accepted"), ("no", "n", "false", "reject", "rejected", "cancel")
YES_OR_NO = frozenset({*YES, *NO, "deny", "denied", "refuse", "refused"})


@dataclass
class Failure:
    """What went wrong: the type of error, where one is named, and its message."""

    message: str
    kind: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.kind and self.message and self.kind not in self.message else self.message or self.kind or "failed"

    def within(self, other: Failure) -> bool:
        """Whether the other failure is this one passed on."""
        mine, theirs = self.message or self.kind or "", other.message or other.kind or ""
        return bool(mine) and bool(theirs) and (mine in theirs or theirs in mine)


@dataclass(eq=False)
class Operation:
    """Something a workflow did or waited for, while its history is read. `waits_for` names the signal, promise or topic a person answers."""

    name: str
    kind: StepKind = "node"
    started_ns: int | None = None
    ended_ns: int | None = None
    status: Status = "running"
    failure: Failure | None = None
    attempts: int | None = None
    asked: Json = None
    result: Json = None
    call_id: str | None = None
    waits_for: str | None = None
    exchange: Exchange | None = None
    output: Message | None = None
    parent: Operation | None = None
    recovered: bool | None = None
    notes: list[str] = field(default_factory=list)
    depth: int = field(init=False)
    """How many operations it stands in."""

    def __post_init__(self) -> None:
        self.depth = 0 if self.parent is None else self.parent.depth + 1

    def end(self, at_ns: int | None, status: Status, *, result: Json = None, failure: Failure | None = None) -> None:
        """Record how it ended."""
        self.ended_ns, self.status, self.failure = at_ns, status, failure
        self.result = self.result if result is None else result

    def try_again(self) -> None:
        """Count one more attempt, which is under way."""
        self.attempts = (self.attempts or 0) + 1
        self.status, self.ended_ns, self.failure = "running", None, None

    def recognise(self) -> None:
        """Take it for a model call where its payloads have that shape."""
        if self.kind == "node" and (found := exchange_of(self.asked, self.result)) is not None:
            self.kind, self.exchange, self.output = "model", found, found.output

    def step(self, index: int) -> Step:
        """It as the step of this number."""
        step = Step(
            index=index,
            kind=self.kind,
            name=self.name,
            depth=self.depth,
            started_ns=self.started_ns,
            ended_ns=self.ended_ns,
            status=self.status,
            error=str(self.failure) if self.failure else None,
            tool_call=self._call(),
            output=self.output,
            result=None if self.kind == "model" else self.result,
            attempts=self.attempts,
            recovered=self.recovered if self.status == "error" else None,
            notes=tuple(self.notes),
        )
        return step if self.exchange is None else step.model_copy(update=_told(self.exchange))

    def _call(self) -> ToolCall | None:
        if self.kind == "model" or (self.kind == "human" and self.waits_for is None):
            return None
        if self.kind == "node" and self.asked is None:
            return None
        arguments = arguments_of(self.asked)
        raw = None if arguments is not None or self.asked is None else self.asked if isinstance(self.asked, str) else canonical(self.asked)
        return ToolCall(name=self.waits_for or self.name, arguments=arguments, call_id=self.call_id, raw=raw)


@dataclass(eq=False)
class History:
    """One execution, while its history is read."""

    engine: str
    place: str
    run_id: str = ""
    name: str | None = None
    conversation_id: str | None = None
    status: Status = "running"
    started_ns: int | None = None
    ended_ns: int | None = None
    failure: Failure | None = None
    operations: list[Operation] = field(default_factory=list)
    metadata: Fields = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, operation: Operation) -> Operation:
        """Keep an operation; returns it."""
        self.operations.append(operation)
        return operation

    def end(self, at_ns: int | None, status: Status, *, result: Json = None, failure: Failure | None = None) -> None:
        """Record how the execution ended."""
        self.ended_ns, self.status, self.failure = at_ns, status, failure
        if result is not None:
            self.metadata["output"] = result

    def take(self, events: Iterable[Json], follow: Callable[[Fields], object]) -> Iterator[Skip]:
        """Follow each event; one that can't be used is a skip that names its position."""
        for position, event in enumerate(events):
            try:
                if not isinstance(event, dict):
                    raise TypeError(f"no event but {brief(event)}")
                follow(event)
            except UNUSABLE as error:
                yield Skip(place=f"{self.place}: event {position}", reason=f"no usable {self.engine} event: {told(error)}")

    def run(self) -> Run:
        """The run. Operations that never ended are as the run is: under way, or given up with it."""
        for operation in self.operations:
            operation.recognise()
        self._leave_open()
        self._settle()
        return Run(
            run_id=self.run_id,
            conversation_id=self.conversation_id,
            root_name=self.name,
            status=self.status,
            started_ns=self.started_ns,
            ended_ns=self.ended_ns,
            steps=tuple(operation.step(index) for index, operation in enumerate(self.operations)),
            notes=tuple(self.notes),
            metadata={"engine": self.engine, **self.metadata},
        )

    def _leave_open(self) -> None:
        for operation in self.operations:
            if operation.status == "running" and (operation.kind == "human" or self.status != "running"):
                operation.status = "interrupted" if operation.kind == "human" else "cancelled"

    def _settle(self) -> None:
        """Say of each failure whether the run went on, and tell what failed inside something only once."""
        failed = [operation for operation in self.operations if operation.status == "error"]
        for operation in failed:
            _mark_outer(operation)
        if self.status != "error":
            for operation in failed:
                operation.recovered = True
            return
        failure = self.failure or Failure("")
        first = [operation for operation in failed if PASSED_ON not in operation.notes]
        causes = [one for one in first if one.failure and one.failure.within(failure)] or [one for one in failed if one.failure and one.failure.within(failure)]
        ending = [one for one in first if one.recovered is False] or causes[-1:]
        if not ending and first and not (failure.message or failure.kind):
            ending = first[-1:]
        for operation in failed:
            operation.recovered = operation not in ending
        if not ending:
            status: Status = "error"
            self.add(Operation(self.name or self.engine, started_ns=self.ended_ns, ended_ns=self.ended_ns, status=status, failure=failure, recovered=False))


def _mark_outer(operation: Operation) -> None:
    """Note on what a failed operation stands in, and failed with it, that the failure comes from inside."""
    above = operation.parent
    while above is not None:
        same = above.failure is None or operation.failure is None or operation.failure.within(above.failure)
        if above.status == "error" and same and PASSED_ON not in above.notes:
            above.notes.append(PASSED_ON)
        above = above.parent


def _told(exchange: Exchange) -> Fields:
    return {"model": exchange.model, "messages": exchange.messages, "tokens": exchange.tokens, "decision": exchange.decision}


# ---- a person's word


def answer(name: str, payload: Json, at_ns: int | None) -> Operation:
    """What a person sent into a run: their words, where it is a message to the agent, else an answer to what waited under this name."""
    said = words_of(payload)
    human = Operation(name, "human", started_ns=at_ns, ended_ns=at_ns, status="ok", result=payload)
    if said is None:
        human.waits_for = name
    else:
        human.output = Message(role="user", content=said, at_ns=at_ns)
    return human


def words_of(payload: Json) -> str | None:
    """The text of a payload that is a message to an agent; None for a decision, which is yes, no or an object that says so."""
    if isinstance(payload, dict):
        return next((payload[key] for key in SAYING if isinstance(payload.get(key), str) and not {"approved", "decision"} & payload.keys()), None)
    if isinstance(payload, str) and payload.strip() and payload.strip().lower() not in YES_OR_NO and " " in payload.strip():
        return payload
    return None


# ---- files


@dataclass(frozen=True)
class Where:
    """Where a history stands: file, line, and the key it stands under in a container of many."""

    path: Path
    line: int
    key: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" + (f": {self.key}" if self.key else "")

    def name(self, first: Json) -> str:
        """An id for an execution whose history names none: the file's name, a hash of how it began, and the key."""
        return "/".join(part for part in (f"{self.path.name.split('.')[0]}-{digest(first)[:12]}", self.key) if part)


Tell = Callable[[Json, Where], Iterable[Record]]


def read_histories(source: Source, is_history: Callable[[Json], bool], tell_one: Tell, *, is_event: Callable[[Json], bool] | None = None) -> Iterator[Record]:
    """What `tell_one` makes of each history in a file, which may hold one, a list of them, or many under keys.

    Where a file has an event a line, `is_event` says what one is, and together they are one history. What is neither is a skip.
    SourceError when the file as a whole can't be read.
    """
    seen: set[str] = set()

    def tell(history: Json, where: Where) -> Iterator[Record]:
        yield from (_keyed(record, where, seen) if isinstance(record, Run) else record for record in tell_one(history, where))

    lone: list[Json] = []
    for number, document in json_documents(source):
        where = Where(source.path, number)
        if isinstance(document, SourceError):
            yield Skip(place=str(where), reason=str(document).removeprefix(f"{where}: "))
        elif is_event is not None and is_event(document):
            lone.append(document)
        else:
            yield from _in_document(document, where, is_history, tell)
    if lone:
        yield from _guarded(tell, lone, Where(source.path, 1))


def _keyed(run: Run, where: Where, seen: set[str]) -> Run:
    """A run that can be found by the key it stands under, and told from others of the same file with the same id."""
    key = "" if where.key.endswith("]") else where.key
    missing = bool(key) and not any(_ends_with(held, key) for held in (run.run_id, run.conversation_id))
    if missing and run.conversation_id is None:
        run, missing = run.model_copy(update={"conversation_id": key}), False
    if missing or (run.run_id in seen and where.key):
        run = run.model_copy(update={"run_id": f"{run.run_id}/{where.key}"})
    seen.add(run.run_id)
    return run


def _ends_with(name: str | None, key: str) -> bool:
    """Whether a name is the key, or ends with it as a word of its own."""
    return bool(re.search(rf"(^|\W){re.escape(key)}$", name or ""))


def _in_document(document: Json, where: Where, is_history: Callable[[Json], bool], tell: Tell) -> Iterator[Record]:
    found = list(_find(document, is_history, "", MAX_CONTAINER_DEPTH))
    if not found:
        yield Skip(place=str(where), reason=f"no history found in {brief(document)}")
    if isinstance(document, dict) and any(text_of(pick(document, key)) for key in NEXT_PAGE):
        yield Skip(place=str(where), reason="one page of several: it names a next one; fetch all of them into one file, or this history ends too early")
    alone = len(found) == 1  # then the keys are an envelope's and name nothing
    yield from told_once([record for key, history in found for record in _guarded(tell, history, Where(where.path, where.line, "" if alone else key))])


def told_once(records: Iterable[Record]) -> Iterator[Record]:
    """The records, in which a child that failed and tells so itself is not told as its parent's failure again. `CHILD` begins the note of a child's id."""
    held = list(records)
    failed = {identity for one in held if isinstance(one, Run) and one.status == "error" for identity in (one.run_id, one.conversation_id) if identity}
    for one in held:
        changed = {step.index for step in one.steps if step.status == "error" and failed & _children(step)} if isinstance(one, Run) else set()
        if isinstance(one, Run) and changed:
            steps = (step.model_copy(update={"notes": (*step.notes, PASSED_ON)}) if step.index in changed else step for step in one.steps)
            yield one.model_copy(update={"steps": tuple(steps)})
        else:
            yield one


def _children(step: Step) -> set[str]:
    return {note.removeprefix(CHILD) for note in step.notes if note.startswith(CHILD)}


def _guarded(tell: Tell, history: Json, where: Where) -> Iterator[Record]:
    try:
        yield from tell(history, where)
    except UNUSABLE as error:
        yield Skip(place=str(where), reason=f"no usable history: {told(error)}")


def _find(value: Json, is_history: Callable[[Json], bool], key: str, depth: int) -> Iterator[tuple[str, Json]]:
    """The histories in a value, with the keys they stand under. In a list of several they are numbered."""
    if is_history(value):
        yield key, value
    elif depth and isinstance(value, dict):
        for name, inner in value.items():
            yield from _find(inner, is_history, f"{key}/{name}" if key else str(name), depth - 1)
    elif depth and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _find(inner, is_history, f"{key}[{number}]", depth - 1)


# ---- values


def pick(fields: Json, *keys: str) -> Json:
    """The first of these keys that has a value, spelt as given, in snake_case or with a capital. None for what is no object."""
    if not isinstance(fields, dict):
        return None
    for key in keys:
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
        for spelling in (key, snake, key[:1].upper() + key[1:]):
            if (found := fields.get(spelling)) is not None:
                return found
    return None


def moment(value: Json) -> int | None:
    """Nanoseconds since 1970 of a time as engines write them: ISO text of any precision, seconds or milliseconds, {seconds, nanos}. None for 1970 itself."""
    if isinstance(value, dict) and "seconds" in value:
        return time_ns(int(value["seconds"]) * 10**9 + int(value.get("nanos") or 0))
    if isinstance(value, str) and value.replace(".", "", 1).isdigit() and len(value) < BRIEF:
        return time_ns(float(value))
    if isinstance(value, str) and (whole := value.replace("Z", "+00:00")) != "":
        head, dot, rest = whole.partition(".")
        if not dot:
            return time_ns(whole.strip())
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        base = time_ns(head + rest[len(digits) :])
        return None if base is None or not digits else base + int(digits[:9].ljust(9, "0"))
    return time_ns(value)


def arguments_of(value: Json) -> Fields | None:
    """Arguments as an object: an object, the text of one, or a list that holds one and nothing else."""
    value = opened(value)
    if isinstance(value, list) and len(value) == 1:
        value = opened(value[0])
    return value if isinstance(value, dict) else None


def text_of(value: Json) -> str | None:
    """A name or a number as text; None for anything else."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def brief(value: Json) -> str:
    """A value, short enough for a message."""
    text = canonical(value)
    return text if len(text) <= BRIEF else f"{text[:BRIEF]}…"


def known(operations: dict[Any, Operation], key: Json) -> Operation:
    """The operation an event belongs to. ValueError where nothing under this key has begun."""
    operation = operations.get(key)
    if operation is None:
        raise ValueError(f"it belongs to {key!r}, which never began")
    return operation
