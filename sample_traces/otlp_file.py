"""Writes each finished span as one line of OTLP/JSON, at once, so that a killed process leaves what it had finished.

Left out: the payloads of chain and agent spans and the input value of model spans (they repeat the whole state, which the checkpoints hold, and the
messages, which stand beside them), and stack traces, which name the paths of the machine. Ids are counted, so a second recording has the same.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import format_span_id, format_trace_id

from sample_traces.otlp_json import attributes, filled

Json = Any
MOST_ATTRIBUTES = 100_000
STATE = ("input.", "output.", "llm.")
REPEATED = {"CHAIN": STATE, "AGENT": STATE, "LLM": ("input.",)}
TRACEBACK = "Traceback (most recent call last)"


class CountedIds(IdGenerator):
    """Trace and span ids that count up from a prefix: the hash of the incident's name and the number of the process."""

    def __init__(self, name: str, process: int) -> None:
        self.prefix = hashlib.sha256(f"{name}/{process}".encode()).digest()
        self.traces, self.spans = itertools.count(1), itertools.count(1)

    def generate_span_id(self) -> int:
        """The next span id: 32 bits of prefix, 32 bits of count."""
        return int.from_bytes(self.prefix[:4]) << 32 | next(self.spans)

    def generate_trace_id(self) -> int:
        """The next trace id: 96 bits of prefix, 32 bits of count."""
        return int.from_bytes(self.prefix[:12]) << 32 | next(self.traces)


class OtlpFile(SpanExporter):
    """Appends one ExportTraceServiceRequest a span to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append these spans; what is written is on disk when this returns."""
        with self.path.open("a", encoding="utf-8") as stream:
            for span in spans:
                stream.write(json.dumps(request(span), separators=(",", ":"), ensure_ascii=False) + "\n")
        return SpanExportResult.SUCCESS


def instrument(path: Path, name: str, process: int) -> None:
    """Record every LangChain and LangGraph call of this process to the file."""
    provider = TracerProvider(
        resource=Resource({"service.name": "travel-agent", "service.version": "1"}),
        id_generator=CountedIds(name, process),
        span_limits=SpanLimits(max_span_attributes=MOST_ATTRIBUTES),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(OtlpFile(path)))
    LangChainInstrumentor().instrument(tracer_provider=provider)


def request(span: ReadableSpan) -> Json:
    """A span as ExportTraceServiceRequest, in OTLP's JSON encoding: hex ids, 64-bit integers as text."""
    scope = span.instrumentation_scope
    named = {"name": scope.name, "version": scope.version} if scope else {}
    resource = {"attributes": attributes(span.resource.attributes)}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": named, "spans": [encode(span)]}]}]}


def encode(span: ReadableSpan) -> Json:
    """The span itself."""
    context, found = span.get_span_context(), span.attributes or {}
    if context is None:
        raise ValueError(f"span {span.name} has no ids")
    dropped = REPEATED.get(str(found.get("openinference.span.kind")), ())
    kept = {key: value for key, value in found.items() if not key.startswith(dropped)}
    encoded = {
        "traceId": format_trace_id(context.trace_id),
        "spanId": format_span_id(context.span_id),
        "parentSpanId": format_span_id(span.parent.span_id) if span.parent else "",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": attributes(kept),
        "droppedAttributesCount": len(found) - len(kept),
        "events": [event(happened) for happened in span.events],
        "status": filled({"code": span.status.status_code.value, "message": (span.status.description or "").split(TRACEBACK)[0]}),
    }
    return filled(encoded)


def event(happened: Event) -> Json:
    """A span event, without its stack trace."""
    kept = {key: value for key, value in (happened.attributes or {}).items() if key != "exception.stacktrace"}
    return {"timeUnixNano": str(happened.timestamp), "name": happened.name, "attributes": attributes(kept)}
