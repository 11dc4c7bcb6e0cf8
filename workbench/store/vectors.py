"""What full-text search on a server is made of: PostgreSQL's `tsvector`s, with words split here as SQLite's `unicode61` splits them.

PostgreSQL's own parser would take `book_flight`, `seat-map` and URLs for one word each, and the same search would find less than in a file. A step's text
is kept in pieces that overlap, because a `tsvector` holds at most 1 MB and 256 places of a word. Nothing here talks to a database.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

WORD = re.compile(r"[^\W_]+")
PIECE_WORDS, OVERLAP_WORDS = 256, 32
"""A piece has no more words than a `tsvector` has places of one word. A phrase of more words than pieces share is looked for in parts."""
LONGEST_WORD = 60
ELLIPSIS = " … "


@dataclass(frozen=True)
class Piece:
    """A part of a text as it stands, and its words with their places as a `tsvector` is written."""

    content: str
    vector: str


def pieces(text: str) -> Iterator[Piece]:
    """A text in pieces; nothing for one without words."""
    found = list(WORD.finditer(text))
    for start in range(0, max(len(found) - OVERLAP_WORDS, 1) if found else 0, PIECE_WORDS - OVERLAP_WORDS):
        part = found[start : start + PIECE_WORDS]
        yield Piece(text[part[0].start() : part[-1].end()], " ".join(f"'{folded(match[0])}':{place}" for place, match in enumerate(part, 1)))


def folded(word: str) -> str:
    """A word as it is compared: without case and accents; a very long one by its hash, because a `tsvector` leaves such out."""
    plain = "".join(one for one in unicodedata.normalize("NFD", word) if not unicodedata.combining(one)).lower()
    return plain if len(plain) <= LONGEST_WORD else hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def queries(terms: list[str]) -> list[str]:
    """A `tsquery` for each term: its words, one right behind the other. A term without words asks for nothing that could be found."""
    asked: list[str] = []
    for term in terms:
        words = [f"'{folded(word)}'" for word in WORD.findall(term)]
        asked += [" <-> ".join(words[start : start + OVERLAP_WORDS]) for start in range(0, len(words), OVERLAP_WORDS)]
    return asked


def snippet(content: str, terms: list[str], words: int) -> str:
    """So many words of a text around the first that was looked for."""
    wanted = {folded(word) for term in terms for word in WORD.findall(term)}
    found = list(WORD.finditer(content))
    at = next((number for number, match in enumerate(found) if folded(match[0]) in wanted), 0)
    start = max(min(at - words // 2, len(found) - words), 0)
    part = found[start : start + words]
    before, after = ELLIPSIS if start else "", ELLIPSIS if start + words < len(found) else ""
    return before + content[part[0].start() : part[-1].end()] + after if part else content
