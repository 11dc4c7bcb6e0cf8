"""Jaeger traces as JSON: what its user interface downloads and its API answers (`{"data": [{"traceID", "spans", "processes"}]}`).

Read as well: one trace alone, a list of traces, and the spans that Jaeger keeps in Elasticsearch, one a line. Times are microseconds, ids may have lost
their leading zeros, tags have types, and lists come as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from workbench.model import Json, Record, Span, SpanEvent
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.span_objects import first_of, read_items, rows_of
from workbench.reading.spans import SPAN_DIGITS, TRACE_DIGITS, US, Fields, Said, event_of, flat_list, padded_id, service, span_of, state_of, time_of
from workbench.source import Source

TRACES = frozenset({"data[]", "data", "[]", ""})
SPANS = frozenset({"data[].spans[]", "data.spans[]", "[].spans[]", "spans[]", "[]", ""})
SCOPES = ("otel.scope.name", "otel.library.name")


def accepts(source: Source) -> bool:
    """Whether the file begins with a trace of Jaeger's or with one of its spans."""
    return bool(having(source.outline, "traceID", "spans") & TRACES or having(source.outline, "traceID", "spanID") & SPANS)


def collect(source: Source) -> Iterable[Record]:
    """The spans of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    return read_items(source, _items, _span, "an object with data, spans or spanID")


def _items(document: Json) -> Iterator[tuple[Json, Json]]:
    """Each span with the process it belongs to."""
    inner = document.get("data") if isinstance(document, dict) else None
    for trace in rows_of(inner if isinstance(inner, list | dict) else document):
        processes = trace.get("processes") or {}
        for span in trace["spans"] if isinstance(trace.get("spans"), list) else [trace]:
            process = span.get("process") if isinstance(span, dict) else None
            yield span, process or (processes.get(span.get("processID")) if isinstance(span, dict) else None) or {}


def _span(item: tuple[Fields, Fields], said: Said) -> Span:
    raw, process = item
    trace_id, span_id = padded_id(raw.get("traceID"), TRACE_DIGITS), padded_id(raw.get("spanID"), SPAN_DIGITS)
    label = f"span {span_id}"
    tags = _tags(raw.get("tags"))
    start = time_of(raw.get("startTime"), said, f"start of {label}", US)
    return span_of(
        said,
        trace_id=trace_id,
        span_id=span_id,
        parent=_parent(raw),
        name=raw.get("operationName"),
        start_ns=start,
        end_ns=None if start is None else start + int(raw.get("duration") or 0) * US,
        state="error" if tags.get("error") is True or tags.get("error") == "true" else state_of(tags.get("otel.status_code")),
        message=tags.get("otel.status_description"),
        attributes=tags,
        events=[_event(log, said, label) for log in raw.get("logs") or ()],
        scope=first_of(tags, SCOPES),
        resource={**service(process.get("serviceName")), **_tags(process.get("tags"))},
    )


def _parent(raw: Fields) -> str | None:
    """The span it is a child of, else the one it follows from."""
    references = [one for one in raw.get("references") or () if one.get("traceID") in {raw.get("traceID"), None}]
    parent = next((one for one in references if one.get("refType") == "CHILD_OF"), references[0] if references else {})
    return padded_id(parent.get("spanID") or raw.get("parentSpanID"), SPAN_DIGITS)


def _event(log: Fields, said: Said, label: str) -> SpanEvent:
    fields = _tags(log.get("fields"))
    name = fields.pop("event", None) or fields.get("message") or "log"
    return event_of(name, time_of(log.get("timestamp"), said, f"an event of {label}", US), fields, said, label)


def _tags(tags: Json) -> Fields:
    """Tags as attributes of their type; Elasticsearch may hold them as one object."""
    if isinstance(tags, dict):
        return {key: flat_list(value) for key, value in tags.items()}
    return {str(tag["key"]): _typed(tag.get("type"), tag.get("value")) for tag in tags or ()}


def _typed(kind: Json, value: Json) -> Json:
    """A tag's value, whose number or boolean may be written as text."""
    if not isinstance(value, str):
        return value
    if kind == "bool":
        return value.lower() == "true"
    try:
        return int(value) if kind == "int64" else float(value) if kind == "float64" else flat_list(value)
    except ValueError:
        return value


_SPAN: Fields = {
    "traceID": "af7651916cd43dd8448eb211c80319c",
    "spanID": "b7ad6b7169203331",
    "operationName": "chat",
    "references": [],
    "startTime": 1750000000000000,
    "duration": 1500,
    "tags": [
        {"key": "gen_ai.usage.input_tokens", "type": "int64", "value": 12},
        {"key": "gen_ai.response.finish_reasons", "type": "string", "value": '["stop"]'},
        {"key": "otel.status_code", "type": "string", "value": "OK"},
    ],
    "logs": [{"timestamp": 1750000000000500, "fields": [{"key": "event", "type": "string", "value": "gen_ai.choice"}]}],
    "processID": "p1",
}
_CHILD: Fields = {**_SPAN, "spanID": "f067aa0ba902b7", "references": [{"refType": "CHILD_OF", "traceID": _SPAN["traceID"], "spanID": _SPAN["spanID"]}]}
_TRACE: Fields = {"traceID": _SPAN["traceID"], "spans": [_SPAN, _CHILD], "processes": {"p1": {"serviceName": "example", "tags": []}}}

EXAMPLES = (
    Example("download.json", json.dumps({"data": [_TRACE], "total": 0, "errors": None}, indent=2).encode(), {"Span": 2}),
    Example("reordered.json", json.dumps({"errors": None, "data": [dict(reversed(_TRACE.items()))]}).encode(), {"Span": 2}),
    Example("trace.json", json.dumps(_TRACE).encode(), {"Span": 2}),
    Example("elasticsearch.jsonl", json.dumps(_SPAN).encode() + b'\n{"traceID": "1"}\n' + json.dumps(_CHILD).encode(), {"Span": 2, "Skip": 1}),
)
