"""What is known of how right each detector is."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from tests.bench.detectors import FOLLOWED, errors_in, figures_in
from tests.mutations import PLANTED, convicts, found, planted
from workbench import figures as module
from workbench.figures import ALARM, FAILED, THE_FAULT, Figure, figures, records_of, told
from workbench.model import Review
from workbench.plugins import detectors


def review(verdict: str, number: int) -> Review:
    return Review(key=str(number), run_id="r", detector="runaway-loop", step=1, verdict=verdict, reviewed_ns=number)


def test_what_ships_is_of_detectors_that_ship():
    """Each figure that ships belongs to a detector that is there, counts what can be, and is dated."""
    for detector, those in figures().items():
        assert detector in detectors()
        for figure in those:
            assert 0 <= figure.hits <= min(figure.flagged, figure.positives) <= figure.runs
            assert figure.measured >= date(2026, 1, 1)
    rows = json.loads((Path(module.__file__).with_name("figures.json")).read_text("utf-8"))
    assert len(rows) == sum(map(len, figures().values()))


def test_only_what_was_measured_to_be_right_calls_itself_an_error():
    """Each detector that convicts has a shipped figure of what it calls errors, for just what it claims, and its precision is at least 0.95."""
    convicting = {name for name, one in detectors().items() if any(convicts(found(one, run)) for run in one.fires_on)}
    convicting |= {name for name in PLANTED for seed in range(5) if convicts(found(detectors()[name], planted(name, seed)))}
    measured = {name: [one for one in those if one.least == "error"] for name, those in figures().items()}
    assert {name for name, those in measured.items() if those} == convicting
    for name in convicting:
        for figure in measured[name]:
            assert figure.positive in {FOLLOWED, THE_FAULT}
            assert figure.flagged >= 100, name
            assert (figure.precision.value or 0) >= ALARM, name


def test_a_figure_of_errors_alone_says_so():
    """What is counted at severity error alone is told apart from all that a detector flags."""
    counts = {"hits": 99, "flagged": 100, "positives": 180, "runs": 400}
    assert str(Figure(detector="d", dataset="D", measured=date(2026, 11, 23), positive="p", least="error", **counts)).startswith("errors alone: precision 0.99")


def test_errors_are_counted_from_what_was_said():
    """Of the runs whose outcome is known, those that a detector of injections convicted count, each once; hints and other detectors don't."""
    said = [{"run_id": run_id, "detector": "injection-followed", "severity": "error"} for run_id in ("a", "a", "b", "unknown")]
    said += [{"run_id": "c", "detector": "injection-followed", "severity": "warning"}, {"run_id": "c", "detector": "runaway-loop", "severity": "error"}]
    (figure,) = errors_in(said, {"agentdojo": {"a": True, "b": False, "c": True}}, "2026-11-23")
    assert (figure.hits, figure.flagged, figure.positives, figure.runs, figure.least) == (1, 2, 2, 3, "error")


def test_a_figure_tells_itself():
    """Precision and recall with intervals, what they are of, where, over how many, against which base rate, and when."""
    counts = {"hits": 90, "flagged": 100, "positives": 180, "runs": 400}
    figure = Figure(detector="d", dataset="AgentDojo dev", measured=date(2026, 11, 23), positive="it failed", **counts)
    assert str(figure) == ("precision 0.90 [0.83, 0.94], recall 0.50 [0.43, 0.57] for “it failed” on AgentDojo dev, 180 positives, base rate 0.45 (2026-11-23)")


def test_unmeasured_is_said():
    """A detector without figures and reviews is unmeasured; reviews are a record of their own."""
    assert told("no-such-detector") == "unmeasured"
    (record,) = records_of([review("confirmed", 1), review("confirmed", 2), review("dismissed", 3)])
    assert record.precision[:3] == (2, 3, 2 / 3)
    assert told("runaway-loop", [record]).endswith("confirmed by people here: 0.67 [0.21, 0.94] (2 of 3)")
    assert told("no-such-detector", [record]) == "unmeasured"


def test_figures_are_counted_from_the_scorers_rates():
    """Shares of runs flagged by outcome become counts; a set without known outcomes gives none."""
    report = {
        "flag_rates": {
            "tau_bench": {"runs": {"failed": 40, "succeeded": 60}, "detectors": {"runaway-loop": {"failed": 0.25, "succeeded": 0.05}}},
            "intercode": {"runs": {"outcome unknown": 9}, "detectors": {"runaway-loop": {"outcome unknown": 0.5}}},
        }
    }
    (figure,) = figures_in(report, "2026-11-23")
    assert (figure.hits, figure.flagged, figure.positives, figure.runs, figure.positive) == (10, 13, 40, 100, FAILED)
    assert FOLLOWED != FAILED
