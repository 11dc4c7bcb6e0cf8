"""What a run came to, read from where it stands: its last trace, and the head of its thread."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.model import Status, Step
from workbench.normalise.forest import CALLS, Forest, Node, begun_after
from workbench.normalise.ledger import ERROR, Ledger, Task
from workbench.normalise.traced import status_of
from workbench.reading.tasks import TASKS

BRANCH = ("branch:to:", "start:")
MAY_END = CALLS | {"agent", "node"}
"""Kinds of spans whose failure may be a run's; not that of a tool whose result the model was told."""


def status(forest: Forest, ledger: Ledger, steps: Sequence[Step]) -> Status:
    """ok, interrupted (a person is waited for), error (and nothing went on after it), or running (it stops in the middle)."""
    thread = _thread_status(ledger, steps)
    trace = _trace_status(forest, ledger, steps)
    if thread is None or trace is None:
        return thread or trace or "ok"
    if thread == "running" and trace != "running":
        stopped_before_a_node = not ledger.tasks_at(ledger.head) if ledger.head else False
        return "interrupted" if trace == "ok" and stopped_before_a_node else trace
    return trace if thread == "ok" and trace in ("error", "running") else thread


def _thread_status(ledger: Ledger, steps: Sequence[Step]) -> Status | None:
    """How the thread stands: its newest checkpoint has no tasks left when the graph has finished. None without checkpoints."""
    head = ledger.head
    if head is None:
        return "running" if ledger.checkpoints else None
    tasks = ledger.tasks_at(head)
    waiting_for_people = {step.task_id for step in steps if step.kind == "human" and step.status == "interrupted"}
    if any(task.wrote(ERROR) and not task.outputs and task.task_id not in waiting_for_people for task in tasks):
        return "error"  # the graph raised, whoever else was asked at the same time
    if any(task.task_id in waiting_for_people for task in tasks):
        return "interrupted"
    waiting = _waiting(ledger)
    if waiting and head.source == "update" and not tasks:
        return "interrupted"  # someone edited the state and left it there
    return "running" if tasks or waiting else "ok"


def _waiting(ledger: Ledger) -> bool:
    """Whether the tasks before the head named nodes to run next, which then did not."""
    head = ledger.head
    before = ledger.parent(head) if head else None
    named = [task for task in ledger.tasks_at(before) if _names_next(task)] if before else []
    return bool(named)


def _names_next(task: Task) -> bool:
    return any(write.channel.startswith(BRANCH) or write.channel == TASKS for write in task.outputs)


def _trace_status(forest: Forest, ledger: Ledger, steps: Sequence[Step]) -> Status | None:
    """How the last trace ended, by its topmost spans. None without spans."""
    if not forest.tops:
        return None
    last = forest.tops[-1].span.trace_id
    asks = any(step.kind == "human" and step.status == "interrupted" for step in steps if step.trace_id == last)
    stopped = not ledger.checkpoints and any(step.status == "interrupted" for step in steps[-1:])
    if asks or stopped:
        return "interrupted"
    ends: set[Status] = {_end_of(node, forest) for node in forest.tops if node.span.trace_id == last}
    worst_first: tuple[Status, ...] = ("running", "error", "interrupted")
    return next((one for one in worst_first if one in ends), "ok")


def _end_of(top: Node, forest: Forest) -> Status:
    """How a topmost span ended; where it knows of no failure below it, by whether anything went on after the last of those."""
    status = status_of(top)
    if status != "ok" or not top.reading.unaware:
        return status
    trace = [node for node in forest.nodes.values() if node.span.trace_id == top.span.trace_id]
    fatal = [node for node in forest.below(top) if node.failed and node.reading.kind in MAY_END and node.reading.result is None]
    last = max(fatal, key=lambda node: node.span.end_ns or 0, default=None)
    went_on = last is None or any(begun_after(node, last) for node in trace if node.reading.kind in MAY_END)
    return "ok" if went_on else "error"
