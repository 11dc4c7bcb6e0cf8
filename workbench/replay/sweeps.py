"""Many forks of one run: every step × every change × k, each in its own process, on any `concurrent.futures` executor.

A cell is known by its content: parent, step, change, what is live, the agent's program, number. So a sweep that was killed goes on where it stopped, no cell
is done twice, and of an agent that was mended all are done anew. Workers only re-run; whoever called writes to the store.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from workbench.database import Location
from workbench.model import Budget, Change, EffectClass, Json, Run, Span, digest
from workbench.replay.budget import Meter, left
from workbench.replay.effects.broker import Terms
from workbench.replay.forking import Forked, ForkError, fork, resume
from workbench.replay.unfinished import Unfinished

KEY_DIGITS = 12


class Cell(NamedTuple):
    """One fork of a sweep: the step, the change, and which repetition it is."""

    at: int
    change: Change
    number: int


@dataclass(frozen=True)
class Plan:
    """What is common to all forks of a sweep. `folder` is where their threads are kept; workers elsewhere must reach it and the databases."""

    parent: Run
    databases: tuple[Location, ...]
    graph: str
    folder: Path
    live: tuple[str, ...] = ()
    seconds: float = 120.0
    budget: Budget = field(default_factory=Budget)
    """What all forks together may spend; no single one may spend more."""
    spans: tuple[Span, ...] = ()
    """What the parent was read from."""
    declared: Mapping[str, EffectClass] = field(default_factory=dict)
    """What calling a tool does, by its name."""
    context: Json = None
    """What each fork is started with as its context, in place of what was recorded of it; None for nothing."""
    program: str = ""
    """What tells the agent's program as it is now (`workbench.replay.program`)."""

    @cached_property
    def fingerprint(self) -> str:
        """What tells the parent as it is now."""
        return digest(self.parent.model_dump(mode="json"))

    def key(self, cell: Cell) -> str:
        """What tells a cell from all others, by content: twelve hex digits."""
        made_by = [self.graph, self.program, self.context]
        return digest([self.fingerprint, cell.at, cell.change.model_dump(mode="json"), sorted(self.live), cell.number, *made_by])[:KEY_DIGITS]

    def run_id(self, cell: Cell) -> str:
        """The id under which a cell's fork is kept."""
        return f"{self.parent.run_id}~{self.key(cell)}"

    def scratch(self, cell: Cell) -> Path:
        """The file of a cell's own thread."""
        return self.folder / f"{self.key(cell)}.sqlite"


WORDS = {"model_calls": "live model calls", "tokens": "tokens", "usd": "US$", "seconds": "seconds"}


def used_up(meter: Meter) -> str:
    """What of a budget is used up, in words; empty while nothing is."""
    remaining = left(meter.budget, meter.now())
    return next((f"its {getattr(meter.budget, name):g} {word} are spent" for name, word in WORDS.items() if getattr(remaining, name) == 0), "")


class Ended(NamedTuple):
    """What came of a cell: its fork, or why there is none. `left` are cells that forks or budget did not reach."""

    cell: Cell
    forked: Forked | None
    error: str = ""
    left: bool = False


def cells(at: Sequence[int], changes: Sequence[Change], k: int) -> tuple[Cell, ...]:
    """Every cell of a sweep, the first repetition of all of them first. ValueError for nothing to do."""
    if not at or not changes or k < 1:
        raise ValueError("a sweep needs at least one step, one change (Change() is none) and k=1")
    return tuple(Cell(step, change, number) for number in range(k) for step in dict.fromkeys(at) for change in changes)


def rerun_cell(plan: Plan, cell: Cell) -> Ended:
    """Do one cell; runs wherever the executor puts it. A fork that can't be made is a result, so that the others go on."""
    run_id, scratch = plan.run_id(cell), plan.scratch(cell)
    terms = Terms(declared=plan.declared, budget=plan.budget)
    try:
        if Unfinished.beside(scratch).begun:  # killed in an earlier sweep
            return Ended(cell, resume(plan.parent, databases=plan.databases, scratch=scratch, terms=terms, seconds=plan.seconds))
        done = fork(
            plan.parent,
            at=cell.at,
            change=cell.change,
            databases=plan.databases,
            graph=plan.graph,
            live=plan.live,
            run_id=run_id,
            scratch=scratch,
            seconds=plan.seconds,
            terms=terms,
            spans=plan.spans,
            context=plan.context,
        )
    except (ForkError, LookupError) as error:
        return Ended(cell, None, str(error))
    return Ended(cell, done)


def sweep(plan: Plan, wanted: Sequence[Cell], executor: Executor | None = None, forks: int | None = None) -> Iterator[Ended]:
    """Do these cells, `forks` of them at most, and yield each as it ends, in whatever order. What is under way when the budget is spent is let end.

    Without an executor one thread a core waits on the processes that re-run.
    Closing the iterator, or an error in who reads it, cancels what has not begun.
    """
    meter, first = Meter(plan.budget), wanted[:forks]
    yield from (Ended(cell, None, f"the sweep's {len(first):,} forks are done", left=True) for cell in wanted[len(first) :])
    with _started(executor) as pool:
        futures: dict[Future[Ended], Cell] = {pool.submit(rerun_cell, plan, cell): cell for cell in first}
        try:
            yield from _as_they_end(futures, meter)
        finally:
            _cancel(futures)


def _as_they_end(futures: dict[Future[Ended], Cell], meter: Meter) -> Iterator[Ended]:
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in finished:
            ended = _result(future, futures[future])
            if ended.forked and (spent := ended.forked.receipt.spent):
                meter.add(spent)
            yield ended
        if reason := used_up(meter):
            cancelled = _cancel(pending)  # an executor need not say of a cancelled one that it has ended
            pending -= cancelled
            yield from (Ended(futures[one], None, reason, left=True) for one in cancelled)


def _result(future: Future[Ended], cell: Cell) -> Ended:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  # a worker that died is a result too: the other cells go on
        return Ended(cell, None, f"{type(error).__name__}: {error}")


def _cancel(futures: Collection[Future[Ended]]) -> set[Future[Ended]]:
    """Those that could still be cancelled."""
    return {future for future in futures if future.cancel()}


@contextmanager
def _started(executor: Executor | None) -> Iterator[Executor]:
    """The executor given, which stays its owner's, or one of our own."""
    if executor is not None:
        yield executor
        return
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sweep") as own:
        yield own
