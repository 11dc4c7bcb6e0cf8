"""What people were asked to approve: the question, the calls it proposed, what they decided and how long it took.

Questions are those of LangGraph's `interrupt` and LangChain's human-in-the-loop middleware (`action_requests`), and any object that names a tool with
its arguments; otherwise a question is just its text. Answers are words ("yes"), truth values, or objects with a `type` or a `decision`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from workbench.analysis.calls import MAX_DEPTH, parsed
from workbench.analysis.turns import answered
from workbench.model import PASSED_ON, Json, Run, Step, ToolCall, canonical

Verdict = Literal["approved", "edited", "refused", "unclear"]

NAMES = ("tool", "tool_name", "name", "action", "function")
ARGUMENTS = ("args", "arguments", "tool_input", "input", "parameters", "params")
YES = re.compile(
    r"^\W*(y|yes|yep|yeah|ok|okay|sure|accept(ed)?|approved?|confirm(ed)?|agreed?|proceed|go ahead|do it|please do|true|lgtm|allow(ed)?|continue)\b",
    re.IGNORECASE,
)
NO = re.compile(
    r"^\W*(n|no|nope|reject(ed)?|refused?|den(y|ied)|declined?|cancel(led)?|stop|abort|false|block(ed)?|ignore|don'?t|do not|never|not)\b", re.IGNORECASE
)
EDIT = re.compile(r"^\W*(edit(ed)?|modif(y|ied)|changed?|respon(d|se))\b", re.IGNORECASE)
RESPONDS = re.compile(r"^respon(d|se)\b", re.IGNORECASE)
"""A person's own answer in the tool's place."""
BY = ("by", "approved_by", "approver", "decided_by", "reviewed_by", "reviewer", "responder", "answered_by")
DECISIONS = ("type", "decision", "action", "answer", "approved", "approve", "status", "response", "resume", "decisions", "value")


@dataclass(frozen=True)
class Approval:
    """One question to a person. `proposed` are the calls it shows, `granted` those as a person edited them; `verdict` is None while nobody answered."""

    step: Step
    question: str
    proposed: tuple[ToolCall, ...]
    granted: tuple[ToolCall, ...]
    verdict: Verdict | None

    @property
    def seconds(self) -> float | None:
        """How long the answer took; None where it wasn't recorded."""
        took = self.step.duration_ms
        return None if took is None or self.verdict is None else took / 1000

    @property
    def by(self) -> str | None:
        """Who answered, where the answer says so: a name, or an object's name or id."""
        return _person(parsed(self.step.result))

    @property
    def allows(self) -> bool:
        """Whether the person let it happen, as it was or edited."""
        return self.verdict in {"approved", "edited"}

    def refuses(self, call: ToolCall) -> bool:
        """Whether the person kept a call from being made. Of several decisions at once, each is for the call that was asked about at its place."""
        decisions = self._decisions
        if len(decisions) != len(self.proposed) or not decisions:
            return self.verdict == "refused"
        said = [decision for decision, one in zip(decisions, self.proposed, strict=True) if _same(one, call)]
        return any(verdict_of(one) == "refused" or RESPONDS.match(str(_type(one))) is not None for one in said)

    @property
    def _decisions(self) -> list[Json]:
        """What a person decided of each call, where they were asked about several."""
        answer = parsed(self.step.result)
        decisions = answer.get("decisions") if isinstance(answer, dict) else answer
        return decisions if isinstance(decisions, list) else []

    def names(self, tool: str) -> bool:
        """Whether it is about this tool: it proposes it, or waits in its name, or speaks of it."""
        if self.proposed:
            return any(call.name == tool for call in self.proposed)
        return (self.step.tool_call is not None and self.step.tool_call.name == tool) or tool in self.question


def approvals_of(run: Run) -> list[Approval]:
    """Every question a run stopped to ask a person, in time order; one that a subgraph asked and its parent passed on is told once."""
    return [_approval(step) for step in run.of_kind("human") if step.tool_call is not None and PASSED_ON not in step.notes]


def kept_from(run: Run) -> frozenset[int]:
    """The tool steps of calls that a person's word stands for: the task that asked wrote their answer itself, a refusal or the person's own.

    A call that has a span was made, whatever was said. One that was not is known by its tool and arguments, where several were asked about at once.
    """
    found = set[int]()
    for asked in approvals_of(run):
        later = [one for one in run.steps[asked.step.index + 1 :] if one.kind == "tool" and one.task_id == asked.step.task_id is not None]
        found |= {one.index for one in later if one.span_id is None and one.tool_call is not None and asked.refuses(one.tool_call)}
    return frozenset(found)


def verdict_of(answer: Json) -> Verdict:
    """What an answer says: its word, its truth value, or the first decision in an object. Free text that begins otherwise is unclear."""
    for said in _decisions(parsed(answer)):
        for verdict, pattern in (("edited", EDIT), ("refused", NO), ("approved", YES)):
            if pattern.match(said):
                return verdict  # type: ignore[return-value]  # the keys of the pairs above are verdicts
    return "unclear"


def calls_in(value: Json, depth: int = 0) -> Iterator[ToolCall]:
    """The tool calls an object shows: a name and arguments beside each other, at any depth."""
    value = parsed(value)
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        name = next((value[key] for key in NAMES if isinstance(value.get(key), str)), None)
        arguments = next((value[key] for key in ARGUMENTS if isinstance(value.get(key), dict)), None)
        if name is not None and arguments is not None:
            yield ToolCall(name=name, arguments=arguments)
            return
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from calls_in(one, depth + 1)


def _approval(step: Step) -> Approval:
    question = (step.tool_call.arguments or {}).get("question") if step.tool_call else None
    proposed = tuple(calls_in(question))
    verdict = verdict_of(step.result if step.result is not None else step.output.content if step.output else None) if answered(step) else None
    granted = tuple(calls_in(step.result)) if verdict == "edited" else ()
    return Approval(step, question if isinstance(question, str) else canonical(question), proposed, granted or proposed, verdict)


def _same(asked: ToolCall, call: ToolCall) -> bool:
    return asked.name == call.name and call.arguments in (None, asked.arguments)


def _type(decision: Json) -> Json:
    return decision.get("type") if isinstance(decision, dict) else decision


def _person(answer: Json, depth: int = 0) -> str | None:
    if not isinstance(answer, dict) or depth > MAX_DEPTH:
        return None
    said = next((answer[key] for key in BY if answer.get(key)), None)
    if isinstance(said, dict):
        said = next((said[key] for key in ("name", "email", "id", "user") if said.get(key)), None)
    if isinstance(said, str):
        return said
    return next((found for inner in answer.values() if (found := _person(inner, depth + 1))), None)


def _decisions(answer: Json, depth: int = 0) -> Iterator[str]:
    if isinstance(answer, bool | str):
        yield str(answer)
    elif isinstance(answer, dict) and depth < MAX_DEPTH:
        for key in DECISIONS:
            if key in answer:
                yield from _decisions(answer[key], depth + 1)
    elif isinstance(answer, list) and depth < MAX_DEPTH:
        for one in answer:
            yield from _decisions(one, depth + 1)
