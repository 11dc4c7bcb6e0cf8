"""Zipkin spans, version 2 of its JSON: a list of spans, or a list of such lists as its API answers.

Times are microseconds, trace ids may be 64 bits long, and all tags are text. OpenTelemetry's exporters put status and scope into tags and
events into annotations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from workbench.model import Json, Record, Span, SpanEvent
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.span_objects import first_of, read_items
from workbench.reading.spans import (
    SPAN_DIGITS,
    TRACE_DIGITS,
    US,
    Fields,
    Said,
    decoded_once,
    event_of,
    flat_list,
    padded_id,
    service,
    span_of,
    state_of,
    time_of,
)
from workbench.source import Source

PLACES = frozenset({"", "[]", "[][]"})
OWN = frozenset({"timestamp", "duration", "localEndpoint", "remoteEndpoint", "tags", "annotations", "kind", "parentId"})
OTHERS = frozenset({"attributes", "startTime", "spanId", "type", "observations", "run_type"})
SCOPES = ("otel.scope.name", "otel.library.name")
ANNOTATION = re.compile(r'"?([^"{|]+?)"?\s*[:|]\s*(\{.*\})(?:\|\d+)?', re.DOTALL)
"""An event as an annotation: `"name": {attributes}`, or `name|{attributes}|dropped`."""


def accepts(source: Source) -> bool:
    """Whether the file begins with a span of Zipkin's."""
    keys = {place: {key for at, key in source.outline if at == place} for place in having(source.outline, "traceId", "id") & PLACES}
    return any(found & OWN and not found & OTHERS for found in keys.values())


def collect(source: Source) -> Iterable[Record]:
    """The spans of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    return read_items(source, _items, _span, "a list of spans with traceId and id")


def _items(document: Json) -> Iterator[Json]:
    for item in document if isinstance(document, list) else [document]:
        yield from item if isinstance(item, list) else [item]


def _span(raw: Fields, said: Said) -> Span:
    trace_id, span_id = padded_id(raw.get("traceId"), TRACE_DIGITS), padded_id(raw.get("id"), SPAN_DIGITS)
    label = f"span {span_id}"
    tags: Fields = {key: flat_list(value) for key, value in (raw.get("tags") or {}).items()}
    start = time_of(raw.get("timestamp"), said, f"start of {label}", US)
    error = tags.get("error")
    return span_of(
        said,
        trace_id=trace_id,
        span_id=span_id,
        parent=padded_id(raw.get("parentId"), SPAN_DIGITS),
        name=raw.get("name"),
        start_ns=start,
        end_ns=None if start is None else start + int(raw.get("duration") or 0) * US,
        state="error" if error not in {None, "false"} else state_of(tags.get("otel.status_code")),
        message=tags.get("otel.status_description") or (error if error not in {"true", "false"} else ""),
        attributes=tags,
        events=[_event(one, said, label) for one in raw.get("annotations") or ()],
        scope=first_of(tags, SCOPES),
        resource=service((raw.get("localEndpoint") or {}).get("serviceName")),
    )


def _event(raw: Fields, said: Said, label: str) -> SpanEvent:
    value = str(raw.get("value") or "")
    shape = ANNOTATION.fullmatch(value)
    attributes = decoded_once(shape[2]) if shape else None
    name = shape[1].strip() if shape and isinstance(attributes, dict) else value
    return event_of(name, time_of(raw.get("timestamp"), said, f"an event of {label}", US), attributes, said, label)


_SPAN: Fields = {
    "traceId": "8448eb211c80319c",
    "id": "b7ad6b7169203331",
    "name": "chat gpt",
    "timestamp": 1750000000000000,
    "duration": 1500,
    "localEndpoint": {"serviceName": "example"},
    "annotations": [{"timestamp": 1750000000000100, "value": '"exception": {"exception.type":"TimeoutError"}'}],
    "tags": {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": "12", "otel.status_code": "ERROR", "error": "timed out"},
}
_CHILD: Fields = {"traceId": _SPAN["traceId"], "id": "f067aa0ba902b7", "parentId": _SPAN["id"], "name": "book", "timestamp": 1750000000000200}

EXAMPLES = (
    Example("spans.json", json.dumps([_SPAN, _CHILD]).encode(), {"Span": 2}),
    Example("traces.json", json.dumps([[_SPAN, _CHILD], [5]], indent=1).encode(), {"Span": 2, "Skip": 1}),
    Example("spans.jsonl", json.dumps(_SPAN).encode() + b"\n" + json.dumps(_CHILD).encode() + b"\n", {"Span": 2}),
)
