"""One life of the agent's process: plays the acts of one process of an incident, recorded. `python -m sample_traces.life NAME NUMBER FOLDER`.

The recorder starts it, so that it can be killed. Super-steps run one task at a time and are written before the next begins: the order of steps,
and what survives a kill, are then the same in every recording.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import GraphRecursionError
from langgraph.types import Command

from sample_traces.incidents import ALL, Act, Incident, Resume, Say
from sample_traces.otlp_file import instrument
from sample_traces.travel_agent import graph


def play(incident: Incident, life: int, folder: Path) -> None:
    """Run this life's acts on the incident's thread, into `spans.otlp.jsonl` and `checkpoints.sqlite` of the folder."""
    instrument(folder / "spans.otlp.jsonl", incident.name, life)
    config: RunnableConfig = {"configurable": {"thread_id": incident.thread_id}, "max_concurrency": 1, "recursion_limit": incident.recursion_limit}
    with closing(sqlite3.connect(folder / "checkpoints.sqlite", check_same_thread=False)) as connection:
        agent = graph.copy(update={"checkpointer": SqliteSaver(connection)})
        for number, act in enumerate(incident.lives[life]):
            try:
                agent.invoke(given(act, f"user-{life}-{number}"), config, durability="sync")
            except GraphRecursionError as error:
                print(f"{incident.name}: {error}", file=sys.stderr)


def given(act: Act, message_id: str) -> Any:
    """What the graph is invoked with."""
    match act:
        case Say(text):
            return {"messages": [HumanMessage(text, id=message_id)]}
        case Resume(said):
            return Command(resume=said)
    return None


if __name__ == "__main__":
    name, number, folder = sys.argv[1:]
    play(ALL[name], int(number), Path(folder))
