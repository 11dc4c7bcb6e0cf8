"""Steps that only spans tell of, where no checkpoint does: nodes, pauses for a person, failures that no call explains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard

from workbench.model import Json, Reading, Span, Step, ToolCall
from workbench.normalise.forest import CALLS, Forest, Node, begun_after
from workbench.normalise.joining import Place
from workbench.normalise.ledger import depth_of
from workbench.normalise.traced import QUESTION, status_of, where
from workbench.reading.documents import parse_json
from workbench.reading.tasks import task_of
from workbench.semconv import DECODERS

INTERRUPT_TEXT = re.compile(r"Interrupt\(value=(.*?), (?:id|resumable|ns|when|response_schema)=(?:'([0-9a-f]{32})')?", re.DOTALL)
NO_QUESTION = "()"
"""The text of LangGraph's exception at a breakpoint: it holds no interrupt."""
QUESTION_ID = re.compile(r"[0-9a-f]{32}")
COMMAND_TEXT = re.compile(r"Command\(resume=(.*?)(?:\)$|, (?:goto|update|graph)=)", re.DOTALL)
COMMAND_FIELDS = frozenset(("resume", "goto"))
MAX_NESTING = 4


def steps_of_spans_alone(forest: Forest, places: Mapping[str, Place], taken: set[str], *, pauses: bool, breakpoints: bool) -> Iterator[Step]:
    """A step for each LangGraph task in `places` that has none yet (those that have are `taken`), for each pause, and for each lone failure.

    A pause that asked nothing, at a breakpoint of a graph in a graph, is a step only where `breakpoints` are: of those of the root no span tells.
    """
    for task_id, spans in forest.by_task.items():
        if task_id not in taken:
            yield from _of_task(spans, places.get(task_id, Place(task_id)))
    if pauses:
        paused = [one for one in forest.nodes.values() if _paused(one) and not any(below.reading.interrupted for below in forest.below(one))]
        paused = [one for one in paused if breakpoints or not _asks_nothing(one)]
        given = answers_by_id(forest) if paused else {}
        yield from (_pause(one, forest, given) for one in paused)
    yield from _failures(forest)


def _of_task(spans: Sequence[Node], place: Place) -> Iterator[Step]:
    for node in spans:
        if node.reading.kind not in CALLS and not node.reading.interrupted:
            name = place.node or node.reading.node or node.span.name
            fields = where(node, place) | {"depth": depth_of(place.namespace or ""), "status": status_of(node), "error": node.reading.error}
            yield Step(index=0, kind="node", name=name, node=name, **fields)


def _failures(forest: Forest) -> Iterator[Step]:
    """Failed spans that are no step otherwise and that don't pass on what failed below them, so that no error is lost."""
    for node in forest.nodes.values():
        if node.failed and _may_fail_itself(node, forest) and task_of(node.reading.namespace) is None and not _passes_on(node, forest):
            fields = where(node, Place())
            if any(below.reading.kind in CALLS for below in forest.below(node)):
                fields["started_ns"] = node.span.end_ns  # it failed after all that it did, which is steps of its own
            yield Step(index=0, kind="node", name=node.span.name, node=node.reading.node, status="error", error=node.reading.error, **fields)


def _may_fail_itself(node: Node, forest: Forest) -> bool:
    """Whether a span's failure is one of the run: an agent's, a node's, an embedding's, or that of whatever span is at the top."""
    if node.reading.kind in ("agent", "node", "embedding"):
        return True
    return node.reading.kind == "other" and forest.parent(node) is None


def _passes_on(node: Node, forest: Forest) -> bool:
    """Whether a failure came from below: something there failed with the same words, or nothing was begun after it failed or paused.

    A span that is told of no failure below it has failed itself.
    """
    below = [one for one in forest.below(node) if one.reading.kind != "plumbing"]
    failed = [one for one in below if one.failed or _paused(one)]
    if any(_same_words(one.reading.error, node.reading.error) for one in failed):
        return True
    if node.reading.unaware:
        return False
    begun = max((one.span.start_ns for one in below if one.reading.kind in CALLS and one.span.start_ns is not None), default=0)
    return any(one.span.end_ns is None or one.span.end_ns >= begun for one in failed)


def _same_words(inner: str | None, outer: str | None) -> bool:
    return bool(inner and outer) and (str(inner) in str(outer) or str(outer) in str(inner))


# ---- pauses


def _paused(node: Node) -> bool:
    return node.reading.interrupted and not node.reading.handoff


def _pause(node: Node, forest: Forest, given: Mapping[str, Json]) -> Step:
    """The question a span stopped to ask, and whether a later span of the same task or call went past it."""
    call = _about_to_call(node, forest) if node.reading.kind == "agent" else None
    later = next((other for other in forest.nodes.values() if _goes_past(other, node, call)), None)
    question, question_id = _asked(node)
    question = node.reading.question if question is None else question
    decided = given.get(question_id or "", resumed_with(forest, later)) if later else None
    if node.reading.unreturned:
        later, decided = _decided(node, later, forest)
    elif call and later:
        decided = {"approved": True}
    fields = where(node, Place(task_of(node.reading.namespace), None, None, node.reading.node))
    fields |= {"started_ns": node.span.end_ns or node.span.start_ns, "ended_ns": later.span.start_ns if later else None}
    if node.reading.kind in CALLS:
        fields["span_id"] = None  # the call is a step of its own
    return Step(
        index=0,
        kind="human",
        name="approval",
        node=node.reading.node,
        status="ok" if later else "interrupted",
        tool_call=ToolCall(name=(call.name if call else None) or node.reading.tool_name or node.reading.node or node.span.name, arguments={QUESTION: question}),
        result=decided,
        **fields,
    )


def _about_to_call(agent: Node, forest: Forest) -> ToolCall | None:
    """The call that an agent stopped to ask about: the first that its last model asked for and that was not made before it stopped."""
    below = sorted(forest.below(agent), key=lambda node: node.span.start_ns or 0)
    asked = next((node.reading.output.tool_calls for node in reversed(below) if node.reading.kind == "model" and node.reading.output), ())
    made = {node.reading.call_id for node in below if node.reading.kind == "tool"}
    return next((call for call in asked if call.call_id and call.call_id not in made), None)


def _decided(node: Node, made: Node | None, forest: Forest) -> tuple[Node | None, Json]:
    """Where it went on after a call that gave nothing back, and what a person must have said.

    Yes where the call was made later; no where it was not, and yet a model was told of an answer.
    """
    if made is not None:
        return made, {"approved": True}
    agent = next((above.reading.agent for above in forest.above(node) if above.reading.kind == "agent"), None)
    later = (other for other in forest.nodes.values() if begun_after(other, node) and other.reading.kind == "model")
    went_on = next((other for other in later if agent in (None, *(above.reading.agent for above in forest.above(other)))), None)
    return went_on, {"approved": False} if went_on is not None and _is_told(went_on, node) else None


def _is_told(model: Node, node: Node) -> bool:
    """Whether a model call was given an answer to a call with the same arguments."""
    calls = (call for message in model.reading.messages for call in message.tool_calls)
    same = {call.call_id for call in calls if call.name == node.reading.tool_name and call.arguments == node.reading.arguments}
    return any(message.role == "tool" and message.tool_call_id in same for message in model.reading.messages)


def _asks_nothing(node: Node) -> bool:
    """Whether a span tells, by an exception of its own, that it paused without a question."""
    return any(event.attributes.get("exception.message") == NO_QUESTION for event in node.span.events)


def _goes_past(other: Node, paused: Node, call: ToolCall | None = None) -> bool:
    if other.key == paused.key or other.reading.interrupted or (other.span.start_ns or 0) < (paused.span.end_ns or 0):
        return False
    if task := task_of(paused.reading.namespace):
        return task == task_of(other.reading.namespace)
    if call is not None:
        return other.reading.kind == "tool" and other.reading.call_id == call.call_id
    if paused.reading.call_id:
        return paused.reading.call_id == other.reading.call_id
    if paused.reading.unreturned:
        return _same_call(paused.reading, other.reading)
    return other.span.name == paused.span.name and other.span.trace_id != paused.span.trace_id


def _same_call(one: Reading, other: Reading) -> bool:
    return one.kind == other.kind and (one.tool_name, one.arguments, one.raw_arguments) == (other.tool_name, other.arguments, other.raw_arguments)


def _asked(node: Node) -> tuple[Json, str | None]:
    """The question and its id, from the text of the exception that LangGraph interrupts with. None where that was not recorded."""
    found = _interrupt_in(node.span)
    return (_opened(found[1]), found[2]) if found else (None, None)


def questions_of(paused: Iterable[Node]) -> list[tuple[str | None, Json]]:
    """The questions that the spans of one task stopped to ask, in order: id and value. One that was asked again counts once.

    The value is None where its text is not all of a plain value, such as one that was cut short or holds an object.
    """
    found: list[tuple[str | None, Json]] = []
    for text in (_interrupt_in(one.span) for one in paused):
        known = text[2] if text else None
        if known is None or known not in (one for one, _ in found):
            found.append((known, _plain_value(text[1]) if text else None))
    return found


def question_in(span: Span) -> Json:
    """The question that a span stopped to ask; None for what is not all of a plain value, or for one that did not."""
    found = _interrupt_in(span)
    return _plain_value(found[1]) if found else None


def _interrupt_in(span: Span) -> re.Match[str] | None:
    """LangGraph's own text of the question that a span stopped to ask."""
    texts = [str(event.attributes.get("exception.message") or "") for event in span.events] + [span.status_message]
    return next((found for text in texts if (found := INTERRUPT_TEXT.search(text))), None)


def _plain_value(text: str) -> Json:
    try:
        return DECODERS["python"](text)
    except ValueError:
        return None


def resumed_with(forest: Forest, node: Node) -> Json:
    """What `Command(resume=…)` brought, from the input recorded on the spans above the one that went on. None where it was not recorded."""
    brought = next(_brought([node, *forest.above(node)]), None)
    return None if _by_id(brought) else brought


def answers_by_id(forest: Forest) -> dict[str, Json]:
    """What `Command(resume={…})` brought to several questions, by their ids: LangGraph does not keep the last answer of a task that was given so."""
    starts = sorted((node for node in forest.nodes.values() if task_of(node.reading.namespace) is None), key=lambda node: node.span.start_ns or 0)
    return {question: answer for brought in _brought(starts) if _by_id(brought) for question, answer in brought.items()}


def _brought(nodes: Iterable[Node]) -> Iterator[Json]:
    return (answer for node in nodes for value in node.span.attributes.values() if (answer := _answer(value)) is not None)


def _by_id(brought: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(brought, dict) and bool(brought) and all(QUESTION_ID.fullmatch(one) for one in brought)


def _answer(text: Json) -> Json:
    if isinstance(text, dict):
        return _resume_in(text)
    if not isinstance(text, str) or "resume" not in text:
        return None
    if found := COMMAND_TEXT.search(text):
        return _opened(found[1])
    try:
        return _resume_in(parse_json(text))
    except ValueError:
        return None  # an attribute that happens to hold the word, and no JSON


def _resume_in(value: Json, depth: int = 0) -> Json:
    """The answer in a Command written as JSON, alone or among the inputs."""
    if not isinstance(value, dict) or depth > MAX_NESTING:
        return None
    if value.keys() >= COMMAND_FIELDS:
        return value["resume"]
    return next((answer for inner in value.values() if (answer := _resume_in(inner, depth + 1)) is not None), None)


def _opened(text: str) -> Json:
    try:
        return DECODERS["python"](text)
    except ValueError:
        return text
