"""Every view and a report, held by axe against WCAG 2.2 A and AA: names, roles, contrast, focus order, in light and dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from anywidget import AnyWidget
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import Show
from tests.browser.forked import Recorded, forked, question, receipt
from tests.browser.populations import findings_view, run_list
from tests.browser.runs import NODE, booked_twice, twice_findings, twice_spans, twice_state
from tests.browser.watched import Watched
from workbench.report import html, run_report
from workbench.results.compared import Compared
from workbench.widgets.asking import AskHere
from workbench.widgets.fork_panel import ForkPanel
from workbench.widgets.receipts import ReceiptView
from workbench.widgets.stepper import Stepper

OPTIONS = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
OF_THE_PAGE = {"region", "page-has-heading-one", "landmark-one-main", "html-has-lang"}
"""What a widget can't answer for: these are the notebook's page."""


def stepper() -> Stepper:
    """The run of a flight booked twice."""
    run = booked_twice()
    return Stepper(run, twice_findings(run), state=twice_state)


def spans() -> Stepper:
    """The same with every span shown, at one that is no step."""
    run = booked_twice()
    return Stepper(run, twice_findings(run), spans=twice_spans(run), span=NODE)


def approval() -> AskHere:
    """A question that waits for an answer."""
    place = AskHere(by="Ada")
    told = {
        **question().model_dump(mode="json"),
        "number": 0,
        "waited": 12.0,
        "seconds": 600.0,
        "arguments": "{}",
        "injected": [],
        "already": ["It was done before"],
    }
    place.set_trait("_waiting", [told])
    return place


VIEWS: dict[str, Callable[[], AnyWidget]] = {
    "stepper": stepper,
    "stepper with every span": spans,
    "run list": run_list,
    "findings": findings_view,
    "fork panel": lambda: ForkPanel(Recorded(), 9),
    "approval": approval,
    "receipt": lambda: ReceiptView(receipt(clean=False)),
    "comparison": lambda: Compared(booked_twice(), forked(booked_twice())).view(),
}


def wrong(page: Page) -> list[str]:
    """What axe finds wrong: the check, and the elements it is about."""
    found = Axe().run(page, options=OPTIONS).response["violations"]
    return [f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:120] for node in one['nodes'][:4]]}" for one in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_accessible(show: Show, name: str, theme: str) -> None:
    """Axe finds nothing wrong in a view, but for what belongs to the page around it."""
    page = show(VIEWS[name](), theme=theme).page
    assert [told for told in wrong(page) if told.split()[0] not in OF_THE_PAGE] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_report_is_accessible(context: BrowserContext, theme: str) -> None:
    """Axe finds nothing wrong in a report of a run, its viewer included."""
    page = context.new_page()
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    run = booked_twice()
    assert wrong(Watched.open(page, html(run_report(run, twice_findings(run), []))).page) == []
