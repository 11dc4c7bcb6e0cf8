"""What can't be replayed is refused with a clear message, and nothing is executed; and what a replay is served otherwise than as recorded is told."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from typer.testing import CliRunner

import workbench as wb
from tests import replay_misfits
from tests.replay_recording import AGENTS, record
from workbench.cli import app
from workbench.model import Cassette, Change, Step
from workbench.replay import ForkError, trust
from workbench.replay.changes import check
from workbench.replay.fence import graphs
from workbench.replay.fence.graphs import GraphError
from workbench.replay.protocol import Start
from workbench.replay.shapes import ChangeError
from workbench.replay.trust import UntrustedError
from workbench.sketch import sketch
from workbench.store import Store

TWO = [["book", {"flight": "NH 1"}], ["book", {"flight": "NH 2"}]]
MISFITS = replay_misfits.__name__


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


def test_a_sweep_of_an_untrusted_database(run: wb.RecordedRun, ledger: Path) -> None:
    """A sweep and controls ask for the same word in the same words, on the command line too; given it, they run, each fork with the context given by hand."""
    refused = r"checkpoints.sqlite is not trusted yet: .* trust=True \(--trust on the command line\).* Nothing was run"
    graph = f"{AGENTS}:graph"
    for asked in (lambda: run.bench.sweep(run, at=[0], graph=graph), lambda: run.controls(0, 1, live=(), graph=graph)):
        with pytest.raises(UntrustedError, match=refused):
            asked()
    command = ["sweep", "thread", "--at", "0", "--graph", graph, "--store", str(run.bench.store.path)]
    assert isinstance(CliRunner().invoke(app, command).exception, UntrustedError)
    swept = run.bench.sweep(run, at=[0], graph=graph, trust=True, context={"user": "ada"})
    (one,) = swept.repetitions
    assert one.receipt.notes[0].startswith("the run's context was given by hand: user")
    assert CliRunner().invoke(app, [*command, "--context", '{"user": "ada"}']).exit_code == 0
    assert len(run.bench.runs()) == 2  # the same fork: done before
    assert (run.bench.store.forks.stat().st_mode & 0o777, one.run.run_id) == (0o700, next(key for key in run.bench.store.run_ids() if "~" in key))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"live": ["tool:boook"]}, "live tool:boook (--live): neither the recording nor GRAPH has a tool 'boook'; did you mean book?"),
        ({"live": ["tool:list_paymens"]}, "has a tool 'list_paymens'; did you mean list_payments?"),
        ({"stale": ["boook"]}, "stale boook (--serve-stale): neither the recording nor GRAPH has a call 'boook'; did you mean book?"),
        ({"execute": ["agnt"]}, "execute agnt (--execute): neither the recording nor GRAPH has a node 'agnt'; did you mean agent?"),
    ],
    ids=str,
)
def test_a_name_that_nothing_has(run: wb.RecordedRun, ledger: Path, asked: dict[str, Any], says: str) -> None:
    """A misspelt name is refused with the nearest there is in the recording or the program, before anything runs, and leaves nothing."""
    before, graph = ledger.read_text(), f"{AGENTS}:graph"
    with pytest.raises(ForkError) as refused:
        run.fork(0, graph=graph, trust=True, **asked)
    assert says.replace("GRAPH", graph) in str(refused.value)
    assert (ledger.read_text(), run.bench.store.run_ids(), [*run.bench.store.forks.iterdir()]) == (before, ["thread"], [])


@pytest.mark.parametrize("asked", [{"live": ["tool:pay"]}, {"stale": ["list_payments"]}, {"execute": ["tools"]}, {"live": ["tool:in_a_node"]}], ids=str)
def test_a_name_that_only_the_program_has(run: wb.RecordedRun, asked: dict[str, Any]) -> None:
    """What the recorded run had no use for may be named: what the program keeps anywhere, and what its code makes as it runs."""
    assert run.fork(0, graph=f"{AGENTS}:graph", trust=True, **asked).receipt.clean


def test_an_approval_of_what_does_not_go_live(run: wb.RecordedRun, ledger: Path) -> None:
    """Who approves by name what is not named as live is told so, with the nearest that is, and nothing runs."""
    before = ledger.read_text()
    with pytest.raises(ForkError, match=r"nothing of that name goes live, so there is nothing to approve; add live=\['tool:pay'\] \(--live tool:pay\)"):
        run.fork(0, graph=f"{AGENTS}:graph", approve=["pay"], live=["tool:book"], trust=True)
    with pytest.raises(ForkError, match=r"nothing to approve; did you mean book\?"):
        run.fork(0, graph=f"{AGENTS}:graph", approve="boook", live=["tool:book"], trust=True)
    with pytest.raises(ForkError, match=r"a budget's usd should be a number, and is \"much\""):
        run.fork(0, graph=f"{AGENTS}:graph", budget={"usd": "much"}, trust=True)  # type: ignore[dict-item]  # which is the point
    assert ledger.read_text() == before


def test_a_copy_of_a_sample_needs_no_word(tmp_path: Path) -> None:
    """The incidents that ship may be copied elsewhere; a copy that was changed by a byte is a stranger's."""
    original = trust.SAMPLES / "booked_twice" / "checkpoints.sqlite"
    copied = tmp_path / "copied.sqlite"
    shutil.copyfile(original, copied)
    with Store.open(tmp_path / "store.db") as store:
        trust.check(store, sketch(), [copied])
        with copied.open("r+b") as stream:
            stream.seek(-1, 2)
            last = stream.read(1)
            stream.seek(-1, 2)
            stream.write(bytes([last[0] ^ 1]))
        with pytest.raises(UntrustedError):
            trust.check(store, sketch(), [copied])


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


@pytest.fixture
def simple(tmp_path: Path, ledger: Path) -> Iterator[wb.RecordedRun]:
    """A run of one node and one tool."""
    with contextlib.closing(sqlite3.connect(tmp_path / "checkpoints.sqlite", check_same_thread=False)) as connection:
        saved = replay_misfits.recorded.copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(saved, tmp_path / "bench.db") as graph:
            graph.invoke({"city": "Kyoto"}, {"configurable": {"thread_id": "thread"}})
    with contextlib.closing(wb.open(tmp_path / "bench.db")) as bench:
        bench.ingest(tmp_path / "checkpoints.sqlite")
        yield bench.run("thread")


def test_channel_gone(simple: wb.RecordedRun, ledger: Path) -> None:
    """A graph whose state lacks a channel that the recording holds is refused by name, with what it has instead; one that gained a channel is not."""
    before, at = ledger.read_text(), simple.steps[0].index
    says = f"{MISFITS}:renamed is not the graph of this recording: its state has no channel city, which the recording holds; it has town, which"
    with pytest.raises(ForkError, match=says):
        simple.fork(at, graph=f"{MISFITS}:renamed")
    with pytest.raises(ForkError, match="its state has no channel said, which the recording holds"):
        simple.fork(at, graph=f"{MISFITS}:unsaid")
    assert simple.fork(at, graph=f"{MISFITS}:gained").receipt.clean
    assert ledger.read_text() == before


def test_graph_handed_over(simple: wb.RecordedRun) -> None:
    """A graph itself can't be handed to another process: how to name it is said, and the name where it can be told."""
    with pytest.raises(ForkError, match=f"is named, not handed over: .* graph='{MISFITS}:gained'"):
        simple.fork(0, graph=replay_misfits.gained)
    with pytest.raises(ForkError, match=r"graph='module:attribute' or 'path/to/file\.py:attribute'"):
        simple.fork(0, graph=replay_misfits.gained.copy())


def test_fault_of_the_fence(simple: wb.RecordedRun, ledger: Path) -> None:
    """Where the fence itself fails at a call, the re-run halts and says so, whatever the agent swallows, and nothing is executed."""
    before = ledger.read_text()
    forked = simple.fork(simple.steps[0].index, graph=f"{MISFITS}:failing")
    assert forked.receipt.calls.halted == 1
    assert not forked.receipt.clean
    assert "the fence failed at Odd.run: RuntimeError: what it takes can't be told; nothing was executed" in forked.receipt.outcome
    assert ledger.read_text() == before


def test_channel_gone_in_a_subgraph() -> None:
    """A subgraph whose state lacks a channel that the recording holds is named; one that a node calls by hand can't be seen, and is let pass."""
    graph = replay_misfits.around(replay_misfits.recorded)
    with pytest.raises(GraphError, match=r"m:g's subgraph inner is not the graph of this recording: its state has no channel town, .* it has city, said"):
        graphs.check_channels(graph, {"": {"city"}, "inner": {"town"}}, "m:g")
    graphs.check_channels(graph, {"": {"city"}, "inner": {"city", "branch:to:x"}, "by_hand": {"town"}}, "m:g")


def test_a_graph_that_is_missing() -> None:
    """Where a module has no such graph, its graphs are named and nothing else it holds, but for a function of a like name, which may make one."""
    with pytest.raises(GraphError, match=r"travel_agent has no missing; it has graph$"):
        graphs.load("sample_traces.travel_agent:missing", Start())
    with pytest.raises(GraphError, match=r"travel_agent has no traveling; it has graph, travelling$"):
        graphs.load("sample_traces.travel_agent:traveling", Start())


def test_a_fault_at_a_node() -> None:
    """Where no HTTP call of a node was recorded, a fault meets none: the error says what can be changed instead."""
    run = sketch(Step(index=0, kind="node", name="weather", node="weather"))
    says = r"no HTTP call of step 0 \(weather\) was recorded .*; what its node wrote can be changed too, with state at the next step"
    with pytest.raises(ChangeError, match=says):
        check(run, 0, Change(kind="fault", value="timeout"), ())
