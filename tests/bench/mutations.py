"""How many planted faults each structural detector finds, and how many healthy runs it flags: `python -m tests.bench.mutations [RUNS] [FILE ...]`.

Prints a table. Exits 1 where recall is below 0.99 or more than one healthy run in a thousand is flagged. With chat logs (`.jsonl`, also compressed), the faults
are planted in their runs, too: in those where the detector sees none, since nobody knows whether the others are healthy.
"""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from random import Random

from tests.mutations import PLANTED, clean, drawn, found, missed
from workbench.model import Conversation, Step
from workbench.normalise.chat import from_conversation
from workbench.plugins import collectors, detectors
from workbench.source import Source

RECALL, ALARMS, TAKEN = 0.99, 0.001, 200


def main(runs: int = 2000, *paths: str) -> int:
    """Measure every detector that has a mutation; returns the exit code."""
    known, failed = detectors(), 0
    unharmed = clean(runs)
    logged = {Path(path).name.partition(".")[0]: recorded(Path(path)) for path in paths}
    print(f"{'detector':28s} {'recall':>8s} {'flagged':>8s} {'per 1,000':>10s} {'ms a run':>9s}{''.join(f'{name:>14s}' for name in logged)}")
    for name in PLANTED:
        began = time.perf_counter()
        alarms = sum(bool(found(known[name], run)) for run in unharmed)
        each_ms = 1000 * (time.perf_counter() - began) / runs
        recall = 1 - len(missed(known[name], range(runs))) / runs
        elsewhere = [planted_in(name, real) for real in logged.values()]
        bad = recall < RECALL or alarms > ALARMS * runs
        failed += bad
        print(f"{name:28s} {recall:8.4f} {alarms:8d} {1000 * alarms / runs:10.2f} {each_ms:9.3f}{''.join(f'{share:>14s}' for share in elsewhere)}", flush=True)
    return 1 if failed else 0


def recorded(path: Path) -> list[list[Step]]:
    """The steps of the first runs of a chat log in which a model answers more than once."""
    told = (from_conversation(one) for one in collectors()["chat-log"].collect(Source(path)) if isinstance(one, Conversation))
    return [list(run.steps) for run in islice((run for run in told if len(list(run.of_kind("model"))) > 1), TAKEN)]


def planted_in(name: str, runs: list[list[Step]]) -> str:
    """How many of the faults planted in recorded runs are found, of those in which the detector saw none before."""
    detector = detectors()[name]
    quiet = [steps for steps in runs if not found(detector, drawn(steps))]
    hits = sum(bool(found(detector, drawn(PLANTED[name](steps, Random(seed))))) for seed, steps in enumerate(quiet))
    return f"{hits}/{len(quiet)}"


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2]), *sys.argv[2:]))
