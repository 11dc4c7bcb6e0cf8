"""Records a LangGraph agent into a store, in one line.

    with wb.record(graph, "incident.db") as graph:
        graph.invoke(...)

The spans are made by OpenInference's LangChain instrumentor. What no convention carries is added to them, as attributes under `workbench.`, which
`conventions/workbench.toml` lists and reads back: the tools offered, confidence and its source, reasoning, arguments by name, idempotency keys,
approvals, retries with reason and delay, what calls returned with its types. Needs the optional extra `record`.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID, uuid4

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers.context import register_configure_hook
from langgraph.callbacks import GraphCallbackHandler, GraphInterruptEvent
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext

from workbench.analysis.effects import idempotency_key
from workbench.live.exporter import StoreExporter
from workbench.live.outgoing import SCOPE, Outgoing
from workbench.live.returned import written
from workbench.live.tap import listening
from workbench.model import Json, as_json
from workbench.reading import kinds
from workbench.reading.messages import message_of, tool_names
from workbench.taps import configs, contexts, starts, wire
from workbench.taps.starts import Graph

if TYPE_CHECKING:
    from openinference.instrumentation.langchain import LangChainInstrumentor

logger = logging.getLogger("workbench.live")

G = TypeVar("G")
Evaluator = Callable[[BaseMessage], float | None]
"""Says how sure a model's answer is, 0 to 1; None where it can't tell."""

MOST_ATTRIBUTES = 100_000
"""Messages are flattened into attributes, far more than the SDK's default of 128 a span."""
MOST_REMEMBERED = 10_000
_annotating: ContextVar[Annotator | None] = ContextVar("workbench_annotator", default=None)
"""Who annotates the calls made in a context, whichever graph makes them."""
register_configure_hook(_annotating, inheritable=True)

RETRY_TAG = "retry:attempt:"
PLACE, CONTEXT, HIDDEN = "place", "context", "hidden"
NODE_NAMESPACE, NODE_NAME, THREAD = "langgraph_checkpoint_ns", "langgraph_node", "thread_id"


class RecordError(RuntimeError):
    """An agent that can't be recorded. The message says what would be right."""


class Recording(Generic[G]):
    """An agent that is being recorded: call `graph`. `close` it, or use it as a context manager; at the end of the process it closes itself."""

    def __init__(self, graph: G, annotator: Annotator, exporter: StoreExporter, instrumentor: LangChainInstrumentor | None, outgoing: Outgoing) -> None:
        self.graph, self.exporter = graph, exporter
        self._annotator, self._instrumentor, self._outgoing = annotator, instrumentor, outgoing
        outgoing.begin()
        starts.listen(annotator.started)

    def __enter__(self) -> G:
        return self.graph

    def __exit__(self, *_: object) -> None:
        self.close()

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until what ended is durable; whether it was within this time."""
        return self.exporter.force_flush(int(seconds * 1000))

    @property
    def redacted(self) -> dict[str, int]:
        """How many values of what is stored were replaced by pseudonyms, by kind."""
        return dict(self.exporter.redacted)

    def __repr__(self) -> str:
        return f"recording into {self.exporter.path}: {self.exporter.told()}"

    def close(self) -> None:
        """Store what was recorded and record no more; what came of it is logged."""
        self._outgoing.end()
        starts.forget(self._annotator.started)
        if self._instrumentor is not None:
            self._instrumentor.uninstrument()
            self._instrumentor = None
        self.exporter.shutdown()


_open: list[Recording[Any]] = []
_opening = threading.Lock()


def record(graph: G, store: str | os.PathLike[str] = "workbench.db", *, agent: str | None = None, confidence: Evaluator | None = None) -> Recording[G]:
    """Record every LangChain and LangGraph call of this process into a store, with the annotations of those made through `graph`.

    `agent` names it (default: the graph's own name); `confidence` judges each answer of a model, else log-probabilities and the model's own word
    count. One recording at a time: the one before is closed. Where LangChain is instrumented already, its spans go to the store as well as where
    they went before. RecordError says what is missing.
    """
    annotator = Annotator(confidence)
    annotated = _annotated(graph, annotator, agent)  # what can't be recorded is refused before anything is switched on
    return _begin(annotated, annotator, store, agent or getattr(graph, "name", None) or "agent")


@contextmanager
def recorded_calls(store: str | os.PathLike[str], *, agent: str = "agent", confidence: Evaluator | None = None) -> Iterator[Recording[None]]:
    """Record every LangChain and LangGraph call made inside, whichever graph makes it, and the spans of the global OpenTelemetry provider.

    Where no provider is set, ours becomes the global one. Else as `record`.
    """
    annotator = Annotator(confidence)
    with closing(_begin(None, annotator, store, agent)) as recording, listening(recording.exporter):
        token = _annotating.set(annotator)
        try:
            yield recording
        finally:
            _annotating.reset(token)


def _begin(graph: G, annotator: Annotator, store: str | os.PathLike[str], name: str) -> Recording[G]:
    """A recording that is on; the one before is closed."""
    with _opening:
        while _open:
            _open.pop().close()
        exporter = StoreExporter(store, name=f"recorder:{name}", late=annotator.late)
        try:
            provider, instrumentor = _instrumented(exporter, name)
        except RecordError:
            exporter.shutdown()
            raise
        outgoing = Outgoing(provider.get_tracer(SCOPE), annotator.span_around)
        recording = Recording(graph, annotator, exporter, instrumentor, outgoing)
        _open.append(recording)
        return recording


def note_idempotency_key(key: str) -> None:
    """Say, from inside a tool, by which key the other side tells a repetition from a new act. Does nothing where nothing is recorded."""
    if (span := _openinference().get_current_span()) is not None:
        span.set_attribute("workbench.tool.idempotency_key", key)


def _annotated(graph: G, annotator: Annotator, name: str | None) -> G:
    if not hasattr(graph, "with_config"):
        raise RecordError(f"record wants a compiled graph or another LangChain runnable, found {type(graph).__name__}; did you forget .compile()?")
    annotated: G = graph.with_config(callbacks=[annotator], **({"run_name": name} if name else {}))
    return annotated


def _instrumented(exporter: StoreExporter, name: str) -> tuple[TracerProvider, LangChainInstrumentor | None]:
    """The provider that feeds the exporter, and the instrumentor, switched on for it; None where it was on and only its provider gained the exporter."""
    instrumentor = _openinference().LangChainInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        provider = trace.get_tracer_provider()
        if not isinstance(provider, TracerProvider):
            raise RecordError("LangChain is instrumented already, with a provider that is not the global one: add a StoreExporter to that provider yourself")
        provider.add_span_processor(exporter)
        return provider, None
    provider = TracerProvider(resource=Resource({"service.name": name}), span_limits=SpanLimits(max_span_attributes=MOST_ATTRIBUTES), shutdown_on_exit=False)
    provider.add_span_processor(exporter)
    instrumentor.instrument(tracer_provider=provider)
    return provider, instrumentor


def _openinference() -> Any:
    try:
        from openinference.instrumentation import langchain  # noqa: PLC0415  # an optional extra
    except ImportError as error:
        raise RecordError("recording needs the instrumentor: pip install 'replay-workbench[record]'") from error
    return langchain


# ---- annotations


@dataclass(frozen=True)
class Attempt:
    """The attempt of a node or call that failed last."""

    number: int
    reason: str
    ended_ns: int


class Annotator(GraphCallbackHandler):
    """Adds attributes to the spans of the instrumentor: while they are open, else to what the exporter makes of them."""

    run_inline = True  # in an async run too: before the instrumentor's own handler ends the span

    def __init__(self, confidence: Evaluator | None = None, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._confidence, self._now_ns = confidence, now_ns
        self._started: OrderedDict[UUID, dict[str, Any]] = OrderedDict()
        self._failed: OrderedDict[str, Attempt] = OrderedDict()
        self._asked: OrderedDict[str, tuple[Json, int]] = OrderedDict()
        self._ended: OrderedDict[UUID, SpanContext] = OrderedDict()
        self._late: OrderedDict[tuple[int, int], dict[str, Any]] = OrderedDict()
        self._threads: OrderedDict[UUID, str] = OrderedDict()
        self._begun: OrderedDict[UUID, dict[str, Any]] = OrderedDict()

    def started(self, graph: Graph, config: RunnableConfig | None, context: Any, loops: bool) -> RunnableConfig | None:
        """Remember what a graph is started with, which its callbacks aren't told. The id that its run is given, if it has none, tells whose it is."""
        found: dict[str, Any] = dict(configs.written(graph, config))
        if found:
            found[starts.LOOPS] = loops
        if context is not None or graph.context_schema is not None:
            found |= contexts.written(context)
        if not found:
            return config
        given: RunnableConfig = config or {}
        run_id = given.get("run_id") or uuid4()
        _keep(self._begun, run_id, found)
        return {**given, "run_id": run_id}

    # ---- starts: there may be no span yet

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Remember the tools offered."""
        wire.shift(1)
        offered = tool_names((kwargs.get("invocation_params") or {}).get("tools"))
        self._start(run_id, parent_run_id, kwargs, {"workbench.model.tools": list(offered) if offered is not None else None})

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Remember the arguments by name, and the idempotency key among them."""
        wire.shift(1)
        inputs = kwargs.get("inputs")
        arguments = inputs if isinstance(inputs, dict) else None
        found = {"workbench.tool.arguments": None if arguments is None else _json(arguments), "workbench.tool.idempotency_key": idempotency_key(arguments)}
        self._start(run_id, parent_run_id, kwargs, found)

    def on_retriever_start(self, serialized: dict[str, Any], query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Remember that a retriever begins."""
        self._start(run_id, parent_run_id, kwargs, {})

    def on_chain_start(self, serialized: dict[str, Any], inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Remember that a node begins, or that a thread is resumed with a person's answer."""
        metadata = kwargs.get("metadata") or {}
        found: dict[str, Any] = dict(self._begun.pop(run_id, {}))
        if parent_run_id is None and isinstance(thread := metadata.get(THREAD), str):
            _keep(self._threads, run_id, thread)
            if isinstance(inputs, Command) and inputs.resume is not None:
                found |= self._approval(thread, inputs.resume)
        self._start(run_id, parent_run_id, kwargs, found)

    def _start(self, run_id: UUID, parent_run_id: UUID | None, kwargs: Mapping[str, Any], found: dict[str, Any]) -> None:
        place = _place(parent_run_id, kwargs)
        before = self._failed.get(place) if place else None
        if before is not None:
            found |= {"workbench.retry.attempt": before.number + 1, "workbench.retry.reason": before.reason}
            found["workbench.retry.delay_ms"] = max(0.0, (self._now_ns() - before.ended_ns) / 1e6)
        known = {**found, PLACE: place if _is_attempt(kwargs) else None, HIDDEN: False}
        if (span := _span_of(run_id)) is not None:  # the instrumentor heard first, and will be first at the end, too
            span.set_attributes(_recorded(found))
            known |= {CONTEXT: span.get_span_context(), HIDDEN: _hides(span)}
        _keep(self._started, run_id, known)

    # ---- ends: the span may have ended

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Write the tools offered, the confidence and the reasoning."""
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        found = self._judged(generation.message) if isinstance(generation, ChatGeneration) else {}
        wire.shift(-1)
        self._write(run_id, found)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Write the arguments, the idempotency key, and what was returned."""
        wire.shift(-1)
        self._write(run_id, written(output))

    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        """Write the documents, of which the instrumentor leaves out the ids."""
        self._write(run_id, written(documents))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Write what was remembered; a node that went well is no retry next time."""
        if place := self._write(run_id):
            self._failed.pop(place, None)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Write what was remembered, and remember the failure."""
        number = self._started.get(run_id, {}).get("workbench.retry.attempt", 1)
        place = self._write(run_id)
        if not isinstance(error, GraphBubbleUp):  # a pause or a handoff is no failure
            failed = Attempt(number, f"{type(error).__name__}: {error}", self._now_ns())
            # The first attempt of `with_retry` bears no sign of it: what is tried again is what its parent calls again.
            for key in filter(None, (place, parent_run_id and str(parent_run_id))):
                _keep(self._failed, key, failed)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """The same for a tool, and for a model, whose requests end here too."""
        wire.shift(-1)
        self.on_chain_error(error, run_id=run_id, parent_run_id=parent_run_id, **kwargs)

    on_llm_error = on_tool_error

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """The same for a retriever."""
        self.on_chain_error(error, run_id=run_id, parent_run_id=parent_run_id, **kwargs)

    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        """Remember what a thread asks a person, and when."""
        if event.run_id is not None and (thread := self._threads.get(event.run_id)) is not None:
            questions = [interrupt.value for interrupt in event.interrupts]
            _keep(self._asked, thread, (questions[0] if len(questions) == 1 else questions, self._now_ns()))

    def _approval(self, thread: str, answer: Json) -> dict[str, Any]:
        found: dict[str, Any] = {"workbench.approval.answer": _json(answer)}
        if (asked := self._asked.pop(thread, None)) is not None:
            found["workbench.approval.question"] = _json(asked[0])
            found["workbench.approval.waited_ms"] = (self._now_ns() - asked[1]) / 1e6
        return found

    def _judged(self, message: BaseMessage) -> dict[str, Any]:
        said = message_of(message.model_dump())
        found: dict[str, Any] = {"workbench.model.reasoning": said.reasoning if said else None}
        if self._confidence is not None and (score := self._confidence(message)) is not None:
            return found | {"workbench.model.confidence": float(score), "workbench.model.confidence_source": "evaluation"}
        if said is None:
            return found
        return found | {"workbench.model.confidence": said.confidence, "workbench.model.confidence_source": said.confidence_source}

    def _write(self, run_id: UUID, found: Mapping[str, Any] | None = None) -> str | None:
        """Write what is known of a call to its span; the place by which a retry of it is recognised, None for what is never retried."""
        known = {**self._started.pop(run_id, {}), **(found or {})}
        place: str | None = known.pop(PLACE, None)
        ended: SpanContext | None = known.pop(CONTEXT, None)
        hidden, span = known.pop(HIDDEN, False), _span_of(run_id)
        if hidden or _hides(span):
            known = {name: value for name, value in known.items() if name not in kinds.RETURNED}
        attributes = _recorded(known)
        if span is not None:
            span.set_attributes(attributes)
            ended = span.get_span_context()
        elif ended is not None and attributes:
            _keep(self._late, (ended.trace_id, ended.span_id), attributes)
        if ended is not None:
            _keep(self._ended, run_id, ended)
        return place

    def span_around(self, config: RunnableConfig) -> Span | None:
        """The span of the call that a config is beside, which may have ended: a thread can outlive the node that started it. None where it was not heard of."""
        run_id = getattr(config.get("callbacks"), "parent_run_id", None)
        if run_id is None:
            return None
        ended = self._ended.get(run_id)
        return _span_of(run_id) or (ended and NonRecordingSpan(ended))

    def late(self, span: ReadableSpan) -> Mapping[str, Any]:
        """What was learnt of a span after it ended, for the exporter: LangChain doesn't say which of two handlers hears first."""
        context = span.context
        return {} if context is None else self._late.get((context.trace_id, context.span_id), {})


def _span_of(run_id: UUID) -> Span | None:
    """The instrumentor's span of a call that has begun, as far as it heard of it, and has not ended."""
    instrumentor = _openinference().LangChainInstrumentor()
    span: Span | None = instrumentor.get_span(run_id) if instrumentor.is_instrumented_by_opentelemetry else None
    return span


def _hides(span: Span | None) -> bool:
    """Whether the instrumentor was told to keep to itself what calls return."""
    config = getattr(span, "_self_config", None)
    return bool(getattr(config, "hide_outputs", False) or getattr(config, "hide_retrieval_documents", False))


def _recorded(known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in known.items() if value is not None}


def _place(parent_run_id: UUID | None, kwargs: Mapping[str, Any]) -> str | None:
    """What the attempts of one thing have in common: the task of a LangGraph node, or the retrying runnable that `with_retry` made."""
    if any(str(tag).startswith(RETRY_TAG) for tag in kwargs.get("tags") or ()):
        return str(parent_run_id)
    namespace = (kwargs.get("metadata") or {}).get(NODE_NAMESPACE)
    return namespace if isinstance(namespace, str) else None


def _is_attempt(kwargs: Mapping[str, Any]) -> bool:
    """Whether a call is itself what is tried again, rather than a part of it."""
    tagged = any(str(tag).startswith(RETRY_TAG) for tag in kwargs.get("tags") or ())
    return tagged or (kwargs.get("name") is not None and kwargs.get("name") == (kwargs.get("metadata") or {}).get(NODE_NAME))


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, default=as_json)


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    """Remember, and forget the oldest past a bound: a run that never ends must not cost memory for ever."""
    kept[key] = value
    while len(kept) > MOST_REMEMBERED:
        kept.popitem(last=False)
