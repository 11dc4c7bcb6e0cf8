"""Forks a recorded run: cut its thread, re-run from there in a shut-in process, and read what came of it as a run with a receipt."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from workbench.analysis.effects import requests_of, with_declared
from workbench.database import Location, location
from workbench.model import RETURNED, Change, Checkpoint, Json, LedgerEntry, Level, Receipt, Run, Span, Spent, Status, Step
from workbench.normalise.ledger import Ledger
from workbench.plugins import collector_of
from workbench.reading.threads import opened
from workbench.replay.assembly import CALLS_UNKNOWN, Assembled, assemble
from workbench.replay.budget import Meter
from workbench.replay.changes import MODEL
from workbench.replay.channel import ChannelError
from workbench.replay.effects.broker import Broker, Outside, Terms
from workbench.replay.effects.ledger import Pages, Scribe
from workbench.replay.isolation import LEVELS
from workbench.replay.process import parent as process
from workbench.replay.process.parent import NotStartedError, ProcessError
from workbench.replay.process.watch import Watch
from workbench.replay.protocol import Answer, Request, Start
from workbench.replay.receipts import Proof, receipt_of
from workbench.replay.recording import cut as cutting
from workbench.replay.recording.captured import Captured
from workbench.replay.recording.contexts import others_of
from workbench.replay.recording.cut import Cut
from workbench.replay.recording.states import asks_for_state, held
from workbench.replay.told import Told, flagged, lines, listed, read
from workbench.replay.unfinished import Asked, ClaimedError, Unfinished
from workbench.replay.unmet import unknown, unmet
from workbench.replay.wishes import ForkError, Wish, checked, done_again, keep_aside, located, named, request_of
from workbench.source import Source, SourceError

OWNERS_FILE = 0o600
"""Who may read a fork's thread: it holds what the recording held."""
UNDER_WAY = "tokens and money are those of the model calls that had ended: what a call took that was under way when the re-run was stopped is not known"
__all__ = ["ForkError", "Forked", "fork", "resume"]


@dataclass(frozen=True)
class Forked:
    """A fork: its run (the parent's steps up to the cut, then its own), its receipt, how many leading steps are its parent's, its lines of the ledger."""

    run: Run
    receipt: Receipt
    prefix: int
    lines: tuple[LedgerEntry, ...] = ()


def fork(
    parent: Run,
    *,
    at: int,
    change: Change,
    databases: Sequence[Location],
    graph: str,
    live: Collection[str] = (),
    run_id: str,
    scratch: Path,
    seconds: float = 120.0,
    terms: Terms | None = None,
    spans: Iterable[Span] = (),
    execute: Collection[str] = (),
    stale: Collection[str] = (),
    isolation: Level | None = None,
    watch: Watch | None = None,
    context: Json = None,
) -> Forked:
    """Re-run a recorded run from the super-step of step `at`, with at most one thing changed, and nothing real touched.

    `databases` are the checkpoint databases it was recorded in; they are only read. `graph` is "module:attribute" or "path/to/file.py:attribute".
    Recorded answers are served, what has none halts; `live={"model"}` lets the chat models think anew, inside the sandbox; `"tool:NAME"` and
    `"model:NAME"` are called for real, outside of it, on the `terms` given: each act asks a person. The fork's own thread is kept in `scratch`.
    `seconds` bounds the re-run, not counting how long it waits for a person.

    `spans` are those the run was read from: they hold what is no step, such as HTTP exchanges. Nodes without recorded calls are served from what they
    wrote; `execute` names those whose code runs instead, "*" all. `stale` names tools (or "model", "http", ...) whose unrecorded calls get the nearest
    recording's answer, marked. `isolation` is the level to shut it in at, whatever `[tool.workbench.isolation]` says. `watch` hears each call as it is
    answered, and can stop the re-run from another thread. `context` is what the graph is started with as its context, in place of what was recorded of it:
    fields by their names.

    Raises ForkError when it can't be done; a halted, interrupted or stopped fork is a result, no error.
    """
    started, graph = time.monotonic(), named(graph)
    if isolation not in (None, *LEVELS):
        raise ForkError(f"there is no isolation {isolation!r}; there are {', '.join(LEVELS)}")
    spans = tuple(spans)
    step, names = checked(parent, at, change, live, spans), tuple(sorted(live))
    wish = Wish(parent, step, change, graph, names, run_id, seconds, terms or Terms(), spans, tuple(execute), tuple(stale), isolation, watch, context)
    cut = located(databases, wish)
    request = request_of(wish, cut, Unfinished.beside(scratch).folder)  # before there is a folder: what can't be asked for leaves none
    request = request.model_copy(update={"unknown": unknown(wish)})
    work = _begun(wish, scratch)
    with work.claimed():
        before = _prepared(wish, cut, request, work, databases)
        answer = _asked(wish, cut, request, work)
        return _finished(wish, cut, answer, work, scratch, before, started)


def resume(parent: Run, *, databases: Sequence[Location], scratch: Path, terms: Terms | None = None, seconds: float | None = None) -> Forked:
    """Let a fork go on that was killed, from where its own thread stands; what was done live is not done again.

    `scratch` is where its thread is to be kept, as when it was made; `seconds` bounds it anew, as before where none are given.
    Raises ForkError when there is no such unfinished fork.
    """
    started = time.monotonic()
    work = Unfinished.beside(scratch)
    if not work.begun:
        raise ForkError(f"no unfinished fork stands in {work.folder}")
    asked = work.asked
    step = parent.step(asked.at)
    wish = Wish(parent, step, asked.change, asked.graph, asked.live, asked.run_id, seconds or asked.seconds, terms or Terms())
    if any(one.startswith("tool:") for one in asked.live) and isinstance(wish.terms.ledger, Pages) and not wish.terms.ledger.lines:
        raise ForkError(f"what {asked.run_id} did live stands in the ledger that it was made with: resume it with that one, or acts would be done twice")
    cut = located(databases, wish)
    before = _hashes(databases, cut.thread_id)
    try:
        with work.claimed():
            answer = _asked(wish, cut, work.request().model_copy(update={"seconds": wish.seconds}), work)
            return _finished(wish, cut, answer, work, scratch, before, started)
    except ClaimedError as error:
        raise ForkError(f"{asked.run_id} is being run or resumed by somebody else just now: wait until that has ended, then look for its receipt") from error


def _finished(wish: Wish, cut: Cut, answer: Answer, work: Unfinished, scratch: Path, before: dict[str, str], started: float) -> Forked:
    """The fork as a run with its receipt, once its thread is where it stays."""
    _keep(Path(work.folder / "inside" / "thread.sqlite"), scratch)
    copied, context = work.history, work.asked.context
    work.remove()
    parent, again = wish.parent, done_again(wish.parent, cut)
    checkpoints = _checkpoints(scratch)
    whole = assemble(parent, again, answer, cut, checkpoints, wish.spans)
    prefix, run = whole.prefix, _run(wish, answer, whole.steps, whole.prefix, Ledger(checkpoints).returned)
    answer = answer.model_copy(update={"notes": (*answer.notes, *_unasked(parent, answer, whole), *_untold(run), *unmet(wish, run, answer.records))})
    intact = before == _hashes([location(one) for one in before], cut.thread_id)
    history = copied, cutting.history(scratch, wish.run_id, cut)
    entries = wish.terms.ledger.entries(run_id=wish.run_id)
    requests = requests_of(Captured(wish.spans).exchanges(parent))
    proof = Proof(parent, run, prefix, again, wish.change, wish.live, answer, entries, wish.terms.declared, intact, history, context, requests)
    return Forked(run, receipt_of(proof, wish.graph, before, round(time.monotonic() - started, 3)), prefix, tuple(entries))


def _hashes(databases: Sequence[Location], thread_id: str) -> dict[str, str]:
    """What tells whether a database was changed: of a file the hash of its bytes, of a server that of the thread's rows."""
    found = {}
    for database in databases:
        with opened(database) as tables:
            found[str(database)] = tables.fingerprint(thread_id)
    return found


# ---- the re-run


def _begun(wish: Wish, scratch: Path) -> Unfinished:
    """The folder of a new re-run. ForkError when it is there already."""
    work = Unfinished.beside(scratch)
    asked = Asked(
        run_id=wish.run_id,
        parent_run_id=wish.parent.run_id,
        at=wish.step.index,
        change=wish.change,
        graph=wish.graph,
        live=wish.live,
        seconds=wish.seconds,
        context=others_of(wish.contexts),
    )
    try:
        work.make(asked)
    except FileExistsError:
        raise ForkError(f"{wish.run_id} was begun before and is not finished: resume it, or remove {work.folder}") from None
    return work


def _prepared(wish: Wish, cut: Cut, request: Request, work: Unfinished, databases: Sequence[Location]) -> dict[str, str]:
    """Copy what leads to the cut, and hash the databases meanwhile: of a long thread, one takes as long as the other. The hashes."""
    try:
        with ThreadPoolExecutor(1) as beside:
            hashes = beside.submit(_hashes, databases, cut.thread_id)
            work.promise(request, cutting.copy(cut, Path(request.database), wish.run_id))
            keep_aside(wish, cut, request)
        return hashes.result()
    except SourceError as error:
        work.remove()
        raise ForkError(str(error)) from error


def _asked(wish: Wish, cut: Cut, request: Request, work: Unfinished) -> Answer:
    """Re-run in a folder of its own, of which the process can write to one half. It stays where the process is killed, and is removed otherwise."""
    try:
        answer = _heard(wish, cut, request, work)
    except NotStartedError as error:
        if request.resumed is None:
            work.remove()
        raise ForkError(str(error)) from error
    except (ProcessError, ChannelError) as error:
        raise ForkError(f"{error}\n{wish.run_id} is kept as far as it came: run.resume({wish.run_id!r}), workbench fork --resume {wish.run_id}") from error
    if answer.ended == "refused":
        work.remove()
        raise ForkError(answer.says)
    return answer


def _heard(wish: Wish, cut: Cut, request: Request, work: Unfinished) -> Answer:
    """Have the request done, hear what is done, and have made live what may be."""
    terms = wish.terms
    scribe = terms.scribe(wish.run_id, wish.parent, request.steps)
    start = request.starts[0] if request.starts else Start()
    outside = Outside(wish.graph, seconds=wish.seconds, output=work.folder / "outside.txt", start=start)
    with Broker(wish.parent, request.outside, scribe, outside, terms.approve, _meter(request)) as broker:
        told = read(work.told)
        told.asked, told.noted, told.began = partial(_answered, wish, cut, broker), scribe.told, scribe.causes.began
        _catch_up(scribe, told)
        told.heard = wish.watch.heard if wish.watch else told.heard
        try:
            answer = process.ask(request, work.folder, told.hear, lambda: broker.waited, wish.watch)
        finally:
            scribe.flush()
            told.close()
    if answer.ended == "stopped":
        answer = _stopped(answer, told, broker.meter.now(), wish)
    if isinstance(terms.budget, Meter):
        terms.budget.add(answer.spent)
    answer = answer.model_copy(update={"tasks": tuple((told.tasks | dict(answer.tasks)).items())})
    return answer.model_copy(update={"records": told.every, "spans": tuple(told.spans), "notes": (*answer.notes, *flagged(told.records))})


def _catch_up(scribe: Scribe, told: Told) -> None:
    """Have the ledger hold what stands from before a kill: that may have come before the last lines were written, and a ledger in memory is gone with it."""
    with scribe.taken_up():
        for line in lines(told.path):
            if "start" in line:
                scribe.causes.began()
            told.note(line)


def _answered(wish: Wish, cut: Cut, broker: Broker, asked: Json) -> Json:
    """What the re-run is told that asks for something: for what a recorded step saw, else for what is to go live."""
    return held(wish.parent, cut, asked) if asks_for_state(asked) else broker(asked)


def _meter(request: Request) -> Meter:
    """What the re-run may still spend outside: less what was spent before it was killed."""
    return Meter(request.budget, spent=request.resumed.spent if request.resumed else Spent())


def _stopped(answer: Answer, told: Told, outside: Spent, wish: Wish) -> Answer:
    """What is known of a re-run that was stopped: what it told. What a model's call took that was under way is not known."""
    calls, root = told.records, told.open_span
    if root is not None:
        told.spans.append(root.model_copy(update={"end_ns": max((one.end_ns or 0 for one in told.spans), default=root.start_ns), "status": "unset"}))
    thought = told.meter.spent.model_calls
    return answer.model_copy(
        update={
            "isolation": told.isolation or "stopped before it was shut in: no code of the agent ran",
            "sandboxed": told.sandboxed,
            "asked": answer.asked if told.isolation else None,
            "applied": told.met or any(one.answer == "edited" for one in calls),
            "spent": told.meter.spent.model_copy(update={"steps": len(calls), "seconds": outside.seconds}),
            "notes": (*answer.notes, UNDER_WAY) if thought or MODEL in wish.live else answer.notes,
        }
    )


def _keep(database: Path, scratch: Path) -> None:
    """Put the fork's thread where it stays, as one file without journals. ForkError when the agent put a link there, which could lead anywhere."""
    if links := [one.name for one in database.parent.glob(f"{database.name}*") if one.is_symlink()]:
        raise ForkError(f"the re-run replaced its own database by a link ({', '.join(links)}): nothing of it is kept")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    scratch.parent.mkdir(parents=True, exist_ok=True)
    database.chmod(OWNERS_FILE)
    shutil.move(database, scratch)


def _checkpoints(database: Path) -> list[Checkpoint]:
    source = Source(database)
    collector = collector_of(source)
    if collector is None or collector.state is None:
        raise ForkError("the agent removed or damaged the database of its own thread, so what the fork did can't be told")
    return [one for one in collector.collect(source) if isinstance(one, Checkpoint)]


# ---- after


def _unasked(parent: Run, answer: Answer, whole: Assembled) -> list[str]:
    """What was recorded, and neither made again nor part of what was served as a whole."""
    left = [one for one in answer.left if one not in whole.standing]
    return [f"{len(left)} recorded calls were not made again: {listed(f'step {one} {parent.step(one).name}' for one in left)}"] if left else []


def _untold(run: Run) -> list[str]:
    """What a comparison shows as added, for the recording tells nothing of the like."""
    alone = [step.node or step.name for step in run.steps if CALLS_UNKNOWN in step.notes]
    says = f"{len(alone)} calls stand in this fork alone, which a comparison shows as added"
    return [f"what {listed(alone)} called was not recorded: {says}"] if alone else []


def _run(wish: Wish, answer: Answer, steps: tuple[Step, ...], prefix: int, returned: Json) -> Run:
    parent, own = wish.parent, steps[prefix:]
    run = Run(
        run_id=wish.run_id,
        conversation_id=wish.run_id,
        agent=parent.agent,
        root_name=parent.root_name,
        status=_status(answer),
        started_ns=min((one.started_ns for one in own if one.started_ns is not None), default=None),
        ended_ns=max((one.ended_ns for one in own if one.ended_ns is not None), default=None),
        steps=steps,
        span_count=len(answer.spans),
        agents=parent.agents,
        tools=parent.tools,
        schemas=parent.schemas,
        notes=(f"{answer.ended}: {answer.says}",) if answer.says else (),
        forked_from=parent.run_id,
        forked_at_step=wish.step.index,
        change=wish.change,
        metadata={} if returned is None else {RETURNED: returned},
    )
    return with_declared(run, wish.terms.declared, first=prefix)


def _status(answer: Answer) -> Status:
    statuses: dict[str, Status] = {"done": "ok", "interrupted": "interrupted", "stopped": "cancelled"}
    return statuses.get(answer.ended, "error")
