"""Values as JSON that keeps their types, so that they can be compared, redacted as any text, and made again.

A text, a number, a list, an object with texts for keys stand as they are. Anything else is an object with one of the marks below: a tuple, bytes, a number
that JSON has no form for, an object with other keys, and what LangGraph's serializer writes as a msgpack extension, opened. Two sets are the same in
whatever order they were written. Nothing is imported, called or unpickled here.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

from workbench.model import Json, canonical
from workbench.reading.rewriting import pack
from workbench.reading.serde import MAX_DEPTH, MAX_VALUE_BYTES, Extension, UndecodedError, unpack

RETURNED = VALUE, LOST, TEXT = "workbench.returned.value", "workbench.returned.lost", "workbench.returned.text"
"""The attributes by which a recorder tells what a call returned, the type of what it could not write down, or that it is the text in the span."""
TUPLE, BYTES, FLOAT, OBJECT, KEYS, MADE, OF = "$tuple", "$bytes", "$float", "$object", "$keys", "$made", "$of"
MARKS = frozenset((TUPLE, BYTES, FLOAT, OBJECT, MADE))
SETS = (["builtins", "set"], ["builtins", "frozenset"])
SECRETS = (["pydantic.types", "SecretStr"], ["pydantic.types", "SecretBytes"])
"""What hides itself wherever it is shown, and that LangGraph writes down in clear."""
NAMED = 2
"""How many of an extension's parts name what it is."""


class UntoldError(ValueError):
    """A value whose type can't be told. The message names it."""


def is_json(text: str) -> bool:
    """Whether a text may be taken for what it says in JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def of_packed(blob: bytes) -> Json:
    """A value as LangGraph packed it. UndecodedError for what is damaged, too large or too deep."""
    if len(blob) > MAX_VALUE_BYTES:
        raise UndecodedError(f"refused: {len(blob):,} bytes, more than {MAX_VALUE_BYTES:,}")
    return told(unpack(blob), _unknown)


def told(value: Any, packed: Callable[[Any], bytes], depth: int = 0) -> Json:
    """A value with its types. `packed` makes msgpack of what is none of Python's plain ones. UntoldError for one that can't be told; and as `packed` raises."""
    kind = type(value)
    if depth > MAX_DEPTH:
        raise UndecodedError(f"refused: more than {MAX_DEPTH} levels deep")
    if value is None or kind in {bool, str, int}:
        return value
    if kind is float:
        return value if math.isfinite(value) else {FLOAT: str(value)}
    if kind is list:
        return [told(one, packed, depth + 1) for one in value]
    if kind is tuple:
        return {TUPLE: [told(one, packed, depth + 1) for one in value]}
    if kind is dict:
        return _object(value, packed, depth)
    if kind is bytes:
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if kind is Extension:
        return _made(value, depth)
    return told(unpack(packed(value)), _unknown, depth)


def _object(value: dict[Any, Any], packed: Callable[[Any], bytes], depth: int) -> Json:
    """An object. The keys that are no texts are told beside their texts, so that a name tells of what stands under it in any case."""
    fields = {str(key): told(one, packed, depth + 1) for key, one in value.items()}
    if len(fields) < len(value):
        raise UntoldError("a dict of which two keys have the same text")
    others = {str(key): told(key, packed, depth + 1) for key in value if type(key) is not str}
    return {OBJECT: fields, KEYS: others} if others or MARKS & fields.keys() else fields


def _made(extension: Extension, depth: int) -> Json:
    content = unpack(extension.data)
    parts = told(content, _unknown, depth + 1)
    if isinstance(content, list) and content[:NAMED] in SETS:
        parts = [*parts[:NAMED], sorted(parts[NAMED], key=canonical), *parts[NAMED + 1 :]]
    return {MADE: extension.code, OF: parts}


def hidden_in(told: Json) -> str:
    """The type of what hides itself in a value that was told, by its name; empty where nothing does."""
    if isinstance(told, dict):
        parts = told.get(OF)
        if MADE in told and isinstance(parts, list) and parts[:NAMED] in SECRETS:
            return ".".join(parts[:NAMED])
    inner = told.values() if isinstance(told, dict) else told if isinstance(told, list) else ()
    return next(filter(None, map(hidden_in, inner)), "")


def _unknown(value: Any) -> bytes:
    raise UntoldError(f"{type(value).__module__}.{type(value).__qualname__}")


def made(value: Json, opened: Callable[[bytes], Any]) -> Any:
    """The value that was told so. `opened` makes what is packed as an extension. UndecodedError for what was not told by `told`."""
    return _Maker(opened).value(value)


class _Maker:
    def __init__(self, opened: Callable[[bytes], Any] | None) -> None:
        self.opened = opened

    def value(self, value: Json, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise UndecodedError(f"refused: more than {MAX_DEPTH} levels deep")
        if isinstance(value, list):
            return [self.value(one, depth + 1) for one in value]
        if not isinstance(value, dict):
            return value
        try:
            return self._marked(value, depth)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise UndecodedError(f"not decoded: {type(error).__name__}: {error}") from error

    def _marked(self, value: dict[str, Json], depth: int) -> Any:
        if TUPLE in value:
            return tuple(self.value(value[TUPLE], depth + 1))
        if BYTES in value:
            return base64.b64decode(value[BYTES], validate=True)
        if FLOAT in value:
            return float(value[FLOAT])
        if MADE in value:
            extension = Extension(value[MADE], pack(_Maker(None).value(value[OF], depth + 1)))
            return extension if self.opened is None else self.opened(pack(extension))
        keys = value[KEYS] if OBJECT in value else {}
        fields = value.get(OBJECT, value)
        return {self.value(keys[name], depth + 1) if name in keys else name: self.value(one, depth + 1) for name, one in fields.items()}
