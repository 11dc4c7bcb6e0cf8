"""What was asked in a recorded run and what came back; and the tape that plays it, one recorded answer for one same call, in recorded order.

Two calls are the same when their kind, name, node path (without task ids) and canonical arguments are. Ids and times are no part of it, and a
model's name is none either, since a scripted or renamed model may stand in its place. Going by order alone would swap the answers of parallel
calls and still look well.
"""

from __future__ import annotations

import difflib
import json
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from workbench.model import PASSED_ON, Cassette, Interaction, Json, Message, Run, Step, ToolCall, canonical, digest

NEAREST = 3
MAX_COMPARED_CHARACTERS = 4000
MAX_DIFFERENCES = 4
SHOWN_CHARACTERS = 120


class Divergence(BaseException):  # it is how a re-run ends, and no Exception: an agent's error handling must not catch it
    """A re-run asked for something that has no recording. The message names the cassette, the call, the nearest recordings and what differs."""


class CutOff(BaseException):
    """A replay has come to where the recorded run was cut off: killed, or stopped by someone. `miss` is the divergence it would be otherwise."""

    def __init__(self, step: int, miss: str) -> None:
        super().__init__(f"the recorded run was cut off after step {step} and started again")
        self.miss = miss


# ---- recording


def record(run: Run) -> Cassette:
    """The recorded interactions of a run, and for each call that can't be served the reason, such as "step 7 book_flight: it never came back"."""
    interactions, missing = [], []
    for step in run.steps:
        taken = _interaction(run, step)
        if isinstance(taken, Interaction):
            interactions.append(taken)
        elif taken:
            missing.append(f"step {step.index} {step.name}: {taken}")
    return Cassette(run_id=run.run_id, interactions=tuple(interactions), missing=tuple(missing))


def _interaction(run: Run, step: Step) -> Interaction | str | None:
    """A step's interaction, the reason why there is none, or None for a step that is no call."""
    if step.kind == "model":
        return _model_interaction(run, step)
    if step.kind == "tool":
        return _tool_interaction(run, step)
    if step.kind == "human" and step.tool_call is not None and PASSED_ON not in step.notes:
        return _human_interaction(step)
    return "retrievals are not served" if step.kind == "retrieval" else None


def _model_interaction(run: Run, step: Step) -> Interaction | str:
    if not step.messages:
        return "what the model was given was not captured"
    if step.output is None and not step.error:
        return "the model's answer was not captured"
    answer = step.output.model_dump(mode="json", exclude_defaults=True) if step.output else None
    asked = canonical_messages(step.messages)
    return Interaction(
        kind="model",
        name=step.model or step.name,
        node_path=node_path(step.namespace, step.node),
        arguments=asked,
        result=answer,
        error=step.error,
        message=message_in_state(run, step),
        step=step.index,
    )


def _tool_interaction(run: Run, step: Step) -> Interaction | str:
    call = step.tool_call
    if call is None or (call.arguments is None and call.raw is None):
        return "the arguments were not captured"
    taken = Interaction(
        kind="tool",
        name=call.name,
        node_path=node_path(step.namespace, step.node),
        arguments=call.raw if call.arguments is None else call.arguments,
        result=step.result,
        error=step.error,
        message=message_in_state(run, step),
        step=step.index,
    )
    if step.status == "interrupted":
        question = next((s for s in run.of_kind("human") if s.index > step.index and s.task_id == step.task_id and s.tool_call), None)
        if question is None:
            return "it stopped to ask a person, and the question was not captured"
        return taken.model_copy(update={"interrupted": True, "result": asked_of(question)})
    if step.status == "running":
        return "it never came back"
    if taken.result is None and taken.error is None and taken.message is None:
        return "the result was not captured"
    return taken


def _human_interaction(step: Step) -> Interaction | str:
    if step.status != "ok" or (step.result is None and step.output is None):
        return "nobody answered"
    answer = step.result if step.result is not None or step.output is None else step.output.content
    return Interaction(kind="human", name=step.name, node_path=node_path(step.namespace, step.node), arguments=asked_of(step), result=answer, step=step.index)


def asked_of(step: Step) -> Json:
    """The question of a person's step, as it was put."""
    arguments = (step.tool_call.arguments if step.tool_call else None) or {}
    return arguments["question"] if set(arguments) == {"question"} else arguments


def edited(cassette: Cassette, run: Run, at: int, value: Json) -> Cassette:
    """The cassette with this value as the result of the tool call at a step, whatever was recorded of it."""
    step = run.step(at)
    call = step.tool_call or ToolCall(name=step.name, arguments={})
    asked: Json = call.raw if call.arguments is None else call.arguments
    changed = Interaction(kind="tool", name=call.name, node_path=node_path(step.namespace, step.node), arguments=asked, result=value, step=at)
    others = [one for one in cassette.interactions if one.step != at]
    return cassette.model_copy(update={"interactions": tuple(sorted([*others, changed], key=lambda one: one.step))})


def message_in_state(run: Run, step: Step) -> Json:
    """The message that a model's answer or a tool's result became, as its task wrote it to the state; None where there is none."""
    if step.task_id is None:
        return None
    written = [value for other in run.steps if other.task_id == step.task_id for value in _objects(other.changes) if "content" in value]
    if step.kind == "tool":
        call_id = step.tool_call.call_id if step.tool_call else None
        return next((one for one in written if call_id and one.get("tool_call_id") == call_id), None)
    return next((one for one in written if step.output and _is_answer(one, step.output)), None)


def _is_answer(written: dict[str, Json], answer: Message) -> bool:
    """Whether a message in the state is a model's answer: the same words and the same calls, by their ids."""
    calls = written.get("tool_calls") or []
    same_calls = [call.get("id") for call in calls if isinstance(call, dict)] == [call.call_id for call in answer.tool_calls]
    return written.get("type") == "ai" and written["content"] == answer.content and same_calls


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _objects(inner)


# ---- what makes two calls the same


def node_path(namespace: str | None, node: str | None) -> str:
    """The nodes from the root graph down, without task ids: `quote:1f…|` and `look_up` become `quote/look_up`."""
    names = [part.partition(":")[0] for part in (namespace or "").split("|") if part and not part.isdecimal()]
    return "/".join([*names, *([node] if node else [])])


def canonical_messages(messages: Sequence[Message]) -> list[Json]:
    """Role, content and tool calls of each message; ids, names and times are no part of what was said."""
    return [_canonical_message(message) for message in messages]


def _canonical_message(message: Message) -> Json:
    calls = [{"name": call.name, "arguments": call.raw if call.arguments is None else call.arguments} for call in message.tool_calls]
    content = _opened(message.content) if message.role == "tool" else message.content
    return {"role": message.role, "content": content, **({"tool_calls": calls} if calls else {})}


def _opened(text: str) -> Json:
    """JSON text as its value: how it was spaced says nothing."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lone_text(recorded: Json, asked: Json) -> bool:
    """Whether a call's one argument is the text that was recorded of it without its name."""
    return isinstance(recorded, str) and isinstance(asked, dict) and list(asked.values()) == [recorded]


# ---- playing


@dataclass(frozen=True)
class Call:
    """A call that a re-run makes."""

    kind: str
    name: str
    node_path: str
    arguments: Json

    def __str__(self) -> str:
        if self.kind == "tool":
            return f"tool {self.name}({_short(canonical(self.arguments))}) at {self.node_path or 'no node'}"
        if self.kind == "human":
            return f"question to a person: {_short(canonical(self.arguments))}"
        last = self.arguments[-1] if self.arguments else {}
        return f"model call at {self.node_path or 'no node'} with {len(self.arguments)} messages, the last: {_short(canonical(last))}"


@dataclass(frozen=True)
class Served:
    """A recorded answer. `asked` is the question this very call stopped to ask before, where it did."""

    interaction: Interaction
    notes: tuple[str, ...] = ()
    asked: Interaction | None = None


class Tape:
    """Plays the interactions of some steps of a cassette. Each recorded tool answer is given out once; parallel calls may take from it at once.

    `stops` are the steps after which the recorded run was cut off and started again. Until `free` is called, what was recorded after the next
    stop is not served before `restart`: an unchanged replay breaks off where the recording did.
    """

    def __init__(self, cassette: Cassette, *, steps: Collection[int] | None = None, stops: Sequence[int] = ()) -> None:
        self.cassette = cassette
        self._stops = deque(sorted(stops))
        self.interactions = [one for one in cassette.interactions if steps is None or one.step in steps]
        self._digests = [digest(one.arguments) for one in self.interactions]
        self._left = set(range(len(self.interactions)))
        self._lock = threading.Lock()

    @property
    def left(self) -> tuple[Interaction, ...]:
        """What was recorded and has not been asked for yet."""
        return tuple(self.interactions[number] for number in sorted(self._left))

    def restart(self) -> None:
        """The run is started again: what was recorded up to the next stop may be served now."""
        with self._lock:
            if self._stops:
                self._stops.popleft()

    def free(self) -> None:
        """Something was changed or went live, so the re-run need no longer stop where the recording did."""
        with self._lock:
            self._stops.clear()

    def take(self, call: Call) -> Served:
        """The recorded answer to a call. Divergence where there is none, CutOff where the recording broke off."""
        with self._lock:
            same = self._same(call)
            here = [number for number in same if self.interactions[number].node_path == call.node_path]
            for candidates, note in ((here, ""), (same, "moved")):
                number = next((one for one in candidates if one in self._left), None)
                if number is not None:
                    self._left.remove(number)
                    return Served(self.interactions[number], (f"{note} from {self.interactions[number].node_path}",) if note else (), self._asked(same, number))
            if call.kind == "model" and here:
                return Served(self.interactions[here[-1]], ("repeated",))
            miss = self._miss(call, same)
            if self._stops and not any(self.interactions[number].step <= self._stops[0] for number in self._left):
                raise CutOff(self._stops[0], miss)
            raise Divergence(miss)

    def _same(self, call: Call) -> list[int]:
        wanted = digest(call.arguments)
        return [
            number
            for number, one in enumerate(self.interactions)
            if one.kind == call.kind
            and not (self._stops and one.step > self._stops[0])
            and (call.kind != "tool" or one.name == call.name)
            and (self._digests[number] == wanted or _lone_text(one.arguments, call.arguments))
        ]

    def _asked(self, same: Sequence[int], number: int) -> Interaction | None:
        """The interrupted attempt at the same call that this answer completes."""
        before = [self.interactions[one] for one in same if one < number and one not in self._left]
        return before[-1] if before and before[-1].interrupted and not self.interactions[number].interrupted else None

    def _miss(self, call: Call, same: Sequence[int]) -> str:
        recorded = f"cassette of run {self.cassette.run_id} ({len(self.interactions)} recorded answers from here on, {len(self._left)} left)"
        lines = [f"no recording of {call} in the {recorded}"]
        if same:
            steps = ", ".join(str(self.interactions[number].step) for number in same)
            lines.append(f"  the same call was recorded at step {steps}, and each recording has been served once")
        lines += [f"  {line}" for line in self._nearest(call)] if not same else []
        lines += [f"  not captured: {line}" for line in self.cassette.missing if call.name in line]
        return "\n".join([*lines, f"  {_REMEDY[call.kind]}"])

    def _nearest(self, call: Call) -> Iterator[str]:
        kin = [one for one in self.interactions if one.kind == call.kind]
        for one in sorted(kin, key=lambda one: (one.name == call.name, likeness(one.arguments, call.arguments)), reverse=True)[:NEAREST]:
            differs = "; ".join(differences(one.arguments, call.arguments)) or "only the place differs"
            yield f"nearest: step {one.step} {one.name} at {one.node_path or 'no node'}: {differs}"
        if not kin:
            yield f"no {call.kind} call was recorded from here on"


def likeness(recorded: Json, asked: Json) -> float:
    """How alike two calls are, from 0 to 1: lists of messages by the share that is the same at the same place, anything else by its text."""
    if isinstance(recorded, list) and isinstance(asked, list):
        same = sum(bool(one == other) for one, other in zip(recorded, asked, strict=False))
        return same / max(len(recorded), len(asked), 1)
    one, other = (canonical(value)[:MAX_COMPARED_CHARACTERS] for value in (recorded, asked))
    return difflib.SequenceMatcher(a=one, b=other, autojunk=False).ratio()


_REMEDY = {
    "tool": "put a result in its place (fork at that step with a tool result), or change what leads to the call; tools never run in a fork",
    "model": 'the model would have to think anew: name it as live (live=["model"], --live model); tools stay fenced',
    "human": "a person has to answer: an approval is never carried over to another question",
}


def differences(recorded: Json, asked: Json) -> list[str]:
    """Where two values differ, as text: `$.flight: recorded "NH 11", asked "NH 12"`. At most four places."""
    found = list(_differences(recorded, asked, "$"))
    more = [f"and {len(found) - MAX_DIFFERENCES} more"] if len(found) > MAX_DIFFERENCES else []
    return found[:MAX_DIFFERENCES] + more


def _differences(recorded: Json, asked: Json, path: str) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(asked, dict):
        for key in sorted({*recorded, *asked}):
            yield from _part(recorded, asked, key, f"{path}.{key}", key in recorded, key in asked)
    elif isinstance(recorded, list) and isinstance(asked, list):
        for index in range(max(len(recorded), len(asked))):
            yield from _part(recorded, asked, index, f"{path}[{index}]", index < len(recorded), index < len(asked))
    elif canonical(recorded) != canonical(asked):
        yield f"{path}: recorded {_short(canonical(recorded))}, asked {_short(canonical(asked))}"


def _part(recorded: Json, asked: Json, key: str | int, path: str, was: bool, now: bool) -> Iterator[str]:
    if was and now:
        yield from _differences(recorded[key], asked[key], path)
    elif was:
        yield f"{path}: recorded {_short(canonical(recorded[key]))}, not asked"
    else:
        yield f"{path}: not recorded, asked {_short(canonical(asked[key]))}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
