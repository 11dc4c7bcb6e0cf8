"""Python's own text of a value as the value: literals only, and nothing is ever evaluated."""

from __future__ import annotations

import ast
import math

from workbench.model import Json
from workbench.reading.documents import whole_characters

MAX_LITERAL_CHARACTERS = 1 << 20


def python_literal(value: Json) -> Json:
    """The text of a Python literal as its value. Only literals: nothing is evaluated."""
    if not isinstance(value, str) or len(value) > MAX_LITERAL_CHARACTERS:
        return None
    try:
        return whole_characters(plain_literal(ast.literal_eval(value.strip())))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"no Python literal: {error}") from None


def plain_literal(value: Json) -> Json:
    """A Python literal as JSON could hold it."""
    if isinstance(value, dict):
        return {str(key): plain_literal(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain_literal(inner) for inner in value]
    plain = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if plain else repr(value)
