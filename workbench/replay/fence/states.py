"""Whether a tool that reads the state finds there what the recorded call found: its answer was made of that, and none of its arguments tells of it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool
from langgraph.channels import UntrackedValue
from langgraph.channels.base import BaseChannel
from langgraph.prebuilt import ToolRuntime
from langgraph.prebuilt.tool_node import _get_all_injected_args
from langgraph.pregel import Pregel
from pydantic import BaseModel

from workbench.model import Json, canonical
from workbench.normalise.recorded import is_message
from workbench.reading.messages import messages_of
from workbench.replay.fence.graphs import inner_graphs
from workbench.replay.fence.injected import looked_up_in, named_in
from workbench.replay.recording.cassette import canonical_messages

if TYPE_CHECKING:
    from workbench.replay.fence.playback import Playback

STATE = "the run's state"


def read_otherwise(now: Playback, tool: BaseTool, given: Any, step: int) -> str:
    """What a call reads that was otherwise when that of a recorded step was made, in words; empty where nothing was.

    Only looked into off the recorded course: on it, the state is as it was.
    """
    if now.on_course or now.reach.crossing is None:
        return ""
    read, sought = _read(tool, given)
    if not read and not sought:
        return ""
    then = now.reach.state_then(step, {*read, *sought})
    if then is None:
        return f"{STATE}, and what that held then is not known"
    crossing, plain = now.reach.crossing, now.tape.scrubber.plain
    was = {name: canonical(plain(_meant(value))) for name, value in then.items()}
    held = {name: canonical(plain(_meant(crossing.shown(value)))) for name, value in read.items() if now.parts.get(name, True)}
    known = (sought & (was.keys() | held.keys() | now.parts.keys()) or held.keys()) & (was.keys() | held.keys())
    others = sorted(name for name in known if was.get(name) != held.get(name))
    return f"{STATE}, of which {', '.join(others)} held another value then" if others else ""


def parts_of(graph: Pregel[Any, Any, Any, Any]) -> dict[str, bool]:
    """The parts of a graph's state, and of its subgraphs', and whether checkpoints hold them: not what LangGraph works out itself, or what is untracked."""
    every = (part for one in (graph, *inner_graphs(graph).values()) for part in one.channels.items())
    return {name: isinstance(channel, BaseChannel) and not isinstance(channel, UntrackedValue) for name, channel in every}


def _read(tool: BaseTool, given: Any) -> tuple[dict[str, Any], set[str]]:
    """What of the state a call is handed, by channel, and the channels that it looks for there: those its code names, as far as that can be told."""
    fields_of = _get_all_injected_args(tool).state
    handed: dict[str, Any] = {}
    sought: set[str] = set()
    for name, value in given.items() if isinstance(given, dict) else ():
        if field := fields_of.get(name):
            handed[field] = value
            sought.add(field)
        elif name in fields_of:
            handed |= _channels(value)
            sought |= _named(tool, value)
        elif isinstance(value, ToolRuntime) and "state" in named_in(tool):
            handed |= _channels(value.state)
            sought |= _named(tool, value.state)
    return handed, sought


def _channels(state: Any) -> dict[str, Any]:
    """A state by its channels, whatever it is made of."""
    if isinstance(state, dict | BaseModel):
        return dict(state)
    return {one.name: getattr(state, one.name) for one in fields(state)} if is_dataclass(state) else {"__root__": state}


def _named(tool: BaseTool, state: Any) -> frozenset[str]:
    """The names by which a tool may look into such a state."""
    return looked_up_in(tool) if isinstance(state, dict) else looked_up_in(tool) | named_in(tool)


def _meant(value: Json) -> Json:
    """A value with what was said in place of each message: the ids of messages say nothing."""
    if is_message(value) and (messages := messages_of(value)):
        return canonical_messages(messages)
    if isinstance(value, dict):
        return {key: _meant(one) for key, one in value.items()}
    return [_meant(one) for one in value] if isinstance(value, list) else value
