"""Tool calls that have no span of their own.

Some instrumentors trace the model's client and nothing else, so that only messages tell of them; some trace the tool's function as one like any other; and
some frameworks run an agent that a model called by its name, and trace the agent alone.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set

from workbench.model import HANDOFF, RAN_AGENT, Message, Step, ToolCall
from workbench.normalise.forest import Forest, Node, slug
from workbench.normalise.recorded import says_nothing
from workbench.normalise.traced import hands_over
from workbench.reading.decoders import opened

TOLD = "told by the messages: no span of the call was recorded"
"""Note of such a call. Its time is that between the model's question and the next model call, which saw the answer."""
BODIES = frozenset(("node", "other"))
"""Kinds of spans that may be those of a tool's function, traced as any function is."""

GEMINI = "gemini"
Asked = tuple[ToolCall, Step]
"""A call, and the model step that asked for it."""


def with_untraced(steps: Sequence[Step], forest: Forest, denied: frozenset[str] = frozenset()) -> list[Step]:
    """The steps, with a tool step for each call that a model asked for and whose answer a later model call was given.

    Only where no tool is traced at all: an instrumentor that traces tools traces all of them. Those that a person `denied`, or answered by hand, were not
    made.
    """
    if any(step.kind == "tool" for step in steps):
        return list(steps)
    asked: dict[str, Asked] = {}
    known: set[str | None] = set()
    latest: list[Asked] = []
    before: Step | None = None
    found: list[Step] = []
    for step in steps:
        if step.kind == "model":
            asked |= _asked_meanwhile(step, before)
            known |= asked.keys()
            found.extend(_answered(step, asked, before, forest))
            waiting = [(call, origin) for call, origin in latest if call.call_id is None or call.call_id in asked]
            found.extend(_answered_in_order(step, waiting, before, forest))
            found.extend(_answered_apart(step, [one for one in waiting if one[0].call_id], known, before, forest))
            latest = [(call, step) for call in (step.output.tool_calls if step.output else ()) if call.call_id not in denied]
            asked |= {call.call_id: (call, step) for call, _ in latest if call.call_id}
            before = step
        found.append(step)
    return _with_bodies(found, forest)


def _with_bodies(steps: Sequence[Step], forest: Forest) -> list[Step]:
    """The steps, those told by messages with the span of the tool's function where there is one: when it ran, and whether it failed."""
    names = {step.name for step in steps if TOLD in step.notes}
    waiting: dict[str, list[Node]] = defaultdict(list)
    for node in forest.nodes.values():
        if node.reading.kind in BODIES and node.span.name in names:
            waiting[node.span.name].append(node)
    found = list(steps)
    for number, step in enumerate(steps):
        if TOLD in step.notes and (body := next((node for node in waiting[step.name] if _is_body(node, step)), None)) is not None:
            waiting[step.name].remove(body)
            found[number] = _ran_in(step, body)
    taken = {step.span_id for step in found if step.kind == "tool" and step.span_id}
    return [step for step in found if step.kind == "tool" or step.span_id not in taken]


def _is_body(node: Node, step: Step) -> bool:
    """Whether a span that is called as the tool is lies between the model call that asked for it and the one that saw what it gave."""
    begun, ended = node.span.start_ns, node.span.end_ns
    timed = None not in (begun, ended, step.started_ns, step.ended_ns)
    between = timed and (step.started_ns or 0) <= (begun or 0) and (ended or 0) <= (step.ended_ns or 0)
    return between and node.span.trace_id == step.trace_id


def _ran_in(step: Step, body: Node) -> Step:
    span = body.span
    fields = {"started_ns": span.start_ns, "ended_ns": span.end_ns, "span_id": span.span_id, "notes": tuple(note for note in step.notes if note != TOLD)}
    if body.failed:
        fields |= {"status": "error", "error": body.reading.error, "result": None}
    return step.model_copy(update=fields)


def with_delegated(steps: Sequence[Step], forest: Forest) -> list[Step]:
    """The steps, with a tool step for each agent that a model called by its name and that ran without a tool's span around it."""
    found = list(steps)
    waiting = [node for node in forest.nodes.values() if _may_be_called(node, forest)]
    traced = {step.name for step in steps if step.kind == "tool"}
    asked = [(call, step) for step in steps if waiting and step.output for call in step.output.tool_calls if call.name not in traced]
    for call, origin in asked:
        if (agent := next((node for node in waiting if _answers(node, call, origin)), None)) is not None:
            waiting.remove(agent)
            at = next((number for number, step in enumerate(found) if (step.started_ns or 0) >= (agent.span.start_ns or 0)), len(found))
            found.insert(at, _ran(call, origin, agent))
    return found


def _may_be_called(node: Node, forest: Forest) -> bool:
    named = node.reading.kind == "agent" and bool(node.reading.agent) and not node.failed and not node.reading.interrupted
    return named and not any(above.reading.kind == "tool" for above in forest.above(node))


def _answers(agent: Node, call: ToolCall, origin: Step) -> bool:
    """Whether an agent is the one called: it has that name, and began after the model had asked."""
    begun = agent.span.start_ns is not None and origin.ended_ns is not None and origin.ended_ns <= agent.span.start_ns
    return begun and agent.span.trace_id == origin.trace_id and slug(agent.reading.agent or "") == slug(call.name)


def _ran(call: ToolCall, origin: Step, agent: Node) -> Step:
    times = {"started_ns": agent.span.start_ns, "ended_ns": agent.span.end_ns, "trace_id": agent.span.trace_id, "invocation": origin.invocation}
    result = agent.reading.output.content if agent.reading.output else None
    return Step(index=0, kind="tool", name=call.name, depth=origin.depth, node=origin.node, tool_call=call, result=result, notes=(RAN_AGENT,), **times)


def _asked_meanwhile(step: Step, before: Step | None) -> dict[str, Asked]:
    """The calls that the model call before asked for where its own answer was not recorded: the next one's messages repeat it."""
    if before is None or not says_nothing(before.output):
        return {}
    told = (call for message in _new(step, before) if message.role == "assistant" for call in message.tool_calls)
    return {call.call_id: (call, before) for call in told if call.call_id}


def _answered(step: Step, asked: dict[str, Asked], before: Step | None, forest: Forest) -> Iterator[Step]:
    """The calls whose answers are new to this model call. Each leaves `asked`. Made-up ids may begin anew with each answer, as Gemini's `get_weather_0` do."""
    for message in _new(step, before) if before else ():
        if message.role == "tool" and message.tool_call_id in asked:
            call, origin = asked.pop(message.tool_call_id)
            yield _noted(call, message, origin, step, forest)


def _answered_in_order(step: Step, latest: Sequence[Asked], before: Step | None, forest: Forest) -> Iterator[Step]:
    """The calls whose answers carry no ids, as Gemini's and Ollama's don't: by name where the answer has one, else in order.

    Where the model call before recorded no calls, they are those of the last assistant's message. The first model call's are history.
    """
    if before is None:
        return
    answers = [message for message in _since_the_model_spoke(_new(step, before)) if message.role == "tool" and message.tool_call_id is None]
    spoken = next((message for message in reversed(step.messages) if message.role == "assistant"), None)
    waiting = list(latest) or [(call, before) for call in (spoken.tool_calls if spoken else ()) if call.call_id is None]
    for answer in answers:
        number = next((number for number, (call, _) in enumerate(waiting) if answer.name in (None, call.name)), None)
        if number is not None:
            call, origin = waiting.pop(number)
            yield _noted(call, answer, origin, step, forest)


def _answered_apart(step: Step, waiting: Sequence[Asked], known: Set[str | None], before: Step | None, forest: Forest) -> Iterator[Step]:
    """The calls whose answers go by ids of another kind: in order, where as many answers are to calls nobody knows as calls wait for one.

    OpenAI's Responses have an id for the item that asks and one for the call; some record the one of the question and the other of the answer.
    """
    new = _since_the_model_spoke(_new(step, before)) if before and waiting else ()
    orphans = [message for message in new if message.role == "tool" and message.tool_call_id is not None and message.tool_call_id not in known]
    if len(orphans) == len(waiting):
        for (call, origin), answer in zip(waiting, orphans, strict=True):
            yield _noted(call, answer, origin, step, forest)


def _unwrapped(content: str) -> str:
    """A result out of Gemini's wrapper: its SDK hands over `{"result": …}` where a function returned no object."""
    found = opened(content)
    alone = found["result"] if isinstance(found, dict) and found.keys() == {"result"} else None
    return alone if isinstance(alone, str) else content


def _new(step: Step, before: Step) -> Sequence[Message]:
    """The messages of a model call that the one before it was not given: each call repeats the conversation so far."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(step.messages, before.messages, strict=False))
    return step.messages[sum(1 for _ in same) :]


def _since_the_model_spoke(messages: Sequence[Message]) -> Sequence[Message]:
    last = max((number for number, message in enumerate(messages) if message.role == "assistant"), default=-1)
    return messages[last + 1 :]


def _noted(call: ToolCall, answer: Message, before: Step, after: Step, forest: Forest) -> Step:
    notes = (TOLD, HANDOFF) if not answer.error and hands_over(call.name, call.arguments, forest) else (TOLD,)
    if answer.tool_call_id is None or GEMINI in (after.model or ""):
        answer = answer.model_copy(update={"content": _unwrapped(answer.content)})
    return _told(call, answer, before, after).model_copy(update={"notes": notes})


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
