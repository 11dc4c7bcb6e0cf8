"""The readiness audit in a report: each item of the checklist as a claim with the signs that decided it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workbench.audit import Answer, Audit, Verdict
from workbench.model import Run
from workbench.report.claims import evidence_phrase
from workbench.report.document import Block, Claim, Code, Mark, Paragraph, Phrase, Section
from workbench.report.quantities import line
from workbench.report.steps import steps_table

TONES: dict[Verdict, str] = {"not met": "error", "no evidence": "warning", "met": "ok"}
"""How each verdict is marked, what is not met first."""
MEANS = "Not met: at least one sign speaks against it. No evidence is no all-clear: nothing recorded shows it either way."
SAYS_CHARS = 300


def audit_sections(audit: Audit, runs: Sequence[Run]) -> Iterator[Section]:
    """The answers by verdict, and the steps they cite; `runs` holds these."""
    places = {run.run_id: (f"run-{number}", run) for number, run in enumerate(runs)}
    counts: Phrase = tuple(part for verdict, tone in TONES.items() for part in (Mark(f"{len(audit.of(verdict))} {verdict}", tone), " "))
    yield Section("In short", (Paragraph(counts), Paragraph((MEANS,), "quiet")), "summary")
    for verdict, tone in TONES.items():
        if answers := audit.of(verdict):
            yield Section(verdict.capitalize(), tuple(_answered(one, tone, places) for one in answers), verdict.replace(" ", "-"))
    if places:
        yield Section("Cited steps", tuple(_cited(places)), "cited-steps")


def _cited(places: Mapping[str, tuple[str, Run]]) -> Iterator[Block]:
    for prefix, run in places.values():
        yield Paragraph(("Steps that are cited from ", Code(line(run.run_id, 80)), ":"))
        yield steps_table(run, (), prefix)


def _answered(answer: Answer, tone: str, places: Mapping[str, tuple[str, Run]]) -> Claim:
    """One item of the checklist as a claim."""
    facts: list[tuple[str, Phrase]] = [("signs", (f"{answer.holds:,} for, {answer.fails:,} against; share for it {answer.share}",))]
    facts += [("shown by", (line(says, SAYS_CHARS),)) for says in answer.says]
    facts += [("to get evidence", (answer.record,))] if answer.record else []
    return Claim(
        headline=(Mark(answer.verdict, tone), f" {answer.capability}: {answer.asks}"),
        tone=tone,
        facts=tuple(facts),
        evidence=tuple((Code(line(proof.run_id, 60)), " ", *evidence_phrase(proof, *places[proof.run_id])) for proof in answer.evidence),
        anchor=f"item-{answer.item}",
    )
