"""A run as the JSON a step-through view gets: an outline of every step, and details of as many steps as the budget allows.

The outline is columnar (about 25 bytes a step) so that 20,000 steps open at once. Messages are sent once and referred to by number, because
each model call repeats the ones before it. Whatever stays behind, the view asks for by message.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from workbench.analysis.attempts import attempts, waited_s
from workbench.incident import first_bad_step
from workbench.model import Finding, Json, Message, Run, Step, Tokens, ToolCall, digest
from workbench.report.quantities import cost_of, duration
from workbench.widgets.excerpt import Excerpt, as_text, excerpt, fold_logprobs, sendable

OPEN_BYTES = 1_000_000
"""What a view may send when it opens, all included."""
MAX_FINDINGS = 200
WAITED_S = 0.05
"""From when on a wait before another attempt is told."""
BADGES = ("served", "edited", "live", "blocked", "halted")
JOINS = {"exact": "joined exactly", "inferred": "joined by inference", "none": "span not joined to a task"}
SOURCES = {"logprobs": "token log-probabilities", "self-report": "the model's own word", "evaluation": "an evaluator"}

Cut = Callable[[str], Excerpt]


class Pool(NamedTuple):
    """Messages by number, each stored once; `numbers` finds the number of one by its hash."""

    numbers: dict[str, int]
    messages: dict[int, dict[str, Json]]


def size(value: Json) -> int:
    """Bytes of a value as it travels."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def opening_step(run: Run, findings: Sequence[Finding]) -> int:
    """Where to begin reading: the first bad step; 0 in a run without steps."""
    return first_bad_step(run, findings) or 0


def outline(run: Run, findings: Sequence[Finding], origin_ns: int | None = None) -> dict[str, Json]:
    """The head of the run, its findings, and one column for each thing the list of steps shows. Times count from the first step, or an earlier moment."""
    return {
        "run_id": sendable(run.run_id),
        "agent": sendable(run.agent or ""),
        "status": run.status,
        "tokens": run.tokens.total if run.tokens.total is not None else _sum(run.tokens.input, run.tokens.output),
        "cost": cost_of(run),
        "joins": run.joins,
        "forked_from": run.forked_from and sendable(run.forked_from),
        "forked_at_step": run.forked_at_step,
        "findings": [told(finding) for finding in findings[:MAX_FINDINGS]],
        "findings_count": len(findings),
        "steps": _columns(run, origin_ns),
    }


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _columns(run: Run, origin_ns: int | None) -> dict[str, Json]:
    steps = run.steps
    names, name_of = table(_label(step) for step in steps)
    places, place_of = table(_place(step) for step in steps)
    return {
        "index": None if all(step.index == row for row, step in enumerate(steps)) else [step.index for step in steps],
        "kind": "".join(step.kind[0] for step in steps),
        "status": "".join(step.status[0] for step in steps),
        "depth": [step.depth for step in steps],
        "names": names,
        "name": name_of,
        "places": places,
        "place": place_of,
        "start_us": deltas([step.started_ns for step in steps], origin_ns),
        "took_us": [None if step.duration_ms is None else round(step.duration_ms * 1000) for step in steps],
        "restarts": _restarts(steps),
        "badges": _badges(run),
    }


def _badges(run: Run) -> dict[int, list[str]]:
    """By row: how a re-run answered the call, and which attempt of the same operation it is, or how many the engine counted."""
    again = {after.index: _attempt(number, before, after) for chain in attempts(run) for number, (before, after) in enumerate(pairwise(chain), start=2)}
    counted = {step.index: f"{step.attempts} attempts" for step in run.steps if (step.attempts or 1) > 1}
    told = {row: [note for note in step.notes if note in BADGES] for row, step in enumerate(run.steps)}
    return {
        row: badges for row, step in enumerate(run.steps) if (badges := [*told[row], *(names[step.index] for names in (again, counted) if step.index in names)])
    }


def _attempt(number: int, before: Step, after: Step) -> str:
    waited = waited_s(before, after)
    return f"attempt {number}" + (f", {duration(1000 * waited)} later" if waited is not None and waited >= WAITED_S else "")


def _label(step: Step) -> str:
    """The step's name; of a model call what it chose, `→ book_flight`, which says more in a narrow column than the model's name does."""
    chosen = step.decision.selected if step.decision else ()
    return f"→ {', '.join(chosen)}" if chosen else step.name


def _place(step: Step) -> str:
    """Subgraphs and node, outermost first: `book/pay`."""
    path = [segment.split(":")[0] for segment in (step.namespace or "").split("|") if segment]
    if step.node and (not path or path[-1] != step.node):
        path.append(step.node)
    return "/".join(path)


def table(texts: Iterable[str]) -> tuple[list[str], list[int]]:
    """Texts that recur as the list of those there are, each cut, and for each place the number of its own."""
    rows: dict[str, int] = {}
    column = [rows.setdefault(text, len(rows)) for text in texts]
    return [sendable(text[:200]) for text in rows], column


def deltas(times_ns: list[int | None], origin_ns: int | None = None) -> list[int | None]:
    """Microseconds since the last known time (the first since the earliest, or an origin before it); None where no time was recorded."""
    last = min((time for time in (*times_ns, origin_ns) if time is not None), default=0)
    column: list[int | None] = []
    for time in times_ns:
        column.append(None if time is None else (time - last) // 1000)
        last = last if time is None else time - (time - last) % 1000
    return column


def _restarts(steps: Sequence[Step]) -> dict[int, int]:
    """Row and number of each invocation after the first one seen."""
    return {row: after.invocation for row, (before, after) in enumerate(pairwise(steps), start=1) if after.invocation != before.invocation}


def told(finding: Finding) -> dict[str, Json]:
    """All that a finding says, its long texts cut."""
    return {
        "id": finding.finding_id,
        "detector": finding.detector,
        "severity": finding.severity,
        "score": _finite(finding.score),
        "step": finding.step,
        "message": excerpt(finding.message),
        "numbers": {name: sendable(str(number)) for name, number in finding.numbers.items()},
        "evidence": [
            {"run_id": item.run_id, "step": item.step, "path": sendable(item.path), "says": excerpt(item.says), "sha256": item.sha256[:12]}
            for item in finding.evidence[:50]
        ],
        "evidence_count": len(finding.evidence),
        "capability": finding.capability,
        "refute": excerpt(finding.refute),
    }


def detail(step: Step, cut: Cut = excerpt) -> dict[str, Json]:
    """Everything the pane shows of one step, its texts cut by `cut`. What was not recorded is left out."""
    whole: dict[str, Json] = {
        "given": [_message(message, cut) for message in step.messages],
        "answer": _message(step.output, cut) if step.output else None,
        "call": _call(step.tool_call, cut) if step.tool_call else None,
        "result": None if step.result is None else cut(as_text(step.result)),
        "error": cut(step.error) if step.error else None,
        "decision": _decision(step, cut),
        "wrote": {sendable(channel): cut(as_text(fold_logprobs(value))) for channel, value in step.changes.items()},
        "facts": facts(step),
        "checkpoint": step.checkpoint_id and sendable(step.checkpoint_id),
    }
    return {name: value for name, value in whole.items() if value not in (None, [], {})}


def _message(message: Message, cut: Cut) -> dict[str, Json]:
    whole: dict[str, Json] = {
        "role": message.role,
        "name": message.name and sendable(message.name),
        "content": cut(as_text(message.content)) if message.content else None,
        "calls": [_call(call, cut) for call in message.tool_calls],
        "answers": message.tool_call_id and sendable(message.tool_call_id),
        "error": cut(message.error) if message.error else None,
        "reasoning": cut(message.reasoning) if message.reasoning else None,
    }
    return {name: value for name, value in whole.items() if value not in (None, [])}


def _call(call: ToolCall, cut: Cut) -> dict[str, Json]:
    arguments = as_text(call.arguments) if call.arguments is not None else call.raw
    return {
        "name": sendable(call.name),
        "id": call.call_id and sendable(call.call_id),
        "arguments": None if arguments is None else cut(arguments),
        "raw": call.arguments is None,
    }


def _decision(step: Step, cut: Cut) -> dict[str, Json] | None:
    if (made := step.decision) is None:
        return None
    return {
        "selected": [sendable(name) for name in made.selected],
        "alternatives": None if made.alternatives is None else [sendable(name) for name in made.alternatives],
        "confidence": _finite(made.confidence),
        "source": made.confidence_source and sendable(SOURCES.get(made.confidence_source, made.confidence_source)),
        "reasoning": cut(made.reasoning) if made.reasoning else None,
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def facts(step: Step) -> list[str]:
    """When, which model, tokens, cost, join and notes, in words, as far as recorded."""
    known = (
        moment(step.started_ns),
        None if step.model == _label(step) else step.model,
        _tokens(step.tokens),
        None if step.cost_usd is None else f"${step.cost_usd:.4g}",
        JOINS[step.joined] if step.span_id else "no span",
        *(note[:500] for note in step.notes),
    )
    return [sendable(fact) for fact in known if fact]


def _tokens(tokens: Tokens) -> str | None:
    """`120 → 45 tokens` (input, output), or the total where only that was recorded; what is cached or spent on reasoning in brackets."""
    sides = [f"{count:,}" if count is not None else "?" for count in (tokens.input, tokens.output)]
    extra = {"cached": tokens.cache_read, "cache written": tokens.cache_write, "reasoning": tokens.reasoning}
    shown = ", ".join(f"{count:,} {name}" for name, count in extra.items() if count)
    if tokens.input is None and tokens.output is None:
        return None if tokens.total is None else f"{tokens.total:,} tokens"
    return f"{' → '.join(sides)} tokens{f' ({shown})' if shown else ''}"


def moment(time_ns: int | None) -> str | None:
    """A time in words, UTC."""
    if time_ns is None:
        return None
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00") + " UTC"
    except (OverflowError, ValueError, OSError):
        return f"{time_ns} ns since 1970, outside the calendar"


def eager(run: Run, first: int, budget: int, pool: Pool) -> dict[int, dict[str, Json]]:
    """Details by row of the steps around step `first`, nearest first, until `budget` bytes are used; their messages go into the pool.

    A step too big for what is left is passed over; after twenty such the rest stays behind.
    """
    steps: dict[int, dict[str, Json]] = {}
    used = passed_over = 0
    for row in _nearest_rows(run, first):
        packed, new = pack(run.steps[row], pool)
        bytes_more = size(packed) + size(new) + 16
        if used + bytes_more > budget:
            passed_over += 1
            if passed_over > 20:  # noqa: PLR2004  # see docstring
                break
            continue
        used += bytes_more
        pool.messages.update(new)
        steps[row] = packed
    return steps


def pack(step: Step, pool: Pool) -> tuple[dict[str, Json], dict[int, dict[str, Json]]]:
    """A step's details with its messages as numbers, and those messages that the pool does not hold yet."""
    packed, new = detail(step), {}
    if step.messages:
        for place, (message, shown) in enumerate(zip(step.messages, packed["given"], strict=True)):
            number = pool.numbers.setdefault(digest(message.model_dump(mode="json", exclude={"at_ns", "tokens", "cost_usd"})), len(pool.numbers))
            packed["given"][place] = number
            if number not in pool.messages:
                new[number] = shown
    return packed, new


def _nearest_rows(run: Run, first: int) -> list[int]:
    """Rows in the order in which they will probably be read: outwards from the opening step, a step forward before a step back."""
    start = next((row for row, step in enumerate(run.steps) if step.index == first), 0)
    return sorted(range(len(run.steps)), key=lambda row: (abs(row - start), row < start))
