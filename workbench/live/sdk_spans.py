"""Spans of the OpenTelemetry SDK as the workbench's own: the same that the OTLP collector makes of them once they went over a wire."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from workbench.model import Json, Span, SpanEvent

STATUSES: dict[StatusCode, Literal["unset", "ok", "error"]] = {StatusCode.UNSET: "unset", StatusCode.OK: "ok", StatusCode.ERROR: "error"}
MAX_VALUE_CHARACTERS = 16 * 1024 * 1024  # as in the OTLP collector
EARLIEST_NS, LATEST_NS = 86_400_000_000_000, 7_258_118_400_000_000_000  # as in the OTLP collector
KEPT_RESOURCES = 64
_RESOURCES: dict[int, tuple[Resource, dict[str, Json]]] = {}


def span_of(sdk: ReadableSpan) -> Span:
    """One finished span. ValueError for one without ids."""
    context, scope = sdk.get_span_context(), sdk.instrumentation_scope
    if context is None or not context.is_valid:
        raise ValueError(f"span {sdk.name!r} has no ids")
    return Span(
        trace_id=format_trace_id(context.trace_id),
        span_id=format_span_id(context.span_id),
        parent_span_id=format_span_id(sdk.parent.span_id) if sdk.parent and sdk.parent.span_id else None,
        name=_text(sdk.name),
        start_ns=_time(sdk.start_time),
        end_ns=_time(sdk.end_time),
        status=STATUSES[sdk.status.status_code],
        status_message=_text(sdk.status.description or ""),
        attributes=_attributes(sdk.attributes),
        events=tuple(SpanEvent(name=_text(event.name), at_ns=_time(event.timestamp), attributes=_attributes(event.attributes)) for event in sdk.events),
        scope=scope.name or None if scope else None,
        resource=_of_resource(sdk.resource),
        links=tuple(dict.fromkeys(format_trace_id(link.context.trace_id) for link in sdk.links if link.context.trace_id)),
    )


def _of_resource(resource: Resource) -> dict[str, Json]:
    """A resource's attributes. All spans of a provider share it, so it is read once and stays one object."""
    known = _RESOURCES.get(id(resource))
    if known is None:
        if len(_RESOURCES) >= KEPT_RESOURCES:
            _RESOURCES.clear()
        known = _RESOURCES[id(resource)] = resource, _attributes(resource.attributes)  # kept with the resource, so that its id stays its own
    return known[1]


def _time(value: int | None) -> int | None:
    return value if value is not None and EARLIEST_NS <= value < LATEST_NS else None


def _attributes(values: Mapping[str, Json] | None) -> dict[str, Json]:
    return {_text(key): _value(value) for key, value in (values or {}).items()}


def _value(value: Json) -> Json:
    """What an AnyValue of it would be read as: a list for a sequence, base64 for bytes, text for a number that JSON has not."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return _attributes(value)
    return [_value(inner) for inner in value] if isinstance(value, Sequence) else _text(str(value))


def _text(value: str) -> str:
    """The text, cut at the limit, with half surrogate pairs replaced: nothing could store them."""
    cut = value if len(value) <= MAX_VALUE_CHARACTERS else value[:MAX_VALUE_CHARACTERS]
    return cut if cut.isascii() else cut.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
