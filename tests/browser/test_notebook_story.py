"""The first notebook in a real JupyterLab: opened, run, read and clicked as the engineer on call would."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import REPOSITORY, Screenshot
from tests.browser.jupyter import Lab, wait_for_kernel

NOTEBOOK = REPOSITORY / "notebooks" / "01_double_booking.ipynb"


@pytest.fixture
def story(lab: Lab) -> Lab:
    """A Lab whose notebooks find the recorded incident one folder up, as in a checkout."""
    if not (lab.folder / "sample_traces").exists():
        shutil.copytree(REPOSITORY / "sample_traces", lab.folder / "sample_traces", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(REPOSITORY / "pyproject.toml", lab.folder / "pyproject.toml")
    return lab


def output_of(page: Page, source: str) -> str:
    """The text that the cell with this source shows."""
    return page.locator(".jp-CodeCell", has_text=source).first.locator(".jp-Cell-outputArea").inner_text()


def test_the_story_can_be_lived_through(story: Lab, screenshot: Screenshot) -> None:
    """The finding is there, the viewer opens at it, a click and a key step on, and the fork books once."""
    page = story.open_notebook(NOTEBOOK)
    assert "book_flight 1 → 2" in output_of(page, "bench.detect()")
    viewer = page.locator(".ws").first
    viewer.scroll_into_view_if_needed()
    expect(viewer.locator(".ws-pane-index")).to_have_text("step 13")
    screenshot(viewer, "step-through", committed=True)
    viewer.locator(".ws-row", has_text="approval").click()
    wait_for_kernel(page, "viewer.step", "10")
    page.keyboard.press("e")
    expect(viewer.locator(".ws-pane-index")).to_have_text("step 11")
    page.keyboard.press("n")
    wait_for_kernel(page, "viewer.step", "13")
    assert "2 → 1" in output_of(page, "comparison.effects")
    assert "live=0" in output_of(page, "control = ")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_output_reads_in_both_themes(story: Lab, screenshot: Screenshot, theme: str) -> None:
    """Each cell's output is photographed, for a person to look at."""
    page = story.open_notebook(NOTEBOOK, theme)
    cells = page.locator(".jp-CodeCell")
    for number in range(cells.count()):
        cell = cells.nth(number)
        cell.scroll_into_view_if_needed()
        assert cell.locator(".jp-OutputArea-output").count() or "import" in cell.inner_text()
        assert screenshot(cell, f"story-{theme}-{number:02d}").stat().st_size > 0
