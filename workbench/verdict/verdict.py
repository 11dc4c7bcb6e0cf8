"""One verdict per run: how likely it failed, and at which steps to look first, with the reasons for both.

The probability weighs a few signals of the whole run (`workbench.verdict.signals`) and is calibrated on benchmark runs whose outcome is known; what the weights
were fitted on and how well they did stands in `verdict.toml`. The steps are *ranked*, never blamed: two people who label the same failed run agree on
the step in a third of the cases, and a cause is only shown by a fork that changes the outcome.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from math import exp, log
from pathlib import Path
from typing import NamedTuple

from workbench.cohorts.baseline import Baseline
from workbench.model import Finding, Run, Value
from workbench.verdict.signals import orchestrated, run_signals, step_signals

SHOWN = 20
"""How many steps a verdict ranks: nobody looks further."""
SAYS_RUN = {
    "steps": "it took {} steps",
    "longest_message": "one of its messages runs to {} words",
    "acts": "it asked for {} acts",
    "cut_short": "it stopped in the middle of its work",
    "repeated_calls": "{} calls were made before",
    "sums_in_prose": "it worked out {} sums in prose",
    "failed_last": "its last tool call failed",
    "departure": "its acts and calls are not those of the baseline",
    "findings": "a detector is sure of a fault",
}
COUNTED = frozenset(("steps", "longest_message", "acts", "repeated_calls", "sums_in_prose"))
"""Signals that are the logarithm of one plus a count."""
SAYS_STEP = {
    "length": "it says a lot",
    "new_words": "it brings much that nothing before it had said",
    "assumed": "it assumes or makes up",
    "failed_next": "what it set off failed",
    "off_task": "the agent was first told something else than what the run's record says was asked",
    "worker": "it is a worker's step",
    "later_work": "it is neither the first nor a late piece of work",
    "replanned": "the plan is made anew here",
    "finding": "a detector points at it",
}
FEW = 3
"""How many reasons and steps are told in one line."""
TELLING = 0.15
"""The least share of a step's weight that is worth a reason."""


class Suspect(Value):
    """A step to look at, with its share of the suspicion in the run (the shares of all steps add up to 1) and why."""

    step: int
    score: float
    reasons: tuple[str, ...] = ()


class Verdict(Value):
    """How likely a run failed (None where it could not be judged; `why` says what it lacks), the reasons with the strongest first, and the ranked steps."""

    run_id: str
    probability: float | None
    reasons: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    why: str = ""
    learned_from: int = 0
    """How many judgements of people here the ranking learned from; 0 where the weights are those that ship."""

    def __str__(self) -> str:
        if self.probability is None:
            return f"not judged: {self.why}"
        because = f" ({'; '.join(self.reasons[:FEW])})" if self.reasons else ""
        look = ", ".join(str(one.step) for one in self.suspects[:FEW])
        learned = f" (ranked with what was learned from {self.learned_from} reviewed here)" if self.learned_from else ""
        return f"of benchmark runs like it, {self.probability:.0%} failed{because}; if it did, look first at steps {look}{learned}"


class Signal(NamedTuple):
    """How one signal is weighed: its mean and deviation among the runs it was fitted on, and the log-odds one deviation adds."""

    mean: float
    deviation: float
    weight: float

    def adds(self, value: float) -> float:
        """What a value adds to the log-odds."""
        return self.weight * (value - self.mean) / self.deviation


class Weights(NamedTuple):
    """What `verdict.toml` holds."""

    intercept: float
    finding: float
    failed_share: float
    signals: dict[str, Signal]
    steps: dict[str, dict[str, float]]


@cache
def shipped() -> Weights:
    """The weights that ship."""
    return read(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def read(text: str) -> Weights:
    """Weights from TOML. KeyError or ValueError for what is missing or no number."""
    document = tomllib.loads(text)
    failed = document["failed"]
    signals = {name: Signal(*(float(one[key]) for key in Signal._fields)) for name, one in failed["signals"].items()}
    steps = {kind: {name: float(value) for name, value in one.items()} for kind, one in document["steps"].items()}
    return Weights(float(failed["intercept"]), float(failed["finding"]), float(failed["failed_share"]), signals, steps)


def verdict_of(
    run: Run, findings: Iterable[Finding] = (), *, baseline: Baseline | None = None, base_rate: float | None = None, weights: Weights | None = None
) -> Verdict:
    """The verdict on a run, from its own record and what the detectors found in it; and from how it departs from a `baseline`, good runs of the same task.

    `base_rate` is how many of your runs fail (0 to 1, exclusive): the benchmarks the weights come from fail far more often than most production agents.
    Without it the probability holds for runs like those; ValueError when it is no share. `weights` are your own, such as `workbench.verdict.learning` makes of
    what people confirmed, instead of those that ship.
    """
    weights, found = weights or shipped(), [one for one in findings if one.run_id == run.run_id]
    if not any(run.of_kind("model")):
        return Verdict(run_id=run.run_id, probability=None, why="no model calls recorded")
    added = contributions(run_signals(run) | _departure(run, baseline), found, weights)
    odds = weights.intercept + sum(value for value, _ in added.values()) + _shift(base_rate, weights.failed_share)
    telling = sorted(((value, says) for value, says in added.values() if value > 0), reverse=True)
    return Verdict(run_id=run.run_id, probability=_share(odds), reasons=tuple(says for _, says in telling), suspects=_suspects(run, found, weights))


def _departure(run: Run, baseline: Baseline | None) -> dict[str, float]:
    return {} if baseline is None else {"departure": baseline.departure(run).distance}


def contributions(signals: Mapping[str, float], findings: Iterable[Finding], weights: Weights) -> dict[str, tuple[float, str]]:
    """What each signal adds to the log-odds that a run failed, and how it is said."""
    told = {name: (weights.signals[name].adds(value), _says(name, value)) for name, value in signals.items() if name in weights.signals}
    gravest = max((one.score for one in findings if one.severity == "error"), default=0.0)
    return told | ({"findings": (weights.finding * gravest, SAYS_RUN["findings"])} if gravest else {})


def _says(name: str, value: float) -> str:
    return SAYS_RUN[name].format(f"{round(exp(value) - 1):,}" if name in COUNTED else "")


def _shift(base_rate: float | None, fitted: float) -> float:
    if base_rate is None:
        return 0.0
    if not 0 < base_rate < 1:
        raise ValueError(f"base_rate should be a share between 0 and 1, such as 0.05, not {base_rate!r}")
    return log(base_rate / (1 - base_rate)) - log(fitted / (1 - fitted))


def _share(odds: float) -> float:
    return round(1 / (1 + exp(-odds)), 4) if odds > -500 else 0.0  # noqa: PLR2004  # where exp overflows


def _suspects(run: Run, findings: Iterable[Finding], weights: Weights) -> tuple[Suspect, ...]:
    """The steps by their share of the suspicion, the greatest first and the earlier of two equal ones first."""
    pointed: dict[int, float] = defaultdict(float)
    for one in findings:
        if one.step is not None and one.severity != "info":
            pointed[one.step] = max(pointed[one.step], one.score)
    weigh = weights.steps["orchestrated" if orchestrated(run) else "direct"]
    added = [
        {name: weigh[name] * value for name, value in (signals | {"finding": pointed.get(step.index, 0.0)}).items() if name in weigh}
        for step, signals in zip(run.steps, step_signals(run), strict=True)
    ]
    sums = [sum(one.values()) for one in added]
    shares = shares_of(sums)
    order = sorted(range(len(sums)), key=lambda number: (-sums[number], number))[:SHOWN]
    return tuple(Suspect(step=run.steps[number].index, score=round(shares[number], 6), reasons=_reasons(added[number])) for number in order)


def shares_of(sums: list[float]) -> list[float]:
    """Sums of weighed signals as shares of the suspicion, which add up to 1."""
    top = max(sums)
    parts = [exp(one - top) for one in sums]
    total = sum(parts)
    return [part / total for part in parts]


def _reasons(added: Mapping[str, float]) -> tuple[str, ...]:
    least = TELLING * sum(abs(value) for value in added.values())
    telling = sorted(((value, name) for name, value in added.items() if value > least and name in SAYS_STEP), reverse=True)
    return tuple(SAYS_STEP[name] for _, name in telling)
