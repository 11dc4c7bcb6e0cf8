"""Hostile text in a real JupyterLab, whose own Markdown, sanitizer and MathJax have a go at what our values show."""

from __future__ import annotations

from pathlib import Path

import nbformat
from playwright.sync_api import expect

from tests.browser.jupyter import Lab

SOURCES = (
    "from IPython.display import HTML, Math\nMath('x')",
    "from tests.browser.runs import hostile_run, hostile_findings\nfrom workbench.report import static\nrun = hostile_run()\nfound = hostile_findings(run)",
    "HTML(static.run_html(run, found))",
    "HTML(static.findings_html(found))",
    "from workbench.widgets import fallback\nHTML(fallback.as_html(run, found, 3, 'code'))",
)


def test_lab_makes_nothing_of_a_hostile_run(lab: Lab, tmp_path: Path) -> None:
    """Static views of a hostile run stay text in JupyterLab: no formula, no link, no image, nothing run, nothing fetched."""
    path = tmp_path / "hostile.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(SOURCES)]), path)
    page = lab.open_notebook(path)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page.locator("mjx-container")).not_to_have_count(0)  # MathJax is at work: the first cell shows a formula
    ours = page.locator(".jp-OutputArea-output.jp-RenderedHTML:has(table)")
    expect(ours).to_have_count(3)
    ours.locator("details").evaluate_all("(every) => every.forEach((one) => { one.open = true; })")
    assert ours.locator("mjx-container, a, img, svg, script, iframe, math").count() == 0
    assert page.evaluate("window.pwned || []") == []
    assert not [url for url in asked if not url.startswith(lab.url)]
