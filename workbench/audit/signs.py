"""What one recorded run says about the production checklist, sign by sign; and for each item, what to record so that runs say something.

A sign is a plain observation of the run itself: a call with a key or without, a question and its answer, a limit that was met. What needs
judgement is left to the detectors, whose findings are signs too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from workbench.analysis.approvals import approvals_of
from workbench.analysis.effects import effects_of, failure
from workbench.analysis.hazards import active_content, isolated, runs_code, step_isolated
from workbench.analysis.retries import classify_error, retried
from workbench.checklist import Item
from workbench.model import Effect, Run, Step
from workbench.replay.recording.cassette import record

LIMIT_MET: dict[Item, re.Pattern[str]] = {
    "step-limit": re.compile(
        r"recursion.?limit|(max(imum)?|limit)\W+((number )?of )?\W*(steps|iterations|turns|super-?steps)|too many (steps|iterations|turns)", re.IGNORECASE
    ),
    "token-budget": re.compile(r"(token|cost|usd|spend(ing)?)\W+(budget|limit|cap)|budget (exceeded|exhausted|spent|used up)|over budget", re.IGNORECASE),
    "circuit-breaker": re.compile(r"circuit.?breaker|breaker (is )?open|\bcircuit open\b", re.IGNORECASE),
}
LIMIT_SET: dict[Item, re.Pattern[str]] = {
    "step-limit": re.compile(r"^(recursion_?limit|max_?(steps|iterations|turns))$", re.IGNORECASE),
    "token-budget": re.compile(r"^((token|cost)_?(budget|limit)|budget(_(tokens|usd))?|max_?(total_?tokens|cost|budget)(_usd)?)$", re.IGNORECASE),
}
KEEPS_PROGRESS = re.compile(r"(^|_)(todos?|progress|plan|notes?|memory|scratchpad)(_|$)", re.IGNORECASE)
REFUSES_INPUT = re.compile(
    r"validation|schema|is not (a )?valid|invalid (argument|input|parameter)|required (argument|field|property)|missing .*argument", re.IGNORECASE
)
UNSURE = 0.6
"""Below this confidence a decision is one that a person should see."""

RECORD: dict[Item, str] = {
    "action-keys": "record runs that act on the outside world: tool calls with their arguments",
    "stable-keys": "record a repeated attempt of one act, with the idempotency keys it carried",
    "classified-retries": "record failed tool calls with their error text, and what was tried again",
    "back-off": "record three or more attempts of one call by the code around it, with their times",
    "durable-checkpoints": "ingest the checkpoint database beside the spans, or the history of the durable engine",
    "checkpoint-first": "ingest the checkpoints, so that one sees which stood before each effect",
    "resume-in-progress": "record a run that broke off and was resumed; a crash can be provoked in a test",
    "progress-files": "record tasks that go on over several sessions, with what they note down between",
    "confidence-routing": "record the confidence of decisions (log-probabilities, self-report or an evaluator), as wb.record does",
    "approvals": "record an action of high stakes with the question to a person before it",
    "escalation-metrics": "record when a person was asked and when they answered",
    "sampling": "confirm or dismiss findings of runs, a sample of the quiet ones too",
    "token-budget": "set a token budget and record it in the run's metadata, or record a run that met it",
    "step-limit": "record a run that met its step limit, or the limit in the run's metadata",
    "circuit-breaker": "record a run in which repeated failures were stopped by a breaker, with the error it raised",
    "cost-alerts": "let `workbench detect --watch --webhook URL` watch the store",
    "audit-log": "record tool calls with arguments, result and time",
    "tool-selection": "record the tools that were offered to each model call",
    "semantic-failures": "run `workbench detect`",
    "replay": "record what the model was given and what each tool returned",
    "sandbox": "record tools that run code or commands, and what they ran in",
    "input-validation": "record tool schemas, or a call whose input was refused",
    "output-sanitisation": "record what is shown to people or handed to other programs",
    "injection-defences": "record runs that read untrusted text: web pages, mails, documents",
}


class Sign(NamedTuple):
    """One observation that speaks for an item (`holds`) or against it, with the value it rests on: a JSON path into a step, "" for none."""

    item: Item
    holds: bool
    step: int | None
    path: str
    says: str


def signs_of(run: Run) -> Iterator[Sign]:
    """Everything a run shows by itself about the checklist."""
    effects = [effect for effect in effects_of(run) if effect.outcome != "prevented"]
    yield from _keys(effects)
    yield from _retries(run)
    yield from _states(run, effects)
    yield from _people(run)
    yield from _limits(run)
    yield from _records(run)
    yield from _inputs(run)
    yield from _hazards(run)


def _keys(effects: list[Effect]) -> Iterator[Sign]:
    attempts: dict[str, list[Effect]] = {}
    for effect in effects:
        key = effect.idempotency_key
        told = "no idempotency key" if key is None else f"idempotency key {key}"
        yield Sign("action-keys", key is not None, effect.step, "$.tool_call", f"step {effect.step} {effect.tool}: {told}")
        attempts.setdefault(effect.key, []).append(effect)
    for first, second in (pair for tried in attempts.values() for pair in pairwise(tried)):
        if first.idempotency_key and second.idempotency_key:
            same = first.idempotency_key == second.idempotency_key
            says = f"step {second.step} {second.tool}: attempted again with {'the same' if same else 'another'} key"
            yield Sign("stable-keys", same, second.step, "$.tool_call", says)


def _retries(run: Run) -> Iterator[Sign]:
    again = set()
    for chain in retried(run):
        for retry in chain:
            again.add(retry.before.index)
            kind = classify_error(retry.error)
            if kind != "unknown" and retry.by != "person":
                says = f"step {retry.after.index} {retry.after.name}: tried again after a {kind} error"
                yield Sign("classified-retries", kind == "transient", retry.before.index, _said_at(retry.before), says)
        waits = [retry.waited_s for retry in chain if retry.by == "code" and retry.waited_s is not None]
        if len(waits) > 1:
            longer = all(later > sooner for sooner, later in pairwise(waits))
            says = f"step {chain[-1].after.index} {chain[-1].after.name}: waited {', '.join(f'{wait:.1f} s' for wait in waits)} between attempts"
            yield Sign("back-off", longer, chain[-1].after.index, "$.started_ns", says)
    for step in run.of_kind("tool"):
        error = failure(step)
        if error and step.index not in again and classify_error(error) == "permanent":
            yield Sign("classified-retries", holds=True, step=step.index, path=_said_at(step), says=f"step {step.index} {step.name}: not tried again")


def _states(run: Run, effects: list[Effect]) -> Iterator[Sign]:
    kept = next((step for step in run.steps if step.checkpoint_id or step.attempts), None)
    if kept:
        path = "$.checkpoint_id" if kept.checkpoint_id else "$.attempts"
        yield Sign("durable-checkpoints", holds=True, step=kept.index, path=path, says=f"{run.run_id}: its state was kept as it went")
    for effect in effects:
        if run.step(effect.step).checkpoint_id:
            says = f"step {effect.step} {effect.tool}: a checkpoint stood before it"
            yield Sign("checkpoint-first", holds=True, step=effect.step, path="$.checkpoint_id", says=says)
    for before, after in pairwise(run.steps):
        if after.invocation > before.invocation and before.status in {"running", "error", "cancelled"}:
            says = f"{run.run_id}: broke off at step {before.index} and was resumed at step {after.index}"
            yield Sign("resume-in-progress", holds=True, step=after.index, path="$.invocation", says=says)
    for step in run.of_kind("tool"):
        if KEEPS_PROGRESS.search(step.name):
            yield Sign("progress-files", holds=True, step=step.index, path="$.tool_call", says=f"step {step.index} {step.name}: notes its progress")


def _people(run: Run) -> Iterator[Sign]:
    asked = approvals_of(run)
    for approval in asked:
        step, timed = approval.step, approval.seconds is not None
        if approval.verdict is not None:
            told = f"answered after {approval.seconds:,.0f} s" if approval.seconds is not None else "when it was asked and answered is not recorded"
            yield Sign("escalation-metrics", timed, step.index, "$.result", f"step {step.index}: {told}")
        if approval.allows and approval.proposed:
            yield Sign("approvals", holds=True, step=step.index, path="$.tool_call", says=f"step {step.index}: a person approved {approval.proposed[0].name}")
    people = [step.index for step in run.of_kind("human") if step.tool_call]
    for step in run.of_kind("model"):
        confidence = step.decision.confidence if step.decision else None
        if confidence is not None and confidence < UNSURE and any(step.index < index <= step.index + 2 for index in people):
            says = f"step {step.index}: a decision of confidence {confidence:.2f} went to a person"
            yield Sign("confidence-routing", holds=True, step=step.index, path="$.decision.confidence", says=says)


def _limits(run: Run) -> Iterator[Sign]:
    for step in run.steps:
        for item, pattern in LIMIT_MET.items() if step.error else ():
            if pattern.search(str(step.error)):
                yield Sign(item, holds=True, step=step.index, path="$.error", says=f"step {step.index}: stopped by a limit")
    for item, names in LIMIT_SET.items():
        for name in run.metadata:
            if names.match(name) and run.metadata[name]:
                yield Sign(item, holds=True, step=None, path="", says=f"{run.run_id}: {name} is set")


def _records(run: Run) -> Iterator[Sign]:
    for step in run.of_kind("tool"):
        lacks = [name for name, value in _logged(step) if value is None]
        says = f"step {step.index} {step.name}: " + (f"{', '.join(lacks)} not recorded" if lacks else "arguments, outcome and time are recorded")
        yield Sign("audit-log", not lacks, step.index, "$.tool_call", says)
    for step in run.of_kind("model"):
        if step.decision:
            offered = step.decision.alternatives
            says = f"step {step.index}: which tools were offered is {'not ' if offered is None else ''}recorded"
            yield Sign("tool-selection", offered is not None, step.index, "$.decision", says)
    if not run.forked_from and any(step.kind in {"model", "tool"} for step in run.steps):
        missing = [str(one) for one in record(run).missing if one.kind in {"model", "tool", "human"}]
        says = f"{run.run_id}: " + (missing[0] if missing else "every call has its recorded answer")
        yield Sign("replay", not missing, None, "", says)


def _logged(step: Step) -> Iterator[tuple[str, object]]:
    call = step.tool_call
    yield "arguments", None if call is None else call.raw if call.arguments is None else call.arguments
    yield "outcome", step.error if step.result is None and step.status != "ok" else step.status
    yield "time", step.started_ns


def _inputs(run: Run) -> Iterator[Sign]:
    for step in run.of_kind("tool"):
        error = failure(step)
        if error and REFUSES_INPUT.search(error):
            yield Sign("input-validation", holds=True, step=step.index, path=_said_at(step), says=f"step {step.index} {step.name}: refused its input")


def _hazards(run: Run) -> Iterator[Sign]:
    """Code that ran in a recorded sandbox, and active content that was read: passed on as it was, or kept from readers."""
    whole = isolated(run)
    for step in run.steps:
        if runs_code(step) and (whole or step_isolated(step)):
            yield Sign("sandbox", holds=True, step=step.index, path="$.tool_call", says=f"step {step.index} {step.name}: ran isolated, as recorded")
    for piece in active_content(run):
        if piece.given_at is not None:
            says = f"step {piece.given_at} passes on {piece.kind} as step {piece.read_at} had read it"
            yield Sign("output-sanitisation", holds=False, step=piece.given_at, path=piece.path, says=says)
        elif piece.spoken_after:
            says = f"step {piece.read_at} read {piece.kind}, and none of what was said or sent afterwards holds it unescaped"
            yield Sign("output-sanitisation", holds=True, step=piece.read_at, path="$.result", says=says)


def _said_at(step: Step) -> str:
    return "$.error" if step.error else "$.result"
