"""Runs the detectors over runs and stores what they say. A run they have seen is not looked at again until it, or they, change."""

from __future__ import annotations

import hashlib
import inspect
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import NamedTuple

from workbench.model import Finding, NotEvaluated, Run
from workbench.plugins import Detector, detectors
from workbench.store import Store
from workbench.verdict import signals, verdict

ORDER = {"error": 0, "warning": 1, "info": 2}
AHEAD = 64
"""How many runs wait for an executor at most."""
Detect = Callable[[], Iterable[Finding | NotEvaluated]]
"""A detector's function with what it is to look at."""


@dataclass
class Detection:
    """What came of one `detect`: the runs that were looked at now, what the detectors raised, and the seconds each took."""

    examined: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def detect(
    store: Store,
    *,
    only: Collection[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    executor: Executor | None = None,
) -> Detection:
    """Examine every run (or `only` these) that these detectors have not seen yet; `progress(run_id, done, total)` is called before each is stored.

    With an `executor` of processes the runs are examined there, some at a time, so that memory stays bounded; this process alone writes to the store.
    """
    result = Detection()
    fingerprint = _fingerprint()
    waiting = [run_id for run_id in store.unexamined(fingerprint) if only is None or run_id in only]
    runs = store.runs(waiting)
    for number, one in enumerate(map(examined, runs) if executor is None else _spread(executor, runs)):
        if progress:
            progress(one.run_id, number, len(waiting))
        store.save_examination(one.run_id, fingerprint, one.findings, one.lacks, one.verdict)
        result.examined.append(one.run_id)
        result.failures += one.failures
        for name, seconds in one.seconds.items():
            result.seconds[name] = result.seconds.get(name, 0.0) + seconds
    return result


class Examined(NamedTuple):
    """What came of examining one run. It holds plain values, so that it can come from another process."""

    run_id: str
    findings: list[Finding]
    lacks: list[NotEvaluated]
    verdict: verdict.Verdict
    failures: list[str]
    seconds: dict[str, float]


def examined(run: Run) -> Examined:
    """One run, looked at by every detector, with the verdict on it."""
    done = Detection()
    findings, lacks = examine(run, done)
    return Examined(run.run_id, findings, lacks, verdict.verdict_of(run, findings), done.failures, done.seconds)


def _spread(executor: Executor, runs: Iterable[Run]) -> Iterator[Examined]:
    """Examine runs on an executor, in order, at most so many at once."""
    waiting: deque[Future[Examined]] = deque()
    for run in runs:
        waiting.append(executor.submit(examined, run))
        if len(waiting) >= AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def examine(run: Run, result: Detection | None = None) -> tuple[list[Finding], list[NotEvaluated]]:
    """What every detector says of one run, the gravest finding first. A detector that raises is reported as not evaluated; the others go on."""
    return _examine(((name, partial(one.detect, run)) for name, one in detectors().items()), run.run_id, result or Detection())


def examine_many(runs: Collection[Run], result: Detection | None = None) -> tuple[list[Finding], list[NotEvaluated]]:
    """What the detectors that have a `detect_many` say of many runs together, the gravest finding first. Each reads all of them."""
    asked = ((name, partial(one.detect_many, runs)) for name, one in detectors().items() if one.detect_many)
    return _examine(asked, f"{len(runs)} runs", result or Detection())


def _examine(asked: Iterable[tuple[str, Detect]], what: str, result: Detection) -> tuple[list[Finding], list[NotEvaluated]]:
    findings: list[Finding] = []
    lacks: list[NotEvaluated] = []
    for name, detect_it in asked:
        started = time.perf_counter()
        for one in said(name, detect_it, what, result):
            (findings if isinstance(one, Finding) else lacks).append(one)  # type: ignore[arg-type]  # each goes into the list of its kind
        result.seconds[name] = result.seconds.get(name, 0.0) + time.perf_counter() - started
    return ranked(findings), lacks


def ranked(findings: list[Finding]) -> list[Finding]:
    """Gravest first: by severity, then score, then where they stand in the run."""
    return sorted(findings, key=lambda one: (ORDER[one.severity], -one.score, one.step is None, one.step or 0, one.detector))


def capability_of(detector: Detector) -> str:
    """The part of the production checklist that a detector bears on, as its own examples show."""
    said = [*(one for run in detector.fires_on for one in detector.detect(run)), *(detector.detect_many(detector.fires_on) if detector.together else ())]  # type: ignore[misc]
    return next((one.capability for one in said if isinstance(one, Finding)), "observability")


def named(name: str) -> Detector:
    """The detector of this name. LookupError names the nearest."""
    known = detectors()
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.0)
        raise LookupError(f"there is no detector {name!r}; the nearest is {near[0]!r}, all are {', '.join(known)}")
    return known[name]


def said(name: str, detect_it: Detect, what: str, result: Detection) -> list[Finding | NotEvaluated]:
    """What a detector says; that it failed and where, where it raises, noted in `result` too."""
    try:
        return list(detect_it())
    except Exception as error:  # noqa: BLE001  # a detector is someone's plug-in: its fault is reported with place, and the others go on
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else name
        why = f"the detector failed at {place}: {type(error).__name__}: {error}"
        result.failures.append(f"{name} on {what}: {why}")
        return [NotEvaluated(detector=name, run_id=what, why=why)]


def _fingerprint() -> str:
    """A hash over the detectors' own code and the verdict's: when it changes, every run is looked at again."""
    modules = [*(detector.detect.__module__ for detector in detectors().values()), signals.__name__, verdict.__name__]
    code = "".join(inspect.getsource(sys.modules[module]) for module in modules) + repr(verdict.shipped())
    return hashlib.sha256(code.encode()).hexdigest()[:16]
