"""The LangChain messages inside what a task wrote: which there are, and which a model itself made."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model import Json, Message, ToolCall, canonical
from workbench.reading.messages import ROLES, fields_of, tool_call_of
from workbench.semconv import LANGCHAINS_OWN

MAX_NESTING = 6


def messages_in(value: Json, depth: int = 0) -> Iterator[dict[str, Json]]:
    """The messages in a value that was written to a channel: itself, in a list, or in the fields of a returned state."""
    if is_message(value):
        yield value
    elif depth < MAX_NESTING and isinstance(value, list):
        for item in value:
            yield from messages_in(item, depth + 1)
    elif depth < MAX_NESTING and isinstance(value, dict) and "$type" not in value:
        for item in value.values():
            yield from messages_in(item, depth + 1)


def is_message(value: Json) -> bool:
    """Whether a value is a LangChain message, by its type and content."""
    return isinstance(value, dict) and "content" in value and value.get("type") in ROLES


def spoken_in(value: Json, *, bare: bool = False) -> Iterator[dict[str, Json]]:
    """The messages of an input, also in the short forms `["user", "hello"]`, `{"role": "user", "content": "hello"}` and, if `bare`, `"hello"`."""
    if bare and isinstance(value, str):
        yield {"type": "human", "content": value}
    elif (fields := fields_of(value)) is not None and "content" in fields:
        yield fields
    elif isinstance(value, list):
        for item in value:
            yield from spoken_in(item, bare=bare)


def by_model(raw: dict[str, Json]) -> bool:
    """Whether a model made this message, rather than code that put text into one: only the former has an id of its run, usage or calls."""
    if raw.get("type") != "ai":
        return False
    return bool(str(raw.get("id") or "").startswith(LANGCHAINS_OWN) or raw.get("usage_metadata") or raw.get("response_metadata") or raw.get("tool_calls"))


def model_of(raw: dict[str, Json]) -> str | None:
    """The model's name as its provider reported it."""
    metadata = raw.get("response_metadata")
    named = (metadata.get(key) for key in ("model_name", "model", "model_id")) if isinstance(metadata, dict) else ()
    return next((name for name in named if isinstance(name, str) and name), None)


def asked_of(packet: Json) -> ToolCall | None:
    """The one call a tool node was sent to make: `[{"name": …, "args": …}]`, with the state around it, or alone under a key. None for any other packet."""
    around = packet.get("tool_call") if isinstance(packet, dict) else None
    alone = list(packet.values() if isinstance(packet, dict) else packet) if isinstance(packet, dict | list) and len(packet) == 1 else [None]
    inner = around or alone[0]
    return tool_call_of(inner) if isinstance(inner, dict) and "args" in inner else None


def calls_of(raw: dict[str, Json]) -> list[str]:
    """The ids of the calls that a message asks for. Some models number them anew in each answer, so that an id may be asked for again."""
    return [str(call["id"]) for call in raw.get("tool_calls") or () if isinstance(call, dict) and call.get("id")]


def signature(raw: dict[str, Json]) -> str:
    """What makes two messages without ids the same: type, content, the calls they ask for and the call they answer."""
    calls = [call.get("id") for call in raw.get("tool_calls") or () if isinstance(call, dict)]
    return canonical([raw.get("type"), raw.get("content"), raw.get("tool_call_id"), calls])


def says_nothing(message: Message | None) -> bool:
    """Whether a span recorded nothing of a model's answer: then any answer of its task may be that one."""
    return message is None or not (message.content or message.tool_calls)


def same_answer(one: Message | None, other: Message) -> bool:
    """Whether two records of a model's answer are of the same answer: they ask for the same calls, or say the same."""
    if one is None:
        return False
    ids = {call.call_id for call in one.tool_calls if call.call_id} & {call.call_id for call in other.tool_calls if call.call_id}
    return bool(ids) or (bool(one.content) and one.content.strip() == other.content.strip() and len(one.tool_calls) == len(other.tool_calls))
