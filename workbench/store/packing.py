"""What a value looks like in the store: its long texts taken out and kept once, under their own addresses.

A tool's result stands in the tool's span, in the message that reports it, in that message again in each later prompt, in the step. As packed JSON all
of them point at one text. A packed value is JSON in which an object with one key of these stands for something else:

    {"$text": address}                        a long text, or any other value that is kept apart
    {"$items": [style, address, ...]}         text that is a JSON list, such as recorded messages: each item by itself
    {"$json": [style, packed]}                text that is a JSON object
    {"$number": "nan"}                        what JSON has no number for
    {"$object": {"$text": ...}}               an object that only looks like one of these

Text that is JSON is only taken apart where putting it together gives the same characters again; `style` says how it was written.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator

import msgspec

from workbench.model import Json, Value
from workbench.reading.documents import listed, parse_item, parse_json

TEXT, ITEMS, DOCUMENT, OBJECT, NUMBER = "$text", "$items", "$json", "$object", "$number"
PLAIN = frozenset((int, bool, type(None)))
LISTS = (list, tuple)
NESTED = frozenset((dict, list))
LONG = 256
"""Characters from which a text is kept apart: below, its address would be no shorter than itself."""
LONG_JSON = 1024
KEPT_BYTES = 64 * 1024 * 1024
"""How much text is remembered with its address: what comes in between a span and the derivation of its run."""
STYLES = tuple(json.JSONEncoder(separators=separators, ensure_ascii=ascii_only) for separators in ((",", ":"), (", ", ": ")) for ascii_only in (False, True))
"""The ways in which JSON is usually written: compact or spaced, as UTF-8 or escaped."""
ADDRESS = re.compile(rb'"([0-9a-f]{64})"')
_UNSPLIT = (ValueError, UnicodeEncodeError, RecursionError)


def to_bytes(value: Json) -> bytes:
    """The JSON text under whose SHA-256 a packed value is kept: compact, half a surrogate pair and integers of any size survive."""
    try:
        return msgspec.json.encode(value)
    except (ValueError, OverflowError):  # UnicodeEncodeError is a ValueError
        return STYLES[0].encode(value).encode("utf-8", "surrogatepass")


def from_bytes(content: bytes) -> Json:
    """The value a JSON text stands for."""
    try:
        return msgspec.json.decode(content)
    except ValueError:
        return json.loads(content)


class Texts:
    """Addresses and contents of long texts: what came in with a span is not written and hashed anew with the step that repeats it. Bounded."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._known: dict[str, tuple[str, bytes]] = {}

    def of(self, text: str) -> tuple[str, bytes]:
        """The address of a text, and its content."""
        known = self._known.get(text)
        if known is None:
            content = to_bytes(text)
            known = address_of(content), content
            if self._bytes + len(content) > self._most:
                self.forget()
            self._bytes += len(content)
            self._known[text] = known
        return known

    def forget(self) -> None:
        """Let go of all of them."""
        self._known.clear()
        self._bytes = 0


class Packer:
    """Takes values apart; `put` keeps a content and returns its address, `put_text` that of a text. What recurs is taken apart once."""

    def __init__(self, put: Callable[[bytes], str], put_text: Callable[[str], str] | None = None) -> None:
        self._put = put
        self._put_text = put_text or (lambda text: put(to_bytes(text)))
        self._texts: dict[str, Json] = {}
        self.long_characters = 0
        """How many characters the long texts had, those that recurred included."""
        self._items: dict[tuple[int, bytes], str | None] = {}

    def pack(self, value: Json) -> Json:
        """The packed form of a value."""
        if isinstance(value, str):
            return value if len(value) < LONG else self._long(value)
        if isinstance(value, LISTS):
            return [inner if type(inner) in PLAIN or (type(inner) is str and len(inner) < LONG) else self.pack(inner) for inner in value]
        if isinstance(value, dict):
            apart = {
                key: packed
                for key, inner in value.items()
                if inner and (kind := type(inner)) not in PLAIN and (kind is not str or len(inner) >= LONG) and (packed := self.pack(inner)) is not inner
            }
            packed = {**value, **apart} if apart else value  # most objects stay as they are
            return {OBJECT: packed} if len(packed) == 1 and next(iter(packed))[:1] == "$" else packed
        if isinstance(value, float):
            return value if math.isfinite(value) else {NUMBER: str(value)}
        return self.pack(value.__dict__) if isinstance(value, Value) else value

    def apart(self, value: Json) -> Json:
        """A value that many others share, kept under an address of its own."""
        return {TEXT: self._put(to_bytes(self.pack(value)))}

    def _long(self, text: str) -> Json:
        self.long_characters += len(text)
        packed = self._texts.get(text)
        if packed is None:
            packed = self._texts[text] = self._taken_apart(text) or {TEXT: self._put_text(text)}
        return packed

    def _taken_apart(self, text: str) -> Json | None:
        """Text that is JSON as its parts; None where it is none, or would not come out the same."""
        if len(text) < LONG_JSON or text[0] not in "[{":
            return None
        try:
            return self._list(text) if text[0] == "[" else self._document(text)
        except _UNSPLIT:
            return None

    def _list(self, text: str) -> Json | None:
        found = listed(text)
        if found is None or found.separator is None:
            return None
        for style in (0, 1) if found.separator == b"," else (2, 3):
            addresses = [self._item(style, one) for one in found.items]
            if None not in addresses:
                return {ITEMS: [style, *addresses]}
        return None

    def _item(self, style: int, text: bytes) -> str | None:
        key = style, text
        if key not in self._items:
            value = parse_item(text)
            same = (style == 0 and msgspec.json.encode(value) == text) or STYLES[style].encode(value).encode() == text
            self._items[key] = self._put(to_bytes(self.pack(value))) if same else None
        return self._items[key]

    def _document(self, text: str) -> Json | None:
        value = parse_json(text)
        style = next((number for number, encoder in enumerate(STYLES) if encoder.encode(value) == text), None)
        return None if style is None else {DOCUMENT: [style, self.pack(value)]}


def address_of(content: bytes) -> str:
    """The address under which a content is kept: its SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


class MissingError(LookupError):
    """A content that the store points at and does not hold: it is damaged."""

    def __init__(self, address: str) -> None:
        super().__init__(f"payload {address[:12]} is missing; `workbench verify` finds all that is damaged in a store")


class Unpacker:
    """Puts packed values together; `fetch` gives the contents behind addresses. What recurs is put together once: treat it as read-only."""

    def __init__(self, fetch: Callable[[set[str]], dict[str, bytes]]) -> None:
        self._fetch = fetch
        self._packed: dict[str, Json] = {}
        self._whole: dict[str, Json] = {}
        self._written: dict[tuple[int, str], str] = {}

    def load(self, addresses: list[str]) -> Iterator[Json]:
        """The values behind these addresses, in their order. MissingError for one that is not there."""
        self._gather(set(addresses))
        return (self._at(address) for address in addresses)

    def _gather(self, wanted: set[str]) -> None:
        """Fetch what is wanted and all it points at, level by level; what merely looks like an address is not found, and not missed."""
        seen = set(self._packed)
        while wanted := wanted - seen:
            seen |= wanted
            contents = self._fetch(wanted)
            self._packed |= {address: from_bytes(content) for address, content in contents.items()}
            wanted = {found.decode() for content in contents.values() if content[:1] != b'"' for found in ADDRESS.findall(content)}

    def _at(self, address: str) -> Json:
        if address not in self._whole:
            if address not in self._packed:
                raise MissingError(address)
            self._whole[address] = self.unpack(self._packed[address])
        return self._whole[address]

    def unpack(self, packed: Json) -> Json:
        """The value that a packed form stands for; what it points at must have been fetched."""
        if isinstance(packed, dict):
            if len(packed) == 1:
                key = next(iter(packed))
                if key[:1] == "$":
                    return self._marked(key, packed[key])
            return {key: self.unpack(inner) if type(inner) in NESTED else inner for key, inner in packed.items()}
        return [self.unpack(inner) for inner in packed] if isinstance(packed, list) else packed

    def _marked(self, key: str, held: Json) -> Json:
        if key == TEXT:
            return self._at(held)
        if key == DOCUMENT:
            return STYLES[held[0]].encode(self.unpack(held[1]))
        if key == ITEMS:
            style, *addresses = held
            return f"[{(', ' if style > 1 else ',').join(self._text_of(style, one) for one in addresses)}]"
        if key == NUMBER:
            return float(held)
        if key == OBJECT:
            return {name: self.unpack(inner) for name, inner in held.items()}
        return {key: self.unpack(held)}  # as a store of version 1 keeps it

    def _text_of(self, style: int, address: str) -> str:
        if (style, address) not in self._written:
            self._written[style, address] = STYLES[style].encode(self._at(address))
        return self._written[style, address]


def references(packed: Json) -> Iterator[str]:
    """The addresses a packed value points at, exactly."""
    if isinstance(packed, list):
        for inner in packed:
            yield from references(inner)
    elif isinstance(packed, dict):
        match packed:
            case {"$text": str() as address} if len(packed) == 1:
                yield address
            case {"$items": [_, *addresses]} if len(packed) == 1:
                yield from addresses
            case {"$json": [_, inner]} if len(packed) == 1:
                yield from references(inner)
            case {"$object": dict() as inner} if len(packed) == 1:
                yield from references(list(inner.values()))
            case _:
                yield from references(list(packed.values()))
