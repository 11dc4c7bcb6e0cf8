"""What a run was started with besides its input (`context=`): read from the spans of a recording, and made again for its re-run.

No checkpoint holds it, and no instrumentor tells of it but our own recorder (`workbench.taps.contexts`). What of it could not be written down stays
away: whoever asks for it in a re-run halts, by its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError

from workbench.model import Json, Run, Span
from workbench.normalise.forest import climb, without_circles
from workbench.replay.protocol import Context
from workbench.taps.contexts import LOST, VALUE, parts_of

HIDDEN = "[redacted "
UNKNOWN = (
    "the graph takes a context, and what this run was started with was not recorded (wb.record does): the re-run has none, "
    "so code that reads it fails; recorded answers and writes are served all the same"
)


class ContextError(ValueError):
    """A recorded context that doesn't fit the graph. The message says what differs."""


def contexts_of(run: Run, spans: Iterable[Span], first: int) -> tuple[Context, ...]:
    """What a run was started with, start by start from its `first` on. Of a start that nothing tells of, what the one before it was given.

    A fork's steps have no spans: of the `spans` of the run it was made of, the graph's own are its starts in turn.
    """
    known = {(span.trace_id, span.span_id): span for span in spans}
    if not any(VALUE in span.attributes for span in known.values()):
        return ()
    parents = without_circles({key: (key[0], span.parent_span_id or "") for key, span in known.items()})

    def start(key: tuple[str, str]) -> Span | None:
        """The outermost span around one that tells of a context."""
        return next((known[one] for one in reversed((key, *climb(parents, key))) if one in known and VALUE in known[one].attributes), None)

    found = {step.invocation: span for step in reversed(run.steps) if (span := start((step.trace_id or "", step.span_id or "")))}
    inherited = sorted((span for key, span in known.items() if start(key) is span), key=lambda span: span.start_ns or 0) if run.forked_from else ()
    told = {number: _read(span) for number, span in (found or dict(enumerate(inherited))).items()}
    last = max((step.invocation for step in run.steps), default=first)
    given = (next((told[one] for one in range(number, -1, -1) if one in told), None) for number in range(first, last + 1))
    return tuple(one for one in given if one is not None)


def _read(span: Span) -> Context:
    value, lost = (_loaded(span.attributes.get(name)) for name in (VALUE, LOST))
    return Context(value=value, lost={str(name): str(kind) for name, kind in lost.items()} if isinstance(lost, dict) else {})


def _loaded(text: Json) -> Json:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None


class Absent:
    """Stands for a part of a context that was not recorded. Whoever asks anything of it halts; `halt` raises."""

    def __init__(self, name: str, kind: str, halt: Callable[[str], Any]) -> None:
        self.__dict__.update({"_says": f"what the run's context held{f' as {name!r}' if name else ''}, a {kind}, can't be written down", "_halt": halt})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._asked()

    def _asked(self, *_: Any, **__: Any) -> Any:
        said = vars(self)
        return said["_halt"](f"{said['_says']}, so it is not there in a re-run: put a result in the place of what needs it (tool_result)")

    __call__ = __getitem__ = __iter__ = __len__ = __enter__ = __aenter__ = __contains__ = _asked

    def __repr__(self) -> str:
        return f"<{vars(self)['_says']}>"


def absent_in(context: Any) -> str:
    """What of a context is not there, or only by what stands for what was redacted; empty where all is."""
    for name, value in (parts_of(context) or {"": context}).items():
        if isinstance(value, Absent):
            return str(vars(value)["_says"])
        if HIDDEN in str(value):
            return f"what the run's context held{f' as {name!r}' if name else ''} was redacted when it was recorded"
    return ""


def rebuilt(schema: Any, given: Context, halt: Callable[[str], Any]) -> Any:
    """A recorded context as the graph's own type. ContextError where it doesn't fit that."""
    if "" in given.lost:
        return Absent("", given.lost[""], halt)
    if not isinstance(given.value, dict) or schema is None:
        return given.value
    hints = _hints(schema)
    parts = {name: _fitting(hints.get(name), value) for name, value in given.value.items()}
    parts |= {name: Absent(name, kind, halt) for name, kind in given.lost.items()}
    try:
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return schema.model_construct(**parts) if given.lost else schema(**parts)
        return schema(**parts) if isinstance(schema, type) and is_dataclass(schema) else parts
    except (TypeError, ValueError) as error:
        raise ContextError(
            f"the run was started with the context {', '.join(parts) or 'of no fields'}, which {schema.__name__} can't be made of: {error}"
        ) from error


def _hints(schema: Any) -> dict[str, Any]:
    try:
        return get_type_hints(schema)
    except (NameError, TypeError):
        return {}


def _fitting(hint: Any, value: Json) -> Any:
    """A field as its type, where that can be made of JSON."""
    try:
        return value if hint is None else TypeAdapter(hint).validate_python(value)
    except (ValidationError, PydanticUserError, TypeError, NameError):
        return value
