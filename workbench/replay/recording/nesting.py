"""What was done inside of what: by an agent that is a tool, by a model that a tool asks, by a node whose recorded writes stood for it.

What is served as a whole stands for all that was done inside it. Those steps are not made again, and belong to the re-run all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from workbench.model import Run, Span, Step
from workbench.normalise.forest import climb, without_circles

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
    tools = _Tools(run)
    found = _below_tools(run, spans) if tools.by_task else {}
    for step in run.steps:
        if step.index not in found and (tool := tools.around(step)) is not None:
            found[step.index] = tool.index
    return found


def maybe_around(run: Run, step: Step) -> list[int]:
    """The tool calls of which one may have made a step that `inside_tools` has no place for: nothing recorded tells which."""
    return [tool.index for tool in _Tools(run).sharing(step) if tool.task_id != step.task_id and _may_hold(tool, step)]


class _Tools:
    """The tool calls of a run, by the tasks that made them, and who asked for them."""

    def __init__(self, run: Run) -> None:
        self.by_task: dict[str, list[Step]] = {}
        for step in run.of_kind("tool"):
            if step.task_id:
                self.by_task.setdefault(step.task_id, []).append(step)
        self.asked = _asked(run) if self.by_task else {}

    def sharing(self, step: Step) -> Iterator[Step]:
        """The calls that share a task with a step, outermost first, without those made beside it: the same answer of a model asked for them."""
        for task in tasks_of(step):
            yield from (tool for tool in self.by_task.get(task, ()) if not self._beside(tool, step))

    def around(self, step: Step) -> Step | None:
        """The innermost call that a step was made in; None where there is none, or it might be either of two."""
        found = [tool for tool in self.sharing(step) if _holds(tool, step, alone=len(self.by_task[tool.task_id or ""]) == 1)]
        sure = len(found) == 1 or (found and not self._beside(found[-2], found[-1]) and _holds(found[-2], found[-1], alone=False))
        return found[-1] if sure else None

    def made_beside(self, step: Step) -> Iterator[Step]:
        """The other calls of a call's task that the same answer of a model asked for, as they were made in the same start."""
        for tool in self.by_task.get(step.task_id or "", ()):
            if tool.index != step.index and tool.invocation == step.invocation and self._beside(tool, step):
                yield tool

    def _beside(self, one: Step, other: Step) -> bool:
        return bool(self.asked.get(one.index, NOBODY) & self.asked.get(other.index, NOBODY))


def _below_tools(run: Run, spans: Iterable[Span]) -> dict[int, int]:
    """Of each step whose span stands below that of a tool's call, the step of the nearest such call."""
    parents = without_circles({(span.trace_id, span.span_id): (span.trace_id, span.parent_span_id or "") for span in spans})
    tools = {(step.trace_id or "", step.span_id): step.index for step in run.of_kind("tool") if step.span_id}
    found = {}
    for step in run.steps:
        tool = next((tools[key] for key in climb(parents, (step.trace_id or "", step.span_id or "")) if key in tools), None)
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


def _may_hold(tool: Step, step: Step) -> bool:
    """Whether nothing speaks against a step's having been made in a tool's call."""
    timed = tool.started_ns is not None and tool.ended_ns is not None and step.started_ns is not None
    return _holds(tool, step, alone=True) if timed else step.kind != "human"


def numbers_of(run: Run, inner: Mapping[int, int]) -> dict[str, dict[int, tuple[int, ...]]]:
    """The numbers of the graphs that tool calls started, by the task that made the calls and the step of each (`workbench.replay.recording.numbering`)."""
    found: dict[str, dict[int, set[int]]] = {}
    for step in run.steps:
        tools = [run.step(one) for one in around(inner, step.index)]
        for task, number in _numbered(step.namespace or ""):
            if (tool := next((one for one in tools if one.task_id == task), None)) is not None:
                found.setdefault(task, {}).setdefault(tool.index, set()).add(number)
    return {task: {step: tuple(sorted(those)) for step, those in calls.items()} for task, calls in found.items()}


def beside_failed(run: Run, inner: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    """Of the tool calls that failed or stopped to ask, those made beside them by the same task, in the same start, and not inside of another (`inner`)."""
    tools = _Tools(run)
    raised = [step for step in run.of_kind("tool") if step.status in ("error", "interrupted") and step.index not in inner]
    found = {one.index: tuple(other.index for other in tools.made_beside(one) if other.index not in inner) for one in raised}
    return {step: others for step, others in found.items() if others}


def _numbered(namespace: str) -> Iterator[tuple[str, int]]:
    """The tasks in a namespace, each with the number of the graph that it started: in `tools:7f|1|model:a3` the first task's is 1, and 0 is not written."""
    parts = namespace.split("|")
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if ":" in part:
            yield part.rpartition(":")[2], int(following) if following.isdecimal() else 0


def around(inner: Mapping[int, int], step: int) -> list[int]:
    """The tool calls that a step was made inside of, innermost first."""
    found: list[int] = []
    while step in inner and step not in found:
        step = inner[step]
        found.append(step)
    return found
