"""One widget alone in a page: the same ESM and CSS as in a notebook, behind a fake model that asks the Python object itself.

Nothing is served: the page's few files are handed to the browser by name, and whatever else it asks for is refused and remembered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route

from workbench.widgets import stepper as module
from workbench.widgets.stepper import Stepper

ORIGIN = "http://127.0.0.1/"
HTML = """<!doctype html><meta charset="utf-8"><title>widget</title><link rel="icon" href="data:,"><link rel="stylesheet" href="stepper.css">
<style>body { margin: 12px; background: light-dark(#fff, #111); color-scheme: light dark }</style><main></main><script type="module" src="boot.js"></script>"""
BOOT = """
import widget from "./stepper.js";
const state = await (await fetch("state.json")).json();
const listeners = {};
const fire = (event, ...given) => (listeners[event] ?? []).forEach((listener) => listener(...given));
const model = {
  get: (name) => state[name],
  set: (name, value) => { const changed = state[name] !== value; state[name] = value; if (changed) fire(`change:${name}`); },
  save_changes: () => { window.saves = (window.saves ?? 0) + 1; },
  on: (event, listener) => (listeners[event] ??= []).push(listener),
  off: (event, listener) => { listeners[event] = (listeners[event] ?? []).filter((other) => other !== listener); },
  send: (question) => window.kernel(question).then((answer) => answer && fire("msg:custom", answer)),
};
window.model = model;
window.listening = () => Object.values(listeners).flat().length;
const started = performance.now();
window.dispose = widget.render({ model, el: document.querySelector("main") });
document.body.getBoundingClientRect();
window.opened = performance.now() - started;
"""


@dataclass
class WidgetPage:
    """The page, the widget behind it, what the page asked the kernel, and what it tried to fetch."""

    page: Page
    stepper: Stepper
    busy: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, page: Page, stepper: Stepper) -> WidgetPage:
        """Load the page and wait for the widget."""
        here = cls(page, stepper)
        page.on("pageerror", lambda error: here.problems.append(str(error)))
        page.on("console", lambda message: here.problems.append(message.text) if message.type == "error" else None)
        page.expose_function("kernel", here.kernel)
        page.route("**/*", here.hand_out)
        page.goto(ORIGIN)
        page.wait_for_function("window.opened !== undefined")
        return here

    def kernel(self, question: dict[str, Any]) -> dict[str, Any] | None:
        """Answer as the notebook's kernel would; a busy one doesn't."""
        self.asked.append(question)
        return None if self.busy else self.stepper.answer(question)

    def hand_out(self, route: Route) -> None:
        """Give the page its own files and nothing else."""
        name = route.request.url.removeprefix(ORIGIN)
        widgets = Path(module.__file__).parent
        kinds = {"": "text/html", "boot.js": "text/javascript", "stepper.js": "text/javascript", "stepper.css": "text/css", "state.json": "application/json"}
        if name not in kinds:
            self.foreign.append(route.request.url)
            route.abort()
            return
        own = {"": HTML, "boot.js": BOOT, "state.json": json.dumps(self.stepper.get_state())}
        body = own[name] if name in own else (widgets / name).read_text(encoding="utf-8")
        route.fulfill(body=body, content_type=f"{kinds[name]}; charset=utf-8")

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is."""
        for key in keys:
            self.page.keyboard.press(key)

    def focus(self) -> None:
        """Put the focus on the list of steps."""
        self.page.locator(".ws-list").focus()

    def trait(self, name: str) -> Any:
        """What the browser's side of a trait is now."""
        return self.page.evaluate("(name) => window.model.get(name)", name)

    def panel(self) -> str:
        """The text of the open tab."""
        return self.page.locator(".ws-panel").inner_text()
