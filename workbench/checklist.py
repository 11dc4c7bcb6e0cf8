"""The production checklist: six capabilities of an agent, and the items that show whether it has them.

A finding names the item it bears on; the readiness audit answers each item from recorded runs.
"""

from __future__ import annotations

from typing import Literal

Capability = Literal["idempotency", "state persistence", "human escalation", "cost control", "observability", "security"]

Item = Literal[
    "action-keys",
    "stable-keys",
    "classified-retries",
    "back-off",
    "durable-checkpoints",
    "checkpoint-first",
    "resume-in-progress",
    "progress-files",
    "confidence-routing",
    "approvals",
    "escalation-metrics",
    "sampling",
    "token-budget",
    "step-limit",
    "circuit-breaker",
    "cost-alerts",
    "audit-log",
    "tool-selection",
    "semantic-failures",
    "replay",
    "sandbox",
    "input-validation",
    "output-sanitisation",
    "injection-defences",
]

CHECKLIST: dict[Capability, dict[Item, str]] = {
    "idempotency": {
        "action-keys": "every external action has an idempotency key",
        "stable-keys": "keys are made from stable identifiers, not from times or random numbers",
        "classified-retries": "errors are classified into those to retry and those never to retry",
        "back-off": "retries back off, with jitter",
    },
    "state persistence": {
        "durable-checkpoints": "checkpoints are durable",
        "checkpoint-first": "state is checkpointed before an action is executed",
        "resume-in-progress": "a resume handles what was in progress",
        "progress-files": "tasks of several sessions keep a record of their progress",
    },
    "human escalation": {
        "confidence-routing": "decisions of low confidence go to a person",
        "approvals": "high-stakes actions are approved by a person",
        "escalation-metrics": "how often, how fast and how people decide is measured",
        "sampling": "a sample of what was not escalated is reviewed",
    },
    "cost control": {
        "token-budget": "each task has a token budget",
        "step-limit": "each run has a step limit",
        "circuit-breaker": "a circuit breaker stops what makes no progress",
        "cost-alerts": "cost raises an alert",
    },
    "observability": {
        "audit-log": "actions are logged in a structured audit log",
        "tool-selection": "which tool was chosen, and from which, is tracked",
        "semantic-failures": "failures that raise no error are detected",
        "replay": "a run can be replayed",
    },
    "security": {
        "sandbox": "tools are sandboxed by their risk",
        "input-validation": "inputs are validated against their schema",
        "output-sanitisation": "outputs are sanitised",
        "injection-defences": "there are defences against injected instructions",
    },
}


def capability_of(item: Item) -> Capability:
    """The capability an item is listed under. KeyError for what is no item."""
    return {listed: capability for capability, items in CHECKLIST.items() for listed in items}[item]
