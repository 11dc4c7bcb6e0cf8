"""Conventions: each dialect's own spelling of the same model and tool call reads as the same thing."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import otlp
from workbench.model import Json, Message, Reading, Span, SpanEvent, Tokens, ToolCall
from workbench.reading.decoders import DECODERS
from workbench.reading.documents import parse_json
from workbench.reading.messages import answer_of, arguments_of, message_of, messages_of, time_ns, tokens_of, tool_names
from workbench.semconv import ERROR_TYPE, EXCEPTION_MESSAGE, EXCEPTION_TYPE, ConventionError, conventions, parse_convention, read
from workbench.source import Source

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMESPACE = "research:1a|agent:2b"
GRAPH = {"thread_id": "t-1", "langgraph_node": "agent", "langgraph_checkpoint_ns": NAMESPACE}


def made(name: str = "span", *, status: str = "unset", message: str = "", events: tuple[SpanEvent, ...] = (), **attributes: Json) -> Span:
    """A span with these attributes; `__` in a name stands for a dot."""
    spelled = {key.replace("__", "."): value for key, value in attributes.items()}
    return Span(trace_id="a" * 32, span_id="b" * 16, name=name, status=status, status_message=message, events=events, attributes=spelled)


def raised(kind: str, message: str = "") -> tuple[SpanEvent, ...]:
    """The event of an exception."""
    return (SpanEvent(name="exception", attributes={EXCEPTION_TYPE: kind, EXCEPTION_MESSAGE: message}),)


def prefixed(prefix: str, values: dict[str, Json]) -> dict[str, Json]:
    """The values with a prefix before each key."""
    return {prefix + key: value for key, value in values.items()}


def langchain(kind: str, **fields: Json) -> dict[str, Json]:
    """A message as LangChain's `dumps` serialises it."""
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": fields}


ASKED = [{"name": "book_flight", "args": {"flight": "NH 11"}, "id": "c1", "type": "tool_call"}]
USAGE = {"input_tokens": 40, "output_tokens": 17, "total_tokens": 57, "input_token_details": {"cache_read": 4}, "output_token_details": {"reasoning": 2}}
GIVEN = json.dumps({"messages": [[langchain("SystemMessage", content="Be brief."), langchain("HumanMessage", content="Book NH 11", type="human")]]})
ANSWER = langchain("AIMessage", content="", tool_calls=ASKED, usage_metadata=USAGE, response_metadata={"model_name": "m-1"})
ANSWERED = json.dumps({"generations": [[{"text": "", "generation_info": {"logprobs": None}, "message": ANSWER}]]})
SCHEMA = {"type": "function", "function": {"name": "book_flight", "parameters": {}}}
PARTS_GIVEN = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Book NH 11"}]}])
PARTS_ANSWERED = json.dumps([{"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "book_flight", "arguments": {"flight": "NH 11"}}]}])
PARTS_SYSTEM = json.dumps([{"type": "text", "content": "Be brief."}])
COUNTS = {"gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 17, "gen_ai.usage.total_tokens": 57, "gen_ai.usage.cache_read.input_tokens": 4}

MODEL_CALLS: dict[str, dict[str, Json]] = {
    "openinference": {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m-1",
        "input.value": GIVEN,
        "output.value": ANSWERED,
        "llm.tools.0.tool.json_schema": json.dumps(SCHEMA),
        "metadata": json.dumps(GRAPH),
    },
    "openinference, flattened": {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m-1",
        **prefixed(
            "llm.input_messages.0.message.", {"role": "system", "contents.0.message_content.type": "text", "contents.0.message_content.text": "Be brief."}
        ),
        **prefixed("llm.input_messages.1.message.", {"role": "user", "content": "Book NH 11"}),
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "book_flight",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"flight": "NH 11"}',
        **prefixed("llm.token_count.", {"prompt": 40, "completion": 17, "total": 57, "prompt_details.cache_read": 4, "completion_details.reasoning": 2}),
        "llm.invocation_parameters": json.dumps({"tools": [SCHEMA]}),
        "metadata": json.dumps(GRAPH),
    },
    "openllmetry": {
        **prefixed("traceloop.association.properties.", {**GRAPH, "ls_model_name": "m-1"}),
        "gen_ai.operation.name": "chat",
        "gen_ai.response.model": "unknown",
        "gen_ai.system_instructions": PARTS_SYSTEM,
        "gen_ai.input.messages": PARTS_GIVEN,
        "gen_ai.output.messages": PARTS_ANSWERED,
        "llm.request.functions.0.name": "book_flight",
        "gen_ai.usage.reasoning_tokens": 2,
        **COUNTS,
    },
    "openllmetry before 1.37": {
        **prefixed("traceloop.association.properties.", GRAPH),
        "llm.request.type": "chat",
        "gen_ai.response.model": "m-1",
        **prefixed("gen_ai.prompt.", {"0.role": "system", "0.content": "Be brief.", "1.role": "user", "1.content": "Book NH 11"}),
        **prefixed("gen_ai.completion.0.", {"role": "assistant", "tool_calls.0.id": "c1", "tool_calls.0.name": "book_flight"}),
        "gen_ai.completion.0.tool_calls.0.arguments": '{"flight": "NH 11"}',
        "llm.request.functions.0.name": "book_flight",
        **prefixed("gen_ai.usage.", {"prompt_tokens": 40, "completion_tokens": 17, "cache_read_input_tokens": 4, "reasoning_tokens": 2}),
        "llm.usage.total_tokens": 57,
    },
    "langsmith": {
        "langsmith.span.kind": "llm",
        **prefixed("langsmith.metadata.", GRAPH),
        "gen_ai.request.model": "m-1",
        "gen_ai.prompt": GIVEN,
        "gen_ai.completion": ANSWERED,
        "gen_ai.tool.definitions": json.dumps([SCHEMA]),
        **COUNTS,
    },
}

ENVELOPE = {"content": "booked", "type": "tool", "name": "book_flight", "tool_call_id": "c1", "status": "success"}
WRAPPED = {"input_str": "{'flight': 'NH 11'}", "inputs": {"flight": "NH 11"}, "kwargs": {"tool_call_id": "c1"}}

TOOL_CALLS: dict[str, dict[str, Json]] = {
    "openinference": {
        "openinference.span.kind": "TOOL",
        "tool.name": "book_flight",
        "tool.parameters": '{"type": "object"}',
        "input.value": '{"flight": "NH 11"}',
        "output.value": json.dumps({"type": "tool", "data": ENVELOPE}),
    },
    "openinference, Python text": {
        "openinference.span.kind": "TOOL",
        "tool.name": "book_flight",
        "input.value": "{'flight': 'NH 11'}",
        "output.value": json.dumps(langchain("ToolMessage", **ENVELOPE)),
    },
    "openllmetry": {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "book_flight",
        "traceloop.entity.input": json.dumps(WRAPPED),
        "gen_ai.tool.call.arguments": json.dumps(WRAPPED),
        "traceloop.entity.output": json.dumps({"output": langchain("ToolMessage", **ENVELOPE), "kwargs": {}}),
    },
    "openllmetry, Python text": {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "book_flight",
        "traceloop.entity.input": json.dumps({"input_str": "{'flight': 'NH 11'}", "kwargs": {"tool_call_id": "c1"}}),
        "traceloop.entity.output": json.dumps({"output": "booked"}),
    },
    "langsmith": {
        "langsmith.span.kind": "tool",
        "gen_ai.tool.name": "book_flight",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.prompt": '{"flight": "NH 11"}',
        "gen_ai.completion": json.dumps({"output": ENVELOPE}),
    },
    "genai, text blocks": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "book_flight",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.arguments": {"flight": "NH 11"},
        "gen_ai.tool.call.result": '[{"text": "boo"}, {"type": "text", "text": "ked"}]',
    },
    "genai": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "book_flight",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.arguments": '{"flight": "NH 11"}',
        "gen_ai.tool.call.result": "booked",
    },
}


@pytest.mark.parametrize("dialect", MODEL_CALLS)
def test_a_model_call_reads_the_same_in_every_dialect(dialect: str):
    """What was given, asked, offered and counted, and where in the graph, is the same whichever instrumentor wrote it."""
    reading = read(made(**MODEL_CALLS[dialect]))
    assert reading.kind == "model"
    assert (reading.conversation_id, reading.node, reading.namespace, reading.model) == ("t-1", "agent", NAMESPACE, "m-1")
    assert [(message.role, message.content) for message in reading.messages] == [("system", "Be brief."), ("user", "Book NH 11")]
    assert reading.output is not None
    assert reading.output.tool_calls == (ToolCall(name="book_flight", arguments={"flight": "NH 11"}, call_id="c1"),)
    assert reading.tools == ("book_flight",)
    assert reading.tokens == Tokens(input=40, output=17, total=57, cache_read=4, reasoning=2)


@pytest.mark.parametrize("dialect", TOOL_CALLS)
def test_a_tool_call_reads_the_same_in_every_dialect(dialect: str):
    """Name, id, arguments as an object, and the tool's own result without its envelope are the same whichever instrumentor wrote it."""
    reading = read(made(**TOOL_CALLS[dialect]))
    assert (reading.kind, reading.tool_name, reading.call_id) == ("tool", "book_flight", "c1")
    assert (reading.arguments, reading.result, reading.error) == ({"flight": "NH 11"}, "booked", None)


def test_a_lone_argument_keeps_its_value_where_its_name_was_lost():
    """OpenInference writes a single text argument without its name: no arguments, but the text as it was recorded."""
    reading = read(made(openinference__span__kind="TOOL", input__value="Paris", output__value="21C"))
    assert (reading.arguments, reading.raw_arguments, reading.result) == (None, "Paris", "21C")


@pytest.mark.parametrize(("recorded", "result"), [("", ""), ("[]", []), ('{"hotels": []}', {"hotels": []}), ("42", "42"), ('{"cut', '{"cut')])
def test_an_empty_result_is_a_result(recorded: str, result: Json):
    """Empty text and empty lists are what a tool returned, not "not recorded"; JSON objects and lists are opened, other text stays text."""
    assert read(made(openinference__span__kind="TOOL", output__value=recorded)).result == result
    assert read(made(openinference__span__kind="TOOL")).result is None


def test_a_tool_message_that_says_error_is_an_error():
    """A failed tool call whose span ended well is told by the status inside its envelope."""
    failed = {**ENVELOPE, "status": "error", "content": "Error: no such flight"}
    for attributes in (
        {"openinference.span.kind": "TOOL", "output.value": json.dumps({"type": "tool", "data": failed})},
        {"traceloop.span.kind": "tool", "traceloop.entity.output": json.dumps({"output": langchain("ToolMessage", **failed)})},
        {"langsmith.span.kind": "tool", "gen_ai.completion": json.dumps({"output": failed})},
    ):
        reading = read(made(status="ok", **attributes))
        assert (reading.error, reading.result, reading.interrupted) == ("Error: no such flight", "Error: no such flight", False)


# ---- kinds


@pytest.mark.parametrize(
    ("name", "attributes", "kind"),
    [
        ("agent", {"openinference.span.kind": "AGENT", "metadata": json.dumps(GRAPH)}, "node"),
        ("route", {"openinference.span.kind": "CHAIN", "metadata": json.dumps(GRAPH)}, "other"),
        ("booker", {"openinference.span.kind": "AGENT", "metadata": json.dumps(GRAPH)}, "agent"),
        ("travel", {"openinference.span.kind": "CHAIN", "metadata": '{"ls_integration": "langgraph"}'}, "agent"),
        ("turn", {"openinference.span.kind": "CHAIN"}, "node"),
        ("LLM", {"openinference.span.kind": "GUARDRAIL"}, "other"),
        ("docs", {"openinference.span.kind": "RETRIEVER", "input.value": "visa rules"}, "retrieval"),
        (
            "execute_task agent",
            {"traceloop.span.kind": "task", "traceloop.entity.name": "agent", "traceloop.association.properties.langgraph_node": "agent"},
            "node",
        ),
        (
            "execute_task route",
            {"traceloop.span.kind": "task", "traceloop.entity.name": "route", "traceloop.association.properties.langgraph_node": "agent"},
            "other",
        ),
        ("travel.workflow", {"traceloop.span.kind": "workflow"}, "agent"),
        ("agent", {"langsmith.span.kind": "chain", "langsmith.metadata.langgraph_node": "agent"}, "node"),
        ("embeddings e", {"gen_ai.operation.name": "embeddings"}, "embedding"),
        ("invoke_agent a", {"gen_ai.operation.name": "invoke_agent"}, "agent"),
        ("chat m", {"gen_ai.operation.name": "something new"}, "other"),
        ("chat", {"http.method": "POST"}, "plumbing"),
    ],
)
def test_a_kind_comes_from_what_is_recorded_not_from_a_name(name: str, attributes: dict[str, Json], kind: str):
    """A node is a span called like its LangGraph node; what runs inside it is no step of its own; a name alone says nothing."""
    assert read(made(name, **attributes)).kind == kind


def test_conventions_are_merged_span_by_span():
    """A span that speaks two conventions takes each field from the first that has it, and says from which attribute."""
    reading = read(
        made(
            "chat",
            openinference__span__kind="LLM",
            llm__model_name="m-1",
            gen_ai__input__messages=PARTS_GIVEN,
            gen_ai__request__model="m-2",
            session__id="s-1",
        )
    )
    assert (reading.kind, reading.model, reading.conversation_id, len(reading.messages)) == ("model", "m-1", "s-1", 1)
    assert reading.provenance == {
        "kind": "openinference: openinference.span.kind",
        "model": "openinference: llm.model_name",
        "conversation_id": "openinference: session.id",
        "messages": "otel_genai: gen_ai.input.messages -> json",
    }


def test_messages_in_span_events_are_read():
    """GenAI messages that an instrumentor put into events rather than attributes are found there."""
    events = tuple(
        SpanEvent(name="gen_ai.client.inference.operation.details", attributes={key: value})
        for key, value in (("gen_ai.system_instructions", PARTS_SYSTEM), ("gen_ai.input.messages", PARTS_GIVEN), ("gen_ai.output.messages", PARTS_ANSWERED))
    )
    reading = read(made(gen_ai__operation__name="chat", events=events))
    assert [message.role for message in reading.messages] == ["system", "user"]
    assert reading.output is not None
    assert reading.output.tool_calls[0].name == "book_flight"


def test_nothing_is_made_up_for_a_span_of_no_convention():
    """A span of nobody's reads as nothing at all."""
    assert read(made("GET", colour="red", status="ok")) == Reading()


def test_what_was_not_recorded_is_none():
    """A model call without tokens, tools, cost or answer has none of them, rather than zeros and empty lists."""
    reading = read(made(openinference__span__kind="LLM"))
    assert (reading.tokens, reading.tools, reading.cost_usd, reading.output, reading.model) == (Tokens(), None, None, None, None)


def test_only_a_recorded_cost_counts():
    """A cost is read where one is recorded, as a number or as text; what is no amount is not recorded."""
    assert read(made(openinference__span__kind="LLM", llm__cost__total="0.25")).cost_usd == 0.25
    assert read(made(gen_ai__operation__name="chat", operation__cost=0.25)).cost_usd == 0.25
    assert read(made(openinference__span__kind="LLM", llm__cost__total="a lot")).cost_usd is None
    assert read(made(openinference__span__kind="LLM", llm__cost__total=-1)).cost_usd is None


# ---- errors and interrupts


@pytest.mark.parametrize(
    ("span", "error"),
    [
        (made(status="error", events=raised("pkg.errors.FlightError", "no seat")), "FlightError: no seat"),
        (made(status="error", message="no seat", **{ERROR_TYPE: "FlightError"}), "FlightError: no seat"),
        (made(status="error", message="FlightError('no \"seat\"')Traceback (most recent call last):\n  File x"), 'FlightError: no "seat"'),
        (made(status="error", events=raised("Exception", "FlightError('no seat')Traceback (most recent call last):\n")), "FlightError: no seat"),
        (made(status="error", events=raised("Error", "Error: no seat")), "Error: no seat"),
        (made(status="error", events=raised("Exception", "book(NH) failed (503)")), "Exception: book(NH) failed (503)"),
        (made(status="error", message="no seat"), "no seat"),
        (made(status="error"), "failed, with no message recorded"),
        (made(**{ERROR_TYPE: "Timeout"}), "Timeout"),
        (made(status="ok", events=raised("FlightError", "caught")), None),
    ],
)
def test_an_error_reads_as_type_and_message(span: Span, error: str | None):
    """Type without its module and message without its traceback, from whichever place has them; an exception that was handled is no error."""
    assert read(span).error == error
    assert read(span).interrupted is False


INTERRUPT = "(Interrupt(value={'question': 'Send?'}, id='f'),)"


@pytest.mark.parametrize(
    "span",
    [
        made(status="ok", events=raised("langgraph.errors.GraphInterrupt", INTERRUPT)),
        made(status="error", message=INTERRUPT, **{ERROR_TYPE: "GraphInterrupt"}),
        made(status="error", events=raised("Exception", f"GraphInterrupt({INTERRUPT})Traceback (most recent call last):\n")),
    ],
)
def test_an_interrupt_is_no_error(span: Span):
    """LangGraph's pause for a person is interrupted and no error, whether its span ended as ok (OpenInference) or as error (all others)."""
    reading = read(span)
    assert (reading.interrupted, reading.error, reading.handoff) == (True, None, False)


def test_a_handoff_is_no_error_and_no_pause():
    """Handing over to another graph is raised like an error, and told from a pause for a person."""
    reading = read(made(status="error", events=raised("langgraph.errors.ParentCommand", "Command(goto='booker')")))
    assert (reading.interrupted, reading.error, reading.handoff) == (True, None, True)


# ---- messages


@pytest.mark.parametrize(
    ("fields", "confidence", "source"),
    [
        ({"response_metadata": {"logprobs": {"content": [{"logprob": -0.1}, {"logprob": -0.3}]}}}, 0.8187, "logprobs"),
        ({"content": '{"answer": "yes", "confidence": 0.4}'}, 0.4, "self-report"),
        ({"content": '{"confidence": 40}'}, None, None),
        ({"content": '{"confidence": true}'}, None, None),
        ({"content": "confidence: 0.4"}, None, None),
        ({"response_metadata": {"logprobs": {"content": [{"logprob": "low"}, {"logprob": 5}, {"logprob": -1e400}]}}}, None, None),
        ({"response_metadata": {"logprobs": None}}, None, None),
    ],
)
def test_confidence_is_recorded_or_self_reported(fields: dict[str, Json], confidence: float | None, source: str | None):
    """Token log-probabilities become e to their mean; a number from 0 to 1 in a JSON answer is the model's own word; nothing else counts."""
    message = message_of({"role": "assistant", "content": "", **fields})
    assert message is not None
    assert message.confidence == (None if confidence is None else pytest.approx(confidence, abs=1e-4))
    assert message.confidence_source == source


@pytest.mark.parametrize(
    "response",
    [
        {
            "generations": [
                [{"text": "yes", "generation_info": {"logprobs": {"content": [{"logprob": 0.0}]}}, "message": langchain("AIMessage", content="yes")}]
            ]
        },
        {"generations": [[{"text": "yes", "generation_info": {"logprobs": {"content": [{"logprob": 0.0}]}}}]]},
        {"choices": [{"message": {"role": "assistant", "content": "yes"}, "logprobs": {"content": [{"logprob": 0.0}]}}]},
    ],
)
def test_log_probabilities_beside_the_message_are_found(response: Json):
    """In a generation of LangChain and a choice of OpenAI they stand beside the message they belong to."""
    answer = answer_of(response)
    assert answer is not None
    assert (answer.content, answer.confidence, answer.confidence_source) == ("yes", 1.0, "logprobs")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "yes"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}]},
        {"role": "assistant", "content": "yes", "reasoning_content": "hm"},
        langchain("AIMessage", content="yes", additional_kwargs={"reasoning_content": "hm"}),
        {"type": "ai", "data": {"content": [{"type": "reasoning", "reasoning": "hm"}, "yes"]}},
    ],
)
def test_reasoning_is_told_from_the_answer(message: Json):
    """What the model thought is its reasoning, never part of its content."""
    found = message_of(message)
    assert found is not None
    assert (found.reasoning, found.content) == ("hm", "yes")


@pytest.mark.parametrize(
    "call",
    [
        {"name": "book", "args": {"a": 1}, "id": "c"},
        {"id": "c", "type": "function", "function": {"name": "book", "arguments": '{"a": 1}'}},
        {"tool_call": {"id": "c", "function": {"name": "book", "arguments": '{"a": 1}'}}},
        {"type": "tool_call", "id": "c", "name": "book", "arguments": '{"a": 1}'},
        {"type": "tool_use", "id": "c", "name": "book", "input": {"a": 1}},
        {"toolCallId": "c", "toolName": "book", "input": '{"a": 1}'},
        {"id": "c", "function": "book", "args": {"a": 1}},
    ],
)
def test_a_tool_call_is_read_in_every_shape(call: Json):
    """Seven ways to write one call read as the same call."""
    found = message_of({"role": "assistant", "content": None, "tool_calls": [call]})
    assert found is not None
    assert found.tool_calls == (ToolCall(name="book", arguments={"a": 1}, call_id="c"),)


def test_answers_of_several_tools_in_one_message_are_several_messages():
    """A user message that carries two tool responses becomes two tool messages, each with the call it answers."""
    responses = [{"type": "tool_call_response", "id": f"c{number}", "response": [{"text": f"r{number}"}]} for number in (1, 2)]
    found = messages_of([{"role": "user", "parts": [*responses, {"type": "text", "content": "and?"}]}])
    assert found is not None
    assert [(message.role, message.tool_call_id, message.content) for message in found] == [("tool", "c1", "r1"), ("tool", "c2", "r2"), ("user", None, "and?")]


def test_what_is_no_message_makes_no_list_of_messages():
    """A list of which one item is no message is none of messages: the next source is tried."""
    assert messages_of([{"role": "user", "content": "a"}, {"type": "item_reference", "id": "b"}]) is None
    assert message_of({"type": "message", "content": "a"}) is None


def test_a_message_of_text_alone_reads_as_one_with_empty_fields_beside_it():
    """Empty calls, usage and metadata say nothing; a cost of 0 and a token count are recorded, and stay."""
    bare = message_of({"role": "assistant", "content": "hello", "name": "ada"})
    assert bare == message_of({"role": "assistant", "content": "hello", "name": "ada", "tool_calls": [], "usage_metadata": {}, "response_metadata": None})
    assert bare == Message(role="assistant", content="hello", name="ada")
    free = message_of({"role": "user", "content": "hello", "cost_usd": 0, "usage": {"input_tokens": 0}})
    assert free is not None
    assert (free.cost_usd, free.tokens.input) == (0.0, 0)


def test_content_that_is_no_text_is_named():
    """An image is shown as having been there; an object is shown as its JSON."""
    found = message_of({"role": "user", "content": [{"type": "text", "text": "see "}, {"type": "image_url", "image_url": {"url": "data:..."}}]})
    assert found is not None
    assert found.content == "see [image_url]"


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        ("2026-03-01T09:00:00.000001", 1_772_355_600_000_001_000),
        ("2026-03-01T09:00:00Z", 1_772_355_600_000_000_000),
        ("2026-03-01T10:00:00+01:00", 1_772_355_600_000_000_000),
        (1_772_355_600, 1_772_355_600_000_000_000),
        (1_772_355_600_000, 1_772_355_600_000_000_000),
        (1_772_355_600_000_000_000, 1_772_355_600_000_000_000),
        ("1970-01-01T00:00:01", None),
        ("9999-12-31", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        (float("inf"), None),
        (True, None),
    ],
)
def test_times_without_a_zone_are_utc(value: Json, nanoseconds: int | None):
    """ISO text and Unix times of any unit read as nanoseconds; what no set clock shows is not recorded."""
    assert time_ns(value) == nanoseconds


def test_tokens_of_three_providers_read_the_same():
    """LangChain, OpenAI and Anthropic name their counts differently."""
    openai = {"prompt_tokens": 40, "completion_tokens": 17, "total_tokens": 57, "prompt_tokens_details": {"cached_tokens": 4}}
    openai["completion_tokens_details"] = {"reasoning_tokens": 2}
    assert tokens_of(USAGE) == tokens_of(openai) == Tokens(input=40, output=17, total=57, cache_read=4, reasoning=2)
    assert tokens_of({"input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 3}) == Tokens(input=1, cache_read=2, cache_write=3)
    assert tokens_of({"input_tokens": -1, "output_tokens": "many"}) == Tokens()


@pytest.mark.parametrize(
    ("counts", "tokens"),
    [
        ({"input": 60, "input_cached_tokens": 40, "output": 10, "total": 110}, Tokens(input=100, output=10, total=110, cache_read=40)),
        ({"input": 200, "output": 15, "output_reasoning_tokens": 5, "total": 220}, Tokens(input=200, output=20, total=220, reasoning=5)),
        (
            {"input": 5, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 7, "output": 10, "output_reasoning": 3, "total": 65},
            Tokens(input=52, output=13, total=65, cache_read=40, cache_write=7, reasoning=3),
        ),
        ({"input": 60, "input_cached_tokens": 40, "output": 10, "total": 70}, Tokens(input=60, output=10, total=70, cache_read=40)),
        ({"input": 60, "input_cached_tokens": 40, "output": 10}, Tokens(input=60, output=10, total=70, cache_read=40)),
        ({"input": 60, "input_cached_tokens": 40, "output": 10, "total": 90}, Tokens(input=60, output=10, total=90, cache_read=40)),
        (
            {"input": 9, "input_cached_tokens": 4, "output": 9, "output_reasoning": 4, "total": 22},
            Tokens(input=9, output=9, total=22, cache_read=4, reasoning=4),
        ),
    ],
)
def test_the_total_tells_whether_parts_stand_beside_the_whole(counts: dict[str, int], tokens: Tokens):
    """Cached and reasoning tokens are among the input and the output; where they were recorded beside them, the total says so, and nothing else does."""
    span = made(**{"langfuse.type": "GENERATION", "langfuse.usageDetails": counts})
    assert read(span).tokens == tokens


def test_a_usage_object_with_parts_beside_the_whole_reads_like_a_span():
    """So it is with the usage of a message; what was added to a count stands in its provenance."""
    usage = {"input_tokens": 60, "output_tokens": 15, "total_tokens": 120, "input_token_details": {"cache_read": 40}, "output_token_details": {"reasoning": 5}}
    assert tokens_of(usage) == Tokens(input=100, output=20, total=120, cache_read=40, reasoning=5)
    span = made(**{"langfuse.type": "GENERATION", "langfuse.usageDetails": {"input": 60, "input_cached_tokens": 40, "output": 1, "total": 101}})
    assert read(span).provenance["tokens.input"] == "input + cache_read"


@pytest.mark.parametrize(
    "schema", ["book", SCHEMA, json.dumps(SCHEMA), {"name": "book"}, {"tool": {"json_schema": '{"name": "book"}'}}, {"toolSpec": {"name": "book"}}]
)
def test_tool_names_are_found_in_every_schema(schema: Json):
    """A tool offered is named by its name, or by wherever a dialect's schema has it."""
    assert tool_names([schema, 5, {}]) in {("book",), ("book_flight",)}


def test_arguments_are_an_object_or_nothing():
    """Only JSON objects are arguments; lists, numbers and broken text are none."""
    assert [arguments_of(value) for value in ({"a": 1}, ' {"a": 1}', "{}", "[1]", '{"a": ', "x", None, 5)] == [
        {"a": 1},
        {"a": 1},
        {},
        None,
        None,
        None,
        None,
        None,
    ]


# ---- hostile spans, and the files themselves

DEEP = "llm.input_messages." + ".".join("a" * 3000)
KEYS = sorted(
    {key for call in (*MODEL_CALLS.values(), *TOOL_CALLS.values()) for key in call} | {"llm.input_messages.0", "llm.input_messages." + "9" * 5000, DEEP}
)
WORDS = (
    "role",
    "content",
    "type",
    "id",
    "kwargs",
    "data",
    "message",
    "messages",
    "generations",
    "choices",
    "tool_calls",
    "function",
    "logprobs",
    "parts",
    "output",
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(("assistant", "tool", "text", "{", "[]", "{'a': ", "x")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, max_examples=400)
@given(kind=st.sampled_from(["LLM", "TOOL", "AGENT"]), values=st.dictionaries(st.sampled_from(KEYS), ODD | ODD.map(json.dumps) | ODD.map(repr), max_size=8))
def test_any_span_can_be_read(kind: str, values: dict[str, Json]):
    """Whatever stands in the attributes, of whatever type and shape, a reading comes of it and can be written as JSON."""
    span = made(**{**values, "openinference.span.kind": kind, "traceloop.span.kind": kind.lower(), "langsmith.span.kind": kind.lower()})
    assert Reading.model_validate_json(read(span).model_dump_json()).kind in {"model", "tool", "agent", "node", "other"}


def test_a_python_literal_is_never_evaluated(tmp_path: Path):
    """Text that would run if it were evaluated as Python is no value."""
    marker = tmp_path / "ran"
    attack = f"{{'a': __import__('pathlib').Path({str(marker)!r}).touch()}}"
    reading = read(made(openinference__span__kind="TOOL", input__value=attack))
    assert (reading.arguments, reading.raw_arguments, marker.exists()) == (None, attack, False)


def test_half_a_character_in_a_python_literal_is_replaced():
    """Half a surrogate pair, which nothing could show or read back, comes out of a Python literal as U+FFFD."""
    assert DECODERS["python"](r"{'said': 'well \ud800'}") == {"said": "well \ufffd"}


def test_an_object_as_python_shows_it_is_read_and_never_evaluated():
    """Fields, lists and members of enumerations are taken as they stand; a call without named fields is nothing, and what is no literal is refused."""
    shown = "Answer(parts=[Text(text='sunny', at=None)], state=<State.OK: 'ok'>, when=datetime(2026, 1, 2), costs={'m': -1})"
    assert DECODERS["objects"](shown) == {"parts": [{"text": "sunny", "at": None}], "state": "ok", "when": {}, "costs": {"m": -1}}
    for hostile in ("__import__('os').system('true')", "Answer(text=open('x').read())", "Answer(", "(" * 5_000):
        with contextlib.suppress(ValueError):
            assert DECODERS["objects"](hostile) in ({}, {"text": {}})


def test_an_object_as_python_shows_it_has_its_whole_fields_where_it_was_cut_short():
    """A text that ends in dots tells what stands before its last comma; one that is damaged otherwise tells nothing."""
    cut = "Called(name='book', given={'city': 'Paris, France'}, outcome=Outcome(parts=[Text(text='sun..."
    assert DECODERS["objects"](cut) == {"name": "book", "given": {"city": "Paris, France"}}
    with pytest.raises(ValueError, match="nothing that Python shows"):
        DECODERS["objects"](cut.removesuffix("..."))


def test_a_value_made_unchecked_is_the_same_as_one_that_was_checked():
    """What readers make without checking equals the validated value, fields in the same order, so that both have one address in the store."""
    fields = {"role": "assistant", "content": "booked", "tool_calls": (ToolCall(name="book", arguments={"flight": "NH 11"}),)}
    checked, unchecked = Message(**fields), Message.unchecked(**fields)
    assert unchecked == checked
    assert unchecked.model_dump_json() == checked.model_dump_json()
    assert list(unchecked.__dict__) == list(checked.__dict__)


def test_conventions_are_in_order_of_rank():
    """A dialect stands before the standard that it carries some keys of."""
    names = [convention.name for convention in conventions()]
    standard = names.index("otel_genai")
    assert names[0] == "workbench"
    assert {"langsmith", "openinference", "openllmetry", "vercel_ai", "google_adk", "strands"} <= set(names[:standard])
    assert set(names[standard:]) == {"otel_genai", "langfuse", "langgraph", "plumbing"}
    exports = ["langsmith_export", "langsmith", "mlflow", "openinference", "openllmetry", "otel_genai", "langfuse", "langgraph"]
    assert [name for name in names if name in exports] == exports


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rank = ", "Invalid value"),
        ("prefixes = []", "KeyError: 'rank'"),
        ("rank = 1\nprefixes = []\nkinds = 1", "no entry 'kinds'; there are about, "),
        ("rank = 1\nprefixes = []\n[model]\ncolour = ['a']", "no field 'colour'; there are conversation_id, "),
        ("rank = 1\nprefixes = []\n[model]\nmodel = 'a'", "model should be a list of sources, found 'a'"),
        (
            "rank = 1\nprefixes = []\n[model]\nmodel = ['a -> magic']",
            "no decoder 'magic'; there are: get PATH, lacks KEY, after PREFIX, before SUFFIX, is TEXT, said as ROLE, json, ",
        ),
        ("rank = 1\nprefixes = []\n[[kind]]\nsource = 'a'\nvalues = {b = 'chatter'}", "no kind 'chatter'; there are agent, "),
    ],
)
def test_a_malformed_convention_is_an_error_that_names_it(text: str, says: str):
    """The file, the entry and what would be right stand in the error."""
    with pytest.raises(ConventionError, match=r"conventions/broken\.toml: ") as raised_error:
        parse_convention("broken.toml", text)
    assert says in str(raised_error.value)


# ---- real files


def recorded(*parts: str) -> list[tuple[Span, Reading]]:
    """The spans of a file of the corpus with their readings; the test is skipped, visibly, where the corpus isn't there."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {'/'.join(parts)} beside the repository")
    return [(record, read(record)) for record in otlp.collect(Source(path)) if isinstance(record, Span)]


@pytest.mark.parametrize("dialect", ["openinference", "traceloop", "langsmith", "genai"])
def test_every_model_and_tool_call_of_the_recorded_agent_is_read(dialect: str):
    """One agent under four instrumentors: 7 model calls, 5 tool calls of which one failed, one interrupt; nodes and tasks where they are recorded."""
    readings = [reading for _, reading in recorded("langgraph", f"{dialect}.otlp.jsonl")]
    models = [reading for reading in readings if reading.kind == "model"]
    tools = [reading for reading in readings if reading.kind == "tool"]
    assert Counter(reading.tool_name for reading in tools) == {"search": 2, "calculator": 1, "flaky": 1, "send_email": 1}
    assert [len(reading.messages) for reading in models] == [1, 1, 1, 1, 1, 5, 7]
    assert [[call.call_id for call in reading.output.tool_calls] for reading in models if reading.output] == [[], [], [], [], ["c1", "c2", "c3"], ["c4"], []]
    assert sum(reading.tokens.input or 0 for reading in models) == 170
    assert {reading.model for reading in models} == {"scripted-1"}
    assert [reading.error for reading in readings if reading.error] == ["ValueError: flaky tool broke"]
    assert {reading.result for reading in tools if reading.tool_name == "calculator"} == {"42"}
    assert all(reading.arguments is not None or (dialect, reading.tool_name) == ("openinference", "search") for reading in tools)
    assert {reading.conversation_id for reading in models} == {f"thread-{dialect}"}
    if dialect != "genai":  # the official instrumentor records neither nodes nor what the graph itself raises
        assert {reading.node for reading in models} == {"plan", "summarise", "agent"}
        assert all(reading.namespace and reading.namespace.split("|")[-1].startswith(f"{reading.node}:") for reading in (*models, *tools))
        assert [reading.node for reading in readings if reading.interrupted] == ["approve"]


@pytest.mark.parametrize("text", ['{"a": 1}', " [1]", '"sunny"', "-1", "7", "true", "false", "null", "NaN", "Infinity", "-Infinity"])
def test_json_is_read_however_it_begins(text: str):
    """Every kind of JSON is decoded as it is anywhere else, space before it or not."""
    assert DECODERS["json"](text) == parse_json(text)


@pytest.mark.parametrize("text", ["", " ", "Sunny, 21 degrees", "\ufeff{}", "+1", "undefined", "'a'"])
def test_what_begins_as_no_json_is_none(text: str):
    """Text that begins as no JSON does has no value, and nobody tries to read it."""
    assert DECODERS["json"](text) is None
    with pytest.raises(ValueError, match="Expecting value"):
        parse_json(text)


@pytest.mark.parametrize(
    ("folder", "models", "tools", "tokens"),
    [
        ("langgraph-openinference", 8, 6, Tokens(input=390, output=74, total=464, cache_read=28, reasoning=14)),
        ("langgraph-openllmetry", 8, 6, Tokens(input=390, output=74, total=464, cache_read=28)),
        ("crewai-openinference", 2, 2, Tokens(input=110, output=24, total=134, cache_read=8, reasoning=4)),
        ("openai-agents-openinference", 5, 4, Tokens(input=250, output=55, total=305, cache_read=20, reasoning=10)),
        ("pydantic-ai-v5", 6, 4, Tokens(input=260, output=55, total=315, cache_read=20, reasoning=10)),
        ("strands-latest", 5, 4, Tokens(input=260, output=55, total=315, cache_read=20)),
        ("openai-v2-events-in-logs", 3, 0, Tokens(input=110, output=24, total=134)),
    ],
)
def test_the_calls_and_tokens_of_other_frameworks_are_counted(folder: str, models: int, tools: int, tokens: Tokens):
    """Model calls, tool calls and tokens of real files are as many as their requests on the wire; every tool call has a name."""
    readings = [reading for _, reading in recorded("spans", f"{folder}-otlp", "raw", "traces.jsonl")]
    assert sum(reading.kind == "model" for reading in readings) == models
    assert sum(reading.kind == "tool" and bool(reading.tool_name) for reading in readings) == tools
    assert sum((reading.tokens for reading in readings if reading.kind == "model"), Tokens()) == tokens
