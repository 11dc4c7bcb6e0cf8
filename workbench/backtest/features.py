"""What a guard could have known at each step of a run: everything up to that step and nothing after it.

The columns of a backtest's conditions. A count starts at 0; what was not recorded is null, so that a condition on it is never met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import polars as pl

from workbench.analysis.calls import call_key, observed, token_count
from workbench.analysis.effects import effects_of, failure
from workbench.model import Json, Run, Step
from workbench.prices import estimate

FEATURES: dict[str, pl.DataType | type[pl.DataType]] = {
    "run_id": pl.String,
    "step": pl.Int64,
    "kind": pl.String,  # model, tool, human, node or retrieval
    "name": pl.String,
    "tool": pl.String,  # null for a step that is no tool call
    "model": pl.String,
    "status": pl.String,
    "steps": pl.Int64,  # steps so far, this one included; so are all the counts below
    "model_calls": pl.Int64,
    "tool_calls": pl.Int64,
    "human_turns": pl.Int64,
    "errors": pl.Int64,
    "errors_in_a_row": pl.Int64,  # failed tool and model calls since the last that went well
    "same_call": pl.Int64,  # how often this very call was made; 0 for a step that is no tool call
    "same_result": pl.Int64,  # how often it was made and brought this very result
    "same_effect": pl.Int64,  # how often this side effect was attempted; 0 for a step that is none
    "effects": pl.Int64,  # side effects attempted
    "tokens": pl.Int64,
    "call_tokens": pl.Int64,  # of this model call alone
    "context_tokens": pl.Int64,  # its input
    "cost": pl.Float64,  # US dollars: recorded, else by list price
    "call_cost": pl.Float64,
    "seconds": pl.Float64,  # since the run began, waiting for people included
    "call_seconds": pl.Float64,
    "confidence": pl.Float64,
    "least_confidence": pl.Float64,
    "invocation": pl.Int64,
}
TOTALS = ("tokens", "cost")


def features_frame(runs: Iterable[Run]) -> pl.DataFrame:
    """One row a step, runs in the order given. The columns are `FEATURES`."""
    return pl.DataFrame([row for run in runs for row in _rows(run)], schema=FEATURES, orient="row")


def _rows(run: Run) -> Iterator[tuple[Json, ...]]:
    sofar = _SoFar(run)
    for step in run.steps:
        sofar.add(step)
        yield sofar.row(run, step)


class _SoFar:
    """The counts of a run up to the step that was added last."""

    def __init__(self, run: Run) -> None:
        self._effects = {effect.step: effect.key for effect in effects_of(run) if effect.outcome != "prevented"}
        self._seen: Counter[str] = Counter()
        self._acts: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._same = (0, 0, 0)
        self._errors = self._in_a_row = 0
        self._totals: dict[str, float | None] = dict.fromkeys(TOTALS)
        self._least: float | None = None

    def add(self, step: Step) -> None:
        self._kinds[step.kind] += 1
        failed = (failure(step) is not None) if step.kind == "tool" else step.status == "error"
        self._errors += failed
        if step.kind in {"tool", "model"}:
            self._in_a_row = self._in_a_row + 1 if failed else 0
        self._same = self._repetitions(step)
        for name, more in (("tokens", token_count(step.tokens)), ("cost", cost_of(step))):
            before = self._totals[name]
            self._totals[name] = before if more is None else (before or 0) + more
        confidence = step.decision.confidence if step.decision else None
        if confidence is not None:
            self._least = confidence if self._least is None else min(self._least, confidence)

    def _repetitions(self, step: Step) -> tuple[int, int, int]:
        if step.kind != "tool":
            return 0, 0, 0
        call = call_key(step)
        outcome = f"{call}\n{observed(step)}"
        self._seen.update((call, outcome))
        act = self._effects.get(step.index)
        if act is not None:
            self._acts[act] += 1
        return self._seen[call], self._seen[outcome], 0 if act is None else self._acts[act]

    def row(self, run: Run, step: Step) -> tuple[Json, ...]:
        kinds = self._kinds
        return (
            *(run.run_id, step.index, step.kind, step.name, step.tool_call.name if step.kind == "tool" and step.tool_call else None),
            *(step.model, step.status, kinds.total(), kinds["model"], kinds["tool"], kinds["human"], self._errors, self._in_a_row),
            *(*self._same, self._acts.total(), self._totals["tokens"], token_count(step.tokens), step.tokens.input),
            *(self._totals["cost"], cost_of(step), _seconds(run.started_ns, step.ended_ns or step.started_ns), _seconds(step.started_ns, step.ended_ns)),
            *(step.decision.confidence if step.decision else None, self._least, step.invocation),
        )


def cost_of(step: Step) -> float | None:
    """What a step cost in US dollars: as recorded, else by list price; None where neither can be told."""
    return estimate(step) if step.cost_usd is None else step.cost_usd


def _seconds(first: int | None, last: int | None) -> float | None:
    return None if first is None or last is None else (last - first) / 1e9
