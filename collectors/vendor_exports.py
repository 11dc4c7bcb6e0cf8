"""Spans as rows of a vendor's own export, which no OpenTelemetry tool has named: one object a span, its fields beside its ids and times.

Datadog's LLM Observability, W&B Weave's calls, Comet Opik, Braintrust's logs, OpenAI Agents' own traces, Application Insights' dependencies, Honeycomb's and
New Relic's flat events, Elastic APM's documents, AWS X-Ray's segments: they differ in how ids, times and parents are called, and that is all this reads. Every
other field becomes an attribute under its own name, what stands in `attributes`, `customDimensions`, `labels` and the like under theirs, and what it means
is told by the conventions or by its words. Ids may be any text; a span within a span (`subsegments`, `children`) has it for a parent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from workbench.model import Json, Record, Span
from workbench.plugins import Example
from workbench.reading.span_objects import read_items, rows_of
from workbench.reading.spans import (
    MS,
    OF_TRACE,
    SECOND_NS,
    SPAN_DIGITS,
    TRACE_DIGITS,
    US,
    Fields,
    Said,
    State,
    any_time,
    decoded_once,
    made_id,
    span_of,
    text_of,
)
from workbench.source import Source

LISTS = ("data", "spans", "calls", "items", "results", "value", "hits")
PLACES = frozenset(
    {"", "[]", "data.attributes.spans[]", "[].spans[]", "hits.hits[]._source", "hits[]._source", "[]._source", "_source", *(f"{name}[]" for name in LISTS)}
)
ENVELOPES = ("data.attributes", "data", "hits")
"""Datadog's and Elasticsearch's."""
TRACES = ("trace_id", "traceId", "root_span_id", "operation_Id", "trace.trace_id", "trace.id", "trace")
IDS = ("span_id", "spanId", "trace.span_id", "span.id", "guid", "transaction.id", "id", "span", "transaction")
STARTS = ("start_ns", "started_at", "startedAt", "start_time", "startTime", "@timestamp", "timestamp", "Timestamp", "metrics.start", "created_at", "created")
ENDS = ("ended_at", "endedAt", "end_time", "endTime", "end_ns", "metrics.end")
PARENTS = ("parent_id", "parent_span_id", "parentSpanId", "parentId", "operation_ParentId", "trace.parent_id", "parent.id", "span_parents.0", "parent_call_id")
NAMES = ("display_name", "name", "span_data.name", "span_attributes.name", "span.name", "transaction.name", "op_name", "span_data.type")
DURATIONS = {
    "duration_ns": 1,
    "span.duration.us": US,
    "transaction.duration.us": US,
    "duration_ms": MS,
    "durationMs": MS,
    "duration.ms": MS,
    "latency_ms": MS,
    "duration": MS,
}
"""How long, and in which unit; `duration` stands in nanoseconds beside `start_ns`."""
ERRORS = ("exception", "error.message", "error_info.message", "error_info.traceback", "error", "fault", "meta.error.message", "cause.message")
TRACEBACK = "Traceback (most recent call last)"
FAILED = ("status", "event.outcome", "success", "state")
HOISTED = ("attributes", "customDimensions", "labels", "numeric_labels", "annotations")
"""Objects whose fields are the span's attributes."""
CHILDREN = ("subsegments", "children", "child_spans")
TAKEN = frozenset({*TRACES[:6], *IDS[:7], *STARTS[:10], *ENDS[:5], *PARENTS[:8], *HOISTED, *CHILDREN, "duration_ns"})
WEAVE = "weave:///"
NO_PARENT = frozenset({"undefined", "0", "null", "None"})
MARKS = frozenset(
    {"start_ns", "op_name", "span_data", "span_attributes", "operation_Id", "trace.trace_id", "trace.id", "@timestamp", "guid", "subsegments", "error_info"}
) | {"total_estimated_cost"}
OF_AGENTS = frozenset({"object", "id", "workflow_name", "group_id"})
"""What a whole trace of OpenAI Agents' has."""
OTHERS = frozenset({"run_type", "dotted_order", "observations", "projectId", "resource", "resource_spans", "kind"})
"""Fields of exports that have readers of their own."""


def accepts(source: Source) -> bool:
    """Whether the file begins with a row that has ids of a trace and its own, a start and a field that only one of these vendors has, or an Agents' trace."""
    keys = [{key for at, key in source.outline if at == place} for place in PLACES]
    return any(
        known >= OF_AGENTS or (known & {*TRACES} and known & {*IDS} and known & {*STARTS, "metrics"} and known & MARKS and not known & OTHERS) for known in keys
    )


def collect(source: Source) -> Iterable[Record]:
    """The rows of a file as spans, and what had to be skipped. SourceError when the file as a whole can't be read."""
    return read_items(source, _items, _span, "a row with ids of a trace and a span, or a list of rows")


def _items(document: Json) -> Iterator[Json]:
    """Each row, and after it those nested in it; a document is of bounded depth."""
    rows = [row["_source"] if isinstance(row, dict) and isinstance(row.get("_source"), dict) else row for row in _rows(document)]
    waiting = rows[::-1]
    while waiting:
        row = waiting.pop()
        yield row
        waiting.extend(reversed(list(_below(row))))


def _is_trace(row: Json) -> bool:
    """Whether a row is a whole trace of OpenAI Agents': it has no times, and says what it is called and which conversation it belongs to."""
    return isinstance(row, dict) and row.get("object") == "trace"


def _rows(document: Json) -> list[Json]:
    if isinstance(document, dict):
        within = next((inner for path in ENVELOPES if isinstance(inner := _at(document, path), dict)), document)
        return rows_of(within, *LISTS)
    batches = [
        item["spans"] if isinstance(item, dict) and isinstance(item.get("spans"), list) else [item] for item in rows_of(document)
    ]  # Datadog's agent posts such
    return [row for batch in batches for row in batch]


def _below(row: Json) -> Iterator[Json]:
    for key in CHILDREN if isinstance(row, dict) else ():
        for child in row[key] if isinstance(row.get(key), list) else ():
            yield {"trace_id": _first(row, TRACES), "parent_id": _first(row, IDS), **child} if isinstance(child, dict) else child


def _at(row: Fields, path: str) -> Json:
    """The value of a field, whether it is called so or stands at that path."""
    if path in row:
        return row[path]
    value: Json = row
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) and part.isdecimal() and int(part) < len(value) else value
        value = value.get(part) if isinstance(value, dict) else value if part.isdecimal() else None
    return value


def _first(row: Fields, paths: Iterable[str]) -> Json:
    """The first of these that has a value: an id, a time or a name, never an object."""
    return next((value for path in paths if (value := _at(row, path)) not in (None, "") and not isinstance(value, dict | list)), None)


def _of_trace(row: Fields, said: Said) -> Span:
    """A record of a whole trace, which may come before its spans or after them, or in another file."""
    told: Fields = {"openai_agents.trace": {key: value for key, value in row.items() if value is not None}}
    trace = text_of(row.get("id"))
    return span_of(
        said,
        trace_id=made_id(trace, TRACE_DIGITS),
        span_id=made_id(f"record of {trace}", SPAN_DIGITS),
        name=row.get("workflow_name"),
        attributes={**told, OF_TRACE: told},
    )


def _span(row: Fields, said: Said) -> Span:
    if _is_trace(row):
        return _of_trace(row, said)
    span_id = made_id(_first(row, IDS), SPAN_DIGITS)
    label = f"span {span_id}"
    parent = _first(row, PARENTS)
    state, message = _outcome(row)
    start_ns = any_time(_first(row, STARTS), said, f"start of {label}")
    return span_of(
        said,
        trace_id=made_id(_first(row, TRACES), TRACE_DIGITS),
        span_id=span_id,
        parent=made_id(parent, SPAN_DIGITS) if parent and parent not in NO_PARENT and parent != _first(row, TRACES) else None,
        name=_name(row),
        start_ns=start_ns,
        end_ns=_end(row, start_ns, said, label),
        state=state,
        message=message,
        attributes=dict(_attributes(row)),
    )


def _name(row: Fields) -> Json:
    """What it is called; of Weave's reference to a version of an op, `weave:///team/project/op/name:digest`, the op's name."""
    name = _first(row, NAMES)
    return name.rpartition("/")[2].partition(":")[0] if isinstance(name, str) and name.startswith(WEAVE) else name


def _end(row: Fields, start_ns: int | None, said: Said, label: str) -> int | None:
    if (ended := _first(row, ENDS)) is not None:
        return any_time(ended, said, f"end of {label}")
    for path, unit in DURATIONS.items():
        value = _at(row, path)
        if start_ns is not None and isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < SECOND_NS * SECOND_NS:
            return start_ns + int(value * (1 if path == "duration" and "start_ns" in row else unit))
    return None


def _outcome(row: Fields) -> tuple[State, str]:
    """How it ended, by its error or by a word or flag for it."""
    told: list[Json] = [_at(row, path) for path in ERRORS]
    words = {str(_at(row, path)).lower() for path in FAILED}
    messages: list[str] = [_raised(text) for text in told if isinstance(text, str) and text]
    if messages or True in told or words & {"error", "failed", "failure", "false"}:
        return "error", _brief(messages[0]) if messages else ""
    return "ok" if words & {"ok", "success", "true"} else "unset", ""


def _raised(text: str) -> str:
    """What was raised, where it is an object as JSON text, `{"type": …, "message": …, "traceback": […]}`; any other text as it is."""
    told = decoded_once(text) if text[:1] == "{" else None
    message = told.get("message") if isinstance(told, dict) else None
    kind = told.get("type") if isinstance(told, dict) else None
    return (f"{kind}: {message}" if isinstance(kind, str) else message) if isinstance(message, str) and message else text


def _brief(message: str) -> str:
    """What was raised, of a message that is a whole traceback: what stands before it, else its last line."""
    before, found, after = message.partition(TRACEBACK)
    return (before.strip() or after.strip().splitlines()[-1]) if found and (before + after).strip() else message


def _attributes(row: Fields) -> Iterator[tuple[str, Json]]:
    for key, value in row.items():
        if key in HOISTED and isinstance(inner := decoded_once(value), dict):
            yield from inner.items()
        elif key not in TAKEN and value not in (None, "", [], {}):
            yield key, value


_DATADOG: Fields = {
    "parent_id": "undefined",
    "trace_id": "t-1",
    "span_id": "s-1",
    "name": "generate_response",
    "meta": {"kind": "llm", "model_name": "m-1", "input": {"messages": [{"role": "user", "content": "hi"}]}, "output": {"value": "hello"}},
    "metrics": {"input_tokens": 4, "output_tokens": 2},
    "start_ns": 1772355600000000000,
    "duration": 10000000,
}
_OPIK: Fields = {
    "id": "01a20939-90cf-7aa0-b95f-c5351f5d17a5",
    "trace_id": "01a20939-8e21-7866-acd6-0f32e4ae1373",
    "name": "ship_order",
    "type": "tool",
    "start_time": "2026-03-01T09:00:00Z",
    "end_time": "2026-03-01T09:00:01Z",
    "input": {"order_id": "A-7"},
    "error_info": {"exception_type": "Exception", "traceback": "ConnectionError('no way')Traceback (most recent call last):\n  ...\nConnectionError: no way"},
}
_WEAVE: Fields = {
    "id": "0af76519-16cd-43dd-8448-eb211c80319c",
    "trace_id": "1af76519-16cd-43dd-8448-eb211c80319c",
    "op_name": "weave:///team/project/op/openai.chat.completions.create:1",
    "started_at": "2026-03-01T09:00:00Z",
    "ended_at": "2026-03-01T09:00:01Z",
    "attributes": {"weave": {"kind": "llm"}},
    "inputs": {"model": "m-1", "messages": [{"role": "user", "content": "hi"}]},
    "output": {"choices": [{"message": {"role": "assistant", "content": "hello"}}]},
    "exception": "TimeoutError('timed out')",
}
_AGENTS: Fields = {
    "object": "trace.span",
    "id": "span_1",
    "trace_id": "trace_1",
    "parent_id": None,
    "started_at": "2026-03-01T09:00:00+00:00",
    "ended_at": "2026-03-01T09:00:01+00:00",
    "span_data": {"type": "function", "name": "book", "input": '{"n": 1}', "output": "done"},
    "error": None,
}
_AGENTS_TRACE: Fields = {"object": "trace", "id": "trace_1", "workflow_name": "orders", "group_id": "g", "metadata": None}
_INSIGHTS: Fields = {
    "timestamp": "2026-03-01T09:00:00Z",
    "id": "0a1b",
    "operation_Id": "0af7651916cd43dd8448eb211c80319c",
    "operation_ParentId": "0af7651916cd43dd8448eb211c80319c",
    "name": "chat m-1",
    "duration": 12.5,
    "success": "True",
    "customDimensions": '{"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": "4"}',
}
_ELASTIC: Fields = {
    "_source": {
        "@timestamp": "2026-03-01T09:00:00Z",
        "trace": {"id": "0af7651916cd43dd8448eb211c80319c"},
        "span": {"id": "00f067aa0ba902b7", "name": "chat m-1", "duration": {"us": 1500}},
        "labels": {"gen_ai_operation_name": "chat", "gen_ai_request_model": "m-1"},
    }
}
_XRAY: Fields = {"trace_id": "1-5759e988-bd862e3fe1be46a994272793", "id": "a1", "start_time": 1772355600.5, "end_time": 1772355601.5, "name": "agent"}

EXAMPLES = (
    Example(
        "datadog.json",
        json.dumps({"data": {"type": "span", "attributes": {"ml_app": "bot", "spans": [_DATADOG, {"name": "?"}]}}}).encode(),
        {"Span": 1, "Skip": 1},
    ),
    Example("llmobs.json", json.dumps([{"event_type": "span", "spans": [_DATADOG]}, {"event_type": "span", "spans": [_DATADOG]}]).encode(), {"Span": 2}),
    Example("opik.json", json.dumps({"content": [], "spans": [_OPIK]}).encode(), {"Span": 1}),
    Example("weave.jsonl", json.dumps(_WEAVE).encode() + b"\n" + json.dumps(_WEAVE).encode(), {"Span": 2}),
    Example("agents.json", json.dumps({"data": [_AGENTS, _AGENTS_TRACE]}).encode(), {"Span": 2}),
    Example("agents.jsonl", b"\n".join(json.dumps(row).encode() for row in (_AGENTS_TRACE, _AGENTS)), {"Span": 2}),
    Example("insights.json", json.dumps([_INSIGHTS]).encode(), {"Span": 1}),
    Example("elastic.json", json.dumps({"hits": {"hits": [_ELASTIC]}}).encode(), {"Span": 1}),
    Example("segments.json", json.dumps(_XRAY | {"subsegments": [{"id": "b2", "name": "tool", "start_time": 1772355600.6}]}).encode(), {"Span": 2}),
)
