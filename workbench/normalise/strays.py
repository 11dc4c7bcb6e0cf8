"""Spans that hang in another session's trace: where an instrumentor leaves its context set, whatever the process does next is put below what had ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from workbench.model import Span
from workbench.normalise.forest import Key, climb, without_circles
from workbench.normalise.services import Readings


def strays_among(spans: Sequence[Span], readings: Readings) -> tuple[list[Span], dict[Key, list[Span]]]:
    """The spans that belong where they hang, and those that don't, by trace and session.

    A span was only hung there that names another session than what is above it and began after its parent had ended; with it all below it.
    The topmost of them are given without their parents.
    """
    known = {(span.trace_id, span.span_id): span for span in spans}
    parents = without_circles({key: (span.trace_id, span.parent_span_id or "") for key, span in known.items()})
    astray = {key for key, span in known.items() if _is_late(span, known.get(parents[key])) and _changes_session(key, parents, readings)}
    if not astray:
        return list(spans), {}
    own: list[Span] = []
    found: dict[Key, list[Span]] = defaultdict(list)
    for span in spans:
        key = span.trace_id, span.span_id
        top = next((one for one in (key, *climb(parents, key)) if one in astray), None)
        if top is None:
            own.append(span)
        else:
            session = readings[top].conversation_id or ""
            found[span.trace_id, session].append(span.model_copy(update={"parent_span_id": None}) if key == top else span)
    return own, found


def _is_late(span: Span, parent: Span | None) -> bool:
    return parent is not None and None not in (span.start_ns, parent.end_ns) and (span.start_ns or 0) >= (parent.end_ns or 0)


def _changes_session(key: Key, parents: dict[Key, Key], readings: Readings) -> bool:
    above = next((session for one in climb(parents, key) if (session := readings[one].conversation_id)), None)
    return above is not None and readings[key].conversation_id not in (None, above)
