"""What a cohort did at the same point, and what only many runs together show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import workbench as wb
from workbench import cli
from workbench.bench import Bench
from workbench.cohorts.baseline import Baseline
from workbench.cohorts.neighbours import neighbours_of
from workbench.model import Run, Span
from workbench.normalise import normalise
from workbench.sketch import model, sketch, tool, user


def ran(number: int, *tools: str, **fields: object) -> Run:
    steps = [step for name in tools for step in (model("", calls=((name, {"n": number}),)), tool(name, {"n": number}, "ok"))]
    return sketch(user(f"request {number}"), *steps, model("Done."), run_id=f"run-{number}", agent="clerk", **fields)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Thirty runs of a clerk, of whom one refunds where the others price; and one that failed."""
    found = wb.open(tmp_path / "store.db")
    found.store.save_runs(
        [ran(number, "look_up", "refund" if number == 7 else "price", metadata={"version": "1" if number < 10 else "2"}) for number in range(30)]
    )
    found.store.save_runs([ran(99, "look_up", "refund", status="error")])
    return found


def test_a_decision_is_shown_beside_its_neighbours(bench: Bench):
    """At a model call one sees what the cohort's runs called there, how many of them, and what this run did."""
    found = bench.run("run-7").neighbours(3)
    assert (found.after, found.chosen, found.counts) == ("look_up", "refund", {"price": 29, "refund": 1})
    assert found.agreeing[:2] == (1, 30)
    assert str(found) == "step 3, after look_up: 29 of 30 called price, 1 of 30 called refund; this run called refund"
    assert bench.run("run-7").neighbours(4).chosen == "refund"
    assert str(bench.run("run-1").neighbours(5)) == "step 5, after price: 29 of 29 called no tool any more; this run called no tool any more"


def test_a_point_no_run_ever_came_to_says_so():
    """After a tool that the cohort never called there are no neighbours."""
    found = neighbours_of(ran(1, "fly", "look_up"), 4, Baseline.of([ran(2, "look_up")]))
    assert str(found) == "step 4: no run of the baseline ever stood after fly; here came look_up"
    assert found.agreeing.value is None


def test_a_baseline_is_chosen(bench: Bench):
    """By agent, version, start and status; none at all is an error."""
    assert (bench.baseline(agent="clerk").runs, bench.baseline(version="1").runs, bench.baseline(status=None).runs) == (30, 10, 31)
    assert bench.baseline(since="2025-06-15T00:00:00+00:00").runs == 30
    with pytest.raises(ValueError, match="at least one run"):
        bench.baseline(since="2031-01-01T00:00:00+00:00")


def test_what_only_many_runs_show(bench: Bench, capsys: pytest.CaptureFixture[str]):
    """A path that hardly varies is told with its flowchart, in Python and on the command line."""
    found = {finding.detector: finding for finding in bench.together(agent="clerk").findings}
    assert "fixed-path" not in found  # two of 31 went elsewhere: less than 95 % share a path
    bench.store.save_runs([ran(number, "look_up", "price") for number in range(100, 130)])
    cli.app(["detect", "--together", "--store", str(bench.store.path), "--json"], standalone_mode=False)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (path,) = [one for one in told if one.get("detector") == "fixed-path"]
    assert "start → look_up → price → end" in path["message"]
    assert path["numbers"]["runs"] == 61


def test_the_service_version_is_kept():
    """The version that the resource of a run's spans names is in the run's metadata."""
    span = Span(trace_id="1" * 32, span_id="2" * 16, name="invoke_agent", start_ns=1, end_ns=2, resource={"service.version": "1.4"})
    (run,) = normalise([span], [])
    assert run.metadata == {"service.version": "1.4"}
