"""Share bundles: LangGraph's two checkpoint tables, and beside them the records of the shared runs, in one SQLite file.

Records are spans, logs and runs, the receipts of forks, and what people made of findings. A bundle's states
are fetched, and its runs forked, as from any checkpoint database. It is told by its application id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from workbench.model import Conversation, Log, Receipt, Record, Review, Run, Skip, Span, finding_key
from workbench.source import Source, SourceError, readonly

APPLICATION = b"WBcs"
PLACE = slice(68, 72)
"""Where SQLite's file format keeps the application id (section 1.3 of its description)."""
KINDS: dict[str, type[Span | Log | Conversation | Run | Receipt | Review]] = {"Span": Span, "Log": Log, "Run": Run, "Receipt": Receipt, "Review": Review}
ELSEWHERE = "came with a share bundle: made elsewhere, and not checked here"
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
                    yield _told(KINDS[kind].model_validate_json(content))
                except (KeyError, ValidationError, ValueError) as error:
                    yield Skip(place=f"{source.path}: record {number}", reason=f"no record of a bundle: {type(error).__name__}")
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise SourceError(f"{source.path}: can't be read as a share bundle ({error})") from error


def _told(record: Span | Log | Conversation | Run | Receipt | Review) -> Record:
    """What others say of their runs, marked as theirs; of which finding a review is, is told by its place and not by its word."""
    if isinstance(record, Receipt):
        return record.model_copy(update={"notes": (*(note for note in record.notes if note != ELSEWHERE), ELSEWHERE)})
    if isinstance(record, Review):
        return record.model_copy(update={"key": finding_key(record.detector, record.run_id, record.step)})
    return record
