"""OTLP traces in files: JSON lines, one JSON document, or protobuf (plain, or length-prefixed as the OpenTelemetry Collector's file exporter writes).

Ids are hex or base64, 64-bit integers numbers or text, enumerations numbers or names, keys camelCase or snake_case; Tempo's `batches` are read too.
What is broken is skipped and said, span by span and line by line; a time that no set clock shows is dropped and its span kept.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import math
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from workbench.documents import first_keys, json_documents
from workbench.model import Json, Record, Skip, Span, SpanEvent
from workbench.plugins import Example
from workbench.source import DAMAGED, MAX_LINE_BYTES, Source, SourceError

Fields = dict[str, Json]
Group = tuple[Json, str | None, Iterable[Json]]
"""A resource's attributes as recorded, a scope's name, and the spans of both."""

RESOURCES = ("resourceSpans", "resource_spans", "batches")
SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")
TRACE_ID = ("traceId", "trace_id")
SPAN_ID = ("spanId", "span_id")
RESOURCE_SPANS = RESOURCE = SCOPE = 1  # field numbers of ExportTraceServiceRequest, ResourceSpans and ScopeSpans
SCOPE_SPANS = SPANS = 2
WIRE_TYPE, LENGTH_DELIMITED = 7, 2
PREFIX_BYTES = 4
M = TypeVar("M", Resource, InstrumentationScope, SpanMessage)
EARLIEST_NS = 86_400_000_000_000  # 1970-01-02: what lies before comes from a clock that was never set
LATEST_NS = 7_258_118_400_000_000_000  # 2200-01-01
MAX_VALUE_CHARACTERS = 16 * 1024 * 1024
STATUSES: dict[str, Literal["ok", "error"]] = {"1": "ok", "2": "error", "STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error", "OK": "ok", "ERROR": "error"}
UNUSABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What taking apart a value of another shape than OTLP's can raise."""


def accepts(source: Source) -> bool:
    """Whether the file begins like OTLP: JSON with resource or scope spans at its top, or a protobuf message that holds them."""
    keys = first_keys(source.head)
    return bool(keys & {*RESOURCES, *SCOPES}) if keys else _framing(source.head) is not None


def collect(source: Source) -> Iterable[Record]:
    """The spans of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    framing = _framing(source.head)
    if framing is None:
        return _from_json(source)
    return _from_protobuf(source, _prefixed(source) if framing == "length-prefixed" else iter([(0, source.read())]))


# ---- JSON


def _from_json(source: Source) -> Iterator[Record]:
    for number, document in json_documents(source):
        place = f"{source.path}:{number}"
        if isinstance(document, SourceError):
            yield Skip(place=place, reason=str(document).removeprefix(f"{place}: "))
            continue
        for item in document if isinstance(document, list) else [document]:
            try:
                groups = list(_groups(item))
            except UNUSABLE:
                yield Skip(place=place, reason=f"no OTLP trace data: want an object with {RESOURCES[0]}, found {_brief(item)}")
                continue
            for group in groups:
                yield from _spans(*group, place)


def _groups(item: Fields) -> Iterator[Group]:
    """The spans of an ExportTraceServiceRequest, or of a ResourceSpans that stands bare. One of UNUSABLE for anything else."""
    for resource_spans in _pick(item, *RESOURCES) or [item]:
        resource = (resource_spans.get("resource") or {}).get("attributes")
        for scope_spans in _pick(resource_spans, *SCOPES, required=resource_spans is item) or ():
            scope = _pick(scope_spans, "scope", "instrumentationLibrary") or {}
            yield resource, scope.get("name"), _pick(scope_spans, "spans") or ()


def _pick(item: Fields, *keys: str, required: bool = False) -> Json:
    """The first of these keys that has a value: OTLP's own camelCase, or a snake_case dialect. KeyError when one is required."""
    for key in keys:
        if (found := item.get(key)) is not None:
            return found
    if required:
        raise KeyError(keys[0])
    return None


# ---- protobuf


def _framing(head: bytes) -> Literal["plain", "length-prefixed"] | None:
    """How protobuf messages stand in a file that begins so; None where it holds none."""
    if _begins_request(head):
        return "plain"
    size = int.from_bytes(head[:PREFIX_BYTES], "big")
    return "length-prefixed" if 0 < size <= MAX_LINE_BYTES and _begins_request(head[PREFIX_BYTES:]) else None


def _begins_request(data: bytes) -> bool:
    """Whether bytes begin with field 1 (ResourceSpans), and that with its field 1, 2 or 3. The byte 0x12 tells it from text: every attribute has it."""
    if data[:1] != b"\n" or b"\x12" not in data:
        return False
    _, _, payload = next(_wire_fields(data), (None, 0, b""))
    return payload[:1] in {b"\x0a", b"\x12", b"\x1a"}


def _prefixed(source: Source) -> Iterator[tuple[int, bytes | SourceError]]:
    """Each message of a file in which a 4-byte big-endian length stands before it, with its offset. A cut-off one comes as far as it goes."""
    offset = 0
    with source.open() as stream:
        while True:
            try:
                size = int.from_bytes(stream.read(PREFIX_BYTES), "big")
                message = stream.read(min(size, MAX_LINE_BYTES))
            except DAMAGED as error:
                yield offset, SourceError(f"cut off or damaged: {error}")
                return
            if size:
                yield offset + PREFIX_BYTES, message
            if len(message) < size:
                yield offset, SourceError(f"a message of {size:,} bytes is announced, {len(message):,} could be read")
            if not size or len(message) < size:
                return
            offset += PREFIX_BYTES + size


def _from_protobuf(source: Source, messages: Iterator[tuple[int, bytes | SourceError]]) -> Iterator[Record]:
    """The spans of each message, down to the last whole one of a message that is cut off."""
    for offset, message in messages:
        if isinstance(message, SourceError):
            yield Skip(place=f"{source.path}:byte {offset}", reason=str(message))
            continue
        for number, start, payload in _wire_fields(message):
            place = f"{source.path}:byte {offset + start}"
            if number == RESOURCE_SPANS:
                yield from _resource_spans(payload, place)
            else:
                yield Skip(place=place, reason="cut off or damaged" if number is None else f"field {number}, which no OTLP trace request has")


def _resource_spans(data: bytes, place: str) -> Iterator[Record]:
    parts = list(_wire_fields(data))
    resource = _decoded(Resource, next((payload for number, _, payload in parts if number == RESOURCE), b""))
    attributes = [_attribute(pair) for pair in resource.attributes] if resource else []
    for number, start, payload in parts:
        if number == SCOPE_SPANS:
            yield from _scope_spans(payload, attributes, place)
        elif number is None:
            yield Skip(place=place, reason=f"ResourceSpans is cut off or damaged {start:,} bytes on")


def _scope_spans(data: bytes, resource: Json, place: str) -> Iterator[Record]:
    parts = list(_wire_fields(data))
    scope = _decoded(InstrumentationScope, next((payload for number, _, payload in parts if number == SCOPE), b""))
    spans = [_decoded(SpanMessage, payload) for number, _, payload in parts if number in (SPANS, None)]
    yield from _spans(resource, scope.name if scope else None, [_span_fields(span) for span in spans if span], place)
    if broken := spans.count(None):
        yield Skip(place=place, reason="a span that is cut off or damaged", count=broken)


def _wire_fields(data: bytes) -> Iterator[tuple[int | None, int, bytes]]:
    """Number, offset and payload of each field of a message whose fields are all length-delimited, as they are down to the spans.

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


# ---- spans, from either


def _spans(resource: Json, scope: str | None, spans: Iterable[Json], place: str) -> Iterator[Record]:
    said: list[str] = []
    origin = _attributes(resource, said, "the resource")
    for span in spans:
        try:
            yield _span(span, scope, origin, said)
        except UNUSABLE as error:
            said.append(f"{_brief(span)}: {error}")
        yield from (Skip(place=place, reason=reason) for reason in said)
        said.clear()


def _span(raw: Fields, scope: str | None, resource: Fields, said: list[str]) -> Span:
    """One span; what had to be dropped of it is added to `said`. One of UNUSABLE when it has no usable ids or no such shape."""
    trace_id, span_id = (_hex_id(_pick(raw, *keys), digits) for keys, digits in ((TRACE_ID, 32), (SPAN_ID, 16)))
    if trace_id is None or span_id is None:
        found = ", ".join(f"{keys[0]} {_brief(_pick(raw, *keys))}" for keys in (TRACE_ID, SPAN_ID))
        raise ValueError(f"a span without usable ids: want 32 and 16 hex digits, not all 0, found {found}")
    label = f"span {span_id}"
    status = _pick(raw, "status") or {}
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=_parent(raw, said, label),
        name=_cut(str(_pick(raw, "name") or ""), said, f"name of {label}"),
        start_ns=_time(_pick(raw, "startTimeUnixNano", "start_time_unix_nano"), said, f"start of {label}"),
        end_ns=_time(_pick(raw, "endTimeUnixNano", "end_time_unix_nano"), said, f"end of {label}"),
        status=STATUSES.get(str(status.get("code")), "unset"),
        status_message=_cut(str(status.get("message") or ""), said, f"status of {label}"),
        attributes=_attributes(_pick(raw, "attributes"), said, label),
        events=tuple(_event(event, said, label) for event in _pick(raw, "events") or ()),
        scope=str(scope) if scope else None,
        resource=resource,
    )


def _event(raw: Fields, said: list[str], label: str) -> SpanEvent:
    at = _time(_pick(raw, "timeUnixNano", "time_unix_nano"), said, f"an event of {label}")
    return SpanEvent(name=str(_pick(raw, "name") or ""), at_ns=at, attributes=_attributes(_pick(raw, "attributes"), said, label))


def _parent(raw: Fields, said: list[str], label: str) -> str | None:
    """The parent's id; None for a root, and for an id that can't be one, which is said."""
    value = _pick(raw, "parentSpanId", "parent_span_id")
    parent = _hex_id(value, 16)
    if parent is None and value and str(value).strip("0A="):
        said.append(f"parent of {label} left out: want 16 hex digits, found {_brief(value)}")
    return parent


def _hex_id(value: Json, digits: int) -> str | None:
    """An id in lower-case hex; from base64 too, as protobuf's own JSON writes it. None for another length and for all zeros."""
    if not isinstance(value, str) or not value.isascii():
        return None
    try:
        found = bytes.fromhex(value) if len(value) == digits else base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return None
    return found.hex() if len(found) * 2 == digits and any(found) else None


def _time(value: Json, said: list[str], label: str) -> int | None:
    """Nanoseconds since 1970. None where it is 0 or missing; None and said where no set clock could have shown it."""
    if value in (None, 0, "", "0"):
        return None
    try:
        found = int(value)
    except UNUSABLE:
        found = -1
    if EARLIEST_NS <= found < LATEST_NS:
        return found
    said.append(f"time left out, {label}: want nanoseconds from 1970-01-02 to 2200, found {_brief(value)}")
    return None


def _attributes(pairs: Json, said: list[str], label: str) -> Fields:
    """OTLP's list of pairs as an object; one that is an object already is taken as it is. What can't be read is left out and said."""
    if isinstance(pairs, dict):
        pairs = [{"key": key, "value": value} for key, value in pairs.items()]
    found: Fields = {}
    for pair in pairs if isinstance(pairs, list) else ():
        try:
            key, value = pair["key"], _value(pair.get("value"))
        except UNUSABLE as error:
            said.append(f"attribute of {label} left out: {type(error).__name__}: {error}: {_brief(pair)}")
            continue
        small = not isinstance(value, list | dict) and (not isinstance(value, str) or len(value) <= MAX_VALUE_CHARACTERS)
        found[str(key)] = value if small else _cut(value, said, f"{key} of {label}")
    return found


def _value(wrapped: Json) -> Json:
    """An AnyValue as what it holds: 64-bit integers may be text, bytes are base64 text. What isn't wrapped is taken as it is."""
    if not isinstance(wrapped, dict):
        return wrapped
    for key, held in wrapped.items():
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
    return None


def _cut(value: Json, said: list[str], label: str) -> Json:
    """The value with every text in it no longer than the limit; what was cut is said."""
    if isinstance(value, str):
        if len(value) <= MAX_VALUE_CHARACTERS:
            return value
        said.append(f"{label}: {len(value):,} characters cut to {MAX_VALUE_CHARACTERS:,}")
        return value[:MAX_VALUE_CHARACTERS]
    if isinstance(value, list):
        return [_cut(inner, said, label) for inner in value]
    return {key: _cut(inner, said, label) for key, inner in value.items()} if isinstance(value, dict) else value


def _brief(value: Json) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004  # enough to recognise it by


# ---- examples

_SPANS: list[Fields] = [
    {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "ChatOpenAI",
        "startTimeUnixNano": "1750000000000000000",
        "endTimeUnixNano": "1750000001000000000",
        "status": {"code": "STATUS_CODE_OK"},
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
            {"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}}},
        ],
    },
    {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "00f067aa0ba902b7",
        "parentSpanId": "b7ad6b7169203331",
        "name": "book_flight",
        "startTimeUnixNano": 1750000002000000000,
        "status": {"code": 2, "message": "timed out"},
        "events": [{"name": "exception", "attributes": [{"key": "exception.type", "value": {"stringValue": "TimeoutError"}}]}],
    },
]


def _request_text(spans: list[Fields], indent: int | None = None) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "example"}, "spans": spans}]}]}, indent=indent).encode()


def _request_message() -> bytes:
    """The same two spans as ExportTraceServiceRequest on the wire."""
    request = ExportTraceServiceRequest()
    for span in _SPANS:
        message = request.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes.fromhex(span["traceId"]), span_id=bytes.fromhex(span["spanId"]))
        message.name = span["name"]
        message.attributes.add(key="tool.name").value.string_value = span["name"]
    content: bytes = request.SerializeToString()
    return content


EXAMPLES = (
    Example("lines.jsonl", b"\n".join(_request_text([span]) for span in _SPANS) + b"\n", {"Span": 2}),
    Example("document.json", _request_text(_SPANS, indent=2), {"Span": 2}),
    Example("lines.jsonl.gz", gzip.compress(_request_text(_SPANS), mtime=0), {"Span": 2}),
    Example("request.pb", _request_message(), {"Span": 2}),
    Example("exported.pb", len(_request_message()).to_bytes(4, "big") + _request_message(), {"Span": 2}),
    Example(
        "half-broken.jsonl", _request_text(_SPANS[:1]) + b'\n{"resourceSpans": [{"scopeSpans"\n' + _request_text([{"traceId": "1"}]), {"Span": 1, "Skip": 2}
    ),
)
