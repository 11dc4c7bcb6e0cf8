"""What was asked in a recorded run and what came back: each call with its answer, or the reason why there is none. `tape` plays it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from workbench.model import PASSED_ON, Cassette, Interaction, Json, Message, Run, Span, Step, ToolCall, Uncaptured
from workbench.normalise.branches import UPDATED
from workbench.replay.recording.asking import asked_in_calls, uncalled, undetermined
from workbench.replay.recording.captured import Captured
from workbench.replay.recording.handovers import handed_over
from workbench.replay.recording.place import node_path

UNSURE = "its task stopped to ask a person, and which of the task's calls did is not recorded"


def record(run: Run, spans: Iterable[Span] = (), *, scrub: Mapping[str, str] | None = None) -> Cassette:
    """The recorded interactions of a run, and for each call that can't be served the reason, such as "step 7 book_flight: it never came back".

    `spans` are those the run was read from: they alone hold what is no step (HTTP exchanges, embeddings) and what a retrieval was asked. Of what
    both spans and checkpoints tell, the better one is taken: arguments as the tool got them from its span, answers as they stood in the state.
    `scrub` are patterns, by name, of what says nothing (`workbench.replay.recording.scrubbing`).
    """
    captured, asking = Captured(spans), asked_in_calls(run)
    interactions, missing = list(captured.exchanges(run)), []
    unsure, never = undetermined(run), uncalled(run)
    for step in run.steps:
        if step.index in never:
            continue
        taken = UNSURE if step.index in unsure else _interaction(run, step, captured, asking)
        if isinstance(taken, Interaction):
            interactions.append(taken)
        elif taken:
            by_node = step.task_id is not None and step.checkpoint_id is not None and step.status in ("ok", "error")
            missing.append(Uncaptured(step=step.index, kind=step.kind, name=step.name, why=taken, by_node=by_node and step.kind != "human"))
    times = [time for step in run.steps for time in (step.started_ns, step.ended_ns) if time is not None]
    return Cassette(
        run_id=run.run_id,
        interactions=tuple(sorted(interactions, key=lambda one: one.step)),
        missing=tuple(missing),
        steps=len(run.steps),
        moments=(min(times), max(times)) if times else None,
        scrub=dict(scrub or {}),
    )


def _interaction(run: Run, step: Step, captured: Captured, asking: Mapping[int, tuple[Step, ...]]) -> Interaction | str | None:
    """A step's interaction, the reason why there is none, or None for a step that is no call."""
    if step.kind == "model":
        return _model_interaction(run, step, captured)
    if step.kind == "tool":
        return _tool_interaction(run, step, captured, asking.get(step.index, ()))
    if step.kind == "retrieval":
        return captured.retrieval(step)
    if step.kind == "human" and step.tool_call is not None and PASSED_ON not in step.notes:
        return _human_interaction(step)
    return None if step.kind == "human" or step.checkpoint_id else "no checkpoint of it was recorded"


def _sources(step: Step, message: Json) -> dict[str, Literal["span", "checkpoint"]]:
    """Where the two halves of a call were taken from."""
    told: Literal["span", "checkpoint"] = "span" if step.span_id else "checkpoint"
    return {"asked": told, "answered": "checkpoint" if message is not None else told}


def _model_interaction(run: Run, step: Step, captured: Captured) -> Interaction | str:
    if not step.messages:
        return "what the model was given was not captured"
    if step.output is None and not step.error:
        return "the model's answer was not captured"
    answer = step.output.model_dump(mode="json", exclude_defaults=True) if step.output else None
    message, said = message_in_state(run, step), captured.said(step)
    whole = said if message is None and step.output and said and _is_answer(said, step.output) else message
    return Interaction(
        kind="model",
        name=step.model or step.name,
        node_path=node_path(step.namespace, step.node),
        arguments=canonical_messages(step.messages),
        result=answer,
        error=step.error,
        message=whole,
        step=step.index,
        task_id=step.task_id,
        sources=_sources(step, message),
    )


def _tool_interaction(run: Run, step: Step, captured: Captured, questions: Sequence[Step]) -> Interaction | str:
    call, command = step.tool_call, captured.command(step) or handed_over(run, step)
    message = None if command else message_in_state(run, step)
    if call is None or (call.arguments is None and call.raw is None):
        return "the arguments were not captured"
    taken = Interaction(
        kind="tool",
        name=call.name,
        node_path=node_path(step.namespace, step.node),
        arguments=call.raw if call.arguments is None else call.arguments,
        result=command or step.result,
        returned={} if command else captured.returned(step),
        error=step.error,
        message=message,
        step=step.index,
        task_id=step.task_id,
        call_id=call.call_id,
        questions=tuple(map(asked_of, questions)),
        sources=_sources(step, message),
    )
    if step.status == "interrupted":
        later = next((s for s in run.of_kind("human") if s.index > step.index and s.task_id == step.task_id and s.tool_call), None)
        question = captured.question(step)
        if question is None and later is None:
            return "it stopped to ask a person, and the question was not captured"
        return taken.model_copy(update={"interrupted": True, "returned": {}, "result": asked_of(later) if question is None and later else question})
    if step.status == "running":
        return "it never came back"
    if taken.result is None and taken.error is None and taken.message is None and not taken.returned:
        return "the result was not captured"
    return taken


def _human_interaction(step: Step) -> Interaction | str:
    if step.status != "ok":
        return "nobody answered"
    if step.result is None and step.output is None:
        return "the answer was not captured"
    answer = step.result if step.result is not None or step.output is None else step.output.content
    path = node_path(step.namespace, step.node)
    return Interaction(
        kind="human",
        name=step.name,
        node_path=path,
        arguments=asked_of(step),
        result=answer,
        step=step.index,
        task_id=step.task_id,
        sources=_sources(step, None),
    )


def asked_of(step: Step) -> Json:
    """The question of a person's step, as it was put."""
    arguments = (step.tool_call.arguments if step.tool_call else None) or {}
    return arguments["question"] if set(arguments) == {"question"} else arguments


def edited(cassette: Cassette, run: Run, at: int, value: Json) -> Cassette:
    """The cassette with this value as the result of the tool call at a step, whatever was recorded of it."""
    step = run.step(at)
    call = step.tool_call or ToolCall(name=step.name, arguments={})
    asked: Json = call.raw if call.arguments is None else call.arguments
    path = node_path(step.namespace, step.node)
    questions = () if step.status == "interrupted" else tuple(map(asked_of, asked_in_calls(run).get(at, ())))
    own = {"task_id": step.task_id, "call_id": call.call_id, "questions": questions}
    changed = Interaction(kind="tool", name=call.name, node_path=path, arguments=asked, result=value, step=at, **own)
    others = [one for one in cassette.interactions if one.step != at]
    return cassette.model_copy(update={"interactions": tuple(sorted([*others, changed], key=lambda one: one.step))})


def message_in_state(run: Run, step: Step) -> Json:
    """The message that a model's answer or a tool's result became, as its task wrote it to the state; None where there is none."""
    if step.task_id is None:
        return None
    own = (other for other in run.steps if other.task_id == step.task_id and other.name != UPDATED)
    written = [value for other in own for value in _objects(other.changes) if "content" in value]
    if step.kind == "tool":
        call_id = step.tool_call.call_id if step.tool_call else None
        return next((one for one in written if call_id and one.get("tool_call_id") == call_id), None)
    return next((one for one in written if step.output and _is_answer(one, step.output)), None)


def _is_answer(written: dict[str, Json], answer: Message) -> bool:
    """Whether a message in the state is a model's answer: the same words and the same calls, by their ids."""
    calls = written.get("tool_calls") or []
    same_calls = [call.get("id") for call in calls if isinstance(call, dict)] == [call.call_id for call in answer.tool_calls]
    return written.get("type") == "ai" and written["content"] == answer.content and same_calls


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _objects(inner)


# ---- what makes two calls the same


def canonical_messages(messages: Sequence[Message]) -> list[Json]:
    """Role, content and tool calls of each message; ids, names and times are no part of what was said."""
    return [_canonical_message(message) for message in messages]


def _canonical_message(message: Message) -> Json:
    calls = [{"name": call.name, "arguments": call.raw if call.arguments is None else call.arguments} for call in message.tool_calls]
    content = _opened(message.content) if message.role == "tool" else message.content
    return {"role": message.role, "content": content, **({"tool_calls": calls} if calls else {})}


def _opened(text: str) -> Json:
    """JSON text as its value: how it was spaced says nothing."""
    try:
        return json.loads(text)
    except ValueError:
        return text
