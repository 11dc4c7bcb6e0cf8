"""Records what a plain node calls besides tools and models, as spans with bodies: HTTP exchanges (httpx, requests) and embeddings.

No instrumentor keeps bodies. Requests of models and tools are left out: their own spans tell what came of them. Headers of requests, which hold
keys, are never kept; a stream of events is let pass as it comes.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from langchain_core.runnables import RunnableConfig
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from workbench.taps import threads, vectors, wire
from workbench.taps.wire import Answered, Asked, text_of

PLACE = {"langgraph_checkpoint_ns": "workbench.namespace", "langgraph_node": "workbench.node", "thread_id": "workbench.thread_id"}
MOST_BYTES = 1 << 20
"""A longer body is not kept, and the exchange can't be served then."""
SCOPE = "workbench.outgoing"


class Outgoing:
    """Writes each exchange made inside a LangGraph node, or in its threads, as a span. `parent` gives the node's own span by its config."""

    def __init__(self, tracer: Tracer, parent: Callable[[RunnableConfig], Span | None]) -> None:
        self._tracer, self._parent = tracer, parent

    def begin(self) -> None:
        """Listen from now on."""
        wire.listen(self)
        threads.begin()
        vectors.listen(self.embedded)

    @staticmethod
    def end() -> None:
        """Listen no more."""
        wire.listen(None)
        threads.end()
        vectors.listen(None)

    def listens(self) -> bool:
        """Inside of nodes."""
        return _node() is not None

    def answer(self, asked: Asked) -> None:
        """Nothing is answered: every request goes out."""

    def heard(self, asked: Asked, answered: Answered) -> None:
        """Write an exchange down."""
        if max(len(asked.body), len(answered.body)) > MOST_BYTES:
            return
        with self._span(f"{asked.method} {urlsplit(asked.url).netloc}", "http", asked.at_ns) as span:
            if span is None:
                return
            span.set_attributes({"http.request.method": asked.method, "url.full": asked.url, "workbench.http.request.body": text_of(asked.body)})
            if answered.error is not None:
                kind, _, message = answered.error.partition(": ")
                span.add_event("exception", {"exception.type": kind, "exception.message": message})
                span.set_status(Status(StatusCode.ERROR, answered.error))
                return
            span.set_attribute("http.response.status_code", answered.status)
            span.set_attribute("workbench.http.response.headers", json.dumps(answered.headers))
            span.set_attribute("workbench.http.response.body", text_of(answered.body))

    def embedded(self, embeddings: Any, method: str, texts: Any, call: Callable[[], Any]) -> Any:
        """Make the vectors, and write them down."""
        found = call()
        if inspect.isawaitable(found):
            return self._embedded_later(embeddings, method, texts, found)
        self._embedding(embeddings, method, texts, found)
        return found

    async def _embedded_later(self, embeddings: Any, method: str, texts: Any, waiting: Any) -> Any:
        found = await waiting
        self._embedding(embeddings, method, texts, found)
        return found

    def _embedding(self, embeddings: Any, method: str, texts: Any, found: Any) -> None:
        asked, answered = json.dumps({"method": method, "texts": texts}), json.dumps(found)
        name = type(embeddings).__name__
        with self._span(name, "EMBEDDING") as span:
            if span is not None and len(answered) <= MOST_BYTES:
                span.set_attributes({"workbench.embedding.name": name, "workbench.embedding.texts": asked, "workbench.embedding.vectors": answered})

    @contextmanager
    def _span(self, name: str, kind: str, since_ns: int | None = None) -> Iterator[Span | None]:
        """A span below that of the node one is in; None outside of any."""
        config = _node()
        if config is None:
            yield None
            return
        parent, metadata = self._parent(config), config["metadata"]
        context = trace.set_span_in_context(parent) if parent is not None else None
        with self._tracer.start_as_current_span(name, context=context, start_time=since_ns) as span:
            span.set_attributes({name: str(metadata[key]) for key, name in PLACE.items() if key in metadata})
            if kind == "EMBEDDING":
                span.set_attribute("openinference.span.kind", kind)
            yield span


def _node() -> RunnableConfig | None:
    """The config of the node whose code, or whose thread, is running here; None outside of any."""
    config = threads.around()
    return config if config is not None and (config.get("metadata") or {}).get("langgraph_checkpoint_ns") else None
