"""An external act carried out before the state that leads to it was saved: a crash, or a resume, and it is done again.

Three cases, told by the tasks of the recorded checkpoints and not by clocks: the act stands in the same task before a pause for a person, so that resuming
runs it again; several acts share one task, so that a crash after the first repeats it; or the decision and the act share one task, so that after a crash
the model decides anew.

Why it matters: a graph resumes at the beginning of the node, not at the line where it stopped. What the node had done by then happens twice.
What to do: one act a node, with a checkpoint before it; pause in a node of its own, before any act; give the act an idempotency key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from workbench.analysis.effects import effects_of
from workbench.model import Effect, Evidence, Finding, NotEvaluated, Run, Severity, Step
from workbench.sketch import approval, model, sketch, tool, user

SHOWN = 4
SAYS: dict[str, tuple[Severity, float, str]] = {
    "pause": ("warning", 0.7, "stands before a pause in the same task: resuming runs it again"),
    "several": ("info", 0.4, "shares its task with other acts: a crash after it repeats it"),
    "decision": ("info", 0.4, "was decided and carried out in one task: after a crash the model decides anew"),
}


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each task that acts before it is safe, the worst case of it."""
    tasks: dict[tuple[str | None, str], list[Step]] = defaultdict(list)
    for step in run.steps:
        if step.task_id is not None and step.checkpoint_id is not None:
            tasks[step.namespace, step.task_id].append(step)
    acts = {effect.step: effect for effect in effects_of(run) if effect.outcome != "prevented"}
    if not tasks or not acts:
        why = "no external acts recorded" if tasks else "no checkpoints recorded"
        yield NotEvaluated(detector="effect-before-checkpoint", run_id=run.run_id, why=why)
        return
    for steps in tasks.values():
        found = _case(steps, [effect for step in steps if (effect := acts.get(step.index)) and effect.idempotency_key is None])
        if found:
            yield _finding(run, *found, steps)


def _case(steps: list[Step], bare: list[Effect]) -> tuple[str, Effect, Step] | None:
    """What is wrong with the acts without a key of one task, with the first of them and the step that shows it."""
    if not bare:
        return None
    pause = next((step for step in steps if step.kind == "human" and step.tool_call and step.index > bare[0].step), None)
    if pause:
        return "pause", bare[0], pause
    if len({effect.key for effect in bare}) > 1:
        return "several", bare[0], next(step for step in steps if step.index == bare[1].step)
    decided = next((step for step in steps if step.kind == "model" and step.index < bare[0].step), None)
    return ("decision", bare[0], decided) if decided else None


def _finding(run: Run, case: str, effect: Effect, other: Step, steps: list[Step]) -> Finding:
    severity, score, says = SAYS[case]
    return Finding(
        detector="effect-before-checkpoint",
        run_id=run.run_id,
        severity=severity,
        score=score,
        step=effect.step,
        message=f"{effect.tool} at step {effect.step} {says} (step {other.index}, {other.name}); it has no idempotency key",
        numbers={"case": case, "other_step": other.index, "steps_in_task": len(steps)},
        evidence=tuple(
            Evidence.cite(run, index, "$.task_id", says) for index, says in ((effect.step, f"the task {effect.tool} ran in"), (other.index, "the same task"))
        ),
        capability="state persistence",
        item="checkpoint-first",
        refute=f"Fork at step {effect.step} with nothing changed and count the acts: if {effect.tool} is attempted once, something else protects it.",
    )


def _in(task: str, step: Step) -> Step:
    return step.model_copy(update={"task_id": task, "checkpoint_id": f"before-{task}", "namespace": ""})


MAIL = tool("send_email", {"to": "ada@example.com"}, "sent")
BOOK = tool("book_flight", {"flight": "NH 11"}, "booked")

FIRES_ON = (
    sketch(user("Go"), _in("a", MAIL), _in("a", approval("Book?", "yes")), _in("b", BOOK)),
    sketch(user("Go"), _in("a", model(calls=(("book_flight", {}),))), _in("b", BOOK), _in("b", MAIL)),
    sketch(user("Go"), _in("a", model(calls=(("book_flight", {}),))), _in("a", BOOK)),
)
QUIET_ON = (
    sketch(user("Go"), _in("a", model(calls=(("book_flight", {}),))), _in("b", approval("Book?", "yes")), _in("c", BOOK), _in("d", MAIL)),
    sketch(user("Go"), _in("a", approval("Book?", "yes")), _in("a", BOOK)),
    sketch(user("Go"), _in("a", tool("search_flights", {}, ["NH 11"])), _in("a", approval("Book?", "yes")), _in("b", BOOK)),
    sketch(user("Go"), _in("a", tool("send_email", {"idempotency_key": "trip-7"}, "sent")), _in("a", approval("Book?", "yes")), _in("b", BOOK)),
)
