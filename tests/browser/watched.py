"""A page of HTML as a browser takes it, with everything it does remembered: what it asks for, what it logs, what ran in it.

The page is served from memory under a name of this machine, so that relative addresses and same-origin tricks work as they would in a real page.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import Page, Route

ADDRESS = "http://127.0.0.1/page.html"
PROVOKE = """() => {
  for (const element of document.querySelectorAll("details")) element.open = true;
  for (const element of document.body.querySelectorAll("*")) {
    for (const name of ["mouseover", "focus", "toggle", "load", "error", "begin", "animationstart"]) element.dispatchEvent(new Event(name));
    if (element.tabIndex >= 0) element.focus();
  }
  for (const link of document.querySelectorAll("a[href]:not([href^='#'])")) link.click();
}"""
HANDLERS = """() => [...document.querySelectorAll("*")].flatMap((one) => [...one.attributes]
  .filter((given) => /^on/i.test(given.name) || (/^(href|src|action|formaction|xlink:href)$/i.test(given.name) && !given.value.startsWith("#")))
  .map((given) => `${given.name}=${given.value.slice(0, 80)}`))"""
ACTIVE = "img, picture, video, audio, source, iframe, frame, object, embed, form, base, link, meta[http-equiv=refresh], use, image, math, marquee, plaintext"
"""What fetches or runs by being there, and is in no page of ours. Scripts and fields are apart: a report has a script of its own."""


@dataclass
class Watched:
    """A loaded page and what it tried."""

    page: Page
    asked: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, page: Page, html: str) -> Watched:
        """Load the page, open and touch everything in it, and let what was started run."""
        here = cls(page)

        def hand_out(route: Route) -> None:
            if route.request.url == ADDRESS:
                route.fulfill(body=html, content_type="text/html; charset=utf-8")
                return
            here.asked.append(route.request.url)
            route.abort()

        page.route("**/*", hand_out)
        page.goto(ADDRESS)
        page.evaluate(PROVOKE)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        return here

    @property
    def ran(self) -> list[str]:
        """The names of the payloads that were executed."""
        return list(self.page.evaluate("window.pwned || []"))

    @property
    def active(self) -> list[str]:
        """The beginning of every element of a kind that no page of ours has."""
        return list(self.page.evaluate("(kinds) => [...document.querySelectorAll(kinds)].map((one) => one.outerHTML.slice(0, 80))", ACTIVE))

    @property
    def handlers(self) -> list[str]:
        """Every attribute that is a handler, and every address that leads out of the page."""
        return list(self.page.evaluate(HANDLERS))
