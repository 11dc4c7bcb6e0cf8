"""The fork panel and approvals in a real JupyterLab: a re-run from the panel while the kernel works, stopped or not, and a yes given while a cell runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import REPOSITORY, Screenshot
from tests.browser.jupyter import START_ALL, Lab, kernel_value, wait_for_kernel

INCIDENT = REPOSITORY / "sample_traces" / "booked_twice"
RECORDED = ("spans.otlp.jsonl", "checkpoints.sqlite")
BENCH = f"""
import workbench as wb
bench = wb.open("fork.db")
_ = bench.ingest({", ".join(repr(name) for name in RECORDED)})
run = bench.run("booked-twice")
at = min(effect.step for effect in run.effects if effect.tool == "book_flight")
"""
VIEWER = "viewer = run.view(step=at)\nviewer"
PANEL = "panel = run.fork_panel(at, graph='sample_traces.travel_agent:graph', trust=True, live=['model'])\npanel"
BOOKED = '{"booking_id": "BK-1001", "status": "confirmed", "charged_usd": 842, "bookings_on_card": ["BK-1001"]}'
ASK = """
from workbench.replay.effects.approvals import Question
place = wb.ask_here(by="Ada")
question = Question(run_id="fork", kind="tool", name="book_flight", effect="effect", guessed=False, arguments={"flight": "NH 11"}, key="book_flight()")
reply = place(question)
"""
OCCUPY = """(code) => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code }); }"""
CELLS = "window.jupyterapp.shell.currentWidget.content.widgets.length"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a notebook of these cells."""

    def written(*sources: str) -> Path:
        path = tmp_path / "fork.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]), path)
        return path

    return written


def opened(lab: Lab, path: Path) -> Page:
    """The notebook, run, beside what was recorded."""
    return lab.open_notebook(path, beside={name: INCIDENT / name for name in RECORDED})


def test_a_fork_from_beginning_to_end(lab: Lab, write: Write, screenshot: Screenshot) -> None:
    """`f` in the stepper opens the panel below; one edits the recorded result, re-runs while a cell runs, and gets a receipt and a cell to compare."""
    page = opened(lab, write(BENCH, VIEWER))
    page.locator(".ws-list").focus()
    page.keyboard.press("f")
    editor = page.locator(".ws-editor")
    expect(page.get_by_label("Step to fork at")).to_be_focused()
    editor.scroll_into_view_if_needed()
    kernel_value(page, "[setattr(viewer.forked, *one) for one in (('graph', 'sample_traces.travel_agent:graph'), ('live', ['model']))]")
    expect(page.locator(".ws-ahead")).to_contain_text("answered by your change")
    expect(page.locator(".ws-ahead")).to_contain_text("never called: book_flight")
    editor.fill(BOOKED)
    for key in ("x", "d", "d", "Shift+Enter"):
        page.get_by_role("radio", name="tool result").focus()
        page.keyboard.press(key)
    assert page.evaluate(CELLS) == 2
    page.get_by_role("button", name="Re-run").click()
    page.evaluate(OCCUPY, "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)")
    expect(page.locator(".ws-result .ws-verdict")).to_have_text("✓ clean receipt", timeout=60_000)
    folder = page.evaluate("window.jupyterapp.shell.currentWidget.context.path").split("/")[0]
    (lab.folder / folder / "go").touch()
    wait_for_kernel(page, "viewer.forked.stage, viewer.forked.fork.receipt.clean, viewer.forked.fork.run_id", "('done', True, 'booked-twice~1')")
    screenshot(page, "lab-fork-panel")
    page.set_viewport_size({"width": 1280, "height": 1500})
    screenshot(page.locator(".ws-fork"), "fork-panel", committed=True)
    page.locator(".ws-next-line", has_text="compare").get_by_role("button", name="Insert").click()
    assert page.evaluate(CELLS) == 3
    assert kernel_value(page, "viewer.forked.text") == repr(BOOKED)


def test_stop_ends_a_rerun(lab: Lab, write: Write) -> None:
    """A re-run that hangs is stopped with a button, and what is kept says who stopped it."""
    page = opened(lab, write(BENCH, PANEL.replace("live=['model']", 'kind=\'fault\', text=\'{"kind": "slow", "seconds": 900}\'')))
    page.get_by_role("button", name="Re-run").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".ws-result .ws-verdict")).to_have_text("✕ receipt not clean", timeout=60_000)
    wait_for_kernel(page, "panel.fork.run.status, panel.fork.receipt.outcome == f'stopped: by {panel.by}'", "('cancelled', True)")


def test_a_person_answers_while_the_cell_runs(lab: Lab, write: Write, screenshot: Screenshot) -> None:
    """A cell that asks before something goes live waits for the click, which reaches it although it occupies the kernel; Enter answers nothing."""
    page = lab.open_notebook(write(BENCH.splitlines()[1], ASK), run=False)
    page.evaluate(START_ALL)
    approve = page.get_by_role("button", name="Approve")
    approve.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("waits for you since")
    screenshot(page.locator(".ws-ask-here"), "approval", committed=True)
    page.get_by_label("Note on book_flight").fill("customer agreed")
    approve.focus()
    page.keyboard.press("Space")
    page.wait_for_function("() => window.ran", timeout=60_000)
    assert kernel_value(page, "reply") == "Reply(approved=True, by='Ada', says='customer agreed')"
    expect(page.locator(".ws-said")).to_contain_text("✓ approved by Ada")
    assert page.evaluate(CELLS) == 2
