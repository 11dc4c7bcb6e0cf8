"""Which questions to a person a tool's call stopped to ask, where no span tells of the attempts that stopped: LangGraph runs a task anew for each answer."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model import Run, Step


def asked_in_calls(run: Run) -> dict[int, tuple[Step, ...]]:
    """Of tool calls that only their task tells of, by their steps, what the task asked: it is the one call's that the task made."""
    return {tools[0].index: tuple(questions) for questions, tools in _asking_tasks(run) if len(tools) == 1}


def undetermined(run: Run) -> frozenset[int]:
    """The steps of tool calls that may have asked a person, or the call beside them in the same task: nothing recorded tells which."""
    return frozenset(step.index for _, tools in _asking_tasks(run) if len(tools) > 1 for step in tools)


def _asking_tasks(run: Run) -> Iterator[tuple[list[Step], list[Step]]]:
    """Of each task that asked a person and made calls of tools which no span tells of, the questions and the calls."""
    questions: dict[str, list[Step]] = {}
    tools: dict[str, list[Step]] = {}
    for step in run.steps:
        if step.task_id and step.tool_call is not None and step.kind in ("human", "tool"):
            (questions if step.kind == "human" else tools).setdefault(step.task_id, []).append(step)
    both = ((questions[task], tools[task]) for task in questions if task in tools)
    return ((asked, calls) for asked, calls in both if not any(one.span_id or one.status == "interrupted" for one in calls))
