"""An incident in a report: what failed, how far it reaches, where to look, what was found how often, what to do next and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from workbench.figures import Record
from workbench.incident import Call, Incident, VersionCount
from workbench.model import Finding, Run
from workbench.report.claims import claim, evidence_phrase
from workbench.report.document import Block, Claim, Code, Facts, Link, Listing, Mark, Paragraph, Phrase, Row, Section, Table
from workbench.report.incidents import began, cost_words, near_words, tally, when, where, who, why_affected
from workbench.report.quantities import DASH, line, moment, plural
from workbench.report.steps import anchor, steps_section, steps_table

WORST = "worst"
"""The anchor prefix of the worst run's steps."""
MAX_EXAMPLES, MAX_NOTE = 20, 2000

Places = Mapping[str, tuple[str, Run]]
"""For each run of which the report holds steps, its anchor prefix and the run."""


def examples_of(incident: Incident, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that the report shows in full: those of the worst run, and one of each detector."""
    mine = [one for one in findings if one.run_id == incident.worst]
    return tuple({one.finding_id: one for one in (*(it.example for it in incident.found[:MAX_EXAMPLES]), *mine)}.values())


def incident_sections(
    incident: Incident, examples: Sequence[Finding], runs: Sequence[Run], listed: Sequence[Block], records: Sequence[Record] = ()
) -> Iterator[Section]:
    """The sections in reading order. `runs` hold the worst run whole and of the others the cited steps, `listed` are the affected runs as a table."""
    places = {run.run_id: (WORST if run.run_id == incident.worst else f"run-{number}", run) for number, run in enumerate(runs)}
    yield Section("In short", tuple(_short(incident, places)), "summary")
    if not incident.reach.affected:
        return
    yield Section("Found", (_counts(incident, examples), *(claim(one, *places[one.run_id], many=True, records=records) for one in examples)), "findings")
    if incident.versions:
        yield Section("Versions", (Paragraph((_sentence(began(incident)),)), _versions(incident.versions)), "versions")
    if incident.calls:
        yield Section("What to do next", tuple(_call(one) for one in incident.calls), "next")
    yield Section("What is not known", tuple(Paragraph((_sentence(one),)) for one in incident.unknown), "unknown")
    if incident.notes:
        yield Section("Notes", tuple(Listing(line(one.text, MAX_NOTE), moment(one.noted_ns)) for one in incident.notes), "notes")
    yield Section("Affected runs", tuple(listed), "runs")
    yield from _steps(incident, examples, places)


def _short(incident: Incident, places: Places) -> Iterator[Block]:
    if not incident.reach.runs:
        yield Paragraph((Mark("nothing looked at", "warning"), f" {_sentence(incident.what)}"), "warning")
        return
    if not incident.reach.affected:
        yield Paragraph((Mark("nothing found", "ok"), f" {_sentence(incident.what)} That is no proof that all is well."), "ok")
        yield Facts((("looked at", (plural(incident.reach.runs, "run"),)),))
        return
    yield Paragraph((Mark(tally(incident.reach), "error"), f" {incident.what}"), "error")
    yield Facts(tuple(_facts(incident)))
    if incident.first_bad:
        yield _first_bad(incident, places)


def _facts(incident: Incident) -> Iterator[tuple[str, Phrase]]:
    yield "reach", (f"{tally(incident.reach)}: {why_affected(incident.reach)}; ", Link("which", "runs"))
    yield "share", (f"{incident.reach.share}, with its 95 % interval",)
    yield "who", (who(incident.reach),)
    yield "when", (when(incident.reach),)
    yield "began", (began(incident), *(("; ", Link("by version", "versions")) if incident.versions else ()))
    yield "cost", (cost_words(incident.cost, incident.reach.affected),)
    if incident.confidence:
        yield "confidence", (f"{incident.confidence.word}: {incident.confidence.says}; ", Link("counts", "findings"))
    yield "compare with", (near_words(incident),)


def _first_bad(incident: Incident, places: Places) -> Claim:
    """The first bad step as a claim: its evidence is the value itself."""
    bad = incident.first_bad
    if bad is None:
        raise ValueError("an incident without a first bad step has no claim of one")
    prefix, run = places[bad.run_id]
    return Claim(
        headline=(Mark("first bad step", "error"), " ", Link(f"step {bad.step}", anchor(prefix, bad.step)), f" · {where(incident)}"),
        tone="error",
        facts=(("because", (bad.because,)),),
        evidence=(evidence_phrase(bad.evidence, prefix, run),),
        anchor="first-bad-step",
    )


def _counts(incident: Incident, examples: Sequence[Finding]) -> Table:
    """How often each detector found something, among affected and good runs."""
    rows = tuple(
        Row(
            (
                (Mark(one.severity, one.severity),),
                (Link(one.detector, f"finding-{one.example.finding_id}"),) if one.example in examples else (one.detector,),
                (str(one.among_affected),),
                (str(one.among_good),),
                (f"{one.ended_with_error:,}",),
                (f"{one.confirmed:,}",),
            )
        )
        for one in incident.found
    )
    columns = ("severity", "detector", "share of affected runs [95 %]", "of good runs [95 %]", "ended with an error too", "confirmed by people")
    return Table(columns, rows, frozenset(columns[4:]), "An example of each, and all that was found in the worst run:")


def _versions(versions: Sequence[VersionCount]) -> Table:
    rows = tuple(
        Row(((Code(line(one.version, 80)),), (moment(one.first_ns),), (f"{one.runs:,}",), (f"{one.affected:,}",), (str(one.share),))) for one in versions
    )
    return Table(("version", "first run", "runs", "affected", "share [95 %]"), rows, frozenset(("runs", "affected")))


def _call(call: Call) -> Listing:
    return Listing(call.code, line(call.does, MAX_NOTE))


def _steps(incident: Incident, examples: Sequence[Finding], places: Places) -> Iterator[Section]:
    """The worst run whole, then what is cited of the others."""
    if incident.worst is not None:
        _, worst = places[incident.worst]
        yield steps_section(worst, [one for one in examples if one.run_id == worst.run_id], f"Steps of the worst run, {line(worst.run_id, 60)}", WORST)
    others = [(prefix, run) for prefix, run in places.values() if prefix != WORST]
    if others:
        yield Section("Cited steps", tuple(_cited(examples, others)), "cited-steps")


def _cited(examples: Iterable[Finding], others: Iterable[tuple[str, Run]]) -> Iterator[Block]:
    mine = tuple(examples)
    for prefix, run in others:
        yield Paragraph(("Steps that findings cite from ", Code(line(run.run_id, 80)), ":"))
        yield steps_table(run, [one for one in mine if one.run_id == run.run_id], prefix)


def _sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else DASH
