"""The run ended without reaching its goal, by its own account: the last word owns that it couldn't be done, or nobody spoke after the last result.

Also found: a run whose recorded question isn't what the agent was first told. Says nothing of runs that end with an answer: whether it is right can't be
read from a record.

Why it matters: such runs end with status ok and count as done.
What to do: let the agent end with a state of its own (done, given up, needs a person) and count those; hand over to a person instead of giving up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.signals import calls_of, cut_short, off_task

GAVE_UP = re.compile(
    r"""(?<!if\ )\b(?:I|we)(?:\ (?:am|are|was|were)|['’][mr]e?)\ (?:still\ |currently\ )?(?:unable|not\ able)\ to\b
    |(?<!if\ )\b(?:I|we)\ (?:could(?:\ not|n['’]t)|cannot|can['’]t|did(?:\ not|n['’]t)\ manage\ to|failed\ to)\ (?:\w+\ ){0,2}?
     (?:complete|finish|find|determine|identify|retrieve|solve|fix|get|locate|access|answer|proceed)
    |\b(?:task|request|issue|problem)\ (?:could\ not\ be|was\ not|remains\ un|is\ still\ un)""",
    re.IGNORECASE | re.VERBOSE,
)


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the last step, or at the first where the task was another one from the start."""
    if not any(run.of_kind("tool")):
        yield NotEvaluated(detector="goal-unmet", run_id=run.run_id, why="no tool calls recorded: mere talk has no goal that could be checked")
        return
    last = next((step for step in reversed(run.steps) if step.kind in {"model", "tool"}), None)
    if off_task(run) and run.steps[0].output:
        yield _finding(run, run.steps[0], "what the agent was first told shares less than half its words with the question on record", 0.7, "$.output.content")
    elif last and last.kind == "model" and last.output and not last.output.tool_calls and (match := GAVE_UP.search(last.output.content)):
        yield _finding(run, last, f"the last word owns that it could not be done (“{match.group()}”)", 0.6, "$.output.content")
    elif last and run.status == "ok" and cut_short(run, calls_of(run)):
        yield _finding(run, last, "nobody spoke after the last call, and it was no way to end", 0.5, "$.result" if last.kind == "tool" else "$.output")


def _finding(run: Run, step: Step, says: str, score: float, pointer: str) -> Finding:
    return Finding(
        detector="goal-unmet",
        run_id=run.run_id,
        severity="info",
        score=score,
        step=step.index,
        message=f"step {step.index}: {says}",
        numbers={"of_steps": len(run.steps)},
        evidence=(Evidence.cite(run, step.index, pointer, "how it ended" if step is not run.steps[0] else "what the agent was told"),),
        capability="observability",
        item="semantic-failures",
        refute=f"Read what came after step {step.index} outside the record: if the user has what was asked for, the goal was met all the same.",
    )


LOOK = tool("search_files", {}, [])

FIRES_ON = (
    sketch(user("Find the contract"), LOOK, model("I was not able to find the contract in your files.")),
    sketch(user("Find the contract"), model(calls=(("search_files", {}),)), LOOK),
)
QUIET_ON = (
    sketch(user("Find the contract"), LOOK, tool("open_file", {}, "contract"), model("Here is the contract.")),
    sketch(user("Find the contract"), LOOK, model(calls=(("submit", {"answer": "c.pdf"}),)), tool("submit", {"answer": "c.pdf"}, "ok")),
    sketch(user("Cancel it"), tool("cancel", {}, "ok"), model("Cancelled. If we cannot find a refund in a week, write to us.")),
)
