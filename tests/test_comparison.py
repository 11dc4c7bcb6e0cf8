"""Comparison: steps that do the same face each other, and what differs is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench import bench as wb
from workbench.comparison.comparison import beside, compare
from workbench.model import Finding
from workbench.report import Report
from workbench.report.forks import findings_words
from workbench.results.compared import Compared
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


def test_what_changed_is_named():
    """Each changed step says whether it differs in its message, tool, arguments, result or error."""
    left = sketch(user("go"), model("a"), tool("look", {"q": 1}, "red"), tool("look", {"q": 2}, "x"), tool("book", {"f": 1}, 1), model("done"))
    right = sketch(user("go"), model("b"), tool("look", {"q": 1}, "blue"), tool("look", {"q": 3}, "x"), tool("buy", {"f": 1}, 1), model("done"))
    changed = [row.aspects for row in compare(left, right).rows if row.relation == "changed"]
    assert changed == [("message",), ("result",), ("arguments",), ("tool",)]


def test_the_state_is_compared_where_a_node_wrote_it():
    """A node that wrote something else differs in the state."""
    left = sketch(user("go"), model("a"))
    node = left.steps[1].model_copy(update={"kind": "node", "output": None, "changes": {"budget": 1}})
    right = left.model_copy(update={"steps": (left.steps[0], node.model_copy(update={"changes": {"budget": 2}}))})
    assert compare(left.model_copy(update={"steps": (left.steps[0], node)}), right).rows[1].aspects == ("state",)


@pytest.mark.parametrize(
    ("before", "after", "ignore", "same"),
    [
        ({"booking_id": "B-1"}, {"booking_id": "B-2"}, ("ids",), True),
        ({"booking_id": "B-1"}, {"booking_id": "B-2"}, ("times",), False),
        ({"created_at": "2026-01-01"}, {"created_at": "2026-01-02"}, ("times",), True),
        ({"created_at": "2026-01-01"}, {"created_at": "2026-01-02"}, ("ids",), False),
        ("at 2026-01-01T10:00:00Z", "at 2026-01-01T10:00:01Z", ("times",), True),
        ('{"id": 1, "ok": true}', '{"id": 2, "ok": true}', ("ids",), True),
        ({"id": 1, "price": 2}, {"id": 1, "price": 3}, ("ids", "times"), False),
    ],
)
def test_ids_and_times_can_be_ignored(before: object, after: object, ignore: tuple[str, ...], same: bool):
    """What differs only in ids or in times is the same for who ignores these, and nothing else is."""
    found = compare(sketch(tool("look", {}, before)), sketch(tool("look", {}, after)), ignore=ignore)
    assert (found.first_divergence is None) is same


def test_only_ids_and_times_can_be_ignored():
    """Another word is refused, and the right ones are named."""
    with pytest.raises(ValueError, match="can't ignore 'costs'; it can ignore ids and times"):
        compare(sketch(), sketch(), ignore=("costs",))


def finding(detector: str, run_id: str) -> Finding:
    return Finding(detector=detector, run_id=run_id, severity="error", score=1.0, step=0, message="m", capability="security")


@pytest.mark.parametrize(("change", "why"), [({"status": "error"}, "failed"), ({"notes": ("halted: no recording of tool book",)}, "halted"), ({}, "")])
def test_what_a_fork_that_died_lacks_is_not_called_gone(change: dict[str, object], why: str):
    """A finding that a fork has not, because it failed or halted, is told as not seen; where the reference failed too, nothing was cut short."""
    found = compare(sketch(), sketch().model_copy(update=change), findings=((finding("loop", "run"),), ()))
    assert found.cut_short == why
    assert findings_words(found) == (f"not seen, but it {why}: loop" if why else "gone: loop")
    failed = sketch().model_copy(update={"status": "error"})
    assert compare(failed, failed).cut_short == ""


def test_findings_gone_and_new():
    """A detector that found less often on the right has findings gone, one that found more often has new ones."""
    left, right = ([finding(name, run) for name in names] for run, names in (("a", ["loop", "loop", "twice"]), ("b", ["loop", "leak"])))
    found = compare(sketch(run_id="a"), sketch(run_id="b"), findings=(left, right))
    assert ([one.detector for one in found.gone], [one.detector for one in found.new]) == (["loop", "twice"], ["leak"])
    assert compare(sketch(), sketch()).gone is None


def three() -> Compared:
    """A reference that booked twice, a run that booked once, and one that looked once more and booked once."""
    reference = sketch(user("go"), tool("book", {"f": 1}, error="TimeoutError: late"), tool("book", {"f": 1}, 2), model("twice"), run_id="twice")
    once = sketch(user("go"), tool("book", {"f": 1}, 2), model("once"), run_id="once")
    more = sketch(user("go"), tool("book", {"f": 1}, 2), tool("look", {}, 3), model("once"), run_id="more")
    return wb.compare(reference, once, more)


def test_three_runs():
    """Several runs are aligned with the first: the same step of the reference faces each of them, and what one has more stands in a row of its own."""
    found = three()
    assert found.effects == {"book": "2 → 1, 1"}
    rows = beside(found.comparisons)
    assert [row.reference for row in rows if row.reference is not None] == [0, 1, 2, 3]
    assert [[one and (one.relation, one.right) for one in row.others] for row in rows] == [
        [("same", 0), ("same", 0)],
        [("removed", None), ("removed", None)],
        [("same", 1), ("same", 1)],
        [None, ("added", 2)],
        [("changed", 2), ("changed", 3)],
    ]


def test_shown_in_every_way(tmp_path: Path):
    """Frames, JSON, text, HTML and a report tell of the same runs."""
    found = three()
    assert found.summary().select("run_id", "same", "changed", "added", "removed", "effects").rows() == [
        ("twice", None, None, None, None, 2),
        ("once", 2, 1, 0, 1, 1),
        ("more", 2, 1, 1, 1, 1),
    ]
    assert found.frame().filter(run_id="more", relation="changed").select("reference_step", "step", "aspects").rows() == [(3, 3, ["message"])]
    told = found.to_json()
    assert [(run["run_id"], run["outcome"]) for run in told["runs"]] == [("once", "once"), ("more", "once")]
    assert json.loads(json.dumps(told)) == told
    for text in (repr(found), found._repr_html_()):
        assert all(word in text for word in ("twice", "once", "more", "2 → 1, 1"))
    found.report(tmp_path / "report.html")
    report = found.report(tmp_path / "report.json")
    assert Report.model_validate(json.loads((tmp_path / "report.json").read_text())) == report
    assert [section.title for section in report.sections if section.title.startswith("Side by side")] == ["Side by side", "Side by side: run 3, more"]


def test_a_cost_that_leaves_calls_out_is_not_held_against_a_whole_one():
    """Frame and JSON tell beside each run's cost how many model calls it leaves out."""
    found = wb.compare(sketch(model("a", cost_usd=0.5), run_id="whole"), sketch(model("a", cost_usd=0.2), model("b"), run_id="partly"))
    assert found.summary().select("cost_usd", "cost_unrecorded_calls").rows() == [(0.5, 0), (0.2, 1)]
    told = found.to_json()
    assert [run["cost_unrecorded_calls"] for run in (told["reference"], *told["runs"])] == [0, 1]


def test_one_run_is_no_comparison():
    """A single run is refused."""
    with pytest.raises(ValueError, match="at least two runs"):
        wb.compare(sketch())
