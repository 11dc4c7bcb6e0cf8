"""Findings live, without a browser: what is sent, kept and offered as code, and that findings are still a list."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import traitlets

import workbench as wb
from tests.browser.populations import findings_view, hostile_findings_view, reviewed, story_findings
from workbench.replay.effects.approvals import person
from workbench.results.detected import Desk, Findings
from workbench.sketch import model, sketch, tool, user
from workbench.widgets import FindingsView, packing
from workbench.widgets.code import forking
from workbench.widgets.opening import Below, Static

TWICE = sketch(
    user("Book NH 11"),
    model(calls=(("book_flight", {"flight": "NH 11"}),)),
    tool("book_flight", {"flight": "NH 11"}, error="TimeoutError: no answer"),
    model(calls=(("book_flight", {"flight": "NH 11"}),)),
    tool("book_flight", {"flight": "NH 11"}, {"status": "confirmed"}),
    model("Booked."),
    run_id="twice",
)


def test_opens_with_the_gravest_and_its_code() -> None:
    """The first finding is chosen, and the line of code opens its run at its step."""
    view = findings_view()
    assert view.finding_id == view.findings[0].finding_id
    assert view.code == 'bench.run("booked-twice").view(step=11)'
    with pytest.raises(traitlets.TraitError, match=r"no finding 'x' among these 2"):
        view.finding_id = "x"


def test_a_verdict_is_kept_and_becomes_code() -> None:
    """Confirming or dismissing hands finding, verdict and note on, shows it, and offers the line that repeats it, whatever the note holds."""
    view = findings_view()
    note = 'not "twice"'
    answer = view.answer({"ask": "review", "place": 0, "verdict": "dismissed", "note": note})
    assert [(one["verdict"], one["note"]) for one in view._reviews["0"]] == [("dismissed", note)]
    parsed = compile(view.code, "cell", "eval", flags=0x400).body  # PyCF_ONLY_AST
    assert [each.value for each in parsed.args] == [view.finding_id, "dismissed", note]
    assert answer["code"] == view.code
    view.finding_id = view.findings[1].finding_id
    assert view.code == 'bench.run("booked-twice").view(step=10)'


def test_a_verdict_that_cannot_be_kept_is_said() -> None:
    """What goes wrong as a verdict is kept comes back as an error, and nothing is shown as kept."""
    view = findings_view()
    assert "no space left" in view.answer({"ask": "review", "place": 0, "verdict": "dismissed", "note": "full disk"})["error"]
    assert view._reviews == {}
    alone = FindingsView(story_findings(), below=Below(), static=Static(str, str))
    assert "without a store" in alone.answer({"ask": "review", "place": 0, "verdict": "confirmed", "note": ""})["error"]


def test_earlier_verdicts_are_shown() -> None:
    """All that people said before stands beside the finding it was said of, the newest first and what was said elsewhere last, though its numbers changed."""
    first, second = story_findings()
    before = second.model_copy(update={"numbers": {"n": 9}})
    elsewhere = reviewed(second, "confirmed", "over there").model_copy(update={"origin": "case.wb"})
    said = [reviewed(before, "confirmed", "seen"), elsewhere, reviewed(before, "dismissed", "a rehearsal")]
    view = FindingsView([first, second], reviews=said, keep=reviewed, below=Below(), static=Static(str, str))
    assert list(view._reviews) == ["1"]
    assert [(one["note"], one["origin"]) for one in view._reviews["1"]] == [("a rehearsal", None), ("seen", None), ("over there", "case.wb")]
    view.review(second, "confirmed", "after all")
    assert [one["note"] for one in view._reviews["1"]] == ["after all", "a rehearsal", "seen", "over there"]


def test_what_was_not_evaluated_is_summed_up() -> None:
    """A detector that could not judge nine runs for one reason is told once, with the count and the first runs."""
    lacks = findings_view()._table["lacks"]
    assert [(one["detector"], one["runs"], len(one["first"])) for one in lacks] == [("budget-overrun", 9, 5), ("ignored-wait", 1, 1)]


def test_what_would_refute_a_finding_is_code() -> None:
    """The test of a finding forks at its step: with a tool's recorded result to edit where the evidence is a tool's, and no code where there is no step."""
    grave, other = story_findings()
    assert forking(grave) == 'run = bench.run("booked-twice")\nrun.fork(11, tool_result=run.step(11).result, live=["model"])'
    assert forking(other) == 'run = bench.run("booked-twice")\nrun.fork(10, live=["model"])'
    assert forking(other.model_copy(update={"step": None, "evidence": ()})) == ""


def test_code_of_hostile_findings_is_harmless() -> None:
    """Whatever runs are called, every line offered parses into calls whose only texts are literals."""
    view = hostile_findings_view()
    for one in view.findings:
        view.finding_id = one.finding_id
        compile(view.code, "cell", "eval")
        lines = compile(forking(one), "cell", "exec", flags=0x400).body  # PyCF_ONLY_AST
        assert [type(line).__name__ for line in lines] == ["Assign", "Expr"]
        assert lines[0].value.args[0].value == one.run_id


def test_thousands_of_findings_fit_the_budget() -> None:
    """Six thousand findings take little more than a megabyte: what the later ones say is asked for."""
    view = findings_view(3_000)
    assert len(view.findings) == 6_000
    assert packing.size(view.get_state()) <= 1_200_000
    last = len(view.findings) - 1
    assert str(last) not in view._details
    assert view.answer({"ask": "finding", "place": last})["detail"]["id"] == view.findings[last].finding_id


def test_the_browser_side_is_small() -> None:
    """ESM and CSS together are at most 60 kB."""
    assert len(f"{FindingsView._esm}{FindingsView._css}".encode()) <= 60_000


def test_findings_of_a_run_are_a_list_with_a_view(tmp_path: Path) -> None:
    """`run.findings` and `bench.detect()` show live; a verdict given there is in the store, and beside the finding when it is shown again."""
    bench = wb.open(tmp_path / "found.db")
    bench.store.save_runs([TWICE])
    found = bench.run("twice").findings
    assert isinstance(found, list)
    assert found == list(bench.detect().findings)
    assert found
    assert repr(found).startswith(f"{len(found)} finding")
    assert type(pickle.loads(pickle.dumps(found))) is list
    view = found.view(reviewed="open", by="ana")
    answer = view.answer({"ask": "review", "place": 0, "verdict": "dismissed", "note": "a rehearsal"})
    eval(answer["code"], {"bench": bench})  # the line repeats the verdict
    assert [(one.verdict, one.note, one.by) for one in bench.store.reviews()] == [("dismissed", "a rehearsal", "ana")]
    assert all("dismissed by ana" in shown._repr_html_() for shown in (bench.detect(), bench.run("twice")))
    assert bench.detect().view()._reviews["0"][0]["note"] == "a rehearsal"
    bench.review(found[0], "confirmed", "it was real")
    again = bench.detect()
    said = again.view()._reviews["0"]
    assert [(one["note"], one["by"]) for one in said] == [("it was real", person()), ("a rehearsal", "ana"), ("a rehearsal", "ana")]
    assert [(one.confirmed, one.reviewed) for one in again.records] == [(1, 1)]
    assert view.show("twice", 2).step == 2
    data, _ = view._repr_mimebundle_()
    assert data.keys() == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert found[0].detector in data["text/html"]
    bench.close()


def test_no_findings_are_shown_too() -> None:
    """A run in which nothing was found has a view that says so, and what could not be judged."""
    empty = Findings([], [], Desk(list, list, reviewed, Below))
    view = empty.view()
    assert (view.finding_id, view.code, repr(empty)) == ("", "bench.findings()", "no findings")
