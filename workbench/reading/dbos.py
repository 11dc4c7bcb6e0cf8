"""DBOS system databases: every workflow with its steps, waits, messages and child workflows, wherever its tables lie.

Values are JSON, or pickles in base64: those are never unpickled. The plain data in a pickle is read without running it; what is more than data
stays closed, and is counted. Steps go by `function_id`: rows are written in another order. The tables count no attempts of a step, so none are told.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from workbench.model import PASSED_ON, Json, Record, Skip, Status
from workbench.reading.documents import parse_json
from workbench.reading.histories import CHILD, UNUSABLE, Failure, Fields, History, Operation, answer, moment, text_of
from workbench.reading.pickles import PickleError, plain_data
from workbench.reading.spans import told

REQUIRED: dict[str, tuple[str, ...]] = {
    "workflow_status": ("workflow_uuid", "status", "name"),
    "operation_outputs": ("workflow_uuid", "function_id", "output", "error"),
}
STATUSES: dict[str, Status] = {
    **dict.fromkeys(("SUCCESS",), "ok"),
    **dict.fromkeys(("ERROR", "RETRIES_EXCEEDED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"), "error"),
    **dict.fromkeys(("CANCELLED",), "cancelled"),
}
CHILDREN_FAILED = "status = 'ERROR' AND workflow_uuid IN (SELECT child_workflow_id FROM operation_outputs WHERE workflow_uuid = ?)"
RECEIVE, SLEEP = "DBOS.recv", "DBOS.sleep"
MAX_VALUE_CHARACTERS = 32 * 1024 * 1024


class Tables(Protocol):
    """Where DBOS's tables lie, opened for reading. SQL is in SQLite's words, with `?` for a parameter."""

    def columns(self, table: str) -> set[str]:
        """The columns of a table; none where it isn't there or is no plain table: a view can compute without end."""
        ...

    def identities(self) -> Iterator[str]:
        """The ids of all workflows, oldest first."""
        ...

    def rows(self, table: str, where: str, *parameters: str) -> Iterator[Fields]:
        """Rows of a table, which is one of DBOS's, as objects; none where the table isn't there."""
        ...


def missing(tables: Tables) -> str:
    """What a DBOS database has and this one lacks, in words; empty where nothing is."""
    for table, columns in REQUIRED.items():
        if absent := set(columns) - tables.columns(table):
            return f"its table {table} has no {', '.join(sorted(absent))}"
    return ""


def read_workflows(tables: Tables, place: str) -> Iterator[Record]:
    """A Run for each workflow, oldest first, and what could not be decoded."""
    for identity in tables.identities():
        where = f"{place}: workflow {identity}"
        try:
            for status in tables.rows("workflow_status", "workflow_uuid = ?", identity):
                yield from _workflow(tables, status, where)
        except UNUSABLE as error:
            yield Skip(place=where, reason=f"no usable workflow: {told(error)}")


# ---- one workflow


def _workflow(tables: Tables, status: Fields, place: str) -> Iterator[Record]:
    identity = str(status["workflow_uuid"])
    (given,) = [*tables.rows("workflow_input", "workflow_uuid = ? LIMIT 1", identity)] or [{}]
    (come,) = [*tables.rows("workflow_output", "workflow_uuid = ? LIMIT 1", identity)] or [{}]
    values = _Values(text_of(status.get("serialization")))
    history = History("DBOS", place, identity, text_of(status.get("name")), started_ns=moment(status.get("started_at_epoch_ms") or status.get("created_at")))
    history.metadata["input"] = values.of(given.get("inputs") or status.get("inputs"))
    history.metadata |= {key: status[key] for key in ("parent_workflow_id", "forked_from", "queue_name") if status.get(key)}
    if isinstance(recoveries := status.get("recovery_attempts"), int) and recoveries > 1:
        history.notes.append(f"recovered: executed {recoveries} times")
    topics = _Topics([*tables.rows("notifications", "destination_uuid = ?", identity)])
    failed = _failed_children(tables, identity)
    steps = tables.rows("operation_outputs", "workflow_uuid = ? ORDER BY function_id", identity)
    yield from history.take(steps, lambda row: history.add(_operation(row, values, topics, failed)))
    _end(history, status, values, come)
    yield history.run()
    for reason, count in values.closed.items():
        yield Skip(place=place, reason=f"values not decoded: {reason}", count=count)


def _failed_children(tables: Tables, identity: str) -> set[str]:
    if "child_workflow_id" not in tables.columns("operation_outputs"):
        return set()
    return {str(row["workflow_uuid"]) for row in tables.rows("workflow_status", CHILDREN_FAILED, identity)}


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
