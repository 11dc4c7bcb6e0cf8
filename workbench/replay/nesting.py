"""What was done inside of what: by an agent that is a tool, by a model that a tool asks, by a node whose recorded writes stood for it.

What is served as a whole stands for all that was done inside it. Those steps are not made again, and belong to the re-run all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workbench.model import Run, Span, Step

NOBODY: frozenset[int] = frozenset()


def tasks_of(step: Step) -> list[str]:
    """The tasks that a step ran in, outermost first."""
    above = [part.rpartition(":")[2] for part in (step.namespace or "").split("|") if ":" in part]
    return [*above, step.task_id] if step.task_id else above


def inside_tools(run: Run, spans: Iterable[Span] = ()) -> dict[int, int]:
    """Of steps made in a tool's body, the step that is the tool's call: by the spans, else by the tasks, and by the time where a task made several calls.

    Calls that one answer of a model asked for are made side by side. The time of one may well lie within that of another, and what was made
    while both were under way is not known to be in either, unless `spans`, those that the run was read from, tell which it was made below.
    """
    tools: dict[str, list[Step]] = {}
    for step in run.of_kind("tool"):
        if step.task_id:
            tools.setdefault(step.task_id, []).append(step)
    asked = _asked(run) if tools else {}
    found = _below_tools(run, spans) if tools else {}
    for step in (one for one in run.steps if tools and one.index not in found):
        around = [
            tool
            for task in tasks_of(step)
            for tool in tools.get(task, ())
            if _holds(tool, step, alone=len(tools[task]) == 1) and not asked.get(tool.index, NOBODY) & asked.get(step.index, NOBODY)
        ]
        apart = len(around) > 1 and asked.get(around[-2].index, NOBODY) & asked.get(around[-1].index, NOBODY)
        if around and (len(around) == 1 or (not apart and _holds(around[-2], around[-1], alone=False))):
            found[step.index] = around[-1].index
    return found


def _below_tools(run: Run, spans: Iterable[Span]) -> dict[int, int]:
    """Of each step whose span stands below that of a tool's call, the step of the nearest such call."""
    above = {(span.trace_id, span.span_id): span.parent_span_id for span in spans}
    tools = {(step.trace_id or "", step.span_id): step.index for step in run.of_kind("tool") if step.span_id}
    found = {}
    for step in run.steps:
        place, seen = above.get((step.trace_id or "", step.span_id or "")), set()
        while place and place not in seen and (step.trace_id or "", place) not in tools:
            seen.add(place)
            place = above.get((step.trace_id or "", place))
        tool = tools.get((step.trace_id or "", place)) if place else None
        if tool is not None and step.kind != "human":
            found[step.index] = tool
    return found


def _asked(run: Run) -> dict[int, frozenset[int]]:
    """Of each tool call, the model calls whose answer asked for it by its id."""
    answers: dict[tuple[str, str], set[int]] = {}
    for step in run.of_kind("model"):
        for call in step.output.tool_calls if step.output else ():
            if call.call_id:
                answers.setdefault((call.name, call.call_id), set()).add(step.index)
    tools = ((step, step.tool_call) for step in run.of_kind("tool"))
    return {step.index: frozenset(answers.get((call.name, call.call_id), ())) for step, call in tools if call and call.call_id}


def _holds(tool: Step, step: Step, *, alone: bool) -> bool:
    """Whether a step was made while a tool's call was under way. `alone`: nothing else in the tool's task could have made it."""
    if tool.index == step.index or step.kind == "human":
        return False
    if tool.started_ns is None or tool.ended_ns is None or step.started_ns is None:
        return alone and step.task_id != tool.task_id
    return tool.started_ns <= step.started_ns <= tool.ended_ns and (step.ended_ns is None or step.ended_ns <= tool.ended_ns)


def around(inner: Mapping[int, int], step: int) -> list[int]:
    """The tool calls that a step was made inside of, innermost first."""
    found: list[int] = []
    while step in inner and step not in found:
        step = inner[step]
        found.append(step)
    return found
