"""Human steps for approvals that only messages tell of: which call waited, and what the person said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.model import Approval, Json, Message, Step, ToolCall
from workbench.normalise.forest import Forest, Node
from workbench.normalise.traced import QUESTION


@dataclass
class Asked:
    """One approval: the first message that asks, the first that answers, and the spans that carry them."""

    question: Approval | None = None
    asked_in: Node | None = None
    answer: Approval | None = None
    answered_in: Node | None = None


def approvals_of(forest: Forest) -> dict[str, Asked]:
    """The approvals in the messages of all spans, by their id, in the order they came up."""
    found: dict[str, Asked] = {}
    for node, message in _told(forest):
        for approval in message.approvals:
            asked = found.setdefault(approval.approval_id, Asked())
            if approval.approved is None and asked.question is None:
                asked.question, asked.asked_in = approval, node
            elif approval.approved is not None and asked.answer is None:
                asked.answer, asked.answered_in = approval, node
    return found


def steps_of_approvals(approvals: dict[str, Asked], steps: Sequence[Step]) -> Iterator[Step]:
    """A human step for each approval, unless the tool that waited has one already: then something nearer to it told of the pause."""
    known = {step.tool_call.name for step in steps if step.kind == "human" and step.tool_call}
    for asked in approvals.values():
        call, before = _call(asked, steps)
        if call.name not in known and (node := asked.answered_in or asked.asked_in) is not None:
            yield _step(asked, call, before, node)


def denied(approvals: dict[str, Asked]) -> frozenset[str]:
    """The ids of the calls that a person refused: they were not made, whatever stands in the messages as their answer."""
    refused = [asked for asked in approvals.values() if asked.answer and asked.answer.approved is False]
    return frozenset(one.call_id for asked in refused for one in (asked.question, asked.answer) if one and one.call_id)


def _told(forest: Forest) -> Iterator[tuple[Node, Message]]:
    for node in forest.nodes.values():
        yield from ((node, message) for message in node.reading.messages if message.approvals)
        if node.reading.output is not None and node.reading.output.approvals:
            yield node, node.reading.output


def _call(asked: Asked, steps: Sequence[Step]) -> tuple[ToolCall, Step | None]:
    """The call that waited, and the model step that wanted it where one is recorded."""
    told = [one for one in (asked.question, asked.answer) if one]
    call_id = next((one.call_id for one in told if one.call_id), None)
    wanting = [(call, step) for step in steps if step.output and call_id for call in step.output.tool_calls if call.call_id == call_id]
    nodes = [node for node in (asked.asked_in, asked.answered_in) if node]
    seen = [call for node in nodes if call_id for message in node.reading.messages for call in message.tool_calls if call.call_id == call_id]
    name = next((one.tool for one in told if one.tool), None)
    arguments = next((one.arguments for one in told if one.arguments), None)
    own = [ToolCall(name=name, arguments=arguments, call_id=call_id)] if name else []
    call = next(iter([*own, *(call for call, _ in wanting), *seen]), ToolCall(name="approval", call_id=call_id))
    return call, wanting[0][1] if wanting else None


def _step(asked: Asked, call: ToolCall, before: Step | None, node: Node) -> Step:
    question = {"tool": call.name, "arguments": call.arguments} if call.arguments is not None else {"tool": call.name}
    answered = asked.answered_in
    asking_ended = asked.asked_in.span.end_ns if asked.asked_in and asked.asked_in is not answered else None
    since = before.ended_ns if before else asking_ended
    return Step(
        index=0,
        kind="human",
        name="approval",
        node=node.reading.node,
        status="ok" if asked.answer else "interrupted",
        tool_call=ToolCall(name=call.name, arguments={QUESTION: question}),
        result=_decision(asked.answer) if asked.answer else None,
        trace_id=node.span.trace_id,
        started_ns=since if since is not None else node.span.start_ns,
        ended_ns=answered.span.start_ns if answered else None,
    )


def _decision(answer: Approval) -> Json:
    return {"approved": answer.approved} | ({"reason": answer.reason} if answer.reason else {})
