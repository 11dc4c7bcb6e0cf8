"""Assembles runs from the spans and checkpoints of one thread or trace."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from workbench import semconv
from workbench.model import ANSWERED, LAST_SAID, RETURNED, Checkpoint, Json, Log, Reading, Run, Span, Step
from workbench.normalise.approvals import Asked, approvals_of, denied, steps_of_approvals
from workbench.normalise.branches import Branches
from workbench.normalise.forest import Forest
from workbench.normalise.joining import Joiner, Place
from workbench.normalise.ledger import INTERRUPT, Ledger
from workbench.normalise.lineage import Lineage, split
from workbench.normalise.logs import with_logs
from workbench.normalise.outcome import status
from workbench.normalise.services import Readings, service_of, unlike
from workbench.normalise.sums import summed_tokens
from workbench.normalise.timeline import numbered, ordered, with_arguments, with_changes, with_invocations, with_results
from workbench.normalise.traced import step_of, whole, with_handoffs
from workbench.normalise.unrecorded import steps_of_spans_alone
from workbench.normalise.untraced import with_delegated, with_untraced
from workbench.normalise.wholes import without_wholes
from workbench.normalise.written import Recorded

AGENT_METADATA = ("agent_name", "assistant_id", "graph_id")
VERSION = "service.version"
STRANGERS_SHOWN, STEPS_SHOWN = 5, 20
UNKEPT = "left no checkpoint"
"""What a run's note says of super-steps that can't be re-run, though the thread's database was read."""
USER, USER_ATTRIBUTES = "user.id", ("user.id", "enduser.id", "langfuse.user.id", "langfuse.trace.userId", "traceloop.association.properties.user_id")


def normalise(
    spans: Sequence[Span],
    checkpoints: Sequence[Checkpoint],
    logs: Sequence[Log] = (),
    read: Callable[[Span], Reading] = semconv.read,
    before: Sequence[dict[str, Json]] = (),
) -> list[Run]:
    """The runs in the related spans and checkpoints of one thread or trace: usually one. Log records become events of their spans.

    None where the spans are plumbing alone, such as a health check's: nothing of an agent ran. Several when one thread id covers checkpoint lineages,
    or one conversation's id the traces of services, that have nothing to do with each other; the first keeps the plain run id. Sources are left for the
    caller to fill. `read` is for callers that have read some spans before, `before` are the messages in the state that the checkpoints begin with,
    where what wrote them is not among these.
    """
    if not spans and not checkpoints:
        return []
    spans = with_logs(without_wholes(spans), logs)
    readings = {(span.trace_id, span.span_id): read(span) for span in spans}
    if not checkpoints and all(reading.kind == "plumbing" for reading in readings.values()):
        return []
    lineages = split(spans, checkpoints, readings)
    return [_run(lineage, number, readings, before) for number, lineage in enumerate(lineages)]


def _run(lineage: Lineage, number: int, readings: dict[tuple[str, str], Reading], before: Sequence[dict[str, Json]]) -> Run:
    forest, ledger = Forest(lineage.spans, readings), Ledger(lineage.checkpoints)
    approvals = approvals_of(forest)
    steps = numbered(with_delegated(with_untraced(_steps(forest, ledger, approvals, before), forest, denied(approvals) | ledger.answered_by_hand), forest))
    found = [node.reading for node in forest.nodes.values()]
    thread = next((one.thread_id for one in ledger.checkpoints), None) or _first(reading.conversation_id for reading in found)
    run_id = thread or next(node.span.trace_id for node in forest.nodes.values())
    started, ended = _span_of_time(forest, ledger, steps)
    return Run(
        run_id=run_id if number == 0 else f"{run_id}~{lineage.suffix}",
        conversation_id=thread,
        agent=_agent(forest, ledger),
        root_name=_root_name(forest),
        status=status(forest, ledger, steps),
        started_ns=started,
        ended_ns=ended,
        steps=steps,
        span_count=len(forest.nodes),
        agents=_agents(found),
        embedding_calls=forest.embeddings,
        summed_tokens=summed_tokens(forest, steps),
        tools=_tools(found),
        schemas=_schemas(found),
        notes=(
            *_notes(lineage, ledger, number),
            *_unkept(ledger),
            *_branches(ledger, steps),
            *_shared_id(lineage, readings),
            *_hung(lineage),
            *_rootless(forest),
        ),
        metadata=_metadata(ledger, forest),
    )


def _steps(forest: Forest, ledger: Ledger, approvals: dict[str, Asked], before: Sequence[dict[str, Json]]) -> list[Step]:
    joiner = Joiner(ledger)
    traced: list[Step] = []
    places: dict[str, Place] = {}
    for node in forest.calls:
        reading = whole(forest.descriptions(node))
        traced.append(step_of(node, reading, joiner.place(node, reading), forest))
    for task_id, spans in forest.by_task.items():
        places[task_id] = joiner.place(spans[0], spans[0].reading)
    steps = Recorded(ledger, forest, traced, before).steps()
    taken = {step.task_id for step in steps if step.task_id} | ledger.by_id.keys()
    asked = any(task.wrote(INTERRUPT) for task in ledger.tasks)
    steps += steps_of_spans_alone(forest, places, taken, pauses=not asked, breakpoints=not ledger.tasks)
    steps += list(steps_of_approvals(approvals, steps))
    known = with_handoffs(with_results(with_arguments(with_changes(ordered(steps), ledger))), forest)
    return with_invocations(known, forest, ledger)


def _span_of_time(forest: Forest, ledger: Ledger, steps: Iterable[Step]) -> tuple[int | None, int | None]:
    spans = [node.span for node in forest.nodes.values()]
    made = [one.created_ns for one in ledger.checkpoints]
    starts = [time for time in (*(span.start_ns for span in spans), *made, *(step.started_ns for step in steps)) if time is not None]
    ends = [time for time in (*(span.end_ns for span in spans), *made) if time is not None]
    return min(starts, default=None), max(ends, default=None)


def _agent(forest: Forest, ledger: Ledger) -> str | None:
    """The root agent's name; else the service's, else what the graph's own metadata calls it."""
    tops = _first(node.reading.agent for node in forest.tops)
    agents = _first(node.reading.agent for node in forest.nodes.values())
    service = _first(service_of(node.span) for node in forest.tops)
    named = _first(str(one.metadata.get(key) or "") for one in ledger.checkpoints for key in AGENT_METADATA)
    return tops or agents or service or named


def _root_name(forest: Forest) -> str | None:
    """The trace's name, or else the root span's; where the root is plumbing (HTTP, RPC), that of the agent's own root below it."""
    if not forest.tops:
        return None
    if told := _first(node.reading.trace_name for node in forest.tops):
        return told
    root = next((node for node in forest.tops if node.span.parent_span_id is None), forest.tops[0])
    if root.reading.kind != "plumbing":
        return root.span.name
    agents = [node for node in forest.nodes.values() if node.reading.kind == "agent"]
    inside = next(iter(agents or forest.calls), root)
    own = [inside, *itertools.takewhile(lambda above: above.reading.kind != "plumbing", forest.above(inside))]
    return own[-1].span.name


def _agents(readings: Iterable[Reading]) -> tuple[str, ...]:
    """The names of the agents' own spans; where no agent has one, what the spans of calls say whose they are."""
    named = [reading for reading in readings if reading.agent]
    own = [reading for reading in named if reading.kind == "agent"]
    return tuple(dict.fromkeys(str(reading.agent) for reading in own or named))


def _tools(readings: Iterable[Reading]) -> tuple[str, ...] | None:
    offered = [reading.tools for reading in readings if reading.tools is not None]
    return tuple(dict.fromkeys(tool for tools in offered for tool in tools)) if offered else None


def _schemas(readings: Iterable[Reading]) -> dict[str, Json]:
    """The schemas of the tools offered; one that changed meanwhile is left out, since nobody can say which of them a call was to keep to."""
    found: dict[str, Json] = {}
    changed = set[str]()
    for name, schema in (pair for reading in readings for pair in reading.schemas.items()):
        if found.setdefault(name, schema) != schema and _fields(found[name]) != _fields(schema):
            changed.add(name)
    return {name: schema for name, schema in found.items() if name not in changed}


def _fields(schema: Json) -> Json:
    """A schema without its own description, which a tool may write anew for each call."""
    return {key: value for key, value in schema.items() if key != "description"} if isinstance(schema, dict) else schema


def _notes(lineage: Lineage, ledger: Ledger, number: int) -> Iterable[str]:
    for reason, count in Counter(one.note for one in ledger.checkpoints if one.note).items():
        yield f"{reason}: {count} checkpoint{'s' if count > 1 else ''} not decoded" if "only" not in reason else f"{reason} of {count} checkpoints"
    for reason, count in Counter(write.note for one in ledger.checkpoints for write in one.writes if write.note).items():
        yield f"{reason}: {count} write{'s' if count > 1 else ''}"
    if number and lineage.root:
        yield f"this thread id has other checkpoints that don't descend from {lineage.root}: they are a run of their own"


def _unkept(ledger: Ledger) -> Iterable[str]:
    """What is said of super-steps that left no checkpoint: of what they did, spans alone tell."""
    known = [(one, ledger.parent(one)) for one in ledger.roots if one.source == "loop" and one.step is not None]
    gaps = [
        one.step - ((before.step or 0) if before else -1)
        for one, before in known
        if one.step is not None and (before.source != "input" if before else not one.parent_checkpoint_id)
    ]
    if count := sum(max(0, gap - 1) for gap in gaps):
        alone = "" if ledger.tasks else ", nor any task's writes: what was done in them is told by spans, where there are some"
        yield f"{count} super-steps {UNKEPT} (the thread keeps the state at a run's end only, durability='exit'){alone}; they can't be re-run"


def _branches(ledger: Ledger, steps: Iterable[Step]) -> Iterable[str]:
    """What is said of a thread that was taken up again from an earlier checkpoint: its steps are no one line."""
    if left := Branches(ledger).left(steps):
        told = ", ".join(map(str, left[:STEPS_SHOWN])) + (", …" if len(left) > STEPS_SHOWN else "")
        yield f"branches: the thread was taken up again from an earlier checkpoint; what it stands on now is without step{'s' if len(left) > 1 else ''} {told}"


def _shared_id(lineage: Lineage, readings: Readings) -> Iterable[str]:
    """What is said of a conversation's id that several services gave, or traces that are alike in nothing else."""
    if lineage.strangers:
        others = ", ".join(lineage.strangers[:STRANGERS_SHOWN]) + (", …" if len(lineage.strangers) > STRANGERS_SHOWN else "")
        yield f"traces of {others} have this conversation's id too and share nothing else with these of {lineage.service}: each is a run of its own"
    elif not lineage.checkpoints and (count := unlike(lineage.spans, readings)) > 1:
        yield f"joined by the conversation's id alone: {count} groups of traces with no service, agent or name of a root in common; they may be unrelated"


def _hung(lineage: Lineage) -> Iterable[str]:
    """What is said of the spans of several sessions in one trace."""
    if lineage.host:
        yield f"hung in trace {lineage.host} of another session, below what had ended before it began: a run of its own"
    elif lineage.guests:
        count = len(lineage.guests)
        shown = ", ".join(lineage.guests[:STRANGERS_SHOWN]) + (", …" if count > STRANGERS_SHOWN else "")
        others = f"session {shown}, which is a run" if count == 1 else f"sessions {shown}, each of which is a run"
        yield f"in this trace, below what had ended before they began, hang spans of {others} of its own"


def _rootless(forest: Forest) -> Iterable[str]:
    """What is said of traces whose root never came: cut off, still to come, or left to another service. Their status is only what is known."""
    traces = {node.span.trace_id for node in forest.tops if node.span.parent_span_id}
    whole = {node.span.trace_id for node in forest.tops if not node.span.parent_span_id}
    if count := len(traces - whole):
        yield f"{count} trace{'s' if count > 1 else ''} without a root span: the file may be cut off, or the process died before it ended"


def _metadata(ledger: Ledger, forest: Forest) -> dict[str, Json]:
    """The user's own keys in the graph's metadata, as the first checkpoint has them, which version of the service it was, and who used it."""
    first = next(iter(ledger.roots), None)
    version = _first(str(node.span.resource.get(VERSION) or "") for node in forest.tops)
    user = _first(str(node.span.attributes.get(key) or "") for key in USER_ATTRIBUTES for node in forest.tops)
    last = str(ledger.head.metadata.get(LAST_SAID) or "") if ledger.head else None
    told = {VERSION: version, USER: user, LAST_SAID: last, ANSWERED: None if ledger.checkpoints else _answer(forest)}
    returned = {} if ledger.returned is None else {RETURNED: ledger.returned}
    return {name: said for name, said in told.items() if said} | returned | _own(first)


def _answer(forest: Forest) -> str | None:
    """What the last of the outermost agents says it came to."""
    agents = [node for node in forest.nodes.values() if node.reading.kind == "agent"]
    outermost = (node for node in reversed(agents) if not any(above.reading.kind == "agent" for above in forest.above(node)))
    output = next((node.reading.output for node in outermost), None)
    return output.content if output and not output.tool_calls else None


def _own(first: Checkpoint | None) -> dict[str, Json]:
    return {key: value for key, value in first.metadata.items() if key not in ("source", "step", "parents", "thread_id")} if first else {}


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)
