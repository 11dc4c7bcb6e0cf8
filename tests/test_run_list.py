"""The list of runs without a browser: its order, what it sends, what it opens, the code it offers, and its static form."""

from __future__ import annotations

import base64
import json
import random
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import traitlets

import workbench as wb
from tests.browser.populations import BELOW, found_in, hostile_list, overview, run_list
from workbench.overview import Found, failed_first
from workbench.sketch import sketch, tool
from workbench.widgets import RunList, Stepper, packing
from workbench.widgets.opening import Static


def columns(rows: list[str]) -> list[dict[str, Any]]:
    """What the browser reads from packed rows."""
    return [json.loads(zlib.decompress(base64.b64decode(part))) for part in rows]


def test_failed_runs_stand_first() -> None:
    """Failed runs come first, those that did not end well next, each by the gravest finding and the newest first."""
    runs = [overview(number) for number in range(60)]
    found = found_in(runs)
    ranked = failed_first(runs, found)
    failed = [one for one in ranked if one.status == "error"]
    assert ranked[: len(failed)] == failed
    assert {one.status for one in ranked[len(failed) : len(failed) + 5]} == {"interrupted"}
    warned = [bool(found.get(one.run_id)) for one in ranked if one.status == "ok"]
    assert warned == sorted(warned, reverse=True)
    assert run_list(60).run_id == ranked[0].run_id


def test_code_opens_the_chosen_run_or_compares_the_marked() -> None:
    """The line of code opens what is chosen; with two or more runs marked it compares them, the first as reference."""
    view = run_list(20)
    first, second = (view.run_ids[place] for place in (0, 1))
    assert view.code == f'bench.run("{first}").view()'
    view.marked = [second]
    assert view.code == f'bench.run("{first}").view()'
    view.marked = [second, first]
    assert view.code == f'wb.compare(bench.run("{second}"), bench.run("{first}"))'


def test_code_is_a_harmless_literal_for_any_run_id() -> None:
    """Whatever runs are called, code holds their ids as string literals, and the browser is sent those that need escapes."""
    view = hostile_list()
    (sent,) = columns(view._rows)
    for row, run_id in enumerate(view.run_ids):
        view.run_id = run_id
        parsed = compile(view.code, "cell", "eval", flags=0x400).body  # PyCF_ONLY_AST
        assert parsed.func.value.args[0].value == run_id
        assert sent["literals"].get(str(row), f'"{run_id}"') in view.code


def test_runs_that_are_not_there_are_refused() -> None:
    """A run that is not in the list can neither be chosen nor marked; a column that is none can't be sorted by."""
    view = run_list(5)
    with pytest.raises(traitlets.TraitError, match="no run 'x' in this list of 5"):
        view.run_id = "x"
    with pytest.raises(traitlets.TraitError, match="no run 'x'"):
        view.marked = [view.run_id, "x"]
    with pytest.raises(traitlets.TraitError, match="'-findings'"):
        view.sort = "colour"


def test_opening_places_the_run_below_and_closes_the_one_before() -> None:
    """What is opened stands below the list in the same output, at its first bad step; what stood there is closed."""
    view = run_list(5)
    first = view.show(view.run_id)
    assert view.box.children == (view, first.box)
    assert first.step == 11
    second = view.show(view.run_ids[1], step=3)
    assert view.box.children == (view, second.box)
    assert (view.opened, second.step, first.comm) == (second, 3, None)


def test_what_cannot_be_opened_is_said() -> None:
    """A run that is gone, and a question that is none, come back as errors, and what stood below stays."""
    view = run_list(5)
    opened = view.show(view.run_id)
    assert view.answer({"ask": "open", "run_id": "gone"})["error"] == "LookupError: no run gone"
    assert "can't answer" in view.answer({"ask": "sing"})["error"]
    assert view.opened is opened


def test_fork_panel_and_comparison_stand_below_too() -> None:
    """The list compares the marked runs below, and an opened run opens the fork panel below itself; a view without a store says it has none."""
    view = run_list(5)
    opened = view.show(view.run_id)
    beside = view.answer({"ask": "compare", "run_ids": view.run_ids[:2]})
    assert "error" not in beside
    assert len(view.box.children) == 3
    assert "error" not in opened.answer({"ask": "fork", "step": 3})
    assert len(opened.box.children) == 2
    assert opened.box.children[1].children[0].step == 3
    assert "without a store" in Stepper(sketch(tool("pay", {}, 1))).answer({"ask": "fork", "step": 0})["error"]


def test_where_nothing_opens_below_the_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """In marimo, which makes views from cells alone, a click gives the line of code to run, and opens nothing."""
    view = run_list(5)
    first, second = view.run_ids[:2]
    monkeypatch.setitem(sys.modules, "marimo", SimpleNamespace(running_in_notebook=lambda: True))
    questions = (
        ({"ask": "open", "run_id": first}, f'bench.run("{first}").view()'),
        ({"ask": "open", "run_id": first, "step": 3}, f'bench.run("{first}").view(step=3)'),
        ({"ask": "fork", "run_id": first, "step": 3}, f'bench.run("{first}").fork_panel(3)'),
        ({"ask": "compare", "run_ids": [first, second]}, f'wb.compare(bench.run("{first}"), bench.run("{second}")).view()'),
    )
    for question, line in questions:
        assert view.answer(question)["error"].endswith(f"in a cell of its own: {line}")
    assert view.opened is None


def test_a_fork_that_is_under_way_keeps_its_place() -> None:
    """A panel in which a fork runs is not replaced by another; it is said why."""
    view = run_list(5)
    panel = view.show_fork(view.run_id)
    panel.stage = "running"
    assert "a fork is under way" in view.answer({"ask": "fork", "run_id": view.run_id, "step": 0})["error"]
    assert view.box.children == (view, panel.box)
    panel.stage = "done"
    assert "error" not in view.answer({"ask": "fork", "run_id": view.run_id, "step": 0})


def test_twenty_thousand_runs_are_sent_lean() -> None:
    """Of 20,000 runs at most 400 kB are sent at once, whatever they are called; the others are asked for, all with their outcomes, and none twice."""
    chance = random.Random(6)
    overviews = [overview(number, f"{chance.getrandbits(128):032x}")._replace(started_ns=chance.getrandbits(60)) for number in range(20_000)]
    view = RunList(overviews, found_in(overviews), below=BELOW, static=Static(str, str))
    assert packing.size(view.get_state()) <= 400_000
    sent = columns(view._rows)
    first = sum(len(part["ids"]) for part in sent)
    assert 5_000 < first < 20_000
    while first < 20_000:
        answer = view.answer({"ask": "rows", "first": first})
        assert packing.size(answer) <= 400_000
        sent += columns(answer["rows"])
        first = sum(len(part["ids"]) for part in sent)
    assert [run_id for part in sent for run_id in part["ids"]] == list(view.run_ids)
    assert all(said.startswith(("Booked", "Timeout")) for part in sent for said in part["says"])


def test_the_gravest_detector_of_a_run_is_named_first() -> None:
    """What has little room is cut off at the end: hints, not errors, in whichever order runs and findings came."""
    hint, grave = Found("a-hint", "info"), Found("the-error", "error")
    runs = [overview(1), overview(2)]
    view = RunList(runs, {runs[0].run_id: [hint], runs[1].run_id: [hint, grave]}, below=BELOW, static=Static(str, str))
    named = [[view._table["detectors"][number] for number in cluster] for cluster in view._table["clusters"]]
    assert sorted(named) == [["a-hint"], ["the-error", "a-hint"]]


def test_what_is_left_out_of_an_outcome_shows() -> None:
    """A long outcome ends with an ellipsis, a short one doesn't; what is not recorded is sent as nothing."""
    runs = [overview(3)._replace(outcome="word " * 90), overview(10)._replace(outcome="done", duration_ms=None, started_ns=None)]
    (sent,) = columns(RunList(runs, {}, below=BELOW, static=Static(str, str))._rows)
    assert [(len(said), said[-1]) for said in sent["says"]] == [(161, "…"), (4, "e")]
    assert [sent[name][1] for name in ("start_us", "took_ms", "tokens", "cost")] == [None, None, None, None]


def test_a_cost_that_leaves_model_calls_out_is_sent_with_them() -> None:
    """How many of how many, of those runs alone that have a cost: where none was recorded at all, the dash says it."""
    whole, partly, nothing = overview(1), overview(2)._replace(model_calls=5, cost_unrecorded_calls=3), overview(3)
    assert nothing.cost_usd is None
    assert nothing.cost_unrecorded_calls == 2
    view = RunList([whole, partly, nothing], {}, below=BELOW, static=Static(str, str))
    (sent,) = columns(view._rows)
    assert sent["partly"] == {str(view.run_ids.index(partly.run_id)): [3, 5]}


def test_the_browser_side_is_small() -> None:
    """ESM and CSS together are at most 60 kB."""
    assert len(f"{RunList._esm}{RunList._css}".encode()) <= 60_000


def test_a_bench_shows_its_runs(tmp_path: Path) -> None:
    """`bench.view()` lists every run, says which are not examined, opens any of them, and reads without its kernel as HTML and text."""
    bench = wb.open(tmp_path / "runs.db")
    bench.store.save_runs([sketch(tool("pay", {}, error="refused"), run_id="bad", agent="a<b>"), sketch(tool("pay", {}, 1), run_id="good")])
    view = bench.view(group="findings")
    assert (view.run_id, view.group, view._table["clusters"]) == ("bad", "findings", [None])
    bench.detect()
    view = bench.view()
    assert None not in view._table["clusters"]
    opened = view.show("good")
    assert opened.run.run_id == "good"
    assert opened.fork(0).step == 0
    assert view.show_comparison(["bad", "good"]).code.startswith('wb.compare(bench.run("bad"), bench.run("good"))')
    data, _ = view._repr_mimebundle_()
    assert data.keys() == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == view.box.model_id
    assert "a&lt;b&gt;" in data["text/html"]
    assert data["text/plain"].splitlines()[:2] == ["2 runs", data["text/plain"].splitlines()[1]]
    bench.close()
