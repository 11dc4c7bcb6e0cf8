"""A tool call failed, nothing made up for it, and the agent went on as if it had worked: the answer states success and owns no failure.

Also found: a run whose very last call failed and that ended without a word about it. Quiet when a later call of the tool worked, when the agent said
what went wrong, or when it asked the user.

Why it matters: errors that are swallowed inside the agent reach nobody; the user gets a confident answer that rests on nothing.
What to do: put the error into the prompt as a result that must be answered; let the agent end with an error when a call it needs has failed.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.analysis.statements import admits, claimed_acts
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.signals import complaint


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the first failed call that was passed over."""
    calls = list(run.of_kind("tool"))
    if not calls:
        yield NotEvaluated(detector="ignored-tool-error", run_id=run.run_id, why="no tool calls recorded")
        return
    open_failures = _never_mended(calls)
    if not open_failures or run.status not in {"ok", "running"}:
        return
    first = open_failures[0]
    spoken = [step for step in run.of_kind("model") if step.index > first.index and step.output and step.output.content.strip()]
    if any(admits(step.output.content) for step in spoken if step.output):
        return
    claim = next((step for step in spoken if step.output and not step.output.tool_calls and any(claimed_acts(step.output.content))), None)
    if claim is not None:
        yield _finding(run, first, claim, 0.9)
    elif calls[-1] is run.steps[-1] and calls[-1] in open_failures:
        yield _finding(run, calls[-1], None, 0.6)


def _never_mended(calls: list[Step]) -> list[Step]:
    """Failed calls after which no call of the same tool worked."""
    mended, found = set[str](), list[Step]()
    for step in reversed(calls):
        if complaint(step) is None and step.status == "ok":
            mended.add(step.name)
        elif step.name not in mended and step.status in {"ok", "error"}:
            found.append(step)
    return found[::-1]


def _finding(run: Run, failed: Step, claim: Step | None, score: float) -> Finding:
    after = f"step {claim.index} then states success without a word about it" if claim else "the run ended there without a word about it"
    cited = [Evidence.cite(run, failed.index, "$.error" if failed.error else "$.result", f"how {failed.name} failed")]
    if claim:
        cited.append(Evidence.cite(run, claim.index, "$.output.content", "the statement"))
    return Finding(
        detector="ignored-tool-error",
        run_id=run.run_id,
        severity="warning" if claim else "info",
        score=score,
        step=claim.index if claim else failed.index,
        message=f"{failed.name} failed at step {failed.index} ({(complaint(failed) or 'failed')[:120]}) and no later call made up for it; {after}",
        numbers={"failed_at": failed.index},
        evidence=tuple(cited),
        capability="observability",
        item="semantic-failures",
        refute=f"Fork at step {failed.index} with the result it should have had: if the answer stays the same, it never rested on that call.",
    )


PAY = {"order": "O-7"}
FAILED = tool("pay", PAY, error="card expired")

FIRES_ON = (
    sketch(user("Pay O-7 and confirm"), tool("create_order", PAY, "created"), FAILED, model("I have paid order O-7. Your order has been created.")),
    sketch(user("Pay O-7"), model(calls=(("pay", PAY),)), FAILED),
)
QUIET_ON = (
    sketch(user("Pay O-7"), FAILED, tool("pay", PAY, "paid"), model("I have paid order O-7.")),
    sketch(user("Pay O-7"), FAILED, model("The card has expired, so I could not pay. Is there another one?")),
    sketch(user("Find it"), tool("look_up", {}, error="no index"), tool("search_orders", {}, ["O-7"]), model("It is order O-7.")),
)
