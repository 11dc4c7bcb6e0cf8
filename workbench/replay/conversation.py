"""What a simulation goes on with: from which model call, what had been said by then with one thing changed, and the tools it offers.

All of it is read from the run. What was not recorded is refused where nothing could go on without it, and told otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from workbench.model import Change, Json, Message, Run, Step, ToolCall, canonical
from workbench.replay.nearest import instead
from workbench.replay.wishes import ForkError

JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
NEAREST = 3
NO_TEXT = re.compile(r"\[\w*(?:image|audio|video|file|blob|document|media|uri)\w*\]")
"""What stands in a message for a part that was no text (`workbench.reading.messages`)."""


@dataclass(frozen=True)
class Opening:
    """What a simulation begins with. `kept` are the leading steps that stay the parent's, `waiting` the tool calls that wait for their answers."""

    asking: Step
    kept: int
    messages: tuple[Message, ...]
    waiting: tuple[ToolCall, ...] = ()
    notes: tuple[str, ...] = ()


# ---- the history


def opening(parent: Run, step: Step, change: Change) -> Opening:
    """What a simulation from this step begins with. ForkError where it has nothing to go on from, or nothing there can be changed so."""
    asking = asking_for(parent, step)
    place = next(number for number, one in enumerate(parent.steps) if one.index == asking.index)
    before = parent.steps[:place]
    messages, notes = list(asking.messages), []
    if not messages:
        messages = _told(before)
        notes.append(_put_together(asking, before, change))
    _check_words(asking, messages, change)
    if step.kind == "tool" and asking.output is not None:
        return Opening(asking, place + 1, tuple(_changed([*messages, asking.output], change)), asking.output.tool_calls, (*notes, *_no_text(messages)))
    if change.kind == "answer":
        messages = _answered(messages, step, change.value)
    return Opening(asking, place, tuple(_changed(messages, change)), (), (*notes, *_no_text(messages)))


def asking_for(parent: Run, step: Step) -> Step:
    """The model call that a simulation goes on from: the step itself, the one that asked for the tool, or the first after a person's word."""
    models = list(parent.of_kind("model"))
    if step.kind == "model":
        return step
    if step.kind == "tool" and (asked := _that_asked(models, step)) is not None:
        return asked
    if step.kind == "human" and (after := [one for one in models if one.index > step.index]):
        return after[0]
    near = sorted(models, key=lambda one: abs(one.index - step.index))[:NEAREST]
    nearest = f"the nearest model calls are {', '.join(f'{one.index} ({one.name})' for one in near)}" if near else "it recorded no model call"
    raise ForkError(f"step {step.index} of {parent.run_id} ({step.kind} {step.name}) is nothing a conversation could go on from; {nearest}")


def _that_asked(models: Sequence[Step], step: Step) -> Step | None:
    """The model call that asked for a tool's call: by the call's id, else the last before that asked for it in the same words, else by its name alone."""
    called = step.tool_call
    before = [(one, asked) for one in reversed(models) if one.index < step.index and one.output for asked in one.output.tool_calls]
    if called is not None and called.call_id and (own := [one for one, asked in before if asked.call_id == called.call_id]):
        return own[0]
    named = [(one, asked) for one, asked in before if asked.name == step.name]
    same = [one for one, asked in named if called is not None and asked.arguments == called.arguments]
    return next(iter([*same, *(one for one, _ in named)]), None)


def _told(steps: Sequence[Step]) -> list[Message]:
    """What was said up to here, put together from the steps, for recordings that keep no histories."""
    said: list[Message] = []
    for step in steps:
        if step.kind in {"human", "model"} and step.output is not None:
            said.append(step.output)
        elif step.kind == "tool" and step.tool_call is not None:
            content = step.error if step.result is None and step.error else text_of(step.result)
            said.append(Message(role="tool", content=content or "", tool_call_id=step.tool_call.call_id, name=step.name))
    return said


def _put_together(asking: Step, before: Sequence[Step], change: Change) -> str:
    """What is said where the history was put together from the steps, since no record of the call had it."""
    lacks = "" if change.kind == "system" else ". A system prompt, if there was one, is not part of it: give it with system=… (--system)"
    empty = [str(one.index) for one in before if one.kind == "tool" and one.result is None and not one.error]
    unanswered = f". What the tools at step {', '.join(empty)} answered was not recorded: it stands empty" if empty else ""
    return f"what the model was given at step {asking.index} was not recorded: the history was put together from the steps{lacks}{unanswered}"


def _check_words(asking: Step, messages: Sequence[Message], change: Change) -> None:
    """ForkError for a history in which nobody said anything: an instrumentor kept names and times, and no contents."""
    said = any(one.content for one in messages) if asking.messages else any(one.content for one in messages if one.role == "user")
    if not said and change.kind != "system":
        raise ForkError(
            f"step {asking.index} ({asking.name}): what the model was given was not recorded, so there is no history to go on from; "
            "most instrumentors keep what is said only when asked to (OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT and its like)"
        )


def _no_text(messages: Sequence[Message]) -> Iterator[str]:
    found = [str(number) for number, one in enumerate(messages) if NO_TEXT.search(one.content)]
    if found:
        yield f"message {', '.join(found)} of the history held an image, a file or its like, which was not kept: the model is told only that there was one"


def _changed(messages: list[Message], change: Change) -> list[Message]:
    """The history with what the change says of it."""
    if change.kind == "system":
        return [Message(role="system", content=change.value), *(one for number, one in enumerate(messages) if number or one.role != "system")]
    if change.kind == "message":
        place = int(change.value["index"])
        if not -len(messages) <= place < len(messages):
            raise ForkError(f"the model was given {len(messages)} messages, from 0 to {len(messages) - 1}: there is none at {place}")
        messages[place] = messages[place].model_copy(update={"content": text_of(change.value.get("content"))})
    return messages


def _answered(messages: list[Message], step: Step, answer: Json) -> list[Message]:
    """The history with another word of the person's: the last message that holds what was said."""
    said = step.output.content if step.output else text_of(step.result)
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].content == said and messages[place].role in {"user", "tool"}:
            return [*messages[:place], messages[place].model_copy(update={"content": text_of(answer)}), *messages[place + 1 :]]
    raise ForkError(f"what the person said at step {step.index} stands in no message that the model was given, so it can't be changed there")


# ---- messages and tools


def chat_messages(messages: Sequence[Message]) -> Iterator[BaseMessage]:
    """Recorded messages as LangChain's. An answer to a tool call that nobody asked for, which providers refuse, is told as a person's message."""
    open_calls: list[str] = []
    for message in messages:
        if message.role == "assistant":
            calls = [
                {"name": call.name, "args": call.arguments or {}, "id": call.call_id or f"call-{len(open_calls)}-{number}", "type": "tool_call"}
                for number, call in enumerate(message.tool_calls)
            ]
            open_calls = [str(call["id"]) for call in calls]
            yield AIMessage(content=message.content, tool_calls=calls)
        elif message.role == "tool":
            known = message.tool_call_id if message.tool_call_id in open_calls else open_calls[0] if open_calls and not message.tool_call_id else None
            if known is None:
                yield HumanMessage(f"[{message.name or 'tool'}] {message.content}")
                continue
            open_calls.remove(known)
            yield ToolMessage(message.content, tool_call_id=known, name=message.name)
        else:
            yield (SystemMessage if message.role == "system" else HumanMessage)(message.content)


def offered(parent: Run, asking: Step, change: Change) -> tuple[list[dict[str, Json]], tuple[str, ...]]:
    """The tools to offer, in OpenAI's form, and what there is to say of them: those that this model call was offered, as their recorded schemas have them.

    A tool whose schema was not recorded gets one that its recorded calls fit. ForkError for a changed tool that was not offered.
    """
    names = _names(parent, asking)
    asked: Any = change.value if change.kind == "tools" else None
    if asked is not None and (unknown := [name for name in asked if name not in names]):
        raise ForkError(f"no tool {unknown[0]!r} was offered{instead(unknown[0], names) or '; there were none'}")
    kept = names if asked is None else [name for name in names if name in asked and (isinstance(asked, list) or asked[name] is not None)]
    changed: Mapping[str, Any] = asked if isinstance(asked, dict) else {}
    tools = [{"type": "function", "function": {**_offer(parent, name), **(changed.get(name) or {})}} for name in kept]
    guessed = [name for name in kept if not isinstance(parent.schemas.get(name), dict) and "parameters" not in (changed.get(name) or {})]
    return tools, (f"the schema of {', '.join(guessed)} was not recorded: its parameters are those of its recorded calls",) if guessed else ()


def _offer(parent: Run, name: str) -> dict[str, Json]:
    recorded = parent.schemas.get(name)
    if not isinstance(recorded, dict):
        calls = [step.tool_call.arguments or {} for step in parent.of_kind("tool") if step.tool_call and step.tool_call.name == name]
        return {"name": name, "parameters": schema(calls)}
    said = {"description": recorded["description"]} if "description" in recorded else {}
    return {"name": name, **said, "parameters": {key: value for key, value in recorded.items() if key != "description"}}


def _names(parent: Run, asking: Step) -> list[str]:
    """What this model call was offered; where that was not recorded, all that the run was, or called."""
    if asking.decision is not None and asking.decision.alternatives is not None:
        return list(dict.fromkeys(asking.decision.alternatives))
    told = [step.decision.alternatives for step in parent.of_kind("model") if step.decision and step.decision.alternatives]
    used = [step.tool_call.name for step in parent.of_kind("tool") if step.tool_call]
    return list(dict.fromkeys([*(parent.tools or ()), *(name for names in told for name in names), *used]))


def schema(calls: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """A JSON schema that all these arguments fit: each name with the types it was seen with; what every call gave is required."""
    names = dict.fromkeys(name for call in calls for name in call)
    types = {name: sorted({JSON_TYPES[type(call[name])] for call in calls if type(call.get(name)) in JSON_TYPES}) for name in names}
    properties = {name: {"type": seen[0] if len(seen) == 1 else seen} if seen else {} for name, seen in types.items()}
    return {"type": "object", "properties": properties, "required": [name for name in names if all(name in call for call in calls)]}


def text_of(value: Json) -> str:
    """A value as a message's text: text as it is, nothing for None, anything else as JSON."""
    return "" if value is None else value if isinstance(value, str) else canonical(value)
