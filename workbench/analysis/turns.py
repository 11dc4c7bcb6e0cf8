"""Where a person spoke: which steps bring something new from a person, and what that means for the steps between."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import itemgetter

from workbench.model import Run, Step


def spoken(run: Run) -> list[tuple[int, str]]:
    """What people said, as (step index, text) in order: their own steps, and user messages that appear anew in what a model was given."""
    found = [(step.index, step.output.content) for step in run.of_kind("human") if step.output is not None and step.tool_call is None]
    own = {text for _, text in found}
    return sorted([*found, *((index, text) for index, text in _given_to_models(run) if text not in own)])


def asked_between(heard: list[tuple[int, str]], after: int, before: int) -> bool:
    """Whether a person said something new between two steps, given all that was `spoken`. The same request sent once more is a restart, not a wish."""
    first = bisect_right(heard, after, key=itemgetter(0))
    previous = [None, *(text for _, text in heard[:first])][-1]
    return any(text != previous for _, text in heard[first : bisect_left(heard, before, key=itemgetter(0))])


def answered(step: Step) -> bool:
    """Whether a person's step holds an answer; a pause that still waits doesn't."""
    return step.kind == "human" and step.status == "ok" and (step.output is not None or step.result is not None)


def _given_to_models(run: Run) -> Iterator[tuple[int, str]]:
    """User messages that a model call was given and the same node's call before it was not. Another node's first prompt is no person's word."""
    seen: dict[tuple[str | None, int], int] = {}
    for step in run.of_kind("model"):
        place = (step.node, step.depth)
        known = seen.get(place, len(step.messages) if seen else 0)
        yield from ((step.index, message.content) for message in step.messages[known:] if message.role == "user")
        seen[place] = len(step.messages)
