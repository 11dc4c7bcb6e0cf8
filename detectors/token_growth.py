"""Each model call reads more than the one before: the whole history is sent again and again, so that the cost grows with the square of the steps.

Judged where input tokens are recorded for ten calls of one node or more. Calls that are mostly read from a cache, and histories that are trimmed or
summarised now and then, are left alone.

Why it matters: the last ten calls of a long run can cost more than all before them, and a full context makes the model forget.
What to do: keep results out of the history once they are used; summarise; cache the prefix; hand a sub-task to a sub-agent with a history of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from statistics import fmean

from workbench.model import Evidence, Finding, NotEvaluated, Run, Step, Tokens
from workbench.sketch import model, sketch, user

AT_LEAST, TIMES, RISING, CACHED = 10, 3.0, 0.9, 0.5
MUCH = 20_000
"""Input tokens of the last call from which growth is worth a word."""


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each node whose calls grow, at the call that first reads three times what the first ones did."""
    nodes: dict[tuple[str | None, int], list[Step]] = defaultdict(list)
    for step in run.of_kind("model"):
        if step.tokens.input is not None and step.status == "ok":
            nodes[step.node, step.depth].append(step)
    long = [steps for steps in nodes.values() if len(steps) >= AT_LEAST]
    if not long:
        yield NotEvaluated(detector="token-growth", run_id=run.run_id, why=f"no {AT_LEAST} model calls recorded with their input tokens")
    for steps in long:
        sizes = [step.tokens.input or 0 for step in steps]
        if _grows(sizes) and not _cached(steps):
            yield _finding(run, steps, sizes)


def _grows(sizes: list[int]) -> bool:
    rising = sum(after >= before for before, after in pairwise(sizes)) / (len(sizes) - 1)
    return rising >= RISING and sizes[-1] >= MUCH and sizes[-1] >= TIMES * max(1.0, fmean(sizes[:3]))


def _cached(steps: list[Step]) -> bool:
    later = steps[len(steps) // 2 :]
    return sum(step.tokens.cache_read or 0 for step in later) >= CACHED * sum(step.tokens.input or 0 for step in later)


def _finding(run: Run, steps: list[Step], sizes: list[int]) -> Finding:
    base = fmean(sizes[:3])
    at = next(number for number, size in enumerate(sizes) if size >= TIMES * base)
    again = round(sum(sizes) - sizes[-1])
    return Finding(
        detector="token-growth",
        run_id=run.run_id,
        severity="info",
        score=0.4,
        step=steps[at].index,
        message=f"input grew from {sizes[0]:,} to {sizes[-1]:,} tokens over {len(sizes)} calls, {(sizes[-1] - sizes[0]) / (len(sizes) - 1):,.0f} a call; "
        f"of {sum(sizes):,} read in all, {again:,} were read before",
        numbers={"first": sizes[0], "last": sizes[-1], "calls": len(sizes), "total": sum(sizes), "read_again": again},
        evidence=tuple(Evidence.cite(run, step.index, "$.tokens.input", "tokens read") for step in (steps[0], steps[at], steps[-1])),
        capability="cost control",
        item="token-budget",
        refute=f"Fork at step {steps[at].index} with the history summarised: if the answer suffers, the history was needed.",
    )


def _reads(*counts: int, cached: float = 0.0) -> list[Step]:
    return [model(f"thought {n}", tokens=Tokens(input=size, output=50, cache_read=round(size * cached))) for n, size in enumerate(counts)]


FIRES_ON = (sketch(user("Go"), *_reads(*range(4000, 40_000, 3000))),)
QUIET_ON = (
    sketch(user("Go"), *_reads(*range(4000, 40_000, 3000), cached=0.9)),
    sketch(user("Go"), *_reads(*[4000, 12_000, 24_000] * 5)),
    sketch(user("Go"), *_reads(*range(500, 4500, 300))),
)
