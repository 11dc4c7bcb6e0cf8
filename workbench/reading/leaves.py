"""The attributes of a span as leaves: each value with the words of all the names on the way to it.

`llm.usage.promptTokens`, `usage: {"prompt_tokens": 12}`, `acme/llm/usage[prompt-tokens]` and JSON in text say the same, and come out the same:
`("llm", "usage", "prompt", "tokens")`, 12. An event's attributes stand below its name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from workbench.model import Json, Span
from workbench.reading.decoders import opened, unflattened
from workbench.reading.messages import Fields


def vocabulary(text: str) -> frozenset[str]:
    """A set of words, written as one text."""
    return frozenset(text.split())


MAX_DEPTH = 8
MAX_LEAVES = 2_000
"""Leaves looked at: no span that tells of one call has more."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_BETWEEN = re.compile(r"[./:\[\]]+")
FILLERS = frozenset(("content", "text", "value", "json", "body", "data", "raw", "string", "str", "attributes"))
"""Words at a name's end that say nothing of what the value is."""
INSIDE = vocabulary(
    "input inputs output outputs arguments args parameters params kwargs result results response request messages prompt prompts completion completions"
)
"""What is below a name that ends so is what was said or given: its names are not the span's own."""
GENERAL = vocabulary(
    "browser client cloud code container db deployment destination device disk dotnet enduser exception faas feature_flag file geo graphql host "
    "http jvm k8s messaging net network nodejs os otel peer process rpc server service source system telemetry thread tls url user user_agent vcs"
)
"""The first names of OpenTelemetry's general conventions, which say nothing of an agent's calls but may sound so."""


@dataclass(frozen=True)
class Leaf:
    """One value. `inside` says that it is part of something said or given, such as an argument; `key` is its name as recorded."""

    words: tuple[str, ...]
    value: Json
    inside: bool
    key: str


@lru_cache(4096)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a name in lower case, however they are joined."""
    return tuple(word.lower() for word in _WORD.findall(text[:256]))


def leaves_of(span: Span) -> list[Leaf]:
    """The leaves of a span, the shallow before the deep. Lists and what is said or given are leaves, and are looked into as well."""
    own = {".".join(_BETWEEN.split(key)).strip("."): value for key, value in span.attributes.items() if _BETWEEN.split(key)[0] not in GENERAL}
    found: list[Leaf] = []
    _gather(_nested(own), (), "", own.keys(), around=False, inside=False, found=found)
    for event in span.events:
        if event.name != "exception":
            _gather(_nested(event.attributes), words_of(event.name), f"event {event.name}:", (), around=False, inside=False, found=found)
    return sorted(found, key=lambda leaf: (leaf.inside, len(leaf.words)))


def _nested(attributes: Fields) -> Fields:
    """The attributes as the objects and lists they were flattened from; a value that also has names below it stands there under an empty name."""
    above = {key[:at] for key in attributes for at, letter in enumerate(key) if letter == "."}
    nested = unflattened({f".{key}." if key in above else f".{key}": value for key, value in attributes.items()}, ".")
    return nested if isinstance(nested, dict) else {}


def _gather(fields: Fields, above: tuple[str, ...], path: str, flat: Collection[str], *, around: bool, inside: bool, found: list[Leaf]) -> None:
    """Add the leaves below some words. Of what was flattened to a name and its `.value`, the value is the leaf.

    `inside` is for what stands below these words; `around` is for what they themselves are, said again by a name such as `.value`.
    """
    for key, packed in fields.items():
        if len(found) >= MAX_LEAVES:
            return
        value, name = opened(packed), f"{path}{key}"
        words = above + words_of(key)
        while len(words) > 1 and words[-1] in FILLERS:
            words = words[:-1]
        if f"{name}.value" not in flat:
            found.append(Leaf(words, value, around if words == above else inside, name))
        if isinstance(value, dict) and name.count(".") < MAX_DEPTH:
            within = inside or bool(words and words[-1] in INSIDE)
            _gather(value, words, f"{name}.", flat, around=inside, inside=within, found=found)


def ending(leaves: list[Leaf], *endings: str) -> Iterator[Leaf]:
    """The leaves whose words end in one of these, the first of them first."""
    for text in endings:
        last = tuple(text.split())
        yield from (leaf for leaf in leaves if leaf.words[-len(last) :] == last)
