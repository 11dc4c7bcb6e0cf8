"""An idempotency key that does not stay the same: it changes between two attempts of one act, holds the time of the call, or is drawn at random.

A key that people or tools gave (it occurs in what the agent had read) is as stable as they are, whatever it looks like.

Why it matters: a key that is new with each attempt tells the other side that each attempt is another act. It protects from nothing.
What to do: derive the key from what makes the act the same act, such as `refund:order-7`; make it before the first attempt and keep it in the state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from workbench.analysis.effects import effects_of
from workbench.analysis.turns import asked_between, spoken
from workbench.model import Effect, Evidence, Finding, NotEvaluated, Run, Severity, Step, canonical
from workbench.sketch import START_NS, model, sketch, tool, user

RANDOM = re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[47][0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}\b", re.IGNORECASE)
"""UUIDs of version 4 (random) and 7 (time and random), RFC 9562."""
EPOCH = re.compile(r"(?<!\d)(\d{10})(?:\.\d+|\d{3}|\d{6}|\d{9})?(?!\d)")
STAMP = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)[T _-]?(\d\d)[:-]?(\d\d)(?:[:-]?(\d\d))?")
WORD = re.compile(r"[\w:.+-]{6,}")
NEAR_S = 3600


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each act with an unstable key, at the attempt that shows it."""
    keyed = [effect for effect in effects_of(run) if effect.idempotency_key is not None and effect.outcome != "prevented"]
    if not keyed:
        yield NotEvaluated(detector="unstable-key", run_id=run.run_id, why="no idempotency keys recorded")
        return
    heard, said, last = spoken(run), _Said(run), dict[str, Effect]()
    told: set[str] = set()
    for effect in keyed:
        before, last[effect.key] = last.get(effect.key), effect
        if effect.key in told:
            continue
        found = _changed(before, effect, heard) or _made(run.step(effect.step), effect, said)
        if found:
            told.add(effect.key)
            yield _finding(run, effect, before if found[0] == "changed" else None, *found)


class _Said:
    """The words that stood in a run before a step; it is read forward once, so steps are asked for in order."""

    def __init__(self, run: Run) -> None:
        self._steps, self._words = iter(run.steps), set[str]()
        self._next: Step | None = next(self._steps, None)

    def holds(self, word: str, before: int) -> bool:
        """Whether people or tools had given this word before a step."""
        while self._next is not None and self._next.index < before:
            step = self._next
            given = [step.result if step.kind == "tool" else None, step.output.content if step.kind == "human" and step.output else None]
            text = canonical([given, [message.content for message in step.messages if message.role != "assistant"]])
            self._words.update(WORD.findall(text), (found[0] for found in RANDOM.finditer(text)))
            self._next = next(self._steps, None)
        return word in self._words


def _changed(before: Effect | None, effect: Effect, heard: list[tuple[int, str]]) -> tuple[str, str, Severity, float] | None:
    """The key of an attempt that is not the one of the attempt before, although nobody asked anew in between."""
    if before is None or before.idempotency_key == effect.idempotency_key or asked_between(heard, before.step, effect.step):
        return None
    says = f"{before.idempotency_key} at step {before.step}, {effect.idempotency_key} at step {effect.step}"
    return ("changed", says, "error", 0.95) if before.outcome == "unknown" else ("changed", says, "warning", 0.7)


def _made(step: Step, effect: Effect, said: _Said) -> tuple[str, str, Severity, float] | None:
    """A key with the time of the call or a random number in it, unless it was given."""
    key = effect.idempotency_key or ""
    stamp = _time_in(key, step.started_ns)
    random = RANDOM.search(key)
    if (stamp is None and random is None) or said.holds(key, step.index) or (random and said.holds(random[0], step.index)):
        return None
    return ("time", f"it holds the time of the call ({stamp})", "warning", 0.6) if stamp else ("random", "it looks drawn at random", "info", 0.4)


def _time_in(key: str, started_ns: int | None) -> str | None:
    """The part of a key that is a moment within an hour of the call; None where there is none, or the call's time is not known."""
    if started_ns is None:
        return None
    for found in EPOCH.finditer(key):
        if abs(int(found[1]) - started_ns / 1e9) < NEAR_S:
            return found[0]
    for found in STAMP.finditer(key):
        try:
            moment = datetime(*(int(part or 0) for part in found.groups()), tzinfo=UTC)  # type: ignore[misc,arg-type]  # six numbers
        except ValueError:
            continue  # digits that are no date
        if abs(moment.timestamp() - started_ns / 1e9) < NEAR_S:
            return found[0]
    return None


def _finding(run: Run, effect: Effect, before: Effect | None, why: str, says: str, severity: Severity, score: float) -> Finding:
    place = "$.tool_call.arguments" if run.step(effect.step).idempotency_key is None else "$.idempotency_key"
    again = "the key changed between two attempts of the same act: " if before else f"the key {effect.idempotency_key} won't be the same after a restart: "
    return Finding(
        detector="unstable-key",
        run_id=run.run_id,
        severity=severity,
        score=score,
        step=effect.step,
        message=f"{effect.tool} at step {effect.step}: {again}{says}",
        numbers={"why": why, "key": effect.idempotency_key or "", "first_step": before.step if before else effect.step},
        evidence=(
            *([Evidence.cite(run, before.step, "$.tool_call.arguments", "the attempt before")] if before else []),
            Evidence.cite(run, effect.step, place, f"the key of {effect.tool}"),
        ),
        capability="idempotency",
        item="stable-keys",
        refute=f"Fork at step {effect.step} twice with nothing changed: the same key both times refutes this.",
    )


PAY = {"order": "O-7", "amount": 30}
NOW_S = START_NS // 1_000_000_000
UUID = "3f2b8c1e-7a4d-4e6f-9b1a-5c2d7e8f9a01"


def _pays(key: str, **fields: str) -> Step:
    return tool("pay_invoice", PAY | {"idempotency_key": key}, None if fields else "paid", **fields)


FIRES_ON = (
    sketch(user("Pay O-7"), _pays("a-1", error="gateway timed out"), _pays("a-2")),
    sketch(user("Pay O-7"), _pays(f"pay-{NOW_S + 1}")),
    sketch(user("Pay O-7"), _pays(f"O-7-{datetime.fromtimestamp(NOW_S, UTC):%Y-%m-%dT%H:%M:%S}")),
    sketch(user("Pay O-7"), _pays(UUID)),
)
QUIET_ON = (
    sketch(user("Pay O-7"), _pays("pay-O-7", error="gateway timed out"), _pays("pay-O-7")),
    sketch(user("Pay O-7"), _pays("first"), model("Paid."), user("Once more, for my sister"), _pays("second")),
    sketch(user(f"Pay O-7, request {UUID}"), _pays(UUID)),
    sketch(user("Pay O-7"), tool("get_order", {"order": "O-7"}, {"payment_id": UUID}), _pays(f"pay-{UUID}")),
    sketch(user("Pay O-7 as of 2024-01-31"), _pays("O-7-20240131T0900")),
)
