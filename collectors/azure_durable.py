"""Azure Durable Functions and Durable Task histories: arrays of HistoryEvents, or a status query's answer with `showHistory`.

Events come as the framework's JSON (`EventType` as a name or a number), as protobuf's (`"taskScheduled": {…}`), as a Durable Task client exports
them, as rows of the History table, where those of every instance stand, or compacted by the HTTP interface, which joins scheduling and completion and
drops the ids. Most events may be stamped 1970, which is no time. A retry may reuse the event id of the first attempt or schedule the same activity
anew; either way it is one step with attempts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from workbench.model import Json, Record, Status
from workbench.plugins import Example
from workbench.reading.exchanges import opened
from workbench.reading.histories import CHILD, Failure, Fields, History, Operation, Where, answer, known, moment, pick, read_histories, text_of
from workbench.source import Source

NAMES = (
    *("ExecutionStarted", "ExecutionCompleted", "ExecutionFailed", "ExecutionTerminated", "TaskScheduled", "TaskCompleted", "TaskFailed"),
    *("SubOrchestrationInstanceCreated", "SubOrchestrationInstanceCompleted", "SubOrchestrationInstanceFailed", "TimerCreated", "TimerFired"),
    *("OrchestratorStarted", "OrchestratorCompleted", "EventSent", "EventRaised", "ContinueAsNew", "GenericEvent", "HistoryState"),
    *("ExecutionSuspended", "ExecutionResumed", "ExecutionRewound"),
)
"""The types of events; those of the framework's JSON have the number of their place here."""
KNOWN = frozenset(NAMES)
TYPE_KEYS = ("EventType", "eventType", "event_type", "type", "kind")
STATUSES = ("running", "completed", "continuedasnew", "failed", "canceled", "terminated", "pending", "suspended")
ENDED: dict[str, Status] = {"completed": "ok", "continuedasnew": "ok", "failed": "error", "canceled": "cancelled", "terminated": "cancelled"}
TYPED = re.compile(rb'"(EventType|eventType|event_type|type|kind)"\s*:\s*("?(%s)(Event)?"|\d+\s*[,}])' % "|".join(NAMES).encode())
WRAPPED = re.compile(rb'"(execution_?[sS]tarted|orchestrator_?[sS]tarted|task_?[sS]cheduled)"\s*:\s*\{')
HISTORY_KEYS = ("historyEvents", "history", "events")
ROW = frozenset({"PartitionKey", "RowKey"})
SENTINEL = "sentinel"
"""The key of the row that only says how far an instance was written."""
OTHERS = (b'"EventTimestamp"', b'EventAttributes"', b'_event_attributes"')
"""What only the events of other engines have, some of whose types are called as Durable Task's are: Lambda's, Temporal's."""
EVENT_FIELDS = (b'"EventId"', b'"eventId"', b'"event_id"', b'"historyEvents"', b'"FunctionName"')


def accepts(source: Source) -> bool:
    """Whether the file begins with Durable Task's events."""
    head = source.head
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in {b"{", b"["} or any(name in head for name in OTHERS) or not any(name in head for name in EVENT_FIELDS):
        return False
    return bool(TYPED.search(head) or WRAPPED.search(head)) or b'"orchestration_instance"' in head


def collect(source: Source) -> Iterable[Record]:
    """A Run for each orchestration, and a Skip for what is none. SourceError when the file as a whole can't be read."""
    return read_histories(source, _is_history, _tell, is_event=_is_event)


def _events(value: Json) -> Json:
    """The list of events in a history, which may stand bare."""
    return next((value[key] for key in HISTORY_KEYS if isinstance(value.get(key), list)), None) if isinstance(value, dict) else value


def _is_event(value: Json) -> bool:
    return isinstance(value, dict) and (_is_row(value) or _kind(value)[0] is not None)


def _is_row(value: Json) -> bool:
    """Whether it is a row of the History table, in which the events of every instance stand."""
    return isinstance(value, dict) and value.keys() >= ROW


def _is_history(value: Json) -> bool:
    events = _events(value)
    return isinstance(events, list) and any(_is_event(event) for event in events[:3])


def _tell(history: Json, where: Where) -> Iterator[Record]:
    events, whole = _events(history), history if isinstance(history, dict) else {}
    for instance, run_id, own in _instances(events):
        reader = _Reader(History("Durable Functions", str(where), conversation_id=instance))
        yield from reader.history.take(own, reader.follow)
        reader.finish({**whole, "instanceId": run_id} if run_id else whole, where, own[0])
        yield reader.history.run()


def _instances(events: list[Json]) -> Iterator[tuple[str | None, str | None, list[Json]]]:
    """The instance, the run's id and the events of each execution in a list of rows; any other list of events is one execution's.

    An instance that continued as new has several: those after the first are named by their execution as well.
    """
    if not all(map(_is_row, events)):
        yield None, None, events
        return
    executions: dict[tuple[str, str], list[Json]] = {}
    for row in sorted(events, key=lambda row: str(row["RowKey"])):
        if row["RowKey"] != SENTINEL:
            executions.setdefault((str(row["PartitionKey"]), str(row.get("ExecutionId") or "")), []).append(row)
    seen = set[str]()
    for (instance, execution), rows in executions.items():
        yield instance, f"{instance}/{execution}" if instance in seen else instance, rows
        seen.add(instance)


def _kind(event: Fields) -> tuple[str | None, Fields]:
    """An event's type and its fields, in any of the shapes; None for what is no event of Durable Task."""
    for key in TYPE_KEYS:
        named = event.get(key)
        if isinstance(named, int) and not isinstance(named, bool) and 0 <= named < len(NAMES):
            return NAMES[named], event
        if isinstance(named, str) and (name := named.removesuffix("Event")) in KNOWN:
            return name, event
    for key, value in event.items():
        name = "".join(word[:1].upper() + word[1:] for word in key.split("_"))
        if name in KNOWN and isinstance(value, dict):
            return name, value
    return (_untyped(event), event) if "event_id" in event and "timestamp" in event else (None, event)


def _untyped(event: Fields) -> str:
    """The type of an event that a client exported without it, by the fields that only that type has."""
    if "orchestration_instance" in event:
        return "ExecutionStarted"
    if "orchestration_status" in event:
        return "ExecutionCompleted"
    if "task_scheduled_id" in event:
        return "TaskFailed" if "failure_details" in event else "TaskCompleted"
    if "fire_at" in event:
        return "TimerFired" if "timer_id" in event else "TimerCreated"
    if "instance_id" in event:
        return "EventSent" if "version" not in event else "SubOrchestrationInstanceCreated"
    if "name" in event:
        return "TaskScheduled" if "version" in event else "EventRaised"
    return "OrchestratorStarted"


@dataclass
class _Reader:
    """Follows the events of one orchestration. Operations are found again by the id of the event that scheduled them."""

    history: History
    by_event: dict[Json, Operation] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)

    def follow(self, event: Fields) -> None:
        """Take one event."""
        kind, given = _kind(event)
        at = moment(event.get("_Timestamp") or pick(event, "timestamp"))  # in a table, `Timestamp` is when the row was written
        self.times += [] if at is None else [at]
        handler = HANDLERS.get(kind or "")
        if handler is not None:
            handler(self, given, pick(event, "eventId"), at)
        elif kind is None:
            raise ValueError("no type of event that Durable Task has")

    def finish(self, whole: Fields, where: Where, first: Json) -> None:
        """Take what the file says of the instance as a whole, and give it an id where nothing does."""
        history = self.history
        history.run_id = text_of(pick(whole, "instanceId")) or history.run_id or where.name(first)
        history.name = history.name or text_of(pick(whole, "name"))
        status = _status(pick(whole, "runtimeStatus"))
        if history.status == "running" and status in ENDED:
            failure = Failure(str(pick(whole, "output") or "")) if ENDED[status] == "error" else None
            history.end(moment(pick(whole, "lastUpdatedTime")), ENDED[status], result=pick(whole, "output"), failure=failure)
        history.started_ns = min(self.times, default=None) if history.started_ns is None else history.started_ns
        if history.status != "running" and history.ended_ns is None:
            history.ended_ns = max(self.times, default=None)

    # -- the orchestration

    def started(self, given: Fields, _: Json, at: int | None) -> None:
        history, instance = self.history, pick(given, "orchestrationInstance")
        history.name = text_of(pick(given, "name", "functionName"))
        history.run_id = text_of(pick(instance, "instanceId")) or history.run_id
        history.started_ns = at
        history.metadata["input"] = opened(_unwrapped(pick(given, "input")))
        parent = pick(pick(pick(given, "parentInstance"), "orchestrationInstance"), "instanceId")
        history.metadata |= {key: value for key, value in (("execution_id", pick(instance, "executionId")), ("parent", parent)) if value}

    def completed(self, given: Fields, _: Json, at: int | None) -> None:
        named = _status(pick(given, "orchestrationStatus")) or "completed"
        status = ENDED.get(named, "ok")
        result = _unwrapped(pick(given, "result"))
        self.history.end(at, status, result=opened(result), failure=_failure(given, result) if status == "error" else None)
        if named == "continuedasnew":
            self.history.notes.append("continued as new")

    def failed(self, given: Fields, _: Json, at: int | None) -> None:
        self.history.end(at, "error", failure=_failure(given))

    def terminated(self, given: Fields, _: Json, at: int | None) -> None:
        self.history.end(at, "cancelled")
        self.history.notes.append(f"terminated: {_unwrapped(pick(given, 'input', 'reason')) or 'no reason given'}")

    def continued(self, _: Fields, __: Json, at: int | None) -> None:
        self.history.end(at, "ok")
        self.history.notes.append("continued as new")

    # -- activities and sub-orchestrations

    def scheduled(self, given: Fields, event_id: Json, at: int | None) -> None:
        name, asked = text_of(pick(given, "name", "functionName")) or "activity", opened(_unwrapped(pick(given, "input")))
        operation = self.by_event.get(event_id)
        if operation is None or operation.name != name or operation.status != "error":
            operation = self.failed_before(name, asked) or self.history.add(Operation(name, started_ns=at, asked=asked))
        operation.try_again()
        if event_id is not None:
            self.by_event[event_id] = operation
        if (child := pick(given, "instanceId")) and f"{CHILD}{child}" not in operation.notes:
            operation.notes.append(f"{CHILD}{child}")

    def failed_before(self, name: str, asked: Json) -> Operation | None:
        """The operation that this one tries again: the last one before it, timers aside, if that is the same and has failed."""
        last = next((one for one in reversed(self.history.operations) if one.name != "timer"), None)
        return last if last is not None and (last.name, last.status) == (name, "error") and last.asked == asked else None

    def done(self, given: Fields, _: Json, at: int | None) -> None:
        self.of(given).end(at, "ok", result=opened(_unwrapped(pick(given, "result"))))

    def went_wrong(self, given: Fields, _: Json, at: int | None) -> None:
        self.of(given).end(at, "error", failure=_failure(given))

    def of(self, given: Fields) -> Operation:
        """The operation an event ends. The HTTP interface tells only the end: then it is begun here."""
        if (scheduled := pick(given, "taskScheduledId", "timerId")) is not None:
            return known(self.by_event, scheduled)
        if pick(given, "functionName", "name") is None:
            raise KeyError("taskScheduledId")
        self.scheduled(given, None, moment(pick(given, "scheduledTime")))
        return next(one for one in reversed(self.history.operations) if one.status == "running")

    # -- waits

    def timer_created(self, given: Fields, event_id: Json, at: int | None) -> None:
        wait = self.history.add(Operation("timer", started_ns=at, asked={"fire_at": pick(given, "fireAt")}))
        if event_id is not None:
            self.by_event[event_id] = wait

    def timer_fired(self, given: Fields, event_id: Json, at: int | None) -> None:
        if (timer := pick(given, "timerId")) is None:
            self.timer_created(given, event_id, None)
            self.history.operations[-1].end(at, "ok")
        else:
            known(self.by_event, timer).end(at, "ok")

    def raised(self, given: Fields, _: Json, at: int | None) -> None:
        self.history.add(answer(text_of(pick(given, "name")) or "event", opened(_unwrapped(pick(given, "input"))), at))

    def sent(self, given: Fields, _: Json, at: int | None) -> None:
        event = Operation(f"send {pick(given, 'name') or 'event'}", started_ns=at, asked=opened(_unwrapped(pick(given, "input"))))
        event.end(at, "ok")
        self.history.add(event)


HANDLERS: dict[str, Callable[[_Reader, Fields, Json, int | None], None]] = {
    "ExecutionStarted": _Reader.started,
    "ExecutionCompleted": _Reader.completed,
    "ExecutionFailed": _Reader.failed,
    "ExecutionTerminated": _Reader.terminated,
    "ContinueAsNew": _Reader.continued,
    "TaskScheduled": _Reader.scheduled,
    "TaskCompleted": _Reader.done,
    "TaskFailed": _Reader.went_wrong,
    "SubOrchestrationInstanceCreated": _Reader.scheduled,
    "SubOrchestrationInstanceCompleted": _Reader.done,
    "SubOrchestrationInstanceFailed": _Reader.went_wrong,
    "TimerCreated": _Reader.timer_created,
    "TimerFired": _Reader.timer_fired,
    "EventRaised": _Reader.raised,
    "EventSent": _Reader.sent,
}


def _status(value: Json) -> str:
    """A status by its name or number, without what each dialect puts around it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return STATUSES[value] if 0 <= value < len(STATUSES) else ""
    text = str(value or "").upper().removeprefix("ORCHESTRATION_STATUS_").replace("_", "").lower()
    return "canceled" if text == "cancelled" else text


def _unwrapped(value: Json) -> Json:
    """Protobuf's StringValue as its text."""
    return value["value"] if isinstance(value, dict) and value.keys() == {"value"} else value


def _failure(given: Fields, otherwise: Json = None) -> Failure:
    """What went wrong: the structured details, else reason and details as text."""
    details = pick(given, "failureDetails")
    if isinstance(details, dict):
        return Failure(str(pick(details, "errorMessage", "message") or ""), text_of(pick(details, "errorType")))
    message = pick(given, "reason") or otherwise or _unwrapped(pick(given, "details")) or "failed"
    return Failure(message if isinstance(message, str) else json.dumps(message))


# ---- examples


def _event(kind: int, number: int, second: int, **given: Json) -> Fields:
    return {"EventType": kind, "EventId": number, "IsPlayed": False, "Timestamp": f"2026-03-01T09:00:{second:02}.1234567Z", **given}


_INSTANCE = {"InstanceId": "booking-1", "ExecutionId": "e"}
_BOOKING = [
    _event(12, -1, 0),
    _event(0, -1, 0, Name="Booking", Input='"NH 11"', OrchestrationInstance=_INSTANCE),
    _event(4, 0, 1, Name="Book", Input='"NH 11"'),
    _event(6, -1, 2, TaskScheduledId=0, Reason="try later"),
    _event(10, 1, 2, FireAt="2026-03-01T09:00:03Z"),
    _event(11, -1, 3, TimerId=1, FireAt="2026-03-01T09:00:03Z"),
    _event(4, 0, 3, Name="Book", Input='"NH 11"'),
    _event(5, -1, 4, TaskScheduledId=0, Result='"booked"'),
    _event(15, -1, 5, Name="approval", Input='{"approved": true}'),
    _event(1, 2, 6, OrchestrationStatus=1, Result='"booked"'),
]
_PROTOBUF = [
    {"eventId": -1, "timestamp": "1970-01-01T00:00:00Z", "executionStarted": {"name": "Booking", "orchestrationInstance": {"instanceId": "booking-2"}}},
    {"eventId": 1, "timestamp": "1970-01-01T00:00:00Z", "taskScheduled": {"name": "Book"}},
    {"eventId": -1, "timestamp": "1970-01-01T00:00:00Z", "taskCompleted": {"taskScheduledId": 1, "result": '"booked"'}},
    {"eventId": 2, "timestamp": "1970-01-01T00:00:00Z", "executionCompleted": {"orchestrationStatus": "ORCHESTRATION_STATUS_COMPLETED"}},
]
_SHOWN: Fields = {
    "name": "Booking",
    "instanceId": "booking-3",
    "runtimeStatus": "Completed",
    "historyEvents": [
        {"EventType": "ExecutionStarted", "FunctionName": "Booking", "Timestamp": "2026-03-01T09:00:00Z"},
        {
            "EventType": "TaskCompleted",
            "FunctionName": "Book",
            "Result": "booked",
            "ScheduledTime": "2026-03-01T09:00:01Z",
            "Timestamp": "2026-03-01T09:00:02Z",
        },
        {"EventType": "ExecutionCompleted", "OrchestrationStatus": "Completed", "Result": "booked", "Timestamp": "2026-03-01T09:00:03Z"},
    ],
}
_ROWS = [
    {"PartitionKey": instance, "RowKey": f"{number:016X}", "ExecutionId": f"of-{instance}", "_Timestamp": event["Timestamp"], **event}
    for instance in ("booking-4", "booking-5")
    for number, event in enumerate(_BOOKING)
    if "OrchestrationInstance" not in event
]
_LAST: Fields = {"PartitionKey": "booking-4", "RowKey": SENTINEL, "ExecutionId": "of-booking-4", "IsCheckpointComplete": True}
EXAMPLES = (
    Example("history-table.jsonl", b"\n".join(json.dumps(row).encode() for row in [*_ROWS, _LAST]), {"Run": 2}),
    Example("history-table.json", json.dumps({"odata.metadata": "History", "value": _ROWS[::-1]}).encode(), {"Run": 2}),
    Example("history.json", json.dumps(_BOOKING).encode(), {"Run": 1}),
    Example("worker.json", json.dumps({"instanceId": "booking-1", "history": _BOOKING}).encode(), {"Run": 1}),
    Example("several.json", json.dumps({"first": _PROTOBUF, "second": _PROTOBUF[:2]}, indent=1).encode(), {"Run": 2}),
    Example("show-history.json", json.dumps(_SHOWN).encode(), {"Run": 1}),
    Example("broken-event.json", json.dumps([*_BOOKING[:3], 5, _event(5, -1, 9, TaskScheduledId=77)]).encode(), {"Run": 1, "Skip": 2}),
)
