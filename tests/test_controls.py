"""Controls: whether a change did it, or a plain rerun's luck."""

from __future__ import annotations

import pytest

from workbench.comparison.controls import Outcome, controlled, difference, fisher, least_k, outcome_of
from workbench.intervals import share
from workbench.model import Run
from workbench.sketch import model, sketch, tool, user

TWICE = sketch(user("go"), tool("book", {"f": 1}, 1), tool("book", {"f": 1}, 2), model("done"), run_id="twice")
ONCE = sketch(user("go"), tool("book", {"f": 1}, 1), model("done"), run_id="once")
HALTED = ONCE.model_copy(update={"status": "error", "notes": ("halted: no recording of tool book",)})
SINGLE = Outcome("booked once", lambda run: len(list(run.of_kind("tool"))) == 1)


@pytest.mark.parametrize(
    ("table", "p"),
    [((3, 3, 0, 3), 0.1), ((4, 4, 0, 4), 2 / 70), ((8, 10, 1, 10), 0.005477), ((5, 5, 5, 5), 1.0), ((1, 10, 11, 14), 0.002759), ((3, 4, 1, 4), 0.485714)],
)
def test_fisher(table: tuple[int, int, int, int], p: float) -> None:
    """The p-values are those of published tables and other programs."""
    assert fisher(*table) == pytest.approx(p, rel=1e-3)


def test_newcombe() -> None:
    """The interval of a difference is that of Newcombe's paper: 56/70 against 48/80, and 9/10 against 3/10."""
    assert difference(share(56, 70), share(48, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert difference(share(9, 10), share(3, 10)) == pytest.approx((0.1705, 0.8090), abs=1e-4)
    assert difference(share(0, 0), share(1, 2)) is None


def test_a_change_that_did_it() -> None:
    """All against none in five on each side is no luck."""
    found = controlled(SINGLE, [ONCE] * 5, [TWICE] * 5)
    assert found.verdict == "the change did it: booked once in 5 of 5 with the change, in 0 of 5 without (Fisher's exact test, p = 0.00794)"
    assert controlled(SINGLE, [TWICE] * 5, [ONCE] * 5).verdict.startswith("the change prevents it")


def test_luck_is_not_taken_for_a_fix() -> None:
    """Where unchanged reruns come out well as often, or too few were made, nothing is claimed, and it is said how many it takes."""
    assert controlled(SINGLE, [ONCE] * 5, [ONCE] * 4 + [TWICE]).verdict.startswith("not shown that the change did it: booked once in 5 of 5")
    assert controlled(SINGLE, [ONCE] * 3, [TWICE] * 3).verdict.endswith("with fewer than 4 on each side not even all against none could show it")
    assert least_k() == 4


def test_halted_runs_are_counted_apart() -> None:
    """A run that was halted is neither a fix nor a failure."""
    found = controlled(SINGLE, [ONCE, HALTED], [HALTED])
    assert (found.changed.total, found.changed_unjudged, found.unchanged_unjudged) == (1, {"halted": 1}, {"halted": 1})
    assert found.verdict == "nothing can be concluded: one side has no run that could be judged; not judged: 1 with the change halted, 1 without halted"


@pytest.mark.parametrize("wanted", ["findings", "effects"])
def test_an_agent_that_died_is_no_mend(wanted: str) -> None:
    """A fork that failed makes no second booking either: it is counted apart, unless the recorded run had failed too or the outcome is how it ended."""
    died = ONCE.model_copy(update={"status": "error", "steps": ONCE.steps[:1]})
    found = controlled(outcome_of(TWICE, wanted), [died] * 5, [TWICE] * 5)
    assert found.verdict.startswith("nothing can be concluded")
    assert found.verdict.endswith("not judged: 5 with the change failed")
    assert controlled(outcome_of(TWICE, "answer"), [died] * 5, [TWICE] * 5).verdict.startswith("the change did it")
    failed_before = TWICE.model_copy(update={"status": "error"})
    assert controlled(outcome_of(failed_before, wanted), [died] * 5, [failed_before] * 5).verdict.startswith("the change did it")


def booked_once(run: Run) -> bool:
    return SINGLE.holds(run)


def test_outcomes() -> None:
    """What is counted has a name: the parent's findings gone, other effects, another answer, or a function's own."""
    assert [outcome_of(TWICE, "effects").holds(run) for run in (TWICE, ONCE)] == [False, True]
    assert [outcome_of(TWICE, "answer").holds(run) for run in (TWICE, ONCE)] == [False, False]
    assert outcome_of(TWICE, booked_once).name == "booked once"
    assert outcome_of(ONCE).name == "other effects"
    with pytest.raises(ValueError, match="no outcome 'luck'; give a function of a run, or one of findings, effects, answer"):
        outcome_of(TWICE, "luck")


def test_findings_gone() -> None:
    """By default what counts is that the warnings and errors of the parent are gone."""
    failed = sketch(user("go"), tool("book", {"f": 1}, error="TimeoutError: timed out"), tool("book", {"f": 1}, 2), model("done"), run_id="failed")
    counted = outcome_of(failed)
    assert counted.name.startswith("no ")
    assert [counted.holds(run) for run in (failed, ONCE)] == [False, True]
