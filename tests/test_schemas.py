"""Arguments against the schema of their tool, however hostile the schema is."""

from __future__ import annotations

import json

import pytest

from workbench.analysis.schemas import departures
from workbench.model import Finding, Json, Span
from workbench.normalise import normalise
from workbench.plugins import detectors
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
    assert tool_schemas([{"name": "a", "description": "Pay.", "parameters": schema}]) == {"a": {**schema, "description": "Pay."}}


def test_schemas_of_spans_come_into_the_run():
    """A run has the schema of each tool its model calls were offered, but of one that changed meanwhile it has none."""

    def asked(number: int, kind: str) -> Span:
        told = f'[{{"name": "pay", "parameters": {{"properties": {{"n": {{"type": "{kind}"}}}}}}}}, {{"name": "look", "input_schema": {{"type": "object"}}}}]'
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.tool.definitions": told}
        return Span(trace_id="a" * 32, span_id=f"{number:016x}", name="chat m", start_ns=number, end_ns=number + 1, attributes=attributes)

    (same,), (changed,) = (normalise([asked(1, "string"), asked(2, kind)], []) for kind in ("string", "integer"))
    assert set(same.schemas) == {"pay", "look"}
    assert changed.schemas == {"look": {"type": "object"}}


PARAMETERS: Json = {"type": "object", "properties": {"flight": {"type": "string"}}, "required": ["flight"]}
FUNCTION: Json = {"type": "function", "function": {"name": "book", "parameters": PARAMETERS}}
CALL: Json = {"type": "tool_call", "id": "k1", "name": "book", "arguments": {"seats": 2}}
GEN_AI: dict[str, Json] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.tool.definitions": json.dumps([FUNCTION]),
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": "Book it"}]},
            {"role": "assistant", "parts": [CALL]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "k1", "response": "booked"}]},
        ]
    ),
    "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Booked."}]}]),
}
ASKED = {"role": "assistant", "tool_calls.0.tool_call.id": "k1", "tool_calls.0.tool_call.function.name": "book"}
ASKED |= {"tool_calls.0.tool_call.function.arguments": '{"seats": 2}'}
ANSWERED = {"role": "tool", "tool_call_id": "k1", "content": "booked"}
OPENINFERENCE: dict[str, Json] = {
    "openinference.span.kind": "LLM",
    "llm.tools.0.tool.json_schema": json.dumps(FUNCTION),
    **{f"llm.input_messages.0.message.{name}": value for name, value in ASKED.items()},
    **{f"llm.input_messages.1.message.{name}": value for name, value in ANSWERED.items()},
    "llm.output_messages.0.message.content": "Booked.",
}
OPENLLMETRY: dict[str, Json] = {
    "gen_ai.system": "openai",
    "llm.request.type": "chat",
    "llm.request.functions.0.name": "book",
    "llm.request.functions.0.parameters": json.dumps(PARAMETERS),
    **{f"gen_ai.prompt.0.{name.replace('.tool_call.function', '').replace('.tool_call', '')}": value for name, value in ASKED.items()},
    **{f"gen_ai.prompt.1.{name}": value for name, value in ANSWERED.items()},
    "gen_ai.completion.0.content": "Booked.",
}


@pytest.mark.parametrize("attributes", [GEN_AI, OPENINFERENCE, OPENLLMETRY], ids=["gen_ai.tool.definitions", "llm.tools", "llm.request.functions"])
def test_schemas_that_spans_record_are_held_against_calls_that_only_a_history_tells_of(attributes: dict[str, Json]):
    """One model call whose messages tell of all that went before: the call in them is checked against the schema that its own span records."""
    (run,) = normalise([Span(trace_id="a" * 32, span_id="b" * 16, name="chat", attributes=attributes)], ())
    found = [one for one in detectors()["undeclared-call"].detect(run) if isinstance(one, Finding)]
    assert [(one.numbers["argument"], one.severity) for one in found] == [("$", "warning"), ("$.seats", "info")]
    assert all(proof.path.startswith("$.messages[") and proof.path.endswith(".tool_calls[0]") for one in found for proof in one.evidence)
