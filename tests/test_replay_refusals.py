"""What can't be replayed is refused with a clear message, and nothing is executed; and what a replay is served otherwise than as recorded is told."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import workbench as wb
from tests.replay_recording import AGENTS, record
from workbench.cli import app
from workbench.model import Cassette
from workbench.replay.trust import UntrustedError

TWO = [["book", {"flight": "NH 1"}], ["book", {"flight": "NH 2"}]]
MOVED = """
from langgraph.pregel import _runner
from workbench.replay import fence
{before}
try:
    fence.prove()
except fence.FenceError as error:
    print("refused:", error)
else:
    print("stands")
"""


@pytest.fixture
def run(tmp_path: Path, ledger: Path) -> Iterator[wb.RecordedRun]:
    """A run of which only the checkpoint database is known."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    recording = record(folder, "graph", TWO)
    with contextlib.closing(wb.open(tmp_path / "bench.db")) as bench:
        bench.ingest(recording.database)
        yield bench.run("thread")


def test_untrusted_database(run: wb.RecordedRun, ledger: Path) -> None:
    """A checkpoint database of unknown origin is asked about before anything runs; one word is enough, and is remembered."""
    before = ledger.read_text()
    with pytest.raises(UntrustedError, match=r"checkpoints.sqlite is not trusted yet: .* trust=True \(--trust on the command line\).* Nothing was run"):
        run.fork(0, graph=f"{AGENTS}:graph")
    forked = run.fork(0, graph=f"{AGENTS}:graph", trust=True)
    assert run.fork(0, graph=f"{AGENTS}:graph").receipt.calls == forked.receipt.calls
    assert forked.fork(0, graph=f"{AGENTS}:graph").receipt.clean
    assert ledger.read_text() == before


def test_checkpoints_alone(run: wb.RecordedRun, ledger: Path) -> None:
    """Of a run without spans, what models were given is not known: their nodes are served from what they wrote, and no tool runs."""
    before = ledger.read_text()
    forked = run.fork(0, graph=f"{AGENTS}:graph", trust=True)
    assert (forked.receipt.calls.live, forked.receipt.calls.halted, forked.receipt.calls.blocked) == (0, 0, 0)
    assert [row for row in wb.compare(run, forked).comparison.rows if row.relation != "same"] == []
    assert ledger.read_text() == before


def test_cassette_of_a_run(run: wb.RecordedRun, tmp_path: Path) -> None:
    """A run shows its cassette: the share that can be replayed, why the rest can't, each answer and where it was taken from; and writes it as JSON."""
    said = repr(run.cassette)
    assert said.startswith("cassette of run thread (version 1): 5 of 5 steps can be replayed; recorded answers: 2 tool\n")
    assert "from what its node wrote: step 1 model: what the model was given was not captured" in said
    assert '2  tool       book  at tools  {"flight":"NH 1"}  →  "booked NH 1" (checkpoint)' in said
    run.cassette.save(tmp_path / "cassette.json")
    assert Cassette.model_validate_json((tmp_path / "cassette.json").read_bytes()) == run.cassette.cassette


def test_cassette_command(run: wb.RecordedRun, tmp_path: Path) -> None:
    """`workbench cassette RUN` prints the same, or JSON, and writes a file."""
    store, output = str(run.bench.store.path), tmp_path / "out.json"
    told = CliRunner().invoke(app, ["cassette", "thread", "--store", store, "-o", str(output), "--json"])
    assert (told.exit_code, json.loads(told.stdout)["replayable"]) == (0, 5)
    assert Cassette.model_validate_json(output.read_bytes()).run_id == "thread"
    assert "5 of 5 steps can be replayed" in CliRunner().invoke(app, ["cassette", "thread", "--store", store]).stdout


def prove(before: str = "") -> str:
    done = subprocess.run([sys.executable, "-c", MOVED.format(before=before)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("del _runner.run_with_retry", "langgraph has no langgraph.pregel._runner.run_with_retry any more"),
        ("fence.RETRIEVER_METHODS = ('gone',)", "langchain-core has no BaseRetriever.gone any more"),
        ("import httpx; del httpx.HTTPTransport.handle_request", "httpx has no HTTPTransport.handle_request any more"),
    ],
)
def test_hooks_moved(before: str, says: str) -> None:
    """Where LangGraph, langchain-core or a client of HTTP no longer goes through what is patched, the fence refuses to stand."""
    assert prove(before) == f"refused: {says}"
