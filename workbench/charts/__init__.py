"""Plotly figures from the frames of `workbench.frames`: aggregate charts, one function each. Stepping through a run is the viewer's work.

Plotly reads a small HTML in text; whatever comes from a trace goes through `plain` first. Every figure can also be drawn as SVG for a report without
scripts (`workbench.report.figure`), from the same numbers.
"""

from __future__ import annotations

from workbench.charts.calls import cost_by_model, effects, latency
from workbench.charts.course import confidence, tokens
from workbench.charts.drawing import MAX_ROWS, SEVERITY_COLOURS, plain
from workbench.charts.flow import tool_flow
from workbench.charts.many import cost_by_run, findings_by_run, findings_over_time

__all__ = ["MAX_ROWS", "SEVERITY_COLOURS", "confidence", "cost_by_model", "cost_by_run", "effects", "findings_by_run", "findings_over_time", "latency"]
__all__ += ["plain", "tokens", "tool_flow"]
