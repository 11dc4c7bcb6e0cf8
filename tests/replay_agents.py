"""Small agents to record and fork in tests. What they do for real is written to the file that LEDGER names; ESCAPE makes a plain node reach out."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

from tests import replay_escapes


class State(TypedDict, total=False):
    """State of every agent here."""

    messages: Annotated[list[AnyMessage], add_messages]
    budget: int
    said: str


@dataclass
class Trip:
    """A value of the user's own type in the state."""

    city: str


class Typed(TypedDict, total=False):
    """State with such a value."""

    messages: Annotated[list[AnyMessage], add_messages]
    trip: Trip
    said: str


class OutOfSeats(Exception):  # noqa: N818  # named like errors of real agents
    """An error of the agent's own."""

    def __init__(self, flight: str, *, left: int) -> None:
        super().__init__(f"{flight} has {left} seats")


def really(what: str) -> None:
    """Note in the ledger that something was done for real."""
    with Path(os.environ["LEDGER"]).open("a") as ledger:
        ledger.write(f"{what}\n")


class Scripted(BaseChatModel):
    """Asks for the calls that the user names as JSON, then sums up what they brought; told to try another flight, it books that."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._say(messages))])

    def _say(self, messages: list[BaseMessage]) -> AIMessage:
        results = [message.text for message in messages if isinstance(message, ToolMessage)]
        if not results:
            return _calls(json.loads(messages[0].text))
        if results[-1].startswith("try "):
            return _calls([["book", {"flight": results[-1].removeprefix("try ")}]])
        return AIMessage("; ".join(results))


class Attentive(BaseChatModel):
    """Says what it was shown and how it is set."""

    model_name: str = "attentive-1"
    temperature: float = 1.0

    @property
    def _llm_type(self) -> str:
        return "attentive"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Offer these tools, in OpenAI's form."""
        return self.bind(tools=[convert_to_openai_tool(one) for one in tools])

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        offered = {one["function"]["name"]: one["function"]["description"] for one in kwargs.get("tools", [])}
        seen = {"name": self.model_name, "temperature": self.temperature, "tools": offered, "heard": [one.text for one in messages]}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(json.dumps(seen)))])


class Remote(BaseChatModel):
    """Thinks on a server, which the environment names."""

    model_name: str = "remote-1"
    temperature: float = 1.0

    @property
    def _llm_type(self) -> str:
        return "remote"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if "REMOTE" not in os.environ:
            said = "recorded"
        else:
            with socket.create_connection(("127.0.0.1", int(os.environ["REMOTE"])), timeout=5) as connection:
                said = connection.makefile().readline().strip()
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"{said} at {self.temperature}", usage_metadata=usage))])


def _calls(wanted: list[Any]) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{number}"} for number, (name, arguments) in enumerate(wanted)])


@tool
def book(flight: str) -> str:
    """Book a flight."""
    really(f"book {flight}")
    return f"booked {flight}"


@tool
def slow_then_fast(number: int) -> str:
    """The first call takes longest, so that answers come back in another order than they were asked for."""
    really(f"number {number}")
    time.sleep(0.05 / (number + 1))
    return f"answer {number}"


@tool
def seats(flight: str) -> dict[str, int]:
    """Count seats: fails with an error of our own."""
    really(f"seats {flight}")
    raise OutOfSeats(flight, left=0)


@tool
def confirm(flight: str) -> str:
    """Ask a person inside the tool."""
    said = interrupt({"really": flight})
    really(f"confirm {flight}")
    return f"confirmed {said}"


@tool
def pay(amount: int, idempotency_key: str = "") -> dict[str, Any]:
    """Pay: the other side can tell a repetition by the key. The first tries can be made to fail."""
    really(f"pay {amount} {idempotency_key}")
    failures = os.environ.get("FAILURES", "").split()
    tries = Path(os.environ["LEDGER"]).read_text().count("pay ")
    if tries <= len(failures):
        raise {"timeout": TimeoutError, "refused": ValueError}[failures[tries - 1]]("the bank")
    return {"paid": amount}


@tool
def list_payments() -> str:
    """List what was paid."""
    return Path(os.environ["LEDGER"]).read_text()


TOOLS = [pay, book, slow_then_fast, seats, confirm]
MODEL = Scripted()
REMOTE = Remote()


def agent(state: State) -> State:
    return {"messages": [MODEL.invoke(state["messages"])]}


async def agent_later(state: State) -> State:
    return {"messages": [await MODEL.ainvoke(state["messages"])]}


def listen(state: State) -> State:
    """Has a system prompt, which stands in no state, and offers two tools."""
    return {"messages": [Attentive().bind_tools([book, seats]).invoke([SystemMessage("Be brief."), *state["messages"]])]}


def sign(state: State) -> State:
    """Has the last word, without a model."""
    return {"messages": [AIMessage("Signed.")]}


def wrap(state: State) -> State:
    """Calls an agent of its own, and hands on other words than its."""
    attentive.invoke({"messages": state["messages"]})
    return {"messages": [{"role": "assistant", "content": "Wrapped."}]}


def ponder(state: State) -> State:
    """Thinks twice, on a server."""
    return {"messages": [REMOTE.invoke(state["messages"]), REMOTE.invoke([*state["messages"], SystemMessage("Again.")])]}


def confirmed(state: State) -> State:
    """Routes by what a person said."""
    return {"said": "spent" if interrupt({"question": "Spend it?"}) == "yes" else "kept"}


def first_payment(state: State) -> State:
    """Pays, and is done."""
    return {"messages": [AIMessage(str(pay.invoke({"amount": 5})))]}


def die_once() -> None:
    """Dies where KILL names a file that isn't there yet."""
    if not Path(os.environ.get("KILL", os.devnull)).exists():
        ctypes.CDLL(None).kill(os.getpid(), signal.SIGKILL)


def think(state: State) -> State:
    """Thinks."""
    return {"messages": [REMOTE.invoke(state["messages"])]}


def ponder_twice(state: State) -> State:
    """Thinks, dies where it is to, and thinks again."""
    first = REMOTE.invoke(state["messages"])
    die_once()
    return {"messages": [first, REMOTE.invoke([*state["messages"], SystemMessage("Again.")])]}


def second_payment(state: State) -> State:
    """Pays again, and dies in between where KILL names a file that isn't there yet."""
    paid = pay.invoke({"amount": 7})
    die_once()
    return {"messages": [AIMessage(str(paid))]}


def look(state: State) -> State:
    """Reads what was paid."""
    return {"said": str(list_payments.invoke({}))}


def ask_around(state: State) -> State:
    """Has a tool that there is only while it runs."""

    @tool
    def in_a_node() -> str:
        """Answer."""
        return "here"

    return {"said": str(in_a_node.invoke({}))}


def sum_up(state: State) -> State:
    """Says what was paid, by no call."""
    return {"said": f"{state['said']}: {', '.join(one.text for one in state['messages'] if isinstance(one, AIMessage))}"}


def retrying(state: State) -> State:
    """Calls a tool itself, and once more where that times out."""
    for _ in range(2):
        try:
            return {"said": str(book.invoke({"flight": "NH 1"}))}
        except TimeoutError:
            continue
    return {"said": "gave up"}


async def patient(state: State) -> State:
    """Waits for a tool, but not for ever."""
    try:
        return {"said": str(await asyncio.wait_for(book.ainvoke({"flight": "NH 1"}), 0.05))}
    except TimeoutError:
        return {"said": "too slow"}


def more(state: State) -> str:
    return "tools" if state["messages"][-1].tool_calls else END


def plain(state: State) -> State:
    """Does nothing, unless ESCAPE names a way out."""
    way = os.environ.get("ESCAPE")
    return {"said": ESCAPES[way]()} if way else {"said": "stayed"}


def approve(state: State) -> State:
    return {"said": interrupt({"question": f"Spend {state.get('budget', 0)}?"})}


def careful(state: State) -> State:
    """Calls a tool itself and deals with its error."""
    try:
        return {"said": str(seats.invoke({"flight": "NH 1"}))}
    except OutOfSeats as error:
        return {"said": f"none left: {error}"}


def choose(state: Typed) -> Typed:
    """Puts a value of its own type into the state."""
    return {"trip": Trip("Kyoto")}


def praise(state: Typed) -> Typed:
    """Needs it to be of that type."""
    return {"said": f"{state['trip'].city} is lovely{state.get('said', '')}"}


def _typed() -> Any:
    builder = StateGraph(Typed)
    builder.add_sequence([choose, praise])
    builder.add_edge(START, "choose")
    return builder.compile()


def _loop(*before: Any, later: bool = False) -> Any:
    builder = StateGraph(State)
    builder.add_node("agent", agent_later if later else agent)
    builder.add_node("tools", ToolNode(TOOLS, handle_tool_errors=True))
    names = [node.__name__ for node in before]
    for node in before:
        builder.add_node(node.__name__, node)
    for one, following in zip([START, *names], [*names, "agent"], strict=True):
        builder.add_edge(one, following)
    builder.add_conditional_edges("agent", more, ["tools", END])
    builder.add_edge("tools", "agent")
    return builder.compile()


def _in_turn(*nodes: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence(list(nodes))
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile()


def _alone(node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node(node.__name__, node)
    builder.add_edge(START, node.__name__)
    return builder.compile()


graph = _loop()
attentive = _alone(listen)
remote = _alone(ponder)
signing = _in_turn(listen, sign)
wrapping = _in_turn(wrap)
spending = _alone(confirmed)
killed = _in_turn(first_payment, second_payment, look)
killed_pondering = _in_turn(ponder_twice)
killed_after_pondering = _in_turn(think, second_payment)
killed_and_summed_up = _in_turn(first_payment, second_payment, look, sum_up)
stubborn = _alone(retrying)
hasty = _alone(patient)
escaping = _loop(plain)
approving = _loop(approve)
handling = _loop(careful)
renamed = _loop(careful, approve)
loop = _loop(later=True)
typed = _typed()


def made() -> Any:
    """A graph from a function."""
    return _loop()


# ---- ways out


def _connect() -> str:
    with socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), timeout=5):
        return "connected"


def _swallowed() -> str:
    try:
        return _connect()
    except OSError:
        return "never mind"


def _in_a_thread() -> str:
    thread = threading.Thread(target=_swallowed)
    thread.start()
    thread.join()
    return "a thread tried"


def _run() -> str:
    return subprocess.run([sys.executable, "-c", "print('ran')"], capture_output=True, text=True, check=True).stdout


def _write() -> str:
    Path(os.environ["LEDGER"]).write_text("escaped")
    return "wrote"


def _write_database() -> str:
    connection = sqlite3.connect(os.environ["FOREIGN_DB"])
    try:
        connection.execute("DELETE FROM checkpoints")
        connection.commit()
    finally:
        connection.close()
    return "deleted"


def _signal() -> str:
    os.kill(os.getppid(), signal.SIGUSR1)
    return "signalled"


def _natively() -> str:
    """Past every audit event: straight to the C library."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    address = b"\x02\x00" + int(os.environ["PORT"]).to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    connected = libc.connect(handle, address, len(address)) == 0
    wrote = libc.open(os.environ["LEDGER"].encode(), os.O_WRONLY | os.O_TRUNC) >= 0
    signalled = libc.kill(os.getppid(), signal.SIGUSR1) == 0
    unix = libc.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0) >= 0
    return json.dumps({"connected": connected, "wrote": wrote, "signalled": signalled, "unix": unix})


def _call_in_a_thread() -> str:
    """A tool call without a recording, whose failure the thread swallows."""

    def call() -> None:
        try:
            book.invoke({"flight": "NH 99"})
        except BaseException:  # noqa: BLE001  # that is the point
            return

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return "a thread booked"


def _link() -> str:
    """Put a link where the fork's own database stands, by the C library."""
    libc, database = ctypes.CDLL(None), Path(os.environ["TMPDIR"], "thread.sqlite")
    for part in database.parent.glob("thread.sqlite*"):
        part.unlink()
    libc.symlink(os.environ["FOREIGN_DB"].encode(), bytes(database))
    return "linked"


def _remove() -> str:
    for part in Path(os.environ["TMPDIR"]).glob("thread.sqlite*"):
        part.unlink()
    return "removed"


def _leave() -> str:
    raise SystemExit(3)


def _die() -> str:
    os.write(1, b"last words")
    os._exit(7)


def _hang() -> str:
    threading.Event().wait()
    return "never"


def _every_way() -> str:
    """All of `tests.replay_escapes`."""
    return replay_escapes.attempt()


def _fill() -> str:
    """Fills the disk through scratch, with one small file after the other, each of which nobody sees any more once it is written."""
    held = []
    while True:
        held.append(Path(os.environ["HOME"], "part").open("wb"))  # noqa: SIM115  # it stays open
        held[-1].write(bytes(1 << 16))
        held[-1].flush()
        os.fsync(held[-1].fileno())
        Path(os.environ["HOME"], "part").unlink()


ESCAPES = {
    "every way": _every_way,
    "connect": _connect,
    "swallowed": _swallowed,
    "thread": _in_a_thread,
    "run": _run,
    "write": _write,
    "database": _write_database,
    "signal": _signal,
    "natively": _natively,
    "call": _call_in_a_thread,
    "die": _die,
    "leave": _leave,
    "link": _link,
    "remove": _remove,
    "hang": _hang,
    "fill": _fill,
}
