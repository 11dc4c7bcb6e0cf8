"""Look-ups made again although the answer was at hand: the same call, the same result, and nothing done or said in between that could have changed it.

Polls of what is not done yet, and what a restart repeats (that is lost progress), are left alone; so is a single repetition.

Why it matters: each costs time and money and fills the context with what the model has already read.
What to do: cache look-ups for the run; keep what was found in the state, where the next step sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from workbench.analysis.calls import at_work, call_key, observed
from workbench.analysis.effects import effect_class, failure
from workbench.analysis.turns import spoken
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user

AT_LEAST, SHARE = 3, 0.2


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the first look-up that was made in vain."""
    calls = [step for step in run.of_kind("tool") if step.status in {"ok", "error"}]
    if not calls:
        yield NotEvaluated(detector="wasted-calls", run_id=run.run_id, why="no tool calls recorded")
        return
    wasted = list(_repeated(run, calls))
    if len(wasted) >= AT_LEAST and len(wasted) >= SHARE * len(calls):
        yield _finding(run, wasted, len(calls))


def _repeated(run: Run, calls: list[Step]) -> Iterator[tuple[Step, Step]]:
    """Each look-up whose very answer was already known, with the one that had brought it. An act, a person's word or a restart makes all stale."""
    heard = iter([*(index for index, _ in spoken(run)), 1 << 62])
    said, known, invocation = next(heard), dict[str, tuple[str, Step]](), 0
    often = Counter(map(call_key, calls))
    for step in calls:
        while said <= step.index:
            said, known = next(heard), {}
        if step.invocation != invocation or effect_class(step) != "read-only":
            known, invocation = {}, step.invocation
            continue
        key = call_key(step)
        if often[key] > 1 and failure(step) is None and not at_work(step):
            brought = observed(step)
            if key in known and known[key][0] == brought:
                yield known[key][1], step
            else:
                known[key] = brought, step


def _finding(run: Run, wasted: list[tuple[Step, Step]], calls: int) -> Finding:
    first, again = wasted[0]
    names = ", ".join(f"{count} × {name}" for name, count in Counter(step.name for _, step in wasted).most_common(4))
    return Finding(
        detector="wasted-calls",
        run_id=run.run_id,
        severity="info",
        score=0.5,
        step=again.index,
        message=f"{len(wasted)} of {calls} calls looked up what was already known ({names}); the first is step {again.index}, which repeats step {first.index}",
        numbers={"wasted": len(wasted), "calls": calls, "first_step": first.index},
        evidence=tuple(Evidence.cite(run, step.index, "$.result", "the same answer") for step in (first, again)),
        capability="cost control",
        item="circuit-breaker",
        refute=f"Fork at step {again.index} with the answer of step {first.index} in its state: if the agent goes on as before, the call was wasted.",
    )


RULES, FARE = tool("get_rules", {"country": "JP"}, "90 days"), tool("get_fare", {"flight": "NH 11"}, 842)

FIRES_ON = (sketch(user("Plan it"), RULES, FARE, RULES, FARE, tool("search_hotels", {}, ["Sakura"]), RULES, model("Done.")),)
QUIET_ON = (
    sketch(user("Plan it"), RULES, FARE, RULES, tool("search_hotels", {}, ["Sakura"]), model("Done.")),
    sketch(user("Plan it"), *(step for n in range(4) for step in (FARE, tool("book_seat", {"seat": n, "idempotency_key": f"s-{n}"}, "ok"))), model("Done.")),
    sketch(user("Plan it"), *(tool("get_fare", {"flight": "NH 11"}, fare) for fare in range(6)), model("Done.")),
)
