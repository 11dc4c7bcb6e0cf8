"""AWS Lambda durable executions, as `GetDurableExecutionHistory` gives their events, or as the bare array of them.

Steps, waits, callbacks, chained invocations and contexts (map, parallel, child) become steps. An operation's attempts are its `StepStarted` events:
the recorded `CurrentAttempt` repeats. A callback is a person's step. Operation ids are positions, unique within one execution only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from workbench.model import FAILED_BEFORE, Json, Record, Status
from workbench.plugins import Example
from workbench.reading.exchanges import opened
from workbench.reading.histories import Failure, Fields, History, Operation, Where, moment, read_histories, text_of
from workbench.source import Source

EVENT = re.compile(r"(Step|Wait|Callback|ChainedInvoke|Context)(Started|Succeeded|Failed|TimedOut|Stopped|Cancelled)")
EXECUTION: dict[str, Status] = {"Succeeded": "ok", "Failed": "error", "TimedOut": "error", "Stopped": "cancelled"}
OPERATION: dict[str, Status] = {"Succeeded": "ok", "Failed": "error", "TimedOut": "error", "Stopped": "cancelled", "Cancelled": "cancelled"}
POLLING = "WaitForCondition"


def accepts(source: Source) -> bool:
    """Whether the file begins with events that have Lambda's `EventType` and `EventTimestamp`."""
    return source.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["} and b'"EventTimestamp"' in source.head and b'"EventType"' in source.head


def collect(source: Source) -> Iterable[Record]:
    """A Run for each history, and a Skip for what is none. SourceError when the file as a whole can't be read."""
    return read_histories(source, _is_history, _tell, is_event=_is_event)


def _is_event(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("EventType"), str) and "EventTimestamp" in value


def _is_history(value: Json) -> bool:
    events = value.get("Events") if isinstance(value, dict) else value
    return isinstance(events, list) and any(_is_event(event) for event in events[:3])


def _tell(history: Json, where: Where) -> Iterator[Record]:
    events = history["Events"] if isinstance(history, dict) else history
    if all(isinstance(event, dict) and isinstance(event.get("EventId"), int) for event in events):
        events = sorted(events, key=lambda event: int(event["EventId"]))
    reader = _Reader(History("Lambda durable", str(where)))
    yield from reader.history.take(events, reader.follow)
    arn = text_of(history.get("DurableExecutionArn")) if isinstance(history, dict) else None
    reader.finish(arn, where, events[0])
    yield reader.history.run()


@dataclass
class _Reader:
    """Follows the events of one execution. Operations are found again by their id."""

    history: History
    operations: dict[str, Operation] = field(default_factory=dict)
    invocations: int = 0

    def follow(self, event: Fields) -> None:
        """Take one event."""
        kind, at = event["EventType"], moment(event.get("EventTimestamp"))
        given = event.get(f"{kind}Details") or {}
        if kind == "InvocationCompleted":
            self.invocations += 1
        elif kind.startswith("Execution"):
            self.execution(kind.removeprefix("Execution"), event, given, at)
        elif match := EVENT.fullmatch(kind):
            self.operation(match[1], match[2], event, given, at)

    def execution(self, what: str, event: Fields, given: Fields, at: int | None) -> None:
        history = self.history
        if what == "Started":
            history.run_id, history.name, history.started_ns = text_of(event.get("Id")) or "", text_of(event.get("Name")), at
            history.metadata["input"] = _payload(given.get("Input"))
        elif what in EXECUTION:
            failure = _failure(given, f"the execution was {what.lower()}") if EXECUTION[what] == "error" else None
            history.end(at, EXECUTION[what], result=_payload(given.get("Result")), failure=failure)

    def operation(self, sort: str, what: str, event: Fields, given: Fields, at: int | None) -> None:
        operation = self.operations.get(event["Id"]) or self.begun(sort, event, given, at)
        if what == "Started":
            if sort == "Step" and event.get("SubType") != POLLING:
                operation.try_again()
            return
        if sort == "Step" and event.get("SubType") != POLLING:
            operation.attempts = operation.attempts or 1
        if "NextAttemptDelaySeconds" in (given.get("RetryDetails") or {}):
            operation.notes.append(f"{FAILED_BEFORE}{_failure(given, 'failed')}")
            operation.end(at, "running")
            return
        failure = _failure(given, "timed out" if what == "TimedOut" else "failed") if OPERATION[what] == "error" else None
        operation.end(at, OPERATION[what], result=_payload(given.get("Result")), failure=failure)

    def begun(self, sort: str, event: Fields, given: Fields, at: int | None) -> Operation:
        subtype = text_of(event.get("SubType")) or sort
        name = text_of(event.get("Name")) or {"Wait": "timer", "Callback": "callback"}.get(sort, subtype.lower())
        operation = Operation(name, started_ns=at, parent=self.operations.get(event.get("ParentId") or ""), asked=_payload(given.get("Input")))
        if sort == "Callback":
            operation.kind, operation.waits_for = "human", name
        if sort == "Wait":
            operation.notes.append("timer")
        elif subtype != "Step":
            operation.notes.append(subtype)
        self.operations[event["Id"]] = operation
        return self.history.add(operation)

    def finish(self, arn: str | None, where: Where, first: Json) -> None:
        """Give the execution its ids. The events name no function: that comes from the ARN, where it is there."""
        history = self.history
        history.run_id = arn or history.run_id or where.name(first)
        history.metadata["invocations"] = self.invocations
        if arn and history.name is None:
            history.name = arn.partition(":function:")[2].partition(":")[0] or None


def _payload(value: Json) -> Json:
    """A payload, which is JSON text where it was not left out."""
    return opened(value.get("Payload")) if isinstance(value, dict) else None


def _failure(given: Fields, otherwise: str) -> Failure:
    payload = _payload(given.get("Error"))
    if not isinstance(payload, dict):
        return Failure(otherwise)
    return Failure(str(payload.get("ErrorMessage") or ""), text_of(payload.get("ErrorType")))


# ---- examples


def _event(number: int, kind: str, identity: str = "1", sub: str | None = None, **details: Json) -> Fields:
    event: Fields = {"EventType": kind, "EventId": number, "Id": identity, "EventTimestamp": f"2026-03-01T09:00:{number:02}.5Z", f"{kind}Details": details}
    return event | ({"SubType": sub} if sub else {})


_RETRY: Fields = {"RetryDetails": {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 1}}
_ERROR: Fields = {"Error": {"Payload": {"ErrorMessage": "try later", "ErrorType": "TooBusy"}}}
_BOOKING = [
    _event(1, "ExecutionStarted", "2e6ab966-c108-4b7a-9397-c69ca6a321f3", Input={"Payload": '{"flight": "NH 11"}'}),
    _event(2, "StepStarted", sub="Step") | {"Name": "book"},
    _event(3, "StepFailed", sub="Step", **_ERROR, **_RETRY) | {"Name": "book"},
    _event(4, "StepStarted", sub="Step") | {"Name": "book"},
    _event(5, "StepSucceeded", sub="Step", Result={"Payload": '"booked"'}) | {"Name": "book"},
    _event(6, "CallbackStarted", "2", CallbackId="c") | {"Name": "approval"},
    _event(7, "CallbackSucceeded", "2", Result={"Payload": '{"approved": true}'}),
    _event(8, "ExecutionSucceeded", "2e6ab966-c108-4b7a-9397-c69ca6a321f3", Result={"Payload": '"booked"'}),
]
EXAMPLES = (
    Example("events.json", json.dumps(_BOOKING).encode(), {"Run": 1}),
    Example("history.json", json.dumps({"Events": _BOOKING}, indent=1).encode(), {"Run": 1}),
    Example("several.json", json.dumps({"booking": _BOOKING, "cut off": _BOOKING[:3]}).encode(), {"Run": 2}),
    Example("broken-event.json", json.dumps([*_BOOKING[:3], 5, {"EventType": "StepFailed", "EventTimestamp": 0}]).encode(), {"Run": 1, "Skip": 2}),
)
