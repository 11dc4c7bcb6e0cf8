"""What was tried again after it failed: whether the error allows it, who tried, and how long was waited.

An error is transient (the same call may succeed later), permanent (it will fail the same way however often it is made) or neither is known. The words are
those of HTTP (RFC 9110, 15.5 and 15.6), gRPC's status codes and the exceptions of common languages; transient wins, since a message may name both.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from workbench.analysis.attempts import waited_s
from workbench.analysis.effects import UNKNOWN_OUTCOME, business_key, failure
from workbench.model import Run, Step

STATUS_CODE = r"(?:\b(?:http|status|code|error)\W{0,3}(?:code\W{0,2})?|^\W*)"
TRANSIENT = re.compile(
    rf"{STATUS_CODE}(?:408|425|429|5\d\d)\b|rate.?limit|too many requests|throttl|overloaded|temporar|unavailable|\bbusy\b|try(ing)? (it )?(again|later)"
    r"|\bretry\b|deadlock|\blocked\b|aborted|resource.?exhausted|connection|network|timed?.?out|timeout|in progress|not (yet )?ready",
    re.IGNORECASE,
)
PERMANENT = re.compile(
    rf"{STATUS_CODE}4(?:0[0-79]|1[0-7]|22|28|51)\b|bad request|invalid|malformed|unauthori[sz]ed|unauthenticated|forbidden|(permission|access).?denied"
    r"|permissionerror|not (permitted|allowed|authori[sz]ed|supported|implemented|found)|unimplemented|no such|does(n't| not) exist|unrecogni[sz]ed"
    r"|unknown (tool|command|argument|column|table|function)|(missing|required) (\w+ )?(argument|parameter|field|property)|validation|syntax.?error"
    r"|already (exists|paid|booked|cancell?ed)|insufficient (funds|balance)|declined|expired|\b(Value|Type|Key|Attribute|NotImplemented|Name)Error\b",
    re.IGNORECASE,
)
MAX_TEXT = 2000
"""How far into an error its words are looked for."""


@dataclass(frozen=True)
class Retry:
    """Two attempts in a row of one call, the first of which failed with `error`. `by` is who tried again; `waited_s` is None where times are missing."""

    before: Step
    after: Step
    error: str
    by: Literal["code", "model", "person", "resume"]
    waited_s: float | None


def classify_error(text: str) -> Literal["transient", "permanent", "unknown"]:
    """Whether trying the very same again can help after an error with these words."""
    text = text[:MAX_TEXT]
    if TRANSIENT.search(text) or UNKNOWN_OUTCOME.search(text):
        return "transient"
    return "permanent" if PERMANENT.search(text) else "unknown"


def retried(run: Run) -> list[tuple[Retry, ...]]:
    """Tool calls that were made again after they failed: the retries of each, in time order, as long as each attempt failed."""
    chains: list[list[Step]] = []
    failing: dict[str, list[Step]] = {}
    for step in run.of_kind("tool"):
        if step.status == "interrupted" or step.tool_call is None:
            continue
        key = business_key(step.tool_call.name, step.tool_call.arguments)
        if key not in failing:
            chains.append(failing.setdefault(key, []))
        failing[key].append(step)
        if step.status != "running" and failure(step) is None:
            del failing[key]
    models, people = ([step.index for step in run.of_kind(kind)] for kind in ("model", "human"))
    return [tuple(_retries(chain, models, people)) for chain in chains if len(chain) > 1]


def _retries(chain: list[Step], models: list[int], people: list[int]) -> Iterator[Retry]:
    for before, after in pairwise(chain):
        yield Retry(before, after, failure(before) or "it never came back", _by(before, after, models, people), waited_s(before, after))


def _by(before: Step, after: Step, models: list[int], people: list[int]) -> Literal["code", "model", "person", "resume"]:
    if before.invocation != after.invocation:
        return "resume"
    if _between(people, before.index, after.index):
        return "person"
    return "model" if _between(models, before.index, after.index) else "code"


def _between(indexes: list[int], after: int, before: int) -> bool:
    return bisect_right(indexes, after) < bisect_left(indexes, before)
