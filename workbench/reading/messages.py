"""Every shape in which a chat message is recorded, as one `Message`.

OpenAI (chat and responses), LangChain (serialised three ways), OpenTelemetry GenAI parts, OpenInference's flattened form, the content blocks of
Anthropic, Bedrock, Gemini and the AI SDK.
A shape is told by its fields alone. What is no message is None; nothing is invented for a field that isn't there.
"""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from workbench.model import NO_TOKENS, Approval, Json, Message, Tokens, ToolCall, canonical
from workbench.reading.approvals import PARTS, approval_of, is_approval, type_of
from workbench.reading.documents import Item, parse_json
from workbench.reading.token_counts import with_parts

Fields = dict[str, Json]
Role = Literal["system", "user", "assistant", "tool"]

ROLES: dict[str, Role] = {
    **dict.fromkeys(("system", "developer", "systemmessage"), "system"),
    **dict.fromkeys(("user", "human", "humanmessage"), "user"),
    **dict.fromkeys(("assistant", "ai", "model", "aimessage", "aimessagechunk", "tool-call"), "assistant"),
    **dict.fromkeys(("tool", "function", "toolmessage", "functionmessage", "tool-response"), "tool"),
}
TEXT = frozenset({"text", "input_text", "output_text"})
REASONING = frozenset({"reasoning", "thinking", "reasoning_content"})
OF_TEXT = frozenset({"role", "type", "id", "name", "parts", "contents", "content", "finish_reason"})
"""What is there, and not empty, in a message that says something and is nothing else: most have no more, and there is no need to look for it."""
CALLS = frozenset({"tool_call", "tool_use", "tool-call", "function_call"})
CALLED = ("name", "toolName", "tool_name", "functionName", "function_name")
GIVEN = ("args", "arguments", "input", "toolInput", "tool_input", "tool_kwargs", "parameters", "params")
CALL_IDS = ("call_id", "callId", "id", "toolCallId", "tool_call_id", "toolUseId", "tool_use_id", "tool_id", "ref")
"""How a call's parts are spelled, the most telling first."""
RESPONSES = frozenset({"tool_call_response", "tool_result", "tool-result"})
ENVELOPES = {
    **dict.fromkeys(("toolUse", "function_call", "functionCall", "toolRequest"), "tool_call"),
    **dict.fromkeys(("toolResult", "function_response", "functionResponse", "toolResponse"), "tool_result"),
    "reasoningContent": "reasoning",
}
"""Bedrock's, Gemini's and Genkit's blocks have no type, but one key that tells it."""
DUMPED_CALL = "ResponseFunctionToolCall("
"""How the text of a call begins that was recorded as Python shows the OpenAI client's object."""
MAX_DUMPED = 1 << 16
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_NS = 86_400_000_000_000
LATEST_NS = int((datetime(2200, 1, 1, tzinfo=UTC) - EPOCH).total_seconds()) * 1_000_000_000
MAX_COUNT = 1 << 53
USAGE_DETAILS = (
    "input_token_details",
    "input_tokens_details",
    "prompt_tokens_details",
    "output_token_details",
    "output_tokens_details",
    "completion_tokens_details",
)
"""Where LangChain and OpenAI's two interfaces tell which of the tokens were cached or for reasoning."""


def message_of(value: Json) -> Message | None:
    """One message, or None for what has no role known here. Times outside 1970-01-02 to 2200 and negative counts are taken as not recorded."""
    fields = fields_of(value)
    return None if fields is None else _message(fields)


def messages_of(value: Json) -> tuple[Message, ...] | None:
    """All messages of a list, of the first of a batch of lists, or of one message. None unless every item is a message.

    A message that carries the answers of several tools at once becomes one tool message for each.
    """
    items = value if isinstance(value, list) else [value]
    if items and isinstance(items[0], list) and fields_of(items[0]) is None:
        items = items[0]
    every = [_messages_in(item) for item in items if not (isinstance(item, list) and _is_stump(item))]
    known = [messages for messages in every if messages is not None]
    return tuple(message for messages in known for message in messages) if len(known) == len(every) else None


def _is_stump(item: list[Json]) -> bool:
    """Whether an item is what Langtrace leaves of a message that asked for calls: their ids and types in a list, emptied."""
    return bool(item) and all(isinstance(one, dict) and one.keys() == {"id", "type"} for one in item)


def _messages_in(item: Json) -> tuple[Message, ...] | None:
    """The messages in one item of a list, None where it is none. An item that recurs is read once."""
    if isinstance(item, Item) and hasattr(item, "meaning"):
        found: tuple[Message, ...] | None = item.meaning
        return found
    fields = fields_of(item)
    found = None if fields is None else tuple(_split(fields))
    if isinstance(item, Item):
        item.meaning = found
    return found


def answer_of(value: Json) -> Message | None:
    """The message a model answered with: itself, the last of several, or the first choice inside a provider's or LangChain's response."""
    if isinstance(value, dict):
        for key in ("generations", "choices"):
            if (first := _first(value.get(key))) is not None:
                return _counted(_choice(first), value)
    messages = messages_of(value)
    return _together(messages) if messages else None


def _together(messages: Sequence[Message]) -> Message:
    """The last message, with the calls of those right before it: some write one message a call."""
    said = list(itertools.takewhile(lambda message: message.role == "assistant" and message.tool_calls, reversed(messages)))[::-1]
    calls = {call.call_id or number: call for number, call in enumerate(call for message in said for call in message.tool_calls)}
    return messages[-1] if len(said) < 2 else messages[-1].model_copy(update={"tool_calls": tuple(calls.values())})  # noqa: PLR2004  # one stands for itself


def _counted(answer: Message | None, response: Fields) -> Message | None:
    """An answer with the counts that the response around it has, where it has none of its own."""
    usage = response.get("usage")
    if answer is None or answer.tokens != NO_TOKENS or not isinstance(usage, dict):
        return answer
    return answer.model_copy(update={"tokens": tokens_of(usage)})


def fields_of(value: Json) -> Fields | None:
    """A message's own fields without the envelope, with a `role` known here; None for what is no message."""
    if isinstance(value, list):
        pair = len(value) == 2 and all(isinstance(part, str) for part in value)  # noqa: PLR2004  # LangChain's ("user", "hello")
        value = {"role": value[0], "content": value[1]} if pair else None
    if not isinstance(value, dict):
        return None
    if isinstance(inner := value.get("message"), dict) and "role" not in value:  # OpenInference: message.role
        return fields_of(inner)
    if isinstance(inner := value.get("kwargs"), dict) and isinstance(name := value.get("id"), list):  # LangChain's constructor
        value = {"type": str(name[-1]) if name else "", **inner}
    elif isinstance(inner := value.get("data"), dict) and "type" in value:  # LangChain's message_to_dict
        value = {**inner, "type": value["type"]}
    if isinstance(value.get("blocks"), list) and "content" not in value:
        value = _of_blocks(value)
    if value.keys() >= {"content", "tool_call_id"} and not value.keys() & {"role", "type"}:
        value = {**value, "role": "tool"}  # some dump only what is set of a tool message
    if (item := _item(value)) is not None:
        return item
    role = value.get("role", value.get("type"))
    known = ROLES.get(role.lower()) if isinstance(role, str) else None
    return {**value, "role": known} if known else None


def _of_blocks(value: Fields) -> Fields:
    """LlamaIndex's message: blocks for content, and the answered call's id among the additional arguments."""
    additional = value.get("additional_kwargs")
    answered = {"tool_call_id": additional["tool_call_id"]} if isinstance(additional, dict) and "tool_call_id" in additional else {}
    return {**value, "content": value["blocks"], **answered}


def _item(value: Fields) -> Fields | None:
    """The message that an item of OpenAI's Responses API amounts to where it is no message itself: a call, its output, a thought."""
    kind = None if "role" in value else type_of(value)
    if kind in PARTS:
        return {"role": "assistant" if kind.endswith("request") else "user", "content": [value]}
    if kind == "function_call":
        return {"role": "assistant", "content": [value]}
    if kind == "function_call_output":
        return {"role": "tool", "content": value.get("output"), "tool_call_id": value.get("call_id")}
    if kind == "reasoning" and "summary" in value:
        return {"role": "assistant", "content": [{"type": "reasoning", "text": block} for block in map(_text, _list(value["summary"]))]}
    return None


def tool_call_of(value: Json) -> ToolCall | None:
    """A call as any of the dialects writes it; None without a name. Arguments that are no JSON object stay as text in `raw`."""
    if not isinstance(value, dict):
        return None
    if isinstance(inner := value.get("tool_call"), dict):
        value = inner
    function = value.get("function")
    inner = {**value, **function} if isinstance(function, dict) else value
    name = next((inner[key] for key in CALLED if inner.get(key)), None) or (function if isinstance(function, str) else None)
    if not isinstance(name, str):
        return None
    given = next((inner[key] for key in GIVEN if key in inner), None)
    call_id = next((inner[key] for key in CALL_IDS if inner.get(key)), None)
    arguments = arguments_of(given)
    raw = None if arguments is not None or given is None else given if isinstance(given, str) else canonical(given)
    return ToolCall.unchecked(name=name, arguments=arguments, call_id=None if call_id is None else str(call_id), raw=raw)


def arguments_of(value: Json) -> Fields | None:
    """Arguments as a JSON object, parsed from text where need be; None for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = parse_json(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def tokens_of(usage: Json) -> Tokens:
    """Token counts from a usage object of LangChain, OpenAI or Anthropic."""
    if not isinstance(usage, dict):
        return NO_TOKENS
    details = [inner for key in USAGE_DETAILS if isinstance(inner := usage.get(key), dict)]
    spread = {**usage, **{key: count for inner in details for key, count in inner.items()}}
    names = {
        "input": ("input_tokens", "prompt_tokens", "inputTokens"),
        "output": ("output_tokens", "completion_tokens", "outputTokens"),
        "total": ("total_tokens", "totalTokens"),
        "cache_read": ("cache_read", "cached_tokens", "cache_read_input_tokens"),
        "cache_write": ("cache_creation", "cache_write_tokens", "cache_creation_input_tokens"),
        "reasoning": ("reasoning", "reasoning_tokens"),
    }
    counts = {field: next((count for key in keys if (count := count_of(spread.get(key))) is not None), None) for field, keys in names.items()}
    return Tokens.unchecked(**with_parts(counts)[0])


def tool_names(value: Json) -> tuple[str, ...] | None:
    """The names in a list of tools offered: names themselves, or schemas in any dialect. None where nothing names one."""
    names = [_tool_name(item) for item in _list(value)]
    return tuple(name for name in names if name) or None


def tool_schemas(value: Json) -> dict[str, Json] | None:
    """The JSON Schema of each offered tool's arguments, by the tool's name, in any dialect. None where the list holds none.

    What the tool is for, which its model reads, stands in the schema as its `description`.
    """
    found = {name: schema for item in _list(value) if (schema := _tool_schema(item)) and (name := _tool_name(item))}
    return found or None


def count_of(value: Json) -> int | None:
    """A whole number from 0 up to 2**53, also from text; None for anything else."""
    if isinstance(value, str) and (digits := value.removesuffix(".0")).isdecimal() and len(digits) < 17:  # noqa: PLR2004  # 2**53 has 16 digits
        value = int(digits)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT else None


def amount_of(value: Json) -> float | None:
    """A finite number from 0 up, also from text; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
    return float(value) if usable else None


def time_ns(value: Json) -> int | None:
    """Nanoseconds since 1970 from ISO 8601 text (UTC where it names no zone) or a Unix time in s, ms, µs or ns by its size.

    None for what is neither, and for times outside 1970-01-02 to 2200: those are clocks that were never set.
    """
    found = None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            found = (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1) * 1000
        except (ValueError, OverflowError):
            return None
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LATEST_NS:
        scale = next((10**zeros for limit, zeros in ((1e11, 9), (1e14, 6), (1e17, 3)) if value < limit), 1)
        found = int(value * scale)
    return found if found is not None and DAY_NS <= found < LATEST_NS else None


def _tool_name(item: Json) -> str | None:
    """A tool's name, wherever its schema has it."""
    for _ in range(4):  # the deepest dialect: tool, json_schema, function
        if isinstance(item, str) and item.lstrip().startswith("{"):
            item = arguments_of(item)
        if isinstance(item, str) or not isinstance(item, dict):
            return item if isinstance(item, str) else None
        item = next((item[key] for key in ("name", "function", "tool", "json_schema", "toolSpec") if key in item), None)
    return item if isinstance(item, str) else None


SCHEMAS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "parametersJsonSchema")


def _tool_schema(item: Json) -> Fields | None:
    """The schema of a tool's arguments, wherever the tool's description has it; Bedrock wraps it in `json`."""
    for _ in range(4):  # as deep as the name
        fields = arguments_of(item)
        if fields is None:
            return None
        given = next((schema for key in SCHEMAS if (schema := arguments_of(fields.get(key))) is not None), None)
        if given is not None:
            schema = given["json"] if isinstance(given.get("json"), dict) and "type" not in given else given
            said = fields.get("description")
            return {**schema, "description": said} if said and isinstance(said, str) else schema
        item = next((fields[key] for key in ("function", "tool", "json_schema", "toolSpec") if key in fields), None)
    return None


def _message(fields: Fields, blocks: list[Json] | None = None) -> Message:
    """The message of these fields; `blocks` are those of its content where they are known already."""
    role: Role = fields["role"]
    blocks = list(_blocks(fields)) if blocks is None else blocks
    content = "".join([_text(block) for block in blocks])
    others = [block for block in blocks if not _is_text(block)]  # most messages are text and nothing else
    confidence, source = _confidence(fields, content) if role == "assistant" else (None, None)
    name = fields["name"] if isinstance(fields.get("name"), str) and fields["name"] else None
    if role != "tool" and not others and OF_TEXT.issuperset([key for key, value in fields.items() if value or value == 0]):
        return Message.unchecked(role=role, content=content, name=name, confidence=confidence, confidence_source=source)
    call_id = fields.get("tool_call_id") or (_response_id(others, fields) if role == "tool" else None)
    return Message.unchecked(
        role=role,
        content=content,
        tool_calls=_calls(fields, others),
        approvals=_approvals(others),
        tool_call_id=None if call_id is None else str(call_id),
        name=name,
        error=_error(fields, content),
        reasoning=_reasoning(fields, others),
        confidence=confidence,
        confidence_source=source,
        at_ns=time_ns(fields.get("timestamp")),
        tokens=_tokens(fields),
        cost_usd=amount_of(fields.get("cost_usd", fields.get("cost"))),
    )


def _split(fields: Fields) -> Iterator[Message]:
    """One message for each tool response inside, and one for the rest where there is any."""
    blocks = list(_blocks(fields))
    responses = [block for block in blocks if type_of(block) in RESPONSES and not is_approval(block)]
    if not responses:
        yield _message(fields, blocks)
        return
    for block in responses:
        error = block.get("isError") or block.get("is_error") or block.get("status") == "error"
        yield _message({"role": "tool", "content": [block], "name": block.get("name") or block.get("toolName") or fields.get("name"), "error": error or None})
    if rest := [block for block in blocks if type_of(block) not in RESPONSES or is_approval(block)]:
        yield _message({**fields, "parts": None, "contents": None, "content": rest})


def _blocks(fields: Fields) -> Iterator[Json]:
    """The blocks of a message's content, whichever field holds them, text as text."""
    held = next((fields[key] for key in ("parts", "contents", "content") if fields.get(key) is not None), "")
    for block in held if isinstance(held, list) else [held]:
        inner = block.get("message_content") if isinstance(block, dict) else None
        if isinstance(inner, dict):
            yield inner
        elif isinstance(block, dict) and (name := _envelope(block)) is not None:
            yield _typed(block[name], ENVELOPES[name])
        elif isinstance(said := block.get("content", block.get("text")) if isinstance(block, dict) else block, str) and said.startswith(DUMPED_CALL):
            yield _dumped(said) or block
        elif block not in (None, ""):
            yield block


def _envelope(block: Fields) -> str | None:
    """The key a block without a type is wrapped in. An approval holds the call that waits, and is no call."""
    if ENVELOPES.keys().isdisjoint(block) or type_of(block) in PARTS:
        return None
    return next((key for key in ENVELOPES if isinstance(block.get(key), dict)), None)


def _dumped(text: str) -> Fields | None:
    """The fields of a call that an instrumentor wrote as Python writes the object. Only literals are taken; None for anything else."""
    try:
        tree = ast.parse(text[:MAX_DUMPED], mode="eval").body
        return {one.arg: ast.literal_eval(one.value) for one in tree.keywords if one.arg} if isinstance(tree, ast.Call) else None
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None  # cut off, or no such text after all: it stays text


def _typed(inside: Fields, kind: str) -> Fields:
    """What stands in a block's envelope, as a block with a type."""
    if kind == "reasoning" and isinstance(thought := inside.get("reasoningText"), dict):
        inside = thought
    return {**inside, "type": kind}


def _text(block: Json) -> str:
    """What a block says as text; for an image and its like only that it was there."""
    if isinstance(block, str):
        return block
    if not isinstance(block, dict):
        return canonical(block)
    kind = type_of(block)
    if kind in REASONING or _is_call(block) or is_approval(block):
        return ""
    said = next((block[key] for key in ("text", "response", "output", "result", "content") if block.get(key) is not None), None)
    if kind in TEXT or kind in RESPONSES or (not kind and said is not None):
        return _said(said)
    return f"[{kind}]" if kind else canonical(block)


def _is_text(block: Json) -> bool:
    """Whether a block says something and is nothing else: no call, answer, thought or approval."""
    return isinstance(block, str) or (type_of(block) in TEXT and not is_approval(block))


def _said(value: Json) -> str:
    """A tool's answer as text: text, the text blocks of a list, else its JSON."""
    if isinstance(value, dict) and value.keys() == {"type", "value"}:
        value = value["value"]  # the AI SDK's: {"type": "json", "value": …}
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return "".join(part["text"] for part in value)
    return "" if value is None else canonical(value)


def _calls(fields: Fields, blocks: list[Json]) -> tuple[ToolCall, ...]:
    """The calls a message asks for: those in its own list, else those among its blocks."""
    listed: Iterable[Json] = [*_list(fields.get("tool_calls", fields.get("toolCalls"))), *_list(fields.get("invalid_tool_calls"))]
    if not listed and isinstance(additional := fields.get("additional_kwargs"), dict):
        listed = _list(additional.get("tool_calls"))
    if not listed and isinstance(fields.get("function_call"), dict):
        listed = [fields["function_call"]]
    listed = listed or [block for block in blocks if _is_call(block) and not is_approval(block)]
    return tuple(call for item in listed if (call := tool_call_of(item)) is not None)


def _is_call(block: Json) -> bool:
    """Whether a block is a call that is asked for: by its type, or one of OpenAI's calls put where the content should be. A schema is none."""
    if type_of(block) in CALLS:
        return True
    function = block.get("function") if isinstance(block, dict) and type_of(block) == "function" else None
    return isinstance(function, dict) and "arguments" in function


def _approvals(blocks: list[Json]) -> tuple[Approval, ...]:
    return tuple(found for block in blocks if (found := approval_of(block)) is not None)


def _reasoning(fields: Fields, blocks: list[Json]) -> str | None:
    """What the model thought before it answered, where the provider lets it be seen."""
    thought = [block.get(key) for block in blocks if type_of(block) in REASONING for key in ("reasoning", "thinking", "text", "content", "reasoning_content")]
    additional = fields.get("additional_kwargs")
    sources = [fields, additional] if isinstance(additional, dict) else [fields]
    thought += [source.get(key) for source in sources for key in ("reasoning_content", "reasoning")]
    return "\n".join(text for text in thought if isinstance(text, str) and text) or None


def _response_id(blocks: list[Json], fields: Fields) -> Json:
    """Which call a tool message answers, where only its block or its own id says so."""
    names = ("id", "tool_use_id", "toolUseId", "toolCallId", "ref")
    ids = [next((block[key] for key in names if block.get(key)), None) for block in blocks if type_of(block) in RESPONSES]
    return ids[0] if ids else fields.get("id")


def _error(fields: Fields, content: str) -> str | None:
    error = fields.get("error")
    if isinstance(error, str) and error:
        return error
    failed = error is True or (isinstance(error, dict) and error) or (fields["role"] == "tool" and fields.get("status") == "error")
    if not failed:
        return None
    return canonical(error) if isinstance(error, dict) else content or "failed"


def _tokens(fields: Fields) -> Tokens:
    metadata = fields.get("response_metadata")
    recorded = metadata.get("token_usage", metadata.get("usage")) if isinstance(metadata, dict) else None
    usage = next((usage for usage in (fields.get("usage_metadata"), fields.get("usage"), recorded) if isinstance(usage, dict)), None)
    return tokens_of(usage) if usage else NO_TOKENS


def _confidence(fields: Fields, content: str) -> tuple[float | None, Literal["logprobs", "self-report"] | None]:
    """How sure the model was: e to the mean log-probability of its tokens, else the number it gives itself in a JSON answer."""
    metadata = fields.get("response_metadata")
    recorded = fields.get("logprobs") or (metadata.get("logprobs") if isinstance(metadata, dict) else None)
    tokens = recorded.get("content") if isinstance(recorded, dict) else None
    logprobs = [
        float(one) for token in _list(tokens) if isinstance(token, dict) and isinstance(one := token.get("logprob"), int | float) and -MAX_COUNT < one <= 0
    ]
    if logprobs:
        return math.exp(sum(logprobs) / len(logprobs)), "logprobs"
    said = (arguments_of(content) or {}).get("confidence")
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= 1:
        return float(said), "self-report"
    return None, None


def _choice(choice: Json) -> Message | None:
    """The message of one generation (LangChain) or choice (OpenAI), with the log-probabilities that stand beside it."""
    if not isinstance(choice, dict):
        return None
    info = choice.get("generation_info")
    logprobs = choice.get("logprobs") or (info.get("logprobs") if isinstance(info, dict) else None)
    fields = fields_of(choice.get("message")) or {"role": "assistant", "content": choice.get("text")}
    return _message({"logprobs": logprobs, **fields})


def _first(value: Json) -> Json:
    """The first item of a list, or of the first list in it (LangChain's batches)."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value


def _list(value: Json) -> Iterable[Json]:
    return value if isinstance(value, list) else ()
