"""What the views send and how long they take, over 20,000 spans and 20,000 runs: bytes at open, first paint, milliseconds a step.

    python -m tests.bench.views

Each view is alone in a page, behind the fake model of the browser tests, so that only its own work is measured: no notebook, no comm. A step is a key, the
rows and the pane drawn anew and the layout that follows; its time is the browser's own. Needs Chromium.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import FLAGS, find_chromium
from tests.browser.page import WidgetPage
from tests.browser.populations import run_list
from tests.browser.runs import long_run
from tests.browser.test_tree_page import twenty_thousand
from workbench.widgets import Stepper, packing
from workbench.widgets.opening import Opener

ROUNDS, PRESSES = 3, 60
VIEWS: tuple[tuple[str, Callable[[], Opener], Sequence[str], str], ...] = (
    ("20,000 steps", lambda: Stepper(long_run()), ("j",), "at most 1,000 kB, 1 s, 50 ms"),
    ("20,000 spans as a tree", lambda: twenty_thousand(every_span=True), ("j",), "at most 1,000 kB, 1 s, 50 ms"),
    ("20,000 runs", lambda: run_list(20_000), ("j",), "at most 400 kB, 1 s, 50 ms"),
)
STEP = """async ([keys, presses]) => {
  const list = document.querySelector(".ws-list");
  const took = [];
  for (let press = 0; press < presses; press++) {
    const began = performance.now();
    list.dispatchEvent(new KeyboardEvent("keydown", { key: keys[press % keys.length], bubbles: true }));
    document.body.getBoundingClientRect();
    took.push(performance.now() - began);
    await new Promise(requestAnimationFrame);
  }
  return took;
}"""


def measured(page: Page, view: Opener, keys: Sequence[str]) -> tuple[float, list[float]]:
    """Milliseconds until the view stands in a page, and of each of many steps."""
    shown = WidgetPage.open(page, view)
    shown.focus()
    steps: list[float] = page.evaluate(STEP, [list(keys), PRESSES])
    return float(page.evaluate("window.opened")), steps


def main() -> None:
    """Print a line for each view: the best of the rounds for the first paint, median and worst of all steps."""
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium is here to measure with: set CHROMIUM to one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        for name, make, keys, wanted in VIEWS:
            view = make()
            rounds = [measured(browser.new_page(), view, keys) for _ in range(ROUNDS)]
            steps = [one for _, some in rounds for one in some]
            sent, first = packing.size(view.get_state()) / 1000, min(paint for paint, _ in rounds)
            took = f"{statistics.median(steps):.1f} ms a step ({max(steps):.0f} at worst)"
            print(f"  {name}: {sent:,.0f} kB at open, {first:,.0f} ms to the first paint, {took} (wanted: {wanted})")
        browser.close()


if __name__ == "__main__":
    main()
