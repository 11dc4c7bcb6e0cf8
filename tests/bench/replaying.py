"""How long a replay takes beside the plain graph with the same stub tools, start-up of the process apart: `python -m tests.bench.replaying`.

Wall-clock time is that of the shut-in process; processor time is that of the same re-run in a process of ours, since the kernel adds up the other's too late.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TURNS = 40
REPEATS = 3
MOST = 1.3


def agent() -> Any:
    """A model that asks for one tool, forty times, and a tool that does nothing but note it."""
    from tests.replay_shapes import KYOTO, looping  # noqa: PLC0415  # only where it is measured

    return looping(*[[KYOTO]] * TURNS)


Took = tuple[float, float]
"""Seconds by the clock, and of processor time."""


def plain(folder: Path, number: int) -> Took:
    """What the graph itself takes, with a checkpointer."""
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415  # as above

    with contextlib.closing(sqlite3.connect(folder / f"plain{number}.sqlite", check_same_thread=False)) as connection:
        graph = agent().copy(update={"checkpointer": SqliteSaver(connection)})
        begun, worked = time.perf_counter(), time.process_time()
        graph.invoke({"messages": [("user", "Kyoto")]}, {"configurable": {"thread_id": "thread"}, "recursion_limit": 1000})
        return time.perf_counter() - begun, time.process_time() - worked


def record(folder: Path) -> Path:
    """The same graph, recorded."""
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415  # as above

    import workbench as wb  # noqa: PLC0415  # as above

    with contextlib.closing(sqlite3.connect(folder / "checkpoints.sqlite", check_same_thread=False)) as connection:
        saved = agent().copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(saved, folder / "bench.db") as graph:
            graph.invoke({"messages": [("user", "Kyoto")]}, {"configurable": {"thread_id": "thread"}, "recursion_limit": 1000})
    return folder / "bench.db"


def worked(request: Any) -> float:
    """Seconds of processor time that a re-run's graph takes from its first start to its last end, in this very process, what it tells included."""
    from workbench.replay.channel import Line  # noqa: PLC0415  # as above
    from workbench.replay.fence.drive import Drive  # noqa: PLC0415  # as above
    from workbench.replay.fence.rerun import rerun  # noqa: PLC0415  # as above
    from workbench.replay.fence.tripwire import Tripwire  # noqa: PLC0415  # as above

    took, through = [], Drive.through

    def timed(drive: Drive) -> Any:
        began = time.process_time()
        ended = through(drive)
        took.append(time.process_time() - began)
        return ended

    Drive.through = timed  # type: ignore[method-assign]
    with Path(os.devnull).open("w") as nowhere, Path(os.devnull).open() as nothing:
        answer = rerun(request, Line(nothing, nowhere), Tripwire([Path(request.folder)], []))
    if answer.ended != "done":
        raise SystemExit(f"the re-run ended otherwise: {answer.ended}: {answer.says}")
    return took[0]


def replay(store: Path) -> Took:
    """What its replay takes once its process stands: from the first start of the graph to its last end."""
    import workbench as wb  # noqa: PLC0415  # as above
    from workbench.replay import forking  # noqa: PLC0415  # as above

    heard: list[Any] = []
    kept: list[Any] = []
    really = forking._heard

    def keep(wish: Any, request: Any, work: Any) -> Any:
        folder = store.with_name("again") / str(os.getpid())
        shutil.copytree(work.folder, folder)
        moved = {name: str(folder / Path(getattr(request, name)).relative_to(work.folder)) for name in ("folder", "database", "witness", "recorded")}
        kept.append(request.model_copy(update=moved))
        heard.append(really(wish, request, work))
        return heard[-1]

    forking._heard = keep
    with contextlib.closing(wb.open(store)) as bench:
        bench.ingest(store.with_name("checkpoints.sqlite"))
        run = bench.run("thread")
        forked = run.fork(0, graph="tests.bench.replaying:agent")
    forking._heard = really
    if not forked.receipt.clean:
        raise SystemExit(f"the replay is not clean: {forked.receipt}")
    roots = [span for span in heard[0].spans if span.parent_span_id is None]
    return float(sum(span.end_ns - span.start_ns for span in roots) / 1e9), worked(kept[0])


def main() -> int:
    """Print the ratio, the best of a few; exit code 1 where it is too high."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["LEDGER"] = str(folder / "ledger.txt")
        took = [plain(folder, number) for number in range(REPEATS)]
        store = record(folder)
        again = [
            json.loads(subprocess.run([sys.executable, "-m", "tests.bench.replaying", str(store)], capture_output=True, text=True, check=True).stdout)
            for _ in range(REPEATS)
        ]
    (clock, work), (clock_again, work_again) = (map(min, zip(*every, strict=True)) for every in (took, again))
    told = {"plain_seconds": clock, "replay_seconds": clock_again, "ratio": clock_again / clock}
    told |= {"plain_cpu_seconds": work, "replay_cpu_seconds": work_again, "cpu_ratio": work_again / work}
    print(json.dumps({"turns": TURNS, **{name: round(value, 3) for name, value in told.items()}, "most": MOST}))
    return int(told["ratio"] > MOST)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(replay(Path(sys.argv[1]))))
        sys.exit(0)
    sys.exit(main())
