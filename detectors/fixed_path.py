"""An agent that always takes the same path: over many runs it calls the same tools in the same order, whatever it is asked.

Paths are told apart by the tools called, repetitions of one tool in a row counted once. Fires where nearly all of twenty runs or more share one path.

Why it matters: what never decides is a pipeline that pays for a model's decisions, and that can fail by them. Its flowchart is known.
What to do: look at the flowchart (`bench.paths(agent=…)`); write the path down as code and leave to the model what varies; or look whether the runs are as
varied as what users ask.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from workbench.cohorts.paths import Path, Paths, path_of
from workbench.cohorts.periods import ENOUGH, fetched
from workbench.model import Evidence, Finding, NotEvaluated, Run
from workbench.sketch import model, sketch, tool, user


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """One finding for each agent whose runs share a path, at the first tool call of the latest of them."""
    counts: dict[str | None, Counter[Path]] = defaultdict(Counter)
    latest: dict[tuple[str | None, Path], str] = {}
    for run in runs:
        if path := path_of(run):
            counts[run.agent][path] += 1
            latest[run.agent, path] = run.run_id
    told: list[tuple[str, str | None, Paths]] = []
    for agent, found in counts.items():
        paths = Paths(counts=tuple(found.most_common()))
        run_id = latest[agent, paths.counts[0][0]]
        if paths.runs < ENOUGH:
            yield NotEvaluated(detector="fixed-path", run_id=run_id, why=f"{paths.runs} runs of {agent} with tool calls; {ENOUGH} are needed")
        elif paths.is_pipeline:
            told.append((run_id, agent, paths))
    whole = fetched(runs, {run_id for run_id, *_ in told})
    for run_id, agent, paths in told:
        yield _finding(whole[run_id], agent, paths)


def _finding(run: Run, agent: str | None, paths: Paths) -> Finding:
    first = next(run.of_kind("tool"))
    (path, most), total = paths.counts[0], paths.runs
    return Finding(
        detector="fixed-path",
        run_id=run.run_id,
        severity="info",
        score=most / total,
        step=first.index,
        message=f"{most} of {total} runs of {agent} took the same path: start → {' → '.join(path)} → end. That is a pipeline more than an agent",
        numbers={"runs": total, "same_path": most, "paths": len(paths.counts), "entropy_bits": round(paths.entropy_bits, 3)},
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
