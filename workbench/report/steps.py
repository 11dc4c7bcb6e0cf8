"""The steps of a run as a table: what happened in a line, all of it below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from workbench.analysis.calls import token_count
from workbench.model import Finding, Json, Message, Run, Step, ToolCall, canonical
from workbench.report.document import Block, Code, Facts, Link, Listing, Mark, Phrase, Row, Section, Table
from workbench.report.quantities import DASH, count, cut, duration, line, literal, plural

COLUMNS = ("step", "at", "kind", "name", "what", "took", "tokens", "confidence", "status")
NUMERIC = frozenset({"step", "at", "took", "tokens", "confidence"})
MAX_STEPS = 3000
BUDGET_CHARS, LEAST_CHARS, MOST_CHARS = 1_500_000, 150, 4000
GIST_CHARS = 160


def steps_section(run: Run, findings: Iterable[Finding], title: str = "Steps", prefix: str = "run") -> Section:
    """All steps of a run under a heading."""
    return Section(title, (steps_table(run, findings, prefix),), f"{prefix}-steps")


def steps_table(run: Run, findings: Iterable[Finding], prefix: str) -> Table:
    """All steps of a run; those that a finding names are opened. Their anchors are `{prefix}-step-{index}`."""
    flagged = _flagged(findings)
    shown = [step for number, step in enumerate(run.steps) if number < MAX_STEPS or step.index in flagged]
    limit = max(LEAST_CHARS, min(MOST_CHARS, BUDGET_CHARS // (6 * max(1, len(shown)))))
    left_out = len(run.steps) - len(shown)
    captions = [f"{plural(left_out, 'step')} left out here; the JSON report and the store have them."] if left_out else []
    captions += ["Times count from the fork's own start; steps without one are its parent's."] if run.forked_from else []
    began = _began(run)
    rows = tuple(_row(step, before, flagged.get(step.index, ()), limit, prefix, began) for step, before in _with_predecessor(shown))
    return Table(COLUMNS, rows, NUMERIC, " ".join(captions))


def gist(step: Step) -> str:
    """What a step did, in a line: who was asked what, what came back."""
    if step.kind == "tool" or step.tool_call:
        asked = _arguments(step.tool_call)
        came = step.error or ("" if step.result is None else literal_line(step.result))
        return line(f"{asked} → {came}" if came else asked, GIST_CHARS)
    if step.output and step.output.tool_calls:
        return line("asks for " + ", ".join(f"{call.name}({_arguments(call)})" for call in step.output.tool_calls), GIST_CHARS)
    if step.output and step.output.content:
        return line(step.output.content, GIST_CHARS)
    return line(step.error or (f"writes {', '.join(step.changes)}" if step.changes else ""), GIST_CHARS)


def literal_line(value: Json) -> str:
    """A value as text without line breaks: a string as it is, anything else as compact JSON."""
    return value if isinstance(value, str) else canonical(value)


def anchor(prefix: str, index: int) -> str:
    """Where links to a step lead."""
    return f"{prefix}-step-{index}"


def _flagged(findings: Iterable[Finding]) -> dict[int, tuple[Finding, ...]]:
    """Steps that findings name or cite, with the findings that name them."""
    flagged: dict[int, tuple[Finding, ...]] = {}
    for finding in findings:
        for cited in finding.evidence:
            flagged.setdefault(cited.step, ())
        if finding.step is not None:
            flagged[finding.step] = (*flagged.get(finding.step, ()), finding)
    return flagged


def _with_predecessor(steps: list[Step]) -> Iterator[tuple[Step, Step | None]]:
    """Each step with the model call before it in the same place, whose messages need not be repeated."""
    latest: dict[tuple[str | None, int], Step] = {}
    for step in steps:
        yield step, latest.get((step.node, step.depth))
        if step.kind == "model":
            latest[step.node, step.depth] = step


def _began(run: Run) -> int | None:
    """What a run's steps are timed from: its earliest step; in a fork its own start, which comes long after the parent's steps."""
    times = [step.started_ns for step in run.steps if step.started_ns is not None]
    return run.started_ns if run.forked_from else min([*times, *([] if run.started_ns is None else [run.started_ns])], default=None)


def _row(step: Step, before: Step | None, named: tuple[Finding, ...], limit: int, prefix: str, began: int | None) -> Row:
    """One step; where it began before the run did, it is a fork's inherited one, and has no time in it."""
    offset = None if step.started_ns is None or began is None or step.started_ns < began else (step.started_ns - began) / 1e6
    confidence = step.decision.confidence if step.decision else None
    marks = tuple(Mark(finding.detector, finding.severity) for finding in named)
    cells: tuple[Phrase, ...] = (
        (str(step.index),),
        (DASH if offset is None else f"+{duration(offset)}",),
        (Mark(step.kind, step.kind),),
        ("· " * step.depth + step.name,),
        (*(part for mark in marks for part in (mark, " ")), gist(step)),
        (duration(step.duration_ms),),
        (count(token_count(step.tokens)),),
        (DASH if confidence is None else f"{confidence:.2f}",),
        (Mark(step.status, step.status),),
    )
    tone = named[0].severity if named else ("error" if step.status == "error" else "")
    return Row(cells, tone, anchor(prefix, step.index), tuple(_details(step, before, limit, prefix)), opened=bool(named))


def _details(step: Step, before: Step | None, limit: int, prefix: str) -> Iterator[Block]:
    yield Facts(tuple(_origin(step)))
    known = len(before.messages) if before and step.messages[: len(before.messages)] == before.messages else 0
    if known and before:
        yield Facts((("messages", (f"{plural(known, 'message')} as before ", Link(f"step {before.index}", anchor(prefix, before.index)), ", and:")),))
    for message in step.messages[known:]:
        yield from _message(message, limit)
    if step.output:
        yield from _message(step.output, limit, "says" if step.kind == "human" else "answers")
    if step.tool_call:
        yield _listing("arguments", step.tool_call.raw if step.tool_call.arguments is None else step.tool_call.arguments, limit)
    if step.result is not None:
        yield _listing("result", step.result, limit)
    if step.error:
        yield _listing("error", step.error, limit)
    if step.changes:
        yield _listing("writes to the state", step.changes, limit)


def _origin(step: Step) -> Iterator[tuple[str, Phrase]]:
    """Where a step comes from, as far as it was recorded."""
    ids = {"node": step.node, "model": step.model, "span": step.span_id, "checkpoint": step.checkpoint_id, "task": step.task_id}
    known = {name: value for name, value in ids.items() if value}
    yield (
        "from",
        tuple(part for name, value in known.items() for part in (f"{name} ", Code(line(value, 80)), " · "))[:-1] or ("a message; no span, no checkpoint",),
    )
    if step.span_id:
        yield "joined", (f"{step.joined} (how its span found its checkpoint)",)
    if step.decision and step.decision.alternatives:
        yield "chose from", (line(", ".join(step.decision.alternatives), 400),)
    if step.decision and step.decision.reasoning:
        yield "reasoning", (line(step.decision.reasoning, 600),)
    if step.notes:
        yield "notes", (line("; ".join(step.notes), 400),)


def _message(message: Message, limit: int, verb: str = "") -> Iterator[Block]:
    label = f"{message.role} {verb}".strip()
    if message.content or not message.tool_calls:
        yield _listing(label, message.content or "(nothing)", limit)
    for call in message.tool_calls:
        yield _listing(f"{label}: call {call.name}", call.raw if call.arguments is None else call.arguments, limit)


def _listing(label: str, value: Json, limit: int) -> Listing:
    text, note = cut("(not recorded)" if value is None else literal(value), limit)
    return Listing(text, line(label, 80), note)


def _arguments(call: ToolCall | None) -> str:
    if call is None or (call.arguments is None and call.raw is None):
        return "(arguments not recorded)"
    if call.arguments is None:
        return call.raw or ""
    return ", ".join(f"{name}={literal_line(value)}" for name, value in sorted(call.arguments.items()))
