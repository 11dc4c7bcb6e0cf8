"""Runs in a notebook: one with its outcome, findings and steps, or many in a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from workbench.figures import Record
from workbench.model import Finding, Run, Step
from workbench.overview import FoundIn, Overview, failed_first
from workbench.report.markup import Markup, element, join, still, visible
from workbench.report.quantities import DASH, count, duration, line, moment, plural, spent_by
from workbench.report.static.findings import finding_line, findings_table, gravest_first, signs
from workbench.report.static.fragments import GIST_CHARS, MAX_ROWS, MAX_STEPS, SIGN, STATUS_TONE, badge, heading, named, quiet, rest, table_of, whole
from workbench.report.steps import gist


def run_html(run: Run, findings: Iterable[Finding], records: Sequence[Record] = ()) -> str:
    """A run: what it came to, its findings with what people made of their like, its steps folded away."""
    ranked = gravest_first(findings)
    steps = [_step_cells(step) for step in run.steps[:MAX_STEPS]]
    marks = {finding.step: finding.severity for finding in reversed(ranked)}
    table = table_of(("step", "kind", "name", "what", "took", "status"), steps, [_tone(step, marks) for step in run.steps[:MAX_STEPS]])
    more = f" (the first {MAX_STEPS:,})" if len(run.steps) > MAX_STEPS else ""
    return still(
        heading(f"run {run.run_id}", run.status, _run_facts(run), *signs(ranked)),
        element("div", element("b", "outcome "), line(run.outcome, 400)),
        findings_table(ranked, records, several=False) if ranked else quiet("no findings"),
        element("details", element("summary", f"{plural(len(run.steps), 'step')}{more}"), table),
    )


def run_text(run: Run, findings: Iterable[Finding]) -> str:
    """A run as text: a line about it, its outcome, its findings."""
    head = f"run {run.run_id}  {SIGN[run.status]} {run.status}  {' · '.join(_run_facts(run))}\noutcome: {line(run.outcome, 400)}"
    ranked = gravest_first(findings)
    return visible("\n".join([head, *(finding_line(finding, several=False) for finding in ranked)] if ranked else [head, "no findings"]))


def runs_html(overviews: Iterable[Overview], found: FoundIn, says: Iterable[str] = ()) -> str:
    """Runs as a table: failed ones and those with grave findings first; then what else is to be said of them."""
    ranked = failed_first(overviews, found)
    rows = [(_which(one), *map(whole, _measures(one)), *_came_to(one, found)) for one in ranked[:MAX_ROWS]]
    table = table_of(("run", "took", "steps", "tokens", "findings", "outcome"), rows, [""] * len(rows))
    return still(element("b", plural(len(ranked), "run")), table, *map(quiet, (*rest(len(ranked)), *says)))


def runs_text(overviews: Iterable[Overview], found: FoundIn, says: Iterable[str] = ()) -> str:
    """Runs as text, a line each, in the order of `runs_html`."""
    ranked = failed_first(overviews, found)
    lines = [f"{SIGN[one.status]} {one.run_id}  {'  '.join((*_begun(one), *_measures(one), *_came_to(one, found)))}" for one in ranked[:MAX_ROWS]]
    return visible("\n".join([plural(len(ranked), "run"), *lines, *rest(len(ranked)), *says]))


def _step_cells(step: Step) -> tuple[str, ...]:
    return (
        str(step.index),
        step.kind,
        "· " * step.depth + step.name,
        line(gist(step), GIST_CHARS),
        duration(step.duration_ms),
        f"{SIGN[step.status]} {step.status}",
    )


def _tone(step: Step, marks: Mapping[int | None, str]) -> str:
    return marks.get(step.index) or ("error" if step.status == "error" else "")


def _which(one: Overview) -> Markup:
    """How it ended and which it is; below, whose it is and when it began."""
    return join(named(badge(one.status, STATUS_TONE[one.status]), one.run_id), quiet(" · ".join(_begun(one))))


def _begun(one: Overview) -> tuple[str, str]:
    return one.agent or DASH, moment(one.started_ns)


def _measures(one: Overview) -> tuple[str, str, str]:
    return duration(one.duration_ms), count(one.steps), count(one.total_tokens)


def _came_to(one: Overview, found: FoundIn) -> tuple[str, str]:
    said = found.get(one.run_id)
    names = "not examined" if said is None else ", ".join(dict.fromkeys(each.detector for each in said)) or DASH
    return names, line(one.outcome, GIST_CHARS)


def _run_facts(run: Run) -> list[str]:
    span = None if run.started_ns is None or run.ended_ns is None else (run.ended_ns - run.started_ns) / 1e6
    fork = [f"fork of {run.forked_from} at step {run.forked_at_step}"] if run.forked_from else []
    spent = spent_by(run)
    return [*fork, *([run.agent] if run.agent else []), moment(run.started_ns), duration(span), plural(len(run.steps), "step"), spent]
