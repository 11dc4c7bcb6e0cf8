"""DBOS system databases in SQLite: every workflow with its steps, waits, messages and child workflows.

Read by raw SQL from a read-only connection; no value is unpickled (`workbench.reading.dbos`).
"""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from collections.abc import Iterator

from workbench.model import Record
from workbench.plugins import Example
from workbench.reading.dbos import missing, read_workflows
from workbench.reading.histories import Fields
from workbench.source import Source, SourceError, readonly

MAGIC = b"SQLite format 3\x00"


def accepts(source: Source) -> bool:
    """Whether this is a SQLite database with DBOS's tables of workflows and steps."""
    if not source.head.startswith(MAGIC) or source.compressed:
        return False
    try:
        with _opened(source) as tables:
            return not missing(tables)
    except SourceError:
        return False


def collect(source: Source) -> Iterator[Record]:
    """A Run for each workflow, oldest first, and what could not be decoded. SourceError when nothing can be read."""
    with _opened(source) as tables:
        if lack := missing(tables):
            raise SourceError(f"{source.path}: no DBOS system database: {lack}")
        yield from read_workflows(tables, str(source.path))


class _Tables:
    """The tables of a SQLite file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def columns(self, table: str) -> set[str]:
        """See `Tables`."""
        row = self._database.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
        if row is None or str(row[0]).upper().startswith("CREATE VIRTUAL"):
            return set()
        return {str(column[0]) for column in self._database.execute("SELECT name FROM pragma_table_info(?)", (table,))}

    def identities(self) -> Iterator[str]:
        """See `Tables`."""
        order = "created_at" if "created_at" in self.columns("workflow_status") else "rowid"
        yield from (row[0] for row in self._database.execute(f"SELECT workflow_uuid FROM workflow_status ORDER BY {order}"))  # noqa: S608  # fixed text

    def rows(self, table: str, where: str, *parameters: str) -> Iterator[Fields]:
        """See `Tables`."""
        if self.columns(table):
            yield from (dict(row) for row in self._database.execute(f"SELECT * FROM {table} WHERE {where}", parameters))  # noqa: S608  # fixed text


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[_Tables]:
    if not source.head.startswith(MAGIC):
        raise SourceError(f"{source.path}: no SQLite database; one begins with {MAGIC[:15].decode()!r}, this with {source.head[:15]!r}")
    try:
        with readonly(source.path) as database:
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA trusted_schema = 0")
            yield _Tables(database)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter where SQLite quotes damaged bytes in its own message
        raise SourceError(f"{source.path}: can't be read as SQLite ({error}); copy the database anew, with its -wal file if there is one") from error


# ---- examples


def _example(*steps: tuple[str, str | None, str | None], kind: str = "py_pickle") -> bytes:
    """A database with one workflow of these steps (name, output, error)."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE workflow_status (workflow_uuid TEXT, status TEXT, name TEXT, created_at INTEGER, output TEXT, serialization TEXT)")
        database.execute("CREATE TABLE notifications (destination_uuid TEXT, topic TEXT, message TEXT, consumed_by_function_id INTEGER)")
        database.execute("CREATE TABLE operation_outputs (workflow_uuid TEXT, function_id INTEGER, function_name TEXT, output TEXT, error TEXT)")
        database.execute("INSERT INTO workflow_status VALUES ('booking-1', 'SUCCESS', 'booking', 1772355600000, NULL, ?)", (kind,))
        database.execute("INSERT INTO notifications VALUES ('booking-1', 'approval', '', 2)")
        database.executemany("INSERT INTO operation_outputs VALUES ('booking-1', ?, ?, ?, ?)", [(number, *step) for number, step in enumerate(steps, 1)])
        database.commit()
        return database.serialize()


_HOSTILE = base64.b64encode(b"cos\nsystem\n(S'true'\ntR\x95.").decode()
_FOUND, _APPROVED = "gASVDAAAAAAAAABdlIwFTkggMTGUYS4=", "gASVEAAAAAAAAAB9lIwIYXBwcm92ZWSUiHMu"
EXAMPLES = (
    Example("dbos.sqlite", _example(("search", _FOUND, None), ("DBOS.recv", _APPROVED, None)), {"Run": 1}),
    Example("typescript.sqlite", _example(("search", '{"json": ["NH 11"]}', None), kind="js_superjson"), {"Run": 1}),
    Example("hostile.sqlite", _example(("search", _HOSTILE, None)), {"Run": 1, "Skip": 1}),
)
