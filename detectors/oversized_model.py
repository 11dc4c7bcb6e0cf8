"""An expensive model for trivial steps: little to read, a few words to say, no tool to choose from many; and what a cheaper model of the same maker costs.

By list prices (`workbench.prices`), for calls whose tokens are recorded; what was recorded as cost is not replaced. Steps that follow a failure, and
calls that reasoned, are not taken for trivial.

Why it matters: half of an agent's calls are routing and rephrasing; sent to the smallest model that can do them, they cost a tenth.
What to do: choose the model per step; try the cheaper one in forks of recorded runs and compare the outcomes before switching.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model import Evidence, Finding, NotEvaluated, Run, Step, Tokens
from workbench.prices import Price, price_of, prices
from workbench.sketch import model, sketch, tool, user

SMALL_INPUT, SMALL_OUTPUT, FEW_TOOLS = 1500, 60, 3
ENOUGH, WORTH, WORTH_USD = 3, 0.2, 0.001
"""How many trivial calls make a finding, and what share of the run's estimated cost, and how much of it, has to be saved."""


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the first trivial call of an expensive model."""
    priced = [(step, price, cost) for step in run.of_kind("model") if (price := price_of(step.model)) and (cost := price.of(step.tokens)) is not None]
    if not priced:
        yield NotEvaluated(detector="oversized-model", run_id=run.run_id, why="no model calls recorded with a model and tokens that have a price")
        return
    saved: list[tuple[Step, Price, float]] = []
    for step, price, cost in priced:
        cheaper = _cheapest(price)
        less = cheaper.of(step.tokens) if cheaper and _trivial(step) else None
        if cheaper and less is not None and less < cost:
            saved.append((step, cheaper, cost - less))
    total, gain = sum(cost for *_, cost in priced), sum(amount for *_, amount in saved)
    if len(saved) >= ENOUGH and gain >= max(WORTH * total, WORTH_USD):
        yield _finding(run, saved, total, gain)


def _trivial(step: Step) -> bool:
    chosen_from = len(step.decision.alternatives) if step.decision and step.decision.alternatives is not None else None
    small = (step.tokens.input or 0) <= SMALL_INPUT and (step.tokens.output or 0) <= SMALL_OUTPUT
    calls = len(step.output.tool_calls) if step.output else 0
    return small and not step.tokens.reasoning and step.status == "ok" and (calls == 0 or (chosen_from is not None and chosen_from <= FEW_TOOLS))


def _cheapest(price: Price) -> Price | None:
    """The cheapest model of the same price list; None where this is it."""
    siblings = [other for other in prices().values() if other.source == price.source and other.output < price.output]
    return min(siblings, key=lambda other: (other.output, other.input), default=None)


def _finding(run: Run, saved: list[tuple[Step, Price, float]], total: float, gain: float) -> Finding:
    first, cheaper, _ = saved[0]
    return Finding(
        detector="oversized-model",
        run_id=run.run_id,
        severity="info",
        score=0.4,
        step=first.index,
        message=f"{len(saved)} trivial calls of {first.model} (first at step {first.index}) would cost ${gain:.4f} less with {cheaper.model}, "
        f"of ${total:.4f} for the run, by list prices of {cheaper.dated:%Y-%m-%d}",
        numbers={"calls": len(saved), "saved_usd": round(gain, 6), "run_usd": round(total, 6), "cheaper": cheaper.model},
        evidence=tuple(Evidence.cite(run, step.index, "$.tokens", "a trivial call") for step, *_ in saved[:4]),
        capability="cost control",
        item="token-budget",
        refute=f"Fork at step {first.index} with {cheaper.model} as the model: if the outcome differs, the step was not trivial.",
    )


def _asks(name: str, read: int, said: int, count: int = 4) -> list[Step]:
    return [model("billing", model=name, tokens=Tokens(input=read, output=said)) for _ in range(count)]


FIRES_ON = (sketch(user("Route these"), *_asks("gpt-5", 300, 3)),)
QUIET_ON = (
    sketch(user("Route these"), *_asks("gpt-5-nano", 300, 3)),
    sketch(user("Write these"), *_asks("gpt-5", 300, 900)),
    sketch(user("Route these"), *_asks("gpt-5", 300, 3, 2), tool("get_rules", {}, "…")),
)
