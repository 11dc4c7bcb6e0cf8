"""What some of a bench's work comes to, each a value that shows itself as text and HTML: an ingest, an audit, guards tried on recorded runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.audit import Audit
from workbench.collection import Summary
from workbench.model import Run
from workbench.report import Report, audit_report, save, static
from workbench.report.markup import visible
from workbench.report.quantities import plural
from workbench.report.static.fragments import lines_html

if TYPE_CHECKING:
    from workbench.backtest.backtest import Backtest


class Audited:
    """The readiness audit, shown as a table; `audit` holds the answers with their evidence."""

    def __init__(self, found: Audit, runs: Callable[[list[str]], Iterator[Run]]) -> None:
        self.audit = found
        self._runs = runs

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """A report on the audit; written to `path` when one is given, in the format of its ending (`workbench.report.save`)."""
        cited = {proof.run_id for answer in self.audit.answers for proof in answer.evidence}
        return saved(audit_report(self.audit, self._runs(sorted(cited))), path)

    def __repr__(self) -> str:
        return static.audit_text(self.audit)

    def _repr_html_(self) -> str:
        return static.audit_html(self.audit)


class Backtested:
    """Guards tried on recorded runs, shown as a table; `backtests` holds the figures and, for each run, the stop."""

    def __init__(self, backtests: list[Backtest]) -> None:
        self.backtests = backtests

    def __repr__(self) -> str:
        return static.backtests_text(self.backtests)

    def _repr_html_(self) -> str:
        return static.backtests_html(self.backtests)


class Ingested:
    """What came of an ingest, shown as lines."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary

    def __repr__(self) -> str:
        return visible("\n".join(self._lines))

    def _repr_html_(self) -> str:
        return lines_html(self._lines)

    @property
    def _lines(self) -> list[str]:
        files = sum(file.collector is not None for file in self.summary.files)
        lines = [f"{plural(files, 'file')} read, {plural(len(self.summary.runs), 'run')} new or changed, {self.summary.skipped} skipped"]
        if self.summary.redacted:
            lines.append("redacted " + ", ".join(f"{count:,} × {kind}" for kind, count in sorted(self.summary.redacted.items())))
        left = self.summary.left_alone_told()
        return [*lines, *([left] if left else ()), *self.summary.skips_told()]


def saved(report: Report, path: str | os.PathLike[str] | None) -> Report:
    """The report, written to `path` where one is given."""
    if path is not None:
        save(report, Path(path))
    return report
