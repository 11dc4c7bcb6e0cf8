"""Recorded text made fit for a page: long texts cut with what is left out counted, and characters that hide or reorder made visible."""

from __future__ import annotations

import itertools
import json
import re

from workbench.model import Json

PREVIEW_CHARS = 2_000
CHUNK_CHARS = 100_000
WIDTH = 64
MAX_LAYOUT_CHARS = 200_000
MAX_INDENT = 80
"""Deeper than this JSON goes on one line: a recording may be nested as deep as it likes."""

MANY_LOGPROBS = 3

Excerpt = str | list[str | int]
"""A text, or its beginning and how many more characters it has: `["{\\"rows\\": [...", 998000]`."""

# Controls, bidirectional marks and overrides, zero-width and filler characters, tags: all can make text read as something it is not.
# elements.js has the same list. ZWJ inside an emoji sequence is left alone.
HIDDEN = re.compile(
    "(?<![\u2600-\u27bf\U0001f000-\U0001faff\ufe0f])\u200d"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    """The text with every hidden character written out: a right-to-left override becomes `⟨U+202E⟩`."""
    return HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def sendable(text: str) -> str:
    """The text with lone surrogates written out, since they have no UTF-8 and would break the message they travel in."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def fold_logprobs(value: Json, depth: int = 0) -> Json:
    """A value with each long list of token log-probabilities replaced by how many they are: what a step wrote is not to drown in them."""
    if depth > MAX_INDENT:
        return value
    if isinstance(value, dict):
        return {name: (_counted(inner) if name == "logprobs" else None) or fold_logprobs(inner, depth + 1) for name, inner in value.items()}
    return [fold_logprobs(inner, depth + 1) for inner in value] if isinstance(value, list) else value


def _counted(logprobs: Json) -> str | None:
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else logprobs
    return f"… {len(tokens):,} token log-probabilities: folded here" if isinstance(tokens, list) and len(tokens) > MANY_LOGPROBS else None


def as_text(value: Json) -> str:
    """A recorded value as a person reads it: JSON broken into lines where it would be too wide, any other text as it is."""
    return _readable(value) if isinstance(value, str) else _layout(value, 0)


def _readable(text: str) -> str:
    """Text that is JSON on one line, laid out; only where nothing but spaces changes, so no digit, repeated key or escape gets lost."""
    if not WIDTH < len(text) <= MAX_LAYOUT_CHARS or text[0] not in "{[":
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    spacings = itertools.product((False, True), ((", ", ": "), (",", ":")))
    same = any(json.dumps(value, ensure_ascii=ascii_only, separators=spacing) == text for ascii_only, spacing in spacings)
    return _layout(value, 0) if same else text


def _layout(value: Json, indent: int, lead: int = 0) -> str:
    flat = json.dumps(value, ensure_ascii=False, default=str)
    if not isinstance(value, dict | list) or not value or len(flat) + indent + lead <= WIDTH or indent > MAX_INDENT:
        return flat
    start, end = "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, dict):
        names = [f"{json.dumps(str(name), ensure_ascii=False)}: " for name in value]
        parts = [name + _layout(item, indent + 2, len(name)) for name, item in zip(names, value.values(), strict=True)]
    else:
        parts = [_layout(item, indent + 2) for item in value]
    gap = "\n" + " " * (indent + 2)
    return f"{start}{gap}{f',{gap}'.join(parts)}\n{' ' * indent}{end}"


def excerpt(text: str, limit: int = PREVIEW_CHARS) -> Excerpt:
    """The text, or its first `limit` characters and the number of those left out."""
    kept = sendable(text[:limit])
    return kept if len(text) <= limit else [kept, len(text) - limit]


def whole(text: str) -> Excerpt:
    """The text uncut, for a reader that takes a slice of it."""
    return text
