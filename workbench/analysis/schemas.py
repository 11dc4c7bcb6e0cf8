"""Whether the arguments of a call keep to the JSON Schema that its tool was offered with.

A few keywords of JSON Schema (2020-12) decide nearly all there is to decide of arguments: `type`, `required`, `enum`, `const`, `properties`,
`additionalProperties`, `items`, `minimum`, `maximum`, the combinators, and `$ref` within the schema; Gemini's upper-case types and OpenAPI's `nullable` too.
Whatever else a schema says is left aside, and never runs: a recorded schema is as hostile as any trace, so no pattern is compiled and no address fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import NamedTuple

from workbench.analysis.calls import MAX_DEPTH
from workbench.model import Json, canonical

SHOWN = 60
"""Characters of a value that are told."""
MOST = 20
"""How many departures are looked for at most."""


class Departure(NamedTuple):
    """How arguments depart from a schema: at which JSON path below them, and in what way. `slight` is what most tools take all the same."""

    path: str
    says: str
    slight: bool = False


def departures(arguments: dict[str, Json], schema: Json) -> list[Departure]:
    """How arguments depart from the schema of a tool's arguments, in the schema's order; none where the schema says nothing."""
    if not isinstance(schema, dict):
        return []
    found = _Check(schema).object(arguments, schema, "$", 0)
    return [one for one, _ in zip(found, range(MOST), strict=False)]


class _Check:
    """One schema, whose `$ref`s point into itself."""

    def __init__(self, root: dict[str, Json]) -> None:
        self.root = root

    def value(self, value: Json, schema: Json, path: str, depth: int) -> Iterator[Departure]:
        """How a value departs from a schema; `true`, and what is no schema, forbids nothing."""
        schema = self._resolved(schema)
        if schema is None or depth > MAX_DEPTH or (value is None and schema.get("nullable")):
            return
        for combined in ("anyOf", "oneOf"):
            if isinstance(options := schema.get(combined), list) and options:
                yield from self._nearest(value, options, path, depth)
        for part in _list(schema.get("allOf")):
            yield from self.value(value, part, path, depth + 1)
        wanted = _types(schema.get("type"))
        if wanted and not any(_is(value, kind) for kind in wanted):
            yield Departure(path, f"{_shown(value)} is not {' or '.join(wanted)}", slight=any(_read_as(value, kind) for kind in wanted))
            return
        yield from _limits(value, schema, path)
        if isinstance(value, dict):
            yield from self.object(value, schema, path, depth)
        elif isinstance(value, list) and isinstance(schema.get("items"), dict):
            for number, item in enumerate(value):
                yield from self.value(item, schema["items"], f"{path}[{number}]", depth + 1)

    def object(self, value: dict[str, Json], schema: dict[str, Json], path: str, depth: int) -> Iterator[Departure]:
        """How an object departs: what is missing, what is unknown, and what is wrong inside. None stands for an optional property that is left out."""
        properties = _fields(schema.get("properties"))
        required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        yield from (Departure(path, f"{name} is required and missing") for name in required if name not in value)
        others, closed = schema.get("additionalProperties"), schema.get("additionalProperties") is False
        for name, inner in value.items():
            if name in properties:
                if inner is not None or name in required:
                    yield from self.value(inner, properties[name], f"{path}.{name}", depth + 1)
            elif closed or (others is None and properties and not schema.get("patternProperties")):
                yield Departure(f"{path}.{name}", f"{name} is none of {', '.join(properties) or 'no arguments'}", slight=not closed)
            elif isinstance(others, dict):
                yield from self.value(inner, others, f"{path}.{name}", depth + 1)

    def _nearest(self, value: Json, options: Iterable[Json], path: str, depth: int) -> Iterator[Departure]:
        """What the option says that fits best; nothing where one fits."""
        tried = [list(self.value(value, one, path, depth + 1)) for one in options]
        yield from min(tried, key=lambda found: (len([one for one in found if not one.slight]), len(found)))

    def _resolved(self, schema: Json) -> dict[str, Json] | None:
        """A schema with its `$ref` followed within the root; None for what is no object, and for an address elsewhere."""
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict) or not isinstance(address := schema.get("$ref"), str):
                break
            schema = self._at(address)
        return schema if isinstance(schema, dict) and "$ref" not in schema else None

    def _at(self, address: str) -> Json:
        found: Json = self.root if address.startswith("#/") else None
        for part in address[2:].split("/"):
            found = found.get(part) if isinstance(found, dict) else None
        return found


def _limits(value: Json, schema: dict[str, Json], path: str) -> Iterator[Departure]:
    allowed = [schema["const"]] if "const" in schema else _list(schema.get("enum"))
    if allowed and not any(type(value) is type(one) and value == one for one in allowed):
        yield Departure(path, f"{_shown(value)} is none of {', '.join(_shown(one) for one in allowed[:5])}{' …' if len(allowed) > 5 else ''}")  # noqa: PLR2004
    for key, sign in (("minimum", -1), ("maximum", 1)):
        limit = schema.get(key)
        if _is(limit, "number") and _is(value, "number") and (value - limit) * sign > 0:
            yield Departure(path, f"{_shown(value)} is beyond the {key} {limit}")


IS: dict[str, Callable[[Json], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer()),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


def _is(value: Json, kind: str) -> bool:
    return kind not in IS or IS[kind](value)


def _read_as(value: Json, kind: str) -> bool:
    """Whether a text reads as a value of this kind, or a number as text: most tools convert either."""
    if kind == "string":
        return _is(value, "number")
    if not isinstance(value, str):
        return False
    if kind == "boolean":
        return value.lower() in {"true", "false"}
    if kind not in {"number", "integer"}:
        return False
    try:
        read = float(value)
    except ValueError:
        return False
    return isfinite(read) and (kind == "number" or read.is_integer())


def _types(given: Json) -> list[str]:
    """The types a schema allows, in lower case; empty where it names none."""
    return [one.lower() for one in (given if isinstance(given, list) else [given]) if isinstance(one, str) and one != "TYPE_UNSPECIFIED"]


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _fields(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _shown(value: Json) -> str:
    text = canonical(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
