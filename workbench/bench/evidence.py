"""What a store can say to the statements of a report that was written earlier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.bench.recorded_run import RecordedRun
from workbench.comparison.controls import Outcome, outcome_of
from workbench.model import Finding, Receipt, Run
from workbench.replay.sweeps import Cell
from workbench.report import Report
from workbench.report.reference import Reference
from workbench.report.sweeps import Sweep
from workbench.results.compared import Compared
from workbench.results.swept import Repetition, Swept

if TYPE_CHECKING:
    from workbench.bench.bench import Bench


class Evidence:
    """What the check of a report asks of a bench."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._known = frozenset(bench.store.run_ids())
        self._runs: dict[str, RecordedRun] = {}

    def _recorded(self, run_id: str) -> RecordedRun:
        return self._runs.setdefault(run_id, RecordedRun(self._bench, run_id))

    def run(self, run_id: str) -> Run | None:
        """The run of exactly this id; None where there is none."""
        return self._recorded(run_id).run if run_id in self._known else None

    def findings(self, run_id: str) -> list[Finding]:
        """What is found in it now."""
        return self._recorded(run_id).findings

    def again(self, reference: Reference) -> Report:
        """The same report, made of what the store holds now, with the reviews that there were when it was written."""
        made = self._again(reference)
        return made if reference.kind in {"audit", "sweep"} else self._bench.with_records(made, reference.reviewed_ns or 0)

    def _again(self, reference: Reference) -> Report:
        if reference.kind == "audit":
            return self._bench.audit().report()
        if reference.sweep is not None:
            return self._swept(reference.sweep).report()
        if reference.scope is not None:
            return self._bench.incident_in(reference.scope, reference.run_ids, reference.reviewed_ns or 0).report()
        if reference.run_ids is None:
            return self._bench.report()
        if reference.kind == "store":
            return self._bench.report(only=self._known.intersection(reference.run_ids))
        recorded = [self._recorded(run_id) for run_id in reference.run_ids]
        return Compared(*recorded, ignore=reference.ignored).report() if reference.kind == "comparison" else recorded[0].report()

    def _swept(self, told: Sweep) -> Swept:
        """A sweep as the store has its forks now. What a function of the user's counted is taken as it is told: it can't be asked again."""
        store = self._bench.store
        parent = store.run(told.run_id)
        held = {one.run_id: bool(one.held) for one in told.forks}
        outcome = outcome_of(parent, told.word) if told.word else Outcome(told.counted, lambda run: held.get(run.run_id, False))
        repetitions = [Repetition(Cell(one.at, one.change, one.number), one.how, *self._kept(one.run_id), one.says) for one in told.forks]
        return Swept(parent, outcome, repetitions)

    def _kept(self, fork_id: str | None) -> tuple[Run | None, Receipt | None]:
        return (None, None) if fork_id is None else (self._bench.store.run(fork_id), self._bench.store.receipt(fork_id))
