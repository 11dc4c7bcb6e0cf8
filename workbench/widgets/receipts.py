"""The receipt of a fork as a view: the verdict with its reasons, every check and how it can fail, nodes, effects, calls, and the isolation reached."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets
from anywidget import AnyWidget

from workbench.model import Json, LedgerEntry, Receipt
from workbench.replay.receipts import HOW_IT_FAILS
from workbench.report import static
from workbench.report.quantities import literal as as_literal
from workbench.report.receipts import attempts_words, isolation_levels, spent_words, verdict
from workbench.widgets import assets
from workbench.widgets.code import literal
from workbench.widgets.excerpt import as_text, excerpt, sendable

PARTS = ("checks", "calls", "nodes", "effects", "change")
MOST_RECORDS, MOST_ROWS = 2_000, 500
ARGUMENT_CHARS, SAYS_CHARS, CHANGE_CHARS = 2_000, 2_000, 20_000


class ReceiptView(AnyWidget):
    """What a fork was asked and what ran. `part` is what is open: the checks, every call, nodes, effects, or the change; `only` filters the calls."""

    _esm: ClassVar[Any] = assets.esm("receipts")
    _css: ClassVar[Any] = assets.css("values", "receipts")

    part = traitlets.Enum(PARTS, default_value=PARTS[0], help="The open part.").tag(sync=True, echo_update=False)
    only = traitlets.Unicode(help="Show only calls that were answered so: served, edited, live, blocked, halted; empty for all.").tag(
        sync=True, echo_update=False
    )
    _receipt = traitlets.Dict().tag(sync=True)

    def __init__(self, receipt: Receipt, **given: Any) -> None:
        self.receipt = receipt
        super().__init__(_receipt=packed(receipt), **given)

    @property
    def code(self) -> str:
        """The line that opens this view at this part again."""
        return f"bench.run({literal(self.receipt.run_id)}).receipt.view(part={literal(self.part)}{f', only={literal(self.only)}' if self.only else ''})"

    def __repr__(self) -> str:
        return static.receipt_text(self.receipt)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view where there is a kernel, a static page where there isn't, plain text everywhere else."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/html"], data["text/plain"] = static.receipt_html(self.receipt), repr(self)
        return data, metadata


def packed(receipt: Receipt) -> dict[str, Json]:
    """A receipt as the view gets it: bounded, and with nothing that has no UTF-8."""
    return {
        "run_id": sendable(receipt.run_id),
        "clean": receipt.clean,
        "why": sendable(verdict(receipt)),
        "facts": [[name, sendable(says)] for name, says in _facts(receipt)],
        "notes": [sendable(one) for one in receipt.notes[:MOST_ROWS]],
        "calls": receipt.calls.model_dump(),
        "checks": [[one.verdict, one.name, sendable(one.says[:SAYS_CHARS]), HOW_IT_FAILS.get(one.name, "")] for one in receipt.checks],
        "nodes": [[sendable(one.node), one.asked, one.ran] for one in receipt.nodes[:MOST_ROWS]],
        "nodes_count": len(receipt.nodes),
        "records": [
            [one.answer, one.kind, sendable(one.name[:200]), sendable(one.node_path), one.from_step, _arguments(one.arguments), sendable(one.says[:SAYS_CHARS])]
            for one in receipt.records[:MOST_RECORDS]
        ],
        "records_count": len(receipt.records),
        "effects": [[sendable(one.key[:400]), one.original, one.fork] for one in receipt.effects[:MOST_ROWS]],
        "went_live": [_live(one) for one in receipt.went_live[:MOST_ROWS]],
        "doubts": [[kind, sendable(one)] for kind, found in _doubts(receipt) for one in found[:MOST_ROWS]],
        "change": _change(receipt),
        "isolation": sendable(receipt.isolation),
        "code": f"bench.run({literal(receipt.run_id)}).receipt.view(",
    }


def _change(receipt: Receipt) -> list[Json]:
    """Its kind and value; where no call was changed, what of the run's context was, if anything."""
    if receipt.change.kind == "none":
        return ["context", sendable(", ".join(receipt.context))] if receipt.context else ["none", ""]
    return [receipt.change.kind, excerpt(as_text(receipt.change.value), CHANGE_CHARS)]


def _doubts(receipt: Receipt) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ("stale read", receipt.stale_reads), ("divergence", receipt.divergences)


def _facts(receipt: Receipt) -> list[tuple[str, str]]:
    reached = receipt.isolation_reached == receipt.isolation_asked
    hashes = " · ".join(f"{name.rpartition('/')[2]} {sha[:12]}" for name, sha in receipt.parent_sha256.items())
    return [
        ("fork", f"{receipt.run_id} of {receipt.parent_run_id} at step {receipt.forked_at_step}"),
        ("ran", f"{receipt.graph}, {receipt.seconds:.1f} s"),
        ("named as live", ", ".join(receipt.live) or "nothing"),
        ("isolation", f"{isolation_levels(receipt)}{'' if reached else ' ✕'}"),
        ("recording", ("byte-identical" if receipt.parent_intact else "changed during the fork ✕") + (f" · {hashes}" if hashes else "")),
        ("effects", attempts_words(receipt) if receipt.attempts else "none attempted"),
        ("spent", spent_words(receipt.spent) if receipt.spent else "not recorded"),
        ("outcome", receipt.outcome[:SAYS_CHARS]),
    ]


def _arguments(value: Json) -> Json:
    return "" if value is None else excerpt(as_literal(value) if isinstance(value, str) else as_text(value), ARGUMENT_CHARS)


def _live(line: LedgerEntry) -> list[Json]:
    said = [sendable(text[:SAYS_CHARS]) for text in (line.says, "; ".join(line.already))]
    return [line.event, sendable(line.key[:400]), sendable(line.approved_by), line.idempotency_key, *said, line.at_ns / 1e6]
