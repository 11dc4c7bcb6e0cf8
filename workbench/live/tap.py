"""Hands the spans of the global OpenTelemetry provider to an exporter for a while. The SDK can add a processor to a provider, and never take it away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider


class Tap(SpanProcessor):
    """Hands finished spans to whoever listens just now."""

    def __init__(self) -> None:
        self.listener: SpanProcessor | None = None

    def on_end(self, span: ReadableSpan) -> None:
        """Pass a span on, if anybody listens."""
        if self.listener is not None:
            self.listener.on_end(span)


_taps: WeakKeyDictionary[TracerProvider, Tap] = WeakKeyDictionary()


@contextmanager
def listening(listener: SpanProcessor) -> Iterator[None]:
    """Let a processor hear the global provider's spans until the end. Where none is set, one of ours is from now on; one without an SDK is left alone."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        provider = TracerProvider(shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
    if not isinstance(provider, TracerProvider):
        yield
        return
    if provider not in _taps:
        _taps[provider] = Tap()
        provider.add_span_processor(_taps[provider])
    tap = _taps[provider]
    before, tap.listener = tap.listener, listener
    try:
        yield
    finally:
        tap.listener = before
