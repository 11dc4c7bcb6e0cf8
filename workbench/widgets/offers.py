"""What can change at a step, and what stands there now: the beginning of each editor in the fork panel, and how its text becomes a value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn

from workbench.model import Change, Json, Run, Step
from workbench.replay.changes import ChangeError, check
from workbench.widgets.excerpt import as_text, sendable

KINDS = ("tool_result", "message", "state", "model", "system", "tools", "answer", "fault")
FIRST = {"tool": "tool_result", "model": "message", "human": "answer", "node": "state"}
"""What one most likely wants to change at a step of a kind."""
SAMPLES: dict[str, Json] = {
    "tool_result": None,
    "message": {"index": 0, "content": ""},
    "state": {"messages": []},
    "model": "model",
    "system": "",
    "tools": [],
    "answer": None,
    "fault": "error",
}
"""A value of each kind, to ask whether that kind can change at a step."""
MOST_CHARS = 200_000
"""A recorded value longer than this is not put into the editor."""
MOST_MESSAGES = 60
AROUND = 200


def offers(run: Run, step: Step) -> dict[str, Json]:
    """For each kind of change whether it can be made at a step, why not, and the text its editor begins with."""
    return {kind: _offer(run, step, kind) for kind in KINDS}


def _offer(run: Run, step: Step, kind: str) -> dict[str, Json]:
    try:
        check(run, step.index, Change(kind=kind, value=SAMPLES[kind]), ("model",))
    except ChangeError as error:
        return {"can": False, "why": sendable(str(error))}
    if kind == "message":
        first = max(0, len(step.messages) - MOST_MESSAGES)
        shown = [[place, one.role, *_begin(one.content)] for place, one in enumerate(step.messages) if place >= first]
        return {"can": True, "as_text": True, "text": shown[-1][2] if shown else "", "messages": shown}
    now, as_text_itself = _recorded(run, step, kind)
    text, whole = _begin(now if as_text_itself else as_text(now) if not isinstance(now, str) else json.dumps(now, ensure_ascii=False))
    failed = {"error": sendable(step.error[:2_000])} if kind == "tool_result" and step.error else {}
    return {"can": True, "as_text": as_text_itself, "text": text, "whole": whole, **failed}


def _begin(text: str) -> tuple[str, bool]:
    """The text an editor begins with, and whether that is what was recorded: a very long one is not put there."""
    return (sendable(text), True) if len(text) <= MOST_CHARS else ("", False)


def _recorded(run: Run, step: Step, kind: str) -> tuple[Json, bool]:
    """What stands there now, and whether its editor takes text rather than JSON."""
    thinks = next((one for one in run.of_kind("model") if one.index >= step.index), None) or next(iter(run.of_kind("model")), None)
    if kind == "system":
        return next((one.content for one in (thinks.messages if thinks else ()) if one.role == "system"), ""), True
    if kind == "model":
        return {"name": (thinks.model if thinks else None) or ""}, False
    if kind == "tools":
        offered = thinks.decision.alternatives if thinks and thinks.decision else None
        return list(offered or run.tools or ()), False
    if kind == "answer":
        said = step.result if step.result is not None or step.output is None else step.output.content
        return said, isinstance(said, str)
    if kind == "tool_result":
        return step.result, isinstance(step.result, str)
    return ("timeout", False) if kind == "fault" else ({}, False)


def state_offer(state: dict[str, Json]) -> list[Json]:
    """The channels of a state with their values as JSON text; of a very long one no value, only how long it is."""
    found: list[Json] = []
    for name, value in state.items():
        text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
        found.append([sendable(name), sendable(text) if len(text) <= MOST_CHARS else None, len(text)])
    return found


def around(run: Run, step: int) -> Sequence[Step]:
    """The steps around one, from which another can be chosen."""
    place = next((number for number, one in enumerate(run.steps) if one.index == step), 0)
    return run.steps[max(0, place - AROUND) : place + AROUND]


def value_of(kind: str, text: str, *, as_text: bool = False, place: int = 0) -> Json:
    """The value that stands in an editor. ChangeError names line and column of what is no JSON."""
    if kind == "message":
        return {"index": place, "content": text}
    if kind == "system" or (as_text and kind in ("tool_result", "answer")):
        return text
    try:
        return json.loads(text, parse_constant=_no_json, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ChangeError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error


def _no_json(word: str) -> NoReturn:
    raise ChangeError(f"{word} is no JSON")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        raise ChangeError(f"the key {twice!r} stands in an object twice")
    return found
