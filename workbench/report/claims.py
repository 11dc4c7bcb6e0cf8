"""Findings as claims: the statement, its numbers, and evidence one can follow to the very value and check by its hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workbench.figures import Record, measured_in_the_wild, review_of, told
from workbench.model import Evidence, Finding, NotEvaluated, Run, digest
from workbench.report.document import Block, Claim, Code, Link, Mark, Paragraph, Phrase, Row, Section, Table
from workbench.report.quantities import line, moment, plural
from workbench.report.steps import anchor, literal_line

ORDER = {"error": 0, "warning": 1, "info": 2}
MAX_CLAIMS = 300
HASH_DIGITS = 12
EXCERPT_CHARS = 140
NOTE_CHARS = 400
NUMBER_DIGITS = 4
SCORE_MEANS, UNCHECKED = "how sure the detector is", "; how often it is right was not measured on runs from elsewhere"


def findings_section(
    findings: Iterable[Finding],
    not_evaluated: Iterable[NotEvaluated],
    runs: Mapping[str, tuple[str, Run]],
    title: str = "Findings",
    anchor_name: str = "findings",
    records: Iterable[Record] = (),
) -> Section:
    """The gravest finding first. `runs` gives the anchor prefix and the run (at least its cited steps) for each run id, `records` what people made of them."""
    every, known = tuple(findings), tuple(records)
    claims: list[Block] = [claim(finding, *runs[finding.run_id], many=len(runs) > 1, records=known) for finding in shown(every)]
    if not every:
        claims.append(Paragraph(("Nothing was found. That is no proof that all is well: see what was not evaluated.",), "quiet"))
    if len(every) > MAX_CLAIMS:
        claims.append(Paragraph((f"{plural(len(every) - MAX_CLAIMS, 'more finding')}: `workbench detect --json` lists all.",), "quiet"))
    return Section(title, (*claims, *lacks_blocks(not_evaluated, runs)), anchor_name)


def shown(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that a report shows in full: the gravest first, up to a limit."""
    return sorted(findings, key=lambda one: (ORDER[one.severity], -one.score, one.run_id, one.step or 0))[:MAX_CLAIMS]


def claim(finding: Finding, prefix: str, run: Run, *, many: bool = False, records: Iterable[Record] = ()) -> Claim:
    """One finding as a claim."""
    place: Phrase = () if finding.step is None else (Link(f"step {finding.step}", anchor(prefix, finding.step)), " · ")
    whose: Phrase = (Code(line(finding.run_id, 60)), " · ") if many else ()
    numbers = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in finding.numbers.items())
    known = tuple(records)
    right = told(finding.detector, known)
    score = f"{finding.score:.2f} of 1: {SCORE_MEANS}{'' if measured_in_the_wild(finding.detector) else UNCHECKED}"
    bears = (("bears on", (finding.capability,)), ("score", (score,)), ("this detector", (right,)))
    word = reviewed(finding, known)
    return Claim(
        headline=(Mark(finding.severity, finding.severity), f" {finding.detector} · ", *whose, *place, finding.message),
        tone=finding.severity,
        facts=(("numbers", (numbers or "none",)), *bears, *((("reviewed", (word,)),) if word else ())),
        evidence=tuple(evidence_phrase(proof, prefix, run) for proof in finding.evidence),
        refute=finding.refute,
        anchor=f"finding-{finding.finding_id}",
    )


def reviewed(finding: Finding, records: Iterable[Record]) -> str:
    """What people made of a finding, in a line: verdict, who, when, why. Empty where nobody reviewed it."""
    review = review_of(finding, records)
    if review is None:
        return ""
    return line(f"{review.verdict_by}, {moment(review.reviewed_ns)}{f': {review.note}' if review.note else ''}", NOTE_CHARS)


def evidence_phrase(proof: Evidence, prefix: str, run: Run) -> Phrase:
    """Where a piece of evidence stands, what it says, the value itself, and whether that value still has the hash that was cited."""
    place = (Link(f"step {proof.step}", anchor(prefix, proof.step)), " ", Code(proof.path), f" {proof.says}: ")
    try:
        value = run.step(proof.step).at(proof.path)
    except LookupError as error:
        return (*place, Mark(f"not there: {error}", "error"))
    intact = digest(value) == proof.sha256
    mark = Mark("verified", "ok") if intact else Mark("does not match what was cited", "error")
    return (*place, Code(line(literal_line(value), EXCERPT_CHARS)), " · sha256 ", Code(proof.sha256[:HASH_DIGITS]), " ", mark)


def lacks_blocks(reports: Iterable[NotEvaluated], runs: Mapping[str, tuple[str, Run]]) -> tuple[Block, ...]:
    """What was not evaluated, grouped by detector and reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for report in reports:
        grouped.setdefault((report.detector, report.why), []).append(report.run_id)
    if not grouped:
        return ()
    rows = tuple(
        Row(((detector,), (why,), (plural(len(ids), "run"),) if len(runs) != 1 or len(ids) > 1 else ("this run",)), "quiet")
        for (detector, why), ids in sorted(grouped.items())
    )
    return (Table(("not evaluated", "because", "runs"), rows),)


def _number(value: float | int | str) -> str:
    return str(value) if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{round(value, NUMBER_DIGITS):,}"
