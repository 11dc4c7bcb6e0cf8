"""Joining spans and checkpoints into runs: on runs that LangGraph makes here, and on hand-made spans with every trap."""

from __future__ import annotations

import contextlib
import itertools
import json
import operator
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt

from collectors import langgraph_sqlite
from workbench.model import Checkpoint, Conversation, Log, Message, Run, Span, SpanEvent, Step, Tokens, ToolCall, Write
from workbench.normalise import from_conversation, normalise
from workbench.reading.tasks import NULL_TASK, task_id
from workbench.replay.recording import cassette
from workbench.source import Source

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
THREAD: Any = {"configurable": {"thread_id": "t"}}
TRACE, LATER = "a" * 32, "b" * 32
T0 = 1_795_000_000_000_000_000
MS = 1_000_000


# ---- spans drawn by hand


def span(number: int, kind: str, name: str = "", *, at: int = 0, took: int | None = 1, parent: int | None = 0, trace: str = TRACE, **fields: Any) -> Span:
    """A span in OpenInference's words; times in milliseconds."""
    attributes = {"openinference.span.kind": kind, "session.id": "t", **fields.pop("attributes", {})}
    if task := fields.pop("task", None):
        attributes["metadata"] = json.dumps({"thread_id": "t", "langgraph_checkpoint_ns": task, "langgraph_node": task.rpartition("|")[2].partition(":")[0]})
    return Span(
        trace_id=trace,
        span_id=f"{number:016x}",
        parent_span_id=None if parent is None else f"{parent:016x}",
        name=name or kind.lower(),
        start_ns=T0 + at * MS,
        end_ns=None if took is None else T0 + (at + took) * MS,
        attributes=attributes,
        **fields,
    )


def llm(number: int, text: str = "", *, calls: Sequence[tuple[str, str, dict[str, Any]]] = (), **fields: Any) -> Span:
    """A model span that answers with text and asks for calls (id, tool, arguments)."""
    said: dict[str, Any] = {"llm.model_name": "m-1", "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": text}
    for position, (call_id, name, arguments) in enumerate(calls):
        prefix = f"llm.output_messages.0.message.tool_calls.{position}.tool_call"
        said |= {f"{prefix}.id": call_id, f"{prefix}.function.name": name, f"{prefix}.function.arguments": json.dumps(arguments)}
    return span(number, "LLM", "ChatModel", attributes=said | fields.pop("attributes", {}), **fields)


def tool(number: int, name: str, given: str, result: str = "done", **fields: Any) -> Span:
    """A tool span with its input as recorded."""
    return span(number, "TOOL", name, attributes={"tool.name": name, "input.value": given, "output.value": result}, **fields)


def paused(what: str) -> dict[str, Any]:
    """How a span ends that LangGraph interrupted."""
    text = f"(Interrupt(value={what!r}, id='1'),)"
    event = SpanEvent(name="exception", attributes={"exception.type": "langgraph.errors.GraphInterrupt", "exception.message": text})
    return {"status": "error", "status_message": text, "events": (event,)}


def only(spans: Sequence[Span], checkpoints: Sequence[Checkpoint] = ()) -> Run:
    (run,) = normalise(spans, checkpoints)
    return run


def shape(run: Run) -> list[tuple[str, str, str]]:
    return [(step.kind, step.name, step.status) for step in run.steps]


# ---- checkpoints drawn by hand


def checkpoint(number: int, parent: int | None, *, source: str = "loop", namespace: str = "", thread: str = "t", lineage: int = 1, **fields: Any) -> Checkpoint:
    """A checkpoint made `number` milliseconds after the start; `lineage` keeps the ids of two histories apart."""
    return Checkpoint(
        thread_id=thread,
        namespace=namespace,
        checkpoint_id=ident(number, lineage),
        parent_checkpoint_id=None if parent is None else ident(parent, lineage),
        source=source,
        step=number - 1,
        created_ns=T0 + number * MS,
        **fields,
    )


def ident(number: int, lineage: int = 1) -> str:
    return f"{lineage:08x}-0000-6000-8000-{number:012x}"


def write(task: str, channel: str, value: Any = None, *, node: str = "node", idx: int = 0, path: str = "") -> Write:
    return Write(task_id=task, task_path=path, node=node, idx=idx, channel=channel, value=value)


def ai(text: str, *calls: tuple[str, str, dict[str, Any]], known: str = "lc_run--1", **fields: Any) -> dict[str, Any]:
    """A model's message as the state keeps it."""
    asked = [{"id": call_id, "name": name, "args": arguments} for call_id, name, arguments in calls]
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    return {"type": "ai", "content": text, "tool_calls": asked, "id": known, "usage_metadata": usage, **fields}


def answered(call_id: str, text: str, name: str = "look") -> dict[str, Any]:
    return {"type": "tool", "content": text, "tool_call_id": call_id, "name": name, "id": f"answer {call_id}"}


START_WRITE = write("start", "messages", [["user", "hello"]], node="__start__")


# ---- graphs that really run


class Chat(TypedDict, total=False):
    """State of the graphs below."""

    messages: Annotated[list[Any], add_messages]
    notes: Annotated[list[Any], operator.add]


def think(state: Chat) -> Chat:
    """A model that asks for one call, then answers."""
    if isinstance(state["messages"][-1], ToolMessage):
        return {"messages": [AIMessage("found it", id="lc_run--2")]}
    call = {"name": "look", "args": {"at": "it"}, "id": "c1", "type": "tool_call"}
    logprobs = {"content": [{"token": "x", "logprob": -0.1}, {"token": "y", "logprob": -0.3}]}
    return {"messages": [AIMessage("", tool_calls=[call], id="lc_run--1", response_metadata={"model_name": "m-1", "logprobs": logprobs})]}


def act(_: Chat) -> Chat:
    """A tool node."""
    return {"messages": [ToolMessage("it is here", tool_call_id="c1", name="look")]}


def run_graph(path: Path, nodes: dict[str, Any], edges: Sequence[tuple[str, str]], *inputs: Any) -> list[Run]:
    """The runs of a graph that was invoked with each input in turn."""
    graph = StateGraph(Chat)
    for name, node in nodes.items():
        graph.add_node(name, node)
    for before, after in edges:
        graph.add_edge(before, after)
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        compiled = graph.compile(checkpointer=SqliteSaver(connection))
        for given in inputs:
            with contextlib.suppress(ValueError):
                compiled.invoke(given, THREAD)
        connection.execute("PRAGMA journal_mode = DELETE")
    return normalise([], [one for one in langgraph_sqlite.collect(Source(path)) if isinstance(one, Checkpoint)])


def test_a_run_is_read_from_checkpoints_alone(tmp_path: Path) -> None:
    """User, model and tool are steps, with the call's arguments, the decision and the state's changes, and nothing is joined."""
    edges = [(START, "think"), ("think", "act"), ("act", "answer")]
    (run,) = run_graph(tmp_path / "a.sqlite", {"think": think, "act": act, "answer": think}, edges, {"messages": [HumanMessage("where is it?")]})
    assert shape(run) == [("human", "user", "ok"), ("model", "m-1", "ok"), ("tool", "look", "ok"), ("model", "model", "ok")]
    assert (run.run_id, run.conversation_id, run.status, run.outcome) == ("t", "t", "ok", "found it")
    user, model, look, _ = run.steps
    assert user.output is not None
    assert user.output.content == "where is it?"
    assert model.decision is not None
    assert model.decision.selected == ("look",)
    assert model.decision.confidence == pytest.approx(0.8187, abs=1e-4)
    assert look.tool_call == ToolCall(name="look", arguments={"at": "it"}, call_id="c1")
    assert (look.result, look.joined, list(look.changes)) == ("it is here", "none", ["messages"])
    assert {step.invocation for step in run.steps} == {0}


def ask(_: Chat) -> Chat:
    """Asks a person twice."""
    first = interrupt("go on?")
    return {"notes": [first, interrupt({"sure": True})]}


def test_a_question_waits_and_is_no_error(tmp_path: Path) -> None:
    """A run that stopped at its first question is interrupted, with the question as it was asked."""
    (run,) = run_graph(tmp_path / "a.sqlite", {"ask": ask}, [(START, "ask")], {"notes": []})
    assert shape(run) == [("human", "approval", "interrupted")]
    assert run.status == "interrupted"
    assert run.steps[0].tool_call is not None
    assert run.steps[0].tool_call.arguments == {"question": "go on?"}


def breaks(_: Chat) -> Chat:
    """Raises."""
    raise ValueError("broken")


def test_an_error_beside_a_question_ends_the_run(tmp_path: Path) -> None:
    """The graph raised, whoever else was asked at the same time; the question waits. Once the failed task was done again, only the question is left."""
    edges = [(START, "ask"), (START, "breaks")]
    (run,) = run_graph(tmp_path / "a.sqlite", {"ask": ask, "breaks": breaks}, edges, {"notes": []})
    assert shape(run) == [("human", "approval", "interrupted"), ("node", "breaks", "error")]
    assert run.status == "error"
    failures = iter((ValueError("broken"), None))

    def breaks_once(_: Chat) -> Chat:
        if failure := next(failures):
            raise failure
        return {"notes": ["done"]}

    (mended,) = run_graph(tmp_path / "b.sqlite", {"ask": ask, "breaks": breaks_once}, edges, {"notes": []}, None)
    assert mended.status == "interrupted"


def test_a_call_that_was_sent_to_a_node_of_ones_own_keeps_its_arguments(tmp_path: Path) -> None:
    """One that failed is the call that the packet holds; one that a fork made again has what the model asked for, though it was answered already."""
    fails = iter((True, False, False))

    def look(_: Any) -> Chat:
        if next(fails):
            raise ValueError("no line")
        return act({})

    graph = StateGraph(Chat).add_node("think", think).add_node("look", look).add_edge(START, "think")
    graph.add_conditional_edges("think", lambda state: [Send(call["name"], {"call": call}) for call in state["messages"][-1].tool_calls], ["look"])
    with contextlib.closing(sqlite3.connect(tmp_path / "a.sqlite", check_same_thread=False)) as connection:
        compiled = graph.compile(checkpointer=SqliteSaver(connection))

        def told() -> list[tuple[str, str, Any]]:
            connection.commit()
            checkpoints = [one for one in langgraph_sqlite.collect(Source(tmp_path / "a.sqlite")) if isinstance(one, Checkpoint)]
            (run,) = normalise([], checkpoints)
            return [(step.name, step.status, step.tool_call and step.tool_call.arguments) for step in run.steps if step.kind == "tool"]

        with contextlib.suppress(ValueError):
            compiled.invoke({"messages": [HumanMessage("where is it?")]}, THREAD)
        connection.execute("PRAGMA journal_mode = DELETE")
        assert told() == [("look", "error", {"at": "it"})]
        compiled.invoke(None, THREAD)
        compiled.invoke(None, next(one.config for one in compiled.get_state_history(THREAD) if one.next == ("look",)))
        assert told() == [("look", status, {"at": "it"}) for status in ("error", "ok", "ok")]


def test_the_second_question_of_a_task_waits_after_the_first_is_answered(tmp_path: Path) -> None:
    """Of two questions in one task the first has its answer, the second waits in the next invocation."""
    (run,) = run_graph(tmp_path / "a.sqlite", {"ask": ask}, [(START, "ask")], {"notes": []}, Command(resume="yes"))
    assert [(step.status, step.result, step.invocation) for step in run.steps] == [("ok", "yes", 0), ("interrupted", None, 1)]
    assert run.status == "interrupted"


def test_answers_belong_to_their_questions_once_the_task_is_done(tmp_path: Path) -> None:
    """When both are answered, each question has its own answer and the run is ok."""
    (run,) = run_graph(tmp_path / "a.sqlite", {"ask": ask}, [(START, "ask")], {"notes": []}, Command(resume="yes"), Command(resume="sure"))
    assert [(step.status, step.result) for step in run.steps] == [("ok", "yes"), ("ok", "sure")]
    assert run.steps[-1].changes == {"notes": ["yes", "sure"]}
    assert run.status == "ok"


def test_a_question_in_a_subgraph_is_asked_once_and_passed_on_by_its_parent(tmp_path: Path) -> None:
    """Both tasks have their step, the parent's says that it passes on, and only the one inside starts a new invocation."""
    inner = StateGraph(Chat)
    inner.add_node("ask", lambda _: {"notes": [interrupt("inside?")]})
    inner.add_edge(START, "ask")
    nodes = {"outer": inner.compile(), "after": lambda _: {"notes": ["z"]}}
    (run,) = run_graph(tmp_path / "a.sqlite", nodes, [(START, "outer"), ("outer", "after")], {"notes": []}, Command(resume="yes"))
    outer, question, after = run.steps
    assert (outer.depth, outer.notes, outer.result) == (0, ("passed on from inside",), "yes")
    assert (question.depth, question.notes, question.result) == (1, (), "yes")
    assert (after.name, question.invocation, after.invocation) == ("after", 0, 1)


def broken(_: Chat) -> Chat:
    """Fails."""
    raise ValueError("no such receipt")


def test_an_error_at_the_head_is_the_runs_status(tmp_path: Path) -> None:
    """A task whose only write is its error gives an error step with the text, and the run failed."""
    (run,) = run_graph(tmp_path / "a.sqlite", {"broken": broken}, [(START, "broken")], {"notes": []})
    assert [(step.kind, step.name, step.status, step.error) for step in run.steps] == [("node", "broken", "error", "ValueError('no such receipt')")]
    assert run.status == "error"


def test_a_failed_task_that_was_run_again_has_both_its_steps(tmp_path: Path) -> None:
    """The failure stands in the first invocation, the success in the second, and the run is ok."""
    fails = [True]

    def flaky(_: Chat) -> Chat:
        if fails and fails.pop():
            raise ValueError("not yet")
        return {"notes": ["fine"]}

    (run,) = run_graph(tmp_path / "a.sqlite", {"flaky": flaky}, [(START, "flaky")], {"notes": []}, None)
    assert [(step.status, step.invocation) for step in run.steps] == [("error", 0), ("ok", 1)]
    assert run.status == "ok"


def test_a_new_message_begins_a_new_invocation(tmp_path: Path) -> None:
    """Two inputs on one thread are one run of two invocations."""
    say = {"say": lambda state: {"messages": [AIMessage("hm", id=f"lc_run--{len(state['messages'])}")]}}
    (run,) = run_graph(tmp_path / "a.sqlite", say, [(START, "say")], {"messages": ["one"]}, {"messages": ["two"]})
    assert [(step.name, step.invocation) for step in run.steps] == [("user", 0), ("model", 0), ("user", 1), ("model", 1)]


def test_update_state_is_a_step_of_its_own(tmp_path: Path) -> None:
    """Values someone put into the state are a step, and the run waits if nodes were left to run."""
    path = tmp_path / "a.sqlite"
    graph = StateGraph(Chat)
    graph.add_node("a", lambda _: {"notes": ["a"]})
    graph.add_node("b", lambda _: {"notes": ["b"]})
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        compiled = graph.compile(checkpointer=SqliteSaver(connection))
        compiled.invoke({"notes": []}, THREAD)
        compiled.update_state(THREAD, {"notes": ["mine"]}, as_node="a")
        connection.execute("PRAGMA journal_mode = DELETE")
    (run,) = normalise([], [one for one in langgraph_sqlite.collect(Source(path)) if isinstance(one, Checkpoint)])
    assert [step.name for step in run.steps] == ["a", "b", "update_state"]
    assert (run.steps[-1].changes, run.status) == ({"notes": ["mine"]}, "interrupted")


def booking(node: Any, name: str = "tools") -> StateGraph[Any]:
    """A graph that asks for a booking, lets this node see to it, and says what came of it; its messages have the same ids on every branch."""
    graph = StateGraph(Chat)
    call = {"name": "book", "args": {"to": "Oslo"}, "id": "c1"}
    graph.add_node("ask", lambda _: {"messages": [AIMessage("", id="lc_run--1", tool_calls=[call])]})
    graph.add_node(name, node)
    graph.add_node("say", lambda state: {"messages": [AIMessage(f"done: {state['messages'][-1].content}", id="lc_run--9")]})
    for edge in itertools.pairwise((START, "ask", name, "say")):
        graph.add_edge(*edge)
    return graph


@contextlib.contextmanager
def saved(path: Path, graph: StateGraph[Any]) -> Any:
    """The graph over a database of its own."""
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        yield graph.compile(checkpointer=SqliteSaver(connection))
        connection.execute("PRAGMA journal_mode = DELETE")


def read_runs(path: Path) -> list[Run]:
    return normalise([], [one for one in langgraph_sqlite.collect(Source(path)) if isinstance(one, Checkpoint)])


def test_branches_of_a_thread_are_told_apart(tmp_path: Path) -> None:
    """A change of an earlier state is a step, the answer made under it stands beside the one it replaced though both have one id, and a note says so."""
    path = tmp_path / "a.sqlite"
    answer = {"messages": [ToolMessage("BK-1", tool_call_id="c1", name="book", id="t1")]}
    with saved(path, booking(lambda _: answer)) as graph:
        graph.invoke({"messages": ["book"]}, THREAD)
        (before,) = [one for one in graph.get_state_history(THREAD) if one.next == ("say",)]
        changed = {"messages": [ToolMessage("FORKED", tool_call_id="c1", name="book", id="t1")]}
        graph.invoke(None, graph.update_state(before.config, changed, as_node="tools"))
    (run,) = read_runs(path)
    assert [step.name for step in run.steps] == ["user", "model", "book", "model", "update_state", "model"]
    assert [step.output.content for step in run.of_kind("model") if step.output] == ["", "done: BK-1", "done: FORKED"]
    assert run.outcome == "done: FORKED"
    assert run.notes == ("branches: the thread was taken up again from an earlier checkpoint; what it stands on now is without step 3",)


def test_a_call_made_again_on_a_branch_is_another_call(tmp_path: Path) -> None:
    """Started anew from before a tool, the graph runs it a second time: two steps with the one id of the call."""
    path, numbers = tmp_path / "a.sqlite", itertools.count(1)
    with saved(path, booking(lambda _: {"messages": [ToolMessage(f"BK-{next(numbers)}", tool_call_id="c1", name="book")]})) as graph:
        graph.invoke({"messages": ["book"]}, THREAD)
        (before,) = [one for one in graph.get_state_history(THREAD) if one.next == ("tools",)]
        graph.invoke(None, graph.update_state(before.config, {"notes": ["again"]}, as_node="ask"))
    (run,) = read_runs(path)
    assert [(step.result, step.tool_call and step.tool_call.call_id) for step in run.of_kind("tool")] == [("BK-1", "c1"), ("BK-2", "c1")]
    assert "is without steps 2, 3" in run.notes[0]


def test_a_question_inside_a_tool_is_of_that_tool(tmp_path: Path) -> None:
    """Unanswered, its call waits as a step, which a cassette can serve as a pause; once answered, it stands once, and the question keeps the tool's name."""
    path = tmp_path / "a.sqlite"
    with saved(path, booking(lambda _: {"messages": [ToolMessage(interrupt("sure?"), tool_call_id="c1", name="book")]})) as graph:
        graph.invoke({"messages": ["book"]}, THREAD)
    (run,) = read_runs(path)
    assert [(step.kind, step.tool_call and step.tool_call.name, step.status) for step in run.steps[2:]] == [
        ("tool", "book", "interrupted"),
        ("human", "book", "interrupted"),
    ]
    assert cassette.record(run, []).missing[-1].kind == "human"
    assert run.steps[2].tool_call == ToolCall(name="book", arguments={"to": "Oslo"}, call_id="c1")
    with saved(path, booking(lambda _: {"messages": [ToolMessage(interrupt("sure?"), tool_call_id="c1", name="book")]})) as graph:
        graph.invoke(Command(resume="yes"), THREAD)
    (run,) = read_runs(path)
    assert [(step.tool_call and step.tool_call.name, step.result, step.status) for step in run.steps[2:4]] == [("book", "yes", "ok"), ("book", "yes", "ok")]
    assert [step.kind for step in run.steps[2:]] == ["human", "tool", "model"]


def test_a_question_beside_a_tool_is_of_its_node(tmp_path: Path) -> None:
    """A node that reviews a call and runs no tool asks for itself: nothing says that the call had begun."""
    path = tmp_path / "a.sqlite"
    with saved(path, booking(lambda _: {"notes": [interrupt("sure?")]}, "review")) as graph:
        graph.invoke({"messages": ["book"]}, THREAD)
    (run,) = read_runs(path)
    assert [(step.kind, step.tool_call and step.tool_call.name) for step in run.steps[2:]] == [("human", "review")]


# ---- joining


def thread(*last: Write) -> list[Checkpoint]:
    """Input, a model's task `m`, a tool's task `l`, and a head with these writes."""
    look = ("c1", "look", {"at": "Paris"})
    return [
        checkpoint(0, None, source="input", writes=(START_WRITE,)),
        checkpoint(10, 0, writes=(write("m", "messages", [ai("", look)], node="agent"), write("m", "branch:to:tools", node="agent", idx=1))),
        checkpoint(30, 10, writes=(write("l", "messages", [answered("c1", "sunny")], node="tools"),)),
        checkpoint(50, 30, writes=last),
    ]


def test_spans_that_name_their_task_are_joined_exactly() -> None:
    """Time comes from the span; call, arguments and result from the checkpoint; nothing stands twice."""
    spans = [
        span(1, "CHAIN", "agent-app", at=-5, took=100, parent=None),
        llm(2, at=12, took=5, parent=1, task="agent:m"),
        tool(3, "look", "Paris", "content='sunny'", at=32, took=5, parent=1, task="tools:l"),
    ]
    run = only(spans, thread())
    assert shape(run) == [("human", "user", "ok"), ("model", "m-1", "ok"), ("tool", "look", "ok")]
    _, model, look = run.steps
    assert (model.joined, model.task_id, model.checkpoint_id, model.node) == ("exact", "m", ident(10), "agent")
    assert model.decision is not None
    assert model.decision.selected == ("look",)
    assert model.tokens == Tokens(input=3, output=4, total=7)
    assert look.tool_call == ToolCall(name="look", arguments={"at": "Paris"}, call_id="c1")
    assert (look.result, look.duration_ms, look.joined) == ("sunny", 5.0, "exact")
    assert run.joins == {"exact": 2, "inferred": 0, "none": 0}


def test_spans_that_name_no_task_are_joined_by_what_was_said() -> None:
    """The call's id leads to the task, and the join says that it was inferred."""
    spans = [
        llm(2, at=12, took=5, parent=None, calls=[("c1", "look", {"at": "Paris"})]),
        tool(3, "look", '{"at": "Paris"}', "sunny", at=32, took=5, parent=None),
    ]
    steps = only(spans, thread()).steps[1:]
    assert [(step.kind, step.task_id, step.joined) for step in steps] == [("model", "m", "inferred"), ("tool", "l", "inferred")]


def test_a_span_before_all_checkpoints_is_not_joined() -> None:
    """Where neither words nor time fit, the join says none and invents no checkpoint."""
    (first, *_) = only([llm(2, "something else entirely", at=-50, parent=None)], thread()).steps
    assert (first.kind, first.joined, first.checkpoint_id) == ("model", "none", None)


def test_a_span_of_a_task_that_never_wrote_keeps_the_checkpoint_in_force() -> None:
    """A call that was under way when the process died has its task and the newest checkpoint of its namespace."""
    run = only([tool(3, "book", "{}", at=52, took=None, parent=None, task="tools:unheard")], thread())
    last = run.steps[-1]
    assert (last.status, last.joined, last.task_id, last.checkpoint_id) == ("running", "exact", "unheard", ident(50))
    assert run.status == "running"


def test_a_task_without_a_call_has_a_node_step_with_its_spans_time() -> None:
    """A plain node is one step, timed by the outermost span of its task."""
    spans = [span(1, "CHAIN", "fetch", at=31, took=9, parent=None, task="fetch:f"), span(2, "CHAIN", "inner", at=32, took=2, parent=1, task="fetch:f")]
    checkpoints = [checkpoint(0, None, source="input"), checkpoint(30, 0, writes=(write("f", "raw", 1, node="fetch"),)), checkpoint(50, 30)]
    (step,) = only(spans, checkpoints).steps
    assert (step.kind, step.name, step.duration_ms, step.span_id, step.changes) == ("node", "fetch", 9.0, f"{1:016x}", {"raw": 1})


def test_an_interrupted_node_is_a_question_between_two_traces() -> None:
    """The pause lasts from the interrupted span's end to the resumed span's start; what follows is the next invocation."""
    asked = write("q", "__interrupt__", [{"$type": "Interrupt", "value": "send?", "id": "1"}], node="approve", idx=-3)
    resumed = write(NULL_TASK, "__resume__", "yes", node="", idx=-4)
    checkpoints = [
        checkpoint(0, None, source="input"),
        checkpoint(10, 0, writes=(asked, resumed, write("q", "approved", True, node="approve", idx=1))),
        checkpoint(70, 10, writes=(write("s", "sent", True, node="send"),)),
        checkpoint(80, 70),
    ]
    spans = [
        span(1, "CHAIN", "app", at=-5, took=25, parent=None),
        span(2, "CHAIN", "approve", at=12, took=3, parent=1, task="approve:q", **paused("send?")),
        span(3, "CHAIN", "app", at=60, took=25, parent=None, trace=LATER),
        span(4, "CHAIN", "approve", at=62, took=1, parent=3, trace=LATER, task="approve:q"),
        span(5, "CHAIN", "send", at=72, took=1, parent=3, trace=LATER, task="send:s"),
    ]
    question, send = only(spans, checkpoints).steps
    assert (question.kind, question.status, question.result, question.duration_ms, question.joined) == ("human", "ok", "yes", 47.0, "exact")
    assert (question.invocation, send.name, send.invocation) == (0, "send", 1)


def test_a_messages_copy_in_the_parent_graph_is_no_second_call() -> None:
    """What a node repeats after its subgraph, without ids, stays one model step and one tool step."""
    look = ("c1", "look", {"at": "it"})
    inside = [ai("", look), answered("c1", "here")]
    checkpoints = [
        checkpoint(0, None, source="input"),
        checkpoint(10, 0, writes=(write("outer", "messages", [{**message, "id": None} for message in inside], node="sub"),)),
        checkpoint(20, None, namespace="sub:outer", metadata={"parents": {"": ident(10)}}, writes=(write("m", "messages", inside[0], node="agent"),)),
        checkpoint(30, 20, namespace="sub:outer", metadata={"parents": {"": ident(10)}}, writes=(write("l", "messages", inside[1], node="tools"),)),
        checkpoint(40, 10),
    ]
    run = only([], checkpoints)
    assert [(step.kind, step.depth) for step in run.steps] == [("node", 0), ("model", 1), ("tool", 1)]


def rewritten(*, later: bool) -> list[Checkpoint]:
    """A call and its answer, and a node that removes all messages and writes copies of these; `later`: the model then asks once more, under the same id."""
    look = ("c1", "look", {"at": "it"})
    copies = [{**one, "id": None} for one in (ai("", look), answered("c1", "here"))]
    again = (write("m2", "messages", ai("", look, known="lc_run--2")), write("l2", "messages", {**answered("c1", "there"), "id": "second"}))
    return [
        checkpoint(0, None, source="input"),
        checkpoint(10, 0, writes=(write("m", "messages", ai("", look)),)),
        checkpoint(20, 10, writes=(write("l", "messages", answered("c1", "here")),)),
        checkpoint(30, 20, writes=(write("s", "messages", [{"type": "remove", "id": "__remove_all__", "content": ""}, *copies], node="sums up"),)),
        checkpoint(40, 30, writes=again[:1] if later else ()),
        *([checkpoint(50, 40, writes=again[1:]), checkpoint(60, 50)] if later else ()),
    ]


@pytest.mark.parametrize("later", [False, True])
def test_a_message_that_is_written_again_is_no_second_call(later: bool) -> None:
    """Copies of what stood before are no new steps, also without their ids; the same call asked for anew is one, and so is its answer."""
    calls = [("model", "model", "ok"), ("tool", "look", "ok")]
    assert shape(only([], rewritten(later=later))) == [*calls, ("node", "sums up", "ok"), *(calls if later else [])]


def test_messages_that_stood_before_are_no_steps() -> None:
    """Of checkpoints that go on from others, what repeats the messages that stood there is not told again."""
    (run,) = normalise([], rewritten(later=False)[3:], before=[ai("", ("c1", "look", {"at": "it"})), answered("c1", "here")])
    assert shape(run) == [("node", "sums up", "ok")]


def test_a_message_made_by_code_is_no_model_call() -> None:
    """An AI message without a run's id, usage or calls is what a node wrote, not what a model said."""
    made = {"type": "ai", "content": "All done.", "tool_calls": [], "id": "0f", "usage_metadata": None, "response_metadata": {}}
    checkpoints = [checkpoint(0, None, source="input"), checkpoint(10, 0, writes=(write("n", "messages", [made]),)), checkpoint(20, 10)]
    assert shape(only([], checkpoints)) == [("node", "node", "ok")]


def test_a_sent_tool_call_that_failed_is_a_failed_tool_step() -> None:
    """Where only the error was written, tool and arguments come from the Send that started the task."""
    sent = {"$type": "Send", "node": "tools", "arg": [{"name": "flaky", "args": {"x": 1}, "id": "c3", "type": "tool_call"}]}
    checkpoints = [
        checkpoint(0, None, source="input"),
        checkpoint(10, 0, writes=(write("m", "__pregel_tasks", sent, node="agent"),)),
        checkpoint(20, 10, writes=(write("f", "__error__", "ValueError('broke')", node="tools", idx=-1, path="~__pregel_push, 0000000000, 0000000000"),)),
    ]
    step = only([], checkpoints).steps[-1]
    assert (step.kind, step.status, step.tool_call) == ("tool", "error", ToolCall(name="flaky", arguments={"x": 1}, call_id="c3"))


def test_encrypted_checkpoints_are_counted_in_the_runs_notes() -> None:
    """The run says how many of its checkpoints could not be decoded, and why."""
    note = "encrypted: key not given"
    run = only([], [checkpoint(0, None, source="input", note=note), checkpoint(10, 0, note=note)])
    assert run.notes == ("encrypted: key not given: 2 checkpoints not decoded",)


def test_nodes_left_to_run_make_the_run_running() -> None:
    """A head whose predecessors named a next node, and no writes of it, is a process that died."""
    checkpoints = [checkpoint(0, None, source="input"), checkpoint(10, 0, writes=(write("a", "branch:to:b", node="a"),)), checkpoint(20, 10)]
    assert only([], checkpoints).status == "running"


def test_a_breakpoint_before_a_node_waits_for_a_person() -> None:
    """The same head, with a trace that ended well, is a graph told to stop there."""
    checkpoints = [checkpoint(0, None, source="input"), checkpoint(10, 0, writes=(write("a", "branch:to:b", node="a"),)), checkpoint(20, 10)]
    assert only([span(1, "CHAIN", "app", at=-5, took=50, parent=None)], checkpoints).status == "interrupted"


# ---- lineages


def test_two_histories_of_one_thread_id_are_two_runs() -> None:
    """Checkpoints that share nothing but the thread id become two runs; the second is named by its root, and each has its spans."""
    other = [
        checkpoint(500, None, source="input", lineage=2, writes=(START_WRITE.model_copy(update={"task_id": "start2"}),)),
        checkpoint(510, 500, lineage=2, writes=(write("m2", "messages", [ai("other", known="lc_run--9")], node="agent"),)),
        checkpoint(520, 510, lineage=2),
    ]
    spans = [llm(2, at=12, parent=None, task="agent:m"), llm(3, "other", at=512, parent=None, trace=LATER, task="agent:m2")]
    first, second = normalise(spans, [*other, *thread()])
    assert (first.run_id, second.run_id) == ("t", "t~00000002")
    assert (first.conversation_id, second.conversation_id) == ("t", "t")
    assert [step.span_id for run in (first, second) for step in run.steps if step.span_id] == [f"{2:016x}", f"{3:016x}"]
    assert any("run of their own" in note for note in second.notes)


def test_a_fork_in_the_same_thread_stays_in_its_run() -> None:
    """Two children of one checkpoint have one root, so they are one run."""
    fork = checkpoint(900, 10, source="fork", writes=(write("again", "notes", ["x"]),))
    assert len(normalise([], [*thread(), fork])) == 1


def test_parents_in_a_circle_end() -> None:
    """Checkpoints that name each other as parents give one run."""
    assert len(normalise([], [checkpoint(1, 2), checkpoint(2, 1)])) == 1


def test_nothing_gives_no_run() -> None:
    """Without spans and checkpoints there is no run."""
    assert normalise([], []) == []


# ---- spans alone


def test_a_wrapper_around_a_model_call_is_not_counted() -> None:
    """Of nested spans of one call the innermost counts, and takes over what only the wrapper recorded."""
    outer = llm(1, "hi", at=0, took=9, parent=None, attributes={"llm.token_count.total": 11})
    inner = span(2, "LLM", "openai.chat", at=1, took=7, parent=1)
    run = only([outer, inner])
    assert [(step.span_id, step.tokens.total, step.output and step.output.content) for step in run.steps] == [(f"{2:016x}", 11, "hi")]


def test_a_model_call_inside_a_tool_is_a_call_of_its_own() -> None:
    """A model under another's tool is not the same call described again."""
    spans = [llm(1, "a", at=0, took=9, parent=None), tool(2, "expert", "{}", at=1, parent=1), llm(3, "b", at=2, parent=2)]
    assert [step.kind for step in only(spans).steps] == ["model", "tool", "model"]


def test_an_embedding_is_counted_and_no_step() -> None:
    """Embedding calls are a number of the run."""
    run = only([span(1, "EMBEDDING", at=0, parent=None), llm(2, "x", at=1, parent=None)])
    assert (run.embedding_calls, len(run.steps), run.span_count) == (1, 1, 2)


def test_spans_in_a_circle_are_one_call() -> None:
    """Parents that lead back to the span itself lose nothing and end."""
    spans = [llm(number, "x", at=number, parent=(number + 1) % 3) for number in range(3)]
    assert [step.kind for step in only(spans).steps] == ["model"]


def test_a_lost_argument_name_is_found_in_the_models_call() -> None:
    """A tool span that kept only the lone value gets the argument's name, and the call's id, from what the model asked for."""
    asked = [("c1", "look", {"at": "Rome"}), ("c2", "look", {"at": "Paris"})]
    spans = [llm(1, calls=asked, at=0, parent=None), tool(2, "look", "Paris", at=2, parent=None), tool(3, "look", "Rome", at=3, parent=None)]
    found = [step.tool_call for step in only(spans).steps if step.tool_call]
    assert found == [ToolCall(name="look", arguments={"at": "Paris"}, call_id="c2"), ToolCall(name="look", arguments={"at": "Rome"}, call_id="c1")]


def test_a_repeated_id_belongs_to_the_nearest_call() -> None:
    """When a model uses an id again, the tool after it answers the newer call."""
    spans = [
        llm(1, calls=[("c1", "look", {"at": "A"})], at=0, parent=None),
        tool(2, "look", "A", at=1, parent=None),
        llm(3, calls=[("c1", "look", {"at": "B"})], at=2, parent=None),
        tool(4, "look", "B", at=3, parent=None),
    ]
    assert [step.tool_call.arguments for step in only(spans).steps if step.tool_call] == [{"at": "A"}, {"at": "B"}]


def test_a_paused_tool_is_interrupted_and_asks() -> None:
    """A tool stopped by a question is no error: the tool is interrupted, a person's step holds the question, and the answer is found."""
    command = json.dumps({"update": None, "resume": {"approved": True}, "goto": []})
    spans = [
        span(1, "AGENT", "app", at=0, took=20, parent=None),
        tool(2, "refund", '{"usd": 4}', at=2, took=3, parent=1, **paused("Refund?")),
        span(3, "AGENT", "app", at=50, took=20, parent=None, trace=LATER, attributes={"input.value": command}),
        tool(4, "refund", '{"usd": 4}', at=52, parent=3, trace=LATER),
    ]
    run = only(spans)
    assert shape(run) == [("tool", "refund", "interrupted"), ("human", "approval", "ok"), ("tool", "refund", "ok")]
    question = run.steps[1]
    assert question.tool_call == ToolCall(name="refund", arguments={"question": "Refund?"})
    assert (question.result, run.steps[2].invocation, run.status) == ({"approved": True}, 1, "ok")


def test_a_pause_nobody_answered_is_the_runs_status() -> None:
    """Without a later trace the question still waits."""
    spans = [span(1, "AGENT", "app", at=0, took=20, parent=None), tool(2, "refund", "{}", at=2, took=3, parent=1, **paused("Refund?"))]
    assert only(spans).status == "interrupted"


def test_a_root_that_failed_without_a_failed_call_is_the_last_step() -> None:
    """A recursion limit or a time-out of the whole run is not lost, and stands after what the run did."""
    event = SpanEvent(name="exception", attributes={"exception.type": "GraphRecursionError", "exception.message": "limit of 25"})
    spans = [span(1, "AGENT", "app", at=0, took=20, parent=None, status="error", events=(event,)), llm(2, "again", at=3, parent=1)]
    run = only(spans)
    assert shape(run) == [("model", "m-1", "ok"), ("node", "app", "error")]
    assert run.status == "error"


def test_a_root_without_an_end_is_a_run_that_did_not_finish() -> None:
    """A trace whose top never ended is running."""
    assert only([span(1, "AGENT", "app", at=0, took=None, parent=None), llm(2, "x", at=1, parent=1)]).status == "running"


def test_a_crash_and_restart_is_a_new_invocation() -> None:
    """A trace whose root was lost with its process, then another on the same thread, are invocations 0 and 1 of one run."""
    spans = [llm(2, "a", at=5, parent=1), llm(3, "b", at=6, parent=1), span(9, "AGENT", "app", at=50, took=9, parent=None, trace=LATER)]
    spans.append(llm(4, "c", at=52, parent=9, trace=LATER))
    run = only(spans)
    assert [step.invocation for step in run.steps] == [0, 0, 1]
    assert run.root_name == "app"


def test_traces_of_one_call_each_are_one_invocation() -> None:
    """An instrumentor that gives every call its own trace doesn't make every call a restart."""
    spans = [llm(number, "x", at=number, parent=None, trace=f"{number:032x}") for number in range(1, 4)]
    assert {step.invocation for step in only(spans).steps} == {0}


def test_a_tower_of_spans_is_read_in_reasonable_time() -> None:
    """Ten thousand spans one under the other are one call."""
    spans = [span(number, "LLM", parent=number - 1 if number else None) for number in range(10_000)]
    assert len(only(spans).steps) == 1


def test_an_agent_that_answers_by_a_tool_came_to_what_its_span_says() -> None:
    """And an agent that it asked gave that back; words after which tools ran, such as code, are no answer, but a state of a graph isn't either."""

    def agent(number: int, name: str, said: str, **fields: Any) -> Span:
        return span(number, "AGENT", name, attributes={"output.value": said}, **fields)

    boss = agent(1, "boss.run", "Paris is sunny.", parent=None, took=90)
    asks = llm(2, calls=[("c1", "clerk", {"task": "weather"})], parent=1, at=1)
    clerk = agent(3, "clerk.run", "sunny", parent=1, at=3, took=9)
    answers = [llm(4, calls=[("c2", "final_answer", {"answer": "sunny"})], parent=3, at=4), llm(5, calls=[("c3", "final_answer", {})], parent=1, at=20)]
    run = only([boss, asks, clerk, *answers])
    assert run.outcome == "Paris is sunny."
    assert [step.result for step in run.steps if step.name == "clerk"] == ["sunny"]
    code = [llm(2, "final_answer(look())", parent=1, at=1), tool(3, "look", "{}", "sunny", parent=1, at=3)]
    assert only([agent(1, "coder.run", "sunny", parent=None, took=9), *code]).outcome == "sunny"
    assert only([agent(1, "graph", '{"messages": []}', parent=None, took=9), asks]).outcome == "ended without an answer"


# ---- chat logs


def test_a_call_and_its_preparation_are_one_though_the_span_above_them_was_lost() -> None:
    """A model span that tells nothing of an answer, beside one that does, is no call of its own, whether their parent came or not."""
    told = {"llm.model_name": "m-1", "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "Hello."}
    ready = span(2, "LLM", "prepare", parent=1, attributes={"llm.model_name": "m-1"})
    call = span(3, "LLM", "chat", parent=1, at=2, attributes=told)
    for spans in ([span(1, "AGENT", parent=None, took=9), ready, call], [ready, call]):
        (run,) = normalise(spans, ())
        assert [step.name for step in run.of_kind("model")] == ["m-1"]


def test_what_only_gets_a_call_ready_is_no_call_where_that_call_failed() -> None:
    """Neither asked nor answered, then failed: one failed call. A silent call to fall back on, or one beside a call that was not asked there either, counts."""
    asked = {"llm.model_name": "m-1", "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Hi"}
    silent = {"llm.model_name": "m-1"}
    top = span(1, "AGENT", parent=None, took=9)
    failed = span(4, "LLM", "chat", parent=3, at=4, status="error", status_message="rate limited", attributes=asked)
    around = span(3, "LLM", "chat", parent=1, at=3, took=3, attributes=silent)
    ready = span(2, "LLM", "prepare", parent=1, at=1, attributes=silent)
    assert [step.status for step in only([top, ready, around, failed]).steps] == ["error"]
    fallback = span(2, "LLM", "chat small", parent=1, at=7, attributes=silent)
    assert [step.status for step in only([top, around, failed, fallback]).steps] == ["error", "ok"]
    untold = span(4, "LLM", "chat", parent=3, at=4, status="error", status_message="rate limited", attributes=silent)
    assert [step.status for step in only([top, ready, around, untold]).steps] == ["ok", "error"]


def test_a_log_about_a_call_belongs_to_the_call_whatever_span_it_was_written_in() -> None:
    """A tool's arguments, logged in the span around it under the call's id, are those of that call and of no other."""
    own = {"span.type": "tool", "openinference.span.kind": "TOOL"}
    tools = [span(number, "TOOL", "look", parent=1, at=number, attributes=own | {"gen_ai.tool.call.id": f"k{number}"}) for number in (2, 3)]
    said = [{"tool_use_id": f"k{number}", "tool_input": json.dumps({"at": number})} for number in (3, 2)]
    logs = [Log(trace_id=TRACE, span_id=f"{1:016x}", name="tool_result", attributes=attributes) for attributes in said]
    (run,) = normalise([span(1, "AGENT", parent=None, took=9), *tools], (), logs)
    assert [step.tool_call and step.tool_call.arguments for step in run.of_kind("tool")] == [{"at": 2}, {"at": 3}]


def test_a_chat_logs_messages_are_steps_with_their_own_numbers() -> None:
    """A system message is no step but leaves its gap, and is what the next model call was given."""
    asked = (ToolCall(name="look", arguments={"at": "A"}, call_id="1"), ToolCall(name="look", arguments={"at": "B"}, call_id="1"))
    conversation = Conversation(
        run_id="c",
        agent="helper",
        tools=("look", "book"),
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="Where?"),
            Message(role="assistant", tool_calls=asked, tokens=Tokens(total=5)),
            Message(role="tool", content="b", tool_call_id="1"),
            Message(role="tool", content="a", tool_call_id="1", error="gone"),
            Message(role="assistant", content="There."),
        ),
    )
    run = from_conversation(conversation)
    assert [(step.index, step.kind, step.name, step.status) for step in run.steps] == [
        (1, "human", "user", "ok"),
        (2, "model", "helper", "ok"),
        (3, "tool", "look", "ok"),
        (4, "tool", "look", "error"),
        (5, "model", "helper", "ok"),
    ]
    assert [step.tool_call.arguments for step in run.of_kind("tool") if step.tool_call] == [{"at": "B"}, {"at": "A"}]
    assert [message.content for message in run.step(2).messages] == ["Be brief."]
    decision = run.step(2).decision
    assert decision is not None
    assert (decision.selected, decision.alternatives) == (("look", "look"), ("look", "book"))
    assert (run.tokens.total, run.outcome) == (5, "There.")


def test_an_answer_without_a_call_is_a_step_all_the_same() -> None:
    """A tool message that answers nothing recorded keeps its name and id, its arguments stay unknown."""
    (step,) = from_conversation(Conversation(run_id="c", messages=(Message(role="tool", content="x", name="look", tool_call_id="9"),))).steps
    assert step.tool_call == ToolCall(name="look", call_id="9")


# ---- real files


@pytest.mark.parametrize("folder", ["langgraph", "langgraph_public"])
def test_every_task_of_real_databases_has_a_step_at_its_checkpoint(folder: Path) -> None:
    """In every database of the shared corpus each task that wrote, but the start, is a step with its task and checkpoint."""
    paths = [path for path in sorted((SHARED / folder).glob("*")) if path.suffix in (".sqlite", ".db")]
    if not paths:
        pytest.skip(f"no corpus at {SHARED / folder}")
    for path in paths:
        threads: dict[str, list[Checkpoint]] = {}
        for record in langgraph_sqlite.collect(Source(path)):
            if isinstance(record, Checkpoint):
                threads.setdefault(record.thread_id, []).append(record)
        for checkpoints in threads.values():
            steps = [step for run in normalise([], checkpoints) for step in run.steps]
            assert expected(checkpoints) <= {(step.task_id, step.checkpoint_id) for step in steps}, path.name


def expected(checkpoints: Sequence[Checkpoint]) -> set[tuple[str | None, str | None]]:
    writes = [(one, write) for one in checkpoints for write in one.writes]
    return {(write.task_id, one.checkpoint_id) for one, write in writes if write.task_id not in ("", NULL_TASK) and write.node != "__start__"}


def test_steps_are_numbered_in_time_order() -> None:
    """The index rises by one and no step begins before the one before it."""
    spans = [llm(number, "x", at=10 - number, parent=None) for number in range(5)]
    steps: tuple[Step, ...] = only(spans).steps
    assert [step.index for step in steps] == list(range(5))
    assert [step.started_ns for step in steps] == sorted(step.started_ns or 0 for step in steps)


def test_input_kept_aside_for_a_delta_channel_is_the_users_word_once() -> None:
    """Input stored under the checkpoint before it, and again by the start, is one step of the user."""
    aside = Write(task_id="aside", node="__input__", idx=0, channel="messages", value=[["user", "more"]])
    again = write("start3", "messages", [["user", "more"]], node="__start__")
    run = only([], [*thread()[:3], checkpoint(50, 30, writes=(aside,)), checkpoint(60, 50, source="input", writes=(again,))])
    assert [step.output.content for step in run.of_kind("human") if step.output] == ["hello", "more"]


def test_the_id_of_a_task_depends_on_its_place() -> None:
    """The same node in another step has another id."""
    first, second = (task_id(ident(1), "a", step, "a", "__pregel_pull", "branch:to:a") for step in ("1", "2"))
    assert first != second


def test_a_trace_without_its_root_says_so() -> None:
    """Where the top span's parent never came, the run carries a note: what is shown may not be all."""
    (whole,) = normalise([span(0, "AGENT", parent=None), span(1, "TOOL", "look", parent=0)], [])
    (cut,) = normalise([span(1, "TOOL", "look", parent=0)], [])
    assert whole.notes == ()
    assert cut.notes == ("1 trace without a root span: the file may be cut off, or the process died before it ended",)


def test_spans_that_are_plumbing_alone_make_no_run():
    """A health check, or an agent that is only set up, is no run of an agent."""
    probe: dict[str, Any] = {"name": "GET /health", "status": "error", "attributes": {"http.request.method": "GET", "http.response.status_code": 404}}
    set_up: dict[str, Any] = {"name": "create_agent desk", "attributes": {"gen_ai.operation.name": "create_agent", "gen_ai.agent.name": "desk"}}
    drawn = [Span(trace_id=TRACE, span_id="1" * 16, **fields) for fields in (probe, set_up)]
    assert [normalise([one], ()) for one in drawn] == [[], []]
