"""An agent that always takes the same path: over many runs it calls the same tools in the same order, whatever it is asked.

Paths are told apart by the tools called, repetitions of one tool in a row counted once. Fires where nearly all of twenty runs or more share one path.

Why it matters: what never decides is a pipeline that pays for a model's decisions, and that can fail by them. Its flowchart is known.
What to do: write the path down as code and leave to the model what varies; or look whether the runs are as varied as what users ask.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from math import log2

from workbench.model import Evidence, Finding, NotEvaluated, Run
from workbench.sketch import model, sketch, tool, user

ENOUGH, SHARED = 20, 0.95
Path = tuple[str, ...]


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """One finding for each agent whose runs share a path, at the first tool call of the latest of them."""
    paths: dict[str | None, Counter[Path]] = defaultdict(Counter)
    latest: dict[tuple[str | None, Path], Run] = {}
    for run in runs:
        path = tuple(name for name, _ in groupby(step.name for step in run.of_kind("tool")))
        if path:
            paths[run.agent][path] += 1
            latest[run.agent, path] = run
    for agent, counts in paths.items():
        total = counts.total()
        path, most = counts.most_common(1)[0]
        if total < ENOUGH:
            yield NotEvaluated(detector="fixed-path", run_id=latest[agent, path].run_id, why=f"{total} runs of {agent} with tool calls; {ENOUGH} are needed")
        elif most / total >= SHARED:
            yield _finding(latest[agent, path], agent, path, counts)


def entropy_bits(counts: Counter[Path]) -> float:
    """How much a run's path tells: 0 bits where there is but one (Shannon 1948)."""
    total = counts.total()
    return sum(count / total * log2(total / count) for count in counts.values())


def _finding(run: Run, agent: str | None, path: Path, counts: Counter[Path]) -> Finding:
    first = next(run.of_kind("tool"))
    most, total = counts[path], counts.total()
    return Finding(
        detector="fixed-path",
        run_id=run.run_id,
        severity="info",
        score=most / total,
        step=first.index,
        message=f"{most} of {total} runs of {agent} took the same path: start → {' → '.join(path)} → end. That is a pipeline more than an agent",
        numbers={"runs": total, "same_path": most, "paths": len(counts), "entropy_bits": round(entropy_bits(counts), 3)},
        evidence=(Evidence.cite(run, first.index, "$.tool_call", "where the latest of them begins its path"),),
        capability="observability",
        item="tool-selection",
        refute="Fork a run at its first model call with a request that wants another path: if the agent takes it, the requests were alike, not the agent.",
    )


def _ran(number: int, *tools: str) -> Run:
    steps = [step for name in tools for step in (model("", calls=((name, {"n": number}),)), tool(name, {"n": number}, "ok"))]
    return sketch(user(f"request {number}"), *steps, model("Done."), run_id=f"run-{number}", agent="clerk")


FIRES_ON = tuple(_ran(number, "look_up", "price", "reply") for number in range(ENOUGH))
QUIET_ON = tuple(_ran(number, "look_up", *(("price", "reply") if number % 3 else ("reply",))) for number in range(ENOUGH))
