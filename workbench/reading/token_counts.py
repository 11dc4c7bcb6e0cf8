"""Token counts whose parts stand beside the whole instead of inside it.

OpenTelemetry, OpenAI and LangChain count cached tokens among the input and reasoning among the output; others keep the parts apart, so that input 60,
cached 40 and output 10 make a total of 110. The recorded total says which of the two it is, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

PARTS = {"cache_read": "input", "cache_write": "input", "reasoning": "output"}
"""Which count each part belongs to, as `workbench.model.Tokens` has them: the parts are among it."""


def with_parts(counts: Mapping[str, int | None]) -> tuple[dict[str, int | None], dict[str, list[str]]]:
    """The counts with each part among the whole it belongs to, and what was added to which whole.

    Parts are added only where the total is recorded, input + output fall short of it, and exactly one choice of parts makes up for that.
    """
    taken, given, total = counts.get("input"), counts.get("output"), counts.get("total")
    if taken is None or given is None or total is None or taken + given >= total:
        return dict(counts), {}
    recorded = [(part, count) for part in PARTS if (count := counts.get(part))]
    choices = (chosen for size in range(1, len(recorded) + 1) for chosen in combinations(recorded, size))
    fitting = [chosen for chosen in choices if sum(count for _, count in chosen) == total - taken - given]
    whole, added = dict(counts), dict[str, list[str]]()
    for part, count in fitting[0] if len(fitting) == 1 else ():
        whole[PARTS[part]] = (whole[PARTS[part]] or 0) + count
        added.setdefault(PARTS[part], []).append(part)
    return whole, added
