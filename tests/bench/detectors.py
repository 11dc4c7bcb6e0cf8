"""Measures the detectors on public runs with known outcomes, and writes what came of it to `workbench/figures.json`.

    python -m tests.bench.detectors [SETS]

The scorer and its labelled runs lie beside the repository; without them nothing is measured and nothing is written. What counts as right
depends on what a detector claims: one about injected instructions is right where the injection was followed, any other where the run failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from workbench.checklist import Item
from workbench.figures import Figure
from workbench.plugins import detectors

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ROOT.parent / "shared" / "checks" / "score_detectors.py"
LABELS = ROOT.parent / "shared" / "data" / "detection" / "unified"
TITLES = {"agentdojo": "AgentDojo dev", "tau_bench": "tau-bench dev", "tau2_bench": "tau2-bench dev", "swe_agent": "SWE-agent dev"}
FOLLOWED, FAILED = "the injected instruction was followed", "the run failed"
DEFENCES: Item = "injection-defences"
LAUNCHER = '#!/bin/sh\nexec {python} -m workbench.cli "$@"\n'


def main(sets: list[str]) -> None:
    """Run the scorer over the product, and keep what it counted."""
    if not CHECKS.exists():
        sys.exit(f"no {CHECKS}: there is nothing to measure with, and the figures stay as they are")
    with tempfile.TemporaryDirectory(prefix="bench-detectors-") as name:
        report = json.loads(_scored(Path(name), sets or list(TITLES)))
    found = [*_kept(sets), *figures_in(report, datetime.now(UTC).date().isoformat())]
    lines = ",\n".join(f" {figure.model_dump_json()}" for figure in sorted(found, key=lambda one: (one.detector, one.dataset)))
    (ROOT / "workbench" / "figures.json").write_text(f"[\n{lines}\n]\n", "utf-8")
    for figure in found:
        print(f"{figure.detector}: {figure}")
    for detector in sorted(set(detectors()) - {figure.detector for figure in found}):
        print(f"{detector}: unmeasured, it flagged nothing or nobody has labels for what it claims")


def _scored(folder: Path, sets: list[str]) -> str:
    launcher = folder / "workbench"
    launcher.write_text(LAUNCHER.format(python=sys.executable), "utf-8")
    launcher.chmod(0o755)
    command = [sys.executable, str(CHECKS), "--labels", str(LABELS), "--run", "--sets", ",".join(sets), "--json", str(folder / "report.json")]
    done = subprocess.run(command, env={"WORKBENCH": str(launcher), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=False)
    if done.returncode:
        sys.exit("the scorer found problems (above): figures of such a report must not be quoted, and stay as they are")
    return (folder / "report.json").read_text("utf-8")


def figures_in(report: dict[str, dict[str, object]], measured: str) -> Iterator[Figure]:
    """The figures of every detector that flagged anything, out of the scorer's flag rates by outcome."""
    for name, rates in report["flag_rates"].items():
        runs = rates["runs"]
        for detector, by_outcome in rates["detectors"].items():
            claims_injection = DEFENCES in _items_of(detector)
            good, bad = ("resisted", "followed") if claims_injection else ("succeeded", "failed")
            if good not in runs or bad not in runs or detector not in detectors():
                continue
            hits, false = (round(by_outcome[outcome] * runs[outcome]) for outcome in (bad, good))
            counts = {"hits": hits, "flagged": hits + false, "positives": runs[bad], "runs": runs[good] + runs[bad]}
            yield Figure(detector=detector, dataset=TITLES[name], measured=measured, positive=FOLLOWED if claims_injection else FAILED, **counts)


def _items_of(detector: str) -> set[str | None]:
    known = detectors().get(detector)
    return {finding.item for run in known.fires_on for finding in known.detect(run) if hasattr(finding, "item")} if known else set()


def _kept(sets: list[str]) -> list[Figure]:
    """The figures of sets that are not measured now."""
    measured_now = {TITLES[name] for name in sets or TITLES}
    rows = json.loads((ROOT / "workbench" / "figures.json").read_text("utf-8"))
    return [figure for row in rows if (figure := Figure.model_validate(row)).dataset not in measured_now]


if __name__ == "__main__":
    main(sys.argv[1].split(",") if len(sys.argv) > 1 else [])
