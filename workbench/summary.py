"""The JSON shapes that the command line prints, one function each: a run in a list, a step, a finding, a fork.

They are a contract: scripts and scorers read them. `None` means not recorded, never zero.
"""

from __future__ import annotations

from workbench.effects import business_key
from workbench.model import PASSED_ON, Finding, Json, Receipt, Run, Step

CALL_STATUS = {"running": "interrupted", "cancelled": "interrupted"}


def of_run(run: Run) -> dict[str, Json]:
    """One run, as `runs --json` prints it."""
    models = list(run.of_kind("model"))
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
        "tool_calls": [_tool_call(step) for step in run.of_kind("tool")],
        "errors": [_error(run, step) for step in run.steps if step.status == "error" and PASSED_ON not in step.notes],
        "retries": _retries(run),
        "approvals": [
            {"tool": step.tool_call.name, "decision": step.result} for step in run.of_kind("human") if step.tool_call and PASSED_ON not in step.notes
        ],
        "joins": run.joins,
        "forked_from": run.forked_from,
        "forked_at_step": run.forked_at_step,
        "outcome": run.outcome,
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


def of_finding(finding: Finding) -> dict[str, Json]:
    """One finding, as `detect --json` prints it."""
    return {"finding_id": finding.finding_id, **finding.model_dump(mode="json")}


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
        "status": "handoff" if "handoff" in step.notes else CALL_STATUS.get(step.status, step.status),
        "result": step.result,
        "is_agent": False,
    }


def _error(run: Run, step: Step) -> dict[str, Json]:
    return {"where": step.name, "step": step.index, "message": step.error or "", "recovered": run.status != "error" or step.index != run.steps[-1].index}


def _retries(run: Run) -> list[dict[str, Json]]:
    """What was tried again after it failed: the same tool with the same arguments, attempts counted from the first failure."""
    attempts: dict[str, tuple[str, int, bool]] = {}
    for step in run.of_kind("tool"):
        name = step.tool_call.name if step.tool_call else step.name
        key = business_key(name, step.tool_call.arguments if step.tool_call else None)
        _, count, failed = attempts.get(key, (name, 0, False))
        if count == 0 or failed:
            attempts[key] = (name, count + 1, step.status == "error")
    return [{"tool": name, "attempts": count} for name, count, _ in attempts.values() if count > 1]
