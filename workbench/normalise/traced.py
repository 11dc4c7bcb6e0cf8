"""Steps from spans: a model call, a tool call, a retrieval; and the pauses and nodes that only spans tell of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from workbench.model import Decision, Json, Message, Reading, Status, Step, Tokens, ToolCall
from workbench.normalise.forest import Forest, Node
from workbench.normalise.joining import Place
from workbench.normalise.ledger import depth_of
from workbench.semconv import DECODERS

HANDOFF = "handoff"
PASSED_ON = "passed on from inside"
"""Note of a pause or an error that a node passes on from a subgraph or tool which has its own step."""
NO_TOKENS = Tokens()
STEP_KINDS = {"model": "model", "tool": "tool", "retrieval": "retrieval"}
INTERRUPT_VALUE = re.compile(r"Interrupt\(value=(.*?), (?:id|resumable|ns|when|response_schema)=", re.DOTALL)
QUESTION = "question"


def whole(readings: Sequence[Reading]) -> Reading:
    """All that is known of one call: of each field the first record, the call's own span before its wrappers."""
    first, *others = readings
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
    ):
        own = getattr(first, field)
        if own in (None, (), NO_TOKENS):
            found[field] = next((value for other in others if (value := getattr(other, field)) not in (None, (), NO_TOKENS)), own)
    return first.model_copy(update=found)


def step_of(node: Node, reading: Reading, place: Place, forest: Forest) -> Step:
    """The step a call's span makes."""
    name = (reading.tool_name if reading.kind == "tool" else reading.model) or node.span.name
    is_model, is_tool = reading.kind == "model", reading.kind == "tool"
    return Step(
        index=0,
        kind=STEP_KINDS[reading.kind],
        name=name,
        node=place.node or reading.node,
        depth=_depth(node, place, forest),
        status=status_of(node),
        error=reading.error,
        model=reading.model if is_model else None,
        messages=reading.messages if is_model else (),
        output=reading.output if is_model else None,
        tool_call=ToolCall(name=name, arguments=reading.arguments, call_id=reading.call_id, raw=_raw(reading)) if is_tool else None,
        result=None if is_model else reading.result,
        decision=decision_of(reading.output, reading.tools) if is_model else None,
        tokens=reading.tokens,
        cost_usd=reading.cost_usd,
        notes=(HANDOFF,) if reading.handoff else (),
        **where(node, place),
    )


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
        return Decision(alternatives=tools)
    return Decision(
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


# ---- what only spans tell of


def nodes_without_steps(forest: Forest, places: dict[str, Place], taken: set[str], *, pauses: bool) -> Iterator[Step]:
    """A step for each LangGraph task that has spans and no step yet, for each pause, and for each failure that no call explains."""
    for task_id, spans in forest.by_task.items():
        if task_id not in taken:
            yield from _of_task(spans, places.get(task_id, Place(task_id)))
    if pauses:
        yield from _pauses(forest)
    yield from _failures(forest)


def _of_task(spans: Sequence[Node], place: Place) -> Iterator[Step]:
    for node in spans:
        if node.reading.kind not in STEP_KINDS and not node.reading.interrupted:
            name = place.node or node.reading.node or node.span.name
            yield Step(
                index=0, kind="node", name=name, node=name, depth=depth_of(place.namespace or ""), status=status_of(node), error=node.reading.error,
                **where(node, place),
            )  # fmt: skip


def _pauses(forest: Forest) -> Iterator[Step]:
    for node in forest.nodes.values():
        paused = node.reading.interrupted and not node.reading.handoff
        if paused and not any(below.reading.interrupted for below in forest.below(node)):
            yield pause_of(node, Place(_task(node) or None, None, None, node.reading.node), forest)


def pause_of(node: Node, place: Place, forest: Forest) -> Step:
    """The question a span stopped to ask, and whether a later span of the same task or call went past it."""
    waited = node.reading.tool_name or node.reading.node or node.span.name
    later = next((other for other in forest.nodes.values() if _goes_past(other, node)), None)
    fields = where(node, place) | {"started_ns": node.span.end_ns or node.span.start_ns, "ended_ns": later.span.start_ns if later else None}
    return Step(
        index=0,
        kind="human",
        name="approval",
        node=place.node or node.reading.node,
        depth=depth_of(place.namespace or ""),
        status="ok" if later else "interrupted",
        tool_call=ToolCall(name=waited, arguments={QUESTION: asked(node)}),
        result=resumed_with(forest, later) if later else None,
        **fields,
    )


def _goes_past(other: Node, paused: Node) -> bool:
    if other.key == paused.key or other.reading.interrupted or (other.span.start_ns or 0) < (paused.span.end_ns or 0):
        return False
    if _task(paused):
        return _task(paused) == _task(other)
    if paused.reading.call_id:
        return paused.reading.call_id == other.reading.call_id
    return other.span.name == paused.span.name and other.span.trace_id != paused.span.trace_id


def asked(node: Node) -> Json:
    """The question, from the text of the exception that LangGraph interrupts with. None where that was not recorded."""
    texts = [str(event.attributes.get("exception.message") or "") for event in node.span.events] + [node.span.status_message]
    for text in texts:
        if found := INTERRUPT_VALUE.search(text):
            return _opened(found[1])
    return None


def resumed_with(forest: Forest, node: Node) -> Json:
    """What `Command(resume=…)` brought, from the input recorded on the spans above the one that went on. None where it was not recorded."""
    for above in [node, *forest.above(node)]:
        for value in above.span.attributes.values():
            if isinstance(value, str) and "resume" in value and (found := RESUMED.search(value)):
                return _opened(found[1])
    return None


RESUMED = re.compile(r"""Command\(resume=(.*?)(?:\)$|, (?:goto|update|graph)=)""", re.DOTALL)


def _opened(text: str) -> Json:
    try:
        return DECODERS["python"](text)
    except ValueError:
        return text


def _task(node: Node) -> str:
    return (node.reading.namespace or "").rpartition("|")[2].rpartition(":")[2]


def _failures(forest: Forest) -> Iterator[Step]:
    """Failed spans below which nothing failed and which are no step otherwise, so that no error is lost."""
    for node in forest.nodes.values():
        if not node.failed or node.reading.kind not in ("agent", "node") or _task(node):
            continue
        if not any(below.failed for below in forest.below(node)):
            yield Step(index=0, kind="node", name=node.span.name, node=node.reading.node, status="error", error=node.reading.error, **where(node, Place()))
