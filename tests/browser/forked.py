"""Runs to fork, forks and receipts for the tests of what one clicks: made by hand, so that no process is started."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.browser.runs import booked_twice
from workbench.model import CallCounts, CallRecord, Change, Check, EffectCount, Interaction, Json, NodeCount, Receipt, Run, Spent
from workbench.replay.changes import check
from workbench.replay.effects.approvals import Question
from workbench.replay.exchanges import meant_by, of_http
from workbench.replay.exchanges import wanted as asked_of
from workbench.replay.forecast import Expected, Forecast, Reachable
from workbench.report.forecasts import Foreseen

BOOKING = {"booking_id": "BK-1001", "status": "confirmed"}
BOOKED = 'book_flight(flight="NH 11", passenger="Ada", price={"amount":412.8,"currency":"USD"})'


def question(**fields: Any) -> Question:
    """A tool that is about to be called for real."""
    told = {"run_id": "booked-twice~1", "kind": "tool", "name": "book_flight", "effect": "effect", "guessed": True, "key": 'book_flight(flight="NH 11")'}
    return Question(**{**told, "arguments": {"flight": "NH 11", "note": "für\u202eAda"}, "idempotency_key": "wb-0123456789abcdef", **fields})


def record(answer: str = "served", **fields: Any) -> CallRecord:
    """One call of a fork."""
    return CallRecord(
        **{"kind": "tool", "name": "search_flights", "node_path": "tools", "answer": answer, "arguments": {"to": "OSA"}, "from_step": 4, **fields}
    )


def receipt(*, clean: bool = True, **fields: Any) -> Receipt:
    """What a fork of the flight booked twice was asked and what ran."""
    checks = (
        Check(name="recording untouched", verdict="pass", says="the recorded database has the hash it had before"),
        Check(name="nothing halted", verdict="pass" if clean else "fail", says="every call was answered" if clean else "1 halted: tool cancel_booking"),
        Check(name="live as approved", verdict="not applicable", says="nothing went live"),
        Check(name="isolation reached", verdict="pass", says="the level process was asked for and reached"),
    )
    halted = (
        () if clean else (record("halted", name="cancel_booking", from_step=None, says="no recording of tool cancel_booking\nnearest: book_flight at step 9"),)
    )
    whole: dict[str, Any] = {
        "run_id": "booked-twice~1",
        "parent_run_id": "booked-twice",
        "forked_at_step": 9,
        "change": Change(kind="tool_result", value=BOOKING),
        "live": ("model",),
        "graph": "agent:graph",
        "calls": CallCounts(served=2, live=1, halted=len(halted)),
        "records": (record(), record("edited", name="book_flight", from_step=9), record("live", kind="model", name="gpt-5", from_step=None), *halted),
        "effects": (EffectCount(tool="book_flight", key=BOOKED, original=2, fork=0, became={"edited": 1}),),
        "outcome": "Booked NH 11, once." if clean else "halted: no recording of tool cancel_booking",
        "isolation": "sandboxed: no network (a namespace), no programs (Landlock ABI 7)",
        "isolation_asked": "process",
        "isolation_reached": "process",
        "parent_sha256": {"/traces/checkpoints.sqlite": "ab" * 32},
        "seconds": 2.4,
        "nodes": (NodeCount(node="agent", asked=2, ran=1), NodeCount(node="tools", asked=2, ran=2)),
        "attempts": {"attempted": 0, "served": 0, "edited": 1},
        "spent": Spent(model_calls=1, steps=4),
        "checks": checks,
    }
    return Receipt(**{**whole, **fields})


def forked(run: Run) -> Run:
    """A fork whose first booking answered in time."""
    steps = list(run.steps)
    booked = steps[9].model_copy(update={"result": BOOKING, "error": None, "status": "ok", "notes": ("edited",)})
    own = (*steps[:9], booked, steps[12].model_copy(update={"index": 10}))
    return run.model_copy(update={"run_id": "booked-twice~1", "forked_from": run.run_id, "forked_at_step": 9, "steps": own})


def exchange(method: str, path: str, body: str) -> Interaction:
    """An HTTP call of a node, as it was recorded."""
    url = f"https://api.example/{path}"
    answered = {"status": 200, "headers": [["content-type", "application/json"]], "body": body}
    return Interaction(kind="http", name=f"{method} {url}", node_path="quote", arguments={"method": method, "url": url, "body": None}, result=answered, step=0)


class Recorded:
    """A recorded run whose forks are played: `play(given)` is called in the fork's thread, and may ask and be stopped."""

    def __init__(self, run: Run | None = None, play: Callable[[dict[str, Any]], None] = lambda _: None, state: dict[str, Json] | None = None) -> None:
        self.run = run or booked_twice()
        self.run_id = self.run.run_id
        self.receipt: Receipt | None = None
        self.play, self.held = play, state or {"messages": ["Book NH 11"], "budget": 900}
        self.calls: dict[int, Sequence[Interaction]] = {}
        self.asked: list[dict[str, Any]] = []
        self.foreseen = threading.Lock()

    def state(self, index: int) -> dict[str, Json]:
        """The full state before a step."""
        return self.held

    def exchanges(self, index: int) -> Sequence[Interaction]:
        """The HTTP calls of its nodes."""
        return self.calls.get(index, ())

    def fork(self, at: int, **given: Any) -> Recorded:
        """Play a fork."""
        self.asked.append({"at": at, **{name: one for name, one in given.items() if name not in ("approve", "watch")}})
        self.play(given)
        made = forked(self.run) if len(self.run.steps) > 12 else self.run  # what `forked` needs
        found = Recorded(made.model_copy(update={"run_id": f"{self.run_id}~1", "forked_from": self.run_id, "forked_at_step": at}))
        found.receipt = receipt(clean=not given["watch"].stopped_by)
        return found

    def foresee(self, at: int, live: Any = (), **change: Any) -> Foreseen:
        """A forecast of the right form."""
        kind, value = next(iter(change.items()), ("none", None))
        wanted = Change(kind=kind, value=value)
        step = self.run.step(at)
        if of_http(wanted, step):
            meant_by(asked_of(wanted).call, self.exchanges(at), step)
        else:
            check(self.run, at, wanted, live)
        steps = (
            Expected(step=9, kind="tool", name="book_flight", how="edited"),
            Expected(
                step=10, kind="model", name="chat gpt-5", how="live" if "model" in live else "halts", says="" if "model" in live else "name the model as live"
            ),
        )
        tools = (Reachable(name="book_flight", effect="effect", guessed=True, recorded=2, live="tool:book_flight" in live),)
        return Foreseen(Forecast(run_id=self.run_id, at=at, change=wanted, live=tuple(live), kept=9, steps=steps, tools=tools, risk="high", level="process"))
