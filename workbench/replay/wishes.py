"""What a fork was asked for: whether it can be made, where the thread is cut for it, and the request that its process is given."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from workbench.database import Location
from workbench.model import PASSED_ON, Cassette, Change, Interaction, Json, Level, Run, Span, Step, canonical
from workbench.normalise.assembly import UNKEPT
from workbench.normalise.branches import UPDATED
from workbench.replay import changes
from workbench.replay.changes import MODEL
from workbench.replay.effects.broker import Terms
from workbench.replay.exchanges import as_heard, of_http
from workbench.replay.nearest import meant
from workbench.replay.process.watch import Watch
from workbench.replay.protocol import Context, Later, Request
from workbench.replay.recording import cut as cutting
from workbench.replay.recording.aftermath import Aftermath, update_id
from workbench.replay.recording.cassette import asked_of, record
from workbench.replay.recording.configs import starts_of
from workbench.replay.recording.contexts import contexts_of, others_of, with_given
from workbench.replay.recording.cut import Cut, CutError
from workbench.replay.recording.nesting import around, beside_failed, inside_tools, maybe_around, numbers_of
from workbench.replay.recording.scrubbing import configured
from workbench.replay.recording.starts import begun_at, crashes_of, given_input, looped, resumes_of, stops_of
from workbench.replay.recording.tasks import set_aside, uses_of
from workbench.replay.shapes import ChangeError

REPLACED = ("tool_result", "answer", "fault", "http")
"""The changes that take the place of a recorded answer."""


class ForkError(ValueError):
    """A fork that can't be made. The message says why, and what would be right."""


@dataclass(frozen=True)
class Wish:
    """What a fork was asked for."""

    parent: Run
    step: Step
    change: Change
    graph: str
    live: tuple[str, ...]
    run_id: str
    seconds: float
    terms: Terms
    spans: tuple[Span, ...] = ()
    execute: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    isolation: Level | None = None
    watch: Watch | None = None
    context: Json = None
    """What the starts are given as their context in place of what was recorded of it; None for nothing."""

    @cached_property
    def contexts(self) -> tuple[Context, ...]:
        """What each start from the step on is given as its context."""
        return self.contexts_from(self.step.invocation)

    def contexts_from(self, first: int) -> tuple[Context, ...]:
        """The same from another start on."""
        return with_given(contexts_of(self.parent, self.spans, first), self.context)


def named(graph: object) -> str:
    """The name of a graph. ForkError for a graph itself, with its name where some module holds it: another process can only import it."""
    if isinstance(graph, str):
        return graph
    found = next((f"{module}:{name}" for module, held in _held_by_modules() for name, value in held.items() if value is graph), None)
    how = f"graph={found!r}" if found else "put it into a module and say graph='module:attribute' or 'path/to/file.py:attribute'"
    raise ForkError(f"a graph is named, not handed over: the re-run is a process of its own and imports it. Got a {type(graph).__name__}; {how}")


def _held_by_modules() -> Iterator[tuple[str, dict[str, object]]]:
    """What loaded modules hold, by their names; not what was typed into a notebook or script, which no other process can import."""
    return ((name, dict(vars(module))) for name, module in list(sys.modules.items()) if name != "__main__" and module is not None)


def checked(parent: Run, at: int, change: Change, live: Collection[str], spans: Iterable[Span] = ()) -> Step:
    """The step to fork at. ForkError where this can't be made there, naming what would be right. `spans` are those that the run was read from."""
    for one in live:
        if one != MODEL and not one.startswith((f"{MODEL}:", "tool:")):
            plain = one.startswith("http")
            meant_model = MODEL if get_close_matches(one, [MODEL]) else f"tool:{one}"
            hint = "a plain HTTP call never goes live, make it a tool's; its recorded answer is served" if plain else f"did you mean {meant_model}?"
            raise ForkError(f"{one!r} can't go live: it should be model, model:NAME or tool:NAME; {hint}")
    spans = tuple(spans)
    try:
        step = changes.check(parent, at, change, live, spans)
    except ChangeError as error:
        raise ForkError(str(error)) from error
    if step.checkpoint_id is None:
        check_kept(parent)
        nearest = min((one for one in parent.steps if one.checkpoint_id is not None), key=lambda one: abs(one.index - at))
        instead = f"the nearest step that has one is {nearest.index} ({nearest.name})"
        raise ForkError(f"step {at} of {parent.run_id} ({step.name}) has no checkpoint to re-run from; {instead}")
    if change.kind != "none" and (tools := maybe_around(parent, step)) and step.index not in inside_tools(parent, spans):
        raise ForkError(_unplaced(parent, step, tools))
    return step


def check_kept(parent: Run) -> None:
    """ForkError for a run of which no step has a checkpoint, with the reason."""
    if any(step.checkpoint_id for step in parent.steps):
        return
    if kept := next((note for note in parent.notes if UNKEPT in note), None):
        raise ForkError(f"{parent.run_id} can't be re-run: {kept}")
    raise ForkError(f"{parent.run_id} was recorded without LangGraph checkpoints, so there is no state to re-run from; ingest its checkpoint database too")


def check_approved(names: Collection[str], live: Collection[str]) -> None:
    """ForkError for a standing approval of what is not named as live: nothing goes live by it. A model may go live under another name than its own."""
    if any(one.startswith(f"{MODEL}:") for one in live):
        return
    named = {one.partition(":")[2] for one in live}
    for one in names:
        kind, _, name = one.rpartition(":")
        if name not in named:
            asks = f"{kind or 'tool'}:{name}"
            add = f"{meant(name, named) or ';'} add live=[{asks!r}] (--live {asks})"
            raise ForkError(f"approve={one!r} (--approve {one}): nothing of that name goes live, so there is nothing to approve{add}")


def _unplaced(parent: Run, step: Step, tools: Sequence[int]) -> str:
    """Why a change can't be brought to a step that was made in one of several tool calls."""
    calls = " and ".join(f"{one} ({parent.step(one).name})" for one in tools)
    return (
        f"step {step.index} of {parent.run_id} ({step.name}) was made inside a tool's call, and it is not known in which: it may have been in step {calls}. "
        "A recorded call is served as a whole, so a change inside it needs that call's code to run, and none of the others'. What would tell is not recorded: "
        f"spans in which what a tool does hangs below its call (wb.record writes such), or times that don't overlap. Fork at step {tools[0]} instead, "
        "and change what that call returns (tool_result=…, --tool-result)"
    )


def located(databases: Sequence[Location], wish: Wish) -> Cut:
    """Where the thread is cut. ForkError when no database holds the checkpoint, or it can't be read."""
    try:
        cut = cutting.locate(databases, wish.parent.conversation_id, wish.step)
    except CutError as error:
        raise ForkError(f"step {wish.step.index} of {wish.parent.run_id} can't be re-run: {error}") from error
    except (sqlite3.DatabaseError, ValueError, RecursionError) as error:
        raise ForkError(f"the checkpoints of {wish.parent.run_id} can't be read: {type(error).__name__}: {error}") from error
    if lost := aftermath_of(wish.parent, cut).lost:
        where, why = f"step {wish.step.index} of {wish.parent.run_id}", "; ".join(lost)
        raise ForkError(f"{where} can't be re-run, for what came after it: {why}. A fork would leave that out: fork at a later step, if there is one")
    return cut


def done_again(parent: Run, cut: Cut) -> frozenset[int]:
    """The indexes of the parent's steps that are done again. A step whose checkpoint is not known goes with what stands around it in time.

    Steps of a branch that had been left before stand, and so does a question that was answered before the cut, also where the tasks around the one that
    asked it passed it on and go on now.
    """
    later = [one for one in parent.steps if one.checkpoint_id and cut.came_later(one)]
    done = {one.index for one in later if not cut.keeps_task((one.namespace or "", str(one.checkpoint_id)), one.task_id)}
    people = [one for one in parent.steps if one.kind == "human" and one.tool_call]
    answered = {one.tool_call.call_id for one in people if one.tool_call and one.index not in done and PASSED_ON not in one.notes}
    done -= {one.index for one in people if one.tool_call and one.tool_call.call_id in answered and PASSED_ON in one.notes}
    first = min(done, default=0)
    return frozenset(done | {one.index for one in parent.steps if one.checkpoint_id is None and one.index >= first})


# ---- the request


def keep_aside(wish: Wish, cut: Cut, request: Request) -> None:
    """Put what the recorded tasks wrote where the re-run can read it and not write to it.

    A node that a change is for, or in which something is to go live, runs, whatever of it was captured.
    """
    met = changes.calls_met(wish.parent, wish.step, wish.change) | changes.named_live(wish.parent, wish.live)
    tasks = {wish.parent.step(index).task_id for index in met} - {None}
    calls = {one.step for one in request.cassette.interactions if one.kind != "human"} | met
    asking = {one.step for one in request.cassette.interactions if one.questions}
    lacking = (asking | {one.step for one in request.cassette.missing}) - {one.index for one in wish.parent.steps if one.task_id in tasks}
    set_aside(aftermath_of(wish.parent, cut), uses_of(wish.parent, calls, lacking, wish.spans), Path(request.recorded))


def aftermath_of(run: Run, cut: Cut) -> Aftermath:
    """What was done to the thread after the cut, as far as this run goes: the thread may have gone on since it was read."""
    return Aftermath(cut, max((root for one in run.steps if one.checkpoint_id and (root := cut.root_of(one))), default=cut.root))


def request_of(wish: Wish, cut: Cut, folder: Path) -> Request:
    """The request that the process of the re-run is given; what it works with stands in `folder`."""
    parent, again = wish.parent, done_again(wish.parent, cut)
    cassette = as_heard(record(parent, wish.spans, scrub=configured(Path.cwd())), parent, wish.spans)
    kind, inner = wish.change.kind, inside_tools(parent, wish.spans)
    aftermath = aftermath_of(parent, cut)
    first = min(parent.step(one).invocation for one in again)
    restarts = resumes_of(parent, cut, first, aftermath.stretches)
    later = tuple(_later(parent, cut, aftermath, restarts))
    asking = calls_that_asked(wish, cassette)
    opened = () if kind == "none" else tuple(around(inner, wish.step.index))
    opened += tuple(one.step for one in asking if one.name in wish.execute)
    return Request(
        run_id=wish.run_id,
        graph=wish.graph,
        folder=str(folder / "inside"),
        database=str(folder / "inside" / "thread.sqlite"),
        witness=str(folder / "outside"),
        seconds=wish.seconds,
        cassette=changes.cassette_with(cassette, parent, wish.step, wish.change),
        steps=tuple(sorted(again)),
        before=tuple(_before(wish, cassette, again)),
        edited=wish.step.index if kind in REPLACED and not of_http(wish.change, wish.step) else None,
        opened=opened,
        numbers={task: calls for task, calls in numbers_of(parent, inner).items() if calls.keys() & set(opened)},
        beside={step: others for step, others in beside_failed(parent, inner).items() if step in again},
        asked_otherwise=tuple(one.step for one in asking if not (one.interrupted and canonical(one.result) == canonical(asked_of(wish.step)))),
        alteration=changes.altered(parent, wish.step, wish.change, cassette, wish.spans),
        state=wish.change.value if kind == "state" else None,
        cut=cut.at,
        path=cut.path if _began(parent, cut) else (),
        models_live=MODEL in wish.live,
        outside=tuple(one for one in wish.live if one != MODEL),
        budget=wish.terms.limits,
        declared=wish.terms.declared,
        isolation=wish.isolation,
        nodes=tuple(sorted({str(one.node) for one in parent.steps if one.node and one.namespace == ""})),
        starts=starts_of(parent, wish.spans, cut, first),
        begun=dict(begun_at(parent, cut, first)),
        contexts=wish.contexts_from(first),
        loops=looped(wish.spans),
        later=later,
        idle=aftermath.idle(),
        restarts=restarts[0],
        crashes=tuple(crashes_of(parent, again, first)),
        stops=tuple(one for one in sorted({*stops_of(parent), *_updated_after(parent, later)}) if one in again),
        waits=tuple(sorted(cutting.waits_before(cut, aftermath.newest))) if parent.status in ("interrupted", "running") else (),
        recorded=str(folder / "outside" / "recorded.sqlite"),
        execute=wish.execute,
        stale=wish.stale,
    )


def _told_by(one: Later, parent: Run) -> int | None:
    """The step that tells of an update."""
    ids = {task.removeprefix(update_id("")) for task in one.tasks}
    told = (step for step in parent.steps if step.name == UPDATED and (step.task_id in ids if ids else step.checkpoint_id == one.parent))
    return next((step.index for step in told), None) if one.kind == "update" else None


def _later(parent: Run, cut: Cut, aftermath: Aftermath, restarts: Mapping[int, int]) -> Iterator[Later]:
    """What was done to the thread after the cut, with the steps that tell of it and come after it."""
    firsts: dict[int, int] = {}
    for step in parent.steps:
        if step.checkpoint_id and (stretch := aftermath.stretches.get(cut.root_of(step) or "")) is not None:
            firsts.setdefault(stretch, step.index)
    for number, one in enumerate(aftermath.later(restarts), 1):
        yield one.model_copy(update={"step": _told_by(one, parent), "first": firsts.get(number)})


def _updated_after(parent: Run, later: Sequence[Later]) -> Iterator[int]:
    """The steps after which the state was updated and the graph started again from there, where nothing else tells of that start."""
    for one in later:
        if one.kind == "update" and one.spot is None and one.restarts and one.step and one.first is not None:
            before = parent.step(one.step - 1)
            if parent.step(one.first).invocation == before.invocation and before.kind != "human":
                yield before.index


def calls_that_asked(wish: Wish, cassette: Cassette) -> list[Interaction]:
    """The attempts at tool calls that asked a person the question whose answer is changed, those after it too."""
    if wish.change.kind != "answer" or wish.step.tool_call is None:
        return []
    question, known = canonical(asked_of(wish.step)), wish.step.tool_call.call_id
    passed_on = {one.task_id for one in wish.parent.of_kind("human") if PASSED_ON in one.notes and one.tool_call and one.tool_call.call_id == known}
    tools = [one for one in cassette.interactions if one.kind == "tool" and one.task_id in {wish.step.task_id, *passed_on}]
    asking = [one for one in tools if question in [canonical(said) for said in (*one.questions, *([one.result] if one.interrupted else ()))]]
    calls = {(one.task_id, one.name, one.call_id): one.step for one in reversed(asking)}
    return [one for one in tools if one.step >= calls.get((one.task_id, one.name, one.call_id), one.step + 1)]


def _began(parent: Run, cut: Cut) -> bool:
    """Whether the super-step at the cut first ran in a start that was given an input, rather than in one that resumed."""
    first = next((one.invocation for one in parent.steps if one.checkpoint_id and cut.root_of(one) == cut.levels[0][1]), None)
    return first is not None and given_input(parent, cut, first)


def _before(wish: Wish, cassette: Cassette, again: Collection[int]) -> Iterator[int]:
    """The calls that are done again although they ended before the fork's step, such as those of a `@task`: none where all see something else."""
    if wish.change.kind != "state" and not others_of(wish.contexts):
        ended = {one.step for one in cassette.interactions if one.kind in ("model", "tool") and not one.interrupted}
        yield from sorted(one for one in again if one in ended and one < wish.step.index)
