"""Reports that can be checked: self-contained HTML, Markdown and JSON for a run, a comparison, an incident, a whole store or an audit.

`run_report`, `comparison_report`, `incident_report`, `store_report` and `audit_report` make a frozen `Report`; `html`, `markdown` and `to_json` render it.
`sarif` and `junit` tell CI of its findings, `csv` and `parquet` are tables of them; `save` writes any.
"""

from __future__ import annotations

import json
from pathlib import Path

from workbench.report.contents import Report, audit_report, comparison_report, incident_report, run_report, store_report, sweep_report
from workbench.report.junit import junit
from workbench.report.page import html
from workbench.report.plaintext import markdown
from workbench.report.sarif import sarif
from workbench.report.tabular import beside, csv, parquet

__all__ = ["Report", "ReportError", "audit_report", "comparison_report", "files_of", "html", "junit", "markdown", "run_report", "sarif", "save"]
__all__ += ["incident_report", "store_report", "sweep_report", "to_json"]


class ReportError(ValueError):
    """A report that can't be written as asked. The message says what would be right."""


def to_json(report: Report) -> str:
    """The values the report rests on, as JSON; `Report.model_validate(json.loads(text))` reads it back to an equal report."""
    return json.dumps(report.model_dump(), indent=1, ensure_ascii=False, default=str)


TEXTS = {".html": html, ".md": markdown, ".json": to_json, ".sarif": sarif, ".xml": junit}
TABLES = {".csv": csv, ".parquet": parquet}


def save(report: Report, path: Path) -> Path:
    """Write a report in the format its file name asks for: .html, .md, .json, .sarif, .xml (JUnit), .csv or .parquet; returns the path.

    The two tables of .csv and .parquet are two files (`files_of`). ReportError names the endings where it is another, and a folder that isn't there.
    """
    ending = path.suffix.lower()
    if ending not in TEXTS.keys() | TABLES.keys():
        raise ReportError(f"{path}: the ending says the format, and {ending or 'none'} is none; use {', '.join([*TEXTS, *TABLES])}")
    if not path.parent.is_dir():
        raise ReportError(f"{path}: there is no folder {path.parent}")
    if ending in TABLES:
        TABLES[ending](report, path)
    else:  # a lone surrogate, which UTF-8 can't hold, becomes its code point; in JSON that is the very escape it is read back from
        path.write_text(TEXTS[ending](report), encoding="utf-8", errors="backslashreplace")
    return path


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that a report of this name may consist of."""
    return (path, beside(path)) if path.suffix.lower() in TABLES else (path,)
