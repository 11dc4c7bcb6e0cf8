"""An exporter that writes an agent's spans to a store from inside its process, and never gets in its way.

    provider.add_span_processor(StoreExporter("incident.db"))

A span that ends is put into a bounded queue, and that is all its thread does. One thread of our own turns spans into records and stores them, many
in one transaction. A span that finds the queue full is dropped and counted; the count is logged and stands among the store's skips. Runs are
derived later, by whoever opens the store: the agent's time is not spent on it.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import secrets
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from multiprocessing.util import Finalize, register_after_fork

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, set_value
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from workbench import collection
from workbench.database import location
from workbench.live.intake import NOT_STORED, origin_of, reason_of
from workbench.live.sdk_spans import span_of
from workbench.model import Json, Record, Skip, Span
from workbench.redaction import counts_told
from workbench.store import Origin, Store

logger = logging.getLogger("workbench.live")

QUEUE_SPANS = 8192
BATCH_SPANS = 512
GENTLE_SPANS = 64
"""How many spans are stored at once while the agent is at work: a batch holds the interpreter for as long as it takes to make its records."""
DELAY_SECONDS = 1.0
STOP_SECONDS = 10.0
AGAIN_SECONDS = 0.1
REST_RATIO = 6
"""The writer rests this many times as long as it worked, so that the agent's threads hardly wait for it; not while the queue is half full, or someone waits."""


class StoreExporter(SpanProcessor, SpanExporter):
    """Writes finished spans to the store at `path`, a file or PostgreSQL's URL, made where there is none. A span processor; inside another one, an exporter.

    `queue_spans` bounds what waits. While the store can't be written to, spans wait, and the newest are dropped once the queue is full.
    `late` gives attributes that were learnt of a span after it ended, and may be asked again.
    Nothing here raises into the agent, except a path that can't be a store at all, and that at once: StoreError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str = "otel-sdk",
        queue_spans: int = QUEUE_SPANS,
        delay_seconds: float = DELAY_SECONDS,
        late: Callable[[ReadableSpan], Mapping[str, Json]] | None = None,
    ) -> None:
        self.path, self.name, self.queue_spans = location(path), name, queue_spans
        self._delay_seconds, self._late = delay_seconds, late
        Store.open(self.path).close()
        self._begin()
        # The registries keep a function for ever, so it must not keep the exporter.
        at_exit, at_fork = weakref.WeakMethod(self.shutdown), weakref.WeakMethod(self._begin_in_child)
        atexit.register(_call, at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: _call(at_fork))
        register_after_fork(self, _end_with_worker)

    def _begin(self) -> None:
        """A queue and a writer of this process's own; after a fork, what waits in the parent is the parent's to write."""
        self.dropped = 0
        """Spans that found the queue full, or were left when the store could not be written to at the end."""
        self.stored = 0
        """Spans that are durable in the store."""
        self.redacted: Counter[str] = Counter()
        """How many values in them were replaced, by kind."""
        self._told = 0
        self._queue: deque[ReadableSpan] = deque()
        # Reentrant: a span may end in a destructor, and so in the midst of another one's `on_end`.
        self._changed = threading.Condition(threading.RLock())
        self._work, self._stop, self._hurry = threading.Event(), threading.Event(), threading.Event()
        self._origin: Origin = origin_of(self.name, f"{os.getpid()} {secrets.token_hex(16)}")
        self._store: Store | None = None
        self._thread = threading.Thread(target=self._write, name="workbench-exporter", daemon=True)
        self._thread.start()

    def _begin_in_child(self) -> None:
        if not self._stop.is_set():
            self._begin()

    # ---- what the SDK calls, in the agent's threads

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Nothing: a span is kept when it ends."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a finished span, or drop and count it."""
        context = span.context
        if context is None or context.trace_flags.sampled:
            self._put(span)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """The same for a batch of another processor; never waits. FAILURE when some of it was dropped."""
        return SpanExportResult.SUCCESS if not [span for span in spans if not self._put(span)] else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until all that was queued is durable; whether it was within this time."""
        self._hurry.set()
        self._work.set()
        with self._changed:
            return self._changed.wait_for(self._is_done, timeout_millis / 1000)

    def shutdown(self) -> None:
        """Store what waits, for at most some seconds, and end. What is left then is counted as dropped. A second call does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._hurry.set()
        self._work.set()
        self._thread.join(STOP_SECONDS)
        with self._changed:
            self.dropped += len(self._queue)
            self._queue.clear()
        logger.info("%s: %s", self.path, self.told())
        if self.dropped:
            logger.warning("%d spans were dropped: %s could not take them in time", self.dropped, self.path)

    def told(self) -> str:
        """What came of it so far, in words: `12 spans stored, redacted 3 × secret`."""
        parts = (f"{self.stored:,} spans stored", counts_told(self.redacted), f"{self.dropped:,} dropped" if self.dropped else "")
        return ", ".join(filter(None, parts))

    def _put(self, span: ReadableSpan) -> bool:
        with self._changed:
            fits = len(self._queue) < self.queue_spans and not self._stop.is_set()
            if fits:
                self._queue.append(span)
            else:
                self.dropped += 1
        if len(self._queue) >= BATCH_SPANS:
            self._work.set()
        return fits

    def _is_done(self) -> bool:
        return not self._queue and self.dropped == self._told

    # ---- what the writer does, in its own thread

    def _write(self) -> None:
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # what the store does is not the agent's doing
        while not self._stop.is_set():
            self._work.wait(self._delay_seconds)
            self._work.clear()
            if not self._drain():
                self._stop.wait(self._delay_seconds)
        until = time.monotonic() + STOP_SECONDS
        while not self._drain() and time.monotonic() < until:
            time.sleep(AGAIN_SECONDS)

    def _drain(self) -> bool:
        """Store batches until nothing waits; False as soon as the store fails."""
        while not self._is_done():
            began = time.monotonic()
            if not self._store_batch():
                return False
            if 2 * len(self._queue) < self.queue_spans:
                self._hurry.wait(REST_RATIO * (time.monotonic() - began))
        if not self._stop.is_set():
            self._hurry.clear()
        return True

    def _store_batch(self) -> bool:
        """Store the oldest spans, which leave the queue once they are durable; whether that went well."""
        with self._changed:
            pressed = self._hurry.is_set() or 2 * len(self._queue) >= self.queue_spans
            batch, dropped = list(itertools.islice(self._queue, BATCH_SPANS if pressed else GENTLE_SPANS)), self.dropped
        try:
            self._store = self._store or Store.open(self.path)
            added = collection.add_live(self._store, self._origin, self._records(batch, dropped - self._told))
        except NOT_STORED as error:
            logger.warning("spans wait, %s can't be written to: %s", self.path, reason_of(error))
            return False
        except Exception:
            logger.exception("%d spans could not be stored and are dropped", len(batch))
            self._take_out(len(batch), dropped)
            self.dropped += len(batch)
            return True
        self.stored += len(batch)
        self.redacted.update(added.redacted)
        self._take_out(len(batch), dropped)
        return True

    def _take_out(self, count: int, told: int) -> None:
        with self._changed:
            for _ in range(min(count, len(self._queue))):
                self._queue.popleft()
            self._told = told
            self._changed.notify_all()

    def _records(self, batch: Sequence[ReadableSpan], dropped: int) -> list[Record]:
        place = f"{self.name}, process {os.getpid()}, {datetime.now(UTC).isoformat()}"
        records: list[Record] = [Skip(place=place, reason="the exporter's queue was full: spans dropped", count=dropped)] if dropped else []
        for sdk in batch:
            try:
                records.append(self._with_late(span_of(sdk), sdk))
            except (ValueError, TypeError) as error:
                records.append(Skip(place=place, reason=f"a span that can't be stored: {error}"))
        return records

    def _with_late(self, span: Span, sdk: ReadableSpan) -> Span:
        attributes = self._late(sdk) if self._late else {}
        return span.model_copy(update={"attributes": {**span.attributes, **attributes}}) if attributes else span


def _end_with_worker(exporter: StoreExporter) -> None:
    """Let the exporter of a `multiprocessing` worker store what waits at its end: such a process ends by `os._exit`, without what `atexit` holds."""
    Finalize(exporter, _call, (weakref.WeakMethod(exporter.shutdown),), exitpriority=0)


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    if (bound := method()) is not None:
        bound()
