"""A run that counts as finished but stops in the middle: the last thing that happened leaves something open.

Open is a call that the model asked for and nobody made, or a question to a person that nobody answered. A last call that hands in the work
(submit, finish, hand over) ends a run by itself.

Why it matters: whoever waits for the run hears "ok" and takes the work for done.
What to do: end a run by an explicit answer; treat a stop at a limit, or with calls outstanding, as unfinished; resume it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from workbench.model import Evidence, Finding, NotEvaluated, Run, Step, ToolCall, canonical
from workbench.sketch import approval, model, sketch, tool, user

HANDS_IN = re.compile(r"submit|finish|complete|final|terminat|exit|stop|hand_?off|transfer_to|end_", re.IGNORECASE)
MAX_SAID = 2000


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the last step that leaves something open."""
    if not any(run.of_kind("tool")) and not any(step.output and step.output.tool_calls for step in run.of_kind("model")):
        yield NotEvaluated(detector="unfinished-run", run_id=run.run_id, why="no tool calls recorded or asked for")
        return
    if run.status != "ok":
        return
    moves = [step for step in run.steps if step.kind in {"model", "tool", "human"} and step.depth == 0]
    last = moves[-1] if moves else None
    if last is None:
        return
    if last.kind == "human" and last.tool_call is not None and last.status == "interrupted":
        yield _finding(run, last, "$.tool_call.arguments", "asks a person, and nobody answered", 0.8)
    elif last.kind == "model" and last.status == "ok" and last.output and last.output.tool_calls and not any(map(_hands_in, last.output.tool_calls)):
        names = ", ".join(f"{count} × {name}" for name, count in Counter(call.name for call in last.output.tool_calls).items())
        yield _finding(run, last, "$.output.tool_calls", f"asks for calls that were never made ({names})", 0.8)


def _hands_in(call: ToolCall) -> bool:
    return HANDS_IN.search(f"{call.name} {call.raw or canonical(call.arguments)}"[:MAX_SAID]) is not None


def _finding(run: Run, step: Step, path: str, says: str, score: float) -> Finding:
    return Finding(
        detector="unfinished-run",
        run_id=run.run_id,
        severity="warning",
        score=score,
        step=step.index,
        message=f"the run counts as finished, but its last step ({step.index}, {step.name}) {says}",
        numbers={"steps": len(run.steps), "open_at": step.index},
        evidence=(Evidence.cite(run, step.index, path, "what was left open"),),
        capability="state persistence",
        item="resume-in-progress",
        refute="Resume the thread with no new input: if nothing is left to do, it had finished.",
    )


ASK = model(calls=(("pay_invoice", {"order": "O-7"}),))

FIRES_ON = (
    sketch(user("Pay O-7"), tool("get_invoice", {"order": "O-7"}, 30), ASK),
    sketch(user("Pay O-7"), ASK, approval({"tool": "pay_invoice", "arguments": {"order": "O-7"}})),
)
QUIET_ON = (
    sketch(user("Pay O-7"), ASK, tool("pay_invoice", {"order": "O-7"}, "paid"), model("Paid.")),
    sketch(user("Pay O-7"), ASK, approval("Pay?"), status="interrupted"),
    sketch(user("Fix it"), model(calls=(("bash", {"command": "echo SUBMIT"}),))),
    sketch(user("Pay O-7"), ASK, tool("pay_invoice", {"order": "O-7"}, "paid")),
)
