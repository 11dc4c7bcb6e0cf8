"""An agent that hands over to another passes on what was said: after a change that is something else, which a recorded hand-over does not hold."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

import workbench as wb
from tests import replay_handing

OTHER: dict[str, Any] = {"state": {"messages": [("user", "other")]}}


@contextlib.contextmanager
def recorded(folder: Path, name: str) -> Iterator[wb.RecordedRun]:
    """The recorded run of two agents."""
    path = folder / "checkpoints.sqlite"
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        saved = getattr(replay_handing, name).copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(saved, folder / "bench.db") as running:
            running.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "thread"}})
    with contextlib.closing(wb.open(folder / "bench.db")) as bench:
        bench.ingest(path)
        yield bench.run("thread")


def fork(run: wb.RecordedRun, name: str, **asked: Any) -> wb.RecordedRun:
    return run.fork(0, graph=f"{replay_handing.__name__}:{name}", trust=True, **asked)


def test_what_was_said_is_handed_on(tmp_path: Path, ledger: Path) -> None:
    """Unchanged, a hand-over is served; after a change its code runs in the sandbox, and the receipt says so."""
    with recorded(tmp_path, "handing") as run:
        assert run.final_state()["said"] == "go & handed over"
        (foreseen,) = (one for one in run.foresee(0, live=["model"], **OTHER).forecast.steps if one.name == "transfer_to_second")
        assert foreseen.says.endswith("it hands over, and where what it passes on differs, its code runs, in the sandbox")
        unchanged = fork(run, "handing")
        assert (unchanged.receipt.clean, unchanged.receipt.notes) == (True, ())
        changed = fork(run, "handing", **OTHER)
        if not changed.receipt.isolation.startswith("sandboxed"):
            pytest.skip("there is no sandbox here")
        assert sorted(changed.final_state()["said"].split(" & ")) == ["go", "handed over", "other"]
        assert changed.receipt.clean, str(changed.receipt)
        (note,) = (one for one in changed.receipt.notes if "transfer_to_second" in one)
        assert "ran its code in the sandbox, in place of what it returned then, for it reads the run's state, of which messages held another value then" in note
        (handed,) = (step for step in changed.steps if step.name == "transfer_to_second")
        assert handed.status == "ok"


def test_a_hand_over_that_acts(tmp_path: Path, ledger: Path) -> None:
    """One that by its name or declaration acts halts, and offers the line that lets its code run."""
    with recorded(tmp_path, "acting") as run:
        (foreseen,) = (one for one in run.foresee(0, live=["model"], **OTHER).forecast.steps if one.name == "book_and_go")
        assert foreseen.says.endswith("where what it passes on differs, it halts")
        halted = fork(run, "acting", **OTHER)
        assert halted.receipt.calls.halted == 1
        assert "run its code in the sandbox, where it reads that (execute=['book_and_go'], --execute book_and_go)" in halted.receipt.outcome
        executed = fork(run, "acting", execute=["book_and_go"], **OTHER)
        assert executed.receipt.clean, str(executed.receipt)
        assert "other" in executed.final_state()["said"]


def test_a_hand_over_that_reaches_out(tmp_path: Path, ledger: Path) -> None:
    """One whose code reaches for the world does nothing there: it halts, and what it reached for is told."""
    with recorded(tmp_path, "loud") as run:
        before = ledger.read_text()
        halted = fork(run, "loud", **OTHER)
        if not halted.receipt.isolation.startswith("sandboxed"):
            pytest.skip("there is no sandbox here")
        assert "its code ran in the sandbox, since it reads what is otherwise now, and failed there" in halted.receipt.outcome
        assert {one.name for one in halted.receipt.checks if one.verdict == "fail"} >= {"nothing halted", "nothing blocked"}
        assert ledger.read_text() == before


def test_a_hand_over_where_there_is_no_sandbox(tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the re-run is only guarded, its code is not run unless it is named."""
    monkeypatch.setenv("GUARDED", "1")
    with recorded(tmp_path, "handing") as run:
        halted = fork(run, "handing", **OTHER)
        assert "(execute=['transfer_to_second'], --execute transfer_to_second)" in halted.receipt.outcome
        assert fork(run, "handing", execute=["transfer_to_second"], **OTHER).run.status == "ok"
