"""How each finding of a report stands to the reference: new, there before, or gone. What a CI run passes or fails by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from workbench.model import Comparison, Finding
from workbench.report.contents import Report

Standing = Literal["new", "unchanged", "absent"]
"""The words of SARIF 2.1.0, section 3.27.24: `absent` was in the reference and is not in this run."""


class Stated(NamedTuple):
    """A finding, and how it stands to the reference; None where there is no reference, or it was not examined."""

    finding: Finding
    standing: Standing | None = None
    cut_short: str = ""
    """Why the run that is compared can't show that this finding is gone: it "halted" or "failed" (`Comparison.cut_short`)."""


def standings(report: Report) -> Iterator[Stated]:
    """Every finding of a report, once. Of a comparison: those of the run that is compared, and those of the reference that it has not."""
    if report.comparison is None:
        yield from map(Stated, report.findings)
        return
    yield from _compared(report.comparison, report.findings)
    for other in report.others:
        yield from _differing(other)


def _compared(comparison: Comparison, findings: tuple[Finding, ...]) -> Iterator[Stated]:
    if comparison.new is None:
        yield from map(Stated, findings)
        return
    new = {finding.finding_id for finding in comparison.new}
    mine = (finding for finding in findings if finding.run_id == comparison.right.run_id)
    yield from (Stated(finding, "unchanged") for finding in mine if finding.finding_id not in new)
    yield from _differing(comparison)


def _differing(comparison: Comparison) -> Iterator[Stated]:
    yield from (Stated(finding, "new") for finding in comparison.new or ())
    yield from (Stated(finding, "absent", comparison.cut_short) for finding in comparison.gone or ())
