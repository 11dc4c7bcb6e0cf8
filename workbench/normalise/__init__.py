"""Turns what collectors yield into runs: spans and checkpoints of one execution joined, in steps one can stop at.

strays ─ lineage ┬ spans ─ forest ─ joining ─ traced ┬ written, unrecorded ─ timeline, outcome ─ Run
                 └ checkpoints ─ ledger ─────────────┘
"""

from workbench.normalise.assembly import normalise
from workbench.normalise.chat import from_conversation

__all__ = ["from_conversation", "normalise"]
