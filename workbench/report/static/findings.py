"""Findings in a notebook: a table, the gravest first, each with its evidence folded away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from workbench.figures import Record, told
from workbench.model import Finding, NotEvaluated
from workbench.report.claims import ORDER, reviewed
from workbench.report.markup import Markup, element, join, still, visible
from workbench.report.quantities import plural
from workbench.report.static.fragments import COLOURS, MAX_ROWS, SIGN, WRAPS, badge, named, quiet, rest, table_of, whole


def findings_html(findings: Iterable[Finding], records: Sequence[Record] = (), lacks: Sequence[NotEvaluated] = ()) -> str:
    """Findings as a table, the gravest first, with what people made of each detector's; hints, and what could not be judged, folded away."""
    ranked = gravest_first(findings)
    head = element("div", element("b", plural(len(ranked), "finding")), *signs(ranked)) if ranked else quiet("no findings")
    return still(head, findings_table(ranked, records, several=True), *_not_evaluated(lacks))


def findings_text(findings: Iterable[Finding]) -> str:
    """Findings as text, the gravest first, a line each."""
    ranked = gravest_first(findings)
    lines = [finding_line(finding, several=True) for finding in ranked[:MAX_ROWS]]
    return visible("\n".join([plural(len(ranked), "finding"), *lines, *rest(len(ranked))]) if ranked else "no findings")


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, in their run's order where they are equal."""
    return sorted(findings, key=lambda one: (ORDER[one.severity], -one.score, one.step or 0))


def finding_line(finding: Finding, *, several: bool) -> str:
    """A finding in a line of text; of `several` runs it names its run."""
    place = "run" if finding.step is None else f"step {finding.step}"
    return f"{SIGN[finding.severity]} {finding.severity}  {finding.detector}  {f'{finding.run_id}  ' if several else ''}{place}: {finding.message}"


def signs(findings: Iterable[Finding]) -> list[Markup]:
    """How many there are of each severity, in signs and words."""
    counts = Counter[str](one.severity for one in findings)
    words = {severity: f"{counts[severity]:,} {severity}" if severity == "info" else plural(counts[severity], severity) for severity in ORDER}
    return [element("span", " ", badge(severity, severity, words[severity])) for severity in ORDER if counts[severity]]


def findings_table(ranked: Sequence[Finding], records: Sequence[Record], *, several: bool) -> Markup:
    """Ranked findings as a table, those that are mere hints folded away beside graver ones; of `several` runs each names its run."""
    grave = [one for one in ranked if one.severity != "info"]
    shown, hints = (grave, ranked[len(grave) :]) if grave else (ranked, ())
    tables = [_table(shown, records, several=several)] if shown else []
    folded = element("details", element("summary", f"{plural(len(hints), 'hint')} (info)"), _table(hints, records, several=several)) if hints else Markup()
    return join(*tables, folded)


def _table(findings: Sequence[Finding], records: Sequence[Record], *, several: bool) -> Markup:
    rows = [(_what(one, several=several), element("div", one.message, _evidence(one, records), style=WRAPS)) for one in findings[:MAX_ROWS]]
    return join(table_of(("finding", "what was seen"), rows, [""] * len(rows)), *map(quiet, rest(len(findings))))


def _what(finding: Finding, *, several: bool) -> Markup:
    """Which finding it is and where, in two short lines, so that what was seen has room."""
    place = "the whole run" if finding.step is None else f"step {finding.step}"
    where = element("div", *((whole(finding.run_id), " · ") if several else ()), whole(place), style=f"color:{COLOURS['quiet']}")
    return join(named(badge(finding.severity, finding.severity), finding.detector), where)


def _not_evaluated(lacks: Sequence[NotEvaluated]) -> list[Markup]:
    """What could not be judged, once for each detector and reason, folded away: silence is not "all is well"."""
    runs = Counter((one.detector, one.why) for one in lacks)
    if not runs:
        return []
    lines = [element("div", element("b", detector), f" {why} ({plural(count, 'run')})") for (detector, why), count in runs.most_common(MAX_ROWS)]
    summary = f"not evaluated: {plural(len({one.detector for one in lacks}), 'detector')}, {plural(len(runs), 'reason')}"
    return [element("details", element("summary", summary), *lines, *map(quiet, rest(len(runs))))]


def _evidence(finding: Finding, records: Sequence[Record]) -> Markup:
    lines = [element("div", f"step {proof.step} {proof.path} · {proof.says} · sha256 {proof.sha256[:12]}") for proof in finding.evidence]
    refute = [element("div", element("b", "would refute it: "), finding.refute)] if finding.refute else []
    known = element("div", element("b", "this detector: "), told(finding.detector, records))
    folded = element("details", element("summary", f"evidence ({len(lines)})"), *lines, *refute, known)
    word = reviewed(finding, records)
    return join(element("div", element("b", "reviewed: "), word), folded) if word else folded
