"""What runs of a baseline did at the point where a run stands: 41 of 44 called `look_up_order` next, this one called `refund`."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.cohorts.baseline import END, START, Baseline
from workbench.intervals import Share, share
from workbench.model import Run, Step, Value

SHOWN = 5


class Neighbours(Value):
    """The decisions of a baseline after the same tool call (`after`, or the start of the run), beside the one taken here.

    `counts` tell how often which tool was called next, the most frequent first; `(end)` where none was. `chosen` is what this run called next.
    """

    run_id: str
    step: int
    after: str
    chosen: str
    counts: dict[str, int]

    @property
    def agreeing(self) -> Share:
        """The share of the baseline's decisions here that were the one taken."""
        return share(self.counts.get(self.chosen, 0), sum(self.counts.values()))

    def __str__(self) -> str:
        total = sum(self.counts.values())
        if not total:
            return f"step {self.step}: no run of the baseline ever stood after {self.after}; here came {self.chosen}"
        did = ", ".join(f"{count} of {total} {_said(name)}" for name, count in list(self.counts.items())[:SHOWN])
        return f"step {self.step}, after {self.after}: {did}; this run {_said(self.chosen)}"


def neighbours_of(run: Run, index: int, baseline: Baseline) -> Neighbours:
    """What a baseline did at a step of a run: at a model call what it chose, at a tool call why this one. LookupError for a step that is not there."""
    step = run.step(index)
    before = next((one.name for one in reversed(run.steps) if one.kind == "tool" and one.index < index), START)
    counts: Mapping[str, int] = baseline.follows.get(before, {})
    ordered = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    return Neighbours(run_id=run.run_id, step=index, after=before, chosen=_chosen(run, step), counts=ordered)


def _chosen(run: Run, step: Step) -> str:
    if step.kind == "tool":
        return step.name
    if step.decision and step.decision.selected:
        return step.decision.selected[0]
    return next((one.name for one in run.steps if one.kind == "tool" and one.index > step.index), END)


def _said(name: str) -> str:
    return "called no tool any more" if name == END else f"called {name}"
