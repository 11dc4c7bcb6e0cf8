"""The static form of a step-through view, for a notebook read without its kernel: escaped HTML that Lab's sanitiser keeps, and plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from html import escape

from workbench.model import Finding, Run, Step
from workbench.widgets.excerpt import as_text, fold_logprobs, visible

MAX_ROWS = 120
MAX_FINDINGS = 20
PREVIEW_CHARS = 1_200
GLYPHS = {"ok": "✓", "error": "✕", "interrupted": "‖", "running": "…", "cancelled": "⊘"}
CELL = "text-align:left;padding:1px 10px 1px 0;font-family:monospace;vertical-align:top"
MUTED = "color:#7a7f87"
BAD = "color:#d0433c"
STILL = "mathjax_ignore tex2jax_ignore"
"""No `$…$` of a trace becomes a formula of MathJax: `workbench.report.markup.still` tells why."""


def as_html(run: Run, findings: Sequence[Finding], chosen: int, code: str) -> str:
    """Head, findings, the steps around the chosen one, and the chosen step unfolded. Details, table and literal colours only: the rest is stripped."""
    return "".join(
        (
            f"<div class='{STILL}'><div><b>{_html(run.run_id)}</b> <span style='{MUTED}'>{_html(_headline(run, findings))}</span></div>",
            *(_finding(finding) for finding in findings[:MAX_FINDINGS]),
            f"<div>… {len(findings) - MAX_FINDINGS} more findings</div>" if len(findings) > MAX_FINDINGS else "",
            _table(run, findings, chosen),
            *(_unfolded(step) for step in run.steps if step.index == chosen),
            f"<div style='{MUTED}'>Live view: <code>{_html(code)}</code></div></div>",
        )
    )


def as_plain(run: Run, findings: Sequence[Finding], chosen: int, code: str) -> str:
    """One line of head, one a finding, one a step around the chosen one, and the line of code that opens the live view."""
    rows, hidden = _around(run, chosen)
    marked = {finding.step for finding in findings}
    lines = [f"{visible(run.run_id)}  {visible(_headline(run, findings))}"]
    lines += [f"◆ {finding.severity} {finding.detector}: {_one_line(finding.message)}" for finding in findings[:MAX_FINDINGS]]
    lines += [f"  … {len(findings) - MAX_FINDINGS} more findings"] if len(findings) > MAX_FINDINGS else []
    for step in rows:
        mark = "◆" if step.index in marked else " "
        pointer = "▸" if step.index == chosen else " "
        error = f"  {_one_line(step.error)}" if step.error else ""
        lines.append(f"{pointer}{step.index:>5} {mark} {GLYPHS[step.status]} {'  ' * step.depth}{step.kind} {_one_line(step.name)}{error}")
    lines += [f"  … {hidden} more steps"] if hidden else []
    return "\n".join([*lines, code])


def _headline(run: Run, findings: Sequence[Finding]) -> str:
    parts = (run.agent, f"{GLYPHS[run.status]} {run.status}", f"{len(run.steps)} steps", f"{len(findings)} findings")
    return " · ".join(part for part in parts if part)


def _html(text: str) -> str:
    return escape(visible(text))


def _one_line(text: str) -> str:
    return visible(textwrap.shorten(text[:1000], 160, placeholder=" …"))


def _around(run: Run, chosen: int) -> tuple[Sequence[Step], int]:
    row = next((row for row, step in enumerate(run.steps) if step.index == chosen), 0)
    start = max(0, min(row - MAX_ROWS // 2, len(run.steps) - MAX_ROWS))
    rows = run.steps[start : start + MAX_ROWS]
    return rows, len(run.steps) - len(rows)


def _finding(finding: Finding) -> str:
    place = "" if finding.step is None else f" at step {finding.step}"
    return f"<div>◆ <b>{_html(finding.detector)}</b> ({finding.severity}{place}): {_cut(finding.message)}</div>"


def _table(run: Run, findings: Sequence[Finding], chosen: int) -> str:
    rows, hidden = _around(run, chosen)
    marked = {finding.step for finding in findings}
    head = "".join(f"<th style='{CELL}'>{name}</th>" for name in ("", "step", "kind", "name", "node", "status", "ms"))
    body = "".join(f"<tr>{''.join(_cells(step, step.index == chosen, step.index in marked))}</tr>" for step in rows)
    note = f"<div style='{MUTED}'>… {hidden} more steps are not shown here</div>" if hidden else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _cells(step: Step, chosen: bool, marked: bool) -> Iterator[str]:
    duration = "–" if step.duration_ms is None else f"{step.duration_ms:,.0f}"
    mark = ("▸" if chosen else "") + ("◆" if marked else "")
    name = "&nbsp;" * 3 * min(step.depth, 12) + _html(step.name[:120])
    for text in (mark, str(step.index), step.kind, name, _html((step.node or "")[:80])):
        yield f"<td style='{CELL}'>{text}</td>"
    yield f"<td style='{CELL};{BAD if step.status == 'error' else ''}'>{GLYPHS[step.status]} {step.status}</td><td style='{CELL}'>{duration}</td>"


def _unfolded(step: Step) -> str:
    arguments = None if step.tool_call is None else step.tool_call.raw if step.tool_call.arguments is None else as_text(step.tool_call.arguments)
    parts = {
        "arguments": arguments,
        "result": None if step.result is None else as_text(step.result),
        "answer": step.output.content if step.output else None,
        "error": step.error,
        "wrote": as_text(fold_logprobs(step.changes)) if step.changes else None,
    }
    shown = "".join(f"<div><b>{name}</b></div><pre>{_cut(text)}</pre>" for name, text in parts.items() if text)
    return f"<details open><summary>step {step.index} {step.kind} {_html(step.name[:120])}</summary>{shown}</details>"


def _cut(text: str) -> str:
    more = f" … {len(text) - PREVIEW_CHARS:,} more characters" if len(text) > PREVIEW_CHARS else ""
    return _html(text[:PREVIEW_CHARS]) + more
