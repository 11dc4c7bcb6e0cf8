"""Code that tries a failed call again at a steady pace, or by a schedule exact to the millisecond: no back-off, or no jitter.

Read from the recorded waits between an attempt's end and the next one's start; four attempts are needed. What a model or a person tries again is paced
by thinking and not judged.

Why it matters: retries without back-off keep an overloaded service down; without jitter all clients come back in the same moment.
What to do: wait exponentially longer, each time a random share of it (full jitter), up to a cap; give up after a few attempts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from workbench.analysis.retries import Retry, classify_error, retried
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import sketch, timed, tool, user

WAITS = 3  # four attempts
STEADY = 1.2  # the longest wait over the shortest
AT_ONCE_S = 0.1
ROUND_S = (0.1, 0.2, 0.25, 0.5, 1, 2, 3, 4, 5, 10, 15, 20, 30, 60)
FACTORS = (1.5, 2, 3, 4)
EXACT, CLOCK_S = 0.005, 0.002


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each call that code tried again hastily, at its first retry."""
    chains = [chain for chain in map(_by_code, retried(run)) if len(chain) >= WAITS]
    timed_chains = [chain for chain in chains if all(retry.waited_s is not None for retry in chain)]
    if not timed_chains:
        counted = any((step.attempts or 1) > WAITS for step in run.steps)
        why = "the times of the attempts were not recorded" if chains or counted else f"no call was tried {WAITS + 1} times by code"
        yield NotEvaluated(detector="hasty-retries", run_id=run.run_id, why=why)
    for chain in timed_chains:
        waits = [retry.waited_s or 0.0 for retry in chain]
        if max(waits) < AT_ONCE_S or max(waits) <= STEADY * min(waits):
            yield _finding(run, chain, waits, grows=False)
        elif _scheduled(waits):
            yield _finding(run, chain, waits, grows=True)


def _by_code(chain: tuple[Retry, ...]) -> list[Retry]:
    """The retries that code made in a row from the beginning, after errors that may be worth retrying."""
    return list(takewhile(lambda retry: retry.by == "code" and classify_error(retry.error) != "permanent", chain))


def _scheduled(waits: list[float]) -> bool:
    """Whether the waits are exactly a round number times a factor: 1, 2, 4 s. Jitter of a tenth would hit that once in some thousand times."""
    return any(all(_equal(wait, base * factor**number) for number, wait in enumerate(waits)) for base in ROUND_S for factor in FACTORS)


def _equal(measured: float, planned: float) -> bool:
    return abs(measured - planned) <= EXACT * planned + CLOCK_S


def _finding(run: Run, chain: list[Retry], waits: list[float], *, grows: bool) -> Finding:
    first = chain[0]
    shown = ", ".join(f"{wait:.3g}" for wait in waits[:6])
    what = f"exactly on schedule, without jitter ({shown} s)" if grows else f"without back-off ({shown} s)"
    return Finding(
        detector="hasty-retries",
        run_id=run.run_id,
        severity="info" if grows else "warning",
        score=0.4 if grows else 0.5,
        step=first.after.index,
        message=f"{first.before.name} was tried {len(waits) + 1} times {what}, steps {first.before.index} to {chain[-1].after.index}",
        numbers={"attempts": len(waits) + 1, "shortest_wait_s": round(min(waits), 3), "longest_wait_s": round(max(waits), 3), "grows": int(grows)},
        evidence=tuple(Evidence.cite(run, retry.after.index, "$.started_ns", "when it was tried again") for retry in chain[:4]),
        capability="idempotency",
        item="back-off",
        refute="Look at the waits in another run of this tool: if they differ from these, there is jitter; if they grow, there is back-off.",
    )


def _attempts(*starts: float) -> list[Step]:
    return [tool("fetch_rates", {"day": 7}, error="503 overloaded", **timed(at)) for at in starts]


FIRES_ON = (
    sketch(user("Rates"), *_attempts(1, 2.5, 4, 5.5, 7)),
    sketch(user("Rates"), *_attempts(1, 1.51, 2.02, 2.53)),
    sketch(user("Rates"), *_attempts(1, 2.5, 5, 9.5)),
)
QUIET_ON = (
    sketch(user("Rates"), *_attempts(1, 2.31, 4.98, 8.1)),
    sketch(user("Rates"), *_attempts(1, 2.5, 4)),
    sketch(user("Rates"), *(tool("get_job", {"job": 1}, {"done": n}, **timed(n)) for n in range(6))),
)
