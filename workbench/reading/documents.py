"""JSON out of untrusted files and attributes: one document or one a line, parsed without surprises."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Any

import msgspec

from workbench.model import Json
from workbench.source import Source, SourceError

MAX_DEPTH = 200
"""Deeper nesting than this is refused: no trace needs it, and every later reader of the value would have to survive it."""

REPLACED = "\ufffd"
"""What stands in the place of bytes that are no UTF-8."""
LONG_CHARACTERS = 1024
"""A list of at least this length is read item by item, since its items are likely to recur."""
KEPT_ITEMS, KEPT_ITEM_BYTES = 4096, 32 * 1024
"""How many items are remembered, and how long one may be for that."""
KEPT_LISTS = 1024
_LISTED: dict[int, tuple[str, Listed | None]] = {}
_ITEMS: dict[bytes, bytes] = {}
_RAW_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}\[\]]')


def parse_json(text: str | bytes) -> Json:
    """The value a JSON text stands for, safe to store and to write again.

    NaN, infinities and numbers past a double's range come as text, half a surrogate pair as U+FFFD.
    ValueError for what is no JSON, no UTF-8, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _parse_leniently(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    if (text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")) > MAX_DEPTH:
        _check_depth(value)
    return value


def _parse_leniently(text: str) -> Json:
    """As `parse_json`, for what is not strictly JSON or says why it is none. For all that msgspec reads the two give the same."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    return _safe(value, text)


class Item(dict[str, Json]):
    """An object of a list that recurs. It is shared, so it must not be changed; `meaning` is for what a reader made of it."""

    __slots__ = ("meaning",)
    meaning: Any


def parse_recurring(text: str) -> Json:
    """As `parse_json`, for text of which much recurs: each model call repeats the messages of the one before. Equal items are one object."""
    found = listed(text)
    if found is None:
        return parse_json(text)  # it says what is wrong, or reads what is not strictly JSON
    return [parse_item(item) for item in found.items]


@dataclass(frozen=True)
class Listed:
    """The items of a JSON list as they are written, equal ones one object; what stands between them, where they are all of the text."""

    items: tuple[bytes, ...]
    separator: bytes | None


def listed(text: str) -> Listed | None:
    """The items of a long JSON list, None for any other text. Taken apart once, however many ask for the same text one after the other."""
    if len(text) < LONG_CHARACTERS or text[0] != "[":
        return None
    known = _LISTED.get(id(text))
    if known is None:
        if len(_LISTED) >= KEPT_LISTS:
            _LISTED.clear()
        known = _LISTED[id(text)] = text, _taken_apart(text)  # kept with the text, so that its id stays its own
    return known[1]


def _taken_apart(text: str) -> Listed | None:
    try:
        content = text.encode()
        raw = [bytes(one) for one in _RAW_ITEMS.decode(content)]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if len(_ITEMS) >= KEPT_ITEMS:
        _ITEMS.clear()
    items = tuple([_ITEMS.setdefault(one, one) for one in raw])
    return Listed(items, next((one for one in (b",", b", ") if b"[" + one.join(items) + b"]" == content), None))


def parse_item(item: bytes) -> Json:
    """An item of a list, the same object for the same bytes while it is remembered: it must not be changed."""
    return _recurring(item) if len(item) <= KEPT_ITEM_BYTES else parse_json(item)


@lru_cache(KEPT_ITEMS)
def _recurring(item: bytes) -> Json:
    value = parse_json(item)
    return Item(value) if isinstance(value, dict) else value


def json_documents(source: Source) -> Iterator[tuple[int, Json | SourceError]]:
    """Each JSON document of a file with the number of the line it starts in: one a line (JSON lines), else laid out over several lines each.

    A line, or a document after the first, that can't be read comes as a SourceError in its place. A file whose first document can't be read is raised as one.
    What is no UTF-8 is read as U+FFFD, which a SourceError before the document says.
    """
    lines = source.lines()
    first = list(islice(lines, 2))
    if not _one_a_line([line for _, line in first]):
        yield from _laid_out(source)
        return
    for number, line in chain(first, lines):
        place = f"{source.path}:{number}"
        for document in [line] if isinstance(line, SourceError) else parsed(line, place):
            yield number, document


def parsed(text: bytes, place: str) -> Iterator[Json | SourceError]:
    """The value of a JSON text; before it what says so where some of it is no UTF-8. A SourceError alone where it is no JSON."""
    try:
        told, value = _parsed(text, place)
    except ValueError as error:
        yield SourceError(f"{place}: no whole JSON document: {error}")
        return
    yield from filter(None, [told])
    yield value


def _parsed(content: bytes, place: str) -> tuple[SourceError | None, Json]:
    try:
        return None, parse_json(content)
    except UnicodeDecodeError:
        text, told = decoded(content, place)
        return told, parse_json(text)


def decoded(content: bytes, place: str) -> tuple[str, SourceError | None]:
    """A text as it is; where some of it is no UTF-8, with U+FFFD in the place of that, and what says so."""
    try:
        return content.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        text = content.decode("utf-8-sig", "replace")
    count = text.count(REPLACED) - content.count(REPLACED.encode())
    return text, SourceError(f"{place}: no UTF-8 in {count} place{'s' if count > 1 else ''}, read as U+FFFD; the rest stands")


def first_keys(head: bytes) -> frozenset[str]:
    """The keys of the first object of a JSON text, be it the document itself or the first of a list, as far as its head shows them.

    Empty for what is no JSON. Only keys of that object count, not those of objects inside it.
    """
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    outer = 1 if re.match(r"\[\s*\{", text) else 0
    if not outer and not text.startswith("{"):
        return frozenset()
    depth, keys = 0, set()
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == outer:
                break
        elif depth == outer + 1 and token[2]:
            keys.add(token[1])
    return frozenset(keys)


def _one_a_line(lines: list[bytes | SourceError]) -> bool:
    """Whether the first lines look like JSON lines: the first is whole, or it is broken and the second is whole."""
    whole = [isinstance(line, bytes) and (line.strip()[:1] + line.strip()[-1:]) in {b"{}", b"[]"} for line in lines]
    broken_first = len(lines) == 2 and not (isinstance(lines[0], bytes) and lines[0].strip() == b"[")  # noqa: PLR2004  # the first two lines
    return whole[:1] == [True] or (broken_first and whole[1])


def _laid_out(source: Source) -> Iterator[tuple[int, Json | SourceError]]:
    """The documents of a file one after another, as a console exporter prints them; mostly there is but one."""
    text, told = decoded(source.read(), f"{source.path}:1")
    start, line = 0, 1
    while start < len(text):
        end = _SPACE.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing at all, too
        line += text.count("\n", start, end)
        if end == len(text) and start:
            return
        try:
            value, start = _raw_decoded(text, end)
        except ValueError as error:
            if not start:
                raise SourceError(f"{source.path}: neither JSON lines nor one whole JSON document: {error}") from error
            yield line, SourceError(f"{source.path}:{line}: no whole JSON document: {error}")
            return
        if told is not None:
            yield 1, told
            told = None
        yield line, value
        line += text.count("\n", end, start)


def _raw_decoded(text: str, start: int) -> tuple[Json, int]:
    """The document that begins at `start`, and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    return _safe(value, text[start:end]), end


def _safe(value: Json, text: str) -> Json:
    """The value of a text, checked for depth, with whole characters only."""
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return whole_characters(value) if "\\ud" in text or "\\uD" in text else value


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


_SPACE = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_finite)


def _check_depth(value: Json) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in (outer.values() if type(outer) is dict else outer) if type(inner) in (dict, list)]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH}")


def whole_characters(value: Json) -> Json:
    """The value with every lone surrogate replaced: such text can't be encoded, so nothing could store or show it."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole_characters(inner) for inner in value]
    if isinstance(value, dict):
        return {whole_characters(key): whole_characters(inner) for key, inner in value.items()}
    return value
