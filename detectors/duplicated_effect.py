"""The same act attempted twice, although the first attempt was done or may have been: book_flight 1 → 2.

Two calls are the same act when tool and identifying arguments agree and no idempotency key joins them. Quiet when the first clearly failed, says that it
did nothing, or was undone before the second, when a person asked anew in between, and on acts in the agent's own workspace, such as an edit of a file.

Why it matters: a time-out says nothing about whether the flight was booked. An agent that tries again without an idempotency key charges twice.
What to do: give every external act an idempotency key made from stable identifiers; after a time-out, look up before trying again.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from operator import attrgetter

from workbench.analysis.effects import effects_of, failure, in_workspace, overwrites
from workbench.analysis.grounding import leaves
from workbench.analysis.turns import asked_between, spoken
from workbench.model import Effect, Evidence, Finding, Json, NotEvaluated, Run, Severity
from workbench.sketch import model, restart, sketch, tool, user

UNDOES = re.compile(r"(^|_)(undo|remove|delete|cancel|revoke|refund|return|reverse|revert|roll_?back|withdraw|void|un[a-z]+)(_|$)")
"""Names of tools that take back what another did."""
SHOWN, UNDOING, LEAST_VALUE = 5, 20, 2
"""Attempts a finding cites, undoing acts between two attempts that are looked at, and characters of a value that says which thing is meant."""
CAUSES = {"model": "the model asked again", "retry": "the code around the tool tried again", "resume": "the run was started or resumed again", "first": "none"}


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each act attempted more than once, at its first repetition."""
    effects = effects_of(run)
    lost = [effect.tool for effect in effects if effect.arguments is None]
    if lost or not any(run.of_kind("tool")):
        why = f"arguments not recorded: {', '.join(sorted(set(lost)))}" if lost else "no tool calls recorded"
        yield NotEvaluated(detector="duplicated-effect", run_id=run.run_id, why=why)
    acts: dict[str, list[Effect]] = {}
    for effect in effects:
        if effect.arguments and effect.outcome != "prevented" and not in_workspace(effect.arguments):
            acts.setdefault(effect.key, []).append(effect)
    heard, undoing = spoken(run), [effect for effect in effects if effect.outcome == "done" and UNDOES.search(effect.tool.lower())]
    for attempts in acts.values():
        pairs = [pair for pair in pairwise(attempts) if _repeats(*pair) and not asked_between(heard, pair[0].step, pair[1].step)]
        if pairs := [pair for pair in pairs if not _undone(run, undoing, *pair)]:
            yield _finding(run, pairs)


def _repeats(first: Effect, second: Effect) -> bool:
    safe = first.idempotency_key is not None and first.idempotency_key == second.idempotency_key
    return first.outcome in {"done", "unknown"} and not safe


def _undone(run: Run, undoing: list[Effect], first: Effect, second: Effect) -> bool:
    """Whether an act between two attempts took the first one back: one that removes or cancels something of which the first was told, or which it brought."""
    step = attrgetter("step")
    between = undoing[bisect_right(undoing, first.step, key=step) : bisect_left(undoing, second.step, key=step)][-UNDOING:]
    of_first = _values(first.arguments) | _values(run.step(first.step).result) if between else frozenset[str]()
    return any(not of_first.isdisjoint(_values(act.arguments)) for act in between)


def _values(value: Json) -> frozenset[str]:
    return frozenset(text for _, text in leaves(value) if len(text) >= LEAST_VALUE)


def _finding(run: Run, pairs: list[tuple[Effect, Effect]]) -> Finding:
    first, second = next((pair for pair in pairs if _certain(*pair)), pairs[0])
    before, unknown = run.step(first.step), first.outcome == "unknown"
    ended = f"whose outcome is unknown ({failure(before) or 'it never came back'})" if unknown else "which was done"
    key = "no idempotency key" if second.idempotency_key is None else f"idempotency key {second.idempotency_key} is not the first one's"
    attempts = [pairs[0][0], *(again for _, again in pairs)]
    severity, score = _weight(first, second)
    return Finding(
        detector="duplicated-effect",
        run_id=run.run_id,
        severity=severity,
        score=score,
        step=second.step,
        message=f"{first.tool} 1 → {len(attempts)}: attempted again at step {second.step} after step {first.step}, {ended}; {key}; "
        f"cause: {CAUSES[second.cause]}",
        numbers={"attempts": len(attempts), "first_step": first.step, "repeated_at": second.step, "cause": second.cause}
        | {"key": "none" if second.idempotency_key is None else "changed"},
        evidence=(
            Evidence.cite(run, first.step, "$.error" if before.error else "$.result", "how the attempt before ended"),
            *(Evidence.cite(run, act.step, "$.tool_call.arguments", f"arguments of {act.tool}") for act in attempts[:SHOWN]),
        ),
        capability="idempotency",
        item="action-keys",
        refute=f"Fork at step {second.step} with the first attempt's real result put in: if the agent then stops at one {first.tool}, the repetition did it.",
    )


def _weight(first: Effect, second: Effect) -> tuple[Severity, float]:
    """How grave a repetition is. One that merely leaves the same state behind, such as cancelling twice, is only worth a hint."""
    if overwrites(first):
        return "info", 0.3
    return ("error", 0.98) if _certain(first, second) else ("warning", 0.6)


def _certain(first: Effect, second: Effect) -> bool:
    """The first may have happened unseen, or code repeated what was done: neither is a choice anyone made."""
    return first.outcome == "unknown" or second.cause in {"retry", "resume"}


BOOK = {"flight": "NH 11", "passenger": "Ada"}
KEYED = BOOK | {"idempotency_key": "trip-7"}
ASK = model(calls=(("book_flight", BOOK),))
TIMED_OUT = tool("book_flight", BOOK, error="payment API timed out after 30 s")
BOOKED = tool("book_flight", BOOK, {"booking": "B-1"})

FIRES_ON = (
    sketch(user("Book NH 11"), ASK, TIMED_OUT, ASK, BOOKED),
    sketch(user("Book NH 11"), ASK, TIMED_OUT, BOOKED),
    sketch(user("Book NH 11"), ASK, BOOKED, restart(ASK, BOOKED)),
)
QUIET_ON = (
    sketch(user("Book NH 11"), ASK, tool("book_flight", KEYED, error="timed out"), tool("book_flight", KEYED, {"booking": "B-1"})),
    sketch(user("Book NH 11"), ASK, tool("book_flight", BOOK, error="seat is taken"), ASK, BOOKED),
    sketch(user("Book NH 11"), ASK, BOOKED, model("Booked."), user("The same again for my sister, please"), ASK, BOOKED),
    sketch(user("Book NH 11"), ASK, tool("book_flight", BOOK, "The booking was not completed: confirm the fare first."), ASK, BOOKED),
    sketch(user("Book NH 11"), ASK, BOOKED, tool("cancel_booking", {"booking": "B-1"}, "cancelled"), ASK, BOOKED),
    sketch(user("Mend it"), *(tool("apply_edit", {"path": "a.py", "text": "x = 1"}, "Edit applied.") for _ in range(2)), model("Mended.")),
    sketch(user("Two flights"), ASK, BOOKED, tool("book_flight", BOOK | {"flight": "NH 12"}, {"booking": "B-2"})),
)
