"""Work done once more after a restart: a later invocation repeats the tool calls that an unfinished one had already completed.

Counted are the calls with which the later invocation begins, as long as the earlier one had made them with the same arguments and result.
Quiet when the earlier invocation had ended with an answer, and when the later one goes on where it stopped.

Why it matters: an agent that begins again after every crash pays twice, and repeats whatever it does along the way.
What to do: keep durable checkpoints and resume by the same thread id with no new input; make steps that were done recognisable as done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import takewhile

from workbench.analysis.calls import call_key, observed, spent
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, restart, sketch, tool, user

AT_LEAST = 2  # one repeated look-up may be prudence
SHOWN = 5


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each invocation that repeats what an unfinished one before it had completed."""
    if not any(run.of_kind("tool")):
        yield NotEvaluated(detector="lost-progress", run_id=run.run_id, why="no tool calls recorded")
    invocations: dict[int, list[Step]] = {}
    for step in run.steps:
        invocations.setdefault(step.invocation, []).append(step)
    done: dict[str, Step] = {}
    for steps in invocations.values() if len(invocations) > 1 else ():
        redone = _redone(steps, done)
        if len(redone) >= AT_LEAST:
            yield _finding(run, redone, [done[_same(step)] for step in redone], len(done), steps[0])
        done = {} if _finished(steps) else done | {_same(step): step for step in _completed(steps)}


def _redone(steps: list[Step], done: dict[str, Step]) -> list[Step]:
    return list(takewhile(lambda step: _same(step) in done, _completed(steps)))


def _completed(steps: list[Step]) -> Iterator[Step]:
    return (step for step in steps if step.kind == "tool" and step.status == "ok")


def _same(step: Step) -> str:
    return f"{call_key(step)} → {observed(step)}"


def _finished(steps: list[Step]) -> bool:
    """Whether an invocation ended with an answer in words rather than in the middle of its work."""
    moves = [step for step in steps if step.kind in {"model", "tool"}]
    last = moves[-1] if moves else None
    return bool(last and last.kind == "model" and last.status == "ok" and last.output and last.output.content and not last.output.tool_calls)


def _finding(run: Run, redone: list[Step], before: list[Step], completed: int, start: Step) -> Finding:
    tokens, cost = spent(run, start.index, redone[-1].index)
    seconds = (redone[-1].ended_ns - start.started_ns) / 1e9 if redone[-1].ended_ns is not None and start.started_ns is not None else None
    numbers = {"redone_calls": len(redone), "completed_before": completed, "redone_tokens": tokens, "redone_usd": cost, "redone_seconds": seconds}
    names = ", ".join(f"{count} × {name}" for name, count in Counter(step.name for step in redone).items())
    return Finding(
        detector="lost-progress",
        run_id=run.run_id,
        severity="error",
        score=min(0.95, 0.75 + 0.2 * len(redone) / max(completed, 1)),
        step=redone[0].index,
        message=f"{len(redone)} of {completed} completed calls done once more after the restart at step {start.index} ({names}), with the same results"
        + (f"; {tokens:,} tokens" if tokens is not None else ""),
        numbers={name: value for name, value in numbers.items() if value is not None},
        evidence=tuple(
            Evidence.cite(run, step.index, "$.result", says)
            for first, again in list(zip(before, redone, strict=True))[:SHOWN]
            for step, says in ((first, f"{first.name} was done"), (again, f"and done again at step {again.index}"))
        ),
        capability="state persistence",
        item="durable-checkpoints",
        refute=f"Resume the thread at step {start.index} with no new input: if the same calls are made again, the restart isn't what lost them.",
    )


FETCH = [step for n in range(3) for step in (model(calls=(("fetch_receipt", {"n": n}),), tokens=100), tool("fetch_receipt", {"n": n}, {"total": n}))]
REST = (model(calls=(("fetch_receipt", {"n": 9}),)), tool("fetch_receipt", {"n": 9}, {"total": 9}), model("All receipts are in."))

FIRES_ON = (sketch(user("Sum my receipts"), *FETCH, restart(user("Sum my receipts"), *FETCH, *REST)),)
QUIET_ON = (
    sketch(user("Sum my receipts"), *FETCH, restart(*REST)),
    sketch(user("Sum my receipts"), *FETCH, model("The sum is 3."), restart(user("Once more, please"), *FETCH, model("Still 3."))),
    sketch(user("Sum my receipts"), *FETCH[:2], restart(*FETCH[:2], *REST)),
)
