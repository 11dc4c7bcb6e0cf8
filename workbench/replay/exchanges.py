"""The HTTP calls that the node of a step made: which one a change means, and what that one is answered instead.

They are no steps of their own. A call is named by its method and URL, or by its number among those of its node; what tells it in a re-run is the recording
that it would be served, so that times and ids in its URL don't matter, and a poll's second call is another than its first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.model import Cassette, Change, Interaction, Json, Run, Span, Step
from workbench.replay.nearest import meant
from workbench.replay.protocol import Fault
from workbench.replay.recording.captured import Captured
from workbench.replay.shapes import ChangeError, FaultChange, HttpChange, fault_of, shaped

MOST_CALLS = 12
FAILURES = {"timeout": "ReadTimeout: no answer (injected by the fork)", "error": "ConnectError: failed (injected by the fork)"}
"""What a client meets, by the names of httpx and requests."""
OK = 200
KEPT = "wb.record keeps what nodes ask by httpx and requests; of tools and of forks none is kept"


def exchanges_of(run: Run, step: Step, spans: Iterable[Span]) -> list[Interaction]:
    """The HTTP calls that the node of a step made, in time order."""
    made = (one for one in Captured(spans).exchanges(run) if one.kind == "http")
    return [one for one in made if (one.task_id == step.task_id if one.task_id else one.step == step.index)]


def url_of(exchange: Interaction) -> str:
    """The method and the whole URL of a call."""
    return f"{exchange.arguments['method']} {exchange.arguments['url']}"


def name_among(exchanges: Sequence[Interaction], number: int) -> str | int:
    """What to say for a call: its name where it is the only one of it, else its number."""
    one = exchanges[number]
    return number if sum(other.name == one.name for other in exchanges) > 1 else one.name


def answer_of(exchange: Interaction, call: str | int, most_chars: int) -> Json:
    """The recorded answer of a call in the form in which another is asked for; without a body that is longer."""
    text = exchange.result["body"] if exchange.error is None else ""
    found = {"call": call, "status": exchange.result["status"] if exchange.error is None else OK}
    if len(text) > most_chars:
        return found
    try:
        return found | {"json": json.loads(text)}
    except ValueError:
        return found | {"body": text}


def of_http(change: Change, step: Step) -> bool:
    """Whether a change is one of an HTTP call: a fault is at a node, which makes no call of its own, or where it names one."""
    named = isinstance(change.value, dict) and change.value.get("call") is not None
    return change.kind == "http" or (change.kind == "fault" and (step.kind == "node" or named))


def wanted(change: Change) -> FaultChange | HttpChange:
    """What a change of an HTTP call asks for. ChangeError for another shape."""
    if change.kind == "fault":
        fault = fault_of(change.value)
        if fault.status is not None and fault.kind not in ("error", "empty"):
            raise ChangeError(f"a {fault.kind} has no status: a fault with one is an error, or empty; another answer is given by http")
        return fault
    found = shaped("http", HttpChange, change.value)
    if not found.model_fields_set - {"call"}:
        raise ChangeError("another HTTP answer says what is another: status, headers, json or body")
    if {"content", "body"} <= found.model_fields_set:
        raise ChangeError("an HTTP answer has one body: give json or body, not both")
    return found


def meant_by(call: str | int | None, exchanges: Sequence[Interaction], step: Step) -> int:
    """The number of the call that is meant. ChangeError where none is, or it might be any of several, with those there are."""
    here = f"step {step.index} ({step.name})"
    if not exchanges:
        instead = "what its node wrote can be changed too, with state at the next step"
        raise ChangeError(f"no HTTP call of {here} was recorded ({KEPT}); {instead}")
    if isinstance(call, int):
        if not 0 <= call < len(exchanges):
            raise ChangeError(f"{here} made no HTTP call number {call}; it made {listed(exchanges)}")
        return call
    found = [number for number, one in enumerate(exchanges) if call in (None, one.name, url_of(one))]
    if not found:
        raise ChangeError(f"{here} made no HTTP call {call!r}{meant(str(call), [one.name for one in exchanges])} It made {listed(exchanges)}")
    if any(exchanges[one].arguments != exchanges[found[0]].arguments for one in found):
        raise ChangeError(f'{here} made several HTTP calls: say which with "call", by its number or its whole name; it made {listed(exchanges)}')
    return found[0]


def listed(exchanges: Sequence[Interaction]) -> str:
    """The calls by number and name."""
    every = [f"{number} {url_of(one)}" for number, one in enumerate(exchanges)]
    return ", ".join(every[:MOST_CALLS]) + (f" and {len(every) - MOST_CALLS} more" if len(every) > MOST_CALLS else "")


def injected(change: Change, step: Step, cassette: Cassette, exchanges: Sequence[Interaction]) -> Fault:
    """What is put in the call's way. `exchanges` are the step's, which stand in the cassette too."""
    asked = wanted(change)
    number = meant_by(asked.call, exchanges, step)
    recorded = exchanges[number]
    same = [place for place, one in enumerate(cassette.interactions) if one == recorded]
    where = {"call_kind": "http", "name": recorded.name, "step": step.index, "recording": same[exchanges[:number].count(recorded)]}
    if isinstance(asked, HttpChange):
        return Fault(kind="answer", answer=_answer(asked, recorded), **where)
    given = asked.model_dump(exclude={"call", "status"})
    return Fault(**given | {"message": asked.message or FAILURES.get(asked.kind, "")}, answer=_failure(asked, recorded), **where)


def as_heard(cassette: Cassette, run: Run, spans: Iterable[Span]) -> Cassette:
    """The cassette of a fork with what its own change gave an HTTP call: no span tells of that, and its unchanged re-run is to hear the same."""
    if run.change is None or run.forked_at_step is None or not of_http(run.change, step := run.step(run.forked_at_step)):
        return cassette
    try:
        fault = injected(run.change, step, cassette, exchanges_of(run, step, spans))
    except ChangeError:  # the call was made where the fork does not go by the recording any more
        return cassette
    if fault.kind == "slow" or fault.recording is None:
        return cassette
    place, every = fault.recording, cassette.interactions
    failed = {"result": {"status": 0, "headers": [], "body": ""}, "error": fault.message}
    heard = every[place].model_copy(update=failed if fault.answer is None else {"result": fault.answer, "error": None})
    instead = (heard,) if fault.kind == "answer" else (*[heard] * fault.times, every[place])
    return cassette.model_copy(update={"interactions": (*every[:place], *instead, *every[place + 1 :])})


def _failure(asked: FaultChange, recorded: Interaction) -> Json:
    """The answer that a fault comes with; None for one without."""
    if asked.kind == "empty":
        return _answer(HttpChange(status=asked.status or (OK if recorded.error else None), body=""), recorded)
    plain = HttpChange(status=asked.status, body=asked.message, headers={"content-type": "text/plain; charset=utf-8"})
    return _answer(plain, recorded) if asked.kind == "error" and asked.status else None


def _answer(asked: HttpChange, recorded: Interaction) -> Json:
    """An answer as it is recorded, with what was asked for in place of its parts. One that never came had status 200 and no headers."""
    was: dict[str, Any] = recorded.result if recorded.error is None else {"status": OK, "headers": [], "body": ""}
    is_json = "content" in asked.model_fields_set
    headers = ({"content-type": "application/json"} if is_json else {}) | {name.lower(): value for name, value in (asked.headers or {}).items()}
    kept = [[name, value] for name, value in was["headers"] if name.lower() not in headers]
    body = json.dumps(asked.content) if is_json else was["body"] if asked.body is None else asked.body
    return {"status": asked.status or was["status"], "headers": [*kept, *([name, value] for name, value in headers.items())], "body": body}
