"""DBOS system databases in SQLite: every workflow with its steps, waits, messages and child workflows.

Read by raw SQL from a read-only connection. Values are JSON, or pickles in base64: those are never unpickled. The plain data in a pickle is read
without running it; what is more than data stays closed, and is counted. Steps go by `function_id`: rows are written in another order. The tables
count no attempts of a step, so none are told.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from workbench.model import PASSED_ON, Json, Record, Skip, Status
from workbench.plugins import Example
from workbench.reading.documents import parse_json
from workbench.reading.histories import CHILD, UNUSABLE, Failure, Fields, History, Operation, answer, moment, text_of, told
from workbench.reading.pickles import PickleError, plain_data
from workbench.source import Source, SourceError, readonly

MAGIC = b"SQLite format 3\x00"
TABLES: dict[str, tuple[str, ...]] = {
    "workflow_status": ("workflow_uuid", "status", "name"),
    "operation_outputs": ("workflow_uuid", "function_id", "output", "error"),
}
BESIDE = ("workflow_input", "workflow_output", "notifications")
STATUSES: dict[str, Status] = {
    **dict.fromkeys(("SUCCESS",), "ok"),
    **dict.fromkeys(("ERROR", "RETRIES_EXCEEDED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"), "error"),
    **dict.fromkeys(("CANCELLED",), "cancelled"),
}
CHILDREN_FAILED = "status = 'ERROR' AND workflow_uuid IN (SELECT child_workflow_id FROM operation_outputs WHERE workflow_uuid = ?)"
RECEIVE, SLEEP = "DBOS.recv", "DBOS.sleep"
MAX_VALUE_CHARACTERS = 32 * 1024 * 1024


def accepts(source: Source) -> bool:
    """Whether this is a SQLite database with DBOS's tables of workflows and steps."""
    if not source.head.startswith(MAGIC) or source.compressed:
        return False
    try:
        with _database(source) as database:
            return not _missing(database)
    except SourceError:
        return False


def collect(source: Source) -> Iterator[Record]:
    """A Run for each workflow, oldest first, and what could not be decoded. SourceError when nothing can be read."""
    with _database(source) as database:
        if missing := _missing(database):
            raise SourceError(f"{source.path}: no DBOS system database: {missing}")
        for status in _rows(database, "workflow_status", "1 = 1 ORDER BY created_at" if "created_at" in _columns(database, "workflow_status") else "1 = 1"):
            try:
                yield from _workflow(database, status, f"{source.path}: workflow {status['workflow_uuid']}")
            except UNUSABLE as error:
                yield Skip(place=f"{source.path}: workflow {status['workflow_uuid']}", reason=f"no usable workflow: {told(error)}")


# ---- the file


@contextlib.contextmanager
def _database(source: Source) -> Iterator[sqlite3.Connection]:
    if not source.head.startswith(MAGIC):
        raise SourceError(f"{source.path}: no SQLite database; one begins with {MAGIC[:15].decode()!r}, this with {source.head[:15]!r}")
    try:
        with readonly(source.path) as database:
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA trusted_schema = 0")
            yield database
    except sqlite3.DatabaseError as error:
        raise SourceError(f"{source.path}: can't be read as SQLite ({error}); copy the database anew, with its -wal file if there is one") from error


def _missing(database: sqlite3.Connection) -> str:
    """What a DBOS database has and this one lacks, in words. A view is no table: it can compute without end."""
    for table, columns in TABLES.items():
        if absent := set(columns) - _columns(database, table):
            return f"its table {table} has no {', '.join(sorted(absent))}"
    return ""


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    """The columns of a table; none where it isn't there or is no plain table."""
    row = database.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    if row is None or str(row[0]).upper().startswith("CREATE VIRTUAL"):
        return set()
    return {str(column[0]) for column in database.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _rows(database: sqlite3.Connection, table: str, where: str, *parameters: str) -> Iterator[Fields]:
    """Rows of a table, which is one of ours, as objects; none where the table isn't there."""
    if _columns(database, table):
        yield from (dict(row) for row in database.execute(f"SELECT * FROM {table} WHERE {where}", parameters))  # noqa: S608  # fixed text


# ---- one workflow


def _workflow(database: sqlite3.Connection, status: Fields, place: str) -> Iterator[Record]:
    identity = str(status["workflow_uuid"])
    (given,) = [*_rows(database, "workflow_input", "workflow_uuid = ? LIMIT 1", identity)] or [{}]
    (come,) = [*_rows(database, "workflow_output", "workflow_uuid = ? LIMIT 1", identity)] or [{}]
    values = _Values(text_of(status.get("serialization")))
    history = History("DBOS", place, identity, text_of(status.get("name")), started_ns=moment(status.get("started_at_epoch_ms") or status.get("created_at")))
    history.metadata["input"] = values.of(given.get("inputs") or status.get("inputs"))
    history.metadata |= {key: status[key] for key in ("parent_workflow_id", "forked_from", "queue_name") if status.get(key)}
    if isinstance(recoveries := status.get("recovery_attempts"), int) and recoveries > 1:
        history.notes.append(f"recovered: executed {recoveries} times")
    topics = _Topics([*_rows(database, "notifications", "destination_uuid = ?", identity)])
    failed = _failed_children(database, identity)
    steps = _rows(database, "operation_outputs", "workflow_uuid = ? ORDER BY function_id", identity)
    yield from history.take(steps, lambda row: history.add(_operation(row, values, topics, failed)))
    _end(history, status, values, come)
    yield history.run()
    for reason, count in values.closed.items():
        yield Skip(place=place, reason=f"values not decoded: {reason}", count=count)


def _failed_children(database: sqlite3.Connection, identity: str) -> set[str]:
    if "child_workflow_id" not in _columns(database, "operation_outputs"):
        return set()
    return {str(row["workflow_uuid"]) for row in _rows(database, "workflow_status", CHILDREN_FAILED, identity)}


def _end(history: History, status: Fields, values: _Values, come: Fields) -> None:
    state = STATUSES.get(str(status.get("status")), "running")
    at = moment(status.get("completed_at") or status.get("updated_at")) if state != "running" else None
    recorded = come.get("error") or status.get("error")
    failure = (values.failure(recorded) if recorded else Failure(str(status.get("status")))) if state == "error" else None
    history.end(at, state, result=values.of(come.get("output") or status.get("output")), failure=failure)


def _operation(row: Fields, values: _Values, topics: _Topics, failed: set[str]) -> Operation:
    """A step. What DBOS does itself is named `DBOS.…`: a `recv` waits for a message from outside, which is a person's answer.

    The error of a child among `failed` is passed on from there: the child tells it.
    """
    name, kind = text_of(row.get("function_name")) or "step", text_of(row.get("serialization"))
    started, ended = moment(row.get("started_at_epoch_ms")), moment(row.get("completed_at_epoch_ms"))
    result = values.of(row.get("output"), kind)
    if name == RECEIVE:
        operation = answer(topics.of(int(row["function_id"])) or RECEIVE, result, started)
        operation.notes += [] if row.get("output") is None or result is not None else ["the answer is not decoded or was none: the wait may have timed out"]
    else:
        operation = Operation("timer" if name == SLEEP else name, started_ns=started, result=None if name == SLEEP else result)
    operation.end(ended, "error" if row.get("error") else "ok", failure=values.failure(row["error"], kind) if row.get("error") else None)
    if child := row.get("child_workflow_id"):
        operation.notes += [f"{CHILD}{child}", *([PASSED_ON] if row.get("error") and child in failed else [])]
    return operation


class _Topics:
    """Which topic a `recv` waited on: the message says which step consumed it, in newer databases; else they are consumed in order."""

    def __init__(self, messages: list[Fields]) -> None:
        self.consumed = {row["consumed_by_function_id"]: text_of(row.get("topic")) for row in messages if row.get("consumed_by_function_id") is not None}
        self.only = {text_of(row.get("topic")) for row in messages}

    def of(self, function_id: int) -> str | None:
        """The topic a step waited on; None where the database doesn't say."""
        return self.consumed.get(function_id) or (next(iter(self.only)) if len(self.only) == 1 else None)


@dataclass
class _Values:
    """Decodes values, and counts why some stayed closed."""

    serialization: str | None
    closed: Counter[str] = field(default_factory=Counter)

    def of(self, value: Json, serialization: str | None = None) -> Json:
        """A value as JSON; None where there is none, or where it is not decoded."""
        if not isinstance(value, str):
            return None
        if len(value) > MAX_VALUE_CHARACTERS:
            self.closed[f"more than {MAX_VALUE_CHARACTERS:,} characters"] += 1
            return None
        try:
            return _decoded(value, serialization or self.serialization)
        except ValueError as error:
            self.closed[str(error)] += 1
            return None

    def failure(self, value: str, serialization: str | None = None) -> Failure:
        """An exception by its type and its message."""
        error = self.of(value, serialization)
        if isinstance(error, dict) and "$type" in error:
            arguments = [str(part) for part in error.get("args") or () if isinstance(part, str | int | float)]
            return Failure(arguments[0] if arguments else "", str(error["$type"]).rpartition(".")[2])
        if isinstance(error, dict):
            return Failure(str(error.get("message") or ""), text_of(error.get("name") or error.get("type")))
        return Failure(error if isinstance(error, str) else "its error is not decoded")


def _decoded(value: str, serialization: str | None) -> Json:
    """JSON (SuperJSON's inner value) or the plain data of a pickle in base64. ValueError for what is neither."""
    if serialization != "py_pickle":
        try:
            found = parse_json(value)
            return found["json"] if isinstance(found, dict) and found.keys() <= {"json", "meta", "__dbos_serializer"} and "json" in found else found
        except ValueError as error:
            if serialization:
                raise ValueError(f"no {serialization}") from error
    try:
        return plain_data(base64.b64decode(value, validate=True))
    except (binascii.Error, PickleError) as error:
        raise ValueError(f"refused: {error}" if isinstance(error, PickleError) else "no base64") from error


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
