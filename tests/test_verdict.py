"""One verdict per run: a probability with reasons, steps ranked with reasons; stored with the examination, told apart from findings."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

import workbench
from tests.bench.verdict import auroc, fitted, logistic, rewritten, top_chance, within
from workbench import summary
from workbench.cli import app
from workbench.model import Finding, Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.signals import complaint, run_signals, step_signals
from workbench.verdict.verdict import read, shipped, verdict_of

SAMPLES = Path(__file__).parent.parent / "sample_traces"
SHORT = sketch(user("Book NH 11"), model(calls=(("book_flight", {"flight": "NH 11"}),)), tool("book_flight", {"flight": "NH 11"}, "booked"), model("Booked."))


def rounds(count: int) -> list[Step]:
    asked = {"flight": "NH 11"}
    again = [model("I am trying once more. " * 20, calls=(("book_flight", asked),)), tool("book_flight", asked, error="no seat")]
    return [step for _ in range(count) for step in again]


def team(*said: tuple[str, str]) -> Run:
    return sketch(user("How many athletes came from Cuba in 1928?"), *(model(text, name=name) for name, text in said))


def pointing(step: int, severity: str = "error", score: float = 0.98) -> Finding:
    return Finding(detector="d", run_id="sketch", severity=severity, score=score, step=step, message="m", capability="security")  # type: ignore[arg-type]


def test_a_run_that_toils_and_breaks_off_is_likelier_to_have_failed_than_a_short_one():
    """Length, repetition and an end in the middle of the work raise the probability, and each says so."""
    toiling = verdict_of(sketch(user("Book NH 11"), *rounds(30)))
    assert toiling.probability is not None
    assert toiling.probability > 0.7
    assert (verdict_of(SHORT).probability or 1) < 0.5
    assert {"it stopped in the middle of its work", "29 calls were made before", "its last tool call failed"} <= set(toiling.reasons)


def test_a_base_rate_moves_the_probability_and_leaves_the_order():
    """Where few runs fail, the same signs mean less; what is no share is an error that says what would be one."""
    toiling = sketch(user("Book NH 11"), *rounds(30))
    rare, common = (verdict_of(toiling, base_rate=rate).probability for rate in (0.02, 0.6))
    assert rare is not None
    assert common is not None
    assert rare < 0.2 < common
    with pytest.raises(ValueError, match=r"such as 0\.05, not 1"):
        verdict_of(toiling, base_rate=1)


def test_a_sure_finding_raises_the_probability_and_its_step_to_the_top():
    """A finding of severity error counts for the run, one of warning or more for its step, a hint for neither."""
    plain, sure, hint = (verdict_of(SHORT, found) for found in ((), (pointing(2),), (pointing(2, "info"),)))
    assert (sure.probability or 0) > (plain.probability or 1)
    assert "a detector is sure of a fault" in sure.reasons
    assert hint == plain
    assert sure.suspects[0].step == 2
    assert "a detector points at it" in sure.suspects[0].reasons


def test_findings_of_another_run_count_for_nothing():
    """Only what was found in the run itself is weighed."""
    assert verdict_of(SHORT, [pointing(2).model_copy(update={"run_id": "other"})]) == verdict_of(SHORT)


def test_the_step_that_makes_things_up_is_the_first_to_look_at():
    """A message that assumes, with much that nothing before it said, ranks above those that merely pass it on."""
    run = team(
        ("Planner", "I will count the athletes from Cuba in 1928."),
        (
            "Expert",
            "Assuming typical figures, say the placeholder data: Cuba 17, Panama 4, Malta 22, Haiti 9, Monaco 11, Latvia 14; Cuba thus sent seventeen runners.",
        ),
        ("Checker", "I agree, Cuba 17."),
    )
    first, *_ = verdict_of(run).suspects
    assert first.step == 2
    assert {"it assumes or makes up", "it brings much that nothing before it had said"} <= set(first.reasons)


def test_shares_of_suspicion_add_up_to_one():
    """The suspicion is shared out among all steps, the greatest share first."""
    scores = [one.score for one in verdict_of(SHORT).suspects]
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    assert scores == sorted(scores, reverse=True)


def test_a_run_led_by_an_orchestrator_is_searched_among_its_workers_steps():
    """Where one agent leads, a worker's second or third piece of work ranks above the leader's instructions."""
    lead = [("Lead", f"Please look up part {number} of the question in a reliable source now.") for number in range(7)]
    work = [("Surfer", f"I opened page {number} and this is what it shows about the athletes of that year.") for number in range(7)]
    first = verdict_of(team(*(step for pair in zip(lead, work, strict=True) for step in pair))).suspects[0]
    assert first.step in {4, 6}
    assert "it is a worker's step" in first.reasons


def test_a_task_that_is_not_the_recorded_question_is_suspect():
    """Where the run's record says what was asked and the agent was told something else, the telling is the first step to look at."""
    run = sketch(user("Fix the failing script please"), model("Here is a script."), metadata={"question": "How many athletes did Cuba send to the Olympics?"})
    assert verdict_of(run).suspects[0].step == 0


def test_a_run_without_model_calls_is_not_judged():
    """No probability is made up where nothing was recorded that it could rest on."""
    for run in (Run(run_id="empty"), sketch(user("Hello"))):
        verdict = verdict_of(run)
        assert (verdict.probability, verdict.suspects) == (None, ())
        assert str(verdict) == "not judged: no model calls recorded"


@pytest.mark.parametrize("run", [sketch(model("")), sketch(model("你好")), sketch(model("ok"), tool("look", {}, {"a": [1]}))])
def test_odd_runs_get_a_probability(run: Run):
    """Empty messages, another language and results of any shape leave a probability between 0 and 1."""
    assert 0 < (verdict_of(run).probability or 0) < 1


def test_a_tools_failure_is_read_from_its_words_too():
    """Exit codes and traces are complaints; success and an exit code of 0 are none."""
    said = (
        "exit code: 1\nno such table",
        "Traceback (most recent call last):\n  boom",
        "<returncode>2</returncode>",
        "exitcode: 0 (execution succeeded)",
        "fine",
    )
    assert [complaint(tool("bash", {}, text)) is not None for text in said] == [True, True, True, False, False]
    assert complaint(tool("bash", {}, error="refused")) == "refused"


def test_signals_do_not_depend_on_ids_or_the_agents_name():
    """The same run under other ids and names of its agent has the same signals."""
    renamed = SHORT.model_copy(update={"run_id": "failed-17", "conversation_id": "t", "agent": "bad-agent"})
    assert (run_signals(renamed), step_signals(renamed)) == (run_signals(SHORT), step_signals(SHORT))


def test_verdicts_are_stored_with_the_examination_and_printed_as_lines(tmp_path: Path):
    """`detect --json` prints one `failed-run` line a run and ranked `first-bad-step` lines; the findings people see hold neither."""
    store = tmp_path / "store.db"
    with closing(workbench.open(store)) as bench:
        bench.ingest(SAMPLES / "booked_twice")
        found = bench.detect().findings
        verdicts = bench.store.verdicts()
        (run_id,) = verdicts
        assert bench.run(run_id).verdict == verdicts[run_id] == bench.store.verdicts([run_id])[run_id]
    assert {"failed-run", "first-bad-step"}.isdisjoint(one.detector for one in found)
    runner = CliRunner()
    lines = [json.loads(line) for line in runner.invoke(app, ["detect", "--json", "--store", str(store)]).stdout.splitlines()]
    assert all("detector" in line or "examined" in line or "timings" in line for line in lines)
    (failed,) = [line for line in lines if line.get("detector") == "failed-run"]
    steps = [line for line in lines if line.get("detector") == "first-bad-step"]
    assert failed["score"] == verdicts[run_id].probability
    assert [line["step"] for line in steps] == [one.step for one in verdicts[run_id].suspects]
    assert [line["score"] for line in steps] == sorted((line["score"] for line in steps), reverse=True)
    shown = runner.invoke(app, ["show", run_id, "--store", str(store)]).stdout
    assert "of benchmark runs like it" in shown


def test_a_verdict_that_could_not_be_reached_prints_no_line():
    """A run that was not judged has no score that could be taken for "all is well"."""
    assert list(summary.of_verdict(verdict_of(Run(run_id="empty")))) == []


# ---- the measuring script


def test_calibration_finds_the_log_odds_it_was_drawn_from():
    """Two sets in which failing is three times as likely above zero give back that slope and intercept."""
    drawn = [(1.0, True)] * 3 + [(1.0, False)] + [(-1.0, False)] * 3 + [(-1.0, True)]
    slope, intercept = logistic([drawn, drawn * 2])
    assert (round(slope, 4), round(intercept, 4)) == (1.0986, 0.0)


def test_the_area_counts_ties_half_and_pairs_within_an_agent():
    """Figures as the checks define them."""
    assert auroc([1.0, 2.0], [1.0, 0.0]) == 0.875
    assert within([(2.0, True, "a"), (1.0, False, "a"), (0.0, True, "b"), (5.0, False, "b"), (9.0, True, "c")]) == 0.5
    assert top_chance([(1, 0.5), (2, 0.5), (3, 0.1)], 2, 1) == 0.5
    assert (top_chance([(1, 0.5)], 4, 5), top_chance([(1, 0.5), (2, 0.1)], 2, 5)) == (0.0, 1.0)


def test_fitted_weights_can_be_written_and_read_again():
    """The file keeps its remarks and holds the new numbers."""
    text = (Path(workbench.__file__).parent / "verdict" / "verdict.toml").read_text("utf-8")
    made = fitted([[(run_signals(run), failed, "a") for run, failed in ((SHORT, False), (sketch(user("go"), *rounds(9)), True), (SHORT, True))]], shipped())
    again = read(rewritten(text, made))
    assert again.intercept == pytest.approx(made.intercept, abs=1e-4)
    assert again.steps == shipped().steps
    assert rewritten(text, shipped()) == text
