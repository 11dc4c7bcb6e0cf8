"""Joins log records to the spans they belong to, as events: then a convention finds what a log carries where it finds what an event does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from workbench.model import Log, Span, SpanEvent

BODY = "body"
"""The attribute of an event that holds the body of the log it was."""


def with_logs(spans: Sequence[Span], logs: Sequence[Log]) -> Sequence[Span]:
    """The spans, each with its logs as events in time order. A log whose span is not there is left out."""
    if not logs:
        return spans
    events: dict[tuple[str, str], list[SpanEvent]] = defaultdict(list)
    for log in sorted(logs, key=lambda log: log.at_ns or 0):
        body = {} if log.body is None else {BODY: log.body}
        events[log.trace_id, log.span_id].append(SpanEvent(name=log.name or "log", at_ns=log.at_ns, attributes=log.attributes | body))
    return [span.model_copy(update={"events": (*span.events, *events.get((span.trace_id, span.span_id), ()))}) for span in spans]
