"""What a report is made of, independent of how it is rendered: sections of paragraphs, tables, claims, plots and details.

A phrase is text from anywhere and links to places of the same report; renderers decide what both look like.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.model import Json

Tone = str
"""What a line is about, as a colour and a mark: a severity, a status, a kind of step, or the relation of two steps. Never text from a trace."""


@dataclass(frozen=True)
class Link:
    """A word that leads to an anchor of the same report."""

    text: str
    anchor: str


@dataclass(frozen=True)
class Code:
    """A short literal, such as a hash or a JSON path."""

    text: str


@dataclass(frozen=True)
class Mark:
    """A word with a tone: a severity, a status."""

    text: str
    tone: Tone


Phrase = tuple[str | Link | Code | Mark, ...]


@dataclass(frozen=True)
class Paragraph:
    """A sentence or a few."""

    text: Phrase
    tone: Tone = ""


@dataclass(frozen=True)
class Facts:
    """Names and what they are, a line each."""

    rows: tuple[tuple[str, Phrase], ...]


@dataclass(frozen=True)
class Listing:
    """A literal of any length, already cut; `note` says what was left out."""

    text: str
    label: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One row of a table; `anchor` is where links lead, `details` unfold below it and are `opened` where a finding stands."""

    cells: tuple[Phrase, ...]
    tone: Tone = ""
    anchor: str = ""
    details: tuple[Block, ...] = ()
    opened: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows. Columns named in `numeric` are aligned to the right."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    numeric: frozenset[str] = frozenset()
    caption: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement with its tone, its numbers, what it rests on and what would refute it."""

    headline: Phrase
    tone: Tone
    facts: tuple[tuple[str, Phrase], ...] = ()
    evidence: tuple[Phrase, ...] = ()
    refute: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Plot:
    """A plotly figure as its JSON, and in words what it shows."""

    figure: dict[str, Json]
    says: str


Block = Paragraph | Facts | Listing | Table | Claim | Plot


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]
    anchor: str = field(default="")
