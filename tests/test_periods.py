"""What only many runs of an agent show: its confidence over versions and runs, whether it can be believed, and the paths it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

import workbench as wb
from workbench.cohorts.calibration import calibration
from workbench.cohorts.periods import by_agent, changes, observed
from workbench.intervals import mean
from workbench.model import Finding, Run
from workbench.plugins import detectors
from workbench.sketch import START_NS, model, sketch, tool, user

DAY_NS = 86_400 * 10**9
drift = detectors()["confidence-drift"].detect_many


def sure(number: int, level: float, version: str, *, days: int = 0) -> Run:
    """A run whose two answers are about so sure."""
    stated = Random(number).gauss(level, 0.02)
    run = sketch(
        user("Go"), model("", confidence=stated), model("Done.", confidence=stated), run_id=f"run-{number}", agent="clerk", metadata={"version": version}
    )
    return run.model_copy(update={"started_ns": START_NS + days * DAY_NS + number})


def said(runs: list[Run]) -> list[Finding]:
    assert drift is not None
    return [one for one in drift(runs) if isinstance(one, Finding)]


def test_confidence_that_differs_between_versions_is_told_with_intervals():
    """Thirty runs of each of two versions whose mean confidence differs make one finding, at the first run of the later; equal ones make none."""
    runs = [sure(number, 0.9 if number < 30 else 0.8, "1" if number < 30 else "2") for number in range(60)]
    (found,) = said(runs)
    assert found.run_id == "run-30"
    assert found.message.startswith("from version 1 to 2 of clerk, mean confidence went from 0.90 [0.8")
    assert said([sure(number, 0.9, "1" if number < 30 else "2") for number in range(60)]) == []


def test_confidence_that_falls_within_one_version_is_told_at_its_run():
    """A lasting fall over an agent's runs is found without any mark of what changed; a dip that ends is none."""
    (found,) = said([sure(number, 0.9 if number < 40 else 0.78, "1") for number in range(60)])
    assert "fell from 0.90" in found.message
    assert 40 <= int(found.run_id.removeprefix("run-")) <= 45
    assert said([sure(number, 0.78 if number in {30, 31} else 0.9, "1") for number in range(60)]) == []


def test_periods_are_neighbours_in_time_with_enough_runs():
    """By version and by day in the order of time, whatever order the runs come in; a day of few runs is left out."""
    runs = [sure(number, 0.9, f"{number // 20}", days=number // 30) for number in range(65)]
    (those,) = by_agent(observed(run, 0) for run in reversed(runs)).values()
    assert [(one.kind, one.before, one.after, len(one.was), len(one.now)) for one in changes(those)] == [
        ("version", "0", "1", 20, 20), ("version", "1", "2", 20, 20), ("day", "2025-06-15", "2025-06-16", 30, 30)
    ]  # fmt: skip


def test_a_mean_needs_two_values():
    """A mean of one value has no interval, which is said."""
    assert str(mean([0.5, 0.7])) == "0.60 [0.40, 0.80] (2 runs)"
    with pytest.raises(ValueError, match="1 values"):
        mean([0.5])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[wb.Bench]:
    """Forty runs that say 0.9, of which ten failed; one that says nothing."""
    opened = wb.open(tmp_path / "workbench.db")
    steps = (model("", calls=(("look_up", {}),)), tool("look_up", {}, "a"), tool("look_up", {}, "b"), tool("reply", {}, "ok"), model("Done.", confidence=0.9))
    runs = [sketch(user("Go"), *steps, run_id=f"run-{number}", agent="clerk", status="ok" if number % 4 else "error") for number in range(40)]
    opened.store.save_runs([*runs, sketch(user("Hi"), model("Hello."), run_id="quiet", agent="clerk")])
    yield opened
    opened.close()


def test_calibration_holds_confidence_against_outcomes(bench: wb.Bench):
    """By how the runs ended, or by labels; what has no confidence or no outcome is counted, and no runs have no score."""
    found = bench.calibration().calibration
    assert [(one.stated, one.well[:2]) for one in found.bins] == [(pytest.approx(0.9), (30, 40))]
    assert (found.runs, found.left_out) == (40, 1)
    assert found.brier == pytest.approx(0.75 * 0.01 + 0.25 * 0.81)
    assert found.expected_error == pytest.approx(0.15)
    labelled = bench.calibration({"run-1": False, "run-2": True})
    assert (labelled.calibration.runs, labelled.calibration.left_out) == (2, 39)
    assert "0.8 to 1.0" in repr(labelled)
    assert "0.8 to 1.0" in labelled._repr_html_()
    assert calibration([]).brier is None


def test_a_flowchart_shows_whether_an_agent_is_a_pipeline(bench: wb.Bench):
    """One path is said to be one, drawn with what each arrow carries; with another it is an agent; names are text."""
    told = bench.paths(agent="clerk")
    assert told.verdict == "40 runs, 1 path, 0.00 bits: a pipeline more than an agent"
    assert "40 × start ─40→ look_up ─40→ reply ─40→ end" in repr(told)
    assert "1 run without a tool call" in told._repr_html_()
    evil = "<script>alert(1)</script>"
    bench.store.save_runs([sketch(tool(evil, {}, "ok"), run_id=f"other-{number}", agent="clerk") for number in range(3)])
    other = bench.paths(agent="clerk")
    assert not other.paths.is_pipeline
    assert other.paths.entropy_bits == pytest.approx(0.365, abs=0.001)
    assert evil not in other._repr_html_()
    assert bench.paths(agent="nobody").verdict == "no run called a tool"
