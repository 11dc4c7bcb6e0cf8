"""Errors as they were written down: `TimeoutError: no answer` by tracers, `TimeoutError('no answer')` in checkpoints, some with the type's module."""

from __future__ import annotations

import ast
import re
from typing import Any

RAISED = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?:\((?P<arguments>.*)\)|:\s?(?P<message>.*))?\Z", re.DOTALL)


def literals(text: str | None) -> tuple[Any, ...]:
    """The arguments in an exception's repr. Only literals are read; anything else is kept as text."""
    if not text:
        return ()
    try:
        found = ast.literal_eval(f"({text},)")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return (text,)
    return tuple(found)


def said(error: str) -> str:
    """An error as a tracer writes it, whoever wrote it down. What names no type stays as it is."""
    found = RAISED.match(error)
    if found is None or (found["message"] is None and found["arguments"] is None):
        return error
    kind, text = found["type"].rpartition(".")[2], found["message"]
    if text is None:
        arguments = literals(found["arguments"])
        alone = arguments[0] if len(arguments) == 1 else arguments or ""
        text = repr(alone) if kind == KeyError.__name__ and len(arguments) == 1 else str(alone)
    return f"{kind}: {text}" if text else kind
