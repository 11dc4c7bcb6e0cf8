"""A recorded incident as a regression test: it fails on the agent as it was, and passes once it was mended."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

import workbench as wb
from tests import regression_agents
from tests.replay_recording import Recorder, read
from workbench import cli, detection
from workbench.analysis.effects import effects_of
from workbench.bench import Bench
from workbench.replay.regression import Case, CaseError, UntestedWarning, source_of
from workbench.replay.trust import UntrustedError

AGENTS = Path(regression_agents.__file__)


def store_of(agent: Any, tmp_path: Path, *, spans: bool = True) -> Bench:
    """A store with a run of this agent; without spans it is known from its checkpoints alone."""
    database, recorder = tmp_path / "checkpoints.sqlite", Recorder()
    with contextlib.closing(sqlite3.connect(database, check_same_thread=False)) as connection:
        graph = agent.copy(update={"checkpointer": SqliteSaver(connection)})
        with contextlib.suppress(TimeoutError):  # how the run of one that dies of it ends
            graph.invoke({"amount": 7}, {"configurable": {"thread_id": "thread"}, "callbacks": [recorder]})
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    found = wb.open(tmp_path / "store.db")
    found.store.save_runs([read(recorder.spans if spans else [], database).model_copy(update={"sources": (str(database),)})])
    return found


@pytest.fixture
def bench(tmp_path: Path, ledger: Path) -> Bench:
    """A store with the run of an agent that charged twice."""
    return store_of(regression_agents.recorded, tmp_path)


@pytest.fixture
def case(bench: Bench, tmp_path: Path) -> Case:
    """The case of that run; the store and the database it was made of are gone."""
    run_id = bench.store.run_ids()[0]
    _, path = bench.run(run_id).export_test(tmp_path / "cases", graph=f"{AGENTS}:recorded", trust=True)
    bench.close()
    for left in ("store.db", "checkpoints.sqlite"):
        (tmp_path / left).unlink()
    return Case.read(path)


def test_it_fails_on_the_agent_as_it_was(case: Case, ledger: Path):
    """Today's agent charges twice again, on recorded answers and for nobody's money."""
    with pytest.raises(AssertionError, match=r"it happens again:\n  duplicated-effect at step \d+: charge 1 → 2"):
        case.check()
    with pytest.raises(AssertionError, match="it happens again"):
        case.check(graph=f"{AGENTS}:reworded")
    assert ledger.read_text() == "charge 7 \ncharge 7 \n"  # what was recorded


@pytest.mark.parametrize(
    ("mended", "untested"),
    [
        ("with_key", 'tool charge was given the answer recorded nearest to it, since it was called otherwise: {"amount":7,"idempotency_key":"order-7"}'),
        ("looking", "the agent left the recording at a tool find_charge, which has no recorded answer: what it does after that was not looked at"),
    ],
)
def test_it_passes_once_the_agent_is_mended(case: Case, ledger: Path, mended: str, untested: str):
    """An agent that repeats under one key, or looks before it repeats, does not do it again; what could not be looked at is warned of."""
    with pytest.warns(UntestedWarning) as warned:
        run = case.check(graph=f"{AGENTS}:{mended}")
    assert {str(one.message) for one in warned} == {untested}
    assert not [finding for finding in detection.examine(run)[0] if finding.detector == "duplicated-effect" and finding.severity != "info"]
    assert ledger.read_text().count("charge") == 2


def test_a_fix_in_a_node_without_calls(tmp_path: Path, ledger: Path):
    """A node that calls nothing is run, not served from what it wrote: the agent that was mended there passes, the old one fails."""
    bench = store_of(regression_agents.deciding, tmp_path)
    _, path = bench.run(bench.store.run_ids()[0]).export_test(tmp_path / "cases", graph=f"{AGENTS}:deciding", trust=True)
    bench.close()
    with pytest.raises(AssertionError, match="it happens again"):
        Case.read(path).check()
    assert Case.read(path).check(graph=f"{AGENTS}:deciding_better").status == "ok"
    assert ledger.read_text().count("charge") == 2


def test_a_guard_in_place_of_the_tool(tmp_path: Path, ledger: Path) -> None:
    """An agent whose own code answers the second call instead of the tool is mended: what a node wrote in the tool's name was no call of it."""
    bench = store_of(regression_agents.talking, tmp_path)
    _, path = bench.run(bench.store.run_ids()[0]).export_test(tmp_path / "cases", graph=f"{AGENTS}:talking", trust=True)
    bench.close()
    with pytest.raises(AssertionError, match="it happens again"):
        Case.read(path).check()
    run = Case.read(path).check(graph=f"{AGENTS}:talking_guarded")
    assert [(one.outcome, one.answered) for one in effects_of(run)] == [("unknown", "served"), ("prevented", "uncalled")]
    assert run.outcome == "refused: it was tried"


@pytest.mark.parametrize("spans", [True, False])
def test_a_model_that_thinks_anew(tmp_path: Path, ledger: Path, *, spans: bool) -> None:
    """A model that does otherwise at the fault is mended: its calls before that were made, live ones as well as served ones."""
    bench = store_of(regression_agents.thinking, tmp_path, spans=spans)
    _, path = bench.run(bench.store.run_ids()[0]).export_test(tmp_path / "cases", graph=f"{AGENTS}:thinking", trust=True)
    bench.close()
    case = Case.read(path)
    with pytest.raises(AssertionError, match="it happens again"):
        case.check()
    with pytest.raises(AssertionError, match="it happens again"):
        case.check(live=["model"])
    with pytest.warns(UntestedWarning, match="left the recording at a tool find_charge"):
        case.check(graph=f"{AGENTS}:thinking_better", live=["model"])


def test_what_a_model_was_asked_is_not_known(tmp_path: Path, ledger: Path) -> None:
    """A run known from checkpoints alone is a test too: its models' nodes stand as they were recorded, all else runs, and that is said."""
    bench = store_of(regression_agents.thinking, tmp_path, spans=False)
    _, path = bench.run(bench.store.run_ids()[0]).export_test(tmp_path / "cases", graph=f"{AGENTS}:thinking", trust=True)
    bench.close()
    with pytest.warns(UntestedWarning) as warned:
        run = Case.read(path).check(graph=f"{AGENTS}:thinking_guarded")
    assert [str(one.message).partition(", ")[0] for one in warned] == [
        "the code of insist did not run",
        "the agent left the recording at a model Insisting",
    ]
    assert [(one.outcome, one.answered) for one in effects_of(run)] == [("unknown", "served"), ("prevented", "uncalled")]


def test_that_a_run_failed_is_a_fault_too(tmp_path: Path, ledger: Path):
    """The test of a run that failed is red while the agent fails there, whatever else was found in it, and green once it doesn't."""
    bench = store_of(regression_agents.dying, tmp_path)
    test, path = bench.run(bench.store.run_ids()[0]).export_test(tmp_path / "cases", graph=f"{AGENTS}:dying", trust=True)
    case = Case.read(path)
    assert case.failed
    assert "The failure of the recorded run does not happen again." in test.read_text("utf-8")
    with pytest.raises(AssertionError, match="it fails: error: TimeoutError"):
        case.check()
    assert case.check(graph=f"{AGENTS}:lasting").outcome == "ended without an answer"
    assert ledger.read_text().count("charge") == 1


def test_an_agent_that_never_came_so_far_proves_nothing(case: Case):
    """An agent that left the recording before the fault neither passes, nor is it said that it does the same."""
    with pytest.raises(AssertionError, match=r"this proves nothing: .* before the fault .* at step \d+ \(charge\)"):
        case.check(graph=f"{AGENTS}:other")


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        ("past_its_tool", "the agent reached past its tools for what a re-run is shut off from"),
        ("doing_nothing", "the agent made none of the 2 tool calls that were recorded up to the fault"),
    ],
)
def test_what_shows_nothing_proves_nothing(case: Case, graph: str, why: str, monkeypatch: pytest.MonkeyPatch):
    """An agent that does the same past its tools, or nothing at all, is not mended by that."""
    monkeypatch.setenv("BANK", "127.0.0.1")
    with pytest.raises(AssertionError, match=f"this proves nothing: {why}"):
        case.check(graph=f"{AGENTS}:{graph}")


def test_the_written_test_is_a_test(bench: Bench, tmp_path: Path, ledger: Path, capsys: pytest.CaptureFixture[str]):
    """`workbench export --pytest` writes a file that pytest runs by itself: red today, green with the mended agent; and writes over nothing."""
    run_id, folder = bench.store.run_ids()[0], tmp_path / "out"
    command = ["export", run_id, "--pytest", "-o", str(folder), "--graph", f"{AGENTS}:recorded", "--store", str(bench.store.path), "--json"]
    with pytest.raises(UntrustedError, match="--trust on the command line"):
        cli.app(command, standalone_mode=False)
    command.append("--trust")
    cli.app(command, standalone_mode=False)
    test = Path(json.loads(capsys.readouterr().out)["test"])
    for graph, status in (("recorded", 1), ("looking", 0)):
        test.write_text(test.read_text("utf-8").replace(":recorded", f":{graph}"), "utf-8")
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(test)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == status, ran.stdout
    with pytest.raises(FileExistsError, match="exist already"):
        cli.app(command, standalone_mode=False)


def test_nothing_of_a_trace_becomes_code(case: Case, tmp_path: Path):
    """A run id that would end a string, or name another file, is letters and question marks in the test."""
    hostile = case.model_copy(update={"run": case.run.model_copy(update={"run_id": '"""\nimport os; os.abort()\n"""../../x'})})
    source = source_of(hostile, tmp_path / "test_x.case.json")
    compiled = compile(source, "test_x.py", "exec")
    assert "os" not in compiled.co_names
    assert "os.abort()" not in source


def test_only_what_is_named_is_held(bench: Bench, tmp_path: Path):
    """A test waits for what the named detectors found alone; one that found nothing is refused, with those that did."""
    run = bench.run(bench.store.run_ids()[0])
    assert len({one.detector for one in run.findings}) > 1
    _, path = run.export_test(tmp_path / "cases", graph=f"{AGENTS}:recorded", trust=True, detectors=["duplicated-effect"])
    assert {one.detector for one in Case.read(path).findings} == {"duplicated-effect"}
    with pytest.raises(
        CaseError, match=r"duplicate-effect found nothing in this run; did you mean duplicated-effect\? Something was found by: .*duplicated-effect"
    ):
        run.export_test(tmp_path / "others", graph=f"{AGENTS}:recorded", trust=True, detectors=["duplicate-effect"])


def test_what_is_no_case_is_refused(bench: Bench, case: Case, tmp_path: Path):
    """A run nothing was found in, one without checkpoints, a file of something else."""
    with pytest.raises(CaseError, match="did not fail, and nothing of severity warning or more was found in it: there is no fault a test could wait for"):
        Case.of(case.run, findings=[], databases=[], graph="x:y")
    bare = case.run.model_copy(update={"steps": tuple(step.model_copy(update={"checkpoint_id": None}) for step in case.run.steps)})
    with pytest.raises(CaseError, match="without LangGraph checkpoints"):
        Case.of(bare, findings=case.findings, databases=[], graph="x:y")
    (tmp_path / "x.json").write_text("{}", "utf-8")
    with pytest.raises(CaseError, match="is no case"):
        Case.read(tmp_path / "x.json")
