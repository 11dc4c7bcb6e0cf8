"""Spans as one JSON object each: what the OpenTelemetry SDK's console exporter prints (`ReadableSpan.to_json()`), and lists of such objects.

The objects may stand one a line, in a list, under `spans`, or laid out one after another as they were printed. Ids may begin with 0x, times are
ISO 8601 or numbers whose size tells their unit, events may be called `span_events`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from workbench.model import Json, Record
from workbench.outline import having
from workbench.plugins import Example
from workbench.source import Source
from workbench.span_objects import read_items, rows_of, span_of_object

PLACES = frozenset({"", "[]", "spans[]"})
CONTEXTS = frozenset({"context", "[].context", "spans[].context"})
OTHERS = frozenset({"span_kind", "start_time_unix_nano", "run_type", "dotted_order", "type", "trace_metadata"})
"""Fields of Phoenix's, MLflow's, LangSmith's and Langfuse's objects, which have readers of their own."""


def accepts(source: Source) -> bool:
    """Whether the file begins with a span: an object with trace and span id and attributes, itself or in its `context`."""
    if any(key in OTHERS and at in PLACES for at, key in source.outline):
        return False
    flat = having(source.outline, "trace_id", "span_id", "attributes") & PLACES
    return bool(flat or (having(source.outline, "trace_id", "span_id") & CONTEXTS and having(source.outline, "name") & PLACES))


def collect(source: Source) -> Iterable[Record]:
    """The spans of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    return read_items(source, lambda document: rows_of(document, "spans"), span_of_object, "an object with trace_id and span_id")


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

EXAMPLES = (
    Example("console.json", b"".join(json.dumps(_PRINTED | {"name": name}, indent=4).encode() + b"\n" for name in ("a", "b")), {"Span": 2}),
    Example("printed.jsonl", json.dumps(_PRINTED).encode() + b"\n" + json.dumps(_PRINTED).encode(), {"Span": 2}),
    Example("list.json", json.dumps([_FLAT, {"name": "no ids"}, _FLAT]).encode(), {"Span": 2, "Skip": 1}),
    Example("spans.json", json.dumps({"spans": [_FLAT]}, indent=1).encode(), {"Span": 1}),
)
