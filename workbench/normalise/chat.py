"""A run from chat messages alone: each message but the system's is a step, with the message's number as its index.

What a model was given are the messages before it, so the steps before; only system messages, which are no steps, stand in `Step.messages`.
"""

from __future__ import annotations

from workbench.model import Conversation, Json, Message, Run, Step, ToolCall
from workbench.normalise.traced import decision_of


def from_conversation(conversation: Conversation) -> Run:
    """The run a conversation logs. A tool's message is joined to the call it answers: ids may repeat, the nearest unanswered call wins."""
    steps: list[Step] = []
    instructions: list[Message] = []
    open_calls: list[ToolCall] = []
    for index, message in enumerate(conversation.messages):
        if message.role == "system":
            instructions.append(message)
            continue
        steps.append(_step(index, message, open_calls, conversation))
        if message.role == "assistant":
            open_calls.extend(message.tool_calls)
            steps[-1] = steps[-1].model_copy(update={"messages": tuple(instructions)})
            instructions.clear()
    times = [step.started_ns for step in steps if step.started_ns is not None]
    return Run(
        run_id=conversation.run_id,
        conversation_id=conversation.conversation_id,
        agent=conversation.agent,
        root_name=conversation.agent,
        started_ns=conversation.started_ns or min(times, default=None),
        ended_ns=max(times, default=None),
        steps=tuple(steps),
        agents=(conversation.agent,) if conversation.agent else (),
        tools=conversation.tools,
        schemas=conversation.schemas,
        metadata=conversation.metadata,
    )


def _step(index: int, message: Message, open_calls: list[ToolCall], conversation: Conversation) -> Step:
    timed: dict[str, Json] = {"index": index, "started_ns": message.at_ns}
    if message.role == "user":
        return Step(kind="human", name="user", output=message, **timed)
    if message.role == "tool":
        return _tool(message, _answered(message, open_calls), timed)
    return Step(
        kind="model",
        name=message.name or conversation.agent or "assistant",
        output=message,
        decision=decision_of(message, conversation.tools),
        tokens=message.tokens,
        cost_usd=message.cost_usd,
        **timed,
    )


def _tool(message: Message, asked: ToolCall | None, timed: dict[str, Json]) -> Step:
    name = (asked.name if asked else None) or message.name or "tool"
    call = asked or ToolCall(name=name, call_id=message.tool_call_id)
    return Step(kind="tool", name=name, tool_call=call, result=message.content, status="error" if message.error else "ok", error=message.error, **timed)


def _answered(message: Message, open_calls: list[ToolCall]) -> ToolCall | None:
    """The call a tool's message answers, taken from the open ones: by id, the nearest first; without an id the oldest of its name."""
    if message.tool_call_id is not None:
        fitting = [number for number, call in enumerate(open_calls) if call.call_id == message.tool_call_id]
        return open_calls.pop(fitting[-1]) if fitting else None
    fitting = [number for number, call in enumerate(open_calls) if message.name in (None, call.name)]
    return open_calls.pop(fitting[0]) if fitting else None
