"""Weights of a system's own: what people confirmed and dismissed moves the ranking of steps, a little from little."""

from __future__ import annotations

import pytest

from workbench.learning import Judgement, learn
from workbench.model import Run
from workbench.sketch import model, sketch, tool, user
from workbench.verdict import shipped, verdict_of


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


def test_a_judged_step_must_be_in_its_run():
    """A judgement of a step that isn't there is an error that names the nearest."""
    with pytest.raises(LookupError, match="no step 77"):
        learn([Judgement(drawn(1), 77)])
