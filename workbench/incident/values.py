"""What is said of an incident: frozen values, each count with what it is counted of. `None` means not recorded, never zero."""

from __future__ import annotations

from typing import Literal

from workbench.intervals import Share, share
from workbench.model import Evidence, Finding, Note, Severity, StepKind, Value, digest


class Scope(Value):
    """Which runs an incident is looked for in: all recorded ones, or those of one agent, version and span of time; of what a detector finds, or of all.

    `since_ns` counts in, `until_ns` doesn't. `name` is what people call the incident, such as a ticket's number.
    """

    name: str = ""
    agent: str | None = None
    version: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    detector: str | None = None


class Reach(Value):
    """How far it reaches: runs affected of all in scope, and who had to do with them. `by_status` ended with an error, `by_finding` have a grave finding."""

    runs: int
    affected: int
    by_status: int
    by_finding: int
    dismissed: int = 0
    """Findings left out because a person dismissed them."""
    users: int | None = None
    users_told_by: int = 0
    """How many of the affected runs say who used them."""
    conversations: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None

    @property
    def good(self) -> int:
        """The runs in scope that are not affected."""
        return self.runs - self.affected

    @property
    def share(self) -> Share:
        """The share of runs that are affected, with its interval."""
        return share(self.affected, self.runs)


class Counted(Value):
    """One detector's findings: in how many affected and how many good runs, and the gravest of them as an example."""

    detector: str
    severity: Severity
    affected: int
    affected_runs: int
    good: int
    good_runs: int
    ended_with_error: int
    """Of the affected runs that have it, those that ended with an error too."""
    confirmed: int
    """How many of these findings a person confirmed."""
    example: Finding

    @property
    def among_affected(self) -> Share:
        """The share of affected runs in which it is found."""
        return share(self.affected, self.affected_runs)

    @property
    def among_good(self) -> Share:
        """The share of good runs in which it is found."""
        return share(self.good, self.good_runs)

    def __str__(self) -> str:
        return f"{self.detector}: {self.affected:,} of {self.affected_runs:,} affected, {self.good:,} of {self.good_runs:,} good"


class VersionCount(Value):
    """The runs of one recorded version, in the order in which versions came up."""

    version: str
    first_ns: int | None
    runs: int
    affected: int

    @property
    def share(self) -> Share:
        """The share of its runs that are affected."""
        return share(self.affected, self.runs)


class Onset(Value):
    """The version after which more runs are affected than before: both counts, and the 95 % interval of the difference (Newcombe 1998).

    An interval that holds 0 shows nothing. The version was chosen by looking for the greatest difference, so even one that doesn't is a suspicion.
    """

    version: str
    first_ns: int | None
    before: tuple[int, int]
    """Affected and all runs of earlier versions."""
    after: tuple[int, int]
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether chance alone hardly explains the difference."""
        return self.low > 0


class FirstBad(Value):
    """The first bad step of the worst run: where to look first. `asked` and `came` are its call and what came back, cut."""

    run_id: str
    step: int
    kind: StepKind
    name: str
    asked: str
    came: str
    because: str
    evidence: Evidence


class Near(Value):
    """The good run that is most like the worst one by its acts and calls (`workbench.cohorts.baseline.distance_of`: 0 is the same, 1 nothing in common)."""

    run_id: str
    distance: float
    looked_at: int
    """How many good runs were compared."""


class Cost(Value):
    """What the affected runs cost, and how much of it went into work done twice or in vain, as far as it was recorded."""

    usd: float | None = None
    priced_runs: int = 0
    unrecorded_calls: int = 0
    """Model calls of the priced runs that `usd` leaves out."""
    tokens: int | None = None
    wasted_usd: float | None = None
    wasted_tokens: int | None = None
    repeated_acts: int | None = None
    """Acts beyond the first, in the affected runs; None where no detector counted any."""


class Confidence(Value):
    """How sure the top finding is to be what the incident is about, in a word, and the counts it rests on."""

    word: Literal["high", "medium", "low"]
    says: str


class Call(Value):
    """A next call, as code that can be pasted, and what it is good for."""

    does: str
    code: str


class Incident(Value):
    """An incident over recorded runs: what failed, how far it reaches, where it began, and what to do next. Forks don't count."""

    scope: Scope
    reach: Reach
    found: tuple[Counted, ...] = ()
    """By detector, what says most first."""
    versions: tuple[VersionCount, ...] = ()
    """Empty where no version is recorded."""
    onset: Onset | None = None
    worst: str | None = None
    first_bad: FirstBad | None = None
    nearest: Near | None = None
    cost: Cost = Cost()
    confidence: Confidence | None = None
    calls: tuple[Call, ...] = ()
    unknown: tuple[str, ...] = ()
    """What can't be told, and why."""
    affected: tuple[str, ...] = ()
    """The affected runs, the worst first."""
    considered: tuple[str, ...] = ()
    """All runs in scope, oldest first."""
    notes: tuple[Note, ...] = ()

    @property
    def what(self) -> str:
        """What failed, in a sentence."""
        if self.found:
            return self.found[0].example.message
        if not self.reach.runs:
            return "no run was looked at: none is stored, or none is in this scope"
        return "nothing: no run ended with an error, and nothing grave was found" if not self.reach.affected else "runs ended with an error"


def key_of(scope: Scope) -> str:
    """What an incident's notes are kept under: its name, else sixteen hex digits of what it is looked for in."""
    return scope.name or digest(scope.model_dump(mode="json"))[:16]
