"""A report as one HTML file: no request, readable offline, in light and dark, on paper, and without scripts; a run can be stepped through with them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from importlib.metadata import version
from itertools import count

from workbench.report.contents import Report
from workbench.report.document import Block, Claim, Code, Facts, Link, Listing, Mark, Paragraph, Phrase, Plot, Row, Section, Table
from workbench.report.figure import svg
from workbench.report.markup import Markup, element, join
from workbench.report.reference import NAME, token
from workbench.report.style import CSS, policy
from workbench.report.viewer import SCRIPT, STYLE, viewer

HOW_TO_CHECK = (
    "How to check a statement: evidence names a run, a step and a JSON path inside the step; its hash is the SHA-256 of the value's canonical JSON text "
    "(keys sorted, no spaces). Verified means that the value in this report had that very hash when the report was written. "
    "`workbench verify FILE` holds every statement against a store. "
)
INERT = "Nothing in this file is executed or loaded from elsewhere."
ALIVE = "The viewer's script is the only one, allowed by its hash; everything but the viewer reads without it. Nothing is loaded from elsewhere."


def html(report: Report) -> str:
    """The whole page. Trace text stands in it as text, whatever it contains."""
    sections, viewed = report.sections, report.viewed
    live, scripts = viewer(*viewed) if viewed else (Markup(), Markup())
    style = CSS + STYLE if viewed else CSS
    head = (
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(style, SCRIPT if viewed else None)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name=NAME, content=token(report)),
        element("title", f"{report.title} · Replay Workbench"),
        element("style", Markup(style)),
    )
    body = (
        element("header", element("p", f"Replay Workbench · {report.kind} report", class_="kicker"), element("h1", element("bdi", report.title))),
        element("nav", *(element("a", section.title, href=f"#{section.anchor}") for section in sections), aria_label="Sections"),
        element("main", *_sections(sections, live)),
        element("footer", element("p", HOW_TO_CHECK + (ALIVE if viewed else INERT)), element("p", f"replay-workbench {version('replay-workbench')}")),
        scripts,
    )
    return "<!doctype html>\n" + element("html", element("head", *head), element("body", *body), lang="en") + "\n"


def _sections(sections: tuple[Section, ...], live: Markup) -> Iterator[Markup]:
    """The sections, and the viewer before the list of steps that it shows."""
    plots = count(1)
    for section in sections:
        if section.anchor.endswith("-steps") and live:
            yield live
            live = Markup()
        blocks = [svg(block.figure, block.says, f"plot-{next(plots)}") if isinstance(block, Plot) else render(block) for block in section.blocks]
        yield element("section", element("h2", section.title), *blocks, id=section.anchor)


def phrase(parts: Phrase) -> Markup:
    """A phrase: text is isolated from its surroundings' reading direction, links lead to anchors of this page."""
    return join(*(_word(part) for part in parts))


def _word(part: str | Link | Code | Mark) -> Markup:
    match part:
        case Link(text, anchor):
            return element("a", text, href=f"#{anchor}")
        case Code(text):
            return element("code", element("bdi", text))
        case Mark(text, tone):
            return element("span", text, class_=f"mark {tone}")
    return element("bdi", part)


@singledispatch
def render(block: Block) -> Markup:
    """One block as HTML."""
    raise TypeError(f"no HTML for a {type(block).__name__}")


@render.register
def _(block: Paragraph) -> Markup:
    return element("p", phrase(block.text), class_={"": None, "quiet": "quiet"}.get(block.tone, f"lead {block.tone}"))


@render.register
def _(block: Facts) -> Markup:
    return element("dl", *(join(element("dt", name), element("dd", phrase(says))) for name, says in block.rows))


@render.register
def _(block: Listing) -> Markup:
    note = f" · {block.note}" if block.note else ""
    return join(element("p", element("b", element("bdi", block.label)), note, class_="label"), element("pre", block.text, tabindex=0))


@render.register
def _(block: Claim) -> Markup:
    evidence = element("ul", *(element("li", phrase(proof)) for proof in block.evidence)) if block.evidence else Markup()
    refute = element("p", element("b", "What would refute it: "), element("bdi", block.refute), class_="refute") if block.refute else Markup()
    return element("article", element("p", phrase(block.headline)), render(Facts(block.facts)), evidence, refute, class_=f"claim {block.tone}", id=block.anchor)


@render.register
def _(block: Table) -> Markup:
    caption = element("p", block.caption, class_="caption") if block.caption else Markup()
    if any(row.details for row in block.rows):
        return join(_unfolding(block), caption)
    head = element("tr", *(element("th", name, class_="number" if name in block.numeric else None, scope="col") for name in block.columns))
    body = element("tbody", *(element("tr", *_cells(block, row, "td"), class_=row.tone or None, id=row.anchor or None) for row in block.rows))
    return join(element("div", element("table", element("thead", head), body), class_="scroll"), caption)


def _unfolding(table: Table) -> Markup:
    """Rows with something below each: a list whose lines open."""
    head = element("div", *(element("span", name, class_="number" if name in table.numeric else None) for name in table.columns), class_="cells head")
    return join(head, element("ol", *(_line(table, row) for row in table.rows), class_="steps"))


def _line(table: Table, row: Row) -> Markup:
    summary = element("summary", element("div", *_cells(table, row, "span"), class_="cells"))
    more = element("div", *(render(block) for block in row.details), class_="more")
    return element("li", element("details", summary, more, open=row.opened), class_=row.tone or None, id=row.anchor)


def _cells(table: Table, row: Row, name: str) -> Iterator[Markup]:
    for column, cell in zip(table.columns, row.cells, strict=True):
        yield element(name, phrase(cell), class_="number" if column in table.numeric else None)
