"""Findings alone in a page: the chosen one in full, evidence and steps that open, verdicts with a note, filters, keys, hostile text."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Screenshot, Show
from tests.browser.page import WidgetPage, check_inert
from tests.browser.populations import BELOW, findings_view, hostile_findings_view, reviewed, story_findings
from tests.browser.runs import PAYLOADS
from workbench.widgets import FindingsView
from workbench.widgets.opening import Static


def focus(widget: WidgetPage) -> None:
    """Put the focus on the list."""
    widget.page.locator(".ws-list").focus()


def labels(page: Page) -> list[str]:
    """The labels of the rows in the page."""
    found: list[str] = page.evaluate("[...document.querySelectorAll('.fi-cols')].map((row) => row.getAttribute('aria-label'))")
    return found


def test_the_chosen_finding_says_why(show: Show) -> None:
    """The card has message, numbers, evidence with path and hash, what would refute it as words and as code, and how right the detector is."""
    page = show(findings_view()).page
    card = page.locator(".fi-card")
    expect(card).to_contain_text("book_flight took effect twice")
    expect(card.locator(".ws-pairs")).to_contain_text("charged_usd")
    expect(card.locator(".ws-evidence li")).to_have_count(3)
    expect(card.locator(".fi-fork .ws-code")).to_have_text('run = bench.run("booked-twice")\nrun.fork(11, tool_result=run.step(11).result, live=["model"])')
    expect(card).to_contain_text(re.compile("precision|unmeasured"))
    expect(page.locator(".ws-foot .ws-code")).to_have_text('bench.run("booked-twice").view(step=11)')


def test_keys_choose_and_open(show: Show) -> None:
    """Keys choose a finding; Enter opens its step below, a number the step of that evidence, a click on a step that step."""
    view = findings_view()
    widget = show(view)
    focus(widget)
    widget.press("j")
    assert widget.trait("finding_id") == view.findings[1].finding_id
    widget.press("Enter")
    expect(widget.page.locator(".ws-opening")).to_have_text("booked-twice is open below, at step 10")
    widget.press("k", "1")
    expect(widget.page.locator(".ws-opening")).to_have_text("booked-twice is open below, at step 9")
    widget.page.locator(".ws-evidence .ws-link", has_text="step 11").first.click()
    expect(widget.page.locator(".ws-opening")).to_have_text("booked-twice is open below, at step 11")
    assert view.opened is not None
    assert view.opened.step == 11
    focus(widget)
    widget.press("f")
    expect(widget.page.locator(".ws-opening")).to_have_text("the fork panel is below")
    assert widget.asked[-1] == {"ask": "fork", "run_id": "booked-twice", "step": 11}


def test_a_verdict_needs_two_keys_and_takes_a_note(show: Show) -> None:
    """`d`, a note and Enter dismiss; the row and the card show it, the code repeats it, and `n` goes on to what nobody reviewed."""
    view = findings_view()
    widget = show(view)
    focus(widget)
    widget.press("d")
    widget.page.keyboard.type('a rehearsal, "not real"')
    widget.press("Enter")
    expect(widget.page.locator(".fi-known")).to_contain_text('⊘ dismissed 2025-06-15 15:06 UTC a rehearsal, "not real"')
    expect(widget.page.locator("[aria-selected=true] .fi-verdict")).to_have_text("⊘")
    expect(widget.page.locator(".ws-foot .ws-code")).to_have_text(view.code)
    assert view.code.startswith("bench.review(")
    widget.press("n")
    assert widget.trait("finding_id") == view.findings[1].finding_id
    widget.press("c", "Escape")
    assert len(view._reviews) == 1
    widget.page.get_by_role("button", name="Confirm").click()
    expect(widget.page.locator(".fi-known")).to_contain_text("✓ confirmed")
    widget.page.get_by_label("Reviewed").select_option("dismissed")
    expect(widget.page.get_by_role("option", name=re.compile("^error"))).to_have_count(1)


def test_all_that_was_said_of_a_finding_is_shown(show: Show) -> None:
    """Each word on a finding stands there with its time and note, the newest first; what was said elsewhere says so and marks nothing."""
    first, second = story_findings()
    elsewhere = reviewed(second, "dismissed", "not in our system").model_copy(update={"origin": "case.wb"})
    said = [reviewed(first, "dismissed", "a rehearsal"), reviewed(first, "confirmed", "it was real"), elsewhere]
    widget = show(FindingsView([first, second], reviews=said, keep=reviewed, below=BELOW, static=Static(str, str)))
    known = widget.page.locator(".fi-known")
    expect(known).to_have_text(["✓ confirmed 2025-06-15 15:06 UTC it was real", "⊘ dismissed 2025-06-15 15:06 UTC a rehearsal"])
    expect(widget.page.locator("[aria-selected=true] .fi-verdict")).to_have_text("✓")
    focus(widget)
    widget.press("j")
    expect(known).to_contain_text("not in our system said elsewhere, in case.wb: it decides nothing here")
    expect(widget.page.locator("[aria-selected=true] .fi-verdict")).to_have_text("")


def test_a_verdict_that_was_not_kept_says_so(show: Show) -> None:
    """What goes wrong as a verdict is kept is shown beside the note."""
    widget = show(findings_view())
    focus(widget)
    widget.press("c")
    widget.page.keyboard.type("full disk")
    widget.press("Enter")
    expect(widget.page.locator(".fi-form .ws-wrong")).to_have_text("OSError: no space left")


def test_filters_and_what_was_not_evaluated(show: Show) -> None:
    """Severity, detector and words narrow the list; what was not evaluated unfolds with its reasons."""
    view = findings_view(40)
    page = show(view).page
    page.get_by_label("Severity").select_option("warning")
    expect(page.locator(".ws-title")).to_contain_text("40 shown")
    page.locator(".ws-filter").fill("twice-7")
    expect(page.locator(".ws-title")).to_contain_text("1 shown")
    assert "run booked-twice-7 step 10" in labels(page)[0]
    fold = page.locator(".fi-fold")
    expect(fold).to_have_text("▸ not evaluated: 2 detectors, 2 reasons")
    fold.click()
    expect(page.locator(".fi-lacks")).to_contain_text("no token counts were recorded")
    expect(page.locator(".fi-lacks li").first).to_contain_text("and 4 more")


def test_thousands_open_and_later_ones_are_asked_for(show: Show) -> None:
    """Of six thousand findings a few dozen rows are in the page, and the last is asked for once one rests on it; a busy kernel is said to be."""
    widget = show(findings_view(3_000))
    focus(widget)
    widget.press("End")
    expect(widget.page.locator(".fi-card")).to_contain_text("Evidence")
    assert [question["ask"] for question in widget.asked] == ["finding"]
    assert len(labels(widget.page)) < 40
    widget.busy = True
    widget.press("k")
    expect(widget.page.locator(".fi-card")).to_contain_text("answers when it is free")


def test_hostile_findings_are_shown_and_do_nothing(show: Show) -> None:
    """Payloads in every field of findings and reasons execute nothing, fetch nothing, add no element of theirs, and stand there as text."""
    widget = show(hostile_findings_view())
    widget.page.locator(".fi-fold").click()
    focus(widget)
    shown = ""
    for _ in PAYLOADS:
        shown += widget.page.locator(".ws").inner_text()
        widget.press("j")
    check_inert(widget, shown, "script, img, iframe, a, style, details, svg")


def test_all_that_takes_the_focus_is_named_and_guarded(show: Show) -> None:
    """Every control has a name and keeps Lab's keys away, also those of the card."""
    page = show(findings_view(3)).page
    named = "[...document.querySelectorAll('.ws :is(button, input, select, [tabindex])')].every((one) => one.getAttribute('aria-label') || one.textContent)"
    guarded = "[...document.querySelectorAll('.ws :is(button, input, select, [tabindex])')].every((one) => one.hasAttribute('data-lm-suppress-shortcuts'))"
    assert page.evaluate(named)
    assert page.evaluate(guarded)
    assert page.locator(f"#{page.get_by_role('listbox').get_attribute('aria-activedescendant')}").get_attribute("aria-selected") == "true"


@pytest.mark.parametrize(("theme", "width", "times"), [("light", 1180, 1), ("dark", 1180, 30), ("light", 800, 30)])
def test_looks(show: Show, screenshot: Screenshot, theme: str, width: int, times: int) -> None:
    """The view fits its place in light and dark, wide and narrow: nothing is wider than the view."""
    widget = show(findings_view(times), theme=theme, width=width, height=900)
    focus(widget)
    screenshot(widget.page.locator(".ws"), f"findings-{theme}-{width}", committed=(theme, width) == ("light", 1180))
    assert widget.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
