"""The JSON shapes that the command line prints, one function each: a run in a list, a step, a finding, a fork.

They are a contract: scripts and scorers read them. `None` means not recorded, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from workbench.analysis.attempts import Chain, attempts, tool_of, waited_s
from workbench.backtest.backtest import Backtest
from workbench.cohorts.calibration import Calibration
from workbench.cohorts.paths import Paths
from workbench.figures import Record, figures_of, review_of
from workbench.model import FAILED_BEFORE, HANDOFF, PASSED_ON, RAN_AGENT, Finding, Json, Receipt, Run, Step
from workbench.prices import estimate_run, unpriced_calls
from workbench.verdict.verdict import Verdict

CALL_STATUS = {"running": "interrupted", "cancelled": "interrupted"}


def of_run(run: Run) -> dict[str, Json]:
    """One run, as `runs --json` prints it."""
    models, chains = list(run.of_kind("model")), attempts(run)
    return {
        "run_id": run.run_id,
        "conversation_id": run.conversation_id,
        "root_name": run.root_name,
        "agent": run.agent,
        "status": run.status,
        "started_ns": run.started_ns,
        "span_count": run.span_count,
        "step_count": len(run.steps),
        "agents": list(run.agents),
        "models": sorted({step.model for step in models if step.model}),
        "model_calls": len(models),
        "model_calls_failed": sum(step.status == "error" for step in models),
        "embedding_calls": run.embedding_calls,
        "tokens": run.tokens.model_dump(),
        "cost_usd": run.cost_usd,
        "cost_unrecorded_calls": run.uncosted_calls,
        "cost_estimated_usd": estimate_run(run),
        "cost_unpriced_calls": unpriced_calls(run),
        "tool_calls": [_tool_call(step) for step in run.of_kind("tool")],
        "errors": _errors(run, chains),
        "retries": _retries(run, chains),
        "approvals": [
            {"tool": step.tool_call.name, "decision": step.result} for step in run.of_kind("human") if step.tool_call and PASSED_ON not in step.notes
        ],
        "joins": run.joins,
        "forked_from": run.forked_from,
        "forked_at_step": run.forked_at_step,
        "outcome": run.outcome,
        "result": run.result,
        "sources": list(run.sources),
        "notes": list(run.notes),
    }


def of_step(step: Step) -> dict[str, Json]:
    """One step, as `show --json` prints it: the contract's keys first, then all that is known of it."""
    head = {
        "index": step.index,
        "kind": step.kind,
        "name": step.name,
        "node": step.node,
        "started_at": step.started_ns,
        "duration_ms": step.duration_ms,
        "status": step.status,
        "span_id": step.span_id,
        "checkpoint_id": step.checkpoint_id,
        "task_id": step.task_id,
        "joined": step.joined,
    }
    return head | {key: value for key, value in step.model_dump(mode="json", exclude_defaults=True).items() if key not in head}


def of_finding(finding: Finding, records: Iterable[Record] = ()) -> dict[str, Json]:
    """One finding, as `detect --json` prints it: its detector's figures, what people made of that detector's findings and of this (None: nothing yet)."""
    figures = [figure.model_dump(mode="json") for figure in figures_of(finding.detector)]
    known = tuple(records)
    record = next((one.model_dump(mode="json", include={"confirmed", "reviewed"}) for one in known if one.detector == finding.detector), None)
    review = said.model_dump(mode="json", include={"verdict", "note", "by", "reviewed_ns"}) if (said := review_of(finding, known)) else None
    return {"finding_id": finding.finding_id, **finding.model_dump(mode="json"), "figures": figures, "record": record, "review": review}


def of_verdict(verdict: Verdict) -> Iterator[dict[str, Json]]:
    """A verdict as lines of `detect --json`, in the shape of findings, which people are not shown: a ranking needs every run and step, an alarm doesn't.

    One line `failed-run` for the run, its score the probability that it failed; and one `first-bad-step` for each ranked step, its score relative to
    the first one's. Nothing for a run that could not be judged.
    """
    line = {"run_id": verdict.run_id, "capability": "observability", "item": "semantic-failures"}
    if verdict.probability is not None:
        yield {**line, "detector": "failed-run", "severity": "warning", "score": verdict.probability, "step": None, "message": "; ".join(verdict.reasons)}
    for suspect in verdict.suspects:
        relative = suspect.score / (verdict.suspects[0].score or 1.0)
        yield {**line, "detector": "first-bad-step", "severity": "info", "score": relative, "step": suspect.step, "message": "; ".join(suspect.reasons)}


def of_fork(receipt: Receipt) -> dict[str, Json]:
    """What a fork came to, as `fork --json` prints it; the whole receipt stands under `receipt`."""
    whole = receipt.model_dump(mode="json")
    keys = ("run_id", "parent_run_id", "forked_at_step", "change", "calls", "effects", "outcome", "isolation")
    return {key: whole[key] for key in keys} | {"receipt": whole}


def _tool_call(step: Step) -> dict[str, Json]:
    call = step.tool_call
    return {
        "name": call.name if call else step.name,
        "arguments": call.arguments if call else None,
        "call_id": call.call_id if call else None,
        "status": "handoff" if HANDOFF in step.notes else CALL_STATUS.get(step.status, step.status),
        "result": step.result,
        "is_agent": RAN_AGENT in step.notes,
    }


def _retries(run: Run, chains: list[Chain]) -> list[dict[str, Json]]:
    """What was tried again, attempts the first included: as the engine counts them, else the steps in the chain, with why and after how long."""
    chained = {step.index for chain in chains for step in chain}
    operations = [*chains, *([step] for step in run.steps if step.index not in chained)]
    return [_retried(chain, count) for chain in operations if (count := sum(step.attempts or 1 for step in chain)) > 1]


def _retried(chain: Chain, attempts_made: int) -> dict[str, Json]:
    told: dict[str, Json] = {"tool": tool_of(chain[0]), "attempts": attempts_made}
    if len(chain) > 1:
        waits = [waited_s(before, after) for before, after in pairwise(chain)]
        told |= {"reasons": [step.error for step in chain[:-1]], "waited_s": [None if wait is None else round(wait, 3) for wait in waits]}
    elif reasons := [note.removeprefix(FAILED_BEFORE) for note in chain[0].notes if note.startswith(FAILED_BEFORE)]:
        told["reasons"] = reasons  # of an engine's attempts those it recorded: Temporal the last alone
    return told


def _errors(run: Run, chains: list[Chain]) -> list[dict[str, Json]]:
    """Each operation that failed, once: by its last failed attempt. The run went on unless it failed and this was the last failure of all."""
    again = {step.index for chain in chains for step in chain[:-1]}
    mended = {step.index for chain in chains for step in chain if chain[-1].status != "error"}
    failed = [step for step in run.steps if step.status == "error" and PASSED_ON not in step.notes]
    told = [step for step in failed if step.index not in again or _last_failed(step, chains)]
    fatal = max((step.index for step in told if step.index not in mended), default=None) if run.status == "error" else None
    return [{"where": step.name, "step": step.index, "message": step.error or "", "recovered": _recovered(step, fatal)} for step in told]


def _recovered(step: Step, fatal: int | None) -> bool:
    """Whether the run went on: as its source says, else unless this was the failure that ended it."""
    return step.index != fatal if step.recovered is None else step.recovered


def _last_failed(step: Step, chains: list[Chain]) -> bool:
    """Whether a step is the last failure of an operation that was mended by a later attempt."""
    chain = next(chain for chain in chains if any(one.index == step.index for one in chain))
    return [one.index for one in chain if one.status == "error"][-1] == step.index


def of_backtest(one: Backtest) -> dict[str, Json]:
    """One guard tried on recorded runs, as `backtest --json` prints it; each share with its hits, total and 95 % interval."""
    return {
        "guard": one.guard,
        "runs": one.stops.height,
        "stopped": one.stopped,
        "precision": one.precision._asdict(),
        "recall": one.recall._asdict(),
        "good_runs_stopped": one.good_runs_stopped._asdict(),
        "cost_saved": one.cost_saved,
        "not_recorded": one.not_recorded,
        "stops": one.stops.to_dicts(),
    }


def of_paths(found: Paths) -> dict[str, Json]:
    """The ways that runs take from tool to tool, as `paths --json` prints them: the most frequent first."""
    ways: list[Json] = [{"tools": list(path), "runs": count} for path, count in found.counts]
    return {"runs": found.runs, "without_a_tool_call": found.without, "entropy_bits": found.entropy_bits, "is_pipeline": found.is_pipeline, "paths": ways}


def of_calibration(found: Calibration) -> dict[str, Json]:
    """Stated confidence against outcomes, as `calibration --json` prints it; each share with its hits, total and 95 % interval."""
    bins: list[Json] = [{"low": one.low, "high": one.high, "stated": one.stated, "well": one.well._asdict()} for one in found.bins]
    return {"runs": found.runs, "left_out": found.left_out, "brier": found.brier, "expected_error": found.expected_error, "bins": bins}
