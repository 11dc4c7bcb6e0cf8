"""How right each detector was where someone knows: its measured precision and recall, and what people here made of its findings.

The figures ship in `figures.json`, each with dataset and date: `make bench-detectors` writes those of public runs with known outcomes, `make
bench-mutations` those of faults planted in healthy runs, which say nothing of how often the fault occurs in the wild. A detector without any is
*unmeasured*, which is said and is no reproach: for most failures nobody has labels yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files

from workbench.intervals import Share, share
from workbench.model import Finding, NotEvaluated, Review, Severity, Value

UNMEASURED = "unmeasured"
FAILED = "the run failed"
PLANTED, THE_FAULT = "drawn runs, half of them with a planted fault", "the fault is there"
"""The dataset of faults planted in healthy runs, and what is claimed of those. It says nothing of how often a finding is right in the wild."""
ALARM = 0.95
"""The precision that what a detector calls an error must have reached."""


class Figure(Value):
    """One measurement: of `flagged` runs, `hits` were what the detector claims (`positive`), of `positives` such runs among `runs`.

    A run is flagged where it has a finding of severity `least` or more.
    """

    detector: str
    dataset: str
    measured: date
    positive: str
    hits: int
    flagged: int
    positives: int
    runs: int
    least: Severity = "info"

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
        which = "" if self.least == "info" else f"{self.least}s alone: "
        return f"{which}precision {precision}, recall {recall} for “{self.positive}” on {self.dataset}, {self.positives:,} positives{base} ({self.measured})"


class Record(Value):
    """What people here made of a detector's findings: of those `reviewed`, so many were `confirmed`; `reviews` is what they said, one word a finding."""

    detector: str
    confirmed: int
    reviewed: int
    reviews: tuple[Review, ...] = ()

    @property
    def precision(self) -> Share:
        """The share they confirmed."""
        return share(self.confirmed, self.reviewed)

    def __str__(self) -> str:
        return f"confirmed by people here: {self.precision}"


def figures_of(detector: str) -> tuple[Figure, ...]:
    """The measurements of one detector, the largest first and planted faults last; empty for one that is unmeasured."""
    return figures().get(detector, ())


def measured_in_the_wild(detector: str) -> bool:
    """Whether a detector was held against runs that nobody had drawn for it."""
    return any(one.dataset != PLANTED for one in figures_of(detector))


@cache
def figures() -> dict[str, tuple[Figure, ...]]:
    """All measurements that ship, by detector."""
    found: dict[str, list[Figure]] = {}
    for row in json.loads(files("workbench").joinpath("figures.json").read_text("utf-8")):
        figure = Figure.model_validate(row)
        found.setdefault(figure.detector, []).append(figure)
    return {detector: tuple(sorted(those, key=lambda one: (one.dataset == PLANTED, -one.positives, one.least != "info"))) for detector, those in found.items()}


def agreement(
    detectors: Iterable[str], findings: Iterable[Finding], lacks: Iterable[NotEvaluated], failed: Mapping[str, bool], dataset: str
) -> tuple[Figure, ...]:
    """How each of these detectors agrees with labels of which runs failed, each over the runs it could judge: the same figures as those that ship."""
    flagged, lacking = _runs_by_detector(findings), _runs_by_detector(lacks)
    about = {"dataset": dataset, "measured": datetime.now(UTC).date(), "positive": FAILED}
    found = []
    for name in sorted({*detectors, *flagged}):
        known = {run_id: bad for run_id, bad in failed.items() if run_id not in lacking.get(name, ())}
        runs = flagged.get(name, set()) & known.keys()
        counts = {"hits": sum(known[one] for one in runs), "flagged": len(runs), "positives": sum(known.values()), "runs": len(known)}
        found.append(Figure(detector=name, **counts, **about))
    return tuple(found)


def _runs_by_detector(said: Iterable[Finding | NotEvaluated]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in said:
        found.setdefault(one.detector, set()).add(one.run_id)
    return found


def records_of(reviews: Iterable[Review]) -> tuple[Record, ...]:
    """What people made of the findings of each detector that they reviewed, in the order of the detectors' names."""
    known: dict[str, list[Review]] = {}
    for review in reviews:
        known.setdefault(review.detector, []).append(review)
    return tuple(
        Record(detector=name, confirmed=sum(one.verdict == "confirmed" for one in said), reviewed=len(said), reviews=tuple(said))
        for name, said in sorted(known.items())
    )


def review_of(finding: Finding, records: Iterable[Record]) -> Review | None:
    """What people made of one finding, by the records of detectors; None where nobody reviewed it."""
    mine = (review for one in records if one.detector == finding.detector for review in one.reviews)
    return next((review for review in mine if review.key == finding.key), None)


def told(detector: str, records: Iterable[Record] = ()) -> str:
    """A detector's figures in words, the local record too where there is one."""
    local = [str(one) for one in records if one.detector == detector]
    return "; ".join([*map(str, figures_of(detector)), *local]) or UNMEASURED
