"""Two runs side by side: aligned step by step, with their effects counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from workbench.calls import parsed
from workbench.difference import difference
from workbench.effects import effects_of
from workbench.model import Aligned, Answered, Comparison, EffectCount, Json, Run, Step, digest

COMPARED = ("status", "tool_call", "result", "error", "output", "changes")
"""What makes two steps differ. Ids, times and tokens are not what a step does."""


class Part(NamedTuple):
    """The smallest part in which two steps differ: where it stands, such as `result.status`, and its value on either side ("–" where there is none)."""

    path: str
    left: Json
    right: Json


def compare(left: Run, right: Run) -> Comparison:
    """Align two runs. Steps that do the same thing face each other; what differs in them is named."""
    return Comparison(left=left, right=right, rows=tuple(_align(left.steps, right.steps)), effects=count_effects(left, right))


def count_effects(left: Run, right: Run) -> tuple[EffectCount, ...]:
    """How often each effect was attempted on either side, what changed first. Effects that a fork prevented don't count."""
    counts: dict[tuple[str, str], list[int]] = {}
    for side, run in enumerate((left, right)):
        for effect in effects_of(run):
            if effect.outcome != "prevented":
                counts.setdefault((effect.tool, effect.key), [0, 0])[side] += 1
    found = [EffectCount(tool=tool, key=key, original=before, fork=after) for (tool, key), (before, after) in counts.items()]
    return tuple(sorted(found, key=lambda one: one.original == one.fork))


def answered(run: Run, tool: str, key: str) -> dict[Answered | None, int]:
    """How often one effect of a run was answered how: None is a real call."""
    ways = [effect.answered for effect in effects_of(run) if (effect.tool, effect.key) == (tool, key)]
    return {way: ways.count(way) for way in ways}


def _align(left: Sequence[Step], right: Sequence[Step]) -> Iterator[Aligned]:
    """Match first what is wholly the same, then, in between, what stands at the same place in the graph."""
    whole = SequenceMatcher(None, [_content(step) for step in left], [_content(step) for step in right], autojunk=False)
    for tag, i1, i2, j1, j2 in whole.get_opcodes():
        if tag == "equal":
            yield from (Aligned(relation="same", left=a.index, right=b.index) for a, b in zip(left[i1:i2], right[j1:j2], strict=True))
        else:
            yield from _align_changed(left[i1:i2], right[j1:j2])


def _align_changed(left: Sequence[Step], right: Sequence[Step]) -> Iterator[Aligned]:
    places = SequenceMatcher(None, [_place(step) for step in left], [_place(step) for step in right], autojunk=False)
    for tag, i1, i2, j1, j2 in places.get_opcodes():
        if tag == "equal":
            for a, b in zip(left[i1:i2], right[j1:j2], strict=True):
                yield Aligned(relation="changed", left=a.index, right=b.index, differs=differences(a, b))
        else:
            yield from (Aligned(relation="removed", left=step.index) for step in left[i1:i2])
            yield from (Aligned(relation="added", right=step.index) for step in right[j1:j2])


def differences(left: Step, right: Step) -> tuple[str, ...]:
    """The names of the fields in which two steps differ, of those that say what a step does."""
    one, other = _told(left), _told(right)
    return tuple(name for name in COMPARED if one[name] != other[name])


def parts(left: Step, right: Step) -> tuple[Part, ...]:
    """The parts in which two steps differ. A result that is JSON in a string is looked into."""
    names = differences(left, right)
    one, other = ({name: value for name, value in {**_told(step), "result": parsed(step.result)}.items() if name in names} for step in (left, right))
    found: dict[str, dict[str, Json]] = {}
    for line in difference(one, other):
        found.setdefault(line.path, {})[line.sign] = line.value
    return tuple(Part(path, sides.get("-", "–"), sides.get("+", "–")) for path, sides in found.items())


def _told(step: Step) -> dict[str, object]:
    told = step.model_dump(mode="json", include=set(COMPARED))
    if told.get("tool_call"):
        told["tool_call"] |= {"call_id": None}
    if told.get("output"):
        told["output"] = {key: value for key, value in told["output"].items() if key in ("role", "content", "error")} | {
            "tool_calls": [{**call, "call_id": None} for call in told["output"]["tool_calls"]]
        }
    if step.kind in ("model", "tool", "human"):
        told["changes"] = {}  # the same again, in the state's own words and with its message ids
    return told


def _content(step: Step) -> str:
    return digest([*_place(step), _told(step)])


def _place(step: Step) -> tuple[str, str, str | None, int]:
    return step.kind, step.name, step.node, step.depth
