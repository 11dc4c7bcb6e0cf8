"""An agent that is surer than it is right: of many runs that ended with about the same confidence, fewer went well than that confidence promises.

What a run ended with is the last confidence recorded in it; whether it went well is how it ended, in an error or not. Fires where even the upper end of the
interval of the share that went well lies clearly below what was stated.

Why it matters: a threshold on confidence, for an approval or a hand-over, protects nobody where 0.9 means 0.6.
What to do: set thresholds by what was observed (`bench.calibration(labels)` shows it); calibrate the confidence, or take it from elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from workbench.cohorts.calibration import BINS, ENDED, ended_sure
from workbench.cohorts.periods import ENOUGH, fetched
from workbench.intervals import Share, share
from workbench.model import Evidence, Finding, NotEvaluated, Run
from workbench.sketch import model, sketch, user

CLEARLY = 0.1
Ended = tuple[str, float, bool]


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """One finding for each agent and range of confidence that promises too much, at the latest failed run of it."""
    ended: dict[str | None, list[Ended]] = defaultdict(list)
    for run in runs:
        if run.status in ENDED and (sure := ended_sure(run)) is not None:
            ended[run.agent].append((run.run_id, sure[1], ENDED[run.status]))
    told = [(agent, *one) for agent, those in ended.items() for one in _promising(those)]
    whole = fetched(runs, {failed for *_, failed in told})
    for agent, stated, well, failed in told:
        yield _finding(whole[failed], agent, stated, well)
    for agent, those in ended.items():
        if len(those) < ENOUGH:
            why = f"{len(those)} runs of {agent} that ended and recorded a confidence; {ENOUGH} are needed"
            yield NotEvaluated(detector="miscalibrated-confidence", run_id=those[-1][0], why=why)


def _promising(those: list[Ended]) -> Iterator[tuple[float, Share, str]]:
    """What was stated on average, the share that went well, and the latest failed run, of each range of confidence that promises too much."""
    for number in range(BINS):
        within = [one for one in those if min(BINS - 1, int(one[1] * BINS)) == number]
        stated = sum(sure for _, sure, _ in within) / len(within) if within else 0.0
        well = share(sum(not failed for *_, failed in within), len(within))
        if well.total >= ENOUGH and well.high is not None and stated - well.high > CLEARLY:
            yield stated, well, next(run_id for run_id, _, failed in reversed(within) if failed)


def _finding(run: Run, agent: str | None, stated: float, well: Share) -> Finding:
    step, sure = ended_sure(run) or (run.steps[-1], 0.0)
    path = "$.decision.confidence" if step.decision and step.decision.confidence is not None else "$.output.confidence"
    return Finding(
        detector="miscalibrated-confidence",
        run_id=run.run_id,
        severity="info",
        score=min(1.0, stated - (well.value or 0.0)),
        step=step.index,
        message=f"runs of {agent} that ended with a confidence of {stated:.2f} on average went well in {well}; this one ended at {sure:.2f} and failed",
        numbers={"stated": round(stated, 4), "went_well": round(well.value or 0.0, 4), "runs": well.total},
        evidence=(Evidence.cite(run, step.index, path, "what the latest failed run ended with"),),
        capability="human escalation",
        item="confidence-routing",
        refute="Give labels of what really failed to `bench.calibration(labels)`: if most of these runs went well, how they ended misleads.",
    )


def _ran(number: int, stated: float, *, fails: bool) -> Run:
    return sketch(user("Go"), model("Done.", confidence=stated), run_id=f"run-{number}", agent="clerk", status="error" if fails else "ok")


FIRES_ON = tuple(_ran(number, 0.9 + number % 5 / 100, fails=number % 5 in {0, 1}) for number in range(40))
QUIET_ON = (
    *(_ran(number, 0.9 + number % 5 / 100, fails=number % 10 == 0) for number in range(40)),
    *(_ran(number, 0.5, fails=number % 5 in {0, 1}) for number in range(40, 80)),
    *(_ran(number, 0.7, fails=True) for number in range(80, 90)),
)
