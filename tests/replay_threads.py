"""An agent in a thread that people work on: it takes a note of what they say, and sums up what it has noted."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph, add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt

from tests.replay_agents import really


class State(TypedDict, total=False):
    """What stands in the thread."""

    messages: Annotated[list[AnyMessage], add_messages]
    seen: Annotated[list[str], operator.add]


class Noting(BaseChatModel):
    """Notes what it is told, then repeats all notes and what else was said to it."""

    @property
    def _llm_type(self) -> str:
        return "noting"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Calls the tool that it knows of."""
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        said = max(number for number, one in enumerate(messages) if isinstance(one, HumanMessage))
        if said == len(messages) - 1 and messages[said].content != "nothing":
            answer = AIMessage("", tool_calls=[{"name": "note", "args": {"text": str(messages[said].content)}, "id": f"call-{said}"}])
        else:
            answer = AIMessage(" & ".join(str(one.content) for one in messages if one.content))
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def note(text: str) -> str:
    """Note something."""
    really(f"note {text}")
    return f"noted {text}"


@tool("note")
def note_strictly(text: str) -> str:
    """Note something, but not this."""
    really(f"note {text}")
    if text == "one":
        raise KeyError(text)
    return f"noted {text}"


def told(error: Exception) -> str:
    """What is made of a tool's failure."""
    return f"{error!r}, {error}"


def think(state: State) -> dict[str, Any]:
    """Ask the model."""
    return {"messages": [Noting().invoke(state["messages"])], "seen": [f"{len(state['messages'])}"]}


async def think_later(state: State) -> dict[str, Any]:
    """Ask the model."""
    return {"messages": [await Noting().ainvoke(state["messages"])], "seen": [f"{len(state['messages'])}"]}


def built(node: Any, tools: Any = None) -> Any:
    """The graph with this node for the model, and this one for the tools."""
    builder = StateGraph(State)
    builder.add_node("think", node)
    builder.add_node("tools", tools or ToolNode([note]))
    builder.add_edge(START, "think")
    builder.add_conditional_edges("think", tools_condition)
    builder.add_edge("tools", "think")
    return builder


chat = built(think).compile()
chat_later = built(think_later).compile()
strict = built(think, ToolNode([note_strictly])).compile()
lenient = built(think, ToolNode([note_strictly], handle_tool_errors=told)).compile()
sent = create_agent(Noting(), [note_strictly])
careful = built(think).compile(interrupt_before=["tools"])


@entrypoint()
def paying(given: dict[str, int], *, previous: Any = None) -> Any:
    """Ask before it pays, and what to note of it."""
    paid = given["total"] if interrupt({"pay": given["total"]}) == "yes" else None
    return entrypoint.final(value={"paid": paid, "note": interrupt({"note for": paid})}, save=paid)
