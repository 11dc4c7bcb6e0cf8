"""Spans as one JSON object each: what the OpenTelemetry SDKs' console exporters print (`ReadableSpan.to_json()`), and lists of such objects.

The objects may stand one a line, in a list, under `spans`, or laid out one after another as they were printed; names are in snake_case or, as in
CloudWatch's `aws/spans`, in camelCase, and log records may stand among them. Ids may begin with 0x, times are ISO 8601 or numbers whose size
tells their unit, events may be called `span_events`. An id that is no hex is kept as digits made of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from workbench.model import Json, Log, Record, Span
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.span_objects import SPAN_IDS, STARTS, TRACE_IDS, first_of, read_items, rows_of, span_of_object
from workbench.reading.spans import SPAN_DIGITS, TRACE_DIGITS, US, Fields, Said, any_id, any_time, kept, span_of
from workbench.source import Source

PLACES = frozenset({"", "[]", "spans[]"})
CONTEXTS = frozenset({"context", "[].context", "spans[].context"})
OTHERS = frozenset({"span_kind", "start_time_unix_nano", "run_type", "dotted_order", "type", "trace_metadata", "op_name"})
"""Fields of Phoenix's, MLflow's, LangSmith's, Langfuse's and Weave's objects, which have readers of their own."""
LOG_TIMES = ("timeUnixNano", "time_unix_nano", "timestamp", "observedTimeUnixNano", "observed_time_unix_nano")


def accepts(source: Source) -> bool:
    """Whether the file begins with a span: an object with trace and span id and attributes, itself or in its `context`."""
    seen = source.outline
    if any(key in OTHERS and at in PLACES for at, key in seen):
        return False
    flat = frozenset[str]().union(*(having(seen, trace, span, "attributes") for trace, span in zip(TRACE_IDS * 2, (*SPAN_IDS, "id"), strict=False)))
    return bool(flat & PLACES or (having(seen, "trace_id", "span_id") & CONTEXTS and having(seen, "name") & PLACES))


def collect(source: Source) -> Iterable[Record]:
    """The spans of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    return read_items(source, lambda document: rows_of(document, "spans"), _record, "an object with trace_id and span_id")


def _record(raw: Fields, said: Said) -> Record:
    log = "body" in raw and not any(raw.get(key) is not None for key in STARTS if key != "timestamp")
    return _log(raw, said) if log else _span(raw, said)


def _span(raw: Fields, said: Said) -> Span:
    """A span whose ids may be any text: such files are written by hand, too. JavaScript's exporter gives a duration in microseconds for an end."""
    span = span_of_object(raw, said, make=any_id)
    duration = raw.get("duration")
    if span.end_ns is None and span.start_ns is not None and isinstance(duration, int):
        return span.model_copy(update={"end_ns": span.start_ns + duration * US})
    return span


def _log(raw: Fields, said: Said) -> Log:
    ids = any_id(first_of(raw, TRACE_IDS), TRACE_DIGITS), any_id(first_of(raw, SPAN_IDS), SPAN_DIGITS)
    span = span_of(said, trace_id=ids[0], span_id=ids[1], attributes=raw.get("attributes") if isinstance(raw.get("attributes"), dict) else {})
    label = f"a log of span {span.span_id}"
    return Log(
        trace_id=span.trace_id,
        span_id=span.span_id,
        name=first_of(raw, ("eventName", "event_name")) or span.attributes.get("event.name"),
        at_ns=next((at for key in LOG_TIMES if (at := any_time(raw.get(key), said, label)) is not None), None),
        body=kept({"body": raw["body"]}, said, label)["body"],
        attributes=span.attributes,
    )


_TRACE = "0af7651916cd43dd8448eb211c80319c"
_PRINTED: dict[str, Json] = {
    "name": "chat",
    "context": {"trace_id": f"0x{_TRACE}", "span_id": "0xb7ad6b7169203331", "trace_state": "[]"},
    "kind": "SpanKind.INTERNAL",
    "parent_id": None,
    "start_time": "2026-03-01T09:00:00.000000Z",
    "end_time": "2026-03-01T09:00:01.500000Z",
    "status": {"status_code": "ERROR", "description": "timed out"},
    "attributes": {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 12},
    "events": [{"name": "exception", "timestamp": "2026-03-01T09:00:01.000000Z", "attributes": {"exception.type": "TimeoutError"}}],
    "links": [],
    "resource": {"attributes": {"service.name": "example"}, "schema_url": ""},
}
_FLAT: dict[str, Json] = {
    "trace_id": _TRACE,
    "span_id": "00f067aa0ba902b7",
    "parent_span_id": "b7ad6b7169203331",
    "name": "execute_tool book",
    "start_time": 1750000000000000000,
    "end_time": 1750000001000000000,
    "attributes": {"gen_ai.tool.name": "book"},
    "scope": {"name": "example", "version": "1"},
    "status": {"code": "OK"},
    "span_events": [],
}
_CAMEL: dict[str, Json] = {
    "resource": {"attributes": {"service.name": "example"}},
    "scope": {"name": "example"},
    "traceId": _TRACE,
    "spanId": "00f067aa0ba902b7",
    "name": "chat",
    "startTimeUnixNano": 1750000000000000000,
    "attributes": {"gen_ai.operation.name": "chat"},
    "status": {"code": "UNSET"},
}
_CAMEL_LOG: dict[str, Json] = {
    "traceId": _TRACE,
    "spanId": "00f067aa0ba902b7",
    "observedTimeUnixNano": 1750000000500000000,
    "body": {"content": "Book NH 11"},
    "attributes": {"event.name": "gen_ai.user.message"},
}
_JAVASCRIPT: dict[str, Json] = {
    "resource": {"attributes": {"service.name": "example"}},
    "traceId": _TRACE,
    "id": "00f067aa0ba902b7",
    "name": "ai.generateText",
    "kind": 0,
    "timestamp": 1750000000000000,
    "duration": 1500,
    "attributes": {"ai.operationId": "ai.generateText"},
    "status": {"code": 0},
    "events": [],
}

EXAMPLES = (
    Example("console.json", b"".join(json.dumps(_PRINTED | {"name": name}, indent=4).encode() + b"\n" for name in ("a", "b")), {"Span": 2}),
    Example("printed.jsonl", json.dumps(_PRINTED).encode() + b"\n" + json.dumps(_PRINTED).encode(), {"Span": 2}),
    Example("list.json", json.dumps([_FLAT, {"name": "no ids"}, _FLAT]).encode(), {"Span": 2, "Skip": 1}),
    Example("aws_spans.jsonl", json.dumps(_CAMEL).encode() + b"\n" + json.dumps(_CAMEL_LOG).encode(), {"Span": 1, "Log": 1}),
    Example("javascript.json", json.dumps(_JAVASCRIPT, indent=2).encode() + b"\n" + json.dumps(_JAVASCRIPT, indent=2).encode(), {"Span": 2}),
    Example("spans.json", json.dumps({"spans": [_FLAT]}, indent=1).encode(), {"Span": 1}),
)
