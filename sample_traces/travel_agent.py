"""The travel agent: plan → look up fares and visa in parallel → think ↔ act, with a person's approval before a flight is booked.

`graph` has no checkpointer; give it one with `graph.copy(update={"checkpointer": saver})`. What happens depends only on what the user asks
and on what the travel API answers, so one graph serves every recorded incident.
"""

from __future__ import annotations

import json
import operator
from typing import Annotated, Any, Literal, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langgraph.graph import START, StateGraph, add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send, interrupt

from sample_traces.script import ASSESS, DESK, PLAN
from sample_traces.scripted_chat import ScriptedChat
from sample_traces.travel_tools import DESKS, check_visa, search_fare

NEEDS_APPROVAL = "book_flight"
WINDOW = {"mail": 8}
"""Mail threads grow long, so that desk reads the newest messages only: pairs of a thought and its result, hence an even number."""
MODEL = ScriptedChat()


class Trip(TypedDict, total=False):
    """State of the agent. `approved` names the acts a person has said yes to, so that nobody is asked twice for the same act."""

    messages: Annotated[list[AnyMessage], add_messages]
    plan: dict[str, Any]
    facts: Annotated[list[str], operator.add]
    approved: Annotated[list[str], operator.add]


class Quote(TypedDict, total=False):
    """State of the subgraph that quotes one airline."""

    wanted: dict[str, str]
    fare: dict[str, Any]
    facts: Annotated[list[str], operator.add]


class Wanted(TypedDict):
    """What the visa branch is sent."""

    passport: str
    country: str


class Facts(TypedDict):
    """What a look-up hands back to the agent."""

    facts: Annotated[list[str], operator.add]


def plan(state: Trip) -> Trip:
    """Ask the model which desk the request is for and what to look up first."""
    request = next(message for message in reversed(state["messages"]) if isinstance(message, HumanMessage))
    return {"plan": json.loads(MODEL.invoke([SystemMessage(PLAN), request]).text)}


def fan_out(state: Trip) -> list[Send] | Literal["agent"]:
    """One branch for each airline and one for the visa; straight to the agent when there is nothing to look up."""
    branches = [Send("quote", {"wanted": wanted}) for wanted in state["plan"].get("quotes", [])]
    if visa := state["plan"].get("visa"):
        branches.append(Send("visa", visa))
    return branches or "agent"


def look_up_fare(state: Quote) -> Quote:
    """The airline's fare, from the travel API."""
    return {"fare": json.loads(search_fare.invoke(state["wanted"]))}


def assess_fare(state: Quote) -> Quote:
    """The model's one line about the fare."""
    return {"facts": [MODEL.invoke([SystemMessage(ASSESS), HumanMessage(json.dumps(state["fare"]))]).text]}


def visa(state: Wanted) -> Facts:
    """Whether the traveller needs a visa."""
    found = json.loads(check_visa.invoke({**state}))
    return {"facts": [f"Visa for {found['country']}: {found['visa']}"]}


def agent(state: Trip) -> Trip:
    """One thought: an answer, or tools to call."""
    desk = state["plan"]["desk"]
    instructions = SystemMessage("\n".join([DESK.format(desk=desk), *state.get("facts", [])]))
    return {"messages": [MODEL.bind_tools(DESKS.get(desk, [])).invoke([instructions, *recall(desk, state["messages"])])]}


def recall(desk: str, messages: list[AnyMessage]) -> list[AnyMessage]:
    """What a thought gets to read: everything, or where a desk has a window, the last request and the newest messages since."""
    if desk not in WINDOW:
        return messages
    asked = max(number for number, message in enumerate(messages) if isinstance(message, HumanMessage))
    return [messages[asked], *messages[asked + 1 :][-WINDOW[desk] :]]


def act_of(call: ToolCall) -> str:
    """What a person approves: the tool and its arguments."""
    return f"{call['name']} {json.dumps(call['args'], sort_keys=True)}"


def unapproved(state: Trip) -> list[ToolCall]:
    """The asked-for bookings that nobody has said yes to."""
    last = state["messages"][-1]
    calls = last.tool_calls if isinstance(last, AIMessage) else []
    return [call for call in calls if call["name"] == NEEDS_APPROVAL and act_of(call) not in state.get("approved", [])]


def after_thought(state: Trip) -> Literal["approval", "tools", "__end__"]:
    """To the person who approves, to the tools, or done."""
    last = state["messages"][-1]
    if not isinstance(last, AIMessage) or not last.tool_calls:
        return "__end__"
    return "approval" if unapproved(state) else "tools"


def approval(state: Trip) -> Trip:
    """Stop and ask a person. A yes is remembered for this very act; anything else declines it."""
    call = unapproved(state)[0]
    flight, date, fare = (call["args"][name] for name in ("flight", "date", "fare_usd"))
    said = interrupt({"question": f"Book {flight} on {date} for {fare} USD?", "tool": call["name"], "arguments": call["args"]})
    if said == "yes":
        return {"approved": [act_of(call)]}
    last = state["messages"][-1]
    declined = [call["id"] for call in last.tool_calls] if isinstance(last, AIMessage) else []
    return {"messages": [ToolMessage("declined by the traveller", tool_call_id=call_id, status="error") for call_id in declined]}


def after_approval(state: Trip) -> Literal["approval", "tools", "agent"]:
    """Go on with the approved call, ask for the next one, or think again."""
    if not isinstance(state["messages"][-1], AIMessage):
        return "agent"
    return "approval" if unapproved(state) else "tools"


def say_error(error: Exception) -> str:
    """How a failed tool tells the model: the error's type and message."""
    return f"{type(error).__name__}: {error}"


def quoting() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The subgraph that quotes one airline: look up, then assess."""
    builder = StateGraph(Quote, output_schema=Facts)
    builder.add_sequence([look_up_fare, assess_fare])
    builder.add_edge(START, "look_up_fare")
    return builder.compile(name="quote")


def travelling() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The whole agent."""
    builder = StateGraph(Trip)
    builder.add_node("plan", plan)
    builder.add_node("quote", quoting())
    builder.add_node("visa", visa, input_schema=Wanted)
    builder.add_node("agent", agent)
    builder.add_node("approval", approval)
    builder.add_node("tools", ToolNode([tool for tools in DESKS.values() for tool in tools], handle_tool_errors=say_error))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", fan_out, ["quote", "visa", "agent"])
    for node_name in ("quote", "visa", "tools"):
        builder.add_edge(node_name, "agent")
    builder.add_conditional_edges("agent", after_thought)
    builder.add_conditional_edges("approval", after_approval)
    return builder.compile(name="travel-agent")


graph = travelling()
