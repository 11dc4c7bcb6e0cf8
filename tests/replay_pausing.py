"""Graphs with breakpoints, to record and fork in tests: before a node, after one, and inside of a graph in the graph."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    """State of every graph here: how much is still to do, and what was done."""

    amount: int
    said: Annotated[list[str], operator.add]


def plan(state: State) -> State:
    return {"said": [f"plan {state['amount']}"]}


def act(state: State) -> State:
    return {"said": [f"act {state['amount']}"], "amount": state["amount"] - 1}


def more(state: State) -> str:
    return "act" if state["amount"] > 0 else "close"


def close(state: State) -> State:
    return {"said": [f"closed after {len(state['said'])}"]}


def _acting(**breakpoints: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence([plan, act])
    builder.add_node(close)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("act", more, ["act", "close"])
    builder.add_edge("close", END)
    return builder.compile(**breakpoints)


def _around(inner: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence([("inner", inner), close])
    builder.add_edge(START, "inner")
    return builder.compile()


plain = _acting()
before = _acting(interrupt_before=["act"])
after = _acting(interrupt_after=["act"])
inside = _around(_acting(interrupt_before=["act"], interrupt_after=["close"]))
