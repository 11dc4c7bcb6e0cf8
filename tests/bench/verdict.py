"""How well verdicts rank failing runs and bad steps on labelled chat logs, and the fit of their calibration.

    python -m tests.bench.verdict FOLDER [--write] [SET TO LEAVE OUT ...]

FOLDER holds `SET.jsonl.xz` (or `.jsonl`) with one run a line and `SET.labels.csv` with `run_id`, and `success` or `decisive_step`. Every set counts
alike; `--write` puts means, deviations, scale and intercept into `workbench/verdict/verdict.toml`. A set is also told with the calibration of the others alone.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from math import comb, exp
from pathlib import Path
from random import Random
from statistics import fmean, pstdev

from workbench.cohorts.baseline import distance_of, profile
from workbench.model import Conversation, Run
from workbench.normalise.chat import from_conversation
from workbench.plugins import collector_of
from workbench.source import Source
from workbench.verdict.learning import Judgement, learn, learn_if_better
from workbench.verdict.signals import run_signals
from workbench.verdict.verdict import Signal, Weights, contributions, shipped, verdict_of

Judged = list[tuple[dict[str, float], bool, str]]
"""Of each run its signals, whether it failed, and its agent (pairs of runs of one agent are compared; no signal reads it)."""
TOP = (1, 3, 5)
CONFIRMED, DRAWS = 20, 12
TARGET = Path(__file__).parents[2] / "workbench" / "verdict" / "verdict.toml"


def labelled(folder: Path, column: str) -> Iterable[tuple[str, list[tuple[Run, dict[str, str]]]]]:
    """Each set whose labels have this column, with the runs for which it is filled."""
    for path in sorted(folder.glob("*.labels.csv")):
        with path.open(newline="", encoding="utf-8") as handle:
            rows = {row["run_id"]: row for row in csv.DictReader(handle) if row.get(column)}
        name = path.name.removesuffix(".labels.csv")
        file = next((one for end in (".jsonl.xz", ".jsonl") if (one := folder / f"{name}{end}").exists()), None)
        if rows and file:
            yield name, [(run, rows[run.run_id]) for run in runs_of(file) if run.run_id in rows]


def runs_of(path: Path) -> Iterable[Run]:
    """The runs of a chat log."""
    source = Source(path)
    collector = collector_of(source)
    assert collector is not None
    return (from_conversation(record) for record in collector.collect(source) if isinstance(record, Conversation))


# ---- failing runs


def auroc(bad: list[float], good: list[float]) -> float:
    """The chance that a failed run scores higher than a good one; ties count half. NaN where one side is empty."""
    pairs = len(bad) * len(good)
    return sum((one > other) + (one == other) / 2 for one in bad for other in good) / pairs if pairs else float("nan")


def within(runs: list[tuple[float, bool, str]]) -> float:
    """The same over pairs of runs of one agent."""
    won = pairs = 0.0
    for agent in {agent for *_, agent in runs}:
        bad, good = ([score for score, failed, name in runs if name == agent and failed is side] for side in (True, False))
        if bad and good:
            won, pairs = won + auroc(bad, good) * len(bad) * len(good), pairs + len(bad) * len(good)
    return won / pairs if pairs else float("nan")


def fitted(sets: list[Judged], weights: Weights) -> Weights:
    """Weights with means, deviations, scale and intercept from these sets, each counting alike; what a signal weighs against another stays."""
    names = [name for name in weights.signals if name in sets[0][0][0]]
    middle = {name: fmean(fmean(one[name] for one, *_ in runs) for runs in sets) for name in names}
    spread = {name: fmean(pstdev([one[name] for one, *_ in runs]) for runs in sets) or 1.0 for name in names}
    raw = {name: Signal(middle[name], spread[name], weights.signals[name].weight) for name in names}
    sums = [[(sum(raw[name].adds(one[name]) for name in names), failed) for one, failed, _ in runs] for runs in sets]
    slope, intercept = logistic(sums)
    share = fmean(fmean(failed for _, failed, _ in runs) for runs in sets)
    scaled = {name: one._replace(weight=one.weight * slope) for name, one in raw.items()}
    return weights._replace(intercept=intercept, failed_share=share, signals=weights.signals | scaled)


def logistic(sets: list[list[tuple[float, bool]]]) -> tuple[float, float]:
    """Slope and intercept of a logistic regression, by Newton's method; every set weighs 1."""
    slope = intercept = 0.0
    for _ in range(30):
        g0 = g1 = h00 = h01 = h11 = 0.0
        for x, failed, weight in ((x, failed, 1 / len(runs)) for runs in sets for x, failed in runs):
            p = 1 / (1 + exp(-(intercept + slope * x)))
            g0, g1 = g0 + weight * (failed - p), g1 + weight * (failed - p) * x
            h00, h01, h11 = h00 + weight * p * (1 - p), h01 + weight * p * (1 - p) * x, h11 + weight * p * (1 - p) * x * x
        det = h00 * h11 - h01 * h01
        intercept, slope = intercept + (g0 * h11 - g1 * h01) / det, slope + (g1 * h00 - g0 * h01) / det
    return slope, intercept


def tell(name: str, runs: Judged, weights: Weights) -> None:
    """Print the figures of one set: verdict and run length side by side, and how far the probabilities are off."""
    scored = [(weights.intercept + sum(value for value, _ in contributions(one, (), weights).values()), failed, agent) for one, failed, agent in runs]
    length = [(one["steps"], failed, agent) for one, failed, agent in runs]
    for says, one in (("verdict", scored), ("run length", length)):
        area = auroc([score for score, failed, _ in one if failed], [score for score, failed, _ in one if not failed])
        print(f"{name:14} {says:12} AUROC {area:.3f}, within agent {within(one):.3f} ({len(one)} runs)")
    chances = [1 / (1 + exp(-odds)) for odds, *_ in scored]
    brier = fmean((chance - failed) ** 2 for chance, (_, failed, _) in zip(chances, scored, strict=True))
    share = fmean(failed for _, failed, _ in scored)
    print(f"{name:14} mean probability {fmean(chances):.2f}, failed {share:.2f}; Brier {brier:.3f} (the share alone {share * (1 - share):.3f})")


def tell_with_good_runs(name: str, runs: list[tuple[Run, dict[str, str]]]) -> None:
    """Print how well the distance from one other, good run of the same task ranks failing runs, and from all other good ones."""
    profiles = {run.run_id: profile(run) for run, _ in runs}
    good: dict[str | None, list[str]] = defaultdict(list)
    for run, row in runs:
        if row["success"] == "True":
            good[_task(run)].append(run.run_id)
    for says, most in (("one good run", 1), ("good runs", None)):
        scored = []
        for run, row in runs:
            others = [other for other in good[_task(run)] if other != run.run_id][:most]
            if others:
                distance = min(distance_of(profiles[run.run_id], profiles[other]) for other in others)
                scored.append((distance, row["success"] == "False", row.get("agent", "")))
        area = auroc([score for score, failed, _ in scored if failed], [score for score, failed, _ in scored if not failed])
        print(f"{name:14} {says:12} AUROC {area:.3f}, within agent {within(scored):.3f} ({len(scored)} runs that have another good run of their task)")


def _task(run: Run) -> str | None:
    """What runs of one task share: who evaluates knows which runs those are; no signal reads it."""
    return run.conversation_id or run.metadata.get("thread")


# ---- bad steps


def top_chance(ranked: list[tuple[int, float]], target: int, k: int) -> float:
    """The chance that the target is among the k best, ties drawn at random."""
    own = next((score for step, score in ranked if step == target), None)
    if own is None:
        return 0.0
    above, tied = sum(score > own for _, score in ranked), sum(score == own for _, score in ranked)
    return 0.0 if above >= k else 1 - comb(tied - 1, min(tied, k - above)) / comb(tied, min(tied, k - above)) if tied > k - above else 1.0


def tell_steps(name: str, runs: list[tuple[Run, dict[str, str]]]) -> None:
    """Print top-1, 3 and 5 of each part of a set, beside the longest step."""
    for part in sorted({row.get("part", "") for _, row in runs}):
        chosen = [(run, int(row["decisive_step"])) for run, row in runs if row.get("part", "") == part]
        verdicts = [([(one.step, one.score) for one in verdict_of(run).suspects], target) for run, target in chosen]
        longest = [
            ([(step.index, float(len(step.output.content if step.output else str(step.result)))) for step in run.steps], target) for run, target in chosen
        ]
        for says, ranked in (("verdict", verdicts), ("longest step", longest)):
            tops = [fmean(top_chance(scores, target, k) for scores, target in ranked) for k in TOP]
            print(
                f"{name:14} {part:20} {says:12} " + ", ".join(f"top-{k} {100 * top:.1f} %" for k, top in zip(TOP, tops, strict=True)) + f" ({len(chosen)} runs)"
            )


def tell_learning(name: str, runs: list[tuple[Run, dict[str, str]]]) -> None:
    """Print top-1 and top-5 on the largest part with weights learned from 20 of its runs, from those that ship and from none; groups are kept apart."""
    part = Counter(row.get("part", "") for _, row in runs).most_common(1)[0][0]
    cases = [(run, int(row["decisive_step"]), row.get("group", run.run_id)) for run, row in runs if row.get("part", "") == part]
    none = shipped()._replace(steps={kind: dict.fromkeys(weigh, 0.0) for kind, weigh in shipped().steps.items()})
    hits: dict[str, list[list[bool]]] = defaultdict(list)
    for seed in range(DRAWS):
        groups = sorted({group for *_, group in cases})
        Random(seed).shuffle(groups)
        ordered = [case for group in groups for case in cases if case[2] == group]
        known, rest = [Judgement(run, step) for run, step, _ in ordered[:CONFIRMED]], ordered[CONFIRMED:]
        ways = {
            "as shipped": None,
            f"{CONFIRMED} confirmed, from shipped": learn(known),
            f"{CONFIRMED} confirmed, where it helps": learn_if_better(known).weights,
            f"{CONFIRMED} confirmed, from none": learn(known, none, prior=0.3),
        }
        for says, weights in ways.items():
            for run, step, _ in rest:
                ranked = [one.step for one in verdict_of(run, weights=weights).suspects]
                hits[says].append([step in ranked[:1], step in ranked[:5]])
    for says, found in hits.items():
        print(f"{name:14} {part:20} {says:26} top-1 {100 * fmean(one for one, _ in found):.1f} %, top-5 {100 * fmean(five for _, five in found):.1f} %")


# ---- the file


def rewritten(text: str, weights: Weights) -> str:
    """`verdict.toml` with these numbers in it; everything else stays as it is."""
    for key, value in (("intercept", weights.intercept), ("failed_share", weights.failed_share)):
        text = re.sub(rf"^{key} = .*$", f"{key} = {value:.4f}", text, flags=re.MULTILINE)
    for name, one in weights.signals.items():
        line = f"{name} = {{ mean = {one.mean:.4f}, deviation = {one.deviation:.4f}, weight = {one.weight:.4f} }}"
        text = re.sub(rf"^{name} = {{.*$", line, text, flags=re.MULTILINE)
    return text


def main(arguments: list[str], say: Callable[[str], None] = print) -> None:
    """Measure, and write where asked to."""
    folder = Path(arguments[0])
    read = dict(labelled(folder, "success"))
    sets = {name: [(run_signals(run), row["success"] == "False", row.get("agent", "")) for run, row in runs] for name, runs in read.items()}
    judged = {name: runs for name, runs in sets.items() if 0 < sum(failed for _, failed, _ in runs) < len(runs) and name not in arguments}
    weights = fitted(list(judged.values()), shipped())
    for name, runs in judged.items():
        tell(name, runs, fitted([other for key, other in judged.items() if key != name], shipped()))
        tell_with_good_runs(name, read[name])
    for name, located in labelled(folder, "decisive_step"):
        tell_steps(name, located)
        tell_learning(name, located)
    if "--write" in arguments:
        TARGET.write_text(rewritten(TARGET.read_text("utf-8"), weights), encoding="utf-8")
        say(f"wrote {TARGET.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
