"""Forks of runs without code: a generic loop goes on from what was recorded, and nothing of the agent runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

import workbench as wb
from workbench import cli
from workbench.bench import RecordedRun
from workbench.chat_models import ModelError, chat_model
from workbench.model import Message, Run, Step, ToolCall
from workbench.replay.conversation import chat_messages, schema
from workbench.replay.forking import ForkError
from workbench.sketch import model, sketch, tool, user

BOOK = {"flight": "NH 11"}
SYSTEM = Message(role="system", content="Book once.")
ASKED = Message(role="user", content="Book NH 11")


def call(name: str, arguments: dict[str, Any], call_id: str) -> AIMessage:
    return AIMessage(content="", tool_calls=[{"name": name, "args": arguments, "id": call_id, "type": "tool_call"}])


class Scripted(BaseChatModel):
    """A model that says what it is told to say, and keeps what it was asked."""

    answers: list[AIMessage]
    asked: list[list[BaseMessage]] = Field(default_factory=list)
    bound: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Scripted:
        """Keep what is offered."""
        self.bound.append(tools)
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.asked.append(messages)
        return ChatResult(generations=[ChatGeneration(message=self.answers[len(self.asked) - 1])])


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedRun:
    """A run that was told by spans alone: it looks up, books, times out and books again."""
    bench = wb.open(tmp_path / "store.db")
    asking = {"messages": (SYSTEM, ASKED), "name": "small"}
    run = sketch(
        user("Book NH 11"),
        model("", calls=(("book_flight", BOOK),), **asking),
        tool("book_flight", BOOK, error="TimeoutError: no answer"),
        model("", calls=(("book_flight", BOOK),), name="small"),
        tool("book_flight", BOOK, {"booking": "B-2"}),
        model("Booked: B-2", name="small"),
        run_id="twice",
    )
    bench.store.save_runs([run])
    return bench.run("twice")


def test_a_changed_result_leads_elsewhere(recorded: RecordedRun):
    """With the booking in place of the time-out the model is asked anew, ends the run, and the flight is booked once."""
    asked = Scripted(answers=[AIMessage("Booked: B-1")])
    fork = recorded.simulate(2, asked, tool_result={"booking": "B-1"})
    assert [(step.kind, step.name, step.notes) for step in fork.steps[2:]] == [("tool", "book_flight", ("edited",)), ("model", "Scripted", ("live",))]
    assert [message.content for message in asked.asked[0]] == ["Book once.", "Book NH 11", "", '{"booking":"B-1"}']
    assert wb.compare(recorded, fork).effects == {"book_flight": "2 → 0"}  # what was edited was not made
    assert (fork.outcome, fork.run.forked_from, fork.run.forked_at_step) == ("Booked: B-1", "twice", 2)
    assert fork.receipt.calls.model_dump() == {"served": 1, "live": 1, "blocked": 0, "halted": 0, "answered": 0}
    assert fork.receipt.isolation.startswith("no code of the agent ran")


def test_the_tools_offered_have_the_parameters_that_calls_used(recorded: RecordedRun):
    """The model is offered the recorded tools, with a schema that their recorded arguments fit."""
    asked = Scripted(answers=[AIMessage("Done.")])
    recorded.simulate(1, asked)
    expected = {"name": "book_flight", "parameters": {"type": "object", "properties": {"flight": {"type": "string"}}, "required": ["flight"]}}
    assert asked.bound[0] == [{"type": "function", "function": expected}]
    assert schema([{"a": 1, "b": "x"}, {"a": None, "c": [1]}])["required"] == ["a"]


REFUND = {"type": "object", "properties": {"amount": {"type": "number", "minimum": 0}}, "required": ["amount"]}


def test_recorded_schemas_are_offered(tmp_path: Path):
    """With what each tool is for, also of one that was never called; of one whose schema was not recorded the receipt says so."""
    calls = (("refund", {"amount": 40}),)
    schemas = {"refund": {**REFUND, "description": "Refund money"}, "escalate": {"type": "object", "properties": {"why": {"enum": ["angry"]}}}}
    offered = ("refund", "escalate", "look_up")
    run = sketch(user("Refund me"), model("", calls=calls, messages=(ASKED,), offered=offered), tool("refund", {"amount": 40}, "ok"), schemas=schemas)
    asked, fork = simulated(run, tmp_path, 1)
    assert [one["function"] for one in asked.bound[0]] == [
        {"name": "refund", "description": "Refund money", "parameters": REFUND},
        {"name": "escalate", "parameters": schemas["escalate"]},
        {"name": "look_up", "parameters": schema([])},
    ]
    assert "the schema of look_up was not recorded: its parameters are those of its recorded calls" in fork.receipt.notes


def simulated(run: Run, folder: Path, at: int, **change: Any) -> tuple[Scripted, RecordedRun]:
    """A model that says it is done, and the run that came of asking it."""
    bench, asked = wb.open(folder / "store.db"), Scripted(answers=[AIMessage("Done.")])
    bench.store.save_runs([run])
    return asked, bench.run(run.run_id).simulate(at, asked, **change)


def test_the_agent_that_asked_goes_on(tmp_path: Path):
    """Of two agents that ask for the same tool at once, the one whose call it is goes on, with its own history and tools."""
    planner, worker = (Message(role="system", content=f"You are {name}.") for name in ("planner", "worker"))
    run = sketch(
        user("Plan and work"),
        asking("planner", "a1", offered=("search", "hand_over")).model_copy(update={"messages": (planner, ASKED)}),
        asking("worker", "b1", offered=("search", "pay")).model_copy(update={"messages": (worker, ASKED)}),
        answered("a1", "planner", "plans"),
        answered("b1", "worker", "prices"),
    )
    asked, fork = simulated(run, tmp_path, 3, tool_result="changed")
    assert [message.content for message in asked.asked[0]] == ["You are planner.", "Book NH 11", "", "changed"]
    assert [one["function"]["name"] for one in asked.bound[0]] == ["search", "hand_over"]
    assert next(one for one in fork.receipt.checks if one.name == "change met").verdict == "pass"


def asking(name: str, call_id: str, **fields: Any) -> Step:
    """A model call that asks to search for something of its own."""
    step = model("", calls=(("search", {"q": name}),), messages=(ASKED,), **fields)
    assert step.output is not None
    return step.model_copy(update={"output": step.output.model_copy(update={"tool_calls": (ToolCall(name="search", arguments={"q": name}, call_id=call_id),)})})


def answered(call_id: str, name: str, found: str) -> Step:
    """What came of it."""
    return tool("search", {"q": name}, found).model_copy(update={"tool_call": ToolCall(name="search", arguments={"q": name}, call_id=call_id)})


def test_a_change_that_met_no_call_is_not_clean(tmp_path: Path):
    """A result that was put in the place of one nobody asked for changes nothing, and the receipt says so."""
    run = sketch(user("Search"), asking("a", "a1"), answered("a1", "a", "found"), tool("search", {"q": "elsewhere"}, "other"))
    _, fork = simulated(run, tmp_path, 3, tool_result="changed")
    assert not fork.receipt.clean
    assert "the changed call, step 3, was never made: the change had no effect" in str(fork.receipt)


def test_without_contents_there_is_nothing_to_go_on_from(tmp_path: Path):
    """A recording that kept names and times alone is refused; one whose tools' answers alone are missing goes on, and tells which."""
    silent = sketch(model("", calls=(("search", {}),)), tool("search", {}), model(""))
    with pytest.raises(ForkError, match="what the model was given was not recorded, so there is no history to go on from; most instrumentors"):
        simulated(silent, tmp_path, 2)
    spoken = sketch(user("Search"), model("", calls=(("search", {}),)), tool("search", {}), model(""), run_id="spoken")
    _, fork = simulated(spoken, tmp_path, 3)
    assert "What the tools at step 2 answered was not recorded: it stands empty" in " ".join(fork.receipt.notes)


def test_an_image_that_was_not_kept_is_told(tmp_path: Path):
    """The model is given the word for it, which the receipt says."""
    shown = Message(role="user", content="What is on this?\n[image_url]")
    _, fork = simulated(sketch(user("What?"), model("An invoice.", messages=(shown,))), tmp_path, 1)
    assert any(note.startswith("message 0 of the history held an image, a file or its like") for note in fork.receipt.notes)


def test_recorded_answers_are_served_in_order(recorded: RecordedRun):
    """A model that decides as recorded meets what was recorded, each answer once, and then no more."""
    book = [call("book_flight", BOOK, f"c{number}") for number in range(3)]
    fork = recorded.simulate(1, Scripted(answers=book), system="Try thrice.")
    assert [step.error or step.result for step in fork.run.of_kind("tool")] == ["TimeoutError: no answer", {"booking": "B-2"}, "halted: no recording"]
    assert fork.receipt.calls.halted == 1
    assert "each recording has been served once" in fork.receipt.records[-1].says
    assert fork.run.status == "error"


def test_another_argument_has_no_recording(recorded: RecordedRun):
    """A call that was never recorded halts and names the nearest."""
    fork = recorded.simulate(1, Scripted(answers=[call("book_flight", {"flight": "NH 12"}, "c1")]), system="Book NH 12.")
    says = fork.receipt.records[-1].says
    assert 'recorded "NH 11", asked "NH 12"' in says
    assert "simulate this run again at this step with tool_result=" in says
    assert not {"--live", "--serve-stale", "no node"} & {*says.split()}
    again = fork.simulate(2, Scripted(answers=[AIMessage("Booked: B-12")]), tool_result="B-12")
    assert (again.outcome, again.receipt.clean) == ("Booked: B-12", True)
    assert wb.compare(recorded, fork).effects == {"book_flight": "2 → 0"}


def test_faults_messages_and_prompts_change_what_is_asked(recorded: RecordedRun):
    """A fault takes the place of a result; an edited message and another system prompt are what the model is given."""
    failed = Scripted(answers=[AIMessage("Sorry.")])
    recorded.simulate(4, failed, fault="error")
    assert failed.asked[0][-1].content == "RuntimeError: failed (injected by the fork)"
    edited = Scripted(answers=[AIMessage("Sorry.")])
    recorded.simulate(1, edited, message={"index": -1, "content": "Book NH 99"})
    assert [message.content for message in edited.asked[0]] == ["Book once.", "Book NH 99"]
    told = Scripted(answers=[AIMessage("Sorry.")])
    recorded.simulate(1, told, system="Never book.")
    assert [message.content for message in told.asked[0]] == ["Never book.", "Book NH 11"]
    none = Scripted(answers=[AIMessage("Sorry.")])
    recorded.simulate(1, none, tools=[])
    assert none.bound == []


def test_a_simulation_is_bounded(recorded: RecordedRun):
    """A model that never stops asking is stopped, and the receipt says by what."""
    endless = Scripted(answers=[call("book_flight", BOOK, f"c{number}") for number in range(9)])
    fork = recorded.simulate(1, endless, model_calls=1)
    assert fork.receipt.outcome == "halted: the model was asked 1 times, which is the limit"
    late = recorded.simulate(1, endless, seconds=0)
    assert (late.receipt.outcome, late.receipt.calls.live) == ("halted: the time is up", 0)


def test_what_cannot_be_simulated_says_why(recorded: RecordedRun):
    """A step with nothing to go on from, a change of the wrong kind, a model nobody can make."""
    with pytest.raises(ForkError, match="has no tool result to change"):
        recorded.simulate(1, Scripted(answers=[]), tool_result=1)
    with pytest.raises(ForkError, match="no tool 'fly' was offered; there are book_flight"):
        recorded.simulate(1, Scripted(answers=[]), tools=["fly"])
    with pytest.raises(ForkError, match=r"has no tool result to change; the nearest tool steps are \d"):
        recorded.simulate(1, Scripted(answers=[]), fault="error")
    with pytest.raises(ForkError, match=r"a changed message should be .* there is no 'contnt' in it; did you mean content"):
        recorded.simulate(1, Scripted(answers=[]), message={"index": 0, "contnt": "x"})
    with pytest.raises(ForkError, match=r"a changed system prompt should be the text of the system prompt; it is 7"):
        recorded.simulate(1, Scripted(answers=[]), system=7)
    with pytest.raises(ForkError, match="a simulation can inject timeout, error, empty, and no slow call"):
        recorded.simulate(2, Scripted(answers=[]), fault="slow")
    with pytest.raises(ModelError, match="write provider:name"):
        recorded.simulate(1, "gpt-5")
    with pytest.raises(ModelError, match="nosuch:model can't be used"):
        chat_model("nosuch:model")


def test_a_model_that_fails_is_told(recorded: RecordedRun):
    """An error of the provider ends the simulation as a result that can be looked at; a model that never answered makes no clean receipt."""
    fork = recorded.simulate(1, Scripted(answers=[]))
    assert (fork.receipt.clean, recorded.simulate(1, Scripted(answers=[AIMessage("Booked.")])).receipt.clean) == (False, True)
    assert "the model that was to think anew never answered: the model failed: IndexError" in str(fork.receipt)
    assert fork.receipt.outcome == "failed: the model failed: IndexError: list index out of range"


def test_a_model_that_fails_later_is_told(recorded: RecordedRun):
    """Where the model answers first and fails then, the simulation failed where the recorded run did not: its receipt is not clean, as a fork's is not."""
    fork = recorded.simulate(1, Scripted(answers=[call("book_flight", BOOK, "c1")]))
    assert fork.receipt.outcome == "failed: the model failed: IndexError: list index out of range"
    (failed,) = (one for one in fork.receipt.checks if one.verdict == "fail")
    assert (failed.name, failed.says) == ("same end", "it failed, where the recorded run did not: the model failed: IndexError: list index out of range")


def test_answers_nobody_asked_for_are_told_as_words():
    """A tool message without its call, which providers refuse, becomes a person's message; one without an id answers the open call."""
    asking = Message(role="assistant", tool_calls=(ToolCall(name="look_up", arguments={}),))
    answer = Message(role="tool", content="found", name="look_up")
    told = list(chat_messages([answer, asking, answer, answer]))
    assert [message.type for message in told] == ["human", "ai", "tool", "human"]
    assert told[2].tool_call_id == told[1].tool_calls[0]["id"]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """An OpenAI-compatible endpoint on this machine, as the environment names it; gives what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            message = {"role": "assistant", "content": "Booked: B-1"}
            usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
            answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "tiny", "usage": usage}
            body = json.dumps({**answer, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    yield asked
    server.shutdown()
    server.server_close()


def test_any_provider_by_name(recorded: RecordedRun, endpoint: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]):
    """`workbench simulate --model openai:tiny` asks an OpenAI-compatible endpoint, with the recorded history and tools."""
    store = str(recorded.bench.store.path)
    command = ["simulate", "twice", "--at", "2", "--model", "openai:tiny", "--tool-result", '{"booking": "B-1"}', "--store", store, "--json"]
    cli.app(command, standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert (told["run_id"], told["outcome"]) == ("twice~1", "Booked: B-1")
    assert [message["role"] for message in endpoint[0]["messages"]] == ["system", "user", "assistant", "tool"]
    assert endpoint[0]["tools"][0]["function"]["name"] == "book_flight"
    assert recorded.bench.run("twice~1").run.tokens.input == 11
