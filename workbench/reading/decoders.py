"""Decoders and sources: how a value is taken out of a span's attributes, as convention files spell it.

A source is an attribute and the decoders it goes through, first to last:

    "session.id"                                    an attribute
    "llm.input_messages.*"                          all attributes below, as the nested lists and objects they were flattened from
    "event:gen_ai.input.messages"                   an attribute of the first event that has it
    "event gen_ai.choice:message"                   an attribute of the last event of that name
    "events:gen_ai."                                all events whose names start so, each as its attributes and `event.name`
    "@name", "@scope", "@attributes"                the span's own name, its instrumentation scope, its attributes as one object
    "metadata -> json -> get langgraph_node"        decoded, step by step; `DECODERS` and `WITH_ARGUMENT` list them
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from workbench.model import Json, Span, canonical
from workbench.reading.documents import parse_json, parse_recurring, whole_characters
from workbench.reading.messages import Fields, fields_of, message_of, tool_call_of
from workbench.reading.python_literals import MAX_LITERAL_CHARACTERS, plain_literal, python_literal

MAX_DIGITS = 9
SHOWN = re.compile(r"""(\w+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|None|True|False|-?\d+(?:\.\d+)?|\{\}|\[\])(?:,?\s+|$)""", re.DOTALL)
"""One field of an object as Python shows it."""
CUT, COMMA, MAX_CUT = ("...", "…"), re.compile(", "), 2_000
"""How a text ends that was cut short, where a whole field of an object may end, and how much of it is looked through."""
ENUM = re.compile(r"<[A-Za-z_][\w.]*: ('[^'\\]*'|-?\d+)>")
"""A member of an enumeration as Python shows it."""
BEGINS_JSON = frozenset('{["-0123456789tfnNI')
"""How JSON begins, NaN and Infinity included."""
CHOICE = "gen_ai.choice"
NOTHING_SAID = frozenset(("", "null", "None", "{}", "[]"))
WRAPPED = frozenset(("args", "kwargs", "inputs", "outputs", "input_str", "output"))
"""What wrappers of a call have beside the call's own arguments or result."""
ENVELOPED = ("content", "raw_output", "blocks", "result", "error")
"""Where a tool's own envelope, such as MCP's or LlamaIndex's, says what came of the call."""
OWN = "@"
ASIDE = (OWN, "event:", "event ", "events:")
"""How a source begins that is no attribute: the span's own name and scope, and what its events tell."""
MAX_PATH = 40
"""Dots in a flattened key beyond this many are part of its last name: no convention nests so deep, but a hostile key could."""


@dataclass(frozen=True)
class Source:
    """Where a value stands: in a span (`before` is None; `attribute` where it is one alone), or what a decoder makes of the value before."""

    text: str
    before: Source | None
    decode: Callable[[Json], Json]
    attribute: str | None = None

    def may_be_in(self, keys: Iterable[str], *, events: bool) -> bool:
        """Whether a span with attributes of these names, and with or without events, can have a value here."""
        if self.before is not None:
            return self.before.may_be_in(keys, events=events)
        if self.text.startswith(ASIDE):
            return events or self.text.startswith(OWN)
        return any(key.startswith(self.text[:-1]) for key in keys) if self.attribute is None else self.attribute in keys


def _json(value: Json) -> Json:
    """JSON text as its value, None for text that doesn't begin as any would (plain answers often stand where JSON may); what is no text stays."""
    if not isinstance(value, str):
        return value
    return parse_recurring(value) if value.lstrip()[:1] in BEGINS_JSON else None


def _shown(value: Json) -> Json:
    """The fields of an object that Python showed as text, `content='sunny' tool_call_id='c1'`, as far as they are plain; None for any other text."""
    if not isinstance(value, str) or len(value) > MAX_LITERAL_CHARACTERS:
        return None
    found: Fields = {}
    at = 0
    while field := SHOWN.match(value, at):
        found[field[1]] = python_literal(field[2])
        at = field.end()
    return found if len(found) > 1 else None


def _objects(value: Json) -> Json:
    """Objects as Python shows them, `Answer(parts=[Text(text='sunny')], state=<State.OK: 'ok'>)`, as their fields. Only literals: nothing is evaluated.

    Of one that was cut short, `Answer(parts=[], state=<Stat...`, those of its fields that are whole.
    """
    if not isinstance(value, str) or len(value) > MAX_LITERAL_CHARACTERS:
        return None
    text = ENUM.sub(r"\1", value.strip())
    try:
        return _read_objects(text)
    except ValueError:
        whole = [text[: comma.start()] + ")" for comma in COMMA.finditer(text[:MAX_CUT])] if text.endswith(CUT) else []
        found = next((read for one in reversed(whole) if (read := _read_cut(one)) is not None), None)
        if found is None:
            raise
        return found


def _read_objects(text: str) -> Json:
    try:
        return whole_characters(_built(ast.parse(text, mode="eval").body))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"nothing that Python shows: {error}") from None


def _read_cut(text: str) -> Json:
    try:
        return _read_objects(text)
    except ValueError:
        return None


def _built(node: ast.expr) -> Json:
    if isinstance(node, ast.Call):
        return {one.arg: _built(one.value) for one in node.keywords if one.arg}
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_built(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {str(ast.literal_eval(key)): _built(item) for key, item in zip(node.keys, node.values, strict=True) if key is not None}
    return plain_literal(ast.literal_eval(node))


def opened(value: Json) -> Json:
    """Text that is a JSON object or list as that; any other text as it is, so that "42" stays text."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return parse_json(value)
        except ValueError:
            return value
    return value


def _quoted(value: Json) -> Json:
    """The text that stands in quotes as JSON writes it; None for any other."""
    return found if isinstance(value, str) and value[:1] == value[-1:] == '"' and isinstance(found := _json(value), str) else None


def _plain(value: Json) -> Json:
    """Text that is no JSON object or list; None for what is."""
    return value if isinstance(value, str) and opened(value) is value else None


def _tool_message(value: Json) -> Json:
    """The fields of a tool message in any dialect's envelope; None for anything else."""
    if isinstance(value, dict) and value.keys() == {"id", "name", "response"}:  # Gemini's
        value = {"role": "tool", "tool_call_id": value["id"], "name": value["name"], "content": value["response"]}
    fields = fields_of(value)
    return fields if fields and fields["role"] == "tool" and "content" in fields else None


def _failed(value: Json) -> Json:
    """What a tool message, or a tool's own envelope, says went wrong; None where it says that nothing did."""
    if isinstance(value, dict) and True in (value.get("isError"), value.get("is_error")):
        said = next((found for key in ENVELOPED if (found := value.get(key)) is not None), None)
        text = _text_blocks(said) or said
        return text if isinstance(text, str) else "failed"
    message = message_of(value)
    return message.error if message else None


def _text_blocks(value: Json) -> Json:
    """The text of a list of text blocks such as `[{"text": "booked"}]`, what a lone `[{"json": …}]` holds; None for anything else."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and value[0].keys() == {"json"}:
        return value[0]["json"]
    blocks = value if isinstance(value, list) and value else [None]
    whole = all(isinstance(block, dict) and block.keys() <= {"text", "type"} and isinstance(block.get("text"), str) for block in blocks)
    return "".join(block["text"] for block in blocks if block) if whole else None


def _kwargs(value: Json) -> Json:
    """The keyword arguments in a wrapper of Python's own: `{"args": [], "kwargs": {…}}`, whatever else it notes, or `{"kwargs": {…}}`.

    None with positional ones.
    """
    if not isinstance(value, dict) or value.get("args") or not isinstance(value.get("kwargs"), dict):
        return None
    return value["kwargs"] if "args" in value or value.keys() == {"kwargs"} else None


def _bare(value: Json) -> Json:
    """An object that is no wrapper of a call: its keys are the arguments' own names."""
    return value if isinstance(value, dict) and value.keys().isdisjoint(WRAPPED) else None


def _known(value: Json) -> Json:
    """None for the word "unknown", with which some instrumentors say that they don't know."""
    return None if isinstance(value, str) and value.strip().lower() in {"unknown", "none", ""} else value


def _event_messages(value: Json) -> Json:
    """The messages in a list of GenAI events, one event a message, as the conventions 1.28 to 1.36 have them; None where there are none."""
    found = [_event_message(event) for event in value if isinstance(event, dict)] if isinstance(value, list) else []
    return [message for message in found if message] or None


def _event_choice(value: Json) -> Json:
    """The message of the last `gen_ai.choice` among GenAI events."""
    choices = [event for event in value if isinstance(event, dict) and event.get("event.name") == CHOICE] if isinstance(value, list) else []
    return _chosen(_body(choices[-1])) if choices else None


def _event_message(event: Fields) -> Json:
    role = re.fullmatch(r"gen_ai\.(system|user|assistant|tool)\.message", str(event.get("event.name")))
    body = _body(event)
    if role is None or not body.keys() & {"content", "tool_calls", "toolCalls", "id"}:
        return None
    content = opened(body.get("content"))
    inside = content if isinstance(content, dict) and "parts" in content else {"content": content}  # Gemini's content is itself a message
    return {**body, "role": body.get("role") or role[1], **inside}


def _chosen(body: Fields) -> Json:
    message = opened(body.get("message", body.get("content")))
    inside = message if isinstance(message, dict) else {"content": message}
    return {"tool_calls": body.get("tool_calls"), "role": "assistant", **inside}


def _body(event: Fields) -> Fields:
    """What an event says: the body of a log, JSON in Azure's `gen_ai.event.content`, else its attributes."""
    body = opened(event.get("body", event.get("gen_ai.event.content")))
    if isinstance(body, str):
        body = {"content": body}
    return {**event, **body} if isinstance(body, dict) else event


def _all(value: Json) -> Json:
    """A list whose items are JSON text, as a list of what they say."""
    return [opened(item) for item in value] if isinstance(value, list) else None


def _whole_call(value: Json) -> Json:
    """A model's whole call, `{"name": …, "args": {…}, "id": …}`, that stands where only its arguments should; None for anything else."""
    call = tool_call_of(value) if isinstance(value, dict) and value.get("type") in ("tool_call", "function") and value.get("id") else None
    return None if call is None else {"name": call.name, "arguments": call.arguments, "id": call.call_id}


def _said_by_role(value: Json) -> Json:
    """Messages that have their role for a key, `{"user": "hello"}`, one or a list; the calls an assistant asks for may stand as text."""
    if isinstance(value, list):
        return [_said_by_role(item) for item in value]
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((role, said),) = value.items()
    said = opened(said)
    blocks = said if isinstance(said, list) else [said]
    return {"role": role, "content": [{**block, "type": "tool_call"} if isinstance(block, dict) and tool_call_of(block) else block for block in blocks]}


def _sum(value: Json) -> Json:
    """The sum of an object's own whole numbers; None where it has none."""
    counts = [count for count in value.values() if isinstance(count, int) and not isinstance(count, bool)] if isinstance(value, dict) else []
    return sum(counts) if counts else None


def _said(as_role: str) -> Callable[[Json], Json]:
    """What stands where messages may and is none, a text or an object, as a message of a role, given as `as ROLE`; None for nothing said."""
    role = as_role.removeprefix("as ")

    def said(value: Json) -> Json:
        text = canonical(value) if isinstance(value, dict) and value else value
        return {"role": role, "content": text} if isinstance(text, str) and text.strip() not in NOTHING_SAID else None

    return said


def _after(prefix: str) -> Callable[[Json], Json]:
    """The rest of a text that starts with a prefix; None for any other."""
    return lambda value: value[len(prefix) :].strip() or None if isinstance(value, str) and value.startswith(prefix) else None


def _is(text: str) -> Callable[[Json], Json]:
    """The text itself where the value is that; None for any other."""
    return lambda value: text if value == text else None


def _before(suffix: str) -> Callable[[Json], Json]:
    """The start of a text that ends with a suffix; None for any other."""
    return lambda value: value[: -len(suffix)].strip() or None if isinstance(value, str) and value.endswith(suffix) else None


def _lacks(key: str) -> Callable[[Json], Json]:
    """The name of a key that an object hasn't, or has without a value; None where there is one."""
    return lambda value: key if isinstance(value, dict) and value.get(key) is None else None


def _get(path: str) -> Callable[[Json], Json]:
    """The value at a dotted path of keys and list indexes."""
    parts = path.split(".")

    def get(value: Json) -> Json:
        for part in parts:
            if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        return value

    return get


DECODERS: dict[str, Callable[[Json], Json]] = {
    "json": _json,
    "python": python_literal,
    "opened": opened,
    "quoted": _quoted,
    "plain": _plain,
    "tool message": _tool_message,
    "failed": _failed,
    "text blocks": _text_blocks,
    "kwargs": _kwargs,
    "bare": _bare,
    "shown": _shown,
    "objects": _objects,
    "known": _known,
    "event messages": _event_messages,
    "event choice": _event_choice,
    "all": _all,
    "said by role": _said_by_role,
    "sum": _sum,
    "whole call": _whole_call,
}
"""Decoders by name, beside those `WITH_ARGUMENT`. A ValueError of theirs means that this source has no value."""


WITH_ARGUMENT = {"get": _get, "lacks": _lacks, "after": _after, "before": _before, "is": _is, "said": _said}


@cache
def source_of(text: str) -> Source:
    """A source from its text. ValueError for a decoder that isn't there."""
    before, arrow, step = text.rpartition(" -> ")
    if not arrow:
        return Source(text, None, _origin(text), None if text.startswith(ASIDE) or text.endswith(".*") else text)
    name, _, argument = step.partition(" ")
    decode = DECODERS.get(step) or (WITH_ARGUMENT[name](argument) if name in WITH_ARGUMENT else None)
    if decode is None:
        raise ValueError(f"no decoder {step!r}; there are: get PATH, lacks KEY, after PREFIX, before SUFFIX, is TEXT, said as ROLE, {', '.join(DECODERS)}")
    return Source(text, source_of(before), decode)


def _origin(text: str) -> Callable[[Span], Json]:
    if text == "@name":
        return lambda span: span.name
    if text == "@scope":
        return lambda span: span.scope
    if text == "@attributes":
        return lambda span: span.attributes
    if text.startswith("event:"):
        key = text.removeprefix("event:")
        return lambda span: next((event.attributes[key] for event in span.events if key in event.attributes), None)
    if text.startswith("event "):
        name, _, key = text.removeprefix("event ").partition(":")
        return lambda span: next((event.attributes[key] for event in reversed(span.events) if event.name == name and key in event.attributes), None)
    if text.startswith("events:"):
        start = text.removeprefix("events:")
        return lambda span: [{**event.attributes, "event.name": event.name} for event in span.events if event.name.startswith(start)] or None
    if text.endswith(".*"):
        return lambda span: unflattened(span.attributes, text[:-1])
    return lambda span: span.attributes.get(text)


def unflattened(attributes: Fields, prefix: str) -> Json:
    """The attributes below a prefix as nested objects; an object whose keys are all numbers is a list. None where there are none."""
    root: Fields = {}
    for key, value in attributes.items():
        if key.startswith(prefix):
            *path, last = key[len(prefix) :].split(".", MAX_PATH)
            inside = root
            for part in path:
                deeper = inside.setdefault(part, {})
                inside = deeper if isinstance(deeper, dict) else {}
            inside[last] = value
    return _listed(root) if root else None


def _listed(value: Json) -> Json:
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(item) for key, item in value.items()}
    return [inner[key] for key in sorted(inner, key=int)] if inner and all(key.isdecimal() and len(key) <= MAX_DIGITS for key in inner) else inner


class Values:
    """The values of one span's sources, each decoded once however many fields ask for it."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._seen: dict[str, Json] = {}

    def of(self, source: Source) -> Json:
        """A source's value; None where it isn't recorded or can't be decoded."""
        if source.attribute is not None:
            return self._span.attributes.get(source.attribute)
        if source.text in self._seen:
            return self._seen[source.text]
        before = self._span if source.before is None else self.of(source.before)
        try:
            found = None if before is None else source.decode(before)
        except ValueError:
            found = None  # hostile or cut-off text: the attribute stays readable on the span, and the next source is tried
        self._seen[source.text] = found
        return found
