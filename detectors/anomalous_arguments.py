"""The arguments of a call break what holds everywhere else: a stand-in where a value belongs, another type than in all calls before.

Over many runs: a value far outside the range or the set that other runs of this agent give. What holds is mined from the calls themselves: from at
least 4 earlier ones within the run, at least 20 of other runs.

Why it matters: `<customer_id>` or "N/A" in an act is a value that the model didn't have; a change of type or range is often the first sign of drift.
What to do: validate arguments against a schema with types, ranges and enumerations; ask when a required value is missing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from statistics import quantiles
from typing import NamedTuple

from workbench.analysis.effects import is_act
from workbench.cohorts.baseline import type_name
from workbench.cohorts.periods import fetched
from workbench.model import Evidence, Finding, Json, NotEvaluated, Run, Step, digest
from workbench.sketch import model, sketch, tool, user

STAND_IN = re.compile(
    r"""^\W*(<[\w\ .-]+>|\[(your|insert|enter|placeholder)[\w\ .-]*\]|\{\{[\w\ .-]+\}\}|your[_\ -]\w+|(the_)?placeholder|undefined|tbd|todo|x{3,}
    |insert[_\ ]\w+|(user|customer|order)_id)\W*$""",
    re.IGNORECASE | re.VERBOSE,
)
WITHIN, ACROSS, FAR, ENOUGH_RUNS = 4, 20, 3.0, 10


KEPT = 200
"""Characters of a text that are kept of each call; longer ones are told apart by their hash."""


class Use(NamedTuple):
    """One argument of one call: where it stands, and its value."""

    run_id: str
    step: int
    tool: str
    name: str
    value: Json


Odd = tuple[Use, str, float]
"""A use that breaks what holds elsewhere, in words, with the score."""


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding for each argument of a tool."""
    if not any(step.tool_call and step.tool_call.arguments is not None for step in run.of_kind("tool")):
        yield NotEvaluated(detector="anomalous-arguments", run_id=run.run_id, why="no arguments of tool calls recorded")
    types: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    told: set[tuple[str, str]] = set()
    acts = {step.index for step in run.of_kind("tool") if is_act(step)}
    for use in _uses(run):
        key, kind = (use.tool, use.name), type_name(use.value)
        before = types[key]
        if key not in told:
            if use.step in acts and isinstance(use.value, str) and STAND_IN.match(use.value):
                told.add(key)
                yield _finding(run, use, f"is a stand-in: “{use.value[:80]}”", 0.8, warns=True)
            elif before and len(before) == 1 and kind not in before and before.total() >= WITHIN and kind != "null":
                told.add(key)
                yield _finding(run, use, f"is {kind}, and {next(iter(before))} in all {before.total()} calls before", 0.5)
        before[kind] += kind != "null"


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """One finding for each argument whose value is of a type, range or set that no other run of the agent has."""
    uses: dict[tuple[str | None, str, str], list[Use]] = defaultdict(list)
    for run in runs:
        for use in _uses(run):
            uses[run.agent, use.tool, use.name].append(use._replace(value=_slim(use.value)))
    cohorts = (found for found in uses.values() if len(found) > ACROSS and len({use.run_id for use in found}) >= ENOUGH_RUNS)
    odd = [one for found in cohorts for one in _unlike(found)]
    whole = fetched(runs, {use.run_id for use, *_ in odd})
    for use, says, score in odd:
        yield _finding(whole[use.run_id], use, says, score)


def _uses(run: Run) -> Iterator[Use]:
    for step in run.of_kind("tool"):
        for name, value in ((step.tool_call.arguments if step.tool_call else None) or {}).items():
            yield Use(run.run_id, step.index, step.name, name, value)


def _slim(value: Json) -> Json:
    """What is compared of a value: its type, and the value itself where it is a number or a short text."""
    if isinstance(value, str):
        return value if len(value) <= KEPT else digest(value)
    return type(value)() if isinstance(value, dict | list) else value


def _unlike(uses: list[Use]) -> Iterator[Odd]:
    """The uses that are alone with their type, far outside the range, or alone with a value of a small set."""
    kinds = Counter(type_name(use.value) for use in uses)
    numbers = [float(use.value) for use in uses if type_name(use.value) == "number"]
    low, _, high = quantiles(numbers, n=4) if len(numbers) >= ACROSS else (0.0, 0.0, 0.0)
    texts = Counter(use.value for use in uses if isinstance(use.value, str))
    small = len(texts) * WITHIN <= texts.total()
    for use in uses:
        kind = type_name(use.value)
        if kinds[kind] == 1 and kind != "null":
            yield use, (f"is {kind} here and nowhere else in {len(uses)} calls of this agent"), 0.5
        elif kind == "number" and len(numbers) >= ACROSS and not low - FAR * (high - low) <= float(use.value) <= high + FAR * (high - low) and high > low:
            yield use, (f"is {use.value}; half of {len(numbers)} calls of this agent lie between {low:g} and {high:g}"), 0.5
        elif isinstance(use.value, str) and small and texts[use.value] == 1 and texts.total() > ACROSS:
            yield use, (f"is “{use.value[:80]}” here and nowhere else in {texts.total()} calls, which have {len(texts)} values"), 0.4


def _finding(run: Run, use: Use, says: str, score: float, *, warns: bool = False) -> Finding:
    return Finding(
        detector="anomalous-arguments",
        run_id=run.run_id,
        severity="warning" if warns else "info",
        score=score,
        step=use.step,
        message=f"{use.tool} at step {use.step}: {use.name} {says}",
        numbers={"argument": use.name},
        evidence=(Evidence.cite(run, use.step, "$.tool_call.arguments", f"arguments of {use.tool}"),),
        capability="security",
        item="input-validation",
        refute=f"Fork at step {use.step} with a usual {use.name}: if the tool answers the same, the value made no difference.",
    )


def _hotel(nights: Json) -> Step:
    return tool("book_hotel", {"city": "Kyoto", "nights": nights}, "booked")


FIRES_ON = (
    sketch(user("Refund it"), tool("refund_order", {"order_id": "<order_id>", "amount": 5}, "ok")),
    sketch(user("Hotels"), *(_hotel(nights) for nights in (1, 2, 3, 4, "two"))),
)
QUIET_ON = (
    sketch(user("Hotels"), *(_hotel(nights) for nights in (1, 2, 30, None, 4, 5))),
    sketch(user("What is <order_id>?"), tool("search_docs", {"query": "<order_id>"}, "a parameter"), model("A parameter.")),
    sketch(user("Hotels"), _hotel(1), _hotel("two")),
)
