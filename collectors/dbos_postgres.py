"""DBOS system databases in PostgreSQL, where DBOS usually keeps them: every workflow with its steps, waits, messages and child workflows.

Give the URL of the system database, such as postgresql://reader@host/app_dbos_sys. It is only read: in READ ONLY transactions, with time limits, by
a user that needs no more than SELECT. Its tables are found in whatever schema they lie (`dbos`, unless configured otherwise; all of them, where there
are several). No value is unpickled (`workbench.reading.dbos`).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

from workbench.database import Database, broken_told, limited, reading
from workbench.model import Record, Skip
from workbench.plugins import Example
from workbench.reading.dbos import MAX_VALUE_CHARACTERS, missing, read_workflows
from workbench.reading.histories import Fields
from workbench.source import Source, SourceError

SCHEMES = ("postgresql",)
SCHEMAS = """
    SELECT nspname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'operation_outputs' AND relkind IN ('r', 'p') AND has_schema_privilege(pg_namespace.oid, 'USAGE') ORDER BY nspname COLLATE "C"
"""
COLUMNS_OF = """
    SELECT attname, atttypid = 'text'::regtype FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %s AND relname = %s AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p') ORDER BY attnum
"""
PATH = "SELECT set_config('search_path', 'pg_catalog, ' || quote_ident(%s), true)"


def accepts(source: Source | Database) -> bool:
    """Whether this is a database with DBOS's tables of workflows and steps in one of its schemas. SourceError when it can't be reached."""
    if not isinstance(source, Database):
        return False
    with _opened(source) as every:
        return any(not missing(tables) for tables in every)


def collect(source: Database) -> Iterator[Record]:
    """A Run for each workflow, oldest first, and what could not be decoded. SourceError when nothing can be read."""
    with _opened(source) as every:
        lacks = {tables.schema: missing(tables) for tables in every}
        if all(lacks.values()):
            raise SourceError(f"{source}: no DBOS system database: {'; '.join(map(': '.join, lacks.items())) or 'it has no table operation_outputs'}")
        for tables in every:
            try:
                if not lacks[tables.schema]:
                    yield from read_workflows(tables, f"{source} schema {tables.schema}")
            except SourceError as error:
                yield Skip(place=f"{source} schema {tables.schema}", reason=f"{error}; what was read before stands")


class _Tables:
    """The tables in one schema of a database."""

    def __init__(self, connection: Any, schema: str) -> None:
        self.schema = schema
        self._connection = connection
        self._known: dict[str, dict[str, bool]] = {}

    def columns(self, table: str) -> set[str]:
        """See `Tables`."""
        return {*self._kinds(table)}

    def identities(self) -> Iterator[str]:
        """See `Tables`. Each workflow is read in a snapshot of its own: one held for long would keep the server from cleaning up."""
        order = "created_at, workflow_uuid" if "created_at" in self.columns("workflow_status") else "workflow_uuid"
        self._fresh()
        for (identity,) in self._execute(f"SELECT workflow_uuid FROM workflow_status ORDER BY {order}"):  # noqa: S608  # fixed text
            self._fresh()
            yield identity

    def rows(self, table: str, where: str, *parameters: str) -> Iterator[Fields]:
        """See `Tables`. Of a longer value comes as much as shows that it is too long."""
        kinds = self._kinds(table)
        if not kinds:
            return
        wanted = [f"left({name}, {MAX_VALUE_CHARACTERS + 1}) AS {name}" if text else name for name, text in kinds.items() if name.isidentifier()]
        sql = f"SELECT {', '.join(wanted)} FROM {table} WHERE {where.replace('?', '%s')}"  # noqa: S608  # fixed text, and names that are identifiers
        yield from (dict(zip((name for name in kinds if name.isidentifier()), row, strict=True)) for row in self._execute(sql, *parameters))

    def _kinds(self, table: str) -> dict[str, bool]:
        """Each column, and whether it is text of any length."""
        if table not in self._known:
            self._known[table] = dict(self._execute(COLUMNS_OF, self.schema, table))
        return self._known[table]

    def _fresh(self) -> None:
        limited(self._connection)
        self._execute(PATH, self.schema)

    def _execute(self, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
        with broken_told():
            return list(self._connection.execute(sql, parameters))


@contextlib.contextmanager
def _opened(database: Database) -> Iterator[list[_Tables]]:
    with reading(database) as connection:
        limited(connection)
        with broken_told():
            schemas = [schema for (schema,) in connection.execute(SCHEMAS)]
        yield [_Tables(connection, schema) for schema in schemas]


# ---- examples

_TABLES = """
CREATE SCHEMA dbos;
CREATE TABLE dbos.workflow_status (workflow_uuid TEXT PRIMARY KEY, status TEXT, name TEXT, output TEXT, error TEXT, created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL, recovery_attempts BIGINT DEFAULT 0, inputs TEXT, serialization TEXT);
CREATE TABLE dbos.operation_outputs (workflow_uuid TEXT NOT NULL, function_id INT4 NOT NULL, function_name TEXT NOT NULL DEFAULT '', output TEXT, error TEXT,
  child_workflow_id TEXT, started_at_epoch_ms BIGINT, completed_at_epoch_ms BIGINT, PRIMARY KEY (workflow_uuid, function_id));
CREATE TABLE dbos.notifications (message_uuid TEXT PRIMARY KEY, destination_uuid TEXT NOT NULL, topic TEXT, message TEXT NOT NULL);
INSERT INTO dbos.workflow_status VALUES ('booking-1', 'SUCCESS', 'booking', NULL, NULL, 1772355600000, 1772355601000, 1, NULL, 'py_pickle');
INSERT INTO dbos.notifications VALUES ('m', 'booking-1', 'approval', '');
"""
_STEPS = """
INSERT INTO dbos.operation_outputs VALUES ('booking-1', 1, 'search', '{}', NULL, NULL, 1772355600000, 1772355600100),
  ('booking-1', 2, 'DBOS.recv', 'gASVEAAAAAAAAAB9lIwIYXBwcm92ZWSUiHMu', NULL, NULL, 1772355600100, 1772355600900);
"""
_FOUND, _HOSTILE = "gASVDAAAAAAAAABdlIwFTkggMTGUYS4=", base64.b64encode(b"cos\nsystem\n(S'true'\ntR\x95.").decode()
EXAMPLES = (
    Example("dbos.sql", (_TABLES + _STEPS.format(_FOUND)).encode(), {"Run": 1}),
    Example("hostile.sql", (_TABLES + _STEPS.format(_HOSTILE)).encode(), {"Run": 1, "Skip": 1}),
)
