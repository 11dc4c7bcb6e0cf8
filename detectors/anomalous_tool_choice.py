"""The model asked for a tool that it wasn't offered; and over many runs: a tool that no other run of this agent ever uses.

Offered is what the model call itself records. Over many runs at least 20 of the agent are needed, and the tool must be unheard of in all the others.

Why it matters: a tool that doesn't exist is made up, and one that is never used here is a first sign of injection, drift or a broken prompt.
What to do: check names against the offered tools before running anything; offer only the tools that the task needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from workbench.cohorts.periods import fetched
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user

RUNS = 20
SHOWN = 8


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each tool that was asked for though it wasn't offered, at the first such call."""
    choosing = [step for step in run.of_kind("model") if step.decision and step.decision.alternatives]
    if not choosing:
        yield NotEvaluated(detector="anomalous-tool-choice", run_id=run.run_id, why="the tools offered to the model were not recorded")
    seen: set[str] = set()
    for step in choosing:
        offered = (step.decision.alternatives if step.decision else None) or ()
        for number, call in enumerate(step.output.tool_calls if step.output else ()):
            if call.name not in offered and call.name not in seen:
                seen.add(call.name)
                yield _not_offered(run, step, number, call.name, offered)


def detect_many(runs: Iterable[Run]) -> Iterator[Finding | NotEvaluated]:
    """One finding for each run that uses a tool no other run of its agent uses."""
    users: dict[str | None, dict[str, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    total: dict[str | None, int] = defaultdict(int)
    for run in runs:
        total[run.agent] += 1
        for name, step in {step.name: step.index for step in reversed(list(run.of_kind("tool")))}.items():
            if len(users[run.agent][name]) < 2:  # noqa: PLR2004  # two users are not alone
                users[run.agent][name].append((run.run_id, step))
    alone = [(agent, name, *uses[0]) for agent, tools in users.items() if total[agent] >= RUNS for name, uses in tools.items() if len(uses) == 1]
    whole = fetched(runs, {run_id for *_, run_id, _ in alone})
    for agent, name, run_id, step in alone:
        yield _unheard_of(whole[run_id], whole[run_id].step(step), name, total[agent])


def _not_offered(run: Run, step: Step, number: int, name: str, offered: tuple[str, ...]) -> Finding:
    return Finding(
        detector="anomalous-tool-choice",
        run_id=run.run_id,
        severity="warning",
        score=0.85,
        step=step.index,
        message=f"step {step.index} asks for {name}, which was not offered; offered were {', '.join(offered[:SHOWN])}",
        numbers={"offered": len(offered)},
        evidence=(
            Evidence.cite(run, step.index, f"$.output.tool_calls[{number}].name", "the tool asked for"),
            Evidence.cite(run, step.index, "$.decision.alternatives", "the tools offered"),
        ),
        capability="observability",
        item="tool-selection",
        refute=f"Look at the agent's own list of tools: if it has {name}, the record of what was offered is incomplete.",
    )


def _unheard_of(run: Run, step: Step, name: str, total: int) -> Finding:
    return Finding(
        detector="anomalous-tool-choice",
        run_id=run.run_id,
        severity="info",
        score=0.5,
        step=step.index,
        message=f"step {step.index} uses {name}, which none of the {total - 1} other runs of this agent uses",
        numbers={"runs": total},
        evidence=(Evidence.cite(run, step.index, "$.name", "the tool used"),),
        capability="observability",
        item="tool-selection",
        refute="Read what the user asked: a request that no other run had may well need a tool that no other run used.",
    )


OFFERED = ("search_flights", "book_flight")

FIRES_ON = (sketch(user("Refund me"), model(calls=(("issue_refund", {"amount": 5}),), offered=OFFERED), tool("issue_refund", {}, error="no such tool")),)
QUIET_ON = (
    sketch(user("Book"), model(calls=(("book_flight", {"flight": "NH 11"}),), offered=OFFERED), tool("book_flight", {"flight": "NH 11"}, "booked")),
    sketch(user("Book"), model(calls=(("issue_refund", {}),)), tool("issue_refund", {}, "ok")),
)
