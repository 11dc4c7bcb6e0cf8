"""A fork compared with its parent: effects, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from workbench import charts
from workbench.comparison.comparison import parts
from workbench.frames import effects_frame
from workbench.model import UNCALLED, Aligned, Became, Comparison, EffectCount, Run, Step
from workbench.report.document import Block, Code, Link, Mark, Paragraph, Phrase, Plot, Row, Section, Table
from workbench.report.quantities import DASH, line, plural
from workbench.report.steps import anchor, gist, literal_line

FOLD_AT = 4
SIGNS = {"same": "=", "changed": "Δ", "added": "+", "removed": "−"}
ATTEMPTED: Mapping[Became, str] = {"inherited": "in the original", "served": "served", "made": "really made"}
PREVENTED: Mapping[Became, str] = {
    "edited": "answered by the edit",
    "stopped": "stopped",
    "refused": "refused by a person",
    "uncalled": UNCALLED,
}
"""What became of an act that was attempted, and of one that was not."""
ENDED_TONES = {"done": "ok", "unknown": "warning", "failed": "error", "edited by you": "changed"}
MAX_PARTS, PART_CHARS, LEAD_CHARS = 3, 60, 12


def sides(comparison: Comparison) -> tuple[str, str]:
    """What the two runs are to each other: an original and its fork, or two runs of which one is the reference."""
    return ("original", "fork") if comparison.right.forked_from else ("reference", "other run")


def effects_blocks(comparison: Comparison) -> tuple[Block, ...]:
    """How often each effect was attempted before and after, as a table and a plot."""
    counts = comparison.effects
    if not counts:
        return (Paragraph(("Neither run attempted a side effect.",), "quiet"),)
    rows = tuple(
        Row(
            ((Code(line(one.tool, 60)),), (line(one.key, 200),), (str(one.original),), (str(one.fork),), (effect_says(one),)),
            "changed" if one.original != one.fork else "",
        )
        for one in counts
    )
    table = Table(("tool", "act", *sides(comparison), "change"), rows, frozenset(sides(comparison)))
    return table, Plot(charts.effects(effects_frame(counts)).to_plotly_json(), "; ".join(f"{one.tool} {effect_word(one)}" for one in counts))


def effect_word(one: EffectCount) -> str:
    """`2 → 1`, or `1, unchanged`."""
    return f"{one.original} → {one.fork}" if one.original != one.fork else f"{one.original}, unchanged"


def effect_says(one: EffectCount) -> str:
    """`2 → 1: 1 attempted (served), 1 answered by the edit`: the count and, where that is not all, what became of the others."""
    return f"{one.original} → {one.fork}: {became(one)}" if deviates(one) else effect_word(one)


def deviates(one: EffectCount) -> bool:
    """Whether the two counts say not all: they differ, or an attempt met the edit, the fence or a person's no, which counts as none."""
    return one.original != one.fork or bool(PREVENTED.keys() & one.became.keys())


def became(one: EffectCount) -> str:
    """`0 attempted, 1 answered by the edit, 1 not attempted`: what became in a fork of an effect's attempts."""
    gone = one.original - sum(one.became.values())
    return f"{attempts(one.became)}{f', {gone} not attempted' if gone > 0 else ''}"


def attempts(ways: Mapping[Became, int]) -> str:
    """How many effects were attempted, and how many an edit answered, the fence stopped or a person refused."""
    said = [f"{number} {word}" for way, word in ATTEMPTED.items() if (number := ways.get(way, 0))]
    detail = f" ({', '.join(said)})" if ways.keys() - {*PREVENTED, "made"} else ""
    rest = (f"{number} {word}" for way, word in PREVENTED.items() if (number := ways.get(way, 0)))
    return ", ".join([f"{sum(ways.get(way, 0) for way in ATTEMPTED)} attempted{detail}", *rest])


def part_lines(left: Step, right: Step) -> tuple[str, str]:
    """What differs between two steps, as either side has it: `result.status: confirmed`. Long texts are shown from where they part."""
    found = parts(left, right)
    more = f"; {plural(len(found) - MAX_PARTS, 'more difference')}" if len(found) > MAX_PARTS else ""
    texts = [(one.path, literal_line(one.left), literal_line(one.right)) for one in found[:MAX_PARTS]]
    sides = [[f"{path}: {_from_parting(mine, other)}" for path, mine, other in part] for part in (texts, [(path, after, old) for path, old, after in texts])]
    return "; ".join(sides[0]) + more, "; ".join(sides[1]) + more


def _from_parting(text: str, other: str) -> str:
    same = next((place for place, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), min(len(text), len(other)))
    start = max(0, same - LEAD_CHARS) if len(text) > PART_CHARS else 0
    return ("…" if start else "") + line(text[start:], PART_CHARS)


def findings_words(comparison: Comparison) -> str:
    """The findings that are gone and new, by detector; empty where neither run was examined or nothing changed."""
    gone, new = ([one.detector for one in some or ()] for some in (comparison.gone, comparison.new))
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in ((gone_word(comparison), gone), ("new", new)) if names)


def gone_word(comparison: Comparison) -> str:
    """What to call findings that only the left run has: an agent that died, or was halted, makes no second booking either."""
    return f"not seen, but it {comparison.cut_short}" if comparison.cut_short else "gone"


def alignment_section(comparison: Comparison, title: str = "Side by side", right: str = "right") -> Section:
    """Both runs side by side; stretches that are the same are folded, the first divergence is marked. `right` is the anchor prefix of its steps."""
    rows = tuple(_aligned_rows(comparison, right))
    first = comparison.first_divergence
    says = "The runs are the same, step by step." if first is None else "The first divergence is marked; what is the same on both sides is folded."
    one, other = sides(comparison)
    columns = ("", one, "what it did", other, "what it did there", "differs in")
    anchored = "side-by-side" if right == "right" else f"side-by-side-{right}"
    return Section(title, (Paragraph((says,), "quiet"), Table(columns, rows, frozenset({one, other}))), anchored)


def folded(comparison: Comparison) -> Iterator[Aligned | int]:
    """The aligned rows; of a long stretch that is the same only the first and the last, and between them how many are left out."""
    for same, group in groupby(comparison.rows, key=lambda row: row.relation == "same"):
        rows = list(group)
        if same and len(rows) > FOLD_AT:
            yield rows[0]
            yield len(rows) - 2
            yield rows[-1]
        else:
            yield from rows


def _aligned_rows(comparison: Comparison, right: str) -> Iterator[Row]:
    first = comparison.first_divergence
    for row in folded(comparison):
        if isinstance(row, int):
            yield Row((("=",), ("…",), (f"{plural(row, 'step')} the same",), ("…",), ("",), ("",)), "quiet")
        else:
            yield _aligned_row(comparison, row, right, first=row is first)


def _aligned_row(comparison: Comparison, row: Aligned, prefix: str, *, first: bool) -> Row:
    mark: Phrase = (Mark(first_word(row), "changed"),) if first else (SIGNS[row.relation],)
    told = told_sides(comparison, row)
    left, right = _side(comparison.left, row.left, "left", told[0]), _side(comparison.right, row.right, prefix, told[1])
    return Row((mark, *left, *right, (", ".join(row.aspects or row.differs),)), "quiet" if row.relation == "same" else row.relation)


def first_word(row: Aligned) -> str:
    """The words that mark the first divergence, with the sign of a step that only one side has."""
    return "first divergence" if row.relation == "changed" else f"{SIGNS[row.relation]} first divergence"


def told_sides(comparison: Comparison, row: Aligned) -> tuple[str, str]:
    """What either side of a row did: in a changed step what differs, else the gist."""
    one = None if row.left is None else comparison.left.step(row.left)
    other = None if row.right is None else comparison.right.step(row.right)
    found = part_lines(one, other) if one and other and row.relation == "changed" else ("", "")
    return found if any(found) else ("" if one is None else gist(one), "" if other is None else gist(other))


def _side(run: Run, index: int | None, prefix: str, told: str) -> tuple[Phrase, Phrase]:
    if index is None:
        return (DASH,), ("",)
    step = run.step(index)
    edited: Phrase = (Mark("edited", "changed"), " ") if "edited" in step.notes else ()
    return (Link(str(index), anchor(prefix, index)),), (*edited, Code(step.name), " ", told)
