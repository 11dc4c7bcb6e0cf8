"""Spans as JSON objects with plain fields, the shape most tools dump them in, and files of many such objects.

`{"name", "context": {"trace_id", "span_id"}, "parent_id", "start_time", "end_time", "status", "attributes", "events"}`: the OpenTelemetry SDK's
`to_json()`, Phoenix, MLflow and many a test fixture agree on this but for the spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from workbench.model import Json, Record, Skip, Span, SpanEvent
from workbench.reading.documents import json_documents
from workbench.reading.spans import (
    SPAN_DIGITS,
    TRACE_DIGITS,
    UNUSABLE,
    Fields,
    Said,
    any_time,
    brief,
    event_of,
    hex_id,
    parent_id,
    skips,
    span_of,
    state_of,
    told,
)
from workbench.reading.tables import table_rows
from workbench.source import Source, SourceError

TRACE_IDS = ("trace_id", "traceId")
SPAN_IDS = ("span_id", "spanId", "id")
STARTS = ("start_time", "start_time_unix_nano", "startTime", "startTimeUnixNano", "timestamp")
ENDS = ("end_time", "end_time_unix_nano", "endTime", "endTimeUnixNano")
PARENTS = ("parent_id", "parent_span_id", "parentSpanId", "parentId")
EVENT_TIMES = ("timestamp", "time_unix_nano", "timeUnixNano", "time")


def read_items(source: Source, items: Callable[[Json], Iterable[Json]], build: Callable[[Json, Said], Record], wanted: str) -> Iterator[Record]:
    """What `build` makes of each of the `items` of each document of a file, and a Skip for each that it can't use (it raises one of UNUSABLE).

    `wanted` says what a document should be, for the Skip of one that `items` can't take apart.
    """
    for number, document in json_documents(source):
        place = f"{source.path}:{number}"
        if isinstance(document, SourceError):
            yield Skip(place=place, reason=str(document).removeprefix(f"{place}: "))
            continue
        try:
            found = list(items(document))
        except UNUSABLE:
            yield Skip(place=place, reason=f"want {wanted}, found {brief(document)}")
            continue
        yield from build_each(found, build, place)


def read_rows(source: Source, build: Callable[[Json, Said], Record]) -> Iterator[Record]:
    """As `read_items`, for a table: what `build` makes of each of its rows."""
    for number, row in table_rows(source):
        yield from build_each([row], build, f"{source.path}:row {number}")


def build_each(items: Iterable[Json], build: Callable[[Json, Said], Record], place: str) -> Iterator[Record]:
    """A record of each item, and a Skip for what had to be dropped; the place names the item where there are several."""
    said: Said = []
    for number, item in enumerate(items):
        try:
            yield build(item, said)
        except UNUSABLE as error:
            said.append(f"{brief(item)}: {told(error)}")
        yield from skips(said, f"{place}, item {number}" if number else place)


def rows_of(document: Json, *keys: str) -> list[Json]:
    """The rows of a document: its own items, those of the list under the first of these keys, or itself. ValueError for what is no object."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        raise ValueError("no object")  # noqa: TRY004  # the caller's error for any unusable value
    found = next((document[key] for key in keys if isinstance(document.get(key), list)), None)
    return found if found is not None else _transposed(document) or [document]


def _transposed(document: Fields) -> list[Json]:
    """The rows of a dataframe that pandas wrote column by column, `{"name": {"0": …}}`; none for any other object."""
    columns = list(document.values())
    if not columns or not all(
        isinstance(column, dict) and column and column.keys() == columns[0].keys() and all(map(str.isdecimal, column)) for column in columns
    ):
        return []
    return [{name: column[row] for name, column in document.items()} for row in columns[0]]


def first_of(raw: Fields, keys: Iterable[str]) -> Json:
    """The value of the first of these keys that has one."""
    return next((raw[key] for key in keys if raw.get(key) is not None), None)


def span_of_object(raw: Fields, said: Said, *, attributes: Fields | None = None, make: Callable[[Json, int], str | None] = hex_id) -> Span:
    """A span from an object's fields, whichever of the usual spellings they have; `make` reads an id of so many digits."""
    context: Fields = raw["context"] if isinstance(raw.get("context"), dict) else raw
    trace_id = make(first_of(context, TRACE_IDS), TRACE_DIGITS)
    span_id = make(first_of(context, SPAN_IDS), SPAN_DIGITS)
    label = f"span {span_id}"
    parent = first_of(raw, PARENTS)
    state, message = _status(raw)
    own = raw.get("attributes")
    return span_of(
        said,
        trace_id=trace_id,
        span_id=span_id,
        parent=make(parent, SPAN_DIGITS) or parent_id(parent, said, label) if parent else None,
        name=raw.get("name"),
        start_ns=any_time(first_of(raw, STARTS), said, f"start of {label}"),
        end_ns=any_time(first_of(raw, ENDS), said, f"end of {label}"),
        state=state_of(str(state).removeprefix("StatusCode.")),
        message=message,
        attributes=attributes if attributes is not None else own if isinstance(own, dict) else {},
        events=[_event(event, said, label) for event in first_of(raw, ("events", "span_events")) or ()],
        scope=_name(first_of(raw, ("scope", "instrumentation_scope", "instrumentation_info", "instrumentationScope"))),
        resource=_resource(raw.get("resource")),
    )


def _status(raw: Fields) -> tuple[Json, Json]:
    status = raw.get("status")
    if isinstance(status, dict):
        return first_of(status, ("status_code", "code", "statusCode")), first_of(status, ("description", "message"))
    return first_of(raw, ("status_code", "statusCode", "status")), first_of(raw, ("status_message", "statusMessage"))


def _event(raw: Fields, said: Said, label: str) -> SpanEvent:
    """An event; one that is a log record keeps its body as an attribute of that name."""
    at = any_time(first_of(raw, EVENT_TIMES), said, f"an event of {label}")
    attributes: Fields = raw["attributes"] if isinstance(raw.get("attributes"), dict) else {}
    body = {} if raw.get("body") is None else {"body": raw["body"]}
    return event_of(first_of(raw, ("name", "event_name", "eventName")), at, {**attributes, **body}, said, label)


def _name(scope: Json) -> Json:
    return scope.get("name") if isinstance(scope, dict) else scope


def _resource(resource: Json) -> Fields:
    if not isinstance(resource, dict):
        return {}
    inner = resource.get("attributes")
    return inner if isinstance(inner, dict) else resource
