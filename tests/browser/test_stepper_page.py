"""The step-through view alone in a page: keys, pointer, folding, search, tabs, hostile text, long runs, a busy kernel, a screen reader's view."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screenshot, Show
from tests.browser.page import check_inert
from tests.browser.runs import booked_twice, hostile_findings, hostile_run, long_run, twice_findings, twice_state
from tests.hostile import FAMILIES
from workbench.model import Json, Run, Step
from workbench.sketch import model, sketch, tool
from workbench.widgets.stepper import TABS, Stepper


def story(step: int | None = None) -> Stepper:
    """The view of a flight booked twice."""
    run = booked_twice()
    return Stepper(run, twice_findings(run), state=twice_state, step=step)


def test_opens_at_the_first_bad_step(show: Show) -> None:
    """The page opens with the step of the severest finding chosen, in sight, and described."""
    page = show(story()).page
    expect(page.locator("[aria-selected=true][role=treeitem]")).to_have_attribute("aria-label", re.compile("^Step 11: tool book_flight, ok, error finding"))
    expect(page.locator(".ws-title")).to_contain_text("joins 13 exact · 0 inferred · 0 none")
    expect(page.locator(".ws-code")).to_have_text('bench.run("booked-twice").view(step=11)')


@pytest.mark.parametrize(
    ("keys", "step"),
    [
        ("j", 10),
        ("k", 8),
        ("jjk", 10),
        (["ArrowDown"], 10),
        (["ArrowUp", "ArrowUp"], 7),
        (["Home"], 0),
        (["End"], 12),
        ("n", 10),
        ("nn", 11),
        ("nnn", 10),
        ("N", 11),
        (["End", "e"], 9),
        (["Home", "e"], 9),
        (["PageUp"], 0),
    ],
)
def test_keys_step(show: Show, keys: str | list[str], step: int) -> None:
    """Keys move by a step, a page, to the ends, and to the next error or finding, around the end."""
    widget = show(story(step=9))
    widget.focus()
    widget.press(*keys)
    assert widget.trait("step") == step
    assert widget.page.locator("[aria-selected=true][role=treeitem] .ws-index").inner_text() == str(step)
    assert widget.page.locator(".ws-pane-index").inner_text() == f"step {step}"


def test_the_chosen_step_stays_in_sight_where_the_view_gets_narrow(show: Show) -> None:
    """Below the list instead of beside it, the pane leaves fewer rows in sight: the chosen one is among them."""
    page = show(story(step=12)).page
    page.set_viewport_size({"width": 640, "height": 760})
    inside = """() => {
      const bottom = (name) => document.querySelector(name)?.getBoundingClientRect().bottom;
      return bottom("[aria-selected=true][role=treeitem]") <= bottom(".ws-list") && bottom(".ws-list") < bottom(".ws-pane");
    }"""
    page.wait_for_function(inside)


def test_number_keys_open_tabs(show: Show) -> None:
    """The keys 1 to 6 open the six tabs of a run without spans, and the trait and the line of code follow."""
    view = story()
    widget = show(view)
    widget.focus()
    for place, tab in enumerate(TABS[:-1], start=1):
        widget.press(str(place))
        assert widget.trait("tab") == tab
        expect(widget.page.locator("[role=tab][aria-selected=true]")).to_have_attribute("id", re.compile(f"-{tab}$"))
        expect(widget.page.locator(".ws-code")).to_have_text(view.code)
        assert (f'tab="{tab}"' in view.code) == (place > 1)


def test_clicking_and_sliding_choose(show: Show) -> None:
    """A click on a row and the slider both set the trait."""
    widget = show(story())
    widget.page.locator(".ws-row", has_text="search_hotels").click()
    assert widget.trait("step") == 5
    widget.page.locator(".ws-slider").fill("2")
    assert widget.trait("step") == 2
    widget.page.get_by_role("button", name="Next error").click()
    assert widget.trait("step") == 9


def test_python_moves_the_page(show: Show) -> None:
    """When the trait is set from Python's side, the page follows without sending anything back."""
    widget = show(story())
    widget.page.evaluate("window.model.set('step', 4); window.model.set('tab', 'decision')")
    expect(widget.page.locator(".ws-pane-label")).to_have_text("search_flights")
    expect(widget.page.locator("[role=tab][aria-selected=true]")).to_contain_text("Decision")
    assert widget.page.evaluate("window.saves ?? 0") == 0


def test_the_chosen_step_is_in_sight_as_the_view_enters_the_page(show: Show) -> None:
    """A view that a notebook makes before it shows it, or takes out of the page and back, stands at the chosen step and not at the first one."""
    page = show(Stepper(long_run(400), step=200)).page
    chosen = page.locator("[aria-selected=true][role=treeitem]")
    expect(chosen).to_be_in_viewport()
    out = "document.querySelector('main')"
    for back in (
        f"const out = {out}; out.remove(); return new Promise(requestAnimationFrame).then(() => document.body.append(out))",
        f"document.body.append({out})",
    ):
        page.evaluate(f"() => {{ {back} }}")
        expect(chosen).to_be_in_viewport()
    expect(chosen).to_contain_text("200")


def test_folding(show: Show) -> None:
    """Left folds a step's deeper steps or goes to the parent, right unfolds or goes inside; the trait lists what is folded."""
    widget = show(story(step=5))
    widget.focus()
    widget.press("ArrowLeft")
    assert widget.trait("step") == 3
    widget.press("ArrowLeft")
    assert widget.trait("collapsed") == [3]
    expect(widget.page.locator(".ws-row")).to_have_count(10)
    expect(widget.page.locator("[aria-expanded=false]")).to_contain_text("+3")
    expect(widget.page.locator(".ws-foot .ws-code")).to_have_text('bench.run("booked-twice").view(step=3, collapsed=[3])')
    widget.press("j")
    assert widget.trait("step") == 7
    widget.press("k", "ArrowRight", "ArrowRight")
    assert widget.trait("step") == 4
    assert widget.trait("collapsed") == []


def test_a_folded_step_is_uncovered_when_it_is_chosen(show: Show) -> None:
    """Choosing a step that is folded away unfolds what hides it."""
    widget = show(story(step=3))
    widget.focus()
    widget.press("ArrowLeft")
    widget.page.evaluate("window.model.set('step', 5)")
    expect(widget.page.locator("[aria-selected=true][role=treeitem]")).to_contain_text("search_hotels")
    assert widget.trait("collapsed") == []


def test_search(show: Show) -> None:
    """Slash searches names, nodes and loaded texts; Enter goes to the list, Escape clears."""
    widget = show(story())
    widget.focus()
    widget.press("/")
    widget.page.keyboard.type("pnr-7qx2")
    expect(widget.page.locator(".ws-row")).to_have_count(1)
    expect(widget.page.locator(".ws-empty")).to_have_text("1 step found")
    widget.page.locator(".ws-search").fill("hotels")
    widget.press("Enter")
    assert widget.trait("step") == 5
    widget.press("/", "Escape")
    expect(widget.page.locator(".ws-row")).to_have_count(13)


def test_letters_typed_into_search_are_text(show: Show) -> None:
    """In the search field the view's keys are letters."""
    widget = show(story())
    widget.page.locator(".ws-search").focus()
    widget.page.keyboard.type("jke1?")
    assert widget.page.locator(".ws-search").input_value() == "jke1?"
    assert (widget.trait("step"), widget.trait("tab")) == (11, "messages")


def test_keys_that_are_not_ours_are_left_alone(show: Show) -> None:
    """Letters without a meaning and anything with Ctrl, Alt or Meta keep the browser's own effect."""
    widget = show(story())
    widget.page.evaluate(
        "window.addEventListener('keydown', (event) => setTimeout(() => (window.prevented ??= []).push([event.key, event.defaultPrevented])), true)"
    )
    widget.focus()
    widget.press("x", "d", "Control+j", "Alt+e", "j")
    seen = dict(widget.page.evaluate("new Promise((done) => setTimeout(() => done(window.prevented), 50))"))
    assert {key: seen[key] for key in ("x", "d", "e", "j")} == {"x": False, "d": False, "e": False, "j": True}
    assert widget.trait("step") == 12


def test_lab_is_told_to_keep_off_every_control(show: Show) -> None:
    """Whatever can have the focus carries the attribute by which JupyterLab leaves its keys alone, and lends it while Ctrl is held."""
    widget = show(story())
    bare = "[...document.querySelectorAll('.ws button, .ws input, .ws [tabindex]')].filter((e) => !e.hasAttribute('data-lm-suppress-shortcuts')).length"
    for tab in TABS:
        widget.page.evaluate("(tab) => window.model.set('tab', tab)", tab)
        assert widget.page.evaluate(bare) == 0
    widget.focus()
    suppressed = "document.activeElement.closest('[data-lm-suppress-shortcuts]') !== null"
    widget.page.keyboard.down("Control")
    assert not widget.page.evaluate(suppressed)
    widget.page.keyboard.up("Control")
    assert widget.page.evaluate(suppressed)
    assert widget.page.evaluate(bare) == 0


def test_the_view_can_be_walked_by_tab_key(show: Show) -> None:
    """Tab goes through the controls, the slider, search, the list, the open tab and the pane, in that order."""
    widget = show(story())
    order = []
    for _ in range(12):
        widget.press("Tab")
        order.append(widget.page.evaluate("document.activeElement.getAttribute('role') ?? document.activeElement.getAttribute('type')"))
    assert order == [*["button"] * 6, "range", "search", "button", "tree", "tab", "tabpanel"]


def test_tabs_move_with_arrows(show: Show) -> None:
    """With the focus on a tab, the arrow keys go to the tab beside it, and not through the steps."""
    widget = show(story())
    widget.page.get_by_role("tab", name="Messages").focus()
    widget.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert widget.trait("tab") == "decision"
    assert widget.page.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    assert widget.trait("step") == 11


def test_a_screen_reader_hears_the_step(show: Show) -> None:
    """After a move the live region says which step it is, and the tree points at it."""
    widget = show(story())
    widget.focus()
    widget.press("k", "k")
    expect(widget.page.locator("[aria-live=polite]").first).to_have_text("Step 9: tool book_flight, error, 30.0 s")
    active = widget.page.locator("[role=tree]").get_attribute("aria-activedescendant")
    assert widget.page.locator(f"#{active}").get_attribute("aria-label") == "Step 9: tool book_flight, error, 30.0 s"
    expect(widget.page.locator(".ws-slider")).to_have_attribute("aria-valuetext", "Step 9: tool book_flight, error, 30.0 s")
    expect(widget.page.locator("[aria-level='2']")).to_have_count(3)


def test_messages_of_a_tool_and_of_a_model(show: Show) -> None:
    """The first tab shows a tool's call and result, and what a model was given and answered."""
    widget = show(story(step=11))
    assert "PNR-7QX2" in widget.panel()
    assert '"passenger": "Ada"' in widget.panel()
    widget.focus()
    widget.press("k")
    assert "The booking timed out, so it did not go through." in widget.panel()
    assert "Was given\n3 messages" in widget.panel()
    widget.press("k")
    assert widget.panel().startswith("Error\nTimeoutError: payment API gave no answer within 30 s\nCall\nbook_flight")
    assert "Result" not in widget.panel()


def test_decision(show: Show) -> None:
    """The decision tab marks the chosen among the offered tools and gives the confidence with its source."""
    widget = show(story(step=10))
    widget.focus()
    widget.press("2")
    assert [line.split("\n") for line in widget.page.locator(".ws-choices li").all_inner_texts()] == [
        ["○", "search_flights", "offered"],
        ["●", "book_flight", "chosen"],
        ["○", "issue_refund", "offered"],
        ["○", "ask_person", "offered"],
    ]
    assert "Confidence\nfrom token log-probabilities\n0.41" in widget.panel()
    assert widget.panel().endswith("Reasoning\n\nNot recorded.")
    widget.press("j")
    widget.page.get_by_role("button", name="Go to step 10").click()
    assert widget.trait("step") == 10


def test_a_tool_that_was_not_offered_is_pointed_out(show: Show) -> None:
    """A selected tool that is not among the offered ones says so."""
    widget = show(Stepper(sketch(model(calls=(("delete_all", {}),), offered=("search",)))))
    widget.focus()
    widget.press("2")
    assert "delete_all\nchosen, but not among the tools offered" in widget.panel()


def test_state_and_changes_come_from_the_kernel(show: Show) -> None:
    """State and its difference to the step before are asked for when looked at, once; what the step itself wrote stands before it."""
    widget = show(story(step=10))
    assert widget.asked == []
    widget.focus()
    widget.press("4")
    expect(widget.page.locator(".ws-line")).to_have_count(3)
    assert widget.page.locator(".ws-line").all_inner_texts()[:2] == ["−\nmessages\n9", "+\nmessages\n10"]
    assert "+\nerrors[0]" not in widget.panel()
    assert widget.panel().startswith("This step wrote")
    assert "since step 9" in widget.panel().replace("\n", "")
    widget.press("3")
    expect(widget.page.locator(".ws-panel")).to_contain_text('"retryable": true')
    assert widget.asked == [{"ask": "state", "step": 10}]


def test_an_unreadable_state_is_explained(show: Show) -> None:
    """Without a reader, or with one that fails, the pane says why there is no state."""
    widget = show(Stepper(booked_twice()))
    widget.focus()
    widget.press("3")
    expect(widget.page.locator(".ws-panel")).to_contain_text("opened without a reader of checkpoints")


def test_findings(show: Show) -> None:
    """The findings tab gives message, numbers, evidence that leads to its step, and what would refute it."""
    widget = show(story())
    widget.focus()
    widget.press("5")
    text = widget.panel()
    for part in (
        "duplicated-effect",
        "took effect twice",
        "charged_usd\n825.6",
        "$.result.status",
        "What would refute it",
        "Elsewhere in this run",
        "confidence-drift",
    ):
        assert part in text
    widget.page.get_by_role("button", name="Go to step 9").click()
    assert widget.trait("step") == 9
    assert "duplicated-effect" in widget.panel()


def test_raw(show: Show) -> None:
    """The raw tab shows the stored step as JSON."""
    widget = show(story())
    widget.focus()
    widget.press("6")
    expect(widget.page.locator(".ws-panel")).to_contain_text('"span_id": "000000000000000b"')


def test_a_busy_kernel_stops_nothing_but_state(show: Show) -> None:
    """While the kernel doesn't answer one can step and read; state says that it is waited for."""
    widget = show(story())
    widget.busy = True
    widget.focus()
    widget.press("k", "k", "3")
    expect(widget.page.locator(".ws-panel")).to_contain_text(
        "Asked the kernel for the state; it answers when it is free. After a restart, run this cell again."
    )
    widget.press("1", "k", "k")
    assert "Spend $412.80 on NH 11?" in widget.panel()
    widget.press("6")
    expect(widget.page.locator(".ws-panel")).to_contain_text("as this view holds it")


def test_held_keys_ask_the_kernel_once(show: Show) -> None:
    """Stepping quickly with the state tab open asks for the state of the step one stops at, not of those passed."""
    widget = show(story(step=0))
    widget.page.evaluate("window.model.set('tab', 'state')")
    expect(widget.page.locator(".ws-panel")).to_contain_text("State before this step")
    widget.page.wait_for_function("document.querySelector('.ws-panel').textContent.includes('approved')")
    widget.page.evaluate(
        "for (let n = 0; n < 8; n++) document.querySelector('.ws-list').dispatchEvent(new KeyboardEvent('keydown', { key: 'j', bubbles: true }))"
    )
    widget.page.wait_for_function("document.querySelector('.ws-panel').textContent.includes('\"messages\": 8')")
    assert [question["step"] for question in widget.asked] == [0, 8]


def test_twenty_thousand_steps(show: Show) -> None:
    """20,000 steps open with few elements, and any of them is a key away."""
    widget = show(Stepper(long_run()))
    assert widget.page.evaluate("document.querySelectorAll('*').length") < 700
    widget.focus()
    widget.press("End")
    assert widget.trait("step") == 19_999
    expect(widget.page.locator(".ws-panel")).to_contain_text('{"number": 19999}')
    assert {"ask": "step", "step": 19_999} in widget.asked
    assert widget.page.evaluate("document.querySelectorAll('*').length") < 700


def test_a_long_text_is_fetched_in_parts(show: Show) -> None:
    """A line of a million characters is cut, says how much is missing, and comes in parts."""
    widget = show(Stepper(sketch(tool("read", {}, "x" * 1_000_000 + "END"))))
    for left in range(998_003, 0, -100_000):
        expect(widget.page.locator(".ws-more")).to_contain_text(f"… {left:,} more characters")
        widget.page.get_by_role("button", name="Fetch more").click()
    expect(widget.page.locator(".ws-more")).to_have_count(0)
    text = widget.page.locator(".ws-text").last
    assert text.evaluate("(pre) => pre.textContent === 'x'.repeat(1e6) + 'END'")
    assert text.evaluate("(pre) => Math.max(...[...pre.childNodes].map((part) => part.textContent.length))") <= 20_000
    assert widget.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_hostile_text_is_shown_and_does_nothing(show: Show) -> None:
    """Payloads in every field of steps and findings execute nothing, fetch nothing, add no element of theirs, and stand there as text."""
    families = ["\n".join(family) for family in FAMILIES.values()]
    run = hostile_run(families)
    widget = show(Stepper(run, hostile_findings(run, families), state=lambda step: {step.name: {step.name: step.name}}, step=0))
    widget.focus()
    shown = ""
    for _ in run.steps:
        for place, tab in enumerate(TABS, start=1):
            widget.press(str(place))
            if tab in ("state", "changes", "raw"):
                expect(widget.page.locator(".ws-panel")).not_to_contain_text("Asked the kernel")
            shown += widget.panel()
        widget.press("j")
    check_inert(widget, shown, "script, img, iframe, a, style, details, b:not([class]) b")


def test_hidden_characters_are_written_out(show: Show) -> None:
    """Overrides, terminal escapes and zero-width characters appear by their number and never reach the page."""
    text = "invoice\u202egnp.exe \x1b[31m \u200b \U000e0041"
    page = show(Stepper(sketch(tool(text, {text: text}, text)))).page
    expect(page.locator(".ws-label")).to_have_text("invoice⟨U+202E⟩gnp.exe ⟨U+001B⟩[31m ⟨U+200B⟩ ⟨U+E0041⟩")
    assert not page.evaluate("/[\\u202e\\u001b\\u200b]|\\u{e0041}/u.test(document.documentElement.outerHTML)")


def test_an_absurd_clock_is_survived(show: Show) -> None:
    """Steps without times, ending before they start, or from the year 5000 are listed without a broken page."""
    times = ((None, None), (5, 3), (0, 2**62), (10**18, None))
    steps = tuple(Step(index=n, kind="node", name=f"n{n}", started_ns=start, ended_ns=end) for n, (start, end) in enumerate(times))
    widget = show(Stepper(Run(run_id="clock", steps=steps)))
    expect(widget.page.locator(".ws-row")).to_have_count(4)
    assert widget.page.locator(".ws-took").all_inner_texts()[0] == "–"
    assert widget.problems == []


def test_an_empty_run_says_so(show: Show) -> None:
    """A run without steps opens with a sentence instead of rows, and keys do nothing bad."""
    widget = show(Stepper(Run(run_id="empty")))
    widget.focus()
    widget.press("j", "e", "n", "5", "End", "ArrowLeft")
    expect(widget.page.locator(".ws-panel")).to_have_text("This run has no steps.")
    assert widget.problems == []


def test_gaps_in_the_indices_are_kept(show: Show) -> None:
    """A run whose indices have gaps shows and reports those indices, not row numbers."""
    steps = tuple(step.model_copy(update={"index": index}) for step, index in zip(sketch(*[tool("a")] * 3).steps, (3, 7, 20), strict=True))
    widget = show(Stepper(Run(run_id="gaps", steps=steps)))
    widget.focus()
    widget.press("j", "j")
    assert widget.trait("step") == 20
    assert widget.page.locator(".ws-row .ws-index").all_inner_texts() == ["3", "7", "20"]


def test_dragging_over_the_overview_zooms(show: Show) -> None:
    """A drag over the overview limits the time axis to those steps; z takes it back."""
    widget = show(story())
    axis = widget.page.locator(".ws-axis")
    whole = axis.inner_text()
    box = widget.page.locator(".ws-overview").bounding_box()
    assert box
    widget.page.mouse.move(box["x"] + 2, box["y"] + 10)
    widget.page.mouse.down()
    widget.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 10, steps=3)
    widget.page.mouse.up()
    assert axis.inner_text() != whole
    assert widget.trait("step") == 11
    widget.focus()
    widget.press("z")
    assert axis.inner_text() == whole


def test_copying_the_line_of_code(show: Show) -> None:
    """`y` copies the line that opens the view at this step again."""
    widget = show(story())
    widget.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    widget.focus()
    widget.press("k", "y")
    expect(widget.page.locator(".ws-copied")).to_have_text("copied")
    assert widget.page.evaluate("navigator.clipboard.readText()") == 'bench.run("booked-twice").view(step=10)'


def test_closing_lets_go_of_the_model(show: Show) -> None:
    """A view that is taken down leaves no listener behind."""
    page = show(story()).page
    assert page.evaluate("window.listening()") == 7
    page.evaluate("window.dispose()")
    assert page.evaluate("window.listening()") == 0


@pytest.mark.parametrize("width", [1180, 800, 500])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fits_its_width(show: Show, screenshot: Screenshot, theme: str, width: int) -> None:
    """In light and dark, wide and narrow, nothing sticks out and recorded text stands out from its ground."""
    widget = show(story(step=10), theme=theme, width=width, height=900)
    widget.focus()
    widget.press("2")
    screenshot(widget.page.locator(".ws"), f"stepper-{theme}-{width}")
    assert widget.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert min(contrasts(widget)) >= 4.5


def contrasts(widget: Json) -> list[float]:
    """The contrast of every text in the page with the ground behind it (WCAG 2)."""
    return widget.page.evaluate("""() => {
      const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const over = (colour, ground) => {
        canvas.fillStyle = `rgb(${ground.join(" ")})`; canvas.fillRect(0, 0, 1, 1);
        canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
      };
      const ground = (element) => element ? over(getComputedStyle(element).backgroundColor, ground(element.parentElement)) : [255, 255, 255];
      const light = (rgb) => rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
      const written = (element) => element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      const texts = [...document.querySelectorAll(".ws *")].filter(written);
      return texts.filter((element) => !element.closest(":disabled, .ws-glyph")).map((element) => {
        const behind = ground(element);
        const [low, high] = [light(behind), light(over(getComputedStyle(element).color, behind))].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      });
    }""")
