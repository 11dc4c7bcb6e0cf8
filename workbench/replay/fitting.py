"""A value that somebody gave by hand, made the type that the graph's own code names for it."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, get_args, get_origin

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from workbench.model import Json
from workbench.replay.shapes import shown

MODULES = re.compile(r"(?<!['\w.])(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")
"""The modules before a name, but in a text."""


class MisfitError(ValueError):
    """A value that its type can't be made of. The message says where, what it is there, and what it should be."""


def fitted(hint: Any, value: Json, name: str, *, strict: bool = True) -> Any:
    """The value as its type, where pydantic knows how to make that of JSON; else as it is. MisfitError where it has another shape; `name` is what it is called.

    Where it is `strict`, no text is taken for a number, but a date, an enum or a class of the user's own is made of what stands for it in JSON.
    """
    try:
        adapter = TypeAdapter(hint)
    except (PydanticUserError, TypeError, NameError, AttributeError):
        return value
    try:
        return adapter.validate_json(json.dumps(value), strict=strict)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in first["loc"] if isinstance(part, int) or _holds(value, part))
        raise MisfitError(f"{name} should be {type_name(hint)}, and is {shown(value)}{f': see {place}' if place else ''}") from None
    except (TypeError, ValueError):
        return value


def fits(hint: Any, value: Any) -> bool:
    """Whether a value that the graph's own code made is of the type that it names: types are hints, and code may not keep to them."""
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        return False
    except (PydanticUserError, TypeError, NameError, AttributeError, ValueError):
        return True
    return True


def type_name(hint: Any) -> str:
    """A type as one writes it: `int`, `list[str]`, without modules and without what it is annotated with."""
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return MODULES.sub("", str(plain)) if get_args(plain) else str(getattr(plain, "__name__", None) or plain)


def mentions(hint: Any, kind: type) -> bool:
    """Whether a type is this one, one below it, or made of such: `list[AnyMessage]` of messages."""
    return (isinstance(hint, type) and issubclass(hint, kind)) or any(mentions(one, kind) for one in get_args(hint))


def _holds(value: Json, part: str) -> bool:
    """Whether a part of pydantic's path is one of the value's own keys, and no name of a type."""
    return isinstance(value, dict) and (part in value or any(_holds(one, part) for one in value.values()))
