"""What a list of runs says of each, its outcome and its counts, and what a table says of a run's steps.

The store keeps the first beside every run and the second beside long ones, so that a list reads no steps and a table of many steps not each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from workbench.analysis.calls import token_count
from workbench.analysis.effects import attempted
from workbench.model import Json, Run, Severity, Step, canonical

VERSION = 3
"""Goes up whenever something is counted otherwise: what a store keeps from before is then made anew."""
LARGEST = (1 << 63) - 1
"""The largest number a database's column takes; hostile token counts add up to more."""


class Overview(NamedTuple):
    """One run, without its steps. Nanoseconds since 1970, milliseconds, US dollars; None is not recorded."""

    run_id: str
    agent: str | None
    status: str
    outcome: str
    """The final answer, else the status and the last error."""
    started_ns: int | None
    duration_ms: float | None
    """From the first start to the last end, waiting for people included."""
    steps: int
    model_calls: int
    tool_calls: int
    effects: int
    """Attempted side effects."""
    errors: int
    """Steps that ended with an error."""
    invocations: int
    total_tokens: int | None
    cost_usd: float | None
    cost_unrecorded_calls: int | None
    """The model calls that `cost_usd` leaves out (`Run.uncosted_calls`); None for a run that could not be counted anew."""
    conversation_id: str | None
    forked_from: str | None
    forked_at_step: int | None
    sources: tuple[str, ...]


class Found(NamedTuple):
    """A finding as a list of runs tells it."""

    detector: str
    severity: Severity


GRAVE: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}
FoundIn = Mapping[str, Sequence[Found]]
"""What was found in each run that was examined, by its id, the gravest first; a run that was not examined is not there."""


def failed_first(overviews: Iterable[Overview], found: FoundIn) -> list[Overview]:
    """Runs in the order in which one looks at them: failed ones, others that did not end well, the rest; each by the gravest finding, the newest first."""

    def rank(one: Overview) -> tuple[int, int, bool, int]:
        grave = min((GRAVE[each.severity] for each in found.get(one.run_id, ())), default=len(GRAVE))
        return {"error": 0, "ok": 2}.get(one.status, 1), grave, one.started_ns is None, -(one.started_ns or 0)

    return sorted(overviews, key=rank)


def overview_of(run: Run) -> Overview:
    """The overview of a run. Half a surrogate pair, which no database takes, is written as its code point."""
    kinds = [step.kind for step in run.steps]
    tokens = token_count(run.tokens)
    return Overview(
        run_id=run.run_id,
        agent=None if run.agent is None else _whole(run.agent),
        status=run.status,
        outcome=_whole(run.outcome),
        started_ns=run.started_ns,
        duration_ms=None if run.started_ns is None or run.ended_ns is None else (run.ended_ns - run.started_ns) / 1e6,
        steps=len(kinds),
        model_calls=kinds.count("model"),
        tool_calls=kinds.count("tool"),
        effects=attempted(run),
        errors=sum(step.status == "error" for step in run.steps),
        invocations=len({step.invocation for step in run.steps}),
        total_tokens=None if tokens is None else min(tokens, LARGEST),
        cost_usd=run.cost_usd,
        cost_unrecorded_calls=run.uncosted_calls,
        conversation_id=run.conversation_id,
        forked_from=run.forked_from,
        forked_at_step=run.forked_at_step,
        sources=tuple(map(_whole, run.sources)),
    )


def step_columns(run: Run) -> list[list[Json]]:
    """The steps of a run column by column, in the order of `workbench.frames.STEPS`; nothing for a run without steps."""
    return [[_encodable(value) for value in column] for column in zip(*(_step_row(run.run_id, step) for step in run.steps), strict=True)]


def _step_row(run_id: str, step: Step) -> tuple[Json, ...]:
    decision, call = step.decision, step.tool_call
    return (
        run_id,
        step.index,
        step.kind,
        step.name,
        step.node,
        step.depth,
        step.invocation,
        step.status,
        step.error,
        step.started_ns,
        step.duration_ms,
        step.model,
        list(decision.selected) if decision else None,
        decision.confidence if decision else None,
        step.output.content if step.output else None,
        call.name if call else None,
        canonical(call.arguments) if call and call.arguments is not None else None,
        None if step.result is None else canonical(step.result),
        step.tokens.input,
        step.tokens.output,
        token_count(step.tokens),
        step.cost_usd,
        step.joined,
        step.checkpoint_id,
        step.span_id,
    )


def _encodable(value: Json) -> Json:
    return _whole(value) if isinstance(value, str) else list(map(_whole, value)) if isinstance(value, list) else value


def _whole(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
