"""A report as Markdown: the same statements, numbers and evidence, for a ticket or a pull request. Trace text stays text."""

from __future__ import annotations

from functools import singledispatch

from workbench.report.contents import Report
from workbench.report.document import Block, Claim, Code, Facts, Link, Listing, Mark, Paragraph, Phrase, Plot, Row, Section, Table
from workbench.report.markup import markdown as inert
from workbench.report.markup import markdown_code
from workbench.report.reference import NAME, token


def markdown(report: Report) -> str:
    """The whole report. Of the steps' details only those that a finding names are written out; the other formats have all.

    It ends with what it is about, for `workbench verify`, as a link definition, which renders as nothing.
    """
    return "\n\n".join([f"# {inert(report.title)}", *(_section(section) for section in report.sections), f"[{NAME}]: #{token(report)}"]) + "\n"


def _section(section: Section) -> str:
    return "\n\n".join([f'<a id="{section.anchor}"></a>\n\n## {inert(section.title)}', *(render(block) for block in section.blocks)])


def phrase(parts: Phrase) -> str:
    """A phrase on one line; links lead to the anchors of this document."""
    return "".join(_word(part) for part in parts)


def _word(part: str | Link | Code | Mark) -> str:
    match part:
        case Link(text, anchor):
            return f"[{inert(text)}](#{anchor})"
        case Mark(text, "error" | "warning" | "changed"):
            return f"**{inert(text)}**"
        case Code(text) | Mark(text, _):
            return inert(text)
    lead, tail = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
    return f"{' ' if lead else ''}{inert(part)}{' ' if tail and part.strip() else ''}"


@singledispatch
def render(block: Block) -> str:
    """One block as Markdown."""
    raise TypeError(f"no Markdown for a {type(block).__name__}")


@render.register
def _(block: Paragraph) -> str:
    return phrase(block.text)


@render.register
def _(block: Facts) -> str:
    return "\n".join(f"- {inert(name)}: {phrase(says)}" for name, says in block.rows)


@render.register
def _(block: Listing) -> str:
    return f"{inert(block.label)}{f' ({inert(block.note)})' if block.note else ''}:\n\n{markdown_code(block.text)}"


@render.register
def _(block: Plot) -> str:
    title = block.figure.get("layout", {}).get("title", {}).get("text", "")
    return f"*{inert(title)}:* {inert(block.says)}"


@render.register
def _(block: Claim) -> str:
    refute = f"\n- What would refute it: {inert(block.refute)}" if block.refute else ""
    facts = "".join(f"\n- {inert(name)}: {phrase(says)}" for name, says in block.facts)
    return (
        f'<a id="{block.anchor}"></a>\n\n### {phrase(block.headline)}\n{facts}' + "".join(f"\n- evidence: {phrase(proof)}" for proof in block.evidence) + refute
    )


@render.register
def _(block: Table) -> str:
    head = f"| {' | '.join(inert(name) or ' ' for name in block.columns)} |\n|{'|'.join('---:' if name in block.numeric else '---' for name in block.columns)}|"
    lines = [head, *(_row(row) for row in block.rows)]
    details = [part for row in block.rows if row.opened for part in (f"#### {phrase(row.cells[0])} {phrase(row.cells[3])}", *map(render, row.details))]
    return "\n\n".join(["\n".join(lines), *details, *([inert(block.caption)] if block.caption else [])])


def _row(row: Row) -> str:
    first, *others = (phrase(cell) for cell in row.cells)
    place = f'<a id="{row.anchor}"></a>' if row.anchor else ""
    return f"| {' | '.join([place + first, *others])} |"
