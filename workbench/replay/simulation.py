"""Forks a run from what was recorded of it alone: a generic agent loop goes on from a step, with the recorded history, against a chat model.

For runs whose code is not at hand, or that LangGraph has no part in. Nothing of the agent is run: the model is asked anew, and its tool calls
are answered from the recording as the fence would answer them, by tool and arguments, each recorded answer once; what has none halts. What
the agent's own code did between the calls (routing, guards, trimming of the history) is not repeated, which the receipt says.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from workbench.chat_models import name_of
from workbench.comparison.comparison import count_effects
from workbench.model import CallCounts, CallRecord, Change, Check, Decision, Interaction, Json, Message, Receipt, Run, Step, ToolCall, canonical, digest
from workbench.replay.changes import check_kind
from workbench.replay.fence import alterations
from workbench.replay.fence.answers import recorded_messages
from workbench.replay.forking import Forked, ForkError
from workbench.replay.nearest import instead
from workbench.replay.recording.cassette import canonical_messages, edited, record
from workbench.replay.recording.tape import Call, Divergence, Tape
from workbench.replay.shapes import ChangeError, check_shape, fault_of

MODEL_CALLS, SECONDS = 25, 120.0
ISOLATION = "no code of the agent ran: a generic loop asked the model, tools were answered from the recording"
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
CHANGES = ("none", "tool_result", "message", "system", "tools", "answer", "fault")
STRUCK = alterations.FAULTS | {"empty": ""}
"""What a tool call that a fault strikes comes to."""


@dataclass
class _Loop:
    """A conversation that goes on: what was said, what came of it."""

    model: BaseChatModel
    tools: list[dict[str, Json]]
    tape: Tape
    places: Mapping[str, str]
    edited: int | None
    messages: list[Message]
    steps: list[Step] = field(default_factory=list)
    records: list[CallRecord] = field(default_factory=list)
    ended: str = "done"
    says: str = ""


def simulate(
    parent: Run,
    *,
    at: int,
    change: Change,
    model: BaseChatModel,
    run_id: str,
    model_calls: int = MODEL_CALLS,
    seconds: float = SECONDS,
) -> Forked:
    """Go on from step `at` (a model call, a tool call or a person's word) with at most one thing changed, against this chat model.

    Bounded by so many `model_calls` and `seconds` (looked at between calls). ForkError when the step has no history to go on from, or the
    change can't be simulated; a call without a recording halts, which is a result, no error.
    """
    started = time.monotonic()
    step = parent.step(at)
    if change.kind not in CHANGES:
        raise ForkError(f"{change.kind} can't be changed in a simulation, which has no graph; {', '.join(CHANGES[1:])} can")
    _check(parent, step, change)
    prefix, messages, waiting = _history(parent, step, change)
    loop = _loop(parent, step, change, model, messages)
    _go_on(loop, waiting, model_calls, started + seconds)
    steps = (*parent.steps[:prefix], *_numbered(loop.steps, parent.steps[:prefix]))
    run = _run(parent, step, change, loop, steps, run_id)
    receipt = _receipt(parent, run, loop, prefix, type(model).__name__)
    return Forked(run, receipt.model_copy(update={"seconds": round(time.monotonic() - started, 3)}), prefix)


def _check(parent: Run, step: Step, change: Change) -> None:
    """ForkError where a change has another shape than its kind has, or stands at a step that has nothing of it, with what would be right."""
    try:
        check_shape(change)
        if change.kind in {"tool_result", "fault"}:
            check_kind(parent, step, ("tool",), "has no tool result to change")
        if change.kind == "answer":
            check_kind(parent, step, ("human",), "is no person's word to change")
    except ChangeError as error:
        raise ForkError(str(error)) from error
    if change.kind == "fault" and fault_of(change.value).kind not in STRUCK:
        raise ForkError(f"a simulation can inject {', '.join(STRUCK)}, and no slow call: it has no tool that could be slow")
    if change.kind == "fault" and {"call", "status"} & fault_of(change.value).model_fields_set:
        raise ForkError("call and status are of a node's HTTP call, and a simulation has no nodes: make it a fork")


# ---- the history


def _history(parent: Run, step: Step, change: Change) -> tuple[int, list[Message], list[ToolCall]]:
    """How many of the parent's steps stay, what had been said by then, and the tool calls that wait for their answers."""
    asking = _asking(parent, step)
    place = next(number for number, one in enumerate(parent.steps) if one.index == asking.index)
    messages = list(asking.messages) or _told(parent.steps[:place])
    if not messages:
        raise ForkError(f"step {asking.index} ({asking.name}): what the model was given was not recorded, so there is no history to go on from")
    if step.kind == "tool" and asking.output is not None:
        return place + 1, _changed([*messages, asking.output], change), list(asking.output.tool_calls)
    if change.kind == "answer":
        messages = _answered(messages, step, change.value)
    return place, _changed(messages, change), []


def _asking(parent: Run, step: Step) -> Step:
    """The model call that a simulation goes on from: the step itself, the one that asked for the tool, or the first after a person's word."""
    models = list(parent.of_kind("model"))
    if step.kind == "model":
        return step
    if step.kind == "tool":
        before = [one for one in models if one.index < step.index and one.output and any(call.name == step.name for call in one.output.tool_calls)]
        if before:
            return before[-1]
    if step.kind == "human" and (after := [one for one in models if one.index > step.index]):
        return after[0]
    near = sorted(models, key=lambda one: abs(one.index - step.index))[:3]
    nearest = f"the nearest model calls are {', '.join(f'{one.index} ({one.name})' for one in near)}" if near else "it recorded no model call"
    raise ForkError(f"step {step.index} of {parent.run_id} ({step.kind} {step.name}) is nothing a conversation could go on from; {nearest}")


def _told(steps: Sequence[Step]) -> list[Message]:
    """What was said up to here, put together from the steps, for recordings that keep no histories."""
    said: list[Message] = []
    for step in steps:
        if step.kind in {"human", "model"} and step.output is not None:
            said.append(step.output)
        elif step.kind == "tool" and step.tool_call is not None:
            content = step.error if step.result is None and step.error else _text(step.result)
            said.append(Message(role="tool", content=content or "", tool_call_id=step.tool_call.call_id, name=step.name))
    return said


def _changed(messages: list[Message], change: Change) -> list[Message]:
    if change.kind == "system":
        return [Message(role="system", content=change.value), *(one for number, one in enumerate(messages) if number or one.role != "system")]
    if change.kind == "message":
        place = int(change.value["index"])
        if not -len(messages) <= place < len(messages):
            raise ForkError(f"the model was given {len(messages)} messages, from 0 to {len(messages) - 1}: there is none at {place}")
        messages[place] = messages[place].model_copy(update={"content": _text(change.value.get("content"))})
    return messages


def _answered(messages: list[Message], step: Step, answer: Json) -> list[Message]:
    """The history with another word of the person's: the last message that holds what was said."""
    said = step.output.content if step.output else _text(step.result)
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].content == said and messages[place].role in {"user", "tool"}:
            return [*messages[:place], messages[place].model_copy(update={"content": _text(answer)}), *messages[place + 1 :]]
    raise ForkError(f"what the person said at step {step.index} stands in no message that the model was given, so it can't be changed there")


# ---- the loop


def _loop(parent: Run, step: Step, change: Change, model: BaseChatModel, messages: list[Message]) -> _Loop:
    at_tool = change.kind in {"tool_result", "fault"}
    cassette = record(parent)
    if at_tool:
        cassette = edited(cassette, parent, step.index, change.value if change.kind == "tool_result" else None)
        if change.kind == "fault":
            cassette = cassette.model_copy(update={"interactions": tuple(_struck(one, step, change.value) for one in cassette.interactions)})
    later = [one.step for one in cassette.interactions if one.kind == "tool" and one.step >= _first_answer(parent, step)]
    tape = Tape(cassette, steps=later)
    places = {one.name: one.node_path for one in cassette.interactions if one.kind == "tool"}
    return _Loop(model, offered(parent, change), tape, places, step.index if at_tool else None, messages)


def _first_answer(parent: Run, step: Step) -> int:
    """From where on recorded answers may be served: the tools that the model call asked for stand after it."""
    return _asking(parent, step).index


def _struck(one: Interaction, step: Step, fault: Json) -> Interaction:
    wanted = fault_of(fault)
    error = "" if wanted.kind == "empty" else wanted.message or STRUCK[wanted.kind]
    return one.model_copy(update={"result": None, "error": error or None}) if one.step == step.index else one


def _go_on(loop: _Loop, waiting: Sequence[ToolCall], model_calls: int, until: float) -> None:
    """Answer what waits, ask the model, and so on, until it answers without asking for a tool."""
    for _ in range(model_calls):
        if not _answer_all(loop, waiting):
            return
        if time.monotonic() > until:
            loop.ended, loop.says = "halted", "the time is up"
            return
        asked = list(loop.messages)
        began = time.time_ns()
        answer = _ask(loop)
        if answer is None:
            return
        (said,) = recorded_messages([answer])
        loop.messages.append(said)
        loop.steps.append(_model_step(loop, answer, asked, said, began))
        loop.records.append(CallRecord(kind="model", name=loop.steps[-1].name, answer="live", arguments=canonical_messages(asked[-1:])))
        waiting = said.tool_calls
        if not waiting:
            return
    loop.ended, loop.says = "halted", f"the model was asked {model_calls} times, which is the limit"


def _ask(loop: _Loop) -> AIMessage | None:
    model: Any = loop.model.bind_tools(loop.tools) if loop.tools else loop.model
    try:
        answer = model.invoke(list(chat_messages(loop.messages)))
    except Exception as error:  # noqa: BLE001  # whatever a provider's client raises ends the simulation and is told
        loop.ended, loop.says = "failed", f"the model failed: {type(error).__name__}: {error}"
        return None
    return answer if isinstance(answer, AIMessage) else AIMessage(content=str(getattr(answer, "content", answer)))


def _answer_all(loop: _Loop, waiting: Sequence[ToolCall]) -> bool:
    """Answer every waiting tool call from the recording; False where one has no recording, or stopped to ask a person."""
    for call in waiting:
        asked: Json = call.raw if call.arguments is None else call.arguments
        place = loop.places.get(call.name, "")
        try:
            served = loop.tape.take(Call("tool", call.name, place, asked)).interaction
        except Divergence as miss:
            loop.records.append(CallRecord(kind="tool", name=call.name, node_path=place, answer="halted", arguments=asked, says=str(miss)))
            loop.steps.append(_tool_step(call, None, "halted"))
            loop.ended, loop.says = "halted", str(miss)
            return False
        answer = "edited" if served.step == loop.edited else "served"
        loop.records.append(CallRecord(kind="tool", name=call.name, node_path=place, answer=answer, arguments=asked, from_step=served.step))
        loop.steps.append(_tool_step(call, served, answer))
        if served.interrupted:
            loop.ended, loop.says = "interrupted", f"{call.name} stopped to ask a person, as it did in the recording"
            return False
        content = served.error if served.error is not None else _text(served.result)
        loop.messages.append(Message(role="tool", content=content or "", tool_call_id=call.call_id, name=call.name, error=served.error))
    return True


def _model_step(loop: _Loop, answer: AIMessage, asked: list[Message], said: Message, began: int) -> Step:
    name = str(answer.response_metadata.get("model_name") or name_of(loop.model))
    names = tuple(str(one["function"]["name"]) for one in loop.tools)
    decision = Decision(selected=tuple(call.name for call in said.tool_calls), alternatives=names)
    times = {"started_ns": began, "ended_ns": time.time_ns()}
    return Step(
        index=0, kind="model", name=name, model=name, messages=tuple(asked), output=said, decision=decision, tokens=said.tokens, notes=("live",), **times
    )


def _tool_step(call: ToolCall, served: Interaction | None, answer: str) -> Step:
    fields = {"index": 0, "kind": "tool", "name": call.name, "tool_call": call, "notes": (answer,)}
    if served is None:
        return Step(**fields, status="error", error="halted: no recording")
    status = "interrupted" if served.interrupted else "error" if served.error is not None else "ok"
    return Step(**fields, status=status, error=served.error, result=served.result)


def _numbered(steps: Sequence[Step], before: Sequence[Step]) -> Iterator[Step]:
    first = before[-1].index + 1 if before else 0
    return (step.model_copy(update={"index": first + number}) for number, step in enumerate(steps))


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


def offered(parent: Run, change: Change) -> list[dict[str, Json]]:
    """The tools to offer, in OpenAI's form: those that were offered, with parameters as the recorded calls used them, since schemas are rarely recorded."""
    calls: dict[str, list[dict[str, Json]]] = {name: [] for name in _names(parent)}
    for step in parent.of_kind("tool"):
        if step.tool_call and step.tool_call.name in calls:
            calls[step.tool_call.name].append(step.tool_call.arguments or {})
    asked: Any = change.value if change.kind == "tools" else None
    if asked is not None and (unknown := [name for name in asked if name not in calls]):
        raise ForkError(f"no tool {unknown[0]!r} was offered{instead(unknown[0], calls) or '; there were none'}")
    kept = calls if asked is None else [name for name in calls if name in asked and (isinstance(asked, list) or asked[name] is not None)]
    changed: Mapping[str, Any] = asked if isinstance(asked, dict) else {}
    return [{"type": "function", "function": {"name": name, "parameters": schema(calls[name]), **(changed.get(name) or {})}} for name in kept]


def _names(parent: Run) -> Collection[str]:
    told = [step.decision.alternatives for step in parent.of_kind("model") if step.decision and step.decision.alternatives]
    used = [step.tool_call.name for step in parent.of_kind("tool") if step.tool_call]
    return dict.fromkeys([*(parent.tools or ()), *(name for names in told for name in names), *used])


def schema(calls: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """A JSON schema that all these arguments fit: each name with the types it was seen with; what every call gave is required."""
    names = dict.fromkeys(name for call in calls for name in call)
    types = {name: sorted({JSON_TYPES[type(call[name])] for call in calls if type(call.get(name)) in JSON_TYPES}) for name in names}
    properties = {name: {"type": seen[0] if len(seen) == 1 else seen} if seen else {} for name, seen in types.items()}
    return {"type": "object", "properties": properties, "required": [name for name in names if all(name in call for call in calls)]}


def _text(value: Json) -> str:
    return "" if value is None else value if isinstance(value, str) else canonical(value)


# ---- after


def _run(parent: Run, step: Step, change: Change, loop: _Loop, steps: tuple[Step, ...], run_id: str) -> Run:
    own = loop.steps
    return Run(
        run_id=run_id,
        conversation_id=run_id,
        agent=parent.agent,
        root_name=parent.root_name,
        status={"done": "ok", "interrupted": "interrupted"}.get(loop.ended, "error"),
        started_ns=min((one.started_ns for one in own if one.started_ns is not None), default=None),
        ended_ns=max((one.ended_ns for one in own if one.ended_ns is not None), default=None),
        steps=steps,
        agents=parent.agents,
        tools=parent.tools,
        schemas=parent.schemas,
        notes=("simulated", *((f"{loop.ended}: {loop.says}",) if loop.says else ())),
        forked_from=parent.run_id,
        forked_at_step=step.index,
        change=change,
    )


def _receipt(parent: Run, run: Run, loop: _Loop, prefix: int, model: str) -> Receipt:
    given = [one.answer for one in loop.records]
    counts = CallCounts(served=given.count("served") + given.count("edited"), live=given.count("live"), halted=given.count("halted"))
    first = loop.says.partition("\n")[0]
    return Receipt(
        run_id=run.run_id,
        parent_run_id=parent.run_id,
        forked_at_step=run.forked_at_step or 0,
        change=run.change or Change(),
        live=("model",),
        graph=f"none: a generic agent loop with {model}",
        calls=counts,
        records=tuple(loop.records),
        effects=count_effects(parent, run),
        outcome=f"{loop.ended}: {first}" if loop.ended in ("halted", "failed") else run.outcome,
        isolation=ISOLATION,
        prefix_sha256=digest([one.model_dump(mode="json") for one in run.steps[:prefix]]),
        notes=("what the agent's own code did between its calls is not part of a simulation", *_unrecorded(parent, run)),
        checks=tuple(_checks(loop, counts)),
    )


def _unrecorded(parent: Run, run: Run) -> Iterator[str]:
    """What is said where the history was put together from the steps, since no record of the call had it."""
    asking = _asking(parent, parent.step(run.forked_at_step or 0))
    told = bool(run.change and run.change.kind == "system")
    if not asking.messages:
        lacks = "" if told else ". A system prompt, if there was one, is not part of it: give it with system=… (--system)"
        yield f"what the model was given at step {asking.index} was not recorded: the history was put together from the steps{lacks}"


def _checks(loop: _Loop, counts: CallCounts) -> Iterator[Check]:
    """What a simulation can be held to: every call was answered, and the model thought at all."""
    halted = ", ".join(dict.fromkeys(f"{one.kind} {one.name}" for one in loop.records if one.answer == "halted"))
    yield Check(name="nothing halted", verdict="fail" if halted else "pass", says=f"{counts.halted} halted: {halted}" if halted else "every call was answered")
    dumb = loop.ended == "failed" and not counts.live
    says = f"the model that was to think anew never answered: {loop.says}" if dumb else f"{counts.live} live model calls were answered"
    yield Check(name="model answered", verdict="fail" if dumb else "pass", says=says)
