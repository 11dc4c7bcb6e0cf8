"""A step that was begun and neither finished nor taken up again, although the run went on: its outcome is open and nobody looked.

Quiet when the same call was made again later, or looked up, when the run itself stopped there, and for what runs beside other things until the very end.

Why it matters: an act that was in progress may have happened. Whoever goes on without looking either loses it or does it twice.
What to do: note each step as begun before it is carried out; on a resume, look up what was in progress before going on.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.analysis.effects import business_key, effect_class, is_act
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, restart, sketch, tool, user


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each abandoned step."""
    if not any(run.of_kind("tool")):
        yield NotEvaluated(detector="abandoned-step", run_id=run.run_id, why="no tool calls recorded")
        return
    calls = [step for step in run.steps if step.kind in {"model", "tool"}]
    last = max((step.index for step in calls if step.status not in {"running", "interrupted"}), default=-1)
    taken_up: set[str] = set()
    found: list[Step] = []
    for step in reversed(calls):
        went_on = step.index < last and (run.status in {"ok", "interrupted"} or calls[-1].invocation > step.invocation)
        if step.kind == "tool" and step.status == "running" and went_on and taken_up.isdisjoint(_taken_up_by(step)):
            found.append(step)
        taken_up |= _looked_up(step) | ({_operation(step)} if step.status != "interrupted" else set())
    yield from (_finding(run, step, last) for step in reversed(found))


def _taken_up_by(step: Step) -> set[str]:
    """What a later call shows of it, where it takes it up: the same call made again, or a look-up that is given one of its values."""
    return {_operation(step), *_values(step)}


def _operation(step: Step) -> str:
    return business_key(step.tool_call.name, step.tool_call.arguments) if step.tool_call else f"{step.kind} {step.name}"


def _looked_up(step: Step) -> set[str]:
    return _values(step) if step.tool_call and effect_class(step) == "read-only" else set()


def _values(step: Step) -> set[str]:
    arguments = (step.tool_call.arguments if step.tool_call else None) or {}
    return {f"= {value}" for value in arguments.values() if isinstance(value, str | int)}


def _finding(run: Run, step: Step, last: int) -> Finding:
    acts = is_act(step)
    return Finding(
        detector="abandoned-step",
        run_id=run.run_id,
        severity="warning" if acts else "info",
        score=0.75 if acts else 0.4,
        step=step.index,
        message=f"{step.name} was begun at step {step.index} and neither finished nor taken up again; the run went on to step {last}",
        numbers={"begun_at": step.index, "went_on_to": last, "acts": int(acts)},
        evidence=(
            Evidence.cite(run, step.index, "$.status", "begun, with no end"),
            Evidence.cite(run, last, "$.kind", "the run went on"),
        ),
        capability="state persistence",
        item="resume-in-progress",
        refute=f"Ask the other side whether the act of step {step.index} happened; a record of its end refutes this.",
    )


PAY, MAIL = {"order": "O-7"}, {"to": "ada@example.com", "idempotency_key": "m-1"}
BEGUN = tool("pay_invoice", PAY, status="running")
LOOK = (model(calls=(("get_weather", {}),)), tool("get_weather", {}, "sunny"))

FIRES_ON = (
    sketch(user("Pay O-7"), BEGUN, restart(*LOOK, model("All done."))),
    sketch(user("Pay O-7"), BEGUN, *LOOK, model("All done.")),
)
QUIET_ON = (
    sketch(user("Hi"), tool("send_email", MAIL, status="running"), restart(tool("send_email", MAIL, "sent"), model("Sent."))),
    sketch(user("Pay O-7"), BEGUN, restart(tool("get_payment", PAY, "paid"), model("It was paid."))),
    sketch(user("Pay O-7"), *LOOK, BEGUN, status="running"),
)
