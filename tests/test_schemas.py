"""Arguments against the schema of their tool, however hostile the schema is."""

from __future__ import annotations

import pytest

from workbench.analysis.schemas import departures
from workbench.model import Json, Span
from workbench.normalise import normalise
from workbench.reading.messages import tool_schemas

PLAIN: Json = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "amount": {"type": "number", "minimum": 0},
        "kind": {"enum": ["card", "transfer"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["to"],
    "additionalProperties": False,
    "$defs": {"Line": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"to": "a", "amount": 2, "kind": "card", "lines": [{"n": 1}], "note": None}, []),
        ({"to": "a", "amount": None}, []),
        ({}, ["$ to is required and missing"]),
        ({"to": 5}, ["$.to 5 is not string (slight)"]),
        ({"to": ["a"]}, ['$.to ["a"] is not string']),
        ({"to": "a", "amount": True}, ["$.amount true is not number"]),
        ({"to": "a", "amount": "12.5"}, ['$.amount "12.5" is not number (slight)']),
        ({"to": "a", "amount": -1}, ["$.amount -1 is beyond the minimum 0"]),
        ({"to": "a", "kind": "cash"}, ['$.kind "cash" is none of "card", "transfer"']),
        ({"to": "a", "lines": [{"n": 1}, {"m": 2}]}, ["$.lines[1] n is required and missing", "$.lines[1].m m is none of n (slight)"]),
        ({"to": "a", "note": 7.5}, ["$.note 7.5 is not string (slight)"]),
        ({"to": "a", "cc": "b"}, ["$.cc cc is none of to, amount, kind, lines, note"]),
    ],
)
def test_arguments_are_held_against_a_schema(arguments: dict[str, Json], says: list[str]):
    """What is missing, unknown, of another type or not allowed is named with its place; what is merely written otherwise is slight."""
    assert [f"{one.path} {one.says}{' (slight)' if one.slight else ''}" for one in departures(arguments, PLAIN)] == says


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "text",
        [],
        {},
        {"properties": "none", "required": "to", "type": 7, "enum": {}, "allOf": {}},
        {"properties": {"to": {"$ref": "http://127.0.0.1:9/schema.json"}}},
        {"properties": {"to": {"$ref": "#/properties/to"}}},
        {"properties": {"to": {"pattern": "(a+)+$"}}},
        {"properties": {"to": {"type": "STRING", "nullable": True}}},
    ],
)
def test_a_schema_that_is_none_forbids_nothing(schema: Json):
    """Broken schemas, circles, addresses elsewhere and patterns are left aside: no fetch, no regular expression, no complaint."""
    assert departures({"to": "a" * 40 + "!"}, schema) == []


def test_a_schema_that_holds_itself_ends():
    """A recursive schema is followed as deep as the arguments are, and departures are told up to a limit."""
    tree: Json = {"properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"]}
    deep: dict[str, Json] = {}
    for _ in range(100):
        deep = {"next": deep}
    assert 0 < len(departures(deep, {"$defs": {"T": tree}, "properties": {"tree": {"$ref": "#/$defs/T"}}} | tree)) <= 20


def test_schemas_are_read_in_every_dialect():
    """OpenAI's, Anthropic's, Bedrock's, Gemini's and OpenInference's descriptions of a tool give its name and schema; a bare name gives none."""
    schema = {"type": "object", "properties": {}}
    told = [
        {"type": "function", "function": {"name": "a", "parameters": schema}},
        {"name": "b", "input_schema": schema},
        {"toolSpec": {"name": "c", "inputSchema": {"json": schema}}},
        {"name": "d", "parameters_json_schema": schema},
        {"tool": {"json_schema": '{"type": "function", "function": {"name": "e", "parameters": {"type": "object", "properties": {}}}}'}},
        "f",
    ]
    assert tool_schemas(told) == dict.fromkeys("abcde", schema)
    assert tool_schemas(["f"]) is None


def test_schemas_of_spans_come_into_the_run():
    """A run has the schema of each tool its model calls were offered, but of one that changed meanwhile it has none."""

    def asked(number: int, kind: str) -> Span:
        told = f'[{{"name": "pay", "parameters": {{"properties": {{"n": {{"type": "{kind}"}}}}}}}}, {{"name": "look", "input_schema": {{"type": "object"}}}}]'
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.tool.definitions": told}
        return Span(trace_id="a" * 32, span_id=f"{number:016x}", name="chat m", start_ns=number, end_ns=number + 1, attributes=attributes)

    (same,), (changed,) = (normalise([asked(1, "string"), asked(2, kind)], []) for kind in ("string", "integer"))
    assert set(same.schemas) == {"pay", "look"}
    assert changed.schemas == {"look": {"type": "object"}}
