"""What static views are made of: HTML fragments that survive JupyterLab's sanitizer, and the same as text.

No style sheet, no SVG, no scripts: elements with literal inline colours that read on light and on dark. A notebook reopened years later, on a
web page or on paper, shows them as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workbench.report.markup import Markup, element, still, visible
from workbench.report.quantities import plural

COLOURS = {"error": "#d1495b", "warning": "#b97a14", "info": "#4f83c4", "ok": "#3d9463", "quiet": "#808893"}
"""At least 3:1 on white and on dark grey; never the only sign."""
SIGN = {"error": "✕", "warning": "▲", "info": "●", "ok": "✓", "interrupted": "‖", "running": "…", "cancelled": "⊘"}
STATUS_TONE = {"error": "error", "ok": "ok", "interrupted": "warning", "running": "warning", "cancelled": "warning"}
ENDED = {"ok": "ended ok", "error": "ended with an error"}
"""What is said of a run's end, where its status alone could be read as a verdict on the run."""
CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"
LABEL = f"{CELL};color:{COLOURS['quiet']};white-space:nowrap"
HEAD = f"{CELL};color:{COLOURS['quiet']};font-weight:normal"
WRAPS = "overflow-wrap:anywhere"
"""What may be broken anywhere: only where a column has plenty of text, because its words no longer keep it wide."""
TABLE = "border-collapse:collapse;margin:4px 0"
MAX_ROWS, MAX_STEPS, MAX_LINES, GIST_CHARS, WHOLE_CHARS = 100, 200, 8, 120, 32


def tabular_html(title: str, says: Iterable[str], columns: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[str]) -> str:
    """A heading, sentences below it, and a table whose rows carry their tone."""
    table = table_of(columns, rows[:MAX_ROWS], tones[:MAX_ROWS])
    return still(element("b", title), *(element("div", one) for one in says), table, *map(quiet, rest(len(rows))))


def tabular_text(title: str, says: Iterable[str], columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as text, in columns."""
    shown = [columns, *rows[:MAX_ROWS]]
    widths = [max(len(row[place]) for row in shown) for place in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return visible("\n".join([title, *(f"  {one}" for one in says), *(f"  {one}" for one in lines), *rest(len(rows))]))


def lines_html(lines: Sequence[str]) -> str:
    """Sentences below each other, the first as a heading, what goes beyond a few folded away."""
    first, *others = lines
    told = [element("div", one) for one in others]
    more = told[MAX_LINES:]
    folded = element("details", element("summary", f"and {plural(len(more), 'more line')}"), *more) if more else ""
    return still(element("b", first), *told[:MAX_LINES], folded)


def heading(title: str, status: str, facts: list[str], *more: Markup) -> Markup:
    """What it is, how it ended, `more` signs, and what else is known of it."""
    return element("div", element("b", title), " ", badge(status, STATUS_TONE[status], ENDED.get(status)), *more, quiet(" · ".join(facts)))


def badge(sign: str, tone: str, word: str | None = None) -> Markup:
    """A sign and a word in the colour of a tone."""
    return element("span", f"{SIGN[sign]} {word or sign}", style=f"color:{COLOURS[tone]};font-weight:bold;white-space:nowrap")


def whole(word: str) -> Markup:
    """A name that isn't broken at its dashes, unless it is too long for a column."""
    return element("span", word, style="white-space:nowrap") if len(word) <= WHOLE_CHARS else element("span", word)


def named(sign: Markup, name: str) -> Markup:
    """A sign and a name in one line, unless it is too long for a column."""
    return element("div", sign, " ", name, style="white-space:nowrap" if len(name) <= WHOLE_CHARS else None)


def quiet(text: str) -> Markup:
    """A line that may be passed over."""
    return element("div", text, style=f"color:{COLOURS['quiet']}")


def rest(total: int) -> list[str]:
    """How many rows a table leaves out, in no words or one line of them."""
    return [f"and {total - MAX_ROWS:,} more"] if total > MAX_ROWS else []


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[str]) -> Markup:
    """A table whose rows carry a coloured edge where they have a tone."""
    edge = _edge if any(tones) else lambda _tone: ""
    head = element("tr", *(element("th", name, style=HEAD if number else HEAD + edge("")) for number, name in enumerate(columns)))
    body = [
        element("tr", *(element("td", cell, style=CELL if number else CELL + edge(tone)) for number, cell in enumerate(row)))
        for row, tone in zip(rows, tones, strict=True)
    ]
    return element("table", element("thead", head), element("tbody", *body), style=TABLE)


def facts_of(facts: Iterable[tuple[str, str]]) -> Markup:
    """What is known of one thing: a name, which isn't broken, and what is said, a row each."""
    rows = [element("tr", element("td", name, style=LABEL), element("td", said, style=f"{CELL};{WRAPS}")) for name, said in facts]
    return element("table", element("tbody", *rows), style=TABLE)


def _edge(tone: str) -> str:
    return f";border-left:3px solid {COLOURS[tone] if tone else 'transparent'};padding-left:8px"
