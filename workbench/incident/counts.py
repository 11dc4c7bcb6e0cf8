"""Who is affected, what was found how often among affected and good runs, since which version, and what it cost. Reads no steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from workbench.cohorts.baseline import version_of
from workbench.incident.values import Cost, Counted, Onset, Reach, Scope, VersionCount
from workbench.intervals import difference, share
from workbench.model import Finding, Json, Run
from workbench.overview import Overview

ORDER = {"error": 0, "warning": 1, "info": 2}
USER_KEYS = ("user.id", "user_id", "enduser.id", "userId")
WASTED_USD, WASTED_TOKENS = ("burned_usd", "redone_usd"), ("burned_tokens", "redone_tokens")
"""The numbers in which findings say what was spent on work done twice or in vain."""


@dataclass(frozen=True)
class Looked:
    """One run in scope with all that is known of it without its steps. `findings` are those nobody dismissed, the gravest first."""

    overview: Overview
    header: Run
    findings: tuple[Finding, ...]
    affected: bool

    @property
    def grave(self) -> tuple[Finding, ...]:
        """What is more than a hint."""
        return tuple(one for one in self.findings if one.severity != "info")


def looked(
    scope: Scope,
    overviews: Iterable[Overview],
    headers: Mapping[str, Run],
    findings: Mapping[str, Sequence[Finding]],
    dismissed: frozenset[str],
) -> Iterator[Looked]:
    """The runs in scope, in the order given. Forks are left out: they are somebody's experiments."""
    for one in overviews:
        header = headers.get(one.run_id)
        if header is None or one.forked_from is not None or not within(scope, one, header):
            continue
        kept = sorted(
            (it for it in findings.get(one.run_id, ()) if not dismissed or it.key not in dismissed),
            key=lambda it: (ORDER[it.severity], -it.score, it.step or 0),
        )
        yield Looked(one, header, tuple(kept), _affected(scope, one, kept))


def within(scope: Scope, overview: Overview, header: Run) -> bool:
    """Whether a run is in scope. One without a time is in no span of time."""
    at = overview.started_ns
    return (
        scope.agent in {None, overview.agent}
        and scope.version in {None, version_of(header)}
        and (scope.since_ns is None or (at is not None and at >= scope.since_ns))
        and (scope.until_ns is None or (at is not None and at < scope.until_ns))
    )


def _affected(scope: Scope, overview: Overview, findings: Iterable[Finding]) -> bool:
    if scope.detector is not None:
        return any(one.detector == scope.detector for one in findings)
    return overview.status == "error" or any(one.severity != "info" for one in findings)


def reach_of(every: Sequence[Looked], dismissed: int) -> Reach:
    """How far it reaches."""
    hit = [one for one in every if one.affected]
    users = [user for one in hit if (user := _user(one.header.metadata)) is not None]
    threads = {one.overview.conversation_id for one in hit if one.overview.conversation_id is not None}
    times = [one.overview.started_ns for one in hit if one.overview.started_ns is not None]
    return Reach(
        runs=len(every),
        affected=len(hit),
        by_status=sum(one.overview.status == "error" for one in hit),
        by_finding=sum(bool(one.grave) for one in hit),
        dismissed=dismissed,
        users=len(set(users)) if users else None,
        users_told_by=len(users),
        conversations=len(threads) if threads else None,
        first_ns=min(times, default=None),
        last_ns=max(times, default=None),
    )


def _user(metadata: Mapping[str, Json]) -> str | None:
    return next((str(metadata[key]) for key in USER_KEYS if metadata.get(key)), None)


def counted(every: Sequence[Looked], detector: str | None, confirmed: frozenset[str] = frozenset()) -> tuple[Counted, ...]:
    """Each detector that found something in an affected run; what is grave and common among them, and rare among good ones, comes first."""
    hits: dict[str, list[Looked]] = defaultdict(list)
    for one in every:
        for name in dict.fromkeys(it.detector for it in one.findings):
            hits[name].append(one)
    affected = sum(one.affected for one in every)
    found = [_counted(name, those, affected, len(every) - affected, confirmed) for name, those in hits.items() if any(one.affected for one in those)]
    return tuple(sorted(found, key=lambda one: (one.detector != detector, ORDER[one.severity], -_apart(one), one.detector)))


def _counted(name: str, those: Sequence[Looked], affected: int, good: int, confirmed: frozenset[str]) -> Counted:
    mine = [one for one in those if one.affected]
    findings = [it for one in mine for it in one.findings if it.detector == name]
    example = min(findings, key=lambda it: (ORDER[it.severity], -it.score, it.run_id, it.step or 0))
    return Counted(
        detector=name,
        severity=example.severity,
        affected=len(mine),
        affected_runs=affected,
        good=len(those) - len(mine),
        good_runs=good,
        ended_with_error=sum(one.overview.status == "error" for one in mine),
        confirmed=sum(it.key in confirmed for it in findings),
        example=example,
    )


def _apart(one: Counted) -> float:
    return (one.among_affected.value or 0.0) - (one.among_good.value or 0.0)


def versions_of(every: Iterable[Looked]) -> tuple[VersionCount, ...]:
    """The recorded versions in the order in which they came up."""
    found: dict[str, list[Looked]] = defaultdict(list)
    for one in every:
        if (version := version_of(one.header)) is not None:
            found[version].append(one)
    counts = [VersionCount(version=name, first_ns=_first(those), runs=len(those), affected=sum(one.affected for one in those)) for name, those in found.items()]
    return tuple(sorted(counts, key=lambda one: (one.first_ns is None, one.first_ns or 0)))


def _first(those: Iterable[Looked]) -> int | None:
    return min((one.overview.started_ns for one in those if one.overview.started_ns is not None), default=None)


def onset_of(versions: Sequence[VersionCount]) -> Onset | None:
    """The version from which on the share of affected runs is higher than before by the most; None where there are no two, or none is higher."""
    ever = _sums(versions)
    found = []
    for number in range(1, len(versions)):
        before, total = ever[number - 1], ever[-1]
        after = total[0] - before[0], total[1] - before[1]
        rise = (after[0] / after[1]) - (before[0] / before[1])
        if rise > 0:
            found.append((rise, number, before, after))
    if not found:
        return None
    _, number, before, after = max(found, key=lambda one: one[0])
    low, high = difference(share(*after), share(*before)) or (-1.0, 1.0)
    return Onset(version=versions[number].version, first_ns=versions[number].first_ns, before=before, after=after, low=low, high=high)


def _sums(versions: Iterable[VersionCount]) -> list[tuple[int, int]]:
    """Affected and all runs of each version and those before it."""
    return list(accumulate(((one.affected, one.runs) for one in versions), lambda one, other: (one[0] + other[0], one[1] + other[1])))


def cost_of(every: Iterable[Looked]) -> Cost:
    """What the affected runs cost. Where several findings of a run tell of waste, the largest counts: they may tell of the same work."""
    hit = [one for one in every if one.affected]
    priced = [(one.overview.cost_usd, one.overview.cost_unrecorded_calls or 0) for one in hit if one.overview.cost_usd is not None]
    tokens = [one.overview.total_tokens for one in hit if one.overview.total_tokens is not None]
    usd, burned = (_wasted(hit, names) for names in (WASTED_USD, WASTED_TOKENS))
    acts = [most for one in hit if (most := max((_repeated(it) for it in one.findings), default=0))]
    return Cost(
        usd=sum(usd for usd, _ in priced) if priced else None,
        priced_runs=len(priced),
        unrecorded_calls=sum(left_out for _, left_out in priced),
        tokens=sum(tokens) if tokens else None,
        wasted_usd=usd,
        wasted_tokens=None if burned is None else round(burned),
        repeated_acts=sum(acts) if acts else None,
    )


def _wasted(hit: Iterable[Looked], names: Sequence[str]) -> float | None:
    found = [[float(value) for it in one.findings for name in names if isinstance(value := it.numbers.get(name), int | float)] for one in hit]
    most = [max(those) for those in found if those]
    return sum(most) if most else None


def _repeated(finding: Finding) -> int:
    """Acts beyond the first that a finding counts."""
    attempts, more = finding.numbers.get("attempts"), finding.numbers.get("follow_ups")
    again = attempts - 1 if finding.capability == "idempotency" and isinstance(attempts, int) else 0
    return max(again, more if isinstance(more, int) else 0)
