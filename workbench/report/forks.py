"""What a fork leaves behind: its receipt, and the comparison with its parent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from workbench import charts
from workbench.frames import effects_frame
from workbench.model import Aligned, Change, Comparison, EffectCount, Receipt, Run
from workbench.report.document import Block, Code, Facts, Link, Listing, Mark, Paragraph, Phrase, Plot, Row, Section, Table
from workbench.report.quantities import DASH, cut, line, literal, plural
from workbench.report.steps import anchor, gist, literal_line

FOLD_AT = 4
MAX_RECORDS = 500
CHANGE_CHARS = 2000
ANSWER_TONES = {"served": "ok", "edited": "changed", "live": "warning", "blocked": "error", "halted": "error"}
SIGNS = {"same": "=", "changed": "≠", "added": "+", "removed": "−"}


def receipt_section(receipt: Receipt, parent: str | None = None) -> Section:
    """What a fork was asked, what ran, what was served, live, blocked or halted, and how it was isolated.

    `parent` is the anchor prefix of the parent's steps, None where the report doesn't show them.
    """
    verdict = "Nothing was halted or blocked, and the recording is untouched." if receipt.clean else _stopped(receipt)
    return Section(
        "Receipt of the fork",
        (
            Paragraph((Mark("clean" if receipt.clean else "not clean", "ok" if receipt.clean else "error"), f" {verdict}"), "ok" if receipt.clean else "error"),
            Facts(tuple(_asked(receipt, parent))),
            *_change(receipt.change),
            _records(receipt),
        ),
        "receipt",
    )


def effects_blocks(counts: tuple[EffectCount, ...]) -> tuple[Block, ...]:
    """How often each effect was attempted before and after, as a table and a plot."""
    if not counts:
        return (Paragraph(("Neither run attempted a side effect.",), "quiet"),)
    rows = tuple(
        Row(
            ((Code(line(one.tool, 60)),), (line(one.key, 200),), (str(one.original),), (str(one.fork),), (effect_word(one),)),
            "changed" if one.original != one.fork else "",
        )
        for one in counts
    )
    table = Table(("tool", "act", "original", "fork", "change"), rows, frozenset({"original", "fork"}))
    return table, Plot(charts.effects(effects_frame(counts)).to_plotly_json(), "; ".join(f"{one.tool} {effect_word(one)}" for one in counts))


def effect_word(one: EffectCount) -> str:
    """`2 → 1`, or `1, unchanged`."""
    return f"{one.original} → {one.fork}" if one.original != one.fork else f"{one.original}, unchanged"


def alignment_section(comparison: Comparison) -> Section:
    """Both runs side by side; stretches that are the same are folded, the first divergence is marked."""
    rows = tuple(_aligned_rows(comparison))
    first = comparison.first_divergence
    says = "The runs are the same, step by step." if first is None else "The first divergence is marked; what is the same on both sides is folded."
    columns = ("", "original", "what it did", "fork", "what it did there", "differs in")
    return Section("Side by side", (Paragraph((says,), "quiet"), Table(columns, rows, frozenset({"original", "fork"}))), "side-by-side")


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


def _aligned_rows(comparison: Comparison) -> Iterator[Row]:
    first = comparison.first_divergence
    for row in folded(comparison):
        if isinstance(row, int):
            yield Row((("=",), ("…",), (f"{plural(row, 'step')} the same",), ("…",), ("",), ("",)), "quiet")
        else:
            yield _aligned_row(comparison, row, first=row is first)


def _aligned_row(comparison: Comparison, row: Aligned, *, first: bool) -> Row:
    mark: Phrase = (SIGNS[row.relation], *((" ", Mark("first divergence", "changed")) if first else ()))
    left, right = _side(comparison.left, row.left, "left"), _side(comparison.right, row.right, "right")
    return Row((mark, *left, *right, (", ".join(row.differs),)), "quiet" if row.relation == "same" else row.relation)


def _side(run: Run, index: int | None, prefix: str) -> tuple[Phrase, Phrase]:
    if index is None:
        return (DASH,), ("",)
    step = run.step(index)
    edited: Phrase = (Mark("edited", "changed"), " ") if "edited" in step.notes else ()
    return (Link(str(index), anchor(prefix, index)),), (*edited, Code(step.name), " ", gist(step))


def _asked(receipt: Receipt, parent: str | None) -> Iterator[tuple[str, Phrase]]:
    calls, place = receipt.calls, f"step {receipt.forked_at_step}"
    yield (
        "fork",
        (Code(receipt.run_id), " of ", Code(receipt.parent_run_id), " at ", Link(place, anchor(parent, receipt.forked_at_step)) if parent else place),
    )
    yield "ran", (Code(receipt.graph), f", {receipt.seconds:.1f} s")
    yield "calls", (f"{calls.served} served · {calls.live} live · {calls.blocked} blocked · {calls.halted} halted",)
    yield "named as live", (", ".join(receipt.live) or "nothing",)
    yield "isolation", (receipt.isolation,)
    yield "recording", (Mark("byte-identical", "ok") if receipt.parent_intact else Mark("changed during the fork", "error"), *_hashes(receipt))
    yield "unchanged prefix", (Code(receipt.prefix_sha256[:12]) if receipt.prefix_sha256 else DASH,)
    yield "outcome", (receipt.outcome,)
    if receipt.notes:
        yield "notes", ("; ".join(receipt.notes),)


def _hashes(receipt: Receipt) -> Phrase:
    return tuple(part for name, sha in receipt.parent_sha256.items() for part in (" · ", line(name.rpartition("/")[2], 60), " ", Code(sha[:12])))


def _stopped(receipt: Receipt) -> str:
    calls = receipt.calls
    parts = [f"{plural(calls.halted, 'call')} had no recording" if calls.halted else "", f"{plural(calls.blocked, 'call')} blocked" if calls.blocked else ""]
    parts.append("" if receipt.parent_intact else "the recorded database changed while the fork ran")
    return "; ".join(filter(None, parts)).capitalize() + "."


def _change(change: Change) -> tuple[Block, ...]:
    if change.kind == "none":
        return (Facts((("changed", ("nothing: an unchanged replay",)),)),)
    text, note = cut(literal(change.value), CHANGE_CHARS)
    return (Listing(text, "tool result put in" if change.kind == "tool_result" else "state put in", note),)


def _records(receipt: Receipt) -> Table:
    rows = tuple(
        Row(
            (
                (Mark(one.answer, ANSWER_TONES[one.answer]),),
                (one.kind,),
                (Code(line(one.name, 60)),),
                (DASH if one.from_step is None else f"recording of step {one.from_step}",),
                (line(literal_line(one.arguments), 120) if one.arguments is not None else DASH,),
                (one.says,),
            ),
            ANSWER_TONES[one.answer] if one.answer in {"blocked", "halted"} else "",
        )
        for one in receipt.records[:MAX_RECORDS]
    )
    left_out = len(receipt.records) - len(rows)
    return Table(("answer", "kind", "call", "from", "asked", "why"), rows, caption=f"{plural(left_out, 'more call')} in the JSON report." if left_out else "")
