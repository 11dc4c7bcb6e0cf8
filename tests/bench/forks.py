"""How soon a fork of a long thread starts, and how much a sweep gains from two cores.

    python -m tests.bench.forks [CHECKPOINTS] [FORKS]

A fork of a thread of 1,500 checkpoints and 770 MB is held against copying the rows it needs from one SQLite file to another; a sweep of 100 forks on
two cores against the same forks one after the other. Wall-clock seconds: what else runs on the machine shows.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from workbench import bench as wb
from workbench.model import Change, Run, Step
from workbench.replay import forking
from workbench.replay.process.parent import ProcessError
from workbench.replay.recording.cut import SCHEMA
from workbench.replay.unfinished import Unfinished

SAMPLES = Path(__file__).resolve().parents[2] / "sample_traces"
BYTES, STEP, THREAD = 513_000, 13, "thread"
WORKERS, ROUNDS = 2, 5


def long_thread(path: Path, count: int) -> Run:
    """A database of one thread whose checkpoints are each as large as they were in production, and the run recorded in it."""
    ids = [f"{number:032x}" for number in range(count)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        for number, one in enumerate(ids):
            metadata = json.dumps({"source": "loop", "step": number - 1, "parents": {}}).encode()
            row = (THREAD, "", one, ids[number - 1] if number else None, "msgpack", os.urandom(BYTES), metadata)
            connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            write = (THREAD, "", one, f"task-{number}", "", 0, "messages", "msgpack", b"\x90")
            connection.execute("INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", write)
    steps = (Step(index=i, kind="node", name="work", node="work", namespace="", checkpoint_id=one, task_id=f"task-{i}") for i, one in enumerate(ids))
    return Run(run_id="long", conversation_id=THREAD, steps=tuple(steps))


def copied(source: Path, target: Path) -> float:
    """Seconds to copy all rows of the thread, which the fork of its last step needs, into another file."""
    began = time.perf_counter()
    with closing(sqlite3.connect(target)) as connection:
        connection.executescript(SCHEMA)
        connection.execute("ATTACH ? AS recorded", (f"file:{source}",))
        with connection:
            for table in ("checkpoints", "writes"):
                connection.execute(f"INSERT INTO {table} SELECT * FROM recorded.{table} WHERE thread_id = ?", (THREAD,))  # two names of ours
    return time.perf_counter() - began


def started(run: Run, database: Path, folder: Path) -> float:
    """Seconds until the process of a fork of the last step would be started."""
    reached, scratch = 0.0, folder / "fork.sqlite"

    def instead(*_: object, **__: object) -> None:
        nonlocal reached
        reached = time.perf_counter()
        raise ProcessError("far enough")

    asked, forking.process.ask = forking.process.ask, instead
    began = time.perf_counter()
    try:
        forking.fork(run, at=len(run.steps) - 1, change=Change(), databases=[database], graph="module:graph", run_id="fork", scratch=scratch)
    except forking.ForkError as error:
        if not reached:
            raise SystemExit(f"the fork did not get far enough: {error}") from error
    finally:
        forking.process.ask = asked
        Unfinished.beside(scratch).remove()
    return reached - began


def startings(folder: Path, checkpoints: int) -> Iterator[float]:
    """Of each round, how often one could copy the rows that a fork of a long thread's last step needs until that starts."""
    database, copy = folder / "long.sqlite", folder / "copy.sqlite"
    run = long_thread(database, checkpoints)
    print(f"fork of a thread of {checkpoints:,} checkpoints ({database.stat().st_size / 1e6:,.0f} MB)")
    for _ in range(ROUNDS):
        floor, product = copied(database, copy), started(run, database, folder)
        copy.unlink()
        print(f"  starts after {product:.2f} s, copying the rows it needs takes {floor:.2f} s")
        yield product / floor


def swept(folder: Path, forks: int) -> tuple[float, float]:
    """Seconds of so many forks one after the other, and as a sweep on two cores."""
    bench = wb.open(folder / "workbench.db")
    bench.ingest(SAMPLES / "booked_twice")
    run = bench.run("booked-twice")
    began = time.perf_counter()
    for _ in range(forks):
        run.fork(STEP)
    between = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        bench.sweep(run, at=[STEP], k=forks, executor=pool)
    return between - began, time.perf_counter() - between


def main(checkpoints: int, forks: int) -> None:
    """Print both ratios."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        print(f"  in the median of {ROUNDS} rounds {statistics.median(startings(folder, checkpoints)):.2f} × (bar: 2 ×)")
        alone, together = swept(folder, forks)
        print(f"sweep of {forks} forks, {WORKERS} at once: {together:.1f} s, one after the other {alone:.1f} s: {alone / together:.2f} × faster (bar: 1.7 ×)")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(1_500, 100)[len(given) :])
