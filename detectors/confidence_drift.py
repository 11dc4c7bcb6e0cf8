"""The model's confidence falls within a run and stays low: Page-Hinkley over the recorded confidences, scaled by their own noise.

Also said: how confident the final answer was, and whether it rests on an empty result. Over many runs: the mean confidence of an agent's runs differs between
neighbouring versions, models or days by more than chance explains, or falls from some run on and stays low.

Why it matters: an agent that loses its footing rarely says so; the answer reads as smooth as ever.
What to do: hand over to a person below a confidence; treat an empty result as a question, not as an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import erfc, sqrt
from statistics import fmean
from typing import NamedTuple

from workbench.analysis.calls import empty
from workbench.analysis.drift import AT_LEAST, LEVEL, drift_of
from workbench.cohorts.periods import ENOUGH, Change, Observed, by_agent, changes, fetched, observed
from workbench.intervals import mean
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user

CHANCE, LEAST_CHANGE = 0.01, 0.05  # over many runs: how likely a difference may be by chance, and how large it is at least


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the step where the fall is beyond noise."""
    sure = [step for step in run.of_kind("model") if _confidence(step) is not None]
    values = [confidence for step in sure if (confidence := _confidence(step)) is not None]
    if len(values) < AT_LEAST:
        why = f"{len(values)} confidences recorded, {AT_LEAST} are needed" if values else "no confidences recorded"
        yield NotEvaluated(detector="confidence-drift", run_id=run.run_id, why=why)
        return
    alarm = drift_of(values).alarm
    if alarm is not None:
        yield _finding(run, sure, values, alarm)


class Shift(NamedTuple):
    """A change of confidence over many runs: the first run that shows it, in words, and its numbers."""

    run_id: str
    says: str
    numbers: dict[str, float | int | str]


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """One finding for each change of version, model or day after which an agent's confidence is another; where there is none, for a fall over its runs."""
    told: list[Shift] = []
    sure = ((run, [value for step in run.of_kind("model") if (value := _confidence(step)) is not None]) for run in runs)
    seen = by_agent(observed(run, fmean(values)) for run, values in sure if values)
    for agent, those in seen.items():
        if len(those) < ENOUGH:
            why = f"{len(those)} runs of {agent} with confidences; {ENOUGH} are needed to compare runs"
            yield NotEvaluated(detector="confidence-drift", run_id=those[-1].run_id, why=why)
        found = changes(those)
        shifts = [shift for change in found for shift in _shift(change, len(found))]
        told += shifts or _fall(those)
    whole = fetched(runs, {one.run_id for one in told})
    for one in told:
        yield _over_runs(whole[one.run_id], one)


def _shift(change: Change[float], compared: int) -> Iterator[Shift]:
    """Where two neighbouring periods differ (Welch's test; the level is divided by the number of comparisons)."""
    before, after = (mean([one.value for one in those]) for those in (change.was, change.now))
    spread = sqrt(before.error2 + after.error2)
    p_value = erfc(abs(before.value - after.value) / spread / sqrt(2)) if spread else float(before.value == after.value)
    if p_value * compared < CHANCE and abs(before.value - after.value) >= LEAST_CHANGE:
        numbers: dict[str, float | int | str] = {"before": round(before.value, 4), "after": round(after.value, 4), "p_value": float(f"{p_value:.2g}")}
        yield Shift(change.now[0].run_id, f"from {change}, mean confidence went from {before} to {after}", numbers)


def _fall(those: list[Observed[float]]) -> list[Shift]:
    """Where the confidence of an agent's runs, in the order of their times, falls and stays low."""
    values = [one.value for one in those]
    alarm = drift_of(values, ENOUGH, LEAST_CHANGE).alarm if len(values) > ENOUGH else None
    if alarm is None or len(values) - alarm < LEVEL:
        return []
    before, after = mean(values[:ENOUGH]), mean(values[alarm:])
    numbers: dict[str, float | int | str] = {"before": round(before.value, 4), "after": round(after.value, 4), "runs": len(values)}
    return [Shift(those[alarm].run_id, f"mean confidence of {those[0].agent} fell from {before} to {after}, from this run on", numbers)]


def _over_runs(run: Run, shift: Shift) -> Finding:
    step = next(step for step in run.of_kind("model") if _confidence(step) is not None)
    return Finding(
        detector="confidence-drift",
        run_id=run.run_id,
        severity="info",
        score=0.5,
        step=step.index,
        message=shift.says,
        numbers=shift.numbers,
        evidence=(Evidence.cite(run, step.index, _path(step), "a confidence of the first run that shows it"),),
        capability="observability",
        item="semantic-failures",
        refute="Compare what was asked on both sides: if the later requests are harder in the same measure, the agent is no less sure of the same ones.",
    )


def _confidence(step: Step) -> float | None:
    said = step.decision.confidence if step.decision else None
    return said if said is not None or step.output is None else step.output.confidence


def _path(step: Step) -> str:
    return "$.output.confidence" if step.decision is None or step.decision.confidence is None else "$.decision.confidence"


def _finding(run: Run, sure: list[Step], values: list[float], alarm: int) -> Finding:
    before, after = fmean(values[:LEVEL]), fmean(values[alarm:])
    final = next((step for step in reversed(sure) if step.output and step.output.content and not step.output.tool_calls), None)
    hollow = _empty_before(run, final)
    says = f"; the final answer (step {final.index}) was given at {_confidence(final):.2f}" if final else ""
    rests = f" and rests on an empty result ({hollow.name}, step {hollow.index})" if final and hollow else ""
    numbers: dict[str, float | int | str] = {"values": len(values), "before": round(before, 4), "after": round(after, 4), "drift_at": sure[alarm].index}
    cited = [(step, _path(step), f"confidence {says}") for step, says in ((sure[0], "at the beginning"), (sure[alarm], "at the alarm"))]
    if final:
        numbers["final"] = _confidence(final) or 0.0
        cited.append((final, "$.output.content", "the final answer"))
    if hollow:
        cited.append((hollow, "$.result", "an empty result"))
    return Finding(
        detector="confidence-drift",
        run_id=run.run_id,
        severity="warning",
        score=min(0.95, 0.5 + before - after),
        step=sure[alarm].index,
        message=f"confidence fell from {before:.2f} to {after:.2f}, beyond noise from step {sure[alarm].index} on ({len(values)} values){says}{rests}",
        numbers=numbers,
        evidence=tuple(Evidence.cite(run, step.index, pointer, text) for step, pointer, text in cited),
        capability="observability",
        item="semantic-failures",
        refute=f"Fork at step {(hollow or sure[alarm]).index} with a fuller result put in: if confidence falls all the same, that result wasn't the reason.",
    )


def _empty_before(run: Run, final: Step | None) -> Step | None:
    """The last tool call that brought nothing before the answer, unless the same tool brought something afterwards."""
    latest = {step.name: step for step in run.of_kind("tool") if final and step.index < final.index and step.status == "ok"}
    return max((step for step in latest.values() if empty(step.result)), key=lambda step: step.index, default=None)


def _thinks(*confidences: float) -> list[Step]:
    return [step for value in confidences for step in (model(calls=(("search_hotels", {}),), confidence=value), tool("search_hotels", {}, {"hotels": []}))]


FIRES_ON = (
    sketch(user("A hotel"), *_thinks(0.95, 0.94, 0.93, 0.88, 0.8, 0.71, 0.62, 0.5), model("Hotel Sakura is free.", confidence=0.4)),
    sketch(user("A hotel"), *_thinks(0.9, 0.91, 0.89, 0.9, 0.6, 0.6, 0.61, 0.58), model("Hotel Sakura is free.", confidence=0.6)),
)
QUIET_ON = (
    sketch(user("A hotel"), *_thinks(0.9, 0.86, 0.93, 0.88, 0.94, 0.85, 0.9, 0.87), model("None is free.", confidence=0.91)),
    sketch(user("A hotel"), *_thinks(0.9, 0.91, 0.89, 0.5, 0.9, 0.92, 0.9, 0.91), model("None is free.", confidence=0.9)),
    sketch(user("A hotel"), *_thinks(0.5, 0.6, 0.65, 0.7, 0.8, 0.85, 0.9, 0.9), model("Sakura is free.", confidence=0.95)),
)
