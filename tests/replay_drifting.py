"""Agents whose first node, which calls nothing, writes what DRAWN says: a re-run of its code may write something else. What comes after it depends on that."""

from __future__ import annotations

import os
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph, add_messages
from langgraph.prebuilt import InjectedState, ToolNode

from tests.replay_agents import die_once


class State(TypedDict, total=False):
    """What was drawn, and what was made of it."""

    messages: Annotated[list[AnyMessage], add_messages]
    drawn: str
    said: str
    aside: str


def draw(state: State) -> State:
    return {"drawn": os.environ.get("DRAWN", "one")}


def beside(state: State) -> State:
    """Sees the state of before, in the same step."""
    return {"aside": f"beside {state.get('drawn')} {os.environ.get('DRAWN', 'one')}"}


def wait(state: State) -> State:
    """Calls nothing, and dies where it is to."""
    die_once()
    return {"aside": "waited"}


def tell(state: State) -> State:
    return {"said": f"drew {state['drawn']}"}


@tool
def judge(state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Judge what was drawn."""
    return f"{state['drawn']} is good"


def ask(state: State) -> State:
    return {"messages": [AIMessage("", tool_calls=[{"name": "judge", "args": {}, "id": "call"}])]}


def _built(*nodes: Any, drawing: Any = draw, aside: bool = True) -> Any:
    builder = StateGraph(State)
    builder.add_sequence([("draw", drawing), *nodes])
    builder.add_edge(START, "draw")
    if aside:
        builder.add_node(beside)
        builder.add_edge(START, "beside")
    return builder.compile()


telling = _built(tell)
inside = _built(tell, drawing=_built(tell, aside=False))
dying = _built(wait, tell, aside=False)
judging = _built(ask, ("tools", ToolNode([judge])))
