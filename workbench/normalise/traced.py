"""Steps from the spans of calls: a model call, a tool call, a retrieval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from workbench.model import ASKED_AGAIN, HANDOFF, NO_TOKENS, RAN_AGENT, Decision, Json, Message, Reading, Status, Step, Tokens, ToolCall
from workbench.normalise.forest import Forest, Node, slug
from workbench.normalise.joining import Place
from workbench.normalise.ledger import depth_of
from workbench.normalise.recorded import says_nothing

TRANSFER = ("transfer_to_", "handoff_to_")
"""How the name of a tool begins that passes the conversation on, in most frameworks."""
QUESTION = "question"
"""Note of a failed tool call after which the framework sent the model back: its next call of the tool is another attempt, whatever it gives."""
ITEM = "fc_"
"""How the id begins of an item of OpenAI's Responses that asks for a call; the call itself has another."""
STEP_KINDS = {"model": "model", "tool": "tool", "retrieval": "retrieval", "human": "human"}


def whole(readings: Sequence[Reading]) -> Reading:
    """All that is known of one call: of each field the first record, the call's own span before its wrappers."""
    first, *others = readings
    if not others:
        return first
    found: dict[str, Json] = {}
    for field in (
        "model",
        "messages",
        "output",
        "tools",
        "tool_name",
        "call_id",
        "arguments",
        "raw_arguments",
        "result",
        "tokens",
        "cost_usd",
        "agent",
        "node",
        "idempotency_key",
    ):
        own = getattr(first, field)
        if own in (None, (), NO_TOKENS) or (field == "output" and says_nothing(own)):
            found[field] = next((value for other in others if (value := getattr(other, field)) not in (None, (), NO_TOKENS)), own)
    tokens = first.tokens if first.tokens != NO_TOKENS else found.get("tokens", NO_TOKENS)
    output = _identified(found.get("output", first.output), others)
    return first.model_copy(update=found | {"tokens": _counted(tokens, others), "output": output})


def _identified(own: Message | None, others: Sequence[Reading]) -> Message | None:
    """An answer whose calls have the ids that their results go by; some tell those of OpenAI's items in place of them, where a wrapper tells the call's."""
    if own is None or not any((call.call_id or "").startswith(ITEM) for call in own.tool_calls):
        return own
    names = [call.name for call in own.tool_calls]
    told = (other.output for other in others if other.output and [call.name for call in other.output.tool_calls] == names)
    return next((one for one in told if not any((call.call_id or ITEM).startswith(ITEM) for call in one.tool_calls)), own)


def _counted(own: Tokens, others: Sequence[Reading]) -> Tokens:
    """The counts of one call, with those that only a wrapper tells of, such as cached ones, where it counted the same in and out."""
    same = [other.tokens for other in others if (other.tokens.input, other.tokens.output) == (own.input, own.output)]
    missing = {name: value for other in reversed(same) for name, value in other if value is not None and getattr(own, name) is None}
    return own.model_copy(update=missing) if missing else own


def step_of(node: Node, reading: Reading, place: Place, forest: Forest) -> Step:
    """The step a call's span makes."""
    name = (reading.tool_name if reading.kind in ("tool", "human") else reading.model) or node.span.name
    is_model = reading.kind == "model"
    status, error = _outcome(node, reading, forest)
    return Step.unchecked(
        index=0,
        kind=STEP_KINDS[reading.kind],
        name="approval" if reading.kind == "human" else name,
        node=place.node or reading.node,
        depth=_depth(node, place, forest),
        status=status,
        error=error,
        model=reading.model if is_model else None,
        messages=reading.messages if is_model else (),
        output=reading.output if is_model else None,
        tool_call=_call(reading, name),
        result=None if is_model else reading.result,
        decision=decision_of(reading.output, reading.tools) if is_model else None,
        tokens=reading.tokens,
        cost_usd=reading.cost_usd,
        idempotency_key=reading.idempotency_key,
        notes=tuple(_notes(node, reading, forest)),
        **where(node, place),
    )


def _outcome(node: Node, reading: Reading, forest: Forest) -> tuple[Status, str | None]:
    """How a call ended, with its error: a framework that hands a tool's exception to the model says ok of it, and only its inner span says what failed."""
    status = status_of(node)
    inner = forest.same_tools(node)[-1:] if node.reading.kind == "tool" and status == "ok" else []
    failed = next((one for one in inner if one.failed), None)
    return (status, reading.error) if failed is None else ("error", failed.reading.error)


def _call(reading: Reading, name: str) -> ToolCall | None:
    """The call a tool's span was; of a person's span what waited for them and what they were asked."""
    if reading.kind == "human":
        return ToolCall(name=name, arguments={QUESTION: reading.arguments or reading.raw_arguments})
    return ToolCall.unchecked(name=name, arguments=reading.arguments, call_id=reading.call_id, raw=_raw(reading)) if reading.kind == "tool" else None


def hands_over(tool: str, arguments: dict[str, Json] | None, forest: Forest) -> bool:
    """Whether a tool passes the conversation on: `transfer_to_` an agent that is in the run, named by the tool or by an argument."""
    start = next((start for start in TRANSFER if tool.startswith(start)), None)
    if start is None:
        return False
    given = [value for value in (arguments or {}).values() if isinstance(value, str)]
    return any(slug(name) in forest.agents for name in (tool.removeprefix(start), *given))


def with_handoffs(steps: Iterable[Step], forest: Forest) -> list[Step]:
    """The steps, those of tools noted that passed the conversation on; asked once their arguments are known, which may stand elsewhere than in their spans."""
    return [step.model_copy(update={"notes": (HANDOFF, *step.notes)}) if _passes_on(step, forest) else step for step in steps]


def _passes_on(step: Step, forest: Forest) -> bool:
    call = step.tool_call
    return step.kind == "tool" and step.status == "ok" and HANDOFF not in step.notes and call is not None and hands_over(call.name, call.arguments, forest)


def _notes(node: Node, reading: Reading, forest: Forest) -> Iterator[str]:
    if reading.handoff:
        yield HANDOFF
    if node.key in forest.delegates:
        yield RAN_AGENT
    if reading.attempt is not None and reading.error is not None:
        yield ASKED_AGAIN
    if reading.retry_attempt is not None and reading.retry_attempt > 1:
        waited = "" if reading.retry_delay_ms is None else f", {reading.retry_delay_ms:,.0f} ms later"
        yield f"attempt {reading.retry_attempt}{waited}" + (f", after {reading.retry_reason}" if reading.retry_reason else "")


def where(node: Node, place: Place) -> dict[str, Json]:
    """The fields of a step that say when and where it was."""
    return {
        "started_ns": node.span.start_ns,
        "ended_ns": node.span.end_ns,
        "trace_id": node.span.trace_id,
        "span_id": node.span.span_id,
        "namespace": place.namespace,
        "checkpoint_id": place.checkpoint_id,
        "task_id": place.task_id,
        "joined": place.joined,
    }


def status_of(node: Node) -> Status:
    """How a span ended. A handoff went well; a span without an end was still running when the record stops."""
    if node.reading.interrupted:
        return "ok" if node.reading.handoff else "interrupted"
    if node.failed:
        return "error"
    return "running" if node.span.end_ns is None else "ok"


def decision_of(output: Message | None, tools: tuple[str, ...] | None) -> Decision:
    """What a model chose, of what."""
    if output is None:
        return Decision.unchecked(alternatives=tools)
    return Decision.unchecked(
        selected=tuple(call.name for call in output.tool_calls),
        alternatives=tools,
        confidence=output.confidence,
        confidence_source=output.confidence_source,
        reasoning=output.reasoning,
    )


def _raw(reading: Reading) -> str | None:
    return reading.raw_arguments if reading.arguments is None else None


def _depth(node: Node, place: Place, forest: Forest) -> int:
    if place.namespace is not None:
        return depth_of(place.namespace)
    agents = sum(above.reading.kind == "agent" for above in forest.above(node))
    return max(0, agents - 1)
