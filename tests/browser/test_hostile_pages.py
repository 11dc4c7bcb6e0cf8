"""Hostile text in what a person takes away: reports, static views and a notebook turned into a page, in a real browser whose requests are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import BrowserContext

from tests.browser.forked import receipt
from tests.browser.runs import hostile_findings, hostile_run
from tests.browser.watched import Watched
from tests.hostile import HOST, LONG_LINE, PAYLOADS
from workbench.audit import audit
from workbench.comparison.comparison import compare
from workbench.model import NotEvaluated, Run
from workbench.report import Report, audit_report, comparison_report, html, run_report, static, store_report
from workbench.report.static import findings_html
from workbench.sketch import sketch, tool
from workbench.widgets import fallback

RUN = hostile_run()
FOUND = hostile_findings(RUN)
OTHER = RUN.model_copy(update={"run_id": f"{PAYLOADS[3]}~1", "steps": RUN.steps[::2]})
LACKS = [NotEvaluated(detector=text, run_id=RUN.run_id, why=text) for text in PAYLOADS]


REPORTS: dict[str, Callable[[], Report]] = {
    "run": lambda: run_report(RUN, FOUND, LACKS),
    "comparison": lambda: comparison_report(compare(RUN, OTHER), None, list(FOUND), []),
    "store": lambda: store_report([RUN, OTHER], FOUND, LACKS),
    "audit": lambda: audit_report(audit([RUN], {RUN.run_id: list(FOUND)}), [RUN]),
}
"""A report of each kind, about hostile runs."""


def still_views() -> Iterator[str]:
    """What a notebook shows of them without JavaScript."""
    yield static.run_html(RUN, FOUND)
    yield findings_html(FOUND)
    yield static.comparison_html(compare(RUN, OTHER))
    yield static.audit_html(audit([RUN], {}))
    yield static.receipt_html(
        receipt(clean=False, **dict.fromkeys(("run_id", "graph", "outcome", "isolation"), PAYLOADS[0]), notes=PAYLOADS, stale_reads=PAYLOADS)
    )
    yield static.tabular_html(PAYLOADS[0], PAYLOADS, PAYLOADS[:3], [(text, text, text) for text in PAYLOADS], [""] * len(PAYLOADS))
    yield fallback.as_html(RUN, FOUND, 3, PAYLOADS[0])


def assert_inert(page: Watched) -> None:
    """Nothing ran, nothing was asked for, nothing stands in the page that could do either."""
    assert page.ran == []
    assert page.asked == []
    assert page.active == []
    assert page.handlers == []


def test_the_corpus_attacks_a_page_that_lets_it(context: BrowserContext) -> None:
    """Written into a page as it is, the corpus runs, fetches and adds elements, and the watch sees it: so what the other tests don't see isn't there."""
    swallowing = ("<!--", "<plaintext", "<textarea", "<meta", "</div></td>", "<style")
    tame = [text for text in PAYLOADS if not any(start in text for start in swallowing)]
    page = Watched.open(context.new_page(), f"<!doctype html><meta charset=utf-8>{''.join(f'<div>{text}</div>' for text in tame)}")
    assert {"script", "img", "svg", "toggle"} <= set(page.ran)
    assert [address for address in page.asked if HOST in address]
    assert page.active
    assert page.handlers


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_stays_inert(context: BrowserContext, kind: str) -> None:
    """A report about hostile runs runs nothing, fetches nothing, and has only our own elements."""
    assert_inert(Watched.open(context.new_page(), html(REPORTS[kind]())))


def test_static_views_stay_inert_without_a_sanitizer(context: BrowserContext) -> None:
    """The HTML of our values needs no sanitizer of the notebook's to be harmless."""
    page = Watched.open(context.new_page(), "<!doctype html><meta charset=utf-8><title>values</title><main>" + "".join(still_views()) + "</main>")
    assert_inert(page)
    assert page.page.locator("main > *").count() == len(list(still_views()))


def test_a_converted_notebook_adds_nothing_of_a_traces(context: BrowserContext) -> None:
    """The page that nbconvert makes of hostile outputs asks for what that of harmless ones asks for (its own libraries), and runs nothing."""
    asked = []
    for views in (["<div>harmless</div>"], still_views()):
        outputs = [nbformat.v4.new_output("display_data", {"text/html": view, "text/plain": "\n".join(PAYLOADS)}) for view in views]
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("run", outputs=outputs)])
        page = Watched.open(context.new_page(), HTMLExporter().from_notebook_node(book)[0])
        assert page.ran == []
        asked.append({address.split("?")[0] for address in page.asked})
    assert asked[0] == asked[1]
    assert not [address for address in asked[1] if HOST in address]


def test_a_line_of_ten_megabytes_is_cut(context: BrowserContext) -> None:
    """One line of ten million characters makes neither a static view nor a report long."""
    run = long_lined()
    for page in (html(run_report(run, [], [])), static.run_html(run, []), fallback.as_html(run, [], 0, "code")):
        assert len(page) < 500_000
    assert_inert(Watched.open(context.new_page(), html(run_report(run, [], []))))


def long_lined() -> Run:
    """A run whose tool answered with one line of ten million characters."""
    return sketch(tool("read", {"line": LONG_LINE}, LONG_LINE))
