"""The fork panel, approvals, receipt and comparison alone in a page: typing, keys, what is sent, hostile text, light and dark."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screenshot, Show
from tests.browser.forked import Recorded, exchange, forked, question, receipt
from tests.browser.page import WidgetPage
from tests.browser.runs import PAYLOADS, booked_twice, hostile_run
from workbench.model import Change, Step
from workbench.replay.effects.approvals import Reply
from workbench.results.compared import Compared
from workbench.sketch import model, sketch, tool
from workbench.widgets import AskHere, ForkPanel, ReceiptView
from workbench.widgets.excerpt import visible

BOOKED = '{"booking_id": "BK-1001", "status": "confirmed"}'


def panel() -> ForkPanel:
    """A fork of the flight booked twice, at the first booking."""
    return ForkPanel(Recorded(), 9, live=["model"], by="Ada")


def ended(here: WidgetPage) -> None:
    """Wait until the re-run that was just asked for has been heard of, and has ended."""
    here.until(lambda: any(one["ask"] == "rerun" for one in here.asked))
    here.widget.wait(10)
    hear(here)


def hear(here: WidgetPage) -> None:
    """Let the page hear what changed in Python."""
    here.page.evaluate("window.keep({}).then((news) => Object.entries(news).forEach(([name, value]) => model.set(name, value)))")


# ---- the editor


def test_typing_is_checked_and_compared_and_sends_nothing(show: Show) -> None:
    """While one types, the page says what is no JSON and where, and what differs from the recording, and tells the kernel nothing."""
    here = show(panel())
    asked = len(here.asked)
    here.page.locator(".ws-editor").focus()
    here.page.keyboard.press("Control+a")
    here.page.keyboard.type('{"booking_id": "BK-1001",\n"status": confirmed}')
    expect(here.page.locator(".ws-check")).to_have_text("✕ line 2, column 11: confirmed is no JSON: texts stand in double quotes")
    expect(here.page.get_by_role("button", name="Re-run")).to_be_disabled()
    expect(here.page.locator(".ws-difference")).to_contain_text("payment API gave no answer")
    here.page.locator(".ws-editor").evaluate(f"(field) => {{ field.value = {BOOKED!r}; }}")
    here.page.keyboard.press("End")
    here.page.keyboard.type(" ")
    expect(here.page.locator(".ws-check")).to_have_text("✓ valid JSON")
    expect(here.page.locator(".ws-difference .ws-added")).to_contain_text("BK-1001")
    assert (len(here.asked), here.page.evaluate("window.saves ?? 0")) == (asked, 0)


@pytest.mark.parametrize(
    "text",
    [
        BOOKED,
        '{"k\u202e\'\\"": ["\\"); import os", "\\u0000\\n\\t", null, true, false, 1.50, -2e3], "😀": {}, "": []}',
        '"plain"',
        "12345678901234567890123",
        '{"__proto__": 1, "constructor": {"a": []}}',
    ],
)
def test_the_line_of_code_is_that_of_python(show: Show, text: str) -> None:
    """The line that the browser writes as one types is a call whose literals are those of Python's own line, whatever stands in them."""
    here = show(panel())
    here.page.locator(".ws-editor").fill(text)
    shown = here.page.locator(".ws-foot .ws-code")
    expect(shown).to_contain_text("tool_result")
    expect(here.page.locator(".ws-check")).to_have_text("✓ valid JSON")
    here.drawn()
    said = shown.inner_text()
    here.page.get_by_role("button", name="Re-run").click()
    ended(here)
    assert ast.dump(ast.parse(said)) == ast.dump(ast.parse(here.widget.code))
    assert visible(said) == said


def test_a_context_stands_in_the_line_of_code(show: Show) -> None:
    """A context given by hand is part of the line as one types, as in Python's own; what is no JSON is marked."""
    here = show(panel())
    here.page.get_by_text("Budget and graph").click()
    field, shown = here.page.get_by_label("Context the graph is started with, as JSON"), here.page.locator(".ws-foot .ws-code")
    field.fill('{"user": "ada')
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill('{"user": "ada"}')
    expect(shown).to_contain_text('context={"user": "ada"}')
    here.drawn()
    said = shown.inner_text()
    here.page.locator(".ws-editor").fill("null")
    here.page.get_by_role("button", name="Re-run").click()
    ended(here)
    assert here.widget.context == '{"user": "ada"}'
    assert ast.dump(ast.parse(said)) == ast.dump(ast.parse(here.widget.code))


def test_a_rerun_is_one_message_and_shows_what_came_of_it(show: Show) -> None:
    """Re-run, pressed with Space, sends text and choices at once; then the verdict, the effects and the lines to go on with stand there."""
    here = show(panel())
    here.page.locator(".ws-editor").fill(BOOKED)
    here.page.get_by_role("button", name="Re-run").focus()
    before = len(here.asked)
    here.press("Space")
    ended(here)
    sent = [one for one in here.asked[before:] if one["ask"] == "rerun"]
    assert [(one["text"], one["live"], one["kind"]) for one in sent] == [(BOOKED, ["model"], "tool_result")]
    expect(here.page.locator(".ws-result .ws-verdict")).to_have_text("✓ clean receipt")
    expect(here.page.locator(".ws-result")).to_contain_text('bench.run("booked-twice~1").view()')
    expect(here.page.locator(".ws-result .ws-table")).to_contain_text("answered by the edit")


def test_an_http_call_is_chosen_and_changed(show: Show) -> None:
    """Choosing one of a node's HTTP calls puts its recorded answer into the editor; a fault button keeps the call that is named."""
    recorded = Recorded(sketch(Step(index=0, kind="node", name="quote", node="quote"), model("Done.")))
    recorded.calls[0] = [exchange("GET", "rate", '{"rate": 1.5}'), exchange("POST", "quote", "accepted")]
    here = show(ForkPanel(recorded, 0))
    editor = here.page.locator(".ws-editor")
    here.page.get_by_role("radio", name="HTTP answer").check()
    expect(editor).to_have_value('{\n  "call": "GET https://api.example/rate",\n  "status": 200,\n  "json": {"rate": 1.5}\n}')
    here.page.get_by_label("HTTP call to change").select_option(label="1 POST https://api.example/quote")
    expect(editor).to_have_value('{\n  "call": "POST https://api.example/quote",\n  "status": 200,\n  "body": "accepted"\n}')
    expect(here.page.locator(".ws-difference")).to_have_text("The same as recorded.")
    editor.fill('{"call": "POST https://api.example/quote", "body": "refused"}')
    expect(here.page.locator(".ws-difference")).to_contain_text("refused")
    here.page.get_by_role("radio", name="fault").check()
    here.page.get_by_label("HTTP call to change").select_option(label="1 POST https://api.example/quote")
    here.page.get_by_role("button", name="The call meets: slow").click()
    expect(editor).to_have_value('{"kind": "slow", "seconds": 5, "call": "POST https://api.example/quote"}')


def test_choices_are_made_with_keys_alone(show: Show) -> None:
    """Arrows choose what changes, Space what goes live; the forecast follows, and a draft is there again when one comes back."""
    here = show(ForkPanel(Recorded(), 9))
    expect(here.page.locator(".ws-ahead")).to_contain_text("the fork halts there")
    here.page.locator(".ws-editor").fill(BOOKED)
    here.page.get_by_role("radio", name="tool result").focus()
    here.press("ArrowRight")
    assert here.trait("kind") == "state"
    expect(here.page.get_by_label("Put a channel into the editor")).to_be_visible()
    here.page.get_by_label("Put a channel into the editor").select_option("budget")
    expect(here.page.locator(".ws-difference")).to_contain_text("The same as recorded.")
    here.page.get_by_role("radio", name="state").focus()
    here.press("ArrowLeft")
    expect(here.page.locator(".ws-editor")).to_have_value(BOOKED)
    here.page.get_by_label("the model, inside the sandbox").focus()
    here.press("Space")
    expect(here.page.locator(".ws-ahead")).to_contain_text("thinks anew, inside the sandbox")
    expect(here.page.locator(".ws-foot .ws-code")).to_contain_text('live=["model"]')
    assert here.trait("live") == ["model"]


def test_python_sets_what_the_panel_shows(show: Show) -> None:
    """What is set from Python stands in the editor and among the choices."""
    here = show(panel())
    here.page.evaluate("model.set('text', '5'); model.set('kind', 'fault'); model.set('budget', { usd: 0.5 })")
    expect(here.page.locator(".ws-editor")).to_have_value("5")
    expect(here.page.get_by_role("radio", name="fault")).to_be_checked()
    expect(here.page.get_by_label("At most US$")).to_have_value("0.5")


def test_a_busy_kernel_blocks_nothing(show: Show) -> None:
    """With the kernel busy one edits, checks and compares as before."""
    here = show(panel())
    here.busy = True
    here.page.get_by_role("radio", name="system prompt").check()
    here.page.locator(".ws-editor").fill("Be brief.")
    expect(here.page.locator(".ws-check")).to_have_text("✓ text, 9 characters")
    expect(here.page.locator(".ws-foot .ws-code")).to_contain_text('system="Be brief."')


def test_what_is_typed_stays_while_other_things_are_drawn(show: Show) -> None:
    """Text typed before the next frame, or before an answer of the kernel, stands; a new text of the kernel's own replaces it."""
    here = show(panel())
    here.page.get_by_role("radio", name="system prompt").evaluate(
        """(radio) => {
          radio.click();
          const field = document.querySelector(".ws-editor");
          field.value = "Be brief.";
          field.dispatchEvent(new Event("input"));
        }"""
    )
    here.drawn()
    expect(here.page.locator(".ws-editor")).to_have_value("Be brief.")
    here.page.evaluate('model.set("seconds", 77)')
    here.drawn()
    expect(here.page.locator(".ws-editor")).to_have_value("Be brief.")
    expect(here.page.locator(".ws-foot .ws-code")).to_contain_text('system="Be brief."')
    here.widget.text = "Be kind."
    hear(here)
    expect(here.page.locator(".ws-editor")).to_have_value("Be kind.")


# ---- approvals


@contextmanager
def asking(place: AskHere) -> Iterator[list[Reply]]:
    """A re-run that waits for an answer in its thread; what it was told is in the list afterwards."""
    told, shown = list[Reply](), threading.Event()
    place.observe(lambda change: change["new"] and shown.set(), "_waiting")
    thread = threading.Thread(target=lambda: told.append(place(question(already=("The recorded run did the same at step 9 (done)",)))))
    thread.start()
    assert shown.wait(10)
    yield told
    thread.join(10)


def test_enter_answers_nothing_and_space_does(show: Show, screenshot: Screenshot) -> None:
    """The question shows arguments with hidden characters written out and both keys; Enter on Approve does nothing, Space approves with the note."""
    place = AskHere(by="Ada")
    with asking(place) as told:
        here = show(place)
        box = here.page.get_by_role("alert")
        expect(box.locator("pre")).to_have_text('{"flight": "NH 11", "note": "für⟨U+202E⟩Ada"}')
        expect(box).to_contain_text("The recorded run did the same at step 9 (done)")
        expect(box).to_contain_text("the tool takes none: the other side can't tell a repetition")
        expect(box).to_contain_text("a guess by its name")
        screenshot(here.page, "approval")
        here.page.get_by_label("Note on book_flight").fill("customer agreed")
        here.press("Enter")
        approve = here.page.get_by_role("button", name="Approve")
        approve.focus()
        here.press("Enter")
        assert (told, here.asked) == ([], [])
        here.press("Space")
        expect(approve).to_be_disabled()
        here.until(lambda: told)
    assert told == [Reply(True, "Ada", "customer agreed")]
    hear(here)
    expect(here.page.get_by_role("alert")).to_have_count(0)
    expect(here.page.locator(".ws-said")).to_contain_text("✓ approved by Ada")


# ---- receipt


def test_the_receipt_opens_its_parts_with_keys(show: Show) -> None:
    """The verdict stands first with its reason; number keys open the parts, failed checks stand first, and calls can be filtered."""
    here = show(ReceiptView(receipt(clean=False)))
    expect(here.page.locator(".ws-verdict-box")).to_have_text("✕ not cleannothing halted: 1 halted: tool cancel_booking.")
    expect(here.page.locator("tbody tr").first).to_contain_text("a call had no recorded answer")
    here.page.locator(".ws-panel").focus()
    for key, says in (("2", "recording of step 4"), ("3", "2"), ("4", "Done for real"), ("5", "Isolation in full")):
        here.press(key)
        expect(here.page.locator(".ws-panel")).to_contain_text(says)
    here.press("2")
    here.page.get_by_role("button", name="Show only calls that were halted").click()
    expect(here.page.locator("tbody tr")).to_have_count(1)
    assert (here.trait("part"), here.trait("only")) == ("calls", "halted")
    expect(here.page.locator(".ws-foot .ws-code")).to_have_text(here.widget.code)


# ---- comparison


def test_nothing_above_the_rows_is_cut_off_where_there_is_little_room(show: Show) -> None:
    """At 720 px what each run came to and every act with its counts end within the view."""
    page = show(Compared(booked_twice(), forked(booked_twice())).view(), width=720).page
    expect(page.locator(".ws-outcome")).to_have_count(2)
    assert page.locator(".ws-compare-head").evaluate("(head) => head.scrollWidth <= head.clientWidth")


def test_differences_are_gone_through_with_keys(show: Show) -> None:
    """The view opens at the first divergence; brackets go to the next and previous one, around the end, and arrows unfold what is the same."""
    here = show(Compared(booked_twice(), forked(booked_twice())).view())
    here.focus()
    chosen = here.page.locator(".ws-row[aria-selected=true]")
    expect(chosen).to_contain_text("first divergence")
    expect(here.page.locator(".ws-panel")).to_contain_text("TimeoutError: payment API gave no answer")
    for key, row in (("]", 10), ("]", 11), ("]", 9), ("[", 11), ("j", 12), ("Home", 0)):
        here.press(key)
        assert here.trait("row") == row
    expect(chosen).to_contain_text("9 steps the same")
    here.press("ArrowRight")
    expect(here.page.locator(".ws-row")).to_have_count(14)
    here.press("j")
    assert (here.trait("row"), here.trait("unfolded")) == (1, [0])
    here.press("ArrowLeft")
    assert (here.trait("row"), here.trait("unfolded")) == (0, [])
    here.press("]", "s")
    assert here.trait("inline") is True
    expect(here.page.locator(".ws-foot .ws-code")).to_have_text(here.widget.code)


def test_ids_and_times_are_left_out_on_request(show: Show) -> None:
    """`w` aligns the runs without ids and times, and again with them; words that differ are marked."""
    runs = [sketch(tool("search", {"to": "OSA"}, {"request_id": f"r-{n}", "note": f"the seat {n} is free"}), model("done"), run_id=f"run-{n}") for n in (1, 2)]
    here = show(Compared(*runs).view())
    here.focus()
    expect(here.page.locator("del")).to_have_text(["1", "1"])
    here.press("w")
    expect(here.page.locator("del")).to_have_text(["1"])
    expect(here.page.locator(".ws-foot .ws-code")).to_contain_text('ignore=["ids", "times"]')
    here.press("w")
    expect(here.page.locator("del")).to_have_count(2)


def test_texts_that_share_nothing_are_shown_whole(show: Show) -> None:
    """Of two texts that have only spaces and signs in common each is marked as a whole, not word by word."""
    runs = [sketch(model(said), run_id=said[:4]) for said in ("TimeoutError: POST /bookings timed out", '{"booking": "BK-1", "status": "ok"}')]
    here = show(Compared(*runs).view(inline=True))
    expect(here.page.locator(".ws-panel del")).to_have_text(["TimeoutError: POST /bookings timed out"])
    expect(here.page.locator(".ws-panel ins")).to_have_count(1)


# ---- all of them


def views() -> dict[str, object]:
    """Each view over what an attacker wrote."""
    run = hostile_run()
    backwards = tuple(step.model_copy(update={"index": number}) for number, step in enumerate(reversed(run.steps)))
    other = run.model_copy(update={"run_id": PAYLOADS[3], "steps": backwards})
    text = "".join(PAYLOADS)
    wrong = receipt(clean=False, run_id=text, outcome=text, isolation=text, notes=PAYLOADS, change=Change(kind="system", value=text), divergences=PAYLOADS)
    recorded = Recorded(run, state={payload: payload for payload in PAYLOADS})
    return {"fork": ForkPanel(recorded, 0), "receipt": ReceiptView(wrong, part="effects"), "comparison": Compared(run, other).view(unfolded=[0])}


@pytest.mark.parametrize("name", ["fork", "receipt", "comparison"])
def test_hostile_text_does_nothing(show: Show, name: str) -> None:
    """Whatever a recording says is text: no script runs, nothing is fetched, and the page has no element that it could have made."""
    here = show(views()[name])
    if name == "fork":
        here.page.get_by_role("radio", name="state").check()
        expect(here.page.get_by_label("Put a channel into the editor")).to_be_visible()
    here.page.wait_for_timeout(150)
    assert here.page.evaluate("window.pwned") is None
    assert here.page.locator(".ws :is(script, img, a, iframe, style, svg, object, form)").count() == 0
    assert (here.foreign, here.problems) == ([], [])
    assert "<script>" in here.page.content() or "&lt;script&gt;" in here.page.content()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1180, 800])
def test_looks(show: Show, screenshot: Screenshot, theme: str, width: int) -> None:
    """Each view fits its width in light and dark, with every control in the page and every focusable one kept from Lab's shortcuts."""
    compared = Compared(booked_twice(), forked(booked_twice())).view()
    for name, widget in {"fork-panel": panel(), "receipt": ReceiptView(receipt()), "comparison": compared}.items():
        here: WidgetPage = show(widget, theme=theme, width=width)
        screenshot(here.page, f"{name}-{theme}-{width}")
        assert here.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert here.page.locator(".ws :is(button, input, select, textarea, summary, [tabindex='0']):not([data-lm-suppress-shortcuts])").count() == 0
        here.page.close()
