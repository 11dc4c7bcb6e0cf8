"""The next three calls, as code that can be pasted: look at the worst run, hold it against a good one, put the suspicion to the test."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.analysis.calls import parsed
from workbench.incident.values import Call, FirstBad, Near
from workbench.literals import literal, text_literal
from workbench.model import Finding, Json, Run, Step

AT_STEP = re.compile(r"\bfork at step (\d+)", re.IGNORECASE)
LITERAL_CHARS = 300
"""A longer value is not written into the line: the line fetches it."""
ANOTHER_MODEL = '"provider:name"'


def next_calls(worst: Run, first_bad: FirstBad, nearest: Near | None, top: Finding | None) -> Iterator[Call]:
    """View, compare, fork."""
    run = f"bench.run({text_literal(worst.run_id)})"
    yield Call(does="see the worst run at its first bad step", code=f"{run}.view(step={first_bad.step})")
    if nearest is not None:
        yield Call(does="hold it against the nearest good run", code=f"wb.compare(bench.run({text_literal(nearest.run_id)}), {run})")
    mine = top if top is not None and top.run_id == worst.run_id else None
    step = worst.step(_test_at(worst, first_bad, mine))
    yield Call(does=f"put it to the test: {mine.refute}" if mine and mine.refute else "change one thing there and re-run", code=_test(worst, run, step))


def _test_at(run: Run, first_bad: FirstBad, finding: Finding | None) -> int:
    """The step that a finding says to fork at, where the run has it; else the first bad one."""
    named = AT_STEP.search(finding.refute) if finding else None
    known = {step.index for step in run.steps}
    return int(named[1]) if named and int(named[1]) in known else first_bad.step


def _test(run: Run, code: str, step: Step) -> str:
    """A fork with what was recorded there filled in, to be edited; without checkpoints a simulation, which needs none."""
    change = _change(f"{code}.step({step.index})", step)
    if any(one.checkpoint_id for one in run.steps):
        return f'{code}.fork({step.index}, {change}, live=["model"])'
    return f"{code}.simulate({step.index}, {ANOTHER_MODEL}, {change})"


def _change(place: str, step: Step) -> str:
    if step.kind == "tool":
        return f"tool_result={_given(step.result, f'{place}.result')}"
    if step.kind == "human":
        return f"answer={_given(step.result, f'{place}.result')}"
    if step.kind == "model" and step.messages:
        last = len(step.messages) - 1
        content = _given(step.messages[last].content, f"{place}.messages[{last}].content")
        return f'message={{"index": {last}, "content": {content}}}'
    return 'system="…"' if step.kind == "model" else "state={}"


def _given(value: Json, fetched: str) -> str:
    """The recorded value to edit, JSON in a text as what it says; what was not recorded as three dots."""
    text = '"…"' if value is None else literal(parsed(value))
    return text if len(text) <= LITERAL_CHARS else fetched
