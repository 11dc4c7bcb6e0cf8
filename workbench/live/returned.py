"""What a call returned, written down with its types, which the text in its span can't tell: `1.25` may have been a number or a text."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

from workbench.reading import kinds
from workbench.reading.serde import UndecodedError

_serializer = JsonPlusSerializer(pickle_fallback=False)


def written(returned: Any) -> dict[str, str | bool]:
    """The attributes that tell of it: its value, the type of what can't be written down, or that the text of the span is all there is to it."""
    if isinstance(returned, Command) or (isinstance(returned, list) and any(isinstance(one, Command) for one in returned)):
        return {}  # its span tells its fields
    if _says_all(returned):
        return {kinds.TEXT: True}
    try:
        told = kinds.told(returned, _packed)
    except (kinds.UntoldError, UndecodedError, TypeError, ValueError, RecursionError) as error:
        return {kinds.LOST: str(error) if isinstance(error, kinds.UntoldError) else _named(returned)}
    hidden = kinds.hidden_in(told)
    return {kinds.LOST: hidden} if hidden else {kinds.VALUE: json.dumps(told, ensure_ascii=False)}


def _says_all(returned: Any) -> bool:
    """Whether what was returned is a text that is taken for nothing else, by itself or in a message."""
    if type(returned) is ToolMessage:
        plain = returned.artifact is None and returned.status == "success" and not returned.additional_kwargs
        return plain and _says_all(returned.content)
    return type(returned) is str and not kinds.is_json(returned)


def _packed(value: Any) -> bytes:
    """One value as LangGraph packs it. UntoldError names the type of one that it can't pack."""
    try:
        return _serializer.dumps_typed([value])[1][1:]  # without the head of the list, in which alone everything is msgpack
    except Exception as error:  # whatever a value's own code raises when it is read
        raise kinds.UntoldError(_named(value)) from error


def _named(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
