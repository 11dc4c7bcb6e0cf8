"""An agent that does otherwise than it did: between two versions, models or days, the share of runs that call a tool changes by more than chance explains.

Versions are read from the run's metadata, models from its model calls, days from its times. Neighbouring cohorts of twenty runs or more are compared,
tool by tool; the test's level is divided by the number of comparisons.

Why it matters: a new prompt, a model that was updated behind its name, or another mix of requests changes what an agent does before any metric of
errors moves.
What to do: look at runs on both sides of the change; pin what changed, or take the new behaviour for the baseline.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import erfc, sqrt

from workbench.cohorts import version_of
from workbench.intervals import share
from workbench.model import Evidence, Finding, NotEvaluated, Run
from workbench.sketch import model, sketch, tool, user

ENOUGH, LEVEL, LEAST_CHANGE = 20, 0.01, 0.2
KINDS = ("version", "model", "day")


@dataclass(frozen=True)
class Told:
    """What a comparison needs of one run."""

    run: Run
    tools: frozenset[str]
    at_ns: int


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """For each agent and each of version, model and day, one finding for the tool that changed most, at the first run that shows it."""
    by_agent: dict[str | None, list[Told]] = defaultdict(list)
    for run in runs:
        by_agent[run.agent].append(Told(run, frozenset(step.name for step in run.of_kind("tool")), run.started_ns or 0))
    for agent, told in by_agent.items():
        pairs = [(kind, *pair) for kind in KINDS for pair in pairwise(_cohorts(kind, told))]
        if not pairs:
            why = f"no two versions, models or days of {agent} with {ENOUGH} runs each"
            yield NotEvaluated(detector="behaviour-drift", run_id=told[-1].run.run_id, why=why)
        for kind, before, after in pairs:
            yield from _compared(agent, kind, before, after, len(pairs))


def _cohorts(kind: str, told: Sequence[Told]) -> list[tuple[str, list[Told]]]:
    """The runs by what they are told apart by, in the order in which each came up; those with too few left out."""
    found: dict[str, list[Told]] = defaultdict(list)
    for one in sorted(told, key=lambda one: one.at_ns):
        name = _name(kind, one.run)
        if name is not None:
            found[name].append(one)
    return [(name, those) for name, those in found.items() if len(those) >= ENOUGH]


def _name(kind: str, run: Run) -> str | None:
    if kind == "version":
        return version_of(run)
    if kind == "model":
        return next((step.model for step in run.of_kind("model") if step.model), None)
    return None if run.started_ns is None else datetime.fromtimestamp(run.started_ns // 10**9, UTC).date().isoformat()


def _compared(agent: str | None, kind: str, before: tuple[str, list[Told]], after: tuple[str, list[Told]], pairs: int) -> Iterator[Finding]:
    tools = sorted({name for _, those in (before, after) for one in those for name in one.tools})
    changes = [(_p_value(name, before[1], after[1]), name) for name in tools]
    for p_value, name in sorted(changes)[:1]:
        was, now = (share(sum(name in one.tools for one in those), len(those)) for _, those in (before, after))
        if p_value * len(tools) * pairs < LEVEL and abs((was.value or 0) - (now.value or 0)) >= LEAST_CHANGE:
            example = next(one.run for one in after[1] if (name in one.tools) == ((now.value or 0) > (was.value or 0)))
            yield _finding(example, name, f"{kind} {before[0]} to {after[0]} of {agent}", f"{was} before, {now} after", was.value or 0, now.value or 0, p_value)


def _p_value(name: str, before: Sequence[Told], after: Sequence[Told]) -> float:
    """How likely such a difference between two shares is by chance (two-sided z-test with a pooled share)."""
    (x, n), (y, m) = ((sum(name in one.tools for one in those), len(those)) for those in (before, after))
    pooled = (x + y) / (n + m)
    spread = sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return 1.0 if spread == 0 else erfc(abs(x / n - y / m) / spread / sqrt(2))


def _finding(run: Run, name: str, where: str, shares: str, was: float, now: float, p_value: float) -> Finding:
    step = next((step for step in run.of_kind("tool") if step.name == name), run.steps[0])
    path = "$.tool_call" if step.kind == "tool" else "$.kind"
    return Finding(
        detector="behaviour-drift",
        run_id=run.run_id,
        severity="info",
        score=min(1.0, 1 - p_value),
        step=step.index,
        message=f"from {where}, the share of runs that call {name} went from {shares}",
        numbers={"before": round(was, 3), "after": round(now, 3), "p_value": float(f"{p_value:.2g}")},
        evidence=(Evidence.cite(run, step.index, path, f"a run after the change that {'calls' if step.kind == 'tool' else 'does not call'} {name}"),),
        capability="observability",
        item="tool-selection",
        refute=f"Compare the requests on both sides: if those that want {name} changed in the same measure, the agent did not.",
    )


def _ran(number: int, version: str, *, escalates: bool) -> Run:
    steps = [step for name in ("look_up", *(["ask_manager"] if escalates else [])) for step in (model("", calls=((name, {}),)), tool(name, {}, "ok"))]
    return sketch(user(f"request {number}"), *steps, model("Done."), run_id=f"{version}-{number}", agent="clerk", metadata={"version": version})


FIRES_ON = tuple(_ran(number, version, escalates=number % 10 < share) for version, share in (("1.4", 7), ("1.5", 0)) for number in range(30))
QUIET_ON = tuple(_ran(number, version, escalates=number % 10 < share) for version, share in (("1.4", 7), ("1.5", 6)) for number in range(30))
