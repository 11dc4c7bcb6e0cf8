"""The runs of a store as a list one filters, sorts, groups and opens runs from: `RunList(overviews, found, …)`.

It is made of what the store keeps beside each run, never of steps: one column for each thing the list shows, packed. The runs at the top, as many as fit into
400 kB, come as it opens; the others follow as the kernel is free, so that any number opens at once. What is chosen, marked, filtered and sorted is in
public traits; the browser sorts and filters by itself, so that it works, over the runs that it has, while a cell runs.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import traitlets

from workbench.model import Json
from workbench.overview import GRAVE, FoundIn, Overview, failed_first
from workbench.widgets import assets, packing
from workbench.widgets.code import is_plain, literal, opening
from workbench.widgets.excerpt import sendable
from workbench.widgets.opening import Below, Opener, Static

STATUSES = ("ok", "error", "interrupted", "running", "cancelled")
SORTS = ("run", "agent", "status", "started", "took", "steps", "tokens", "cost", "findings")
"""The columns one may sort by; with a minus before, the largest first."""
GROUPS = ("", "findings", "agent", "status")
OPEN_BYTES, PART = 400_000, 1_000
"""What the list may send as it opens, all included, and in each answer after that; how many runs are packed together."""
SAYS_CHARS = 160
"""How much of each outcome is sent."""


class RunList(Opener):
    """Runs, the failed ones first. Enter opens the chosen run below, `c` marks it; `C` compares the `marked` runs below, as `code` does.

    `words`, `status`, `agent` and `detector` say which runs are shown, `sort` and `group` how; each may be set from Python. TraitError for a run that is not in
    the list, or a word that none of these takes. `run_ids` are all runs, in the order of the list.
    """

    _esm: ClassVar[Any] = assets.esm("opening", "filtered", "run_list")
    _css: ClassVar[Any] = assets.css("opening", "filtered", "run_list")

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
    _table = traitlets.Dict(help="Counts and names: what is known of all runs before their rows are there.").tag(sync=True)
    _rows = traitlets.List(traitlets.Unicode(), help="The columns of the first runs, packed.").tag(sync=True)

    def __init__(self, overviews: Sequence[Overview], found: FoundIn, *, below: Below, static: Static, **state: Any) -> None:
        self._rows_of = Rows(failed_first(overviews, found), found)
        self.run_ids = tuple(one.run_id for one in self._rows_of.runs)
        self._known = frozenset(self.run_ids)
        table = {**self._rows_of.table(), "comparable": below.compare is not None}
        budget = OPEN_BYTES - packing.size([table, str(self._esm), str(self._css)]) - 4_000
        first = {"run_id": self.run_ids[0]} if self.run_ids else {}
        super().__init__(below, static, _table=table, _rows=self._rows_of.packed(0, budget), **{**first, **state})

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

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        if question["ask"] == "rows":
            return {"rows": self._rows_of.packed(question["first"], OPEN_BYTES)}
        return super()._answer(question)

    def __repr__(self) -> str:
        """How many runs it shows, and the line of code for the chosen one."""
        return f"<RunList of {len(self._known):,} runs: {self.code}>"


class Rows:
    """The runs in the order of the list, as the browser gets them."""

    def __init__(self, runs: Sequence[Overview], found: FoundIn) -> None:
        self.runs, self._found = runs, found
        self._agents, self._agent_of = packing.table(one.agent or "" for one in runs)
        self._detectors, self._clusters, self._cluster_of = _clusters(runs, found)
        self._base_ns = min((one.started_ns for one in runs if one.started_ns is not None), default=0)

    def table(self) -> dict[str, Json]:
        """What is known of all runs: how many ended how, were found what in; the names that recur, and the sets of detectors that occur together."""
        statuses, sizes = Counter(one.status for one in self.runs), Counter(self._cluster_of)
        return {
            "count": len(self.runs),
            "statuses": {name: statuses[name] for name in STATUSES if statuses[name]},
            "grave": sum(self._worst(one) == "e" for one in self.runs),
            "unexamined": sum(sizes[cluster] for cluster, names in enumerate(self._clusters) if names is None),
            "agents": self._agents,
            "detectors": self._detectors,
            "clusters": self._clusters,
            "cluster_runs": [sizes[cluster] for cluster in range(len(self._clusters))],
            "base_us": self._base_ns // 1000,
            "says_chars": SAYS_CHARS,
        }

    def packed(self, first: int, budget: int) -> list[str]:
        """The columns of the runs from place `first` on, a text for every thousand, as many texts as fit into `budget` bytes, and one at least."""
        parts: list[str] = []
        for start in range(first, len(self.runs), PART):
            part = _deflated(self._columns(start, start + PART))
            budget -= len(part) + 3
            if parts and budget < 0:
                break
            parts.append(part)
        return parts

    def _columns(self, start: int, end: int) -> dict[str, Json]:
        runs = self.runs[start:end]
        return {
            "ids": [sendable(one.run_id) for one in runs],
            "literals": {row: literal(one.run_id) for row, one in enumerate(runs) if not is_plain(one.run_id)},
            "agent": self._agent_of[start:end],
            "status": "".join(one.status[0] for one in runs),
            "start_us": packing.deltas([one.started_ns for one in runs], self._base_ns),
            "took_ms": [None if one.duration_ms is None else round(one.duration_ms, 3 if one.duration_ms < 1 else None) for one in runs],
            "steps": [one.steps for one in runs],
            "tokens": [one.total_tokens for one in runs],
            "cost": [None if one.cost_usd is None else float(f"{one.cost_usd:.6g}") for one in runs],
            "partly": {
                row: [left_out, one.model_calls] for row, one in enumerate(runs) if one.cost_usd is not None and (left_out := one.cost_unrecorded_calls)
            },
            "cluster": self._cluster_of[start:end],
            "findings": [len(self._found.get(one.run_id, ())) for one in runs],
            "worst": "".join(self._worst(one) for one in runs),
            "forked_from": {row: sendable(one.forked_from) for row, one in enumerate(runs) if one.forked_from},
            "says": [_said(one) for one in runs],
        }

    def _worst(self, one: Overview) -> str:
        found = self._found.get(one.run_id)
        return found[0].severity[0] if found else "-"


def _deflated(columns: dict[str, Json]) -> str:
    """A part as it travels: deflated JSON, in base64, which every front end hands on as it is."""
    return base64.b64encode(zlib.compress(json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode())).decode("ascii")


def _said(one: Overview) -> str:
    """The beginning of a run's outcome, in one line."""
    line = " ".join(one.outcome[: 2 * SAYS_CHARS].split())
    return sendable(line if len(line) <= SAYS_CHARS and len(one.outcome) <= 2 * SAYS_CHARS else f"{line[:SAYS_CHARS]}…")


def _clusters(runs: Sequence[Overview], found: FoundIn) -> tuple[list[str], list[list[int] | None], list[int]]:
    """The detectors that found something, the gravest first; the sets of them that occur together in a run (None: not examined); and each run's set."""
    gravest: dict[str, int] = {}
    for each in (each for one in runs for each in found.get(one.run_id) or ()):
        gravest[each.detector] = min(gravest.get(each.detector, len(GRAVE)), GRAVE[each.severity])
    numbers = {name: number for number, name in enumerate(sorted(gravest, key=lambda name: (gravest[name], name)))}
    sets: dict[tuple[int, ...] | None, int] = {}
    cluster_of = []
    for one in runs:
        said = found.get(one.run_id)
        names = None if said is None else tuple(sorted({numbers[each.detector] for each in said}))
        cluster_of.append(sets.setdefault(names, len(sets)))
    return [sendable(name) for name in numbers], [None if names is None else list(names) for names in sets], cluster_of
