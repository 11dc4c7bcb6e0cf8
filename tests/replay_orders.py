"""Agents whose branches run at the same time and make the very same calls, which are answered otherwise each time. ORDER says whose turn is when."""

from __future__ import annotations

import asyncio
import operator
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.errors import GraphBubbleUp
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send, interrupt

from tests.replay_agents import really

BRANCHES = ("Kyoto", "Nara", "Osaka")


class Gate:
    """Lets one branch through at a time, in this order of turns; whoever has none left goes on freely."""

    def __init__(self, order: str) -> None:
        self.turns = deque(one for one in order.split(",") if one)
        self.taken = False
        self.moved = threading.Condition()

    def _enter(self, branch: str) -> bool:
        """Take the turn, if it is this branch's."""
        mine = bool(self.turns) and self.turns[0] == branch and not self.taken
        self.taken = self.taken or mine
        return mine or branch not in self.turns

    @contextmanager
    def _left(self) -> Iterator[None]:
        """Give the turn to the next one afterwards, also where this one stopped to ask a person; after a failure nobody waits any more."""
        try:
            yield
        except GraphBubbleUp:
            raise
        except BaseException:
            self.turns.clear()
            raise
        finally:
            with self.moved:
                if self.turns:
                    self.turns.popleft()
                self.taken = False
                self.moved.notify_all()

    @contextmanager
    def turn(self, branch: str) -> Iterator[None]:
        """Wait for this branch's turn."""
        with self.moved:
            assert self.moved.wait_for(lambda: self._enter(branch), 60)
        with self._left():
            yield

    @asynccontextmanager
    async def turn_later(self, branch: str) -> AsyncIterator[None]:
        """The same in an event loop."""
        while not self._enter(branch):
            await asyncio.sleep(0)
        with self._left():
            yield


GATE = Gate(os.environ.get("ORDER", ""))


class State(TypedDict, total=False):
    """What the branches bring."""

    branch: str
    found: Annotated[list[str], operator.add]


def _count(what: str) -> int:
    """How often this was done for real before."""
    really(what)
    return Path(os.environ["LEDGER"]).read_text().splitlines().count(what)


class Musing(BaseChatModel):
    """Thinks something else each time."""

    @property
    def _llm_type(self) -> str:
        return "musing"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"thought {_count('thought')}"))])


@tool
def draw(deck: str) -> str:
    """Draws another card each time."""
    return f"card {_count('drawn')}"


@tool
def ask(deck: str) -> str:
    """Asks a person for a card."""
    answer = interrupt({"which": deck})
    really("asked")
    return f"card {answer}"


def muse(branch: str) -> str:
    with GATE.turn(branch):
        return Musing().invoke([HumanMessage("what now?")]).text


def muse_and_ask(state: State) -> State:
    """Thinks, and asks a person."""
    branch = state["branch"]
    return {"found": [f"{branch}: {muse(branch)}, {interrupt('which card?')}"]}


def take(branch: str) -> str:
    with GATE.turn(branch):
        return str(draw.invoke({"deck": "one"}))


def visit(state: State) -> State:
    """Thinks, draws, and thinks again."""
    branch = state["branch"]
    return {"found": [f"{branch}: {muse(branch)}, {take(branch)}, {muse(branch)}"]}


async def visit_later(state: State) -> State:
    """The same in an event loop, drawing twice at once."""
    branch = state["branch"]

    async def muse_later() -> str:
        async with GATE.turn_later(branch):
            return (await Musing().ainvoke([HumanMessage("what now?")])).text

    async def take_later(deck: str) -> str:
        async with GATE.turn_later(branch):
            return str(await draw.ainvoke({"deck": deck}))

    return {"found": [f"{branch}: {await muse_later()}, {await asyncio.gather(take_later('one'), take_later('two'))}"]}


def _fanned(work: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("visit", work)
    builder.add_conditional_edges(START, lambda _: [Send("visit", {"branch": one}) for one in BRANCHES], ["visit"])
    return builder.compile()


def _nested() -> Any:
    builder = StateGraph(State)
    builder.add_node("muses", lambda state: {"found": [f"{state['branch']}: {muse(state['branch'])}"]})
    builder.add_node("takes", lambda state: {"found": [f"{state['branch']}: {take(state['branch'])}"]})
    builder.add_edge(START, "muses")
    builder.add_edge("muses", "takes")
    inner = builder.compile()
    return _fanned(lambda state: {"found": inner.invoke(state)["found"]})


def note(state: State) -> State:
    """Another word each time, by no call that anybody could have recorded."""
    return {"found": [f"{state.get('branch', 'all')}: noted {token_hex(4)}"]}


def _one_after_the_other() -> Any:
    """One branch draws before the other begins, in the same step; a node follows both."""
    builder = StateGraph(State)
    builder.add_node("takes", lambda state: {"found": [take(state["branch"])]})
    builder.add_node("notes", note)
    builder.add_node("sums_up", note)
    builder.add_conditional_edges(START, lambda _: [Send("takes", {"branch": BRANCHES[0]}), Send("notes", {"branch": BRANCHES[1]})], ["takes", "notes"])
    builder.add_edge(["takes", "notes"], "sums_up")
    return builder.compile().with_config(max_concurrency=1)


def _called(request: Any, execute: Any) -> Any:
    """Calls the tools of one answer by turns: a call's id is its branch."""
    with GATE.turn(request.tool_call["id"]):
        return execute(request)


def _asking() -> Any:
    builder = _turn_of(draw)
    builder.add_edge("asks", "tools")
    return builder.compile()


def _asking_apart() -> Any:
    """Each call of one answer is a task of its own, in a subgraph, as `create_agent` does it."""
    builder = _turn_of(ask)
    builder.add_conditional_edges("asks", lambda state: [Send("tools", [call]) for call in state["messages"][-1].tool_calls], ["tools"])
    outer = StateGraph(MessagesState)
    outer.add_node("agent", builder.compile())
    outer.add_edge(START, "agent")
    return outer.compile()


def _turn_of(called: BaseTool) -> Any:
    """An answer that calls the same tool in the same way for each branch."""
    builder = StateGraph(MessagesState)
    calls = [{"name": called.name, "args": {"deck": "one"}, "id": one, "type": "tool_call"} for one in BRANCHES]
    builder.add_node("asks", lambda _: {"messages": [AIMessage("", tool_calls=calls)]})
    builder.add_node("tools", ToolNode([called], wrap_tool_call=_called))
    builder.add_edge(START, "asks")
    return builder


sends = _fanned(visit)
sends_later = _fanned(visit_later)
subgraphs = _nested()
beside = _one_after_the_other()
parallel_tools = _asking()
questions = _asking_apart()
asking = _fanned(muse_and_ask)
