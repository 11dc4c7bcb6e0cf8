"""One line records a LangGraph agent, with what no convention carries: alternatives, confidence, reasoning, keys, approvals, retries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.callbacks import BaseCallbackManager
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, RetryPolicy, interrupt
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import TracerProvider

import workbench as wb
from workbench.analysis.effects import effects_of
from workbench.live import recorder
from workbench.live.recorder import RecordError, note_idempotency_key
from workbench.model import Run, Span
from workbench.store import Store

CONFIG = {"configurable": {"thread_id": "trip"}}
LOGPROBS = {"logprobs": {"content": [{"token": "ok", "logprob": -0.5}, {"token": "!", "logprob": -0.5}]}}


class Chat(GenericFakeChatModel):
    """Says what it is told to, in order."""

    def bind_tools(self, tools, **kwargs):
        """Offer tools, as a hosted model does."""
        return self.bind(tools=[convert_to_openai_tool(one) for one in tools], **kwargs)


@tool
def book_flight(flight: str) -> str:
    """Book a flight."""
    note_idempotency_key(f"key-{flight}")
    return f"booked {flight}"


@tool
def cancel_flight(flight: str, idempotency_key: str) -> str:
    """Cancel a flight."""
    if interrupt({"cancel": flight}) != "yes":
        return "kept"
    return f"cancelled {flight}"


def calling(name: str, **arguments: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}"}])


def agent(*answers: AIMessage, retry: RetryPolicy | None = None, fails: Iterator[Exception] | None = None):
    model = Chat(messages=iter(answers)).bind_tools([book_flight, cancel_flight])

    def think(state: MessagesState):
        for error in fails or ():
            raise error
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think, retry_policy=retry)
    graph.add_node("tools", ToolNode([book_flight, cancel_flight]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    return graph.compile(checkpointer=InMemorySaver(), name="travel-agent")


def run_of(path: Path) -> Run:
    bench = wb.open(path)
    (run,) = bench.store.runs()
    bench.close()
    return run


def spans_of(path: Path) -> list[Span]:
    with Store.open(path) as store:
        return [span for group in store.groups([], ["trip"]) for span in group.spans]


ASK = {"messages": [("user", "book AF7")]}
BOOK = (calling("book_flight", flight="AF7"), AIMessage("done"))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_one_line_records_a_run(tmp_path: Path, mode: str):
    """A run through a recorded graph is a run of the store, its decisions with the tools that were offered and its calls with their arguments by name."""
    with wb.record(agent(*BOOK), tmp_path / "x.db") as graph:
        answer = graph.invoke(ASK, CONFIG) if mode == "sync" else asyncio.run(graph.ainvoke(ASK, CONFIG))
    assert answer["messages"][-1].content == "done"
    run = run_of(tmp_path / "x.db")
    assert (run.agent, run.conversation_id, [step.name for step in run.of_kind("tool")]) == ("travel-agent", "trip", ["book_flight"])
    first, _ = run.of_kind("model")
    assert (first.decision.selected, first.decision.alternatives) == (("book_flight",), ("book_flight", "cancel_flight"))
    (call,) = run.of_kind("tool")
    assert (call.tool_call.arguments, call.idempotency_key) == ({"flight": "AF7"}, "key-AF7")
    assert [effect.idempotency_key for effect in effects_of(run)] == ["key-AF7"]


@pytest.mark.parametrize(("said", "evaluator", "expected"), [
    (AIMessage("ok!", response_metadata=LOGPROBS), None, (0.6065, "logprobs")),
    (AIMessage('{"answer": "yes", "confidence": 0.4}'), None, (0.4, "self-report")),
    (AIMessage("ok!", response_metadata=LOGPROBS), lambda message: len(message.content) / 10, (0.3, "evaluation")),
    (AIMessage("ok!", response_metadata=LOGPROBS), lambda _: None, (0.6065, "logprobs")),
    (AIMessage("ok!"), None, (None, None)),
])  # fmt: skip
def test_confidence_is_recorded_with_its_source(tmp_path: Path, said: AIMessage, evaluator, expected: tuple):
    """An evaluator counts before log-probabilities, these before the model's own word; without any there is none."""
    with wb.record(agent(said), tmp_path / "x.db", confidence=evaluator) as graph:
        graph.invoke(ASK, CONFIG)
    (step,) = run_of(tmp_path / "x.db").of_kind("model")
    found = step.decision.confidence
    assert (None if found is None else round(found, 4), step.decision.confidence_source) == expected


def test_an_evaluator_that_fails_harms_nothing(tmp_path: Path, caplog):
    """An error in the evaluator is logged, and the run goes on and is recorded."""

    def evaluate(_):
        raise ZeroDivisionError("no judge")

    with wb.record(agent(AIMessage("fine")), tmp_path / "x.db", confidence=evaluate) as graph:
        assert graph.invoke(ASK, CONFIG)["messages"][-1].content == "fine"
    assert "no judge" in caplog.text
    assert [step.output.content for step in run_of(tmp_path / "x.db").of_kind("model")] == ["fine"]


def test_reasoning_is_recorded(tmp_path: Path):
    """What a model thought before it answered stands in the decision."""
    thought = AIMessage([{"type": "reasoning", "reasoning": "AF7 is cheapest"}, {"type": "text", "text": "AF7"}])
    with wb.record(agent(thought), tmp_path / "x.db") as graph:
        graph.invoke(ASK, CONFIG)
    (step,) = run_of(tmp_path / "x.db").of_kind("model")
    assert step.decision.reasoning == "AF7 is cheapest"


def test_a_nodes_retry_is_recorded_with_its_reason_and_delay(tmp_path: Path):
    """The call in a node that LangGraph tried again says which attempt it is, after what, and how much later."""
    retry = RetryPolicy(initial_interval=0.01, jitter=False, retry_on=ConnectionError)
    fails = iter([ConnectionError("reset"), ConnectionError("again")])
    with wb.record(agent(AIMessage("fine"), retry=retry, fails=fails), tmp_path / "x.db") as graph:
        graph.invoke(ASK, CONFIG)
    nodes = sorted((span for span in spans_of(tmp_path / "x.db") if span.name == "think"), key=lambda span: span.start_ns)
    assert [span.attributes.get("workbench.retry.attempt") for span in nodes] == [None, 2, 3]
    assert [span.attributes.get("workbench.retry.reason") for span in nodes] == [None, "ConnectionError: reset", "ConnectionError: again"]
    assert nodes[1].attributes["workbench.retry.delay_ms"] >= 10
    (step,) = run_of(tmp_path / "x.db").of_kind("model")
    (note,) = step.notes
    assert note.startswith("attempt 3, ")
    assert note.endswith(" ms later, after ConnectionError: again")


def test_a_runnables_retry_is_recorded(tmp_path: Path):
    """A call that `with_retry` made again says so."""
    fails = iter([ConnectionError("reset")])

    def look_up(_):
        for error in fails:
            raise error
        return {"messages": [AIMessage("found")]}

    graph = StateGraph(MessagesState)
    graph.add_node("look", RunnableLambda(look_up).with_retry(stop_after_attempt=2, wait_exponential_jitter=False))
    graph.add_edge(START, "look")
    with wb.record(graph.compile(name="g"), tmp_path / "x.db") as recorded:
        recorded.invoke(ASK, CONFIG)
    repeated = [span for span in spans_of(tmp_path / "x.db") if span.attributes.get("workbench.retry.attempt") == 2]
    assert {span.attributes["workbench.retry.reason"] for span in repeated} == {"ConnectionError: reset"}


def test_an_approval_is_recorded_and_is_no_retry(tmp_path: Path):
    """A thread that paused and was resumed has the question, the answer and the wait; the node that goes on is no retry."""
    answers = (calling("cancel_flight", flight="AF7", idempotency_key="k-1"), AIMessage("done"))
    with wb.record(agent(*answers), tmp_path / "x.db") as graph:
        graph.invoke(ASK, CONFIG)
        graph.invoke(Command(resume="yes"), CONFIG)
    spans = spans_of(tmp_path / "x.db")
    (resumed,) = [span for span in spans if "workbench.approval.answer" in span.attributes]
    assert (resumed.parent_span_id, json.loads(resumed.attributes["workbench.approval.answer"])) == (None, "yes")
    assert json.loads(resumed.attributes["workbench.approval.question"]) == {"cancel": "AF7"}
    assert resumed.attributes["workbench.approval.waited_ms"] >= 0
    assert not [span for span in spans if "workbench.retry.attempt" in span.attributes]
    run = run_of(tmp_path / "x.db")
    assert {step.idempotency_key for step in run.of_kind("tool")} == {"k-1"}
    assert [step.result for step in run.of_kind("human") if step.name == "approval"] == ["yes"]


@pytest.mark.parametrize("first", ["instrumentor", "annotator"])
def test_whoever_hears_first_the_annotations_are_there(tmp_path: Path, monkeypatch, first: str):
    """LangChain merges handlers in any order; in either, a decision has its alternatives and an evaluator's confidence."""
    whole = BaseCallbackManager.set_handlers

    def ordered(self, handlers, inherit=True):
        handlers = sorted(handlers, key=lambda one: isinstance(one, recorder.Annotator) == (first == "instrumentor"))
        whole(self, handlers, inherit)

    monkeypatch.setattr(BaseCallbackManager, "set_handlers", ordered)
    with wb.record(agent(*BOOK), tmp_path / "x.db", confidence=lambda _: 0.25) as graph:
        graph.invoke(ASK, CONFIG)
    steps = list(run_of(tmp_path / "x.db").of_kind("model"))
    assert [(step.decision.alternatives, step.decision.confidence) for step in steps] == [(("book_flight", "cancel_flight"), 0.25)] * 2


def test_a_recording_says_what_it_stored_and_replaced(tmp_path: Path):
    """How many spans are durable, and how many secrets in them became pseudonyms."""
    recording = wb.record(agent(*BOOK), tmp_path / "x.db")
    recording.graph.invoke({"messages": [("user", "my password: hunter2zz")]}, CONFIG)
    recording.close()
    assert recording.redacted.keys() == {"secret"}
    assert repr(recording) == f"recording into {tmp_path / 'x.db'}: {recording.exporter.stored} spans stored, redacted {recording.redacted['secret']} × secret"


def test_closing_ends_the_recording(tmp_path: Path):
    """After closing nothing more is recorded, and another recording can begin."""
    first = wb.record(agent(*BOOK), tmp_path / "x.db")
    first.graph.invoke(ASK, CONFIG)
    assert first.flush()
    second = wb.record(agent(*BOOK), tmp_path / "y.db", agent="other")
    second.graph.invoke(ASK, CONFIG)
    second.close()
    agent(*BOOK).invoke(ASK, CONFIG)
    assert [run_of(tmp_path / name).agent for name in ("x.db", "y.db")] == ["travel-agent", "other"]
    assert not LangChainInstrumentor().is_instrumented_by_opentelemetry


def test_spans_also_go_where_they_went_before(tmp_path: Path, monkeypatch):
    """Where LangChain is instrumented already, its global provider gains the store and the instrumentation stays; another provider is named."""
    provider = TracerProvider(shutdown_on_exit=False)
    LangChainInstrumentor().instrument(tracer_provider=provider)
    try:
        with pytest.raises(RecordError, match="add a StoreExporter"):
            wb.record(agent(*BOOK), tmp_path / "z.db")
        monkeypatch.setattr(recorder.trace, "get_tracer_provider", lambda: provider)
        with wb.record(agent(*BOOK), tmp_path / "x.db") as graph:
            graph.invoke(ASK, CONFIG)
        assert LangChainInstrumentor().is_instrumented_by_opentelemetry
    finally:
        LangChainInstrumentor().uninstrument()
    assert [step.name for step in run_of(tmp_path / "x.db").of_kind("tool")] == ["book_flight"]


def test_what_is_no_graph_is_named(tmp_path: Path):
    """A graph that was not compiled is an error that asks for it, and nothing was switched on."""
    with pytest.raises(RecordError, match=r"found StateGraph; did you forget .compile\(\)"):
        wb.record(StateGraph(MessagesState), tmp_path / "x.db")
    assert not LangChainInstrumentor().is_instrumented_by_opentelemetry
    assert not (tmp_path / "x.db").exists()
