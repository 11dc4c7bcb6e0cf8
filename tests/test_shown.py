"""Whatever a cell ends with shows itself as escaped static HTML and as text, with hostile content and with none."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

import polars as pl
import pytest
from IPython.core.formatters import DisplayFormatter

import workbench
from tests.test_incident import incident
from tests.test_report import HOSTILE, Page, hostile_audit, hostile_comparison, hostile_finding, hostile_reports, hostile_run, words
from workbench.audit import Audit, audit
from workbench.backtest.backtest import STOPS, Backtest
from workbench.bench import Audited, Backtested, Ingested
from workbench.cohorts.baseline import Baseline
from workbench.cohorts.calibration import Calibration
from workbench.cohorts.neighbours import Neighbours, neighbours_of
from workbench.cohorts.paths import Paths, paths_of
from workbench.collection import FileSummary, Renormalised, Summary
from workbench.comparison.controls import Outcome
from workbench.detection import Detection
from workbench.incident import Incident
from workbench.model import Aligned, CallCounts, CallRecord, Cassette, Change, Comparison, Finding, Interaction, Receipt, Run, Skip, Value
from workbench.replay.forecast import Expected, Forecast, Reachable
from workbench.replay.sweeps import Cell
from workbench.report import Report, store_report
from workbench.report.cassettes import RunCassette
from workbench.report.forecasts import Foreseen
from workbench.report.markup import STILL
from workbench.results.compared import Compared
from workbench.results.detected import Desk, Detected, Findings
from workbench.results.habits import Calibrated, Flowchart
from workbench.results.investigation import Investigation
from workbench.results.received import Received
from workbench.results.swept import Repetition, Swept
from workbench.shown import Shown
from workbench.store import Deleted
from workbench.verdict.verdict import Verdict, verdict_of

KEPT = {"div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "span", "b", "i", "code", "pre"}
"""Elements that JupyterLab's sanitizer keeps, and we use."""
HIDDEN = {"\x1b", "\u202e", "\u0000"}
LIVE = {"RecordedRun", "Recorded"}
"""What reads a store while it is shown; their views are those of runs, which are here and in test_report."""


def receipt(text: str) -> Receipt:
    return Receipt(
        run_id=text,
        parent_run_id=text,
        forked_at_step=0,
        change=Change(kind="system", value=text),
        graph=text,
        calls=CallCounts(),
        outcome=text,
        isolation=text,
    )


def forecast(text: str = "") -> Forecast:
    steps = (Expected(step=0, kind="tool", name=text, how="halts", says=text),) if text else ()
    tools = (Reachable(name=text, effect="effect", guessed=True, recorded=1, live=False),) if text else ()
    return Forecast(run_id=text, at=0, change=Change(), live=(text,), kept=0, steps=steps, tools=tools, risk=text, level="process", lacks=text)


def findings(found: list[Finding]) -> Findings:
    return Findings(found, [], Desk(list, list, None, None))  # type: ignore[arg-type]  # nobody reviews or opens them here


def bare() -> Run:
    return Run(run_id="bare")


@cache
def hostile() -> dict[type, object]:
    """One of each, all of whose texts are hostile."""
    run, (comparison, stopped) = hostile_run(), hostile_comparison()
    found, told = hostile_finding(run), Summary(redacted={HOSTILE: 1})
    told.files.append(FileSummary(path=HOSTILE, collector=HOSTILE, records={}, new=0, skips=(Skip(place=HOSTILE, reason=HOSTILE),)))  # type: ignore[arg-type]  # a path is text too
    asked = Interaction(kind="tool", name=HOSTILE, node_path=HOSTILE, arguments=HOSTILE, result=HOSTILE, step=0)
    played = Cassette(run_id=HOSTILE, interactions=(asked,))
    stops = pl.DataFrame([(HOSTILE, True, 1, 1, 0.1, 0.1, 1)], schema=STOPS, orient="row")
    swept = Swept(run, Outcome(HOSTILE, lambda _: True), [Repetition(Cell(0, Change(kind="system", value=HOSTILE), 0), "done", run, receipt(HOSTILE), HOSTILE)])
    told_of = incident([run], [found])
    return {
        Run: run, Comparison: comparison, Receipt: stopped, Audit: hostile_audit(run), Report: hostile_reports()["incident"], Incident: told_of,
        Finding: found, Verdict: verdict_of(run, [found]), Neighbours: neighbours_of(run, 2, Baseline.of([run])), Baseline: Baseline.of([run]),
        Deleted: Deleted((HOSTILE,), {HOSTILE: 1}, files=(HOSTILE,)), Renormalised: Renormalised(1, (HOSTILE,), (HOSTILE,)),
        Findings: findings([found]), Detected: Detected(findings([found]), Detection()), Compared: Compared(run, hostile_run("other")),
        Audited: Audited(hostile_audit(run), lambda _: iter(())),
        Backtested: Backtested([Backtest(HOSTILE, stops, {HOSTILE: 1})]), Ingested: Ingested(told), Swept: swept, RunCassette: RunCassette(played),
        Investigation: Investigation(None, told_of), Flowchart: Flowchart(paths_of([run]), HOSTILE),  # type: ignore[arg-type]  # it is not asked
        Foreseen: Foreseen(forecast(HOSTILE)), Received: Received.model_validate(stopped.model_dump()),
    }  # fmt: skip


@cache
def empty() -> dict[type, object]:
    """One of each that holds as little as there can be."""
    run = bare()
    told_of = incident([run], [])
    both = Comparison(left=run, right=run, rows=(Aligned(relation="same"),), effects=())
    return {
        Run: run, Comparison: both, Receipt: receipt(""), Audit: audit([], {}), Report: store_report([], [], []), Incident: told_of,
        Verdict: verdict_of(run), Neighbours: Neighbours(run_id="bare", step=0, after="(start)", chosen="(end)", counts={}), Baseline: Baseline.of([run]),
        Deleted: Deleted(()), Renormalised: Renormalised(0, (), ()), Findings: findings([]), Detected: Detected(findings([]), Detection()),
        Compared: Compared(run, run),
        Audited: Audited(audit([], {}), lambda _: iter(())), Backtested: Backtested([]), Ingested: Ingested(Summary()),
        Swept: Swept(run, Outcome("outcome", lambda _: True), []), RunCassette: RunCassette(Cassette(run_id="bare")),
        Investigation: Investigation(None, told_of),  # type: ignore[arg-type]  # as above
        Flowchart: Flowchart(Paths(counts=())), Calibrated: Calibrated(Calibration(bins=(), runs=0, left_out=0, brier=None, expected_error=None)),
        Foreseen: Foreseen(forecast()), Received: Received.model_validate(receipt("").model_dump()),
    }  # fmt: skip


def shown(value: object) -> tuple[str, str]:
    """What IPython makes of a value: HTML and text."""
    data, _ = FORMATTER.format(value)
    return data.get("text/html", ""), data["text/plain"]


FORMATTER = DisplayFormatter()


def everything() -> Iterator[type]:
    """Every class of the workbench that shows itself, but the values that have no view of their own."""
    for module in pkgutil.walk_packages(workbench.__path__, "workbench."):
        if ".widgets" not in module.name and not module.name.endswith("__main__"):
            for _, found in inspect.getmembers(import_module(module.name), inspect.isclass):
                if "_repr_html_" in vars(found) and found is not Shown and found.__module__.startswith("workbench"):
                    yield found


def values() -> list[type[Value]]:
    """Every kind of value there is."""
    found, waiting = list[type[Value]](), [Value]
    while waiting:
        below = waiting.pop().__subclasses__()
        found += below
        waiting += below
    return [one for one in found if one.__module__.startswith("workbench")]


def test_nothing_that_shows_itself_is_left_out() -> None:
    """The walks below go over every class that has a view."""
    assert {found.__name__ for found in everything()} - {found.__name__ for found in {*hostile(), *empty()}} <= LIVE


@pytest.mark.parametrize("make", [hostile, empty])
def test_every_view_is_escaped_static_html_with_a_text_twin(make: Callable[[], dict[type, object]]) -> None:
    """Only elements and inline styles that JupyterLab keeps, well nested; the text says the hostile words too, without control characters."""
    for value in make().values():
        fragment, text = shown(value)
        page = Page(fragment)
        assert {tag for tag, _ in page.elements} <= KEPT, type(value)
        assert {key for _, attributes in page.elements for key in attributes} <= {"style", "open", "class"}, type(value)
        assert fragment.startswith(f'<div class="{STILL}">'), type(value)
        assert set(page.attributes("class")) == {STILL}
        assert not [style for style in page.attributes("style") if "var(" in style or "url(" in style or "position" in style]
        assert page.open == []
        assert text.strip()
        assert not HIDDEN & set(fragment + text), type(value)
        if make is hostile:
            assert "alert(1)" in words(fragment), type(value)
            assert "alert(1)" in text, type(value)


def test_every_value_has_a_view() -> None:
    """A value without a view of its own is shown as its fields, escaped and cut, whatever they hold, and whatever is missing."""
    for kind in values():
        if issubclass(kind, tuple(hostile())):
            continue
        for made in (kind.model_construct(**dict.fromkeys(kind.model_fields, HOSTILE)), kind.model_construct()):
            fragment, text = shown(made)
            assert {tag for tag, _ in Page(fragment).elements} <= KEPT
            assert not HIDDEN & set(fragment + text)
            assert len(fragment) < 50_000


def test_long_fields_are_cut_and_counted() -> None:
    """Of many things the first few are shown, and how many more there are; what was not recorded is said to be that."""
    text = shown(Deleted(tuple(f"r{number}" for number in range(100))))[1]
    assert "runs: r0, r1, r2, r3, r4 and 95 more" in text
    assert "rows: none" in text
    assert "from step: not recorded" in shown(CallRecord(kind="tool", name="pay", answer="live"))[1]
