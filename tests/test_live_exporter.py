"""The exporter keeps what an agent's process did, and keeps out of its way."""

from __future__ import annotations

import gc
import logging
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from sqlite3 import OperationalError as SqliteError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode
from sqlalchemy.exc import OperationalError

from workbench import bench, collection
from workbench.live.exporter import StoreExporter
from workbench.live.requests import read_request
from workbench.live.sdk_spans import span_of
from workbench.model import Span
from workbench.store import Store, StoreError


@pytest.fixture
def exporter(tmp_path: Path):
    made = StoreExporter(tmp_path / "workbench.db", delay_seconds=0.01)
    yield made
    made.shutdown()


def provider_of(*processors, name: str = "agent") -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": name, "ports": [1, 2]}), shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def stored(path: Path) -> list[Span]:
    with Store.open(path) as store:
        pending = store.pending()
        return [span for group in store.groups(pending.traces, pending.threads) for span in group.spans]


def emit(provider: TracerProvider, count: int) -> None:
    for number in range(count):
        provider.get_tracer("t").start_span(f"span {number}").end()


class Stuck:
    """A store that takes nothing until it is told to."""

    def __init__(self, monkeypatch) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.whole = collection.add_live
        monkeypatch.setattr(collection, "add_live", self)

    def __call__(self, store, origin, records):
        """Stand in for `collection.add_live`."""
        self.entered.set()
        assert self.go.wait(60)
        return self.whole(store, origin, records)


# ---- the same spans


def test_a_span_is_what_the_collector_makes_of_it():
    """A span with parent, links, events, status and every kind of attribute is the very value that it is after a way over OTLP."""
    memory = InMemorySpanExporter()
    tracer = provider_of(SimpleSpanProcessor(memory)).get_tracer("instrumentor", "1.2")
    values = {"text": "né", "flag": True, "number": 7, "part": 0.5, "nan": math.nan, "list": ["a", "b"], "parts": (1.5, math.inf), "empty": [], "none": ""}
    elsewhere = SpanContext(7, 8, is_remote=True)
    links = [Link(elsewhere), Link(elsewhere)]
    with tracer.start_as_current_span("parent", attributes=values) as parent, tracer.start_as_current_span("child", links=links) as child:
        child.add_event("said", {"body": "hello", "n": [1]})
        child.record_exception(ValueError("no such flight"))
        child.set_status(Status(StatusCode.ERROR, "no such flight"))
        parent.set_status(StatusCode.OK)
    assert_same(memory.get_finished_spans())
    child, _ = [span_of(one) for one in memory.get_finished_spans()]
    assert (child.status, child.status_message, child.scope, child.resource["ports"]) == ("error", "no such flight", "instrumentor", [1, 2])
    assert child.links == (f"{7:032x}",)


SCALARS = st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats())
ATTRIBUTES = st.dictionaries(st.text(min_size=1), st.one_of(SCALARS, st.lists(st.text()), st.lists(st.integers(0, 9)), st.lists(st.floats())), max_size=5)


@given(ATTRIBUTES, st.text(), st.integers(0, 2**63), st.text())
def test_any_span_is_what_the_collector_makes_of_it(attributes: dict, name: str, start: int, scope: str):
    """Whatever name, attributes and start a span has, both ways give the same value."""
    memory = InMemorySpanExporter()
    span = provider_of(SimpleSpanProcessor(memory)).get_tracer(scope or "t").start_span(name, attributes=attributes, start_time=start)
    span.add_event(name, attributes, timestamp=start)
    span.end(start)
    assert_same(memory.get_finished_spans())


def assert_same(spans: tuple[ReadableSpan, ...]) -> None:
    request = read_request(encode_spans(spans).SerializeToString(), "traces", "protobuf", "here")
    collected = [record for record in request.records if isinstance(record, Span)]
    key = lambda one: one.span_id  # noqa: E731
    assert sorted((span_of(one) for one in spans), key=key) == sorted(collected, key=key)
    assert request.rejected == 0


# ---- kept


@pytest.mark.parametrize("wrapped", [None, SimpleSpanProcessor, BatchSpanProcessor], ids=["alone", "simple", "batch"])
def test_what_ended_is_stored(exporter: StoreExporter, wrapped):
    """Spans are durable after a shutdown, as a processor alone and as the exporter of either of the SDK's."""
    provider = provider_of(exporter if wrapped is None else wrapped(exporter))
    emit(provider, 700)
    provider.shutdown()
    assert (exporter.stored, exporter.dropped, len(stored(exporter.path))) == (700, 0, 700)


def test_a_flush_makes_durable(exporter: StoreExporter):
    """After a flush what ended before it is in the store, and the bench that opens it has its run."""
    provider = provider_of(exporter)
    emit(provider, 3)
    assert provider.force_flush()
    assert len(stored(exporter.path)) == 3
    opened = bench.open(exporter.path)
    assert len(opened.store.run_ids()) == 3
    with provider.get_tracer("t").start_as_current_span("later") as later:
        trace = f"{later.get_span_context().trace_id:032x}"
    assert provider.force_flush()
    assert opened.run(trace).run.span_count == 1
    opened.close()


def test_a_process_that_just_ends_leaves_its_spans(tmp_path: Path):
    """Spans of a script that neither flushes nor shuts down are there after it."""
    script = (
        "import sys\nfrom opentelemetry.sdk.trace import TracerProvider\nfrom workbench.live.exporter import StoreExporter\n"
        "provider = TracerProvider(shutdown_on_exit=False)\nprovider.add_span_processor(StoreExporter(sys.argv[1], delay_seconds=3600))\n"
        "for n in range(5): provider.get_tracer('t').start_span(str(n)).end()\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "workbench.db"], check=True, timeout=120)
    assert len(stored(tmp_path / "workbench.db")) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_parent_and_child_of_a_fork_write_each_their_own(tmp_path: Path):
    """After a fork both processes go on writing, and what waited before it is written once."""
    script = (
        "import os, sys\nfrom opentelemetry.sdk.trace import TracerProvider\nfrom workbench.live.exporter import StoreExporter\n"
        "provider = TracerProvider(shutdown_on_exit=False)\nexporter = StoreExporter(sys.argv[1], delay_seconds=3600)\n"
        "provider.add_span_processor(exporter)\nspan = lambda name: provider.get_tracer('t').start_span(name).end()\n"
        "span('before')\nchild = os.fork()\nspan('child' if child == 0 else 'parent')\nassert exporter.force_flush()\n"
        "assert exporter.stored == (1 if child == 0 else 2)\n"
        "os._exit(0) if child == 0 else sys.exit(os.waitpid(child, 0)[1])\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, tmp_path / "workbench.db"], check=True, timeout=120)
    assert sorted(span.name for span in stored(tmp_path / "workbench.db")) == ["before", "child", "parent"]


# ---- out of the way


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_worker_of_multiprocessing_leaves_its_spans(tmp_path: Path):
    """A forked `Process`, which ends without what `atexit` holds, stores what it made before it is gone."""
    program = (
        "import multiprocessing\nfrom opentelemetry.sdk.trace import TracerProvider\nfrom workbench.live.exporter import StoreExporter\n"
        f"provider = TracerProvider()\nprovider.add_span_processor(StoreExporter({str(tmp_path / 's.db')!r}, delay_seconds=3600))\n"
        "def work(name): provider.get_tracer('t').start_span(name).end()\n"
        "workers = [multiprocessing.get_context('fork').Process(target=work, args=(name,)) for name in ('one', 'two')]\n"
        "for one in workers: one.start()\n"
        "for one in workers: one.join()\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)
    assert sorted(span.name for span in stored(tmp_path / "s.db")) == ["one", "two"]


def test_a_stuck_store_blocks_nothing_and_what_is_dropped_is_told(tmp_path: Path, monkeypatch, caplog):
    """While a write hangs, spans end all the same; what is past the bound is counted, logged and stands among the store's skips."""
    exporter = StoreExporter(tmp_path / "workbench.db", queue_spans=10, delay_seconds=0.01)
    stuck, provider = Stuck(monkeypatch), provider_of(exporter)
    emit(provider, 1)
    assert stuck.entered.wait(60)
    emit(provider, 29)  # comes back although nothing can be written
    assert (exporter.dropped, exporter.stored, len(exporter._queue)) == (20, 0, 10)
    assert exporter.export([]) is SpanExportResult.SUCCESS
    stuck.go.set()
    with caplog.at_level(logging.WARNING, "workbench.live"):
        provider.shutdown()
    assert (exporter.stored, exporter.dropped, len(stored(exporter.path))) == (10, 20, 10)
    assert "20 spans were dropped" in caplog.text
    with Store.open(exporter.path) as store:
        assert sum(skip.count for _, skip in store.skips() if "queue was full" in skip.reason) == 20


def failing(monkeypatch, *errors: Exception) -> None:
    """Have the store raise these errors, one a time, before it stores again."""
    whole, fails = collection.add_live, iter(errors)

    def flaky(*arguments):
        for error in fails:
            raise error
        return whole(*arguments)

    monkeypatch.setattr(collection, "add_live", flaky)


def test_a_store_that_fails_is_tried_again(exporter: StoreExporter, monkeypatch, caplog):
    """Spans wait while the store can't be written to, and are stored once it can."""
    failing(monkeypatch, StoreError("full"), OSError("gone"), OperationalError("INSERT INTO payload", {}, SqliteError("database is locked")))
    provider = provider_of(exporter)
    emit(provider, 3)
    assert provider.force_flush()
    assert (exporter.stored, exporter.dropped) == (3, 0)
    assert [message.partition("written to: ")[2] for message in caplog.messages] == ["full", "gone", "database is locked"]
    assert all(message.startswith("spans wait") for message in caplog.messages)


def test_an_error_of_ours_stays_with_us(exporter: StoreExporter, monkeypatch, caplog):
    """An error nobody foresaw costs its batch, which is counted, and the next one is written."""
    failing(monkeypatch, ZeroDivisionError("unforeseen"))
    provider = provider_of(exporter)
    emit(provider, 1)
    assert provider.force_flush()
    emit(provider, 1)
    assert provider.force_flush()
    assert (exporter.stored, exporter.dropped) == (1, 1)
    assert "unforeseen" in caplog.text


def test_what_was_replaced_is_counted_and_told_at_the_end(exporter: StoreExporter, caplog):
    """The secrets of all spans, by kind, beside how many spans were stored."""
    tracer = provider_of(exporter).get_tracer("t")
    for password in ("hunter2zz", "hunter3zz"):
        tracer.start_span("login", attributes={"password": password}).end()
    with caplog.at_level("INFO", "workbench.live"):
        exporter.shutdown()
    assert dict(exporter.redacted) == {"secret": 2}
    assert caplog.messages == [f"{exporter.path}: 2 spans stored, redacted 2 × secret"]


def test_after_shutdown_spans_are_counted_and_nothing_is_raised(exporter: StoreExporter):
    """A span that ends after the end is dropped and counted; a second shutdown does nothing."""
    provider = provider_of(exporter)
    late = provider.get_tracer("t").start_span("late")
    exporter.shutdown()
    late.end()
    exporter.shutdown()
    assert exporter.dropped == 1


def test_a_path_that_is_no_store_is_said_at_once(tmp_path: Path):
    """What can't ever work is an error where the exporter is made, not a silent loss later."""
    (tmp_path / "notes.db").write_text("not a database")
    with pytest.raises(StoreError, match="no workbench store"):
        StoreExporter(tmp_path / "notes.db")


def test_unsampled_spans_are_left_out(exporter: StoreExporter):
    """A span that is recorded but not sampled is not stored."""
    memory = InMemorySpanExporter()
    provider = provider_of(SimpleSpanProcessor(memory))
    emit(provider, 1)
    (one,) = memory.get_finished_spans()
    unsampled = ReadableSpan(name="x", context=type(one.context)(one.context.trace_id, one.context.span_id, False))
    exporter.on_end(unsampled)
    exporter.shutdown()
    gc.collect()
    assert stored(exporter.path) == []
