"""After a thread was taken back to an earlier checkpoint, what happened on the branch that was left is still there: acts in the world, or words in the state.

A branch was left when a later start goes on from a checkpoint that other steps had already moved on from. Acts done there were done, though the state no
longer knows of them; and if a later model call is given a result from there, the state was not taken back at all.

Why it matters: going back in time undoes the state, not the world. The agent books again what it no longer remembers booking.
What to do: before a fork, undo or record what was done after that point; give acts keys that survive the fork; fork into a thread of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from workbench.analysis.effects import effects_of
from workbench.model import Effect, Evidence, Finding, Message, NotEvaluated, Run, Step
from workbench.sketch import model, restart, sketch, tool, user

SHOWN = 4


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """A finding for each branch left with acts, and one for the first model call that is given results of a branch that was left."""
    rooted = [step for step in run.steps if step.checkpoint_id is not None and not step.namespace]
    if not rooted:
        yield NotEvaluated(detector="abandoned-branch", run_id=run.run_id, why="no checkpoints recorded")
        return
    effects = {effect.step: effect for effect in effects_of(run) if effect.outcome in {"done", "unknown"}}
    left: dict[str, tuple[Step, Step]] = {}
    for back, branch in _branches(rooted):
        left |= {step.tool_call.call_id: (step, back) for step in branch if step.tool_call and step.tool_call.call_id}
        acts = [effect for step in branch if (effect := effects.get(step.index))]
        if acts:
            yield _orphaned(run, back, acts)
    yield from islice(_leaks(run, left), 1)


def _branches(rooted: list[Step]) -> Iterator[tuple[Step, list[Step]]]:
    """Where a later start went back to a checkpoint of before, with the steps that it left behind."""
    line: list[Step] = []
    place: dict[str, int] = {}
    for step in rooted:
        key = step.checkpoint_id or ""
        at = place.get(key)
        if at is None:
            place[key] = len(line)
        elif line[-1].checkpoint_id != key and step.invocation > line[-1].invocation and step.task_id not in {one.task_id for one in line[at:]}:
            yield step, line[at:]
            for gone in line[at:]:
                place.pop(gone.checkpoint_id or "", None)
            del line[at:]
            place[key] = len(line)
        line.append(step)


def _leaks(run: Run, left: dict[str, tuple[Step, Step]]) -> Iterator[Finding]:
    """The model calls that are given a result from a branch that had been left."""
    for step in run.of_kind("model") if left else ():
        for number, message in enumerate(step.messages):
            source, back = left.get(message.tool_call_id or "", (None, None))
            if message.role == "tool" and source and back and step.index >= back.index:
                yield _leaked(run, back, step, number, source)


def _orphaned(run: Run, back: Step, acts: list[Effect]) -> Finding:
    names = ", ".join(f"{effect.tool} (step {effect.step})" for effect in acts[:SHOWN])
    return Finding(
        detector="abandoned-branch",
        run_id=run.run_id,
        severity="warning",
        score=0.7,
        step=back.index,
        message=f"step {back.index} goes on from an earlier checkpoint; what was done since stays done, and the state no longer knows of it: {names}",
        numbers={"acts_left": len(acts), "left_from": acts[0].step, "back_at": back.index},
        evidence=(
            Evidence.cite(run, back.index, "$.checkpoint_id", "the checkpoint it went back to"),
            *(Evidence.cite(run, effect.step, "$.tool_call.arguments", f"{effect.tool} on the branch that was left") for effect in acts[:SHOWN]),
        ),
        capability="state persistence",
        item="durable-checkpoints",
        refute=f"Look in the world whether {acts[0].tool} of step {acts[0].step} was undone; if it was, nothing is left of the branch.",
    )


def _leaked(run: Run, back: Step, step: Step, number: int, source: Step) -> Finding:
    return Finding(
        detector="abandoned-branch",
        run_id=run.run_id,
        severity="error",
        score=0.95,
        step=step.index,
        message=f"step {step.index} is given the result of step {source.index} ({source.name}), which stands on a branch that was left at step {back.index}",
        numbers={"result_of": source.index, "back_at": back.index},
        evidence=(
            Evidence.cite(run, step.index, f"$.messages[{number}].content", "a result from the branch that was left"),
            Evidence.cite(run, source.index, "$.result", "where it came from"),
        ),
        capability="state persistence",
        item="durable-checkpoints",
        refute=f"Read the state at step {step.index}: if the message was put there on purpose, this is no leak.",
    )


def _at(checkpoint: str, step: Step, task: str | None = None) -> Step:
    call = step.tool_call.model_copy(update={"call_id": f"call-{checkpoint}"}) if step.tool_call else None
    return step.model_copy(update={"checkpoint_id": checkpoint, "task_id": task or f"task-{checkpoint}", "namespace": "", "tool_call": call})


SEEN = (Message(role="tool", content="NH 11 booked", tool_call_id="call-2"),)
BEGIN = (user("Book a flight"), _at("1", model(calls=(("book_flight", {"flight": "NH 11"}),))))
BOOKED = _at("2", tool("book_flight", {"flight": "NH 11"}, "NH 11 booked"))
LOOKED = _at("2", tool("search_flights", {"day": 3}, "NH 11 booked"))
AGAIN = restart(_at("1", model(calls=(("book_flight", {"flight": "LH 7"}),)), "other"), _at("4", tool("book_flight", {"flight": "LH 7"}, "LH 7 booked")))

FIRES_ON = (
    sketch(*BEGIN, BOOKED, _at("3", model("Booked.")), *AGAIN, restart(_at("5", model("Booked.")))),
    sketch(*BEGIN, LOOKED, _at("3", model("Found.")), *AGAIN, restart(_at("5", model("Booked.", messages=SEEN)))),
)
QUIET_ON = (
    sketch(*BEGIN, LOOKED, _at("3", model("Found.")), *AGAIN, restart(_at("5", model("Booked.")))),
    sketch(*BEGIN, BOOKED, restart(_at("3", model("Booked.", messages=SEEN)))),
    sketch(*BEGIN, _at("2", tool("book_flight", {"flight": "NH 11"}, error="reset")), restart(BOOKED, _at("3", model("Booked.", messages=SEEN)))),
)
