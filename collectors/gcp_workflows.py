"""Google Cloud Workflows step entries, as the Executions API lists them (`stepEntries`), or the bare list of them.

Each entry is a step; blocks (try, for, parallel) stand around theirs by `navigationInfo`. A step that failed and was entered again in its retry block
is one step with attempts. The entries don't say how the execution ended: its own `state` does where it stands beside them, else its last step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from workbench.model import Json, Record, Status
from workbench.plugins import Example
from workbench.reading.exchanges import opened
from workbench.reading.histories import Failure, Fields, History, Operation, Where, moment, read_histories, text_of
from workbench.reading.messages import count_of
from workbench.source import Source

STATES: dict[str, Status] = {
    **dict.fromkeys(("STATE_SUCCEEDED", "SUCCEEDED"), "ok"),
    **dict.fromkeys(("STATE_FAILED", "FAILED"), "error"),
    **dict.fromkeys(("STATE_CANCELLED", "CANCELLED"), "cancelled"),
}
RETRY_BLOCK = "STEP_TRY_RETRY_EXCEPT"
BLOCKS = frozenset(
    {
        RETRY_BLOCK,
        "STEP_TRY",
        "STEP_RETRY",
        "STEP_EXCEPT",
        "STEP_FOR",
        "STEP_FOR_ITERATION",
        "STEP_PARALLEL_FOR",
        "STEP_PARALLEL_BRANCH",
        "STEP_PARALLEL_BRANCH_ENTRY",
    }
)


def accepts(source: Source) -> bool:
    """Whether the file begins with step entries."""
    head = source.head
    json_like = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}
    return json_like and b'"step"' in head and (b"/stepEntries/" in head or b'"stepEntries"' in head or (b'"stepType"' in head and b'"STEP_' in head))


def collect(source: Source) -> Iterable[Record]:
    """A Run for each execution, and a Skip for what is none. SourceError when the file as a whole can't be read."""
    return read_histories(source, _is_history, _tell, is_event=_is_entry)


def _is_entry(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("step"), str) and ("stepType" in value or "state" in value)


def _entries(value: Json) -> Json:
    return value.get("stepEntries") if isinstance(value, dict) else value


def _is_history(value: Json) -> bool:
    entries = _entries(value)
    return isinstance(entries, list) and any(_is_entry(entry) for entry in entries[:3])


def _tell(history: Json, where: Where) -> Iterator[Record]:
    entries = _entries(history)
    if all(isinstance(entry, dict) and _number(entry) is not None for entry in entries):
        entries = sorted(entries, key=lambda entry: _number(entry) or 0)
    reader = _Reader(History("GCP Workflows", str(where)))
    yield from reader.history.take(entries, reader.follow)
    beside = history.get("execution") if isinstance(history, dict) else None
    reader.finish(beside if isinstance(beside, dict) else history if isinstance(history, dict) else {}, where, entries[0])
    yield reader.history.run()


@dataclass
class _Reader:
    """Follows the entries of one execution. `tried` holds the last operation of each step in its routine and retry block."""

    history: History
    by_entry: dict[int, Operation] = field(default_factory=dict)
    tried: dict[tuple[str, str, int], Operation] = field(default_factory=dict)

    def follow(self, entry: Fields) -> None:
        """Take one entry."""
        number, name = _number(entry), str(entry["step"])
        parent = self.parent(entry)
        block = _retry_block(parent)
        key = (str(entry.get("routine")), name, id(block))
        operation = self.tried.get(key)
        if operation is None or operation.status != "error" or entry.get("stepType") in BLOCKS or (block is None and operation.parent is not parent):
            operation = self.history.add(Operation(name, started_ns=moment(entry.get("createTime")), parent=parent))
            operation.notes.append(str(entry.get("stepType") or "step"))
        operation.attempts = None if entry.get("stepType") in BLOCKS else (operation.attempts or 0) + 1
        self.end(operation, entry)
        self.tried[key] = operation
        if number is not None:
            self.by_entry[number] = operation
        self.place(entry)

    def parent(self, entry: Fields) -> Operation | None:
        parents = (entry.get("navigationInfo") or {}).get("parents") or []
        return next((self.by_entry[number] for parent in reversed(parents) if (number := count_of(parent)) in self.by_entry), None)

    def end(self, operation: Operation, entry: Fields) -> None:
        """Record how an entry ended."""
        status = STATES.get(str(entry.get("state")), "running")
        operation.end(moment(entry.get("updateTime")) if status != "running" else None, status, result=_variables(entry))
        if status == "error":
            operation.failure = _failure(entry.get("exception"))

    def place(self, entry: Fields) -> None:
        """Take execution and workflow from an entry's name: projects/…/workflows/NAME/executions/ID/stepEntries/N."""
        parts = str(entry.get("name") or "").split("/")
        named = dict(zip(parts[::2], parts[1::2], strict=False))
        self.history.run_id = self.history.run_id or named.get("executions", "")
        self.history.name = self.history.name or named.get("workflows")

    def finish(self, execution: Fields, where: Where, first: Json) -> None:
        """Say how the execution ended, and give it an id where no entry does."""
        history = self.history
        self.place(execution)
        history.run_id = history.run_id or where.name(first)
        times = [at for one in history.operations for at in (one.started_ns, one.ended_ns) if at is not None]
        history.started_ns = moment(execution.get("startTime")) or min(times, default=None)
        top = [one for one in history.operations if one.parent is None]
        status = STATES.get(str(execution.get("state"))) or (top[-1].status if top and all(one.status != "running" for one in top) else "running")
        failure = (_failure(execution.get("error")) if execution.get("error") else top[-1].failure if top else None) if status == "error" else None
        ended = moment(execution.get("endTime")) or max(times, default=None)
        history.end(ended if status != "running" else None, status, result=opened(execution.get("result")), failure=failure)


def _number(entry: Fields) -> int | None:
    """An entry's number, from its id or the end of its name."""
    found = count_of(entry.get("entryId"))
    return found if found is not None else count_of(str(entry.get("name") or "").rpartition("/")[2])


def _retry_block(parent: Operation | None) -> Operation | None:
    """The innermost retry block around a step."""
    while parent is not None and RETRY_BLOCK not in parent.notes:
        parent = parent.parent
    return parent


def _variables(entry: Fields) -> Json:
    """The variables in scope, which a detailed history records."""
    return (entry.get("variableData") or {}).get("variables")


def _failure(exception: Json) -> Failure:
    """An exception, whose payload is text or the JSON of an error map with `message`, `code` and `tags`."""
    payload = opened(exception.get("payload", exception.get("context"))) if isinstance(exception, dict) else exception
    if isinstance(payload, dict):
        tags = payload.get("tags")
        return Failure(str(payload.get("message") or json.dumps(payload)), text_of(tags[0]) if isinstance(tags, list) and tags else None)
    return Failure(str(payload or "failed"))


# ---- examples


def _entry(number: int, step: str, kind: str, *, state: str = "SUCCEEDED", parents: tuple[int, ...] = (), payload: str | None = None) -> Fields:
    name = f"projects/p/locations/l/workflows/booking/executions/0f1e/stepEntries/{number}"
    entry: Fields = {"name": name, "routine": "main", "step": step, "stepType": kind, "state": f"STATE_{state}", "entryId": str(number)}
    times = {"createTime": f"2026-03-01T09:00:{number:02}.123456789Z", "updateTime": f"2026-03-01T09:00:{number:02}.5Z"}
    return entry | times | {"navigationInfo": {"parents": [str(one) for one in parents]}} | ({"exception": {"payload": payload}} if payload else {})


_BOOKING = [
    _entry(1, "init", "STEP_ASSIGN"),
    _entry(2, "safely", RETRY_BLOCK),
    _entry(3, "book", "STEP_CALL", state="FAILED", parents=(2,), payload='{"code": 503, "message": "try later", "tags": ["HttpError"]}'),
    _entry(4, "book", "STEP_CALL", parents=(2,)),
    _entry(5, "done", "STEP_RETURN"),
]
EXAMPLES = (
    Example("step-entries.json", json.dumps({"stepEntries": _BOOKING, "totalSize": 5}).encode(), {"Run": 1}),
    Example("entries.json", json.dumps(_BOOKING, indent=1).encode(), {"Run": 1}),
    Example("broken-entry.json", json.dumps({"stepEntries": [*_BOOKING, 5, {"stepType": "STEP_CALL"}]}).encode(), {"Run": 1, "Skip": 2}),
)
