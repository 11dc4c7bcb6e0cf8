"""Langfuse exports: a trace with its observations (downloaded, or from the API); observations, traces and scores alone (API pages, blob-storage exports).

Each observation is a span. Its own fields become attributes `langfuse.*` as they are spelled there, JSON in text decoded once, and the trace's
become `langfuse.trace.*` of its top observations. What an OpenTelemetry span was sent with (`metadata.attributes`) becomes its attributes again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from workbench.model import Json, Record, Span
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.messages import amount_of
from workbench.reading.span_objects import first_of, read_items, read_rows, rows_of
from workbench.reading.spans import OF_TRACE, SPAN_DIGITS, TRACE_DIGITS, Fields, Said, any_time, decoded_once, made_id, span_of
from workbench.reading.tables import columns_of
from workbench.source import Source

PLACES = frozenset({"", "[]", "data[]", "observations[]"})
WHOLE = frozenset({"", "[]"})
ROW = frozenset({"id", "traceId", "type", "startTime", "parentObservationId"})
TRACE_ID = ("traceId", "trace_id")
PARENT = ("parentObservationId", "parent_observation_id")
START = ("startTime", "start_time")
END = ("endTime", "end_time")
MESSAGE = ("statusMessage", "status_message")
DATA_TYPE = ("dataType", "data_type")
SCORES = "langfuse.scores"
OPENED = frozenset({"input", "output", "metadata"}) | {"modelParameters", "model_parameters", "usageDetails", "usage_details", "costDetails", "cost_details"}
"""Fields that may hold JSON as text."""
EMPTY: tuple[Json, ...] = (None, "", [], {})
WHOLE_TRACE = "TRACE"
"""The type that a trace gets here, which is told without its observations: they may stand in another file."""
SPELLED = {"session_id": "sessionId", "user_id": "userId", "project_id": "projectId"}
"""A trace's fields in blob-storage exports, and as the API spells them."""
DETAILS = ("usageDetails", "usage_details", "costDetails", "cost_details")
COUNTS = frozenset({"totalCost", "inputUsage", "outputUsage", "totalUsage", "promptTokens", "completionTokens", "totalTokens", "total_cost"})
"""Numbers that Langfuse fills with 0 where nothing was recorded: then there are no details either."""


def accepts(source: Source) -> bool:
    """Whether the file begins with a trace of Langfuse's, alone or beside its observations, or with an observation."""
    seen = source.outline
    whole = having(seen, "trace", "observations") | having(seen, "observations", "projectId") | having(seen, "observations", "htmlPath")
    told = {at for at in having(seen, "observations", "timestamp") if (at, "id") in seen} | {at for at in having(seen, "trace") if _is_trace(at, seen)}
    alone = having(seen, "traceId", "startTime", "type") | having(seen, "trace_id", "start_time", "parent_observation_id", "type")
    told |= having(seen, "id", "project_id", "timestamp", "session_id") - having(seen, "trace_id")
    told |= having(seen, "traceId", "observationId", "value", "dataType") | having(seen, "trace_id", "observation_id", "value", "data_type")
    inside = any(at in {"trace", "observations[]", "[].trace", "[].observations[]"} for at, _ in seen)
    return bool((whole & WHOLE and inside) or told & PLACES or alone & PLACES) or columns_of(source) >= ROW


def _is_trace(at: str, seen: Iterable[tuple[str, str]]) -> bool:
    inside = f"{at}.trace" if at else "trace"
    return {"id", "projectId", "timestamp"} <= {key for place, key in seen if place == inside}


def collect(source: Source) -> Iterable[Record]:
    """The observations of a file as spans, and what had to be skipped. SourceError when the file as a whole can't be read."""
    if columns_of(source):
        return read_rows(source, lambda row, said: _span((row, {}), said))
    return read_items(source, _items, _span, "a trace with observations, or observations")


def _items(document: Json) -> Iterator[tuple[Json, Json]]:
    """Each observation with its trace's own fields; an observation that stands alone has none."""
    for item in rows_of(document, "data"):
        if not isinstance(item, dict) or first_of(item, TRACE_ID) is not None:
            yield item, {}
            continue
        trace = item["trace"] if isinstance(item.get("trace"), dict) else item
        observations = item.get("observations") or trace.get("observations") or ()
        whole = {key: value for key, value in trace.items() if key != "observations"}
        full = [one for one in observations if not isinstance(one, str)]  # a list of traces has no more than their ids
        yield from ((one, whole) for one in full)
        if not full:
            whole = {SPELLED.get(key, key): value for key, value in whole.items()}
            yield {**whole, "traceId": whole["id"], "startTime": whole.get("timestamp"), "type": WHOLE_TRACE}, {}


def _span(item: tuple[Fields, Fields], said: Said) -> Span:
    raw, trace = item
    if _is_score(raw):
        return _of_score(raw, said)
    span_id = made_id(raw.get("id"), SPAN_DIGITS)
    label = f"span {span_id}"
    own = _own(raw)
    parent = first_of(raw, PARENT)
    sent = _object(own.get("metadata"))
    start = any_time(first_of(raw, START), said, f"start of {label}")
    return span_of(
        said,
        trace_id=made_id(first_of(raw, TRACE_ID), TRACE_DIGITS),
        span_id=span_id,
        parent=made_id(parent, SPAN_DIGITS) if parent else None,
        name=raw.get("name"),
        start_ns=start,
        end_ns=any_time(first_of(raw, END), said, f"end of {label}") or _end_of_trace(raw, start),
        state="error" if raw.get("level") == "ERROR" else "unset",
        message=first_of(raw, MESSAGE),
        attributes={**_sent(sent), **_named("langfuse.", own), **(_of_trace(trace) if not parent else {}), **_scores(raw, trace), **_handed_down(raw)},
        scope=_object(sent.get("scope")).get("name"),
        resource=_object(sent.get("resourceAttributes")),
    )


def _is_score(raw: Fields) -> bool:
    return "value" in raw and first_of(raw, DATA_TYPE) is not None


def _of_score(raw: Fields, said: Said) -> Span:
    """A score in a file of its own, which joins those of its trace."""
    span_id = made_id(raw.get("id"), SPAN_DIGITS)
    at = any_time(raw.get("timestamp"), said, f"time of score {span_id}")
    trace_id = made_id(first_of(raw, TRACE_ID), TRACE_DIGITS)
    return span_of(said, trace_id=trace_id, span_id=span_id, name=raw.get("name"), start_ns=at, end_ns=at, attributes={OF_TRACE: {SCORES: [raw]}})


def _own(raw: Fields) -> Fields:
    """An observation's own fields, opened, less what is empty and zeros that stand for nothing."""
    own = {key: decoded_once(value) if key in OPENED else value for key, value in raw.items() if value not in EMPTY}
    if any(own.get(key) not in EMPTY for key in DETAILS):
        return own
    if not any(isinstance(count, int | float) and count for count in _object(own.get("usage")).values()):
        own.pop("usage", None)
    return {key: value for key, value in own.items() if key not in COUNTS or value}


def _sent(metadata: Fields) -> Fields:
    """The attributes an OpenTelemetry span was sent with."""
    return dict(_object(metadata.get("attributes")))


def _of_trace(trace: Fields) -> Fields:
    opened = {key: decoded_once(value) if key in OPENED else value for key, value in trace.items() if key != "scores" and value not in EMPTY}
    return _named("langfuse.trace.", opened)


def _handed_down(raw: Fields) -> Fields:
    """What a trace told without its observations leaves to the topmost of them."""
    if raw.get("type") != WHOLE_TRACE:
        return {}
    return {OF_TRACE: {**_of_trace({key: value for key, value in raw.items() if key not in ("traceId", "startTime", "type")}), **_scores(raw, raw)}}


def _end_of_trace(raw: Fields, start_ns: int | None) -> int | None:
    """When a trace told without its observations ended, by its latency in seconds; None for an observation that has no end."""
    latency = amount_of(raw.get("latency"))
    return start_ns + round(latency * 1e9) if raw.get("type") == WHOLE_TRACE and start_ns is not None and latency is not None else None


def _scores(raw: Fields, trace: Fields) -> Fields:
    """The scores given to this observation, and at a top one those given to the trace."""
    scores = [one for one in trace.get("scores") or () if isinstance(one, dict)]
    top = first_of(raw, PARENT) is None
    mine = [one for one in scores if one.get("observationId") == raw.get("id") or (top and one.get("observationId") is None)]
    return {SCORES: mine} if mine else {}


def _named(prefix: str, fields: Fields) -> Fields:
    return {f"{prefix}{key}": value for key, value in fields.items()}


def _object(value: Json) -> Fields:
    return value if isinstance(value, dict) else {}


_TRACE: Fields = {"id": "e1fde3efec57ce8a69bafd3fb928a7eb", "projectId": "p", "timestamp": "2026-03-01T09:00:00.000Z", "sessionId": "t", "name": "agent"}
_ROOT: Fields = {
    "id": "b024c7ee7680b708",
    "traceId": _TRACE["id"],
    "type": "AGENT",
    "name": "agent",
    "startTime": "2026-03-01T09:00:00.000Z",
    "endTime": "2026-03-01T09:00:02.000Z",
    "parentObservationId": None,
    "level": "DEFAULT",
    "metadata": '{"attributes": {"openinference.span.kind": "AGENT"}, "scope": {"name": "example"}}',
}
_CALL: Fields = {
    **_ROOT,
    "id": "a-name-of-its-own",
    "type": "GENERATION",
    "parentObservationId": _ROOT["id"],
    "level": "ERROR",
    "statusMessage": "timed out",
    "input": '[{"role": "user", "content": "Book NH 11"}]',
    "usageDetails": {"input": 12, "output": 3},
}
_SNAKE: Fields = {
    "id": _ROOT["id"],
    "trace_id": _TRACE["id"],
    "type": "SPAN",
    "start_time": "2026-03-01 09:00:00.123456",
    "parent_observation_id": "",
    "name": "agent",
}

_SCORE: Fields = {
    "id": "s1",
    "timestamp": "2026-03-01 09:00:03.000",
    "project_id": "p",
    "trace_id": _TRACE["id"],
    "observation_id": None,
    "name": "helpful",
    "value": 1,
    "source": "EVAL",
    "data_type": "NUMERIC",
}

EXAMPLES = (
    Example("download.trace.json", json.dumps({"trace": _TRACE, "observations": [_ROOT, _CALL]}, indent=2).encode(), {"Span": 2}),
    Example("api_trace.json", json.dumps({"observations": [_ROOT, _CALL, 5], **_TRACE, "scores": [], "htmlPath": "/"}).encode(), {"Span": 2, "Skip": 1}),
    Example("api_observations.json", json.dumps({"data": [_ROOT, _CALL], "meta": {"page": 1}}).encode(), {"Span": 2}),
    Example("observations.jsonl", json.dumps(_SNAKE).encode() + b"\n" + json.dumps(_SNAKE).encode() + b"\n", {"Span": 2}),
    Example("api_traces.json", json.dumps({"data": [_TRACE | {"observations": ["b024c7ee7680b708"], "scores": []}], "meta": {}}).encode(), {"Span": 1}),
    Example("ui.csv", f"id,traceId,type,name,startTime,parentObservationId,input\na,t,SPAN,agent,{_TRACE['timestamp']},,{{}}\n".encode(), {"Span": 1}),
    Example("blob_traces.jsonl", json.dumps({"id": "t", "timestamp": "2026-03-01 09:00:00.000", "project_id": "p", "session_id": "s"}).encode(), {"Span": 1}),
    Example("blob_scores.jsonl", json.dumps(_SCORE).encode() + b"\n" + json.dumps(_SCORE | {"id": "s2", "value": 0}).encode(), {"Span": 2}),
    Example("trace_without_observations.json", json.dumps({"trace": _TRACE, "observations": []}).encode(), {"Span": 1}),
)
