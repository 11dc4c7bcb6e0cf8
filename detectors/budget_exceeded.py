"""A run that spent more than the limit it declares, or that a limit cut off: where it stood then, and what was spent after it could have been stopped.

Limits are read from the run's metadata (`max_tokens_total`, `token_budget`, `budget_usd`, `max_steps`, `recursion_limit`, …) and from errors that say a
limit was reached.

Why it matters: a budget that nothing enforces is a wish; a limit that is only reached by failing throws away all that was spent.
What to do: check the budget before each model call; when four fifths are gone, ask the agent to finish with what it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.analysis.calls import token_count
from workbench.model import Evidence, Finding, Json, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user

LIMIT = re.compile(r"(^|_)(max|maximum|limit|budget|cap|quota)(_|$)")
UNITS = {
    "usd": re.compile(r"(^|_)(usd|cost|dollars|money|spend)(_|$)"),
    "tokens": re.compile(r"(^|_)tokens?(_|$)"),
    "steps": re.compile(r"(^|_)(steps?|turns?|iterations?|calls?|recursion|rounds?)(_|$)"),
}
PER_CALL = re.compile(r"(^|_)(output|new|completion|response|input|prompt|context|per|retr(y|ies)|parallel|concurren\w*)(_|$)|^max_tokens$")
REACHED = re.compile(
    r"recursion.?limit|(max(imum)?|limit)[\w ]{0,20}\b(iterations|turns|steps|rounds|tool calls)\b|(iteration|turn|step) limit"
    r"|budget (was |is )?(exceeded|exhausted|reached)|exceed(s|ed)? (the |its |your )?(\w+ )?(budget|cost limit)",
    re.IGNORECASE,
)
MAX_NESTING, NEAR = 3, 0.8


@dataclass(frozen=True)
class Limit:
    """A limit a run declares: its key, what it counts, and how much of that there may be."""

    key: str
    unit: str
    value: float


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each limit that was passed, at the step that passed it, and one for a limit that ended the run."""
    limits, cut = list(_limits(run.metadata)), _cut_off(run)
    if not limits and cut is None:
        yield NotEvaluated(detector="budget-exceeded", run_id=run.run_id, why="no limits recorded in the run's metadata, and none was reached")
        return
    for limit in limits:
        yield from _passed(run, limit)
    if cut is not None:
        said = (cut.error or "").partition("\n")[0][:160]
        yield _finding(run, cut, "$.error", 0.8, f"the run was cut off by a limit at step {cut.index}: {said}", {"cut_at": cut.index})


def _limits(value: Json, depth: int = 0) -> Iterator[Limit]:
    for key, inner in value.items() if isinstance(value, dict) else ():
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]", "_", str(key)).lower()
        if isinstance(inner, dict) and depth < MAX_NESTING:
            yield from _limits({f"{name}_{part}" if LIMIT.search(name) else part: one for part, one in inner.items()}, depth + 1)
        elif isinstance(inner, int | float) and not isinstance(inner, bool) and inner > 0 and LIMIT.search(name) and not PER_CALL.search(name):
            unit = next((unit for unit, words in UNITS.items() if words.search(name)), None)
            if unit:
                yield Limit(str(key), unit, float(inner))


def _spent(run: Run, unit: str) -> Iterator[tuple[Step, float]]:
    """What each step adds to what a limit counts."""
    for step in run.steps:
        if unit == "usd" and step.cost_usd is not None:
            yield step, step.cost_usd
        elif unit == "tokens" and step.kind == "model" and (count := token_count(step.tokens)) is not None:
            yield step, count
        elif unit == "steps" and step.kind == "model":
            yield step, 1


def _passed(run: Run, limit: Limit) -> Iterator[Finding]:
    total, crossed, warned = 0.0, None, None
    for step, amount in _spent(run, limit.unit):
        total += amount
        warned = step if warned is None and total >= NEAR * limit.value else warned
        crossed = step if crossed is None and total > limit.value else crossed
    if crossed is not None and warned is not None:
        says = f"{_amount(total, limit.unit)} spent of {_amount(limit.value, limit.unit)} allowed ({limit.key}); passed at step {crossed.index}"
        numbers: dict[str, float | int | str] = {
            "limit": limit.value,
            "spent": round(total, 6),
            "passed_at": crossed.index,
            "warn_at": warned.index,
            "over": round(total - limit.value, 6),
        }
        message = f"{says}, {NEAR:.0%} were gone at step {warned.index}"
        yield _finding(run, crossed, "$.cost_usd" if limit.unit == "usd" else "$.tokens", 0.9, message, numbers)


def _amount(value: float, unit: str) -> str:
    return f"${value:.4f}" if unit == "usd" else f"{value:,.0f} {'model calls' if unit == 'steps' else unit}"


def _cut_off(run: Run) -> Step | None:
    """The step whose error says that a limit of the run was reached, where nothing went on after it."""
    last = next((step for step in reversed(run.steps) if step.error), None)
    return last if last and run.status == "error" and REACHED.search(last.error or "") else None


def _finding(run: Run, step: Step, path: str, score: float, message: str, numbers: dict[str, float | int | str]) -> Finding:
    return Finding(
        detector="budget-exceeded",
        run_id=run.run_id,
        severity="warning",
        score=score,
        step=step.index,
        message=message,
        numbers=numbers,
        evidence=(Evidence.cite(run, step.index, path, "where it happened"),),
        capability="cost control",
        item="token-budget",
        refute=f"Fork at step {numbers.get('warn_at', step.index)} and ask for an answer with what is known: if it can't be given, the limit is too low.",
    )


LOOK = (model(calls=(("search", {}),), tokens=900), tool("search", {}, []))
CUT = model("", status="error", error="GraphRecursionError: Recursion limit of 25 reached without hitting a stop condition")

FIRES_ON = (
    sketch(user("Find it"), *LOOK, *LOOK, *LOOK, model("None."), metadata={"limits": {"max_total_tokens": 2000}}),
    sketch(user("Find it"), *LOOK, CUT, status="error"),
)
QUIET_ON = (
    sketch(user("Find it"), *LOOK, *LOOK, model("None."), metadata={"limits": {"max_total_tokens": 2000, "max_output_tokens": 100}}),
    sketch(user("Find it"), *LOOK, *LOOK, *LOOK, model("None."), metadata={"max_steps": 25}),
)
