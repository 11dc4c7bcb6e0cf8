"""Draw a small run by hand, for a detector's examples and for tests: `sketch(user("Book it"), model("", calls=["book"]), tool("book", {}))`.

Ids count from 1 and the clock ticks one second a step, so that what is drawn is the same every time.
"""

from __future__ import annotations

from collections.abc import Mapping

from workbench.model import Decision, Json, Message, Run, Status, Step, Tokens, ToolCall

SECOND_NS = 1_000_000_000
START_NS = 1_750_000_000 * SECOND_NS


def user(text: str, **fields: Json) -> Step:
    """A person's message."""
    return Step(index=0, kind="human", name="user", output=Message(role="user", content=text), **fields)


def approval(question: Json, answer: Json = None, **fields: Json) -> Step:
    """A pause that asked a person; without an answer the run still waits there."""
    fields.setdefault("status", "interrupted" if answer is None else "ok")
    return Step(index=0, kind="human", name="approval", tool_call=ToolCall(name="approval", arguments={"question": question}), result=answer, **fields)


def model(
    text: str = "",
    *,
    calls: tuple[tuple[str, dict[str, Json]], ...] = (),
    confidence: float | None = None,
    offered: tuple[str, ...] | None = None,
    tokens: int | Tokens | None = None,
    **fields: Json,
) -> Step:
    """A model call that answers with text, or asks for tools: `calls=(("book_flight", {"flight": "NH 11"}),)`. A number of tokens is their total."""
    source = None if confidence is None else "logprobs"
    asked = tuple(ToolCall(name=name, arguments=arguments) for name, arguments in calls)
    answer = Message(role="assistant", content=text, tool_calls=asked, confidence=confidence, confidence_source=source)
    decision = Decision(selected=tuple(call.name for call in asked), alternatives=offered, confidence=confidence, confidence_source=source)
    counted = tokens if isinstance(tokens, Tokens) else Tokens(total=tokens)
    fields.setdefault("name", "scripted")
    return Step(index=0, kind="model", output=answer, decision=decision, tokens=counted, **fields)


def tool(name: str, arguments: Mapping[str, Json] | None = None, result: Json = None, *, error: str | None = None, **fields: Json) -> Step:
    """An executed tool call; `error` makes it a failed one."""
    fields.setdefault("status", "error" if error else "ok")
    call = ToolCall(name=name, arguments=dict(arguments or {}))
    return Step(index=0, kind="tool", name=name, tool_call=call, result=result, error=error, **fields)


def restart(*steps: Step) -> tuple[Step, ...]:
    """The steps of a later invocation of the same run: what came after a crash, a resume or a new message."""
    return tuple(step.model_copy(update={"invocation": step.invocation + 1}) for step in steps)


def timed(start_s: float, took_s: float = 0.5) -> dict[str, Json]:
    """Times of a step in seconds since the run began, for those that don't follow the ticking clock: `tool("pay", {}, "ok", **timed(3.5))`."""
    started_ns = START_NS + round(start_s * SECOND_NS)
    return {"started_ns": started_ns, "ended_ns": started_ns + round(took_s * SECOND_NS)}


def sketch(*steps: Step | tuple[Step, ...], run_id: str = "sketch", status: Status = "ok", **fields: Json) -> Run:
    """A run of these steps, numbered from 0 and one second apart, save those that have times of their own."""
    flat = [inner for step in steps for inner in (step if isinstance(step, tuple) else (step,))]
    placed = tuple(step.model_copy(update={"index": number} | ({} if step.started_ns is not None else timed(number))) for number, step in enumerate(flat))
    ended = placed[-1].ended_ns if placed else None
    return Run(run_id=run_id, steps=placed, status=status, started_ns=START_NS, ended_ns=ended, **fields)
