"""OTLP on the inside: the spans and log records of one request, as protobuf or as the JSON of its many dialects.

Ids are hex or base64, 64-bit integers numbers or text, enumerations numbers or names, keys camelCase or snake_case; Tempo's `batches` are read too.
What is broken is skipped and said, record by record; a time that no set clock shows is dropped and its record kept.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from workbench.model import Json, Log, Record, Skip, Span, SpanEvent
from workbench.reading.spans import (
    SPAN_DIGITS,
    TRACE_DIGITS,
    UNUSABLE,
    Fields,
    Said,
    brief,
    cut,
    event_of,
    hex_id,
    kept,
    parent_id,
    skips,
    span_of,
    state_of,
    time_of,
)
from workbench.reading.wire import IrregularError, records_in, regular_span

RESOURCES = ("resourceSpans", "resource_spans", "batches")
SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans", "instrumentation_library_spans")
LOG_RESOURCES = ("resourceLogs", "resource_logs")
LOG_SCOPES = ("scopeLogs", "scope_logs", "instrumentationLibraryLogs")
ENVELOPES = ("trace", "result")
"""What a request may be wrapped in: Tempo's second API, Jaeger's third."""
TRACE_ID = ("traceId", "trace_id")
SPAN_ID = ("spanId", "span_id")
RESOURCE_RECORDS = RESOURCE = SCOPE = 1  # field numbers of an export request, of its ResourceSpans or ResourceLogs, and of their ScopeSpans or ScopeLogs
SCOPE_RECORDS = RECORDS = 2
WIRE_TYPE, LENGTH_DELIMITED = 7, 2
SPAN_BEGINS = b"\x0a"
"""What each span begins with and no log record does."""
M = TypeVar("M", Resource, InstrumentationScope, SpanMessage, LogRecord)


@dataclass(frozen=True)
class _Group:
    """Spans or log records of one scope, with what all of them share."""

    resource: Json
    scope: Json
    spans: Iterable[Json] = ()
    logs: Iterable[Json] = ()


# ---- JSON


def records_of_json(document: Json, place: str) -> Iterator[Record]:
    """The spans and logs of a JSON document, and a Skip at `place` for what is none."""
    for item in document if isinstance(document, list) else [document]:
        try:
            groups = list(_groups(item))
        except UNUSABLE:
            yield Skip(place=place, reason=f"no OTLP trace data: want an object with {RESOURCES[0]}, found {brief(item)}")
            continue
        for group in groups:
            yield from _records(group, place)


def _groups(item: Fields) -> Iterator[_Group]:
    """The groups of an export request, or of a ResourceSpans or ResourceLogs that stands bare. One of UNUSABLE for anything else."""
    item = next((item[key] for key in ENVELOPES if isinstance(item.get(key), dict)), item)
    resources = _pick(item, *RESOURCES, *LOG_RESOURCES) or [item]
    for one in resources:
        resource = (one.get("resource") or {}).get("attributes")
        for scoped in _pick(one, *SCOPES, *LOG_SCOPES, required=one is item) or ():
            scope = (_pick(scoped, "scope", "instrumentationLibrary", "instrumentation_library") or {}).get("name")
            yield _Group(resource, scope, _pick(scoped, "spans") or (), _pick(scoped, "logRecords", "log_records") or ())


def _pick(item: Fields, *keys: str, required: bool = False) -> Json:
    """The first of these keys that has a value: OTLP's own camelCase, or a snake_case dialect. KeyError when one is required."""
    for key in keys:
        if (found := item.get(key)) is not None:
            return found
    if required:
        raise KeyError(keys[0])
    return None


# ---- protobuf


def begins_request(data: bytes) -> bool:
    """Whether bytes begin with field 1 (ResourceSpans or ResourceLogs), and that with its field 1, 2 or 3.

    The byte 0x12 tells it from text: every attribute has it.
    """
    if data[:1] != b"\n" or b"\x12" not in data:
        return False
    _, _, payload = next(_wire_fields(data), (None, 0, b""))
    return payload[:1] in {b"\x0a", b"\x12", b"\x1a"}


def records_of_protobuf(message: bytes, path: str, offset: int = 0) -> Iterator[Record]:
    """The spans or logs of an export request on the wire, down to the last whole one where it is cut off. Places are bytes of the file `path`."""
    for number, start, payload in _wire_fields(message):
        place = f"{path}:byte {offset + start}"
        if number == RESOURCE_RECORDS:
            yield from _resource_records(payload, place)
        else:
            yield Skip(place=place, reason="cut off or damaged" if number is None else f"field {number}, which no OTLP trace request has")


def _resource_records(data: bytes, place: str) -> Iterator[Record]:
    parts = list(_wire_fields(data))
    resource = _decoded(Resource, next((payload for number, _, payload in parts if number == RESOURCE), b""))
    attributes = [_attribute(pair) for pair in resource.attributes] if resource else []
    for number, start, payload in parts:
        if number == SCOPE_RECORDS:
            yield from _scope_records(payload, attributes, place)
        elif number is None:
            yield Skip(place=place, reason=f"ResourceSpans is cut off or damaged {start:,} bytes on")


def _scope_records(data: bytes, resource: Json, place: str) -> Iterator[Record]:
    scope_message, records = records_in(data) or _whole_records(data)
    scope = _decoded(InstrumentationScope, scope_message)
    spans = [record for record in records if record.startswith(SPAN_BEGINS)]
    logs = [_decoded(LogRecord, record) for record in records if not record.startswith(SPAN_BEGINS)]
    yield from _records(_Group(resource, scope.name if scope else None, spans, [_log_fields(log) for log in logs if log]), place)
    if broken := logs.count(None):
        yield Skip(place=place, reason="a span or log record that is cut off or damaged", count=broken)


def _whole_records(data: bytes) -> tuple[bytes, list[bytes]]:
    """The scope of a ScopeSpans or ScopeLogs that is damaged or has other things in it, and the records in it, the one that is cut off last."""
    parts = list(_wire_fields(data))
    return next((payload for number, _, payload in parts if number == SCOPE), b""), [payload for number, _, payload in parts if number in (RECORDS, None)]


def _wire_fields(data: bytes) -> Iterator[tuple[int | None, int, bytes]]:
    """Number, offset and payload of each field of a message whose fields are all length-delimited, as they are down to the records.

    A field of another kind, or one that is cut off, has no number and ends it; the fields before it stand. Its payload goes as far as it is there.
    """
    position = 0
    while position < len(data):
        start = position
        tag, position = _varint(data, position)
        size, position = _varint(data, position)
        if tag is None or size is None or tag & WIRE_TYPE != LENGTH_DELIMITED:
            yield None, start, b"\xff"
            return
        payload = data[position : position + size]
        position += size
        yield tag >> 3, start, payload
        if len(payload) < size:
            yield None, start, b"\xff"


def _varint(data: bytes, position: int) -> tuple[int | None, int]:
    """A variable-length integer and the position after it; None where it is cut off or longer than 64 bits."""
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:  # noqa: PLR2004  # the high bit says that another byte follows
            return value, position + shift + 1
    return None, position


def _decoded(kind: type[M], data: bytes) -> M | None:
    """A protobuf message, None where the bytes are none."""
    try:
        message: M = kind.FromString(data)
    except DecodeError:
        return None  # the caller counts it
    return message


def _span_fields(span: SpanMessage) -> Fields:
    """A protobuf span in the shape of OTLP's JSON."""
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "name": span.name,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "status": {"code": span.status.code, "message": span.status.message},
        "attributes": [_attribute(pair) for pair in span.attributes],
        "events": [
            {"name": event.name, "timeUnixNano": event.time_unix_nano, "attributes": [_attribute(pair) for pair in event.attributes]} for event in span.events
        ],
        "links": [{"traceId": link.trace_id.hex()} for link in span.links],
    }


def _log_fields(log: LogRecord) -> Fields:
    """A protobuf log record in the shape of OTLP's JSON."""
    return {
        "traceId": log.trace_id.hex(),
        "spanId": log.span_id.hex(),
        "eventName": log.event_name,
        "timeUnixNano": log.time_unix_nano,
        "observedTimeUnixNano": log.observed_time_unix_nano,
        "body": _wrapped(log.body),
        "attributes": [_attribute(pair) for pair in log.attributes],
    }


def _attribute(pair: KeyValue) -> Fields:
    return {"key": pair.key, "value": _wrapped(pair.value)}


def _wrapped(value: AnyValue) -> Fields:
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return {}
        case "array_value":
            return {kind: {"values": [_wrapped(inner) for inner in value.array_value.values]}}
        case "kvlist_value":
            return {kind: {"values": [_attribute(pair) for pair in value.kvlist_value.values]}}
        case "bytes_value":
            return {kind: base64.b64encode(value.bytes_value).decode("ascii")}
        case _:
            return {kind: getattr(value, kind)}


# ---- records, from either


def _records(group: _Group, place: str) -> Iterator[Record]:
    said: Said = []
    resource = kept(attributes_of(group.resource, said, "the resource"), said, "the resource")
    broken = outside = 0
    for span in group.spans:
        try:
            yield _span(span, said, group.scope, resource)
        except DecodeError:
            broken += 1
        except UNUSABLE as error:
            said.append(str(error))
        if said:
            yield from skips(said, place)
    for log in group.logs:
        try:
            if (found := _log(log, said)) is not None:
                yield found
            outside += found is None
        except UNUSABLE as error:
            said.append(f"{brief(log)}: {error}")
        yield from skips(said, place)
    if outside:
        yield Skip(place=place, reason="a log record outside any span", count=outside)
    if broken:
        yield Skip(place=place, reason="a span that is cut off or damaged", count=broken)


def _span(raw: Json, said: Said, scope: Json, resource: Fields) -> Span:
    """A span from its bytes or from OTLP's JSON. DecodeError for bytes that are none; ValueError, naming it, for one that can't be used."""
    if isinstance(raw, bytes):
        try:
            return regular_span(raw, scope, resource)
        except IrregularError:
            raw = _span_fields(SpanMessage.FromString(raw))
    try:
        return span_of_json(raw, said, scope=scope, resource=resource)
    except UNUSABLE as error:
        raise ValueError(f"{brief(raw)}: {error}") from error


def span_of_json(raw: Fields, said: Said, *, scope: Json = None, resource: Fields | None = None) -> Span:
    """A span as OTLP's JSON has it, in any dialect; what had to be dropped of it is added to `said`.

    One of UNUSABLE when it has no usable ids or no such shape.
    """
    trace_id, span_id = _ids(raw)
    if trace_id is None or span_id is None:
        found = ", ".join(f"{keys[0]} {brief(_pick(raw, *keys))}" for keys in (TRACE_ID, SPAN_ID))
        raise ValueError(f"a span without usable ids: want 32 and 16 hex digits, not all 0, found {found}")
    label = f"span {span_id}"
    status = _pick(raw, "status") or {}
    return span_of(
        said,
        trace_id=trace_id,
        span_id=span_id,
        parent=parent_id(_pick(raw, "parentSpanId", "parent_span_id"), said, label),
        name=_pick(raw, "name"),
        start_ns=time_of(_pick(raw, "startTimeUnixNano", "start_time_unix_nano"), said, f"start of {label}"),
        end_ns=time_of(_pick(raw, "endTimeUnixNano", "end_time_unix_nano"), said, f"end of {label}"),
        state=state_of(status.get("code")),
        message=status.get("message"),
        attributes=attributes_of(_pick(raw, "attributes"), said, label),
        events=[_event(event, said, label) for event in _pick(raw, "events") or ()],
        scope=scope,
        resource=resource,
        links=_links(_pick(raw, "links"), said, label),
    )


def _links(raw: Json, said: Said, label: str) -> Iterator[str]:
    """The ids of the traces that a span is linked to; a link without one is left out and said."""
    for link in raw if isinstance(raw, list) else ():
        trace_id = hex_id(_pick(link, *TRACE_ID), TRACE_DIGITS) if isinstance(link, dict) else None
        if trace_id is None:
            said.append(f"a link of {label} left out: it names no trace: {brief(link)}")
        else:
            yield trace_id


def _event(raw: Fields, said: Said, label: str) -> SpanEvent:
    at = time_of(_pick(raw, "timeUnixNano", "time_unix_nano"), said, f"an event of {label}")
    return event_of(_pick(raw, "name"), at, attributes_of(_pick(raw, "attributes"), said, label), said, label)


def _ids(raw: Fields) -> tuple[str | None, str | None]:
    return hex_id(_pick(raw, *TRACE_ID), TRACE_DIGITS), hex_id(_pick(raw, *SPAN_ID), SPAN_DIGITS)


def _log(raw: Fields, said: Said) -> Log | None:
    """A log record that belongs to a span, None for one that doesn't. Its time is when it happened, else when it was observed."""
    trace_id, span_id = _ids(raw)
    if trace_id is None or span_id is None:
        return None
    label = f"a log of span {span_id}"
    attributes = kept(attributes_of(_pick(raw, "attributes"), said, label), said, label)
    happened = time_of(_pick(raw, "timeUnixNano", "time_unix_nano"), said, label)
    observed = time_of(_pick(raw, "observedTimeUnixNano", "observed_time_unix_nano"), said, label)
    name = _pick(raw, "eventName", "event_name") or attributes.get("event.name")
    body = cut(_value(_pick(raw, "body")), said, f"body of {label}")
    return Log(trace_id=trace_id, span_id=span_id, name=str(name) if name else None, at_ns=happened or observed, body=body, attributes=attributes)


def attributes_of(pairs: Json, said: Said, label: str) -> Fields:
    """OTLP's list of pairs as an object; one that is an object already is taken as it is. What can't be read is left out and said."""
    if isinstance(pairs, dict):
        pairs = [{"key": key, "value": value} for key, value in pairs.items()]
    found: Fields = {}
    for pair in pairs if isinstance(pairs, list) else ():
        try:
            key, value = pair["key"], _value(pair.get("value"))
        except UNUSABLE as error:
            said.append(f"attribute of {label} left out: {type(error).__name__}: {error}: {brief(pair)}")
            continue
        found[str(key)] = value
    return found


def _value(wrapped: Json) -> Json:
    """An AnyValue as what it holds: 64-bit integers may be text, bytes are base64 text. What isn't wrapped is taken as it is."""
    if not isinstance(wrapped, dict):
        return wrapped
    for key, held in wrapped.items():
        if held is None:  # Phoenix writes every kind a value could have been
            continue
        match key:
            case "stringValue" | "string_value" | "boolValue" | "bool_value" | "bytesValue" | "bytes_value":
                return held
            case "intValue" | "int_value":
                return int(held)
            case "doubleValue" | "double_value":
                number = float(held)
                return number if math.isfinite(number) else str(number)
            case "arrayValue" | "array_value":
                return [_value(inner) for inner in held.get("values") or ()]
            case "kvlistValue" | "kvlist_value":
                return {str(inner["key"]): _value(inner.get("value")) for inner in held.get("values") or ()}
    return wrapped if any(held is not None for held in wrapped.values()) else None
