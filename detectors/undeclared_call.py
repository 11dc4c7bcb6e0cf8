"""A call that the agent's declared tools don't cover: a tool that was not offered, arguments that are no object or break the tool's own schema.

What was offered is what the run or its model calls recorded, schemas too where they did: a required argument that is missing, a type or value that is not
allowed, an argument nobody declared. Only what a model asked for counts, as code may call what it likes. That the tool answered with a result all the same
makes it worse: nothing checked. What most tools take without harm (a number as text, an argument too many) is a hint.

Why it matters: a made-up tool or a broken call is the model's error to catch; one that runs unchecked is a door.
What to do: validate each call against the declared tools and their schemas before it runs, and answer a bad one with what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.analysis.effects import failure
from workbench.analysis.schemas import Departure, departures
from workbench.model import Evidence, Finding, Json, NotEvaluated, Run, Step, ToolCall
from workbench.sketch import model, sketch, tool, user

INDEX = re.compile(r"\[\d+\]")
MOST = 20
"""How many ways of breaking schemas are told of a run."""


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each tool that was not offered, each call whose arguments can't be read, and each way in which arguments break their tool's schema."""
    asked = {call.name for step in run.of_kind("model") if step.output for call in step.output.tool_calls}
    calls = [step for step in run.of_kind("tool") if step.tool_call is not None and step.name in asked]
    offered = _offered(run)
    if not calls or not offered:
        yield NotEvaluated(
            detector="undeclared-call", run_id=run.run_id, why="no tool calls of a model recorded" if not calls else "the tools offered were not recorded"
        )
    elif not run.schemas:
        yield NotEvaluated(detector="undeclared-call", run_id=run.run_id, why="the schemas of the tools were not recorded: arguments are not checked")
    known = set[str]()
    for step in calls:
        if offered and step.name not in offered and step.name not in known:
            known.add(step.name)
            yield _finding(run, step, f"{step.name} was called and is none of the {len(offered)} tools offered", "$.name", len(offered))
        if step.tool_call is not None and step.tool_call.arguments is None and (step.tool_call.raw or "").lstrip()[:1] in {"{", "["}:
            yield _finding(run, step, f"{step.name} was called with arguments that are no JSON object", "$.tool_call.raw", len(offered))
    yield from _against_schemas(run, calls, len(offered))


def _offered(run: Run) -> frozenset[str]:
    """Every tool that the run, or any of its model calls, says was offered."""
    decided = (name for step in run.of_kind("model") if step.decision for name in step.decision.alternatives or ())
    return frozenset((*(run.tools or ()), *decided))


def _against_schemas(run: Run, calls: list[Step], offered: int) -> Iterator[Finding]:
    """What a model asked for against the schemas it had; each way of breaking one is told once, at the first call that does."""
    told = set[tuple[str, str]]()
    for step, number, call in _asked(run):
        for one in departures(call.arguments or {}, run.schemas.get(call.name)) if call.arguments is not None else ():
            place = call.name, INDEX.sub("", one.path)
            if place not in told and len(told) < MOST and (made := _made(call, step, calls)) is not None:
                told.add(place)
                what = f"{call.name} was asked for with arguments that break its schema: {one.says}"
                yield _finding(run, made, what, "$.tool_call", offered, one, Evidence.cite(run, step.index, f"$.output.tool_calls[{number}]", "as asked for"))


def _asked(run: Run) -> Iterator[tuple[Step, int, ToolCall]]:
    return ((step, number, call) for step in run.of_kind("model") if step.output for number, call in enumerate(step.output.tool_calls))


def _made(asked: ToolCall, step: Step, calls: list[Step]) -> Step | None:
    """The step that made the call a model asked for; None where it was never made."""
    later = [one for one in calls if one.index > step.index and one.name == asked.name and one.tool_call]
    return next((one for one in later if asked.call_id and one.tool_call and one.tool_call.call_id == asked.call_id), next(iter(later), None))


def _finding(run: Run, step: Step, what: str, path: str, offered: int, broken: Departure | None = None, *more: Evidence) -> Finding:
    refused, slight = failure(step) is not None, broken is not None and broken.slight
    numbers: dict[str, float | int | str] = {"offered": offered, "refused": int(refused)}
    return Finding(
        detector="undeclared-call",
        run_id=run.run_id,
        severity="info" if refused or slight else "warning",
        score=0.3 if slight else 0.4 if refused else 0.6,
        step=step.index,
        message=f"{what}, at step {step.index}; " + ("it was refused" if refused else "it was answered all the same"),
        numbers=numbers if broken is None else numbers | {"argument": broken.path},
        evidence=(Evidence.cite(run, step.index, path, "what was called"), *more),
        capability="security",
        item="input-validation",
        refute=f"Fork at step {step.index} with an error that lists the tools offered as the result: a sound agent calls one of those.",
    )


BOOK: dict[str, Json] = {"type": "object", "properties": {"flight": {"type": "string"}, "seats": {"type": "integer"}}, "required": ["flight"]}


def _books(**arguments: Json) -> Run:
    asked = model(calls=(("book_flight", arguments),))
    return sketch(user("Book NH 11"), asked, tool("book_flight", arguments, "booked"), tools=("book_flight",), schemas={"book_flight": BOOK})


FIRES_ON = (
    _books(seats=2),
    _books(flight="NH 11", seats="two"),
    _books(flight="NH 11", window=True),
    sketch(user("Book it"), model(calls=(("book_flihgt", {"n": 1}),)), tool("book_flihgt", {"n": 1}, "booked"), tools=("book_flight", "search")),
    sketch(user("Book it"), model(calls=(("pay", {}),), offered=("book",)), tool("pay", {"n": 1}, error="unknown tool pay")),
)
QUIET_ON = (
    _books(flight="NH 11"),
    _books(flight="NH 11", seats=None),
    sketch(user("Book it"), model(calls=(("book_flight", {"n": 1}),)), tool("book_flight", {"n": 1}, "booked"), tools=("book_flight", "search")),
    sketch(user("Book it"), model(calls=(("book_flight", {"n": 1}),)), tool("book_flight", {"n": 1}, "booked")),
    sketch(user("Book it"), model(calls=(("search", {}),)), tool("search", {}, "one"), tool("audit", {"n": 1}, "noted by the code"), tools=("search",)),
    sketch(user("Book it"), model("Booking.", offered=("book",)), model(calls=(("pay", {}),), offered=("pay",)), tool("pay", {"n": 1}, "paid")),
)
