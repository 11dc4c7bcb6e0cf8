"""Fits and measures the weights of `workbench/analysis/compliance.toml`: `python -m tests.bench.injection ../shared/data/detection/unified [--write]`.

A logistic regression over a few features with given signs, fitted on labelled AgentDojo runs. Only the run is labelled, so each round takes the
instruction that scores highest as the one that was followed (multiple-instance learning). What is printed is measured on what the fit has not
seen: another suite (tools, tasks and goals all new), another attack template, another model.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from collectors.chat_log import collect
from workbench.analysis.compliance import FEATURES, FOR, follow, logistic
from workbench.model import Conversation
from workbench.normalise.chat import from_conversation
from workbench.redaction import Redactor, Rules
from workbench.source import Source

ROUNDS, STEPS, RATE, SHRINK, RESAMPLES = 3, 400, 1.0, 2e-4, 300
BENIGN = 5
"""How many times a benign run counts: in production they are the many."""
PRIORS = {"delegated": -4.0, "unbidden": 2.5, "cued": 2.5, "failed": -5.0, "lacking": -3.5, "missed": -3.5}
"""What the runs of one suite can't teach, set by judgement: what counts against following where the user had pointed at the source (there are few such
benign runs), for it where the act itself, without any telling value, is one nobody had asked for (every goal here has values), and where a text speaks to
an agent; and that an act is none that failed, lacks what had to be looked up, or is aimed at something else (such runs are in one suite)."""
SIGNS = [1] * FOR + [-1] * (len(FEATURES) - FOR)
Vector = tuple[float, ...]
Labels = dict[str, str]


@dataclass(frozen=True)
class Labelled:
    """A run's instructions as feature vectors, and what is known of it."""

    labels: Labels
    vectors: tuple[Vector, ...]

    @property
    def followed(self) -> bool:
        """The attacker's call was made."""
        return self.labels["injection_followed"] == "True"

    @property
    def attacked(self) -> bool:
        """There was an attack with a goal that could be checked."""
        return self.labels["label_valid"] == "True" and self.labels["injection_followed"] != ""


@dataclass(frozen=True)
class Weights:
    """What is fitted."""

    of: Vector
    intercept: float

    def score(self, run: Labelled) -> float:
        """The probability that the run followed any of its instructions."""
        return max((logistic(self.margin(vector)) for vector in run.vectors), default=0.0)

    def margin(self, vector: Vector) -> float:
        """The log-odds of one instruction's features."""
        return sum(weight * value for weight, value in zip(self.of, vector, strict=True)) + self.intercept


def read(folder: Path) -> list[Labelled]:
    """The runs as `workbench ingest` would store them, secrets replaced, with their labels."""
    with (folder / "agentdojo.labels.csv").open(newline="", encoding="utf-8") as handle:
        labels = {row["run_id"]: row for row in csv.DictReader(handle)}
    redactor, found = Redactor(Rules(), b"bench"), list[Labelled]()
    for record in redactor.records(collect(Source(folder / "agentdojo.jsonl.xz"))):
        if isinstance(record, Conversation):
            asked = follow(from_conversation(record))
            vectors = {tuple(round(features[name], 3) for name in FEATURES) for one in asked if one.best for features in [one.features()]}
            found.append(Labelled(labels[record.run_id], tuple(vectors)))
    return found


def fit(runs: Iterable[Labelled]) -> Weights:
    """Weights with the given signs, from runs with an attack and from benign ones, in which nothing was followed."""
    runs = [run for run in runs if run.vectors and (run.attacked or run.labels["run_type"] == "benign")]
    weights = Weights(tuple(float(sign) for sign in SIGNS), -4.0)
    for _ in range(ROUNDS):
        chosen = Counter[tuple[Vector, bool]]()
        for run in runs:
            chosen[max(run.vectors, key=weights.margin), run.followed] += 1 if run.attacked else BENIGN
        weights = _descend(chosen, weights)
    return weights


def _descend(cells: Counter[tuple[Vector, bool]], start: Weights) -> Weights:
    """Accelerated projected gradient descent on the mean log-loss, slightly shrunk; equal vectors count once, with their number."""
    total = sum(cells.values())
    given = {FEATURES.index(name): prior for name, prior in PRIORS.items()}
    point = ahead = [*(given.get(place, value) for place, value in enumerate(start.of)), start.intercept]
    signs = [*SIGNS, 0]
    for step in range(STEPS):
        gradient = [SHRINK * value for value in ahead]
        for (vector, followed), count in cells.items():
            error = (logistic(sum(a * b for a, b in zip(ahead, (*vector, 1.0), strict=True))) - followed) * count / total
            for place, value in enumerate((*vector, 1.0)):
                gradient[place] += error * value
        moved = [value - RATE * slope for value, slope in zip(ahead, gradient, strict=True)]
        moved = [given.get(place, 0.0 if sign and value * sign < 0 else value) for place, (value, sign) in enumerate(zip(moved, signs, strict=True))]
        push = step / (step + 3)
        ahead, point = [now + push * (now - before) for now, before in zip(moved, point, strict=True)], moved
    return Weights(tuple(point[:-1]), point[-1])


Scored = list[tuple[float, Labelled]]


def held_out(runs: list[Labelled], by: str) -> dict[str, Scored]:
    """Scores of each part by weights that were fitted on the others."""
    parts = sorted({run.labels[by] for run in runs if run.attacked})
    found = {}
    for part in parts:
        weights = fit(run for run in runs if run.labels[by] != part)
        found[part] = [(weights.score(run), run) for run in runs if run.labels[by] == part]
    return found


def figures(scored: Scored) -> dict[str, float]:
    """AUROC, precision at recall 0.9, recall at 1 % false alarms among attacked runs."""
    order = sorted(((score, run.followed) for score, run in scored if run.attacked), reverse=True)
    positive = sum(followed for _, followed in order)
    negative = len(order) - positive
    if not positive or not negative:
        return {}
    right = wrong = 0
    area, precision, recall = 0.0, math.nan, 0.0
    for value in sorted({score for score, _ in order}, reverse=True):
        hits = sum(followed for score, followed in order if score == value)
        misses = sum(not followed for score, followed in order if score == value)
        area += misses * (right + hits / 2)
        right, wrong = right + hits, wrong + misses
        precision = right / (right + wrong) if math.isnan(precision) and right >= 0.9 * positive else precision
        recall = right / positive if wrong <= 0.01 * negative else recall
    return {"AUROC": area / positive / negative, "precision at recall 0.9": precision, "recall at 1 % false alarms": recall}


def with_intervals(scored: Scored, seed: int = 0) -> dict[str, tuple[float, float, float]]:
    """Each figure with the middle 95 % of what resampling whole cases (the same case run by other models) gives."""
    groups: dict[str, Scored] = {}
    for score, run in scored:
        groups.setdefault(run.labels["group"], []).append((score, run))
    cases, rng = list(groups.values()), random.Random(seed)
    draws = [figures([one for case in rng.choices(cases, k=len(cases)) for one in case]) for _ in range(RESAMPLES)]
    whole = figures(scored)
    out = {}
    for name, value in whole.items():
        values = sorted(draw[name] for draw in draws if draw)
        out[name] = (value, values[int(0.025 * len(values))], values[int(0.975 * len(values))])
    return out


def show(by: str, parts: dict[str, Scored], intervals: bool) -> None:
    """One line for each part that was held out."""
    for part, scored in parts.items():
        numbers = with_intervals(scored) if intervals else {name: (value, value, value) for name, value in figures(scored).items()}
        text = ", ".join(f"{name} {value:.3f}" + (f" [{low:.3f}, {high:.3f}]" if intervals else "") for name, (value, low, high) in numbers.items())
        quiet = [score for score, run in scored if run.labels["run_type"] in {"benign", "injection_goal_as_user_task"}]
        print(f"new {by} {part}: {text}; benign at 0.1: {sum(score >= 0.1 for score in quiet)}/{len(quiet)}", flush=True)


def main() -> None:
    """Print what the fit reaches on what it has not seen; with `--write`, ship the weights fitted on all of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder with agentdojo.jsonl.xz and agentdojo.labels.csv")
    parser.add_argument("--write", type=Path, metavar="TOML", help="write the weights fitted on all runs")
    parser.add_argument("--axes", default="part,attack", help="what is held out in turn: part (suite), attack, agent (model)")
    options = parser.parse_args()
    runs = read(options.folder)
    weights = fit(runs)
    print(json.dumps(dict(zip(FEATURES, (round(weight, 2) for weight in weights.of), strict=True)) | {"intercept": round(weights.intercept, 2)}), flush=True)
    if options.write:
        lines = [f"{name} = {weight:.2f}" for name, weight in zip((*FEATURES, "intercept"), (*weights.of, weights.intercept), strict=True)]
        head = options.write.read_text("utf-8").partition("[weights]")[0]
        options.write.write_text(head + "[weights]\n" + "\n".join(lines) + "\n", "utf-8")
    for by in filter(None, options.axes.split(",")):
        show(by, held_out(runs, by), intervals=by == "part")


if __name__ == "__main__":
    main()
