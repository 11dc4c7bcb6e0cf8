"""Static views of values for a notebook, a module for each kind of value: escaped HTML without JavaScript, and the same as text."""

from __future__ import annotations

from workbench.report.static.audits import audit_html, audit_text
from workbench.report.static.backtests import backtests_html, backtests_text
from workbench.report.static.comparisons import comparison_html, comparison_text
from workbench.report.static.findings import findings_html, findings_text
from workbench.report.static.flowcharts import paths_html, paths_text
from workbench.report.static.fragments import tabular_html, tabular_text
from workbench.report.static.incidents import incident_html, incident_text
from workbench.report.static.receipts import receipt_html, receipt_text
from workbench.report.static.runs import run_html, run_text, runs_html, runs_text

__all__ = ["audit_html", "audit_text", "backtests_html", "backtests_text", "comparison_html", "comparison_text", "findings_html", "findings_text"]
__all__ += ["incident_html", "incident_text", "paths_html", "paths_text", "receipt_html", "receipt_text", "run_html", "run_text", "runs_html", "runs_text"]
__all__ += ["tabular_html", "tabular_text"]
