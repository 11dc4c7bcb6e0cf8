"""Steps from what tasks wrote, merged with those their spans made: model answers, tool results, questions to a person, errors, nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from workbench.model import NO_TOKENS, PASSED_ON, Json, Message, Step, ToolCall
from workbench.normalise.branches import UPDATED, Branches
from workbench.normalise.forest import Forest, Node
from workbench.normalise.joining import Place
from workbench.normalise.ledger import ERROR, INTERRUPT, RESUME, Ledger, Task, depth_of, is_start
from workbench.normalise.recorded import asked_of, by_model, calls_of, model_of, same_answer, says_nothing, signature, spoken_in
from workbench.normalise.standing import Standing, removes_all
from workbench.normalise.traced import QUESTION, decision_of, status_of, where
from workbench.normalise.unrecorded import answers_by_id, questions_of, resumed_with
from workbench.reading import serde
from workbench.reading.messages import message_of, tool_call_of
from workbench.reading.tasks import INPUT, TASKS, UPDATE

UNNAMED = "task"
TOOLS = "tools"
"""How LangGraph's own agents, and most others, call the node that runs tools."""
VALUES_IN_STATE = "a person changed the state; the values were not recorded apart from it"
"""The note of a change of the state of which no write was kept."""
MESSAGES = "messages"
"""The channel whose reducer takes bare text for a person's message."""


class Recorded:
    """Goes through the tasks of a ledger as they finished, so that a message a parent repeats after its subgraph is not taken for a new one."""

    def __init__(self, ledger: Ledger, forest: Forest, traced: Sequence[Step], before: Iterable[dict[str, Json]] = ()) -> None:
        """Sort the traced steps by the task they ran in. `before` are the messages that stood before the first task."""
        self.ledger, self.forest = ledger, forest
        self.by_task: dict[str, list[Step]] = {}
        self.loose: list[Step] = []
        for step in traced:
            self.by_task.setdefault(step.task_id, []).append(step) if step.task_id else self.loose.append(step)
        self.models_traced = any(step.kind == "model" for step in traced)
        self.branches = Branches(ledger)
        self._standings = {"": Standing(before)}
        self._handed_over: list[Step] = []
        self._aside: list[str] = []
        self._asked_at: dict[str, int] = {}

    def steps(self) -> list[Step]:
        """All steps: each task's own, and the traced ones that ran in no recorded task."""
        found: dict[int, list[Step]] = {}
        for task in self.ledger.tasks:
            for question in map(_interrupt_id, task.of(INTERRUPT)):
                self._asked_at[question] = max(self._asked_at.get(question, 0), task.checkpoint.created_ns or 0)
        for number, task in self._finished():
            found[number] = self._of_input(task) if is_start(task) else self._of_update(task) if task.node == UPDATE else self._of_task(task)
        rest = [step for steps in self.by_task.values() for step in steps]
        written = [step for number in sorted(found) for step in found[number]]
        return list(self._updates()) + written + self._handed_over + rest + self.loose

    def _finished(self) -> list[tuple[int, Task]]:
        """Number and task, in the order in which the tasks finished: what runs inside a task finishes before it."""
        return sorted(
            enumerate(self.ledger.tasks), key=lambda pair: (self.ledger.next_ns(pair[1].checkpoint), -depth_of(pair[1].checkpoint.namespace), pair[0])
        )

    def _of_task(self, task: Task) -> list[Step]:
        steps = self._as_sent(task, self.by_task.pop(task.task_id or "", []))
        spans = self.forest.by_task.get(task.task_id or "", [])
        for raw in self._fresh(task):
            message = message_of(raw)
            if message is not None and message.role == "assistant" and by_model(raw):
                self._merge_answer(steps, task, raw, message, spans)
            elif message is not None and message.role == "tool":
                self._merge_result(steps, task, raw, message, spans)
        humans = list(self._humans(task, spans))
        steps = [*self._waiting_step(task, steps), *humans, *steps]
        if task.wrote(ERROR) and not _ends_in_error(steps):
            steps.insert(0 if task.outputs else len(steps), self._failed(task, spans))  # one that wrote something did so when it was done again
        if not steps or (task.wrote(ERROR) and task.outputs and all(step.status == "error" for step in steps)):
            steps.append(self._node(task, spans))
        return steps

    def _of_update(self, task: Task) -> list[Step]:
        """What a person put into the state: whatever it says is no model's word and no tool's result."""
        self._fresh(task)
        spans = self.forest.by_task.get(task.task_id or "", [])  # of the attempt whose task it finished
        step = self._plain(task, "node", UPDATED, ())
        return [step.model_copy(update={"started_ns": max((one.span.end_ns or 0 for one in spans), default=0) or step.started_ns})]

    def _standing(self, task: Task) -> Standing:
        """What stands on the branch of the thread that a task is on; a new one begins with what stood where it left."""
        before = ""
        for branch in self.branches.way_to(self.branches.of(task)):
            if branch not in self._standings:
                self._standings[branch] = self._standings[before].copy()
            before = branch
        return self._standings[before]

    def _updates(self) -> Iterator[Step]:
        """A step for each time a person changed the state of which no write was kept: the checkpoint that it made has the values."""
        for made in self.ledger.roots:
            before = self.ledger.parent(made)
            if made.source == "update" and before is not None and not any(map(_kept_of_update, self.ledger.tasks_at(before))):
                step = self._plain(Task(None, UPDATE, before, ()), "node", UPDATED, ())
                yield step.model_copy(update={"started_ns": made.created_ns, "notes": (VALUES_IN_STATE,)})

    def _as_sent(self, task: Task, steps: list[Step]) -> list[Step]:
        """The steps, the tool's with the id of the one call that the task was sent to make: of equal calls at once, no order tells which is which."""
        lacking = any(step.kind == "tool" and step.tool_call and step.tool_call.call_id is None for step in steps)
        asked = asked_of(self.ledger.packet(task)) if lacking else None
        return [_identified(step, asked) for step in steps] if asked else steps

    def _fresh(self, task: Task) -> list[dict[str, Json]]:
        """The messages of a task that no task before it, and none of its subgraphs', had written."""
        inside = {signature(raw) for other in self.ledger.inside(task) for raw in other.messages}
        fresh = self._standing(task).fresh(task.messages, removed=any(removes_all(write.value) for write in task.outputs))
        return [raw for raw in fresh if not (inside and signature(raw) in inside)]

    def _merge_answer(self, steps: list[Step], task: Task, raw: dict[str, Json], message: Message, spans: Sequence[Node]) -> None:
        models = [number for number, step in enumerate(steps) if step.kind == "model"]
        found = next((number for number in models if same_answer(steps[number].output, message)), None)
        if found is None and len(models) == 1 and says_nothing(steps[models[0]].output):
            found = models[0]
        if found is not None:
            steps[found] = _answered(steps[found], raw, message)
        elif not models and not (self.models_traced and spans):
            step = self._plain(task, "model", model_of(raw) or "model", spans)
            steps.append(_answered(step.model_copy(update={"model": model_of(raw)}), raw, message))

    def _merge_result(self, steps: list[Step], task: Task, raw: dict[str, Json], message: Message, spans: Sequence[Node]) -> None:
        tools = [number for number, step in enumerate(steps) if step.kind == "tool" and step.tool_call and step.status != "interrupted"]
        same = [number for number in tools if (call := steps[number].tool_call) and call.call_id == message.tool_call_id]
        unnamed = [number for number in tools if (call := steps[number].tool_call) and call.call_id is None and message.name in (None, call.name)]
        content = raw.get("content")
        result = content if isinstance(content, str | list) else message.content
        if same or unnamed:
            number = (same or unnamed)[-1 if same else 0]
            steps[number] = _with_result(steps[number], result, message)
        elif asking := self._asking_inside(task, message.tool_call_id):
            self._merge_handed_over(asking, result, message)
        else:
            name = message.name or "tool"
            call = ToolCall(name=name, call_id=message.tool_call_id)
            asked = [one.ended_ns or one.started_ns or 0 for one in steps if one.kind == "model"]
            step = self._plain(task, "tool", name, spans)
            began = max([step.started_ns or 0, *asked]) or None  # a model's own task may hold its answer's result, as of a structured response
            steps.append(_with_result(step.model_copy(update={"tool_call": call, "started_ns": began}), result, message))

    # ---- tools that went on in the graph around

    def _asking_inside(self, task: Task, call_id: str | None) -> Task | None:
        """The task of a subgraph in this one that asked for a call. Where the answer stands out here, the call left the subgraph (`Command.PARENT`)."""
        inside = reversed(self.ledger.inside(task)) if call_id else ()
        return next((one for one in inside if any(call_id in calls_of(raw) for raw in one.messages)), None)

    def _merge_handed_over(self, asking: Task, result: Json, message: Message) -> None:
        """Put the answer to the step of the call's span, else to a step of its own, made from the state that the call was asked for in."""
        if (found := self._traced_call(asking.checkpoint.namespace, message)) is not None:
            steps, number = found
            steps[number] = _with_result(steps[number], result, message)
            return
        name = message.name or "tool"
        begun = self.ledger.after(asking.checkpoint) or asking.checkpoint
        step = self._plain(Task(None, _sent_to(asking, message.tool_call_id), begun, ()), "tool", name, ())
        call = ToolCall(name=name, call_id=message.tool_call_id)
        self._handed_over.append(_with_result(step.model_copy(update={"tool_call": call}), result, message))

    def _traced_call(self, namespace: str, message: Message) -> tuple[list[Step], int] | None:
        """The tool step in a subgraph that a span made of the call which a message answers, among its task's steps: by its id, else by its name."""
        traced = [(steps, number, step) for steps in self.by_task.values() for number, step in enumerate(steps) if step.namespace == namespace]
        calls = [(steps, number, step.tool_call) for steps, number, step in traced if step.kind == "tool" and step.tool_call]
        same = [(steps, number) for steps, number, call in calls if call.call_id == message.tool_call_id]
        unnamed = [(steps, number) for steps, number, call in calls if call.call_id is None and message.name in (None, call.name)]
        return next(iter(same or unnamed), None)

    # ---- people

    def _of_input(self, task: Task) -> list[Step]:
        """What a person gave the graph. A subgraph's input is no person's word; input kept aside is written once more by the start."""
        said = [] if task.checkpoint.namespace else [raw for write in task.outputs for raw in spoken_in(write.value, bare=write.channel == MESSAGES)]
        steps = [step for raw in said if (step := self._of_user(task, raw)) is not None]
        self._aside = [signature(raw) for raw in said] if task.node == INPUT else []
        if task.node == INPUT and not steps:
            steps = [self._plain(task, "node", "input", ())]
        return steps

    def _of_user(self, task: Task, raw: dict[str, Json]) -> Step | None:
        message, known = message_of(raw), raw.get("id")
        standing = self._standing(task)
        fresh = known not in standing.ids and signature(raw) not in self._aside
        if known:
            standing.ids.add(str(known))
        if message is None or message.role != "user" or not fresh:
            return None
        return self._plain(task, "human", "user", ()).model_copy(update={"node": None, "output": message})

    def _humans(self, task: Task, spans: Sequence[Node]) -> Iterator[Step]:
        """A step for each question the task stopped to ask. Of questions before the last only the answers are kept; their words, where spans tell them."""
        if not task.wrote(INTERRUPT):
            return
        questions, answers, finished = task.of(INTERRUPT) or [None], *self._answers(task)
        earlier = max(0, len(answers) - len(questions)) if finished else len(answers)
        paused = [node for node in spans if node.reading.interrupted]
        kept = {_interrupt_id(question) for question in questions}
        told = [value for known, value in questions_of(paused) if known is None or known not in kept]
        lost = told if len(told) == earlier else [None] * earlier
        for number in range(earlier):
            question = None if lost[number] is None else {"$type": "Interrupt", "value": lost[number]}
            yield self._human(task, question, (answers[number],), paused[number : number + 1], spans)
        for number, question in enumerate(questions):
            answer = answers[earlier + number : earlier + number + 1] if finished else []
            yield self._human(task, question, tuple(answer) or ((None,) if finished else ()), paused[earlier:], spans)

    def _answers(self, task: Task) -> tuple[list[Json], bool]:
        """The answers a task was given, and whether it went past its last question.

        LangGraph keeps the answers before the last pause with the task; the newest, while nothing followed, only for the checkpoint as a whole, and
        not at all where several were given at once. The number of the first write after them tells how many there were; None is one that is not kept.
        """
        answers, newest = task.of(RESUME), self.ledger.answer(task.checkpoint)
        finished = bool(task.outputs) or task.wrote(ERROR) or self.ledger.went_on(task.checkpoint)
        count = min((write.idx for write in task.outputs), default=0)
        if count == len(answers) + 1:
            answers = answers + (newest[:1] or [None])
        elif not answers and not finished:
            answers = newest[:1]
        return answers, finished or (bool(answers) and not task.of(RESUME))

    def _human(self, task: Task, question: Json, answer: tuple[Json, ...], paused: Sequence[Node], spans: Sequence[Node]) -> Step:
        interrupt_id = _interrupt_id(question)
        asked = [other for other in self.ledger.inside(task) if interrupt_id in map(_interrupt_id, other.of(INTERRUPT))] if interrupt_id else []
        inside = bool(asked)
        if inside and answer == (None,):
            answer = self._answer_inside(asked)
        value = question.get("value") if serde.is_type(question, "Interrupt") else question
        waited = self._waiting_tool([node for other in asked for node in self.forest.by_task.get(other.task_id or "", ())] if inside else paused)
        waiting = None if waited or inside else self._waiting_call(task)
        waited = waiting.name if waiting else waited
        step = self._plain(task, "human", "approval", paused)
        fields: dict[str, Json] = {
            "status": "ok" if answer else "interrupted",
            "tool_call": ToolCall(name=waited or task.node or UNNAMED, arguments={QUESTION: value}, call_id=interrupt_id or None),
            "result": answer[0] if answer else None,
            "notes": (PASSED_ON,) if inside else (),
        }
        if paused:
            asking, last = paused[-1 if inside else 0], paused[-1]  # asked again while others are answered; of those passed on, the last alone are kept
            later = next((node for node in spans if (node.span.start_ns or 0) >= (last.span.end_ns or 0) and node.key != last.key), None)
            fields |= where(asking, _place(task)) | {"started_ns": asking.span.end_ns, "ended_ns": later.span.start_ns if later and answer else None}
            if later and answer == (None,):
                fields["result"] = resumed_with(self.forest, later)
        elif interrupt_id and (at := self._asked_at.get(interrupt_id)):
            fields["started_ns"] = at
        if answer and interrupt_id in self._given:
            fields["result"] = self._given[interrupt_id]
        return step.model_copy(update=fields)

    @cached_property
    def _given(self) -> dict[str, Json]:
        return answers_by_id(self.forest)

    def _waiting_tool(self, paused: Sequence[Node]) -> str | None:
        """The tool that stopped to ask: one of these spans, or inside of one."""
        calls = (call.reading for node in paused for call in (node, *self.forest.below(node)))
        return next((call.tool_name for call in calls if call.interrupted and call.tool_name), None)

    def _waiting_call(self, task: Task) -> ToolCall | None:
        """The call in which a task stopped to ask: the one it was sent to make, or for a node that runs tools the only one that was asked for."""
        if asked := asked_of(self.ledger.packet(task)):
            return asked
        before = self.ledger.parent(task.checkpoint)
        if before is None or task.node not in self._tool_nodes:
            return None
        asking = [raw for other in self.ledger.tasks_at(before) for raw in other.messages if calls_of(raw)]
        calls = [call for raw in asking[-1:] for call in raw["tool_calls"]]
        return tool_call_of(calls[0]) if len(calls) == 1 else None

    @cached_property
    def _tool_nodes(self) -> frozenset[str | None]:
        """The nodes that run tools: those that wrote a tool's answer, and what is called so."""
        return frozenset({TOOLS, *(task.node for task in self.ledger.tasks if any(raw.get("type") == "tool" for raw in task.messages))})

    def _waiting_step(self, task: Task, steps: Sequence[Step]) -> Iterator[Step]:
        """The step of a call that waits for a person inside of its tool, where no span made one."""
        if not task.wrote(INTERRUPT) or any(step.kind == "tool" for step in steps) or self.ledger.inside(task) or self._answers(task)[1]:
            return
        if call := self._waiting_call(task):
            yield self._plain(task, "tool", call.name, ()).model_copy(update={"status": "interrupted", "tool_call": call})

    def _answer_inside(self, asked: Sequence[Task]) -> tuple[Json, ...]:
        """The answer to a question that came from a subgraph: it is kept with the task that asked it."""
        return next((tuple(answers[-1:]) for other in asked if (answers := self._answers(other)[0])), (None,))

    # ---- everything else

    def _failed(self, task: Task, spans: Sequence[Node]) -> Step:
        text = next((str(value) for value in task.of(ERROR) if value is not None), "failed; what with is not decoded")
        inside = any(other.wrote(ERROR) for other in self.ledger.inside(task))
        failed = next((node for node in spans if node.failed), None)
        asked = asked_of(self.ledger.packet(task)) if failed is None else None
        if asked is not None:
            return self._plain(task, "tool", asked.name, ()).model_copy(update={"status": "error", "error": text, "tool_call": asked})
        step = self._node(task, [failed] if failed else ())
        return step.model_copy(update={"status": "error", "error": text, "notes": (PASSED_ON,) if inside else ()})

    def _node(self, task: Task, spans: Sequence[Node]) -> Step:
        own = [node for node in spans if not (task.outputs and node.failed)]  # of a task that came to its end, the attempts that failed are others
        step = self._plain(task, "node", task.node or UNNAMED, own)
        if not own:
            return step.model_copy(update={"started_ns": spans[-1].span.end_ns}) if spans else step
        last = own[-1]
        name = task.node or last.reading.node
        status = "ok" if task.outputs and status_of(last) == "running" else status_of(last)
        return step.model_copy(update={"name": name or UNNAMED, "node": name, "status": status, "error": last.reading.error, **where(last, _place(task))})

    def _plain(self, task: Task, kind: str, name: str, spans: Sequence[Node]) -> Step:
        """A step that only the checkpoint tells of: it began when the checkpoint was there; how long it took was not recorded."""
        created = task.checkpoint.created_ns
        return Step.unchecked(
            index=0,
            kind=kind,
            name=name,
            node=None if task.node in (INPUT, UPDATE) else task.node,
            depth=depth_of(task.checkpoint.namespace),
            started_ns=spans[-1].span.start_ns if spans else created,
            namespace=task.checkpoint.namespace,
            checkpoint_id=task.checkpoint.checkpoint_id,
            task_id=task.task_id,
        )


def _kept_of_update(task: Task) -> bool:
    """Whether these are writes of `update_state`, perhaps in the place of a node's, or may be."""
    return task.node == UPDATE or not task.task_id


def _sent_to(asking: Task, call_id: str | None) -> str | None:
    """The node that a call was sent to by the task that asked for it; None where it was not sent by itself."""
    sent = [write.value for write in asking.outputs if write.channel == TASKS and serde.is_type(write.value, "Send")]
    return next((one.get("node") for one in sent if (asked := asked_of(one.get("arg"))) and asked.call_id == call_id), None)


def _place(task: Task) -> Place:
    return Place(task.task_id, task.checkpoint.namespace, task.checkpoint.checkpoint_id, task.node, "exact")


def _ends_in_error(steps: Sequence[Step]) -> bool:
    return bool(steps) and steps[-1].status == "error"


def _interrupt_id(question: Json) -> str:
    known = question.get("id") or question.get("interrupt_id") if isinstance(question, dict) else None
    return str(known) if known else ""


def _identified(step: Step, asked: ToolCall) -> Step:
    """A tool step with the id of the call that was asked for, where it has none of its own."""
    call = step.tool_call
    if step.kind != "tool" or call is None or call.call_id is not None or call.name != asked.name:
        return step
    return step.model_copy(update={"tool_call": call.model_copy(update={"call_id": asked.call_id})})


def _answered(step: Step, raw: dict[str, Json], message: Message) -> Step:
    """A model step with what the state keeps of its answer: the calls as they were, and what the span did not record."""
    before = step.output
    output = message if before is None else before.model_copy(update=_better(before, message))
    tools = step.decision.alternatives if step.decision else None
    own_tokens = step.tokens != NO_TOKENS
    return step.model_copy(
        update={
            "output": output,
            "decision": decision_of(output, tools),
            "model": step.model or model_of(raw),
            "tokens": step.tokens if own_tokens else message.tokens,
        }
    )


def _better(before: Message, message: Message) -> dict[str, Json]:
    found: dict[str, Json] = {"tool_calls": message.tool_calls or before.tool_calls, "content": before.content or message.content}
    if before.confidence is None:
        found |= {"confidence": message.confidence, "confidence_source": message.confidence_source}
    return found | {"reasoning": before.reasoning or message.reasoning}


def _with_result(step: Step, result: Json, message: Message) -> Step:
    """A tool step with the message its result became in the state. What the span says of an error stands."""
    failed = step.status == "error" or message.error is not None
    call = step.tool_call.model_copy(update={"call_id": step.tool_call.call_id or message.tool_call_id}) if step.tool_call else None
    status = "error" if failed else "ok"
    return step.model_copy(update={"result": result, "tool_call": call, "status": status, "error": step.error or message.error})
