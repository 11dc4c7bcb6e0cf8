"""Recorded values as Python literals, for the lines of code that are offered: whatever a trace calls its runs and tools, pasted it is always just data."""

from __future__ import annotations

from math import isfinite

from workbench.model import Json

MAX_DEPTH = 20


def literal(value: Json) -> str:
    """A JSON value as a Python literal on one line; texts as `text_literal`. What is nested deeper than twenty levels becomes `...`."""
    return _literal(value, 0)


def text_literal(text: str) -> str:
    """Text in double quotes where that needs no escapes, else as `ascii` has it, so that no character of it can end the literal or hide in it."""
    return f'"{text}"' if is_plain(text) else ascii(text)


def is_plain(text: str) -> bool:
    """Whether double quotes around a text are all it takes to make a literal of it."""
    return text.isprintable() and not {'"', "\\"} & set(text)


def _literal(value: Json, depth: int) -> str:
    if isinstance(value, str):
        return text_literal(value)
    if depth > MAX_DEPTH and isinstance(value, dict | list):
        return "..."
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text_literal(str(name))}: {_literal(inner, depth + 1)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(inner, depth + 1) for inner in value) + "]"
    if isinstance(value, float) and not isfinite(value):
        return f'float("{value}")'
    return repr(value)
