"""Writes a value of LangGraph's serializer anew with other texts: everything else, extension types and what they name included, stays as it is.

Nothing is imported, called or unpickled. What can't be rewritten so that LangGraph reads it back as the same types is `UndecodedError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import ormsgpack

from workbench.model import Json
from workbench.reading.serde import (
    ENCRYPTED,
    LITERALS,
    MAX_DEPTH,
    MAX_VALUE_BYTES,
    METHOD,
    NUMPY,
    POSITIONAL,
    SINGLE_ARGUMENT,
    Extension,
    UndecodedError,
    unpack,
)

Rewrite = Callable[[str, str], str]
"""Given a text and the key it stands under, what to put in its place."""
NAMED = 2
"""How many of an extension's parts name what it is: a module and a name."""


def rewrite(kind: str, blob: bytes, text: Rewrite) -> bytes:
    """One stored value with every text replaced; `kind` is the column `type`. Bytes stay as they are. UndecodedError for what can't be rewritten safely."""
    if "+" in kind:
        raise UndecodedError(ENCRYPTED)
    if len(blob) > MAX_VALUE_BYTES:
        raise UndecodedError(f"refused: {len(blob):,} bytes, more than {MAX_VALUE_BYTES:,}")
    if kind in LITERALS:
        return blob
    if kind == "json":
        return json.dumps(_Rewriter(text).value(_parsed(blob))).encode("utf-8")
    if kind == "msgpack":
        return pack(_Rewriter(text).value(unpack(blob)))
    raise UndecodedError(f"a value of type {kind!r} can't be rewritten")


def rewrite_plain(value: Json, text: Rewrite) -> Json:
    """The same of a value as JSON has it, keys included."""
    return _Rewriter(text).value(value)


def pack(value: Json) -> bytes:
    """A value as `serde.unpack` gave it, as msgpack."""
    try:
        return ormsgpack.packb(value, default=_packed, option=ormsgpack.OPT_NON_STR_KEYS | ormsgpack.OPT_PASSTHROUGH_DATACLASS)
    except ormsgpack.MsgpackEncodeError as error:
        raise UndecodedError(f"can't be packed again: {error}") from error


def _packed(value: Json) -> Json:
    if isinstance(value, Extension):
        return ormsgpack.Ext(value.code, value.data)
    raise TypeError(type(value).__name__)


def _parsed(blob: bytes) -> Json:
    try:
        return json.loads(blob)
    except (ValueError, RecursionError) as error:
        raise UndecodedError(f"not decoded: damaged JSON ({error})") from error


@dataclass(frozen=True)
class _Rewriter:
    """Goes through a value."""

    text: Rewrite

    def value(self, value: Json, name: str = "", depth: int = 0) -> Json:
        if depth > MAX_DEPTH:
            raise UndecodedError(f"refused: more than {MAX_DEPTH} levels deep")
        if isinstance(value, str):
            return self.text(value, name) if value else value
        if isinstance(value, dict):
            return {self._key(key): self.value(inner, key if isinstance(key, str) else "", depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner, name, depth + 1) for inner in value]
        return self._extension(value, name, depth) if isinstance(value, Extension) else value

    def _key(self, key: Json) -> Json:
        return self.text(key, "") if isinstance(key, str) and key else key

    def _extension(self, extension: Extension, name: str, depth: int) -> Extension:
        content = unpack(extension.data)
        if extension.code == NUMPY:
            return extension
        if not isinstance(content, list | tuple) or len(content) <= NAMED or extension.code > NUMPY:
            return Extension(extension.code, pack(self.value(content, name, depth + 1)))
        arguments = self.value(content[NAMED], name, depth + 1)
        if extension.code in {SINGLE_ARGUMENT, POSITIONAL, METHOD} and not str(content[0]).startswith("langgraph.") and arguments != _plain(content[NAMED]):
            raise UndecodedError(f"a value of {content[0]}.{content[1]} holds what must be replaced, and may then be no such value any more")
        return Extension(extension.code, pack([*content[:NAMED], arguments, *content[NAMED + 1 :]]))


def _plain(value: Json) -> Json:
    return list(value) if isinstance(value, tuple) else value
