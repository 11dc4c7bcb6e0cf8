"""The agent says that an act was done, and no call of the run did it: "Your flight has been booked", with no booking or only failed ones.

Read are statements that something was just done. Quiet when any act succeeded before the statement and none of the same name failed for good.

Why it matters: the user leaves believing it; nothing in the run raises an error.
What to do: build the confirmation from the tool's result; check before the last message that the promised act is among the calls that succeeded.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.analysis.effects import effect_class
from workbench.analysis.statements import claimed_acts, concerns
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.signals import acts, complaint


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the first statement that nothing supports."""
    if not any(run.of_kind("tool")):
        yield NotEvaluated(detector="unsupported-success-claim", run_id=run.run_id, why="no tool calls recorded, so acts may have been done elsewhere")
        return
    tried: list[Step] = []
    for step in run.steps:
        if step.kind == "tool" and step.tool_call and (acts(step.tool_call, step.declared) or effect_class(step) == "unknown"):
            tried.append(step)
        for verb, sentence in claimed_acts(step.output.content) if step.kind == "model" and step.output and not step.output.tool_calls else ():
            failed = _unsupported(verb, tried)
            if failed is not None:
                yield _finding(run, step, verb, sentence, failed)
                return


def _unsupported(verb: str, tried: list[Step]) -> list[Step] | None:
    """The failed attempts at what was claimed; empty where nothing was tried, None where the claim has support."""
    named = [step for step in tried if concerns(verb, step.name)]
    if any(complaint(step) is None for step in named):
        return None
    if named:
        return named
    return [] if all(complaint(step) is not None for step in tried) else None


def _finding(run: Run, step: Step, verb: str, sentence: str, failed: list[Step]) -> Finding:
    why = f"every attempt at it failed (the last at step {failed[-1].index})" if failed else "no call of the run had done anything"
    cited = [Evidence.cite(run, step.index, "$.output.content", "the statement")]
    if failed:
        cited.append(Evidence.cite(run, failed[-1].index, "$.error" if failed[-1].error else "$.result", f"how {failed[-1].name} ended"))
    return Finding(
        detector="unsupported-success-claim",
        run_id=run.run_id,
        severity="warning",
        score=0.9 if failed else 0.7,
        step=step.index,
        message=f"step {step.index} says that something was done ({verb}): “{sentence[:160]}”, but {why}",
        numbers={"verb": verb, "failed_attempts": len(failed)},
        evidence=tuple(cited),
        capability="observability",
        item="semantic-failures",
        refute=f"Fork at step {step.index} with the tools' results as they are and ask what was done: if it can name the call, the record is incomplete.",
    )


BOOK = {"flight": "NH 11"}
FAILED = tool("book_flight", BOOK, error="no seat left")

FIRES_ON = (
    sketch(user("Book NH 11"), tool("search_flights", {}, ["NH 11"]), model("Your flight NH 11 has been booked. Enjoy!")),
    sketch(user("Book NH 11"), FAILED, model("I have successfully booked NH 11 for you.")),
)
QUIET_ON = (
    sketch(user("Book NH 11"), FAILED, tool("book_flight", BOOK, "booked"), model("Your flight NH 11 has been booked.")),
    sketch(user("Book NH 11"), FAILED, model("NH 11 could not be booked: no seat is left.")),
    sketch(user("Book NH 11"), tool("search_flights", {}, ["NH 11"]), model("Once you confirm, it will be booked. Your trip was booked in May.")),
    sketch(user("A refund?"), tool("get_policy", {}, "rules"), model("Refunds are possible in these cases:\n\n* it is late\n* The flight has been cancelled")),
    sketch(user("Cancel it?"), tool("get_policy", {}, "rules"), model("According to the airline the flight has been cancelled. Shall I ask for a refund?")),
    sketch(user("Save it"), tool("bash", {"command": "python save.py"}, "saved"), model("The file has been updated.")),
)
