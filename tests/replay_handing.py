"""Two agents, of which one hands over to the other with all that was said, by tools of several kinds. What they do for real is written to the LEDGER."""

from __future__ import annotations

import os
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import START, StateGraph, add_messages
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.types import Command

from tests.replay_agents import really
from workbench.replay.fence import playback


class State(TypedDict, total=False):
    """What was said, and what came of it."""

    messages: Annotated[list[AnyMessage], add_messages]
    said: str


Given = Annotated[dict[str, Any], InjectedState]
CallId = Annotated[str, InjectedToolCallId]


def _to_second(state: dict[str, Any], call: str) -> Command[Any]:
    told = [*state["messages"], ToolMessage("handed over", tool_call_id=call)]
    return Command(goto="second", graph=Command.PARENT, update={"messages": told})


@tool
def transfer_to_second(state: Given, call: CallId) -> Command[Any]:
    """Hands over, as the libraries for swarms and supervisors do."""
    return _to_second(state, call)


@tool
def book_and_go(state: Given, call: CallId) -> Command[Any]:
    """Hands over, and by its name does something first."""
    return _to_second(state, call)


@tool
def hand_over_to_second(state: Given, call: CallId) -> Command[Any]:
    """Hands over, and does something for real."""
    really("transfer")
    return _to_second(state, call)


def tell(state: State) -> State:
    return {"said": " & ".join(one.text for one in state["messages"] if one.text)}


def _handing(by: Any) -> Any:
    def ask(state: State) -> State:
        return {"messages": [AIMessage("", tool_calls=[{"name": by.name, "args": {}, "id": "call"}])]}

    first = StateGraph(State)
    first.add_sequence([ask, ("tools", ToolNode([by]))])
    first.add_edge(START, "ask")
    builder = StateGraph(State)
    builder.add_node("first", first.compile(), destinations=("second",))
    builder.add_node("second", tell)
    builder.add_edge(START, "first")
    return builder.compile()


handing = _handing(transfer_to_second)
acting = _handing(book_and_go)
loud = _handing(hand_over_to_second)

if "GUARDED" in os.environ:  # as on a platform without a sandbox
    playback.Playback.sandboxed = property(lambda _: False, lambda *_: None)  # type: ignore[assignment]
