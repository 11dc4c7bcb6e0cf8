"""Share bundles: LangGraph's two checkpoint tables, and beside them the records of the shared runs, in one SQLite file.

So a bundle's states are fetched, and its runs forked, as from any checkpoint database. It is told by its application id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from workbench.model import Conversation, Log, Record, Run, Skip, Span
from workbench.source import Source, SourceError, readonly

APPLICATION = b"WBcs"
PLACE = slice(68, 72)
"""Where SQLite's file format keeps the application id (section 1.3 of its description)."""
KINDS: dict[str, type[Span | Log | Conversation | Run]] = {"Span": Span, "Log": Log, "Run": Run}
SCHEMA = "CREATE TABLE shared_records (kind TEXT NOT NULL, content TEXT NOT NULL)"


def is_bundle(source: Source) -> bool:
    """Whether a file is a share bundle, by its first bytes."""
    return source.head[PLACE] == APPLICATION and not source.compressed


def add(database: sqlite3.Connection, records: Iterable[tuple[str, str]]) -> None:
    """Make a database a bundle that holds these records, each with its kind."""
    database.execute(f"PRAGMA application_id = {int.from_bytes(APPLICATION)}")
    database.execute(SCHEMA)
    database.executemany("INSERT INTO shared_records VALUES (?, ?)", records)


def records(source: Source) -> Iterator[Record]:
    """The records in a bundle. What is none is a skip; SourceError where the file can't be read on."""
    try:
        with readonly(source.path) as database:
            for number, kind, content in database.execute("SELECT rowid, kind, content FROM shared_records ORDER BY rowid"):
                try:
                    yield KINDS[kind].model_validate_json(content)
                except (KeyError, ValidationError, ValueError) as error:
                    yield Skip(place=f"{source.path}: record {number}", reason=f"no record of a bundle: {type(error).__name__}")
    except sqlite3.DatabaseError as error:
        raise SourceError(f"{source.path}: can't be read as a share bundle ({error})") from error
