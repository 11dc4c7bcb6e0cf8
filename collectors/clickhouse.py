"""Rows of ClickHouse's `otel_traces` and `otel_logs` (the OpenTelemetry Collector's exporter) as JSON, JSONCompact, JSONEachRow or Parquet.

Attributes are a Map(String, String), so numbers are text and lists are JSON; a span has a start and a duration in nanoseconds; events are
parallel lists (`Events.Name`) or, where the table does not flatten nested columns, a list of objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from workbench.model import Json, Log, Record, Span, SpanEvent
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.span_objects import read_items, read_rows, rows_of
from workbench.reading.spans import SPAN_DIGITS, TRACE_DIGITS, Fields, Said, any_time, event_of, flat_list, hex_id, kept, parent_id, service, span_of, state_of
from workbench.reading.tables import columns_of
from workbench.source import Source

PLACES = frozenset({"", "[]", "data[]"})
IDS = ("TraceId", "SpanId")
OWN = frozenset({"SpanName", "SpanAttributes", "LogAttributes", "Body"})
EVENT_FIELDS = ("Timestamp", "Name", "Attributes")
COMPACT = tuple(re.compile(rb'"name"\s*:\s*"%s"' % name) for name in (b"TraceId", b"SpanId"))
"""JSONCompact names the columns once, in `meta`, and gives rows as lists."""


def accepts(source: Source) -> bool:
    """Whether the file begins with a row of spans or logs."""
    keys = {place: {key for at, key in source.outline if at == place} for place in having(source.outline, *IDS) & PLACES}
    compact = b'"meta"' in source.head[:100] and all(name.search(source.head) for name in COMPACT)
    return compact or any(found & OWN for found in keys.values()) or {*IDS, "SpanName"} <= columns_of(source)


def collect(source: Source) -> Iterable[Record]:
    """The spans and logs of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    if columns_of(source):
        return read_rows(source, _record)
    return read_items(source, _rows, _record, "rows with TraceId and SpanId")


def _rows(document: Json) -> Json:
    """The rows in a document, each an object: those of JSONCompact are lists, whose columns `meta` names."""
    rows = rows_of(document, "data")
    columns = document.get("meta") if isinstance(document, dict) else None
    if not isinstance(columns, list) or not isinstance(rows, list):
        return rows
    names = [column.get("name") if isinstance(column, dict) else None for column in columns]
    return [dict(zip(names, row, strict=False)) if isinstance(row, list) else row for row in rows]


def _record(row: Fields, said: Said) -> Record:
    return _log(row, said) if "Body" in row and "SpanName" not in row else _span(row, said)


def _span(row: Fields, said: Said) -> Span:
    span_id = hex_id(row.get("SpanId"), SPAN_DIGITS)
    label = f"span {span_id}"
    start = any_time(row.get("Timestamp"), said, f"start of {label}")
    return span_of(
        said,
        trace_id=hex_id(row.get("TraceId"), TRACE_DIGITS),
        span_id=span_id,
        parent=parent_id(row.get("ParentSpanId"), said, label),
        name=row.get("SpanName"),
        start_ns=start,
        end_ns=None if start is None or row.get("Duration") is None else start + int(row["Duration"]),
        state=state_of(row.get("StatusCode")),
        message=row.get("StatusMessage"),
        attributes=_attributes(row.get("SpanAttributes")),
        events=[_event(event, said, label) for event in _events(row)],
        scope=row.get("ScopeName"),
        resource={**service(row.get("ServiceName")), **_attributes(row.get("ResourceAttributes"))},
    )


def _log(row: Fields, said: Said) -> Log:
    trace_id, span_id = hex_id(row.get("TraceId"), TRACE_DIGITS), hex_id(row.get("SpanId"), SPAN_DIGITS)
    if trace_id is None or span_id is None:
        raise ValueError("a log record outside any span")
    label = f"a log of span {span_id}"
    attributes = kept(_attributes(row.get("LogAttributes")), said, label)
    name = row.get("EventName") or attributes.get("event.name")
    return Log(
        trace_id=trace_id,
        span_id=span_id,
        name=str(name) if name else None,
        at_ns=any_time(row.get("Timestamp"), said, label),
        body=kept({"body": row.get("Body")}, said, label)["body"],
        attributes=attributes,
    )


def _events(row: Fields) -> Iterator[Fields]:
    """The events of a span, each an object again."""
    if isinstance(row.get("Events"), list):
        yield from row["Events"]
        return
    columns = [row.get(f"Events.{name}") or () for name in EVENT_FIELDS]
    for values in zip(*columns, strict=False):
        yield dict(zip(EVENT_FIELDS, values, strict=True))


def _event(event: Fields, said: Said, label: str) -> SpanEvent:
    return event_of(event.get("Name"), any_time(event.get("Timestamp"), said, f"an event of {label}"), _attributes(event.get("Attributes")), said, label)


def _attributes(value: Json) -> Fields:
    """A map, or the nested object of the exporter's JSON columns, as attributes."""
    return dict(_paths("", value)) if isinstance(value, dict) else {}


def _paths(prefix: str, value: Fields) -> Iterator[tuple[str, Json]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _paths(f"{prefix}{key}.", inner)
        else:
            yield f"{prefix}{key}", flat_list(inner)


_ROW: Fields = {
    "Timestamp": "2026-03-01 09:00:00.123456789",
    "TraceId": "0af7651916cd43dd8448eb211c80319c",
    "SpanId": "b7ad6b7169203331",
    "ParentSpanId": "",
    "SpanName": "chat",
    "ServiceName": "example",
    "ResourceAttributes": {"service.name": "example"},
    "ScopeName": "example",
    "SpanAttributes": {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": "12", "gen_ai.response.finish_reasons": '["stop"]'},
    "Duration": "1500000",
    "StatusCode": "Error",
    "StatusMessage": "timed out",
    "Events.Timestamp": ["2026-03-01 09:00:00.200000000"],
    "Events.Name": ["exception"],
    "Events.Attributes": [{"exception.type": "TimeoutError"}],
}
_LOG: Fields = {"Timestamp": "2026-03-01 09:00:00.1", "TraceId": _ROW["TraceId"], "SpanId": _ROW["SpanId"], "Body": "{}", "LogAttributes": {"event.name": "x"}}

EXAMPLES = (
    Example("rows.jsonl", json.dumps(_ROW).encode() + b'\n{"TraceId": "", "SpanName": ""}\n' + json.dumps(_LOG).encode(), {"Span": 1, "Log": 1, "Skip": 1}),
    Example("rows.json", json.dumps({"meta": [{"name": "TraceId", "type": "String"}], "data": [_ROW, _ROW], "rows": 2}, indent=1).encode(), {"Span": 2}),
)
