"""`@task`s as functions of their arguments: LangGraph takes them for such when it resumes, and so may a re-run, where their code looks at nothing else."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import FunctionType, ModuleType
from typing import Any

from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph.types import PregelExecutableTask

from workbench.model import Json, canonical
from workbench.replay.fence.injected import closed_over, walked

ELSEWHERE = frozenset(("get_config", "get_store", "get_runtime", "ensure_config", "interrupt"))
"""The functions by which code looks at something of the run that it was not handed."""
HEARD = frozenset(("writer",))
"""What the graph may hand to a task that tells it nothing."""
SAME = "called with the same arguments as then: as a function of these it was served what it returned, and its code was not run"


def is_call(task: PregelExecutableTask) -> bool:
    """Whether a task is the call of a `@task`: its path holds its caller's."""
    return len(task.path) > 1 and isinstance(task.path[1], list | tuple)


def arguments_of(task: PregelExecutableTask) -> dict[str, Json] | None:
    """What a `@task` is called with, by parameter. None where its code may look at more than that, or some of it is no plain data, which spans tell as text."""
    parts = getattr(task.proc, "steps", None)
    explode = getattr(task.proc, "trace_inputs", None)
    body = parts[0] if parts else None
    if body is None or explode is None or set(body.func_accepts) - HEARD or not _alone(inspect.unwrap(body.func or body.afunc)):
        return None
    found = explode(task.input)
    return found if {"self", "cls"}.isdisjoint(inspect.signature(body.func or body.afunc).parameters) and _plain(found) else None


def same(recorded: str | None, given: dict[str, Json]) -> bool:
    """Whether a span tells of these arguments: of a lone text it keeps that, of a lone `input` its JSON, else the JSON of all."""
    if recorded is None or not given:
        return False
    (name, value), *others = given.items()
    if not others and isinstance(value, str):
        return recorded == value
    with suppress(ValueError):
        return canonical(json.loads(recorded)) == canonical(value if name == "input" and not others else given)
    return False


def _plain(value: Any) -> bool:
    """Whether a value is what its JSON says, and nothing that only looks like it."""
    if type(value) is dict:
        return all(type(key) is str and _plain(one) for key, one in value.items())
    return all(map(_plain, value)) if type(value) is list else value is None or type(value) in (str, int, float, bool)


def _alone(body: Callable[..., Any]) -> bool:
    """Whether a function's code, and that of its package which it names, looks at nothing of the run, as far as that can be read: a hint, not a proof."""
    if not isinstance(body, FunctionType):
        return False
    for one, code in walked([body]):
        closed = closed_over(one)
        held = [value for name in code.co_names if (value := one.__globals__.get(name)) is not None]
        if set(code.co_names) & ELSEWHERE or any(isinstance(value, BaseStore | Pregel | ContextVar) for value in held):
            return False
        if not all(isinstance(value, FunctionType | ModuleType | type) for value in closed.values()):
            return False
    return True
