"""Google Cloud Trace as JSON: what version 1 of its API answers, one trace (`projects.traces.get`) or a list of them (`{"traces": [...]}`).

Span ids are 64-bit numbers in decimal, times RFC 3339, and all labels are text, as the reference of `projects.traces` has it; OpenTelemetry's attributes
are labels of the same names. A failed span is one with the label `/error/message`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from workbench.model import Json, Record, Span
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.span_objects import read_items, rows_of
from workbench.reading.spans import SPAN_DIGITS, TRACE_DIGITS, Fields, Said, flat_list, hex_id, span_of, time_of
from workbench.source import Source

PLACES = frozenset({"", "[]", "traces[]"})
FAILURE = "/error/message"
LARGEST_ID = (1 << 64) - 1


def accepts(source: Source) -> bool:
    """Whether the file begins with a trace of Google Cloud's: nobody else's has a project beside its spans."""
    return bool(having(source.outline, "projectId", "traceId", "spans") & PLACES)


def collect(source: Source) -> Iterable[Record]:
    """The spans of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    return read_items(source, _items, _span, "a trace with projectId, traceId and spans")


def _items(document: Json) -> Iterator[tuple[Json, Json]]:
    """Each span with the id of its trace."""
    for trace in rows_of(document, "traces"):
        for span in trace["spans"]:
            yield trace["traceId"], span


def _span(item: tuple[Json, Fields], said: Said) -> Span:
    trace_id, raw = item
    span_id = _id(raw.get("spanId"))
    label = f"span {span_id}"
    labels: Fields = {key: flat_list(value) for key, value in (raw.get("labels") or {}).items()}
    return span_of(
        said,
        trace_id=hex_id(trace_id, TRACE_DIGITS),
        span_id=span_id,
        parent=_id(raw.get("parentSpanId")),
        name=raw.get("name"),
        start_ns=time_of(raw.get("startTime"), said, f"start of {label}"),
        end_ns=time_of(raw.get("endTime"), said, f"end of {label}"),
        state="error" if FAILURE in labels else "unset",
        message=labels.get(FAILURE) or "",
        attributes=labels,
    )


def _id(value: Json) -> str | None:
    """A decimal number as 16 hex digits; None where there is none, as for the parent of a root."""
    number = int(str(value)) if isinstance(value, str | int) and str(value).isdecimal() and len(str(value)) <= len(str(LARGEST_ID)) else 0
    return f"{number:0{SPAN_DIGITS}x}" if 0 < number <= LARGEST_ID else None


_SPANS: list[Fields] = [
    {
        "spanId": "2205310701640571284",
        "name": "invoke_agent clerk",
        "startTime": "2026-03-01T09:00:00Z",
        "endTime": "2026-03-01T09:00:02.500000001Z",
        "labels": {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"},
    },
    {
        "spanId": "7",
        "parentSpanId": "2205310701640571284",
        "kind": "RPC_CLIENT",
        "name": "chat m-1",
        "startTime": "2026-03-01T09:00:01Z",
        "endTime": "2026-03-01T09:00:02Z",
        "labels": {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": "12", "/error/message": "out of quota"},
    },
]
_TRACE: Fields = {"projectId": "example", "traceId": "382d4f4c6b7bb2f4a972559d9085001d", "spans": _SPANS}

EXAMPLES = (
    Example("trace.json", json.dumps(_TRACE).encode(), {"Span": 2}),
    Example(
        "traces.json",
        json.dumps({"traces": [{**_TRACE, "spans": [*_SPANS, {"spanId": "0"}, 5]}], "nextPageToken": "x"}, indent=1).encode(),
        {"Span": 2, "Skip": 2},
    ),
    Example("traces.jsonl", json.dumps(_TRACE).encode() + b"\n" + json.dumps({**_TRACE, "spans": _SPANS[:1]}).encode() + b"\n", {"Span": 3}),
)
