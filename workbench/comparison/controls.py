"""Whether a change did it: forks with the change against unchanged ones, counted by one named outcome. A plain rerun changes outcomes too.

Fisher's exact test (Fisher 1935) gives the probability of a difference at least this large if the change did nothing; it is exact for few cases. The
interval of the difference is Newcombe's hybrid of Wilson intervals (Newcombe 1998, method 10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import comb
from typing import NamedTuple

from workbench import detection
from workbench.comparison.comparison import count_effects
from workbench.intervals import Share, difference, share
from workbench.model import Run

SIGNIFICANT = 0.05
Judge = Callable[[Run], bool]


class Outcome(NamedTuple):
    """What is counted: its name, and whether it holds of a run."""

    name: str
    holds: Judge
    word: str = ""
    """How it was asked for; empty for a function of the user's."""
    failed_count: bool = True
    """Whether a run that failed is judged too. Where something has to be gone it isn't: nothing goes wrong any more in an agent that died."""

    def unjudged(self, run: Run) -> str:
        """Why this run can't be judged: "halted" (at a call that has no recording, or stopped), "failed"; empty where it can."""
        return "halted" if run.halted else "failed" if run.status == "error" and not self.failed_count else ""


class Controlled(NamedTuple):
    """How often an outcome held with the change and without it; runs that can't be judged are counted apart, by why."""

    outcome: str
    changed: Share
    unchanged: Share
    changed_unjudged: Counter[str]
    unchanged_unjudged: Counter[str]

    @property
    def p_value(self) -> float | None:
        """Fisher's exact test, two-sided; None where either side has no run that can be judged."""
        return fisher(self.changed.hits, self.changed.total, self.unchanged.hits, self.unchanged.total) if self.changed.total and self.unchanged.total else None

    @property
    def difference(self) -> tuple[float, float] | None:
        """The 95 % interval of the rate with the change less that without."""
        return difference(self.changed, self.unchanged)

    @property
    def verdict(self) -> str:
        """What may be concluded, in a sentence."""
        return self._concluded() + self._apart()

    def _concluded(self) -> str:
        if self.p_value is None:
            return "nothing can be concluded: one side has no run that could be judged"
        sides = f"{self.outcome} in {self.changed.hits} of {self.changed.total} with the change, in {self.unchanged.hits} of {self.unchanged.total} without"
        if self.p_value < SIGNIFICANT:
            word = "the change did it" if (self.changed.value or 0) > (self.unchanged.value or 0) else "the change prevents it"
            return f"{word}: {sides} (Fisher's exact test, p = {self.p_value:.3g})"
        least = least_k()
        more = (
            f"; with fewer than {least} on each side not even all against none could show it" if min(self.changed.total, self.unchanged.total) < least else ""
        )
        return f"not shown that the change did it: {sides} (p = {self.p_value:.3g}), which luck explains as well{more}"

    def _apart(self) -> str:
        """The runs that stand in no share: what they would have come to is not known."""
        sides = (("with the change", self.changed_unjudged), ("without", self.unchanged_unjudged))
        left = [f"{count} {side} {why}" for side, whys in sides for why, count in sorted(whys.items())]
        return f"; not judged: {', '.join(left)}" if left else ""


def controlled(outcome: Outcome, changed: Sequence[Run], unchanged: Sequence[Run]) -> Controlled:
    """Count an outcome on both sides."""
    apart, controls_apart = (Counter(why for run in runs if (why := outcome.unjudged(run))) for runs in (changed, unchanged))
    return Controlled(outcome.name, rate(outcome, changed), rate(outcome, unchanged), apart, controls_apart)


def rate(outcome: Outcome, runs: Iterable[Run]) -> Share:
    """How often an outcome held among the runs that can be judged."""
    judged = [run for run in runs if not outcome.unjudged(run)]
    return share(sum(map(outcome.holds, judged)), len(judged))


def outcome_of(parent: Run, wanted: str | Judge | None = None) -> Outcome:
    """The outcome to count: a function of a run, or "findings" (those of the parent are gone), "effects" (other counts), "answer" (another outcome).

    By default "findings" where the parent has warnings or errors, else "effects". In both a run that failed is not judged, unless the parent failed too.
    ValueError names these for another word.
    """
    if callable(wanted):
        return Outcome(getattr(wanted, "__name__", "outcome").replace("_", " "), wanted)
    found, failed = _grave(parent), parent.status == "error"
    chosen = wanted or ("findings" if found else "effects")
    known: dict[str, Outcome] = {
        "findings": Outcome(f"no {' or '.join(sorted(found))}", lambda run: not _grave(run) & found, failed_count=failed),
        "effects": Outcome("other effects", lambda run: any(one.original != one.fork for one in count_effects(parent, run)), failed_count=failed),
        "answer": Outcome("another outcome", lambda run: (run.status, run.outcome) != (parent.status, parent.outcome)),
    }
    if chosen not in known:
        raise ValueError(f"there is no outcome {chosen!r}; give a function of a run, or one of {', '.join(known)}")
    if chosen == "findings" and not found:
        raise ValueError(f"run {parent.run_id} has no findings to be gone; count effects, answer, or give a function of a run")
    return known[chosen]._replace(word=chosen)


def _grave(run: Run) -> set[str]:
    return {one.detector for one in detection.examine(run)[0] if one.severity != "info"}


def fisher(hits: int, total: int, other_hits: int, other_total: int) -> float:
    """The two-sided p-value of Fisher's exact test for a table of two by two: the tables as improbable as this one, together."""
    every, successes = total + other_total, hits + other_hits
    low, high = max(0, successes - other_total), min(total, successes)
    weights = {one: comb(total, one) * comb(other_total, successes - one) for one in range(low, high + 1)}
    return sum(weight for weight in weights.values() if weight <= weights[hits]) / comb(every, successes)


def least_k() -> int:
    """How many runs each side needs at least for all against none to be significant."""
    return next(k for k in range(1, 100) if fisher(k, k, 0, k) < SIGNIFICANT)
