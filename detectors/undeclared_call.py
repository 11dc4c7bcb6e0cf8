"""A call that the agent's declared tools don't cover: a tool that was not offered, arguments that are no object or break the tool's own schema.

What was offered is what the run or its model calls recorded, schemas too where they did: a required argument that is missing, a type or value that is not
allowed, an argument nobody declared. Only what a model asked for counts, as code may call what it likes: in its answers, or in the history that the first
call of the run was given. That the tool answered with a result all the same makes it worse: nothing checked. What most tools take without harm (a number
as text, an argument too many) is a hint.

Why it matters: a made-up tool or a broken call is the model's error to catch; one that runs unchecked is a door.
What to do: validate each call against the declared tools and their schemas before it runs, and answer a bad one with what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from workbench.analysis.effects import SAYS_ERROR, failure
from workbench.analysis.schemas import Departure, departures
from workbench.model import Evidence, Finding, Json, Message, NotEvaluated, Run, Step, ToolCall
from workbench.sketch import model, sketch, tool, user

INDEX = re.compile(r"\[\d+\]")
MOST = 20
"""How many ways of breaking schemas are told of a run."""


class Made(NamedTuple):
    """A call that was made: the step that tells of it, the path there, the call, and whether it was answered with an error."""

    step: Step
    path: str
    call: ToolCall
    refused: bool


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each tool that was not offered, each call whose arguments can't be read, and each way in which arguments break their tool's schema."""
    asked = {call.name for step in run.of_kind("model") if step.output for call in step.output.tool_calls}
    steps = [step for step in run.of_kind("tool") if step.tool_call is not None and step.name in asked]
    calls = [*_earlier(run), *(Made(step, "$.tool_call", step.tool_call, failure(step) is not None) for step in steps if step.tool_call)]
    offered = _offered(run)
    if not calls or not offered:
        yield NotEvaluated(
            detector="undeclared-call", run_id=run.run_id, why="no tool calls of a model recorded" if not calls else "the tools offered were not recorded"
        )
    elif not run.schemas:
        yield NotEvaluated(detector="undeclared-call", run_id=run.run_id, why="the schemas of the tools were not recorded: arguments are not checked")
    known = set[str]()
    for made in calls:
        name, call = made.call.name, made.call
        if offered and name not in offered and name not in known and made.step.kind == "tool":
            known.add(name)
            yield _finding(run, made, f"{name} was called and is none of the {len(offered)} tools offered", len(offered))
        if call.arguments is None and (call.raw or "").lstrip()[:1] in {"{", "["}:
            yield _finding(run, made, f"{name} was called with arguments that are no JSON object", len(offered))
    yield from _against_schemas(run, calls, len(offered))


def _offered(run: Run) -> frozenset[str]:
    """Every tool that the run, or any of its model calls, says was offered."""
    decided = (name for step in run.of_kind("model") if step.decision for name in step.decision.alternatives or ())
    return frozenset((*(run.tools or ()), *decided))


def _earlier(run: Run) -> Iterator[Made]:
    """The calls in the history that the first model call of a run was given: made before the run, or within a call that recorded all at once.

    Another agent may have made them, with tools of its own: only what this one has a schema for can be held against that.
    """
    first = next(run.of_kind("model"), None)
    messages = first.messages if first else ()
    answers = {message.tool_call_id: message for message in messages if message.role == "tool"}
    for number, message in enumerate(messages if first else ()):
        for place, call in enumerate(message.tool_calls if message.role == "assistant" else ()):
            if first and call.call_id in answers:
                yield Made(first, f"$.messages[{number}].tool_calls[{place}]", call, _refused(answers[call.call_id]))


def _refused(answer: Message) -> bool:
    return bool(answer.error) or SAYS_ERROR.match(answer.content) is not None


def _against_schemas(run: Run, calls: list[Made], offered: int) -> Iterator[Finding]:
    """What a model asked for against the schemas it had; each way of breaking one is told once, at the first call that does."""
    told = set[tuple[str, str]]()
    for step, path, call in _asked(run, calls):
        for one in departures(call.arguments or {}, run.schemas.get(call.name)) if call.arguments is not None else ():
            place = call.name, INDEX.sub("", one.path)
            if place not in told and len(told) < MOST and (made := _made(call, step, calls)) is not None:
                told.add(place)
                elsewhere = () if made.step is step else (Evidence.cite(run, step.index, path, "as asked for"),)
                yield _finding(run, made, f"{call.name} was asked for with arguments that break its schema: {one.says}", offered, one, *elsewhere)


def _asked(run: Run, calls: list[Made]) -> Iterator[tuple[Step, str, ToolCall]]:
    """Each call that a model asked for, and where it says so."""
    yield from ((made.step, made.path, made.call) for made in calls if made.step.kind == "model")
    for step in run.of_kind("model"):
        for number, call in enumerate(step.output.tool_calls if step.output else ()):
            yield step, f"$.output.tool_calls[{number}]", call


def _made(asked: ToolCall, step: Step, calls: list[Made]) -> Made | None:
    """The call that a model asked for as it was made; None where it never was."""
    later = [one for one in calls if one.call is asked or (one.step.index > step.index and one.step.name == asked.name)]
    same = (one for one in later if one.call is asked or (asked.call_id and one.call.call_id == asked.call_id))
    return next(same, next(iter(later), None))


def _finding(run: Run, made: Made, what: str, offered: int, broken: Departure | None = None, *more: Evidence) -> Finding:
    slight, index = broken is not None and broken.slight, made.step.index
    numbers: dict[str, float | int | str] = {"offered": offered, "refused": int(made.refused)}
    return Finding(
        detector="undeclared-call",
        run_id=run.run_id,
        severity="info" if made.refused or slight else "warning",
        score=0.3 if slight else 0.4 if made.refused else 0.6,
        step=index,
        message=f"{what}, at step {index}; " + ("it was refused" if made.refused else "it was answered all the same"),
        numbers=numbers if broken is None else numbers | {"argument": broken.path},
        evidence=(Evidence.cite(run, index, made.path, "what was called"), *more),
        capability="security",
        item="input-validation",
        refute=f"Fork at step {index} with an error that lists the tools offered as the result: a sound agent calls one of those.",
    )


BOOK: dict[str, Json] = {"type": "object", "properties": {"flight": {"type": "string"}, "seats": {"type": "integer"}}, "required": ["flight"]}


def _books(**arguments: Json) -> Run:
    asked = model(calls=(("book_flight", arguments),))
    return sketch(user("Book NH 11"), asked, tool("book_flight", arguments, "booked"), tools=("book_flight",), schemas={"book_flight": BOOK})


HISTORY = (
    Message(role="user", content="Book NH 11"),
    Message(role="assistant", content="", tool_calls=(ToolCall(name="book_flight", call_id="c1", arguments={"seats": 2}),)),
    Message(role="tool", content="booked", tool_call_id="c1"),
)

FIRES_ON = (
    _books(seats=2),
    sketch(model("It is booked.", messages=HISTORY), tools=("book_flight",), schemas={"book_flight": BOOK}),
    _books(flight="NH 11", seats="two"),
    _books(flight="NH 11", window=True),
    sketch(user("Book it"), model(calls=(("book_flihgt", {"n": 1}),)), tool("book_flihgt", {"n": 1}, "booked"), tools=("book_flight", "search")),
    sketch(user("Book it"), model(calls=(("pay", {}),), offered=("book",)), tool("pay", {"n": 1}, error="unknown tool pay")),
)
QUIET_ON = (
    _books(flight="NH 11"),
    _books(flight="NH 11", seats=None),
    sketch(model("It is booked.", messages=HISTORY), tools=("refund",), schemas={"refund": BOOK}),
    sketch(model("It is booked.", messages=HISTORY[:2]), tools=("book_flight",), schemas={"book_flight": BOOK}),
    sketch(user("Book it"), model(calls=(("book_flight", {"n": 1}),)), tool("book_flight", {"n": 1}, "booked"), tools=("book_flight", "search")),
    sketch(user("Book it"), model(calls=(("book_flight", {"n": 1}),)), tool("book_flight", {"n": 1}, "booked")),
    sketch(user("Book it"), model(calls=(("search", {}),)), tool("search", {}, "one"), tool("audit", {"n": 1}, "noted by the code"), tools=("search",)),
    sketch(user("Book it"), model("Booking.", offered=("book",)), model(calls=(("pay", {}),), offered=("pay",)), tool("pay", {"n": 1}, "paid")),
)
