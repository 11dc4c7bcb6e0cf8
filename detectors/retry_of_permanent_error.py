"""The very same call made again after an error that it cannot outlive, such as a refused permission or an invalid argument, and failed again.

Quiet when something was done in between that may have removed the reason, when a person spoke, and when the error says that trying later may help.

Why it matters: each attempt costs time and money, and some lock an account or look like an attack.
What to do: sort errors into those to retry (time-outs, 429, 503) and those never to retry (400, 401, 403, 404, 422); tell the model which is which.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from workbench.analysis.effects import failure
from workbench.analysis.retries import Retry, classify_error, retried
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user

MAX_SAID, SHOWN = 160, 4


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each call that was repeated in vain, at its first repetition."""
    calls = [step for step in run.of_kind("tool") if step.status != "interrupted"]
    if not calls:
        yield NotEvaluated(detector="retry-of-permanent-error", run_id=run.run_id, why="no tool calls recorded")
    before = {after.index: first.index for first, after in pairwise(calls)}
    for chain in retried(run):
        vain = [retry for retry in chain if _in_vain(retry) and before[retry.after.index] == retry.before.index]
        if vain:
            yield _finding(run, vain)
    yield from (_counted(run, step) for step in calls if (step.attempts or 1) > 1 and _permanent(step))


def _in_vain(retry: Retry) -> bool:
    return retry.by in {"code", "model"} and classify_error(retry.error) == "permanent" and _permanent(retry.after)


def _permanent(step: Step) -> bool:
    said = failure(step)
    return said is not None and classify_error(said) == "permanent"


def _finding(run: Run, vain: list[Retry]) -> Finding:
    first, by_code = vain[0], any(retry.by == "code" for retry in vain)
    by = "the code around the tool" if by_code else "the model"
    failed = [first.before, *(retry.after for retry in vain)]
    return Finding(
        detector="retry-of-permanent-error",
        run_id=run.run_id,
        severity="warning" if by_code or len(vain) > 1 else "info",
        score=0.8 if by_code else 0.6 if len(vain) > 1 else 0.5,
        step=first.after.index,
        message=f"{first.before.name} was called again {len(vain)} times with the same arguments by {by}, from step {first.after.index} on, "
        f"after an error that repeating can't cure: {first.error[:MAX_SAID]}",
        numbers={"retries": len(vain), "first_step": first.before.index, "by": "code" if by_code else "model"},
        evidence=tuple(Evidence.cite(run, step.index, "$.error" if step.error else "$.result", "it failed") for step in failed[:SHOWN]),
        capability="idempotency",
        item="classified-retries",
        refute=f"Fork at step {first.after.index} with nothing changed: if the same call then succeeds, the error was not permanent.",
    )


def _counted(run: Run, step: Step) -> Finding:
    """Where the engine itself counted the attempts of one step."""
    error = failure(step) or ""
    return Finding(
        detector="retry-of-permanent-error",
        run_id=run.run_id,
        severity="warning",
        score=0.8,
        step=step.index,
        message=f"{step.name} at step {step.index} was attempted {step.attempts} times by the engine although its error can't be cured by repeating: "
        f"{error[:MAX_SAID]}",
        numbers={"retries": (step.attempts or 1) - 1, "first_step": step.index, "by": "engine"},
        evidence=(Evidence.cite(run, step.index, "$.error" if step.error else "$.result", "how it ended"),),
        capability="idempotency",
        item="classified-retries",
        refute=f"Run step {step.index} once more by hand: if it succeeds with the same input, the error was not permanent.",
    )


def _pays(**outcome: str) -> Step:
    return tool("pay_invoice", {"order": "O-7"}, **outcome)


ASK = model(calls=(("pay_invoice", {"order": "O-7"}),))
DENIED = _pays(error="HTTP 403 Forbidden: card may not be used here")

FIRES_ON = (
    sketch(user("Pay O-7"), ASK, DENIED, DENIED, DENIED),
    sketch(user("Pay O-7"), ASK, DENIED, ASK, DENIED),
    sketch(user("Pay O-7"), ASK, tool("pay_invoice", {"order": "O-7"}, error="ValidationError: amount is missing", attempts=5)),
)
QUIET_ON = (
    sketch(user("Pay O-7"), ASK, *(_pays(error="429 Too Many Requests") for _ in range(2)), _pays(result="paid")),
    sketch(user("Pay O-7"), ASK, DENIED, tool("pay_invoice", {"order": "O-7", "card": "other"}, "paid")),
    sketch(user("Pay O-7"), ASK, DENIED, tool("unlock_card", {}, "ok"), ASK, DENIED),
    sketch(user("Pay O-7"), ASK, DENIED, model("It was refused."), user("I have unlocked it, try again"), ASK, DENIED),
    sketch(user("Pay O-7"), ASK, DENIED, ASK, _pays(result="paid")),
)
