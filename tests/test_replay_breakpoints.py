"""A re-run goes past a breakpoint where the recorded run did, and stops at any other, waiting, and says so."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

import workbench as wb
from tests import replay_pausing

STARTS = {"before": 3, "after": 3, "inside": 4}
"""How often each graph is started, to come to its end with an amount of two."""


@contextlib.contextmanager
def recorded(folder: Path, name: str, starts: int, *, spans: bool, **given: Any) -> Iterator[wb.RecordedRun]:
    """The recorded run of a graph, gone on with from a breakpoint as often as it was started less one."""
    path, config = folder / "checkpoints.sqlite", {"configurable": {"thread_id": "thread"}}
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        graph = getattr(replay_pausing, name).copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(graph, folder / "bench.db") if spans else contextlib.nullcontext(graph) as running:
            for number in range(starts):
                running.invoke(None if number else {"amount": 2}, config, **given)
    with contextlib.closing(wb.open(folder / "bench.db")) as bench:
        bench.ingest(path)
        yield bench.run("thread")


def fork(run: wb.RecordedRun, name: str, at: int = 0, **change: Any) -> wb.RecordedRun:
    return run.fork(at, graph=f"{replay_pausing.__name__}:{name}", trust=True, **change)


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
@pytest.mark.parametrize("name", sorted(STARTS))
def test_a_breakpoint_is_passed_as_it_was(name: str, tmp_path: Path, *, spans: bool) -> None:
    """Unchanged and changed, a re-run goes on from each breakpoint that somebody went on from, and tells of those behind a change."""
    with recorded(tmp_path, name, STARTS[name], spans=spans) as run:
        assert run.final_state()["said"] == ["plan 2", "act 2", "act 1", "closed after 3", *(["closed after 4"] if name == "inside" else [])]
        unchanged = fork(run, name)
        assert [row for row in wb.compare(run, unchanged).comparison.rows if row.relation != "same"] == []
        assert (unchanged.receipt.clean, unchanged.run.status, unchanged.receipt.notes) == (True, "ok", ())
        first = next(step.index for step in run.steps if step.name == "plan")
        changed = fork(run, name, first, state={"said": ["told"]})
        assert changed.run.status == "ok"
        assert changed.final_state()["said"][-1] == ("closed after 5" if name == "inside" else "closed after 4")
        assert all("went on past the breakpoint" in note for note in changed.receipt.notes)
        assert len(changed.receipt.notes) == STARTS[name] - 1


def test_a_breakpoint_that_nobody_passed(tmp_path: Path) -> None:
    """A re-run that comes to a breakpoint where the recorded run met none waits there: a go-ahead is good for no other turn."""
    with recorded(tmp_path, "before", 3, spans=True) as run:
        changed = fork(run, "before", state={"amount": 3})
        assert (changed.run.status, changed.final_state()["said"]) == ("interrupted", ["plan 3", "act 3", "act 2"])
        assert changed.receipt.notes[-1] == "it stopped at the breakpoint before act, past which the recorded run did not go"


@pytest.mark.parametrize(
    ("name", "given", "spans"),
    [("before", {}, False), ("inside", {}, True), ("plain", {"interrupt_before": ["act"]}, True), ("plain", {"interrupt_after": ["plan"]}, False)],
)
def test_a_run_that_waits_at_a_breakpoint(name: str, given: dict[str, Any], tmp_path: Path, *, spans: bool) -> None:
    """Where the recorded run was left at a breakpoint, of the graph or of its start, so is a re-run, changed or not."""
    with recorded(tmp_path, name, 1, spans=spans, **given) as run:
        for change in ({}, {"state": {"amount": 5}}):
            forked = fork(run, name, **change)
            if name != "inside":  # a breakpoint in a graph of its own is met as that runs
                assert "it stops at the breakpoint before act, past which the recorded run did not go" in run.foresee(0, **change).forecast.notes
            assert (forked.receipt.clean, forked.run.status) == (True, "interrupted")
            assert forked.receipt.notes == ("it stopped at the breakpoint before act, past which the recorded run did not go",)


def test_a_breakpoint_inside_is_no_question(tmp_path: Path) -> None:
    """Where checkpoints tell what was asked, a graph in the graph that stops at a breakpoint is no approval of a person, as none of the root's is."""
    with recorded(tmp_path, "inside", 2, spans=True) as run:
        assert [step.name for step in run.steps] == ["plan", "act"]
        assert run.run.status == "interrupted"
