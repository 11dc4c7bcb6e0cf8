"""What people made of findings, and what that teaches: the detectors' local records, and the weights that rank steps anew."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.figures import Record, records_of
from workbench.model import Finding, Review, Run
from workbench.report import Report
from workbench.report.standing import standings
from workbench.store import Store
from workbench.verdict.learning import MOST, Judgement, Learned, judgements_of, learn_if_better, undismissed
from workbench.verdict.verdict import Verdict, shipped, verdict_of


class Reviews:
    """The reviews in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._learned: tuple[list[Review], dict[str | None, Learned]] | None = None

    @property
    def records(self) -> tuple[Record, ...]:
        """What people here made of each detector's findings."""
        return records_of(self.store.reviews())

    def undismissed(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those of the findings that nobody dismissed."""
        return undismissed(findings, self.store.reviews())

    def with_records(self, report: Report, until_ns: int | None) -> Report:
        """A report with the records of the detectors whose findings it holds, as they stood at a moment (now, without one)."""
        reviews = self.store.reviews(until_ns=until_ns)
        told = {one.detector for one in (*report.findings, *(stated.finding for stated in standings(report)))}
        newest = max((one.reviewed_ns for one in reviews), default=None)
        return report.model_copy(update={"records": tuple(one for one in records_of(reviews) if one.detector in told), "reviewed_ns": newest})

    def learned(self, agent: str | None, reviews: list[Review] | None = None) -> Learned:
        """The weights that rank the steps of this agent's runs, as these reviews taught (those of the store)."""
        return self._learned_from(self.store.reviews() if reviews is None else reviews).get(agent) or Learned(shipped(), 0)

    def verdict_on(self, run: Run, findings: Iterable[Finding], reviews: list[Review] | None = None) -> Verdict:
        """The verdict on a run by what was found in it and nobody dismissed, ranked as reviews of this agent's findings taught (those of the store)."""
        known = self.store.reviews() if reviews is None else reviews
        learned = self.learned(run.agent, known)
        made = verdict_of(run, undismissed(findings, known), weights=learned.weights)
        return made.model_copy(update={"learned_from": learned.judgements})

    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each examined run: as it was examined, but anew for agents whose findings people reviewed."""
        kept, reviews = self.store.verdicts(), self.store.reviews()
        agents = {one.run_id: one.agent for one in self.store.overviews()} if reviews else {}
        judged = {agents.get(one.run_id) for one in reviews}
        anew = [run_id for run_id in kept if run_id in agents and agents[run_id] in judged]
        found = self.store.findings(anew)
        return kept | {run.run_id: self.verdict_on(run, found[run.run_id], reviews) for run in self.store.runs(anew)}

    def _learned_from(self, reviews: list[Review]) -> dict[str | None, Learned]:
        """What reviews teach of each agent, worked out when they change."""
        if self._learned is None or self._learned[0] != reviews:
            self._learned = reviews, {agent: learn_if_better(known) for agent, known in self._judgements(reviews).items()}
        return self._learned[1]

    def _judgements(self, reviews: list[Review]) -> dict[str | None, list[Judgement]]:
        found: dict[str | None, list[Judgement]] = {}
        for run in self.store.runs(dict.fromkeys(one.run_id for one in reviews)):
            findings = self.store.findings([run.run_id]).get(run.run_id, [])
            found.setdefault(run.agent, []).extend(judgements_of(run, findings, reviews))
        return {agent: known[-MOST:] for agent, known in found.items()}
