"""Ranking steps for one's own system: weights that a few confirmed first bad steps have moved, starting from those that ship.

What tells a bad step differs between systems, and rankers trained on one do not transfer to another. So each system learns for itself, from what people
confirmed or dismissed, and little is learned from little: a Gaussian prior around the shipped weights (conditional logistic regression, McFadden 1974).
What was learned is used only where it would have ranked judged steps better that it had not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import log
from typing import NamedTuple

from workbench.model import Finding, Review, Run
from workbench.verdict.signals import orchestrated, step_signals
from workbench.verdict.verdict import Weights, shares_of, shipped

PRIOR = 3.0
"""How strongly the shipped weights hold: the inverse variance of the prior."""
MOST = 200
"""How many judgements of a system count, the newest of them: more say hardly more, and systems change."""
LEAST, FOLDS = 10, 5
"""From how many judgements on a system learns, and in how many parts they are left out in turn to see whether it does."""
ROUNDS, LEAST_GAIN, LEAST_SHARE = 300, 1e-7, 1e-12
NAMES = ("length", "new_words", "assumed", "failed_next", "order", "off_task", "worker", "later_work", "replanned")


class Judgement(NamedTuple):
    """What a person made of a step: it was the first bad one of its run, or, dismissed, it was not."""

    run: Run
    step: int
    confirmed: bool = True


class Learned(NamedTuple):
    """Weights of a system's own, and from how many judgements they come."""

    weights: Weights
    judgements: int


class Case(NamedTuple):
    """The signals of a run's steps and which of them was judged."""

    run_id: str
    steps: list[dict[str, float]]
    place: int
    confirmed: bool


def learn(judgements: Iterable[Judgement], weights: Weights | None = None, *, prior: float = PRIOR) -> Weights:
    """The weights with those of the steps moved by what people judged; runs led by an orchestrator and others learn apart.

    LookupError where a judged step is not in its run. Twenty judgements are a good beginning; none leave the weights as they are.
    """
    start, cases = weights or shipped(), _cases(judgements)
    moved = {kind: _fitted(cases[kind], weigh, prior) if cases[kind] else weigh for kind, weigh in start.steps.items()}
    return start._replace(steps=moved)


def learn_if_better(judgements: Iterable[Judgement], weights: Weights | None = None) -> Learned:
    """What `learn` makes of the judgements, where it would have ranked those steps better that it had not seen; else the weights as they are.

    Each fifth of the judged runs is left out in turn. With fewer than ten judgements of a kind of run nobody can tell, and its weights stay as they are.
    """
    start, cases = weights or shipped(), _cases(judgements)
    better = {kind: found for kind, found in cases.items() if len(found) >= LEAST and _gain(found, start.steps[kind]) > 0}
    moved = {kind: _fitted(better[kind], weigh, PRIOR) if kind in better else weigh for kind, weigh in start.steps.items()}
    return Learned(start._replace(steps=moved), sum(map(len, better.values())))


def _cases(judgements: Iterable[Judgement]) -> dict[str, list[Case]]:
    """The judgements by kind of run."""
    found = defaultdict[str, list[Case]](list)
    for run, step, confirmed in judgements:
        place = run.steps.index(run.step(step))
        found["orchestrated" if orchestrated(run) else "direct"].append(Case(run.run_id, step_signals(run), place, confirmed))
    return found


def _gain(cases: list[Case], start: dict[str, float]) -> float:
    """How much higher weights learned from the other runs rank what was confirmed, and lower what was dismissed, in each fifth of the runs: all together."""
    fifth = {run_id: number % FOLDS for number, run_id in enumerate(dict.fromkeys(case.run_id for case in cases))}
    gain = 0.0
    for fold in range(FOLDS):
        left_out = [case for case in cases if fifth[case.run_id] == fold]
        learned = _fitted([case for case in cases if fifth[case.run_id] != fold], start, PRIOR)
        gain += sum(_height(case, learned) - _height(case, start) for case in left_out)
    return gain


def judgements_of(run: Run, findings: Iterable[Finding], reviews: Iterable[Review]) -> Iterator[Judgement]:
    """What reviews of a run's findings say of its steps: the earliest that was confirmed is the first bad one, those that were only dismissed are not.

    Hints (info) say that a step could be better, not that it is where things went wrong; reviews of them, and of steps that are gone, count for nothing.
    """
    hints, places = {one.key for one in findings if one.severity == "info"}, {step.index for step in run.steps}
    grave = [one for one in reviews if one.run_id == run.run_id and one.key not in hints and one.step in places]
    confirmed = {one.step for one in grave if one.step is not None and one.verdict == "confirmed"}
    if confirmed:
        yield Judgement(run, min(confirmed))
    for step in sorted({one.step for one in grave if one.step is not None} - confirmed):
        yield Judgement(run, step, confirmed=False)


def undismissed(findings: Iterable[Finding], reviews: Iterable[Review]) -> list[Finding]:
    """The findings that nobody dismissed: what a verdict may rest on."""
    dismissed = {one.key for one in reviews if one.verdict == "dismissed"}
    return [one for one in findings if one.key not in dismissed]


def _fitted(cases: list[Case], start: dict[str, float], prior: float) -> dict[str, float]:
    """The most probable weights, by gradient ascent whose stride grows while it gains and shrinks when it overshoots."""
    first = {name: start.get(name, 0.0) for name in {*NAMES, *start}}
    found, stride = dict(first), 0.1
    value, slope = _posterior(cases, found, first, prior)
    for _ in range(ROUNDS):
        tried = {name: found[name] + stride * slope[name] for name in found}
        there, next_slope = _posterior(cases, tried, first, prior)
        if there < value:
            stride /= 2
            continue
        gain, found, value, slope, stride = there - value, tried, there, next_slope, stride * 1.2
        if gain < LEAST_GAIN:
            break
    return found


def _posterior(cases: list[Case], weigh: dict[str, float], first: dict[str, float], prior: float) -> tuple[float, dict[str, float]]:
    """The log-posterior, up to a constant, and its slope by each weight."""
    value = -prior / 2 * sum((weigh[name] - first[name]) ** 2 for name in weigh)
    slope = {name: -prior * (weigh[name] - first[name]) for name in weigh}
    for case in cases:
        likely, shares = _likelihood(case, weigh)
        share = min(max(shares[case.place], LEAST_SHARE), 1 - LEAST_SHARE)
        pull = 1.0 if case.confirmed else -share / (1 - share)
        value += likely
        for number, signals in enumerate(case.steps):
            by = pull * ((number == case.place) - shares[number])
            for name, one in signals.items():
                if name in slope:
                    slope[name] += by * one
    return value, slope


def _height(case: Case, weigh: dict[str, float]) -> float:
    """How high a confirmed step ranks by these weights, as one over its rank; of a dismissed one, how low."""
    _, shares = _likelihood(case, weigh)
    height = 1 / (1 + sum(share > shares[case.place] for share in shares))
    return height if case.confirmed else -height


def _likelihood(case: Case, weigh: dict[str, float]) -> tuple[float, list[float]]:
    """The log-likelihood of a judgement by these weights, and the shares of the suspicion that they give to the steps."""
    shares = shares_of([sum(weigh[name] * one for name, one in signals.items() if name in weigh) for signals in case.steps])
    share = min(max(shares[case.place], LEAST_SHARE), 1 - LEAST_SHARE)
    return log(share) if case.confirmed else log(1 - share), shares
