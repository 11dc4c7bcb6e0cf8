"""AWS Step Functions execution histories, as `GetExecutionHistory` gives them (`aws stepfunctions get-execution-history`).

Events form a tree by `previousEventId`: the items of a map and the branches of a parallel state interleave. Each state that was entered is a step;
its task's attempts are counted by what was scheduled, and a failure that a Catch took up is one the run recovered from. A task that waits for a
token (`.waitForTaskToken`) is a person's step. Inputs and outputs are JSON text, which may be cut off or left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from workbench.model import Json, Record, Status
from workbench.plugins import Example
from workbench.reading.exchanges import opened
from workbench.reading.histories import Failure, Fields, History, Operation, Where, moment, read_histories, text_of
from workbench.source import Source

TASK = re.compile(r"(?:Task|Activity|LambdaFunction)(Scheduled|Started|Submitted|Succeeded|Failed|TimedOut|StartFailed|ScheduleFailed|SubmitFailed)")
CONTAINER = re.compile(r"(?:Map|Parallel)(?:State|Iteration|Run)(Started|Succeeded|Failed|Aborted|Redriven)")
ENDS: dict[str, Status] = {
    "ExecutionSucceeded": "ok",
    "ExecutionFailed": "error",
    "ExecutionTimedOut": "error",
    "ExecutionAborted": "cancelled",
}
CALLBACK = ".waitForTaskToken"


def accepts(source: Source) -> bool:
    """Whether the file begins with events that name the event before them."""
    return source.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["} and b'"previousEventId"' in source.head and b'"type"' in source.head


def collect(source: Source) -> Iterable[Record]:
    """A Run for each history, and a Skip for what is none. SourceError when the file as a whole can't be read."""
    return read_histories(source, _is_history, _tell, is_event=_is_event)


def _is_event(value: Json) -> bool:
    return isinstance(value, dict) and "previousEventId" in value and isinstance(value.get("type"), str)


def _is_history(value: Json) -> bool:
    events = value.get("events") if isinstance(value, dict) else value
    return isinstance(events, list) and any(_is_event(event) for event in events[:3])


def _tell(history: Json, where: Where) -> Iterator[Record]:
    events = history["events"] if isinstance(history, dict) else history
    events = sorted(events, key=_number) if all(isinstance(event, dict) and isinstance(event.get("id"), int) for event in events) else events
    reader = _Reader(History("Step Functions", str(where)))
    yield from reader.history.take(events, reader.follow)
    arn = text_of(history.get("executionArn")) if isinstance(history, dict) else None
    reader.history.run_id = arn or where.name(events[0])
    if arn:
        reader.history.name = arn.split(":")[-2] if arn.count(":") > 1 else None
    yield reader.history.run()


def _number(event: Fields) -> int:
    return int(event["id"])


@dataclass
class _Reader:
    """Follows the events of one execution. Of each event it keeps the state it belongs to, and the state whose inside comes next."""

    history: History
    owner: dict[Json, Operation | None] = field(default_factory=dict)
    inside: dict[Json, Operation | None] = field(default_factory=dict)

    def follow(self, event: Fields) -> None:
        """Take one event."""
        kind, at, before = event["type"], moment(event.get("timestamp")), event.get("previousEventId")
        given = next((value for key, value in event.items() if key.endswith("EventDetails") and isinstance(value, dict)), {})
        state, outer = self.owner.get(before), self.inside.get(before)
        if kind.endswith("StateEntered"):
            state = outer = self.entered(kind, given, at, outer)
        elif kind.endswith("StateExited"):
            state = _named(state, given)
            outer = self.exited(state, given, at)
        elif container := CONTAINER.fullmatch(kind):
            state = outer = self.container(container[1], _container(state, given), given, at)
        elif (task := TASK.fullmatch(kind)) and state is not None:
            self.task(task[1], state, given, at)
        elif kind == "EvaluationFailed" and state is not None:
            state.end(at, "error", failure=_failure(given))
        else:
            self.execution(kind, given, at, state)
        self.owner[event["id"]], self.inside[event["id"]] = state, outer

    def execution(self, kind: str, given: Fields, at: int | None, state: Operation | None) -> None:
        """Take an event of the whole execution."""
        history = self.history
        if kind == "ExecutionStarted":
            history.started_ns = at
            machine = text_of(given.get("stateMachineAliasArn")) or text_of(given.get("stateMachineVersionArn"))
            history.name = machine.partition(":stateMachine:")[2].partition(":")[0] if machine else None
            history.metadata["input"] = opened(given.get("input"))
        elif kind == "ExecutionRedriven":
            history.status, history.failure = "running", None
            history.notes.append("redriven: run again from the state that failed")
        elif kind in ENDS:
            failure = _failure(given) if ENDS[kind] == "error" else None
            if failure and kind == "ExecutionTimedOut" and failure.kind is None:
                failure = Failure("the execution timed out", "States.Timeout")
            if failure and state is not None and "Fail state" in state.notes:
                state.end(at, "error", failure=failure)
            history.end(at, ENDS[kind], result=opened(given.get("output")), failure=failure)

    def entered(self, kind: str, given: Fields, at: int | None, outer: Operation | None) -> Operation:
        name = str(given.get("name") or kind.removesuffix("StateEntered"))
        state = Operation(name, started_ns=at, asked=opened(given.get("input")), parent=outer)
        if (sort := kind.removesuffix("StateEntered")) != "Task":
            state.notes.append("timer" if sort == "Wait" else f"{sort} state")
        return self.history.add(state)

    def exited(self, state: Operation, given: Fields, at: int | None) -> Operation | None:
        """End a state. What failed in it was caught, since it went on. Returns the state that it stands in."""
        if state.status == "error":
            state.recovered, state.ended_ns = True, at
        else:
            state.end(at, "ok", result=opened(given.get("output")) if state.result is None else None)
        return state.parent

    def container(self, what: str, state: Operation | None, given: Fields, at: int | None) -> Operation | None:
        if state is not None and what == "Failed" and state.name == given.get("name", state.name):
            state.end(at, "error", failure=_failure(given) if given.get("error") else None)
        return state

    def task(self, what: str, state: Operation, given: Fields, at: int | None) -> None:
        if what == "Scheduled":
            state.try_again()
            state.asked = opened(next((given[key] for key in ("parameters", "input") if key in given), state.asked))
            resource = ":".join(str(given[key]) for key in ("resourceType", "resource") if key in given)
            if resource and resource not in state.notes:
                state.notes.append(resource)
            if CALLBACK in resource:
                state.kind, state.waits_for = "human", state.name
        elif what == "Succeeded":
            state.end(at, "ok", result=opened(given.get("output")))
        elif what not in {"Started", "Submitted"}:
            state.attempts = state.attempts or 1
            state.end(
                at, "error", failure=_failure(given) if given.get("error") or given.get("cause") else Failure("timed out" if what == "TimedOut" else "failed")
            )


def _named(state: Operation | None, given: Fields) -> Operation:
    """The state an event ends: that of the event before it, or one that this stands in. ValueError where none has the name."""
    while state is not None and state.name != given.get("name", state.name):
        state = state.parent
    if state is None:
        raise ValueError(f"it leaves the state {given.get('name')!r}, which was not entered")
    return state


def _container(state: Operation | None, given: Fields) -> Operation | None:
    """The map or parallel state an event speaks of."""
    while state is not None and not (state.notes and state.notes[0] in {"Map state", "Parallel state"} and state.name == given.get("name", state.name)):
        state = state.parent
    return state


def _failure(given: Fields) -> Failure:
    """An error with its cause, which may be the JSON of an exception."""
    cause = opened(given.get("cause"))
    message = cause.get("errorMessage") or cause.get("Cause") if isinstance(cause, dict) else None
    return Failure(str(message or given.get("cause") or ""), text_of(given.get("error")))


# ---- examples


def _event(number: int, kind: str, details: str = "", **given: Json) -> Fields:
    event = {"id": number, "previousEventId": number - 1, "type": kind, "timestamp": f"2026-03-01T09:00:{number:02}+00:00"}
    return event | ({f"{details}EventDetails": given} if details else {})


_SERVICE = {"resourceType": "lambda", "resource": "invoke"}
_BOOKING = [
    _event(1, "ExecutionStarted", "executionStarted", input='{"flight": "NH 11"}'),
    _event(2, "TaskStateEntered", "stateEntered", name="Book", input='{"flight": "NH 11"}'),
    _event(3, "TaskScheduled", "taskScheduled", **_SERVICE, parameters='{"FunctionName": "book"}'),
    _event(4, "TaskFailed", "taskFailed", **_SERVICE, error="TooBusy", cause="try later"),
    _event(5, "TaskScheduled", "taskScheduled", **_SERVICE, parameters='{"FunctionName": "book"}'),
    _event(6, "TaskSucceeded", "taskSucceeded", **_SERVICE, output='"booked"'),
    _event(7, "TaskStateExited", "stateExited", name="Book", output='"booked"'),
    _event(8, "ExecutionSucceeded", "executionSucceeded", output='"booked"'),
]
EXAMPLES = (
    Example("history.json", json.dumps({"events": _BOOKING}).encode(), {"Run": 1}),
    Example("backwards.json", json.dumps(_BOOKING[::-1], indent=1).encode(), {"Run": 1}),
    Example(
        "broken-event.json",
        json.dumps({"events": [*_BOOKING[:3], None, _event(9, "TaskStateExited", "stateExited", name="Pay")]}).encode(),
        {"Run": 1, "Skip": 2},
    ),
)
