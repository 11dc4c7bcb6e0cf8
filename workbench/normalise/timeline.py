"""Puts steps in order: in time, in invocations, with each task's changes on its last step and lost arguments found again."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeGuard

from workbench.model import HANDOFF, PASSED_ON, Json, Step, ToolCall
from workbench.normalise.branches import UPDATED
from workbench.normalise.forest import Forest
from workbench.normalise.ledger import ERROR, Ledger
from workbench.normalise.recorded import messages_in
from workbench.normalise.traced import TRANSFER
from workbench.reading.messages import message_of
from workbench.reading.tasks import UPDATE

LONE_CALLS = frozenset(("model", "tool", "retrieval", "embedding"))


def ordered(steps: Iterable[Step]) -> list[Step]:
    """The steps by start; one whose start was not recorded stays behind the step it came after."""
    placed: list[tuple[int, Step]] = []
    last = 0
    for step in steps:
        last = last if step.started_ns is None else step.started_ns
        placed.append((last, step))
    return [step for _, step in sorted(placed, key=lambda pair: pair[0])]


def numbered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with their index."""
    return tuple(step.model_copy(update={"index": number}) for number, step in enumerate(steps))


def with_changes(steps: Sequence[Step], ledger: Ledger) -> list[Step]:
    """The steps with what each task wrote to the state, on the task's last step."""
    last = {(step.task_id or f"{step.node} {step.checkpoint_id}", step.name == UPDATED): at for at, step in enumerate(steps) if step.checkpoint_id}
    changed = list(steps)
    for task in ledger.tasks:
        number = last.get((task.task_id or f"{task.node} {task.checkpoint.checkpoint_id}", task.node == UPDATE))
        if number is not None and task.changes:
            changed[number] = changed[number].model_copy(update={"changes": task.changes})
    return changed


def with_arguments(steps: Sequence[Step]) -> list[Step]:
    """Tool steps with the arguments the model gave, and its call's id, where their own record lost them.

    A call is answered by the nearest tool step after it with its id, else with its tool and the same arguments. Ids may repeat: the nearest
    unanswered call wins; where none is, a step without arguments made one again, as a fork of the thread does. Of equal calls that stop to ask a
    person, each is that of one task.
    """
    open_calls: list[ToolCall] = []
    made_before: dict[str | None, ToolCall] = {}
    waiting: dict[str | None, ToolCall] = {}
    known: set[str | None] = set()
    apart = _numbered_apart(steps)
    found: list[Step] = []
    for step in steps:
        open_calls = _asked_for(open_calls, step)
        known.update(call.call_id for call in (step.output.tool_calls if step.kind == "model" and step.output is not None else ()))
        if step.kind != "tool" or step.tool_call is None:
            found.append(step)
            continue
        call = step.tool_call
        if call.call_id not in known and known and (made := _made_up(open_calls, call)):
            call = call.model_copy(update={"call_id": made})
        number = _asked(open_calls, call, waiting, step.task_id)
        if number is None and apart and call.arguments is None:
            number = next((at for at, one in enumerate(open_calls) if one.name == call.name), None)
        if number is None and HANDOFF in step.notes and (number := _transfer(open_calls, call)) is not None:
            call = open_calls[number]
        if number is None:
            again = made_before.get(call.call_id) if call.arguments is None and call.raw is None else None
            found.append(step.model_copy(update={"tool_call": _completed(call, again)}) if again and again.name == call.name else step)
            continue
        asked = open_calls[number] if step.status == "interrupted" else open_calls.pop(number)
        if step.status == "interrupted":
            waiting[step.task_id] = asked
        elif asked.call_id is not None:
            made_before[asked.call_id] = asked
        found.append(step.model_copy(update={"tool_call": _completed(call, asked)}))
    return found


def _asked_for(open_calls: list[ToolCall], step: Step) -> list[ToolCall]:
    """The calls asked for after a step."""
    if step.kind == "model" and step.output is not None:
        return [*open_calls, *step.output.tool_calls]
    changed = _changed(open_calls, step) if step.changes else open_calls
    return _edited(changed, step) if step.kind == "human" and step.tool_call is not None else changed


def _changed(open_calls: list[ToolCall], step: Step) -> list[ToolCall]:
    """The calls asked for, as a step that is no model's has changed them in the state: a person, or what stands between model and tools."""
    told = [message for raw in messages_in(list(step.changes.values())) if raw.get("tool_calls") and (message := message_of(raw))]
    now = {call.call_id: call for message in told for call in message.tool_calls if call.call_id}
    return [call.model_copy(update={"arguments": now[call.call_id].arguments}) if call.call_id in now else call for call in open_calls]


def _edited(open_calls: Sequence[ToolCall], step: Step) -> list[ToolCall]:
    """The calls asked for, as a person edited them: LangChain's middleware leaves a call in the model's words, and makes it in the person's."""
    found, decided = list(open_calls), set[int]()
    for asked, decision in _decisions(step):
        at = next((number for number, one in enumerate(open_calls) if number not in decided and _is_asked(one, asked)), None)
        if at is not None:
            decided.add(at)
            action = decision.get("edited_action") if decision.get("type") == "edit" else None
            found[at] = found[at].model_copy(update={"arguments": action["args"], "raw": None}) if _is_action(action) else found[at]
    return found


def _decisions(step: Step) -> list[tuple[dict[str, Json], dict[str, Json]]]:
    """What a person was asked to decide about and what they decided: of several calls at once, or of the call that a tool is about to make."""
    question, answer = ((step.tool_call and step.tool_call.arguments) or {}).get("question"), step.result
    if not isinstance(question, dict) or not isinstance(answer, dict):
        return []
    asked, decided = question.get("action_requests", [question]), answer.get("decisions", [answer])
    both = zip(asked, decided, strict=False) if isinstance(asked, list) and isinstance(decided, list) else ()
    return [(one, decision) for one, decision in both if _is_action(one) and isinstance(decision, dict)]


def _is_action(value: Json) -> TypeGuard[dict[str, Json]]:
    """Whether a value is a call in the words of LangChain's middleware."""
    return isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("args"), dict)


def _is_asked(call: ToolCall, asked: dict[str, Json]) -> bool:
    """Whether it was this call that a person was asked about."""
    if call.call_id is not None and asked.get("tool_call_id") is not None:
        return bool(call.call_id == asked["tool_call_id"])
    return call.name == asked["name"] and call.arguments in (None, asked["args"])


def with_results(steps: Sequence[Step]) -> list[Step]:
    """Tool steps with what a later model call was told of them, by the call's id, where their own record has no result."""
    if not any(_lacks_result(step) for step in steps):
        return list(steps)
    told = {message.tool_call_id: message for step in steps for message in step.messages if message.role == "tool" and not message.error}
    answers = (told.get(step.tool_call.call_id) if step.tool_call and _lacks_result(step) else None for step in steps)
    found = [step if answer is None else step.model_copy(update={"result": answer.content}) for step, answer in zip(steps, answers, strict=True)]
    return _with_results_in_order(found) if _numbered_apart(found) else found


def _numbered_apart(steps: Sequence[Step]) -> bool:
    """Whether the models' calls and the tools' have ids of two kinds: Gemini gives none, so that a framework and its instrumentor each make up their own."""
    asked = {call.call_id for step in steps if step.output is not None for call in step.output.tool_calls if call.call_id}
    own = {step.tool_call.call_id for step in steps if step.kind == "tool" and step.tool_call is not None and step.tool_call.call_id}
    return bool(asked and own) and asked.isdisjoint(own)


def _with_results_in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps, the tools' between two model calls with the results that the later one was given last, where there are as many."""
    found = list(steps)
    waiting: list[int] = []
    for number, step in enumerate(steps):
        if _lacks_result(step):
            waiting.append(number)
        elif step.kind == "model":
            answers = list(itertools.takewhile(lambda message: message.role == "tool", reversed(step.messages)))[::-1]
            for at, answer in zip(waiting, answers, strict=True) if len(waiting) == len(answers) else ():
                found[at] = steps[at].model_copy(update={"result": answer.content})
            waiting = []
    return found


def _lacks_result(step: Step) -> bool:
    return step.kind == "tool" and step.status == "ok" and step.result is None and step.tool_call is not None and step.tool_call.call_id is not None


def _asked(open_calls: Sequence[ToolCall], call: ToolCall, waiting: Mapping[str | None, ToolCall], task_id: str | None) -> int | None:
    backwards = range(len(open_calls) - 1, -1, -1)
    if call.call_id is not None:
        return next((number for number in backwards if open_calls[number].call_id == call.call_id), None)
    fitting = [number for number in backwards if open_calls[number].name == call.name and _fits(open_calls[number], call)]
    same = [number for number in fitting if _wraps(call, open_calls[number])] or fitting
    own = [number for number in same if open_calls[number] is waiting.get(task_id)]
    free = [number for number in same if not any(open_calls[number] is one for one in waiting.values())]
    return next((numbers[-1] for numbers in (own, free, same) if numbers), None)


def _transfer(open_calls: Sequence[ToolCall], call: ToolCall) -> int | None:
    """The call that handed over, where the step has only a name of its own for it; some tell of a handoff and not of the tool that made it."""
    bare = call.call_id is None and call.arguments is None
    return next((number for number in range(len(open_calls) - 1, -1, -1) if bare and open_calls[number].name.startswith(TRANSFER)), None)


def _made_up(open_calls: Sequence[ToolCall], call: ToolCall) -> str | None:
    """The id of the call that a tool step is whose own id no model gave: some instrumentors make one up. By its name and the same arguments."""
    if call.call_id is None or call.arguments is None:
        return None
    return next((asked.call_id for asked in open_calls if asked.name == call.name and asked.arguments == call.arguments), None)


def _fits(asked: ToolCall, call: ToolCall) -> bool:
    """Whether a call may be the one asked for: the same arguments, or the lone value of one whose name was lost."""
    if call.arguments is not None:
        return asked.arguments is None or all(call.arguments.get(name) == value for name, value in asked.arguments.items() if name in call.arguments)
    return call.raw is None or asked.arguments is None or any(str(value) == call.raw for value in asked.arguments.values())


def _wraps(call: ToolCall, asked: ToolCall) -> bool:
    """Whether what was recorded are the arguments of a framework's own method, one of which holds the tool's, as BeeAI's `{"input": {…}, "options": null}`."""
    return bool(asked.arguments) and call.arguments is not None and any(value == asked.arguments for value in call.arguments.values())


def _completed(call: ToolCall, asked: ToolCall) -> ToolCall:
    lost = asked.arguments is not None and (call.arguments is None or _wraps(call, asked))
    fields: dict[str, Json] = {"arguments": asked.arguments, "raw": None} if lost else {}
    return call.model_copy(update={**fields, "call_id": call.call_id or asked.call_id})


# ---- invocations


def with_invocations(steps: Sequence[Step], forest: Forest, ledger: Ledger) -> list[Step]:
    """The steps with the count of starts and resumes before them.

    Starts are: a trace (unless it is a lone call), an input or fork of the root graph. Two starts with no step between them are one: a trace
    and the input it writes. Where no later trace shows the resume, an answered question or a repeated failure counts as one.
    """
    starts = sorted([*_traces(forest), *_inputs(ledger)])
    last_trace = max(_traces(forest), default=0)
    failed = [task for task in ledger.tasks if task.wrote(ERROR)]
    again = frozenset([(task.task_id, "error") for task in failed if task.outputs] + [(task.task_id, UPDATED) for task in failed])
    found: list[Step] = []
    count, used, fresh = 0, 0, True
    for step in steps:
        at = step.started_ns if step.started_ns is not None else 0
        while used < len(starts) and starts[used] <= at:
            used += 1
            count, fresh = (count, True) if fresh else (count + 1, True)
        found.append(step if step.invocation == count else step.model_copy(update={"invocation": count}))
        fresh = fresh and step.name == "user"
        if at > last_trace and not fresh and _ends_invocation(step, again, found):
            count, fresh = count + 1, True
    return found


def _ends_invocation(step: Step, again: Collection[tuple[str | None, str]], found: Sequence[Step]) -> bool:
    """Whether the graph stopped at a step and was started again, as only checkpoints tell.

    `again` are the tasks that failed and then came to their end: those that were retried, and those that `update_state` finished in their place.
    """
    if step.status == "error" or step.name == UPDATED:
        return (step.task_id, "error" if step.status == "error" else UPDATED) in again
    if step.kind != "human" or step.status != "ok" or step.tool_call is None or PASSED_ON in step.notes:
        return False
    before = found[-2] if len(found) > 1 else step
    answered_together = before.kind == "human" and before.tool_call and before.status == "ok" and before.task_id != step.task_id
    return not answered_together or PASSED_ON in before.notes


def _traces(forest: Forest) -> list[int]:
    """When each trace began; a trace of nothing but one call at its top is part of a run, no start of one."""
    tops = defaultdict(list)
    for node in forest.tops:
        tops[node.span.trace_id].append(node)
    return [
        min((node.span.start_ns for node in nodes if node.span.start_ns is not None), default=0)
        for nodes in tops.values()
        if any(node.reading.kind not in LONE_CALLS or node.span.parent_span_id for node in nodes)
    ]


def _inputs(ledger: Ledger) -> list[int]:
    return [one.created_ns for one in ledger.roots if one.source in ("input", "fork") and one.created_ns is not None]
