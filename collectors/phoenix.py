"""Phoenix (Arize) exports: its REST API's spans, the same as `otlpv1`, and rows of the client's span dataframe as JSON.

Phoenix takes JSON attributes apart on the way in: `metadata` comes as `metadata.thread_id` and so on, and is put together again here. A
dataframe nests what OpenInference flattens (`llm.input_messages` as a list), and is flattened again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from workbench.model import Json, Record, Span
from workbench.outline import having
from workbench.plugins import Example
from workbench.reading.decoders import unflattened
from workbench.reading.otlp import span_of_json
from workbench.reading.span_objects import read_items, read_rows, rows_of, span_of_object
from workbench.reading.spans import Fields, Said
from workbench.reading.tables import columns_of
from workbench.source import Source

PLACES = frozenset({"data[]", "[]", ""})
COLUMN = "attributes."
ROW = frozenset({"context.span_id", "context.trace_id", "start_time"})
METADATA = "metadata"
KIND = "openinference.span.kind"


def accepts(source: Source) -> bool:
    """Whether the file begins with a span as Phoenix tells it: with `span_kind` and a context, or in the snake_case of its `otlpv1`."""
    told = having(source.outline, "context", "span_kind") | having(source.outline, "context.span_id", "context.trace_id")
    alone = having(source.outline, "span_id", "trace_id", "start_time_unix_nano")
    return bool((told | alone) & PLACES) or columns_of(source) >= ROW


def collect(source: Source) -> Iterable[Record]:
    """The spans of a file, and what had to be skipped. SourceError when the file as a whole can't be read."""
    if columns_of(source):
        return read_rows(source, _span)
    return read_items(source, lambda document: rows_of(document, "data"), _span, "an object with data, or a span")


def _span(raw: Fields, said: Said) -> Span:
    if "start_time_unix_nano" in raw:
        span = span_of_json(raw, said)
        return span.model_copy(update={"attributes": _restored(span.attributes)})
    context = raw.get("context") or {key: raw.get(f"context.{key}") for key in ("trace_id", "span_id")}
    attributes = _restored(dict(_attributes(raw)))
    kind = raw.get("span_kind")
    if kind and kind != "UNKNOWN":
        attributes.setdefault(KIND, kind)
    return span_of_object({**raw, "context": context}, said, attributes=attributes)


def _attributes(raw: Fields) -> Iterator[tuple[str, Json]]:
    """The attributes of a span, or of a dataframe's row, in which each is a column."""
    for key, value in (raw.get("attributes") or {}).items():
        yield key, value
    for key, value in raw.items():
        if key.startswith(COLUMN) and value is not None:
            yield from _flattened(key.removeprefix(COLUMN), value)


def _flattened(key: str, value: Json) -> Iterator[tuple[str, Json]]:
    """A list of objects under the keys it was nested from; anything else as it is."""
    if not (isinstance(value, list) and any(isinstance(item, dict) for item in value)):
        yield key, value
        return
    for number, item in enumerate(value):
        yield from _paths(f"{key}.{number}", item)


def _paths(key: str, value: Json) -> Iterator[tuple[str, Json]]:
    """The leaves of nested objects and lists, each under its dotted path. The document they come from is of bounded depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(f"{key}.{name}", inner)
    else:
        yield from _flattened(key, value)


def _restored(attributes: Fields) -> Fields:
    """The attributes with `metadata` as one object again."""
    whole = unflattened(attributes, f"{METADATA}.")
    if METADATA in attributes or not isinstance(whole, dict):
        return attributes
    return {key: value for key, value in attributes.items() if not key.startswith(f"{METADATA}.")} | {METADATA: whole}


_CONTEXT = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
_REST: Fields = {
    "id": "U3Bhbjox",
    "name": "ChatOpenAI",
    "context": _CONTEXT,
    "span_kind": "LLM",
    "parent_id": None,
    "start_time": "2026-03-01T09:00:00.000001+00:00",
    "end_time": "2026-03-01T09:00:01+00:00",
    "status_code": "OK",
    "status_message": "",
    "attributes": {"llm.model_name": "scripted", "metadata.thread_id": "t", "metadata.langgraph_step": 1},
    "events": [],
}
_V1: Fields = {
    **_CONTEXT,
    "attributes": [{"key": "llm.model_name", "value": {"array_value": None, "bool_value": None, "string_value": "scripted"}}],
    "events": None,
    "name": "ChatOpenAI",
    "parent_span_id": None,
    "start_time_unix_nano": 1750000000000000000,
    "status": {"code": 2, "message": "timed out"},
}
_ROW: Fields = {
    "name": "ChatOpenAI",
    "span_kind": "LLM",
    "parent_id": None,
    "start_time": 1750000000000,
    "status_code": "OK",
    **{f"context.{key}": value for key, value in _CONTEXT.items()},
    "attributes.llm.input_messages": [{"message.role": "user", "message.content": "Book NH 11"}],
    "attributes.metadata": {"thread_id": "t"},
    "attributes.llm.token_count.total": None,
}

_COLUMNS = {name: {str(number): value for number in range(2)} for name, value in _ROW.items()}
_CSV = f"""name,span_kind,parent_id,start_time,context.trace_id,context.span_id,attributes.llm.input_messages,attributes.llm.token_count.prompt
ChatOpenAI,LLM,,2026-03-01 09:00:00+00:00,{_CONTEXT["trace_id"]},{_CONTEXT["span_id"]},"[{{'message.role': 'user', 'message.content': 'a, \"\"b\"\"'}}]",7.0
"""

EXAMPLES = (
    Example("empty-line.jsonl", json.dumps(_ROW).encode() + b"\n{}\n", {"Span": 1, "Skip": 1}),
    Example("columns.json", json.dumps(_COLUMNS).encode(), {"Span": 2}),
    Example("dataframe.csv", _CSV.encode(), {"Span": 1}),
    Example("spans.json", json.dumps({"data": [_REST, {"name": "no ids"}], "next_cursor": None}).encode(), {"Span": 1, "Skip": 1}),
    Example("otlpv1.json", json.dumps({"next_cursor": None, "data": [_V1, _V1]}, indent=1).encode(), {"Span": 2}),
    Example("dataframe.jsonl", json.dumps(_ROW).encode() + b"\n" + json.dumps(_ROW).encode() + b"\n", {"Span": 2}),
    Example("client.json", json.dumps([_REST]).encode(), {"Span": 1}),
)
