"""A report's content: the values it rests on, and the sections made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Literal

from workbench import charts
from workbench.analysis.effects import effects_of
from workbench.audit import Audit
from workbench.comparison.comparison import Ignored
from workbench.figures import Record
from workbench.frames import RUNS, findings_frame, latency_frame, rows_frame, steps_frame
from workbench.incident import Incident
from workbench.model import Became, Budget, Comparison, Finding, NotEvaluated, Receipt, Run, Status, Value
from workbench.overview import Overview, overview_of
from workbench.report.claims import ORDER, findings_section, shown
from workbench.report.document import Block, Code, Facts, Link, Mark, Paragraph, Phrase, Plot, Row, Section, Table
from workbench.report.forks import ENDED_TONES, alignment_section, attempts, effect_says, effects_blocks, findings_words, sides
from workbench.report.incidents import tally, title_of
from workbench.report.quantities import DASH, at_least, count, duration, line, moment, plural, spent_by
from workbench.report.reach import examples_of, incident_sections
from workbench.report.readiness import audit_sections
from workbench.report.receipts import receipt_section
from workbench.report.steps import anchor, steps_section, steps_table
from workbench.report.sweeps import Sweep, sweep_sections

FAILED_FIRST = {"error": 0, "interrupted": 1, "running": 1, "cancelled": 1, "ok": 2}
MAX_RUNS = 2000
OUTCOME_CHARS = 300


class Listed(Value):
    """One run in a line: what a store's report has of each, and a table to go on with of the runs of any."""

    run_id: str
    agent: str | None
    status: Status
    outcome: str
    started_ns: int | None
    duration_ms: float | None
    steps: int
    effects: int
    tokens: int | None
    cost_usd: float | None
    cost_unrecorded_calls: int | None = None
    forked_from: str | None
    forked_at_step: int | None


class Report(Value):
    """What a report rests on. A store's and an audit's keep of the runs only the steps that are cited or named, a store's also every run's line."""

    kind: Literal["run", "comparison", "store", "audit", "incident", "sweep"]
    title: str
    runs: tuple[Run, ...] = ()
    listed: tuple[Listed, ...] = ()
    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    comparison: Comparison | None = None
    others: tuple[Comparison, ...] = ()
    """Further runs, compared with the same reference."""
    ignored: tuple[Ignored, ...] = ()
    """What a comparison left out: ids, times."""
    receipt: Receipt | None = None
    audit: Audit | None = None
    records: tuple[Record, ...] = ()
    """What people here made of the findings of these detectors, as far as they had reviewed them by `reviewed_ns`."""
    reviewed_ns: int | None = None
    incident: Incident | None = None
    sweep: Sweep | None = None

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The report's sections, in reading order."""
        return tuple(SECTIONS[self.kind](self))

    @property
    def viewed(self) -> tuple[Run, tuple[Finding, ...]] | None:
        """The run that a page lets one step through, with its findings: that of a run's report, the worst of an incident."""
        run_id = self.incident.worst if self.incident else self.runs[0].run_id if self.kind == "run" else None
        run = next((one for one in self.runs if one.run_id == run_id), None)
        return (run, tuple(one for one in self.findings if one.run_id == run_id)) if run and run.steps else None

    def __repr__(self) -> str:
        """In a line: it holds whole runs."""
        return f"Report({self.title!r}: {', '.join(section.title for section in self.sections)})"

    __str__ = __repr__


def run_report(run: Run, findings: Iterable[Finding], not_evaluated: Iterable[NotEvaluated], receipt: Receipt | None = None) -> Report:
    """A report on one run; a fork's receipt goes with it."""
    return Report(kind="run", title=f"Run {run.run_id}", runs=(run,), findings=tuple(findings), not_evaluated=tuple(not_evaluated), receipt=receipt)


def comparison_report(
    comparison: Comparison,
    receipt: Receipt | None = None,
    left_findings: Iterable[Finding] = (),
    right_findings: Iterable[Finding] = (),
    others: Iterable[Comparison] = (),
    ignored: Iterable[Ignored] = (),
) -> Report:
    """A report on two runs, usually a run and its fork, or on several: `others` compare with the same reference."""
    further = tuple(others)
    title = " against ".join(one.run_id for one in (comparison.left, comparison.right)) + (f" and {plural(len(further), 'more run')}" if further else "")
    both = (*left_findings, *right_findings)
    return Report(kind="comparison", title=title, findings=both, comparison=comparison, others=further, ignored=tuple(ignored), receipt=receipt)


def store_report(runs: Iterable[Run], findings: Iterable[Finding], not_evaluated: Iterable[NotEvaluated]) -> Report:
    """A report on all runs of a store. The runs are read once, one at a time."""
    every = tuple(findings)
    named = [(one.run_id, one.step) for one in shown(every) if one.step is not None]
    cited = _by_run([*named, *((one.run_id, proof.step) for one in shown(every) for proof in one.evidence)])
    kept, lines = [], []
    for run in runs:
        lines.append(listed(run))
        kept += [_only(run, cited[run.run_id])] if run.run_id in cited else []
    title = f"{plural(len(lines), 'run')}, {plural(len(every), 'finding')}"
    return Report(kind="store", title=title, runs=tuple(kept), listed=tuple(lines), findings=every, not_evaluated=tuple(not_evaluated))


def audit_report(audit: Audit, runs: Iterable[Run]) -> Report:
    """A report on a readiness audit. Of `runs`, those that it cites are needed; they are read once, one at a time."""
    cited = _by_run((proof.run_id, proof.step) for answer in audit.answers for proof in answer.evidence)
    kept = tuple(_only(run, cited[run.run_id]) for run in runs if run.run_id in cited)
    return Report(kind="audit", title=f"Readiness audit over {plural(audit.runs, 'run')}", runs=kept, audit=audit)


def incident_report(
    incident: Incident,
    read: Callable[[list[str]], Iterable[Run]],
    affected: Iterable[Overview],
    findings: Iterable[Finding],
    not_evaluated: Iterable[NotEvaluated],
) -> Report:
    """A report on an incident, with the overviews of the `affected` runs and what was said of them. `read` reads runs: the worst, and those it cites."""
    every = tuple(findings)
    examples = examples_of(incident, every)
    cited = _by_run(
        [(proof.run_id, proof.step) for one in examples for proof in one.evidence] + [(one.run_id, one.step) for one in examples if one.step is not None]
    )
    wanted = list(dict.fromkeys([*([incident.worst] if incident.worst else []), *cited]))
    runs = tuple(run if run.run_id == incident.worst else _only(run, cited[run.run_id]) for run in read(wanted))
    title = f"{title_of(incident)}: {tally(incident.reach)}"
    lines = tuple(map(listed_of, affected))
    return Report(kind="incident", title=title, runs=runs, listed=lines, findings=every, not_evaluated=tuple(not_evaluated), incident=incident)


def sweep_report(sweep: Sweep, parent: Run, forks: Iterable[Run]) -> Report:
    """A report on a sweep, with the forked run and its forks; of the one the steps that were forked at are kept, of the others what is cited."""
    cited = _by_run((one.evidence.run_id, one.evidence.step) for one in sweep.forks if one.evidence)
    every = list(forks)
    kept = (_only(parent, {one.at for one in sweep.groups}), *(_only(run, cited.get(run.run_id, set())) for run in every))
    title = f"{plural(len(sweep.forks), 'fork')} of {parent.run_id}, counting: {sweep.counted}"
    return Report(kind="sweep", title=title, runs=kept, listed=tuple(map(listed, every)), sweep=sweep)


def _by_run(places: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    """The steps named of each run."""
    found: dict[str, set[int]] = {}
    for run_id, step in places:
        found.setdefault(run_id, set()).add(step)
    return found


def _only(run: Run, steps: set[int]) -> Run:
    """The run with these of its steps."""
    return run.model_copy(update={"steps": tuple(step for step in run.steps if step.index in steps)})


def listed(run: Run) -> Listed:
    """The run in a line."""
    return listed_of(overview_of(run))


def listed_of(one: Overview) -> Listed:
    """The same of what lists of runs say of it."""
    told = {name: value for name, value in one._asdict().items() if name in Listed.model_fields}
    return Listed.model_validate(told | {"outcome": line(one.outcome, OUTCOME_CHARS), "tokens": one.total_tokens})


def _run_sections(report: Report) -> Iterator[Section]:
    (run,) = report.runs
    yield Section("In short", (_verdict(report.findings), Facts(tuple(_about(run)))), "summary")
    yield findings_section(report.findings, report.not_evaluated, {run.run_id: ("run", run)}, records=report.records)
    if report.receipt:
        yield receipt_section(report.receipt)
    yield Section("Side effects attempted", _effects(run), "effects")
    plots = tuple(_plots(run, report.findings))
    if plots:
        yield Section("Course", plots, "course")
    yield steps_section(run, report.findings)


def _comparison_sections(report: Report) -> Iterator[Section]:
    comparison = report.comparison
    if comparison is None:
        return
    left, right = comparison.left, comparison.right
    changed = [f"{one.tool} {effect_says(one)}" for one in comparison.effects if one.original != one.fork]
    verdict = "; ".join(changed) if changed else "the same side effects were attempted"
    words: Phrase = (Mark("effects", "changed" if changed else "quiet"), f" {verdict}")
    rights = [right, *(one.right for one in report.others)]
    columns = ("", *sides(comparison)) if len(rights) == 1 else ("", "reference", *(f"run {number}" for number in range(2, len(rights) + 2)))
    yield Section("In short", (Paragraph(words, "changed" if changed else ""), Table(columns, tuple(_beside(report, left, rights)))), "summary")
    yield Section("Side effects", effects_blocks(comparison), "effects")
    yield alignment_section(comparison)
    if report.receipt:
        yield receipt_section(report.receipt, "left")
    for prefix, run, side in zip(("left", "right"), (left, right), sides(comparison), strict=True):
        mine = [finding for finding in report.findings if finding.run_id == run.run_id]
        yield findings_section(mine, (), {run.run_id: (prefix, run)}, f"Findings in the {side}", f"{prefix}-findings", records=report.records)
        yield steps_section(run, mine, f"Steps of the {side}", prefix)
    for number, one in enumerate(report.others, start=3):
        yield alignment_section(one, f"Side by side: run {number}, {line(one.right.run_id, 60)}", f"run-{number}")
        yield steps_section(one.right, (), f"Steps of run {number}", f"run-{number}")


def _store_sections(report: Report) -> Iterator[Section]:
    places = {run.run_id: (f"run-{number}", run) for number, run in enumerate(report.runs)}
    failed = sum(one.status == "error" for one in report.listed)
    hit = len({one.run_id for one in report.findings})
    words = f"{plural(len(report.listed), 'run')}, {failed:,} ended with an error, {hit:,} with findings: {_by_severity(report.findings)}."
    yield Section("In short", (_verdict(report.findings), Paragraph((words,), "quiet"), *_findings_plot(report.findings)), "summary")
    yield Section("Runs", (_runs_table(report),), "runs")
    yield findings_section(report.findings, report.not_evaluated, places, records=report.records)
    if places:
        yield Section("Cited steps", tuple(_cited_steps(report.findings, places)), "cited-steps")


def _audit_sections(report: Report) -> Iterator[Section]:
    return iter(()) if report.audit is None else audit_sections(report.audit, report.runs)


def _incident_sections(report: Report) -> Iterator[Section]:
    if report.incident is None:
        return
    examples = examples_of(report.incident, report.findings)
    table = _runs_table(report, {one.finding_id for one in examples})
    yield from incident_sections(report.incident, examples, report.runs, (*_time_plot(report), table), report.records)


def _by_severity(findings: Iterable[Finding]) -> str:
    severities: list[str] = [finding.severity for finding in findings]
    return ", ".join(plural(severities.count(severity), noun) for severity, noun in (("error", "error"), ("warning", "warning"), ("info", "hint")))


def _findings_plot(findings: tuple[Finding, ...]) -> tuple[Block, ...]:
    if not findings:
        return ()
    return (Plot(charts.findings_by_run(findings_frame(findings)).to_plotly_json(), f"Findings by run: {_by_severity(findings)}."),)


def _sweep_sections(report: Report) -> Iterator[Section]:
    return iter(()) if report.sweep is None else sweep_sections(report.sweep, report.runs)


def _time_plot(report: Report) -> tuple[Block, ...]:
    """When the affected runs began, with what was found in them; nothing where no time was recorded."""
    times = rows_frame(
        [(one.run_id, one.started_ns) for one in report.listed if one.started_ns is not None], {name: RUNS[name] for name in ("run_id", "started")}
    )
    if not report.findings or not times.height:
        return ()
    figure = charts.findings_over_time(findings_frame(report.findings), times)
    return (Plot(figure.to_plotly_json(), f"Findings in the affected runs, by when these began: {_by_severity(report.findings)}."),)


def _cited_steps(findings: Iterable[Finding], places: Mapping[str, tuple[str, Run]]) -> Iterator[Block]:
    mine: dict[str, list[Finding]] = {}
    for finding in shown(findings):
        mine.setdefault(finding.run_id, []).append(finding)
    for run_id, own in mine.items():
        prefix, run = places[run_id]
        yield Paragraph(("Steps that findings cite from ", Code(line(run_id, 80)), ":"))
        yield steps_table(run, own, prefix)


def _verdict(findings: Iterable[Finding]) -> Paragraph:
    ranked = sorted(findings, key=lambda one: (ORDER[one.severity], -one.score))
    if not ranked:
        return Paragraph((Mark("no findings", "ok"), " Nothing was found by the detectors that could judge."), "ok")
    worst, more = ranked[0], len(ranked) - 1
    rest: Phrase = (f" And {plural(more, 'more finding')}.",) if more else ()
    return Paragraph(
        (Mark(worst.severity, worst.severity), " ", Link(worst.detector, f"finding-{worst.finding_id}"), f": {worst.message}.", *rest), worst.severity
    )


def _about(run: Run) -> Iterator[tuple[str, Phrase]]:
    span = None if run.started_ns is None or run.ended_ns is None else (run.ended_ns - run.started_ns) / 1e6
    kinds = [step.kind for step in run.steps]
    joins = run.joins
    yield "run", (Code(run.run_id), *((" · conversation ", Code(run.conversation_id)) if run.conversation_id else ()))
    yield "agent", (run.agent or run.root_name or DASH,)
    yield "status", (Mark(run.status, run.status),)
    yield "outcome", (line(run.outcome, 1000),)
    yield "when", (f"{moment(run.started_ns)}, {duration(span)}",)
    yield "steps", (f"{count(len(kinds))}: {plural(kinds.count('model'), 'model call')}, {plural(kinds.count('tool'), 'tool call')}",)
    yield "spent", (spent_by(run),)
    if sum(joins.values()):
        yield "joined", (f"{joins['exact']} of {plural(sum(joins.values()), 'span')} exactly, {joins['inferred']} inferred, {joins['none']} not",)
    if run.forked_from:
        yield "fork of", (Code(run.forked_from), f" at step {run.forked_at_step}")
    yield "sources", (", ".join(line(source.rpartition("/")[2], 80) for source in run.sources) or DASH,)
    if run.notes:
        yield "notes", (line("; ".join(run.notes), 1000),)


def _effects(run: Run) -> tuple[Block, ...]:
    found = effects_of(run)
    if not found:
        return (Paragraph(("None that the names of the tools give away.",), "quiet"),)
    rows = tuple(
        Row(
            (
                (Link(str(one.step), anchor("run", one.step)),),
                (line(one.key, 200),),
                (Code(line(one.idempotency_key, 60)) if one.idempotency_key else "none",),
                (Mark(one.ended, ENDED_TONES.get(one.ended, "quiet")),),
                (one.cause,),
            )
        )
        for one in found[:MAX_RUNS]
    )
    ways: Counter[Became] = Counter(one.answered or "made" for one in found)
    counted = Paragraph((f"{attempts(ways)}.",), "quiet")
    return counted, Table(("step", "act", "idempotency key", "outcome", "cause"), rows, frozenset({"step"}))


def _plots(run: Run, findings: Collection[Finding]) -> Iterator[Block]:
    steps, marks = steps_frame(run), findings_frame(findings)
    sure = steps["confidence"].drop_nulls().to_list()
    if sure:
        yield Plot(
            charts.confidence(steps, marks).to_plotly_json(), f"Confidence over {plural(len(sure), 'model call')}, from {sure[0]:.2f} to {sure[-1]:.2f}."
        )
    if steps["total_tokens"].drop_nulls().len():
        spent = charts.tokens(steps, marks, _limits(findings))
        yield Plot(spent.to_plotly_json(), f"By the last step: {spent_by(run)}.")
    took = latency_frame(steps, "name")
    if took.height:
        slowest, longest = took.select("name", "max_ms").row(0)
        yield Plot(charts.latency(steps, "name").to_plotly_json(), f"The slowest is {line(slowest, 60)}: at most {duration(longest)}.")


def _limits(findings: Iterable[Finding]) -> Budget:
    """The limits that findings tell of, by what they cite: dollars or tokens."""
    told = {proof.path: limit for one in findings if isinstance(limit := one.numbers.get("limit"), int | float) for proof in one.evidence}
    tokens = told.get("$.tokens")
    return Budget(usd=told.get("$.cost_usd"), tokens=None if tokens is None else round(tokens))


def _beside(report: Report, left: Run, rights: list[Run]) -> Iterator[Row]:
    for name, say in (
        ("run", lambda run: (Code(run.run_id),)),
        ("outcome", lambda run: (line(run.outcome, 600),)),
        ("status", lambda run: (Mark(run.status, run.status),)),
        ("steps", lambda run: (count(len(run.steps)),)),
        ("spent", lambda run: (spent_by(run),)),
    ):
        before: Phrase = say(left)
        after: tuple[Phrase, ...] = tuple(map(say, rights))
        yield Row(((name,), before, *after), "changed" if set(after) != {before} and name in {"outcome", "status"} else "")
    findings = [findings_words(one) for one in (report.comparison, *report.others) if one]
    if any(findings):
        yield Row((("findings",), ("",), *((says or "unchanged",) for says in findings)), "changed")


def _runs_table(report: Report, shown_in_full: Collection[str] | None = None) -> Table:
    """The runs, failed ones first; findings link to where they stand, where the report shows them in full (by default: those that `shown` picks)."""
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        found.setdefault(finding.run_id, []).append(finding)
    ranked = sorted(report.listed, key=lambda one: (FAILED_FIRST[one.status], min((ORDER[it.severity] for it in found.get(one.run_id, [])), default=3)))
    linked = {finding.finding_id for finding in shown(report.findings)} if shown_in_full is None else shown_in_full
    rows = tuple(_runs_row(one, sorted(found.get(one.run_id, []), key=lambda it: ORDER[it.severity]), linked) for one in ranked[:MAX_RUNS])
    left_out = len(ranked) - len(rows)
    columns = ("status", "run", "agent", "started", "took", "steps", "effects", "tokens", "cost", "findings", "outcome")
    more = f"{plural(left_out, 'more run')}: `workbench runs` lists all." if left_out else ""
    partly = any(one.cost_usd is not None and one.cost_unrecorded_calls for one in ranked[:MAX_RUNS])
    caption = " ".join(filter(None, (more, "≥: without model calls whose cost was not recorded." if partly else "")))
    return Table(columns, rows, frozenset({"took", "steps", "effects", "tokens", "cost"}), caption)


def _runs_row(one: Listed, findings: list[Finding], linked: Collection[str]) -> Row:
    """A run's line; `linked` are the findings that the report shows in full."""
    named = ((it, it.finding_id in linked) for it in findings[:5])
    marks: Phrase = tuple(part for it, there in named for part in (Link(it.detector, f"finding-{it.finding_id}") if there else it.detector, " "))
    fork: Phrase = (f" fork of {line(one.forked_from, 40)}",) if one.forked_from else ()
    return Row(
        (
            (Mark(one.status, one.status),),
            (Code(line(one.run_id, 60)), *fork),
            (line(one.agent or DASH, 40),),
            (moment(one.started_ns),),
            (duration(one.duration_ms),),
            (count(one.steps),),
            (count(one.effects),),
            (count(one.tokens),),
            (at_least(one.cost_usd, one.cost_unrecorded_calls),),
            marks or (DASH,),
            (line(one.outcome, 160),),
        ),
        findings[0].severity if findings else ("error" if one.status == "error" else ""),
    )


SECTIONS: dict[str, Callable[[Report], Iterator[Section]]] = {
    "run": _run_sections,
    "comparison": _comparison_sections,
    "store": _store_sections,
    "audit": _audit_sections,
    "incident": _incident_sections,
    "sweep": _sweep_sections,
}
