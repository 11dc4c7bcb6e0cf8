"""The one thing a fork changes: whether it can be changed at that step, and where it is put.

A result, a person's answer and a fault take the place of a recorded answer; a state is put into the checkpoint at the cut; what the model is shown
and which model answers is altered as the call is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, get_args

from workbench.model import PASSED_ON, Cassette, Change, ChangeKind, Interaction, Json, Run, Span, Step, digest
from workbench.replay.exchanges import exchanges_of, injected, meant_by, of_http, wanted
from workbench.replay.nearest import instead
from workbench.replay.protocol import Alteration, Fault, MessageEdit
from workbench.replay.recording.cassette import asked_of, canonical_messages, edited
from workbench.replay.recording.place import node_path
from workbench.replay.shapes import ChangeError, MessageChange, check_shape, fault_of, message_of

MODEL = "model"
NEAREST = 3


def change_of(given: Mapping[str, Any]) -> Change:
    """The change in these options, by its kind. ChangeError when there are several, or the value has another shape than its kind has."""
    if len(given) > 1:
        raise ChangeError(f"a fork changes one thing: give {' or '.join(sorted(given))}, not both, so that you know what made the difference")
    kind, value = next(iter(given.items()), ("none", None))
    if kind not in get_args(ChangeKind):
        raise ChangeError(f"no change is called {kind!r}{instead(kind, get_args(ChangeKind)[1:])}")
    plain = dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple | set | frozenset) else value
    return Change(kind=kind, value=plain)


def check(parent: Run, at: int, change: Change, live: Collection[str], spans: Iterable[Span] = ()) -> Step:
    """The step to fork at. ChangeError when this change can't be made there. `spans` are those that the run was read from: they tell of HTTP calls."""
    step = parent.step(at)
    if of_http(change, step):
        meant_by(wanted(change).call, exchanges_of(parent, step, spans), step)
    elif change.kind in CHECKS:
        CHECKS[change.kind](parent, step, change.value)
    check_shape(change)
    thinks = [one for one in live if one == MODEL or one.startswith(f"{MODEL}:")]
    if change.kind in ("model", "tools") and not thinks:
        raise ChangeError(f"what changes is how the model thinks, and recorded answers were thought without it: name the model as live (live=[{MODEL!r}])")
    return step


def check_kind(parent: Run, step: Step, kinds: tuple[str, ...], why: str) -> None:
    """ChangeError where a step is of none of these kinds, with why that matters and the nearest steps that are."""
    if step.kind in kinds:
        return
    others = sorted((one for one in parent.steps if one.kind in kinds), key=lambda one: abs(one.index - step.index))[:NEAREST]
    near = ", ".join(f"{one.index} ({one.name})" for one in others)
    word = " or ".join(kinds)
    nearest = f"the nearest {word} steps are {near}" if near else f"the run has no {word} step"
    raise ChangeError(f"step {step.index} is a {step.kind} step ({step.name}) and {why}; {nearest}")


def _tool_result(parent: Run, step: Step, value: Json) -> None:
    check_kind(parent, step, ("tool",), "has no tool result to change")
    _with_arguments(step)


def _with_arguments(step: Step) -> None:
    if step.tool_call is None or (step.tool_call.arguments is None and step.tool_call.raw is None):
        raise ChangeError(f"the arguments of step {step.index} ({step.name}) were not recorded, so a re-run can't tell which call is to get another result")


def _message(parent: Run, step: Step, value: Json) -> None:
    check_kind(parent, step, ("model",), "was shown no messages")
    wanted = message_of(value)
    if not step.messages:
        raise ChangeError(
            f"what step {step.index} ({step.name}) was shown was not recorded: no span of the call tells it, and checkpoints hold the state alone. "
            "Change that (state=…, --state), or what the model is told first (system=…, --system)"
        )
    if not -len(step.messages) <= wanted.index < len(step.messages):
        raise ChangeError(f"step {step.index} was shown {len(step.messages)} messages, from 0 to {len(step.messages) - 1}: there is none at {wanted.index}")


def _answer(parent: Run, step: Step, value: Json) -> None:
    check_kind(parent, step, ("human",), "asked nobody")
    if step.tool_call is None or PASSED_ON in step.notes:
        raise ChangeError(f"step {step.index} ({step.name}) is a person's word, but no answer to a question that the run stopped to ask")


def _fault(parent: Run, step: Step, value: Json) -> None:
    check_kind(parent, step, ("tool", "model"), "makes no tool's or model's call that could fail")
    if fault_of(value).status is not None:
        raise ChangeError('a status is what an HTTP call of a node is answered: say which, with "call"')
    if step.kind == "tool":
        _with_arguments(step)


CHECKS: dict[str, Callable[[Run, Step, Json], None]] = {
    "tool_result": _tool_result,
    "message": _message,
    "answer": _answer,
    "fault": _fault,
}
"""Of changes that can't be made at any step, what says where they can."""


# ---- where it is put


def altered(parent: Run, step: Step, change: Change, cassette: Cassette, spans: Iterable[Span] = ()) -> Alteration:
    """What this change alters in calls as they are made. `cassette` is the run's own, and `spans` those that it was read from."""
    if of_http(change, step):
        return Alteration(fault=injected(change, step, cassette, exchanges_of(parent, step, spans)))
    path = node_path(step.namespace, step.node) if step.kind == "model" else None
    if change.kind == "system":
        return Alteration(node_path=path, system=change.value)
    if change.kind == "model":
        return Alteration(node_path=path, settings={"name": change.value} if isinstance(change.value, str) else change.value)
    if change.kind == "tools":
        return Alteration(node_path=path, tools=change.value)
    if change.kind == "message":
        return Alteration(message=_edit(step, message_of(change.value)))
    if change.kind == "fault":
        return Alteration(fault=Fault(**fault_of(change.value).model_dump(exclude={"call", "status"}), **_call_of(step)))
    return Alteration()


def calls_met(parent: Run, step: Step, change: Change) -> frozenset[int]:
    """The steps whose calls have to be made for this change to meet them: nothing of it can be seen where the writes of their nodes are served."""
    if change.kind in ("fault", "tool_result"):
        return frozenset([step.index] if step.kind in (MODEL, "tool") else [])
    if change.kind not in ("system", "model", "tools"):
        return frozenset()
    path = node_path(step.namespace, step.node) if step.kind == MODEL else None
    return frozenset(one.index for one in parent.of_kind("model") if path in (None, node_path(one.namespace, one.node)))


def named_live(parent: Run, live: Collection[str]) -> frozenset[int]:
    """The steps whose calls are named as live, by kind or by kind and name; where one model is, also those of which nobody recorded which model it was."""

    def names(step: Step) -> set[str]:
        if step.kind == MODEL:
            return {MODEL, f"{MODEL}:{step.model}"} | ({one for one in live if one.startswith(f"{MODEL}:")} if step.model is None else set())
        return {f"{step.kind}:{step.tool_call.name if step.tool_call else step.name}"}

    return frozenset(step.index for step in parent.steps if names(step) & set(live))


def _edit(step: Step, wanted: MessageChange) -> MessageEdit:
    digests = [digest(canonical_messages([one])) for one in step.messages]
    place = wanted.index % len(digests)
    fields = wanted.model_dump(exclude={"index"}, exclude_none=True)
    return MessageEdit(sha256=digests[place], occurrence=digests[:place].count(digests[place]), fields=fields)


def _call_of(step: Step) -> dict[str, Json]:
    """What tells the call of a step from others."""
    call = step.tool_call
    asked: Json = None if call is None else call.raw if call.arguments is None else call.arguments
    name = call.name if call else step.name
    path = node_path(step.namespace, step.node)
    return {"call_kind": step.kind, "name": name, "node_path": path, "arguments_sha256": digest(asked), "step": step.index}


def cassette_with(cassette: Cassette, parent: Run, step: Step, change: Change) -> Cassette:
    """The cassette with what the change puts in place of a recorded answer."""
    if change.kind == "tool_result":
        return edited(cassette, parent, step.index, change.value)
    if change.kind == "answer":
        path = node_path(step.namespace, step.node)
        place = {"node_path": path, "step": step.index, "task_id": step.task_id}
        answer = Interaction(kind="human", name=step.name, arguments=asked_of(step), result=change.value, **place)
        others = [one for one in cassette.interactions if one.step != step.index]
        return cassette.model_copy(update={"interactions": tuple(sorted([*others, answer], key=lambda one: one.step))})
    return cassette
