"""Temporal event histories in JSON, as `temporal workflow show --output json`, the web interface and the API give them.

One history is an object with `events`, or the bare list of them. Activities, timers, child workflows, Nexus operations, signals and updates become
steps; a retried activity is one step with its attempts, since failed attempts have no events of their own. Payloads are decoded where their encoding is
JSON or text; any other (encrypted, binary) stays closed and is counted. An activity whose payloads have the shape of a model call becomes one, and the
tools that the model asked for become tool calls: those that ran as activities, and those that ran inside the workflow.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from workbench.model import CONTINUED_AS, FAILED_BEFORE, HANDOFF, RAN_AGENT, Json, Message, Record, Skip, ToolCall
from workbench.plugins import Example
from workbench.reading.documents import parse_json
from workbench.reading.exchanges import opened
from workbench.reading.histories import CHILD, Failure, Fields, History, Operation, Where, answer, known, moment, pick, read_histories, text_of
from workbench.source import Source

READABLE = ("json/plain", "json/protobuf", "text/plain")
NOTHING = "binary/null"
EVENT_ID = re.compile(rb'"event(Id|_id)"')
EVENT_TYPE = re.compile(
    rb'"event(Type|_type)"\s*:\s*("(EVENT_TYPE_)?(WORKFLOW_EXECUTION_|WorkflowExecution|ACTIVITY_TASK|ActivityTask|WORKFLOW_TASK|WorkflowTask)|\d)'
)


def accepts(source: Source) -> bool:
    """Whether the file begins with events that have Temporal's ids and types."""
    return source.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["} and bool(EVENT_ID.search(source.head) and EVENT_TYPE.search(source.head))


def collect(source: Source) -> Iterable[Record]:
    """A Run for each history, and a Skip for what is none. SourceError when the file as a whole can't be read."""
    return read_histories(source, _is_history, _tell, is_event=_is_event)


def _is_event(value: Json) -> bool:
    return isinstance(value, dict) and pick(value, "eventId") is not None and isinstance(pick(value, "eventType"), str)


def _is_history(value: Json) -> bool:
    events = value.get("events") if isinstance(value, dict) else value
    return isinstance(events, list) and any(_is_event(event) for event in events[:3])


def _tell(history: Json, where: Where) -> Iterator[Record]:
    events = history["events"] if isinstance(history, dict) else history
    reader = _Reader(History("Temporal", str(where)))
    yield from reader.history.take(events, reader.follow)
    reader.finish(where, events[0])
    yield reader.history.run()
    for encoding, count in reader.closed.items():
        yield Skip(place=str(where), reason=f"payloads not decoded: their encoding is {encoding}", count=count)


@dataclass
class _Reader:
    """Follows the events of one execution. Operations are found again by the id of the event that scheduled them."""

    history: History
    by_event: dict[str, Operation] = field(default_factory=dict)
    by_update: dict[str, Operation] = field(default_factory=dict)
    closed: Counter[str] = field(default_factory=Counter)

    def follow(self, event: Fields) -> None:
        """Take one event; types that say nothing of the agent (workflow tasks, markers, search attributes) are passed over."""
        kind = _type(pick(event, "eventType"))
        handler = HANDLERS.get(kind)
        if handler is not None:
            handler(self, _attributes(event), str(pick(event, "eventId")), moment(pick(event, "eventTime")))

    def finish(self, where: Where, first: Json) -> None:
        """Give the execution its ids where its first event names none, and find the tools the model asked for."""
        history = self.history
        history.run_id = history.run_id or where.name(first)
        for operation in history.operations:
            operation.recognise()
        _find_tools(history)

    # -- the execution

    def started(self, given: Fields, _: str, at: int | None) -> None:
        history = self.history
        history.name = text_of(pick(pick(given, "workflowType"), "name"))
        history.run_id = text_of(pick(given, "originalExecutionRunId", "firstExecutionRunId")) or ""
        history.conversation_id = text_of(pick(given, "workflowId"))
        history.started_ns = at
        history.metadata |= {"input": self.payloads(pick(given, "input"))}
        continued, parent = pick(given, "continuedExecutionRunId"), pick(pick(given, "parentWorkflowExecution"), "workflowId")
        history.metadata |= {key: value for key, value in (("continued_from", continued), ("parent", parent)) if value}
        if (attempt := _number(pick(given, "attempt"))) and attempt > 1:
            history.notes.append(f"attempt {attempt} of the workflow")

    def completed(self, given: Fields, _: str, at: int | None) -> None:
        self.history.end(at, "ok", result=self.payloads(pick(given, "result")))

    def failed(self, given: Fields, _: str, at: int | None) -> None:
        failure = pick(given, "failure")
        self.blame(failure)
        self.history.end(at, "error", failure=self.failure(failure))

    def timed_out(self, _: Fields, __: str, at: int | None) -> None:
        self.history.end(at, "error", failure=Failure("the workflow timed out", "Timeout"))

    def cancelled(self, _: Fields, __: str, at: int | None) -> None:
        self.history.end(at, "cancelled")

    def terminated(self, given: Fields, _: str, at: int | None) -> None:
        self.history.end(at, "cancelled")
        self.history.notes.append(f"terminated: {pick(given, 'reason') or 'no reason given'}")

    def continued(self, given: Fields, _: str, at: int | None) -> None:
        self.history.end(at, "ok")
        self.history.notes.append(f"continued as new, as run {pick(given, 'newExecutionRunId')}")
        self.history.metadata[CONTINUED_AS] = pick(given, "newExecutionRunId")

    def blame(self, failure: Json) -> None:
        """Mark the operation that a failed workflow names as the cause."""
        for _ in range(10):
            info = pick(failure, "activityFailureInfo", "childWorkflowExecutionFailureInfo", "nexusOperationExecutionFailureInfo")
            cause = self.by_event.get(str(pick(info, "scheduledEventId", "initiatedEventId")))
            if cause is not None and cause.status == "error":
                cause.recovered = False
            failure = pick(failure, "cause")

    # -- what it does: activities, children, timers

    def scheduled(self, given: Fields, event_id: str, at: int | None) -> None:
        name = text_of(pick(pick(given, "activityType", "workflowType"), "name")) or "activity"
        operation = Operation(name, started_ns=at, asked=self.payloads(pick(given, "input")))
        self.by_event[event_id] = self.history.add(operation)

    def child_initiated(self, given: Fields, event_id: str, at: int | None) -> None:
        self.scheduled(given, event_id, at)
        self.by_event[event_id].notes.append(f"{CHILD}{pick(given, 'workflowId')}")

    def nexus_scheduled(self, given: Fields, event_id: str, at: int | None) -> None:
        operation = Operation(text_of(pick(given, "operation")) or "operation", started_ns=at, asked=self.payloads(pick(given, "input")))
        operation.notes.append(f"Nexus operation of {pick(given, 'service')} at {pick(given, 'endpoint')}")
        self.by_event[event_id] = self.history.add(operation)

    def attempt_started(self, given: Fields, _: str, at: int | None) -> None:
        operation = self.of(given)
        operation.attempts = _number(pick(given, "attempt")) or 1
        if (last := pick(given, "lastFailure")) is not None:
            operation.notes.append(f"{FAILED_BEFORE}{self.failure(last)}")
        if at is not None and operation.started_ns is None:
            operation.started_ns = at

    def done(self, given: Fields, _: str, at: int | None) -> None:
        self.of(given).end(at, "ok", result=self.payloads(pick(given, "result")))

    def went_wrong(self, given: Fields, _: str, at: int | None) -> None:
        self.of(given).end(at, "error", failure=self.failure(pick(given, "failure") or pick(given, "cause") or {"message": "failed"}))

    def ran_out(self, given: Fields, _: str, at: int | None) -> None:
        kind = str(pick(pick(pick(given, "failure"), "timeoutFailureInfo"), "timeoutType") or "").removeprefix("TIMEOUT_TYPE_").lower().replace("_", "-")
        self.of(given).end(at, "error", failure=Failure(f"timed out ({kind})" if kind else "timed out", "Timeout"))

    def given_up(self, given: Fields, _: str, at: int | None) -> None:
        self.of(given).end(at, "cancelled")

    def timer_started(self, given: Fields, event_id: str, at: int | None) -> None:
        wait = Operation("timer", started_ns=at, asked={"timer_id": pick(given, "timerId"), "duration": pick(given, "startToFireTimeout")})
        self.by_event[event_id] = self.history.add(wait)

    def of(self, given: Fields) -> Operation:
        """The operation an event belongs to. ValueError where it was never scheduled."""
        return known(self.by_event, str(pick(given, "scheduledEventId", "initiatedEventId", "startedEventId")))

    # -- what comes from outside: signals and updates

    def signalled(self, given: Fields, _: str, at: int | None) -> None:
        self.history.add(answer(text_of(pick(given, "signalName")) or "signal", self.payloads(pick(given, "input")), at))

    def updated(self, given: Fields, event_id: str, at: int | None) -> None:
        request = pick(given, "acceptedRequest", "request")
        sent = pick(request, "input")
        update = self.history.add(answer(text_of(pick(sent, "name")) or "update", self.payloads(pick(sent, "args")), at))
        self.by_event[event_id] = self.by_update[str(pick(pick(request, "meta"), "updateId"))] = update

    def update_done(self, given: Fields, _: str, at: int | None) -> None:
        update = self.by_event.get(str(pick(given, "acceptedEventId"))) or self.by_update[str(pick(pick(given, "meta"), "updateId"))]
        outcome = pick(given, "outcome")
        if (failure := pick(outcome, "failure")) is not None:
            update.end(at, "error", failure=self.failure(failure))
        else:
            update.ended_ns = at
            update.notes.append("update completed")

    # -- values

    def payloads(self, value: Json) -> Json:
        """The payloads of a message: the only one as it is, several as a list, none as None. A Nexus operation has one, and no list around it."""
        held = pick(value, "payloads") or ([value] if isinstance(pick(value, "metadata"), dict) else value)
        items = held if isinstance(held, list) else []
        opened_ones = [self.payload(item) for item in items]
        return opened_ones[0] if len(opened_ones) == 1 else opened_ones or None

    def payload(self, item: Json) -> Json:
        """One payload, decoded where its encoding says how; what was decoded before it was exported is taken as it is."""
        if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
            return item
        encoding = _text(item["metadata"].get("encoding"))
        if encoding in READABLE and (text := _text(item.get("data"))) is not None:
            try:
                return parse_json(text) if encoding.startswith("json/") else text
            except ValueError:
                encoding = f"{encoding}, but the data is not"
        if encoding != NOTHING:
            self.closed[encoding or "not given"] += 1
        return None

    def failure(self, value: Json) -> Failure:
        """A failure by its innermost cause, which is what the activity raised."""
        for _ in range(10):
            inner = pick(value, "cause")
            if not isinstance(inner, dict):
                break
            value = inner
        kind = pick(pick(value, "applicationFailureInfo"), "type")
        message = pick(value, "message") if isinstance(value, dict) else value
        hidden = self.payload(pick(value, "encodedAttributes")) if message == "Encoded failure" else None
        return Failure(str(pick(hidden, "message") or message or ""), text_of(kind))


HANDLERS: dict[str, Callable[[_Reader, Fields, str, int | None], None]] = {
    "WORKFLOW_EXECUTION_STARTED": _Reader.started,
    "WORKFLOW_EXECUTION_COMPLETED": _Reader.completed,
    "WORKFLOW_EXECUTION_FAILED": _Reader.failed,
    "WORKFLOW_EXECUTION_TIMED_OUT": _Reader.timed_out,
    "WORKFLOW_EXECUTION_CANCELED": _Reader.cancelled,
    "WORKFLOW_EXECUTION_TERMINATED": _Reader.terminated,
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW": _Reader.continued,
    "WORKFLOW_EXECUTION_SIGNALED": _Reader.signalled,
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED": _Reader.updated,
    "WORKFLOW_EXECUTION_UPDATE_COMPLETED": _Reader.update_done,
    "ACTIVITY_TASK_SCHEDULED": _Reader.scheduled,
    "ACTIVITY_TASK_STARTED": _Reader.attempt_started,
    "ACTIVITY_TASK_COMPLETED": _Reader.done,
    "ACTIVITY_TASK_FAILED": _Reader.went_wrong,
    "ACTIVITY_TASK_TIMED_OUT": _Reader.ran_out,
    "ACTIVITY_TASK_CANCELED": _Reader.given_up,
    "TIMER_STARTED": _Reader.timer_started,
    "TIMER_FIRED": _Reader.done,
    "TIMER_CANCELED": _Reader.given_up,
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": _Reader.child_initiated,
    "START_CHILD_WORKFLOW_EXECUTION_FAILED": _Reader.went_wrong,
    "CHILD_WORKFLOW_EXECUTION_COMPLETED": _Reader.done,
    "CHILD_WORKFLOW_EXECUTION_FAILED": _Reader.went_wrong,
    "CHILD_WORKFLOW_EXECUTION_TIMED_OUT": _Reader.ran_out,
    "CHILD_WORKFLOW_EXECUTION_CANCELED": _Reader.given_up,
    "CHILD_WORKFLOW_EXECUTION_TERMINATED": _Reader.given_up,
    "NEXUS_OPERATION_SCHEDULED": _Reader.nexus_scheduled,
    "NEXUS_OPERATION_COMPLETED": _Reader.done,
    "NEXUS_OPERATION_FAILED": _Reader.went_wrong,
    "NEXUS_OPERATION_TIMED_OUT": _Reader.ran_out,
    "NEXUS_OPERATION_CANCELED": _Reader.given_up,
}


def _type(name: Json) -> str:
    """`ActivityTaskStarted` and `EVENT_TYPE_ACTIVITY_TASK_STARTED` as ACTIVITY_TASK_STARTED."""
    text = str(name).removeprefix("EVENT_TYPE_")
    return text if text.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).upper()


def _attributes(event: Fields) -> Fields:
    """What an event says beside its type, whichever key its type gives that."""
    for key, value in event.items():
        if isinstance(value, dict) and (key.endswith(("EventAttributes", "_event_attributes")) or key == "attributes"):
            return value
    return {}


def _number(value: Json) -> int | None:
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() and len(str(value)) < 10 else None  # noqa: PLR2004  # an attempt


def _text(value: Json) -> str | None:
    """Base64 as the text it encodes; None for what is no text."""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError, TypeError):
        return None


# ---- the tools a model asked for


def _find_tools(history: History) -> None:
    """Make tool calls of the activities that ran what the model asked for, and add those that ran inside the workflow."""
    models = [operation for operation in history.operations if operation.kind == "model"]
    taken: set[int] = set()
    for number, asking in enumerate(models):
        for call in asking.output.tool_calls if asking.output else ():
            activity = _activity(history, asking, call, taken)
            if activity is not None:
                taken.add(id(activity))
                activity.kind, activity.call_id = "tool", call.call_id
                activity.name, activity.asked = call.name, call.arguments if call.arguments is not None else activity.asked
            elif (inside := _inside_workflow(asking, call, models[number + 1 :])) is not None:
                history.operations.insert(_place(history, asking), inside)


def _activity(history: History, asking: Operation, call: ToolCall, taken: set[int]) -> Operation | None:
    """The first activity after the answer that bears the tool's name, or whose input does where a toolset has one activity for all."""
    start = history.operations.index(asking) + 1
    free = [one for one in history.operations[start:] if one.kind == "node" and id(one) not in taken]
    return next((one for one in free if one.name == call.name or (one.name.endswith("call_tool") and call.name in _names(one.asked))), None)


def _names(asked: Json) -> set[str]:
    """The tool names that the input of a toolset's activity gives."""
    items = asked if isinstance(asked, list) else [asked]
    return {str(item[key]) for item in items if isinstance(item, dict) for key in ("name", "tool_name") if key in item}


def _inside_workflow(asking: Operation, call: ToolCall, later: list[Operation]) -> Operation | None:
    """A call that no activity ran, as a later request shows that it was answered; None where none does: then it never ran."""
    before = len(_answers(asking, call))
    for number, model in enumerate(later):
        answers = _answers(model, call)[before:]
        if answers:
            tool = Operation(call.name, "tool", asking.ended_ns, model.started_ns, "ok", asked=call.arguments, call_id=call.call_id)
            tool.result = opened(answers[0].content)
            if asking.exchange is not None and call.name in asking.exchange.handoffs:
                tool.notes.append(HANDOFF)
            elif number:
                tool.notes.append(RAN_AGENT)
            else:
                tool.notes.append("ran inside the workflow, without an activity")
            return tool
    return None


def _answers(model: Operation, call: ToolCall) -> list[Message]:
    messages = model.exchange.messages if model.exchange else ()
    return [message for message in messages if message.role == "tool" and message.tool_call_id == call.call_id]


def _place(history: History, asking: Operation) -> int:
    """The place after a model call and the tools that already stand there."""
    place = history.operations.index(asking) + 1
    while place < len(history.operations) and history.operations[place].kind == "tool" and history.operations[place].started_ns == asking.ended_ns:
        place += 1
    return place


# ---- examples


def _payload(value: Json) -> Fields:
    encoded = base64.b64encode(json.dumps(value).encode()).decode()
    return {"payloads": [{"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": encoded}]}


def _event(number: int, kind: str, **attributes: Json) -> Fields:
    words = kind.lower().split("_")
    key = words[0] + "".join(word.title() for word in words[1:]) + "EventAttributes"
    return {"eventId": str(number), "eventTime": f"2026-03-01T09:00:{number:02}.5Z", "eventType": f"EVENT_TYPE_{kind}", key: attributes}


_RUN = {"workflowId": "booking-1", "originalExecutionRunId": "0197c192-e1ea-72ee-9435-c3625ba774b3", "workflowType": {"name": "Booking"}}
_BOOKING = [
    _event(1, "WORKFLOW_EXECUTION_STARTED", **_RUN, input=_payload("NH 11")),
    _event(2, "ACTIVITY_TASK_SCHEDULED", activityType={"name": "book_flight"}, input=_payload({"flight": "NH 11"})),
    _event(3, "ACTIVITY_TASK_STARTED", scheduledEventId="2", attempt=3, lastFailure={"message": "503"}),
    _event(4, "ACTIVITY_TASK_COMPLETED", scheduledEventId="2", result=_payload("booked")),
    _event(5, "TIMER_STARTED", timerId="5", startToFireTimeout="60s"),
    _event(6, "WORKFLOW_EXECUTION_SIGNALED", signalName="approve", input=_payload({"approved": True})),
    _event(7, "TIMER_CANCELED", startedEventId="5"),
    _event(8, "WORKFLOW_EXECUTION_COMPLETED", result=_payload("done")),
]
EXAMPLES = (
    Example("history.json", json.dumps({"events": _BOOKING}).encode(), {"Run": 1}),
    Example(
        "old-names.json", re.sub(r"EVENT_TYPE_\w+", lambda name: name[0][11:].title().replace("_", ""), json.dumps({"events": _BOOKING})).encode(), {"Run": 1}
    ),
    Example("events.json", json.dumps(_BOOKING, indent=1).encode(), {"Run": 1}),
    Example("broken-event.json", json.dumps({"events": [*_BOOKING[:4], 5, _event(9, "TIMER_FIRED", startedEventId="77")]}).encode(), {"Run": 1, "Skip": 2}),
    Example("encrypted.json", json.dumps({"events": _BOOKING}).replace("anNvbi9wbGFpbg==", "YmluYXJ5L2VuY3J5cHRlZA==").encode(), {"Run": 1, "Skip": 1}),
)
