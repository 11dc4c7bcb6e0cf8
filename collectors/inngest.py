"""Inngest run histories: the history items of a run, its trace tree from the API, or the rows of spans that the server keeps.

History items are told by `groupID` and a type such as `StepCompleted`; a trace by `childrenSpans`; rows by attributes such as `_inngest.run.id` and
`_inngest.step.op`, where several rows with one `dynamic_span_id` are one span. A step is one step however often it was attempted. Waiting for an event
or a signal is a person's step.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from workbench.model import Json, Record, Status
from workbench.plugins import Example
from workbench.reading.documents import parse_json
from workbench.reading.exchanges import opened
from workbench.reading.histories import Failure, Fields, History, Operation, Where, moment, pick, read_histories, text_of
from workbench.reading.messages import count_of
from workbench.source import Source

ITEM = re.compile(rb'"type"\s*:\s*"(Function|Step)(Scheduled|Started|Completed|Errored|Failed|Cancelled|Sleeping|Waiting|Invoking|StatusUpdated)"')
STATUSES: dict[str, Status] = {
    **dict.fromkeys(("completed", "succeeded", "ok", "skipped"), "ok"),
    **dict.fromkeys(("failed", "errored", "error"), "error"),
    **dict.fromkeys(("cancelled", "canceled"), "cancelled"),
    **dict.fromkeys(("timedout", "timed_out"), "ok"),
}
WAITS = frozenset({"WAITFOREVENT", "WAITFORSIGNAL"})
UNNAMED = "step"
"""What history items call a step before its name is known."""
PREFIX = "_inngest."
ENGINE_ONLY = frozenset({"STEPPLANNED", "DISCOVERY", "RUNCOMPLETE", "NONE", ""})


def accepts(source: Source) -> bool:
    """Whether the file begins with history items, a trace tree or rows of spans of Inngest's."""
    head = source.head
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in {b"{", b"["} or b'"resourceSpans"' in head or b'"scopeSpans"' in head:
        return False
    return (b'"groupID"' in head and bool(ITEM.search(head))) or b'"isUserland"' in head or b"_inngest.run.id" in head or b"_inngest.step." in head


def collect(source: Source) -> Iterable[Record]:
    """A Run for each run, and a Skip for what is none. SourceError when the file as a whole can't be read."""
    return read_histories(source, _is_history, _tell, is_event=lambda value: _is_item(value) or _is_row(value))


def _is_item(value: Json) -> bool:
    return isinstance(value, dict) and "groupID" in value and isinstance(value.get("type"), str)


def _is_row(value: Json) -> bool:
    return isinstance(value, dict) and any(str(key).startswith(PREFIX) for key in _attributes(value))


def _is_trace(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("trace"), dict) and "childrenSpans" in value["trace"]


def _is_history(value: Json) -> bool:
    listed = isinstance(value, list) and any(_is_item(item) or _is_row(item) for item in value[:50])
    return listed or _is_trace(value) or (isinstance(value, dict) and isinstance(value.get("history"), list) and _is_history(value["history"]))


def _tell(value: Json, where: Where) -> Iterator[Record]:
    if _is_trace(value):
        yield from _from_trace(value, where)
    elif isinstance(value, dict):
        yield from _from_items(value["history"], value, where)
    elif any(_is_item(item) for item in value[:50]):
        yield from _from_items(value, {}, where)
    else:
        yield from _from_rows(value, where)


def _status(value: Json) -> Status:
    return STATUSES.get(str(value or "").lower(), "running")


# ---- history items


def _from_items(items: list[Json], run: Fields, where: Where) -> Iterator[Record]:
    reader = _Items(History("Inngest", str(where)))
    yield from reader.history.take(items, reader.follow)
    history = reader.history
    history.run_id = text_of(pick(run, "id", "runID")) or history.run_id or where.name(items[0])
    history.name = history.name or text_of(pick(run, "functionName", "name") or pick(pick(run, "function"), "slug", "name"))
    if history.status == "running" and (status := _status(pick(run, "status"))) != "running":
        history.end(moment(pick(run, "endedAt", "finishedAt")), status)
    history.operations = [one for one in history.operations if one.name != UNNAMED or one.status != "ok"]
    yield history.run()


@dataclass
class _Items:
    """Follows history items. A group is a step with all its attempts."""

    history: History
    groups: dict[str, Operation] = field(default_factory=dict)

    def follow(self, item: Fields) -> None:
        """Take one item."""
        kind, at = str(item["type"]), moment(pick(item, "createdAt"))
        self.history.run_id = self.history.run_id or text_of(pick(item, "runID", "runId")) or ""
        if kind.startswith("Function"):
            self.function(kind.removeprefix("Function"), item, at)
        elif kind.startswith("Step"):
            self.step(kind.removeprefix("Step"), item, at)

    def function(self, what: str, item: Fields, at: int | None) -> None:
        if what in {"Scheduled", "Started"}:
            self.history.started_ns = self.history.started_ns if self.history.started_ns is not None else at
        elif (status := _status(what)) != "running":
            _, failure = _output(item.get("result"))
            self.history.end(at, status, failure=(failure or Failure("")) if status == "error" else None)

    def step(self, what: str, item: Fields, at: int | None) -> None:
        group = str(item["groupID"])
        operation = self.groups.get(group)
        if operation is None:
            operation = self.groups[group] = self.history.add(Operation(UNNAMED, started_ns=at))
        named = text_of(item.get("stepName"))
        operation.name = operation.name if named in {None, UNNAMED} else str(named)
        if what in {"Sleeping", "Waiting", "Invoking"}:
            _wait(operation, what, item)
            return
        if operation.kind == "node":
            operation.attempts = max(operation.attempts or 1, (count_of(item.get("attempt")) or 0) + 1)
        if what == "Errored":  # it will be tried again; the last attempt is told as failed
            operation.end(at, "running")
        elif (status := _status(what)) != "running":
            value, failure = _output(item.get("result"))
            operation.end(at, status, result=value, failure=(failure or Failure("failed")) if status == "error" else None)
        if (answered := item.get("waitResult")) is not None:
            operation.notes += ["timed out"] if pick(answered, "timeout") else [f"event {pick(answered, 'eventID')}"]


def _wait(operation: Operation, what: str, item: Fields) -> None:
    """Make a wait of a step: for a time, an event or another function."""
    operation.attempts = None
    if what == "Sleeping":
        operation.name, operation.asked = "timer", item.get("sleep")
    elif what == "Waiting":
        event = pick(item.get("waitForEvent") or item.get("waitForSignal"), "eventName", "signal") or operation.name
        operation.kind, operation.waits_for, operation.asked = "human", str(event), item.get("waitForEvent") or item.get("waitForSignal")
    else:
        operation.asked = item.get("invokeFunction")
        operation.notes.append("invokes a function")


def _output(value: Json) -> tuple[Json, Failure | None]:
    """A step's output out of `{"data": …}` or `{"error": …}`; what has neither is the output itself."""
    value = opened(opened(pick(value, "output")) or value)
    if isinstance(value, dict) and (error := value.get("error")) is not None:
        return None, Failure(str(pick(error, "message") or error), text_of(pick(error, "name")))
    if isinstance(value, dict) and "durationMS" in value:
        return None, None
    return (value["data"], None) if isinstance(value, dict) and "data" in value else (value, None)


# ---- trace trees


def _from_trace(run: Fields, where: Where) -> Iterator[Record]:
    root = run["trace"]
    history = History("Inngest", str(where), text_of(pick(run, "id", "runID")) or _id_in(root) or where.name(root))
    history.name = text_of(pick(pick(run, "function"), "slug", "name")) or text_of(root.get("name"))
    history.started_ns = moment(pick(root, "startedAt", "queuedAt"))
    reader = _Spans(history)
    yield from history.take(root["childrenSpans"], reader.tree)
    status = _status(pick(run, "status") or root.get("status"))
    history.end(moment(root.get("endedAt")) if status != "running" else None, status, failure=Failure("") if status == "error" else None)
    yield history.run()


def _id_in(span: Fields) -> str | None:
    """The run's id, which the reference to a span's output carries."""
    try:
        return text_of(pick(parse_json(base64.b64decode(str(span.get("outputID")), validate=True)), "rid"))
    except (binascii.Error, ValueError):
        return None


@dataclass
class _Spans:
    """Joins the spans of a run by step: one for each attempt, and one around them."""

    history: History
    steps: dict[str, Operation] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)

    def tree(self, span: Fields) -> None:
        """Take a span of a trace tree."""
        identity = text_of(span.get("stepID"))
        if identity is None:
            return
        info = span.get("stepInfo") or {}
        waits_for = text_of(pick(info, "eventName", "signal"))
        value, failure = _output(span.get("output"))
        moments = moment(pick(span, "startedAt", "queuedAt")), moment(span.get("endedAt"))
        operation = self.step(identity, str(span.get("name")), str(span.get("stepOp") or ""), waits_for, count_of(span.get("attempts")) or 0, moments)
        self.outcome(identity, operation, str(span.get("status")), value, failure, moments)
        if pick(info, "timedOut"):
            operation.notes.append("timed out")

    def step(self, identity: str, name: str, op: str, waits_for: str | None, attempt: int, moments: tuple[int | None, int | None]) -> Operation:
        """The operation of a step, which is new or has one attempt more."""
        operation = self.steps.get(identity)
        if operation is None:
            operation = self.steps[identity] = self.history.add(Operation(name, started_ns=moments[0]))
        sort = op.replace("_", "").upper()
        if sort in WAITS:
            operation.kind, operation.waits_for = "human", waits_for or name
        elif sort in {"SLEEP", "SLEEPUNTIL"}:
            operation.name = "timer"
        else:
            operation.attempts = max(operation.attempts or 1, attempt + 1)
        return operation

    def outcome(self, identity: str, operation: Operation, status: str, value: Json, failure: Failure | None, moments: tuple[int | None, int | None]) -> None:
        """Take how a span ended, unless a later one is known."""
        ended = moments[1] or 0
        if ended >= self.latest.get(identity, 0):
            self.latest[identity] = ended
            found = _status(status)
            operation.end(moments[1], found, result=value, failure=(failure or Failure("failed")) if found == "error" else None)
            if status.lower().replace("_", "") == "timedout":
                operation.notes.append("timed out")


# ---- rows of spans


def _attributes(row: Fields) -> Fields:
    """A row's attributes: an object, the text of one, or the row itself where they stand flat in it."""
    held = opened(row.get("attributes"))
    return held if isinstance(held, dict) else row


def _from_rows(rows: list[Json], where: Where) -> Iterator[Record]:
    """A run for each run id among the rows."""
    runs: dict[str, list[Json]] = {}
    last = ""
    for row in rows:
        fields = row if isinstance(row, dict) else {}
        last = text_of(pick(fields, "runId", "runID")) or text_of(_attributes(fields).get(f"{PREFIX}run.id")) or last
        runs.setdefault(last, []).append(row)
    for identity, mine in runs.items():
        reader = _Rows(History("Inngest", str(where), identity or where.name(mine[0])))
        yield from reader.history.take(mine, reader.merge)
        yield from reader.history.take(list(reader.merged.values()), reader.follow)
        reader.finish()
        yield reader.history.run()


@dataclass
class _Rows:
    """Joins the rows of a run: those of one dynamic span first, then the spans of one step."""

    history: History
    merged: dict[str, Fields] = field(default_factory=dict)
    root: Fields = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spans = _Spans(self.history)

    def merge(self, row: Fields) -> None:
        """Join a row with those of its span before it: later ones add attributes and its end."""
        attributes = {key.removeprefix(PREFIX): value for key, value in _attributes(row).items()}
        identity = text_of(pick(row, "dynamicSpanId", "dynamicSpanID") or attributes.get("dynamic.span.id") or pick(row, "spanId", "spanID")) or str(
            len(self.merged)
        )
        known = self.merged.setdefault(identity, {"name": "", "start": None})
        name = str(row.get("name") or "")
        known["name"] = name if name and name != "EXTEND" else known["name"]
        known["start"] = known["start"] or moment(pick(row, "startTime", "startedAt"))
        known["end"] = moment(pick(row, "endTime", "endedAt")) or known.get("end")
        known |= {key: value for key, value in attributes.items() if value is not None and key not in {"name", "start", "end"}}
        known |= {key: row[key] for key in ("input", "output") if row.get(key) is not None}

    def follow(self, span: Fields) -> None:
        """Take a joined span: the run's own, or one of a step."""
        if span["name"] == "executor.run":
            self.root = span
        identity = text_of(span.get("step.id")) or text_of(span.get("step.userland.id")) or text_of(span.get("step.name"))
        op = str(span.get("step.op") or "")
        if identity is None or op.replace("_", "").upper() in ENGINE_ONLY or span["name"] == "executor.run":
            return
        waits_for = text_of(span.get("step.wait_for_event.name")) or text_of(span.get("step.signal.name"))
        moments = moment(_milliseconds(span.get("started_at"))) or span["start"], moment(_milliseconds(span.get("ended_at"))) or span.get("end")
        value, failure = _output(span.get("step.output", span.get("output")))
        operation = self.spans.step(identity, text_of(span.get("step.name")) or identity, op, waits_for, count_of(span.get("step.attempt")) or 0, moments)
        operation.asked = operation.asked if operation.asked is not None else opened(span.get("step.input", span.get("input")))
        status = "failed" if op.replace("_", "").upper() in {"STEPFAILED", "STEPERROR"} else str(span.get("dynamic.status") or "")
        self.spans.outcome(identity, operation, status, value, failure, moments)
        if span.get("step.wait.expired") in (True, "true"):
            operation.notes.append("timed out")

    def finish(self) -> None:
        """Take how the run ended from its own span."""
        root, history = self.root, self.history
        history.name = text_of(root.get("function.slug")) or text_of(root.get("function.id")) or root.get("name")
        times = [span["start"] for span in self.merged.values() if span["start"] is not None]
        history.started_ns = moment(_milliseconds(root.get("started_at"))) or root.get("start") or min(times, default=None)
        status = _status(root.get("dynamic.status"))
        value, failure = _output(root.get("step.output", root.get("output")))
        ended = moment(_milliseconds(root.get("ended_at"))) or root.get("end")
        history.end(ended if status != "running" else None, status, result=value, failure=(failure or Failure("")) if status == "error" else None)


def _milliseconds(value: Json) -> Json:
    """A time in milliseconds, which may be text, as a number."""
    return count_of(value) if count_of(value) is not None else value


# ---- examples


def _item(number: int, kind: str, group: str, *, attempt: int = 0, step: str | None = None, **more: Json) -> Fields:
    created = f"2026-03-01T09:00:{number:02}.560641-04:00"
    return {"attempt": attempt, "createdAt": created, "groupID": group, "id": f"01{number}", "type": kind, "stepName": step, **more}


_ITEMS = [
    _item(1, "FunctionStarted", "a"),
    _item(2, "StepStarted", "a", step="step"),
    _item(3, "StepErrored", "a", step="step"),
    _item(4, "StepStarted", "a", attempt=1, step="step"),
    _item(5, "StepCompleted", "a", attempt=1, step="book"),
    _item(6, "StepWaiting", "b", step="approval", waitForEvent={"eventName": "booking/approved", "timeout": "2026-03-02T09:00:00Z"}),
    _item(7, "StepCompleted", "b", step="approval", waitResult={"eventID": "01E", "timeout": False}),
    _item(8, "FunctionCompleted", "c"),
]
_TRACE = {
    "run": {
        "id": "01RUN",
        "status": "COMPLETED",
        "trace": {
            "name": "Run",
            "isUserland": False,
            "childrenSpans": [{"name": "book", "status": "COMPLETED", "attempts": 1, "stepID": "s1", "stepOp": "RUN", "childrenSpans": []}],
        },
    }
}


def _row(name: str, dynamic: str, **attributes: Json) -> Fields:
    held = {f"{PREFIX}{key.replace('__', '.')}": value for key, value in attributes.items()}
    return {"run_id": "01ROW", "name": name, "dynamic_span_id": dynamic, "start_time": "2026-03-01T09:00:00Z", "attributes": json.dumps(held)}


_ROWS = [
    _row("executor.run", "r", run__id="01ROW", dynamic__status="Running"),
    _row("executor.step", "s", run__id="01ROW", step__id="1", step__name="book", step__op="StepRun", step__attempt=0, dynamic__status="Errored"),
    _row("executor.step", "t", run__id="01ROW", step__id="1", step__name="book", step__op="StepRun", step__attempt=1, dynamic__status="Completed"),
    _row("EXTEND", "r", dynamic__status="Completed"),
]
EXAMPLES = (
    Example("history.json", json.dumps(_ITEMS).encode(), {"Run": 1}),
    Example("trace.json", json.dumps(_TRACE).encode(), {"Run": 1}),
    Example("spans.json", json.dumps(_ROWS, indent=1).encode(), {"Run": 1}),
    Example("broken-item.json", json.dumps([*_ITEMS[:4], 5, {"type": "StepFailed", "id": "01"}]).encode(), {"Run": 1, "Skip": 2}),
)
