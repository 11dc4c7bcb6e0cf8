"""Re-runs a graph on its scratch thread behind the fence: from the cut, through recorded answers and inputs, to wherever it stops."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.model import Cassette, Interaction, Json
from workbench.replay.budget import Meter
from workbench.replay.channel import Line
from workbench.replay.fence import fence, graphs, named, nodes, reload
from workbench.replay.fence.alterations import Alterations
from workbench.replay.fence.drive import Drive
from workbench.replay.fence.injected import Crossing
from workbench.replay.fence.journal import Journal, Notes
from workbench.replay.fence.lookups import unrecorded
from workbench.replay.fence.nodes import Nodes
from workbench.replay.fence.overlay import decoding, overlay, recorded_channels, replace_message, serializer_of
from workbench.replay.fence.playback import FenceError, Playback
from workbench.replay.fence.reach import Reach
from workbench.replay.fence.runner import Graph, runner
from workbench.replay.fence.states import parts_of
from workbench.replay.fence.stores import store_of
from workbench.replay.fence.tripwire import Tripwire
from workbench.replay.fence.tuples import Tuples
from workbench.replay.protocol import Alteration, Answer, Request, Resumed, Start
from workbench.replay.recording.configs import redacted_in
from workbench.replay.recording.contexts import UNCHECKED, UNKNOWN, ContextError, others_of, rebuilt
from workbench.replay.recording.course import Course
from workbench.replay.recording.tape import Divergence, Tape
from workbench.replay.recording.tasks import Tasks

STORE = "the graph's store holds what its module puts there and nothing else in a re-run: what runs had put there was not recorded"
STEPS = ("tool", "human", "retrieval", "model")
"""The kinds of calls that are steps, so that each should be made again."""
ASYNC_ONLY = re.compile(
    r"(?:NotImplementedError|TypeError|RuntimeError): .*\b(?:[Ss]ynchronous (?:implementation|function)|sync(?:hronous)? context|async API)", re.DOTALL
)
"""How LangChain and LangGraph say that a graph has parts that only run asynchronously."""


def rerun(request: Request, line: Line, wire: Tripwire, *, sandboxed: bool) -> Answer:
    """Do what a request asks, and tell on the line what is done. The process must be shut in before, and watched by this tripwire."""
    try:
        fence.prove()
        graph = graphs.load(request.graph, request.starts[0] if request.starts else Start())
        graphs.check(graph, request.nodes, request.graph)
        graphs.check_channels(graph, recorded_channels(graph, request), request.graph)
        named.check(graph, request.unknown, request.graph)
        for one in request.contexts:
            rebuilt(graph.context_schema, one, str)
        fence.prove()
        if request.state is not None:
            overlay(graph, request, request.state)
        alteration, replaced = request.alteration, False
        if alteration.message is not None and replace_message(graph, request, alteration.message):
            alteration = alteration.model_copy(update={"message": None})
            replaced = True
    except (graphs.GraphError, FenceError, ContextError) as error:
        return Answer(ended="refused", says=str(error))
    except Divergence as divergence:
        return Answer(ended="refused", says=f"{request.graph} calls a model or tool while it is being loaded, which a fork can't serve: {divergence}")
    gone = request.resumed or Resumed(part=0, records=0, used=(), freed=False, applied=0, starts=0)
    tape = Tape(request.cassette, steps=request.steps, stops=() if request.state or others_of(request.contexts) else request.stops, stale=request.stale)
    playback = Playback(
        tape,
        Journal(request.run_id, tell=line.tell, first=gone.records, part=gone.part),
        models_live=request.models_live,
        before=frozenset(request.before),
        edited=request.edited,
        opened=frozenset(request.opened),
        beside=request.beside,
        execute=frozenset(request.execute),
        declared=request.declared,
        sandboxed=sandboxed,
        asked_otherwise=frozenset(request.asked_otherwise),
        other_context=others_of(request.contexts),
        parts=parts_of(graph),
        altered=Alterations(alteration, expects=tape.expects, recordings=request.cassette.interactions, tell=line.tell),
        reach=Reach(line, frozenset(request.outside), alteration.settings, Crossing.of(graph)),
        meter=Meter(request.budget, spent=gone.spent),
        notes=Notes(line.tell),
    )
    playback.altered.applied = gone.applied
    _go_on(playback, gone)
    fence.put_up(playback)
    playback.notes.extend(one for one in _said_before(graph, request) if one not in gone.notes)
    with decoding() as lost:
        if request.recorded:
            playback.nodes = _nodes(request, playback, graph, lost, wire, gone=gone)
            nodes.put_up(playback.nodes)
        ended, says, state = _through(playback, request, graph)
    if lost:
        playback.notes.append(f"values of {', '.join(lost)} in the state were handed on as plain data: the graph's schema does not name these types")
    answer = _answer(playback, ended, says)
    return answer.model_copy(update={"state": state, "applied": replaced or playback.altered.applied > 0 or _edited(playback)})


def _said_before(graph: Graph, request: Request) -> Iterator[str]:
    """What there is to say of a re-run before it begins."""
    if store_of(graph) is not None:
        yield STORE
    yield from graphs.others_made(request.graph, request.starts)
    yield from redacted_in(request.starts)
    yield from unrecorded(request.starts, graphs.sources())
    if graph.context_schema is not None and not request.contexts:
        yield UNKNOWN
    by_hand = dict.fromkeys(name for one in request.contexts for name in one.by_hand or ())
    if any(one.by_hand is not None for one in request.contexts):
        yield "the run's context was given by hand" + (f": {', '.join(by_hand)}" if any(by_hand) else "") + ("" if graph.context_schema else UNCHECKED)
    if others := others_of(request.contexts):
        yield f"of the context, {', '.join(others)} was recorded with another value: nodes ran under the new one, and nothing that they wrote was served"
    elif graph.context_schema is not None and any(one.by_hand is not None and one.other is None for one in request.contexts):
        yield "what the run was started with was not recorded: what is served was made under that, be it another context than the one given or the same"


def _go_on(playback: Playback, gone: Resumed) -> None:
    """Leave out what an earlier part of this re-run has done."""
    playback.journal.go_on(gone.root, gone.starts)
    playback.tape.leave_out(gone.used)
    if gone.stops is not None:
        playback.tape.go_on(gone.stops)
    playback.notes.keep(gone.notes)
    if gone.freed:
        playback.tape.free()


def _edited(playback: Playback) -> bool:
    return any(record.answer == "edited" for record in playback.journal.records)


def _through(playback: Playback, request: Request, graph: Graph) -> tuple[str, str, tuple[str, str] | None]:
    """Drive the graph to its end. One that turns out to run asynchronously alone, before it made any call, is begun again so.

    Returns how it ended, what there is to say about it, and the hashes of its last state in memory and reloaded.
    """
    loops = graphs.needs_loop(graph, recorded=request.loops)
    mark = _last_write(request)
    ended = _driven(playback, request, graph, loops=loops)
    if loops or playback.journal.records or not ASYNC_ONLY.match(ended[1]):
        return ended
    _forget_failure(request, mark)
    playback.journal.forget()
    return _driven(playback, request, graph, loops=True)


def _driven(playback: Playback, request: Request, graph: Graph, *, loops: bool) -> tuple[str, str, tuple[str, str] | None]:
    with runner(graph, request, loops=loops) as running:
        drive = Drive(running, playback, request, graph)
        return *drive.through(), reload.compared(graph, request.database, running.config, drive.held)


def _last_write(request: Request) -> int:
    with contextlib.closing(sqlite3.connect(request.database)) as database:
        return int(database.execute("SELECT coalesce(max(rowid), 0) FROM writes").fetchone()[0])


def _forget_failure(request: Request, mark: int) -> None:
    """Take back what the thread was told of a graph that could not be run in this way."""
    with contextlib.closing(sqlite3.connect(request.database)) as database, database:
        database.execute("DELETE FROM writes WHERE rowid > ? AND channel = '__error__'", (mark,))


def questions_of(cassette: Cassette) -> dict[str, list[Json]]:
    """The questions that recorded tasks asked a person and that were answered, in order, by task id."""
    found: dict[str, list[Json]] = {}
    for one in cassette.interactions:
        if one.kind == "human" and one.task_id is not None:
            found.setdefault(one.task_id, []).append(one.arguments)
    return found


def _nodes(request: Request, playback: Playback, graph: Graph, lost: list[str], wire: Tripwire, *, gone: Resumed) -> Nodes:
    """What stands for the nodes that can't be looked into. On a state that was changed they see what they did not see."""
    wire.whose = nodes.current_task
    return Nodes(
        tasks=Tasks(Path(request.recorded)),
        serializer=serializer_of(graph),
        journal=playback.journal,
        lost=lost,
        scrubber=playback.tape.scrubber,
        reached=wire.of,
        notes=playback.notes,
        course=Course(lost=gone.freed or bool(gone.strayed) or _goes_elsewhere(request, playback)),
        thread_id=request.run_id,
        strayed=list(gone.strayed),
        tuples=Tuples.of(graph),
        execute=request.execute,
        path=() if request.resumed else request.path,
        numbers=request.numbers,
        used=request.resumed.used if request.resumed else (),
        asked=questions_of(request.cassette),
        crashes=Counter(task_id for _, task_id in {(one.start, one.task_id) for one in request.crashes} if task_id is not None),
    )


def _goes_elsewhere(request: Request, playback: Playback) -> bool:
    """Whether the very first task sees something else than it did: another state, message or context."""
    return request.state is not None or bool(others_of(request.contexts)) or request.alteration.message != playback.altered.asked.message


def _answer(playback: Playback, ended: Any, says: str) -> Answer:
    if playback.divergence is not None:
        ended, says = "halted", "\n  ".join([str(playback.divergence), *(one for one in playback.notes if one in (STORE, UNKNOWN))])
    elif ended == "failed":
        says = "\n  ".join([says, *(one for one in playback.notes if one == UNKNOWN)])
    left = [one.step for one in playback.tape.left if _expected(playback, one)]
    notes = [*playback.notes, *(playback.nodes.tuples.notes if playback.nodes else ())]
    if playback.edited is not None and not _edited(playback) and not playback.altered.applied:
        notes.append(f"the changed call, step {playback.edited}, was never made: the change had no effect")
    elif playback.altered.asked != Alteration() and not playback.altered.applied:
        notes.append("no call was made that the change applies to: it had no effect")
    journal, tasks = playback.journal, tuple(playback.nodes.tasks.translated.items()) if playback.nodes else ()
    told = {"records": tuple(journal.records), "spans": tuple(journal.spans), "tasks": tasks, "notes": tuple(notes)}
    told |= {"left": tuple(left), "opened": tuple(playback.opened), "strayed": tuple(playback.nodes.strayed) if playback.nodes else ()}
    return Answer(ended=ended, says=says, spent=playback.meter.now(), **told)


def _expected(playback: Playback, one: Interaction) -> bool:
    """Whether a call that was not made again should have been. Where spans tell of calls, one that only the state tells of was none of a tool's."""
    told = any(other.sources.get("asked") == "span" for other in playback.tape.cassette.interactions)
    untold = told and one.kind == "tool" and one.sources.get("asked") == "checkpoint"
    return one.kind in STEPS and not untold and not _goes_live(playback, one) and one.step != playback.edited


def _goes_live(playback: Playback, one: Interaction) -> bool:
    """Whether calls like this recorded one are made anew."""
    return (one.kind == "model" and playback.models_live) or playback.reach.takes(one.kind, one.name)
