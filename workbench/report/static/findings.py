"""Findings in a notebook: a table, the gravest first, each with its evidence folded away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workbench.figures import Record, told
from workbench.model import Finding
from workbench.report.claims import ORDER
from workbench.report.markup import Markup, element, join, still, visible
from workbench.report.quantities import DASH, plural
from workbench.report.static.fragments import MAX_ROWS, SIGN, badge, quiet, rest, table_of, whole


def findings_html(findings: Iterable[Finding], records: Sequence[Record] = ()) -> str:
    """Findings as a table, the gravest first, with what people made of each detector's."""
    ranked = gravest_first(findings)
    return still(*([element("b", plural(len(ranked), "finding")), findings_table(ranked, records, several=True)] if ranked else [quiet("no findings")]))


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


def findings_table(ranked: Sequence[Finding], records: Sequence[Record], *, several: bool) -> Markup:
    """Ranked findings as a table; of `several` runs with a column for the run."""
    rows: list[tuple[str, ...]] = [
        (
            badge(finding.severity, finding.severity),
            whole(finding.detector),
            *((whole(finding.run_id),) if several else ()),
            DASH if finding.step is None else str(finding.step),
            join(finding.message, _evidence(finding, records)),
        )
        for finding in ranked[:MAX_ROWS]
    ]
    columns = ("severity", "detector", *(("run",) if several else ()), "step", "what")
    return join(table_of(columns, rows, [""] * len(rows)), *map(quiet, rest(len(ranked))))


def _evidence(finding: Finding, records: Sequence[Record]) -> Markup:
    lines = [element("div", f"step {proof.step} {proof.path} · {proof.says} · sha256 {proof.sha256[:12]}") for proof in finding.evidence]
    refute = [element("div", element("b", "would refute it: "), finding.refute)] if finding.refute else []
    known = element("div", element("b", "this detector: "), told(finding.detector, records))
    return element("details", element("summary", f"evidence ({len(lines)})"), *lines, *refute, known)
