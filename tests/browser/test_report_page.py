"""A report in a real browser, with the network watched: the viewer works under the page's own policy, and the page reads without scripts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from tests.test_report import HOSTILE, hostile_finding, hostile_reports, hostile_run
from workbench.model import Finding
from workbench.report import html, run_report
from workbench.sketch import model, sketch, tool, user

PLACE = "http://127.0.0.1/report.html"


@dataclass
class Opened:
    """A report's page, what it tried to fetch, and what went wrong on it."""

    page: Page
    foreign: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


def open_report(context: BrowserContext, text: str, theme: str = "light") -> Opened:
    """Hand a page to the browser and nothing else; a script or a dialogue that isn't ours is a problem."""
    here = Opened(context.new_page())
    here.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    here.page.on("pageerror", lambda error: here.problems.append(str(error)))
    here.page.on("console", lambda message: here.problems.append(message.text) if message.type == "error" else None)
    here.page.on("dialog", lambda dialog: here.problems.append(f"a dialogue: {dialog.message}"))

    def hand_out(route: Route) -> None:
        if route.request.url == PLACE:
            route.fulfill(body=text, content_type="text/html; charset=utf-8")
        else:
            here.foreign.append(route.request.url)
            route.abort()

    here.page.route("**/*", hand_out)
    here.page.goto(PLACE)
    here.foreign = [url for url in here.foreign if not url.endswith("/favicon.ico")]
    return here


def booked() -> str:
    """A report on a run that books twice, with a finding at its sixth step."""
    steps = [part for number in range(4) for part in (model(calls=(("book_flight", {"n": number}),)), tool("book_flight", {"n": number}, f"B-{number}"))]
    run = sketch(user("Book it"), *steps, model("Booked."), run_id="r-1")
    told = {"detector": "duplicated-effect", "run_id": "r-1", "severity": "error", "score": 0.9, "step": 6, "message": "twice", "capability": "idempotency"}
    return html(run_report(run, [Finding.model_validate(told)], []))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_reports_viewer_steps_offline(context: BrowserContext, theme: str, screenshot: Callable[..., Path]) -> None:
    """The viewer opens at the first bad step, steps by keys and asks nothing of the network; what is not in the file is said to be missing."""
    here = open_report(context, booked(), theme)
    head = here.page.locator("#viewer .ws-pane-index")
    assert head.inner_text() == "step 6"
    here.page.locator("#viewer .ws-list").focus()
    here.page.keyboard.press("j")
    assert head.inner_text() == "step 7"
    assert "view(step=7)" in here.page.locator("#viewer .ws-code").inner_text()
    here.page.keyboard.press("3")
    here.page.get_by_text("no kernel to ask").first.wait_for()
    screenshot(here.page, f"report-viewer-{theme}")
    assert (here.problems, here.foreign) == ([], [])


def test_a_report_reads_without_scripts(browser: Browser) -> None:
    """Where scripts are off the viewer isn't shown, and every step can be opened below."""
    context = browser.new_context(java_script_enabled=False)
    page = open_report(context, booked()).page
    assert not page.locator("#viewer").is_visible()
    assert page.locator("#run-step-6 details").get_attribute("open") is not None
    context.close()


@pytest.mark.parametrize("kind", ["run", "incident"])
def test_hostile_runs_stay_inert_in_the_viewer(context: BrowserContext, kind: str) -> None:
    """Whatever a trace says is shown as text: nothing of it runs, is fetched, or becomes an element, in any tab."""
    here = open_report(context, html(hostile_reports()[kind]))
    for key in "123456":
        here.page.locator("#viewer .ws-list").focus()
        here.page.keyboard.press(key)
    here.page.wait_for_timeout(200)
    assert here.page.locator("#viewer").get_by_text("alert(1)").count() > 0
    assert here.page.locator("img, iframe, form, script:not([type])").count() == 0
    assert (here.problems, here.foreign) == ([], [])
    assert HOSTILE not in html(run_report(hostile_run(), [hostile_finding(hostile_run())], []))
