"""Joins log records to the spans they belong to, as events: then a convention finds what a log carries where it finds what an event does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from workbench.model import Json, Log, Span, SpanEvent

BODY = "body"
"""The attribute of an event that holds the body of the log it was."""
CALL_IDS = ("gen_ai.tool.call.id", "tool_use_id")
"""The attributes that name a tool call. A log about a call may be written in the span around it, as Claude Code's are."""
Key = tuple[str, str]


def with_logs(spans: Sequence[Span], logs: Sequence[Log]) -> Sequence[Span]:
    """The spans, each with its logs as events in time order. A log whose span is not there is left out."""
    if not logs:
        return spans
    events: dict[Key, list[SpanEvent]] = defaultdict(list)
    calls = _calls(spans)
    for log in sorted(logs, key=lambda log: log.at_ns or 0):
        body = {} if log.body is None else {BODY: log.body}
        own = calls.get((log.trace_id, _call_id(log.attributes) or ""), (log.trace_id, log.span_id))
        events[own].append(SpanEvent(name=log.name or "log", at_ns=log.at_ns, attributes=log.attributes | body))
    return [span.model_copy(update={"events": (*span.events, *events.get((span.trace_id, span.span_id), ()))}) for span in spans]


def _calls(spans: Sequence[Span]) -> dict[Key, Key]:
    """The span of each tool call that is named, the outermost where several name it, by its trace and the call's id."""
    found: dict[Key, Key] = {}
    for span in sorted(spans, key=lambda span: span.start_ns or 0):
        if call_id := _call_id(span.attributes):
            found.setdefault((span.trace_id, call_id), (span.trace_id, span.span_id))
    return found


def _call_id(attributes: dict[str, Json]) -> str | None:
    return next((str(attributes[key]) for key in CALL_IDS if attributes.get(key)), None)
