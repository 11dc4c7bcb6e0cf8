"""Weights of a system's own: what people confirmed and dismissed moves the ranking of steps, a little from little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from workbench import cli
from workbench.detection import examine
from workbench.model import Review, Run
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.learning import Judgement, judgements_of, learn, learn_if_better
from workbench.verdict.verdict import shipped, verdict_of


def drawn(number: int) -> Run:
    """A system whose first bad step is always the short one whose call fails late, which the shipped weights don't favour."""
    long = model(f"Assuming typical values for part {number}, here is a long plan with many new words: alpha{number} beta{number} gamma{number} delta{number}.")
    return sketch(
        user(f"Do part {number}"), long, tool("look", {"n": number}, "fine"), model("Next."), tool("save", {"n": number}, error="disk full"), model("Done.")
    )


def top(run: Run, learned: bool) -> int:
    return verdict_of(run, weights=learn([Judgement(drawn(n), 3) for n in range(20)]) if learned else None).suspects[0].step


def test_twenty_confirmed_steps_teach_a_system_its_own_ranking():
    """On a run it has not seen, the step that is bad in this system ranks first, which the shipped weights put elsewhere."""
    assert (top(drawn(99), learned=False), top(drawn(99), learned=True)) == (1, 3)


def test_nothing_learned_leaves_the_weights_alone():
    """Without judgements the weights are those that ship; of a kind nobody judged they stay."""
    assert learn([]) == shipped()
    assert learn([Judgement(drawn(1), 3)]).steps["orchestrated"] == shipped().steps["orchestrated"]


def test_a_dismissed_step_loses_suspicion():
    """What people dismiss ranks lower in the next run, with a smaller share of the suspicion."""
    moved = learn([Judgement(drawn(n), 1, confirmed=False) for n in range(20)])
    before, after = ({one.step: one.score for one in verdict_of(drawn(99), weights=weights).suspects}[1] for weights in (None, moved))
    assert after < before / 2


def test_one_judgement_moves_less_than_twenty_and_a_strong_prior_less_than_a_weak_one():
    """The shipped weights hold until there is enough to move them."""
    start = shipped().steps["direct"]["failed_next"]
    once, often = (learn([Judgement(drawn(n), 3) for n in range(count)]).steps["direct"]["failed_next"] for count in (1, 20))
    held = learn([Judgement(drawn(n), 3) for n in range(20)], prior=1e6).steps["direct"]["failed_next"]
    assert start < once < often
    assert held == pytest.approx(start, abs=1e-3)


def test_what_does_not_help_is_not_used():
    """Judgements that agree move the weights; ones that the weights that ship rank first already, or too few to tell, leave those."""
    agreeing = [Judgement(drawn(number).model_copy(update={"run_id": f"r-{number}"}), 3) for number in range(20)]
    assert learn_if_better(agreeing).judgements == 20
    assert learn_if_better(agreeing).weights == learn(agreeing)
    known = [Judgement(one.run, 1) for one in agreeing]
    for judged in (known, agreeing[:9], []):
        assert learn_if_better(judged) == (shipped(), 0)


def test_a_judged_step_must_be_in_its_run():
    """A judgement of a step that isn't there is an error that names the nearest."""
    with pytest.raises(LookupError, match="no step 77"):
        learn([Judgement(drawn(1), 77)])


# ---- reviews in a store


def claiming(number: int, agent: str = "clerk") -> Run:
    """A run that plans at length and in the end claims what failed, which is where this system's runs go wrong."""
    plan = model(f"Assuming typical values for part {number}, here is a long plan with many new words: alpha{number} beta{number} gamma{number} delta{number}.")
    paid = tool("pay_invoice", {"order": f"O-{number}"}, error="card refused")
    return sketch(user(f"Pay O-{number}"), plan, tool("look", {}, "fine"), paid, model(f"I have paid O-{number}."), run_id=f"{agent}-{number}", agent=agent)


REVIEWED = 10


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[wb.Bench]:
    """A store of one agent's runs and one of another's, examined."""
    opened = wb.open(tmp_path / "workbench.db")
    opened.store.save_runs([*(claiming(number) for number in range(REVIEWED + 1)), claiming(0, "other")])
    opened.detect()
    yield opened
    opened.close()


def look_at(bench: wb.Bench, run_id: str) -> int:
    return bench.run(run_id).verdict.suspects[0].step


def review_all(bench: wb.Bench, verdict: str) -> None:
    for number in range(REVIEWED):
        (claimed,) = (one for one in bench.run(f"clerk-{number}").findings if one.detector == "unsupported-success-claim")
        bench.review(claimed, verdict)


def test_what_people_confirm_moves_where_to_look_first(bench: wb.Bench):
    """Confirmed findings of an agent's runs change the first step to look at in one that nobody reviewed, say so, and leave other agents' runs alone."""
    unseen = f"clerk-{REVIEWED}"
    before, other = look_at(bench, unseen), bench.run("other-0").verdict
    review_all(bench, "confirmed")
    assert (before, look_at(bench, unseen)) == (1, 4)
    assert str(bench.run(unseen).verdict).endswith(f"(ranked with what was learned from {REVIEWED} reviewed here)")
    assert bench.run("other-0").verdict == other
    assert bench.verdicts()[unseen] == bench.run(unseen).verdict != bench.store.verdicts()[unseen]
    assert bench.verdicts()["other-0"] == bench.store.verdicts()["other-0"]


def test_what_people_dismiss_no_longer_weighs_in_the_verdict(bench: wb.Bench):
    """A dismissed finding takes its share out of the suspicion of its step; taken back, it counts again."""
    claimed = [one for one in bench.run("clerk-0").findings if one.step == 4]
    shares = []
    for verdict in ("confirmed", "dismissed", "confirmed"):
        for finding in claimed:
            bench.review(finding, verdict)
        shares.append({one.step: one.score for one in bench.run("clerk-0").verdict.suspects}[4])
    assert shares[1] < shares[0] == shares[2]


def test_what_people_made_of_a_detector_stands_beside_its_findings(bench: wb.Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """In a notebook, a report and JSON; a report that was written before further reviews is still supported by the store."""
    review_all(bench, "dismissed")
    says = f"(0 of {REVIEWED})"
    reports = [tmp_path / f"report.{ending}" for ending in ("html", "md", "json")]
    for path in reports:
        bench.run("clerk-0").report(path)
    assert all(
        says in text and "confirmed by people here" in text
        for text in (bench.detect()._repr_html_(), bench.run("clerk-0")._repr_html_(), *(path.read_text("utf-8") for path in reports[:2]))
    )
    cli.app(["detect", "--json", "--store", str(tmp_path / "workbench.db")], standalone_mode=False)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"confirmed": 0, "reviewed": REVIEWED} in [line.get("record") for line in lines if line.get("detector") == "unsupported-success-claim"]
    bench.review(next(iter(bench.run(f"clerk-{REVIEWED}").findings)), "confirmed")
    assert [bench.verify_report(path) for path in reports] == [[], [], []]


def test_the_earliest_confirmed_step_is_the_first_bad_one():
    """Later confirmed steps say nothing of their own, dismissed ones are judged not bad, and reviews of hints and of other runs count for nothing."""
    run = claiming(1)
    findings, _ = examine(run)
    reviews = [
        Review(key=str(step), run_id=run_id, detector="d", step=step, verdict=verdict, reviewed_ns=step)
        for run_id, step, verdict in ((run.run_id, 3, "confirmed"), (run.run_id, 4, "confirmed"), (run.run_id, 1, "dismissed"), ("else", 0, "confirmed"))
    ]
    assert [one[1:] for one in judgements_of(run, findings, reviews)] == [(3, True), (1, False)]
    hints = [one.model_copy(update={"severity": "info", "step": 3}) for one in findings[:1]]
    told = [reviews[0].model_copy(update={"key": hints[0].key})]
    assert list(judgements_of(run, hints, told)) == []


def test_what_people_dismissed_fails_no_pipeline(bench: wb.Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`detect --fail-on` looks past what was dismissed; `detectors` tells what people made of a detector's findings here, and needs no store."""
    store = str(tmp_path / "workbench.db")
    with pytest.raises(SystemExit, match="3"):
        cli.app(["detect", "--fail-on", "warning", "--store", store])
    for finding in bench.detect().findings:
        bench.review(finding, "dismissed")
    cli.app(["detect", "--fail-on", "warning", "--store", store], standalone_mode=False)
    capsys.readouterr()
    for path, told in ((store, True), (str(tmp_path / "none.db"), False)):
        cli.app(["detectors", "unsupported-success-claim", "--store", path], standalone_mode=False)
        assert ("(0 of 12)" in capsys.readouterr().out) == told
