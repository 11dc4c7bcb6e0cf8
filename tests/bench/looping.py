"""The agent that a replay is measured with, and one run of it: plainly, and behind the fence. Each is to have a process of its own."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver

from tests.bench.measuring import Spent, spent
from tests.replay_shapes import Scripted, looping
from workbench.replay.channel import Line
from workbench.replay.fence.drive import Drive
from workbench.replay.fence.rerun import rerun
from workbench.replay.fence.runner import SURVIVES_A_KILL
from workbench.replay.fence.tripwire import Tripwire
from workbench.replay.protocol import Request

TURNS = 40


@tool
def book(city: str) -> str:
    """Book a room."""
    return f"booked {city}"


class Stub(Scripted):
    """Asks for the calls it was made with, in turns, and then is done."""

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        turn = sum(isinstance(one, AIMessage) for one in messages)
        calls = [{"name": name, "args": given, "id": f"call-{turn}-{n}"} for n, (name, given) in enumerate(self.turns[turn])] if turn < len(self.turns) else []
        return ChatResult(generations=[ChatGeneration(message=AIMessage("" if calls else "done", tool_calls=calls))])


def agent(turns: int = TURNS) -> Any:
    """A model that asks for one tool, forty times, and a tool that does nothing."""
    return looping(*[[("book", {"city": "Kyoto"})]] * turns, tools=[book], model=Stub)


def invoke(graph: Any) -> None:
    """Run an agent from its beginning to its end."""
    graph.invoke({"messages": [("user", "Kyoto")]}, {"configurable": {"thread_id": "thread"}, "recursion_limit": 1000})


def plain(database: Path) -> Spent:
    """What the graph itself takes, with a checkpointer."""
    invoke(agent(1))
    with closing(sqlite3.connect(database, check_same_thread=False)) as connection:
        connection.execute(SURVIVES_A_KILL)
        graph = agent().copy(update={"checkpointer": SqliteSaver(connection)})
        return spent(lambda: invoke(graph))


def replayed(request: Request) -> Spent:
    """What the graph of a re-run takes from its first start to its last end, in this very process, what it tells included."""
    took: list[Spent] = []
    through = Drive.through

    def timed(drive: Drive) -> Any:
        ended: list[Any] = []
        took.append(spent(lambda: ended.append(through(drive))))
        return ended[0]

    Drive.through = timed  # type: ignore[method-assign]
    with Path(os.devnull).open("w") as nowhere, Path(os.devnull).open() as nothing:
        answer = rerun(request, Line(nothing, nowhere), Tripwire([Path(request.folder)], []), sandboxed=True)
    if answer.ended != "done":
        raise SystemExit(f"the re-run ended otherwise: {answer.ended}: {answer.says}")
    return took[0]
