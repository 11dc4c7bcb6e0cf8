"""How long a replay takes beside the plain graph with the same stub tools, start-up of the process apart: `python -m tests.bench.replaying`."""

from __future__ import annotations

import contextlib
import json
import os
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


def plain(folder: Path, number: int) -> float:
    """Seconds that the graph itself takes, with a checkpointer."""
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415  # as above

    with contextlib.closing(sqlite3.connect(folder / f"plain{number}.sqlite", check_same_thread=False)) as connection:
        graph = agent().copy(update={"checkpointer": SqliteSaver(connection)})
        begun = time.perf_counter()
        graph.invoke({"messages": [("user", "Kyoto")]}, {"configurable": {"thread_id": "thread"}, "recursion_limit": 1000})
        return time.perf_counter() - begun


def record(folder: Path) -> Path:
    """The same graph, recorded."""
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415  # as above

    import workbench as wb  # noqa: PLC0415  # as above

    with contextlib.closing(sqlite3.connect(folder / "checkpoints.sqlite", check_same_thread=False)) as connection:
        saved = agent().copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(saved, folder / "bench.db") as graph:
            graph.invoke({"messages": [("user", "Kyoto")]}, {"configurable": {"thread_id": "thread"}, "recursion_limit": 1000})
    return folder / "bench.db"


def replay(store: Path) -> float:
    """Seconds that its replay takes once its process stands: from the first start of the graph to its last end, by the re-run's own spans."""
    import workbench as wb  # noqa: PLC0415  # as above
    from workbench.replay import forking  # noqa: PLC0415  # as above

    heard: list[Any] = []
    really = forking._heard

    def keep(*given: Any) -> Any:
        heard.append(really(*given))
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
    return float(sum(span.end_ns - span.start_ns for span in roots) / 1e9)


def main() -> int:
    """Print the ratio, the best of a few; exit code 1 where it is too high."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["LEDGER"] = str(folder / "ledger.txt")
        took = [plain(folder, number) for number in range(REPEATS)]
        store = record(folder)
        again = [
            float(subprocess.run([sys.executable, "-m", "tests.bench.replaying", str(store)], capture_output=True, text=True, check=True).stdout)
            for _ in range(REPEATS)
        ]
    ratio = min(again) / min(took)
    print(json.dumps({"turns": TURNS, "plain_seconds": round(min(took), 3), "replay_seconds": round(min(again), 3), "ratio": round(ratio, 2), "most": MOST}))
    return int(ratio > MOST)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(replay(Path(sys.argv[1])))
        sys.exit(0)
    sys.exit(main())
