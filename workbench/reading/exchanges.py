"""A model call as the payloads of an activity or a task tell it: what was asked, what was answered.

Durable engines record what went in and what came out, not that it was a model call. The answer's shape says so: OpenAI (chat completions,
Responses, the Agents SDK), Anthropic, Bedrock Converse, Gemini, Pydantic AI, the AI SDK, LangChain. A payload of any other shape is no model call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

from workbench.model import Decision, Json, Message, Tokens, canonical
from workbench.reading.documents import parse_json
from workbench.reading.messages import Fields, answer_of, message_of, messages_of, tokens_of, tool_names

MAX_LOOK = 6
"""How deep a request may be wrapped in an activity's arguments."""
USAGE = {
    **dict.fromkeys(("prompt_token_count", "request_tokens"), "input_tokens"),
    **dict.fromkeys(("candidates_token_count", "response_tokens"), "output_tokens"),
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
"""What some providers call their counts, and what `tokens_of` calls them."""
CALL_PARTS = frozenset({"function_call", "tool-call", "tool_use", "toolUse"})
ANSWER_PARTS = frozenset({"function_call_output", "tool-result", "tool-return"})


@dataclass(frozen=True)
class Exchange:
    """One model call: what it was given (`messages`), what it answered, and what is known beside it."""

    model: str | None
    messages: tuple[Message, ...]
    output: Message
    tokens: Tokens
    tools: tuple[str, ...] | None
    handoffs: frozenset[str]

    @property
    def decision(self) -> Decision:
        """What the model chose, and from what."""
        return Decision(selected=tuple(call.name for call in self.output.tool_calls), alternatives=self.tools, reasoning=self.output.reasoning)


def exchange_of(asked: Json, answered: Json) -> Exchange | None:
    """The model call that an input and a result describe; None where the result is no model's answer."""
    answered, output = next(((held, found) for held in _unwrapped(answered) if (found := _answer(held)) is not None), (None, None))
    if output is None:
        return None
    request = _request(asked, MAX_LOOK) or {}
    model = next((str(value) for held in (request, answered) for key in ("model", "model_name", "modelId", "ModelId") if (value := held.get(key))), None)
    handoffs = frozenset(tool_names([item.get("tool_name") for item in _list(request.get("handoffs")) if isinstance(item, dict)]) or ())
    tools = (*(tool_names(_tools(request)) or ()), *sorted(handoffs)) or None
    return Exchange(model, tuple(asked_messages(request)), output, usage_of(answered), tools, handoffs)


def asked_messages(request: Fields) -> Iterator[Message]:
    """The messages of a request in any of the dialects, the system prompt first."""
    system = next((request[key] for key in ("system_instructions", "system", "instructions") if request.get(key)), None)
    if system is not None:
        yield Message(role="system", content=system if isinstance(system, str) else _text(_list(system)) or canonical(system))
    held = next((request[key] for key in ("messages", "input", "contents", "message_history", "prompt") if request.get(key)), None)
    if isinstance(held, str):
        yield Message(role="user", content=held)
    for item in _list(held):
        yield from _messages(item)


def usage_of(answered: Json) -> Tokens:
    """The token counts of an answer, whatever its provider calls them."""
    held = answered if isinstance(answered, dict) else {}
    usage: Fields = next((held[key] for key in ("usage", "usage_metadata", "usageMetadata") if isinstance(held.get(key), dict)), {})
    named = {re.sub(r"(?<=[a-z])([A-Z])", r"_\1", key).lower(): value for key, value in usage.items()}
    return tokens_of({USAGE.get(key, key): value for key, value in named.items()})


def opened(value: Json) -> Json:
    """JSON text as its value; any other text, and what is no text, as it is."""
    if isinstance(value, str) and value.strip()[:1] in '{["-0123456789tfn' and value.strip():
        try:
            return parse_json(value)
        except ValueError:
            return value
    return value


# ---- answers


def _unwrapped(value: Json) -> Iterator[Json]:
    """A result, and what it holds where a service integration wraps the answer (Step Functions: Bedrock, HTTP, Lambda)."""
    yield value
    for key in ("Body", "ResponseBody", "Payload", "body"):
        if isinstance(value, dict) and (inner := opened(value.get(key))) is not None:
            yield inner


def _answer(value: Json) -> Message | None:
    """The message of a model's answer, None for anything else."""
    if not isinstance(value, dict):
        return None
    choices, output, candidates = value.get("choices"), value.get("output"), value.get("candidates")
    if _is_list_of_objects(choices) and "message" in choices[0]:
        return answer_of(value)
    if _is_list_of_objects(output) and ("usage" in value or value.get("object") == "response"):
        return _joined(output)
    if isinstance(output, dict) and isinstance(output.get("message"), dict) and ("stopReason" in value or "usage" in value):
        return _joined([output["message"]])
    if _is_list_of_objects(candidates) and isinstance(candidates[0].get("content"), dict):
        return _joined([candidates[0]["content"]])
    if value.get("kind") == "response" and isinstance(value.get("parts"), list):
        return _joined(value["parts"])
    return _lone_message(value)


def _lone_message(value: Fields) -> Message | None:
    """An assistant's message that stands alone and says what it cost or why it stopped: Anthropic, the AI SDK, LangChain."""
    tell_tale = {"usage", "usage_metadata", "response_metadata", "finishReason", "stop_reason"} & value.keys()
    if not tell_tale:
        return None
    if value.get("role") == "assistant" or ("finishReason" in value and isinstance(value.get("content"), list)):
        return _joined([{"role": "assistant", **value}])
    message = message_of(value)
    return message if message is not None and message.role == "assistant" else None


def _joined(items: list[Json]) -> Message:
    """One assistant message out of the items of an answer."""
    messages = [message for item in items for message in _messages(item, "assistant")]
    reasoning = "\n".join(message.reasoning for message in messages if message.reasoning)
    calls = tuple(call for message in messages for call in message.tool_calls)
    content = "\n".join(message.content for message in messages if message.content)
    return Message(role="assistant", content=content, tool_calls=calls, reasoning=reasoning or None)


# ---- messages and their parts


def _messages(item: Json, role: str | None = None) -> Iterator[Message]:
    """The messages of one item: a message in a known dialect, or one whose parts are written in another."""
    if not isinstance(item, dict):
        return
    plain = _plain(item, role)
    yield from (messages_of(plain) or ()) if plain is not None else ()
    for part in _list(item.get("parts") or item.get("content")):
        if isinstance(part, dict) and _kind(part) in ANSWER_PARTS and _kind(item) not in ANSWER_PARTS:
            yield from _messages(part)
    if item.get("kind") == "request" or _kind(item) == "message-list":
        for part in _list(item.get("parts")):
            yield from _messages(part)


def _plain(item: Fields, role: str | None) -> Fields | None:
    """An item as a message of OpenAI's chat format; None where it is none."""
    kind = _kind(item)
    if kind in CALL_PARTS:
        return {"role": "assistant", "content": "", "tool_calls": [_call(item)]}
    if kind in ANSWER_PARTS:
        content = next((item[key] for key in ("output", "content", "result") if key in item), "")
        call_id = item.get("call_id") or item.get("tool_call_id") or item.get("toolCallId")
        return {"role": "tool", "content": _said(content), "tool_call_id": call_id, "name": item.get("tool_name") or item.get("toolName")}
    if kind in {"reasoning", "thinking"}:
        return {"role": "assistant", "content": "", "reasoning": _text(_list(item.get("summary"))) or item.get("content") or item.get("text")}
    if kind in {"user-prompt", "system-prompt"}:
        return {"role": "user" if kind == "user-prompt" else "system", "content": _said(item.get("content"))}
    if kind == "text" and role:
        return {"role": role, "content": item.get("content") or item.get("text") or ""}
    return _with_parts(item, role)


def _with_parts(item: Fields, role: str | None) -> Fields | None:
    """A message with content or parts; what its parts call goes into `tool_calls`."""
    spoken = {"model": "assistant", "developer": "system"}.get(str(item.get("role")), item.get("role")) or role
    if spoken not in {"assistant", "user", "system", "tool"} or item.get("kind") == "request":
        return None
    held = item.get("parts") if isinstance(item.get("parts"), list) else item.get("content")
    if not isinstance(held, list):
        return {**item, "role": spoken}
    parts = [part for part in held if isinstance(part, dict)]
    calls = [_call(part) for part in parts if _kind(part) in CALL_PARTS]
    listed = _list(item.get("tool_calls"))
    return {"role": spoken, "content": _text(held), "tool_calls": [*listed, *calls], "tool_call_id": item.get("tool_call_id"), "name": item.get("name")}


def _kind(part: Fields) -> str:
    """What a part is, by its type or by the one key that wraps it (Gemini, Bedrock)."""
    named = part.get("type") or part.get("part_kind")
    if isinstance(named, str):
        return named
    for key, kind in (("functionCall", "function_call"), ("function_call", "function_call"), ("toolUse", "toolUse")):
        if isinstance(part.get(key), dict):
            return kind
    return ""


def _call(part: Fields) -> Fields:
    """A call part as a tool call with a name, arguments and an id."""
    inner = next((part[key] for key in ("functionCall", "function_call", "toolUse") if isinstance(part.get(key), dict)), part)
    arguments = next((inner[key] for key in ("arguments", "args", "input") if key in inner), None)
    name = inner.get("name") or inner.get("tool_name") or inner.get("toolName")
    call_id = inner.get("call_id") or inner.get("tool_call_id") or inner.get("toolCallId") or inner.get("toolUseId") or inner.get("id")
    return {"name": name, "arguments": arguments, "id": call_id}


def _text(parts: Iterable[Json]) -> str:
    texts = [part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _said(value: Json) -> str:
    return value if isinstance(value, str) else "" if value is None else _text(_list(value)) or canonical(value)


# ---- requests


def _request(value: Json, depth: int) -> Fields | None:
    """The object with the messages, wherever in the arguments it stands."""
    if isinstance(value, dict):
        if (
            any(isinstance(value.get(key), list) and value[key] for key in ("messages", "input", "contents", "message_history"))
            or "system_instructions" in value
        ):
            return value
        inside: Iterable[Json] = value.values()
    else:
        inside = _list(value)
    if depth:
        return next((found for item in inside if isinstance(item, dict | list) and (found := _request(item, depth - 1)) is not None), None)
    return None


def _tools(request: Fields) -> Json:
    config = request.get("toolConfig")
    parameters = request.get("model_request_parameters")
    inner = config.get("tools") if isinstance(config, dict) else parameters.get("function_tools") if isinstance(parameters, dict) else None
    return request.get("tools") or inner


def _is_list_of_objects(value: Json) -> TypeGuard[list[Fields]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
