"""Whether stated confidence can be believed: of runs that ended so sure, how many went well.

Which runs failed is told by labels, or, without any, by how the runs ended: in an error or not. What a run ended with is the last confidence its model calls
recorded. Brier score (Brier 1950) and expected calibration error (Naeini et al. 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean

from workbench.intervals import Share, share
from workbench.model import Run, Step, Value

BINS = 5
ENDED = {"ok": False, "error": True}
"""Whether a run that ended so failed; of others nobody can say."""


class Bin(Value):
    """Runs that ended with a confidence from `low` up to `high`: what they stated on average, and how many of them went well."""

    low: float
    high: float
    stated: float
    well: Share


class Calibration(Value):
    """Stated confidence against what came of it. `brier` and `expected_error` are 0 at best; None where no run has both a confidence and an outcome."""

    bins: tuple[Bin, ...]
    runs: int
    left_out: int
    """Runs that stated no confidence, or of which nobody knows how they went."""
    brier: float | None
    expected_error: float | None


def confidence_of(step: Step) -> float | None:
    """What a model call said of its own answer, or a measure of it."""
    stated = step.decision.confidence if step.decision else None
    return stated if stated is not None or step.output is None else step.output.confidence


def ended_sure(run: Run) -> tuple[Step, float] | None:
    """The last model call that recorded a confidence, and which; None where none did."""
    models = (step for step in reversed(run.steps) if step.kind == "model")
    return next(((step, stated) for step in models if (stated := confidence_of(step)) is not None), None)


def calibration(runs: Iterable[Run], failed: Mapping[str, bool] | None = None) -> Calibration:
    """Stated confidence against outcomes, the runs read one at a time. `failed` tells by run id which failed; without it, how they ended does."""
    known: list[tuple[float, bool]] = []
    left_out = 0
    for run in runs:
        sure, bad = ended_sure(run), (ENDED.get(run.status) if failed is None else failed.get(run.run_id))
        if sure is None or bad is None:
            left_out += 1
        else:
            known.append((sure[1], not bad))
    bins = tuple(_bin(number, those) for number in range(BINS) if (those := [one for one in known if min(BINS - 1, int(one[0] * BINS)) == number]))
    brier = fmean((stated - well) ** 2 for stated, well in known) if known else None
    error = sum(one.well.total * abs(one.stated - (one.well.value or 0.0)) for one in bins) / len(known) if known else None
    return Calibration(bins=bins, runs=len(known), left_out=left_out, brier=brier, expected_error=error)


def _bin(number: int, those: list[tuple[float, bool]]) -> Bin:
    return Bin(low=number / BINS, high=(number + 1) / BINS, stated=fmean(stated for stated, _ in those), well=share(sum(well for _, well in those), len(those)))
