"""What can change at a step, and what stands there now: the beginning of each editor in the fork panel, and how its text becomes a value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn

from workbench.model import Change, Interaction, Json, Run, Step
from workbench.replay.changes import check
from workbench.replay.exchanges import answer_of, meant_by, name_among, of_http, url_of
from workbench.replay.shapes import ChangeError
from workbench.widgets.excerpt import as_text, sendable

KINDS = ("tool_result", "message", "state", "model", "system", "tools", "answer", "fault", "http")
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
    "http": {"status": 200},
}
"""A value of each kind, to ask whether that kind can change at a step."""
MOST_CHARS = 200_000
"""A recorded value longer than this is not put into the editor."""
MOST_MESSAGES = 60
MOST_CALLS, MOST_BODY_CHARS = 60, 20_000
AROUND = 200


def offers(run: Run, step: Step, exchanges: Sequence[Interaction] = ()) -> dict[str, Json]:
    """For each kind of change whether it can be made at a step, why not, and the text its editor begins with. `exchanges` are its node's HTTP calls."""
    return {kind: _offer(run, step, kind, exchanges) for kind in KINDS}


def _offer(run: Run, step: Step, kind: str, exchanges: Sequence[Interaction]) -> dict[str, Json]:
    change = Change(kind=kind, value=SAMPLES[kind])
    try:
        if of_http(change, step):
            meant_by(0 if exchanges else None, exchanges, step)
            return _calls(kind, exchanges)
        check(run, step.index, change, ("model",))
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


def _calls(kind: str, exchanges: Sequence[Interaction]) -> dict[str, Json]:
    """The HTTP calls one may choose from, each with the text that the editor has for it."""
    found = []
    for number, one in enumerate(exchanges[:MOST_CALLS]):
        call = name_among(exchanges, number)
        value = answer_of(one, call, MOST_BODY_CHARS) if kind == "http" else {"kind": "timeout", "call": call}
        found.append([sendable(f"{number} {url_of(one)[:120]}"), sendable(as_text(value))])
    return {"can": True, "as_text": False, "text": found[0][1], "whole": True, "calls": found}


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
