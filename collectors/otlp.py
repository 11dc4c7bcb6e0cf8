"""OTLP traces and logs in files: JSON lines, one JSON document, or protobuf (plain, or length-prefixed as the OpenTelemetry Collector's file exporter writes).

With `compression: zstd` that exporter compresses each message by itself, behind its length; such files are read as well as files compressed whole.
Tempo's `batches`, and requests wrapped as Tempo's and Jaeger's newer APIs do, are read too. A log record is kept where it belongs to a span.
What is broken is skipped and said, record by record and line by line; a time that no set clock shows is dropped and its span kept.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from typing import Literal

import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from workbench.model import Json, Record, Skip
from workbench.outline import Outline, outline
from workbench.plugins import Example
from workbench.reading.documents import json_documents, parsed
from workbench.reading.otlp import ENVELOPES, LOG_RESOURCES, LOG_SCOPES, RESOURCES, SCOPES, begins_request, records_of_json, records_of_protobuf
from workbench.source import DAMAGED, HEAD_BYTES, MAX_LINE_BYTES, ZSTD_MAGIC, Source, SourceError, unpacked

Fields = dict[str, Json]

KEYS = frozenset({*RESOURCES, *SCOPES, *LOG_RESOURCES, *LOG_SCOPES})
PLACES = frozenset({"", "[]", *ENVELOPES})
PREFIX_BYTES = 4
PARTIAL = "PARTIAL"
"""The status of an answer of Tempo's that is not the whole trace."""


def accepts(source: Source) -> bool:
    """Whether the file begins like OTLP: JSON with resource or scope spans (or logs) at its top, or a protobuf message that holds them."""
    return _is_request(source.outline) if source.outline else _framing(source.head) is not None


def collect(source: Source) -> Iterable[Record]:
    """The spans and logs of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    framing = _framing(source.head)
    if framing is None:
        return _from_json(source)
    return records_of_protobuf(source.read(), str(source.path)) if framing == "plain" else _from_messages(source)


def _is_request(seen: Outline) -> bool:
    return any(at in PLACES and key in KEYS for at, key in seen)


def _from_json(source: Source) -> Iterator[Record]:
    for number, document in json_documents(source):
        place = f"{source.path}:{number}"
        if isinstance(document, SourceError):
            yield _skip(document, place)
        else:
            yield from records_of_json(document, place)
            if isinstance(document, dict) and document.get("status") == PARTIAL:
                yield Skip(place=place, reason=f"the answer is partial, spans are missing: {document.get('message') or 'it says no more'}")


# ---- messages, each behind its length


def _framing(head: bytes) -> Literal["plain", "length-prefixed"] | None:
    """How messages stand in a file that begins so; None where it holds none."""
    if begins_request(head):
        return "plain"
    size, message = int.from_bytes(head[:PREFIX_BYTES], "big"), head[PREFIX_BYTES:]
    if not 0 < size <= MAX_LINE_BYTES:
        return None
    try:
        begins = unpacked(message[:size], HEAD_BYTES)
    except DAMAGED:
        return None
    json_message = message.startswith(ZSTD_MAGIC) and _is_request(outline(begins))
    return "length-prefixed" if json_message or begins_request(begins) else None


def _from_messages(source: Source) -> Iterator[Record]:
    """The records of each message; a message that can't be read is skipped."""
    for offset, message in _prefixed(source):
        place = f"{source.path}:byte {offset}"
        if isinstance(message, SourceError):
            yield Skip(place=place, reason=str(message))
        elif message[:1] == b"{":
            yield from _from_text(message, place)
        else:
            yield from records_of_protobuf(message, str(source.path), offset)


def _from_text(message: bytes, place: str) -> Iterator[Record]:
    for document in parsed(message, place):
        yield from [_skip(document, place)] if isinstance(document, SourceError) else records_of_json(document, place)


def _skip(error: SourceError, place: str) -> Skip:
    return Skip(place=place, reason=str(error).removeprefix(f"{place}: "))


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
                yield offset + PREFIX_BYTES, _unpacked(message)
            if len(message) < size:
                yield offset, SourceError(f"a message of {size:,} bytes is announced, {len(message):,} could be read")
            if not size or len(message) < size:
                return
            offset += PREFIX_BYTES + size


def _unpacked(message: bytes) -> bytes | SourceError:
    """A message out of its compression, which may hold no more than a line may."""
    try:
        found = unpacked(message, MAX_LINE_BYTES + 1)
    except DAMAGED as error:
        return SourceError(f"cut off or damaged: {error}")
    return found if len(found) <= MAX_LINE_BYTES else SourceError(f"a message that unpacks to more than {MAX_LINE_BYTES:,} bytes")


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


def _logs_message() -> bytes:
    """A log record of the first span, one that was only observed, and one outside any span, as ExportLogsServiceRequest on the wire."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    ids = {"trace_id": bytes.fromhex(_SPANS[0]["traceId"]), "span_id": bytes.fromhex(_SPANS[0]["spanId"])}
    records.add(**ids, time_unix_nano=1750000000000000000, event_name="gen_ai.user.message").body.string_value = '{"content": "Book NH 11"}'
    records.add(**ids, observed_time_unix_nano=1750000000500000000).attributes.add(key="event.name").value.string_value = "gen_ai.choice"
    records.add(time_unix_nano=1750000000000000000).body.string_value = "listening"
    content: bytes = request.SerializeToString()
    return content


def _exported(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(PREFIX_BYTES, "big") + message for message in messages)


_COMPRESS = zstandard.ZstdCompressor().compress
_LOG: Fields = {
    "observedTimeUnixNano": "1750000000000000000",
    "traceId": _SPANS[0]["traceId"],
    "spanId": _SPANS[0]["spanId"],
    "eventName": "gen_ai.user.message",
    "body": {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "Book NH 11"}}]}},
}
_LOGS: Fields = {"resourceLogs": [{"scopeLogs": [{"scope": {"name": "example"}, "logRecords": [_LOG, {"body": {"stringValue": "listening"}}]}]}]}
_TEMPO: Fields = {"batches": [{"resource": {}, "instrumentationLibrarySpans": [{"instrumentationLibrary": {"name": "example"}, "spans": _SPANS}]}]}

EXAMPLES = (
    Example("lines.jsonl", b"\n".join(_request_text([span]) for span in _SPANS) + b"\n", {"Span": 2}),
    Example("document.json", _request_text(_SPANS, indent=2), {"Span": 2}),
    Example("lines.jsonl.gz", gzip.compress(_request_text(_SPANS), mtime=0), {"Span": 2}),
    Example("request.pb", _request_message(), {"Span": 2}),
    Example("exported.pb", _exported(_request_message()), {"Span": 2}),
    Example("exported.pb.zst", _exported(*(_COMPRESS(_request_message()) for _ in range(2))), {"Span": 4}),
    Example("exported.json.zst", _exported(_COMPRESS(_request_text(_SPANS)), _COMPRESS(json.dumps(_LOGS).encode())), {"Span": 2, "Log": 1, "Skip": 1}),
    Example("lines.jsonl.zst", _COMPRESS(_request_text(_SPANS)), {"Span": 2}),
    Example("logs.jsonl", json.dumps(_LOGS).encode(), {"Log": 1, "Skip": 1}),
    Example("logs.pb", _logs_message(), {"Log": 2, "Skip": 1}),
    Example("tempo.json", json.dumps(_TEMPO).encode(), {"Span": 2}),
    Example("tempo_partial.json", json.dumps({"trace": json.loads(_request_text(_SPANS)), "status": "PARTIAL"}).encode(), {"Span": 2, "Skip": 1}),
    Example("tempo_v2.json", json.dumps({"metrics": {}, "trace": json.loads(_request_text(_SPANS))}).encode(), {"Span": 2}),
    Example(
        "half-broken.jsonl", _request_text(_SPANS[:1]) + b'\n{"resourceSpans": [{"scopeSpans"\n' + _request_text([{"traceId": "1"}]), {"Span": 1, "Skip": 2}
    ),
)
