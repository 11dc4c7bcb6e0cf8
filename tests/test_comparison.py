"""Comparison: steps that do the same face each other, and what differs is named."""

from __future__ import annotations

from workbench.comparison import compare
from workbench.sketch import model, sketch, tool, user


def test_equal_runs_have_no_divergence():
    """Ids, times and tokens don't make two runs differ."""
    left = sketch(user("go"), model("a", tokens=5), tool("look", {}, 1))
    right = sketch(user("go"), model("a", tokens=7), tool("look", {}, 1), run_id="other")
    assert compare(left, right).first_divergence is None


def test_a_changed_step_says_in_what():
    """A tool that returned something else stands beside its original, with the field that differs."""
    left = sketch(user("go"), tool("look", {"q": 1}, "red"), model("It is red"))
    right = sketch(user("go"), tool("look", {"q": 1}, "blue"), model("It is blue"))
    found = compare(left, right)
    assert [(row.relation, row.left, row.right, row.differs) for row in found.rows] == [
        ("same", 0, 0, ()),
        ("changed", 1, 1, ("result",)),
        ("changed", 2, 2, ("output",)),
    ]
    assert found.first_divergence == found.rows[1]


def test_a_step_that_is_gone_does_not_shift_the_others():
    """A removed retry leaves the steps after it aligned."""
    left = sketch(user("go"), tool("book", {"f": 1}, error="TimeoutError: late"), tool("book", {"f": 1}, 2), tool("look", {}, 3))
    right = sketch(user("go"), tool("book", {"f": 1}, 2), tool("look", {}, 3))
    found = compare(left, right)
    assert [row.relation for row in found.rows] == ["same", "removed", "same", "same"]
    assert [(one.tool, one.original, one.fork) for one in found.effects] == [("book", 2, 1)]


def test_prevented_effects_do_not_count():
    """A call whose result a fork put in its place was not attempted."""
    left = sketch(tool("book", {}, 1), tool("book", {}, 2))
    right = sketch(tool("book", {}, 1), tool("book", {}, 1, notes=("edited",)))
    (effect,) = compare(left, right).effects
    assert (effect.original, effect.fork) == (2, 1)
