"""Healthy runs of many shapes, and faults planted in them: how many of the planted are found, how many of the healthy are flagged.

A healthy run is made of blocks: look-ups, pages, polling with progress, retries with back-off, acts with keys, approved acts. Whether it has times, tokens,
confidences, checkpoints, prices and several requests varies. A mutation takes the steps of one and plants one fault, which its detector should find.
Everything hangs on the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from uuid import UUID

from workbench.model import Finding, Json, Message, Run, Step, Tokens
from workbench.plugins import Detector
from workbench.sketch import SECOND_NS, START_NS, approval, model, sketch, tool, user

LOOK_UPS = ("search_flights", "get_weather", "list_hotels", "fetchOrder", "read_inbox", "query_stock", "check_visa", "find_customer")
ACTS = ("send_email", "book_train", "create_ticket", "postMessage", "schedule_meeting", "submit_claim", "reserve_table")
STAKES = ("refund_payment", "transfer_money", "pay_invoice", "charge_card", "wire_funds", "purchase_licence")
TRANSIENT = ("503 Service Unavailable", "429 Too Many Requests", "rate limit exceeded, try again later", "the service is overloaded")
PEOPLE = ("ada@example.com", "grace@example.com", "desk@hotel.example", "Linus", "+49 30 1234")


@dataclass
class Shape:
    """What a run records, drawn once a run."""

    chance: Random
    confident: bool
    priced: bool
    checkpointed: bool
    level: float
    at_s: float = 0.0
    invocation: int = 0
    number: int = 0
    steps: list[Step] = field(default_factory=list)

    def fresh(self) -> int:
        """A number that was not used before in this run."""
        self.number += 1
        return self.number

    def add(self, step: Step, *, after_s: float = 0.0, took_s: float | None = None) -> None:
        """Put a step at the end, with the times and ids that this run records."""
        took = self.chance.uniform(0.05, 2.0) if took_s is None else took_s
        self.at_s += after_s + self.chance.uniform(0.005, 0.05)
        start = START_NS + round(self.at_s * SECOND_NS)
        fields: dict[str, Json] = {"started_ns": start, "ended_ns": start + round(took * SECOND_NS), "invocation": self.invocation}
        self.at_s += took
        if self.checkpointed:
            fields |= {"checkpoint_id": f"cp-{len(self.steps)}", "task_id": f"task-{len(self.steps)}", "namespace": "", "joined": "exact"}
        self.steps.append(step.model_copy(update=fields))

    def think(self, *calls: tuple[str, dict[str, Json]], text: str = "") -> None:
        """A model call that asks for these calls, or answers."""
        sure = min(1.0, max(0.0, self.chance.gauss(self.level, 0.03))) if self.confident else None
        counted = Tokens(input=self.chance.randrange(2500, 4000), output=self.chance.randrange(100, 400))
        priced: dict[str, Json] = {"model": "gpt-5-mini"} if self.priced else {}
        self.add(
            model(
                text,
                calls=calls,
                confidence=sure,
                tokens=counted,
                offered=tuple(dict.fromkeys((*LOOK_UPS, *ACTS, *STAKES, *(name for name, _ in calls)))),
                **priced,
            )
        )

    def call(self, name: str, arguments: dict[str, Json], result: Json = None, **fields: Json) -> None:
        """A model call that asks for one tool, and the tool."""
        self.think((name, arguments))
        self.add(tool(name, arguments, result, **fields))

    def arguments(self) -> dict[str, Json]:
        """Arguments that no other call of this run has."""
        n = self.fresh()
        kinds: list[dict[str, Json]] = [
            {"query": f"q{n}", "limit": self.chance.randrange(1, 9)},
            {"customer": f"C-{n}", "details": {"city": "Kyoto", "nights": n}},
            {"order_id": f"O-{n}", "amount": n * 10 + 5},
            {"date": f"2026-04-{1 + n % 28:02}", "to": self.chance.choice(PEOPLE), "text": f"message {n}"},
        ]
        return self.chance.choice(kinds)


# ---- blocks


def look_up(run: Shape) -> None:
    """One look-up that brings something."""
    run.call(run.chance.choice(LOOK_UPS), run.arguments(), {"answer": [run.fresh(), run.chance.random()]})


def side_by_side(run: Shape) -> None:
    """Two look-ups asked for at once."""
    asked = [(run.chance.choice(LOOK_UPS), run.arguments()) for _ in range(2)]
    run.think(*asked)
    for name, arguments in asked:
        run.add(tool(name, arguments, f"found {run.fresh()}"))


def pages(run: Shape) -> None:
    """One list read page by page."""
    name, query = run.chance.choice(LOOK_UPS), f"q{run.fresh()}"
    for page in range(run.chance.randrange(3, 8)):
        run.call(name, {"query": query, "page": page}, {"items": [run.fresh()]})


def polling(run: Shape) -> None:
    """A job asked for until it is done, with pauses; each answer is a stage further."""
    job = {"job_id": f"J-{run.fresh()}"}
    for stage in range(run.chance.randrange(2, 7)):
        run.at_s += 2.0**stage
        run.call("get_job_status", job, {"state": "running", "percent": stage * 15 + run.chance.randrange(15)})
    run.call("get_job_status", job, {"state": "done", "percent": 100})


def patience(run: Shape) -> None:
    """A job asked for at a steady pace while it says the same: that it is at work."""
    job = {"job_id": f"J-{run.fresh()}"}
    for _ in range(run.chance.randrange(3, 7)):
        run.at_s += 30
        run.call("get_job_status", job, {"state": "in_progress"})


def act(run: Shape) -> None:
    """An external act with a key made of what it is about."""
    arguments = run.arguments()
    run.call(run.chance.choice(ACTS), arguments | {"idempotency_key": f"req-{run.fresh()}"}, {"status": "ok", "id": run.fresh()})


def recovered(run: Shape) -> None:
    """An act that code tries again after a passing error, longer and longer apart with jitter, under the same key."""
    name, arguments = run.chance.choice(ACTS), run.arguments() | {"idempotency_key": f"req-{run.fresh()}"}
    run.think((name, arguments))
    for number in range(run.chance.randrange(1, 5)):
        run.add(tool(name, arguments, error=run.chance.choice(TRANSIENT)), after_s=0.0 if number == 0 else 2.0**number * run.chance.uniform(0.7, 1.3))
    run.add(tool(name, arguments, {"status": "ok", "id": run.fresh()}), after_s=20 * run.chance.uniform(0.7, 1.3))


def approved(run: Shape) -> None:
    """A high-stakes act that a person has seen, thought about and approved."""
    name, arguments = run.chance.choice(STAKES), run.arguments()
    question = {"tool": name, "arguments": arguments, "why": "This moves money and can't be taken back. " * run.chance.randrange(1, 8)}
    run.think((name, arguments))
    run.add(approval(question, run.chance.choice(("yes", "approve", True, {"type": "accept"}))), took_s=run.chance.uniform(20, 300))
    run.invocation += run.chance.randrange(2)
    run.add(tool(name, arguments | {"idempotency_key": f"req-{run.fresh()}"}, {"status": "done", "id": run.fresh()}))


def next_request(run: Shape) -> None:
    """An answer, and a person who wants something else."""
    run.think(text=f"Done: {run.fresh()}.")
    run.add(user(f"And now something else, number {run.fresh()}"), after_s=30)


def edited(run: Shape) -> None:
    """A high-stakes act that a person changed before it was carried out, as changed."""
    name, arguments = run.chance.choice(STAKES), {"order": f"O-{run.fresh()}", "amount": 30}
    granted = arguments | {"amount": run.chance.randrange(1, 30)}
    run.think((name, arguments))
    run.add(approval({"action_requests": [{"name": name, "args": arguments}]}, {"type": "edit", "args": {"name": name, "args": granted}}), took_s=60)
    run.add(tool(name, granted | {"idempotency_key": f"req-{run.fresh()}"}, {"status": "done", "id": run.fresh()}))


def refused(run: Shape) -> None:
    """A high-stakes act that a person refused, and that was left at that."""
    name, arguments = run.chance.choice(STAKES), {"order": f"O-{run.fresh()}", "amount": 30}
    run.think((name, arguments))
    run.add(approval({"tool": name, "arguments": arguments}, run.chance.choice(("no", False, {"type": "reject"}))), took_s=30)
    run.think(text=f"I left it at that: {run.fresh()}.")


def asked_for(run: Shape) -> None:
    """A high-stakes act that somebody asked for in so many words; and once more, as they ask for it again."""
    order = f"O-{run.fresh()}"
    for number in range(run.chance.randrange(1, 3)):
        run.think(text=f"What next? ({run.fresh()})")
        run.add(user(f"Please refund order {order}{', the second instalment' * number}"), after_s=20)
        run.call("refund_payment", {"order": order, "idempotency_key": f"req-{run.fresh()}"}, {"status": "done", "id": run.fresh()})


def taken_up(run: Shape) -> None:
    """An act that was in progress when the process died, looked up and carried out under the same key after the restart."""
    name, arguments = run.chance.choice(ACTS), {"ref": f"R-{run.fresh()}", "idempotency_key": f"req-{run.fresh()}"}
    run.think((name, arguments))
    run.add(tool(name, arguments, status="running"))
    run.invocation += 1
    run.call("get_record", {"ref": arguments["ref"]}, {"state": "unknown", "n": run.fresh()})
    run.call(name, arguments, {"status": "ok", "id": run.fresh()})


def awaited(run: Shape) -> None:
    """Somebody is asked, and the run goes on when they have replied."""
    who = run.chance.choice(PEOPLE)
    run.call("send_message", {"to": who, "text": f"question {run.fresh()}", "idempotency_key": f"req-{run.fresh()}"}, "sent, awaiting reply")
    run.think(text=f"I wait for {who}.")
    run.add(user(f"They replied: answer {run.fresh()}"), after_s=600)


BLOCKS: tuple[Callable[[Shape], None], ...] = (
    *(look_up, look_up, look_up, side_by_side, pages, polling, patience, act, act, recovered),
    *(approved, edited, refused, asked_for, taken_up, awaited, next_request),
)


@lru_cache(maxsize=2048)
def healthy(seed: int) -> list[Step]:
    """The steps of a healthy run."""
    chance = Random(seed)
    run = Shape(chance, *(chance.random() < 0.5 for _ in range(3)), level=chance.uniform(0.75, 0.95))
    run.add(user(f"Please handle request {run.fresh()}"))
    for _ in range(chance.randrange(1, 9)):
        chance.choice(BLOCKS)(run)
    run.think(text="All of it is done.")
    return run.steps


def drawn(steps: list[Step] | Run) -> Run:
    """A run of these steps as they stand."""
    return steps if isinstance(steps, Run) else sketch(*steps)


def untimed(run: Run) -> Run:
    """The run as a chat log would have it: no times, no ids of checkpoints."""
    nothing = {"started_ns": None, "ended_ns": None, "checkpoint_id": None, "task_id": None}
    return run.model_copy(update={"steps": tuple(step.model_copy(update=nothing) for step in run.steps), "started_ns": None, "ended_ns": None})


def clean(count: int) -> list[Run]:
    """Healthy runs, each fourth without times."""
    runs = [drawn(healthy(seed)) for seed in range(count)]
    return [untimed(run) if number % 4 == 0 else run for number, run in enumerate(runs)]


# ---- mutations


def insert(steps: list[Step], chance: Random, *planted: Step) -> list[Step]:
    """The steps with these among them, before the final answer and never between a call and its result."""
    places = [number for number, step in enumerate(steps) if step.kind == "model" and number > 0]
    at = chance.choice(places)
    before = steps[at - 1]
    first = START_NS if before.ended_ns is None else before.ended_ns
    fields = {"invocation": before.invocation}
    timed = [
        step.model_copy(update=fields | ({} if step.started_ns is not None else {"started_ns": first + n, "ended_ns": first + n + 1}))
        for n, step in enumerate(planted)
    ]
    return [*steps[:at], *timed, *steps[at:]]


def starting(steps: list[Step], at_s: float, took_s: float = 0.2) -> dict[str, Json]:
    """Times after the end of some steps."""
    last = max((step.ended_ns or step.started_ns or START_NS for step in steps), default=START_NS)
    start = last + round(at_s * SECOND_NS)
    return {"started_ns": start, "ended_ns": start + round(took_s * SECOND_NS)}


def duplicate(steps: list[Step], chance: Random) -> list[Step]:
    """A payment that timed out is made again, without a key."""
    name, call = chance.choice(STAKES), {"order": f"O-{chance.randrange(10**6)}", "amount": 30}
    asked = model(calls=((name, call),))
    return insert(steps, chance, asked, tool(name, call, error="gateway timed out"), *([asked] * chance.randrange(2)), tool(name, call, "charged"))


def strip_key(steps: list[Step], chance: Random) -> list[Step]:
    """One act loses its key."""
    keyed = [number for number, step in enumerate(steps) if step.tool_call and "idempotency_key" in (step.tool_call.arguments or {})]
    if not keyed:
        name = chance.choice(ACTS)
        return insert(steps, chance, model(calls=((name, {"n": 1}),)), tool(name, {"n": 1}, "ok"))
    return _with_arguments(steps, chance.choice(keyed), lambda arguments: {name: value for name, value in arguments.items() if name != "idempotency_key"})


def change_key(steps: list[Step], chance: Random) -> list[Step]:
    """An act gets a key that changes, that is drawn, or that holds the time."""
    name, call = chance.choice(ACTS), {"order": f"O-{chance.randrange(10**6)}"}
    now = (steps[0].started_ns or START_NS) // SECOND_NS + 5
    drawn_key = str(UUID(int=chance.getrandbits(128), version=4))
    made = chance.choice(("changes", drawn_key, f"{name}-{drawn_key}", f"req-{now}", f"{now}123"))
    if made != "changes":
        return insert(steps, chance, model(calls=((name, call),)), tool(name, call | {"idempotency_key": made}, "ok", **starting(steps[:1], 5)))
    attempts = [tool(name, call | {"idempotency_key": key}, error=error) for key, error in (("a1", "connection reset"), ("b2", None))]
    return insert(steps, chance, model(calls=((name, call),)), *attempts)


def retry_the_permanent(steps: list[Step], chance: Random) -> list[Step]:
    """A refused call is made again, by code or by the model, or as an engine counts it."""
    name, call = chance.choice(LOOK_UPS), {"item": f"I-{chance.randrange(10**6)}"}
    error = chance.choice(
        ("HTTP 403 Forbidden", "ValidationError: 'item' is not a number", "401 Unauthorized", "PermissionError: access denied", "No such item: not found")
    )
    ask, failed = model(calls=((name, call),)), tool(name, call, error=error)
    how = chance.randrange(3)
    if how == 0:
        return insert(steps, chance, ask, tool(name, call, error=error, attempts=chance.randrange(2, 6)))
    return insert(steps, chance, ask, *([failed] * chance.randrange(2, 5) if how == 1 else [failed, ask, failed]))


def hurry(steps: list[Step], chance: Random) -> list[Step]:
    """Code tries a failing look-up again at a steady pace, at once, or doubling to the millisecond."""
    name, call = chance.choice(LOOK_UPS), {"item": f"I-{chance.randrange(10**6)}"}
    count, pace = chance.randrange(4, 8), chance.choice((0.01, 0.5, 1.0, 5.0))
    waits = [pace * (2**n if pace >= 0.5 and count % 2 else 1) for n in range(count)]
    at_s, attempts = 1.0, []
    for wait in waits:
        attempts.append(tool(name, call, error=chance.choice(TRANSIENT), **starting(steps[:1], at_s, 0.2)))
        at_s += 0.2 + wait
    return insert(steps, chance, model(calls=((name, call),)), *attempts)


def begin_again(steps: list[Step], chance: Random) -> list[Step]:
    """The process dies in the middle and begins from the start."""
    steps = [
        *steps[:1],
        *(step for n in range(3) for step in (model(calls=(("fetch_page", {"n": n}),)), tool("fetch_page", {"n": n}, f"page {n}"))),
        *steps[1:],
    ]
    cuts = [number for number, step in enumerate(steps) if step.kind == "tool" and number >= 6]
    return [*steps[: chance.choice(cuts) + 1], *(step.model_copy(update={"invocation": step.invocation + 10}) for step in steps)]


def nag(steps: list[Step], chance: Random) -> list[Step]:
    """The agent writes again and again to somebody who has yet to reply."""
    who = f"{chance.randrange(10**6)}@hotel.example"
    return insert(steps, chance, *(tool("send_message", {"to": who, "text": f"{n}?"}, "sent, no reply yet") for n in range(chance.randrange(4, 9))))


def go_round(steps: list[Step], chance: Random) -> list[Step]:
    """The same calls bring the same, over and over, but for the time."""
    period, rounds = chance.randrange(1, 30), chance.randrange(4, 9)
    calls = [tool(chance.choice(LOOK_UPS), {"item": f"I-{chance.randrange(10**6)}"}, {"rows": [], "took_ms": 1}) for _ in range(period)]
    again = [step.model_copy(update={"result": {"rows": [], "took_ms": n}}) for n in range(rounds) for step in calls]
    return insert(steps, chance, *again)


def lose_footing(steps: list[Step], chance: Random) -> list[Step]:
    """Confidence falls and stays low."""
    before, after = chance.randrange(6, 15), chance.randrange(8, 15)
    sure = [max(0.0, min(1.0, chance.gauss(level, 0.02))) for level in [0.9] * before + [0.5] * after]
    return [
        *steps[:1],
        *(step for n, level in enumerate(sure) for step in (model(calls=(("get_page", {"n": n}),), confidence=level), tool("get_page", {"n": n}, n))),
    ]


def act_in_a_task(steps: list[Step], chance: Random) -> list[Step]:
    """An act without a key shares its task with a pause after it, with another act, or with the decision."""
    name, call, task = chance.choice(ACTS), {"n": chance.randrange(10**6)}, {"task_id": "shared", "checkpoint_id": "before", "namespace": ""}
    done, thought = tool(name, call, "ok", **task), model(calls=((name, call),))
    cases: tuple[tuple[Step, ...], ...] = (
        (thought, done, approval("Go on?", "yes", **task)),
        (thought, done, tool(chance.choice(ACTS), {"m": 1}, "ok", **task)),
        (thought.model_copy(update=task), done),
    )
    return insert(steps, chance, *chance.choice(cases))


def leave_a_step(steps: list[Step], chance: Random) -> list[Step]:
    """A call is begun and never ends; the run goes on, in the same process or the next."""
    name, call = chance.choice(ACTS), {"ref": f"R-{chance.randrange(10**6)}"}
    begun = tool(name, call, status="running", started_ns=START_NS)
    places = [number for number, step in enumerate(steps) if step.kind == "model" and number > 0]
    at, later = chance.choice(places), chance.randrange(2)
    return [*steps[:at], begun.model_copy(update={"invocation": steps[at].invocation}), *(_later(step, later) for step in steps[at:])]


def _later(step: Step, invocations: int) -> Step:
    return step.model_copy(update={"invocation": step.invocation + invocations})


def stop_short(steps: list[Step], chance: Random) -> list[Step]:
    """The record ends with a call that was asked for, or with a question nobody answered, and the run counts as finished."""
    name, call = chance.choice(LOOK_UPS), {"item": chance.randrange(10**6)}
    ask = model(calls=((name, call),))
    return [*steps[:-1], ask] if chance.randrange(2) else [*steps[:-1], ask, approval({"tool": name, "arguments": call})]


def go_back(steps: list[Step], chance: Random) -> list[Step]:
    """The thread goes back to a checkpoint it had moved on from; an act was done since, or its result turns up later."""
    act_done = tool(chance.choice(ACTS), {"n": chance.randrange(10**6), "idempotency_key": "k"}, "done")
    looked = tool(chance.choice(LOOK_UPS), {"n": chance.randrange(10**6)}, "found")
    acts = chance.randrange(2)
    left = (act_done if acts else looked).model_copy(update={"tool_call": (act_done if acts else looked).tool_call.model_copy(update={"call_id": "left"})})  # type: ignore[union-attr]  # a tool step has a call
    given = () if acts else (Message(role="tool", content="found", tool_call_id="left"),)
    line = [(model(calls=(("x", {}),)), "b0"), (left, "b1"), (model("Done."), "b2")]
    again = [(model(calls=(("y", {}),)), "b0"), (model("Otherwise.", messages=given), "b3")]
    last = steps[-2].invocation if len(steps) > 1 else 0
    first = [_placed(step, place, f"t-{place}", last) for step, place in line]
    second = [_placed(step, place, f"u-{place}", last + 1) for step, place in again]
    return [*steps[:-1], *first, *second, _later(steps[-1], 1)]


def _placed(step: Step, checkpoint: str, task: str, invocation: int) -> Step:
    fields = {"checkpoint_id": checkpoint, "task_id": task, "namespace": "", "invocation": invocation, "started_ns": START_NS, "ended_ns": START_NS + 1}
    return step.model_copy(update=fields)


def skip_the_gate(steps: list[Step], chance: Random) -> list[Step]:
    """A high-stakes act that nobody asked for goes without approval, or against a refusal."""
    name, call = "delete_account", {"account": chance.randrange(10**6)}
    ask, done = model(calls=((name, call),)), tool(name, call, "gone")
    refused = approval({"tool": name, "arguments": call}, chance.choice(("no", "reject", False, {"type": "reject"})))
    return insert(steps, chance, *((ask, refused, done) if chance.randrange(2) else (ask, done)))


def gamble(steps: list[Step], chance: Random) -> list[Step]:
    """An act is decided at less than even odds, and carried out."""
    name, call = chance.choice(ACTS), {"n": chance.randrange(10**6), "idempotency_key": "k"}
    return insert(steps, chance, model(calls=((name, call),), confidence=chance.uniform(0.05, 0.49)), tool(name, call, "ok"))


def alter(steps: list[Step], chance: Random) -> list[Step]:
    """What is carried out differs in one argument from what was approved."""
    name, call = chance.choice(STAKES), {"order": f"O-{chance.randrange(10**6)}", "amount": 30, "to": "ada@example.com"}
    changed = call | chance.choice(({"amount": 300}, {"to": "eve@example.com"}, {"order": "O-0"}))
    question: Json = {"tool": name, "arguments": call}
    if chance.randrange(2):
        question = {"action_requests": [{"name": name, "args": call}], "review_configs": []}
    return insert(steps, chance, model(calls=((name, call),)), approval(question, "approve"), tool(name, changed | {"idempotency_key": "k"}, "ok"))


def let_it_lie(steps: list[Step], chance: Random) -> list[Step]:
    """An approval is used days later, or after the price it rested on had changed."""
    name, call = chance.choice(STAKES), {"order": f"O-{chance.randrange(10**6)}"}
    look = model(calls=(("get_price", call),))
    gate, keyed = approval({"tool": name, "arguments": call}, "yes", **starting(steps, 1, 40)), call | {"idempotency_key": "k"}
    done = tool(name, keyed, "ok", **starting(steps, chance.uniform(30, 200) * 3600))
    if chance.randrange(2):
        return [*steps[:-1], gate, done, steps[-1]]
    return [*steps[:-1], look, tool("get_price", call, 30), gate, tool("get_price", call, 42), tool(name, keyed, "ok", **starting(steps, 60)), steps[-1]]


def wave_through(steps: list[Step], chance: Random) -> list[Step]:
    """A long question is approved at once."""
    name, call = chance.choice(STAKES), {"order": f"O-{chance.randrange(10**6)}"}
    question = {"tool": name, "arguments": call, "terms": "All of this can't be undone. " * chance.randrange(20, 60)}
    gate = approval(question, "yes", **starting(steps[:1], 1, chance.uniform(0.2, 2)))
    return insert(steps, chance, model(calls=((name, call),)), gate, tool(name, call | {"idempotency_key": "k"}, "ok"))


def overspend(steps: list[Step], chance: Random) -> Run:
    """The run declares a limit that it passes, or a limit cuts it off."""
    if chance.randrange(2):
        error = chance.choice(("GraphRecursionError: Recursion limit of 25 reached", "agent stopped: max iterations reached", "token budget exceeded"))
        return sketch(*steps[:-1], model("", status="error", error=error, **starting(steps, 1)), status="error")
    spent = max(1000, sum(step.tokens.input or 0 for step in steps))
    limit: dict[str, Json] = chance.choice(({"token_budget": spent // 2}, {"limits": {"maxTotalTokens": spent // 3}}, {"config": {"max_turns": 1}}))
    more = [model(calls=(("get_page", {}),), tokens=Tokens(input=spent, output=5), **starting(steps, 1)), tool("get_page", {}, "x", **starting(steps, 2))]
    return sketch(*steps[:-1], *more, steps[-1], metadata=limit)


def unbind(steps: list[Step], chance: Random) -> Run:
    """A limit is off, or there is none and hundreds of calls."""
    off: dict[str, Json] = chance.choice(
        ({"max_iterations": None}, {"config": {"max_turns": -1}}, {"limits": {"maxSteps": "unlimited"}}, {"recursion_limit": 10**6})
    )
    return sketch(*steps, metadata=off) if chance.randrange(2) else sketch(*steps[:-1], *(model(f"{n}") for n in range(250)), steps[-1])


def pile_up(steps: list[Step], chance: Random) -> list[Step]:
    """Each call of a node reads more than the one before."""
    start, more, count = chance.randrange(1000, 5000), chance.randrange(2500, 9000), chance.randrange(10, 30)
    reads = [model(calls=(("get_page", {"n": n}),), tokens=Tokens(input=start + n * more, output=80), node="reader") for n in range(count)]
    return insert(steps, chance, *(one for n, read in enumerate(reads) for one in (read, tool("get_page", {"n": n}, f"page {n}"))))


def splurge(steps: list[Step], chance: Random) -> list[Step]:
    """A large model routes trifles."""
    tokens = Tokens(input=chance.randrange(50, 900), output=chance.randrange(1, 20))
    large = model("billing", model=chance.choice(("gpt-5", "gpt-4o", "claude-opus-4-1", "claude-sonnet-4-5-20250929")), tokens=tokens)
    return insert(steps, chance, *[large] * chance.randrange(40, 60))


def look_again(steps: list[Step], chance: Random) -> list[Step]:
    """Look-ups are made again although nothing has changed."""
    looks = [tool(name, {"item": f"I-{n}-{chance.randrange(10**6)}"}, f"found {n}") for n, name in enumerate(LOOK_UPS[: chance.randrange(3, 8)])]
    return insert(steps, chance, *looks * (3 + len(steps) // len(looks) // 2))


# ---- what goes wrong silently


def answering(steps: list[Step], text: str, *planted: Step) -> list[Step]:
    """The steps with these before the final answer, which says this."""
    return [*steps[:-1], *planted, model(text)]


def boast(steps: list[Step], chance: Random) -> list[Step]:
    """The last answer says that an act was done which was never tried or always failed."""
    verb, said = chance.choice((("cancel", "cancelled"), ("upgrade_and_cancel", "cancelled"), ("delete_account", "deleted"), ("update_profile", "updated")))
    planted = (tool(verb, {"item": 1}, error="not allowed"),) if chance.randrange(2) else ()
    kept = steps if planted else [step for step in steps if step.kind != "tool" or step.name in LOOK_UPS]
    looked = (tool("search_items", {}, ["one"]),)
    return answering(kept, chance.choice((f"Your item has been {said}.", f"I have successfully {said} it.", f"The item is now {said}.")), *looked, *planted)


def pass_over(steps: list[Step], chance: Random) -> list[Step]:
    """A call fails, nothing makes up for it, and the answer states success."""
    failed = tool("pay_deposit", {"booking": "B-7"}, error=chance.choice(("card expired", "account closed", "not permitted")))
    words = chance.choice(
        ("I have paid the deposit of B-7.", "The deposit has been paid.", "Your booking has been confirmed and paid. I have sent the letter.")
    )
    return answering(steps, words.replace("confirmed and paid", "paid"), failed)


def misquote(steps: list[Step], chance: Random) -> list[Step]:
    """The answer gives another figure or state than the result."""
    if chance.randrange(2):
        paid = tool("refund_booking", {"booking": "B-7"}, {"status": chance.choice(("declined", "pending", "rejected", "failed")), "booking": "B-7"})
        return answering(steps, "Your booking has been refunded.", paid)
    price = chance.randrange(10_000, 99_000)
    return answering(steps, f"The grand total is {price + chance.randrange(1, 900)} EUR.", tool("get_quote", {"trip": "T-7"}, {"grand_total": price}))


def invent(steps: list[Step], chance: Random) -> list[Step]:
    """A search brings nothing and the answer names something."""
    nothing = chance.choice(([], {"hotels": []}, "[]", None, ""))
    answer = chance.choice(("All set: the room is at the Kikyo.", "You can write to kikyo@inn.example.", "Your place is at Kikyo, booked under KX7731."))
    return answering(steps, answer, tool("search_inns", {"town": "Nara"}, nothing))


def cut_off(steps: list[Step], chance: Random) -> list[Step]:
    """A result or the answer is cut off."""
    if chance.randrange(2):
        return answering(steps, "It has many lines.", tool("read_report", {}, f"line {chance.randrange(9)}\n" * 9 + "... [output truncated]"))
    return answering(steps, "The trip is planned as you wished and each day has its sights. " * 5 + "On the last day you will go to the", tool("look", {}, 1))


def give_up(steps: list[Step], chance: Random) -> list[Step]:
    """The last word owns defeat, or nobody speaks after the last result."""
    if chance.randrange(2):
        return answering(
            steps, chance.choice(("I was not able to find it.", "I could not complete the request.", "I'm unable to do this.")), tool("look", {}, 1)
        )
    return [*steps[:-1], model(calls=(("look_up", {"n": 1}),)), tool("look_up", {"n": 1}, "found")]


def ask_for_the_unoffered(steps: list[Step], chance: Random) -> list[Step]:
    """The model asks for a tool that it was not offered."""
    name = chance.choice(("issueRefund", "drop_table", "get_wether"))
    return insert(steps, chance, model(calls=((name, {}),), offered=LOOK_UPS), tool(name, {}, error="no such tool"))


def misuse(steps: list[Step], chance: Random) -> Run:
    """The model asks for a tool without an argument that it requires, or with one of another type or value than its schema allows."""
    kinds: tuple[dict[str, Json], ...] = ({"type": "string"}, {"type": "integer"}, {"enum": ["refund", "exchange"]})
    schema: dict[str, Json] = {"type": "object", "properties": dict(zip(("ref", "count", "kind"), kinds, strict=True)), "required": ["ref"]}
    good: dict[str, Json] = {"ref": f"R-{chance.randrange(1000)}", "count": 2, "kind": "refund"}
    bad = good | chance.choice(({"ref": [1]}, {"count": "two"}, {"kind": "return"}))
    given = chance.choice((bad, {"count": 2}))
    both = (step for one in (good, given) for step in (model(calls=(("get_policy", one),)), tool("get_policy", one, f"policy for {one}")))
    return sketch(*insert(steps, chance, *both), tools=("get_policy",), schemas={"get_policy": schema})


def stand_in(steps: list[Step], chance: Random) -> list[Step]:
    """An act is given a stand-in, or a number comes as a text at last."""
    if chance.randrange(2):
        return insert(steps, chance, tool("update_profile", {"email": chance.choice(("<email>", "{{email}}", "your_email", "[your email]", "TBD"))}, "ok"))
    return insert(steps, chance, *(tool("reserve_seats", {"count": count}, "ok") for count in [*range(1, chance.randrange(6, 9)), "two"]))


def to_and_fro(steps: list[Step], chance: Random) -> list[Step]:
    """Two agents hand the work to each other."""
    turns = [model("This is for the other desk to decide.", name=name) for name in ("booking desk", "billing desk") * chance.randrange(4, 12)]
    return insert(steps, chance, *turns)


def _with_arguments(steps: list[Step], number: int, change: Callable[[dict[str, Json]], dict[str, Json]]) -> list[Step]:
    step = steps[number]
    assert step.tool_call is not None
    call = step.tool_call.model_copy(update={"arguments": change(step.tool_call.arguments or {})})
    return [*steps[:number], step.model_copy(update={"tool_call": call}), *steps[number + 1 :]]


PLANTED: dict[str, Callable[[list[Step], Random], list[Step] | Run]] = {
    "abandoned-branch": go_back,
    "abandoned-step": leave_a_step,
    "anomalous-arguments": stand_in,
    "anomalous-tool-choice": ask_for_the_unoffered,
    "altered-after-approval": alter,
    "budget-exceeded": overspend,
    "confidence-drift": lose_footing,
    "contradicted-result": misquote,
    "duplicated-effect": duplicate,
    "effect-before-checkpoint": act_in_a_task,
    "empty-result-used": invent,
    "goal-unmet": give_up,
    "handoff-ping-pong": to_and_fro,
    "hasty-retries": hurry,
    "ignored-tool-error": pass_over,
    "lost-progress": begin_again,
    "missing-idempotency-key": strip_key,
    "missing-limit": unbind,
    "oversized-model": splurge,
    "retry-of-permanent-error": retry_the_permanent,
    "rubber-stamp": wave_through,
    "runaway-loop": go_round,
    "stale-approval": let_it_lie,
    "token-growth": pile_up,
    "truncated-text": cut_off,
    "undeclared-call": misuse,
    "unapproved-action": skip_the_gate,
    "unescalated-doubt": gamble,
    "unfinished-run": stop_short,
    "unstable-key": change_key,
    "unsupported-success-claim": boast,
    "waiting-ignored": nag,
    "wasted-calls": look_again,
}
"""The mutation for each detector that is tested this way."""


def found(detector: Detector, run: Run) -> list[Finding]:
    """What a detector finds in a run."""
    return [finding for finding in detector.detect(run) if isinstance(finding, Finding)]


def convicts(findings: list[Finding]) -> list[Finding]:
    """Those of severity error."""
    return [finding for finding in findings if finding.severity == "error"]


def planted(name: str, seed: int) -> Run:
    """A healthy run with the fault planted that this detector looks for."""
    return drawn(PLANTED[name](healthy(seed), Random(seed)))


def told_of(detector: Detector, seed: int) -> tuple[list[Finding], list[Finding]]:
    """What is found in a run with a planted fault, and in the same run without it."""
    return found(detector, planted(detector.name, seed)), found(detector, drawn(healthy(seed)))


def missed(detector: Detector, seeds: range) -> list[int]:
    """The seeds whose planted fault a detector doesn't find. A fault that the healthy run already seemed to have doesn't count as found."""
    pairs = ((seed, *told_of(detector, seed)) for seed in seeds)
    return [seed for seed, faulty, sound in pairs if len(faulty) <= len(sound)]
