"""What a run's context says, written down: LangGraph hands it to the nodes and tools of one start, and keeps it nowhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from workbench.model import Json

VALUE, LOST = "workbench.context.value", "workbench.context.lost"


def written(context: Any) -> dict[str, str]:
    """The attributes that tell of a context: its value as JSON, and by name the types of those of its fields that can't be written down."""
    parts = parts_of(context)
    if parts is None:
        value, lost = _jsonable(context)
        return {VALUE: json.dumps(value)} | ({LOST: json.dumps({"": lost})} if lost else {})
    kept, types = kept_and_lost(parts)
    return {VALUE: json.dumps(kept)} | ({LOST: json.dumps(types)} if types else {})


def kept_and_lost(parts: Mapping[str, Any]) -> tuple[dict[str, Json], dict[str, str]]:
    """Values by name as JSON, and of those that JSON has no form for the types."""
    found = {name: _jsonable(value) for name, value in parts.items()}
    return {name: value for name, (value, lost) in found.items() if not lost}, {name: lost for name, (_, lost) in found.items() if lost}


def parts_of(context: Any) -> dict[str, Any] | None:
    """The fields of a context; None for one that has none."""
    if is_dataclass(context) and not isinstance(context, type):
        return {field.name: getattr(context, field.name) for field in fields(context)}
    if isinstance(context, BaseModel):
        return {name: getattr(context, name) for name in type(context).model_fields}
    return {str(name): value for name, value in context.items()} if isinstance(context, Mapping) else None


def _jsonable(value: Any) -> tuple[Json, str]:
    """A value as JSON; or the name of a type in it that JSON has no form for."""
    try:
        return to_jsonable_python(value), ""
    except (PydanticSerializationError, ValueError, RecursionError):
        return None, f"{type(value).__module__}.{type(value).__qualname__}"
