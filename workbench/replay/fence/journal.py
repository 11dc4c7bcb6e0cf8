"""What a re-run did, call by call: a record of how each call was answered, and a span of it, so that a fork is read like any other run."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from workbench.model import CallRecord, Json, Span, SpanEvent, canonical
from workbench.replay.recording.given import MESSAGES, Given, Read, without_messages
from workbench.replay.recording.place import own_path
from workbench.replay.recording.tape import Call

Answer = Literal["served", "edited", "live", "blocked", "halted"]
ID_ATTRIBUTE = "workbench.call"
"""Span attribute: which of the journal's records the span belongs to."""
SCOPE = "workbench.replay"
OPERATIONS = {"model": ("chat", "LLM"), "tool": ("execute_tool", "TOOL"), "retrieval": ("retrieval", "RETRIEVER"), "node": ("chain", "CHAIN")}
"""Of each kind of call that is a step, what it is called by the conventions."""


NOTHING = Given(())


@dataclass
class Seen:
    """A call as the fence saw it: what identifies it, where in the graph it was made, and what its span shows."""

    call: Call
    namespace: str
    node: str | None
    thread_id: str | None
    started_ns: int
    place: str = ""
    """The super-step and task it was made in, the same in every fork of a run and when a fork goes on."""
    declared: Json = None
    """What the tool's own metadata says that calling it does."""
    call_id: str | None = None
    model: str | None = None
    given: Given = NOTHING
    """What a model was given."""
    offered: Json = None
    nth: int | None = None
    """Which of the same calls made there it is (`Journal.count`)."""


def step_of(metadata: dict[str, Json]) -> str:
    """The super-step and the task in it, without the ids that differ from fork to fork."""
    path = metadata.get("langgraph_path")
    return canonical([metadata.get("langgraph_step"), [str(one) for one in path] if isinstance(path, list | tuple) else None])


def place(metadata: dict[str, Json]) -> tuple[str, str | None, str]:
    """Namespace, node and node path of a call, from the metadata LangGraph gives to whatever runs in a node."""
    namespace = str(metadata.get("langgraph_checkpoint_ns") or metadata.get("checkpoint_ns") or "")
    return namespace, metadata.get("langgraph_node"), own_path(namespace, metadata.get("langgraph_path") or ())


class Notes(list[str]):
    """What there is to say of a re-run, told as soon as it is said: a kill can't hide it."""

    def __init__(self, tell: Callable[[dict[str, Json]], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, note: str) -> None:
        """Say something."""
        super().append(note)
        self._tell({"note": note})

    def extend(self, notes: Iterable[str]) -> None:
        """Say several things."""
        for one in notes:
            self.append(one)

    def keep(self, notes: Iterable[str]) -> None:
        """Take in what was told elsewhere."""
        super().extend(notes)


@dataclass
class Journal:
    """Collects the calls of one re-run, from any thread. `clock` gives nanoseconds since 1970."""

    run_id: str
    clock: Callable[[], int] = time.time_ns
    tell: Callable[[dict[str, Json]], None] = lambda _: None
    """Where each record and span goes as soon as there is one."""
    records: list[CallRecord] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    first: int = 0
    """How many records an earlier part of a resumed re-run left."""
    part: int = 0
    _nth: Counter[str] = field(default_factory=Counter)
    _numbers: dict[Read, str] = field(default_factory=dict)
    """What was told of the messages that models were given, by their numbers."""
    _starts: int = 0
    _root: Span | None = None
    _taken_up: Span | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def go_on(self, root: Span | None, starts: int) -> None:
        """Take up the trace of a re-run that was killed."""
        self._taken_up, self._starts = root, starts

    def start(self, name: str, resume: Json = None, **about: Json) -> None:
        """The graph is started or resumed: what follows is one trace. What is said `about` the start is what it takes to go on after a kill.

        `resume` are answers by the ids of their questions, which stand on the trace's root, since LangGraph does not keep them all.
        """
        self._root, self._taken_up = self._taken_up, None
        if self._root is None:
            self._begin(name, {} if resume is None else {"input.value": json.dumps({"resume": resume, "goto": []}), "input.mime_type": "application/json"})
        if self._root is not None:
            self.tell({"start": {**about, "root": self._root.model_dump(mode="json")}})

    def _begin(self, name: str, given: dict[str, Json]) -> None:
        self._starts += 1
        trace_id = self._id(f"trace {self._starts}", 32)
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "openinference.span.kind": "AGENT",
            "gen_ai.agent.name": name,
            "gen_ai.conversation.id": self.run_id,
            **given,
        }
        self._root = Span(trace_id=trace_id, span_id=self._id(f"root {self._starts}", 16), name=name, start_ns=self.clock(), attributes=attributes, scope=SCOPE)

    def stop(self, error: str = "", kind: str = "", paused: Sequence[Json] = ()) -> None:
        """The graph ended or stopped, perhaps with an error, of this type, or at these breakpoints."""
        if self._root is not None:
            attributes = {"exception.type": kind, "exception.message": error.removeprefix(f"{kind}: ")}
            events = (SpanEvent(name="exception", attributes=attributes),) if error else ()
            ended = {"end_ns": self.clock(), "status": "error" if error else "ok", "status_message": error, "events": events}
            self.spans.append(self._root.model_copy(update=ended))
            self.tell({"span": self.spans[-1].model_dump(mode="json"), "stopped": {"failed": error, "paused": list(paused)}})

    def _id(self, of: str, digits: int) -> str:
        return hashlib.sha256(f"{self.run_id}/{of}".encode()).hexdigest()[:digits]

    def count(self, seen: Seen) -> int:
        """Which of the same calls made at the same place this is, from 0. It is one call however often it is asked about: before it goes live, and after."""
        same = canonical([seen.namespace, seen.place, seen.call.kind, seen.call.name, seen.call.sha256])
        with self._lock:
            if seen.nth is None:
                seen.nth = self._nth[same]
                self._nth[same] += 1
            return seen.nth

    def note(
        self,
        seen: Seen,
        answer: Answer,
        *,
        from_step: int | None = None,
        says: str = "",
        output: Json = None,
        error: BaseException | str | None = None,
    ) -> None:
        """Write down one answered call. `output` is the model's message or the tool's result, `error` what the call raised."""
        record = CallRecord.unchecked(
            kind=seen.call.kind,
            name=seen.call.name,
            node_path=seen.call.node_path,
            answer=answer,
            arguments=seen.call.arguments,
            from_step=from_step,
            says=says,
        )
        nth = 0 if answer == "live" else self.count(seen)
        with self._lock:
            self.records.append(record)
            span = self._span(seen, self.first + len(self.records) - 1, output, error) if seen.call.kind in OPERATIONS else None
            self.spans += [] if span is None else [span]
            self.tell(self._line(seen, nth, record, span))

    def _line(self, seen: Seen, nth: int, record: CallRecord, span: Span | None) -> dict[str, Json]:
        """What is told of a call. The messages that a model was given stand there by their numbers."""
        told: dict[str, Json] = {"place": seen.place, "nth": nth, "declared": seen.declared, "namespace": seen.namespace}
        if seen.given.messages:
            told["given"] = self._numbered(seen.given)
            record, span = record.model_copy(update={"arguments": None}), span and without_messages(span)
        told["record"] = record.model_dump(mode="json")
        return told if span is None else told | {"span": span.said()}

    def _numbered(self, given: Given) -> list[str]:
        """The numbers of the messages that a model was given. Those that were not told of yet are told of now."""
        new = [one for one in dict.fromkeys(given.messages) if one not in self._numbers]
        self._numbers |= {one: f"{self.part}.{number}" for number, one in enumerate(new, len(self._numbers))}
        if new:
            self.tell({"messages": {self._numbers[one]: {"shown": one.shown, "meant": one.meant} for one in new}})
        return [self._numbers[one] for one in given.messages]

    def node_failed(self, name: str, namespace: str, error: BaseException) -> None:
        """Write down that a node failed. Otherwise the failure of the graph would look like one of its own."""
        with self._lock:
            now, number = self.clock(), f"node {len(self.spans)}"
            attributes = {"openinference.span.kind": "CHAIN", "metadata": json.dumps({"langgraph_checkpoint_ns": namespace, "langgraph_node": name})}
            span = Span(trace_id="", span_id=self._id(number, 16), name=name, start_ns=now, attributes=attributes, scope=SCOPE)
            self.spans.append(self._raised(span, error))
            self.tell({"span": self.spans[-1].model_dump(mode="json")})

    def forget(self) -> None:
        """Take back the spans told so far: the graph could not be run in that way, and is begun again."""
        self.spans.clear()
        self.tell({"forget": "spans"})

    def _raised(self, span: Span, error: BaseException | str | None) -> Span:
        """A span below the root, ended by this error if there is one."""
        message = "" if error is None else str(error)
        kind = {"exception.type": type(error).__name__} if isinstance(error, BaseException) else {}
        events = () if error is None else (SpanEvent(name="exception", attributes={**kind, "exception.message": message}),)
        return span.model_copy(
            update={
                "trace_id": self._root.trace_id if self._root else self._id("trace 0", 32),
                "parent_span_id": self._root.span_id if self._root else None,
                "end_ns": self.clock(),
                "status": "ok" if error is None else "error",
                "status_message": message,
                "events": events,
            }
        )

    def _span(self, seen: Seen, number: int, output: Json, error: BaseException | str | None) -> Span:
        attributes = {
            ID_ATTRIBUTE: number,
            **_where(seen),
            **ATTRIBUTES[seen.call.kind](seen, output),
        }
        span = Span.unchecked(
            span_id=self._id(f"{self.part}.{number}" if self.part else str(number), 16),
            name=seen.call.name,
            start_ns=seen.started_ns,
            attributes=attributes,
            scope=SCOPE,
        )
        return self._raised(span, error)


def _where(seen: Seen) -> dict[str, Json]:
    operation, kind = OPERATIONS[seen.call.kind]
    metadata = {"langgraph_checkpoint_ns": seen.namespace, "langgraph_node": seen.node, "thread_id": seen.thread_id}
    return {
        "gen_ai.operation.name": operation,
        "openinference.span.kind": kind,
        "metadata": json.dumps({key: value for key, value in metadata.items() if value}),
        **({"gen_ai.conversation.id": seen.thread_id} if seen.thread_id else {}),
    }


def _model_attributes(seen: Seen, output: Json) -> dict[str, Json]:
    found = {MESSAGES: seen.given.shown}
    if seen.model:
        found["gen_ai.request.model"] = seen.model
    if seen.offered:
        found["gen_ai.tool.definitions"] = canonical(seen.offered)
    if output is not None:
        found["gen_ai.output.messages"] = canonical([output])
    return found


def _tool_attributes(seen: Seen, output: Json) -> dict[str, Json]:
    found = {"gen_ai.tool.name": seen.call.name, "gen_ai.tool.call.arguments": canonical(seen.call.arguments)}
    if seen.call_id:
        found["gen_ai.tool.call.id"] = seen.call_id
    if output is not None:
        found["gen_ai.tool.call.result"] = output if isinstance(output, str) else canonical(output)
    return found


def _retrieval_attributes(seen: Seen, output: Json) -> dict[str, Json]:
    return {"gen_ai.data_source.id": seen.call.name, "gen_ai.retrieval.documents": canonical(output)}


def _no_attributes(_seen: Seen, _output: Json) -> dict[str, Json]:
    return {}


ATTRIBUTES = {"model": _model_attributes, "tool": _tool_attributes, "retrieval": _retrieval_attributes, "node": _no_attributes}
