"""How right each detector was where someone knows: its measured precision and recall, and what people here made of its findings.

The figures ship in `figures.json`, written by `make bench-detectors` from public runs with known outcomes, each with dataset and date. A
detector without any is *unmeasured*, which is said and is no reproach: for most failures nobody has labels yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files

from workbench.intervals import Share, share
from workbench.model import Review, Value

UNMEASURED = "unmeasured"


class Figure(Value):
    """One measurement: of `flagged` runs, `hits` were what the detector claims (`positive`), of `positives` such runs among `runs`."""

    detector: str
    dataset: str
    measured: date
    positive: str
    hits: int
    flagged: int
    positives: int
    runs: int

    @property
    def precision(self) -> Share:
        """Of the runs it flags, the share that is positive."""
        return share(self.hits, self.flagged)

    @property
    def recall(self) -> Share:
        """Of the positive runs, the share it flags."""
        return share(self.hits, self.positives)

    @property
    def base_rate(self) -> Share:
        """The share of positive runs, which is the precision of flagging everything."""
        return share(self.positives, self.runs)

    def __str__(self) -> str:
        precision, recall = (f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]" if one.value is not None else "–" for one in (self.precision, self.recall))
        base = "" if self.base_rate.value is None else f", base rate {self.base_rate.value:.2f}"
        return f"precision {precision}, recall {recall} for “{self.positive}” on {self.dataset}, {self.positives:,} positives{base} ({self.measured})"


class Record(Value):
    """What people here made of a detector's findings: of those `reviewed`, so many were `confirmed`."""

    detector: str
    confirmed: int
    reviewed: int

    @property
    def precision(self) -> Share:
        """The share they confirmed."""
        return share(self.confirmed, self.reviewed)

    def __str__(self) -> str:
        return f"confirmed by people here: {self.precision}"


def figures_of(detector: str) -> tuple[Figure, ...]:
    """The measurements of one detector, the largest first; empty for one that is unmeasured."""
    return figures().get(detector, ())


@cache
def figures() -> dict[str, tuple[Figure, ...]]:
    """All measurements that ship, by detector."""
    found: dict[str, list[Figure]] = {}
    for row in json.loads(files("workbench").joinpath("figures.json").read_text("utf-8")):
        figure = Figure.model_validate(row)
        found.setdefault(figure.detector, []).append(figure)
    return {detector: tuple(sorted(those, key=lambda one: -one.positives)) for detector, those in found.items()}


def records_of(reviews: Iterable[Review]) -> tuple[Record, ...]:
    """What people made of the findings of each detector that they reviewed, in the order of the detectors' names."""
    verdicts: dict[str, list[str]] = {}
    for review in reviews:
        verdicts.setdefault(review.detector, []).append(review.verdict)
    return tuple(Record(detector=name, confirmed=said.count("confirmed"), reviewed=len(said)) for name, said in sorted(verdicts.items()))


def told(detector: str, records: Iterable[Record] = ()) -> str:
    """A detector's figures in words, the local record too where there is one."""
    local = [str(one) for one in records if one.detector == detector]
    return "; ".join([*map(str, figures_of(detector)), *local]) or UNMEASURED
