"""MLflow traces: `Trace.to_json()`, one a line or in a list, in the forms of MLflow 3 (base64 ids) and 2 (hex ids in a `context`).

MLflow writes every attribute as JSON, so each is decoded once. What it keeps of the trace as a whole (session, user, summed tokens and
cost, assessments) becomes attributes of the root span, under the names it has there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from workbench.model import Json, Record, Skip, Span
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.span_objects import PARENTS, build_each, first_of, read_items, rows_of, span_of_object
from workbench.reading.spans import UNUSABLE, Fields, Said, any_id, brief, decoded_once
from workbench.reading.tables import columns_of, table_rows
from workbench.source import Source

TRACES = frozenset({"", "[]", "traces[]"})
INFOS = frozenset({"trace_metadata", "request_metadata", "trace_location", "experiment_id"})
LARGE = frozenset({"mlflow.traceInputs", "mlflow.traceOutputs"})
"""What the root span holds in full already."""
ROW = frozenset({"trace_id", "spans", "trace_metadata"})
OPENED = frozenset({"spans", "trace_metadata", "request_metadata", "assessments"})
"""What a dataframe may hold as JSON text."""
ASSESSMENTS = "mlflow.assessments"


def accepts(source: Source) -> bool:
    """Whether the file begins with a trace of MLflow's: its `info`, or spans beside the metadata of a trace."""
    infos = {at.removesuffix("info").removesuffix(".") for at, key in source.outline if key in INFOS and at.endswith("info")}
    rows = having(source.outline, "spans", "trace_metadata") | having(source.outline, "spans", "request_metadata")
    whole = {at for at in having(source.outline, "info", "data") if (f"{at}.data" if at else "data", "spans") in source.outline}
    return bool((infos | rows | whole) & TRACES) or columns_of(source) >= ROW


def collect(source: Source) -> Iterable[Record]:
    """The spans of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    if columns_of(source):
        return (record for number, row in table_rows(source) for record in _of_row(row, f"{source.path}:row {number}"))
    return read_items(source, _items, _span, "a trace with info and data.spans")


def _of_row(row: Fields, place: str) -> Iterator[Record]:
    """What a row of `search_traces` tells: a trace, whose columns hold JSON."""
    try:
        found = list(_items({key: decoded_once(value) for key, value in row.items()}))
    except UNUSABLE:
        yield Skip(place=place, reason=f"want a trace with its spans, found {brief(row)}")
    else:
        yield from build_each(found, _span, place)


def _items(document: Json) -> Iterator[tuple[Json, Json]]:
    """Each span with the trace's own fields; they are the root's alone."""
    for row in rows_of(document, "traces"):
        trace = {key: decoded_once(value) if key in OPENED else value for key, value in row.items()}
        info = trace["info"] if isinstance(trace.get("info"), dict) else trace
        spans = (trace.get("data") or trace)["spans"]
        for span in decoded_once(spans):
            root = isinstance(span, dict) and first_of(span, PARENTS) is None
            yield span, info if root else {}


def _span(item: tuple[Fields, Fields], said: Said) -> Span:
    raw, info = item
    attributes = {key: decoded_once(value) for key, value in (raw.get("attributes") or {}).items()}
    return span_of_object(raw, said, attributes=_whole(info) | attributes, make=_id)


def _id(value: Json, digits: int) -> str | None:
    return any_id(value.removeprefix("tr-") if isinstance(value, str) else value, digits)


def _whole(info: Fields) -> Fields:
    """What is recorded of the trace as a whole."""
    metadata = first_of(info, ("trace_metadata", "request_metadata")) or {}
    found = {key: decoded_once(value) for key, value in metadata.items() if key not in LARGE and value != ""}
    return found | ({ASSESSMENTS: info["assessments"]} if info.get("assessments") else {})


_SPANS: list[Fields] = [
    {
        "trace_id": "CvdlGRbNQ92ESOshHIAxnA==",
        "span_id": "t61rcWkgMzE=",
        "parent_span_id": None,
        "name": "support_agent",
        "start_time_unix_nano": 1750000000000000000,
        "end_time_unix_nano": 1750000002000000000,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {"mlflow.spanType": '"CHAIN"', "metadata": '{"thread_id": "t"}'},
    },
    {
        "trace_id": "CvdlGRbNQ92ESOshHIAxnA==",
        "span_id": "APBnqgupArc=",
        "parent_span_id": "t61rcWkgMzE=",
        "name": "book",
        "start_time_unix_nano": 1750000001000000000,
        "end_time_unix_nano": 1750000002000000000,
        "status": {"code": "STATUS_CODE_ERROR", "message": "timed out"},
        "attributes": {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": '{"flight": "NH 11"}'},
    },
]
_INFO: Fields = {"trace_id": "tr-0af7651916cd43dd8448eb211c80319c", "state": "OK", "trace_metadata": {"mlflow.trace.session": "t"}}
_OLD: Fields = {
    "info": {"request_id": "0af7651916cd43dd8448eb211c80319c", "experiment_id": "0", "request_metadata": {"mlflow.trace_schema.version": "2"}},
    "data": {
        "spans": [
            {
                "name": "book",
                "context": {"span_id": "0xb7ad6b7169203331", "trace_id": "0x0af7651916cd43dd8448eb211c80319c"},
                "parent_id": None,
                "start_time": 1750000000000000000,
                "end_time": 1750000001000000000,
                "status_code": "OK",
                "status_message": "",
                "attributes": {"mlflow.spanType": '"TOOL"'},
                "events": [],
            }
        ]
    },
}

EXAMPLES = (
    Example("traces.jsonl", json.dumps({"info": _INFO, "data": {"spans": _SPANS}}).encode() + b"\n" + json.dumps(_OLD).encode(), {"Span": 3}),
    Example("traces.json", json.dumps([{"data": {"spans": [*_SPANS, 7]}, "info": _INFO}], indent=1).encode(), {"Span": 2, "Skip": 1}),
    Example("old.json", json.dumps(_OLD).encode(), {"Span": 1}),
)
