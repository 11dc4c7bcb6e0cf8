"""The readiness audit: every item of the production checklist answered from recorded runs, *met*, *not met* or *no evidence*.

Runs give signs (`workbench.audit.signs`), findings give others: each speaks for or against one item. One sign against is *not met*; none at
all is *no evidence*, which is no "all is well", and says what to record to get some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from workbench.audit.signs import RECORD, Sign, signs_of
from workbench.checklist import CHECKLIST, Capability, Item
from workbench.intervals import Share, share
from workbench.model import Evidence, Finding, Run, Value

Verdict = Literal["met", "not met", "no evidence"]
CITED = 5
"""How many signs of each kind an answer cites."""

Examined = Mapping[str, Iterable[Finding]]
"""The findings of each run that detectors have looked at, by run id."""


class Answer(Value):
    """What recorded runs say to one item: the verdict, how many signs speak for it and against it, and the first of those, cited."""

    capability: Capability
    item: Item
    asks: str
    verdict: Verdict
    holds: int
    fails: int
    says: tuple[str, ...] = ()
    """What the signs that decided it say, the first few."""
    evidence: tuple[Evidence, ...] = ()
    record: str | None = None
    """What to record, or to do, to get evidence; None where there is some."""

    @property
    def share(self) -> Share:
        """The share of signs that speak for the item, with its interval."""
        return share(self.holds, self.holds + self.fails)


class Audit(Value):
    """The answers to all items, in the order of the checklist, over so many runs."""

    runs: int
    answers: tuple[Answer, ...]

    def of(self, verdict: Verdict) -> tuple[Answer, ...]:
        """The answers with one verdict."""
        return tuple(answer for answer in self.answers if answer.verdict == verdict)


def audit(runs: Iterable[Run], examined: Examined, *, reviewed: int = 0, alerted: int = 0) -> Audit:
    """Answer every item from these runs and what detectors said of them, one run at a time.

    `reviewed` counts the findings a person confirmed or dismissed, `alerted` the alerts that were sent.
    """
    tallies: dict[Item, _Tally] = {item: _Tally() for items in CHECKLIST.values() for item in items}
    count = 0
    for run in runs:
        count += 1
        for sign in (*signs_of(run), *_signs_of_findings(run, examined)):
            tallies[sign.item].add(run, sign)
    tallies["sampling"].count(reviewed, "findings were reviewed by a person")
    tallies["cost-alerts"].count(alerted, "alerts were sent")
    answers = (tallies[item].answer(capability, item, asks) for capability, items in CHECKLIST.items() for item, asks in items.items())
    return Audit(runs=count, answers=tuple(answers))


def _signs_of_findings(run: Run, examined: Examined) -> Iterator[Sign]:
    """A finding of severity warning or more speaks against its item. That a run was examined is itself a sign, and so is an instruction nobody followed."""
    if run.run_id not in examined:
        return
    yield Sign("semantic-failures", holds=True, step=None, path="", says=f"{run.run_id} was examined for failures that raise no error")
    grave = [finding for finding in examined[run.run_id] if finding.severity != "info"]
    for finding in grave:
        if finding.item is not None:
            first = finding.evidence[0] if finding.evidence else None
            step = finding.step if first is None else first.step
            yield Sign(finding.item, holds=False, step=step, path="" if first is None else first.path, says=f"{run.run_id}: {finding.message}")
    hints = [finding for finding in examined[run.run_id] if finding.severity == "info" and finding.item == "injection-defences"]
    if hints and not any(finding.item == "injection-defences" for finding in grave):
        says = f"{run.run_id} read instructions in untrusted text and did not follow them"
        yield Sign("injection-defences", holds=True, step=hints[0].step, path="", says=says)


class _Tally:
    """The signs for and against one item."""

    def __init__(self) -> None:
        self.holds = self.fails = 0
        self.said: dict[bool, list[str]] = {True: [], False: []}
        self.cited: dict[bool, list[Evidence]] = {True: [], False: []}

    def add(self, run: Run, sign: Sign) -> None:
        self.holds += sign.holds
        self.fails += not sign.holds
        if len(self.said[sign.holds]) < CITED:
            self.said[sign.holds].append(sign.says if run.run_id in sign.says else f"{run.run_id}: {sign.says}")
            if sign.step is not None and sign.path:
                self.cited[sign.holds].append(Evidence.cite(run, sign.step, sign.path, sign.says))

    def count(self, number: int, says: str) -> None:
        """So many signs for the item that stand in no run."""
        self.holds += number
        self.said[True] += [f"{number:,} {says}"] if number else []

    def answer(self, capability: Capability, item: Item, asks: str) -> Answer:
        verdict: Verdict = "not met" if self.fails else "met" if self.holds else "no evidence"
        return Answer(
            capability=capability,
            item=item,
            asks=asks,
            verdict=verdict,
            holds=self.holds,
            fails=self.fails,
            says=tuple(self.said[not self.fails]),
            evidence=tuple(self.cited[not self.fails]),
            record=RECORD[item] if verdict == "no evidence" else None,
        )
