"""An agent that does otherwise than it did: between two versions, models or days, the share of runs that call a tool changes by more than chance explains.

Versions are read from the run's metadata, models from its model calls, days from its times. Neighbouring cohorts of twenty runs or more are compared,
tool by tool; the test's level is divided by the number of comparisons.

Why it matters: a new prompt, a model that was updated behind its name, or another mix of requests changes what an agent does before any metric of
errors moves.
What to do: look at runs on both sides of the change; pin what changed, or take the new behaviour for the baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import erfc, sqrt

from workbench.cohorts.periods import ENOUGH, Change, Observed, by_agent, changes, fetched, observed
from workbench.intervals import share
from workbench.model import Evidence, Finding, NotEvaluated, Run
from workbench.sketch import model, sketch, tool, user

LEVEL, LEAST_CHANGE = 0.01, 0.2
Tools = frozenset[str]


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """For each agent and each of version, model and day, one finding for the tool that changed most, at the first run that shows it."""
    told: list[tuple[Change[Tools], str, float, str]] = []
    for agent, those in by_agent(observed(run, frozenset(step.name for step in run.of_kind("tool"))) for run in runs).items():
        found = changes(those)
        if not found:
            why = f"no two versions, models or days of {agent} with {ENOUGH} runs each"
            yield NotEvaluated(detector="behaviour-drift", run_id=those[-1].run_id, why=why)
        told += [(change, *most) for change in found for most in _most_changed(change, len(found))]
    whole = fetched(runs, {run_id for *_, run_id in told})
    for change, name, p_value, run_id in told:
        yield _finding(whole[run_id], name, change, p_value)


def _most_changed(change: Change[Tools], compared: int) -> Iterator[tuple[str, float, str]]:
    """The tool whose share of runs changed most, where chance doesn't explain it, with the first run that shows it."""
    tools = sorted({name for one in (*change.was, *change.now) for name in one.value})
    for p_value, name in sorted((_p_value(name, change.was, change.now), name) for name in tools)[:1]:
        was, now = (_calling(name, those) / len(those) for those in (change.was, change.now))
        if p_value * len(tools) * compared < LEVEL and abs(was - now) >= LEAST_CHANGE:
            yield name, p_value, next(one.run_id for one in change.now if (name in one.value) == (now > was))


def _calling(name: str, those: list[Observed[Tools]]) -> int:
    return sum(name in one.value for one in those)


def _p_value(name: str, before: list[Observed[Tools]], after: list[Observed[Tools]]) -> float:
    """How likely such a difference between two shares is by chance (two-sided z-test with a pooled share)."""
    (x, n), (y, m) = ((_calling(name, those), len(those)) for those in (before, after))
    pooled = (x + y) / (n + m)
    spread = sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return 1.0 if spread == 0 else erfc(abs(x / n - y / m) / spread / sqrt(2))


def _finding(run: Run, name: str, change: Change[Tools], p_value: float) -> Finding:
    was, now = (share(_calling(name, those), len(those)) for those in (change.was, change.now))
    step = next((step for step in run.of_kind("tool") if step.name == name), run.steps[0])
    path = "$.tool_call" if step.kind == "tool" else "$.kind"
    return Finding(
        detector="behaviour-drift",
        run_id=run.run_id,
        severity="info",
        score=min(1.0, 1 - p_value),
        step=step.index,
        message=f"from {change}, the share of runs that call {name} went from {was} before, {now} after",
        numbers={"before": round(was.value or 0, 3), "after": round(now.value or 0, 3), "p_value": float(f"{p_value:.2g}")},
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
