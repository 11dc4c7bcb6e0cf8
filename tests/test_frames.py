"""Frames have their declared columns and dtypes, whatever stands in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import workbench
from workbench import frames
from workbench.model import EffectCount, Evidence, Finding, NotEvaluated, Run
from workbench.sketch import model, restart, sketch, tool, user
from workbench.store import Store

RUN = sketch(
    user("Book"), model(calls=(("book_flight", {"to": "HND"}),), confidence=0.9, tokens=10), tool("book_flight", {"to": "HND"}, {"id": 1}), run_id="r-1"
)
FINDING = Finding(
    detector="d", run_id="r-1", severity="warning", score=0.5, step=2, message="m", capability="security", evidence=(Evidence.cite(RUN, 2, "$.result", "says"),)
)
MAKERS: dict[str, tuple[Callable[[list[object]], pl.DataFrame], dict[str, object], object]] = {
    "runs": (frames.runs_frame, frames.RUNS, RUN),
    "findings": (frames.findings_frame, frames.FINDINGS, FINDING),
    "not evaluated": (frames.not_evaluated_frame, frames.NOT_EVALUATED, NotEvaluated(detector="d", run_id="r-1", why="w")),
    "effects": (frames.effects_frame, frames.EFFECTS, EffectCount(tool="t", key="t()", original=2, fork=1)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_frame_has_its_declared_columns_and_dtypes(name: str) -> None:
    """A frame has the same columns and dtypes with no row, with one, and with many."""
    make, schema, value = MAKERS[name]
    for rows in ([], [value], [value] * 300):
        frame = make(rows)
        assert frame.schema == pl.Schema(schema)
        assert frame.height == len(rows)


def test_steps_frame_has_its_declared_columns_and_dtypes() -> None:
    """A frame of steps has the same columns and dtypes for a run without steps."""
    assert frames.steps_frame(RUN).schema == frames.steps_frame(Run(run_id="empty")).schema == pl.Schema(frames.STEPS)
    assert frames.steps_frame(RUN)["step"].to_list() == [0, 1, 2]


def test_what_was_not_recorded_is_null() -> None:
    """A run without tokens, costs or times has nulls, not zeros."""
    row = frames.runs_frame([Run(run_id="bare")]).row(0, named=True)
    assert row["total_tokens"] is row["cost_usd"] is row["started"] is row["duration_ms"] is None


def test_a_cost_that_leaves_calls_out_says_of_how_many() -> None:
    """Beside the recorded dollars stand the model calls they leave out; one that failed is none of them, since no provider charges for it."""
    run = sketch(model(cost_usd=0.25), model(), model(), model(status="error", error="overloaded"))
    row = frames.runs_frame([run]).row(0, named=True)
    assert (row["cost_usd"], row["cost_unrecorded_calls"]) == (0.25, 2)


def test_severities_sort_by_gravity() -> None:
    """Findings sorted by severity have errors last, warnings before them."""
    three = [FINDING.model_copy(update={"severity": severity}) for severity in ("error", "info", "warning")]
    assert frames.findings_frame(three).sort("severity")["severity"].to_list() == ["info", "warning", "error"]


def test_steps_frame_holds_what_a_step_says() -> None:
    """A step's tool, arguments and confidence stand in their columns, arguments and results as JSON."""
    rows = frames.steps_frame(RUN).rows(named=True)
    assert (rows[1]["selected"], rows[1]["confidence"], rows[1]["total_tokens"]) == (["book_flight"], 0.9, 10)
    assert (rows[2]["tool"], rows[2]["arguments"], rows[2]["result"]) == ("book_flight", '{"to":"HND"}', '{"id":1}')


def test_runs_frame_counts_invocations_effects_and_errors() -> None:
    """A run's row counts its starts, its attempted effects and its failed steps."""
    run = sketch(tool("book_flight", {"to": "HND"}, error="timed out"), restart(tool("book_flight", {"to": "HND"}, "ok")))
    row = frames.runs_frame([run]).row(0, named=True)
    assert (row["invocations"], row["effects"], row["errors"], row["tool_calls"]) == (2, 2, 1, 2)


def test_a_long_run_is_a_table_without_its_steps_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame of a run of many steps is made of the columns the store kept of it, and is the same as that of its steps."""
    steps = [
        model(calls=(("look", {"n": n}),), confidence=0.5, tokens=n) if n % 2 else tool("look", {"n": n}, "\ud800" if n == 4 else {"n": n})
        for n in range(1_200)
    ]
    run = sketch(*steps, run_id="long")
    with Store.open(tmp_path / "w.db") as store:
        store.save_runs([run, sketch(user("short"), run_id="short")])
    bench = workbench.open(tmp_path / "w.db")
    assert bench.run("short").frame().equals(frames.steps_frame(bench.run("short").run))
    monkeypatch.setattr(Store, "runs", None)
    assert bench.run("long").frame().equals(frames.steps_frame(run))
