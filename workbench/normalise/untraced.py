"""Tool calls that only messages tell of: some instrumentors trace the model's client and nothing else, so that a tool has no span of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.model import HANDOFF, Message, Step, ToolCall
from workbench.normalise.forest import Forest
from workbench.normalise.traced import hands_over

TOLD = "told by the messages: no span of the call was recorded"
"""Note of such a call. Its time is that between the model's question and the next model call, which saw the answer."""


def with_untraced(steps: Sequence[Step], forest: Forest, denied: frozenset[str] = frozenset()) -> list[Step]:
    """The steps, with a tool step for each call that a model asked for and whose answer a later model call was given.

    Only where no tool is traced at all: an instrumentor that traces tools traces all of them. Those that a person `denied` were not made.
    """
    if any(step.kind == "tool" for step in steps):
        return list(steps)
    asked: dict[str, tuple[ToolCall, Step]] = {}
    found: list[Step] = []
    for step in steps:
        if step.kind == "model":
            found.extend(_answered(step, asked, forest))
            asked |= {call.call_id: (call, step) for call in (step.output.tool_calls if step.output else ()) if call.call_id and call.call_id not in denied}
        found.append(step)
    return found


def _answered(step: Step, asked: dict[str, tuple[ToolCall, Step]], forest: Forest) -> Iterator[Step]:
    """The calls whose answers are new to this model call. Each leaves `asked`."""
    for message in step.messages:
        if message.role == "tool" and message.tool_call_id in asked:
            call, before = asked.pop(message.tool_call_id)
            notes = (TOLD, HANDOFF) if not message.error and hands_over(call.name, call.arguments, forest) else (TOLD,)
            yield _told(call, message, before, step).model_copy(update={"notes": notes})


def _told(call: ToolCall, answer: Message, before: Step, after: Step) -> Step:
    times = {"started_ns": before.ended_ns, "ended_ns": after.started_ns, "trace_id": after.trace_id, "invocation": after.invocation}
    return Step(
        index=0,
        kind="tool",
        name=call.name,
        depth=before.depth,
        node=before.node,
        tool_call=call,
        result=answer.content,
        status="error" if answer.error else "ok",
        error=answer.error,
        **times,
    )
