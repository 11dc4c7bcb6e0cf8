"""What was tried again: the calls of a run in chains, each of which is one operation with its attempts.

A failed call is tried again by the next call of the same tool with the same arguments, by the next call of the tool where the framework sent the model
back, and by the next model call that is given the same messages; a failed node by the next time its graph runs the same task (LangGraph's `RetryPolicy`).
"""

from __future__ import annotations

from workbench.analysis.effects import business_key
from workbench.model import ASKED_AGAIN, Run, Step

Chain = list[Step]


def attempts(run: Run) -> list[Chain]:
    """Every call of a model or tool, and every task of a node, attempts of the same operation together, in the order in which the first was made."""
    chains: list[Chain] = []
    failed: dict[str, Chain] = {}
    stuck: list[Chain] = []
    for step in run.steps:
        if step.kind == "tool":
            _add_tool(step, chains, failed)
        elif step.kind == "node" and step.task_id:
            _add_task(step, step.task_id, chains, failed)
        elif step.kind == "model":
            stuck = _add_model(step, chains, stuck)
    return chains


def _add_tool(step: Step, chains: list[Chain], failed: dict[str, Chain]) -> None:
    name = tool_of(step)
    keys = (business_key(name, step.tool_call.arguments if step.tool_call else None), f"any {name}")
    chain = next((failed[key] for key in keys if key in failed), None)
    if chain is None:
        chain = []
        chains.append(chain)
    chain.append(step)
    for key in [key for key, other in failed.items() if other is chain]:
        del failed[key]
    if step.status == "error":
        failed[keys[0]] = chain
        if ASKED_AGAIN in step.notes:
            failed[keys[1]] = chain


def _add_task(step: Step, task_id: str, chains: list[Chain], failed: dict[str, Chain]) -> None:
    key = f"task {task_id} of {step.name}"
    chain = failed.pop(key, None)
    if chain is None:
        chain = []
        chains.append(chain)
    chain.append(step)
    if step.status == "error":
        failed[key] = chain


def _add_model(step: Step, chains: list[Chain], stuck: list[Chain]) -> list[Chain]:
    """Put a model call into its chain; returns the chains that now end in a failure."""
    chain = next((chain for chain in reversed(stuck) if _same_question(chain[-1], step)), None)
    if chain is None:
        chain = []
        chains.append(chain)
    chain.append(step)
    others = [other for other in stuck if other is not chain]
    return [*others, chain] if step.status == "error" else others


def _same_question(failed: Step, step: Step) -> bool:
    """Whether a model call asks again what a failed one asked. Where neither recorded its messages, only the very next step can be told to."""
    if failed.messages or step.messages:
        return failed.messages == step.messages
    return step.index == failed.index + 1 and step.node == failed.node


def tool_of(step: Step) -> str:
    """A step's tool, or what it is called otherwise."""
    return step.tool_call.name if step.tool_call else step.name


def waited_s(before: Step, after: Step) -> float | None:
    """Seconds between the end of one attempt and the beginning of the next; None where times are missing."""
    ended = before.started_ns if before.ended_ns is None else before.ended_ns
    return None if ended is None or after.started_ns is None else max(0.0, (after.started_ns - ended) / 1e9)
