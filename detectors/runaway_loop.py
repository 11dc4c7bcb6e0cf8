"""No progress: the same calls with the same results, over and over, alone (A A A) or in a cycle (A B A B).

What passes with time in a result (timestamps, request ids, counters) is ignored; calls whose arguments change, or whose result changes at last
(honest polling, a retry that succeeds), are progress.

Why it matters: a loop burns the budget at machine speed, and nothing in it looks like an error.
What to do: set a step limit and a token budget; stop when the last rounds brought nothing new; tell the model what it has already seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.calls import MAX_DEPTH, VOLATILE_FIELD, call_key, observed, parsed, spent
from workbench.model import Evidence, Finding, Json, NotEvaluated, Run, Step, canonical
from workbench.sketch import model, sketch, tool, user
from workbench.turns import spoken

ROUNDS, MANY, LONGEST, SHOWN = 4, 8, 12, 4


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
    seen = [(key, observed(step) if often[key] >= ROUNDS else str(step.index)) for key, step in zip(asked, calls, strict=True)]  # reading results is what costs
    start = 0
    while start < len(calls):
        ends = {period: _end(seen, start, period) for period in range(1, LONGEST + 1)}
        found = next((Loop(calls[start:end], period) for period, end in ends.items() if end - start >= ROUNDS * period), None)
        if found is None:
            start += 1
            continue
        start += len(found.steps)
        if start == len(calls) or asked[start] != asked[start - found.period]:  # else the same call brought something new at last
            yield found


def _end(seen: list[tuple[str, str]], start: int, period: int) -> int:
    """Where the stretch that repeats itself every `period` calls ends."""
    end = start + period
    while end < len(seen) and seen[end] == seen[end - period]:
        end += 1
    return min(end, len(seen))


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
)
QUIET_ON = (
    sketch(user("A hotel in Kyoto"), *(step for n in range(6) for step in _search(n, hotels=n // 5)), model("Sakura is free.")),
    sketch(user("All hotels"), *(tool("search_hotels", {"page": page}, []) for page in range(9))),
    sketch(user("Pay"), *(tool("pay", {"order": 1}, error="busy") for _ in range(4)), tool("pay", {"order": 1}, "paid")),
    sketch(user("A hotel"), *(A, B) * 3, model("None is free.")),
)
