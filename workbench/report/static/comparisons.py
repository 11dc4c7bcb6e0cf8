"""Two runs side by side in a notebook: effects and outcomes first, then what differs."""

from __future__ import annotations

from itertools import islice

from workbench.model import Comparison, Run
from workbench.report.forks import SIGNS, effect_says, findings_words, folded, sides, told_sides
from workbench.report.markup import Markup, element, join, still, visible
from workbench.report.quantities import DASH, line, plural, spent_by
from workbench.report.static.fragments import COLOURS, MAX_ROWS, MAX_STEPS, WRAPS, quiet, table_of

SIDE_CHARS, NAME_CHARS = 240, 80


def comparison_html(comparison: Comparison) -> str:
    """Two runs side by side: effects and outcomes first, then what differs."""
    left, right = comparison.left, comparison.right
    facts = [
        ("outcome", line(left.outcome, 300), line(right.outcome, 300)),
        ("steps", str(len(left.steps)), str(len(right.steps))),
        ("spent", *(spent_by(run) for run in (left, right))),
        *([("findings", "", findings)] if (findings := findings_words(comparison)) else []),
    ]
    effects = [(one.key, str(one.original), str(one.fork), effect_says(one)) for one in comparison.effects[:MAX_ROWS]]
    changed = ["warning" if one.original != one.fork else "" for one in comparison.effects[:MAX_ROWS]]
    one_side, other_side = sides(comparison)
    return still(
        table_of(("", f"{one_side} {left.run_id}", f"{other_side} {right.run_id}"), facts, [""] * len(facts)),
        table_of(("act", one_side, other_side, "change"), effects, changed) if effects else quiet("neither run attempted a side effect"),
        _alignment(comparison),
    )


def comparison_text(comparison: Comparison) -> str:
    """Two runs as text: effects, outcomes, first divergence."""
    first, runs = comparison.first_divergence, (comparison.left, comparison.right)
    where = (
        "nowhere: the same step by step"
        if first is None
        else f"step {DASH if first.left is None else first.left} / {DASH if first.right is None else first.right}"
    )
    lines = [
        f"{comparison.left.run_id} against {comparison.right.run_id}",
        *(f"  {one.key}: {effect_says(one)}" for one in comparison.effects[:MAX_ROWS]),
    ]
    findings = findings_words(comparison)
    lines += [f"  findings {findings}"] if findings else []
    return visible(
        "\n".join([*lines, f"  diverges {where}", *(f"  {f'{side}:':<10} {line(run.outcome, 200)}" for side, run in zip(sides(comparison), runs, strict=True))])
    )


def _alignment(comparison: Comparison) -> Markup:
    rows, tones = list[tuple[str, ...]](), list[str]()
    for row in islice(folded(comparison), MAX_STEPS):
        if isinstance(row, int):
            rows.append(("=", quiet(f"{plural(row, 'step')} the same"), ""))
            tones.append("quiet")
            continue
        told, differs = told_sides(comparison, row), ", ".join(row.aspects or row.differs)
        says = [element("b", "first divergence")] if row is comparison.first_divergence else []
        below = quiet(join(*says, ": " if says and differs else "", f"differs in {differs}" if differs else "")) if says or differs else ""
        rows.append((SIGNS[row.relation], _side(comparison.left, row.left, told[0]), join(_side(comparison.right, row.right, told[1]), below)))
        tones.append("quiet" if row.relation == "same" else "warning")
    one, other = sides(comparison)
    heading = f"side by side ({plural(len(comparison.rows), 'row')})"
    return element("details", element("summary", heading), table_of(("", one, other), rows, tones), open=True)


def _side(run: Run, index: int | None, told: str) -> Markup:
    if index is None:
        return join(DASH)
    step = run.step(index)
    edited = element("span", "◆ edited ", style=f"color:{COLOURS['warning']};font-weight:bold") if "edited" in step.notes else ""
    number = element("span", f"{index} ", style=f"color:{COLOURS['quiet']}")
    return element("div", number, edited, element("b", line(step.name, NAME_CHARS)), " ", line(told, SIDE_CHARS), style=WRAPS)
