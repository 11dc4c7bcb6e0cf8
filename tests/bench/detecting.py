"""Detectors over labelled public runs: runs a second on one core and on an executor of processes, and whether the cost is linear in the steps.

    python -m tests.bench.detecting [RUNS]

The runs lie beside the repository; without them, runs of our own drawing are measured, which compare with nobody's.
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

import workbench
from tests.mutations import clean
from workbench.detection import examined
from workbench.model import Run
from workbench.sketch import model, sketch, tool, user

SET = Path(__file__).resolve().parents[3] / "shared" / "data" / "detection" / "unified" / "agentdojo.jsonl.xz"
RUNS, CORES, LENGTHS = 5_000, 2, (10, 100, 1_000, 10_000)


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


def seconds(chosen: list[Run], path: Path, executor: ProcessPoolExecutor | None) -> tuple[float, float]:
    """Wall seconds, and seconds of this process's CPU, of examining these runs and keeping what is found; a second look must find nothing left to do."""
    bench = workbench.open(path)
    bench.store.save_runs(chosen)
    began, began_cpu = time.perf_counter(), time.process_time()
    bench.detect(executor=executor)
    took = time.perf_counter() - began, time.process_time() - began_cpu
    again = bench.detect(executor=executor).detection.examined
    bench.close()
    if again:
        raise SystemExit(f"{len(again)} runs were looked at a second time though nothing changed")
    return took


def long_run(steps: int) -> Run:
    """A run of so many steps: a question, and look-ups with their answers."""
    pairs = ((model("", calls=(("look_up", {"n": n}),)), tool("look_up", {"n": n}, f"row {n}: {n * 7} items in stock")) for n in range(steps // 2))
    return sketch(user("How many are there?"), *(step for pair in pairs for step in pair))


def main(count: int) -> None:
    """Print runs a second, and microseconds a step by length."""
    with tempfile.TemporaryDirectory(prefix="bench-detecting-") as name:
        folder = Path(name)
        chosen = runs(count, folder)
        alone, cpu = seconds(chosen, folder / "alone.db", None)
        with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as executor:
            list(executor.map(examined, chosen[:CORES]))  # started before it is measured
            spread, _ = seconds(chosen, folder / "spread.db", executor)
    print(f"{len(chosen):,} runs: {len(chosen) / cpu:.0f} a second of CPU on one core, {alone / spread:.2f} × as many in the same time with {CORES} processes")
    for steps in LENGTHS:
        run = long_run(steps)
        began = time.process_time()
        examined(run)
        took = (time.process_time() - began) / steps * 1e6
        print(f"  {steps:>6,} steps: {took:,.0f} µs of CPU a step, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MB at most so far")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
