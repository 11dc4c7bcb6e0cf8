"""A call that the agent's declared tools don't cover: a tool that was not offered, or arguments that are no object.

What was offered is what the run or its model calls recorded; only what a model asked for counts, as code may call what it likes. That the tool answered with
a result all the same makes it worse: nothing checked.

Why it matters: a made-up tool or a broken call is the model's error to catch; one that runs unchecked is a door.
What to do: validate each call against the declared tools and their schemas before it runs, and answer a bad one with what would be right.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.effects import failure
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each tool that was not offered, and one for each call whose arguments can't be read."""
    asked = {call.name for step in run.of_kind("model") if step.output for call in step.output.tool_calls}
    calls = [step for step in run.of_kind("tool") if step.tool_call is not None and step.name in asked]
    offered = _offered(run)
    if not calls or not offered:
        yield NotEvaluated(
            detector="undeclared-call", run_id=run.run_id, why="no tool calls of a model recorded" if not calls else "the tools offered were not recorded"
        )
    known = set[str]()
    for step in calls:
        if offered and step.name not in offered and step.name not in known:
            known.add(step.name)
            yield _finding(run, step, f"{step.name} was called and is none of the {len(offered)} tools offered", "$.name", len(offered))
        if step.tool_call is not None and step.tool_call.arguments is None and (step.tool_call.raw or "").lstrip()[:1] in {"{", "["}:
            yield _finding(run, step, f"{step.name} was called with arguments that are no JSON object", "$.tool_call.raw", len(offered))


def _offered(run: Run) -> frozenset[str]:
    """Every tool that the run, or any of its model calls, says was offered."""
    decided = (name for step in run.of_kind("model") if step.decision for name in step.decision.alternatives or ())
    return frozenset((*(run.tools or ()), *decided))


def _finding(run: Run, step: Step, what: str, path: str, offered: int) -> Finding:
    refused = failure(step) is not None
    return Finding(
        detector="undeclared-call",
        run_id=run.run_id,
        severity="info" if refused else "warning",
        score=0.4 if refused else 0.6,
        step=step.index,
        message=f"{what}, at step {step.index}; " + ("it was refused" if refused else "it was answered all the same"),
        numbers={"offered": offered, "refused": int(refused)},
        evidence=(Evidence.cite(run, step.index, path, "what was called"),),
        capability="security",
        item="input-validation",
        refute=f"Fork at step {step.index} with an error that lists the tools offered as the result: a sound agent calls one of those.",
    )


FIRES_ON = (
    sketch(user("Book it"), model(calls=(("book_flihgt", {"n": 1}),)), tool("book_flihgt", {"n": 1}, "booked"), tools=("book_flight", "search")),
    sketch(user("Book it"), model(calls=(("pay", {}),), offered=("book",)), tool("pay", {"n": 1}, error="unknown tool pay")),
)
QUIET_ON = (
    sketch(user("Book it"), model(calls=(("book_flight", {"n": 1}),)), tool("book_flight", {"n": 1}, "booked"), tools=("book_flight", "search")),
    sketch(user("Book it"), model(calls=(("book_flight", {"n": 1}),)), tool("book_flight", {"n": 1}, "booked")),
    sketch(user("Book it"), model(calls=(("search", {}),)), tool("search", {}, "one"), tool("audit", {"n": 1}, "noted by the code"), tools=("search",)),
    sketch(user("Book it"), model("Booking.", offered=("book",)), model(calls=(("pay", {}),), offered=("pay",)), tool("pay", {"n": 1}, "paid")),
)
