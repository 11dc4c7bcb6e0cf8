"""A state given by hand is made what the graph's schema names, or refused in our words."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from workbench.replay.fence.graphs import GraphError
from workbench.replay.fence.overlay import _fitting


class Colour(Enum):
    """One of few."""

    RED = "red"


@dataclass
class Trip:
    """The user's own."""

    city: str


class Booking(BaseModel):
    """The user's own, checked."""

    seats: int


class State(TypedDict, total=False):
    """Channels of many types."""

    history: list[BaseMessage]
    heard: Sequence[AnyMessage]
    last: AnyMessage
    names: Annotated[list[str], operator.add]
    count: int | None
    mode: Literal["fast", "slow"]
    colour: Colour
    day: date
    trips: list[Trip]
    booking: Booking
    found: list[Document]
    anything: Any
    seen: set[str]
    share: float


def channel(name: str) -> Any:
    """A channel of a graph with that state."""
    builder = StateGraph(State)
    builder.add_node("node", lambda _: {})
    builder.add_edge(START, "node")
    return builder.compile().channels[name]


@pytest.mark.parametrize(
    ("name", "given", "held"),
    [
        ("history", [{"role": "user", "content": "hi"}], [HumanMessage("hi")]),
        ("heard", [["user", "hi"]], [HumanMessage("hi")]),
        ("last", {"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}),
        ("names", ["a"], ["a"]),
        ("count", None, None),
        ("mode", "slow", "slow"),
        ("colour", "red", Colour.RED),
        ("day", "2026-11-23", date(2026, 11, 23)),
        ("trips", [{"city": "Nara"}], [Trip("Nara")]),
        ("booking", {"seats": 1}, Booking(seats=1)),
        ("found", [{"page_content": "text"}], [Document("text")]),
        ("anything", [{"a": 1}], [{"a": 1}]),
        ("seen", ["a"], {"a"}),
        ("share", 1, 1.0),
    ],
)
def test_what_fits(name: str, given: Any, held: Any) -> None:
    """What stands in JSON for a type of the schema becomes a value of it."""
    assert _fitting(channel(name), name, given, None) == held


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("history", [5], "should be a list of messages such as .*, and holds 5"),
        ("names", "a", r"should be list\[str\], and is \"a\""),
        ("names", ["a", 1], r"should be list\[str\], and is .*: see \[1\]"),
        ("count", "1", r"should be int \| None, and is \"1\""),
        ("mode", "middling", r"should be Literal\['fast', 'slow'\], and is \"middling\""),
        ("trips", [{"city": "Nara"}, {"town": "Uji"}], r"should be list\[Trip\], and is .*: see \[1\]"),
        ("booking", {"seats": "many"}, r"should be Booking, and is .*: see \['seats'\]"),
        ("share", "1", "should be float"),
    ],
)
def test_what_does_not_fit(name: str, given: Any, says: str) -> None:
    """What is of another type is refused by the channel's name, its type, the value, and where in it."""
    with pytest.raises(GraphError, match=f"the channel '{name}' {says}"):
        _fitting(channel(name), name, given, None)


def test_a_schema_that_code_does_not_keep_to() -> None:
    """Where what was recorded is of another type than the schema names, the schema refuses nothing."""
    assert _fitting(channel("count"), "count", "2", before="1") == "2"
