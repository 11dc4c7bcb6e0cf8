"""What a webview of VS Code does differently from a notebook's page, as far as any page can do it.

The ESM comes as a blob under a strict content policy, the model has no `widget_manager` with a notebook behind it, the theme is a class of the body, and a
saved notebook has no kernel that answers. VS Code itself can't be driven here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from anywidget import AnyWidget
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.page import ORIGIN
from tests.browser.populations import findings_view, run_list
from tests.browser.test_tree_page import story

POLICY = "default-src 'none'; script-src 'self' blob:; style-src 'unsafe-inline'"
HTML = '<!doctype html><meta charset="utf-8"><title>webview</title><body class="{theme}"><main></main><script type="module" src="boot.js"></script>'
BOOT = """
const state = %s;
const model = {
  get: (name) => state[name], set: (name, value) => { state[name] = value; }, save_changes: () => {}, on: () => {}, off: () => {}, widget_manager: {},
  send: (question) => { (window.asked ??= []).push(question.ask); },
};
document.head.append(Object.assign(document.createElement("style"), { textContent: state._css }));
const { default: widget } = await import(URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" })));
await widget.render({ model, el: document.querySelector("main") });
document.documentElement.dataset.drawn = "yes";
"""
VIEWS: dict[str, Callable[[], AnyWidget]] = {"run list": lambda: run_list(60), "findings": findings_view, "steps": story}


@dataclass
class Webview:
    """A page with one view, what it asked for beyond its own files, and what its policy or scripts complained of."""

    page: Page
    foreign: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def open(self, widget: AnyWidget, theme: str) -> None:
        """Show the widget."""
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        state = widget.get_state()
        own = {"": ("text/html", HTML.format(theme=theme)), "boot.js": ("text/javascript", BOOT % json.dumps(state)), "favicon.ico": ("image/x-icon", "")}
        self.page.route("**/*", lambda route: self.hand_out(route, own))
        self.page.goto(ORIGIN)
        self.page.wait_for_selector("html[data-drawn]", state="attached")  # a function would be evaluated, which the policy forbids

    def hand_out(self, route: Route, own: dict[str, tuple[str, str]]) -> None:
        """Give the page its own files under the policy, and nothing else."""
        name = route.request.url.removeprefix(ORIGIN)
        if name not in own:
            self.foreign.append(name)
            route.abort()
            return
        kind, body = own[name]
        route.fulfill(body=body, content_type=f"{kind}; charset=utf-8", headers={"Content-Security-Policy": POLICY})


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_needs_no_more_than_a_strict_policy_allows(context: BrowserContext, name: str) -> None:
    """Each view is drawn from a blob where nothing may be fetched or evaluated, in the dark of the body's class, and asks for nothing but the kernel."""
    seen = Webview(context.new_page())
    seen.open(VIEWS[name](), "vscode-dark")
    expect(seen.page.locator(".ws-row").first).to_be_visible()
    red, green, blue = seen.page.evaluate("getComputedStyle(document.querySelector('.ws')).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)")
    assert max(red, green, blue) < 60
    assert seen.foreign == []
    assert [one for one in seen.problems if "favicon" not in one] == []


def test_keys_work_where_no_kernel_answers_and_cells_are_not_inserted(context: BrowserContext) -> None:
    """Stepping goes on in the page alone, and where a notebook takes no cell from a view the line is copied, which is said."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen = Webview(context.new_page())
    seen.open(story(), "vscode-light")
    seen.page.locator(".ws-list").focus()
    for key in ("k", "k", "Y"):
        seen.page.keyboard.press(key)
    expect(seen.page.locator(".ws-pane-index")).to_have_text("step 9")
    expect(seen.page.locator(".ws-copied")).to_have_text("copied: paste it into a cell, this notebook takes none from a view")
    assert seen.page.evaluate("navigator.clipboard.readText()") == 'bench.run("booked-twice").view(step=9)'
