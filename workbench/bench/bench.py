"""A bench over one store: ingest, list, detect, look at a run, sweep, report.

Everything here is thin: it finds the run, calls the part that does the work, and shows the result as static text and HTML.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench import collection, detection
from workbench.audit import audit
from workbench.bench.evidence import Evidence
from workbench.bench.recorded_run import RecordedRun
from workbench.bench.reruns import Progress, Reruns, changed
from workbench.bench.results import Audited, Backtested, Ingested, saved
from workbench.bench.reviews import Reviews
from workbench.bench.scopes import check_scope, cohort, moment_ns
from workbench.cohorts.baseline import Baseline
from workbench.cohorts.calibration import calibration
from workbench.cohorts.paths import paths_of
from workbench.comparison.comparison import Ignored
from workbench.comparison.controls import Judge, outcome_of
from workbench.database import location
from workbench.figures import Record
from workbench.incident import Scope, incident_of
from workbench.incident.values import key_of
from workbench.model import Budget, Change, Finding, Json, NotEvaluated, Review, Run
from workbench.redaction import Redactor, Rules, rules_of, stricter
from workbench.replay.budget import Meter
from workbench.replay.effects.approvals import person
from workbench.replay.sweeps import cells
from workbench.replay.unfinished import of as unfinished
from workbench.report import Report, ReportError, static, store_report
from workbench.report.notebook_frames import keep_frames_still
from workbench.report.verification import Unsupported, check
from workbench.results.compared import Compared
from workbench.results.detected import Desk, Detected, Findings
from workbench.results.habits import Calibrated, Flowchart
from workbench.results.investigation import Investigation
from workbench.results.swept import Swept
from workbench.sharing import Shared, share
from workbench.store import Deleted, Store
from workbench.verdict.learning import Learned
from workbench.verdict.verdict import Verdict

if TYPE_CHECKING:
    import polars as pl
    from langchain_core.language_models import BaseChatModel

    from workbench.backtest.backtest import Labels
    from workbench.widgets import ComparisonView, RunList
    from workbench.widgets.opening import Below

Incident = Investigation[RecordedRun, Detected]
"""What `Bench.incident` gives: its `incident` is the frozen value (`workbench.incident`)."""


def open(path: str | os.PathLike[str] = "workbench.db") -> Bench:
    """Open a store, in a file or by URL in a PostgreSQL database, making it where there is none.

    StoreError when the file or database is something else, or was made by a newer workbench.
    """
    keep_frames_still()
    return Bench(Store.open(location(path)))


def compare(reference: RecordedRun | Run, *others: RecordedRun | Run, ignore: Collection[Ignored] = ()) -> Compared:
    """Two or more runs side by side, usually a run and its forks; the first is the reference.

    `ignore` leaves out what differs only in "ids" (fields named like one, UUIDs) or in "times".
    """
    return Compared(reference, *others, ignore=ignore)


class Bench:
    """A store and what one does with it: ingest, list, detect, look at a run, report."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._reviews = Reviews(store)
        collection.catch_up(store)

    def __repr__(self) -> str:
        return f"Bench({str(self.store.path)!r}, {len(self.store.run_ids())} runs)"

    def close(self) -> None:
        """Let go of the store's file or server."""
        self.store.close()

    def ingest(self, *paths: str | os.PathLike[str], progress: collection.Progress | None = None, redaction: bool = True) -> Ingested:
        """Read files and folders of spans, checkpoints and chat logs, and databases by URL, into the store. What is already there is left as it is.

        Secrets are replaced on the way in, and what `[tool.workbench.redaction]` names (`workbench.redaction`); `redaction=False` keeps everything,
        and shows whole the states that are fetched from there later.
        """
        redactor = collection.redactor_of(self.store) if redaction else None
        return Ingested(collection.ingest(self.store, [location(path) for path in paths], progress=progress, redactor=redactor))

    def renormalise(self, *, progress: collection.Progress | None = None) -> collection.Renormalised:
        """Derive every run anew from what is stored, by the conventions as they are now. What was collected stays as it is."""
        return collection.renormalise(self.store, progress=progress)

    def detect(self, *, progress: Callable[[str, int, int], None] | None = None, executor: Executor | None = None) -> Detected:
        """Examine what has not been examined, on an `executor` of processes if one is given; returns every finding of the store, the gravest first."""
        collection.catch_up(self.store)
        done = detection.detect(self.store, progress=progress, executor=executor)
        return self._detected(*self._said(), done)

    def baseline(self, *, agent: str | None = None, version: str | None = None, since: datetime | str | None = None, status: str | None = "ok") -> Baseline:
        """What this agent's runs do, to hold others against: those that ended with `status`, of a `version` (in their metadata), started `since`.

        Forks don't count. ValueError when there is no such run.
        """
        return Baseline.of(cohort(self.store, agent=agent, version=version, since=since, status=status))

    def together(self, *, agent: str | None = None, version: str | None = None, since: datetime | str | None = None) -> Detected:
        """What only many runs together show: habits, drift, paths that never vary. Reads all these runs anew each time."""
        chosen = cohort(self.store, agent=agent, version=version, since=since)
        done = detection.Detection(examined=[])
        findings, lacks = detection.examine_many(chosen, done)
        return self._detected(findings, lacks, done)

    def paths(self, *, agent: str | None = None, version: str | None = None, since: datetime | str | None = None) -> Flowchart:
        """Agent or pipeline? The paths that an agent's runs take from tool to tool, as a flowchart, with how many runs take each."""
        return Flowchart(paths_of(cohort(self.store, agent=agent, version=version, since=since)), agent)

    def calibration(self, labels: Labels | None = None, *, agent: str | None = None, version: str | None = None) -> Calibrated:
        """Whether stated confidence can be believed: of runs that ended so sure, how many went well.

        `labels` tell which runs failed, as for `backtest`; without them, a run that ended in an error failed and one that ended well did not. LabelError says
        what can't be read.
        """
        from workbench.backtest.backtest import read_labels  # noqa: PLC0415  # polars takes a third of a second to import

        failed = None if labels is None else read_labels(labels)
        return Calibrated(calibration(cohort(self.store, agent=agent, version=version, since=None), failed))

    def judge(
        self, model: BaseChatModel | str, *, budget: Budget, runs: Collection[str] | None = None, progress: Callable[[str, int, int], None] | None = None
    ) -> Detected:
        """Ask a chat model (or "provider:name") whether these runs (all of them, without any) failed, within a budget. Answers are kept and not paid for twice.

        Nothing is asked unless you call this: no detector does. ModelError for a model that can't be made.
        """
        from workbench import judge as judging  # noqa: PLC0415  # rarely needed
        from workbench.chat_models import chat_model, name_of  # noqa: PLC0415  # as above

        collection.catch_up(self.store)
        asked = chat_model(model) if isinstance(model, str) else model
        judge = judging.Judge(asked, name_of(asked), Meter(budget), self.store)
        known = list(runs) if runs is not None else [one.run_id for one in self.store.overviews()]
        findings, lacks, done = list[Finding](), list[NotEvaluated](), detection.Detection()
        for number, run in enumerate(self.store.runs(known)):
            if progress:
                progress(run.run_id, number, len(known))
            began = time.perf_counter()
            for said in detection.said(judging.NAME, partial(judge.detect, run), run.run_id, done):
                (findings if isinstance(said, Finding) else lacks).append(said)  # type: ignore[arg-type]  # each goes into the list of its kind
            done.examined.append(run.run_id)
            done.seconds[judging.NAME] = done.seconds.get(judging.NAME, 0.0) + time.perf_counter() - began
        return self._detected(detection.ranked(findings), lacks, done)

    def runs(self) -> pl.DataFrame:
        """One row a run; the columns are described in `workbench.frames`."""
        from workbench.frames import overview_columns_frame  # noqa: PLC0415  # polars takes a third of a second to import

        collection.catch_up(self.store)
        return overview_columns_frame(self.store.overview_columns())

    def view(self, **state: Any) -> RunList:
        """The runs as a live list, failed ones first: filter, sort, group by what was found, open one below, mark some for a comparison.

        `state` sets what the list shows, as its traits do: `view(group="findings", status="error")`. TraitError for what they don't take.
        """
        from workbench.widgets import RunList  # noqa: PLC0415  # ipywidgets is only needed in a notebook
        from workbench.widgets.opening import Static  # noqa: PLC0415  # as above

        collection.catch_up(self.store)
        overviews, found = self.store.overviews(), self.store.found()
        still = Static(partial(static.runs_html, overviews, found), partial(static.runs_text, overviews, found))
        return RunList(overviews, found, below=self.below(), static=still, **state)

    def _compared(self, run_ids: Sequence[str]) -> ComparisonView:
        return compare(*map(self.run, run_ids)).view()

    def below(self) -> Below:
        """What views of this bench may let stand below themselves."""
        from workbench.widgets.opening import Below  # noqa: PLC0415  # ipywidgets is only needed in a notebook

        return Below(lambda run_id, step: self.run(run_id).view(step), lambda run_id, step: self.run(run_id).fork_panel(step), self._compared)

    def _detected(self, findings: list[Finding], lacks: list[NotEvaluated], done: detection.Detection) -> Detected:
        return Detected(Findings(findings, lacks, self.desk), done)

    @property
    def desk(self) -> Desk:
        """What findings ask of this bench."""
        return Desk(self.store.reviews, self.store.every_review, self.review, self.below)

    def findings(self) -> pl.DataFrame:
        """One row a finding of the runs examined so far, the gravest first."""
        from workbench.frames import findings_frame  # noqa: PLC0415  # as above

        return findings_frame(self._said()[0])

    def flow(
        self, run: RecordedRun | str | None = None, *, agent: str | None = None, version: str | None = None, since: datetime | str | None = None
    ) -> pl.DataFrame:
        """Which tools runs called in which order, and which way one `run` took, for `workbench.charts.tool_flow`. Reads the runs of this cohort.

        The columns are described in `workbench.frames.FLOW`. Forks don't count.
        """
        from workbench.frames import flow_frame  # noqa: PLC0415  # polars takes a third of a second to import

        chosen = self.run(run) if isinstance(run, str) else run
        return flow_frame(cohort(self.store, agent=agent, version=version, since=since), chosen.run if chosen else None)

    def run(self, run_id: str) -> RecordedRun:
        """One run, by its id or an unambiguous start of it. RunNotFoundError names the nearest."""
        collection.catch_up(self.store)
        return RecordedRun(self, self.store.resolve(run_id))

    def report(self, path: str | os.PathLike[str] | None = None, *, only: Collection[str] | None = None) -> Report:
        """A report over the whole store, or the runs in `only`; written to `path` when one is given, as its ending says (`workbench.report.save`).

        Runs that were not examined yet are examined first: a report must not call a run clean that nobody looked at.
        """
        detection.detect(self.store)
        chosen = [run_id for run_id in self.store.run_ids() if only is None or run_id in only]
        return saved(self.with_records(store_report(self.store.runs(chosen), *self._said(only))), path)

    def backtest(self, guard: str | pl.Expr | None = None, labels: Labels | None = None) -> Backtested:
        """Where a guard such as `cost > 0.50 or same_effect > 1` would have stopped each run, and what that would have saved and cost.

        The columns are those of `workbench.backtest.features`. Without a guard, every detector is tried as one, at each of its scores. `labels` tell which
        runs failed: by run id, a frame, or a CSV file with `run_id` and `failed`. ConditionError and LabelError say what can't be read.
        """
        from workbench.backtest.backtest import backtest, backtest_findings  # noqa: PLC0415  # polars takes a third of a second to import

        collection.catch_up(self.store)
        if guard is not None:
            return Backtested([backtest(self.store.runs(), guard, labels)])
        detection.detect(self.store)
        return Backtested(backtest_findings(self.store.runs(), self._said()[0], labels))

    def review(self, finding: Finding | str, verdict: Literal["confirmed", "dismissed"], note: str = "", by: str | None = None) -> Review:
        """Keep what you make of a finding (or its id); `by` is who says so (your user name, unless given). LookupError for an id no finding has.

        It goes into the record of its detector, which stands beside every finding; what you dismiss no longer weighs in its run's verdict; and the
        ranking of the first bad step learns from it, for this agent (`learned`).
        """
        found = finding if isinstance(finding, Finding) else self._finding(finding)
        fields = {"key": found.key, "run_id": found.run_id, "detector": found.detector, "step": found.step}
        review = Review(**fields, verdict=verdict, note=note, by=by or person(), reviewed_ns=time.time_ns())
        self.store.save_review(review)
        return review

    @property
    def records(self) -> tuple[Record, ...]:
        """What people here made of each detector's findings."""
        return self._reviews.records

    def undismissed(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those of the findings that nobody dismissed."""
        return self._reviews.undismissed(findings)

    def with_records(self, report: Report, until_ns: int | None = None) -> Report:
        """A report with the records of the detectors whose findings it holds, as they stood at a moment (now, without one)."""
        return self._reviews.with_records(report, until_ns)

    def learned(self, agent: str | None) -> Learned:
        """The weights that rank the steps of this agent's runs: those that ship, moved by what people confirmed and dismissed in its runs where that helps."""
        return self._reviews.learned(agent)

    def verdict_on(self, run: Run, findings: Iterable[Finding]) -> Verdict:
        """The verdict on a run by what was found in it and nobody dismissed, ranked as reviews of this agent's findings taught."""
        return self._reviews.verdict_on(run, findings)

    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each examined run: as it was examined, but anew for agents whose findings people reviewed."""
        return self._reviews.verdicts()

    def _finding(self, finding_id: str) -> Finding:
        known = {finding.finding_id: finding for finding in self._said()[0]}
        starts = [one for one in known if finding_id and one.startswith(finding_id)]
        if len(starts) == 1:
            return known[starts[0]]
        near = get_close_matches(finding_id, known, n=1, cutoff=0.0)
        raise LookupError(f"{len(starts)} findings have an id that begins with {finding_id!r}" + (f"; the nearest is {near[0]}" if near else ""))

    def incident(
        self,
        name: str = "",
        *,
        agent: str | None = None,
        version: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        detector: str | None = None,
    ) -> Incident:
        """The incident in the recorded runs: what failed, how far it reaches, since when, where it began, what it cost, what to do next.

        Of one agent's runs, of one version, started `since` (counts in) and before `until`, or of what one `detector` finds. `name` is what people call it;
        notes are kept under it. Runs that were not examined yet are examined first. LookupError for an agent, version or detector there is none of.
        """
        collection.catch_up(self.store)
        detection.detect(self.store)
        scope = Scope(name=name, agent=agent, version=version, since_ns=moment_ns(since), until_ns=moment_ns(until), detector=detector)
        return self.incident_in(scope)

    def incident_in(self, scope: Scope, only: Collection[str] | None = None, reviewed_ns: int | None = None) -> Incident:
        """The incident in a scope, among all runs examined so far or `only` these, by the reviews there were at a moment (now, without one)."""
        overviews = [one for one in self.store.overviews() if only is None or one.run_id in only or one.forked_from is not None]
        headers = {run.run_id: run for run in self.store.headers()}
        check_scope(scope, overviews, headers)
        found = incident_of(
            scope,
            overviews,
            headers,
            self.store.findings(),
            read=self.store.run,
            examinations=self.store.examinations,
            reviews=self.store.reviews(until_ns=reviewed_ns),
            notes=self.store.notes(key_of(scope)),
        )
        return Investigation(self, found)

    def said_of(self, run_ids: Sequence[str]) -> Detected:
        """What the detectors said of these runs, as far as they were examined."""
        return self._detected(*self._said(set(run_ids)), detection.Detection())

    def audit(self) -> Audited:
        """Every item of the production checklist, answered from the recorded runs and what the detectors found in them; forks don't count."""
        collection.catch_up(self.store)
        detection.detect(self.store)
        recorded = (run for run in self.store.runs() if run.forked_from is None)
        return Audited(audit(recorded, self.store.findings(), reviewed=len(self.store.reviews()), alerted=self.store.alerts_sent()), self.store.runs)

    def ledger(self, run_id: str | None = None) -> pl.DataFrame:
        """One row a line of the ledger of side effects, oldest first: what re-runs attempted, how it was answered, what went live and how it ended."""
        from workbench.frames import ledger_frame  # noqa: PLC0415  # polars takes a third of a second to import

        return ledger_frame(self.store.entries(run_id=run_id))

    def sweep(
        self,
        run: RecordedRun | str,
        *,
        at: Sequence[int],
        changes: Sequence[Change | Mapping[str, Any] | None] = (None,),
        k: int = 1,
        live: Collection[str] = (),
        outcome: str | Judge | None = None,
        executor: Executor | None = None,
        forks: int | None = None,
        budget: Budget | None = None,
        graph: str | None = None,
        seconds: float = 120.0,
        progress: Progress | None = None,
        trust: bool = False,
        context: Json = None,
    ) -> Swept:
        """Fork a run at every step of `at`, with every change (`{"tool_result": …}`, None for none), k times each; forks are kept in the store.

        Each fork re-runs in a process of its own; `executor` says who starts them (threads here, one a core, unless one is given: a process pool,
        Dask's `client.get_executor()`). Called again, it goes on where it stopped: what is done is not done twice. `forks` and
        `budget` limit all of them together, `outcome` is what is counted (`workbench.comparison.controls.outcome_of`),
        `progress(what, done, total)` is called after each. `trust` and `context` are as of `RecordedRun.fork`, for each of them.
        """
        parent = self.run(run) if isinstance(run, str) else run
        wanted = cells(at, [one if isinstance(one, Change) else changed(one or {}) for one in changes], k)
        counted = outcome_of(parent.run, outcome)
        for step in at:
            parent.step(step)
        done = Reruns(self.store, parent.run).repetitions(
            wanted, live, graph, seconds, executor, forks, budget or Budget(), progress, trusted=trust, context=context
        )
        return Swept(parent.run, counted, list(done))

    def unfinished(self) -> dict[str, str]:
        """The forks that were killed and can go on (`resume`), each with the run it is of."""
        return {one.asked.run_id: one.asked.parent_run_id for one in unfinished(self.store.forks)}

    def resume(self, fork_id: str, **options: Any) -> RecordedRun:
        """Let a fork that was killed go on (`RecordedRun.resume`). LookupError names those that can."""
        waiting = self.unfinished()
        if fork_id not in waiting:
            raise LookupError(f"no unfinished fork is called {fork_id}; there are: {', '.join(waiting) or 'none'}")
        return self.run(waiting[fork_id]).resume(fork_id, **options)

    def search(self, words: str, *, limit: int = 50) -> pl.DataFrame:
        """The steps in which all these words were said: run, step and the words around, the best first. "Double quotes" keep words together."""
        import polars as pl  # noqa: PLC0415  # it takes a third of a second to import

        from workbench.frames import HITS  # noqa: PLC0415  # as above

        return pl.DataFrame([dataclasses.astuple(hit) for hit in self.store.search(words, limit=limit)], schema=HITS, orient="row")

    def delete(self, run_id: str, *, dependants: bool = False) -> Deleted:
        """Delete a run with everything only it used, its unfinished forks too. DeletionError when forks or other runs hang on it, unless they are to go too."""
        done = self.store.delete(run_id, dependants=dependants)
        for one in unfinished(self.store.forks):
            if one.asked.parent_run_id in done.runs:
                one.remove()
        return done

    def verify(self, *, progress: collection.Progress | None = None) -> list[str]:
        """Re-hash the store and follow its references; an empty list when all is well."""
        return self.store.verify(progress)

    def verify_report(self, path: str | os.PathLike[str]) -> list[Unsupported]:
        """Hold a report that was written earlier (.html, .md or .json) against this store; returns each statement that it doesn't support.

        ReportError for a file that is no report of ours.
        """
        try:
            return check(Path(path), Evidence(self))
        except ValueError as error:
            raise ReportError(str(error)) from error

    def share(
        self,
        runs: Sequence[RecordedRun | str],
        path: str | os.PathLike[str],
        *,
        kinds: Collection[str] = (),
        keys: Collection[str] = (),
    ) -> Shared:
        """Write runs into one file that another workbench ingests and replays, redacted as this store is and further (`workbench.sharing`).

        `kinds` adds "card", "iban" or "email" to what is replaced, `keys` the names of values to replace whole. SharingError where something
        redacted is left in it, RedactionError for another kind; no file is written then.
        """
        chosen = [one if isinstance(one, RecordedRun) else self.run(one) for one in runs]
        rules = stricter(rules_of(Path.cwd()) or Rules(), kinds, keys)  # what is handed on is redacted, whatever is kept here
        secret = collection.key_of(self.store)
        return share(self.store, [one.run for one in chosen], Path(path), lambda seen: Redactor(rules, secret, seen), rules.keys)

    def _said(self, only: Collection[str] | None = None) -> tuple[list[Finding], list[NotEvaluated]]:
        """What the detectors said of the runs examined so far (or `only` these): findings, the gravest first, and what they could not judge."""
        examined = self.store.examined(only).values()
        return detection.ranked([one for findings, _ in examined for one in findings]), [one for _, lacks in examined for one in lacks]
