"""Agents that ask a person and that fail, to record and fork in tests: at what they are answered, before they ask, or once."""

from __future__ import annotations

import operator
import os
import uuid
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.config import get_config
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from tests.replay_agents import really


class State(TypedDict, total=False):
    """State of every agent here."""

    item: str
    text: str
    to: str
    said: Annotated[list[str], operator.add]


class Drafting(BaseChatModel):
    """Writes a draft on whatever it is given."""

    @property
    def _llm_type(self) -> str:
        return "drafting"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"draft on {messages[-1].content}"))])


@tool
def reserve(item: str) -> str:
    """Reserve an item. The first try fails where the item is scarce."""
    really(f"reserve {item}")
    if item.startswith("scarce") and Path(item.partition(" ")[2]).read_text().count("reserve") == 1:
        raise ConnectionError("no answer")
    return f"reserved {item}"


@tool
def send(text: str, to: str) -> str:
    """Send a text to somebody."""
    really(f"send {text} to {to}")
    return "sent"


def hold(state: State) -> State:
    return {"said": [reserve.invoke({"item": state["item"]})]}


def draft(state: State) -> State:
    return {"text": str(Drafting().invoke([HumanMessage(state["item"])]).content)}


def ask(state: State) -> State:
    """Asks what the draft is good for, and to whom it goes."""
    if interrupt({"send this?": state["text"]}) != "yes":
        return {"to": ""}
    return {"to": interrupt("to whom?")}


def deliver(state: State) -> State:
    return {"said": [send.invoke({"text": state["text"], "to": state["to"]}) if state["to"] else "kept"]}


def answered(state: State) -> State:
    """Fails at an answer of another form than it expects."""
    return {"said": [interrupt({"pay": state["item"]})["by"]]}


def plan(state: State) -> State:
    return {"text": "planned"}


def try_it(state: State) -> State:
    """Fails the first time it is tried, by nothing that is recorded."""
    really("try")
    if Path(os.environ["LEDGER"]).read_text().count("try") == 1:
        raise ConnectionError("down")
    return {"said": ["tried"]}


def _in_turn(*nodes: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence(list(nodes))
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile(name="asking")


graph = _in_turn(hold, draft, ask, deliver)
answering = _in_turn(answered)
retried = _in_turn(plan, try_it)
nodes_alone = _in_turn(ask, deliver)


@task
def held(item: str) -> str:
    """Reserves."""
    return str(reserve.invoke({"item": item}))


@task
def drafted(item: str) -> str:
    """Drafts."""
    return str(Drafting().invoke([HumanMessage(item)]).content)


@entrypoint()
def flow(state: State) -> State:
    """The same as a function."""
    said, text = held(state["item"]).result(), drafted(state["item"]).result()
    to = interrupt("to whom?") if interrupt({"send this?": text}) == "yes" else ""
    return {"said": [said], "text": text, "to": to}


@task
def fetched(name: str, *, page: int = 1) -> str:
    """Fetches, by nothing that is recorded."""
    really(f"fetch {name}")
    return f"{name}{page} {uuid.uuid4()}"


def whose() -> str:
    return str(get_config()["metadata"].get("thread_id"))


@task
def fetched_for(name: str) -> str:
    """The same, for somebody whom its arguments don't name."""
    really(f"fetch {name}")
    return f"{name} for {whose()}"


@task
def fetched_so(name: str, config: RunnableConfig) -> str:
    """The same, as it is configured."""
    really(f"fetch {name}")
    return f"{name} {len(config)}"


@task
def fetched_all(names: tuple[str, ...]) -> str:
    """The same, with an argument that spans tell as another."""
    really(f"fetch {names[0]}")
    return names[0]


def _reading(fetch: Any, given: Any = str) -> Any:
    @entrypoint()
    def reading(state: State) -> State:
        """Fetches in the order in which it is told to."""
        return {"said": [fetch(given(one)).result() for one in interrupt("in which order?")]}

    return reading


reading, reading_for, reading_so = (_reading(one) for one in (fetched, fetched_for, fetched_so))
reading_all = _reading(fetched_all, tuple)


class Sending(BaseChatModel):
    """Calls a tool for each name in the first message at once, and then tells what came of it."""

    tool: str = "wire"

    @property
    def _llm_type(self) -> str:
        return "sending"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Calls the tools that it knows of."""
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        said = [str(one.content) for one in messages if isinstance(one, ToolMessage)]
        names = str(next(one for one in messages if isinstance(one, HumanMessage)).content).split()
        calls = [] if said else [{"name": self.tool, "args": {"to": name}, "id": f"call {name}"} for name in names]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(", ".join(said), tool_calls=calls))])


@tool
def wire(to: str) -> str:
    """Wire money once a person allows it."""
    if interrupt({"wire to": to}) != "yes":
        return f"not to {to}"
    really(f"wire to {to}")
    return f"wired to {to}"


@tool
def wire_surely(to: str) -> str:
    """Wire money once a person allows it twice."""
    said = [interrupt({"wire to": to}), interrupt({"sure": to})]
    really(f"wire to {to}")
    return f"wired to {to}: {' '.join(said)}"


@tool
def note(to: str) -> str:
    """Write a note."""
    really(f"note to {to}")
    return f"noted {to}"


@wrap_tool_call
def allowed(request: Any, handler: Any) -> Any:
    """Asks a person before a tool's code is run."""
    interrupt({"allow": request.tool_call["args"]["to"]})
    return handler(request)


wiring = create_agent(Sending(), [wire])
wiring_surely = create_agent(Sending(tool="wire_surely"), [wire_surely])
noting = create_agent(Sending(tool="note"), [note], middleware=[allowed])
