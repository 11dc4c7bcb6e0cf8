"""An incident, told from what is known of runs without reading them: what failed, how far it reaches, where it began, what to do next.

A run is *affected* when it ended with an error or a detector found something grave in it (a warning or an error that no person dismissed); of one
detector's incident, when that detector found anything in it. The others are *good*. Only the steps of runs that are named are read, and of a few
good ones to find the nearest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from workbench.incident.calls import next_calls
from workbench.incident.counts import Looked, cost_of, counted, looked, onset_of, reach_of, versions_of
from workbench.incident.places import first_bad_of, first_bad_step, nearest_good, worst_first
from workbench.incident.values import Call, Confidence, Cost, Counted, FirstBad, Incident, Near, Onset, Reach, Scope, VersionCount
from workbench.model import Finding, Note, NotEvaluated, Review, Run
from workbench.overview import Overview
from workbench.verdict.verdict import Verdict

__all__ = ["Call", "Confidence", "Cost", "Counted", "FirstBad", "Incident", "Near", "Onset", "Reach", "Scope", "VersionCount", "first_bad_step", "incident_of"]

Examination = tuple[Sequence[NotEvaluated], Verdict | None]
"""What an examination says beside findings."""
HALF, SURE, FEW_RUNS, LACKS_SHOWN = 0.5, 0.9, 5, 5


def incident_of(
    scope: Scope,
    overviews: Iterable[Overview],
    headers: Mapping[str, Run],
    findings: Mapping[str, Sequence[Finding]],
    *,
    read: Callable[[str], Run],
    examinations: Callable[[Collection[str]], Mapping[str, Examination]] | None = None,
    reviews: Iterable[Review] = (),
    notes: Iterable[Note] = (),
) -> Incident:
    """The incident in scope. `headers` are the runs without their steps, `findings` those of each examined run.

    `read` reads one run whole, `examinations` what else was said of the affected ones: what could not be evaluated, and the verdict.
    """
    listed, said = list(overviews), list(reviews)
    dismissed = frozenset(one.key for one in said if one.verdict == "dismissed")
    every = list(looked(scope, listed, headers, findings, dismissed))
    left_out = sum(it.key in dismissed for one in every for it in findings.get(one.overview.run_id, ())) if dismissed else 0
    confirmed = frozenset(one.key for one in said if one.verdict == "confirmed")
    reach, found, versions = reach_of(every, left_out), counted(every, scope.detector, confirmed), versions_of(every)
    hit = {one.overview.run_id for one in every if one.affected}
    examined = examinations(hit) if examinations else {}
    ranked = worst_first(every, found, {run_id: verdict for run_id, (_, verdict) in examined.items() if verdict})
    incident = Incident(
        scope=scope,
        reach=reach,
        found=found,
        versions=versions,
        onset=onset_of(versions),
        cost=cost_of(every),
        confidence=_confidence(found[0], circular=_circular(scope, found[0])) if found else None,
        affected=tuple(one.overview.run_id for one in ranked),
        considered=tuple(one.overview.run_id for one in every),
        notes=tuple(notes),
    )
    placed = _placed(incident, ranked[0], every, read) if ranked else incident
    forks, lacks = sum(one.forked_from in hit for one in listed), [lacks for lacks, _ in examined.values()]
    return placed.model_copy(update={"unknown": tuple(_unknown(placed, lacks, forks))})


def _placed(incident: Incident, worst: Looked, every: Sequence[Looked], read: Callable[[str], Run]) -> Incident:
    """With the worst run, where it went wrong, the good run to hold it against, and what to call next."""
    run = read(worst.overview.run_id)
    first_bad, nearest = first_bad_of(run, worst.findings), nearest_good(run, every, read)
    top = incident.found[0].detector if incident.found else None
    mine = next((one for one in worst.findings if one.detector == top), None)
    found = tuple(one.model_copy(update={"example": mine}) if mine and one.detector == top else one for one in incident.found)
    calls = tuple(next_calls(run, first_bad, nearest, mine)) if first_bad else ()
    return incident.model_copy(update={"worst": run.run_id, "first_bad": first_bad, "nearest": nearest, "calls": calls, "found": found})


def _confidence(top: Counted, *, circular: bool) -> Confidence:
    """How sure it is that what was found most is what the incident is about, from counts alone. `circular`: good runs have none by definition.

    High takes more than the detector's own word: it is found in half of five runs or more, and runs that have it ended with an error, or people confirmed
    it, or, where the counts are not circular, good runs have it more rarely than chance explains.
    """
    mine, good = top.among_affected, top.among_good
    counts = f"{top.detector} in {mine} of the affected runs, in " + ("none of the good ones, by definition" if circular else f"{good} of the good ones")
    few, rare = top.affected_runs < FEW_RUNS, (mine.value or 0.0) < HALF
    if few or rare:
        word: Literal["medium", "low"] = "medium" if few and not rare and top.example.score >= SURE else "low"
        return Confidence(
            word=word, says=f"{counts}; {'the affected runs are few' if few else 'most affected runs do not have it, so these may be several incidents'}"
        )
    told = _told(top, apart=not circular and None not in (mine.low, good.high) and (mine.low or 0.0) > (good.high or 0.0))
    return Confidence(
        word="high" if told else "medium",
        says=f"{counts}; {told or 'nothing but the detector says so: no such run ended with an error, no person confirmed one'}",
    )


def _told(top: Counted, *, apart: bool) -> str:
    """What else than the detector's own word there is, in words."""
    errors = f"{top.ended_with_error:,} of them ended with an error" if top.ended_with_error >= HALF * top.affected else ""
    people = f"people confirmed {top.confirmed:,}" if top.confirmed else ""
    return " and ".join(filter(None, (errors, people, "good runs have it more rarely than chance explains" if apart else "")))


def _unknown(incident: Incident, lacks: Iterable[Sequence[NotEvaluated]], forks: int) -> Iterator[str]:
    """What can't be told, and why: an incident without these sentences would claim more than was recorded. `lacks` are those of each affected run."""
    reach, hit = incident.reach, incident.reach.affected
    if not hit:
        return
    if reach.users is None:
        yield "how many users it reached: no user id is recorded (user.id on the root span, or user_id in the graph's metadata)"
    elif reach.users_told_by < hit:
        yield f"the users of {hit - reach.users_told_by:,} of {hit:,} affected runs: not recorded"
    if not incident.versions:
        yield "whether a deploy began it: no version is recorded (service.version, or version in the run's metadata)"
    elif len(incident.versions) == 1:
        yield f"whether a deploy began it: only one version is recorded ({incident.versions[0].version})"
    if incident.cost.priced_runs < hit:
        yield f"what {hit - incident.cost.priced_runs:,} of {hit:,} affected runs cost: not recorded"
    if left_out := incident.cost.unrecorded_calls:
        yield f"what {left_out:,} model call{'s' if left_out > 1 else ''} of the affected runs cost: not recorded"
    yield from _definition(incident)
    yield from _lacking(hit, lacks)
    yield (
        f"the cause: {forks:,} forks of these runs were made; compare them with what they were forked from, and with unchanged controls"
        if forks
        else "the cause: nothing was changed and re-run yet; a finding is a suspicion until a fork, held against unchanged controls, bears it out"
    )


def _definition(incident: Incident) -> Iterator[str]:
    top = incident.found[0] if incident.found else None
    if top and _circular(incident.scope, top):
        yield f"how often {top.detector} is wrong here: a run with such a finding counts as affected, so that good runs have none by definition"


def _circular(scope: Scope, top: Counted) -> bool:
    """Whether having such a finding is what makes a run an affected one."""
    return top.severity != "info" or scope.detector == top.detector


def _lacking(affected: int, lacks: Iterable[Sequence[NotEvaluated]]) -> Iterator[str]:
    """The detectors that could not judge, with how many of the affected runs."""
    counts = Counter(name for those in lacks for name in {one.detector for one in those})
    if counts:
        most = [f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
        some = ", ".join(most[:LACKS_SHOWN]) + (", …" if len(most) > LACKS_SHOWN else "")
        yield f"what {len(counts):,} detectors would say of some of the {affected:,} affected runs: they could not be evaluated ({some})"
