"""Messages are replaced and removed by their ids, and LangGraph makes up an id for each message that has none: another one in each re-run.

What stands for a node's code says which message it means by the id of the recording. So beside such writes it is kept which messages the node saw,
by their ids in order; the same messages stand at the same places in a re-run that is on course, under the ids that they have there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.types import Command

from workbench.model import Json

REMOVE, EVERYTHING = "remove", "__remove_all__"
Ids = Mapping[str, Sequence[str | None]]
"""Of each channel of messages, their ids in order."""


class Mentions:
    """Tells which recorded writes mean messages that stood in the state before, read in the order in which they were written."""

    def __init__(self) -> None:
        self._written: set[str] = set()

    def earlier(self, value: Json) -> bool:
        """Whether a write replaces or removes a message, going by its id: one written before, or one that only LangGraph can have given it."""
        found = list(_messages(value))
        ids = {str(one["id"]) for one in found if one.get("id")}
        again, self._written = ids & self._written, self._written | ids
        if any(one.get("type") == REMOVE and one.get("id") == EVERYTHING for one in found):
            return False  # what follows is written anew, ids and all
        return bool(again) or any(one.get("id") and one.get("type") != "ai" for one in found)


def ids_in(state: Mapping[str, Json], channels: Iterable[str]) -> dict[str, list[str | None]]:
    """The ids of the messages in these channels of a decoded state."""
    return {name: [one.get("id") for one in _messages(state.get(name))] for name in channels}


def _messages(value: Json) -> Iterator[dict[str, Json]]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and "type" in one and ("content" in one or one["type"] == REMOVE):
            yield one


def renamed(writes: Sequence[tuple[str, Any]], recorded: Ids, now: Callable[[str], Any]) -> list[tuple[str, Any]]:
    """Recorded writes with the ids that the messages they mean have in this re-run. `now` gives the value of a channel as the node sees it."""
    return [(channel, _renamed(value, _mapping(recorded[channel], now(channel))) if channel in recorded else value) for channel, value in writes]


def unmatched(writes: Sequence[tuple[str, Any]], recorded: Ids, now: Callable[[str], Any]) -> list[str]:
    """The channels in which such writes mean a message, by its recorded id, that can't be told from others in this re-run."""
    return [
        channel for channel, value in writes if channel in recorded and _ids(value) & {*recorded[channel]} - _mapping(recorded[channel], now(channel)).keys()
    ]


def _ids(value: Any) -> set[str | None]:
    """The ids of the messages in a value."""
    if isinstance(value, list):
        return set[str | None]().union(*map(_ids, value))
    return {value.id} if isinstance(value, BaseMessage) and value.id else set()


def _mapping(recorded: Sequence[str | None], now: Any) -> dict[str, str]:
    messages = [one for one in now if isinstance(one, BaseMessage)] if isinstance(now, list) else []
    if len(messages) != len(recorded):
        return {}
    return {was: one.id for was, one in zip(recorded, messages, strict=True) if was and one.id}


def aligned(command: Command[Any], now: Callable[[str], Any]) -> Command[Any]:
    """A recorded Command of a tool's, with the messages it hands on under the ids that the same messages have in this re-run's state."""
    if not isinstance(command.update, dict):
        return command
    update = {channel: _aligned(value, _standing(now, channel)) if _holds_ids(value) else value for channel, value in command.update.items()}
    return replace(command, update=update)


def _holds_ids(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, BaseMessage) and one.id for one in value)


def _standing(now: Callable[[str], Any], channel: str) -> list[BaseMessage]:
    """The messages of a channel; none of one that only the graph around has."""
    with suppress(KeyError):
        found = now(channel)
        return [one for one in found if isinstance(one, BaseMessage) and one.id] if isinstance(found, list) else []
    return []


def _aligned(value: list[Any], standing: list[BaseMessage]) -> list[Any]:
    known, found = {one.id for one in standing}, list(value)
    for number, one in enumerate(value):
        same = next((other for other in standing if _says(other) == _says(one)), None) if isinstance(one, BaseMessage) and one.id not in known else None
        if same is not None:
            standing.remove(same)
            found[number] = one.model_copy(update={"id": same.id})
    return found


def _says(message: BaseMessage) -> tuple[Any, ...]:
    return message.type, message.content, getattr(message, "tool_calls", None), getattr(message, "tool_call_id", None)


def _renamed(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(one, ids) for one in value]
    if isinstance(value, BaseMessage) and value.id and value.id in ids:
        return value.model_copy(update={"id": ids[value.id]})
    return value
