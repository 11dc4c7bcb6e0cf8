"""The receipt of a fork, as a section of a report: what was asked and what ran, its checks, what went live, every call and how it was answered."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.analysis.calls import token_count
from workbench.model import Became, Receipt, Spent
from workbench.report.document import Block, Code, Facts, Link, Listing, Mark, Paragraph, Phrase, Row, Section, Table
from workbench.report.forks import attempts
from workbench.report.quantities import DASH, cut, line, literal, plural, spending
from workbench.report.steps import anchor, literal_line

MAX_RECORDS = 500
CHANGE_CHARS = 2000
ANSWER_TONES = {"served": "ok", "edited": "changed", "live": "warning", "blocked": "error", "halted": "error"}
VERDICT_TONES = {"pass": "ok", "fail": "error", "not applicable": "quiet"}
EVENT_TONES = {"done": "ok", "failed": "error", "unknown": "error", "begun": "error"}
PROOF = re.compile(r" \([^()]*\)")


def receipt_section(receipt: Receipt, parent: str | None = None) -> Section:
    """What a fork was asked, what ran, its checks, what went live and how it was isolated.

    `parent` is the anchor prefix of the parent's steps, None where the report doesn't show them.
    """
    tone = "ok" if receipt.clean else "error"
    return Section(
        "Receipt of the fork",
        (
            Paragraph((Mark("clean" if receipt.clean else "not clean", tone), f" {verdict(receipt)}"), tone),
            Facts(tuple(_asked(receipt, parent))),
            *_change(receipt),
            *_checks(receipt),
            *_live(receipt),
            *_doubts(receipt),
            *_nodes(receipt),
            _records(receipt),
        ),
        "receipt",
    )


def verdict(receipt: Receipt) -> str:
    """Why a receipt is clean, or is not: the checks that failed, each with what it was judged by."""
    failed = [check for check in receipt.checks if check.verdict == "fail"]
    if failed:
        return "; ".join(f"{check.name}: {line(check.says, 200)}" for check in failed) + "."
    if receipt.checks:
        passed = sum(check.verdict == "pass" for check in receipt.checks)
        return f"{plural(passed, 'check')} passed; {_stopped(receipt.calls.blocked)} the recording is untouched."
    calls, changed = receipt.calls, "" if receipt.parent_intact else "the recorded database changed while the fork ran"
    parts = [f"{plural(calls.halted, 'call')} had no recording" if calls.halted else "", f"{plural(calls.blocked, 'call')} blocked" if calls.blocked else ""]
    return (
        "; ".join(filter(None, [*parts, changed])).capitalize() + "." if not receipt.clean else "Nothing was halted or blocked, and the recording is untouched."
    )


def _stopped(blocked: int) -> str:
    """What was stopped where no check failed: nothing, or only what recorded writes stood for."""
    if not blocked:
        return "nothing was halted or blocked, and"
    where = "attempt was blocked, in a node" if blocked == 1 else "attempts were blocked, in nodes"
    return f"nothing was halted; {blocked:,} {where} whose recorded writes were served instead;"


def call_counts(receipt: Receipt) -> list[str]:
    """How the calls were answered, and how many questions by what people had said, where any were."""
    calls = receipt.calls
    counted = [f"{calls.served} served", f"{calls.live} live", f"{calls.blocked} blocked", f"{calls.halted} halted"]
    return [*counted, f"{calls.answered} answered as people had"] if calls.answered else counted


def attempts_words(receipt: Receipt) -> str:
    """`2 attempted (1 served, 1 really made), 1 answered by the edit`, as a comparison says it."""
    told = receipt.attempts
    ways: dict[Became, int] = {
        "served": told.get("served", 0),
        "made": told.get("live", 0),
        "edited": told.get("edited", 0),
        "stopped": told.get("halted", 0) + told.get("blocked", 0),
    }
    refused = f", {told['refused']} refused to go live" if told.get("refused") else ""
    return attempts({way: number for way, number in ways.items() if number}) + refused


def spent_words(spent: Spent) -> str:
    """What a fork's live model calls took."""
    cost = "" if not spent.model_calls else f" · {spending(token_count(spent.tokens), spent.cost_usd)}"
    return f"{plural(spent.model_calls, 'live model call')}{cost} · {plural(spent.steps, 'call')} in all"


def isolation_levels(receipt: Receipt) -> str:
    """The level of isolation that was asked for, and the one that held."""
    if receipt.isolation_asked is None:
        return "no level was asked for"
    held = "reached" if receipt.isolation_reached == receipt.isolation_asked else f"only {receipt.isolation_reached}"
    return f"asked for {receipt.isolation_asked}, {held}"


def isolation_phrase(receipt: Receipt) -> str:
    """What a sandbox kept out, without how it is known; where something is lacking, all of it."""
    return PROOF.sub("", receipt.isolation) if receipt.isolation.startswith("sandboxed: ") else receipt.isolation


def _asked(receipt: Receipt, parent: str | None) -> Iterator[tuple[str, Phrase]]:
    place = f"step {receipt.forked_at_step}"
    yield (
        "fork",
        (Code(receipt.run_id), " of ", Code(receipt.parent_run_id), " at ", Link(place, anchor(parent, receipt.forked_at_step)) if parent else place),
    )
    yield "ran", (Code(receipt.graph), f", {receipt.seconds:.1f} s")
    yield "calls", (" · ".join(call_counts(receipt)),)
    yield "named as live", (", ".join(receipt.live) or "nothing",)
    yield "isolation level", (isolation_levels(receipt),)
    yield "isolation", (isolation_phrase(receipt),)
    yield "recording", (Mark("byte-identical", "ok") if receipt.parent_intact else Mark("changed during the fork", "error"), *_hashes(receipt))
    yield "unchanged prefix", (Code(receipt.prefix_sha256[:12]) if receipt.prefix_sha256 else DASH,)
    if receipt.attempts:
        yield "effects", (attempts_words(receipt),)
    if receipt.spent:
        yield "spent", (spent_words(receipt.spent),)
    yield "outcome", (receipt.outcome,)
    if receipt.notes:
        yield "notes", ("; ".join(receipt.notes),)


def _hashes(receipt: Receipt) -> Phrase:
    return tuple(part for name, sha in receipt.parent_sha256.items() for part in (" · ", line(name.rpartition("/")[2], 60), " ", Code(sha[:12])))


def changed_words(receipt: Receipt) -> str:
    """What was changed where no call was: what the run's context held, or nothing."""
    return f"the run's context: {', '.join(receipt.context)}" if receipt.context else "nothing"


def _change(receipt: Receipt) -> tuple[Block, ...]:
    change = receipt.change
    if change.kind == "none":
        return (Facts((("changed", (changed_words(receipt) if receipt.context else "nothing: an unchanged replay",)),)),)
    text, note = cut(literal(change.value), CHANGE_CHARS)
    return (Listing(text, f"changed: {change.kind.replace('_', ' ')}", note),)


def _checks(receipt: Receipt) -> tuple[Block, ...]:
    """Each check by its name, and by what it was judged."""
    rows = tuple(
        Row(((Mark(one.verdict, VERDICT_TONES[one.verdict]),), (one.name,), (line(one.says, 300),)), "error" if one.verdict == "fail" else "")
        for one in receipt.checks
    )
    return (Table(("verdict", "check", "judged by"), rows),) if rows else ()


def _nodes(receipt: Receipt) -> tuple[Block, ...]:
    rows = tuple(
        Row(((Code(line(one.node, 60)),), (str(one.asked),), (str(one.ran),)), "changed" if one.asked != one.ran else "") for one in receipt.nodes[:MAX_RECORDS]
    )
    return (Table(("node", "asked", "ran"), rows, frozenset({"asked", "ran"})),) if rows else ()


def _live(receipt: Receipt) -> tuple[Block, ...]:
    """What was done for real, by whose word, and how it ended."""
    rows = tuple(
        Row(
            (
                (Mark(one.event, EVENT_TONES.get(one.event, "warning")),),
                (line(one.key, 200),),
                (one.approved_by,),
                (Code(one.idempotency_key),),
                (line("; ".join(one.already), 200),),
                (line(one.says, 200),),
            )
        )
        for one in receipt.went_live
    )
    return (Table(("ended", "done for real", "approved", "idempotency key", "known before", "says"), rows),) if rows else ()


def _doubts(receipt: Receipt) -> tuple[Block, ...]:
    """What was served otherwise than it was recorded, or may be stale."""
    rows = tuple(
        Row(((kind,), (line(says, 300),)), "changed")
        for kind, every in (("stale read", receipt.stale_reads), ("divergence", receipt.divergences))
        for says in every
    )
    return (Table(("doubt", "what"), rows),) if rows else ()


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
