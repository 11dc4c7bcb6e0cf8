"""Many runs to look at: an afternoon of two agents on which a few detectors found something, made of arithmetic, and a hostile one."""

from __future__ import annotations

from collections.abc import Sequence

from tests.browser.runs import PAYLOADS, booked_twice, twice_findings
from workbench.model import Evidence, Finding, NotEvaluated, Review, Severity
from workbench.overview import Found, FoundIn, Overview
from workbench.sketch import START_NS
from workbench.widgets.findings import FindingsView
from workbench.widgets.opening import Below, Static
from workbench.widgets.run_list import RunList
from workbench.widgets.stepper import Stepper

MINUTE_NS = 60_000_000_000
SETS: tuple[tuple[Found, ...], ...] = (
    (Found("duplicated-effect", "error"), Found("falling-confidence", "warning")),
    (Found("runaway-loop", "error"), Found("budget-overrun", "warning"), Found("no-stop-rule", "info")),
    (Found("falling-confidence", "warning"),),
    (),
)


def overview(number: int, run_id: str | None = None) -> Overview:
    """One of many runs. Every ninth failed, every eleventh is interrupted, every seventh has neither tokens nor cost recorded."""
    status = "error" if number % 9 == 0 else "interrupted" if number % 11 == 0 else "ok"
    spent = number % 7 != 3  # any remainder will do
    outcome = "TimeoutError: payment API gave no answer within 30 s" if status == "error" else f"Booked {number % 5 + 1} nights, confirmation PNR-{number:04d}."
    return Overview(
        run_id=run_id or f"{'refund' if number % 3 == 0 else 'trip'}-{number * 2654435761 % 2**32:08x}",
        agent="refund-agent" if number % 3 == 0 else "travel-agent",
        status=status,
        outcome=outcome,
        started_ns=START_NS + number * MINUTE_NS,
        duration_ms=900.0 + (number * 7919) % 24_000,
        steps=4 + number % 57,
        model_calls=2,
        tool_calls=2,
        effects=1,
        errors=int(status == "error"),
        invocations=1,
        total_tokens=1_000 + (number * 104_729) % 20_000 if spent else None,
        cost_usd=((number * 104_729) % 20_000) / 1e5 if spent else None,
        cost_unrecorded_calls=0 if spent else 2,
        conversation_id=None,
        forked_from=None,
        forked_at_step=None,
        sources=(),
    )


def found_in(overviews: Sequence[Overview]) -> FoundIn:
    """Failed runs have the first two sets of findings, some good ones the third; the last three runs were not examined."""
    return {one.run_id: SETS[place % 2 if one.status == "error" else 2 + (place % 5 > 0)] for place, one in enumerate(overviews[:-3])}


def opened(run_id: str, step: int | None = None) -> Stepper:
    """The view of the story under another name."""
    if run_id.endswith("gone"):
        raise LookupError(f"no run {run_id}")
    run = booked_twice()
    return Stepper(run.model_copy(update={"run_id": run_id}), twice_findings(run), step=step, fork=lambda at: opened(run_id, at))


def _panel(run_id: str, step: int | None) -> Stepper:
    """Stands for a fork panel."""
    return opened(run_id, step)


def _beside(run_ids: Sequence[str]) -> Stepper:
    """Stands for a comparison."""
    return opened(run_ids[0])


BELOW = Below(opened, _panel, _beside)


def run_list(count: int = 412, **state: object) -> RunList:
    """A list of so many runs."""
    overviews = [overview(number) for number in range(count)]
    return RunList(overviews, found_in(overviews), below=BELOW, static=Static(lambda: "<b>runs</b>", lambda: "runs"), **state)


def hostile_list() -> RunList:
    """A list in which everything recorded is a payload."""
    overviews = [overview(number, payload)._replace(agent=payload, outcome=payload) for number, payload in enumerate(PAYLOADS)]
    found = {one.run_id: (Found(one.run_id, "error"),) for one in overviews}
    return RunList(overviews, found, below=BELOW, static=Static(str, str))


def story_findings(times: int = 1) -> list[Finding]:
    """What detectors say of the story, in one run or in many, the gravest first."""
    run = booked_twice()
    found = [
        one.model_copy(update=_in_run(one, f"booked-twice-{number}" if times > 1 else run.run_id)) for number in range(times) for one in twice_findings(run)
    ]
    return sorted(found, key=lambda one: ("error", "warning", "info").index(one.severity))


def _in_run(finding: Finding, run_id: str) -> dict[str, object]:
    evidence = tuple(item.model_copy(update={"run_id": run_id}) for item in finding.evidence)
    return {"run_id": run_id, "evidence": evidence}


def reviewed(finding: Finding, verdict: str, note: str, by: str | None = None) -> Review:
    """A word on a finding, said at one fixed time."""
    if note == "full disk":
        raise OSError("no space left")
    fields = {"key": finding.key, "run_id": finding.run_id, "detector": finding.detector, "step": finding.step}
    return Review.model_validate({**fields, "verdict": verdict, "note": note, "by": by, "reviewed_ns": START_NS})


LACKS = (
    *(NotEvaluated(detector="budget-overrun", run_id=f"booked-twice-{number}", why="no token counts were recorded") for number in range(9)),
    NotEvaluated(detector="ignored-wait", run_id="booked-twice-1", why="no checkpoint says what it waited for"),
)


def findings_view(times: int = 1, **state: object) -> FindingsView:
    """The story's findings live, with what could not be judged."""
    return FindingsView(story_findings(times), LACKS, keep=reviewed, below=BELOW, static=Static(lambda: "<b>findings</b>", lambda: "findings"), **state)


def hostile_findings_view() -> FindingsView:
    """Findings that say nothing but payloads."""
    severities: tuple[Severity, ...] = ("error", "warning", "info")
    found = [
        Finding(
            detector=payload,
            run_id=payload,
            severity=severities[place % 3],
            score=0.5,
            step=place,
            message=payload,
            numbers={payload: payload},
            evidence=(Evidence(run_id=payload, step=place, path=payload, sha256="0" * 64, says=payload),),
            capability="security",
            refute=payload,
        )
        for place, payload in enumerate(PAYLOADS)
    ]
    lacks = [NotEvaluated(detector=payload, run_id=payload, why=payload) for payload in PAYLOADS]
    return FindingsView(found, lacks, keep=reviewed, below=BELOW, static=Static(str, str))
