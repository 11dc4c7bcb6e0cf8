"""An agent whose tools take what the graph injects. What they do for real, and with what, is written to the file that LEDGER names."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.channels import UntrackedValue
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt

from tests.replay_agents import MODEL, more, really


@dataclass
class Trip:
    """A value of the user's own type."""

    city: str


class Frame:
    """A result that nobody can write down."""

    def __str__(self) -> str:
        return "a frame"


class State(TypedDict, total=False):
    """What the tools are handed."""

    messages: Annotated[list[AnyMessage], add_messages]
    trip: Trip
    lock: Annotated[Any, UntrackedValue]
    city: str


@tool
def visa(country: str, trip: Annotated[Trip, InjectedState("trip")], call: Annotated[str, InjectedToolCallId]) -> dict[str, str]:
    """Takes a value of the user's own type, and the id of its call."""
    really(f"visa {country} {type(trip).__name__} {trip.city} {call}")
    return {"country": country, "city": trip.city}


@tool
def tell(name: str, runtime: ToolRuntime) -> str:
    """Takes the runtime: state, config and call id; what it streams is not heard."""
    runtime.stream_writer("telling")
    user = (runtime.config.get("configurable") or {}).get("user")
    really(f"tell {name} {user} {len(runtime.state['messages'])} {runtime.state['trip'].city} {runtime.tool_call_id}")
    return "told"


@tool
async def quiet(name: str, config: RunnableConfig) -> str:
    """Takes the config, and runs asynchronously alone."""
    really(f"quiet {name} {(config.get('configurable') or {}).get('user')} {str(config['metadata'].get('idempotency_key', 'wb-'))[:3]}")
    return "kept"


@tool
def move(city: str, state: Annotated[dict[str, Any], InjectedState], call: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Writes to the state, the user's own type among it."""
    really(f"move {city} from {state['trip'].city}")
    return Command(update={"trip": Trip(city), "city": city, "messages": [ToolMessage(f"moved to {city}", tool_call_id=call)]})


@tool(response_format="content_and_artifact")
def chart(city: str, trip: Annotated[Trip, InjectedState("trip")]) -> tuple[str, Trip]:
    """Returns an artifact of the user's own type."""
    really(f"chart {city} {trip.city}")
    return f"chart of {city}", Trip(city)


@tool
def table(city: str) -> Frame:
    """Returns what can't be written down."""
    really(f"table {city}")
    return Frame()


@tool
def keep(city: str, store: Annotated[BaseStore, InjectedStore]) -> str:
    """Takes the store."""
    really(f"keep {city}")
    return "kept"


@tool
def recall(city: str, runtime: ToolRuntime) -> str:
    """Takes the store out of the runtime."""
    really(f"recall {city}")
    return str(runtime.store and runtime.store.get(("cities",), city))


@tool
def lend(city: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Takes all of the state, with what can't be written down."""
    really(f"lend {city} {len(state)}")
    return "lent"


@tool
def sure(city: str) -> str:
    """Asks a person where it is done for real."""
    if city == "nowhere":
        interrupt(city)
    really(f"sure {city}")
    return "sure"


@tool
def afford(item: str, city: Annotated[str, InjectedState("city")]) -> str:
    """Reads one field of the state."""
    really(f"afford {item}")
    return f"{item} in {city}"


@tool
def rank(item: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Hands the state to a function that reads one field of it."""
    really(f"rank {item}")
    return _ranked(item, state)


def _ranked(item: str, state: dict[str, Any]) -> str:
    return f"{item} in {state['city']}"


@tool
def weigh(item: str, runtime: ToolRuntime) -> str:
    """Reads one field of the state by the runtime."""
    really(f"weigh {item}")
    return f"{item} from {runtime.state['trip'].city}"


@tool
def name_it(item: str, runtime: ToolRuntime) -> str:
    """Takes the runtime, and does not look at the state."""
    really(f"name {item}")
    return f"{item}: {runtime.tool_call_id}"


def prepare(state: State) -> State:
    return {"trip": Trip("Kyoto"), "lock": threading.Lock()}


def free(state: State) -> State:
    return {"trip": Trip("Kyoto")}


def agent(state: State) -> State:
    return {"messages": [MODEL.invoke(state["messages"])]}


def _graph(first: Any, tools: list[Any], **options: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("first", first)
    builder.add_node("agent", agent)
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "first")
    builder.add_edge("first", "agent")
    builder.add_conditional_edges("agent", more, ["tools", END])
    builder.add_edge("tools", "agent")
    return builder.compile(**options)


def put(state: State, runtime: Runtime) -> State:
    runtime.store.put(("cities",), "Ada", {"city": "Nara"})
    return {"city": "Kyoto"}


def fetch(state: State, runtime: Runtime) -> State:
    found = runtime.store.get(("cities",), "Ada")
    return {"city": f"{state['city']} or {found.value['city'] if found else 'nowhere'}"}


def remind(state: State, runtime: Runtime) -> State:
    """Tells the model what is in the store."""
    found = runtime.store.get(("cities",), "Ada")
    known = HumanMessage(f"Ada lives in {found.value['city'] if found else 'no place'}.")
    return {"messages": [MODEL.invoke([*state["messages"], known])]}


def _shelved(reads: Any = fetch) -> Any:
    builder = StateGraph(State)
    builder.add_node("put", put)
    builder.add_node("fetch", reads)
    builder.add_edge(START, "put")
    builder.add_edge("put", "fetch")
    return builder.compile(store=InMemoryStore())


shelved, remembering = _shelved(), _shelved(remind)
unshelved = _graph(free, [keep, afford])
crossing = _graph(free, [visa, tell, quiet, move, chart, table])
staying = _graph(prepare, [keep, recall, lend, sure], store=InMemoryStore())
reading = _graph(free, [afford, rank, weigh, name_it])
