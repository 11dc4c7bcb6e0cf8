"""The statements of a report as a reader sees them, one a line: of a page its texts and drawings, of Markdown its lines."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

INLINE = frozenset(("a", "span", "code", "b", "i", "bdi", "td", "th"))
"""Elements that don't begin a line of their own."""
APART = frozenset(("td", "th", "span"))


OURS = re.compile(r"^\[workbench-report\]: #[\w=-]+$|^replay-workbench [\w.+-]+$")
"""Lines that tell of the file rather than of runs: what it is about, and what wrote it."""


def of_markdown(text: str) -> list[str]:
    """The lines that say something."""
    return [line.strip() for line in text.splitlines() if line.strip() and not OURS.match(line)]


def of_html(text: str) -> list[str]:
    """The texts of a page's body, a block a line; a drawing is its words and the hash of its shapes."""
    page = _Page()
    page.feed(text)
    page.close()
    page.flush()
    return [line for line in page.lines if not OURS.match(line)]


class _Page(HTMLParser):
    """Gathers text until a block begins or ends."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._words: list[str] = []
        self._drawing: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block ends the line before it; what is drawn is noted as it stands."""
        if tag not in INLINE:
            self.flush()
        elif tag in APART:
            self._words.append(" ")
        if tag in {"body", "svg"} or self._within:
            self._within.append(tag)
        if "svg" in self._within:
            self._drawing.append(f"{tag}{sorted(attrs, key=str)}")

    def handle_endtag(self, tag: str) -> None:
        """The end of a block ends its line, the end of a drawing tells of it."""
        if tag not in INLINE:
            self.flush()
        while tag in self._within and self._within.pop() != tag:
            pass
        if tag == "svg":
            self.lines.append(f"(drawn: {hashlib.sha256(''.join(self._drawing).encode('utf-8', 'surrogatepass')).hexdigest()[:12]})")
            self._drawing = []

    def handle_data(self, data: str) -> None:
        """Text counts where a reader sees it: that of scripts is data."""
        if self._within and "script" not in self._within:
            self._words.append(data)

    def flush(self) -> None:
        """End the line."""
        line = " ".join("".join(self._words).split())
        self._words = []
        if line:
            self.lines.append(line)
