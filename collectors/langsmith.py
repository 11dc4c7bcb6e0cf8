"""LangSmith run exports: runs one a line, in a list or under `runs`, nested under `child_runs`, and the Parquet of a bulk export.

Each run is a span. Its fields become attributes `langsmith.*` as they are spelled there, JSON in text decoded once. Ids are UUIDs: a
trace's is its 32 digits, a span's is made of its run's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from workbench.model import Json, Record, Span
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.span_objects import read_items, read_rows, rows_of
from workbench.reading.spans import SPAN_DIGITS, TRACE_DIGITS, Fields, Said, any_time, decoded_once, made_id, span_of, text_of
from workbench.reading.tables import columns_of
from workbench.source import Source

PLACES = frozenset({"", "[]", "runs[]", "data[]"})
OWN = ("run_type", "dotted_order", "parent_run_id", "child_run_ids")
OPENED = ("{", "[")
EMPTY: tuple[Json, ...] = (None, "", [], {})


def accepts(source: Source) -> bool:
    """Whether the file begins with a run of LangSmith's."""
    seen = source.outline
    found = frozenset[str]().union(*(having(seen, "id", key) | having(seen, "trace_id", key) for key in OWN))
    return bool(found & PLACES) or {"run_type", "trace_id"} <= columns_of(source)


def collect(source: Source) -> Iterable[Record]:
    """The runs of a file as spans, and what had to be skipped. SourceError when the file as a whole can't be read."""
    if columns_of(source):
        return read_rows(source, _span)
    return read_items(source, _items, _span, "a run, or a list of runs")


def _items(document: Json) -> Iterator[Json]:
    """Each run, and after it the runs nested in it; a document is of bounded depth."""
    waiting = rows_of(document, "runs", "data")[::-1]
    while waiting:
        run = waiting.pop()
        yield run
        children = run.get("child_runs") if isinstance(run, dict) else None
        waiting.extend(reversed([_under(child, run) for child in children or ()]))


def _under(child: Json, run: Fields) -> Json:
    """A nested run, which need not repeat where it belongs."""
    trace = run.get("trace_id") or run.get("id")
    return (
        {"trace_id": trace, "parent_run_id": run.get("id"), **{key: value for key, value in child.items() if value is not None}}
        if isinstance(child, dict)
        else child
    )


def _span(raw: Fields, said: Said) -> Span:
    span_id = made_id(raw.get("id"), SPAN_DIGITS)
    label = f"span {span_id}"
    parent, error = raw.get("parent_run_id"), raw.get("error")
    attributes = {f"langsmith.{key}": _opened(value) for key, value in raw.items() if key != "child_runs" and value not in EMPTY}
    return span_of(
        said,
        trace_id=made_id(raw.get("trace_id") or _first_of_order(raw) or (raw.get("id") if not parent else None), TRACE_DIGITS),
        span_id=span_id,
        parent=made_id(parent, SPAN_DIGITS) if parent else None,
        name=raw.get("name"),
        start_ns=any_time(raw.get("start_time"), said, f"start of {label}"),
        end_ns=any_time(raw.get("end_time"), said, f"end of {label}"),
        state="error" if error or raw.get("status") == "error" else "ok" if raw.get("status") == "success" else "unset",
        message=error,
        attributes=attributes,
    )


def _first_of_order(raw: Fields) -> str | None:
    """The trace's id out of `dotted_order`: `20260301T090000000000Z<uuid>.<...>`."""
    return text_of(raw.get("dotted_order")).partition(".")[0].partition("Z")[2] or None


def _opened(value: Json) -> Json:
    return decoded_once(value) if isinstance(value, str) and value.lstrip().startswith(OPENED) else value


_ROOT: Fields = {
    "id": "0af76519-16cd-43dd-8448-eb211c80319c",
    "trace_id": "0af76519-16cd-43dd-8448-eb211c80319c",
    "name": "LangGraph",
    "run_type": "chain",
    "inputs": {"messages": [["user", "Book NH 11"]]},
    "outputs": None,
    "start_time": "2026-03-01T09:00:00.000000",
    "end_time": "2026-03-01T09:00:02.000000+00:00",
    "extra": {"metadata": {"thread_id": "t"}},
    "status": "success",
    "parent_run_id": None,
}
_CALL: Fields = {
    "inputs": "{\"input\": \"{'flight': 'NH 11'}\"}",
    "id": "1af76519-16cd-43dd-8448-eb211c80319c",
    "parent_run_id": _ROOT["id"],
    "dotted_order": f"20260301T090000000000Z{_ROOT['id']}.20260301T090001000000Z1af76519-16cd-43dd-8448-eb211c80319c",
    "name": "book",
    "run_type": "tool",
    "start_time": 1772355601000,
    "error": "TimeoutError('timed out')",
}

EXAMPLES = (
    Example("runs.jsonl", json.dumps(_ROOT).encode() + b"\n" + json.dumps(_CALL).encode() + b"\n", {"Span": 2}),
    Example("runs.json", json.dumps({"runs": [_ROOT, _CALL, {"name": "no ids"}]}, indent=1).encode(), {"Span": 2, "Skip": 1}),
    Example("nested.json", json.dumps(_ROOT | {"child_runs": [_CALL]}).encode(), {"Span": 2}),
)
