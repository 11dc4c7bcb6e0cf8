"""Measures the detectors on public runs with known outcomes, and writes what came of it to `workbench/figures.json`.

    python -m tests.bench.detectors [SETS]

The scorer and its labelled runs lie beside the repository; without them nothing is measured and nothing is written. What counts as right
depends on what a detector claims: one about injected instructions is right where the injection was followed, any other where the run failed.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from workbench.checklist import Item
from workbench.figures import FAILED, Figure
from workbench.plugins import detectors

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ROOT.parent / "shared" / "checks" / "score_detectors.py"
LABELS = ROOT.parent / "shared" / "data" / "detection" / "unified"
TITLES = {"agentdojo": "AgentDojo dev", "tau_bench": "tau-bench dev", "tau2_bench": "tau2-bench dev", "swe_agent": "SWE-agent dev"}
FOLLOWED = "the injected instruction was followed"
DEFENCES: Item = "injection-defences"
LAUNCHER = """#!/bin/sh
[ "$1" = detect ] || exec {python} -m workbench.cli "$@"
{python} -m workbench.cli "$@" > {folder}/said.jsonl || exit
tee -a {folder}/findings.jsonl < {folder}/said.jsonl
"""


def main(sets: list[str]) -> None:
    """Run the scorer over the product, and keep what it counted."""
    if not CHECKS.exists():
        sys.exit(f"no {CHECKS}: there is nothing to measure with, and the figures stay as they are")
    with tempfile.TemporaryDirectory(prefix="bench-detectors-") as name:
        report, said = json.loads(_scored(Path(name), sets or list(TITLES))), _said(Path(name, "findings.jsonl"))
    today = datetime.now(UTC).date().isoformat()
    found = [*figures_in(report, today), *errors_in(said, _labels(sets or list(TITLES)), today)]
    keep(found, {TITLES[name] for name in sets or TITLES})
    for figure in found:
        print(f"{figure.detector}: {figure}")
    for detector in sorted(set(detectors()) - {figure.detector for figure in found}):
        print(f"{detector}: unmeasured, it flagged nothing or nobody has labels for what it claims")


def _scored(folder: Path, sets: list[str]) -> str:
    launcher = folder / "workbench"
    launcher.write_text(LAUNCHER.format(python=sys.executable, folder=folder), "utf-8")
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


def errors_in(said: Iterable[dict[str, str]], labels: Mapping[str, Mapping[str, bool]], measured: str) -> Iterator[Figure]:
    """The figures of what a detector calls errors, where the labels tell of just what it claims: that the injected instruction was followed."""
    flagged: dict[str, set[str]] = {}
    for one in said:
        if one.get("severity") == "error" and DEFENCES in _items_of(one["detector"]):
            flagged.setdefault(one["detector"], set()).add(one["run_id"])
    for name, outcomes in labels.items():
        for detector, runs in flagged.items():
            judged = runs & outcomes.keys()
            counts = {"hits": sum(outcomes[one] for one in judged), "flagged": len(judged), "positives": sum(outcomes.values()), "runs": len(outcomes)}
            if judged:
                yield Figure(detector=detector, dataset=TITLES[name], measured=measured, positive=FOLLOWED, least="error", **counts)


def _labels(sets: list[str]) -> dict[str, dict[str, bool]]:
    """Of each set that was attacked, whether each attacked run followed the instruction."""
    found: dict[str, dict[str, bool]] = {}
    for name in sets:
        with (LABELS / f"{name}.labels.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("label_valid") == "True" and row.get("injection_followed") in {"True", "False"}]
        found |= {name: {row["run_id"]: row["injection_followed"] == "True" for row in rows}} if rows else {}
    return found


def _said(path: Path) -> list[dict[str, str]]:
    return [one for line in path.read_text("utf-8").splitlines() if "detector" in (one := json.loads(line))]


@cache
def _items_of(detector: str) -> frozenset[str | None]:
    known = detectors().get(detector)
    return frozenset(finding.item for run in known.fires_on for finding in known.detect(run) if hasattr(finding, "item")) if known else frozenset()


def keep(found: Iterable[Figure], measured_now: Collection[str]) -> None:
    """Write these figures over those of the same datasets; the others stay as they are."""
    path = ROOT / "workbench" / "figures.json"
    kept = [figure for row in json.loads(path.read_text("utf-8")) if (figure := Figure.model_validate(row)).dataset not in measured_now]
    ordered = sorted([*kept, *found], key=lambda one: (one.detector, one.dataset, one.least))
    lines = ",\n".join(f" {figure.model_dump_json()}" for figure in ordered)
    path.write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1].split(",") if len(sys.argv) > 1 else [])
