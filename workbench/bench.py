"""What a person holds in a notebook: a bench over one store, its runs, their forks, and comparisons.

Everything here is thin: it finds the run, calls the part that does the work, and shows the result as static text and HTML.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from workbench import collection, detection, project
from workbench.audit import Audit, audit
from workbench.calibration import calibration
from workbench.cohorts import Baseline, version_of
from workbench.collection import Summary
from workbench.compared import Compared
from workbench.comparison import Ignored, count_effects
from workbench.controls import Judge, Outcome, outcome_of
from workbench.database import Database, Location, location
from workbench.detected import Desk, Detected, Findings
from workbench.effects import effects_of
from workbench.figures import Record, records_of
from workbench.habits import Calibrated, Flowchart
from workbench.incident import Scope, first_bad_step, incident_of
from workbench.incident.values import key_of
from workbench.investigation import Investigation
from workbench.learning import MOST, Judgement, Learned, judgements_of, learn_if_better, undismissed
from workbench.model import Budget, Change, Effect, EffectClass, Finding, Json, Level, NotEvaluated, Receipt, Review, Run, Span, Step
from workbench.neighbours import Neighbours, neighbours_of
from workbench.overview import Overview
from workbench.paths import paths_of
from workbench.plugins import collector_of, detectors
from workbench.received import Received
from workbench.redaction import Redactor, Rules, rules_of, stricter
from workbench.replay import trust
from workbench.replay.approvals import Approve, nobody, standing
from workbench.replay.broker import Terms
from workbench.replay.budget import Meter
from workbench.replay.cassette import record
from workbench.replay.changes import ChangeError, change_of
from workbench.replay.forecast import foresee
from workbench.replay.forking import Forked, ForkError, fork, resume
from workbench.replay.scrubbing import configured
from workbench.replay.sweeps import Cell, Ended, Plan, cells, sweep
from workbench.replay.unfinished import of as unfinished
from workbench.replay.watch import Watch
from workbench.replay.wishes import Wish, checked
from workbench.report import Report, ReportError, audit_report, run_report, save, static, store_report
from workbench.report.cassettes import RunCassette
from workbench.report.forecasts import Foreseen
from workbench.report.markup import visible
from workbench.report.quantities import plural
from workbench.report.reference import Reference
from workbench.report.static.fragments import lines_html
from workbench.report.sweeps import Sweep
from workbench.report.verification import Unsupported, check
from workbench.sharing import Shared, share
from workbench.source import Source
from workbench.store import Deleted, Store
from workbench.swept import Repetition, Swept
from workbench.verdict import Verdict, shipped, verdict_of

if TYPE_CHECKING:
    import polars as pl
    from langchain_core.language_models import BaseChatModel

    from workbench.backtest import Backtest, Labels
    from workbench.widgets import ComparisonView, ForkPanel, RunList, Stepper
    from workbench.widgets.opening import Below

Progress = Callable[[str, int, int], None]
MODEL_ONLY = ("model",)
NOTHING = object()
"""Stands for "not given" where None is a value one may want to give."""


def open(path: str | os.PathLike[str] = "workbench.db") -> Bench:
    """Open a store, in a file or by URL in a PostgreSQL database, making it where there is none.

    StoreError when the file or database is something else, or was made by a newer workbench.
    """
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
        self._learned: tuple[list[Review], dict[str | None, Learned]] | None = None
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
        return Baseline.of(self._cohort(agent=agent, version=version, since=since, status=status))

    def together(self, *, agent: str | None = None, version: str | None = None, since: datetime | str | None = None) -> Detected:
        """What only many runs together show: habits, drift, paths that never vary. Reads all these runs anew each time."""
        cohort = self._cohort(agent=agent, version=version, since=since)
        done = detection.Detection(examined=[])
        findings, lacks = detection.examine_many(cohort, done)
        return self._detected(findings, lacks, done)

    def paths(self, *, agent: str | None = None, version: str | None = None, since: datetime | str | None = None) -> Flowchart:
        """Agent or pipeline? The paths that an agent's runs take from tool to tool, as a flowchart, with how many runs take each."""
        return Flowchart(paths_of(self._cohort(agent=agent, version=version, since=since)), agent)

    def calibration(self, labels: Labels | None = None, *, agent: str | None = None, version: str | None = None) -> Calibrated:
        """Whether stated confidence can be believed: of runs that ended so sure, how many went well.

        `labels` tell which runs failed, as for `backtest`; without them, a run that ended in an error failed and one that ended well did not. LabelError says
        what can't be read.
        """
        from workbench.backtest import read_labels  # noqa: PLC0415  # polars takes a third of a second to import

        failed = None if labels is None else read_labels(labels)
        return Calibrated(calibration(self._cohort(agent=agent, version=version, since=None), failed))

    def judge(
        self, model: BaseChatModel | str, *, budget: Budget, runs: Collection[str] | None = None, progress: Callable[[str, int, int], None] | None = None
    ) -> Detected:
        """Ask a chat model (or "provider:name") whether these runs (all of them, without any) failed, within a budget. Answers are kept and not paid for twice.

        Nothing is asked unless you call this: no detector does. ModelError for a model that can't be made.
        """
        from workbench import judge as judging  # noqa: PLC0415  # rarely needed
        from workbench.models import chat_model, name_of  # noqa: PLC0415  # as above

        collection.catch_up(self.store)
        asked = chat_model(model) if isinstance(model, str) else model
        judge = judging.Judge(asked, name_of(asked), Meter(budget), self.store)
        known = list(runs) if runs is not None else [one.run_id for one in self.store.overviews()]
        findings, lacks, done = list[Finding](), list[NotEvaluated](), detection.Detection()
        for number, run in enumerate(self.store.runs(known)):
            if progress:
                progress(run.run_id, number, len(known))
            for said in detection.said(judging.NAME, partial(judge.detect, run), run.run_id, done):
                (findings if isinstance(said, Finding) else lacks).append(said)  # type: ignore[arg-type]  # each goes into the list of its kind
            done.examined.append(run.run_id)
        return self._detected(detection.ranked(findings), lacks, done)

    def _cohort(self, *, agent: str | None, version: str | None, since: datetime | str | None, status: str | None = None) -> StoredRuns:
        collection.catch_up(self.store)
        from_ns = _moment_ns(since)
        chosen = [
            one.run_id
            for one in self.store.overviews()
            if one.forked_from is None
            and agent in {None, one.agent}
            and status in {None, one.status}
            and (from_ns is None or (one.started_ns is not None and one.started_ns >= from_ns))
        ]
        return StoredRuns(self.store, [run.run_id for run in self.store.runs(chosen) if version in run.metadata.values()] if version else chosen)

    def runs(self) -> pl.DataFrame:
        """One row a run; the columns are described in `workbench.frames`."""
        from workbench.frames import overviews_frame  # noqa: PLC0415  # polars takes a third of a second to import

        collection.catch_up(self.store)
        return overviews_frame(self.store.overviews())

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
        return Desk(self.store.reviews, self.review, self.below)

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
        return flow_frame(self._cohort(agent=agent, version=version, since=since), chosen.run if chosen else None)

    def run(self, run_id: str) -> RecordedRun:
        """One run, by its id or an unambiguous start of it. RunNotFoundError names the nearest."""
        collection.catch_up(self.store)
        return RecordedRun(self, self.store.resolve(run_id))

    def report(self, path: str | os.PathLike[str] | None = None, *, only: Collection[str] | None = None) -> Report:
        """A report over the whole store, or the runs in `only`; written to `path` when one is given, as its ending says (`workbench.report.save`).

        Runs that were not examined yet are examined first: a report must not call a run clean that nobody looked at.
        """
        detection.detect(self.store)
        findings, lacks = self._said()
        if only is None:
            return _saved(self.with_records(store_report(self.store.runs(), findings, lacks)), path)
        chosen = [run_id for run_id in self.store.run_ids() if run_id in only]
        mine, lacking = [one for one in findings if one.run_id in only], [one for one in lacks if one.run_id in only]
        return _saved(self.with_records(store_report(self.store.runs(chosen), mine, lacking)), path)

    def backtest(self, guard: str | pl.Expr | None = None, labels: Labels | None = None) -> Backtested:
        """Where a guard such as `cost > 0.50 or same_effect > 1` would have stopped each run, and what that would have saved and cost.

        The columns are those of `workbench.features`. Without a guard, every detector is tried as one, at each of its scores. `labels` tell which
        runs failed: by run id, a frame, or a CSV file with `run_id` and `failed`. ConditionError and LabelError say what can't be read.
        """
        from workbench.backtest import backtest, backtest_findings  # noqa: PLC0415  # polars takes a third of a second to import

        collection.catch_up(self.store)
        if guard is not None:
            return Backtested([backtest(self.store.runs(), guard, labels)])
        detection.detect(self.store)
        return Backtested(backtest_findings(self.store.runs(), self._said()[0], labels))

    def review(self, finding: Finding | str, verdict: Literal["confirmed", "dismissed"], note: str = "") -> Review:
        """Keep what you make of a finding (or its id). LookupError for an id no finding has.

        It goes into the record of its detector, which stands beside every finding; what you dismiss no longer weighs in its run's verdict; and the
        ranking of the first bad step learns from it, for this agent (`learned`).
        """
        found = finding if isinstance(finding, Finding) else self._finding(finding)
        fields = {"key": found.key, "run_id": found.run_id, "detector": found.detector, "step": found.step}
        review = Review(**fields, verdict=verdict, note=note, reviewed_ns=time.time_ns())
        self.store.save_review(review)
        return review

    @property
    def records(self) -> tuple[Record, ...]:
        """What people here made of each detector's findings."""
        return records_of(self.store.reviews())

    def undismissed(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those of the findings that nobody dismissed."""
        return undismissed(findings, self.store.reviews())

    def with_records(self, report: Report, until_ns: int | None = None) -> Report:
        """A report with the records of the detectors whose findings it holds, as they stood at a moment (now, without one)."""
        reviews = self.store.reviews(until_ns=until_ns)
        told = {one.detector for one in report.findings}
        newest = max((one.reviewed_ns for one in reviews), default=None)
        return report.model_copy(update={"records": tuple(one for one in records_of(reviews) if one.detector in told), "reviewed_ns": newest})

    def learned(self, agent: str | None) -> Learned:
        """The weights that rank the steps of this agent's runs: those that ship, moved by what people confirmed and dismissed in its runs where that helps."""
        return self._learned_from(self.store.reviews()).get(agent) or Learned(shipped(), 0)

    def verdict_on(self, run: Run, findings: Iterable[Finding], reviews: list[Review] | None = None) -> Verdict:
        """The verdict on a run by what was found in it and nobody dismissed, ranked as reviews of this agent's findings taught (those of the store)."""
        known = self.store.reviews() if reviews is None else reviews
        learned = self._learned_from(known).get(run.agent) or Learned(shipped(), 0)
        made = verdict_of(run, undismissed(findings, known), weights=learned.weights)
        return made.model_copy(update={"learned_from": learned.judgements})

    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each examined run: as it was examined, but anew for agents whose findings people reviewed."""
        kept, reviews = self.store.verdicts(), self.store.reviews()
        agents = {one.run_id: one.agent for one in self.store.overviews()} if reviews else {}
        judged = {agents.get(one.run_id) for one in reviews}
        anew = [run_id for run_id in kept if run_id in agents and agents[run_id] in judged]
        found = self.store.examined() if anew else {}
        return kept | {run.run_id: self.verdict_on(run, found[run.run_id][0], reviews) for run in self.store.runs(anew)}

    def _learned_from(self, reviews: list[Review]) -> dict[str | None, Learned]:
        """What reviews teach of each agent, worked out when they change."""
        if self._learned is None or self._learned[0] != reviews:
            self._learned = reviews, {agent: learn_if_better(known) for agent, known in self._judgements(reviews).items()}
        return self._learned[1]

    def _judgements(self, reviews: list[Review]) -> dict[str | None, list[Judgement]]:
        found: dict[str | None, list[Judgement]] = {}
        for run in self.store.runs(dict.fromkeys(one.run_id for one in reviews)):
            findings, _ = self.store.examined(run.run_id).get(run.run_id, ([], []))
            found.setdefault(run.agent, []).extend(judgements_of(run, findings, reviews))
        return {agent: known[-MOST:] for agent, known in found.items()}

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
        scope = Scope(name=name, agent=agent, version=version, since_ns=_moment_ns(since), until_ns=_moment_ns(until), detector=detector)
        return self.incident_in(scope)

    def incident_in(self, scope: Scope, only: Collection[str] | None = None, reviewed_ns: int | None = None) -> Incident:
        """The incident in a scope, among all runs examined so far or `only` these, by the reviews there were at a moment (now, without one)."""
        overviews = [one for one in self.store.overviews() if only is None or one.run_id in only or one.forked_from is not None]
        headers = {run.run_id: run for run in self.store.headers()}
        _check_scope(scope, overviews, headers)
        found = incident_of(
            scope,
            overviews,
            headers,
            self.store.examined(),
            read=self.store.run,
            verdicts=self.store.verdicts(),
            reviews=self.store.reviews(until_ns=reviewed_ns),
            notes=self.store.notes(key_of(scope)),
        )
        return Investigation(self, found)

    def said_of(self, run_ids: Sequence[str]) -> Detected:
        """What the detectors said of these runs, as far as they were examined."""
        wanted, (findings, lacks) = set(run_ids), self._said()
        mine = [one for one in findings if one.run_id in wanted]
        return self._detected(mine, [one for one in lacks if one.run_id in wanted], detection.Detection())

    def audit(self) -> Audited:
        """Every item of the production checklist, answered from the recorded runs and what the detectors found in them; forks don't count."""
        collection.catch_up(self.store)
        detection.detect(self.store)
        examined = {run_id: findings for run_id, (findings, _) in self.store.examined().items()}
        recorded = (run for run in self.store.runs() if run.forked_from is None)
        return Audited(audit(recorded, examined, reviewed=len(self.store.reviews()), alerted=self.store.alerts_sent()), self.store.runs)

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
    ) -> Swept:
        """Fork a run at every step of `at`, with every change (`{"tool_result": …}`, None for none), k times each; forks are kept in the store.

        Each fork re-runs in a process of its own; `executor` says who starts them (threads here, one a core, unless one is given: a process pool,
        Dask's `client.get_executor()`). Called again, it goes on where it stopped: what is done is not done twice. `forks` and
        `budget` limit all of them together, `outcome` is what is counted (`workbench.controls.outcome_of`), `progress(what, done, total)` is called after each.
        """
        parent = self.run(run) if isinstance(run, str) else run
        wanted = cells(at, [one if isinstance(one, Change) else _change(one or {}) for one in changes], k)
        counted = outcome_of(parent.run, outcome)
        for step in at:
            parent.step(step)
        return Swept(parent.run, counted, list(parent._repetitions(wanted, live, graph, seconds, executor, forks, budget or Budget(), progress)))  # noqa: SLF001  # a run of this very bench

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
            return check(Path(path), Evidently(self))
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

    def _said(self) -> tuple[list[Finding], list[NotEvaluated]]:
        """What the detectors said of the runs examined so far: findings, the gravest first, and what they could not judge."""
        examined = self.store.examined().values()
        return detection.ranked([one for findings, _ in examined for one in findings]), [one for _, lacks in examined for one in lacks]


class RecordedRun:
    """A run in a store: its steps, findings and states, and what one can do with it."""

    def __init__(self, bench: Bench, run_id: str) -> None:
        self.bench = bench
        self.run_id = run_id

    @cached_property
    def run(self) -> Run:
        """The run itself, read when it is first asked for."""
        return next(self.bench.store.runs([self.run_id]))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in time order."""
        return self.run.steps

    @property
    def outcome(self) -> str:
        """What the run came to."""
        return self.run.outcome

    @property
    def effects(self) -> tuple[Effect, ...]:
        """Every side effect it attempted."""
        return effects_of(self.run)

    @cached_property
    def _examined(self) -> tuple[list[Finding], list[NotEvaluated]]:
        detection.detect(self.bench.store, only=[self.run_id])
        return self.bench.store.examined(self.run_id)[self.run_id]

    @property
    def findings(self) -> Findings:
        """What the detectors found in it, the gravest first: a list that shows itself as a table, live with `.view()`."""
        return Findings(detection.ranked(self._examined[0]), self.not_evaluated, self.bench.desk)

    def neighbours(self, step: int, baseline: Baseline | None = None) -> Neighbours:
        """What runs of a baseline (this agent's good runs, without one) did where this run stood at a step, beside what it did."""
        return neighbours_of(self.run, step, baseline or self.bench.baseline(agent=self.run.agent))

    @property
    def verdict(self) -> Verdict:
        """How likely it failed, why, and at which steps to look first; ranked as people's reviews of this agent's findings taught (`Bench.learned`)."""
        return self.bench.verdict_on(self.run, self.findings)

    @property
    def not_evaluated(self) -> list[NotEvaluated]:
        """What they could not judge, and why."""
        return self._examined[1]

    @property
    def receipt(self) -> Received | None:
        """For a fork: what was asked and what ran, as a value that shows itself; `view()` opens it live."""
        receipt = self.bench.store.receipt(self.run_id)
        return None if receipt is None else Received(**dict(receipt))

    def step(self, index: int) -> Step:
        """One step. LookupError names the range and the nearest."""
        return self.run.step(index)

    @property
    def cassette(self) -> RunCassette:
        """Its recorded interactions, and how much of it they let replay."""
        spans = self._spans()
        return RunCassette(record(self.run, spans, scrub=configured(Path.cwd())))

    def state(self, index: int) -> dict[str, Json]:
        """The full state before a step, fetched from the recorded database. LookupError says why there is none."""
        return collection.state(self.bench.store, self.run, self.run.step(index))

    def final_state(self) -> dict[str, Json]:
        """The full state it left, fetched from the recorded database. LookupError says why there is none."""
        return collection.final_state(self.bench.store, self.run)

    def frame(self) -> pl.DataFrame:
        """One row a step."""
        from workbench.frames import columns_frame, steps_frame  # noqa: PLC0415  # polars takes a third of a second to import

        columns = self.bench.store.step_columns(self.run_id)
        return steps_frame(self.run) if columns is None else columns_frame(columns)

    def view(self, step: int | None = None) -> Stepper:
        """The step-through widget, at the first bad step unless one is given."""
        from workbench.widgets import Stepper  # noqa: PLC0415  # ipywidgets is only needed in a notebook

        return Stepper(self.run, self.findings, state=self._state_of, step=step, fork=self.fork_panel)

    def fork_panel(self, step: int | None = None, **chosen: Any) -> ForkPanel:
        """The panel in which one forks this run at a step (the first bad one, unless given), sees beforehand what will happen, re-runs, and stops it.

        `chosen` sets what the panel shows, as its traits do: `fork_panel(8, kind="tool_result", text="…", live=["model"])`. The re-run happens in a thread, so
        that the kernel stays free; `panel.fork` is the new run.
        """
        from workbench.widgets import ForkPanel  # noqa: PLC0415  # ipywidgets is only needed in a notebook

        at = step if step is not None else first_bad_step(self.run, self.findings) or 0
        return ForkPanel(self, at, declared=_declared(), **chosen)

    def _spans(self) -> Iterable[Span]:
        """The spans this run was read from."""
        return self.bench.store.spans(step.trace_id for step in self.steps if step.trace_id)

    def _state_of(self, step: Step) -> dict[str, Json]:
        return collection.state(self.bench.store, self.run, step)

    def fork(
        self,
        at: int,
        *,
        tool_result: Any = NOTHING,
        message: Any = NOTHING,
        state: Any = NOTHING,
        model: Any = NOTHING,
        system: Any = NOTHING,
        tools: Any = NOTHING,
        answer: Any = NOTHING,
        fault: Any = NOTHING,
        live: Collection[str] = (),
        graph: str | None = None,
        execute: Collection[str] = (),
        stale: Collection[str] = (),
        seconds: float = 120.0,
        isolation: Level | None = None,
        approve: Approve | Collection[str] = nobody,
        budget: Budget | Meter | Mapping[str, float] | None = None,
        trust: bool = False,
        watch: Watch | None = None,
    ) -> RecordedRun:
        """Re-run from a step in a sandboxed process on a copy of the thread, with at most one thing changed; the fork is a run of the store.

        `tool_result` takes the place of what the tool call at that step returned; `message` ({"index": 2, "content": "…"}) edits one of the
        messages that the model saw; `state` overlays channels of the state before the step; `model` is another model's name or its settings, `system`
        another system prompt, `tools` the names of the tools to offer; `answer` is what the person says instead; `fault` ("timeout", "error", "empty",
        "slow") is what the call meets (`workbench.replay.changes.SHAPES` has the whole shapes).

        Recorded answers are served; what has none halts. `live=["model"]` lets the model think anew in the sandbox. `"tool:NAME"` and
        `"model:NAME"` are called for real, outside of it: `approve` is asked about each act (`workbench.replay.approvals`), or lists the names that are
        approved; no act of the ledger is done twice. `budget` limits model calls, tokens, usd, seconds and steps (`{"usd": 1}`). `graph` ("module:attribute")
        says what to run; without it, `[tool.workbench.graphs]` of your pyproject.toml is asked for this agent. Nodes that made no recorded call are
        served from what they wrote; `execute=["node"]` ("*" for all) runs their code in the sandbox. `stale=["tool"]` gives calls of a tool (or of
        "model", "http", ...) that have no recording the nearest one's answer, marked. `isolation` ("process", "container", "gvisor", "firecracker") is
        used in place of the level that `[tool.workbench.isolation]` asks for at this run's risk. A checkpoint database that we did not record ourselves
        has to be trusted, once (`trust=True`; `workbench.replay.trust` says why). `watch` hears each call and can stop the fork from another thread
        (`workbench.replay.watch`). ForkError says what can't be done.
        """
        given = {"tool_result": tool_result, "message": message, "state": state, "model": model, "system": system, "tools": tools}
        change = _change(given | {"answer": answer, "fault": fault})
        self.run.step(at)
        databases = self._databases(trusted=trust)
        run_id, scratch = self._fork_id()
        done = fork(
            self.run,
            at=at,
            change=change,
            databases=databases,
            graph=graph or _graph_of(self.run.agent),
            live=live,
            run_id=run_id,
            scratch=scratch,
            seconds=seconds,
            terms=self._terms(approve, budget),
            spans=self._spans(),
            execute=execute,
            stale=stale,
            isolation=isolation,
            watch=watch,
        )
        return self._keep(done, scratch, self._changed_since(databases))

    def foresee(self, at: int, *, live: Collection[str] = (), execute: Collection[str] = (), isolation: Level | None = None, **change: Any) -> Foreseen:
        """What `fork` with the same arguments would do, before anything runs: which steps stand, are served, think anew, ask a person, halt.

        ForkError for what can't be done, as `fork` raises it.
        """
        wanted, names = _change(change), tuple(sorted(live))
        step = checked(self.run, at, wanted, names)
        wish = Wish(self.run, step, wanted, "", names, self.run_id, 0.0, self._terms(nobody, None), tuple(self._spans()), tuple(execute), (), isolation)
        return Foreseen(foresee(wish, self._recorded_in()))

    def _keep(self, done: Forked, scratch: Path, notes: Collection[str]) -> RecordedRun:
        """Put a fork into the store: its run, its states and its receipt."""
        run, store = done.run.model_copy(update={"sources": (str(scratch),)}), self.bench.store
        self._keep_states(scratch)
        store.save_runs([run], prefix=done.prefix)
        if not store.entries(run_id=run.run_id):  # a fork that was made elsewhere brings its lines along
            for line in done.lines:
                store.append_entry(line)
        store.save_receipt(done.receipt.model_copy(update={"effects": count_effects(self.run, run), "notes": (*done.receipt.notes, *notes)}))
        return self.bench.run(run.run_id)

    def controls(
        self,
        at: int | None = None,
        k: int = 5,
        *,
        live: Collection[str] | None = None,
        outcome: str | Judge | None = None,
        executor: Executor | None = None,
        graph: str | None = None,
        progress: Progress | None = None,
    ) -> Swept:
        """Whether a fork's change did it: the change k times beside k unchanged re-runs of its parent from the same step, with the same parts live.

        Of a run that is no fork, k unchanged re-runs from the step `at`: how often its outcome changes by itself. `outcome` is what is counted
        (`workbench.controls.outcome_of`). Without something live every unchanged re-run comes out the same; so the model is, unless `live` says otherwise.
        """
        if self.run.forked_from is None:
            if at is None:
                raise ForkError(f"{self.run_id} is no fork: say from which step it is to be re-run unchanged, controls(at, k)")
            return self.bench.sweep(
                self, at=[at], k=k, live=MODEL_ONLY if live is None else live, outcome=outcome, executor=executor, graph=graph, progress=progress
            )
        receipt = self.receipt
        named = live if live is not None else (receipt.live if receipt and receipt.live else MODEL_ONLY)
        parent, step = self.bench.run(self.run.forked_from), self.run.forked_at_step if at is None else at
        changes = [self.run.change or Change(), Change()]
        program = graph or (receipt.graph if receipt else None)
        return self.bench.sweep(parent, at=[step or 0], changes=changes, k=k, live=named, outcome=outcome, executor=executor, graph=program, progress=progress)

    def resume(
        self, fork_id: str, *, approve: Approve | Collection[str] = nobody, budget: Budget | Meter | None = None, seconds: float | None = None
    ) -> RecordedRun:
        """Let a fork of this run that was killed go on from its last checkpoint; what it did live is not done again. ForkError when there is none."""
        scratch = next((one.scratch for one in unfinished(self.bench.store.forks) if one.asked.run_id == fork_id), self._scratch(fork_id))
        databases = self._databases()
        done = resume(self.run, databases=databases, scratch=scratch, terms=self._terms(approve, budget), seconds=seconds)
        return self._keep(done, scratch, self._changed_since(databases))

    def simulate(
        self,
        at: int,
        model: BaseChatModel | str,
        *,
        tool_result: Any = NOTHING,
        message: Any = NOTHING,
        system: Any = NOTHING,
        tools: Any = NOTHING,
        answer: Any = NOTHING,
        fault: Any = NOTHING,
        model_calls: int = 25,
        seconds: float = 120.0,
    ) -> RecordedRun:
        """Go on from a step without the agent's code: a generic loop asks this chat model (or "provider:name"), tools answer from the recording.

        For runs without LangGraph, or whose code is not at hand; needs nothing but what was recorded. At most one thing changes, as in `fork`. What
        has no recorded answer halts. ForkError and ModelError say what can't be done.
        """
        from workbench.models import chat_model  # noqa: PLC0415  # langchain takes long to import
        from workbench.replay.simulation import simulate  # noqa: PLC0415  # as above

        change = _change({"tool_result": tool_result, "message": message, "system": system, "tools": tools, "answer": answer, "fault": fault})
        done = simulate(
            self.run,
            at=at,
            change=change,
            model=chat_model(model) if isinstance(model, str) else model,
            run_id=self._fork_id()[0],
            model_calls=model_calls,
            seconds=seconds,
        )
        self.bench.store.save_runs([done.run], prefix=done.prefix)
        self.bench.store.save_receipt(done.receipt)
        return self.bench.run(done.run.run_id)

    def export_test(self, folder: str | os.PathLike[str] = "tests", *, graph: str | None = None, trust: bool = False) -> tuple[Path, Path]:
        """Write a pytest file that fails while the agent does again what was found in this run, and its case; returns both paths.

        `folder` is where to, or the test file itself, `tests/test_incident.py`.

        The test needs neither this store nor the recorded database. What is found of severity warning or more is what must not happen again.
        A checkpoint database of unknown origin has to be trusted, as for a fork, since the test runs what stands in it.
        CaseError when there is nothing, or the run can't be run again; FileExistsError rather than write over a file.
        """
        from workbench.replay.regression import Case, case_name, source_of  # noqa: PLC0415  # rarely needed

        graph = graph or _graph_of(self.run.agent)
        grave = [one for one in self.findings if one.severity != "info"]
        spans = self._spans()
        case = Case.of(self.run, findings=grave, databases=self._databases(trusted=trust), graph=graph, spans=spans)
        place = Path(folder)
        name = place.with_suffix("") if place.suffix == ".py" else place / case_name(self.run_id)
        test, beside = name.with_suffix(".py"), name.with_suffix(".case.json")
        if taken := [str(path) for path in (test, beside) if path.exists()]:
            raise FileExistsError(f"{' and '.join(taken)} exist already; remove them, or export to another folder")
        name.parent.mkdir(parents=True, exist_ok=True)
        case.write(beside)
        test.write_text(source_of(case, beside), "utf-8")
        return test, beside

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """A report on this run; written to `path` when one is given, in the format of its ending (`workbench.report.save`)."""
        return _saved(self.bench.with_records(run_report(self.run, self.findings, self.not_evaluated, self.receipt)), path)

    def __repr__(self) -> str:
        return static.run_text(self.run, self.findings)

    def _repr_html_(self) -> str:
        receipt = self.receipt
        elsewhere = self.bench.store.reviews_elsewhere(self.run_id)
        shown = static.run_html(self.run, self.findings, self.bench.records) + (static.receipt_html(receipt) if receipt else "")
        return shown + (lines_html(["what people elsewhere made of its findings", *map(_said_elsewhere, elsewhere)]) if elsewhere else "")

    def _databases(self, *, trusted: bool = False) -> list[Location]:
        """The checkpoint databases this run was recorded in. ForkError when there are none, or they are gone, or nobody trusts them."""
        found = self._recorded_in()
        if trusted:
            trust.trust(self.bench.store, found)
        trust.check(self.bench.store, self.run, found)
        return found

    def _recorded_in(self) -> list[Location]:
        """The same, trusted or not, to be read alone."""
        if not any(step.checkpoint_id for step in self.steps):
            raise ForkError(
                f"{self.run_id} was recorded without LangGraph checkpoints, so there is no state to re-run from; ingest its checkpoint database too"
            )
        found: list[Location] = []
        gone = []
        for source in map(location, self.run.sources):
            if isinstance(source, Path) and not source.exists():
                gone.append(str(source))
                continue
            collector = collector_of(source if isinstance(source, Database) else Source(source))
            if collector and collector.state:
                found.append(source)
        if not found:
            raise ForkError(f"the checkpoint database of {self.run_id} is not there any more: {', '.join(gone)}; ingest it again from where it is now")
        return found

    def _repetitions(
        self,
        wanted: Sequence[Cell],
        live: Collection[str],
        graph: str | None,
        seconds: float,
        executor: Executor | None,
        forks: int | None,
        budget: Budget,
        progress: Progress | None,
    ) -> Iterator[Repetition]:
        """The cells of a sweep in the order they were asked for: those that the store has already, the others done now and kept as they end."""
        databases, store = self._databases(), self.bench.store
        spans = tuple(self._spans())
        plan = Plan(self.run, tuple(databases), graph or _graph_of(self.run.agent), store.forks, tuple(live), seconds, budget, spans, _declared())
        store.forks.mkdir(exist_ok=True)
        known, notes = set(store.run_ids()), self._changed_since(databases)
        ids = [plan.run_id(one) for one in wanted]
        ended = {key: Repetition(one, "done before", store.run(key), store.receipt(key)) for one, key in zip(wanted, ids, strict=True) if key in known}
        for one in sweep(plan, [one for one, key in zip(wanted, ids, strict=True) if key not in ended], executor, forks):
            key = plan.run_id(one.cell)
            ended[key] = self._repetition(one, plan, notes)
            if progress:
                progress(key, len(ended), len(wanted))
        yield from (ended[key] for key in ids)

    def _repetition(self, one: Ended, plan: Plan, notes: Collection[str]) -> Repetition:
        if one.forked is None:
            return Repetition(one.cell, "left" if one.left else "failed", says=one.error)
        kept = self._keep(one.forked, plan.scratch(one.cell), notes)
        return Repetition(one.cell, "done", kept.run, kept.receipt)

    def _changed_since(self, databases: list[Location]) -> list[str]:
        """What the receipt says of databases that are not what was ingested: the fork started from what stands there now."""
        return [
            f"{path.name} has changed since it was ingested, and the fork started from what it holds now; ingest it again to see the same"
            for path in databases
            if isinstance(path, Path) and collection.sha256(path) not in self.bench.store.source_hashes(path.resolve())
        ]

    def _terms(self, approve: Approve | Collection[str], budget: Budget | Meter | Mapping[str, float] | None) -> Terms:
        """On what terms calls go live: what the tools do is declared under [tool.workbench.tools] of the user's own project."""
        limits = budget if isinstance(budget, Budget | Meter) else _budget(budget or {})
        who = approve if callable(approve) else standing([approve] if isinstance(approve, str) else approve)
        return Terms(who, self.bench.store, _declared(), limits, self._root_id())

    def _root_id(self) -> str:
        """The recorded run that this one, or the fork it was made of, goes back to."""
        run = self.run
        while run.forked_from is not None:
            run = self.bench.store.run(run.forked_from)
        return run.run_id

    def _fork_id(self) -> tuple[str, Path]:
        """The next free id, and the file in which the fork's own thread will stand, beside the store."""
        taken = {*self.bench.store.run_ids(), *(one.asked.run_id for one in unfinished(self.bench.store.forks))}
        run_id = next(one for one in (f"{self.run_id}~{number}" for number in range(1, len(taken) + 2)) if one not in taken)
        return run_id, self._scratch(run_id)

    def _scratch(self, fork_id: str) -> Path:
        """The file in which a fork's own thread stands."""
        folder = self.bench.store.forks
        folder.mkdir(exist_ok=True)
        return folder / f"{hashlib.sha256(fork_id.encode()).hexdigest()[:16]}.sqlite"

    def _keep_states(self, scratch: Path) -> None:
        """Make the fork's own checkpoints known, so that one can step through its states too."""
        source = Source(scratch)
        collector = collector_of(source)
        if collector:
            self.bench.store.add(collection.origin_of(scratch, collector), collector.collect(source), lambda _: None)


class Evidently:
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
        return made if reference.kind in {"audit", "comparison", "sweep"} else self._bench.with_records(made, reference.reviewed_ns or 0)

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
        return compare(*recorded, ignore=reference.ignored).report() if reference.kind == "comparison" else recorded[0].report()

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


class StoredRuns(Collection[Run]):
    """Runs of a store, read anew, one at a time, whenever they are gone through."""

    def __init__(self, store: Store, run_ids: list[str]) -> None:
        self.store, self.run_ids = store, run_ids

    def __iter__(self) -> Iterator[Run]:
        return self.store.runs(self.run_ids)

    def __len__(self) -> int:
        return len(self.run_ids)

    def __contains__(self, run: object) -> bool:
        return isinstance(run, Run) and run.run_id in self.run_ids


class Audited:
    """The readiness audit, shown as a table; `audit` holds the answers with their evidence."""

    def __init__(self, found: Audit, runs: Callable[[list[str]], Iterator[Run]]) -> None:
        self.audit = found
        self._runs = runs

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """A report on the audit; written to `path` when one is given, in the format of its ending (`workbench.report.save`)."""
        cited = {proof.run_id for answer in self.audit.answers for proof in answer.evidence}
        return _saved(audit_report(self.audit, self._runs(sorted(cited))), path)

    def __repr__(self) -> str:
        return static.audit_text(self.audit)

    def _repr_html_(self) -> str:
        return static.audit_html(self.audit)


class Backtested:
    """Guards tried on recorded runs, shown as a table; `backtests` holds the figures and, for each run, the stop."""

    def __init__(self, backtests: list[Backtest]) -> None:
        self.backtests = backtests

    def __repr__(self) -> str:
        return static.backtests_text(self.backtests)

    def _repr_html_(self) -> str:
        return static.backtests_html(self.backtests)


class Ingested:
    """What came of an ingest, shown as lines."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary

    def __repr__(self) -> str:
        return visible("\n".join(self._lines))

    def _repr_html_(self) -> str:
        return lines_html(self._lines)

    @property
    def _lines(self) -> list[str]:
        files = sum(file.collector is not None for file in self.summary.files)
        lines = [f"{plural(files, 'file')} read, {plural(len(self.summary.runs), 'run')} new or changed, {self.summary.skipped} skipped"]
        if self.summary.redacted:
            lines.append("redacted " + ", ".join(f"{count:,} × {kind}" for kind, count in sorted(self.summary.redacted.items())))
        return [*lines, *self.summary.skips_told()]


def _said_elsewhere(told: tuple[str, Review]) -> str:
    origin, review = told
    place = "" if review.step is None else f" at step {review.step}"
    return f"{origin}: {review.verdict} {review.detector}{place}{f': {review.note}' if review.note else ''}"


Incident = Investigation[RecordedRun, Detected]
"""What `Bench.incident` gives: its `incident` is the frozen value (`workbench.incident`)."""


def _moment_ns(moment: datetime | str | None) -> int | None:
    """A moment as nanoseconds since 1970; one without a zone is this machine's. ValueError for a text that is none."""
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return None if found is None else int(found.astimezone(UTC).timestamp() * 1e9)


def _check_scope(scope: Scope, overviews: Iterable[Overview], headers: Mapping[str, Run]) -> None:
    """LookupError for an agent, version or detector that there is none of, with the nearest: an incident over no runs looks like an all-clear."""
    known = {
        "agent": {one.agent for one in overviews if one.agent},
        "version": {version for run in headers.values() if (version := version_of(run))},
        "detector": set(detectors()),
    }
    for what, names in known.items():
        asked = getattr(scope, what)
        if asked is not None and asked not in names:
            near = get_close_matches(asked, names, n=1, cutoff=0.0)
            raise LookupError(f"there is no {what} {asked!r}" + (f"; the nearest is {near[0]!r}" if near else f": no {what} is recorded"))


def _change(given: Mapping[str, Any]) -> Change:
    try:
        return change_of({kind: value for kind, value in given.items() if value is not NOTHING})
    except ChangeError as error:
        raise ForkError(str(error)) from error


def _budget(limits: Mapping[str, float]) -> Budget:
    if unknown := sorted(set(limits) - set(Budget.model_fields)):
        raise ForkError(f"a budget has no {unknown[0]!r}; it limits {', '.join(Budget.model_fields)}")
    try:
        return Budget.model_validate(dict(limits))
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ForkError(f"a budget of {wrong['loc'][0]} = {wrong['input']!r}: {wrong['msg']}") from error


def _declared() -> dict[str, EffectClass]:
    """What calling each tool does, as the user's own project says. ForkError for a word that isn't one."""
    try:
        return project.tool_classes(Path.cwd())
    except project.ProjectError as error:
        raise ForkError(str(error)) from error


def _graph_of(agent: str | None) -> str:
    """The graph that the user's own project names for this agent. A trace never says what to import."""
    configured: dict[str, str] = project.table("graphs", Path.cwd())[0]
    if agent in configured:
        return configured[agent]
    known = f"; it names {', '.join(configured)}" if configured else ""
    raise ForkError(
        f"which graph is the agent {agent!r}? Give graph='module:attribute' (--graph on the command line), "
        f"or name it under [tool.workbench.graphs] in the pyproject.toml of the folder you work in{known}"
    )


def _saved(report: Report, path: str | os.PathLike[str] | None) -> Report:
    if path is not None:
        save(report, Path(path))
    return report
