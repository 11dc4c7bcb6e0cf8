"""Agents that ask a person and that fail, to record and fork in tests: at what they are answered, before they ask, or once."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
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


def _in_turn(*nodes: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence(list(nodes))
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile(name="asking")


graph = _in_turn(hold, draft, ask, deliver)
answering = _in_turn(answered)
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
