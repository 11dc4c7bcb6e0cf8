"""The list of runs in a real JupyterLab: it opens a run below itself, hands the keys on, and a click becomes a cell."""

from __future__ import annotations

from pathlib import Path

import nbformat
from playwright.sync_api import expect

from tests.browser.conftest import Screenshot
from tests.browser.jupyter import Lab, kernel_value, wait_for_kernel

SOURCES = ("from tests.browser.populations import run_list\nview = run_list(60)\nview", "'a cell that must survive'")
CELLS = "window.jupyterapp.shell.currentWidget.model.toJSON().cells.map((cell) => cell.source)"


def test_a_run_opens_below_in_the_same_output(lab: Lab, tmp_path: Path, screenshot: Screenshot) -> None:
    """Enter opens the chosen run below, and `f` what stands below that; the keys go there; `Y` makes a cell of either's line; Lab takes none of them."""
    path = tmp_path / "runs.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(SOURCES)]), path)
    page = lab.open_notebook(path, "light")
    page.locator(".rl .ws-list").focus()
    for key in ("j", "j", "c", "x", "d", "d", "Enter"):
        page.keyboard.press(key)
    chosen = kernel_value(page, "view.run_ids[2]").strip("'")
    wait_for_kernel(page, "(view.run_id, view.marked)", f"('{chosen}', ['{chosen}'])")
    expect(page.locator(".ws-pane-index")).to_have_text("step 11")
    expect(page.get_by_role("tree", name="Steps in time order")).to_be_focused()
    page.keyboard.press("k")
    wait_for_kernel(page, "view.opened.step", "10")
    screenshot(page, "lab-run-list")
    page.keyboard.press("Y")
    page.keyboard.press("f")
    expect(page.locator(".ws-opening").nth(1)).to_have_text("the fork panel is below")
    expect(page.locator(".ws-list").nth(2)).to_be_focused()
    page.locator(".rl .ws-list").focus()
    page.keyboard.press("j")
    page.keyboard.press("Y")
    following = kernel_value(page, "view.run_ids[3]").strip("'")
    assert page.evaluate(CELLS) == [SOURCES[0], f'bench.run("{following}").view()', f'bench.run("{chosen}").view(step=10)', SOURCES[1]]
