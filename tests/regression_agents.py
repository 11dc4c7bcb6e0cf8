"""An agent that charges twice when the first charge times out, and four that were changed since: two mended, one not, one beyond recognition."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from tests.replay_shapes import Scripted


class State(TypedDict, total=False):
    """What the agent knows."""

    amount: int
    said: str
    again: bool


@tool
def charge(amount: int, idempotency_key: str = "") -> str:
    """Charge the card; the first time the bank is slow."""
    with Path(os.environ["LEDGER"]).open("a") as ledger:
        ledger.write(f"charge {amount} {idempotency_key}\n")
    if Path(os.environ["LEDGER"]).read_text().count("charge") == 1:
        raise TimeoutError("the bank did not answer")
    return "charged"


@tool
def find_charge(amount: int) -> str:
    """Look whether the card was charged."""
    return "charged"


def careless(state: State) -> State:
    """Charges again."""
    try:
        return {"said": charge.invoke({"amount": state["amount"]})}
    except TimeoutError:
        return {"said": charge.invoke({"amount": state["amount"]})}


def keyed(state: State) -> State:
    """Charges again under the same key."""
    given = {"amount": state["amount"], "idempotency_key": f"order-{state['amount']}"}
    try:
        return {"said": charge.invoke(given)}
    except TimeoutError:
        return {"said": charge.invoke(given)}


def careful(state: State) -> State:
    """Looks before it charges again."""
    try:
        return {"said": charge.invoke({"amount": state["amount"]})}
    except TimeoutError:
        return {"said": find_charge.invoke({"amount": state["amount"]})}


def sly(state: State) -> State:
    """Charges again past its tool."""
    try:
        return {"said": charge.invoke({"amount": state["amount"]})}
    except TimeoutError:
        with contextlib.suppress(OSError):
            socket.create_connection((os.environ["BANK"], 9))
        return {"said": "charged"}


def idle(_: State) -> State:
    """Charges nothing, and says so."""
    return {"said": "Goodbye."}


def fragile(state: State) -> State:
    """Charges, and dies of a slow bank."""
    return {"said": charge.invoke({"amount": state["amount"]})}


def polite(state: State) -> State:
    """Charges again, and says so otherwise."""
    return {"said": f"Thank you. {careless(state)['said']}"}


def strange(state: State) -> State:
    """Does something else altogether."""
    return {"said": find_charge.invoke({"amount": state["amount"]})}


def _graph(node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("pay", node)
    builder.add_edge(START, "pay")
    builder.add_edge("pay", END)
    return builder.compile()


def once(state: State) -> State:
    """Charges, and says when nobody answered."""
    try:
        return {"said": charge.invoke({"amount": state["amount"]})}
    except TimeoutError:
        return {"said": "no answer"}


def hasty(state: State) -> State:
    """Wants to charge again when nobody answered."""
    return {"again": state["said"] == "no answer"}


def patient(state: State) -> State:
    """Leaves it at that."""
    return {"again": False}


def _deciding(node: Any) -> Any:
    """A graph in which a node that calls nothing decides whether it is charged again."""
    builder = StateGraph(State)
    for name, one in (("pay", once), ("decide", node), ("pay_again", once)):
        builder.add_node(name, one)
    builder.add_edge(START, "pay")
    builder.add_edge("pay", "decide")
    builder.add_conditional_edges("decide", lambda state: "pay_again" if state["again"] else END)
    return builder.compile()


class Talk(MessagesState):
    """What was said, and how much is to be charged."""

    amount: int


def insist(state: Talk) -> dict[str, Any]:
    """Asks for a charge, and once more where that failed."""
    answers = [one for one in state["messages"] if isinstance(one, ToolMessage)]
    if len(answers) > 1:
        return {"messages": [AIMessage(str(answers[-1].content))]}
    return {"messages": [AIMessage("", tool_calls=[{"name": "charge", "args": {"amount": state["amount"]}, "id": f"call-{len(answers)}"}])]}


def guard(state: Talk) -> Any:
    """Lets a charge be tried once."""
    asked = state["messages"][-1].tool_calls[0]
    tried = any(isinstance(one, ToolMessage) for one in state["messages"])
    return {"messages": [ToolMessage("refused: it was tried", name="charge", tool_call_id=asked["id"])]} if tried else CHARGES.invoke(state)


def _talking(tools: Any, talks: Any = insist) -> Any:
    builder = StateGraph(Talk)
    builder.add_node("insist", talks)
    builder.add_node("tools", tools)
    builder.add_edge(START, "insist")
    builder.add_conditional_edges("insist", tools_condition)
    builder.add_edge("tools", "insist")
    return builder.compile()


class Insisting(Scripted):
    """A model that asks for a charge twice."""

    def _say(self, messages: list[BaseMessage]) -> AIMessage:
        tried = [one for one in messages if isinstance(one, ToolMessage)]
        return self._ask(tried) if len(tried) < ASKED else AIMessage("charged")

    def _ask(self, tried: list[ToolMessage]) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "charge", "args": {"amount": 7}, "id": f"call-{len(tried)}"}])


class Looking(Insisting):
    """A model that looks before it asks for a charge again."""

    def _ask(self, tried: list[ToolMessage]) -> AIMessage:
        looks = {"name": "find_charge", "args": {"amount": 7}, "id": "call-look"}
        return AIMessage("", tool_calls=[looks]) if tried else super()._ask(tried)


ASKED = 2
CHARGES = ToolNode([charge, find_charge], handle_tool_errors=True)
talking, talking_guarded = map(_talking, (CHARGES, guard))
thinking, thinking_better, thinking_guarded = (
    _talking(tools, lambda state, model=model: {"messages": [model.invoke([HumanMessage("charge 7"), *state["messages"]])]})  # type: ignore[misc]  # this one's model
    for tools, model in ((CHARGES, Insisting()), (CHARGES, Looking()), (guard, Insisting()))
)
deciding, deciding_better = map(_deciding, (hasty, patient))
recorded, with_key, looking, reworded, other, dying, lasting = map(_graph, (careless, keyed, careful, polite, strange, fragile, once))
past_its_tool, doing_nothing = map(_graph, (sly, idle))
