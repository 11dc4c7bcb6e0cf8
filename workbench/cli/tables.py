"""Tables of runs, steps and comparisons, and findings one below the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workbench.cli.terminal import cut, out, shown

if TYPE_CHECKING:
    from workbench.model import Comparison, Finding, Run, Step
    from workbench.overview import Overview

SEVERITY = {"error": "[bold red]✕ error[/]", "warning": "[yellow]▲ warning[/]", "info": "[blue]● info[/]"}
STATUS = {
    "ok": "[green]✓ ok[/]",
    "error": "[red]✕ error[/]",
    "interrupted": "[yellow]‖ interrupted[/]",
    "running": "[yellow]… unfinished[/]",
    "cancelled": "cancelled",
}
NUMBERS = frozenset(("#", "steps", "records", "new", "skipped", "ms", "tokens"))
RUNS_SHOWN = 20
SAID_CHARACTERS, LEAST_SAID, COLUMN_GAPS = 200, 10, 12


WRAPPED = frozenset(("act", "says"))
"""Columns of sentences: they go over several lines before any other column is cut."""


def table_of(*columns: str, title: str | None = None) -> Table:
    """An empty table whose columns of numbers stand to the right; a column of files folds, one of sentences wraps, any other is cut."""
    table = Table(title=title, box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in NUMBERS else "left",
            no_wrap=column != "file" and column not in WRAPPED,
            overflow="fold" if column == "file" else "ellipsis",
        )
    return table


def touched_table(every: list[Overview]) -> Table:
    """The runs that are new or changed, those that did not end well first, so that what is cut off is what went well."""
    table = table_of("run", "agent", "status", "steps")
    for run in sorted(every, key=lambda run: run.status == "ok")[:RUNS_SHOWN]:
        table.add_row(shown(run.run_id), shown(cut(run.agent or "–")), STATUS[run.status], f"{run.steps:,}")
    return table


def runs_table(every: list[Run], found: dict[str, list[Finding]]) -> Table:
    """One line a run, with the detectors that found something in it, by run id; a run that is not in `found` was not examined."""
    from workbench.analysis.calls import token_count

    table = table_of("run", "status", "steps", "tokens", "joined", "findings", "agent")
    for run in every:
        joins = " · ".join(f"{count} {quality}" for quality, count in run.joins.items() if count) or "no spans"
        findings = ", ".join(dict.fromkeys(finding.detector for finding in found[run.run_id])) if run.run_id in found else "not examined"
        tokens = token_count(run.tokens)
        counted = "–" if tokens is None else f"{tokens:,}"
        table.add_row(shown(run.run_id), STATUS[run.status], str(len(run.steps)), counted, joins, findings or "[dim]none[/]", shown(run.agent or "–"))
    return table


def steps_table(steps: tuple[Step, ...], findings: list[Finding]) -> Table:
    """One line a step. The numbers are what `--at` needs, so what is said is cut to the room they leave."""
    from workbench.report.markup import visible

    marks = {finding.step for finding in findings}
    table = table_of("#", "kind", "name", "node", "status", "ms", "")
    rows = [(*_step_cells(step), "[red]◆[/] " if step.index in marks else "", _said(step)) for step in steps]
    widths = [max((cell_len(Text.from_markup(row[column]).plain) for row in rows), default=0) for column in range(6)]
    room = max(out.width - sum(widths) - COLUMN_GAPS, LEAST_SAID)
    for *cells, mark, said in rows:
        text = Text(visible(said))
        text.truncate(room - (2 if mark else 0), overflow="ellipsis")
        table.add_row(*cells, Text.assemble(Text.from_markup(mark), text))
    return table


def _step_cells(step: Step) -> tuple[str, ...]:
    took = "" if step.duration_ms is None else f"{step.duration_ms:,.0f}"
    name, node = cut("  " * step.depth + step.name), cut(step.node or "")
    return str(step.index), step.kind, shown(name), shown(node), STATUS[step.status], took


def _said(step: Step) -> str:
    said = step.error or (step.output.content if step.output else None) or ("" if step.result is None else str(step.result))
    from workbench.model import PASSED_ON

    passed = f"({PASSED_ON}) " if PASSED_ON in step.notes else ""
    return passed + " ".join(said[:SAID_CHARACTERS].split())


def aligned_table(comparison: Comparison) -> Table:
    """The rows in which two runs differ."""
    table = table_of("#", "#", "differs", "kind", "name", title=f"{shown(comparison.right.run_id)} differs in")
    for row in comparison.rows:
        if row.relation != "same":
            step = comparison.right.step(row.right) if row.right is not None else comparison.left.step(row.left or 0)
            numbers = ("–" if one is None else str(one) for one in (row.left, row.right))
            table.add_row(*numbers, ", ".join(row.aspects) or row.relation, step.kind, shown(cut(step.name)))
    return table


def print_findings(findings: list[Finding]) -> None:
    """Each finding as a heading and its message: a table would squeeze the message into a column."""
    for finding in findings:
        where = "" if finding.step is None else f"  step {finding.step}"
        out.print(f"{SEVERITY[finding.severity]}  [bold]{finding.detector}[/]  {shown(finding.run_id)}{where}")
        out.print(Padding(shown(finding.message), (0, 0, 0, 4), expand=False))
    if not findings:
        out.print("no findings")
