"""What goes wrong around a store is said, costs nothing that was acknowledged, and leaves the store as it was: kills, full disks, folders one can't write."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from sqlalchemy import Engine, event

import workbench
from workbench.collection import Summary, ingest
from workbench.live.exporter import StoreExporter
from workbench.live.intake import Intake, UnavailableError
from workbench.live.requests import Request
from workbench.model import Span
from workbench.plugins import collectors
from workbench.store import Origin, Pending, Store, StoreError

KILLS = int(os.environ.get("WORKBENCH_KILLS", "15"))
ROOT = Path(__file__).resolve().parent.parent
FILES, TRACES, SPANS = 3, 8, 12
NOTHING_PENDING = Pending(frozenset(), frozenset(), frozenset(), frozenset(), 0)
TEXT = "What was said, at some length, so that the store has something to write. " * 4


def line(trace: int, number: int) -> str:
    text = {"stringValue": f"{TEXT}{trace}/{number}"}
    attributes = [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}, {"key": "input.value", "value": text}]
    span = {"traceId": f"{trace:032x}", "spanId": f"{trace * 1000 + number:016x}", "name": "chat", "startTimeUnixNano": str(10**18 + number)}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{**span, "attributes": attributes}]}]}]})


def write_files(folder: Path) -> list[Path]:
    """Files of spans, a trace of which may stand in two of them."""
    files = [folder / f"{number}.jsonl" for number in range(FILES)]
    for number, path in enumerate(files):
        first = number * TRACES // 2 + 1
        path.write_text("\n".join(line(trace, number * SPANS + one) for trace in range(first, first + TRACES - 1) for one in range(SPANS)))
    return files


def held(store: Store) -> list[str]:
    """What a store has, each span by its text, in order."""
    groups = store.groups([f"{trace:032x}" for trace in range(1, FILES * TRACES)], [])
    return sorted(str(span.attributes["input.value"]) for group in groups for span in group.spans)


def test_a_killed_ingest_leaves_whole_files_and_the_next_completes_it(tmp_path: Path):
    """SIGKILL at random moments: each file is there once and whole or not at all, all that was acknowledged is, and another ingest makes the same runs."""
    files = write_files(tmp_path)
    command = [sys.executable, Path(__file__).with_name("killed_ingest.py"), str(KILLS), tmp_path, *files]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True, timeout=60 * max(KILLS, 5))
    lives = [json.loads(told) for told in done.stdout.splitlines()]
    with Store.open(tmp_path / "whole.db") as store:
        everything, runs = held(store), list(store.runs())
    per_file = [{text for text in everything if f'"{json.dumps(text)[1:-1]}"' in path.read_text()} for path in files]
    assert len(lives) == KILLS
    for life in lives:
        with Store.open(tmp_path / life["store"]) as store:
            found = held(store)
            assert len(found) == len(set(found))
            assert set(found) == set().union(*(own for own in per_file if own <= set(found)))
            assert not life["said"] or found == everything
            assert store.verify() == []
            ingest(store, files)
            assert (held(store), store.verify()) == (everything, [])
            assert {run.run_id: run.steps for run in store.runs()} == {run.run_id: run.steps for run in runs}
    assert any(life["status"] == -9 for life in lives)


DIE_BEFORE_DERIVING = """
import os, signal, sys
from workbench import cli, collection
collection._derive = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
cli.app(["ingest", *sys.argv[2:], "--store", sys.argv[1]])
"""


def test_what_a_killed_ingest_stored_is_derived_by_whoever_comes_next(tmp_path: Path):
    """SIGKILL between storing and deriving: opening the store makes the runs of its spans, conversations and histories, and nothing stays pending."""
    examples = [one.content for name in ("chat-log", "gcp-workflows") for one in collectors()[name].examples[:1]]
    files = [*write_files(tmp_path), *(tmp_path / f"{number}.json" for number in range(len(examples)))]
    for path, content in zip(files[FILES:], examples, strict=True):
        path.write_bytes(content)
    command = [sys.executable, "-c", DIE_BEFORE_DERIVING, tmp_path / "killed.db", *files]
    died = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False, timeout=120)
    with Store.open(tmp_path / "killed.db") as store:
        assert (died.returncode, store.run_ids()) == (-signal.SIGKILL, [])
    with workbench.open(tmp_path / "whole.db").store as whole, workbench.open(tmp_path / "killed.db").store as store:
        ingest(whole, files)
        assert {run.run_id: run.steps for run in store.runs()} == {run.run_id: run.steps for run in whole.runs()}
        assert (store.pending(), whole.pending()) == (NOTHING_PENDING, NOTHING_PENDING)
        assert len(store.run_ids()) > TRACES


# ---- a full disk, made by a bound on the store's own size, so that it is the same on any machine


@contextmanager
def full_disk() -> Iterator[None]:
    """No store can grow by a page, as on a disk that is full."""

    def bound(connection, _):
        connection.execute("PRAGMA max_page_count = 1")  # at least as many as there are

    event.listen(Engine, "connect", bound)
    try:
        yield
    finally:
        event.remove(Engine, "connect", bound)


def test_an_ingest_without_room_says_so_and_completes_with_room(tmp_path: Path):
    """A full disk undoes the file that did not fit, with an error that names the store; once there is room, the same command goes on."""
    files = write_files(tmp_path)
    with Store.open(tmp_path / "w.db") as store:
        ingest(store, files[:1])
        before = held(store)
        with full_disk(), pytest.raises(StoreError, match=r"w\.db: there is no room left on its disk; what was stored before is as it was"):
            ingest(store, files[1:])
        assert (held(store), store.verify()) == (before, [])
        assert isinstance(ingest(store, files), Summary)
        assert len(held(store)) > len(before)


def test_a_receiver_without_room_refuses_and_takes_it_again(tmp_path: Path):
    """What doesn't fit is refused, never acknowledged; with room again the same request is stored once."""
    span = Span(trace_id=f"{1:032x}", span_id=f"{1:016x}", name="chat", attributes={"input.value": os.urandom(200_000).hex()})
    with Store.open(tmp_path / "w.db") as store:
        intake, request = Intake(store, Origin(Path("live"), "00" * 32, "otlp")), Request((span,), 0, "")
        intake.start()
        try:
            with full_disk(), pytest.raises(UnavailableError, match="no room left"):
                intake.take(request)
            assert store.verify() == []
            intake.take(request)
        finally:
            intake.close()
        assert len(held(store)) == 1


def test_an_exporter_without_room_waits_and_never_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The agent goes on; its spans are kept until there is room, and the log says why."""
    Store.open(tmp_path / "w.db").close()
    exporter = StoreExporter(tmp_path / "w.db")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with caplog.at_level(logging.WARNING), full_disk():
        with provider.get_tracer("t").start_as_current_span("chat") as span:
            span.set_attribute("input.value", os.urandom(200_000).hex())
        exporter.force_flush(2_000)
    provider.shutdown()
    assert "no room left" in caplog.text
    with workbench.open(tmp_path / "w.db").store as store:
        assert store.verify() == []


# ---- a real small disk, and a folder that can't be written


def in_own_mounts(script: str, **values: Path | str) -> str:
    """What a shell says that has file systems of its own to mount; the test is skipped, visibly, where the machine doesn't let it."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine: a full disk and a read-only folder can't be made without being root")
    mounts = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*mounts, "mount -t tmpfs none /mnt"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of their own: a full disk and a read-only folder can't be made")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, "COLUMNS": "500", **{key: str(value) for key, value in values.items()}}
    return subprocess.run([*mounts, script], env=environment, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_really_full_disk_is_said_and_the_store_stays_whole(tmp_path: Path):
    """On a disk of three megabytes the command ends with status 2 and one line that says why, and `verify` finds nothing wrong."""
    (tmp_path / "large.jsonl").write_text("\n".join(line(1, number).replace(TEXT, os.urandom(20_000).hex()) for number in range(200)))
    (tmp_path / "disk").mkdir()
    small = write_files(tmp_path)[0]
    script = """
    mount -t tmpfs -o size=3m none "$DISK" && cd "$DISK" && wb() { "$PYTHON" -m workbench.cli "$@"; }
    wb ingest "$SMALL" --store w.db --json > /dev/null && wb ingest "$LARGE" --store w.db 2>&1; echo "status $?"; wb verify --store w.db
    """
    told = in_own_mounts(script, DISK=tmp_path / "disk", SMALL=small, LARGE=tmp_path / "large.jsonl")
    assert "status 2" in told
    assert "w.db: there is no room left on its disk" in told or "its disk can't be written; is it full" in told
    assert "nothing is missing" in told


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path):
    """Neither a new store nor one that is there already can be written in it: status 2, one line that says so, no traceback."""
    (tmp_path / "disk").mkdir()
    script = """
    mount -t tmpfs none "$DISK" && cd "$DISK" && wb() { "$PYTHON" -m workbench.cli "$@"; }
    wb ingest "$SMALL" --store w.db --json > /dev/null; mount -o remount,ro "$DISK"
    wb ingest "$LARGE" --store w.db 2>&1; echo "status $?"; wb ingest "$SMALL" --store new.db 2>&1; echo "status $?"
    """
    small, other, _ = write_files(tmp_path)
    told = in_own_mounts(script, DISK=tmp_path / "disk", SMALL=small, LARGE=other)
    assert told.count("status 2") == 2
    assert "Traceback" not in told
    assert told.count("error: ") == 2
