"""No progress: the same calls with the same results, over and over, alone (A A A) or in a cycle (A B A B).

What passes with time in a result (timestamps, request ids, counters) is ignored; calls whose arguments change, or whose result changes at last
(honest polling, a retry that succeeds), are progress. Calls made longer and longer apart are left alone; a job that says it is still at work may be asked
twice as often, and four times as often again where some seconds pass in between.

Why it matters: a loop burns the budget at machine speed, and nothing in it looks like an error.
What to do: set a step limit and a token budget; stop when the last rounds brought nothing new; tell the model what it has already seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from workbench.analysis.calls import MAX_DEPTH, VOLATILE_FIELD, at_work, call_key, observed, parsed, spent
from workbench.analysis.turns import spoken
from workbench.model import Evidence, Finding, Json, NotEvaluated, Run, Step, canonical
from workbench.sketch import model, sketch, timed, tool, user

ROUNDS, MANY, SHOWN = 4, 8, 4
CONTEXTS = (1, 2, 4, 8)
PACE_NS = 3 * 10**9
PATIENCE = 0.6  # of the waits are no shorter than the one before


@dataclass(frozen=True)
class Loop:
    """A stretch of tool calls that repeats itself every `period` calls."""

    steps: list[Step]
    period: int

    @property
    def rounds(self) -> int:
        """Complete rounds."""
        return len(self.steps) // self.period


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each loop, at its first repetition."""
    if not any(run.of_kind("tool")):
        yield NotEvaluated(detector="runaway-loop", run_id=run.run_id, why="no tool calls recorded")
    for calls in _stretches(run):
        yield from (_finding(run, loop) for loop in _loops(calls))


def _stretches(run: Run) -> Iterator[list[Step]]:
    """The tool calls between one word of a person and the next."""
    heard, calls = {index for index, _ in spoken(run)}, list[Step]()
    for step in run.steps:
        if step.index in heard:
            yield calls
            calls = []
        if step.kind == "tool" and step.status in {"ok", "error"}:
            calls.append(step)
    yield calls


def _loops(calls: list[Step]) -> Iterator[Loop]:
    asked = [call_key(step) for step in calls]
    often = Counter(asked)
    seen = [
        f"{key} → {observed(step) if often[key] >= ROUNDS else step.index}" for key, step in zip(asked, calls, strict=True)
    ]  # reading results is what costs
    for start, end, period in _repetitions(seen):
        going_on = end < len(calls) and asked[end] == asked[end - period]  # the same call brought something new at last
        if not going_on and not _patient(calls[start:end], period):
            yield Loop(calls[start:end], period)


def _repetitions(seen: list[str]) -> Iterator[tuple[int, int, int]]:
    """Start, end and period of the stretches that repeat themselves at least `ROUNDS` times, the shortest period first; none overlaps another.

    The period of a cycle is the distance from one of its stretches of 1, 2, 4 or 8 calls to the same stretch before; each distance is followed
    only once over the same calls, so that the work is linear in their number.
    """
    start, ends = 0, dict[int, int]()
    following = [_next_same(seen, length) for length in CONTEXTS]
    while start < len(seen):
        periods = sorted({after[start] - start for after in following if after[start]})
        found = None
        for period in periods:
            ends[period] = max(ends.get(period, 0), start + period)
            while ends[period] < len(seen) and seen[ends[period]] == seen[ends[period] - period]:
                ends[period] += 1
            if ends[period] - start >= ROUNDS * period:
                found = start, ends[period], period
                break
        if found:
            yield found
        start = found[1] if found else start + 1


def _next_same(seen: list[str], length: int) -> list[int]:
    """For each place, where the same `length` calls begin next; 0 where they don't."""
    last, after = dict[tuple[str, ...], int](), [0] * len(seen)
    for place in range(len(seen) - length, -1, -1):
        stretch = tuple(seen[place : place + length])
        after[place] = last.get(stretch, 0)
        last[stretch] = place
    return after


def _patient(calls: list[Step], period: int) -> bool:
    """Whether one call was repeated longer and longer apart, or asked for a job that is still at work, and not too often."""
    if period > 1:
        return False
    timed_ones = all(step.started_ns is not None for step in calls)
    waits = [(after.started_ns or 0) - (before.started_ns or 0) for before, after in pairwise(calls)] if timed_ones else []
    if waits and waits[-1] >= 2 * waits[0] and sum(after >= before for before, after in pairwise(waits)) >= PATIENCE * (len(waits) - 1):
        return True
    paced = bool(waits) and median(waits) >= PACE_NS
    return len(calls) < (4 * MANY if paced else MANY) and at_work(calls[0])


def _finding(run: Run, loop: Loop) -> Finding:
    first, last, stop = loop.steps[loop.period], loop.steps[-1], loop.steps[2 * loop.period - 1]
    tokens, cost = spent(run, first.index, last.index)
    names = " → ".join(step.name for step in loop.steps[: loop.period])
    same = ("the same call with the same result" if loop.period == 1 else "the same calls with the same results") + _but_for(loop)
    burned = [f"{tokens:,} tokens burned" if tokens is not None else "", f"${cost:.4f} burned" if cost is not None else ""]
    numbers = {"rounds": loop.rounds, "period": loop.period, "calls": len(loop.steps), "stop_at": stop.index, "burned_tokens": tokens, "burned_usd": cost}
    return Finding(
        detector="runaway-loop",
        run_id=run.run_id,
        severity="error" if loop.rounds >= MANY else "warning",
        score=min(0.95, 0.5 + 0.05 * loop.rounds),
        step=first.index,
        message=f"{names}: {loop.rounds} times {same}, steps {loop.steps[0].index} to {last.index}; "
        + "; ".join([f"nothing new since step {first.index}", *filter(None, burned), f"could have been stopped at step {stop.index}"]),
        numbers={name: value for name, value in numbers.items() if value is not None},
        evidence=tuple(Evidence.cite(run, step.index, "$.result", f"what {step.name} brought") for step in [*loop.steps[:SHOWN], last]),
        capability="cost control",
        item="circuit-breaker",
        refute=f"Fork at step {first.index} with a result that differs: if the agent still repeats the call, the loop doesn't hang on the result.",
    )


def _but_for(loop: Loop) -> str:
    """What differs between the rounds and was ignored: the names of the fields, or times where they stand in running text."""
    rounds = [(step, loop.steps[number + loop.period]) for number, step in enumerate(loop.steps[: -loop.period])]
    pairs = [(parsed(one.result), parsed(other.result)) for one, other in rounds]
    names = sorted({name for one, other in pairs for name in _passing(one, other)})
    if names:
        return f" but for {', '.join(names[:SHOWN])}"
    return " but for times and ids" if any((one.error, one.result) != (other.error, other.result) for one, other in rounds) else ""


def _passing(one: Json, other: Json, depth: int = 0) -> Iterator[str]:
    """The names of the fields that merely pass with time and differ."""
    if depth > MAX_DEPTH:
        return
    if isinstance(one, dict) and isinstance(other, dict):
        for name in {*one, *other}:
            if VOLATILE_FIELD.match(str(name)):
                yield from [str(name)] if canonical(one.get(name)) != canonical(other.get(name)) else []
            else:
                yield from _passing(one.get(name), other.get(name), depth + 1)
    elif isinstance(one, list) and isinstance(other, list):
        for left, right in zip(one, other, strict=False):
            yield from _passing(left, right, depth + 1)


def _search(number: int, hotels: int = 0) -> tuple[Step, ...]:
    asked, found = {"city": "Kyoto"}, {"hotels": ["Sakura"] * hotels, "checked_at": f"03:00:{number:02}"}
    return model(calls=(("search_hotels", asked),), tokens=90), tool("search_hotels", asked, found)


A, B = tool("list_rooms", {"hotel": 1}, []), tool("list_rates", {"hotel": 1}, [])

FIRES_ON = (
    sketch(user("A hotel in Kyoto"), *(step for n in range(6) for step in _search(n))),
    sketch(user("A hotel"), tool("find_hotel", {}, 1), *(A, B) * 5),
    sketch(user("Export it"), *(tool("get_job", {"job": "J-1"}, "pending") for _ in range(12))),
)
QUIET_ON = (
    sketch(user("A hotel in Kyoto"), *(step for n in range(6) for step in _search(n, hotels=n // 5)), model("Sakura is free.")),
    sketch(user("All hotels"), *(tool("search_hotels", {"page": page}, []) for page in range(9))),
    sketch(user("Pay"), *(tool("pay", {"order": 1}, error="busy", **timed(2**n)) for n in range(4)), tool("pay", {"order": 1}, "paid", **timed(17))),
    sketch(user("A hotel"), *(A, B) * 3, model("None is free.")),
    sketch(user("Export it"), *(tool("get_job", {"job": "J-1"}, "pending") for _ in range(6))),
    sketch(user("Export it"), *(tool("get_job", {"job": "J-1"}, {"state": "in_progress"}, **timed(10 * n)) for n in range(20))),
)
