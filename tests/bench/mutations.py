"""How many planted faults each structural detector finds, and how many healthy runs it flags: `python -m tests.bench.mutations [RUNS]`.

Prints a table. Severity says which of the healthy runs flagged were more than hints. Exits 1 where recall is below 0.99 or more than one healthy run in a
thousand is flagged.
"""

from __future__ import annotations

import sys
import time

from tests.mutations import PLANTED, drawn, found, healthy, missed
from workbench.plugins import detectors

RECALL, ALARMS = 0.99, 0.001


def main(runs: int = 2000) -> int:
    """Measure every detector that has a mutation; returns the exit code."""
    known, failed = detectors(), 0
    clean = [drawn(healthy(seed)) for seed in range(runs)]
    print(f"{'detector':28s} {'recall':>8s} {'flagged':>8s} {'per 1,000':>10s} {'ms a run':>9s}   {runs:,} healthy runs, each once with a fault")
    for name in PLANTED:
        began = time.perf_counter()
        alarms = sum(bool(found(known[name], run)) for run in clean)
        each_ms = 1000 * (time.perf_counter() - began) / runs
        recall = 1 - len(missed(known[name], range(runs))) / runs
        bad = recall < RECALL or alarms > ALARMS * runs
        failed += bad
        print(f"{name:28s} {recall:8.4f} {alarms:8d} {1000 * alarms / runs:10.2f} {each_ms:9.3f}{'   <- not good enough' if bad else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
