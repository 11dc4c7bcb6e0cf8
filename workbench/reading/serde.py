"""Reads values that LangGraph's serializer wrote, as plain data: nothing is imported, called or unpickled.

LangGraph stores a value with a type: `msgpack` (with extensions that name a constructor and its arguments), `json` (older; objects are
`{"lc": …, "type": "constructor", "id": […]}`), `null`, `bytes`, or `pickle`; with encryption, `…+aes`. Loading them the way LangGraph does
imports modules and calls what the file names. Here a constructor becomes its arguments:

- a LangChain message is its fields, with `type` ("ai", "human", "tool", …);
- what LangGraph itself defines (Send, Command, Interrupt, …) is its fields, with `$type`;
- an id, date, path, enum, pydantic model or dataclass is the value it would have been made of, a set the sorted list of what it holds.

Size, depth and count are bounded: what lies beyond is `UndecodedError`, which says why in words fit to be shown.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import msgspec
import ormsgpack

from workbench.model import Json, canonical

MAX_VALUE_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 100
MAX_EXTENSIONS = 200_000
MAX_NODES = 4_000_000
ENCRYPTED = "encrypted: key not given"

SINGLE_ARGUMENT, POSITIONAL, KEYWORDS, METHOD, PYDANTIC_V1, PYDANTIC_V2, NUMPY, DELTA = range(8)
MESSAGES = "langchain_core.messages."
MESSAGE_TYPES = {
    "AIMessage": "ai",
    "AIMessageChunk": "ai",
    "HumanMessage": "human",
    "HumanMessageChunk": "human",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
    "RemoveMessage": "remove",
}
STANDARD = frozenset(("datetime", "uuid", "decimal", "collections", "ipaddress", "pathlib", "zoneinfo", "enum", "fractions", "numbers"))
"""Modules of the standard library whose objects LangGraph itself writes."""
HARMLESS = frozenset({"builtins.set", "builtins.frozenset", "builtins.complex", "builtins.bytearray", "re.compile", "http.HTTPStatus", "http.HTTPMethod"})
SETS = frozenset(("set", "frozenset"))
"""What has no order: in another process, equal ones are written in another."""
LITERALS = frozenset(("null", "bytes", "bytearray"))
"""Types that stand as they are, so that they are rewritten to themselves."""
ATOMS = frozenset((int, bool, type(None)))
CONTAINERS = frozenset((dict, list, tuple))


class UndecodedError(ValueError):
    """A stored value that is not decoded, and why: encrypted, refused, too large or deep, damaged."""


class Decoded(NamedTuple):
    """A stored value as JSON. `refused` names callables it asked for that no LangGraph state needs; they were read as data, not called."""

    value: Json
    refused: tuple[str, ...] = ()


NOTHING = Decoded(None)


@dataclass(slots=True, unsafe_hash=True)  # not frozen: a value has many, and each would take three times as long to make
class Extension:
    """A msgpack extension, its content still packed."""

    code: int
    data: bytes


def decode(kind: str, blob: bytes) -> Decoded:
    """The value of one stored blob. `kind` is the column `type`. Raises UndecodedError."""
    if kind == "null":
        return NOTHING
    if "+" in kind:  # such as msgpack+aes
        raise UndecodedError(ENCRYPTED)
    if kind == "pickle":
        raise UndecodedError("refused: a pickle runs code when it is loaded")
    if len(blob) > MAX_VALUE_BYTES:
        raise UndecodedError(f"refused: {len(blob):,} bytes, more than {MAX_VALUE_BYTES:,}")
    reader = _Reader()
    if kind == "msgpack":
        return Decoded(reader.plain(unpack(blob), 0), tuple(reader.refused))
    if kind == "json":
        return Decoded(reader.plain(_parse(blob), 0), tuple(reader.refused))
    if kind in LITERALS:
        return Decoded(reader.plain(blob, 0))
    raise UndecodedError(f"not decoded: unknown type {kind!r}, known are msgpack, json, null and bytes")


def decode_json(text: str | bytes) -> Decoded:
    """JSON in which LangChain objects may stand, such as a checkpoint's metadata. Raises UndecodedError."""
    return decode("json", text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)


def unpack(blob: bytes) -> Json:
    """One msgpack value; extensions stay opaque, so that decoding never goes deeper than the bytes of one level. Raises UndecodedError."""
    try:
        return ormsgpack.unpackb(blob, ext_hook=Extension, option=ormsgpack.OPT_NON_STR_KEYS)
    except (ValueError, RecursionError) as error:
        deep = "ecursion" in str(error)
        raise UndecodedError(f"refused: more than {MAX_DEPTH} levels deep" if deep else f"not decoded: damaged msgpack ({error})") from error


def _parse(blob: bytes) -> Json:
    try:
        return msgspec.json.decode(blob)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _parse_leniently(blob)


def _parse_leniently(blob: bytes) -> Json:
    """As `_parse`, for what is not strictly JSON, such as NaN, or says why it is none."""
    try:
        return json.loads(blob.decode("utf-8", "replace"))
    except RecursionError as error:
        raise UndecodedError(f"refused: more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:
        raise UndecodedError(f"not decoded: damaged JSON ({error})") from error


@dataclass
class _Reader:
    """Turns what the parsers give into JSON, counting as it goes."""

    refused: list[str] = field(default_factory=list)
    extensions: int = 0
    nodes: int = 0

    def plain(self, value: Json, depth: int) -> Json:
        kind = type(value)
        if kind in ATOMS:
            return value
        if kind is str:
            return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
        if kind is float:
            return value if math.isfinite(value) else str(value)
        if kind is Extension:
            return self._extension(value, depth)
        if kind in CONTAINERS:
            self._enter(len(value), depth + 1)
            return self._object(value, depth) if kind is dict else [item if type(item) in ATOMS else self.plain(item, depth + 1) for item in value]
        if isinstance(value, bytes | bytearray | memoryview):
            return {"$type": "bytes", "base64": base64.b64encode(value).decode("ascii")}
        return str(value)

    def _enter(self, count: int, depth: int) -> None:
        """Count values that stand so deep."""
        self.nodes += count
        if count and depth > MAX_DEPTH:
            raise UndecodedError(f"refused: more than {MAX_DEPTH} levels deep")
        if self.nodes >= MAX_NODES:
            raise UndecodedError(f"refused: more than {MAX_NODES:,} values in one")

    def _object(self, value: dict[Json, Json], depth: int) -> Json:
        if "lc" in value and isinstance(value.get("id"), list) and value.get("type") in ("constructor", "not_implemented"):
            return self._lc_object(value, depth)
        return {
            key if type(key) is str else _key(key): item if type(item) in ATOMS or (type(item) is str and item.isascii()) else self.plain(item, depth + 1)
            for key, item in value.items()
        }

    def _lc_object(self, value: dict[str, Json], depth: int) -> Json:
        """An object as LangChain's JSON writes it: `lc` 1 has keyword arguments, 2 may have positional ones."""
        *modules, name = [str(part) for part in value["id"]] or [""]
        if value["type"] == "not_implemented":
            return {"$type": name, "repr": self.plain(value.get("repr"), depth + 1)}
        module = MESSAGES if name in MESSAGE_TYPES and modules[:1] in (["langchain"], ["langchain_core"]) else ".".join(modules)
        arguments, keywords = value.get("args") or [], value.get("kwargs")
        if keywords is not None:
            return self._built(module, name, self.plain(keywords, depth + 1))
        listed = self.plain(arguments, depth + 1)
        return self._built(module, name, listed[0] if isinstance(listed, list) and len(listed) == 1 else listed, positional=True)

    def _extension(self, extension: Extension, depth: int) -> Json:
        self._enter(1, depth + 1)
        self.extensions += 1
        if self.extensions > MAX_EXTENSIONS:
            raise UndecodedError(f"refused: more than {MAX_EXTENSIONS:,} extensions in one value")
        content = unpack(extension.data)
        if extension.code == DELTA:
            return {"$type": "DeltaSnapshot", "value": self.plain(content, depth + 1)}
        if not isinstance(content, list | tuple) or len(content) < 3:  # noqa: PLR2004 - module, name, arguments
            return {"$type": f"extension {extension.code}", "value": self.plain(content, depth + 1)}
        if extension.code == NUMPY:
            return {"$type": "numpy.ndarray", "dtype": str(content[0]), "shape": self.plain(content[1], depth + 1)}
        module, name = str(content[0]), str(content[1])
        return self._built(module, name, self.plain(content[2], depth + 1), positional=extension.code in (SINGLE_ARGUMENT, POSITIONAL, METHOD))

    def _built(self, module: str, name: str, arguments: Json, *, positional: bool = False) -> Json:
        """What a constructor would have been called with, in the shape this module promises."""
        if positional and _alarming(module, name):
            self.refused.append(f"{module}.{name}")
        if module.startswith(MESSAGES) and isinstance(arguments, dict):
            return {**arguments, "type": MESSAGE_TYPES.get(name) or arguments.get("type") or name}
        if module.startswith("langgraph."):
            return {"$type": name, **_named(name, arguments)}
        if module == "builtins" and name in SETS and isinstance(arguments, list):
            return sorted(arguments, key=canonical)
        if (module, name) == ("uuid", "UUID") and isinstance(arguments, str) and len(arguments) == 32:  # noqa: PLR2004 - hex digits
            return "-".join((arguments[:8], arguments[8:12], arguments[12:16], arguments[16:20], arguments[20:]))
        return arguments


def _named(name: str, arguments: Json) -> dict[str, Json]:
    if isinstance(arguments, dict):
        return cast("dict[str, Json]", arguments)
    if name == "Send" and isinstance(arguments, list):
        return dict(zip(("node", "arg", "timeout"), arguments, strict=False))
    return {"value": arguments}


def _alarming(module: str, name: str) -> bool:
    """Whether a positional call names a callable of the standard library that LangGraph never writes, such as `os.system`."""
    root = module.partition(".")[0]
    return root in sys.stdlib_module_names and root not in STANDARD and f"{module}.{name}" not in HARMLESS


def _key(key: Json) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def snapshots(values: Mapping[str, Json]) -> dict[str, Json]:
    """Channel values with DeltaChannel snapshots opened."""
    return {name: value["value"] if is_type(value, "DeltaSnapshot") else value for name, value in values.items()}


def is_type(value: Json, name: str) -> bool:
    """Whether a decoded value is the LangGraph object of this name, such as Interrupt or Send."""
    return isinstance(value, dict) and value.get("$type") == name


def sends(values: Iterable[Json]) -> list[str]:
    """The nodes that Send objects among decoded values address."""
    flat = (item for value in values for item in (value if isinstance(value, list) else [value]))
    return [str(send.get("node")) for send in flat if is_type(send, "Send")]
