"""Reading back: the list of a large store's runs, and one run of 20,000 spans as a frame, each against bare SQL that fetches the same columns.

    python -m tests.bench.reading [RUNS] [SPANS] [ROUNDS]

The floor of the list is the store's own table, read by `sqlite3` into tuples. A step's texts are packed, so the frame's floor is a table of exactly
its columns in a database of its own.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import workbench
from tests.bench.measuring import in_turns, told
from workbench.model import Message, Run, Step, Tokens, ToolCall
from workbench.overview import Overview
from workbench.store import Store

if TYPE_CHECKING:
    import polars as pl

START_NS = 1_780_000_000_000_000_000
TEXT = "the agent answered that the flight was booked, and at what price; " * 6


def listed_run(number: int) -> Run:
    """A run of two steps, as there are many in a store."""
    at = START_NS + number * 1_000_000_000
    answer = Step(index=0, kind="model", name="small", model="small", started_ns=at, ended_ns=at + 5, tokens=Tokens(input=9, output=number % 7))
    said = answer.model_copy(update={"output": Message(role="assistant", content=f"{number}: {TEXT}")})
    call = Step(index=1, kind="tool", name="search", started_ns=at + 6, ended_ns=at + 9, tool_call=ToolCall(name="search", arguments={"q": str(number)}))
    return Run(run_id=f"run-{number}", agent="agent", started_ns=at, ended_ns=at + 9, steps=(said, call), sources=("spans.pb",))


def long_run(spans: int) -> Run:
    """A run of so many spans: every other one a model call that answers, the others tool calls with results."""
    steps = [_step(number) for number in range(spans)]
    return Run(run_id="long", agent="agent", started_ns=START_NS, ended_ns=START_NS + spans, steps=tuple(steps), span_count=spans)


def _step(number: int) -> Step:
    shared = {"index": number, "started_ns": START_NS + number, "ended_ns": START_NS + number + 1, "trace_id": f"{1:032x}", "span_id": f"{number + 1:016x}"}
    if number % 2:
        return Step(kind="tool", name="search", tool_call=ToolCall(name="search", arguments={"q": str(number)}), result=f"{number} {TEXT}", **shared)
    said = Message(role="assistant", content=f"{number}: {TEXT}")
    return Step(kind="model", name="small", model="small", output=said, tokens=Tokens(input=number, output=5), **shared)


LIST = f"""
SELECT {", ".join(Overview._fields)} FROM run WHERE seq IN (SELECT max(seq) FROM run GROUP BY run_id) ORDER BY started_ns IS NULL, started_ns, seq
"""  # column names of our own


def list_floor(path: Path) -> Callable[[], object]:
    """Bare SQL that fetches what a list of runs shows from the store's own table."""

    def read() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(LIST).fetchall()

    return read


def floor_of(frame: pl.DataFrame, path: Path) -> Callable[[], object]:
    """Bare SQL that fetches the columns of a frame."""
    rows = [
        tuple(json.dumps(value) if isinstance(value, list) else value for value in row) for row in frame.with_columns(frame["started"].dt.epoch("ns")).rows()
    ]
    names = ", ".join(frame.columns)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE floor ({names})")  # column names of our own frames
        connection.executemany(f"INSERT INTO floor VALUES ({', '.join('?' * len(frame.columns))})", rows)  # as above

    def read() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"SELECT {names} FROM floor").fetchall()  # as above

    return read


def main(runs: int = 25_000, spans: int = 20_000, rounds: int = 5) -> None:
    """Print the ratios."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with Store.open(folder / "list.db") as store:
            store.save_runs(listed_run(number) for number in range(runs))
        with Store.open(folder / "long.db") as store:
            store.save_runs([long_run(spans)])
        many, long = workbench.open(folder / "list.db"), workbench.open(folder / "long.db")
        frame_floor = floor_of(long.run("long").frame(), folder / "floor.db")
        many.runs()
        print(f"reading, {rounds} rounds, against bare SQL that fetches the same columns into tuples")
        print(told(f"the list of {runs:,} runs", in_turns(rounds, many.runs, list_floor(folder / "list.db")), "≤ 2 ×"))
        print(told(f"a run of {spans:,} spans as a frame", in_turns(rounds, lambda: long.run("long").frame(), frame_floor), "≤ 2 ×"))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
