"""The list of runs alone in a page: order, filter, sorting, groups, marks, opening, keys, many runs, hostile names, a screen reader's view."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Screenshot, Show
from tests.browser.page import WidgetPage
from tests.browser.populations import BELOW, hostile_list, overview, run_list
from tests.browser.runs import PAYLOADS
from workbench.widgets import RunList
from workbench.widgets.excerpt import visible
from workbench.widgets.opening import Static


def chosen(page: Page) -> str:
    """The label of the chosen row."""
    return page.locator(".ws-row[aria-selected=true]").get_attribute("aria-label") or ""


def focus(widget: WidgetPage) -> None:
    """Put the focus on the list."""
    widget.page.locator(".rl .ws-list").focus()


def column(page: Page, name: str) -> list[str]:
    """What a column shows in the rows that are in the page."""
    return page.locator(f".ws-row .rl-{name}").all_inner_texts()


@pytest.mark.parametrize("width", [560, 660, 700, 800])
def test_no_column_is_cut_off_where_there_is_little_room(show: Show, width: int) -> None:
    """At any width the columns that are left end within the list."""
    page = show(run_list(), width=width).page
    last = page.locator(".ws-row .rl-findings").first
    expect(last).to_be_visible()
    assert last.evaluate("(cell) => cell.getBoundingClientRect().right <= cell.closest('.ws-list').getBoundingClientRect().right")


def test_opens_with_the_failed_runs(show: Show) -> None:
    """The first rows are failed runs, the first of them is chosen, and the head counts."""
    page = show(run_list()).page
    assert set(column(page, "status")[:10]) == {"✕"}
    assert ", error, " in chosen(page)
    expect(page.locator(".ws-title")).to_contain_text("412 runs✕ 46 failed")
    expect(page.locator(".ws-title")).to_contain_text("3 not examined yet: bench.detect()")


def test_keys_choose_and_mark(show: Show) -> None:
    """Keys move by a row, a page, to the ends and to the next failed run; `c` marks; what is chosen and marked are traits, and the code follows."""
    view = run_list()
    ids = view.run_ids
    widget = show(view)
    focus(widget)
    widget.press("j", "j", "k")
    assert widget.trait("run_id") == ids[1]
    widget.press("c", "End")
    assert widget.trait("run_id") == ids[-1]
    widget.press("e", "c")
    assert widget.trait("marked") == [ids[1], ids[0]]
    expect(widget.page.locator(".ws-code")).to_have_text(f'wb.compare(bench.run("{ids[1]}"), bench.run("{ids[0]}"))')
    assert (view.run_id, view.marked, view.code) == (ids[0], [ids[1], ids[0]], f'wb.compare(bench.run("{ids[1]}"), bench.run("{ids[0]}"))')
    widget.press("c")
    expect(widget.page.locator(".ws-code")).to_have_text(f'bench.run("{ids[0]}").view()')


def test_filters_go_together(show: Show) -> None:
    """Words, status, agent and finding narrow the list together; Esc in the filter clears the words, and what is left says how many."""
    view = run_list()
    page = show(view).page
    page.get_by_label("Status", exact=True).select_option("error")
    expect(page.locator(".rl-counted")).to_have_text("46 shown")
    page.get_by_label("Agent", exact=True).select_option("refund-agent")
    page.get_by_label("Detector", exact=True).select_option("runaway-loop")
    page.locator(".ws-filter").fill("payment api")
    left = int((page.locator(".rl-counted").inner_text()).split()[0])
    assert 0 < left < 46
    assert set(column(page, "status")) == {"✕"}
    assert (view.status, view.agent, view.detector, view.words) == ("error", "refund-agent", "runaway-loop", "payment api")
    page.locator(".ws-filter").fill("nowhere to be found")
    expect(page.locator(".rl .ws-none")).to_have_text("No run matches these filters.")
    page.keyboard.press("Escape")
    expect(page.locator(".rl-counted")).to_have_text(f"{left} shown")


def test_columns_sort_both_ways_and_back(show: Show) -> None:
    """A click on a head sorts the largest first, then the smallest, then as it was; what was not recorded comes last either way."""
    view = run_list()
    page = show(view).page
    before = column(page, "run")
    head = page.get_by_role("button", name="Sort by cost")
    head.click()
    most = max(cost for number in range(412) if (cost := overview(number).cost_usd) is not None)
    assert column(page, "cost")[0] == f"${most:#.2g}"
    expect(head).to_have_attribute("aria-label", "Sort by cost, sorted downwards")
    head.click()
    assert column(page, "cost")[0] == "$0.00"
    assert view.sort == "cost"
    page.locator(".rl .ws-list").focus()
    page.keyboard.press("End")
    expect(page.locator("[aria-selected=true] .rl-cost")).to_have_text("–")
    head.click()
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    assert column(page, "run") == before


def test_a_cost_that_leaves_calls_out_is_a_least_one(show: Show) -> None:
    """It stands with a sign, and the cell says how many model calls it is without; a whole cost and a missing one stand as they are."""
    runs = [overview(1), overview(2)._replace(cost_usd=0.0041, model_calls=5, cost_unrecorded_calls=3), overview(3)]
    page = show(RunList(runs, {}, below=BELOW, static=Static(str, str)), width=560).page
    said = dict(zip(column(page, "run"), column(page, "cost"), strict=True))
    assert [said[one.run_id] for one in runs] == [f"${runs[0].cost_usd:.2g}", "≥ $0.0041", "–"]
    titles = {page.locator(".ws-row .rl-cost").nth(row).get_attribute("title") for row in range(3)}
    assert titles == {None, "not recorded", "without 3 of 5 model calls, whose cost was not recorded"}
    cell = page.locator(".ws-row .rl-cost", has_text="≥")
    assert cell.evaluate("(cell) => cell.scrollWidth <= cell.clientWidth")


def test_runs_group_by_what_was_found(show: Show, screenshot: Screenshot) -> None:
    """`g` groups runs with the same findings, the group with most failed runs first; groups fold, and Enter folds too."""
    widget = show(run_list())
    focus(widget)
    widget.press("g")
    page = widget.page
    assert widget.trait("group") == "findings"
    names = page.locator(".rl-group-name").all_inner_texts()
    assert set(names[:1]) <= {"duplicated-effect + falling-confidence", "runaway-loop + budget-overrun + no-stop-rule"}
    count = page.locator(".rl-group").count()
    assert count < 5
    widget.press("ArrowLeft")
    assert page.locator(".rl-group").count() == 5
    assert "no findings" in page.locator(".rl-group-name").all_inner_texts()
    screenshot(page.locator(".ws"), "run-list-groups")
    widget.press("ArrowRight", "j")
    assert ", error, " in chosen(page)


def test_enter_asks_to_open_the_run(show: Show) -> None:
    """Enter and a click on a run's name open it; the view says where, and why not where it can't."""
    view = run_list()
    widget = show(view)
    focus(widget)
    widget.press("j", "Enter")
    ids = view.run_ids
    expect(widget.page.locator(".ws-opening")).to_have_text(f"{ids[1]} is open below, at step 11")
    widget.page.locator(".rl-open", has_text=ids[3]).click()
    expect(widget.page.locator(".ws-opening")).to_have_text(f"{ids[3]} is open below, at step 11")
    assert view.opened is not None
    assert view.opened.run.run_id == ids[3]


def test_marked_runs_are_compared_below(show: Show) -> None:
    """With two runs marked there is a button, and `C`, that set them side by side below."""
    widget = show(run_list())
    focus(widget)
    compare = widget.page.get_by_role("button", name="Compare the marked runs")
    widget.press("c", "C")
    expect(compare).to_be_hidden()
    assert widget.asked == []
    widget.press("j", "c")
    compare.click()
    expect(widget.page.locator(".ws-opening")).to_have_text("the comparison is below")
    assert widget.asked == [{"ask": "compare", "run_ids": widget.trait("marked")}]


def test_python_leads_too(show: Show) -> None:
    """A trait set in Python changes the page, also to a run that is folded away."""
    view = run_list(group="findings")
    widget = show(view)
    last = view.run_ids[-1]
    view.run_id = last
    view.marked = [last]
    widget.page.evaluate("window.model.send({ ask: 'nothing' })")
    expect(widget.page.locator("[aria-selected=true]")).to_have_attribute("aria-label", f"{chosen(widget.page)}")
    assert last in chosen(widget.page)
    assert chosen(widget.page).endswith(", marked")


def test_twenty_thousand_runs(show: Show) -> None:
    """20,000 runs are filtered, sorted and scrolled with at most a few dozen rows in the page; nothing but the runs that follow is asked for."""
    widget = show(run_list(20_000))
    focus(widget)
    widget.press("End", "PageUp", "n")
    widget.page.get_by_role("button", name="Sort by took").click()
    widget.page.locator(".ws-filter").fill("refund")
    expect(widget.page.locator(".rl-counted")).to_have_text("6,667 shown")
    assert widget.page.locator(".ws-row").count() < 40
    assert {question["ask"] for question in widget.asked} == {"rows"}


def test_the_rest_of_many_runs_comes_when_the_kernel_is_free(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the kernel is busy the list filters the runs that it has and says how many those are; the others join them, and what is chosen stays."""
    view = run_list(20_000)
    here = sum(len(json.loads(zlib.decompress(base64.b64decode(part)))["ids"]) for part in view._rows)
    monkeypatch.setattr(view, "answer", lambda _: None)
    widget = show(view)
    counted = widget.page.locator(".rl-counted")
    waits = f"{here:,} of 20,000 are here, the others come when the kernel is free"
    expect(counted).to_have_text(waits)
    widget.page.locator(".ws-filter").fill("refund")
    expect(counted).to_contain_text(f" shown · {waits}")
    focus(widget)
    widget.press("End")
    before = widget.trait("run_id")
    monkeypatch.undo()
    widget.page.evaluate("(first) => window.model.send({ ask: 'rows', first })", here)
    expect(counted).to_have_text("6,667 shown")
    assert widget.trait("run_id") == before
    assert before in chosen(widget.page)
    assert widget.problems == []


def test_hostile_names_are_shown_and_do_nothing(show: Show) -> None:
    """Payloads as run, agent, outcome and detector execute nothing, fetch nothing, add no element of theirs, and stand there as text."""
    widget = show(hostile_list(), height=1200)
    focus(widget)
    shown = ""
    for _ in PAYLOADS:
        shown += widget.page.locator(".ws").inner_text()
        widget.press("c", "j")
    widget.press("g", "ArrowLeft", "Enter")
    for payload in PAYLOADS:
        assert "".join(visible(payload).split())[:100] in "".join(shown.split())
    assert widget.page.evaluate("window.pwned") is None
    assert widget.page.evaluate("document.querySelectorAll('.ws :is(script, img, iframe, a, style, details, svg)').length") == 0
    assert widget.foreign == []
    assert widget.problems == []


def test_an_empty_store_says_what_to_do(show: Show) -> None:
    """A list without runs says how to get some."""
    widget = show(run_list(0))
    expect(widget.page.locator(".rl .ws-none")).to_have_text("No runs in this store yet: bench.ingest(PATH) reads traces into it.")
    focus(widget)
    widget.press("j", "Enter", "c", "g", "e", "ArrowLeft", "y")
    assert widget.problems == []


def test_a_screen_reader_finds_a_list(show: Show) -> None:
    """The list says which run is chosen and of how many; every control has a name; all that takes the focus keeps Lab's keys away."""
    page = show(run_list()).page
    active = page.locator(f"#{page.get_by_role('listbox', name='Runs').get_attribute('aria-activedescendant')}")
    assert active.get_attribute("aria-selected") == "true"
    assert active.get_attribute("aria-setsize") == "412"
    unnamed = "[...document.querySelectorAll('.ws :is(button, input, select)')].filter((one) => !one.getAttribute('aria-label')).length"
    assert page.evaluate(unnamed) == 0
    guarded = "[...document.querySelectorAll('.ws :is(button, input, select, [tabindex])')].every((one) => one.hasAttribute('data-lm-suppress-shortcuts'))"
    assert page.evaluate(guarded)


@pytest.mark.parametrize(("theme", "width"), [("light", 1180), ("dark", 1180), ("light", 800), ("dark", 560)])
def test_looks(show: Show, screenshot: Screenshot, theme: str, width: int) -> None:
    """The list fits its place in light and dark, wide and narrow: nothing is wider than the view."""
    widget = show(run_list(), theme=theme, width=width)
    focus(widget)
    widget.press("j", "c", "j", "j", "c")
    screenshot(widget.page.locator(".ws"), f"run-list-{theme}-{width}", committed=(theme, width) == ("light", 1180))
    assert widget.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
