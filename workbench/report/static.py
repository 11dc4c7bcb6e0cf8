"""Static views of values for a notebook: HTML fragments that survive JupyterLab's sanitizer, and the same as text.

No style sheet, no SVG, no scripts: elements with literal inline colours that read on light and on dark. A notebook reopened years later, on a
web page or on paper, shows them as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from workbench.audit import Answer, Audit, Verdict
from workbench.backtest import Backtest
from workbench.calls import token_count
from workbench.figures import told
from workbench.model import CallRecord, Comparison, Finding, Receipt, Run, Step
from workbench.report.claims import ORDER
from workbench.report.forks import SIGNS, effect_says, findings_words, first_word, folded, told_sides
from workbench.report.markup import Markup, element, join, visible
from workbench.report.quantities import DASH, count, duration, line, moment, plural, spending
from workbench.report.receipts import attempts_words, isolation_phrase, spent_words, verdict
from workbench.report.steps import gist, literal_line

COLOURS = {"error": "#d1495b", "warning": "#b97a14", "info": "#4f83c4", "ok": "#3d9463", "quiet": "#808893"}
"""At least 3:1 on white and on dark grey; never the only sign."""
SIGN = {"error": "✕", "warning": "▲", "info": "●", "ok": "✓", "interrupted": "‖", "running": "…", "cancelled": "⊘"}
STATUS_TONE = {"error": "error", "ok": "ok", "interrupted": "warning", "running": "warning", "cancelled": "warning"}
CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"
VERDICTS: dict[Verdict, tuple[str, str]] = {"not met": ("error", "error"), "no evidence": ("warning", "warning"), "met": ("ok", "ok")}
"""Each verdict of the audit with its sign and colour, in the order in which they are shown."""
BACKTEST = ("guard", "stops", "precision", "recall", "good runs stopped", "saved")
MAX_ROWS, MAX_STEPS, GIST_CHARS, SIDE_CHARS, WHOLE_CHARS, AUDIT_SAYS = 100, 200, 120, 240, 32, 2


def run_html(run: Run, findings: Iterable[Finding]) -> str:
    """A run: what it came to, its findings, its steps folded away."""
    ranked = _ranked(findings)
    steps = [_step_cells(step) for step in run.steps[:MAX_STEPS]]
    marks = {finding.step: finding.severity for finding in reversed(ranked)}
    table = _table(("step", "kind", "name", "what", "took", "status"), steps, [_tone(step, marks) for step in run.steps[:MAX_STEPS]])
    more = f" (the first {MAX_STEPS:,})" if len(run.steps) > MAX_STEPS else ""
    return element(
        "div",
        _heading(f"run {run.run_id}", run.status, _run_facts(run)),
        element("div", element("b", "outcome "), line(run.outcome, 400)),
        _findings_table(ranked, several=False) if ranked else _quiet("no findings"),
        element("details", element("summary", f"{plural(len(run.steps), 'step')}{more}"), table),
    )


def run_text(run: Run, findings: Iterable[Finding]) -> str:
    """A run as text: a line about it, its outcome, its findings."""
    head = f"run {run.run_id}  {SIGN[run.status]} {run.status}  {' · '.join(_run_facts(run))}\noutcome: {line(run.outcome, 400)}"
    ranked = _ranked(findings)
    return visible("\n".join([head, *(_finding_line(finding, several=False) for finding in ranked)] if ranked else [head, "no findings"]))


def findings_html(findings: Iterable[Finding]) -> str:
    """Findings as a table, the gravest first."""
    ranked = _ranked(findings)
    return element("div", element("b", plural(len(ranked), "finding")), _findings_table(ranked, several=True)) if ranked else _quiet("no findings")


def findings_text(findings: Iterable[Finding]) -> str:
    """Findings as text, the gravest first, a line each."""
    ranked = _ranked(findings)
    lines = [_finding_line(finding, several=True) for finding in ranked[:MAX_ROWS]]
    return visible("\n".join([plural(len(ranked), "finding"), *lines, *_rest(len(ranked))]) if ranked else "no findings")


def runs_html(runs: Iterable[Run], findings: Iterable[Finding]) -> str:
    """Runs as a table: failed ones and those with grave findings first."""
    ranked, found = _runs_ranked(list(runs), list(findings))
    rows = [(_badge(run.status, STATUS_TONE[run.status]), run.run_id, *_runs_row(run, found.get(run.run_id, []))) for run in ranked[:MAX_ROWS]]
    table = _table(("status", "run", "agent", "started", "steps", "tokens", "findings", "outcome"), rows, [""] * len(rows))
    return element("div", element("b", plural(len(ranked), "run")), table, *map(_quiet, _rest(len(ranked))))


def runs_text(runs: Iterable[Run], findings: Iterable[Finding]) -> str:
    """Runs as text, a line each, in the order of `runs_html`."""
    ranked, found = _runs_ranked(list(runs), list(findings))
    lines = [f"{SIGN[run.status]} {run.run_id}  {'  '.join(_runs_row(run, found.get(run.run_id, [])))}" for run in ranked[:MAX_ROWS]]
    return visible("\n".join([plural(len(ranked), "run"), *lines, *_rest(len(ranked))]))


def tabular_html(title: str, says: Iterable[str], columns: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[str]) -> str:
    """A heading, sentences below it, and a table whose rows carry their tone."""
    table = _table(columns, rows[:MAX_ROWS], tones[:MAX_ROWS])
    return element("div", element("b", title), *(element("div", one) for one in says), table, *map(_quiet, _rest(len(rows))))


def tabular_text(title: str, says: Iterable[str], columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as text, in columns."""
    shown = [columns, *rows[:MAX_ROWS]]
    widths = [max(len(row[place]) for row in shown) for place in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return visible("\n".join([title, *(f"  {one}" for one in says), *(f"  {one}" for one in lines), *_rest(len(rows))]))


def comparison_html(comparison: Comparison) -> str:
    """Two runs side by side: effects and outcomes first, then what differs."""
    left, right = comparison.left, comparison.right
    facts = [
        ("outcome", line(left.outcome, 300), line(right.outcome, 300)),
        ("steps", str(len(left.steps)), str(len(right.steps))),
        ("spent", *(spending(token_count(run.tokens), run.cost_usd) for run in (left, right))),
        *([("findings", "", findings)] if (findings := findings_words(comparison)) else []),
    ]
    effects = [(one.key, str(one.original), str(one.fork), effect_says(comparison, one)) for one in comparison.effects[:MAX_ROWS]]
    changed = ["warning" if one.original != one.fork else "" for one in comparison.effects[:MAX_ROWS]]
    return element(
        "div",
        _table(("", f"original {left.run_id}", f"fork {right.run_id}"), facts, [""] * len(facts)),
        _table(("act", "original", "fork", "change"), effects, changed) if effects else _quiet("neither run attempted a side effect"),
        _alignment(comparison),
    )


def comparison_text(comparison: Comparison) -> str:
    """Two runs as text: effects, outcomes, first divergence."""
    first = comparison.first_divergence
    where = (
        "nowhere: the same step by step"
        if first is None
        else f"step {DASH if first.left is None else first.left} / {DASH if first.right is None else first.right}"
    )
    lines = [
        f"{comparison.left.run_id} against {comparison.right.run_id}",
        *(f"  {one.key}: {effect_says(comparison, one)}" for one in comparison.effects[:MAX_ROWS]),
    ]
    findings = findings_words(comparison)
    lines += [f"  findings {findings}"] if findings else []
    return visible(
        "\n".join([*lines, f"  diverges {where}", f"  original: {line(comparison.left.outcome, 200)}", f"  fork:     {line(comparison.right.outcome, 200)}"])
    )


def receipt_html(receipt: Receipt) -> str:
    """A fork's receipt: what was served, live, blocked, halted; isolation; what was stopped and why."""
    stopped = [(one.answer, one.kind, one.name, join(*(element("div", line) for line in one.says.splitlines()))) for one in _notable(receipt)]
    return element(
        "div",
        element("div", _badge("ok" if receipt.clean else "error", "ok" if receipt.clean else "error", "clean" if receipt.clean else "not clean"), " receipt"),
        _table(("", ""), _receipt_facts(receipt), [""] * len(_receipt_facts(receipt))),
        _checks_table(receipt),
        element("details", element("summary", "isolation in full"), receipt.isolation) if isolation_phrase(receipt) != receipt.isolation else "",
        _table(("answer", "kind", "call", "why"), stopped, ["warning" if row[0] == "live" else "error" for row in stopped]) if stopped else "",
    )


def receipt_text(receipt: Receipt) -> str:
    """A fork's receipt as text: the same."""
    lines = ["receipt: " + ("clean" if receipt.clean else "not clean"), *(f"  {name}: {says}" for name, says in _receipt_facts(receipt))]
    for one in _notable(receipt):
        says = "".join(f"\n    {line.strip()}" for line in one.says.splitlines())
        lines.append(f"  {one.answer} {one.kind} {one.name}{f' at {one.node_path}' if one.node_path else ''}{says}")
    return visible("\n".join(lines))


def backtests_html(backtests: Sequence[Backtest]) -> str:
    """Guards tried on recorded runs: what each would have stopped, how right it would have been, what it would have saved."""
    tones = ["warning" if one.good_runs_stopped.hits else "" for one in backtests[:MAX_ROWS]]
    notes = [_quiet(note) for note in dict.fromkeys(note for one in backtests for note in _backtest_notes(one))]
    return element("div", _table(BACKTEST, [_backtest_row(one) for one in backtests[:MAX_ROWS]], tones), *notes, *map(_quiet, _rest(len(backtests))))


def backtests_text(backtests: Sequence[Backtest]) -> str:
    """Guards tried on recorded runs as text, some lines each."""
    lines = []
    for one in backtests[:MAX_ROWS]:
        guard, *figures = _backtest_row(one)
        lines += [guard, *(f"  {name}: {figure}" for name, figure in zip(BACKTEST[1:], figures, strict=True)), *(f"  {note}" for note in _backtest_notes(one))]
    return visible("\n".join([*lines, *_rest(len(backtests))]) if lines else "no detector has found anything to try")


def _backtest_row(one: Backtest) -> tuple[str, ...]:
    saved = DASH if one.cost_saved is None else f"${one.cost_saved:,.2f}"
    return one.guard, f"{one.stopped:,} of {one.stops.height:,}", str(one.precision), str(one.recall), str(one.good_runs_stopped), saved


def _backtest_notes(one: Backtest) -> list[str]:
    lacking = [f"{name} was not recorded in {count:,} of {one.stops.height:,} runs, where it could not hold" for name, count in one.not_recorded.items()]
    unlabelled = one.stops["failed"].null_count()
    return [*lacking, *([f"{unlabelled:,} of {one.stops.height:,} runs have no label, and count in no share"] if unlabelled else [])]


def audit_html(audit: Audit) -> str:
    """The readiness audit: what is not met first, then what nothing shows, then what is met."""
    rows = [(_badge(*VERDICTS[one.verdict], one.verdict), one.capability, one.asks, _audit_counts(one), _audit_says(one)) for one in _audit_ranked(audit)]
    tones = [VERDICTS[one.verdict][1] for one in _audit_ranked(audit)]
    return element("div", element("b", _audit_heading(audit)), _table(("verdict", "capability", "item", "signs", "what shows it"), rows, tones))


def audit_text(audit: Audit) -> str:
    """The readiness audit as text, an item a line, with what shows it below."""
    lines = [_audit_heading(audit)]
    for one in _audit_ranked(audit):
        lines.append(f"{SIGN[VERDICTS[one.verdict][0]]} {one.verdict:<11}  {one.capability}: {one.asks}  ({_audit_counts(one)})")
        lines += [f"    {says}" for says in (*one.says[:AUDIT_SAYS], *([f"to get evidence: {one.record}"] if one.record else []))]
    return visible("\n".join(lines))


def _audit_heading(audit: Audit) -> str:
    counts = ", ".join(f"{len(audit.of(verdict))} {verdict}" for verdict in VERDICTS)
    return f"readiness audit over {plural(audit.runs, 'run')}: {counts}"


def _audit_ranked(audit: Audit) -> list[Answer]:
    return [answer for verdict in VERDICTS for answer in audit.of(verdict)]


def _audit_counts(answer: Answer) -> str:
    return f"{answer.holds:,} for, {answer.fails:,} against"


def _audit_says(answer: Answer) -> Markup:
    told = [element("div", line(says, 300)) for says in answer.says]
    cited = [element("div", f"{one.run_id} step {one.step} {one.path} · sha256 {one.sha256[:12]}") for one in answer.evidence]
    folded_in = element("details", element("summary", f"evidence ({len(cited)})"), *cited) if cited else ""
    return join(*told, folded_in, element("div", element("i", "to get evidence: "), answer.record) if answer.record else "")


def _checks_table(receipt: Receipt) -> Markup:
    """Every check with its verdict, folded away."""
    rows = [(check.verdict, check.name, line(check.says, 300)) for check in receipt.checks]
    tones = ["error" if check.verdict == "fail" else "" for check in receipt.checks]
    table = _table(("verdict", "check", "judged by"), rows, tones)
    return element("details", element("summary", plural(len(rows), "check")), table) if rows else Markup()


def _notable(receipt: Receipt) -> list[CallRecord]:
    """The calls that were not simply served: live, blocked, halted."""
    return [one for one in receipt.records if one.answer in {"live", "blocked", "halted"}][:MAX_ROWS]


def _ranked(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda one: (ORDER[one.severity], -one.score, one.step or 0))


def _runs_ranked(runs: list[Run], findings: list[Finding]) -> tuple[list[Run], dict[str, list[Finding]]]:
    found: dict[str, list[Finding]] = {}
    for finding in _ranked(findings):
        found.setdefault(finding.run_id, []).append(finding)
    return sorted(runs, key=lambda run: (run.status != "error", ORDER[found[run.run_id][0].severity] if run.run_id in found else 3)), found


def _runs_row(run: Run, findings: list[Finding]) -> tuple[str, ...]:
    names = ", ".join(dict.fromkeys(finding.detector for finding in findings)) or DASH
    return run.agent or DASH, moment(run.started_ns), count(len(run.steps)), count(token_count(run.tokens)), names, line(run.outcome, GIST_CHARS)


def _run_facts(run: Run) -> list[str]:
    span = None if run.started_ns is None or run.ended_ns is None else (run.ended_ns - run.started_ns) / 1e6
    fork = [f"fork of {run.forked_from} at step {run.forked_at_step}"] if run.forked_from else []
    spent = spending(token_count(run.tokens), run.cost_usd)
    return [*fork, *([run.agent] if run.agent else []), moment(run.started_ns), duration(span), plural(len(run.steps), "step"), spent]


def _finding_line(finding: Finding, *, several: bool) -> str:
    place = "run" if finding.step is None else f"step {finding.step}"
    return f"{SIGN[finding.severity]} {finding.severity}  {finding.detector}  {f'{finding.run_id}  ' if several else ''}{place}: {finding.message}"


def _findings_table(ranked: Sequence[Finding], *, several: bool) -> Markup:
    rows: list[tuple[str, ...]] = [
        (
            _badge(finding.severity, finding.severity),
            _whole(finding.detector),
            *((_whole(finding.run_id),) if several else ()),
            DASH if finding.step is None else str(finding.step),
            join(finding.message, _evidence(finding)),
        )
        for finding in ranked[:MAX_ROWS]
    ]
    columns = ("severity", "detector", *(("run",) if several else ()), "step", "what")
    return join(_table(columns, rows, [""] * len(rows)), *map(_quiet, _rest(len(ranked))))


def _evidence(finding: Finding) -> Markup:
    lines = [element("div", f"step {proof.step} {proof.path} · {proof.says} · sha256 {proof.sha256[:12]}") for proof in finding.evidence]
    refute = [element("div", element("b", "would refute it: "), finding.refute)] if finding.refute else []
    known = element("div", element("b", "this detector: "), told(finding.detector))
    return element("details", element("summary", f"evidence ({len(lines)})"), *lines, *refute, known)


def _alignment(comparison: Comparison) -> Markup:
    rows, tones = list[tuple[str, ...]](), list[str]()
    for row in islice(folded(comparison), MAX_STEPS):
        if isinstance(row, int):
            rows.append(("=", "…", f"{plural(row, 'step')} the same", "…", "", ""))
            tones.append("quiet")
            continue
        sign = _whole(first_word(row)) if row is comparison.first_divergence else SIGNS[row.relation]
        told = told_sides(comparison, row)
        rows.append((sign, *_side(comparison.left, row.left, told[0]), *_side(comparison.right, row.right, told[1]), ", ".join(row.aspects or row.differs)))
        tones.append("quiet" if row.relation == "same" else "warning")
    heading = f"side by side ({plural(len(comparison.rows), 'row')})"
    return element("details", element("summary", heading), _table(("", "", "original", "", "fork", "differs in"), rows, tones), open=True)


def _side(run: Run, index: int | None, told: str) -> tuple[str, str]:
    if index is None:
        return DASH, ""
    step = run.step(index)
    edited = element("span", "◆ edited ", style=f"color:{COLOURS['warning']};font-weight:bold") if "edited" in step.notes else ""
    return str(index), join(edited, line(f"{step.name} {told}", SIDE_CHARS))


def _receipt_facts(receipt: Receipt) -> list[tuple[str, str]]:
    calls = receipt.calls
    change = "nothing" if receipt.change.kind == "none" else f"{receipt.change.kind.replace('_', ' ')}: {line(literal_line(receipt.change.value), 200)}"
    return [
        ("fork", f"{receipt.run_id} of {receipt.parent_run_id} at step {receipt.forked_at_step}"),
        ("changed", change),
        ("calls", f"{calls.served} served, {calls.live} live, {calls.blocked} blocked, {calls.halted} halted"),
        ("isolation", isolation_phrase(receipt)),
        ("recording", "byte-identical" if receipt.parent_intact else "changed during the fork"),
        *([("effects", attempts_words(receipt))] if receipt.attempts else []),
        *([("spent", spent_words(receipt.spent))] if receipt.spent else []),
        *(("went live", f"{one.key}: {one.event}, approved by {one.approved_by}") for one in receipt.went_live[:MAX_ROWS]),
        *([("verdict", verdict(receipt))] if receipt.checks else []),
        ("outcome", line(receipt.outcome, 300)),
    ]


def _step_cells(step: Step) -> tuple[str, ...]:
    return (
        str(step.index),
        step.kind,
        "· " * step.depth + step.name,
        line(gist(step), GIST_CHARS),
        duration(step.duration_ms),
        f"{SIGN[step.status]} {step.status}",
    )


def _tone(step: Step, marks: Mapping[int | None, str]) -> str:
    return marks.get(step.index) or ("error" if step.status == "error" else "")


def _heading(title: str, status: str, facts: list[str]) -> Markup:
    return element("div", element("b", title), " ", _badge(status, STATUS_TONE[status]), _quiet(" · ".join(facts)))


def _badge(sign: str, tone: str, word: str | None = None) -> Markup:
    return element("span", f"{SIGN[sign]} {word or sign}", style=f"color:{COLOURS[tone]};font-weight:bold;white-space:nowrap")


def _whole(word: str) -> Markup:
    """A name that isn't broken at its dashes, unless it is too long for a column."""
    return element("span", word, style="white-space:nowrap") if len(word) <= WHOLE_CHARS else element("span", word)


def _quiet(text: str) -> Markup:
    return element("div", text, style=f"color:{COLOURS['quiet']}")


def _rest(total: int) -> list[str]:
    return [f"and {total - MAX_ROWS:,} more"] if total > MAX_ROWS else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[str]) -> Markup:
    """A table whose rows carry a coloured edge where they have a tone."""
    head = element("tr", *(element("th", name, style=f"{CELL};font-weight:normal;color:{COLOURS['quiet']}") for name in columns))
    body = [
        element("tr", *(element("td", cell, style=f"{CELL};{_edge(tone)}" if not number else CELL) for number, cell in enumerate(row)))
        for row, tone in zip(rows, tones, strict=True)
    ]
    return element("table", element("thead", head), element("tbody", *body), style="border-collapse:collapse;margin:4px 0")


def _edge(tone: str) -> str:
    return f"border-left:3px solid {COLOURS[tone] if tone else 'transparent'};padding-left:8px"
