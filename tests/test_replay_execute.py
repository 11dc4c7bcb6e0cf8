"""What a node wrote that is executed again, and what came of it: nothing is served that depended on another value, unless the receipt says so."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

import workbench as wb
from tests import replay_drifting
from workbench.replay import ForkError


@contextlib.contextmanager
def recorded(folder: Path, name: str) -> Iterator[wb.RecordedRun]:
    """The recorded run of a graph that drew one."""
    path = folder / "checkpoints.sqlite"
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        saved = getattr(replay_drifting, name).copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(saved, folder / "bench.db") as running:
            running.invoke({"messages": [("user", "draw")]}, {"configurable": {"thread_id": "thread"}})
    with contextlib.closing(wb.open(folder / "bench.db")) as bench:
        bench.ingest(path)
        yield bench.run("thread")


def executed(run: wb.RecordedRun, name: str, node: str = "draw") -> wb.RecordedRun:
    return run.fork(0, execute=[node], graph=f"{replay_drifting.__name__}:{name}", trust=True)


def stood(fork: wb.RecordedRun) -> list[str]:
    """The nodes whose recorded writes stood for them."""
    return [one.name for one in fork.receipt.records if one.kind == "node"]


@pytest.mark.parametrize("name", ["telling", "inside"])
def test_what_was_executed_wrote_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the code writes what it wrote, what came after it stands."""
    with recorded(tmp_path, name) as run:
        fork = executed(run, name)
        assert {"beside", "tell"} <= {*stood(fork)}
        assert (fork.receipt.clean, fork.final_state()["said"]) == (True, "drew one")
        assert not any("wrote other values" in note for note in fork.receipt.notes)


@pytest.mark.parametrize("name", ["telling", "inside"])
def test_what_was_executed_wrote_something_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it writes another value, the nodes after it run on that, those beside it stand, and the receipt says so."""
    with recorded(tmp_path, name) as run:
        monkeypatch.setenv("DRAWN", "two")
        fork = executed(run, name)
        assert fork.final_state()["said"] == "drew two"
        assert fork.final_state()["aside"] == "beside None one"
        assert "tell" not in stood(fork)
        assert any("draw wrote other values than recorded: the nodes after it ran" in note for note in fork.receipt.notes)
        assert not fork.receipt.clean


def test_a_tool_that_reads_what_was_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool whose recorded answer was made of the old value is not served it."""
    with recorded(tmp_path, "judging") as run:
        assert executed(run, "judging").receipt.clean
        monkeypatch.setenv("DRAWN", "two")
        fork = executed(run, "judging")
        (judged,) = (one for one in fork.receipt.records if one.kind == "tool")
        assert judged.answer == "halted"
        assert "the run's state, of which drawn held another value then" in judged.says


def test_killed_once_it_wrote_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-run that goes on after a kill knows that a node had written something else, and so serves nothing that was made of the old value."""
    monkeypatch.setenv("KILL", str(tmp_path))  # it is there, so nothing is killed
    with recorded(tmp_path, "dying") as run:
        monkeypatch.setenv("DRAWN", "two")
        monkeypatch.setenv("KILL", str(tmp_path / "marker"))
        with pytest.raises(ForkError, match="died"):
            executed(run, "dying")
        (tmp_path / "marker").touch()
        (killed,) = run.bench.unfinished()
        fork = run.bench.resume(killed)
        assert fork.final_state()["said"] == "drew two"
        assert sum("draw wrote other values than recorded" in note for note in fork.receipt.notes) == 1
