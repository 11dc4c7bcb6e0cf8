"""A value that comes from a recording has tuples where the graph's schema names them, or where code that runs writes them, and nowhere else."""

from __future__ import annotations

import collections
import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypedDict

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph

from workbench.replay.fence.overlay import serializer_of
from workbench.replay.fence.tuples import Shape


class Place(TypedDict):
    """A TypedDict within others."""

    at: NotRequired[tuple[float, float]]
    names: list[str]


class Tree(TypedDict, total=False):
    """One that holds its like."""

    pair: tuple[int, int]
    below: list[Tree]


HINTS: list[tuple[Any, Any]] = [
    (tuple[int, ...], (1, 2)),
    (list[tuple[str, int]], [("a", 1), ("b", 2)]),
    (Annotated[list[tuple[str, int]], operator.add], [("a", 1)]),
    (Sequence[tuple[str, int]], [("a", 1)]),
    (dict[str, tuple[int, int]], {"a": (1, 2)}),
    (Mapping[str, list[tuple[int, int]]], {"a": [(1, 2)]}),
    (tuple[int, tuple[int, int]] | None, (1, (2, 3))),
    (list[Place], [{"at": (1.0, 2.0), "names": ["a"]}]),
    (Tree, {"pair": (1, 2), "below": [{"pair": [3, 4]}]}),
    (list, [["a", 1]]),
    (list[Any], [["a", 1]]),
    (list[list[int]], [[1, 2]]),
    (list[list[int] | tuple[int, int]], [[1, 2]]),
    (Any, [["a", 1]]),
]


def read(value: Any) -> Any:
    """A value as a checkpoint keeps it."""
    serde = JsonPlusSerializer(allowed_msgpack_modules=())
    return serde.loads_typed(serde.dumps_typed(value))


@pytest.mark.parametrize(("hint", "value"), HINTS, ids=str)
def test_as_the_schema_names_them(hint: Any, value: Any) -> None:
    """A checkpoint's list is a tuple where the type says nothing else."""
    assert Shape().hint(hint).given(read(value)) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ([("a", 1)], [("b", 2)]),
        ({"a": ("x", 1)}, {"b": ("y", 2)}),
        ([("a", [1])], [("b", [2])]),
        ([{"at": (1, 2), "names": []}], [{"at": (3, 4)}]),
        (("a", 1), ("b", 2)),
        ([("a", 1), ["c", 3]], [["b", 2]]),
        ({"at": (1, 2), "names": ["a"]}, {"at": (3, 4), "size": [5]}),
        (["a"], [["b"]]),
        ("a", ["b"]),
    ],
    ids=str,
)
def test_as_code_writes_them(written: Any, value: Any) -> None:
    """A list is a tuple where all that code wrote at its place is; under one key of a mapping as under another. Where code wrote both, it stays a list."""
    shape = Shape()
    shape.learn(written)
    assert shape.given(read(value)) == value


def test_what_holds_none_is_the_same_value() -> None:
    """Nothing is made anew that need not be."""
    value = [{"a": [1, [2]]}, collections.deque([1])]
    shape = Shape()
    shape.learn([{"a": [1, [2]]}])
    assert shape.given(value) is value


def test_that_a_state_refers_to_itself_is_no_harm() -> None:
    """It is looked into so far and no further."""
    value: list[Any] = []
    value.append(value)
    Shape().learn(value)


def test_of_a_checkpoint_alone() -> None:
    """A checkpoint's channels have their tuples; a value that is read by itself is nobody's channel."""

    class State(TypedDict):
        named: list[tuple[str, int]]

    builder = StateGraph(State)
    builder.add_node("node", lambda _: {})
    builder.add_edge(START, "node")
    serializer = serializer_of(builder.compile())
    checkpoint = {"channel_values": {"named": [("a", 1)], "other": [("a", 1)]}, "channel_versions": {}}
    found = serializer.loads_typed(serializer.dumps_typed(checkpoint))
    assert found["channel_values"] == {"named": [("a", 1)], "other": [["a", 1]]}
    assert serializer.loads_typed(serializer.dumps_typed({"named": [("a", 1)]})) == {"named": [["a", 1]]}
