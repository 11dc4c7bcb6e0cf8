"""Where to look: the worst run, its first bad step, the good run that is most like it. Reads the steps of those it names, and of a few good ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from workbench.cohorts.baseline import distance_of, profile
from workbench.incident.counts import ORDER, Looked
from workbench.incident.values import Counted, FirstBad, Near
from workbench.model import Evidence, Finding, Json, Run, Step, canonical
from workbench.verdict.verdict import Verdict

CANDIDATES = 12
"""How many good runs are read to find the nearest."""
SAID_CHARS = 300
PATHS = ("$.error", "$.result", "$.tool_call.arguments", "$.output.content", "$.kind")
"""What of a step is cited where no finding cites anything of it: the first that there is."""
LAST = ORDER["info"] + 1


def worst_first(every: Sequence[Looked], found: Sequence[Counted], verdicts: Mapping[str, Verdict]) -> list[Looked]:
    """The affected runs: those with what was found gravest and most often first, then by how likely they failed, then the oldest."""
    top = found[0].detector if found else None
    return sorted((one for one in every if one.affected), key=lambda one: _badness(one, top, verdicts.get(one.overview.run_id)))


def _badness(one: Looked, top: str | None, verdict: Verdict | None) -> tuple[bool, int, float, bool, int, float]:
    gravest = min((ORDER[it.severity] for it in one.findings), default=LAST)
    sure = verdict.probability if verdict and verdict.probability is not None else 0.0
    started = one.overview.started_ns
    return all(it.detector != top for it in one.findings), gravest, -sure, one.overview.status != "error", -len(one.grave), float(started or 0)


def first_bad_step(run: Run, findings: Sequence[Finding]) -> int | None:
    """Where to begin reading: the earliest step of the severest finding, else the first step in error, else the first step; None without steps."""
    present = {step.index for step in run.steps}
    placed = [(ORDER[finding.severity], finding.step) for finding in findings if finding.step is not None and finding.step in present]
    if placed:
        return min(placed)[1]
    return next((step.index for step in run.steps if step.status == "error"), run.steps[0].index if run.steps else None)


def first_bad_of(run: Run, findings: Sequence[Finding]) -> FirstBad | None:
    """The first bad step of a run with what it asked and got, and why it is taken for that; None for a run without steps."""
    index = first_bad_step(run, findings)
    if index is None:
        return None
    step = run.step(index)
    standing = sorted((one for one in findings if one.step == index), key=lambda one: (ORDER[one.severity], -one.score))
    because = f"{standing[0].detector} ({standing[0].severity}) stands there" if standing else _unfound(step)
    return FirstBad(
        run_id=run.run_id,
        step=index,
        kind=step.kind,
        name=step.name,
        asked=_cut(_asked(step)),
        came=_cut(_came(step)),
        because=because,
        evidence=_evidence(run, step, standing),
    )


def _unfound(step: Step) -> str:
    return "the first step that ended with an error" if step.status == "error" else "the run's first step: nothing points at another"


def _asked(step: Step) -> Json:
    if step.tool_call is None:
        return None
    return step.tool_call.raw if step.tool_call.arguments is None else step.tool_call.arguments


def _came(step: Step) -> Json:
    if step.error or step.result is not None:
        return step.error or step.result
    if step.output is None:
        return None
    return step.output.content or [call.name for call in step.output.tool_calls]


def _cut(value: Json) -> str:
    text = "" if value is None else value if isinstance(value, str) else canonical(value)
    return text if len(text) <= SAID_CHARS else text[: SAID_CHARS - 1] + "…"


def _evidence(run: Run, step: Step, standing: Sequence[Finding]) -> Evidence:
    """What a finding cites of the step, else the most telling value there is."""
    cited = (proof for one in standing for proof in one.evidence if proof.run_id == run.run_id and proof.step == step.index)
    return next(cited, None) or Evidence.cite(run, step.index, next(_there(step)), "the first bad step")


def _there(step: Step) -> Iterator[str]:
    for path in PATHS:
        try:
            if step.at(path) not in (None, "", {}):
                yield path
        except KeyError:
            continue


def nearest_good(worst: Run, every: Sequence[Looked], read: Callable[[str], Run]) -> Near | None:
    """The good run of the same agent that is most like the worst one, among the few that are nearest by their counts; None where there is none."""
    good = [one for one in every if not one.affected and one.overview.agent == worst.agent and one.overview.status == "ok"]
    calls, at = sum(1 for _ in worst.of_kind("tool")), worst.started_ns or 0
    close = sorted(good, key=lambda one: (abs(one.overview.tool_calls - calls), abs((one.overview.started_ns or 0) - at), one.overview.run_id))[:CANDIDATES]
    mine = profile(worst)
    apart = [round(distance_of(mine, profile(read(one.overview.run_id))), 4) for one in close]
    if not close:
        return None
    best = apart.index(min(apart))
    return Near(run_id=close[best].overview.run_id, distance=apart[best], looked_at=len(close))
