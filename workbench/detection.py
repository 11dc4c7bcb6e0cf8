"""Runs the detectors over runs and stores what they say. A run they have seen is not looked at again until it, or they, change."""

from __future__ import annotations

import hashlib
import inspect
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from difflib import get_close_matches

from workbench.model import Finding, NotEvaluated, Run
from workbench.plugins import Detector, detectors
from workbench.store import Store

ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass
class Detection:
    """What came of one `detect`: the runs that were looked at now, what the detectors raised, and the seconds each took."""

    examined: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def detect(store: Store, *, only: Collection[str] | None = None, progress: Callable[[str, int, int], None] | None = None) -> Detection:
    """Examine every run (or `only` these) that these detectors have not seen yet; `progress(run_id, done, total)` is called before each."""
    result = Detection()
    fingerprint = _fingerprint()
    waiting = [run_id for run_id in store.unexamined(fingerprint) if only is None or run_id in only]
    for number, run in enumerate(store.runs(waiting)):
        if progress:
            progress(run.run_id, number, len(waiting))
        findings, lacks = examine(run, result)
        store.save_examination(run.run_id, fingerprint, findings, lacks)
        result.examined.append(run.run_id)
    return result


def examine(run: Run, result: Detection | None = None) -> tuple[list[Finding], list[NotEvaluated]]:
    """What every detector says of one run, the gravest finding first. A detector that raises is reported as not evaluated; the others go on."""
    result = result or Detection()
    findings: list[Finding] = []
    lacks: list[NotEvaluated] = []
    for detector in detectors().values():
        started = time.perf_counter()
        for said in _said(detector, run, result):
            (findings if isinstance(said, Finding) else lacks).append(said)  # type: ignore[arg-type]  # each goes into the list of its kind
        result.seconds[detector.name] = result.seconds.get(detector.name, 0.0) + time.perf_counter() - started
    return ranked(findings), lacks


def ranked(findings: list[Finding]) -> list[Finding]:
    """Gravest first: by severity, then score, then where they stand in the run."""
    return sorted(findings, key=lambda one: (ORDER[one.severity], -one.score, one.step is None, one.step or 0, one.detector))


def named(name: str) -> Detector:
    """The detector of this name. LookupError names the nearest."""
    known = detectors()
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.0)
        raise LookupError(f"there is no detector {name!r}; the nearest is {near[0]!r}, all are {', '.join(known)}")
    return known[name]


def _said(detector: Detector, run: Run, result: Detection) -> list[Finding | NotEvaluated]:
    try:
        return list(detector.detect(run))
    except Exception as error:  # noqa: BLE001  # a detector is someone's plug-in: its fault is reported with place, and the others go on
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else detector.name
        why = f"the detector failed at {place}: {type(error).__name__}: {error}"
        result.failures.append(f"{detector.name} on {run.run_id}: {why}")
        return [NotEvaluated(detector=detector.name, run_id=run.run_id, why=why)]


def _fingerprint() -> str:
    """A hash over the detectors' own code: when it changes, every run is looked at again."""
    code = "".join(inspect.getsource(sys.modules[detector.detect.__module__]) for detector in detectors().values())
    return hashlib.sha256(code.encode()).hexdigest()[:16]
