"""The tree of every span in the step-through view, alone in a page: where steps stand, folding, search, errors, a span's pane, hostile spans."""

from __future__ import annotations

import pytest
import traitlets
from playwright.sync_api import expect

from tests.browser.conftest import Screenshot, Show
from tests.browser.page import WidgetPage, check_inert
from tests.browser.runs import AGENT, CHAIN, NODE, TRACE, booked_twice, hostile_run, hostile_spans, long_run, twice_findings, twice_spans, twice_state
from tests.browser.test_stepper_page import contrasts
from tests.hostile import FAMILIES
from workbench.model import Json, Span
from workbench.widgets.stepper import Stepper


def story(**shown: Json) -> Stepper:
    """The view of a flight booked twice, with all that was recorded around it."""
    run = booked_twice()
    return Stepper(run, twice_findings(run), state=twice_state, spans=twice_spans(run), **shown)


def rows(widget: WidgetPage) -> list[str]:
    """The rows in sight: a step by its index, a span by its name."""
    return widget.page.locator(".ws-row").evaluate_all(
        "(rows) => rows.map((row) => row.querySelector('.ws-index').textContent || row.querySelector('.ws-label').textContent)"
    )


def chosen(widget: WidgetPage, attribute: str) -> str | None:
    """An attribute of the chosen row."""
    return widget.page.locator("[aria-selected=true][role=treeitem]").get_attribute(attribute)


def test_one_key_shows_every_span_and_takes_it_back(show: Show) -> None:
    """The steps come first; `s`, or its button, puts them among all spans and back, the same step chosen and in sight."""
    widget = show(story())
    assert rows(widget) == [str(index) for index in range(13)]
    widget.focus()
    widget.press("s")
    assert rows(widget) == ["0", "invoke_agent travel-agent", *map(str, range(1, 9)), "act", "9", "ChatOpenAI", "10", "11", "12", "flush", "ping"]
    assert widget.trait("every_span")
    assert (chosen(widget, "aria-label") or "").startswith("Step 11")
    expect(widget.page.locator(".ws-code")).to_have_text('bench.run("booked-twice").view(step=11, every_span=True)')
    expect(widget.page.locator(".ws-empty")).to_have_text("1 span at the top: parent not recorded · 1 span at the top: parents in a circle")
    widget.page.get_by_role("button", name="Every span").click()
    assert rows(widget) == [str(index) for index in range(13)]
    assert widget.trait("every_span") is False


def test_folding_every_span_is_a_trait_and_code(show: Show) -> None:
    """What is folded by hand among all spans is in `toggled` by the ids, is the same when the line of code is run, and is undone as it was done."""
    view = story(span=AGENT)
    widget = show(view)
    widget.focus()
    before = rows(widget)
    widget.press("ArrowLeft")
    assert rows(widget) == ["0", "invoke_agent travel-agent", "flush", "ping"]
    line = f'bench.run("booked-twice").view(span="{AGENT}", toggled=["{AGENT}"])'
    expect(widget.page.locator(".ws-foot .ws-code")).to_have_text(line)
    assert (view.toggled, view.code) == ([AGENT], line)
    again = show(story(span=AGENT, toggled=[AGENT]))
    assert rows(again) == rows(widget)
    again.widget.toggled = []
    again.page.evaluate("window.model.send({ ask: 'nothing' })")
    expect(again.page.locator(".ws-row")).to_have_count(len(before))
    widget.press("ArrowRight")
    assert rows(widget) == before
    assert view.toggled == []


def test_an_unknown_span_cannot_be_folded() -> None:
    """A span that is not there can't be folded, which is said with the nearest; a step without a span can."""
    assert story(toggled=["step-0", AGENT]).toggled == ["step-0", AGENT]
    with pytest.raises(traitlets.TraitError, match="no span of booked-twice with an id that begins with 'zz'"):
        story(toggled=["zz"])


def test_a_screen_reader_gets_the_tree(show: Show) -> None:
    """Each row says its level, its number among its brothers and how many there are, and whether it is folded; the list says what it holds."""
    widget = show(story(span=AGENT))
    widget.focus()
    told = ("aria-level", "aria-posinset", "aria-setsize", "aria-expanded")
    assert [chosen(widget, name) for name in told] == ["1", "2", "4", "true"]
    assert chosen(widget, "aria-label") == "Span invoke_agent travel-agent, agent, ok, 1 m 20 s"
    widget.press("ArrowRight")
    assert [chosen(widget, name) for name in told] == ["2", "1", "12", None]
    expect(widget.page.get_by_role("tree")).to_have_attribute("aria-label", "Every span, the steps among them")
    expect(widget.page.get_by_role("button", name="Every span")).to_have_attribute("aria-pressed", "true")


def test_what_holds_no_step_is_folded_until_asked_for(show: Show) -> None:
    """Below a model call its HTTP requests are folded away; right unfolds them, the second is marked as an attempt, left goes back up."""
    widget = show(story(step=10, every_span=True))
    widget.focus()
    assert "POST" not in rows(widget)
    widget.press("ArrowRight", "ArrowRight", "j")
    assert rows(widget).count("POST") == 2
    assert chosen(widget, "aria-label") == "Span POST, transport, ok, 800 ms, attempt 2"
    assert widget.trait("_line") == 15
    assert widget.widget.span == "b2".zfill(16)
    widget.press("ArrowLeft", "ArrowLeft")
    assert widget.trait("step") == 10
    assert "POST" not in rows(widget)
    widget.press("Shift+ArrowLeft")
    assert rows(widget) == ["0", "invoke_agent travel-agent", "flush", "ping"]


def test_the_pane_of_a_span(show: Show) -> None:
    """A span that is no step shows what was recorded of it and which step it belongs to; the tabs of steps wait until one is chosen again."""
    widget = show(story(span="b1".zfill(16)))
    text = widget.panel()
    for part in ("Inside step 10.", "status error", "Status message\n503 from upstream", "http.response.status_code\n503", f"trace {TRACE}"):
        assert part in text
    assert widget.page.locator(".ws-tab:disabled").count() == 6
    expect(widget.page.locator(".ws-code")).to_have_text(f'bench.run("booked-twice").view(span="{"b1".zfill(16)}")')
    widget.page.get_by_role("button", name="Go to step 10").click()
    assert (widget.trait("step"), widget.trait("_line"), widget.widget.span) == (10, -1, "")
    assert widget.page.locator(".ws-tab:disabled").count() == 0
    widget.press("7")
    assert "gen_ai.operation.name" in widget.panel()
    widget.page.evaluate("(place) => window.model.set('_line', place)", 12)
    expect(widget.page.locator(".ws-pane-label")).to_have_text("ChatOpenAI")
    assert widget.panel().startswith("A wrapper or another record of the call that is step 10.")
    assert chosen(widget, "aria-label") == "Span ChatOpenAI, model, ok, 1.20 s, = step 10"
    widget.focus()
    widget.press("s")
    assert (widget.trait("step"), widget.trait("every_span")) == (10, False)


def test_errors_of_spans_are_jumped_to_where_spans_are_shown(show: Show) -> None:
    """`e` goes through failed steps; with every span shown, through failed spans too, but for those that only pass on what failed inside them."""
    widget = show(story(step=0))
    widget.focus()
    widget.press("e", "e")
    assert widget.trait("step") == 9
    widget.press("s", "e")
    assert chosen(widget, "aria-label") == "Span POST, transport, error, 200 ms"
    widget.press("e")
    assert widget.trait("step") == 9
    widget.press("n")
    assert widget.trait("step") == 10


def test_search_covers_spans(show: Show) -> None:
    """With the steps alone search says how many other spans match; with every span it lists them, by name, attribute or id."""
    widget = show(story())
    widget.focus()
    widget.press("/")
    widget.page.keyboard.type("post")
    expect(widget.page.locator(".ws-empty")).to_have_text("0 steps found, 2 other spans (s shows them)")
    widget.press("Enter", "s")
    assert rows(widget) == ["POST", "POST"]
    for needle, found in ((CHAIN, ["ChatOpenAI"]), ("503 from", ["POST"]), ("00000000000000009", []), ("0000000000000009", ["9"])):
        widget.page.locator(".ws-search").fill(needle)
        assert rows(widget) == found
    widget.page.locator(".ws-search").fill("flush")
    widget.press("Enter", "/", "Escape")
    assert (chosen(widget, "aria-label") or "").startswith("Span flush")


def test_the_tree_works_while_the_kernel_is_busy(show: Show) -> None:
    """What was sent at the start can be unfolded, read and searched without the kernel; Python is heard again afterwards."""
    widget = show(story(step=10))
    widget.busy = True
    widget.focus()
    widget.press("s", "ArrowRight", "j")
    assert "503 from upstream" in widget.panel()
    widget.busy = False
    widget.page.evaluate("(place) => window.model.set('_line', place)", 10)
    expect(widget.page.locator(".ws-pane-label")).to_have_text("act")
    assert "exception\nafter 30.0 s" in widget.panel().replace("exception after", "exception\nafter")


def long_spans(count: int = 20_000) -> list[Span]:
    """The spans of a long run's steps, fifty to a parent, each a tool's or one that is no step."""
    return [span for number in range(count // 50) for span in _fifty(number * 50)]


def _fifty(first: int) -> list[Span]:
    def one(number: int, parent: int | None) -> Span:
        at = 1_750_000_000_000_000_000 + number * 1_000_000
        above = None if parent is None else f"{parent:016x}"
        return Span(trace_id=TRACE, span_id=f"{number:016x}", parent_span_id=above, name=f"call {number % 30}", start_ns=at, end_ns=at + 900_000)

    return [one(first, None), *(one(first + number, first) for number in range(1, 50))]


def twenty_thousand(**shown: Json) -> Stepper:
    """A run of 20,000 spans, of which 6,000 are steps."""
    run = long_run(6_000)
    steps = tuple(step.model_copy(update={"trace_id": TRACE, "span_id": f"{3 * step.index:016x}"}) for step in run.steps)
    return Stepper(run.model_copy(update={"steps": steps}), spans=long_spans(), **shown)


def test_twenty_thousand_spans(show: Show) -> None:
    """20,000 spans stand in the page as few elements; any is a key away, and what it says is asked for."""
    widget = show(twenty_thousand(every_span=True))
    widget.focus()
    widget.press("Shift+ArrowRight", "End")
    assert chosen(widget, "aria-label") == "Span call 19, span, ok, 900 µs"
    expect(widget.page.locator(".ws-panel")).to_contain_text(f"span {19_999:016x}")
    assert widget.asked[-1] == {"ask": "span", "place": 19_999}
    assert widget.page.evaluate("document.querySelectorAll('*').length") < 700


def test_hostile_spans_are_shown_and_do_nothing(show: Show) -> None:
    """Payloads in every field of spans execute nothing, fetch nothing, add no element of theirs, and stand there as text."""
    families = ["\n".join(family) for family in FAMILIES.values()]
    run = hostile_run(families[:3])
    widget = show(Stepper(run, spans=hostile_spans(run, families), every_span=True))
    widget.focus()
    widget.press("Shift+ArrowRight", "Home")
    shown = ""
    for _ in range(len(run.steps) + len(families)):
        expect(widget.page.locator(".ws-panel")).not_to_contain_text("Asked the kernel")
        shown += widget.panel()
        widget.press("j")
    check_inert(widget, shown, "script, img, iframe, a, style, details, b:not([class]) b")
    code = widget.page.locator(".ws-code").inner_text()
    compile(code, "cell", "eval")


@pytest.mark.parametrize(("theme", "width"), [("light", 1180), ("dark", 800), ("light", 500)])
def test_fits_its_width(show: Show, screenshot: Screenshot, theme: str, width: int) -> None:
    """With every span shown nothing sticks out, and recorded text stands out from its ground."""
    widget = show(story(span=NODE), theme=theme, width=width, height=900)
    widget.focus()
    screenshot(widget.page.locator(".ws"), f"spans-{theme}-{width}")
    assert widget.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert min(contrasts(widget)) >= 4.5
