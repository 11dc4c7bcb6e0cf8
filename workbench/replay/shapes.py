"""What the value of each kind of change looks like, and what is wrong with one that looks otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import ConfigDict, Field, StrictInt, ValidationError
from pydantic_core import ErrorDetails

from workbench.literals import literal
from workbench.model import Change, Json, Value
from workbench.replay.nearest import instead, meant

SHAPES = {
    "message": '{"index": 2, "content": "…"}: the place of the message in what the model saw, and its new content (or tool_calls)',
    "model": 'a model\'s name, or an object of settings such as {"name": "…", "temperature": 0}',
    "system": "the text of the system prompt",
    "tools": 'a list of the names to offer, or an object from name to what changes in its definition ({"book": {"description": "…"}}, null: not offered)',
    "fault": '"timeout", "error", "empty" or "slow", or an object such as {"kind": "slow", "seconds": 5, "times": 2}; '
    'of a node\'s HTTP call {"kind": "error", "call": "GET https://…", "status": 503}',
    "http": '{"call": "GET https://…", "status": 404, "json": {…}}: which of the node\'s HTTP calls, and what of its answer is another '
    "(status, headers, json or body)",
    "state": "an object from channel to value, with at least one channel",
}
"""What the value of each kind of change should be."""
MOST_WRONG = 3
SHOWN_CHARS = 80

HttpCall = Annotated[StrictInt | str | None, Field(description='an HTTP call of the node: "GET https://…", or its number among them, from 0')]
Status = Annotated[StrictInt | None, Field(ge=100, le=599, description="an HTTP status, from 100 to 599")]


class ChangeError(ValueError):
    """A change that can't be made at that step. The message says what would be right."""


class MessageChange(Value):
    """Which message of the history changes, and how. A negative index counts from the end."""

    index: int = Field(description="the place of the message, a whole number")
    content: str | list[Json] | None = Field(None, description="a text, or a list of content blocks")
    tool_calls: list[dict[str, Json]] | None = Field(None, description="a list of objects, each with name, arguments and call_id")


class FaultChange(Value):
    """A failure to inject, as a person asks for it. `call` says which HTTP call of a node meets it, `status` that it is answered with that status."""

    model_config = ConfigDict(allow_inf_nan=False)
    kind: Literal["timeout", "error", "empty", "slow"] = Field(description="timeout, error, empty or slow")
    seconds: float = Field(1.0, ge=0, description="a number of seconds, from 0")
    message: str = Field("", description="a text")
    times: int = Field(1, ge=1, description="a whole number, from 1")
    call: HttpCall = None
    status: Status = None


class HttpChange(Value):
    """Another answer to an HTTP call of a node. What is not given stays as it was recorded."""

    call: HttpCall = None
    status: Status = None
    headers: dict[str, str] | None = Field(None, description="an object from name to text")
    content: Json = Field(None, alias="json", description="any JSON")
    body: str | None = Field(None, description="the text of the body")


S = TypeVar("S", bound=Value)


def shaped(kind: str, shape: type[S], value: Json) -> S:
    """The value as its kind of change has it. ChangeError says what should be there, and what is wrong by its name."""
    if not isinstance(value, dict):
        raise ChangeError(f"{_what(kind)} should be {SHAPES[kind]}; it is {shown(value)}")
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        wrong = "; ".join(list(dict.fromkeys(_wrong(one, shape, value) for one in error.errors()))[:MOST_WRONG])
        raise ChangeError(f"{_what(kind)} should be {SHAPES[kind]}; {wrong}") from None


def fault_of(value: Json) -> FaultChange:
    """A fault that is asked for, by its kind alone too. ChangeError for another shape."""
    return shaped("fault", FaultChange, {"kind": value} if isinstance(value, str) else value)


def message_of(value: Json) -> MessageChange:
    """A changed message. ChangeError for another shape, or where nothing of it changes."""
    found = shaped("message", MessageChange, value)
    if found.content is None and found.tool_calls is None:
        raise ChangeError(f"a changed message should be {SHAPES['message']}; it names neither content nor tool_calls")
    return found


def _offers(value: Json) -> bool:
    """Whether a value says which tools are offered: their names, or by name what changes."""
    if isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, dict) and bool(value) and all(one is None or isinstance(one, dict) for one in value.values())


PLAIN: dict[str, Callable[[Json], bool]] = {
    "state": lambda value: isinstance(value, dict) and bool(value),
    "model": lambda value: isinstance(value, str | dict) and bool(value),
    "system": lambda value: isinstance(value, str),
    "tools": _offers,
}
"""Whether a value has the shape of its kind of change, where that has no fields of its own."""


def check_shape(change: Change) -> None:
    """ChangeError where the value of a change has another shape than its kind has."""
    if change.kind == "fault":
        fault_of(change.value)
    elif change.kind == "message":
        message_of(change.value)
    elif change.kind in PLAIN and not PLAIN[change.kind](change.value):
        raise ChangeError(f"{_what(change.kind)} should be {SHAPES[change.kind]}; it is {shown(change.value)}")


def _what(kind: str) -> str:
    return {"http": "another HTTP answer", "system": "a changed system prompt", "tools": "changed tools"}.get(kind, f"a changed {kind}")


def shown(value: Json) -> str:
    """A value in an error: its beginning, as Python writes it."""
    text = literal(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"


def _wrong(error: ErrorDetails, shape: type[Value], value: dict[str, Json]) -> str:
    """What is wrong with one field, by its name."""
    name, fields = str(error["loc"][0]), {field.alias or name: field for name, field in shape.model_fields.items()}
    if error["type"] == "extra_forbidden":
        return f"there is no {name!r} in it{instead(name, fields)}"
    if error["type"] == "missing":
        return f"{name!r} is missing: {fields[name].description}"
    words = [one for one in get_args(fields[name].annotation) if isinstance(one, str)]
    near = meant(value[name], words) if isinstance(value[name], str) else ""
    return f"{name!r} should be {fields[name].description}, and is {shown(value[name])}{near}"
