"""A headless Chromium for tests, pages that hold just one widget, and a real JupyterLab.

- `browser`: one Chromium for this folder; Playwright's event loop must be gone before tests elsewhere run their own. It can reach 127.0.0.1
  and nothing else, which proves that what is tested works offline.
- `show(widget)`: the widget alone in a page, behind a fake model that asks the Python object itself. About a second a test.
- `lab`: one JupyterLab for this folder. `lab.open_notebook(path)` runs a copy of a notebook in it. Several seconds a test.
- `screenshot(page, name)`: writes `tests/screenshots/NAME.png` (not committed). With `committed=True` and `REFRESH_SCREENSHOTS=1` in the
  environment it writes `docs/NAME.png` too: so the README's pictures are refreshed by `REFRESH_SCREENSHOTS=1 pytest -m browser`.

Where Chromium is missing these tests skip and say so. `CHROMIUM` may name one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anywidget import AnyWidget
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.browser.jupyter import Lab, start_lab
from tests.browser.page import WidgetPage

REPOSITORY = Path(__file__).parents[2]
SCREENSHOTS = REPOSITORY / "tests" / "screenshots"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
TIMEOUT_MS = 20_000
expect.set_options(timeout=TIMEOUT_MS)

Screenshot = Callable[..., Path]
Show = Callable[..., WidgetPage]


def find_chromium() -> str | None:
    """The Chromium to use: what `CHROMIUM` names, else the first known name on the path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next((found for name in names if (found := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder `browser`."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember a failure, so that the page can be photographed before it closes."""
    report = yield
    if call.when == "call":
        item.stash[FAILED] = report.failed
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One headless Chromium with a profile of its own."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("NO CHROMIUM: nothing that a person sees and clicks was tested. Install chromium, or let CHROMIUM name one.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A new browser context a test; its pages are photographed when the test fails."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light", locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
    context.set_default_timeout(TIMEOUT_MS)
    yield context
    if request.node.stash.get(FAILED, False):
        SCREENSHOTS.mkdir(exist_ok=True)
        for number, page in enumerate(context.pages):
            page.screenshot(path=SCREENSHOTS / f"failed-{request.node.name}-{number}.png")
    context.close()


@pytest.fixture
def show(context: BrowserContext) -> Show:
    """Open a widget alone in a page: `show(widget, theme="dark", width=800)`."""

    def open_page(widget: AnyWidget, *, theme: str = "light", width: int = 1180, height: int = 760) -> WidgetPage:
        page = context.new_page()
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": height})
        return WidgetPage.open(page, widget)

    return open_page


@pytest.fixture
def screenshot() -> Screenshot:
    """Photograph a page or a part of one."""

    def write(target: Page | Locator, name: str, *, committed: bool = False) -> Path:
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        target.screenshot(path=path)
        if committed and os.environ.get("REFRESH_SCREENSHOTS") == "1":
            docs = REPOSITORY / "docs"
            docs.mkdir(exist_ok=True)
            shutil.copyfile(path, docs / path.name)
        return path

    return write


@pytest.fixture(scope="package")
def lab_server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab a session, on a free loopback port, with folders of its own."""
    with start_lab(tmp_path_factory.mktemp("lab"), REPOSITORY) as lab:
        yield lab


@pytest.fixture
def lab(lab_server: Lab, context: BrowserContext) -> Iterator[Lab]:
    """The JupyterLab with this test's browser context; kernels it started are shut down afterwards."""
    with contextlib.closing(lab_server.within(context)) as lab:
        yield lab
