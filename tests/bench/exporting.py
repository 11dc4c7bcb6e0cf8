"""The exporter in the agent's process against the SDK's own batch processor with an exporter that keeps spans in memory, per span.

    python -m tests.bench.exporting [SPANS] [ROUNDS]

Measured in the thread that makes the spans, as an agent would feel it: its CPU, and its wall time, in which it may wait for the writer's thread.
"""

from __future__ import annotations

import gc
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from workbench.live.exporter import StoreExporter

ATTRIBUTES = {f"gen_ai.key.{number}": f"value {number} " * 10 for number in range(14)}


def emit(processor: SpanProcessor, spans: int) -> tuple[float, float]:
    """Seconds of CPU and of wall time in the thread that makes these spans."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("bench")
    gc.collect()
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(spans):
        tracer.start_span("call", attributes=ATTRIBUTES).end()
    found = time.thread_time() - cpu, time.perf_counter() - wall
    provider.shutdown()
    return found


def main(spans: int = 4096, rounds: int = 7) -> None:
    """Print the ratios."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        measured = []
        for number in range(rounds):
            sdk = emit(BatchSpanProcessor(InMemorySpanExporter(), max_queue_size=2 * spans), spans)
            exporter = StoreExporter(folder / f"{number}.db", queue_spans=2 * spans)
            measured.append((emit(exporter, spans), sdk))
            if exporter.stored != spans:
                raise SystemExit(f"only {exporter.stored:,} of {spans:,} spans were stored")
        cpu, wall = (statistics.median(ours[one] / sdk[one] for ours, sdk in measured) for one in (0, 1))
        print(f"exporter in the agent's process, {spans:,} spans, {rounds} rounds, against the SDK's batch processor in memory")
        print(f"  per span in the agent's thread: {cpu:.2f} × in CPU, {wall:.2f} × in wall time (wanted: ≤ 1.2 ×)")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
