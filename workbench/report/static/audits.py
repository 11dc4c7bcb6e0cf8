"""The readiness audit in a notebook: what is not met first, then what nothing shows, then what is met."""

from __future__ import annotations

from workbench.audit import Answer, Audit, Verdict
from workbench.report.markup import Markup, element, join, still, visible
from workbench.report.quantities import line, plural
from workbench.report.static.fragments import SIGN, badge, table_of

VERDICTS: dict[Verdict, tuple[str, str]] = {"not met": ("error", "error"), "no evidence": ("warning", "warning"), "met": ("ok", "ok")}
"""Each verdict of the audit with its sign and colour, in the order in which they are shown."""
AUDIT_SAYS = 2


def audit_html(audit: Audit) -> str:
    """The readiness audit: what is not met first, then what nothing shows, then what is met."""
    rows = [(badge(*VERDICTS[one.verdict], one.verdict), one.capability, one.asks, _audit_counts(one), _audit_says(one)) for one in _audit_ranked(audit)]
    tones = [VERDICTS[one.verdict][1] for one in _audit_ranked(audit)]
    return still(element("b", _audit_heading(audit)), table_of(("verdict", "capability", "item", "signs", "what shows it"), rows, tones))


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
    return f"{answer.holds:,} for, {answer.fails:,} against" if answer.holds or answer.fails else "none"


def _audit_says(answer: Answer) -> Markup:
    told = [element("div", line(says, 300)) for says in answer.says]
    cited = [element("div", f"{one.run_id} step {one.step} {one.path} · sha256 {one.sha256[:12]}") for one in answer.evidence]
    folded_in = element("details", element("summary", f"evidence ({len(cited)})"), *cited) if cited else ""
    return join(*told, folded_in, element("div", element("i", "to get evidence: "), answer.record) if answer.record else "")
