"""OTLP requests as records: what the file collector makes of the same bytes, and how many spans of a request it could not use."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from workbench.model import Json, Log, Record, Skip, Span
from workbench.plugins import collectors
from workbench.reading.documents import parse_json
from workbench.source import Body, Source, SourceError

Signal = Literal["traces", "logs"]
Encoding = Literal["protobuf", "json"]

BLOCK_BYTES = 64 * 1024
GZIP_WINDOW = 31  # zlib's number for a gzip header and the largest window
REASONS_TOLD = 5
KINDS: dict[Signal, type[Record]] = {"traces": Span, "logs": Log}
RESOURCES: dict[Signal, tuple[str, str, str]] = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}


class UnreadableError(ValueError):
    """A request that is no OTLP of its kind at all. The message says what would be right; sending it again would not help."""


@dataclass(frozen=True)
class Request:
    """What a request held: its records with the skips among them, how many could not be used, and why (the first few reasons)."""

    records: tuple[Record, ...]
    rejected: int
    message: str


def read_request(body: bytes, signal: Signal, encoding: Encoding, place: str) -> Request:
    """The records of a request body that is already decompressed. UnreadableError where nothing in it can be read."""
    announced, body = _announced(body, signal, encoding)
    if announced == 0:
        return Request((), 0, "")
    try:
        records = tuple(_collected(Body(Path(place), body)))
    except SourceError as error:
        raise UnreadableError(str(error)) from error
    wanted = sum(isinstance(record, KINDS[signal]) for record in records)
    skips = [record for record in records if isinstance(record, Skip)]
    if announced is None and not wanted:
        raise UnreadableError(f"the body is no OTLP {signal} request in {encoding}")
    rejected = announced - wanted if announced is not None else max(1, sum(skip.count for skip in skips))
    return Request(records, rejected, _told(skips))


def gunzipped(blocks: Iterable[bytes], reserve: Callable[[int], None]) -> bytes:
    """A gzip body, decompressed no further than `reserve(bytes)` allows: it is told of each part before the next is unpacked. UnreadableError for damage."""
    unpacker, parts = zlib.decompressobj(GZIP_WINDOW), []
    for block in (*blocks, b""):
        rest, part = block, b"."
        while (rest or part) and not unpacker.eof:
            try:
                part = unpacker.decompress(rest, BLOCK_BYTES)
            except zlib.error as error:
                raise UnreadableError(f"the body is no gzip, though its content-encoding says so: {error}") from error
            reserve(len(part))
            parts.append(part)
            rest = unpacker.unconsumed_tail
    if not unpacker.eof or unpacker.unused_data:
        raise UnreadableError("the gzip body is cut off" if not unpacker.eof else "the gzip body has more than one member")
    return b"".join(parts)


def _collected(source: Source) -> Iterable[Record]:
    collector = collectors()["otlp"]
    if not collector.accepts(source):
        raise UnreadableError(f"the collector {collector.name} finds nothing it reads in the body")
    return collector.collect(source)


def _announced(body: bytes, signal: Signal, encoding: Encoding) -> tuple[int | None, bytes]:
    """How many spans or logs a body holds, None where that can't be told because it is damaged; and the body as the collector reads it.

    Logs and traces look alike in protobuf, so logs are passed on as JSON, in which they say what they are.
    """
    if encoding == "json":
        return _announced_in_json(body, signal), body
    try:
        if signal == "traces":
            return sum(len(scope.spans) for one in ExportTraceServiceRequest.FromString(body).resource_spans for scope in one.scope_spans), body
        request = ExportLogsServiceRequest.FromString(body)
        return sum(len(scope.log_records) for one in request.resource_logs for scope in one.scope_logs), MessageToJson(request, indent=None).encode()
    except DecodeError as error:
        if signal == "logs":
            raise UnreadableError(f"the body is no OTLP logs request in protobuf: {error}") from error
        return None, body


def _announced_in_json(body: bytes, signal: Signal) -> int:
    resources, scopes, items = RESOURCES[signal]
    try:
        request: Json = parse_json(body)
        return sum(len(scope.get(items) or ()) for one in request.get(resources) or () for scope in one.get(scopes) or ())
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableError(f"the body is no OTLP {signal} request in JSON: want an object with {resources}: {error}") from error


def _told(skips: Iterable[Skip]) -> str:
    reasons = dict.fromkeys(skip.reason for skip in skips)
    told = "; ".join(list(reasons)[:REASONS_TOLD])
    return f"{told}; and {len(reasons) - REASONS_TOLD} more" if len(reasons) > REASONS_TOLD else told
