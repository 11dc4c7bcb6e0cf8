"""LangGraph's checkpoints, read by the collector and ingested (normalised and durable), against reading the same history with `get_state_history`.

    python -m tests.bench.checkpoints [CHECKPOINTS]

Threads of 100 checkpoints each, whose state is a conversation that grows by a message of a kilobyte a step.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

import workbench
from collectors.langgraph_sqlite import collect
from tests.bench.measuring import spent
from workbench.source import Source

STEPS = 98
"""With the input's and the first checkpoint, 100 a thread."""


class State(TypedDict):
    """A conversation."""

    messages: Annotated[list[AnyMessage], add_messages]


def talk(state: State) -> State:
    """One more message."""
    number = len(state["messages"])
    return {"messages": [AIMessage(content=f"message {number} " * 70, id=f"m{number}")]}


def write_history(path: Path, threads: int) -> None:
    """Record so many threads."""
    graph = StateGraph(State).add_node("talk", talk).add_edge(START, "talk")
    graph.add_conditional_edges("talk", lambda state: END if len(state["messages"]) >= STEPS else "talk")
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        agent = graph.compile(checkpointer=SqliteSaver(connection))
        for number in range(threads):
            agent.invoke({"messages": []}, {"configurable": {"thread_id": f"t{number}"}, "recursion_limit": 2 * STEPS})


def read_history(path: Path, threads: int) -> int:
    """How many states LangGraph gives back."""
    graph = StateGraph(State).add_node("talk", talk).add_edge(START, "talk")
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        agent = graph.compile(checkpointer=SqliteSaver(connection))
        return sum(1 for number in range(threads) for _ in agent.get_state_history({"configurable": {"thread_id": f"t{number}"}}))


def main(checkpoints: int = 10_000) -> None:
    """Print the ratio."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        path, threads = folder / "checkpoints.sqlite", max(1, checkpoints // 100)
        write_history(path, threads)
        bench = workbench.open(folder / "w.db")
        parts = {"ingested": spent(lambda: bench.ingest(path)), "read by the collector": spent(lambda: sum(1 for _ in collect(Source(path))))}
        floor = spent(lambda: read_history(path, threads))
        print(f"{threads * 100:,} LangGraph checkpoints ({path.stat().st_size / 1e6:,.0f} MB) against get_state_history (wanted: ≥ 30 ×)")
        for what, ours in parts.items():
            print(f"  {what}: faster by {floor.cpu / ours.cpu:.0f} × in CPU, {floor.wall / ours.wall:.0f} × in wall time")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
