"""Two agents hand the work to and fro: turn after turn of the same two, no tool call that worked in between, and hardly a new word.

Who speaks is the node of a model call, in chat logs the name of the message. Quiet while their turns bring something new, as in a discussion or a review.

Why it matters: each believes that the other one is at work; tokens are spent and nothing is done.
What to do: give each task one owner; cap the number of hand-overs; make "nobody can do this" a way to end.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.signals import WORD, complaint, said

TURNS = 6
STALE = 0.3
"""The share of new words below which a turn brings nothing new."""
SHOWN = 4


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each stretch of turns to and fro, at the turn from which nothing new came."""
    if len({_speaker(step) for step in run.of_kind("model")}) < 2:  # noqa: PLR2004  # it takes two
        yield NotEvaluated(detector="handoff-ping-pong", run_id=run.run_id, why="fewer than two agents spoke")
        return
    turns, seen = list[Step](), set[str]()
    for step in run.steps:
        words = {word.lower() for word in WORD.findall(said(step))}
        goes_on = step.kind == "model" and bool(words) and len(words - seen) <= STALE * len(words) and _alternates(turns, step)
        if not goes_on and not _passes(step):
            if len(turns) >= TURNS:
                yield _finding(run, turns)
            turns = [step] if step.kind == "model" else []
        elif step.kind == "model":
            turns.append(step)
        seen |= words
    if len(turns) >= TURNS:
        yield _finding(run, turns)


def _speaker(step: Step) -> str:
    return step.node or step.name.partition(" (")[0]


def _alternates(turns: list[Step], step: Step) -> bool:
    """Whether a turn goes on with the to and fro: another speaker than the last one, the same as the one before."""
    if not turns or _speaker(turns[-1]) == _speaker(step):
        return False
    return len(turns) == 1 or _speaker(turns[-2]) == _speaker(step)


def _passes(step: Step) -> bool:
    """Whether a step lies between turns without being one: a node, a hand-over, or a call that failed or brought nothing."""
    return step.kind == "node" or (step.kind == "tool" and ("handoff" in step.notes or complaint(step) is not None))


def _finding(run: Run, turns: list[Step]) -> Finding:
    one, other, first, last = _speaker(turns[0]), _speaker(turns[1]), turns[0].index, turns[-1].index
    return Finding(
        detector="handoff-ping-pong",
        run_id=run.run_id,
        severity="warning",
        score=min(0.9, 0.4 + 0.05 * len(turns)),
        step=turns[1].index,
        message=f"{one} and {other} spoke {len(turns)} times in turn, steps {first} to {last}, with hardly a new word and no call that worked",
        numbers={"turns": len(turns), "first": first, "last": last},
        evidence=tuple(Evidence.cite(run, step.index, "$.output.content", f"what {_speaker(step)} said") for step in turns[:SHOWN]),
        capability="cost control",
        item="circuit-breaker",
        refute=f"Fork at step {turns[1].index} with the missing piece told to both: if they still hand it to and fro, it isn't what is missing.",
    )


def _says(name: str, text: str) -> Step:
    return model(text, name=name)


FIRES_ON = (
    sketch(user("Fix the report"), *(_says(name, "Please provide the code so that we can go on.") for name in ("Coder", "Tester") * 4)),
    sketch(user("Refund"), *(step for name in ("Desk", "Billing") * 4 for step in (_says(name, "This is not mine."), tool("transfer", {}, error="busy")))),
)
QUIET_ON = (
    sketch(user("Discuss"), *(_says("AB"[n % 2], f"Argument{n} concerns topic{n} because fact{n} shows effect{n}.") for n in range(8))),
    sketch(user("Work"), *(step for n in range(8) for step in (_says(("Lead", "Coder")[n % 2], "Next part, please."), tool("run", {"n": n}, "done")))),
    sketch(user("Go"), *(_says("Coder", "Please provide the code.") for _ in range(8)), _says("Tester", "Here it is.")),
)
