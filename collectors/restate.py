"""Restate invocations from the rows of its introspection tables: `sys_invocation`, `sys_journal` and `sys_journal_events`.

Rows as `restate sql --json` or the query API give them: a list, `{"rows": […]}`, one a line, or several tables under their names. An invocation's
journal, events and outcome stand in different tables: a file named after one (`sys_journal.json`) is read together with its siblings. Commands become
steps; a promise or an awakeable is a person's step; transient errors are attempts of the command that they name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from workbench.model import FAILED_BEFORE, Json, Record, Skip, Status
from workbench.plugins import Example
from workbench.reading.documents import json_documents
from workbench.reading.exchanges import opened
from workbench.reading.histories import CHILD, UNUSABLE, Failure, Fields, History, Operation, answer, brief, known, moment, pick, text_of, told_once
from workbench.reading.messages import count_of
from workbench.reading.spans import told
from workbench.source import Source, SourceError

TABLES = ("sys_invocation", "sys_journal_events", "sys_journal")
MARKS = (b'"entry_type"', b'"after_journal_entry_index"', b'"target_handler_name"', b'"target_service_name"', b'"pinned_deployment_id"')
HUMAN = frozenset({"GetPromise", "Awakeable"})
PASSED_OVER = re.compile(r"(Input|Output|(Get|Set|Clear)\w*State\w*|PeekPromise|GetCallInvocationId|CallInvocationId|Custom|Event.*)")
COMPLETED: dict[str, Status] = {"success": "ok", "failure": "error", "killed": "cancelled"}
CANCELLED = 409
FIRST_AWAKEABLE = 17
"""Signals below this number are the engine's own, such as the one that cancels."""


def accepts(source: Source) -> bool:
    """Whether the file begins with rows of one of the three tables."""
    head = source.head
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["} and b'"id"' in head and any(mark in head for mark in MARKS)


def collect(source: Source) -> Iterator[Record]:
    """A Run for each invocation, and a Skip for each row that is none of the tables'. SourceError when the file as a whole can't be read."""
    invocations: dict[str, _Invocation] = {}
    yield from _rows_into(invocations, source)
    for sibling in _siblings(source):
        yield from _rows_into(invocations, sibling)
    yield from told_once(record for identity, invocation in invocations.items() for record in _told(identity, invocation, source))


def _told(identity: str, invocation: _Invocation, source: Source) -> Iterator[Record]:
    reader = _Reader(invocation, History("Restate", f"{source.path}: invocation {identity}", identity))
    yield from reader.read()
    yield reader.history.run()


# ---- rows


@dataclass
class _Invocation:
    """The rows of one invocation."""

    outcome: Fields = field(default_factory=dict)
    journal: list[Fields] = field(default_factory=list)
    events: list[Fields] = field(default_factory=list)


def _siblings(source: Source) -> Iterator[Source]:
    """The other tables' files beside one that is named after its table."""
    name = source.path.name
    own = next((table for table in TABLES if table in name), None)
    for table in TABLES if own else ():
        sibling = source.path.with_name(name.replace(str(own), table))
        if table != own and sibling.is_file():
            yield Source(sibling)


def _rows_into(invocations: dict[str, _Invocation], source: Source) -> Iterator[Skip]:
    for number, document in json_documents(source):
        place = f"{source.path}:{number}"
        if isinstance(document, SourceError):
            yield Skip(place=place, reason=str(document).removeprefix(f"{place}: "))
            continue
        for row in _rows(document):
            if not _keep(invocations, row):
                yield Skip(place=place, reason=f"no row of {', '.join(TABLES)}: {brief(row)}")


def _rows(document: Json) -> Iterator[Json]:
    """The rows in a document: a row, a list of them, or lists under the tables' names or `rows`."""
    if isinstance(document, list):
        yield from document
    elif isinstance(document, dict) and "id" not in document:
        for held in document.values():
            yield from _rows(held) if isinstance(held, list | dict) else ()
    else:
        yield document


def _keep(invocations: dict[str, _Invocation], row: Json) -> bool:
    """Put a row where it belongs; False for what is none."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        return False
    kinds = {"entry_type": "journal", "event_type": "events", "after_journal_entry_index": "events"}
    kind = next((kinds[key] for key in kinds if key in row), "outcome" if "status" in row or "target" in row or "target_service_name" in row else None)
    if kind is None:
        return False
    invocation = invocations.setdefault(row["id"], _Invocation())
    if kind == "outcome":
        invocation.outcome |= row
    else:
        (invocation.journal if kind == "journal" else invocation.events).append(row)
    return True


# ---- one invocation


@dataclass
class _Reader:
    """Follows the journal of one invocation. `commands` has a place for every command, as errors name them by their number."""

    invocation: _Invocation
    history: History
    commands: list[Operation | None] = field(default_factory=list)
    waiting: dict[Json, Operation] = field(default_factory=dict)
    retried: dict[int, tuple[Operation, list[str]]] = field(default_factory=dict)

    def read(self) -> Iterator[Skip]:
        """Take everything that is recorded of the invocation."""
        self.begin()
        yield from self.history.take(sorted(self.invocation.journal, key=lambda row: count_of(row.get("index")) or 0), self.entry)
        yield from self.history.take(self.invocation.events, self.event)
        self.last_failure()
        for operation, messages in self.retried.values():
            operation.attempts = (operation.attempts or 1) + len(messages)
            operation.notes += [f"{FAILED_BEFORE}{message}" for message in dict.fromkeys(messages)]
        try:
            self.end()
        except UNUSABLE as error:
            yield Skip(place=self.history.place, reason=f"no usable outcome: {told(error)}")

    def begin(self) -> None:
        given, history = self.invocation.outcome, self.history
        history.name = text_of(given.get("target")) or text_of(given.get("target_service_name"))
        history.conversation_id = text_of(given.get("target_service_key"))
        history.started_ns = moment(given.get("running_at") or given.get("created_at"))
        history.metadata |= {key: given[key] for key in ("invoked_by_id", "idempotency_key", "restarted_from", "trace_id") if given.get(key)}

    def end(self) -> None:
        given = self.invocation.outcome
        result = text_of(given.get("completion_result")) if given.get("status", "completed") == "completed" else None
        failure = text_of(given.get("completion_failure"))
        if result is None:
            return
        status = COMPLETED.get(result, "running")
        if failure and (count_of(given.get("completion_failure_code")) == CANCELLED or failure.startswith(f"[{CANCELLED}]")) and "cancel" in failure.lower():
            status = "cancelled"
        self.history.end(moment(given.get("completed_at")), status, failure=Failure(failure or "failed") if status == "error" else None)

    # -- the journal

    def entry(self, row: Fields) -> None:
        """Take one row of the journal: a command, a notification that completes one, or an event."""
        sort, _, kind = str(row["entry_type"]).rpartition(": ")
        body = _body(row)
        if sort == "Event":
            self.event({"event_type": kind, "event_json": row.get("entry_json")})
        elif sort == "Notification":
            self.notified(kind, body, moment(row.get("appended_at")))
        else:
            self.command(kind, body, row)

    def command(self, kind: str, body: Fields, row: Fields) -> None:
        at = moment(row.get("appended_at"))
        if kind in {"Input", "Output"}:
            self.whole(kind, body, at)
        if PASSED_OVER.fullmatch(kind):
            self.commands.append(None)
            return
        operation = self.history.add(_operation(kind, body, row, at))
        self.commands.append(operation)
        number = next((body[key] for key in ("result_completion_id", "completion_id") if body.get(key) is not None), None)
        self.waiting[number if number is not None else (kind, len(self.commands))] = operation
        if row.get("completed") is True or kind in {"OneWayCall", "CompleteAwakeable", "SendSignal"}:
            operation.end(None, "ok")

    def whole(self, kind: str, body: Fields, at: int | None) -> None:
        """Take what went into the invocation, or what came of it."""
        if kind == "Input":
            self.history.metadata["input"] = _bytes(body.get("payload"))
        else:
            value, failure = _result(body.get("result"))
            self.history.end(at, "error" if failure else "ok", result=value, failure=failure)

    def notified(self, kind: str, body: Fields, at: int | None) -> None:
        value, failure = _result(body.get("result", body))
        if kind == "Signal":
            self.signal(body, value, failure, at)
            return
        if PASSED_OVER.fullmatch(kind):
            return
        number = body.get("completion_id")
        if number not in self.waiting:
            number = next((key for key, one in self.waiting.items() if isinstance(key, tuple) and key[0] == kind and one.status == "running"), number)
        known(self.waiting, number).end(at, "error" if failure else "ok", result=value, failure=failure)

    def signal(self, body: Fields, value: Json, failure: Failure | None, at: int | None) -> None:
        """An awakeable that was resolved, or a signal by name. The engine's own signals are no person's word."""
        named: Json = body.get("id", body.get("signal_id"))
        name = named.get("Name") if isinstance(named, dict) else body.get("name")
        index = count_of(named.get("Index") if isinstance(named, dict) else named)
        if name is None and (index is None or index < FIRST_AWAKEABLE):
            self.history.notes.append(f"signal {brief(named)}")
            return
        human = self.history.add(answer(str(name or "awakeable"), value, at))
        human.waits_for, human.output = human.name, None
        if failure is not None:
            human.result = {"rejected": str(failure)}

    # -- events

    def event(self, row: Fields) -> None:
        """Take one event: an error that was retried counts for the command it names, else for the invocation."""
        body: Fields = opened(row.get("event_json")) or {}
        kind = str(row.get("event_type") or pick(body, "ty"))
        body = body.get(kind, body)
        if kind == "TransientError":
            number, name = count_of(body.get("related_command_index")), text_of(body.get("related_command_name"))
            self.failed_attempt(number, name, str(body.get("error_message") or body.get("error_code") or "failed"), count_of(body.get("count")) or 1)
        elif kind == "Paused":
            self.history.notes.append("paused after it failed too often")

    def failed_attempt(self, number: int | None, name: str | None, message: str, times: int) -> None:
        named = self.commands[number] if number is not None and number < len(self.commands) else None
        operation = named or next((one for one in self.history.operations if name is not None and one.name == name), None)
        if operation is None and name is not None:
            operation = self.history.add(Operation(name))
        operation = operation or self.body()
        self.retried.setdefault(id(operation), (operation, []))[1].extend([message] * min(times, 1000))

    def body(self) -> Operation:
        """The step that stands for the handler's own code, where that failed outside of any command."""
        first = next((one for one in self.history.operations if "the handler itself" in one.notes), None)
        if first is None:
            first = Operation(self.history.name or "handler", started_ns=self.history.started_ns, status="ok", notes=["the handler itself"])
            self.history.operations.insert(0, first)
        return first

    def last_failure(self) -> None:
        """Use what the invocation says of its retries where no event does."""
        given = self.invocation.outcome
        tries, message = count_of(given.get("retry_count")), text_of(given.get("last_failure"))
        if not self.retried and message and tries and tries > 1:
            name = text_of(given.get("last_failure_related_command_name") or given.get("last_failure_related_entry_name"))
            self.failed_attempt(count_of(given.get("last_failure_related_command_index")), name, message, tries - 1)


def _operation(kind: str, body: Fields, row: Fields, at: int | None) -> Operation:
    """A command as a step that has begun."""
    name = text_of(row.get("name")) or text_of(body.get("name"))
    if kind in HUMAN:
        topic = text_of(row.get("promise_name")) or text_of(body.get("key")) or name or kind.lower()
        return Operation(topic, "human", started_ns=at, waits_for=topic)
    if kind == "Sleep":
        return Operation("timer", started_ns=at, asked={"until": row.get("sleep_wakeup_at") or body.get("wake_up_time")})
    if kind in {"Call", "OneWayCall"}:
        request = body.get("request") or {}
        operation = Operation(
            text_of(row.get("invoked_target")) or name or _target(request.get("invocation_target")) or "call",
            started_ns=at,
            asked=_bytes(request.get("parameter")),
        )
        operation.notes.append(f"{CHILD}{row.get('invoked_id') or request.get('invocation_id')}")
        return operation
    operation = Operation(name or text_of(row.get("promise_name")) or kind, started_ns=at)
    if kind != "Run":
        operation.notes.append(kind)
        operation.asked = _result(body.get("value", body.get("result")))[0]
    return operation


def _target(value: Json) -> str | None:
    """What a call was for, `Service/key/handler`, out of `{"Service": {"name": …, "handler": …}}`."""
    inside = next(iter(value.values()), None) if isinstance(value, dict) else None
    parts = [text_of(inside.get(part)) for part in ("name", "key", "handler")] if isinstance(inside, dict) else []
    return "/".join(part for part in parts if part) or None


def _body(row: Fields) -> Fields:
    """What an entry's JSON says inside its envelope of kinds; {} where there is none, as in older journals."""
    value = opened(row.get("entry_json") or row.get("entry_lite_json"))
    for _ in range(4):
        if isinstance(value, dict) and len(value) == 1 and isinstance(inner := next(iter(value.values())), dict) and next(iter(value))[:1].isupper():
            value = inner
    return value if isinstance(value, dict) else {}


def _result(value: Json) -> tuple[Json, Failure | None]:
    """The value or the failure of a result."""
    failure = pick(value, "Failure", "failure")
    if isinstance(failure, dict):
        return None, Failure(str(failure.get("message") or failure.get("code") or "failed"))
    return _bytes(pick(value, "Success", "success")), None


def _bytes(value: Json) -> Json:
    """A payload: JSON or text, which is written as a list of byte values. None for what is no text."""
    if isinstance(value, list):
        try:
            return opened(bytes(value).decode("utf-8")) if value else None
        except ValueError:
            return None
    return opened(value)


# ---- examples


def _command(index: int, kind: str, body: Fields | None = None, **row: Json) -> Fields:
    text = json.dumps({"Command": {kind: body or {}}})
    return {"id": "inv_1", "index": index, "entry_type": f"Command: {kind}", "entry_json": text, "appended_at": f"2026-03-01T09:00:{index:02}Z", **row}


def _done(index: int, kind: str, number: int, value: Json) -> Fields:
    body = {"completion_id": number, "result": {"Success": list(json.dumps(value).encode())}}
    text = json.dumps({"Notification": {"Completion": {kind: body}}})
    return {"id": "inv_1", "index": index, "entry_type": f"Notification: {kind}", "entry_json": text, "appended_at": f"2026-03-01T09:00:{index:02}Z"}


_OUTCOME: Fields = {"partition_key": 18446744073709551615, "id": "inv_1", "target": "Booking/b-1/run", "target_service_name": "Booking"}
_OUTCOME |= {"status": "completed", "completion_result": "success", "target_service_key": "b-1", "created_at": "2026-03-01T09:00:00Z"}
_JOURNAL = [
    _command(0, "Input"),
    _command(1, "Run", {"completion_id": 1, "name": "book"}, name="book"),
    _done(2, "Run", 1, "booked"),
    _command(3, "GetPromise", {"completion_id": 2, "key": "approval"}, promise_name="approval"),
    _done(4, "GetPromise", 2, {"approved": True}),
    _command(5, "Output", {"result": {"Success": list(b'"booked"')}}),
]
_ERROR = json.dumps({"ty": "TransientError", "error_code": 500, "error_message": "try later", "related_command_index": 1, "related_command_name": "book"})
_EVENTS = [{"id": "inv_1", "after_journal_entry_index": 1, "event_type": "TransientError", "event_json": _ERROR}]
EXAMPLES = (
    Example("tables.json", json.dumps({"sys_invocation": [_OUTCOME], "sys_journal": _JOURNAL, "sys_journal_events": _EVENTS}).encode(), {"Run": 1}),
    Example("sys_journal.json", json.dumps({"rows": _JOURNAL}, indent=1).encode(), {"Run": 1}),
    Example("invocations.jsonl", (json.dumps(_OUTCOME) + "\n" + json.dumps(_OUTCOME | {"id": "inv_2"}) + "\n").encode(), {"Run": 2}),
    Example("broken-row.json", json.dumps([*_JOURNAL, 5, {"id": "inv_1"}]).encode(), {"Run": 1, "Skip": 2}),
)
