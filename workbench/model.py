"""The values everything else passes around: frozen, comparable, free of storage and display.

Collectors yield `Span`, `Log`, `Checkpoint`, `Conversation`, whole `Run`s, and `Skip`. Normalisation makes a `Run` of `Step`s of each.
Detectors read a `Run` and yield `Finding`s. A fork yields a `Receipt` and another `Run`; two runs make a `Comparison`.

Times are UTC nanoseconds since 1970 (`*_ns`), money is US dollars (`*_usd`). `None` always means *not recorded*, never zero.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from workbench.checklist import Capability, Item
from workbench.shown import Shown

Json = Any
"""Whatever `json.loads` can return. Trace content is data: nothing here is ever imported, unpickled or evaluated."""

StepKind = Literal["model", "tool", "human", "node", "retrieval"]
Status = Literal["ok", "error", "interrupted", "running", "cancelled"]
Joined = Literal["exact", "inferred", "none"]
Severity = Literal["info", "warning", "error"]
Level = Literal["process", "container", "gvisor", "firecracker"]
"""How strongly a re-run is shut in, from the weakest to the strongest."""
EffectClass = Literal["read-only", "idempotent", "effect", "unknown"]
"""What calling a tool does: it only looks; it acts, and a repetition with the same key is the same act; it acts; nobody says."""
Cause = Literal["first", "retry", "resume", "model"]
Answered = Literal["inherited", "served", "edited", "stopped", "refused", "uncalled"]
Became = Answered | Literal["made"]
"""What became of an act in a fork; `made` where nothing stood for doing it."""
ConfidenceSource = Literal["logprobs", "self-report", "evaluation"]


LAST_SAID = "workbench.last_message"
"""Metadata: the last message in the state of a thread that keeps nothing else of what was said in it."""
RETURNED = "workbench.returned"
"""Metadata: what a functional agent's `@entrypoint` returned, in the last of its starts that came to an end."""
ANSWERED = "workbench.answer"
"""Metadata: what the agent's own span says it came to."""
PASSED_ON = "passed on from inside"
"""The note of a step that repeats its subgraph's question or failure: what happened once is told once."""
HANDOFF = "handoff"
"""The note of a tool call that handed over to another agent: the run goes on there, and nothing failed."""
RAN_AGENT = "ran an agent"
"""The note of a tool call that was another agent's work."""
ASKED_AGAIN = "the model was asked to try again"
"""The note of a failed tool call after which the framework sent the model back with the error."""
FAILED_BEFORE = "failed before: "
"""How the note begins of a step that an engine tried again, where it recorded why."""
CONTINUED_AS = "continued_as"
"""Metadata: the run that an execution which continued as new went on as."""
COUNTED = "tokens:"
"""How the mark of an answer begins that is known by the tokens counted, where nobody recorded what the provider called it."""
STRUCTURED = "structured_response"
"""The channel into which `create_agent` puts an answer of a given shape."""
UNCALLED = "answered by the agent's own code"
"""The note of a re-run's step whose tool was not called: a node wrote the call's answer itself, such as a guard's no."""
NOT_MADE = frozenset(("edited", "halted", "blocked", UNCALLED))
"""The notes of a re-run's steps whose tool call was not made: a result was put in its place, the fence stopped it, or the agent's own code answered."""


_slots = vars(BaseModel)  # set by their own descriptors: by `object.__setattr__`, a value takes twice as long to make
_set_fields, _set_given, _set_extra, _set_private = (
    _slots[name].__set__ for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
PLAIN = frozenset((str, int, float, bool, type(None), dict, list))
"""What JSON has: no value of ours stands in it."""
_NOTHING_SET: set[str] = set()  # shared: a frozen value never says which of its fields were given


class Value(Shown, BaseModel):  # noqa: PLW1641  # pydantic gives what is frozen a hash of its fields
    """Base of all values: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def made(cls, fields: dict[str, Json]) -> Self:
        """A value of all its fields, each of the type it should have: nothing is checked, copied or filled in, which makes millions of them affordable."""
        value = object.__new__(cls)
        _set_fields(value, fields)
        _set_given(value, _NOTHING_SET)
        _set_extra(value, None)
        _set_private(value, None)
        return value

    @classmethod
    def unchecked(cls, **fields: Json) -> Self:
        """As `made`, what is not given at its default: for readers, which make values by the million and each of the type it should have."""
        return cls.made({**_blank(cls), **fields})

    def __eq__(self, other: object) -> bool:
        """As pydantic compares, seeing at once what is the same kind of value with the same fields: values are compared by the million."""
        return self is other or (type(self) is type(other) and self.__dict__ == other.__dict__) or super().__eq__(other)

    def said(self, *, but: str = "") -> dict[str, Json]:
        """The fields that are not at their defaults, in their order, without the one named `but`; values in them likewise."""
        fields, blank = self.__dict__, _blank(type(self))
        return {
            name: held if type(held) in PLAIN else _said(held)
            for name, default in blank.items()
            if (held := fields[name]) is not default and (default is None or held != default) and name != but
        }

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The same value but for what is in `update`, which is not checked."""
        return super().model_copy(update=update, deep=deep) if deep else self.made({**self.__dict__, **(update or {})})


def _said(held: Json) -> Json:
    if isinstance(held, Value):
        return held.said()
    return [_said(inner) for inner in held] if isinstance(held, tuple) else held


@cache
def _blank(kind: type[Value]) -> dict[str, Json]:
    """The fields of a value at their defaults, in their order, since that is the order in which they are written."""
    return {name: None if field.is_required() else field.default for name, field in kind.model_fields.items()}


def as_json(value: Any) -> Json:
    """What JSON has no form for, as `json` takes it in its `default`: a set as a list, the same for equal sets, anything else as its text."""
    return sorted(value, key=canonical) if isinstance(value, set | frozenset) else str(value)


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=as_json).encode


def canonical(value: Json) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces, no ASCII escapes."""
    return _canonical(value)


def digest(value: Json) -> str:
    """SHA-256 of the canonical JSON text, as 64 hex digits: the address of a payload in the store."""
    return digest_of(canonical(value))


def digest_of(text: str) -> str:
    """The same of canonical JSON text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# ---- what collectors yield


class SpanEvent(Value):
    """Something that happened at one moment of a span, such as an `exception`."""

    name: str
    at_ns: int | None = None
    attributes: dict[str, Json] = {}


class Span(Value):
    """One timed operation, with OpenTelemetry's fields and its attributes untouched.

    Ids are lower-case hex (32 digits for a trace, 16 for a span). The parent may be missing: spans arrive late, out of order, incomplete.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    name: str
    start_ns: int | None = None
    end_ns: int | None = None
    status: Literal["unset", "ok", "error"] = "unset"
    status_message: str = ""
    attributes: dict[str, Json] = {}
    events: tuple[SpanEvent, ...] = ()
    scope: str | None = None
    resource: dict[str, Json] = {}
    links: tuple[str, ...] = ()
    """The ids of the traces it says it is connected with, such as that of the message it handles."""


class Log(Value):
    """A log record that belongs to a span: some instrumentors put a call's messages there. Joined by trace and span id.

    `at_ns` is the time it happened, else the time it was observed; `body` is text or the nested values of a kvlist.
    """

    trace_id: str
    span_id: str
    name: str | None = None
    at_ns: int | None = None
    body: Json = None
    attributes: dict[str, Json] = {}


class Write(Value):
    """One value a LangGraph task wrote to one channel. `note` says why the value is absent (encrypted, refused, too deep)."""

    task_id: str
    task_path: str = ""
    node: str | None = None
    idx: int
    channel: str
    value: Json = None
    note: str | None = None


class Checkpoint(Value):
    """State of a LangGraph thread after a super-step: ids, lineage and the writes of the tasks that started from it.

    The full state stays in the database it came from and is fetched per step. `namespace` is "" for the root graph, else
    `node:task_id` segments joined by `|`. `step` is -1 for an input and is not unique after a fork: follow the parents.
    """

    thread_id: str
    namespace: str = ""
    checkpoint_id: str
    parent_checkpoint_id: str | None = None
    step: int | None = None
    source: str | None = None
    created_ns: int | None = None
    metadata: dict[str, Json] = {}
    writes: tuple[Write, ...] = ()
    note: str | None = None


class Tokens(Value):
    """Token counts as recorded; each is None where the source says nothing."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def __add__(self, other: Tokens) -> Tokens:
        """Sum field by field; not recorded plus a number is that number."""
        theirs = other.__dict__
        return Tokens.made({key: theirs[key] if mine is None else mine + (theirs[key] or 0) for key, mine in self.__dict__.items()})


NO_TOKENS = Tokens()
"""Nothing recorded: one object for all, so that it is known at a glance."""


class ToolCall(Value):
    """A call of a tool as the model asked for it. `arguments` is None where they were lost or are no JSON object (then `raw` has the text)."""

    name: str
    arguments: dict[str, Json] | None = None
    call_id: str | None = None
    raw: str | None = None


class Approval(Value):
    """A call that waits for a person's word, as messages tell of it: the question, or its answer (`approved` or not; None where that is not said)."""

    approval_id: str
    tool: str | None = None
    call_id: str | None = None
    arguments: dict[str, Json] | None = None
    approved: bool | None = None
    reason: str | None = None


class Message(Value):
    """One chat message. `confidence` (0 to 1) comes with its source: token log-probabilities, the model's own word, or an evaluator."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    approvals: tuple[Approval, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    error: str | None = None
    reasoning: str | None = None
    confidence: float | None = None
    confidence_source: ConfidenceSource | None = None
    at_ns: int | None = None
    tokens: Tokens = NO_TOKENS
    cost_usd: float | None = None


class Conversation(Value):
    """One run logged as chat messages and nothing else. A step's index is its message's index."""

    run_id: str
    conversation_id: str | None = None
    agent: str | None = None
    started_ns: int | None = None
    messages: tuple[Message, ...] = ()
    tools: tuple[str, ...] | None = None
    schemas: dict[str, Json] = {}
    metadata: dict[str, Json] = {}


class Skip(Value):
    """Something a collector could not use: where it stands, why, and how many such. Skips are counted and shown, never swallowed."""

    place: str
    reason: str
    count: int = 1


class Reading(Value):
    """What the conventions make of one span. `provenance` names, for each field that was found, the convention and the attribute."""

    kind: Literal["model", "tool", "human", "retrieval", "embedding", "agent", "node", "plumbing", "other"] = "other"
    """`plumbing` is HTTP, RPC and the like: what an agent's call went through, no move of the agent."""
    conversation_id: str | None = None
    trace_name: str | None = None
    """What its trace is called, where that is told apart from the name of the span at its top."""
    agent: str | None = None
    node: str | None = None
    namespace: str | None = None
    """LangGraph's `langgraph_checkpoint_ns`: `node:task_id` segments, the last of which is the task the span ran in."""
    model: str | None = None
    messages: tuple[Message, ...] = ()
    output: Message | None = None
    response_id: str | None = None
    """What the provider called its answer: two instrumentors that record one call record the same."""
    tools: tuple[str, ...] | None = None
    schemas: dict[str, Json] = {}
    """The JSON Schema of the arguments of each tool offered, by the tool's name."""
    tool_name: str | None = None
    call_id: str | None = None
    arguments: dict[str, Json] | None = None
    raw_arguments: str | None = None
    """What a tool was given, as recorded: where `arguments` is None it may be the lone value of an argument whose name was lost."""
    result: Json = None
    unreturned: bool = False
    """Nothing stands where its instrumentor writes a result: the call gave nothing back, or wasn't made."""
    unaware: bool = False
    """Its own status says nothing of what failed below it: its instrumentor, or the framework, passes no failure on to the spans around."""
    tokens: Tokens = NO_TOKENS
    cost_usd: float | None = None
    error: str | None = None
    interrupted: bool = False
    question: Json = None
    """What a person was asked, where it paused for one."""
    attempt: int | None = None
    """Which attempt failed here, where the framework says that it will ask for another."""
    handoff: bool = False
    """The interrupt is another agent taking over, not a pause for a person."""
    idempotency_key: str | None = None
    retry_attempt: int | None = None
    """2 for the first repetition of something that failed, with `retry_reason`, the error before, and `retry_delay_ms`, the wait."""
    retry_reason: str | None = None
    retry_delay_ms: float | None = None
    provenance: dict[str, str] = {}


# ---- a run and its steps


class Decision(Value):
    """What the model chose. `selected` is empty for a plain answer; `alternatives` are the tools offered, None where that was not recorded."""

    selected: tuple[str, ...] = ()
    alternatives: tuple[str, ...] | None = None
    confidence: float | None = None
    confidence_source: str | None = None
    reasoning: str | None = None


class Step(Value):
    """One move of a run that one can stop at: a model call, a tool call, a person's word or a graph node, with the checkpoint in force.

    `checkpoint_id` is the state the step started from, `task_id` the LangGraph task it ran in, `namespace` the checkpoint namespace of that
    checkpoint, `depth` how many subgraphs deep. `invocation` counts the times the run was started or resumed, from 0.
    `joined` says how a span found its task: exactly by task id, inferred by ids or time, or not at all (also: no span).
    """

    index: int
    kind: StepKind
    name: str
    node: str | None = None
    depth: int = 0
    invocation: int = 0
    started_ns: int | None = None
    ended_ns: int | None = None
    status: Status = "ok"
    error: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    namespace: str | None = None
    checkpoint_id: str | None = None
    task_id: str | None = None
    joined: Joined = "none"
    model: str | None = None
    messages: tuple[Message, ...] = ()
    """What a model call was given, oldest first."""
    output: Message | None = None
    """What a model call answered, or what a person said."""
    tool_call: ToolCall | None = None
    idempotency_key: str | None = None
    """What tells the other side that two attempts are one act, where it was recorded apart from the arguments."""
    declared: EffectClass | None = None
    """What calling the tool does, where the project it was read in declares that ([tool.workbench.tools]); None leaves it to the tool's name."""
    result: Json = None
    decision: Decision | None = None
    changes: dict[str, Json] = {}
    """Channels of the state this step's task wrote, before reducers."""
    tokens: Tokens = NO_TOKENS
    cost_usd: float | None = None
    attempts: int | None = None
    """How often it was tried, the first time included, where the source counts that itself (durable engines do)."""
    recovered: bool | None = None
    """Whether the run went on after this step failed, where the source says so; elsewhere it is judged by the run's end."""
    notes: tuple[str, ...] = ()

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from start to end; None where either was not recorded."""
        return None if self.started_ns is None or self.ended_ns is None else (self.ended_ns - self.started_ns) / 1e6

    @property
    def last_message(self) -> str:
        """The text of the last message of the agent's that its task wrote to the state; empty where it wrote none, or one that calls tools.

        Where that called for nothing but the shape of the answer, it is the structured response, as JSON.
        """
        said = [one for value in self.changes.values() for one in _said_by_agent(value)]
        words = "" if not said or said[-1].get("tool_calls") else _text_of(said[-1]["content"])
        structured = self.changes.get(STRUCTURED)
        return words or ("" if structured is None else json.dumps(structured, ensure_ascii=False))

    def at(self, path: str) -> Json:
        """The value at a JSON path such as `$.tool_call.arguments.flight` or `$.messages[0].content`. KeyError names the missing part."""
        value: Json = self.model_dump(mode="json")
        for part in path.removeprefix("$").replace("[", ".[").split(".")[1:]:
            try:
                value = value[int(part[1:-1])] if part.startswith("[") else value[part]
            except (KeyError, IndexError, TypeError, ValueError):
                raise KeyError(f"step {self.index} has no {path}: {part} is missing") from None
        return value


def _said_by_agent(written: Json) -> Iterator[dict[str, Json]]:
    """The messages of an agent in what was written to a channel: whole ones, or short as `["ai", "hi"]` and `{"role": "assistant", "content": "hi"}`."""
    for one in written if isinstance(written, list) and written and isinstance(written[0], dict | list) else [written]:
        match one:
            case [("ai" | "assistant"), str(text)]:
                yield {"content": text}
            case {"type": "ai", "content": _} | {"role": "ai" | "assistant", "content": _}:
                yield one


def _text_of(content: Json) -> str:
    """The text of a message's content: all of it, or of its blocks."""
    blocks = content if isinstance(content, list) else [content]
    return "".join(str(one.get("text") or "") if isinstance(one, dict) else str(one) for one in blocks)


def _words_of(result: Json) -> str:
    """A result as text; of messages, also of a state that holds nothing else, the last one's."""
    state = result["messages"] if isinstance(result, dict) and result.keys() == {"messages"} else result
    said = list(_said_by_agent(state))
    if said and not said[-1].get("tool_calls"):
        return _text_of(said[-1]["content"])
    return result if isinstance(result, str) else canonical(result)


ChangeKind = Literal["none", "tool_result", "state", "message", "model", "system", "tools", "answer", "fault", "http"]


class Change(Value):
    """The one thing a fork changed.

    `tool_result` replaces one tool call's result, `state` overlays channels of the state before the step, `message` edits one message of what the model
    saw, `model` names another model or its settings, `system` replaces the system prompt, `tools` says which tools are offered, `answer` replaces what
    a person said, `fault` lets a call time out, fail, come back empty or late, `http` gives an HTTP call of a node another answer.
    `workbench.replay.shapes.SHAPES` says what each value looks like.
    """

    kind: ChangeKind = "none"
    value: Json = None


class Run(Value):
    """One execution, an interrupted trace and its resumes joined. A fork points at its parent and the step it left it at."""

    run_id: str
    conversation_id: str | None = None
    agent: str | None = None
    root_name: str | None = None
    status: Status = "ok"
    started_ns: int | None = None
    ended_ns: int | None = None
    steps: tuple[Step, ...] = ()
    span_count: int = 0
    agents: tuple[str, ...] = ()
    embedding_calls: int = 0
    summed_tokens: Tokens = NO_TOKENS
    """What an agent's own span sums up, where no model call recorded any tokens."""
    tools: tuple[str, ...] | None = None
    """Every tool offered to the agent, None where that was not recorded."""
    schemas: dict[str, Json] = {}
    """The JSON Schema of the arguments of each tool, as far as it was recorded and the same throughout the run."""
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: dict[str, Json] = {}
    forked_from: str | None = None
    forked_at_step: int | None = None
    change: Change | None = None

    def step(self, index: int) -> Step:
        """The step with this index (chat logs leave gaps). LookupError names the range and the nearest step."""
        if not self.steps:
            raise LookupError(f"run {self.run_id} has no steps")
        place = bisect_left(self.steps, index, key=lambda step: step.index)
        if place < len(self.steps) and self.steps[place].index == index:
            return self.steps[place]
        nearest = min(self.steps, key=lambda step: abs(step.index - index))
        first, last = self.steps[0].index, self.steps[-1].index
        raise LookupError(f"run {self.run_id} has no step {index}: steps go from {first} to {last}, the nearest is {nearest.index} ({nearest.name})")

    def of_kind(self, kind: StepKind) -> Iterator[Step]:
        """The steps of one kind, in time order."""
        return (step for step in self.steps if step.kind == kind)

    @property
    def tokens(self) -> Tokens:
        """Sum over the recorded model calls; the root's own sum only where none of them recorded any."""
        return sum((step.tokens for step in self.of_kind("model")), self.summed_tokens)

    @property
    def cost_usd(self) -> float | None:
        """Sum of the recorded costs; None where none was recorded. It leaves out the `uncosted_calls`."""
        costs = [step.cost_usd for step in self.steps if step.cost_usd is not None]
        return sum(costs) if costs else None

    @property
    def uncosted_calls(self) -> int:
        """How many model calls have no recorded cost, those aside that failed: no provider charges for them."""
        return sum(step.cost_usd is None and step.status != "error" for step in self.of_kind("model"))

    @property
    def joins(self) -> dict[Joined, int]:
        """How many steps that have a span joined their checkpoint exactly, by inference, or not at all."""
        spans = [step.joined for step in self.steps if step.span_id]
        return {quality: spans.count(quality) for quality in ("exact", "inferred", "none")}

    @property
    def halted(self) -> bool:
        """Whether this fork met a call that has no recording, or was stopped: what it would have come to is not known."""
        return any(note.startswith(("halted", "stopped")) for note in self.notes)

    @property
    def result(self) -> Json:
        """What a durable engine recorded as the result of the execution, or a functional agent's `@entrypoint` returned; None where none was recorded."""
        return self.metadata.get("output" if "engine" in self.metadata else RETURNED)

    @property
    def outcome(self) -> str:
        """What the run came to, in a word or the agent's last words: its final answer, else its status and last error.

        Where a `result` was recorded, that is it: of messages the last. Else it is the last message that a node of the graph wrote to the state,
        whoever made it up; where none is recorded, what a model answered last, or where that was no answer, what the agent's own span says it came to.
        """
        if self.status == "ok":
            words = (self._answered or self._last_words if self.result is None else _words_of(self.result)) or self._last_said
            return words or (f"continued as {self.metadata[CONTINUED_AS]}" if self.metadata.get(CONTINUED_AS) else "ended without an answer")
        errors = [step.error for step in self.steps if step.status == "error" and step.error]
        return f"{self.status}: {errors[-1]}" if errors and self.status == "error" else self.status

    @property
    def _last_said(self) -> str:
        """The last message of a state of which no step is known."""
        return str(self.metadata.get(LAST_SAID) or "") if not self.steps else ""

    @property
    def _answered(self) -> str:
        """What the agent's span says it answered, where the model's last words are none: it asked for calls, or tools ran what it wrote."""
        last = next((step for step in reversed(self.steps) if step.kind in ("model", "tool")), None)
        answers = last is not None and last.kind == "model" and last.output is not None and not last.output.tool_calls
        return "" if answers else str(self.metadata.get(ANSWERED) or "")

    @property
    def _last_words(self) -> str:
        """A task of the graph is told by its id, which the namespaces of all that it ran begin with: what it wrote counts for what was said inside it."""
        written = {step.task_id: words for step in self.steps if step.task_id and not step.namespace and (words := step.last_message)}
        for step in reversed(self.steps):
            task = step.namespace.partition("|")[0].rpartition(":")[2] if step.namespace else step.task_id
            answer = step.output if step.kind == "model" else None
            words = written.get(task or "") or (answer.content if answer and not answer.tool_calls else "")
            if words:
                return words
        return ""


# ---- what detectors yield


class Evidence(Value):
    """A pointer to the very value a statement rests on, with the hash it had when it was cited."""

    run_id: str
    step: int
    path: str
    sha256: str
    says: str

    @classmethod
    def cite(cls, run: Run, step: int, path: str, says: str) -> Evidence:
        """Point at one value of one step. KeyError or LookupError when it is not there: evidence is never made up."""
        return cls(run_id=run.run_id, step=step, path=path, sha256=digest(run.step(step).at(path)), says=says)


class Finding(Value):
    """A semantic failure a detector saw: where, how sure (`score`, 0 to 1), the numbers, the evidence, and what would refute it.

    `step` is None when the finding is about the whole run. `capability` and `item` name the part of the production checklist it bears on
    (`workbench.checklist`); `refute` says what to change in a fork to put it to the test.
    """

    detector: str
    run_id: str
    severity: Severity
    score: float
    step: int | None
    message: str
    numbers: dict[str, float | int | str] = {}
    evidence: tuple[Evidence, ...] = ()
    capability: Capability
    item: Item | None = None
    refute: str = ""

    @property
    def finding_id(self) -> str:
        """Twelve hex digits, the same whenever the same thing is found again."""
        return digest(self.model_dump(mode="json", exclude={"item"}))[:12]

    @property
    def key(self) -> str:
        """Sixteen hex digits that stay the same while a run goes on: detector, run and place, whatever the numbers say by now."""
        return finding_key(self.detector, self.run_id, self.step)


def finding_key(detector: str, run_id: str, step: int | None) -> str:
    """The key of a detector's finding at a place of a run."""
    return digest([detector, run_id, step])[:16]


class Review(Value):
    """What a person made of a finding: right or not, and why. `key` is the finding's; `by` who said it, None where that wasn't recorded.

    `origin` is the share bundle it came with, None where it was said here.
    """

    key: str
    run_id: str
    detector: str
    step: int | None
    verdict: Literal["confirmed", "dismissed"]
    note: str = ""
    by: str | None = None
    reviewed_ns: int
    origin: str | None = None

    @property
    def verdict_by(self) -> str:
        """The verdict, and whose it is: `dismissed by ana`."""
        return f"{self.verdict} by {self.by}" if self.by else self.verdict


class Note(Value):
    """What a person wrote down about an incident. `incident` is its name, or the hash of what it is looked for in; `run_id` the worst run then."""

    incident: str
    run_id: str
    text: str
    noted_ns: int


class NotEvaluated(Value):
    """A detector that could not judge a run, and what the run lacks. Silence is never "all is well"."""

    detector: str
    run_id: str
    why: str


# ---- effects, forks, comparisons


class Effect(Value):
    """One attempted side effect. `key` is its business key: the tool with the arguments that make it the same act, idempotency key left out."""

    tool: str
    key: str
    idempotency_key: str | None = None
    step: int
    arguments: dict[str, Json] | None = None
    outcome: Literal["done", "unknown", "failed", "prevented"] = "done"
    """`unknown`: it timed out or broke off, so it may well have happened. `prevented`: a person refused it, or a fork put a result in its place."""
    answered: Answered | None = None
    """What stood for doing it: a person's refusal; in a fork the parent's own step, its recording, the edit, the fence or a word of the agent's own code.
    None where it was really called.
    """
    cause: Cause = "first"
    guessed: bool = True
    """Told by the tool's name, since nobody declared what it does."""
    repeatable: bool = False
    """Declared idempotent: done twice it leaves the same behind as done once."""

    @property
    def ended(self) -> str:
        """How it ended, in words, or why nothing was done."""
        words = {"inherited": f"{self.outcome} in the original", "served": "served", "edited": "edited by you", "uncalled": UNCALLED}
        return words.get(self.answered, self.answered) if self.answered else self.outcome


class Interaction(Value):
    """One recorded answer: what was asked (kind, name, node path without task ids, canonical arguments) and what came back."""

    kind: Literal["model", "tool", "human", "retrieval", "http", "embedding"]
    name: str
    node_path: str
    arguments: Json
    result: Json
    returned: dict[str, Json] = {}
    """What came back with its types (`workbench.reading.kinds`), under `value`; under `lost` the type of what could not be
    written down; `text` where it is `result` and that a text. Empty where nobody wrote any of this down."""
    error: str | None = None
    message: Json = None
    """The message the answer became in the state, all its fields, or as a model's span tells them. Served as it stands, so that it is identical."""
    interrupted: bool = False
    """The call stopped to ask a person; `result` is the question."""
    questions: tuple[Json, ...] = ()
    """What the call asks a person, from its beginning up to where this attempt at it came; None for words that were lost."""
    step: int
    """The step of the run that the call is; of an HTTP exchange or an embedding, the step it was made in."""
    task_id: str | None = None
    call_id: str | None = None
    """The task that made the call or asked the person, and of a tool's call its own id: they tell the very same call of two branches apart."""
    at_once: bool = False
    """The same task asked the very same while this was under way, and was answered otherwise: which of the answers was whose is not recorded."""
    sources: dict[str, Literal["span", "checkpoint"]] = {}
    """Where what was asked and what was answered was taken from."""


class Uncaptured(Value):
    """A step whose answer can't be served, and why. `by_node`: what its node wrote to the state was recorded, and is served in its place."""

    step: int
    kind: str
    name: str
    why: str
    by_node: bool = False

    def __str__(self) -> str:
        return f"step {self.step} {self.name}: {self.why}"


class Cassette(Value):
    """The recorded interactions of a run in recorded order, and the steps for which no answer was captured.

    `steps` counts the steps of the run, `moments` are its first and last nanosecond, `scrub` the user's own patterns of what says nothing.
    """

    version: Literal[1] = 1
    run_id: str
    interactions: tuple[Interaction, ...] = ()
    missing: tuple[Uncaptured, ...] = ()
    steps: int = 0
    moments: tuple[int, int] | None = None
    scrub: dict[str, str] = {}

    @property
    def replayable(self) -> int:
        """How many steps of the run a re-run can be served: all but those whose answer was not captured and that no node's writes stand for."""
        return self.steps - sum(not one.by_node for one in self.missing)

    @property
    def unworded(self) -> tuple[Interaction, ...]:
        """The answers of people to questions whose words were lost: they can be given only where nothing was changed before them."""
        return tuple(one for one in self.interactions if one.kind == "human" and one.arguments is None)


class LedgerEntry(Value):
    """One line of the ledger of side effects: something a re-run attempted, or how a live call began or ended.

    `key` is the business key of the act; `idempotency_key` tells repetitions of the very same act, whichever fork makes it (empty where a repetition
    does no harm). `answered` is how it was answered, `refused` where it was to go live and did not.
    """

    run_id: str
    parent_run_id: str
    root_run_id: str
    """The recorded run that this fork, or the fork it was made of, goes back to."""
    event: Literal["attempted", "begun", "done", "failed", "unknown", "refused"]
    kind: Literal["tool", "model", "http"]
    """`http`: a request of a plain node's own, named by its method, host and path."""
    name: str
    key: str
    idempotency_key: str = ""
    effect: EffectClass
    guessed: bool
    cause: Cause = "first"
    answered: Literal["served", "edited", "halted", "blocked", "live", "refused"] = "served"
    arguments: Json = None
    approved_by: str = ""
    already: tuple[str, ...] = ()
    """What was known of the same act before it went live: that the recorded run did it, or another fork, live. Never a person's words."""
    says: str = ""
    result: Json = None
    at_ns: int


class Budget(Value):
    """What a re-run may spend; None sets no limit. `steps` are all calls it makes, `failures` how often in a row something live may fail."""

    model_calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    steps: int | None = None
    failures: int = 5


class Spent(Value):
    """What was spent: live model calls with their tokens and cost by list price (None: not known), seconds, and all calls made."""

    model_calls: int = 0
    tokens: Tokens = NO_TOKENS
    cost_usd: float | None = None
    seconds: float = 0.0
    steps: int = 0


class CallCounts(Value):
    """How the calls of a re-run were answered. `blocked` is what the fence or the sandbox stopped, `halted` what had no recording.

    `answered` are the questions that people were not asked again, since their recorded or changed answers were given: no calls of the agent's.
    """

    served: int = 0
    live: int = 0
    blocked: int = 0
    halted: int = 0
    answered: int = 0


class CallRecord(Value):
    """One call a re-run made, and how it was answered. `says` explains a halt (nearest recording, what differs) or a block."""

    kind: str
    name: str
    node_path: str = ""
    answer: Literal["served", "edited", "live", "blocked", "halted"]
    arguments: Json = None
    from_step: int | None = None
    says: str = ""


class EffectCount(Value):
    """How often one effect was attempted in the original and in the fork: what an edit answered, the fence stopped or a person refused was not."""

    tool: str
    key: str
    original: int
    fork: int
    became: dict[Became, int] = {}
    """What became of the fork's, of those too that don't count."""


class Check(Value):
    """One thing a receipt is judged by. `says` is what it was judged by."""

    name: str
    verdict: Literal["pass", "fail", "not applicable"]
    says: str = ""


class NodeCount(Value):
    """How often a node was to run again, by the recording, and how often it did in the fork."""

    node: str
    asked: int
    ran: int


class Receipt(Value):
    """What a fork was asked, what ran, what was served, what went live, what was stopped. Green only when none of its checks failed."""

    version: Literal[1] = 1
    run_id: str
    parent_run_id: str
    forked_at_step: int
    change: Change
    context: tuple[str, ...] = ()
    """The fields of the run's context that were given by hand with another value than was recorded."""
    live: tuple[str, ...] = ()
    graph: str
    calls: CallCounts
    records: tuple[CallRecord, ...] = ()
    effects: tuple[EffectCount, ...] = ()
    outcome: str
    isolation: str
    isolation_asked: Level | None = None
    isolation_reached: Level | Literal["guarded"] | None = None
    """The level that was asked for, and the one that held: `guarded` where the sandbox did not; None where no code of the agent ran."""
    parent_sha256: dict[str, str] = {}
    """Hash of each recorded database (on a server: of the thread's rows) before the fork; `parent_intact` says that it was the same afterwards."""
    parent_intact: bool = True
    prefix_sha256: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    nodes: tuple[NodeCount, ...] = ()
    attempts: dict[str, int] = {}
    """The fork's own side effects, of tools and of plain nodes' requests: `attempted` in all, and how many of them were answered how."""
    went_live: tuple[LedgerEntry, ...] = ()
    """The live calls of tools, each as the ledger has it last."""
    divergences: tuple[str, ...] = ()
    """What was served otherwise than it was recorded: moved, repeated, scrubbed."""
    stale_reads: tuple[str, ...] = ()
    """Reads that were served as recorded although something live or edited came before them."""
    spent: Spent | None = None
    state_sha256: tuple[str, str] | None = None
    """Hash of the last state in memory, and of the same state reloaded from scratch."""
    history_sha256: tuple[str, str] | None = None
    """Hash of the checkpoints before the cut, as they were copied from the recording and as the fork left them."""
    checks: tuple[Check, ...] = ()

    @property
    def clean(self) -> bool:
        """No check failed. A receipt from before there were checks: nothing was halted or blocked, and the recording is byte-identical."""
        if self.checks:
            return all(check.verdict != "fail" for check in self.checks)
        return self.calls.halted == 0 and self.calls.blocked == 0 and self.parent_intact


Aspect = Literal["message", "tool", "arguments", "result", "state", "error", "status"]


class Aligned(Value):
    """One row of a comparison: the steps that stand side by side, the fields in which they differ, and in what way."""

    relation: Literal["same", "changed", "added", "removed"]
    left: int | None = None
    right: int | None = None
    differs: tuple[str, ...] = ()
    aspects: tuple[Aspect, ...] = ()


class Comparison(Value):
    """Two runs aligned step by step, with their effects and what each came to."""

    left: Run
    right: Run
    rows: tuple[Aligned, ...]
    effects: tuple[EffectCount, ...]
    gone: tuple[Finding, ...] | None = None
    """Findings of the left run that the right one has not, and `new` the other way round; None where the runs were not examined."""
    new: tuple[Finding, ...] | None = None

    @property
    def cut_short(self) -> str:
        """Why the right run does not show what is gone for good: it "halted", or "failed" where the left one did not; empty where it does."""
        return "halted" if self.right.halted else "failed" if self.right.status == "error" != self.left.status else ""

    @property
    def first_divergence(self) -> Aligned | None:
        """The first row that is not the same on both sides."""
        return next((row for row in self.rows if row.relation != "same"), None)


Record = Span | Log | Checkpoint | Conversation | Run | Receipt | Review | Skip
"""What a collector may yield. A `Run` is for sources that tell a whole run themselves, such as the history of a durable engine; receipts and reviews travel
with the runs of a share bundle."""
