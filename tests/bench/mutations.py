"""How many planted faults each structural detector finds, and how many healthy runs it flags: `python -m tests.bench.mutations [RUNS] [FILE ...]`.

Prints a table, and keeps the figures that findings show (`workbench/figures.json`) where there are 1,000 runs or more. Exits 1 where recall is below 0.99,
more than one healthy run in a thousand is flagged, or another telling of the faulty runs (`tests/metamorphic.py`) costs more than three points. With chat
logs (`.jsonl`, also compressed), the faults are planted in their runs, too: in those where the detector sees none, since nobody knows whether the others
are healthy.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random

from tests import mutations
from tests.bench.detectors import keep
from tests.metamorphic import TRANSFORMATIONS
from tests.mutations import PLANTED as MUTATIONS
from tests.mutations import clean, convicts, drawn, found, told_of
from workbench.figures import PLANTED, THE_FAULT, Figure
from workbench.model import Conversation, Severity, Step
from workbench.normalise.chat import from_conversation
from workbench.plugins import Detector, collectors, detectors
from workbench.source import Source

RECALL, ALARMS, LOST, TAKEN, ENOUGH, RETOLD = 0.99, 0.001, 0.03, 200, 1000, 10
"""What is wanted; recorded runs that faults are planted in; runs from which on figures are kept; one in so many faulty runs is told in other words, too."""


def main(runs: int = 2000, *paths: str) -> int:
    """Measure every detector that has a mutation; returns the exit code."""
    known, failed, measured = detectors(), 0, list[Figure]()
    unharmed = clean(runs)
    logged = {Path(path).name.partition(".")[0]: recorded(Path(path)) for path in paths}
    print(f"{'detector':28s} {'recall':>8s} {'flagged':>8s} {'per 1,000':>10s} {'retold':>8s} {'ms a run':>9s}{''.join(f'{name:>14s}' for name in logged)}")
    for name in MUTATIONS:
        began = time.perf_counter()
        sound = [found(known[name], run) for run in unharmed]
        each_ms = 1000 * (time.perf_counter() - began) / runs
        pairs = [told_of(known[name], seed) for seed in range(runs)]
        alarms, hits = sum(map(bool, sound)), sum(len(faulty) > len(before) for faulty, before in pairs)
        convicted = sum(len(convicts(faulty)) > len(convicts(before)) for faulty, before in pairs), sum(bool(convicts(one)) for one in sound)
        recall = hits / runs
        measured += [_figure(name, hits, alarms, runs), *([_figure(name, *convicted, runs, "error")] if any(convicted) else [])]
        elsewhere = [planted_in(name, real) for real in logged.values()]
        worst = min(retold(known[name], range(max(1, runs // RETOLD))).values())
        bad = recall < RECALL or alarms > ALARMS * runs or worst < recall - LOST
        failed += bad
        shares = "".join(f"{share:>14s}" for share in elsewhere)
        print(f"{name:28s} {recall:8.4f} {alarms:8d} {1000 * alarms / runs:10.2f} {worst:8.4f} {each_ms:9.3f}{shares}", flush=True)
    if runs >= ENOUGH:
        keep(measured, {PLANTED})
    return 1 if failed else 0


def retold(detector: Detector, seeds: range) -> dict[str, float]:
    """The recall by telling: the share of these planted faults that is found when tools and agents are renamed, the text paraphrased, formats changed."""
    runs = [mutations.planted(detector.name, seed) for seed in seeds]
    return {telling: sum(bool(found(detector, change(run))) for run in runs) / len(runs) for telling, change in TRANSFORMATIONS.items()}


def _figure(name: str, hits: int, alarms: int, runs: int, least: Severity = "info") -> Figure:
    counts = {"hits": hits, "flagged": hits + alarms, "positives": runs, "runs": 2 * runs}
    return Figure(detector=name, dataset=PLANTED, measured=datetime.now(UTC).date(), positive=THE_FAULT, least=least, **counts)


def recorded(path: Path) -> list[list[Step]]:
    """The steps of the first runs of a chat log in which a model answers more than once."""
    told = (from_conversation(one) for one in collectors()["chat-log"].collect(Source(path)) if isinstance(one, Conversation))
    return [list(run.steps) for run in islice((run for run in told if len(list(run.of_kind("model"))) > 1), TAKEN)]


def planted_in(name: str, runs: list[list[Step]]) -> str:
    """How many of the faults planted in recorded runs are found, of those in which the detector saw none before."""
    detector = detectors()[name]
    quiet = [steps for steps in runs if not found(detector, drawn(steps))]
    hits = sum(bool(found(detector, drawn(MUTATIONS[name](steps, Random(seed))))) for seed, steps in enumerate(quiet))
    return f"{hits}/{len(quiet)}"


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2]), *sys.argv[2:]))
