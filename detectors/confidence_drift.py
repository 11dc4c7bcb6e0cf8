"""The model's confidence falls within a run and stays low: Page-Hinkley over the recorded confidences, scaled by their own noise.

Also said: how confident the final answer was, and whether it rests on an empty result.

Why it matters: an agent that loses its footing rarely says so; the answer reads as smooth as ever.
What to do: hand over to a person below a confidence; treat an empty result as a question, not as an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import fmean, median

from workbench.calls import empty
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user

AT_LEAST = 8
LEVEL = 3  # the first values, whose mean the run is held against
ALLOWANCE, ALARM = 0.5, 6.0  # in units of the noise
LEAST_NOISE, LEAST_FALL = 0.03, 0.15


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the step where the fall is beyond noise."""
    sure = [step for step in run.of_kind("model") if _confidence(step) is not None]
    values = [confidence for step in sure if (confidence := _confidence(step)) is not None]
    if len(values) < AT_LEAST:
        why = f"{len(values)} confidences recorded, {AT_LEAST} are needed" if values else "no confidences recorded"
        yield NotEvaluated(detector="confidence-drift", run_id=run.run_id, why=why)
        return
    alarm = _alarm(values)
    if alarm is not None:
        yield _finding(run, sure, values, alarm)


def _confidence(step: Step) -> float | None:
    said = step.decision.confidence if step.decision else None
    return said if said is not None or step.output is None else step.output.confidence


def _path(step: Step) -> str:
    return "$.output.confidence" if step.decision is None or step.decision.confidence is None else "$.decision.confidence"


def _alarm(values: list[float]) -> int | None:
    """Where the sum of falls below the mean so far, each less an allowance for noise, passes the limit and the fall lasts; None if it never does."""
    noise, level = _noise(values), fmean(values[:LEVEL])
    total, mean = 0.0, level
    for number, value in enumerate(values):
        if number > LEVEL:
            mean += (values[number - 1] - mean) / number
        total = max(0.0, total + (mean - value) / noise - ALLOWANCE)
        if total > ALARM:
            if level - median(values[number:]) >= max(LEAST_FALL, 2 * noise):
                return number
            total = 0.0  # it recovered: begin anew
    return None


def _noise(values: list[float]) -> float:
    """Standard deviation around the trend, from how far the differences of neighbours lie from their median; 0.886 makes it exact for normal noise."""
    moves = [second - first for first, second in pairwise(values)]
    trend = median(moves)
    return max(LEAST_NOISE, 0.886 * fmean(abs(move - trend) for move in moves))


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
