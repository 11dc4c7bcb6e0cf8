"""Reports that can be checked: self-contained HTML, Markdown and JSON for a run, a comparison or a whole store.

`run_report`, `comparison_report` and `store_report` make a frozen `Report`; `html`, `markdown` and `to_json` render it, `save` writes it.
"""

from __future__ import annotations

import json
from pathlib import Path

from workbench.report.contents import Report, comparison_report, run_report, store_report
from workbench.report.page import html
from workbench.report.plaintext import markdown

__all__ = ["Report", "ReportError", "comparison_report", "html", "markdown", "run_report", "save", "store_report", "to_json"]


class ReportError(ValueError):
    """A report that can't be written as asked. The message says what would be right."""


def to_json(report: Report) -> str:
    """The values the report rests on, as JSON; `Report.model_validate(json.loads(text))` reads it back to an equal report."""
    return json.dumps(report.model_dump(), indent=1, ensure_ascii=False, default=str)


def save(report: Report, path: Path) -> Path:
    """Write a report in the format its file name asks for: .html, .md or .json. ReportError names these where it is another; returns the path."""
    renderers = {".html": html, ".md": markdown, ".json": to_json}
    if path.suffix.lower() not in renderers:
        raise ReportError(f"{path}: the ending says the format, and {path.suffix or 'none'} is none; use {', '.join(renderers)}")
    if not path.parent.is_dir():
        raise ReportError(f"{path}: there is no folder {path.parent}")
    # a lone surrogate, which UTF-8 can't hold, becomes its code point; in JSON that is the very escape it is read back from
    path.write_text(renderers[path.suffix.lower()](report), encoding="utf-8", errors="backslashreplace")
    return path
