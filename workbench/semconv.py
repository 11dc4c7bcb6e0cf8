"""Semantic conventions: what the attributes of a span mean, in the words of `workbench.model`.

A convention is one file in `conventions/`, and no Python: how to recognise it, what kind of work a span is, and where each field of a `Reading`
stands, as the sources of `workbench.reading.decoders` spell it.

Recognition is per span, since one trace mixes conventions. Of all conventions a span speaks, in order of rank, the first source with a value
wins, and `provenance` says which it was. What no convention can tell the kind of is read by its words, as `workbench.reading.unfamiliar` does it.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import Any, get_args

from workbench.model import COUNTED, NO_TOKENS, ConfidenceSource, Json, Message, Reading, Span, Tokens, canonical
from workbench.reading.decoders import DECODERS, Source, Values, opened, source_of
from workbench.reading.messages import Fields, amount_of, answer_of, arguments_of, count_of, message_of, messages_of, tool_names, tool_schemas
from workbench.reading.token_counts import with_parts
from workbench.reading.unfamiliar import BY_WORDS, SAYING, Told, may_tell, read_content, read_words

__all__ = ["DECODERS", "Convention", "ConventionError", "Reader", "conventions", "conversation_of", "glance", "marks_of", "parse_convention", "read"]

EXCEPTION_EVENT = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
ERROR_TYPE = "error.type"

READ_BEFORE = 40_000
"""How many readings a `Reader` remembers: as many as the store remembers spans."""
MANY = frozenset("*?[")
"""Of which a pattern that stands for many values has one."""
SHAPES = 1024
"""How many shapes of spans are remembered."""
PROCESS = ("service.name", "service.instance.id", "host.name", "process.pid")
"""What of a resource tells one process from another, where it is recorded."""
LANGCHAINS_OWN = ("lc_run-", "run-")
"""How an id begins that LangChain gave a message: no provider's."""
NAMELESS = frozenset({"", "Exception", "_OTHER"})
"""Error types that say nothing, so that a better name in the message is taken instead."""


class ConventionError(ValueError):
    """A convention file that isn't one. The message names the file, the entry and what would be right."""


def glance(span: Span) -> Reading:
    """Of what kind a span is and whether it failed or paused, as `read` tells it, and nothing else: a fraction of the work."""
    failure = _failure(span)
    return Reading(kind=_told_kind(span, _shape_of(span), Values(span))[0], error=failure.error, interrupted=failure.interrupted, handoff=failure.handoff)


def _told_kind(span: Span, shape: Shape, values: Values) -> tuple[Any, str | None, Told | None]:
    """The kind of a span, what told it, and what its words say where no convention did."""
    kind, told_by = _kind(shape.rules, values)
    told = read_words(span) if told_by is None and may_tell(span) else None
    return (kind, told_by, None) if told is None else (told.kind, told.told_by, told)


def read(span: Span) -> Reading:
    """What the conventions make of one span. Fields nobody recorded stay None; nothing is guessed from the span's name or scope alone."""
    return _read(span, _shape_of(span))


def _read(span: Span, shape: Shape) -> Reading:
    values, attributes = Values(span), span.attributes
    kind, told_by, told = _told_kind(span, shape, values)
    provenance = {} if told_by is None else {"kind": told_by}
    found: dict[str, Json] = {}
    for field, made_of, source, key, told_by in shape.asked(kind):
        if field in found:
            continue
        recorded = values.of(source) if key is None else attributes.get(key)
        if recorded is not None and (value := made_of(recorded)) is not None:
            found[field] = value
            provenance[field] = told_by
    for field, recorded, key in _by_words(span, kind, found, told):
        if field not in found and (value := FIELDS[field](recorded)) is not None:
            found[field] = value
            provenance[field] = f"{BY_WORDS}{key}"
    return _reading(kind, found, provenance, _failure(span))


def _by_words(span: Span, kind: Any, found: dict[str, Json], told: Told | None) -> Iterable[tuple[str, Json, str]]:
    """What the words of a span say: all of one whose kind no convention told, and what was said in one where no convention found that."""
    if told is not None:
        return told.fields
    return read_content(span, kind) if kind in SAYING and SAYING[kind].isdisjoint(found) and not any(piece in found for piece in PIECES) else ()


class Reader:
    """Reads each span once, though first only its conversation is asked for and later all of it; the newest spans are remembered."""

    def __init__(self, most: int = READ_BEFORE) -> None:
        self._most = most
        self._known: dict[int, tuple[Span, Reading]] = {}
        self.dialects: Counter[str | None] = Counter()
        """How many of the spans whose conversation was asked for speak which convention; under None those that speak none."""

    def conversation_of(self, span: Span) -> str | None:
        """The conversation a span belongs to."""
        shape = _shape_of(span)
        self.dialects[shape.dialect] += 1
        reading = _read(span, shape)
        while len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[id(span)] = span, reading  # kept with the span, so that its id stays its own
        return reading.conversation_id

    def marks_of(self, span: Span) -> tuple[str, ...]:
        """What the answer that a span tells of is known by, as `marks_of` finds it."""
        known = self._known.get(id(span))
        return _marks(span, read(span) if known is None else known[1])

    def read(self, span: Span) -> Reading:
        """What the conventions make of it, as `read`; it is forgotten with that, since a run is derived once."""
        known = self._known.pop(id(span), None)
        return read(span) if known is None else known[1]


def conversation_of(span: Span) -> str | None:
    """The conversation a span belongs to, as `read` finds it."""
    return read(span).conversation_id


def marks_of(span: Span) -> tuple[str, ...]:
    """What the answer that a span tells of is known by in other traces: what the provider called it, or else the tokens counted, with the process.

    A span at the top of its trace, which may be a call that another trace tells too, has both.
    """
    return _marks(span, read(span))


def _marks(span: Span, reading: Reading) -> tuple[str, ...]:
    own = (reading.response_id,) if reading.response_id else ()
    tokens = reading.tokens
    if reading.kind != "model" or not (tokens.input and tokens.output) or (own and span.parent_span_id):
        return own
    process = "|".join(str(span.resource.get(key, "")) for key in PROCESS)
    return (*own, f"{COUNTED}{tokens.input}:{tokens.output}:{process}")


@cache
def conventions() -> tuple[Convention, ...]:
    """Every convention in `conventions/`, by rank. ConventionError names the file and the entry that can't be used."""
    texts = [(entry.name, entry.read_text("utf-8")) for entry in files("workbench").joinpath("conventions").iterdir() if entry.name.endswith(".toml")]
    return tuple(sorted((parse_convention(name, text) for name, text in texts), key=lambda convention: (convention.rank, convention.name)))


# ---- fields


def _text(value: Json) -> str | None:
    if type(value) is str:
        return value or None
    return (value if isinstance(value, str) else str(value)) or None if isinstance(value, str | int | float) else None


def _instructions(value: Json) -> Message | None:
    """System instructions, recorded apart from the messages as text or parts."""
    if not value or not isinstance(value, str | list):
        return None
    return message_of({"role": "system", "content": opened(value)})


def _share(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 else None


FIELDS: dict[str, Callable[[Json], Any]] = {
    **dict.fromkeys(
        (
            "conversation_id",
            "trace_name",
            "agent",
            "node",
            "namespace",
            "model",
            "tool_name",
            "call_id",
            "error",
            "idempotency_key",
            "retry_reason",
            "reasoning",
        ),
        _text,
    ),
    "response_id": lambda value: None if isinstance(value, str) and value.startswith(LANGCHAINS_OWN) else _text(value),
    "messages": lambda value: messages_of(value) or None if isinstance(value, list | dict) else None,
    "instructions": _instructions,
    "output": answer_of,
    "tools": tool_names,
    "schemas": tool_schemas,
    "arguments": arguments_of,
    "raw_arguments": _text,
    **dict.fromkeys(("result", "question"), lambda value: value),
    **dict.fromkeys(("unreturned", "unaware"), lambda value: True),
    **dict.fromkeys(("answer.content", "answer.reasoning", "answer.tool_calls"), lambda value: opened(value) or None),
    **dict.fromkeys(("status", "status_text", "handoff", "pause"), _text),
    "positional": lambda value: value if isinstance(value, list) and value else None,
    "parameters": lambda value: tuple(value) if isinstance(value, dict | list) and value else None,
    "evaluation": _share,
    "attempt": count_of,
    **dict.fromkeys((f"tokens.{name}" for name in Tokens.model_fields), count_of),
    "cost_usd": amount_of,
    "confidence": _share,
    "confidence_source": lambda value: value if value in get_args(ConfidenceSource) else None,
    "retry_attempt": count_of,
    "retry_delay_ms": amount_of,
}
"""What a convention may map, and how a source's value becomes the field's.

`trace_name` is what its trace is called; `instructions` goes in front of the messages; `answer.*` are the parts of an answer that is recorded in pieces;
`status` is a tool's own word on how it went, "error" or other; `unreturned` is there where nothing stands for a result, `unaware` where the span's own status
says nothing of what failed below it; `handoff` names the agent that takes over; `pause` is there where it waits for a person, `question` is what that one is
asked; `positional` are arguments without names, which `parameters` has in order; `evaluation` is an evaluator's score of the answer; `confidence`, its source
and `reasoning` go into the output; `status_text` says why, where `status` says that it failed. Where `tools` is mapped, `schemas` is read from the same
sources.
"""
DISPATCHED = 2
"""How many arguments a dispatcher has, such as browser-use's: which tool, and what that is given."""
INTERRUPTS = ("Interrupt(", "(Interrupt(", "[Interrupt(")
"""How the text of LangGraph's interrupt begins, where its exception's name is lost."""
FAILED = frozenset(("error", "failed", "failure", "true"))
PIECES = {f"answer.{name}": name for name in ("content", "reasoning", "tool_calls")}
COUNTS = {f"tokens.{name}": name for name in Tokens.model_fields}
"""The fields that are parts of another, and which part."""
OF_OUTPUT = ("confidence", "confidence_source", "reasoning")
MADE_UP = frozenset(
    (*PIECES, *COUNTS, *OF_OUTPUT, "output", "instructions", "evaluation", "positional", "parameters", "status", "status_text", "handoff", "pause")
)
"""The fields out of which others are made. A span that has none of them, as most do, says what it says."""
NOTHING_READ = dict(Reading())
NO_COUNTS = dict(NO_TOKENS)
UNTOLD = "failed, with no message recorded"
SUMMED = "input + output"
"""Provenance of a total that was not recorded: nobody counts anything else in it."""


def _reading(kind: Any, found: dict[str, Json], provenance: dict[str, str], failure: Failure) -> Reading:
    if len(given := found.get("arguments", ())) == DISPATCHED and found.get("tool_name") in given.values():
        found["arguments"] = next((value for value in given.values() if isinstance(value, dict)), given)
    if failure is WELL and found.keys().isdisjoint(MADE_UP):
        return Reading.made({**NOTHING_READ, "kind": kind, "provenance": provenance, **found})
    _name_arguments(found)
    pieces = _taken(PIECES, found)
    if pieces and "output" not in found:
        found["output"] = message_of({"role": "assistant", **pieces})
    failure = _told(found, failure)
    tokens = _tokens(found, provenance)
    instructions = found.pop("instructions", None)
    messages = found.get("messages", ())
    if instructions and not any(message.role == "system" for message in messages):
        found["messages"] = (instructions, *messages)
    if (score := found.pop("evaluation", None)) is not None and "confidence" not in found:
        found |= {"confidence": score, "confidence_source": "evaluation"}
    said = {field: found.pop(field) for field in OF_OUTPUT if field in found}
    if said and (output := found.get("output")):
        found["output"] = output.model_copy(update=said)
    if failure.error or failure.interrupted:
        found["error"] = failure.error
    told = {"kind": kind, "tokens": tokens, "interrupted": failure.interrupted, "handoff": failure.handoff, "provenance": provenance}
    return Reading.made({**NOTHING_READ, **told, **found})


def _taken(parts: dict[str, str], found: dict[str, Json]) -> dict[str, Json]:
    """What was found of these parts, which are taken out of it."""
    return {name: found.pop(field) for field, name in parts.items() if field in found}


def _name_arguments(found: dict[str, Json]) -> None:
    """Give positional arguments the names the tool's parameters have."""
    positional, names = found.pop("positional", None), found.pop("parameters", ())
    if positional and len(positional) <= len(names):
        given = (found.get("arguments") or {}).get("kwargs")
        found["arguments"] = dict(zip(names, positional, strict=False)) | (given if isinstance(given, dict) else {})


def _told(found: dict[str, Json], failure: Failure) -> Failure:
    """How the span ended, by what its attributes say of it beside its status."""
    status, text, handoff, pause = (found.pop(field, None) for field in ("status", "status_text", "handoff", "pause"))
    if pause and not failure.interrupted:
        return Failure(interrupted=True)
    if handoff and not failure.interrupted:
        found.setdefault("result", handoff)
        return Failure(interrupted=True, handoff=True)
    if status and status.lower() in FAILED and not (failure.error or failure.interrupted):
        result = found.get("result")
        said = result if isinstance(result, str) else None if result is None else canonical(result)
        return _read_failure(found.get("error") or text or said or status)
    if failure.error == UNTOLD and found.get("error"):
        return Failure(error=found["error"])
    return failure


def _read_failure(text: str) -> Failure:
    """How something failed of which only a text is recorded: it may be that of an exception that only pauses or hands over."""
    kind, _ = _unwrapped("", text)
    pauses, handoffs = _signals()
    hands_over = kind in handoffs or bool(HANDOFF.search(kind))
    if kind in pauses or hands_over or PAUSE.search(kind) or text.startswith(INTERRUPTS):
        return Failure(interrupted=True, handoff=hands_over)
    return Failure(error=text)


def _tokens(found: dict[str, Json], provenance: dict[str, str]) -> Tokens:
    """The counts, those of the span before those of the answer in it. A total that was not recorded is input + output where both were."""
    output: Message | None = found.get("output")
    counts = {} if output is None else output.tokens.said()
    counts |= _taken(COUNTS, found)
    if not counts:
        return NO_TOKENS
    if "total" not in counts and counts.keys() >= {"input", "output"}:
        counts["total"] = counts["input"] + counts["output"]
        provenance["tokens.total"] = SUMMED
    whole, added = with_parts(counts)
    provenance |= {f"tokens.{name}": " + ".join((name, *parts)) for name, parts in added.items()}
    return Tokens.made({**NO_COUNTS, **whole})


# ---- errors, interrupts and handoffs


@dataclass(frozen=True)
class Failure:
    """How a span failed: an error's text, or that it only paused for a person, or handed over to another agent."""

    error: str | None = None
    interrupted: bool = False
    handoff: bool = False


WELL = Failure()
PAUSE = re.compile(
    r"^(?!Keyboard|Thread)\w*Interrupt(?!ed)|(Approval|Confirmation|Human\w*|UserInput)(Is)?(Required|Needed|Pending|Requested)|(Agent|Graph|Run|Workflow)(Paused|Suspended)"
)
HANDOFF = re.compile(r"Hand_?[oO]ff(?!.*(Error|Failed|Failure))")
"""Names of exceptions that are a pause for a person, or a handoff, in whichever framework; conventions name those that don't sound so."""


def _failure(span: Span) -> Failure:
    if not span.events and span.status != "error" and ERROR_TYPE not in span.attributes:
        return WELL
    kind, message = _raised(span)
    pauses, handoffs = _signals()
    hands_over = kind in handoffs or bool(HANDOFF.search(kind))
    if kind in pauses or hands_over or PAUSE.search(kind):
        return Failure(interrupted=True, handoff=hands_over)
    if span.status == "error" or (span.status == "unset" and ERROR_TYPE in span.attributes):
        return Failure(error=": ".join(part for part in (kind, message) if part) or UNTOLD)
    return Failure()


def _raised(span: Span) -> tuple[str, str]:
    """Type (without its module) and message of what the span raised; empty where nothing is recorded."""
    event = next((event for event in reversed(span.events) if event.name == EXCEPTION_EVENT), None)
    attributes = event.attributes if event else {}
    kind = str(attributes.get(EXCEPTION_TYPE) or span.attributes.get(ERROR_TYPE) or "").rpartition(".")[2]
    message = str(attributes.get(EXCEPTION_MESSAGE) or span.status_message or "").partition("Traceback (most recent call last)")[0].strip()
    return _unwrapped(kind, message) if message else (kind, message)


def _unwrapped(kind: str, message: str) -> tuple[str, str]:
    """Type and message from a message that is itself the text of an exception: `ValueError('no such flight')`, `ValueError: no such flight`."""
    shape = re.match(r"([A-Z]\w*)(\(.*\)$|: )", message, re.DOTALL)
    if not shape or (kind not in NAMELESS and shape[1] != kind):
        return kind, message
    if shape[2] == ": ":
        return (shape[1], message[shape.end() :]) if shape[1].endswith(("Error", "Exception", "Interrupt")) else (kind, message)
    try:
        inside = DECODERS["python"](shape[2][1:-1])
    except ValueError:
        inside = None
    return shape[1], inside if isinstance(inside, str) else shape[2][1:-1]


@cache
def _signals() -> tuple[frozenset[str], frozenset[str]]:
    """Exception types that are a pause for a person, and those that are a handoff, of all conventions together."""
    return frozenset(name for one in conventions() for name in one.interrupts), frozenset(name for one in conventions() for name in one.handoffs)


# ---- conventions


@dataclass(frozen=True)
class KindRule:
    """One rule for a span's kind: what a source's value stands for (`*` matches anything), or `kind` where a source has a value or two have the same."""

    sources: tuple[Source, ...]
    values: dict[str, str]
    kind: str | None

    @cached_property
    def patterns(self) -> dict[str, str]:
        """Those of its values that stand for many."""
        return {pattern: kind for pattern, kind in self.values.items() if MANY & set(pattern)}

    def of(self, values: Values) -> str | None:
        """The kind by this rule; None where it says nothing."""
        found = values.of(self.sources[0])
        if found is None:
            return None
        if self.kind is None:
            value = str(found)
            told = self.values.get(value)
            return told if told or not self.patterns else next((kind for pattern, kind in self.patterns.items() if fnmatchcase(value, pattern)), None)
        return self.kind if all(values.of(source) == found for source in self.sources[1:]) else None


@dataclass(frozen=True)
class Convention:
    """One convention, compiled from its file."""

    name: str
    rank: int
    prefixes: tuple[str, ...]
    scopes: tuple[str, ...]
    kinds: tuple[KindRule, ...]
    fields: dict[str, tuple[tuple[str, tuple[Source, ...]], ...]]
    interrupts: tuple[str, ...]
    handoffs: tuple[str, ...]

    @property
    def heads(self) -> frozenset[str]:
        """The first segments of its prefixes."""
        return frozenset(prefix.partition(".")[0] for prefix in self.prefixes)

    def fields_of(self, kind: str) -> tuple[tuple[str, tuple[Source, ...]], ...]:
        """The fields a span of this kind has, each with its sources in order."""
        return self.fields.get(kind, self.fields["every"])


Asked = tuple[str, Callable[[Json], Any], Source, str | None, str]
"""A field, how a value becomes it, a source that may have one (and its key, where it is an attribute as it is), and what provenance says of it."""


@dataclass(frozen=True)
class Shape:
    """What is known of all spans that have attributes of the same names and the same scope, and events or none. Few shapes make up a whole trace."""

    keys: tuple[str, ...]
    events: bool
    spoken: tuple[Convention, ...]
    """The conventions of which they have an attribute or the scope, by rank."""

    @cached_property
    def dialect(self) -> str | None:
        """The convention that says what kinds of spans there are, of those they speak the first by rank; None where they speak none."""
        return next((convention.name for convention in self.spoken if convention.kinds), None)

    @cached_property
    def rules(self) -> tuple[tuple[KindRule, str], ...]:
        """The rules that may tell their kind, in order, each with what provenance says of it."""
        every = ((convention, rule) for convention in self.spoken for rule in convention.kinds)
        return tuple((rule, f"{convention.name}: {rule.sources[-1].text}") for convention, rule in every if all(map(self._may_have, rule.sources)))

    def asked(self, kind: str) -> tuple[Asked, ...]:
        """The fields of those of one kind, in the order they are asked."""
        known = self._asked.get(kind)
        if known is None:
            known = self._asked[kind] = tuple(
                (name, FIELDS[name], source, source.attribute, f"{convention.name}: {source.text}")
                for convention in self.spoken
                for name, sources in convention.fields_of(kind)
                for source in dict.fromkeys(filter(self._may_have, sources))
            )
        return known

    @cached_property
    def _asked(self) -> dict[str, tuple[Asked, ...]]:
        return {}

    def _may_have(self, source: Source) -> bool:
        return source.may_be_in(self.keys, events=self.events)


def _shape_of(span: Span) -> Shape:
    return _shape(tuple(span.attributes), span.scope or "", bool(span.events))


@lru_cache(SHAPES)
def _shape(keys: tuple[str, ...], scope: str, events: bool) -> Shape:
    heads = {key.partition(".")[0] for key in keys}
    spoken = (
        convention
        for convention, own in _by_heads()
        if (own & heads and any(key.startswith(convention.prefixes) for key in keys)) or (convention.scopes and scope.startswith(convention.scopes))
    )
    return Shape(keys, events, tuple(spoken))


@cache
def _by_heads() -> tuple[tuple[Convention, frozenset[str]], ...]:
    return tuple((convention, convention.heads) for convention in conventions())


def _kind(rules: Iterable[tuple[KindRule, str]], values: Values) -> tuple[str, str | None]:
    """The kind by the first rule that says one, and which that was."""
    for rule, told_by in rules:
        if kind := rule.of(values):
            return kind, told_by
    return "other", None


KINDS = frozenset({"model", "tool", "human", "retrieval", "embedding", "agent", "node", "plumbing", "other"})
SECTIONS = KINDS | {"every"}
ENTRIES = SECTIONS | {"about", "rank", "prefixes", "scopes", "kind", "interrupts", "handoffs"}


def parse_convention(name: str, text: str) -> Convention:
    """A convention from the text of its file, called like the file without `.toml`. ConventionError names what is wrong with it."""
    try:
        return _compiled(name.removesuffix(".toml"), tomllib.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConventionError(f"conventions/{name}: {type(error).__name__}: {error}") from error


def _compiled(name: str, content: Fields) -> Convention:
    if unknown := content.keys() - ENTRIES:
        raise ValueError(f"no entry {min(unknown)!r}; there are {', '.join(sorted(ENTRIES))}")
    every = dict(_flat(content.get("every", {})))
    return Convention(
        name=name,
        rank=content["rank"],
        prefixes=tuple(content["prefixes"]),
        scopes=tuple(content.get("scopes", ())),
        kinds=tuple(_rule(rule) for rule in content.get("kind", ())),
        fields={section: tuple(_merged(dict(_flat(content.get(section, {}))), every)) for section in SECTIONS},
        interrupts=tuple(content.get("interrupts", ())),
        handoffs=tuple(content.get("handoffs", ())),
    )


def _rule(rule: Fields) -> KindRule:
    texts = rule.get("same") or [rule.get("has") or rule["source"]]
    values = rule.get("values", {})
    if wrong := {*values.values(), rule.get("is", "other")} - KINDS:
        raise ValueError(f"no kind {min(wrong)!r}; there are {', '.join(sorted(KINDS))}")
    return KindRule(tuple(source_of(text) for text in texts), values, rule.get("is"))


def _flat(section: Fields, prefix: str = "") -> Iterator[tuple[str, tuple[Source, ...]]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif prefix + key not in FIELDS:
            raise ValueError(f"no field {prefix + key!r}; there are {', '.join(FIELDS)}")
        elif not isinstance(value, list):
            raise ValueError(f"{prefix + key} should be a list of sources, found {value!r}")
        else:
            yield prefix + key, tuple(source_of(text) for text in value)


def _merged(own: dict[str, tuple[Source, ...]], every: dict[str, tuple[Source, ...]]) -> Iterator[tuple[str, tuple[Source, ...]]]:
    """A kind's own sources, and after them those every kind has."""
    for field in own | every:
        sources = own.get(field, ()) + every.get(field, ())
        yield field, sources
        if field == "tools":  # where the names of the tools stand, their schemas may
            yield "schemas", sources
