"""A re-run that was killed for real goes on where it stopped, and does nothing live twice."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import workbench
from tests.replay_recording import Recording, record
from workbench.cli import app
from workbench.comparison.comparison import compare
from workbench.model import Budget, Change
from workbench.project import ProjectError
from workbench.replay import Forked, ForkError
from workbench.replay.channel import ChannelError, Line
from workbench.replay.effects.approvals import standing
from workbench.replay.effects.broker import Terms
from workbench.replay.effects.ledger import Pages
from workbench.replay.forking import resume
from workbench.replay.sweeps import Cell, Plan, rerun_cell
from workbench.replay.unfinished import Asked, Unfinished, sifted
from workbench.sketch import sketch, user
from workbench.store import Store


@pytest.fixture
def recording(tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    """A run that paid twice and looked."""
    monkeypatch.setenv("KILL", str(ledger))  # it is there, so nothing is killed
    found = record(tmp_path, "killed", [])
    ledger.write_text("")
    return found


def go_on(recording: Recording, marker: Path, **options: Any) -> Forked:
    marker.touch()
    return resume(recording.run, databases=[recording.database], scratch=recording.database.with_name("forks") / "fork.sqlite", **options)


def test_killed(recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a SIGKILL the fork goes on from its last checkpoint, and comes to what it would have come to without."""
    whole = recording.fork(0, scratch=tmp_path / "whole.sqlite", run_id="whole")
    monkeypatch.setenv("KILL", str(tmp_path / "marker"))
    with pytest.raises(ForkError, match=r"died \(status -9\) without an answer(.|\n)*workbench fork --resume fork"):
        recording.fork(0)
    with pytest.raises(ForkError, match="was begun before and is not finished: resume it"):
        recording.fork(0)
    forked = go_on(recording, tmp_path / "marker")
    assert [row.relation for row in compare(whole.run, forked.run).rows] == ["same"] * len(whole.run.steps)
    assert [step.invocation for step in forked.run.steps] == [step.invocation for step in whole.run.steps]
    assert forked.receipt.calls == whole.receipt.calls
    assert forked.receipt.clean
    assert not Unfinished.beside(tmp_path / "forks" / "fork.sqlite").folder.exists()


def test_what_was_never_begun_stands_in_nobodys_way(recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork that can't be asked for leaves nothing; one that was killed while its thread was copied is made anew, unless somebody is at work on it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.workbench.replay.scrub]\nx = "["\n')
    with pytest.raises(ProjectError, match="is no regular expression"):
        recording.fork(0)
    (tmp_path / "pyproject.toml").unlink()
    work = Unfinished.beside(tmp_path / "forks" / "fork.sqlite")
    assert not work.folder.exists()
    work.make(Asked(run_id="fork", parent_run_id="thread", at=0, change=Change(), graph="g", live=(), seconds=1.0))
    with pytest.raises(ForkError, match="was begun before"):  # by somebody who is just about to claim it
        recording.fork(0)
    os.utime(work.folder, (0, 0))
    with work.claimed(), pytest.raises(ForkError, match="was begun before"):
        recording.fork(0)
    os.utime(work.folder, (0, 0))
    assert recording.fork(0).receipt.clean


def test_changed_before_the_kill(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that was made before the kill reaches what comes after it: recorded writes don't stand for a node that sees another state."""
    monkeypatch.setenv("KILL", str(ledger))
    recording = record(tmp_path, "killed_and_summed_up", [])
    monkeypatch.setenv("KILL", str(tmp_path / "marker"))
    with pytest.raises(ForkError, match="died"):
        recording.fork(recording.step("pay"), Change(kind="tool_result", value="a voucher"), execute=())
    forked = go_on(recording, tmp_path / "marker")
    assert "a voucher" in forked.run.steps[-1].changes["said"]


def test_met_before_the_kill(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that a live model met before the kill, and nothing after it, was met."""
    monkeypatch.setenv("KILL", str(ledger))
    recording = record(tmp_path, "killed_after_pondering", [])
    monkeypatch.setenv("KILL", str(tmp_path / "marker"))
    with pytest.raises(ForkError, match="died"):
        recording.fork(0, Change(kind="system", value="Be brief."), live=("model",))
    forked = go_on(recording, tmp_path / "marker")
    assert {one.name: one.verdict for one in forked.receipt.checks}["change met"] == "pass"


@pytest.mark.parametrize(("most", "came_to"), [(45, ("recorded at 1.0", 3, 45)), (30, ("halted", 2, 30))])
def test_spent_before_the_kill(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, came_to: tuple[str, int, int]) -> None:
    """What a model took before the kill counts, also where its node is run again: the budget holds for the whole."""
    monkeypatch.setenv("KILL", str(ledger))
    recording = record(tmp_path, "killed_pondering", [])
    monkeypatch.setenv("KILL", str(tmp_path / "marker"))
    with pytest.raises(ForkError, match="died"):
        recording.fork(0, live=("model",), terms=Terms(budget=Budget(tokens=most)))
    forked = go_on(recording, tmp_path / "marker", terms=Terms(budget=Budget(tokens=most)))
    spent = forked.receipt.spent
    assert (forked.receipt.outcome.partition(":")[0], spent.model_calls, spent.tokens.total) == came_to


def test_live_effects_are_not_repeated(recording: Recording, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done live before the kill is not done again: the finished step stands, and the unfinished one gets its result from the ledger."""
    monkeypatch.setenv("KILL", str(tmp_path / "marker"))
    pages = Pages()
    terms = Terms(approve=standing(["pay"]), ledger=pages)
    with pytest.raises(ForkError, match="died"):
        recording.fork(0, live=("tool:pay",), terms=terms)
    before = ledger.read_text()
    assert [line.split()[1] for line in before.splitlines()] == ["5", "7"]
    with pytest.raises(ForkError, match="stands in the ledger that it was made with"):
        go_on(recording, tmp_path / "marker")
    forked = go_on(recording, tmp_path / "marker", terms=terms)
    assert ledger.read_text() == before
    payments = [(one.answer, one.says) for one in forked.receipt.records if one.name == "pay"]
    assert payments[0][0] == "live"
    assert payments[1] == ("served", "done live before this fork was killed; the ledger has the result")
    assert [one.event for one in pages.lines if one.answered == "live"] == ["begun", "done", "begun", "done"]
    assert forked.run.status == "ok"


def test_unknown_is_not_repeated(recording: Recording, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live call that was begun and never ended is not made again: nobody knows whether it took effect."""
    monkeypatch.setenv("KILL", str(tmp_path / "marker"))
    pages = Pages()
    terms = Terms(approve=standing(["pay"]), ledger=pages)
    with pytest.raises(ForkError, match="died"):
        recording.fork(0, live=("tool:pay",), terms=terms)
    del pages.lines[-1]  # as if the parent had been killed too, while the call was being made
    before = ledger.read_text()
    forked = go_on(recording, tmp_path / "marker", terms=terms)
    assert ledger.read_text() == before
    assert "it was begun and never ended, so nobody knows whether it took effect" in forked.receipt.outcome
    assert {check.name for check in forked.receipt.checks if check.verdict == "fail"} == {"nothing halted", "every act settled"}


def test_killed_in_a_sweep(recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that is repeated goes on with the forks that were killed in it."""
    monkeypatch.setenv("KILL", str(tmp_path / "marker"))
    plan = Plan(recording.run, (recording.database,), recording.graph, tmp_path / "sweep")
    assert "died" in rerun_cell(plan, Cell(0, Change(), 0)).error
    (tmp_path / "marker").touch()
    again = rerun_cell(plan, Cell(0, Change(), 0))
    assert again.forked is not None
    assert again.forked.receipt.clean
    assert [(line.name, line.answered) for line in again.forked.lines] == [("pay", "served")] * 2


def test_resumed_by_two(recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one person resumes a fork a second is refused, and nothing of the fork is touched; afterwards it can be resumed."""
    monkeypatch.setenv("KILL", str(tmp_path / "marker"))
    with pytest.raises(ForkError, match="died"):
        recording.fork(0)
    work = Unfinished.beside(tmp_path / "forks" / "fork.sqlite")
    told = work.told.read_bytes()
    with work.claimed(), pytest.raises(ForkError, match="fork is being run or resumed by somebody else just now: wait until that has ended"):
        go_on(recording, tmp_path / "marker")
    assert work.told.read_bytes() == told
    assert go_on(recording, tmp_path / "marker").receipt.clean


def test_the_parent_is_killed_during_a_live_effect(recording: Recording, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process that holds the broker is killed while a tool is called for real, resuming does not call it again: its outcome is not known."""
    store = tmp_path / "kept.db"
    program = (
        "import os, pickle, signal, sys\n"
        "from pathlib import Path\n"
        "from workbench.replay.effects.approvals import standing\n"
        "from workbench.replay.effects.broker import Terms\n"
        "from workbench.store import Store\n"
        "class Dying(Store):\n"
        "    def append_entry(self, entry):\n"
        "        kept = super().append_entry(entry)\n"
        "        if entry.event == 'begun' and '7' in entry.key:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return kept\n"
        "recording = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "recording.fork(0, live=('tool:pay',), terms=Terms(standing(['pay']), Dying.open(Path(sys.argv[2]))))\n"
    )
    (tmp_path / "recording.pickle").write_bytes(pickle.dumps(recording))
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "recording.pickle"), str(store)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    before = ledger.read_text()
    assert [line.split()[1] for line in before.splitlines()] == ["5"]
    with Store.open(store) as kept:
        forked = go_on(recording, tmp_path / "marker", terms=Terms(standing(["pay"]), kept))
        begun = [entry.key for entry in kept.entries() if entry.event == "begun"]
    assert ledger.read_text() == before
    assert len(begun) == len(set(begun)) == 2
    assert "it was begun and never ended, so nobody knows whether it took effect" in forked.receipt.outcome
    assert not forked.receipt.clean


def test_nothing_to_resume(recording: Recording, tmp_path: Path) -> None:
    """A fork that is not unfinished can't be resumed."""
    with pytest.raises(ForkError, match="no unfinished fork stands in"):
        go_on(recording, tmp_path / "marker")


def test_sifted() -> None:
    """What a task told stands when the task is done, or told it before it stopped to ask and was started again; numbers are given anew."""

    def told(task: str, number: int) -> dict[str, Any]:
        return {"record": {}, "namespace": f"node:{task}", "span": {"attributes": {"workbench.call": number}}}

    lines = [{"start": {}}, told("done", 0), told("lost", 1), told("asked", 2), {"start": {}}, told("asked", 3), told("done", 4)]
    kept = list(sifted(lines, {"done"}, {"asked"}))
    assert [one.get("namespace", "start") for one in kept] == ["start", "node:done", "node:asked", "start", "node:done"]
    assert [one["span"]["attributes"]["workbench.call"] for one in kept if "span" in one] == [0, 1, 2]


def test_orphan(tmp_path: Path) -> None:
    """A re-run whose parent is gone stops at once: whoever resumes it works on the same thread."""
    gone: list[bool] = []
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123  # a descriptor
        Line(io.StringIO(), stream, gone=lambda: gone.append(True)).tell({"record": {}})
    assert gone == [True]
    with pytest.raises(ChannelError, match="nobody answers"):
        Line(io.StringIO(), io.StringIO()).ask({})


def test_deleted_with_its_run(tmp_path: Path) -> None:
    """An unfinished fork is named where runs are listed, with what lets it go on, and goes with the run it is of."""
    bench = workbench.open(tmp_path / "a.db")
    bench.store.save_runs([sketch(user("hello"), run_id="run")])
    work = Unfinished.beside(bench.store.forks / "fork.sqlite")
    work.make(Asked(run_id="run~1", parent_run_id="run", at=0, change=Change(), graph="g", live=(), seconds=1))
    (work.folder / "request.json").touch()
    assert bench.unfinished() == {"run~1": "run"}
    listed = CliRunner().invoke(app, ["runs", "--store", str(tmp_path / "a.db")]).output
    assert "run~1, a fork of run, was cut off; to let it go on: workbench fork --resume run~1 --store" in " ".join(listed.split())
    bench.delete("run")
    assert bench.unfinished() == {}
    assert not work.folder.exists()
    bench.close()
