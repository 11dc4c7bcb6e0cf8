"""Approvals given faster than what was shown could be read; and, over many runs, approvals that are a formality.

In one run: a question of some length is approved in less time than skimming it takes. Over many runs, of each tool and of each person who is recorded to have
answered: of twenty answers or more nearly all are granted, most of them unread; or ten in a row are. How many were given in the busiest minute is told.

Why it matters: a gate that everybody waves through costs time and protects nobody, and the log says that a person looked.
What to do: ask less often and show what matters first; sample what is approved; put a wrong one in from time to time and see whether it is caught.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from statistics import median
from typing import NamedTuple

from workbench.analysis.approvals import Approval, approvals_of
from workbench.cohorts.periods import fetched
from workbench.model import Evidence, Finding, NotEvaluated, Run
from workbench.sketch import approval, sketch, timed, tool, user

SKIMMED = 100.0
"""Characters a second that nobody reads at: four times the 25 of careful reading (about 250 words a minute; Brysbaert 2019)."""
WORTH_READING = 200
STREAK, ENOUGH, GRANTED, MOST = 3, 20, 0.98, 0.5
IN_A_ROW = 10
MINUTE_NS = 60 * 10**9


class Answer(NamedTuple):
    """What a habit is told by, of one answer."""

    run_id: str
    step: int
    at_ns: int
    granted: bool
    unread: bool
    seconds: float
    characters: int


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the first approval that was given unread."""
    timed_ones = [one for one in approvals_of(run) if one.seconds is not None]
    if not timed_ones:
        yield NotEvaluated(detector="rubber-stamp", run_id=run.run_id, why="no approvals recorded with the time they took")
        return
    unread = [one for one in timed_ones if _unread(one)]
    if unread:
        yield _finding(run, unread, len(timed_ones))


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """One finding for each tool, and one for each person, whose approvals are a formality, at the latest of them."""
    asked: dict[str, list[Answer]] = defaultdict(list)
    for run in runs:
        for one in approvals_of(run):
            if one.seconds is not None and one.verdict in {"approved", "edited", "refused"}:
                answer = Answer(run.run_id, one.step.index, one.step.ended_ns or 0, one.allows, _unread(one), one.seconds, len(one.question))
                asked[f"questions about {one.proposed[0].name if one.proposed else one.step.name}"].append(answer)
                if one.by:
                    asked[f"questions that {one.by} answered"].append(answer)
    ordered = {whose: sorted(answers, key=lambda one: one.at_ns) for whose, answers in asked.items()}
    habits = {whose: answers for whose, answers in ordered.items() if _formality(answers)}
    whole = fetched(runs, {answers[-1].run_id for answers in habits.values()})
    for whose, answers in habits.items():
        yield _habit(whole[answers[-1].run_id], whose, answers)


def _unread(one: Approval) -> bool:
    return one.verdict == "approved" and len(one.question) >= WORTH_READING and (one.seconds or 0.0) < len(one.question) / SKIMMED


def _formality(answers: list[Answer]) -> bool:
    """Whether nearly all were granted, and most of them unread; or so many in a row."""
    often = len(answers) >= ENOUGH and sum(one.granted for one in answers) / len(answers) >= GRANTED
    return (often and sum(one.unread for one in answers) / len(answers) >= MOST) or _streak(answers) >= IN_A_ROW


def _streak(answers: list[Answer]) -> int:
    """The most approvals in a row that were given unread; the answers come in the order of their times."""
    return max((len(list(row)) for unread, row in groupby(answers, key=lambda one: one.unread) if unread), default=0)


def _busiest(answers: list[Answer]) -> int:
    """The most answers within a minute; they come in the order of their times."""
    first, most = 0, 0
    for number, one in enumerate(answers):
        while one.at_ns - answers[first].at_ns >= MINUTE_NS:
            first += 1
        most = max(most, number - first + 1)
    return most


def _finding(run: Run, unread: list[Approval], approvals: int) -> Finding:
    first, many = unread[0], len(unread) >= STREAK
    return Finding(
        detector="rubber-stamp",
        run_id=run.run_id,
        severity="warning" if many else "info",
        score=0.6 if many else 0.4,
        step=first.step.index,
        message=f"{len(unread)} of {approvals} approvals were given faster than the question could be read: step {first.step.index} took "
        f"{first.seconds or 0.0:.1f} s for {len(first.question):,} characters",
        numbers={"unread": len(unread), "approvals": approvals, "seconds": round(first.seconds or 0.0, 2), "characters": len(first.question)},
        evidence=tuple(Evidence.cite(run, one.step.index, "$.tool_call.arguments", f"approved in {one.seconds or 0.0:.1f} s") for one in unread[:4]),
        capability="human escalation",
        item="escalation-metrics",
        refute="Ask who approved whether they knew the case already; a note of that in the answer refutes this.",
    )


def _habit(run: Run, whose: str, answers: list[Answer]) -> Finding:
    last, granted = answers[-1], sum(one.granted for one in answers)
    seconds, characters = median(one.seconds for one in answers), median(one.characters for one in answers)
    row, busiest = _streak(answers), _busiest(answers)
    return Finding(
        detector="rubber-stamp",
        run_id=run.run_id,
        severity="warning",
        score=0.7,
        step=last.step,
        message=f"{granted} of {len(answers)} {whose} were approved, in a median of {seconds:.1f} s for {characters:,.0f} characters, "
        f"{row} in a row faster than they can be read and {busiest} within a minute",
        numbers={
            "approved": granted,
            "asked": len(answers),
            "median_seconds": round(seconds, 2),
            "median_characters": characters,
            "unread_in_a_row": row,
            "within_a_minute": busiest,
        },
        evidence=(Evidence.cite(run, last.step, "$.tool_call.arguments", "the latest of them"),),
        capability="human escalation",
        item="escalation-metrics",
        refute="Put a wrong request among the next ones: if it is refused, people do look.",
    )


SHORT = {"tool": "pay_invoice", "arguments": {"order": "O-7"}}
LONG = SHORT | {"terms": "Paid at once; no refund. " * 30}
PAID = tool("pay_invoice", {"order": "O-7"}, "paid")

FIRES_ON = (sketch(user("Pay"), approval(LONG, "yes", **timed(1, 0.8)), PAID),)
QUIET_ON = (
    sketch(user("Pay"), approval(LONG, "yes", **timed(1, 40)), PAID),
    sketch(user("Pay"), approval(SHORT, "yes", **timed(1, 0.8)), PAID),
    sketch(user("Pay"), approval(LONG, "no", **timed(1, 0.8))),
)
