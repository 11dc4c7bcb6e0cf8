"""Spans straight off the wire: OTLP's protobuf read down to what differs from span to span, and what recurs read once.

Most attributes of a span are those of the span before: the same key with the same value, so the same bytes. `ScopeRecords` and `RawSpan` are OTLP's own
messages with their inner ones left as bytes, which are then looked up before they are parsed. Whatever is not regular is left to `reading.otlp`, which
reads the same messages in full and says what is wrong with them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from workbench.model import Json, Span, SpanEvent
from workbench.reading.spans import CODES, EARLIEST_NS, LATEST_NS, MAX_VALUE_CHARACTERS, SPAN_DIGITS, TRACE_DIGITS, Fields

T = TypeVar("T")
KEPT_BYTES, KEPT = 256, 16_384
"""How long an attribute's bytes may be to be remembered, and how many are."""
TRACE_BYTES, SPAN_BYTES = TRACE_DIGITS // 2, SPAN_DIGITS // 2
NO_TRACE, NO_SPAN = bytes(TRACE_BYTES), bytes(SPAN_BYTES)


class IrregularError(ValueError):
    """Not as nearly all spans are. Read it in full."""


def _messages() -> dict[str, Any]:
    """`ScopeSpans` and `Span` of OTLP's trace.proto, with the fields that are messages as their bytes: on the wire the two are the same."""
    kinds = descriptor_pb2.FieldDescriptorProto
    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    layout = {
        "ScopeRecords": [("scope", 1, kinds.TYPE_BYTES, one), ("records", 2, kinds.TYPE_BYTES, many), ("schema_url", 3, kinds.TYPE_BYTES, one)],
        "RawSpan": [
            *((name, number, kinds.TYPE_BYTES, one) for number, name in enumerate(("trace_id", "span_id"), 1)),
            ("parent_span_id", 4, kinds.TYPE_BYTES, one),
            ("name", 5, kinds.TYPE_STRING, one),
            *((name, number, kinds.TYPE_FIXED64, one) for number, name in enumerate(("start_time_unix_nano", "end_time_unix_nano"), 7)),
            ("attributes", 9, kinds.TYPE_BYTES, many),
            ("events", 11, kinds.TYPE_BYTES, many),
            ("links", 13, kinds.TYPE_BYTES, many),
            ("status", 15, kinds.TYPE_BYTES, many),
        ],
    }
    file = descriptor_pb2.FileDescriptorProto(name="workbench/raw_trace.proto", package="workbench", syntax="proto3")
    for message, fields in layout.items():
        declared = file.message_type.add(name=message)
        for name, number, kind, label in fields:
            declared.field.add(name=name, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"workbench.{name}")) for name in layout}


_MESSAGES = _messages()
ScopeRecords, RawSpan = _MESSAGES["ScopeRecords"], _MESSAGES["RawSpan"]


class _Remembered(dict[bytes, T]):
    """What short bytes stand for, so that it is made once. Starts anew when it is full: what recurs is soon back."""

    def __init__(self, make: Callable[[bytes], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, raw: bytes) -> T:
        made = self._make(raw)
        if len(raw) <= KEPT_BYTES:
            if len(self) >= KEPT:
                self.clear()
            self[raw] = made
        return made


def _pair(raw: bytes) -> tuple[str, Json]:
    """An attribute, its value as `reading.otlp` reads it."""
    try:
        pair = KeyValue.FromString(raw)
    except DecodeError as error:
        raise IrregularError from error
    return pair.key, value_of(pair.value)


def value_of(value: AnyValue) -> Json:
    """What a value holds. IrregularError for text longer than what is kept."""
    kind = value.WhichOneof("value")
    if kind in {"string_value", "bytes_value"}:
        found = value.string_value if kind == "string_value" else base64.b64encode(value.bytes_value).decode("ascii")
        if len(found) > MAX_VALUE_CHARACTERS:
            raise IrregularError
        return found
    if kind == "double_value":
        number = value.double_value
        return number if math.isfinite(number) else str(number)
    if kind == "array_value":
        return [value_of(inner) for inner in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: value_of(pair.value) for pair in value.kvlist_value.values}
    return None if kind is None else getattr(value, kind)


def _status(raw: bytes) -> tuple[str, str]:
    try:
        status = Status.FromString(raw)
    except DecodeError as error:
        raise IrregularError from error
    if len(status.message) > MAX_VALUE_CHARACTERS:
        raise IrregularError
    return CODES.get(status.code, "unset"), status.message


_PAIRS, _STATUSES = _Remembered(_pair), _Remembered(_status)
UNSET = ("unset", "")


def regular_span(data: bytes, scope: str | None, resource: Fields) -> Span:
    """A span that has nothing to be said about. IrregularError for any other, and for bytes that are none."""
    try:
        raw = RawSpan.FromString(data)
    except DecodeError as error:
        raise IrregularError from error
    span_id, parent, statuses, name = raw.span_id, raw.parent_span_id, raw.status, raw.name
    if len(statuses) > 1 or len(name) > MAX_VALUE_CHARACTERS or raw.links:
        raise IrregularError
    status, message = _STATUSES[statuses[0]] if statuses else UNSET
    start_ns, end_ns = _time(raw.start_time_unix_nano), _time(raw.end_time_unix_nano)
    if start_ns and end_ns and end_ns < start_ns:
        raise IrregularError
    return Span.made(
        {
            "trace_id": _id(raw.trace_id, NO_TRACE),
            "span_id": _id(span_id, NO_SPAN),
            "parent_span_id": _id(parent, NO_SPAN) if parent and parent not in (span_id, NO_SPAN) else None,
            "name": name,
            "start_ns": start_ns,
            "end_ns": end_ns,
            "status": status,
            "status_message": message,
            "attributes": dict([_PAIRS[pair] if len(pair) <= KEPT_BYTES else _pair(pair) for pair in raw.attributes]),
            "events": tuple([_event(event) for event in raw.events]),
            "scope": scope or None,
            "resource": resource,
            "links": (),
        }
    )


def _id(raw: bytes, none: bytes) -> str:
    if len(raw) != len(none) or raw == none:
        raise IrregularError
    return raw.hex()


def _time(ns: int) -> int | None:
    if ns and not EARLIEST_NS <= ns < LATEST_NS:
        raise IrregularError
    return ns or None


def _event(data: bytes) -> SpanEvent:
    try:
        event = SpanMessage.Event.FromString(data)
    except DecodeError as error:
        raise IrregularError from error
    if len(event.name) > MAX_VALUE_CHARACTERS:
        raise IrregularError
    attributes = {pair.key: value_of(pair.value) for pair in event.attributes}
    return SpanEvent.made({"name": event.name, "at_ns": _time(event.time_unix_nano), "attributes": attributes})


def records_in(scope_spans: bytes) -> tuple[bytes, list[bytes]] | None:
    """The scope of a ScopeSpans or ScopeLogs, and its records; None for one that is damaged or has anything else in it."""
    try:
        found = ScopeRecords.FromString(scope_spans)
    except DecodeError:
        return None
    return None if UnknownFieldSet(found) else (found.scope, list(found.records))
