"""One widget alone in a page: the same ESM and CSS as in a notebook, behind a fake model that asks the Python object itself.

Nothing is served: the page's few files are handed to the browser by name, and whatever else it asks for is refused and remembered.

`LATE_PAGES=1` in the environment lets every frame, timer and answer of the kernel come late, as on a busy machine: so tests are found that read
a page before it has drawn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from anywidget import AnyWidget
from playwright.sync_api import Page, Route

from tests.hostile import PAYLOADS
from workbench.widgets.excerpt import visible

ORIGIN = "http://127.0.0.1/"
HTML = """<!doctype html><meta charset="utf-8"><title>widget</title><link rel="icon" href="data:,"><link rel="stylesheet" href="widget.css">
<style>body { margin: 12px; background: light-dark(#fff, #111); color-scheme: light dark }</style><main></main><script type="module" src="boot.js"></script>"""
LATE = """
const [frame, timer] = [window.requestAnimationFrame.bind(window), window.setTimeout.bind(window)];
window.setTimeout = (act, wait, ...given) => timer(act, (wait ?? 0) + 300, ...given);
window.requestAnimationFrame = (act) => frame(() => timer(() => act(performance.now()), 700));
window.late = () => new Promise((then) => timer(then, 200));
"""
BOOT = """
import widget from "./widget.js";
const state = await (await fetch("state.json")).json();
const listeners = {};
let unsaved = {};
const told = (news) => Object.entries(news ?? {}).forEach(([name, value]) => { state[name] = value; fire(`change:${name}`); });
const fire = (event, ...given) => (listeners[event] ?? []).forEach((listener) => listener(...given));
const model = {
  get: (name) => state[name],
  set: (name, value) => { const changed = state[name] !== value; state[name] = unsaved[name] = value; if (changed) fire(`change:${name}`); },
  save_changes: () => { window.saves = (window.saves ?? 0) + 1; window.keep(unsaved).then(told); unsaved = {}; },
  on: (event, listener) => (listeners[event] ??= []).push(listener),
  off: (event, listener) => { listeners[event] = (listeners[event] ?? []).filter((other) => other !== listener); },
  send: async (question) => {
    await window.late?.();
    const [news, answer] = await window.kernel(question);
    told(news);
    if (answer) fire("msg:custom", answer);
  },
};
window.model = model;
window.listening = () => Object.values(listeners).flat().length;
const started = performance.now();
window.dispose = await widget.render({ model, el: document.querySelector("main") });
document.body.getBoundingClientRect();
window.opened = performance.now() - started;
"""


@dataclass
class WidgetPage:
    """The page, the widget behind it, what the page asked the kernel, and what it tried to fetch."""

    page: Page
    widget: AnyWidget
    busy: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    news: set[str] = field(default_factory=set)
    foreign: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, page: Page, widget: AnyWidget) -> WidgetPage:
        """Load the page and wait for the widget."""
        here = cls(page, widget)
        widget.observe(lambda change: here.news.add(change["name"]))
        page.on("pageerror", lambda error: here.problems.append(str(error)))
        page.on("console", lambda message: here.problems.append(message.text) if message.type == "error" else None)
        page.expose_function("kernel", here.kernel)
        page.expose_function("keep", here.keep)
        page.route("**/*", here.hand_out)
        page.goto(ORIGIN)
        page.wait_for_function("window.opened !== undefined")
        return here

    def kernel(self, question: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Answer as the notebook's kernel would, with the traits that changed meanwhile; a busy one doesn't."""
        self.asked.append(question)
        answer = None if self.busy else self.widget.answer(question)
        return self.keep({}), answer

    def keep(self, changes: dict[str, Any]) -> dict[str, Any] | None:
        """Take what the browser set, and tell it of the traits that changed in Python meanwhile; a busy kernel does neither."""
        if self.busy:
            return None
        self.widget.set_state(changes)
        news, self.news = self.news, set()
        state = self.widget.get_state([name for name in news if name in self.widget.keys])
        return {name: value for name, value in state.items() if name not in changes or changes[name] != value}

    def hand_out(self, route: Route) -> None:
        """Give the page its own files and nothing else."""
        name = route.request.url.removeprefix(ORIGIN)
        state = self.widget.get_state()
        own = {
            "": ("text/html", HTML),
            "boot.js": ("text/javascript", f"{LATE}{BOOT}" if os.environ.get("LATE_PAGES") == "1" else BOOT),
            "widget.js": ("text/javascript", str(state["_esm"])),
            "widget.css": ("text/css", str(state["_css"])),
            "state.json": ("application/json", json.dumps(state)),
        }
        if name not in own:
            self.foreign.append(route.request.url)
            route.abort()
            return
        kind, body = own[name]
        route.fulfill(body=body, content_type=f"{kind}; charset=utf-8")

    def until(self, true: Callable[[], object], seconds: float = 10) -> None:
        """Wait until something is true here, while what the page sends still arrives."""
        for _ in range(int(seconds * 50)):
            if true():
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"not true within {seconds} s")

    def drawn(self) -> None:
        """Wait until the page has drawn what it was told: the views draw at most once a frame."""
        self.page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")

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


def check_inert(widget: WidgetPage, shown: str, elements: str) -> None:
    """Hold that all hostile payloads were shown as text, none made one of these `elements` or ran, and nothing was asked for or went wrong."""
    for payload in PAYLOADS:
        assert "".join(visible(payload).split()) in "".join(shown.split())
    assert widget.page.evaluate("window.pwned") is None
    assert widget.page.evaluate(f"document.querySelectorAll('.ws :is({elements})').length") == 0
    assert widget.foreign == []
    assert widget.problems == []
