"""The step-through view in a real JupyterLab: it opens, follows keys and clicks, tells the kernel, and Lab keeps its hands off our keys."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Screenshot
from tests.browser.jupyter import Lab, kernel_value, wait_for_kernel

SOURCES = (
    "from tests.browser.runs import booked_twice, twice_findings, twice_state\nfrom workbench.widgets import Stepper",
    "run = booked_twice()\nview = Stepper(run, twice_findings(run), state=twice_state)\nview",
    "'a cell that must survive'",
)
OCCUPY = """(code) => {
  window.running = true;
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code }).done.then(() => { window.running = false; });
}"""
CELLS = "window.jupyterapp.shell.currentWidget.content.widgets.length"


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook of three cells, the second of which shows a view."""
    path = tmp_path / "stepper.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(SOURCES)]), path)
    return path


def open_view(lab: Lab, notebook: Path, theme: str = "light") -> Page:
    """The notebook, run, with its view in sight."""
    page = lab.open_notebook(notebook, theme)
    page.locator(".ws").scroll_into_view_if_needed()
    return page


def test_keys_and_clicks_reach_the_kernel(lab: Lab, notebook: Path) -> None:
    """What is clicked and pressed arrives in the kernel's traits, what Python sets arrives in the page, and `code` repeats it."""
    page = open_view(lab, notebook)
    wait_for_kernel(page, "view.step", "11")
    page.locator(".ws-row", has_text="search_hotels").click()
    wait_for_kernel(page, "view.step", "5")
    for key, step in (("j", 6), ("j", 7), ("k", 6), ("e", 9), ("n", 10)):
        page.keyboard.press(key)
        expect(page.locator(".ws-pane-index")).to_have_text(f"step {step}")
    wait_for_kernel(page, "view.step", "10")
    page.keyboard.press("4")
    expect(page.locator(".ws-line").first).to_have_text("−messages9")
    wait_for_kernel(page, "view.tab", "'changes'")
    kernel_value(page, "setattr(view, 'step', 2)")
    expect(page.locator(".ws-pane-index")).to_have_text("step 2")
    assert kernel_value(page, "view.code") == '\'bench.run("booked-twice").view(step=2, tab="changes")\''


def test_a_line_of_code_becomes_a_cell(lab: Lab, notebook: Path) -> None:
    """The button *insert cell* puts the line that repeats what was done into a cell right below the view, not run, and `Y` does so too."""
    page = open_view(lab, notebook)
    page.get_by_role("button", name="Insert cell").click()
    expect(page.locator(".ws-copied")).to_have_text("inserted below")
    page.locator(".ws-list").focus()
    page.keyboard.press("k")
    page.keyboard.press("Y")
    cells = page.evaluate("window.jupyterapp.shell.currentWidget.model.toJSON().cells.map((cell) => [cell.source, cell.execution_count ?? null])")
    lines = [[f'bench.run("booked-twice").view(step={step})', None] for step in (10, 11)]
    assert cells[2:4] == lines
    assert cells[4][0] == SOURCES[2]


def test_held_keys_are_not_thrown_back(lab: Lab, notebook: Path) -> None:
    """Thirty quick key presses all count, and the kernel ends where the page does."""
    page = open_view(lab, notebook)
    page.locator(".ws-list").focus()
    page.keyboard.press("Home")
    for key in "jjjjjjjjjjkkkkkjjjjjjjkkkkjjj":
        page.keyboard.press(key)
    expect(page.locator(".ws-pane-index")).to_have_text("step 11")
    wait_for_kernel(page, "view.step", "11")
    expect(page.locator(".ws-pane-index")).to_have_text("step 11")


def test_lab_steals_no_keys(lab: Lab, notebook: Path) -> None:
    """With the focus anywhere in the view, `x`, `d d`, `b` and Shift+Enter neither delete, add nor run a cell; Ctrl+S still saves."""
    page = open_view(lab, notebook)
    count = page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets[1].model.executionCount")
    for selector in (".ws-list", ".ws-button", ".ws-slider", "[role=tab][aria-selected=true]", ".ws-panel"):
        page.locator(selector).first.focus()
        for key in ("x", "d", "d", "b", "Shift+Enter"):
            page.keyboard.press(key)
    page.locator(".ws-search").focus()
    page.keyboard.type("dd x")
    assert page.evaluate(CELLS) == len(SOURCES)
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets[1].model.executionCount") == count
    assert page.locator(".ws-search").input_value() == "dd x"
    page.evaluate("window.jupyterapp.shell.currentWidget.context.saveState.connect((_, state) => { window.saved = state; })")
    page.locator(".ws-list").focus()
    page.keyboard.press("Control+s")
    page.wait_for_function("window.saved === 'completed'")


def test_stepping_works_while_a_cell_runs(lab: Lab, notebook: Path) -> None:
    """With the kernel busy one steps and reads as before, and the kernel learns of it when it is free."""
    page = open_view(lab, notebook)
    page.evaluate(OCCUPY, "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)")
    page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")
    page.locator(".ws-list").focus()
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect(page.locator(".ws-panel")).to_contain_text("payment API gave no answer")
    assert page.evaluate("window.running")
    folder = page.evaluate("window.jupyterapp.shell.currentWidget.context.path").split("/")[0]
    (lab.folder / folder / "go").touch()
    wait_for_kernel(page, "view.step", "9")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_takes_on_labs_theme(lab: Lab, notebook: Path, screenshot: Screenshot, theme: str) -> None:
    """The view takes its ground and ink from Lab's theme, whatever the operating system prefers."""
    page = open_view(lab, notebook, theme)
    page.locator(".ws-list").focus()
    page.keyboard.press("5")
    expect(page.locator(".ws-finding").first).to_be_visible()
    screenshot(page, f"lab-stepper-{theme}")
    screenshot(page.locator(".ws"), f"stepper-{theme}")
    ground = page.evaluate("getComputedStyle(document.querySelector('.ws')).colorScheme")
    assert ground == theme


def test_a_saved_notebook_reads_without_its_kernel(lab: Lab, notebook: Path) -> None:
    """The saved output holds the static form beside the live one."""
    page = open_view(lab, notebook)
    outputs = page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets[1].model.outputs.toJSON()")
    page_html = "".join(outputs[0]["data"]["text/html"])
    assert "duplicated-effect" in page_html
    assert "booked-twice" in "".join(outputs[0]["data"]["text/plain"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_names_and_keys_stay_on_their_lines(lab: Lab, notebook: Path, screenshot: Screenshot, theme: str) -> None:
    """Lab's own rules squeeze neither the names of a finding's numbers nor the list of keys: each name is wider than high and starts beside its value."""
    page = open_view(lab, notebook, theme)
    page.locator(".ws-list").focus()
    page.keyboard.press("5")
    page.keyboard.press("?")
    names = page.locator(".ws-pairs > b")
    expect(names).to_have_count(14)
    screenshot(page.locator(".ws"), f"lab-pairs-{theme}")
    for name in names.all():
        text, one, other = name.inner_text(), name.bounding_box(), name.locator("xpath=following-sibling::span[1]").bounding_box()
        assert one
        assert other
        assert one["width"] >= 6 * min(3, len(text)), f"{text} is {one['width']} px wide"
        assert one["height"] <= 22, f"{text} is {one['height']} px high"
        assert abs(one["y"] - other["y"]) < 4, f"{text} stands {other['y'] - one['y']} px from its value"
