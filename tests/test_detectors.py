"""Every detector found by walking, held to one contract, and shown the recorded incidents. Planted faults: `test_mutations`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import workbench
from workbench.checklist import CHECKLIST
from workbench.model import Finding, NotEvaluated, Run, Step, digest
from workbench.plugins import Detector, detectors
from workbench.sketch import model, sketch, tool, user

FOUND = detectors()
SAMPLES = Path(__file__).parent.parent / "sample_traces"
SINGLE = {name: one for name, one in FOUND.items() if not one.together}
TOGETHER = {name: one for name, one in FOUND.items() if one.together}
EVERY = pytest.mark.parametrize("detector", SINGLE.values(), ids=SINGLE)
MANY = pytest.mark.parametrize("detector", TOGETHER.values(), ids=TOGETHER)


def findings(detector: Detector, run: Run) -> list[Finding]:
    return [finding for finding in detector.detect(run) if isinstance(finding, Finding)]


def convicts(detector: Detector, run: Run) -> bool:
    return any(finding.severity != "info" for finding in findings(detector, run))


@EVERY
def test_detector_fires_on_its_examples(detector: Detector) -> None:
    """A detector finds something in each run of FIRES_ON."""
    for number, run in enumerate(detector.fires_on):
        assert findings(detector, run), f"FIRES_ON[{number}]"


@EVERY
def test_detector_is_quiet_on_near_misses(detector: Detector) -> None:
    """A detector finds nothing in any run of QUIET_ON."""
    for number, run in enumerate(detector.quiet_on):
        assert findings(detector, run) == [], f"QUIET_ON[{number}]"


@EVERY
def test_finding_is_well_formed(detector: Detector) -> None:
    """A finding bears its detector's name, a step of the run, numbers, a way to refute it, and evidence whose hash verifies."""
    for run in detector.fires_on:
        for finding in findings(detector, run):
            assert (finding.detector, finding.run_id) == (detector.name, run.run_id)
            assert 0 <= finding.score <= 1
            assert finding.step is not None
            assert run.step(finding.step).index == finding.step
            assert finding.message
            assert finding.numbers
            assert finding.refute
            assert finding.item in CHECKLIST[finding.capability]
            assert finding.evidence
            assert all(digest(run.step(proof.step).at(proof.path)) == proof.sha256 for proof in finding.evidence)


@EVERY
def test_detector_says_when_it_could_not_judge(detector: Detector) -> None:
    """On a run of mere talk a detector reports that it was not evaluated, and why."""
    reports = list(detector.detect(sketch(user("Hello"), model("Hello!"))))
    assert [report.detector for report in reports] == [detector.name]
    assert not findings(detector, sketch(user("Hello"), model("Hello!")))


@EVERY
def test_detector_survives_odd_runs(detector: Detector) -> None:
    """Runs without steps, times, arguments or results, and with results of any depth, raise nothing and convict nobody."""
    deep: object = "bottom"
    for _ in range(100):
        deep = [deep]
    bare = Step(index=0, kind="tool", name="book_flight")
    odd = [
        Run(run_id="empty"),
        Run(run_id="bare", steps=(bare, bare.model_copy(update={"index": 7}))),
        sketch(tool("look", {}, deep), tool("look", {}, "{[" * 50)),
    ]
    assert [finding for run in odd for finding in findings(detector, run)] == []


@MANY
def test_detector_of_many_runs_is_shown_cohorts(detector: Detector) -> None:
    """What only looks at many runs fires on its first cohort with evidence that verifies, is quiet on the other, and says so when there are too few."""
    runs = {run.run_id: run for run in detector.fires_on}
    found = [said for said in detector.detect_many(detector.fires_on) if isinstance(said, Finding)]
    assert found
    for finding in found:
        assert (finding.detector, finding.severity) == (detector.name, "info")  # a habit is no fault of one run
        assert finding.numbers
        assert finding.refute
        assert finding.item in CHECKLIST[finding.capability]
        assert finding.evidence
        assert all(digest(runs[proof.run_id].step(proof.step).at(proof.path)) == proof.sha256 for proof in finding.evidence)
    assert [said for said in detector.detect_many(detector.quiet_on) if isinstance(said, Finding)] == []
    few = list(detector.detect_many(detector.fires_on[:1]))
    assert [isinstance(said, NotEvaluated) for said in few] == [True]


def test_detectors_stay_quiet_on_each_others_near_misses() -> None:
    """No detector convicts a run that another one's author drew as healthy, save where that run does hold the first one's fault. Hints convict nobody."""
    crossed = {(name, other) for name, one in FOUND.items() for other, drawn in FOUND.items() for run in drawn.quiet_on if convicts(one, run)}
    assert crossed <= {("runaway-loop", "confidence-drift")}


# ---- recorded incidents

STORIES = {
    "booked_twice": {"duplicated-effect"},
    "progress_lost": {"lost-progress"},
    "followed_up_47_times": {"waiting-ignored"},
    "budget_burned": {"runaway-loop", "budget-exceeded"},
    "quietly_wrong": {"confidence-drift", "empty-result-used", "unescalated-doubt"},
}
RECORDED = sorted(path.parent.name for path in SAMPLES.glob("*/spans.otlp.jsonl"))


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_run_has_its_own_fault_and_no_other(name: str, tmp_path: Path) -> None:
    """Each recorded incident is found by the detectors of its own faults, and a healthy control by none; hints aside."""
    with contextlib.closing(workbench.open(tmp_path / "store.db")) as bench:
        bench.ingest(SAMPLES / name)
        assert {finding.detector for finding in bench.detect().findings if finding.severity != "info"} == STORIES.get(name, set())


def test_every_story_is_recorded() -> None:
    """Each of the five incidents is there, and healthy controls beside them."""
    assert set(STORIES) < set(RECORDED)


def test_a_loop_names_what_it_ignored() -> None:
    """Results that differ only in what passes with time are called the same but for that, by name or as times in a text."""
    named = sketch(user("go"), *(tool("poll", {}, {"rows": [{"checked_at": str(n), "n": 1}]}) for n in range(4)))
    texts = sketch(user("go"), *(tool("poll", {}, f"nothing at 03:00:0{n}") for n in range(4)))
    equal = sketch(user("go"), *(tool("poll", {}, "nothing") for _ in range(4)))
    for run, says in ((named, "the same result but for checked_at,"), (texts, "the same result but for times and ids,"), (equal, "the same result,")):
        (found,) = detectors()["runaway-loop"].detect(run)
        assert isinstance(found, Finding)
        assert says in found.message
