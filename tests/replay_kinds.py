"""Agents whose plain nodes call tools, models and retrievers by themselves, and get back values of many types."""

from __future__ import annotations

import datetime as dt
import enum
import random
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, TypedDict

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from tests.replay_agents import Attentive, Remote


class Grade(enum.Enum):
    """How good something is."""

    LOW = "low"
    HIGH = "high"


@dataclass
class Price:
    """What something costs."""

    amount: Decimal
    grade: Grade = Grade.LOW


class Point(NamedTuple):
    """What LangGraph writes down by its name, and the schema does not name."""

    x: int
    label: str


def union(left: set[Any] | None, right: set[Any]) -> set[Any]:
    return (left or set()) | right


class State(TypedDict, total=False):
    """What was asked for, and what came of it."""

    asked: str
    said: Any
    kept: Any
    later: Any
    tags: Annotated[set[Any], union]
    parts: Annotated[list[Any], lambda left, right: [*(left or []), *right]]


DEEP = 150
"""More than a stored value is looked into."""
VALUES: dict[str, Any] = {
    "float": 1.25,
    "int": 3,
    "none": None,
    "bool": True,
    "list": [1, 2.5, "x"],
    "tuple": (1, (2,)),
    "decimal": Decimal("1.10"),
    "date": dt.date(2026, 1, 2),
    "digits": "12",
    "text": '{"a": 1}',
    "keys": {1: "x"},
    "marks": {"$tuple": [1]},
    "set": {"a", "b"},
    "bytes": b"ab",
    "nan": float("nan"),
    "large": 10**25,
    "own": Price(Decimal("2.50"), Grade.HIGH),
}


@tool
def rate(kind: str) -> Any:
    """Look a rate up."""
    return VALUES[kind]


@tool
def count(tags: set[str]) -> int:
    """Count tags."""
    return len(tags)


@tool(response_format="content_and_artifact")
def shoot(number: int) -> tuple[str, dict[str, Any]]:
    """Take a picture."""
    return f"picture {number}", {"raw": b"\x00\x01", "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "number": number}


@tool
def lock(name: str) -> Any:
    """Get a lock."""
    return {"name": name, "lock": threading.Lock()}


class Shelf(BaseRetriever):
    """Documents with ids, as vector stores return them."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(f"{query} {number}", id=f"d{number}", metadata={"at": dt.date(2026, 1, 2), "page": number}) for number in range(2)]


model: Runnable[Any, AIMessage] = Attentive()
remote: Runnable[Any, AIMessage] = Remote()


def shown(value: Any) -> str:
    """A value with its type; a set in one order."""
    return f"{type(value).__name__} {sorted(value) if isinstance(value, set) else value!r}"


def rates(state: State) -> State:
    return {"said": {kind: shown(rate.invoke({"kind": kind})) for kind in VALUES}}


def changed(state: State) -> State:
    """Asks for something that a fork changes, then for the rest."""
    return {"kept": rate.invoke({"kind": "digits"})}


def counted(state: State) -> State:
    return {"said": count.invoke({"tags": {"alpha", "beta", "gamma", "delta"}}) / 2}


def pictured(state: State) -> State:
    came = shoot.invoke({"name": "shoot", "args": {"number": 3}, "id": "call", "type": "tool_call"})
    return {"said": [came.content, came.artifact, shown(came.artifact["raw"])]}


def locked(state: State) -> State:
    return {"said": lock.invoke({"name": "door"})["name"]} if state.get("kept") else {}


def drawn(state: State) -> State:
    """Differs by chance from run to run, beside what a model says."""
    said = model.invoke([HumanMessage("draw")]).text
    return {"said": f"{said} {random.getrandbits(32)}"}


def metered(state: State) -> State:
    """Looks at what a model's answer took."""
    took = remote.invoke([HumanMessage("how much")]).usage_metadata
    return {"said": took and took["total_tokens"]}


def told(state: State) -> State:
    """Tells a model of what was said."""
    return {"later": model.invoke([HumanMessage(f"about {state['said']}")]).text}


def sent(state: State) -> list[Send]:
    return [Send("part", {"asked": Decimal(f"1.{number}")}) for number in range(2)]


def part(state: State) -> State:
    return {"parts": [shown(state["asked"]), model.invoke([HumanMessage("part")]).text]}


def tagged(state: State) -> State:
    return {"tags": {"alpha", "beta", "gamma", "delta", Grade.HIGH.value}}


def used(state: State) -> State:
    return {"said": ",".join(sorted(state["tags"]))}


def pointed(state: State) -> State:
    return {"kept": [Point(1, "here")]}


def nested(state: State) -> State:
    kept: list[Any] = []
    for _ in range(DEEP):
        kept = [kept]
    return {"kept": kept}


def retrieved(state: State) -> State:
    return {"kept": Shelf().invoke("tea")}


def cited(state: State) -> State:
    return {"said": [f"{one.id} {shown(one.metadata['at'])}" for one in state["kept"]]}


def _built(*nodes: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence(list(nodes))
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile()


rating, rating_after, counting, picturing = _built(rates), _built(changed, rates), _built(counted), _built(pictured)
picturing_after, drawing, tagging = _built(changed, pictured), _built(drawn, told), _built(tagged, used)


@task
def think(asked: str) -> str:
    """Differs by chance, as what it is called by does."""
    return f"{model.invoke([HumanMessage(asked)]).text} {random.getrandbits(32)}"


@entrypoint()
def flowing(state: State, *, previous: Any = None) -> dict[str, Any]:
    said = think(state["asked"]).result()
    return {"said": model.invoke([HumanMessage(f"about {said}")]).text, "drawn": random.getrandbits(32)}


def _sending() -> Any:
    builder = StateGraph(State)
    builder.add_node(part)
    builder.add_conditional_edges(START, sent, ["part"])
    return builder.compile()


sending = _sending()
nesting = _built(nested)
locking, pointing, metering_after = _built(changed, locked), _built(pointed), _built(changed, metered)
citing, citing_after = _built(retrieved, cited), _built(changed, retrieved, cited)
