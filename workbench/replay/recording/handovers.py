"""Calls that ended a subgraph and went on in the graph around it (`Command.PARENT`), as checkpoints alone tell of them.

Nothing of such a call stands with its own task. What it wrote stands with the task that the subgraph ran in, and where it went is what ran next there.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model import Json, Run, Step
from workbench.normalise.recorded import is_message, messages_in
from workbench.replay.recording.captured import COMMAND

PARENT = "__parent__"


def handed_over(run: Run, step: Step) -> Json:
    """The Command that a tool in a subgraph returned, put together from what the task around wrote with its answer, as a span would tell it.

    None where that task wrote no such answer, the call's own task did, or some value is of a type that can't be made again.
    """
    around, _, own = step.namespace.rpartition("|") if step.namespace else ("", "", "")
    call_id = step.tool_call.call_id if step.tool_call else None
    if step.span_id or step.task_id or not own or not call_id:
        return None
    outer = next((one for one in run.steps if one.task_id == own.rpartition(":")[2] and one.changes), None)
    written = outer.changes if outer else {}
    if outer is None or _typed(written) or not any(one.get("tool_call_id") == call_id for one in messages_in(list(written.values()))):
        return None
    update = {channel: [_dumped(one) for one in value] if isinstance(value, list) else _dumped(value) for channel, value in written.items()}
    return {COMMAND: {"graph": PARENT, "update": update, "resume": None, "goto": list(_went_to(run, outer, around))}}


def _went_to(run: Run, outer: Step, around: str) -> Iterator[str]:
    """The nodes that ran after a task in its graph, in the next super-step."""
    later = [one for one in run.steps if one.namespace == around and one.index > outer.index and one.checkpoint_id != outer.checkpoint_id]
    nodes = (one.node for one in later if one.checkpoint_id == later[0].checkpoint_id)
    yield from dict.fromkeys(node for node in nodes if node)


def _dumped(value: Json) -> Json:
    return {"type": value["type"], "data": value} if isinstance(value, dict) and is_message(value) else value


def _typed(value: Json) -> bool:
    """Whether a value holds one of a type that JSON has no form for."""
    if isinstance(value, dict):
        return "$type" in value or any(_typed(one) for one in value.values())
    return isinstance(value, list) and any(_typed(one) for one in value)
