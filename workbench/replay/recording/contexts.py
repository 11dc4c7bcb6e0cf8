"""What a run was started with besides its input (`context=`): read from the spans of a recording, and made again for its re-run.

No checkpoint holds it, and no instrumentor tells of it but our own recorder (`workbench.taps.contexts`). What of it could not be written down stays
away: whoever asks for it in a re-run halts, by its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, NotRequired, Required, get_origin, get_type_hints

from pydantic import BaseModel

from workbench.model import Json, Run, Span, canonical
from workbench.replay.fitting import MisfitError, fitted, type_name
from workbench.replay.nearest import meant
from workbench.replay.protocol import Context
from workbench.replay.recording.starts import spans_of_starts
from workbench.taps.contexts import LOST, VALUE, parts_of

HIDDEN = "[redacted "
UNKNOWN = (
    "the graph takes a context, and what this run was started with was not recorded (wb.record does): the re-run has none, "
    "so code that reads it fails, unless you give one (context=…, --context); recorded answers and writes are served all the same"
)
UNCHECKED = "; the graph names no context_schema, so that it was held against no type, and reaches only code that reads runtime.context by itself"


class ContextError(ValueError):
    """A context that doesn't fit the graph. The message says what differs."""


def contexts_of(run: Run, spans: Iterable[Span], first: int) -> tuple[Context, ...]:
    """What a run was started with, start by start from its `first` on. Of a start that nothing tells of, what the one before it was given."""
    told = {number: _read(span) for number, span in spans_of_starts(run, spans, VALUE).items()}
    last = max((step.invocation for step in run.steps), default=first)
    given = (next((told[one] for one in range(number, -1, -1) if one in told), None) for number in range(first, last + 1))
    return tuple(one for one in given if one is not None)


def _read(span: Span) -> Context:
    value, lost = (loaded(span.attributes.get(name)) for name in (VALUE, LOST))
    return Context(value=value, lost={str(name): str(kind) for name, kind in lost.items()} if isinstance(lost, dict) else {})


def loaded(text: Json) -> Json:
    """An attribute's JSON; None for what is none."""
    try:
        return json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None


def with_given(recorded: Sequence[Context], given: Json) -> tuple[Context, ...]:
    """The contexts with what somebody gave by hand: its fields take the place of those recorded, all else stands. None: nothing was given."""
    if given is None:
        return tuple(recorded)
    if not recorded:
        return (_replaced(Context(), given),)
    return tuple(_replaced(one, given).model_copy(update={"other": _others(one, given)}) for one in recorded)


def _replaced(recorded: Context, given: Json) -> Context:
    if not isinstance(given, dict) or not isinstance(recorded.value, dict | None):
        return Context(value=given, by_hand=tuple(given) if isinstance(given, dict) else ("",))
    lost = {name: kind for name, kind in recorded.lost.items() if name and name not in given}
    return Context(value={**(recorded.value or {}), **given}, lost=lost, by_hand=tuple(given))


def _others(recorded: Context, given: Json) -> tuple[str, ...] | None:
    """The fields of what was given that were recorded with another value; None where the whole was not kept as it was."""
    if "" in recorded.lost:
        return None
    if not isinstance(given, dict) or not isinstance(recorded.value, dict):
        return None if HIDDEN in str(recorded.value) else ("",) if canonical(given) != canonical(recorded.value) else ()
    unknown = {*recorded.lost, *(name for name, value in recorded.value.items() if HIDDEN in str(value))}
    return tuple(
        name for name in given if name not in unknown and canonical([given[name]]) != canonical([recorded.value[name]] if name in recorded.value else [])
    )


def others_of(contexts: Iterable[Context]) -> tuple[str, ...]:
    """The fields that some start is given with another value than was recorded, "the whole" of a context without fields."""
    return tuple(dict.fromkeys(name or "the whole" for one in contexts for name in one.other or ()))


class Absent:
    """Stands for what a start was given and was not recorded. Whoever asks anything of it halts; `halt` raises."""

    def __init__(self, name: str, kind: str, halt: Callable[[str], Any], whose: str = "the run's context") -> None:
        self.__dict__.update({"_says": f"what {whose} held{f' as {name!r}' if name else ''}, a {kind}, can't be written down", "_halt": halt})

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
    """A context as the graph's own type. ContextError where it doesn't fit that: of what was given by hand, each field has to."""
    if "" in given.lost:
        return Absent("", given.lost[""], halt)
    if not isinstance(given.value, dict) or schema is None:
        _refuse_bare(schema, given)
        return given.value
    hints = _hints(schema)
    _check_names(schema, hints, given)
    parts = {name: _fitting(hints.get(name), value, name if name in (given.by_hand or ()) else "") for name, value in given.value.items()}
    parts |= {name: Absent(name, kind, halt) for name, kind in given.lost.items()}
    try:
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return schema.model_construct(**parts) if given.lost else schema(**parts)
        return schema(**parts) if isinstance(schema, type) and is_dataclass(schema) else parts
    except (TypeError, ValueError) as error:
        whose = "the run was started with the context" if given.by_hand is None else "what was given of the context, beside what was recorded, makes it"
        raise ContextError(f"{whose} {', '.join(parts) or 'of no fields'}, which {schema.__name__} can't be made of: {error}") from error


def _refuse_bare(schema: Any, given: Context) -> None:
    if given.by_hand is not None and schema is not None and _hints(schema):
        raise ContextError(f"the context given should be a JSON object with the fields of {schema.__name__}: {_listed(_hints(schema))}")


def _check_names(schema: Any, hints: Mapping[str, Any], given: Context) -> None:
    """Refuse a context given by hand that names a field which there is none of, or lacks one."""
    if given.by_hand is None or not hints:
        return
    if unknown := next((name for name in given.by_hand if name not in hints), None):
        raise ContextError(f"{schema.__name__} has no field {unknown!r}{meant(unknown, hints) or ';'} It has {_listed(hints)}")
    known = {*(given.value if isinstance(given.value, dict) else ()), *given.lost}
    if lacking := [name for name in hints if name in _required(schema) and name not in known]:
        raise ContextError(f"the context given lacks {', '.join(lacking)}, which {schema.__name__} needs: it has {_listed(hints)}")


def _required(schema: Any) -> frozenset[str]:
    """The fields that a dataclass, pydantic model or TypedDict can't do without."""
    if is_dataclass(schema):
        return frozenset(one.name for one in fields(schema) if one.init and one.default is MISSING and one.default_factory is MISSING)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return frozenset(name for name, one in schema.model_fields.items() if one.is_required())
    marked = {name: get_origin(hint) for name, hint in get_type_hints(schema, include_extras=True).items()}  # which a class body in text doesn't know of
    stated = getattr(schema, "__required_keys__", ())
    return frozenset(name for name, mark in marked.items() if mark is Required or (name in stated and mark is not NotRequired))


def _listed(hints: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({type_name(hint)})" for name, hint in hints.items())


def _hints(schema: Any) -> dict[str, Any]:
    try:
        return get_type_hints(schema)
    except (NameError, TypeError):
        return {}


def _fitting(hint: Any, value: Json, by_hand: str) -> Any:
    """A field as its type, where that can be made of JSON. ContextError for one given `by_hand`, under this name, that it can't be made of."""
    if hint is None:
        return value
    try:
        return fitted(hint, value, f"the context's {by_hand}", strict=bool(by_hand))
    except MisfitError as error:
        if by_hand:
            raise ContextError(f"the context given does not fit the graph's: {error}") from None
        return value
