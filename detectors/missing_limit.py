"""A run that nothing bounded: its metadata says that a limit is off, or it went far beyond what any sensible limit allows with none recorded.

Why it matters: the only thing between a bug and the whole month's budget is a limit.
What to do: give every run a step limit and a token budget, and record both in its metadata, so that it can be seen that they were there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.model import Evidence, Finding, Json, NotEvaluated, Run
from workbench.sketch import model, sketch, tool, user

LIMIT = re.compile(r"(max|limit|budget|cap|quota)", re.IGNORECASE)
WHAT = re.compile(r"(steps?|turns?|iterations?|calls?|recursion|rounds?|tokens?|usd|cost|spend)", re.IGNORECASE)
OFF = frozenset((None, -1, 0, "none", "null", "inf", "infinity", "unlimited", "-1"))
HUGE, FAR = 10_000, 200
MAX_NESTING = 3


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding: at the first model call where a limit is off, else at the one where any limit should have stopped it."""
    calls = [step.index for step in run.of_kind("model")]
    limits = dict(_limits(run.metadata))
    off = sorted(key for key, value in limits.items() if _is_off(key, value))
    if calls and off and len(off) == len(limits):
        yield _finding(
            run, calls[0], f"{', '.join(off)} is off ({limits[off[0]]}); {len(calls)} model calls", {"calls": len(calls), "off": ", ".join(off)}, 0.5
        )
    elif not limits and len(calls) > FAR:
        message = f"{len(calls)} model calls and no limit recorded that could have stopped it"
        yield _finding(run, calls[FAR], message, {"calls": len(calls), "sensible": FAR}, 0.3)
    elif not limits:
        yield NotEvaluated(detector="missing-limit", run_id=run.run_id, why="no limits recorded in the run's metadata; it was short enough to need none")


def _limits(value: Json, depth: int = 0) -> Iterator[tuple[str, Json]]:
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and depth < MAX_NESTING:
            yield from _limits(inner, depth + 1)
        elif LIMIT.search(str(key)) and WHAT.search(str(key)) and not isinstance(inner, dict | list):
            yield str(key), inner


def _is_off(key: str, value: Json) -> bool:
    counts = re.search(r"token|usd|cost", key, re.IGNORECASE) is None
    huge = isinstance(value, int | float) and counts and value >= HUGE
    return huge or (value.lower() if isinstance(value, str) else value) in OFF


def _finding(run: Run, step: int, message: str, numbers: dict[str, float | int | str], score: float) -> Finding:
    return Finding(
        detector="missing-limit",
        run_id=run.run_id,
        severity="info",
        score=score,
        step=step,
        message=message,
        numbers=numbers,
        evidence=(Evidence.cite(run, step, "$.kind", "a model call that nothing bounded"),),
        capability="cost control",
        item="step-limit",
        refute="Look at the agent's configuration: a limit that stands there but isn't recorded refutes this; then record it.",
    )


LOOK = (model(calls=(("get_page", {}),)), tool("get_page", {}, "text"))

FIRES_ON = (
    sketch(user("Read it"), *LOOK, model("Read."), metadata={"config": {"max_iterations": None}}),
    sketch(user("Read it"), *(model(f"thought {n}") for n in range(FAR + 1))),
)
QUIET_ON = (
    sketch(user("Read it"), *LOOK, model("Read."), metadata={"config": {"max_iterations": 25, "max_tokens": None}}),
    sketch(user("Read it"), *(model(f"thought {n}") for n in range(FAR))),
)
