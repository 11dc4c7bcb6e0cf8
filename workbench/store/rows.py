"""Rows and columns: the tables by name, and what is done with them everywhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, select

from workbench.model import Json
from workbench.store import dialect
from workbench.store.payloads import load_many
from workbench.store.schema import TABLES

BATCH = 2_000
PART = 500
"""Rows read at a time where there may be a million: fewer than make Python look for garbage (700 by default)."""
SOURCE, SKIP, SPAN, LOG, CHECKPOINT, CONVERSATION, HISTORY = map(TABLES.__getitem__, ("source", "skip", "span", "log", "checkpoint", "conversation", "history"))
RUN, STEP, EXAMINATION, FINDING, RECEIPT, PENDING, SETTING = map(TABLES.__getitem__, ("run", "step", "examination", "finding", "receipt", "pending", "setting"))
ALERT, REVIEW, LEDGER, JUDGEMENT, NOTE, ANSWER = map(TABLES.__getitem__, ("alert", "review", "ledger", "judgement", "note", "answer"))

# Asked for every run: built once, because building a query takes longer than running one of these.
NEWEST = select(func.max(RUN.c.seq)).group_by(RUN.c.run_id)
OLDEST_FIRST = RUN.c.started_ns.is_(None), RUN.c.started_ns, RUN.c.seq
NEWEST_REVISION = select(RUN.c.revision).where(RUN.c.run_id == bindparam("run")).order_by(RUN.c.seq.desc()).limit(1)


def insert(connection: Connection, table: Table, rows: Sequence[dict[str, Json]]) -> int:
    """Insert what is not there yet; returns how many rows that was."""
    if not rows:
        return 0
    names = dialect.given_columns(table)
    return dialect.insert_new(connection, table, [tuple(map(row.get, names)) for row in rows])


def column(connection: Connection, query: Any) -> list[Any]:
    """The first column of what a query finds."""
    return list(connection.execute(query).scalars())


def columns_of(connection: Connection, query: Any) -> list[list[Any]]:
    """What a query finds, column by column.

    Rows are let go part by part, before Python looks among them for garbage; all kept, looking took as long as reading.
    """
    result = connection.execute(query)
    columns: list[list[Any]] = [[] for _ in result.keys()]  # noqa: SIM118  # no mapping: a result yields rows
    for part in result.partitions(PART):
        for column, values in zip(columns, zip(*part, strict=True), strict=True):
            column.extend(values)
    return columns


def loaded(connection: Connection, query: Any, only: Collection[str] | None = None) -> Iterator[tuple[str, Json]]:
    """For each row of a query for names and addresses (with `only` these names), the name and the JSON behind the address; many are fetched at once."""
    rows = [row for row in connection.execute(query) if only is None or row[0] in only]
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        yield from zip((row[0] for row in some), load_many(connection, [row[1] for row in some]), strict=True)
