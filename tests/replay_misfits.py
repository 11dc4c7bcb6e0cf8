"""A graph and those that no longer fit its recording: a channel renamed, one gained; and a tool that the fence itself fails at."""

from __future__ import annotations

from typing import Any, TypedDict

from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph

from tests.replay_agents import really


class State(TypedDict, total=False):
    """What was recorded."""

    city: str
    said: str


class Renamed(TypedDict, total=False):
    """`city` has another name."""

    town: str
    said: str


class Unsaid(TypedDict, total=False):
    """What the node writes is gone."""

    city: str


class Gained(State, total=False):
    """One more."""

    country: str


class Odd(BaseTool):
    """A tool whose account of its own arguments fails where the fence reads it."""

    name: str = "odd"
    description: str = "Fails where it is asked what it takes."
    fails: bool = False

    def _run(self, city: str) -> str:
        really(f"odd {city}")
        return f"went to {city}"

    def _filter_injected_args(self, tool_input: dict[str, Any]) -> dict[str, Any]:
        if self.fails:
            raise RuntimeError("what it takes can't be told")
        return super()._filter_injected_args(tool_input)


def _graph(schema: Any, *, fails: bool = False) -> Any:
    def go(state: Any) -> Any:
        try:
            return {"said": Odd(fails=fails).invoke({"city": state.get("city", "nowhere")})}
        except Exception as error:  # noqa: BLE001  # an agent that swallows whatever its tools raise
            return {"said": f"swallowed {error}"}

    builder = StateGraph(schema)
    builder.add_node("go", go)
    builder.add_edge(START, "go")
    builder.add_edge("go", END)
    return builder.compile()


recorded, renamed, unsaid, gained = map(_graph, (State, Renamed, Unsaid, Gained))
failing = _graph(State, fails=True)


def around(inner: Any) -> Any:
    """A graph with this one inside."""
    builder = StateGraph(State)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    return builder.compile()
