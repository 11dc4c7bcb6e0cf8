"""Reads what a re-run did as a run: the steps that stand of its parent, then its own, told apart by how each was answered."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from workbench.model import PASSED_ON, UNCALLED, CallRecord, Checkpoint, Json, Run, Span, Step, canonical
from workbench.normalise import normalise
from workbench.normalise.recorded import messages_in
from workbench.normalise.timeline import with_arguments
from workbench.normalise.traced import QUESTION
from workbench.reading.tasks import task_of
from workbench.replay.fence.journal import ID_ATTRIBUTE
from workbench.replay.protocol import Answer
from workbench.replay.recording.cassette import asked_of
from workbench.replay.recording.cut import Cut, fresh
from workbench.replay.recording.nesting import around, inside_tools, tasks_of

CARRIED = {"model": ("name", "model", "output", "decision", "tokens", "cost_usd"), "retrieval": ("name", "result")}
"""What a served step takes over from the recording: the answer was that very one, and spans of a re-run tell less than an instrumentor's."""
CALLS = frozenset(("model", "tool", "retrieval"))
CALLS_UNKNOWN = "what its node called then was not recorded"
"""The note of a re-run's steps whose node is known as a whole in the recording, from checkpoints alone."""


@dataclass(frozen=True)
class Own:
    """A step that a fork made itself, and the recorded step that answered it."""

    step: Step
    record: CallRecord | None
    task: str | None = None
    """The recorded task that the step's own task repeated."""
    held: int | None = None
    """The recorded step that this is, where it was not made again but stands in what was served as a whole."""
    place: int | None = None
    """The recorded step whose place it has, also where nothing was served."""

    @property
    def origin(self) -> int | None:
        """The index of the recorded step that was served."""
        return self.record.from_step if self.record else self.held

    @property
    def node(self) -> bool:
        """Whether it tells of a node whose recorded writes stood for it."""
        return self.record is not None and self.record.kind == "node" and self.record.answer == "served"


Key = tuple[str | None, str, str, str]
"""What tells the steps of a run apart that nothing answered: task, kind, name, and the question that is passed on."""


@dataclass(frozen=True)
class Assembled:
    """All steps of a fork, numbered; how many leading ones are its parent's; and the parent's steps that stand in it, since what held them was served."""

    steps: tuple[Step, ...]
    prefix: int
    standing: frozenset[int]


def assemble(parent: Run, again: Collection[int], answer: Answer, cut: Cut, checkpoints: Sequence[Checkpoint], spans: Iterable[Span] = ()) -> Assembled:
    """The steps of a fork.

    `again` are the parent's steps that were done again, `checkpoints` those of the fork's thread, `spans` those that the parent was read from.
    """
    own = list(_stood(list(_own(parent, again, answer, cut, checkpoints)), _passed_on(parent, again)))
    questions = _same_questions(own, parent)
    own = list(_told_of(own, parent, questions))
    before = min((one.step.invocation for one in own if one.record), default=0)
    held = _held(own, parent, again, answer, spans)
    own = list(_beside_nodes(list(_uncalled(list(_with_held(own, held, parent)), parent, answer)), parent))
    first = min((parent.step(index).invocation for index in again), default=0)
    steps = [
        one if isinstance(one, Step) else _told(one, parent).model_copy(update={"invocation": _invocation(one, parent, first - before)})
        for one in _in_recorded_order(own, parent, [one for one in parent.steps if one.index not in again], questions)
    ]
    shared = (number for number, (one, other) in enumerate(zip(steps, parent.steps, strict=False)) if one is not other)
    prefix = next(shared, min(len(steps), len(parent.steps)))
    numbered = tuple(one if one.index == number else one.model_copy(update={"index": number}) for number, one in enumerate(steps))
    whole = _whole(answer, parent)
    within = {one.index for one in parent.steps if one.task_id in whole and one.kind != "human"}
    return Assembled(_with_arguments(numbered), prefix, frozenset(held) | within)


def _with_arguments(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps, each call that only its answer tells of with what its model gave: that may have been said before the cut."""
    lacking = {one.index for one in steps if one.kind == "tool" and one.tool_call and one.tool_call.arguments is None and one.tool_call.raw is None}
    return tuple(told if told.index in lacking else one for one, told in zip(steps, with_arguments(steps), strict=True)) if lacking else steps


def _own(parent: Run, again: Collection[int], answer: Answer, cut: Cut, checkpoints: Sequence[Checkpoint]) -> Iterator[Own]:
    numbers = {span.span_id: int(span.attributes[ID_ATTRIBUTE]) for span in answer.spans if ID_ATTRIBUTE in span.attributes}
    recorded = dict(answer.tasks)
    people = [record for record in answer.records if record.kind == "human"]
    updates = _updates(answer, parent)
    standing = [raw for step in parent.steps if step.index not in again for raw in messages_in(list(step.changes.values()))]
    for run in normalise(answer.spans, fresh(cut, checkpoints), before=standing):
        for step in run.steps:
            if cut.keeps(step):
                continue
            number = numbers.get(step.span_id or "")
            task = recorded.get(step.task_id or "", step.task_id)
            asked = step.kind == "human" and PASSED_ON not in step.notes
            record = _take(people, step, task, parent) if asked else updates.get(task) if number is None else answer.records[number]
            yield Own(_as_called(step, task, parent), record, task)


def _uncalled(own: Sequence[Own], parent: Run, answer: Answer) -> Iterator[Own]:
    """The steps, those of calls that a node's code answered itself, while it ran, with a note of that: the tool is one whose calls are seen, and none was."""
    stood = {parent.step(one.from_step).task_id for one in answer.records if one.kind == "node" and one.answer == "served" and one.from_step is not None}
    seen = {one.name for one in answer.records if one.kind == "tool"} | {one.name for one in parent.of_kind("tool") if one.span_id}
    for one in own:
        lone = one.record is None and one.held is None and one.step.span_id is None and not one.step.notes
        if lone and one.step.kind == "tool" and one.step.status != "interrupted" and one.step.name in seen and one.task not in stood:
            yield replace(one, step=one.step.model_copy(update={"notes": (UNCALLED,)}))
        else:
            yield one


def _beside_nodes(own: Sequence[Own], parent: Run) -> Iterator[Own]:
    """The steps, each call of a node with a note where checkpoints alone tell of that, and behind them such a step of the node as the recording has."""
    nodes = {one.task_id: one for one in parent.steps if one.kind == "node" and one.span_id is None}
    asking = () if any(one.span_id for one in parent.steps) else (one.task_id for one in parent.of_kind("human") if one.tool_call)
    told = {one.task_id for one in parent.steps if one.kind in CALLS and CALLS_UNKNOWN not in one.notes}
    untold = {*nodes, *asking} - told - {one.task for one in own if one.step.kind == "node"}
    for one in own:
        if one.task not in untold or one.step.kind not in CALLS or one.held is not None:
            yield one
            continue
        node = nodes.get(one.task) if one.step.changes else None  # which stand with the last step of a task that came to its end
        step = one.step.model_copy(update={"notes": (*one.step.notes, CALLS_UNKNOWN), "changes": {} if node else one.step.changes})
        yield replace(one, step=step)
        if node is not None:
            yield Own(_whole_of(one.step, node), None, one.task)


def _whole_of(call: Step, node: Step) -> Step:
    """The step of a node, as the recording has one, where the last of its calls stands."""
    own = {name: getattr(call, name) for name in ("namespace", "checkpoint_id", "task_id", "changes", "invocation", "depth", "ended_ns")}
    return node.model_copy(update={**own, "started_ns": call.ended_ns})


def _updates(answer: Answer, parent: Run) -> dict[str | None, CallRecord]:
    """What people had put into the state and what was put in again, by the recorded task."""
    put = ((parent.step(one.from_step).task_id, one) for one in answer.records if one.kind == "update" and one.from_step is not None)
    return {task: one for task, one in put if task is not None}


def _as_called(step: Step, task: str | None, parent: Run) -> Step:
    """A node's step by the name that the recording has for its task: no checkpoint holds that of a `@task`, and a cached one has no span."""
    recorded = next((one for one in parent.steps if one.task_id == task and one.kind == "node"), None) if step.kind == "node" else None
    return step if recorded is None else step.model_copy(update={"name": recorded.name, "node": recorded.node})


def _take(people: list[CallRecord], step: Step, task: str | None, parent: Run) -> CallRecord | None:
    """The record of a person's answer, which has no span of its own: the next one to the same question, of the same recorded task if there is one.

    Of a question whose words were lost, the task alone tells.
    """
    if step.tool_call is None or step.status != "ok":
        return None
    asked = asked_of(step)
    same = [one for one in people if canonical(one.arguments) == canonical(asked)]
    own = [one for one in (people if asked is None else same) if one.from_step is not None and parent.step(one.from_step).task_id == task]
    found = next(iter([*own, *same]), None)
    if found is not None:
        people.remove(found)
    return found


def _told(one: Own, parent: Run) -> Step:
    """The step with how it was answered among its notes, and what the recording knew of a served answer beyond the answer."""
    if one.record is None:
        return one.step
    says = [one.record.says] if one.record.says and one.record.answer == "served" else []
    step = _worded(one.step, one.record).model_copy(update={"notes": (*one.step.notes, one.record.answer, *says)})
    if one.record.answer != "served" or one.origin is None:
        return step
    recorded = parent.step(one.origin)
    if one.record.kind == "update":
        return step.model_copy(update={"tool_call": recorded.tool_call})
    return step.model_copy(update={name: getattr(recorded, name) for name in CARRIED.get(step.kind, ())} | _own_question(step, recorded))


def _worded(step: Step, record: CallRecord) -> Step:
    """A question in the words in which it was put: of those before a task's last, LangGraph does not keep them."""
    if step.kind != "human" or step.tool_call is None or asked_of(step) is not None:
        return step
    return step.model_copy(update={"tool_call": step.tool_call.model_copy(update={"arguments": {QUESTION: record.arguments}})})


def _own_question(step: Step, recorded: Step) -> dict[str, Json]:
    """A question in the recorded words, under the id that it has in the fork, by which the tasks around tell it."""
    if step.kind != "human" or step.tool_call is None or recorded.tool_call is None:
        return {}
    return {"tool_call": recorded.tool_call.model_copy(update={"call_id": step.tool_call.call_id})}


def _invocation(one: Own, parent: Run, later: int) -> int:
    """In which start a step was made: that of the recorded one whose place it has; `later` is by how many starts the fork's own count is behind."""
    return parent.step(one.place).invocation if one.place is not None else max(0, one.step.invocation + later)


# ---- what was served as a whole


def _passed_on(parent: Run, again: Collection[int]) -> frozenset[str | None]:
    """The tasks of which there is nothing to tell but a question from inside, which stands: that they go on now is no step of theirs."""
    standing = {one.task_id for one in parent.steps if PASSED_ON in one.notes and one.index not in again}
    return frozenset(standing - {one.task_id for one in parent.steps if one.kind == "node"})


def _stood(own: Sequence[Own], passed_on: Collection[str | None]) -> Iterator[Own]:
    """All but the nodes that only went on, and those that failed inside of one whose recorded writes stood for it then."""
    whole = {one.step.task_id for one in own if one.node}
    for one in own:
        inside = any(task in whole for task in tasks_of(one.step)[:-1])
        bare = one.record is None and one.step.kind == "node"
        if not (bare and ((inside and one.step.status == "error") or one.task in passed_on)):
            yield one


def _held(own: Sequence[Own], parent: Run, again: Collection[int], answer: Answer, spans: Iterable[Span]) -> dict[int, int | str]:
    """The parent's steps that were made inside of what was served as a whole, and so not made again: each with the tool's step or the node's task."""
    served = {one.from_step: one.kind for one in answer.records if one.from_step is not None and one.answer == "served"}
    whole = _whole(answer, parent)
    inner, made = inside_tools(parent, spans), Counter((one.task, one.step.kind, one.step.name) for one in own)
    found: dict[int, int | str] = {}
    for step in parent.steps:
        if step.index not in again or step.kind == "human" or served.get(step.index, "node") != "node":
            continue
        tool = next((one for one in around(inner, step.index) if served.get(one) == "tool" and one not in answer.opened), None)
        task = next((task for task in reversed(tasks_of(step)) if task in whole), None)
        if tool is not None:
            found[step.index] = tool
        elif task is not None and made[step.task_id, step.kind, step.name]:
            made[step.task_id, step.kind, step.name] -= 1
        elif task is not None:
            found[step.index] = task
    return found


def _whole(answer: Answer, parent: Run) -> frozenset[str]:
    """The recorded tasks whose writes were served as a whole. One that stopped to ask has no step of its own beside the question.

    Up to that question alone they stood for one whose code then ran, since it was given another answer.
    """
    ran = {parent.step(one.from_step).task_id for one in answer.records if (one.kind, one.answer) == ("human", "edited") and one.from_step is not None}
    recorded, found = dict(answer.tasks), set[str]()
    for span in answer.spans:
        number = span.attributes.get(ID_ATTRIBUTE)
        record = None if number is None else answer.records[int(number)]
        if record is not None and (record.kind, record.answer) == ("node", "served"):
            task = task_of(json.loads(str(span.attributes["metadata"])).get("langgraph_checkpoint_ns")) or ""
            found.add(recorded.get(task, task))
    return frozenset(found - ran)


def _with_held(own: Sequence[Own], held: Mapping[int, int | str], parent: Run) -> Iterator[Own]:
    """The fork's own steps, each followed by the recorded ones that it stands for. A served node is no step of its own where its calls are."""
    kinds = {(one.task_id, one.kind) for one in parent.steps}
    nodes = {one.task for one in own if one.node}
    left = dict(held)
    for one in own:
        keys = {one.task} if one.node else {one.origin} if one.task in nodes else {one.origin, one.task}
        below = [parent.step(step) for step, stands in left.items() if stands in keys]
        left = {step: stands for step, stands in left.items() if stands not in keys}
        if not (below and one.node and one.step.kind == "node" and (one.task, "node") not in kinds) and not _retold(one, below):
            yield one
        for step in below:
            by_result = held[step.index] == one.origin
            note = f"made inside {one.step.name if by_result else step.node}, whose recorded {'result' if by_result else 'writes'} stood for it"
            kept = step.model_copy(update={"notes": (*step.notes, "served", note)})
            yield Own(kept, None, step.task_id, held=step.index)


def _retold(one: Own, below: Iterable[Step]) -> bool:
    """Whether a step is a model's answer that only the task's recorded writes tell of, and the recording knows the call: that stands there."""
    return one.record is None and one.step.kind == "model" and one.step.span_id is None and any(step.kind == "model" and step.span_id for step in below)


# ---- what was asked


def _same_questions(own: Sequence[Own], parent: Run) -> dict[str, str]:
    """Of the questions that the fork asked, by their ids, the ids of the recorded ones that they repeat."""
    asked = ((one.step.tool_call, parent.step(one.origin).tool_call) for one in own if one.step.kind == "human" and one.origin is not None)
    return {call.call_id: recorded.call_id for call, recorded in asked if call and recorded and call.call_id and recorded.call_id}


def _told_of(own: Iterable[Own], parent: Run, questions: Mapping[str, str]) -> Iterator[Own]:
    """All but what a task passed on from inside where the recording tells nothing of that: LangGraph keeps the last that a task passed on.

    A task that a fork reaches at another super-step than the recording has another id: the nodes around and the question tell which it repeats.
    """
    told = {(_path(one), _question(one)): one.task_id for one in parent.steps}
    for one in own:
        asked = questions.get(_question(one.step))
        if asked is None:
            yield one
        elif (_path(one.step), asked) in told:
            yield replace(one, task=told[_path(one.step), asked])


def _path(step: Step) -> tuple[str | None, ...]:
    """The nodes that a step stands in, outermost first."""
    return (*(part.partition(":")[0] for part in (step.namespace or "").split("|")), step.node)


def _question(step: Step) -> str:
    """The id of the question that a step passes on from inside; empty for any other step."""
    return (step.tool_call.call_id if step.tool_call and PASSED_ON in step.notes else None) or ""


# ---- order


def _in_recorded_order(own: list[Own], parent: Run, standing: Sequence[Step], questions: Mapping[str, str]) -> list[Step | Own]:
    """The steps that stand, then the fork's own by super-steps; within one, in the order in which the parent recorded them.

    Which of several parallel branches comes first in a re-run says nothing. Branches that stand beside the cut belong to its super-step.
    """
    first, *rest = list(_super_steps(own)) or [[]]
    placed: list[tuple[float, Step | Own]] = [(float(one.index), one) for one in standing]
    placed += _placed(first, parent, questions, standing)
    ordered = [one for _, one in sorted(placed, key=lambda pair: pair[0])]
    for together in rest:
        ordered += [one for _, one in sorted(_placed(together, parent, questions), key=lambda pair: pair[0])]
    return ordered


def _super_steps(own: list[Own]) -> Iterator[list[Own]]:
    """The steps that ran from one root checkpoint, together."""
    places = {one.step.task_id: one.step.checkpoint_id for one in own if one.held is None and not one.step.namespace}
    found: list[Own] = []
    current: str | None = None
    for one in own:
        place = places.get(_root_task(one.step), current)
        if found and place != current:
            yield found
            found = []
        current = place
        found.append(one)
    if found:
        yield found


def _root_task(step: Step) -> str | None:
    """The task of the root graph that a step belongs to."""
    return step.namespace.partition("|")[0].rpartition(":")[2] if step.namespace else step.task_id


def _placed(together: list[Own], parent: Run, questions: Mapping[str, str], standing: Sequence[Step] = ()) -> list[tuple[float, Own]]:
    """Each step with the index of the recorded one it stands for; what has none stays before or behind its neighbours in the same branch.

    It stays behind what stands in its own subgraph, too: that led to the cut.
    """
    behind: dict[str | None, float] = {one.namespace: one.index for one in standing if one.namespace}
    recorded = _places(together, parent)
    branches: dict[str | None, list[Own]] = {}
    for one in together:
        branches.setdefault(_root_task(one.step), []).append(one)
    found = []
    for members in branches.values():
        known = [_recorded_index(one, recorded, questions) for one in members]
        last = min((index for index in known if index is not None), default=len(parent.steps)) - 0.5
        for one, index in zip(members, known, strict=True):
            last = max(last, behind.get(one.step.namespace, last) if index is None else float(index))
            found.append((last if index is None else float(index), replace(one, place=index)))
    return found


def _places(together: Sequence[Own], parent: Run) -> dict[Key, deque[int]]:
    """The recorded steps that are nobody's origin, by what tells them apart, in turn."""
    taken = {one.origin for one in together}
    found: dict[Key, deque[int]] = {}
    for one in parent.steps:
        if one.task_id and one.index not in taken:
            found.setdefault((one.task_id, one.kind, one.name, _question(one)), deque()).append(one.index)
    return found


def _recorded_index(one: Own, recorded: Mapping[Key, deque[int]], questions: Mapping[str, str]) -> int | None:
    if one.origin is not None:
        return one.origin
    asked = _question(one.step)
    left = recorded.get((one.task, one.step.kind, one.step.name, questions.get(asked, asked)))
    if not left and one.step.kind == "model":  # its name may be what was changed, and checkpoints alone may not know it
        left = next((places for (task, kind, *_), places in recorded.items() if (task, kind) == (one.task, "model") and places), None)
    return left.popleft() if left else None
