"""Runs to look at: the one of the story (a flight booked twice), a long one, and a hostile one."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.hostile import PAYLOADS
from workbench.model import Evidence, Finding, Json, Message, Run, Span, SpanEvent, Step, ToolCall
from workbench.sketch import START_NS, approval, model, restart, sketch, tool, user

BOOKING: dict[str, Json] = {"flight": "NH 11", "passenger": "Ada", "price": {"amount": 412.8, "currency": "USD"}}
FLIGHTS = {"flights": [{"id": "NH 11", "seats": 4, "price": 412.8}, {"id": "JL 43", "seats": 0, "price": 398.0}], "cached": False}
OFFERED = ("search_flights", "book_flight", "issue_refund", "ask_person")
REQUEST = "Book me on NH 11 to Tokyo on Friday, window seat if there is one."
TIMED_OUT = "TimeoutError: payment API gave no answer within 30 s"
MILLISECONDS = (5, 40, 900, 1600, 700, 650, 420, 4200, 1100, 30000, 1200, 2400, 800)


def booked_twice() -> Run:
    """The story: a search in a parallel subgraph, an approval, a booking that times out, and the same booking again."""
    steps = sketch(*_planned(), *restart(*_booked())).steps
    placed, at = [], START_NS
    for step, milliseconds in zip(steps, MILLISECONDS, strict=True):
        end = at + milliseconds * 1_000_000
        placed.append(step.model_copy(update={"started_ns": at, "ended_ns": end, "trace_id": "4b" * 16, "span_id": f"{step.index:016x}", "joined": "exact"}))
        at = at + 20_000_000 if step.name in ("research", "search_flights") else end + 30_000_000
    return Run(run_id="booked-twice", agent="travel-agent", steps=tuple(placed), started_ns=START_NS, ended_ns=at)


def _planned() -> tuple[Step, ...]:
    system = Message(role="system", content="You are a travel agent. Book at most once. Ask before spending more than $500.")
    given = (system, Message(role="user", content=REQUEST))
    sub = {"depth": 1, "checkpoint_id": "1f0c-s1"}
    return (
        user(REQUEST, node="__start__"),
        Step(index=0, kind="node", name="plan", node="plan", changes={"plan": ["search", "approve", "book"]}, checkpoint_id="1f0c-01"),
        model(calls=(("search_flights", {"to": "HND"}),), confidence=0.97, offered=OFFERED, tokens=412, node="think", messages=given, checkpoint_id="1f0c-02"),
        Step(index=0, kind="node", name="research", node="research", changes={"options": ["NH 11"]}, checkpoint_id="1f0c-03"),
        tool("search_flights", {"to": "HND", "date": "2025-06-20"}, FLIGHTS, node="flights", namespace="research:91ab|flights:1", **sub),
        tool("search_hotels", {"city": "Tokyo", "nights": 2}, {"hotels": []}, node="hotels", namespace="research:91ab|hotels:2", **sub),
        model("One of two flights has seats.", confidence=0.91, tokens=233, node="sum_up", namespace="research:91ab|sum_up:2", **sub),
        approval("Spend $412.80 on NH 11?", "yes", node="approve", checkpoint_id="1f0c-04"),
    )


def _booked() -> tuple[Step, ...]:
    asked = ToolCall(name="book_flight", arguments=BOOKING, call_id="call_2")
    given = (
        Message(role="user", content=REQUEST),
        Message(role="assistant", content="I'll book NH 11 now.", tool_calls=(asked,)),
        Message(role="tool", content=TIMED_OUT, tool_call_id="call_2", name="book_flight", error="timeout"),
    )
    ask = (("book_flight", BOOKING),)
    confirmed = {"booking": "PNR-7QX2", "status": "confirmed", "charged": {"amount": 412.8, "currency": "USD"}, "seat": None}
    again = "The booking timed out, so it did not go through. I'll try again."
    return (
        model("I'll book NH 11 now.", calls=ask, confidence=0.88, offered=OFFERED, tokens=655, node="think", messages=given[:1], checkpoint_id="1f0c-05"),
        tool("book_flight", BOOKING, error=TIMED_OUT, node="act", checkpoint_id="1f0c-06"),
        model(again, calls=ask, confidence=0.41, offered=OFFERED, tokens=701, node="think", messages=given, checkpoint_id="1f0c-07", cost_usd=0.0041),
        tool("book_flight", BOOKING, confirmed, node="act", checkpoint_id="1f0c-08", changes={"bookings": [{"pnr": "PNR-7QX2"}]}),
        model("You are booked on NH 11 on Friday, seat 31K.", confidence=0.93, offered=OFFERED, tokens=540, node="think", checkpoint_id="1f0c-09"),
    )


def twice_findings(run: Run) -> tuple[Finding, ...]:
    """What two detectors would say about the story."""
    message = "book_flight took effect twice for one passenger and flight: the first call timed out after it was sent, the second has no idempotency key."
    refute = "Fork at step 11 with the first call's real result put in: if book_flight is still attempted twice, something else repeats it."
    cited = (
        Evidence.cite(run, 9, "$.error", "the first call's outcome is unknown: it timed out"),
        Evidence.cite(run, 11, "$.tool_call.arguments", "the same arguments, no idempotency key"),
        Evidence.cite(run, 11, "$.result.status", "the second call was confirmed"),
    )
    numbers: dict[str, float | int | str] = {"attempts": 2, "charged_usd": 825.6}
    lowest = (Evidence.cite(run, 10, "$.decision.confidence", "the lowest"),)
    twice = {"detector": "duplicated-effect", "severity": "error", "score": 0.95, "step": 11, "capability": "idempotency"}
    drift = {"detector": "confidence-drift", "severity": "warning", "score": 0.6, "step": 10, "capability": "observability"}
    return (
        Finding(run_id=run.run_id, message=message, numbers=numbers, evidence=cited, refute=refute, **twice),
        Finding(run_id=run.run_id, message="Confidence fell from 0.97 to 0.41 over four decisions.", evidence=lowest, **drift),
    )


def twice_state(step: Step) -> dict[str, Json]:
    """The story's state before a step."""
    state: dict[str, Json] = {"messages": step.index, "plan": ["search", "approve", "book"], "approved": step.index >= 8}
    if step.index >= 10:
        state["errors"] = [{"tool": "book_flight", "error": "timeout", "retryable": True}]
    return state


TRACE = "4b" * 16
AGENT, NODE, CHAIN = "a1".zfill(16), "a2".zfill(16), "a3".zfill(16)


def twice_spans(run: Run) -> tuple[Span, ...]:
    """All spans of the story: agent, nodes, a wrapper, HTTP calls of which one was tried again, one without its parent, and two in a circle."""
    at = {step.index: step.started_ns or 0 for step in run.steps}
    own = (_span_of(step) for step in run.steps if step.kind != "human")
    openai = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "scripted"}
    post = {"http.request.method": "POST", "url.full": "https://model.example/v1/chat", "http.response.status_code": 200}
    failed = {"status": "error", "status_message": "503 from upstream", "attributes": {**post, "http.response.status_code": 503}}
    raised = SpanEvent(name="exception", at_ns=at[9] + 30_000_000_000, attributes={"exception.type": "TimeoutError", "exception.message": TIMED_OUT})
    return (
        _span(AGENT, "invoke_agent travel-agent", START_NS, 80_000, None, attributes={"gen_ai.operation.name": "invoke_agent"}, scope="travel.agent"),
        _span(NODE, "act", at[9] - 5_000_000, 30_010, AGENT, attributes={"metadata": '{"langgraph_node": "act"}'}, events=(raised,)),
        _span(CHAIN, "ChatOpenAI", at[10], 1_200, AGENT, attributes=openai),
        *own,
        _span("b1".zfill(16), "POST", at[10] + 10_000_000, 200, f"{10:016x}", **failed),
        _span("b2".zfill(16), "POST", at[10] + 300_000_000, 800, f"{10:016x}", attributes=post, resource={"service.name": "travel"}),
        _span("c1".zfill(16), "flush", at[12] + 900_000_000, 3, "ff" * 8),
        _span("d1".zfill(16), "ping", at[12] + 910_000_000, 2, "d2".zfill(16)),
        _span("d2".zfill(16), "pong", at[12] + 911_000_000, 1, "d1".zfill(16)),
    )


def _span(span_id: str, name: str, start_ns: int, took_ms: int, parent: str | None, **fields: Json) -> Span:
    return Span(trace_id=TRACE, span_id=span_id, name=name, start_ns=start_ns, end_ns=start_ns + took_ms * 1_000_000, parent_span_id=parent, **fields)


def _span_of(step: Step) -> Span:
    """The span that a step was read from: those of the booking in a node of their own, a model call of theirs in a wrapper."""
    parent = {9: NODE, 10: CHAIN}.get(step.index, AGENT)
    kind = {"model": "chat", "tool": "execute_tool"}.get(step.kind, "node")
    attributes: dict[str, Json] = {"gen_ai.operation.name": kind, "gen_ai.tool.name": step.name}
    if step.tool_call:
        attributes["gen_ai.tool.call.arguments"] = json.dumps(step.tool_call.arguments)
    took_ms = round(step.duration_ms or 0)
    return _span(
        step.span_id or "", f"{kind} {step.name}", step.started_ns or 0, took_ms, parent, attributes=attributes, status="error" if step.error else "unset"
    )


def long_run(count: int = 20_000) -> Run:
    """Many steps, some nested, some in error."""
    steps = [
        tool(f"tool_{n % 11}", {"number": n}, {"answer": n}, error="no luck" if n % 1_000 == 999 else None, depth=n % 4, node=f"node_{n % 5}")
        for n in range(count)
    ]
    return sketch(*steps, run_id="long", agent="marathon")


def hostile_run(texts: Sequence[str] = PAYLOADS) -> Run:
    """Every text in every field a trace can fill."""
    return sketch(*(step for text in texts for step in _hostile(text)), run_id=texts[0] + texts[1], agent=texts[2])


def _hostile(text: str) -> tuple[Step, ...]:
    call = ToolCall(name=text, arguments={text: [text]}, call_id=text)
    message = Message(role="tool", content=text, name=text, tool_call_id=text, error=text, reasoning=text, tool_calls=(call,))
    fields: dict[str, Json] = {"node": text, "namespace": f"{text}:1", "notes": (text,), "changes": {text: {text: text}}, "checkpoint_id": text}
    return (
        tool(text, {text: text}, {text: text}, error=text, **fields),
        model(text, calls=((text, {text: text}),), offered=(text, "other"), name=text, messages=(message,), model=text, **fields),
    )


def hostile_findings(run: Run, texts: Sequence[str] = PAYLOADS) -> tuple[Finding, ...]:
    """A finding with every text at the text's own steps."""
    return tuple(
        Finding(
            detector=text,
            run_id=run.run_id,
            severity="error",
            score=1,
            step=place * 2,
            message=text,
            numbers={text: text},
            evidence=(Evidence.cite(run, place * 2, "$.name", text),),
            capability="security",
            refute=text,
        )
        for place, text in enumerate(texts)
    )


def hostile_spans(run: Run, texts: Sequence[str] = PAYLOADS) -> tuple[Span, ...]:
    """Every text in every field a span can fill; the run's steps are none of them."""
    return tuple(
        Span(
            trace_id=text,
            span_id=text,
            parent_span_id=None if place % 2 else text + text,
            name=text,
            start_ns=run.started_ns,
            status="error",
            status_message=text,
            attributes={text: text, f"{text}.list": [text], "long": text * 40},
            events=(SpanEvent(name=text, attributes={text: text}),),
            scope=text,
            resource={text: text},
        )
        for place, text in enumerate(texts)
    )
