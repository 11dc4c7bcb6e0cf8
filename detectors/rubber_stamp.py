"""Approvals given faster than what was shown could be read; and, over many runs, approvals that are a formality.

In one run: a question of some length is approved in less time than skimming it takes. Over many runs: of twenty approvals or more nearly all are granted,
most of them unread.

Why it matters: a gate that everybody waves through costs time and protects nobody, and the log says that a person looked.
What to do: ask less often and show what matters first; sample what is approved; put a wrong one in from time to time and see whether it is caught.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import median

from workbench.approvals import Approval, approvals_of
from workbench.model import Evidence, Finding, NotEvaluated, Run
from workbench.sketch import approval, sketch, timed, tool, user

SKIMMED = 100.0
"""Characters a second that nobody reads at: four times the 25 of careful reading (about 250 words a minute; Brysbaert 2019)."""
WORTH_READING = 200
STREAK, ENOUGH, GRANTED, MOST = 3, 20, 0.98, 0.5


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
    """One finding for each tool whose approvals are a formality, at the latest of them."""
    asked: dict[str, list[tuple[Run, Approval]]] = defaultdict(list)
    for run in runs:
        for one in approvals_of(run):
            if one.seconds is not None and one.verdict in {"approved", "edited", "refused"}:
                asked[one.proposed[0].name if one.proposed else one.step.name].append((run, one))
    for tool_name, answered in asked.items():
        if len(answered) >= ENOUGH and _formality([one for _, one in answered]):
            yield _habit(tool_name, answered)


def _unread(one: Approval) -> bool:
    return one.verdict == "approved" and len(one.question) >= WORTH_READING and (one.seconds or 0.0) < len(one.question) / SKIMMED


def _formality(answered: list[Approval]) -> bool:
    """Whether nearly all were granted, and most of them unread."""
    granted = sum(one.verdict == "approved" for one in answered) / len(answered)
    unread = sum(_unread(one) for one in answered) / len(answered)
    return granted >= GRANTED and unread >= MOST


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


def _habit(tool_name: str, answered: list[tuple[Run, Approval]]) -> Finding:
    run, last = answered[-1]
    granted, seconds = sum(one.allows for _, one in answered), median(one.seconds or 0.0 for _, one in answered)
    characters = median(len(one.question) for _, one in answered)
    return Finding(
        detector="rubber-stamp",
        run_id=run.run_id,
        severity="warning",
        score=0.7,
        step=last.step.index,
        message=f"{granted} of {len(answered)} questions about {tool_name} were approved, in a median of {seconds:.1f} s for {characters:,.0f} characters: "
        "faster than they can be read",
        numbers={"approved": granted, "asked": len(answered), "median_seconds": round(seconds, 2), "median_characters": characters},
        evidence=(Evidence.cite(run, last.step.index, "$.tool_call.arguments", "the latest of them"),),
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
