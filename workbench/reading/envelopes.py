"""What was said, given and returned, out of whatever it was wrapped in: for spans whose convention nobody knows.

A model is given messages, or an object that holds them, or text; it answers with a message, with a provider's response around one, or with text. A tool
is given arguments, perhaps with the call's name beside them, and returns its value, perhaps inside a message or MCP's blocks.
"""

from __future__ import annotations

from workbench.model import Json
from workbench.reading.decoders import DECODERS, opened
from workbench.reading.documents import parse_json
from workbench.reading.messages import Fields, answer_of, fields_of, messages_of

LISTED = ("messages", "input", "inputs", "prompt", "contents", "history", "conversation", "chat_history", "chatHistory", "items")
ANSWERED = ("message", "output", "outputs", "response", "messages", "result", "answer", "completion", "reply", "generation", "text", "content", "body")
ROLES = ("role", "author", "sender", "speaker", "from", "source", "type")
SAYINGS = ("content", "text", "message", "body", "value", "parts")
SPEAKERS = {"bot": "assistant", "gpt": "assistant", "llm": "assistant", "agent": "assistant", "customer": "user", "client": "user", "instructions": "system"}
ABOUT_VALUES = frozenset(("mime_type", "mimeType", "type", "format", "encoding"))
HELD, BESIDE = ("arguments", "args", "kwargs"), ("name", "tool", "tool_name", "id", "type", "call_id")
MAX_NESTING = 4
KNOWN = frozenset(("system", "developer", "user", "human", "assistant", "ai", "model", "tool", "function"))


def messages_in(value: Json, depth: int = 0) -> list[Json] | None:
    """The messages in what a model was given: a list of them, an object that holds one, or text, which is a person's. None where there are none."""
    value = _bare(value)
    if isinstance(value, str):
        return [{"role": "user", "content": value}] if value.strip() and not depth else None
    if isinstance(value, list):
        found = [spoken(item) for item in value]
        return found if found and messages_of(found) else None
    if not isinstance(value, dict) or depth > MAX_NESTING:
        return None
    inner = (messages_in(value[key], depth + 1) for key in LISTED if isinstance(value.get(key), list | dict))
    return next((found for found in inner if found), None) or ([one] if fields_of(one := spoken(value)) else None) or _asked(value, depth)


def _asked(value: Fields, depth: int) -> list[Json] | None:
    text = next((value[key] for key in (*LISTED, "query", "question", "text") if isinstance(value.get(key), str)), None)
    return messages_in(text) if text and depth <= MAX_NESTING else None


def answer_in(value: Json, depth: int = 0) -> Json:
    """The message a model answered with: itself, inside a response, or text. None where there is none."""
    value = _bare(value)
    if isinstance(value, str):
        return {"role": "assistant", "content": value} if value.strip() else None
    if isinstance(value, list):
        found = [spoken(item) for item in value]
        if found and messages_of(found):
            return found
        text = DECODERS["text blocks"](value)
        return {"role": "assistant", "content": text} if text else next((one for item in value[:1] if (one := answer_in(item, depth + 1))), None)
    if not isinstance(value, dict) or depth > MAX_NESTING:
        return None
    if (message := answer_of(one := spoken(value))) is not None and message.role == "assistant":
        return one
    if calls := value.get("tool_calls", value.get("toolCalls")):
        said = next((value[key] for key in ANSWERED if isinstance(value.get(key), str)), "")
        return {"role": "assistant", "content": said, "tool_calls": calls}
    return next((one for key in ANSWERED if _may_answer(key, value.get(key)) and (one := answer_in(value[key], depth + 1))), None)


def _may_answer(key: str, value: Json) -> bool:
    """Whether there is something that may be an answer; messages of which only Python's text was kept are none."""
    return bool(value) and not (key == "messages" and isinstance(value, list) and all(isinstance(item, str) for item in value))


def spoken(value: Json) -> Json:
    """A message whose speaker and text have other names than `role` and `content`, with those; anything else as it is."""
    if not isinstance(value, dict) or fields_of(value) is not None:
        return value
    named = ((value[key].get("role") if isinstance(value[key], dict) else value[key]) for key in ROLES if value.get(key))
    role = next((word for one in named if isinstance(one, str) and (word := SPEAKERS.get(one.lower(), one.lower())) in KNOWN), None)
    said = next((value[key] for key in SAYINGS if value.get(key) is not None), None)
    return {**value, "role": role, "content": said} if role and (said is not None or "tool_calls" in value) else value


def _bare(value: Json) -> Json:
    """A value out of a wrapper that only says what kind of value it is: `{"value": …, "mime_type": …}`."""
    value = opened(value)
    wrapped = isinstance(value, dict) and "value" in value and len(value) > 1 and value.keys() <= {"value", *ABOUT_VALUES}
    return opened(value["value"]) if wrapped else value


def given_in(value: Json) -> Json:
    """Arguments out of a wrapper that only holds them, or names the call too; a schema is none."""
    value = _bare(value)
    if isinstance(value, str) and value[:1] == "{":
        value = _literal(value)
    if not isinstance(value, dict):
        return value
    if "input_str" in value:
        return given_in(value.get("inputs") or value["input_str"])
    if "properties" in value or (value and all(isinstance(inner, dict) and "type" in inner for inner in value.values())):
        return None
    if (wrapped := DECODERS["kwargs"](value)) is not None:
        return wrapped
    inner = next((found for key in HELD if isinstance(found := opened(value.get(key)), dict)), None)
    return inner if inner is not None and value.keys() <= {*HELD, *BESIDE} else value


def _literal(text: str) -> Json:
    """Text as Python shows an object, as that object; any other text as it is."""
    try:
        return DECODERS["python"](text) or text
    except ValueError:
        return text


def returned_in(value: Json) -> Json:
    """A tool's own value out of a tool message or MCP's blocks."""
    value = _bare(value)
    if isinstance(value, dict) and isinstance(inner := value.get("output"), dict) and DECODERS["tool message"](inner) is not None:
        value = inner
    if isinstance(value, dict) and value.keys() == {"output"}:
        value = opened(value["output"])
    if (message := DECODERS["tool message"](value)) is not None:
        return message["content"]
    blocks = value.get("content") if isinstance(value, dict) and value.keys() & {"isError", "is_error"} else value
    text = DECODERS["text blocks"](blocks)
    return _unquoted(value) if text is None else text


def _unquoted(value: Json) -> Json:
    """Text that was recorded as JSON text, quotes and all, as that text."""
    if isinstance(value, str) and value[:1] == '"' and value[-1:] == '"':
        try:
            return parse_json(value)
        except ValueError:
            return value
    return value


def failure_in(value: Json) -> str | None:
    """What a tool message, or MCP's result, says went wrong."""
    value = _bare(value)
    if isinstance(value, dict) and (value.get("isError") is True or value.get("is_error") is True):
        returned = returned_in(value)
        return returned if isinstance(returned, str) else "failed"
    message = DECODERS["failed"](value)
    return message if isinstance(message, str) else None
