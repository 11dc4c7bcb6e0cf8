"""The receipt of a fork in a notebook: what was served, live, blocked and halted, and what it was judged by."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.model import CallRecord, Receipt
from workbench.report.markup import Markup, element, join, still, visible
from workbench.report.quantities import line, plural
from workbench.report.receipts import attempts_words, call_counts, changed_words, isolation_levels, isolation_phrase, spent_words, verdict
from workbench.report.static.fragments import MAX_ROWS, badge, facts_of, table_of
from workbench.report.steps import literal_line

NOTE_CHARS = 600


def receipt_html(receipt: Receipt) -> str:
    """A fork's receipt: what was served, live, blocked, halted; isolation; what was stopped and why."""
    stopped = [(one.answer, one.kind, one.name, join(*(element("div", line) for line in one.says.splitlines()))) for one in _notable(receipt)]
    tone, said = ("ok", "clean receipt") if receipt.clean else ("error", "receipt not clean")
    return still(
        element("div", badge(tone, tone, said), f" {verdict(receipt)}" if receipt.checks else ""),
        facts_of(_receipt_facts(receipt)),
        _checks_table(receipt),
        element("details", element("summary", "isolation in full"), receipt.isolation) if isolation_phrase(receipt) != receipt.isolation else "",
        join(element("div", "what went live or was stopped"), _stopped_table(stopped)) if stopped else "",
    )


def _stopped_table(stopped: Sequence[Sequence[str]]) -> Markup:
    tones = ["warning" if row[0] == "live" else "error" for row in stopped]
    told = 4 if any(row[3] for row in stopped) else 3
    return table_of(("answer", "kind", "call", "why")[:told], [row[:told] for row in stopped], tones)


def receipt_text(receipt: Receipt) -> str:
    """A fork's receipt as text: the same."""
    lines = ["receipt: " + ("clean" if receipt.clean else "not clean"), *(f"  {name}: {says}" for name, says in _receipt_facts(receipt))]
    lines += [f"  verdict: {verdict(receipt)}"] if receipt.checks else []
    for one in _notable(receipt):
        says = "".join(f"\n    {line.strip()}" for line in one.says.splitlines())
        lines.append(f"  {one.answer} {one.kind} {one.name}{f' at {one.node_path}' if one.node_path else ''}{says}")
    return visible("\n".join(lines))


def _receipt_facts(receipt: Receipt) -> list[tuple[str, str]]:
    change = (
        changed_words(receipt) if receipt.change.kind == "none" else f"{receipt.change.kind.replace('_', ' ')}: {line(literal_line(receipt.change.value), 200)}"
    )
    return [
        ("fork", f"{receipt.run_id} of {receipt.parent_run_id} at step {receipt.forked_at_step}"),
        ("changed", change),
        ("calls", ", ".join(call_counts(receipt))),
        ("isolation level", isolation_levels(receipt)),
        ("isolation", isolation_phrase(receipt)),
        ("recording", "byte-identical" if receipt.parent_intact else "changed during the fork"),
        *([("effects", attempts_words(receipt))] if receipt.attempts else []),
        *([("spent", spent_words(receipt.spent))] if receipt.spent else []),
        *(("went live", ". ".join((f"{one.key}: {one.event}, {_approved(one.approved_by)}", *one.already))) for one in receipt.went_live[:MAX_ROWS]),
        ("outcome", line(receipt.outcome, 300)),
        *(("note", line(one, NOTE_CHARS)) for one in receipt.notes[:MAX_ROWS]),
    ]


def _approved(by: str) -> str:
    """By whom: a standing approval's own words say already what they are."""
    return by if by.startswith("approved by") else f"approved by {by}"


def _checks_table(receipt: Receipt) -> Markup:
    """Every check with its verdict, folded away."""
    rows = [(check.verdict, check.name, line(check.says, 300)) for check in receipt.checks]
    tones = ["error" if check.verdict == "fail" else "" for check in receipt.checks]
    table = table_of(("verdict", "check", "judged by"), rows, tones)
    return element("details", element("summary", plural(len(rows), "check")), table) if rows else Markup()


def _notable(receipt: Receipt) -> list[CallRecord]:
    """The calls that were not simply served: live, blocked, halted."""
    return [one for one in receipt.records if one.answer in {"live", "blocked", "halted"}][:MAX_ROWS]
