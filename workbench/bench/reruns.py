"""What a run's re-runs take from the store and the user's project, and how what comes of them is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench import collection, project
from workbench.analysis.effects import requests_of, requests_of_fork
from workbench.comparison.comparison import count_effects
from workbench.database import Database, Location, location
from workbench.model import Budget, Change, Effect, EffectClass, Json, Run, Span
from workbench.plugins import collector_of
from workbench.replay import trust
from workbench.replay.budget import Meter
from workbench.replay.changes import change_of
from workbench.replay.effects.approvals import Approve, standing
from workbench.replay.effects.broker import Terms
from workbench.replay.forking import Forked, ForkError
from workbench.replay.nearest import instead
from workbench.replay.program import program_digest
from workbench.replay.recording.captured import Captured
from workbench.replay.shapes import ChangeError, shown
from workbench.replay.sweeps import Cell, Ended, Plan, sweep
from workbench.replay.unfinished import of as unfinished
from workbench.replay.wishes import check_approved, check_kept
from workbench.results.swept import Repetition
from workbench.source import Source
from workbench.store import Store
from workbench.store.opened import OWNERS_FOLDER

Progress = Callable[[str, int, int], None]
NOTHING = object()
"""Stands for "not given" where None is a value one may want to give."""


class Reruns:
    """The re-runs of one recorded run."""

    def __init__(self, store: Store, run: Run) -> None:
        self.store, self.run = store, run

    def spans(self) -> Iterable[Span]:
        """The spans the run was read from, of a fork those of the runs it goes back to too."""
        return self.store.spans(step.trace_id for run in self._lineage() for step in run.steps if step.trace_id)

    def requests(self) -> tuple[Effect, ...]:
        """The effects of what plain nodes asked by HTTP themselves, of a fork with what stands of its parent's."""
        receipt = self.store.receipt(self.run.run_id) if self.run.forked_from else None
        if self.run.forked_from is None or receipt is None:
            return requests_of(Captured(self.spans()).exchanges(self.run))
        return requests_of_fork(self.run, receipt.records, Reruns(self.store, self.store.run(self.run.forked_from)).requests())

    def databases(self, *, trusted: bool = False) -> list[Location]:
        """The checkpoint databases this run was recorded in. ForkError when there are none, or they are gone, or nobody trusts them."""
        found = self.recorded_in()
        if trusted:
            trust.trust(self.store, found)
        trust.check(self.store, self.run, found)
        return found

    def recorded_in(self) -> list[Location]:
        """The same, trusted or not, to be read alone."""
        check_kept(self.run)
        found: list[Location] = []
        gone = []
        for source in map(location, self.run.sources):
            if isinstance(source, Path) and not source.exists():
                gone.append(str(source))
                continue
            collector = collector_of(source if isinstance(source, Database) else Source(source))
            if collector and collector.state:
                found.append(source)
        if not found:
            raise ForkError(f"the checkpoint database of {self.run.run_id} is not there any more: {', '.join(gone)}; ingest it again from where it is now")
        return found

    def check_context(self, given: Json) -> None:
        """ForkError where the run is a fork that was made under another context than its parent, and none is given: what it was is not kept."""
        receipt = self.store.receipt(self.run.run_id)
        if given is None and receipt is not None and receipt.context:
            run_id, parent, names = self.run.run_id, receipt.parent_run_id, ", ".join(receipt.context)
            raise ForkError(f"{run_id} was made under another context ({names}) than {parent}, which is not kept: give it again (context=…, --context)")

    def changed_since(self, databases: list[Location]) -> list[str]:
        """What the receipt says of databases that are not what was ingested: the fork started from what stands there now."""
        return [
            f"{path.name} has changed since it was ingested, and the fork started from what it holds now; ingest it again to see the same"
            for path in databases
            if isinstance(path, Path) and not collection.is_as_ingested(self.store, path)
        ]

    def terms(self, approve: Approve | Collection[str], budget: Budget | Meter | Mapping[str, float] | None, live: Collection[str] | None = None) -> Terms:
        """On what terms calls go live: what the tools do is declared under [tool.workbench.tools] of the user's own project.

        ForkError where what is approved by name is not `live`; None does not look.
        """
        limits = budget if isinstance(budget, Budget | Meter) else budget_of(budget or {})
        names = () if callable(approve) else [approve] if isinstance(approve, str) else approve
        if live is not None:
            check_approved(names, live)
        who = approve if callable(approve) else standing(names)
        return Terms(who, self.store, declared(), limits, [*self._lineage()][-1].run_id)

    def _lineage(self) -> Iterator[Run]:
        """The run, and where it is a fork, those it goes back to, up to the recorded one."""
        run = self.run
        yield run
        while run.forked_from is not None:
            run = self.store.run(run.forked_from)
            yield run

    def fork_id(self) -> tuple[str, Path]:
        """The next free id, and the file in which the fork's own thread will stand, beside the store."""
        taken = {*self.store.run_ids(), *(one.asked.run_id for one in unfinished(self.store.forks))}
        run_id = next(one for one in (f"{self.run.run_id}~{number}" for number in range(1, len(taken) + 2)) if one not in taken)
        return run_id, self.scratch(run_id)

    def scratch(self, fork_id: str) -> Path:
        """The file in which a fork's own thread stands."""
        folder = self.store.forks
        folder.mkdir(OWNERS_FOLDER, exist_ok=True)
        return folder / f"{hashlib.sha256(fork_id.encode()).hexdigest()[:16]}.sqlite"

    def keep(self, done: Forked, scratch: Path, notes: Collection[str]) -> str:
        """Put a fork into the store: its run, its states and its receipt; returns its id."""
        run, store = done.run.model_copy(update={"sources": (str(scratch),)}), self.store
        self._keep_states(scratch)
        store.save_runs([run], prefix=done.prefix)
        if not store.entries(run_id=run.run_id):  # a fork that was made elsewhere brings its lines along
            store.append_entries(done.lines)
        before = self.requests()
        effects = count_effects(self.run, run, (before, requests_of_fork(run, done.receipt.records, before)))
        store.save_receipt(done.receipt.model_copy(update={"effects": effects, "notes": (*done.receipt.notes, *notes)}))
        return run.run_id

    def _keep_states(self, scratch: Path) -> None:
        """Make the fork's own checkpoints known, so that one can step through its states too."""
        source = Source(scratch)
        collector = collector_of(source)
        if collector:
            self.store.add(collection.origin_of(scratch, collector), collector.collect(source), lambda _: None)

    def repetitions(
        self,
        wanted: Sequence[Cell],
        live: Collection[str],
        graph: str | None,
        seconds: float,
        executor: Executor | None,
        forks: int | None,
        budget: Budget,
        progress: Progress | None,
        *,
        trusted: bool = False,
        context: Json = None,
    ) -> Iterator[Repetition]:
        """The cells of a sweep in the order they were asked for: those that the store has already, the others done now and kept as they end."""
        self.check_context(context)
        databases, store = self.databases(trusted=trusted), self.store
        program, terms = graph or graph_of(self.run.agent), (tuple(live), seconds, budget, tuple(self.spans()), declared(), context)
        plan = Plan(self.run, tuple(databases), program, store.forks, *terms, program_digest(program))
        store.forks.mkdir(OWNERS_FOLDER, exist_ok=True)
        known, notes = set(store.run_ids()), self.changed_since(databases)
        ids = [plan.run_id(one) for one in wanted]
        ended = {key: Repetition(one, "done before", store.run(key), store.receipt(key)) for one, key in zip(wanted, ids, strict=True) if key in known}
        for one in sweep(plan, [one for one, key in zip(wanted, ids, strict=True) if key not in ended], executor, forks):
            key = plan.run_id(one.cell)
            ended[key] = self._repetition(one, plan, notes)
            if progress:
                progress(key, len(ended), len(wanted))
        yield from (ended[key] for key in ids)

    def _repetition(self, one: Ended, plan: Plan, notes: Collection[str]) -> Repetition:
        if one.forked is None:
            return Repetition(one.cell, "left" if one.left else "failed", says=one.error)
        kept = self.keep(one.forked, plan.scratch(one.cell), notes)
        return Repetition(one.cell, "done", self.store.run(kept), self.store.receipt(kept))


def changed(given: Mapping[str, Any]) -> Change:
    """The change in what was given, of which at most one is not NOTHING. ForkError for one that makes no sense."""
    try:
        return change_of({kind: value for kind, value in given.items() if value is not NOTHING})
    except ChangeError as error:
        raise ForkError(str(error)) from error


def budget_of(limits: Mapping[str, float]) -> Budget:
    """A budget by its limits. ForkError for a limit there is none of."""
    if unknown := sorted(set(limits) - set(Budget.model_fields)):
        raise ForkError(f"a budget has no {unknown[0]!r}{instead(unknown[0], Budget.model_fields)}")
    try:
        return Budget.model_validate(dict(limits))
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        raise ForkError(f"a budget's {name} should be a number, and is {shown(limits[str(name)])}") from None


def declared() -> dict[str, EffectClass]:
    """What calling each tool does, as the user's own project says. ForkError for a word that isn't one."""
    try:
        return project.tool_classes(Path.cwd())
    except project.ProjectError as error:
        raise ForkError(str(error)) from error


def graph_of(agent: str | None) -> str:
    """The graph that the user's own project names for this agent. A trace never says what to import."""
    configured: dict[str, str] = project.table("graphs", Path.cwd())[0]
    if agent in configured:
        return configured[agent]
    known = f"; it names {', '.join(configured)}" if configured else ""
    raise ForkError(
        f"which graph is the agent {agent!r}? Give graph='module:attribute' (--graph on the command line), "
        f"or name it under [tool.workbench.graphs] in the pyproject.toml of the folder you work in{known}"
    )
