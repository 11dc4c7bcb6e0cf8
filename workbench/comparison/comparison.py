"""Runs side by side: aligned step by step with the first of them, with their effects counted and their findings told apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

from workbench.analysis.calls import MAX_DEPTH, VOLATILE_FIELD, VOLATILE_TEXT, parsed
from workbench.analysis.effects import effects_of
from workbench.comparison.difference import difference
from workbench.model import Aligned, Aspect, Became, Comparison, Effect, EffectCount, Finding, Json, Run, Step, digest
from workbench.reading.raised import said

Ignored = Literal["ids", "times"]
IGNORABLE: tuple[Ignored, ...] = ("ids", "times")
ID_FIELD = re.compile(r"^(id|uuid|guid|.*[_-](id|ids|uuid|guid|key)|.*[a-z](Id|Ids))$")
ID_TEXT = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
LEFT_OUT = "…"
COMPARED = ("status", "tool_call", "result", "error", "output", "changes")
"""What makes two steps differ. Ids, times and tokens are not what a step does."""


class Part(NamedTuple):
    """The smallest part in which two steps differ: where it stands, such as `result.status`, and its value on either side ("–" where there is none)."""

    path: str
    left: Json
    right: Json


def compare(
    left: Run,
    right: Run,
    *,
    ignore: Collection[Ignored] = (),
    findings: tuple[Iterable[Finding], Iterable[Finding]] | None = None,
    requests: tuple[Iterable[Effect], Iterable[Effect]] = ((), ()),
) -> Comparison:
    """Align two runs. Steps that do the same thing face each other; what differs in them is named.

    `ignore` leaves out what differs only in "ids" (fields named like one, UUIDs) or "times" (fields and texts that tell the time, counters of
    attempts). `findings` are those of either side, and so are `requests`, the effects of nodes' own HTTP calls, which no step tells of.
    """
    if unknown := sorted(set(ignore) - set(IGNORABLE)):
        raise ValueError(f"a comparison can't ignore {unknown[0]!r}; it can ignore {' and '.join(IGNORABLE)}")
    gone, new = (None, None) if findings is None else changed_findings(*findings)
    rows = tuple(_align(left.steps, right.steps, frozenset(ignore)))
    return Comparison(left=left, right=right, rows=rows, effects=count_effects(left, right, requests), gone=gone, new=new)


class Beside(NamedTuple):
    """One row of several runs: the step of the reference, None where others have one more, and what stands there in each other run."""

    reference: int | None
    others: tuple[Aligned | None, ...]


def beside(comparisons: Sequence[Comparison]) -> list[Beside]:
    """Comparisons with one and the same run, row by row; what the others have added stands behind the step of the reference it follows."""
    reference = comparisons[0].left
    facing: list[dict[int | None, Aligned]] = [{} for _ in comparisons]
    added: list[dict[int | None, list[Aligned]]] = [{} for _ in comparisons]
    for number, one in enumerate(comparisons):
        last: int | None = None
        for row in one.rows:
            if row.left is None:
                added[number].setdefault(last, []).append(row)
            else:
                last = row.left
                facing[number][last] = row
    found: list[Beside] = []
    for place in (None, *(step.index for step in reference.steps)):
        if place is not None:
            found.append(Beside(place, tuple(rows.get(place) for rows in facing)))
        found.extend(Beside(None, together) for together in zip_longest(*(rows.get(place, []) for rows in added)))
    return found


def changed_findings(before: Iterable[Finding], after: Iterable[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """The findings that are gone and those that are new. Steps shift, so what counts is how often each detector found something."""
    sides = list(before), list(after)
    counts = [Counter(one.detector for one in side) for side in sides]
    return _beyond(sides[0], counts[1]), _beyond(sides[1], counts[0])


def _beyond(findings: Iterable[Finding], matched: Counter[str]) -> tuple[Finding, ...]:
    seen = Counter[str]()
    found = []
    for one in findings:
        seen[one.detector] += 1
        if seen[one.detector] > matched[one.detector]:
            found.append(one)
    return tuple(found)


def count_effects(left: Run, right: Run, requests: tuple[Iterable[Effect], Iterable[Effect]] = ((), ())) -> tuple[EffectCount, ...]:
    """How often each effect was attempted on either side, what changed first, those of nodes' own `requests` too. What was prevented doesn't count."""
    sides = [*effects_of(left), *requests[0]], [*effects_of(right), *requests[1]]
    before, after = (Counter((one.tool, one.key) for one in side if one.outcome != "prevented") for side in sides)
    ways: dict[tuple[str, str], Counter[Became]] = {}
    for one in sides[1]:
        ways.setdefault((one.tool, one.key), Counter())[one.answered or "made"] += 1
    acts = dict.fromkeys([*before, *after])
    found = [EffectCount(tool=one[0], key=one[1], original=before[one], fork=after[one], became=dict(ways.get(one, {}))) for one in acts]
    return tuple(sorted(found, key=lambda one: one.original == one.fork))


def _align(left: Sequence[Step], right: Sequence[Step], ignore: frozenset[Ignored]) -> Iterator[Aligned]:
    """Match first what is wholly the same, then, in between, what stands at the same place in the graph, then what is at least of the same kind."""
    whole = _matched(left, right, lambda step: _content(step, ignore))
    for same, ours, theirs in whole:
        if same:
            yield from (Aligned(relation="same", left=a.index, right=b.index) for a, b in zip(ours, theirs, strict=True))
        else:
            yield from _align_changed(ours, theirs, ignore)


def _align_changed(left: Sequence[Step], right: Sequence[Step], ignore: frozenset[Ignored]) -> Iterator[Aligned]:
    for same, ours, theirs in _matched(left, right, _place):
        pairs = [(same, ours, theirs)] if same else _matched(ours, theirs, lambda step: (step.kind, step.node, step.depth))
        for paired, mine, others in pairs:
            if paired:
                yield from (_changed(a, b, ignore) for a, b in zip(mine, others, strict=True))
            else:
                yield from (Aligned(relation="removed", left=step.index) for step in mine)
                yield from (Aligned(relation="added", right=step.index) for step in others)


Stretch = tuple[bool, Sequence[Step], Sequence[Step]]


def _matched(left: Sequence[Step], right: Sequence[Step], key: Callable[[Step], Hashable]) -> Iterator[Stretch]:
    """Stretches of both runs, in order: those whose steps have the same keys, and what lies between."""
    matcher = SequenceMatcher(None, [key(step) for step in left], [key(step) for step in right], autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        yield tag == "equal", left[i1:i2], right[j1:j2]


def _changed(left: Step, right: Step, ignore: frozenset[Ignored]) -> Aligned:
    differs = differences(left, right, ignore)
    if not differs and "model" in (left.kind, right.kind) and None in (left.model, right.model):  # it goes by its node where nobody told its name
        return Aligned(relation="same", left=left.index, right=right.index)
    return Aligned(relation="changed", left=left.index, right=right.index, differs=differs, aspects=aspects(left, right, ignore))


def differences(left: Step, right: Step, ignore: frozenset[Ignored] = frozenset()) -> tuple[str, ...]:
    """The names of the fields in which two steps differ, of those that say what a step does."""
    one, other = _told(left, ignore), _told(right, ignore)
    return tuple(name for name in COMPARED if one[name] != other[name])


def aspects(left: Step, right: Step, ignore: frozenset[Ignored] = frozenset()) -> tuple[Aspect, ...]:
    """In what way two steps differ: in what was said, which tools were called, with which arguments, what came back, what was written to the state."""
    one, other = (_aspects(step, _told(step, ignore)) for step in (left, right))
    return tuple(name for name in one if one[name] != other[name])


def _aspects(step: Step, told: dict[str, Any]) -> dict[Aspect, object]:
    output, call = told["output"] or {}, told["tool_call"] or {}
    asked = [call] if call else output.get("tool_calls", [])
    return {
        "message": output.get("content"),
        "tool": [step.name if step.kind == "tool" else None, *(one["name"] for one in asked)],
        "arguments": [(one["arguments"], one["raw"]) for one in asked],
        "result": told["result"],
        "state": told["changes"],
        "error": told["error"],
        "status": told["status"],
    }


def parts(left: Step, right: Step, ignore: frozenset[Ignored] = frozenset()) -> tuple[Part, ...]:
    """The parts in which two steps differ. A result that is JSON in a string is looked into; what is ignored is `…` on both sides."""
    names = differences(left, right, ignore)
    told = (_told(step, ignore) for step in (left, right))
    one, other = ({name: value for name, value in {**said, "result": parsed(said["result"])}.items() if name in names} for said in told)
    found: dict[str, dict[str, Json]] = {}
    for line in difference(one, other):
        found.setdefault(line.path, {})[line.sign] = line.value
    return tuple(Part(path, sides.get("-", "–"), sides.get("+", "–")) for path, sides in found.items())


def _told(step: Step, ignore: frozenset[Ignored] = frozenset()) -> dict[str, Any]:
    told = step.model_dump(mode="json", include=set(COMPARED))
    told["error"] = said(told["error"]) if told.get("error") else None
    if told.get("tool_call"):
        told["tool_call"] |= {"call_id": None}
    if told.get("output"):
        told["output"] = {key: value for key, value in told["output"].items() if key in ("role", "content", "error")} | {
            "tool_calls": [{**call, "call_id": None} for call in told["output"]["tool_calls"]]
        }
    if step.kind in ("model", "tool", "human"):
        told["changes"] = {}  # the same again, in the state's own words
    told["changes"] = _without_message_ids(told["changes"])
    return {name: _without(parsed(value), ignore) for name, value in told.items()} if ignore else told


def _without_message_ids(value: Json) -> Json:
    """A value without the ids of the chat messages in it: LangGraph gives a message without one another in each run."""
    if isinstance(value, list):
        return [_without_message_ids(one) for one in value]
    if isinstance(value, dict):
        is_message = value.keys() >= {"type", "content", "id"}
        return {key: _without_message_ids(one) for key, one in value.items() if not (is_message and key == "id")}
    return value


def _without(value: Json, ignore: frozenset[Ignored], depth: int = 0) -> Json:
    """A value without what is ignored, so that two which differ in nothing else are equal."""
    if isinstance(value, dict) and depth < MAX_DEPTH:
        return {name: LEFT_OUT if _ignored(str(name), ignore) else _without(inner, ignore, depth + 1) for name, inner in value.items()}
    if isinstance(value, list) and depth < MAX_DEPTH:
        return [_without(inner, ignore, depth + 1) for inner in value]
    if isinstance(value, str):
        value = ID_TEXT.sub(LEFT_OUT, value) if "ids" in ignore else value
        return VOLATILE_TEXT.sub(LEFT_OUT, value) if "times" in ignore else value
    return value


def _ignored(name: str, ignore: frozenset[Ignored]) -> bool:
    return ("ids" in ignore and bool(ID_FIELD.match(name))) or ("times" in ignore and bool(VOLATILE_FIELD.match(name)))


def _content(step: Step, ignore: frozenset[Ignored]) -> str:
    return digest([*_place(step), _told(step, ignore)])


def _place(step: Step) -> tuple[str, str, str | None, int]:
    return step.kind, step.name, step.node, step.depth
