"""The runs of a store as a list one filters, sorts, groups and opens runs from: `RunList(overviews, found, …)`.

It is made of what the store keeps beside each run, never of steps: one column for each thing the list shows, so that 20,000 runs open at once.
What is chosen, marked, filtered and sorted is in public traits; the browser sorts and filters by itself, so that it works while a cell runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, ClassVar

import traitlets

from workbench.model import Json
from workbench.overview import FoundIn, Overview, failed_first
from workbench.widgets import assets, packing
from workbench.widgets.code import is_plain, literal, opening
from workbench.widgets.excerpt import sendable
from workbench.widgets.opening import Below, Opener, Static

STATUSES = ("ok", "error", "interrupted", "running", "cancelled")
SORTS = ("run", "agent", "status", "started", "took", "steps", "tokens", "cost", "findings")
"""The columns one may sort by; with a minus before, the largest first."""
GROUPS = ("", "findings", "agent", "status")
SAYS_CHARS, SAYS_BYTES = 160, 400_000
"""How much of each outcome is sent, and of all of them together: enough for some 4,000 runs, those that failed first."""


class RunList(Opener):
    """Runs, the failed ones first. Enter opens the chosen run below, `c` marks it; `C` compares the `marked` runs below, as `code` does.

    `words`, `status`, `agent` and `detector` say which runs are shown, `sort` and `group` how; each may be set from Python. TraitError for a run that is not in
    the list, or a word that none of these takes.
    """

    _esm: ClassVar[Any] = assets.esm("opening", "filters", "run_list")
    _css: ClassVar[Any] = assets.css("opening", "filters", "run_list")

    # The browser is ahead of the kernel: an echo of an older choice would throw it back.
    run_id = traitlets.Unicode(help="The chosen run; empty where there is none.").tag(sync=True, echo_update=False)
    marked = traitlets.List(traitlets.Unicode(), help="The runs marked for a comparison, the first of them its reference.").tag(sync=True, echo_update=False)
    words = traitlets.Unicode(help="Text that a run's id, agent, outcome or findings hold.").tag(sync=True, echo_update=False)
    status = traitlets.Enum(("", *STATUSES), default_value="").tag(sync=True, echo_update=False)
    agent = traitlets.Unicode(help="The agent whose runs are shown.").tag(sync=True, echo_update=False)
    detector = traitlets.Unicode(help="The detector whose findings the shown runs have.").tag(sync=True, echo_update=False)
    sort = traitlets.Enum(("", *SORTS, *(f"-{name}" for name in SORTS)), default_value="").tag(sync=True, echo_update=False)
    group = traitlets.Enum(GROUPS, default_value="", help="What runs have in common: the set of detectors, the agent, the status.").tag(
        sync=True, echo_update=False
    )
    _table = traitlets.Dict().tag(sync=True)

    def __init__(self, overviews: Sequence[Overview], found: FoundIn, *, below: Below, static: Static, **state: Any) -> None:
        ranked = failed_first(overviews, found)
        self._known = {one.run_id for one in ranked}
        first = {"run_id": ranked[0].run_id} if ranked else {}
        super().__init__(below, static, _table={**_packed(ranked, found), "comparable": below.compare is not None}, **{**first, **state})

    @property
    def code(self) -> str:
        """The line that opens the chosen run, or compares those that are marked."""
        if len(self.marked) > 1:
            return f"wb.compare({', '.join(f'bench.run({literal(run_id)})' for run_id in self.marked)})"
        return f"{opening(self.run_id)})" if self.run_id else "bench.view()"

    @traitlets.validate("run_id", "marked")
    def _known_runs(self, proposal: dict[str, Any]) -> str | list[str]:
        value: str | list[str] = proposal["value"]
        missing = next((one for one in ([value] if isinstance(value, str) else value) if one and one not in self._known), None)
        if missing is not None:
            raise traitlets.TraitError(f"no run {missing!r} in this list of {len(self._known):,}")
        return value

    def __repr__(self) -> str:
        """How many runs it shows, and the line of code for the chosen one."""
        return f"<RunList of {len(self._known):,} runs: {self.code}>"


def _packed(runs: Sequence[Overview], found: FoundIn) -> dict[str, Json]:
    """One column for each thing the list shows, in the order in which it shows them, and the names that recur once each."""
    agents, agent_of = packing.table(one.agent or "" for one in runs)
    detectors, clusters, cluster_of = _clusters(runs, found)
    known = [one.started_ns for one in runs if one.started_ns is not None]
    return {
        "ids": [sendable(one.run_id) for one in runs],
        "literals": {row: literal(one.run_id) for row, one in enumerate(runs) if not is_plain(one.run_id)},
        "agents": agents,
        "agent": agent_of,
        "status": "".join(one.status[0] for one in runs),
        "base_us": min(known, default=0) // 1000,
        "start_us": packing.deltas([one.started_ns for one in runs]),
        "took_ms": [None if one.duration_ms is None else round(one.duration_ms, 3 if one.duration_ms < 1 else None) for one in runs],
        "steps": [one.steps for one in runs],
        "tokens": [one.total_tokens for one in runs],
        "cost": [None if one.cost_usd is None else float(f"{one.cost_usd:.6g}") for one in runs],
        "detectors": detectors,
        "clusters": clusters,
        "cluster": cluster_of,
        "findings": [len(found.get(one.run_id, ())) for one in runs],
        "worst": "".join(found[one.run_id][0].severity[0] if found.get(one.run_id) else "-" for one in runs),
        "forked_from": {row: sendable(one.forked_from) for row, one in enumerate(runs) if one.forked_from},
        "says": _outcomes(runs),
    }


def _clusters(runs: Sequence[Overview], found: FoundIn) -> tuple[list[str], list[list[int] | None], list[int]]:
    """The detectors that found something; the sets of them that occur together in a run (None: not examined); and each run's set."""
    numbers: dict[str, int] = {}
    sets: dict[tuple[int, ...] | None, int] = {}
    cluster_of = []
    for one in runs:
        said = found.get(one.run_id)
        names = None if said is None else tuple(sorted({numbers.setdefault(each.detector, len(numbers)) for each in said}))
        cluster_of.append(sets.setdefault(names, len(sets)))
    return [sendable(name) for name in numbers], [None if names is None else list(names) for names in sets], cluster_of


def _outcomes(runs: Sequence[Overview]) -> list[str]:
    """The beginnings of the outcomes, as far down the list as they fit: what failed stands at the top."""
    cut = [sendable(" ".join(one.outcome[: 2 * SAYS_CHARS].split())[:SAYS_CHARS]) for one in runs]
    used = accumulate(len(text.encode()) for text in cut)
    return [text for text, so_far in zip(cut, used, strict=True) if so_far <= SAYS_BYTES]
