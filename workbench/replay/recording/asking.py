"""Which questions to a person a tool's call stopped to ask, where no span tells of the attempts that stopped: LangGraph runs a task anew for each answer.

And which calls were never made: what a person said stands for them.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model import Run, Step
from workbench.normalise.recorded import messages_in


def asked_in_calls(run: Run) -> dict[int, tuple[Step, ...]]:
    """Of tool calls that only their task tells of, by their steps, what the task asked: it is the one call's that the task made."""
    return {tools[0].index: tuple(questions) for questions, tools in _asking_tasks(run) if len(tools) == 1}


def undetermined(run: Run) -> frozenset[int]:
    """The steps of tool calls that may have asked a person, or the call beside them in the same task: nothing recorded tells which."""
    return frozenset(step.index for _, tools in _asking_tasks(run) if len(tools) > 1 for step in tools)


def uncalled(run: Run) -> frozenset[int]:
    """The steps of tool calls that were never made: the task that answered them wrote the model's words anew, as middleware does that asks a person.

    No tool's own task does, and a call that has a span was made.
    """
    first: dict[str, str | None] = {}
    again: set[str | None] = set()
    for step in run.steps:
        for message in messages_in(list(step.changes.values())):
            if message["type"] == "ai" and message.get("id") and first.setdefault(message["id"], step.task_id) != step.task_id:
                again.add(step.task_id)
    return frozenset(one.index for one in run.of_kind("tool") if one.span_id is None and one.task_id is not None and one.task_id in again)


def _asking_tasks(run: Run) -> Iterator[tuple[list[Step], list[Step]]]:
    """Of each task that asked a person and made calls of tools which no span tells of, the questions and the calls."""
    questions: dict[str, list[Step]] = {}
    tools: dict[str, list[Step]] = {}
    never = uncalled(run)
    for step in run.steps:
        if step.task_id and step.tool_call is not None and step.kind in ("human", "tool") and step.index not in never:
            (questions if step.kind == "human" else tools).setdefault(step.task_id, []).append(step)
    both = ((questions[task], tools[task]) for task in questions if task in tools)
    return ((asked, calls) for asked, calls in both if not any(one.span_id or one.status == "interrupted" for one in calls))
