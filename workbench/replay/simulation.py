"""Forks a run from what was recorded of it alone: a generic agent loop goes on from a step, with the recorded history, against a chat model.

For runs whose code is not at hand, or that LangGraph has no part in. Nothing of the agent is run: the model is asked anew, and its tool calls
are answered from the recording as the fence would answer them, by tool and arguments, each recorded answer once; what has none halts. What
the agent's own code did between the calls (routing, guards, trimming of the history) is not repeated, which the receipt says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from workbench.chat_models import name_of
from workbench.comparison.comparison import count_effects
from workbench.model import CallCounts, CallRecord, Change, Check, Decision, Interaction, Json, Message, Receipt, Run, Step, ToolCall, digest
from workbench.replay.changes import check_kind
from workbench.replay.conversation import Opening, chat_messages, offered, opening, text_of
from workbench.replay.fence import alterations
from workbench.replay.fence.answers import recorded_messages
from workbench.replay.forking import Forked, ForkError
from workbench.replay.receipts import failed_anew
from workbench.replay.recording.cassette import canonical_messages, edited, record
from workbench.replay.recording.scrubbing import configured
from workbench.replay.recording.tape import LEAVE_OUT, Call, Divergence, Miss, Tape
from workbench.replay.shapes import ChangeError, check_shape, fault_of

MODEL_CALLS, SECONDS = 25, 120.0
ISOLATION = "no code of the agent ran: a generic loop asked the model, tools were answered from the recording"
NOT_REPEATED = (
    "what the agent's own code did between its calls is not part of a simulation; the model is asked with its own settings, not those it was recorded with"
)
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
    begun = opening(parent, step, change)
    tools, unknown = offered(parent, begun.asking, change)
    loop = _loop(parent, step, change, model, begun, tools)
    _go_on(loop, begun.waiting, model_calls, started + seconds)
    steps = (*parent.steps[: begun.kept], *_numbered(loop.steps, parent.steps[: begun.kept]))
    run = _run(parent, step, change, loop, steps, run_id)
    receipt = _receipt(parent, run, loop, begun.kept, (NOT_REPEATED, *unknown, *begun.notes))
    return Forked(run, receipt.model_copy(update={"seconds": round(time.monotonic() - started, 3)}), begun.kept)


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


# ---- the loop


def _loop(parent: Run, step: Step, change: Change, model: BaseChatModel, begun: Opening, tools: list[dict[str, Json]]) -> _Loop:
    at_tool = change.kind in {"tool_result", "fault"}
    cassette = record(parent, scrub=configured(Path.cwd()))
    if at_tool:
        cassette = edited(cassette, parent, step.index, change.value if change.kind == "tool_result" else None)
        if change.kind == "fault":
            cassette = cassette.model_copy(update={"interactions": tuple(_struck(one, step, change.value) for one in cassette.interactions)})
    answers = [one for one in cassette.interactions if one.kind == "tool" and one.step >= begun.asking.index]
    tape = Tape(cassette, steps=[one.step for one in answers], remedies=_remedies)
    places = {one.name: one.node_path for one in answers} | {one.call_id: one.node_path for one in answers if one.call_id}
    return _Loop(model, tools, tape, places, step.index if at_tool else None, list(begun.messages))


def _remedies(miss: Miss) -> Iterator[str]:
    """What can be done about a call that has no recording."""
    yield "edit: give it an answer, and go on from there: simulate this run again at this step with tool_result=… (--tool-result)"
    if miss.alike:
        yield LEAVE_OUT


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
        place = loop.places.get(call.call_id or "") or loop.places.get(call.name, "")
        try:
            taken = loop.tape.take(Call("tool", call.name, place, asked, call_id=call.call_id))
        except Divergence as miss:
            loop.records.append(CallRecord(kind="tool", name=call.name, node_path=place, answer="halted", arguments=asked, says=str(miss)))
            loop.steps.append(_tool_step(call, None, "halted"))
            loop.ended, loop.says = "halted", str(miss)
            return False
        served, says = taken.interaction, "; ".join(taken.notes)
        answer = "edited" if served.step == loop.edited else "served"
        loop.records.append(CallRecord(kind="tool", name=call.name, node_path=place, answer=answer, arguments=asked, from_step=served.step, says=says))
        loop.steps.append(_tool_step(call, served, answer))
        if served.interrupted:
            loop.ended, loop.says = "interrupted", f"{call.name} stopped to ask a person, as it did in the recording"
            return False
        content = served.error if served.error is not None else text_of(served.result)
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


def _receipt(parent: Run, run: Run, loop: _Loop, prefix: int, notes: tuple[str, ...]) -> Receipt:
    given = [one.answer for one in loop.records]
    counts = CallCounts(served=given.count("served") + given.count("edited"), live=given.count("live"), halted=given.count("halted"))
    first = loop.says.partition("\n")[0]
    return Receipt(
        run_id=run.run_id,
        parent_run_id=parent.run_id,
        forked_at_step=run.forked_at_step or 0,
        change=run.change or Change(),
        live=("model",),
        graph=f"none: a generic agent loop with {type(loop.model).__name__}",
        calls=counts,
        records=tuple(loop.records),
        effects=count_effects(parent, run),
        outcome=f"{loop.ended}: {first}" if loop.ended in ("halted", "failed") else run.outcome,
        isolation=ISOLATION,
        prefix_sha256=digest([one.model_dump(mode="json") for one in run.steps[:prefix]]),
        notes=notes,
        checks=tuple(_checks(loop, counts, parent)),
    )


def _checks(loop: _Loop, counts: CallCounts, parent: Run) -> Iterator[Check]:
    """What a simulation can be held to: every call was answered, the change met one, the model thought at all, and nothing failed that had not."""
    halted = ", ".join(dict.fromkeys(f"{one.kind} {one.name}" for one in loop.records if one.answer == "halted"))
    yield Check(name="nothing halted", verdict="fail" if halted else "pass", says=f"{counts.halted} halted: {halted}" if halted else "every call was answered")
    if loop.edited is not None:
        met = any(one.answer == "edited" for one in loop.records)
        says = "the changed answer was given" if met else f"the changed call, step {loop.edited}, was never made: the change had no effect"
        yield Check(name="change met", verdict="pass" if met else "fail", says=says)
    dumb = loop.ended == "failed" and not counts.live
    says = f"the model that was to think anew never answered: {loop.says}" if dumb else f"{counts.live} live model calls were answered"
    yield Check(name="model answered", verdict="fail" if dumb else "pass", says=says)
    failed = failed_anew(parent, loop.ended, loop.says)
    yield Check(
        name="same end", verdict="fail" if failed else "not applicable", says=failed[1] if failed else "the model thought anew, so another end is no surprise"
    )
