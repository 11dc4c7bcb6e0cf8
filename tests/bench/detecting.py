"""Detectors over labelled public runs: runs a second on one core and on an executor of processes, memory, and whether the cost is linear in the steps.

    python -m tests.bench.detecting [RUNS]

The runs lie beside the repository; without them, runs of our own drawing are measured, which compare with nobody's. Each store is examined in a process of
its own, so that its memory is that of detecting alone: a tenth of the runs and all of them must take about the same, for runs are read one at a time.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import workbench
from tests.mutations import clean
from workbench.detection import examined
from workbench.model import Run
from workbench.sketch import model, sketch, tool, user

SET = Path(__file__).resolve().parents[3] / "shared" / "data" / "detection" / "unified" / "agentdojo.jsonl.xz"
RUNS, CORES, LENGTHS, PART = 5_000, 2, (10, 100, 1_000, 10_000), 10
"""Runs, processes, lengths of a run in steps, and which part of the runs is examined alone for its memory."""


class Took(NamedTuple):
    """What examining a store took: wall seconds, CPU seconds of the process that did it, and its memory at most, in MB."""

    wall: float
    cpu: float
    memory_mb: int


def runs(count: int, folder: Path) -> list[Run]:
    """So many runs to look at."""
    if not SET.exists():
        print(f"no {SET.name}: measuring runs of our own drawing")
        return clean(count)
    bench = workbench.open(folder / "source.db")
    bench.ingest(SET)
    found = list(islice(bench.store.runs(), count))
    bench.close()
    return found


def stored(chosen: list[Run], path: Path) -> Path:
    """A store of these runs."""
    bench = workbench.open(path)
    bench.store.save_runs(chosen)
    bench.close()
    return path


def detect(path: Path, processes: int = 0) -> Took:
    """Examine a store, on so many processes or on none but this; a second look must find nothing left to do."""
    bench = workbench.open(path)
    executor = ProcessPoolExecutor(processes, mp_context=get_context("spawn")) if processes else None
    if executor:
        list(executor.map(examined, clean(processes)))  # started before it is measured
    began, began_cpu = time.perf_counter(), time.process_time()
    bench.detect(executor=executor)
    took = Took(time.perf_counter() - began, time.process_time() - began_cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    again = bench.detect(executor=executor).detection.examined
    if executor:
        executor.shutdown()
    bench.close()
    if again:
        raise SystemExit(f"{len(again)} runs were looked at a second time though nothing changed")
    return took


def alone(path: Path, processes: int = 0) -> Took:
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as one:
        return one.submit(detect, path, processes).result()


def long_run(steps: int) -> Run:
    """A run of so many steps: a question, and look-ups with their answers."""
    pairs = ((model("", calls=(("look_up", {"n": n}),)), tool("look_up", {"n": n}, f"row {n}: {n * 7} items in stock")) for n in range(steps // 2))
    return sketch(user("How many are there?"), *(step for pair in pairs for step in pair))


def seconds(run: Run) -> float:
    """CPU seconds of examining one run: the mean over as many times as make up the longest."""
    times = max(1, LENGTHS[-1] // len(run.steps))
    began = time.process_time()
    for _ in range(times):
        examined(run)
    return (time.process_time() - began) / times


def main(count: int) -> None:
    """Print runs a second, memory, and microseconds a step by length."""
    with tempfile.TemporaryDirectory(prefix="bench-detecting-") as name:
        folder = Path(name)
        chosen = runs(count, folder)
        few, many, spread = (stored(those, folder / file) for those, file in ((chosen[::PART], "few.db"), (chosen, "many.db"), (chosen, "spread.db")))
        part, whole, together = alone(few), alone(many), alone(spread, CORES)
    print(f"{len(chosen):,} runs: {len(chosen) / whole.cpu:.0f} a second of CPU on one core, {whole.wall / together.wall:.2f} × as many with {CORES} processes")
    print(f"  memory at most: {part.memory_mb:,} MB for {len(chosen[::PART]):,} runs, {whole.memory_mb:,} MB for {len(chosen):,}")
    examined(long_run(LENGTHS[0]))  # what is loaded once
    for steps in LENGTHS:
        print(f"  {steps:>6,} steps: {seconds(long_run(steps)) / steps * 1e6:,.0f} µs of CPU a step")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
