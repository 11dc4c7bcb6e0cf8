"""Guards tried on recorded runs."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from workbench import cli
from workbench.backtest.backtest import LabelError, backtest, backtest_findings, read_labels
from workbench.backtest.conditions import ConditionError
from workbench.backtest.features import FEATURES, features_frame
from workbench.model import Finding, Run, Tokens
from workbench.sketch import model, sketch, tool, user

BOOK = {"flight": "NH 11"}
ASK = model(calls=(("book_flight", BOOK),), cost_usd=0.2)


def run(name: str, times: int) -> Run:
    """A run that books the same flight so many times."""
    pairs = [step for _ in range(times) for step in (ASK, tool("book_flight", BOOK, {"ok": True}))]
    return sketch(user("Book NH 11"), *pairs, model("Booked.", cost_usd=0.1), run_id=name)


RUNS = [run("once", 1), run("twice", 2), run("thrice", 3)]
FAILED = {"once": False, "twice": True, "thrice": True}


def test_features_know_nothing_of_later_steps():
    """The features of a run's beginning are the same whatever follows."""
    whole = features_frame([RUNS[2]])
    part = features_frame([RUNS[2].model_copy(update={"steps": RUNS[2].steps[:4]})])
    assert whole.head(4).equals(part)
    assert whole.schema == FEATURES
    assert whole["same_effect"].to_list() == [0, 0, 1, 0, 2, 0, 3, 0]
    assert whole["cost"].round(6).to_list() == [None, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.7]


def test_not_recorded_is_null():
    """Tokens and confidence that nobody recorded are null, not 0."""
    frame = features_frame([run("x", 1)])
    assert frame["tokens"].null_count() == frame["confidence"].null_count() == frame.height


def test_a_guard_stops_at_the_first_step_that_meets_it():
    """Each run stops where its condition first holds, and what came after is saved."""
    found = backtest(RUNS, "cost > 0.50 or same_effect > 1", FAILED)
    assert found.stops["at_step"].to_list() == [None, 4, 4]
    assert found.stops["cost_saved"].round(6).to_list() == [None, 0.1, 0.3]
    assert found.stops["steps_after"].to_list() == [None, 1, 3]
    assert (found.precision.value, found.recall.value, found.good_runs_stopped.value) == (1.0, 1.0, 0.0)
    assert found.recall.low < 1  # two cases prove little
    assert round(found.cost_saved, 6) == 0.4
    assert found.not_recorded == {}


def test_a_guard_that_is_too_eager_costs_good_runs():
    """A condition that every run meets is recalled in full and no more precise than chance."""
    found = backtest(RUNS, pl.col("tool_calls") >= 1, FAILED)
    assert (found.precision.hits, found.precision.total, found.good_runs_stopped.value) == (2, 3, 1.0)


def test_without_labels_only_stops_are_known():
    """Which runs failed is not guessed."""
    found = backtest(RUNS, "same_effect > 1")
    assert (found.stopped, found.precision.value, found.recall.value) == (2, None, None)


def test_what_was_not_recorded_is_told():
    """A condition on tokens in runs without any holds nowhere, and says so."""
    found = backtest(RUNS, "tokens > 5 or same_effect > 9")
    assert (found.stopped, found.not_recorded) == (0, {"tokens": 3})


def test_a_cost_by_list_price_counts():
    """Where no cost was recorded the price list tells it."""
    call = model("hi").model_copy(update={"model": "gpt-5", "tokens": Tokens(input=1_000_000, output=0)})
    assert features_frame([sketch(call)])["cost"].to_list() == [1.25]


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("cost >", "can't be read"),
        ("costs > 1", "the nearest is 'cost'"),
        ("max(cost) > 1", r"'max\(cost\)' in .* is not allowed"),
        ("__import__('os').system('true')", "is not allowed"),
        ("cost.__class__ == 1", "is not allowed"),
        ("cost in range(3)", "is not allowed"),
        ("cost ** 99999999 > 1", "is not allowed"),
        ("(" * 500 + "cost" + ")" * 500, "can't be read"),
        ("cost > 0 and " * 200 + "cost > 0", "too long"),
        ("cost + 1", "should be a condition"),
        ("tool > 1", "can't be computed"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused(condition: str, says: str):
    """What doesn't parse, is not on the list or is no condition is an error that says what would be right, and nothing is run."""
    with pytest.raises(ConditionError, match=says):
        backtest(RUNS, condition)


@pytest.mark.parametrize(
    ("condition", "stopped"),
    [
        ("1 < same_effect <= 2", 2),
        ("tool in ('book_flight', 'pay') and not status == 'error'", 3),
        ("tool not in ['book_flight']", 0),
        ("tokens is None and same_effect >= 3", 1),
        ("cost / steps > 0.05 and -cost < 0", 3),
    ],
)
def test_conditions_read_as_they_would_in_python(condition: str, stopped: int):
    """Chained comparisons, membership, negation, arithmetic and what was not recorded."""
    assert backtest(RUNS, condition).stopped == stopped


def test_an_expression_that_looks_ahead_is_refused():
    """A polars expression that holds only because of what came later is no guard."""
    with pytest.raises(ConditionError, match="looks at later steps: at step 0 of thrice"):
        backtest(RUNS[2:], pl.col("cost").max() > 0.65)


def test_labels_come_from_a_file(tmp_path: Path):
    """A CSV of `success` says which runs failed; an empty field says nothing."""
    path = tmp_path / "labels.csv"
    path.write_text("run_id,success\nonce,true\ntwice,0\nthrice,\n", "utf-8")
    assert read_labels(path) == {"once": False, "twice": True}
    assert read_labels(pl.DataFrame({"run_id": ["once"], "failed": [False]})) == {"once": False}
    path.write_text("run_id,success\nonce,perhaps\n", "utf-8")
    with pytest.raises(LabelError, match=r"row 2: success should be true, false or empty, not 'perhaps'"):
        read_labels(path)
    path.write_text("run,label\n", "utf-8")
    with pytest.raises(LabelError, match="it has run, label"):
        read_labels(path)


def finding(run_id: str, step: int | None, score: float) -> Finding:
    return Finding(detector="d", run_id=run_id, severity="warning", score=score, step=step, message="", capability="security")


def test_each_detector_is_tried_at_its_thresholds():
    """A higher threshold stops fewer runs; a finding about a whole run stops it at its end."""
    low, high = backtest_findings(RUNS, [finding("once", None, 0.3), finding("twice", 4, 0.9), finding("twice", 2, 0.3)], FAILED)
    assert (low.guard, high.guard) == ("d ≥ 0.3", "d ≥ 0.9")
    assert low.stops["at_step"].to_list() == [3, 2, None]
    assert high.stops["at_step"].to_list() == [None, 4, None]
    assert (low.precision.hits, low.precision.total, high.precision.value) == (1, 2, 1.0)


def test_a_bench_tries_guards_and_detectors(tmp_path: Path):
    """A bench tries a condition, or without one every detector, and shows what came of it as text and as HTML."""
    bench = wb.open(tmp_path / "store.db")
    bench.store.save_runs(RUNS)
    found = bench.backtest("same_effect > 1 or tokens > 5", FAILED)
    assert found.backtests[0].stopped == 2
    assert "precision: 1.00 [0.34, 1.00] (2 of 2)" in repr(found)
    assert "tokens was not recorded in 3 of 3 runs" in found._repr_html_()
    each = bench.backtest(labels={"once": False, "twice": True})
    assert "duplicated-effect ≥ " in repr(each)
    assert "1 of 3 runs have no label" in repr(each)


def test_the_command_line_tells_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`workbench backtest` prints shares with their intervals; JSON for scripts; and one line for a condition that can't be read."""
    store, labels = tmp_path / "store.db", tmp_path / "labels.csv"
    wb.open(store).store.save_runs(RUNS)
    labels.write_text("run_id,failed\nonce,0\ntwice,1\nthrice,1\n", "utf-8")
    cli.app(["backtest", "same_effect > 1", "--labels", str(labels), "--store", str(store), "--json"], standalone_mode=False)
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["guard"], told["stopped"], told["runs"], told["precision"]["value"], told["recall"]["hits"]) == ("same_effect > 1", 2, 3, 1.0, 2)
    assert told["stops"][2] == {
        "run_id": "thrice",
        "failed": True,
        "at_step": 4,
        "steps_after": 3,
        "tokens_saved": None,
        "cost": pytest.approx(0.7),
        "cost_saved": pytest.approx(0.3),
    }
