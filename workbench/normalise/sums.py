"""What an agent's own span sums up, for runs whose model calls recorded nothing: a root repeats its calls, so it never counts beside them."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.model import NO_TOKENS, Step, Tokens
from workbench.normalise.forest import Forest


def summed_tokens(forest: Forest, steps: Sequence[Step]) -> Tokens:
    """The counts of the outermost agents, or spans around several model calls, that have any; nothing where a model call recorded its own."""
    if any(step.tokens != NO_TOKENS for step in steps if step.kind == "model"):
        return NO_TOKENS
    calls = {node.key for node in forest.calls}
    agents = [node for node in forest.nodes.values() if node.reading.kind in ("agent", "model") and node.key not in calls and node.reading.tokens != NO_TOKENS]
    keys = {node.key for node in agents}
    outermost = [node for node in agents if not any(above.key in keys for above in forest.above(node))]
    return sum((node.reading.tokens for node in outermost), NO_TOKENS)
