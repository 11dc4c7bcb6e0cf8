"""How long a replay takes beside the plain graph with stub tools, start-up of the process apart: `python -m tests.bench.replaying [ROUNDS]`.

The agent asks for a tool forty times over; neither its model nor its tool does anything. In each round it runs plainly, and is replayed. Each time that is in
a process of its own, forked from one that has LangGraph loaded, after a first short run: the re-run's process has proved its fence by one, too.

The floor keeps its checkpoints in a SQLite file, as agents in production do, set up as the re-run's own is: what was written is not waited for until it is
on the disk, which makes the floor lower, and the same on a busy disk. Wall-clock time is that of the shut-in process, from the first start of the graph to
its last end. Processor time is that of the same re-run in a process of ours, since the kernel adds up the other's too late.
"""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

import workbench as wb
from tests.bench.looping import TURNS, agent, invoke, plain, replayed
from tests.bench.measuring import Spent, ratio, told
from workbench.replay import forking
from workbench.replay.protocol import Request

ROUNDS, MOST = 15, 1.3


class Product:
    """The recorded run in a store, replayed as a user does it. `request` is what the last re-run was asked, with its files in a place of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.done = folder, folder / "bench.db", 0
        with closing(sqlite3.connect(folder / "checkpoints.sqlite", check_same_thread=False)) as connection:
            saved = agent().copy(update={"checkpointer": SqliteSaver(connection)})
            with wb.record(saved, self.store) as graph:
                invoke(graph)
        self.bench = wb.open(self.store)
        self.bench.ingest(folder / "checkpoints.sqlite")
        self.request: Request | None = None
        self.seconds = 0.0
        self._heard, forking._heard = forking._heard, self._keep

    def replay(self) -> float:
        """Seconds by the clock from the first start of the graph to its last end, in its shut-in process."""
        forked = self.bench.run("thread").fork(0, graph="tests.bench.looping:agent")
        if not forked.receipt.clean:
            raise SystemExit(f"the replay is not clean: {forked.receipt}")
        return self.seconds

    def _keep(self, wish: Any, cut: Any, request: Request, work: Any) -> Any:
        self.done += 1
        there = self.folder / f"again{self.done}"
        shutil.copytree(work.folder, there)
        moved = {name: str(there / Path(getattr(request, name)).relative_to(work.folder)) for name in ("folder", "database", "witness", "recorded")}
        self.request = request.model_copy(update=moved)
        answer = self._heard(wish, cut, request, work)
        self.seconds = sum((one.end_ns or 0) - one.start_ns for one in answer.spans if one.parent_span_id is None) / 1e9
        return answer


def apart(work: Callable[..., Spent], given: object) -> Spent:
    """What a piece of work takes in a process of its own, forked from one that has loaded all of this."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([plain.__module__])
    with ProcessPoolExecutor(1, mp_context=server) as pool:
        return pool.submit(work, given).result()


def main(rounds: int) -> int:
    """Print each round and the median of its ratios; exit code 1 where that of wall time is too high."""
    with tempfile.TemporaryDirectory() as name:
        product, took = Product(Path(name)), []
        for number in range(rounds):
            floor, seconds = apart(plain, Path(name) / f"plain{number}.sqlite"), product.replay()
            took.append((Spent(apart(replayed, product.request).cpu, seconds), floor))
            print("  " + "; ".join(f"{who} {one.wall:.3f} s, {one.cpu:.3f} of a processor" for who, one in zip(("replay", "plain"), took[-1], strict=True)))
        product.bench.close()
    print(told(f"a replay of {TURNS} turns, {rounds} rounds", took, f"at most {MOST}"))
    walls = sorted(ours.wall / floor.wall for ours, floor in took)
    print(f"  rounds in wall time: {walls[0]:.2f} to {walls[-1]:.2f}, {sum(one > MOST for one in walls)} above {MOST}")
    return int(ratio(took, "wall") > MOST)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
