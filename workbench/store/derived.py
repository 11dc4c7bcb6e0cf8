"""What was made of it: runs and their steps, each in its newest revision, and the words that were said in them."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, select

from workbench import overview
from workbench.model import (
    Json,
    Run,
    canonical,
)
from workbench.overview import Overview, overview_of, step_columns
from workbench.reading.spans import TRACE_DIGITS, made_id
from workbench.store import contents, searching
from workbench.store.migrations import StoreError
from workbench.store.opened import Opened
from workbench.store.packing import MissingError, from_bytes, to_bytes
from workbench.store.payloads import Payloads, load_json, packed, unpacked
from workbench.store.rows import (
    BATCH,
    EXAMINATION,
    FINDING,
    NEWEST,
    NEWEST_REVISION,
    OLDEST_FIRST,
    RUN,
    SPAN,
    STEP,
    column,
    columns_of,
    insert,
    loaded,
)
from workbench.store.searching import Hit

logger = logging.getLogger("workbench.store")

NAMES_SHOWN = 5
LONG_RUN = 1_000
"""Steps from which a run keeps them column by column too: reading fewer takes no time one would notice."""


class RunNotFoundError(LookupError):
    """No run of that id. The message names the nearest ones."""


class DamagedRunError(StoreError, ValueError):
    """A run that can't be read whole, since what the store holds of it is damaged. The message names the run and what is wrong."""


class Derived(Opened):
    """The store's runs."""

    def save_runs(self, runs: Iterable[Run], *, prefix: int = 0) -> int:
        """Store each run as its newest revision where it differs from the one that is there; returns how many did.

        `prefix` is how many leading steps of a fork are its parent's: they are not stored again.
        """
        saved = 0
        rest = iter(runs)
        while batch := list(itertools.islice(rest, BATCH)):
            saved += len(self.save_changed(batch, prefix=prefix))
        return saved

    def save_changed(self, runs: Sequence[Run], *, prefix: int = 0) -> list[str]:
        """Store these runs in one transaction, as `save_runs` does; returns the ids of those that are new or changed."""
        payloads = Payloads(self._texts)
        run_rows: list[dict[str, Json]] = []
        step_rows: list[dict[str, Json]] = []
        with self._writing() as connection:
            newest = {run.run_id: connection.execute(NEWEST_REVISION, {"run": run.run_id}).scalar() for run in runs}
            for run in runs:
                row, steps = _rows_of_run(run, prefix, payloads)
                if newest[run.run_id] != row["revision"]:
                    newest[run.run_id] = row["revision"]
                    run_rows.append(row)
                    step_rows += steps
            payloads.save(connection)
            insert(connection, STEP, step_rows)
            insert(connection, RUN, run_rows)
        return [row["run_id"] for row in run_rows]

    def retire(self, kept: Iterable[str]) -> list[str]:
        """Take out the derived runs that are not `kept`, with what detectors said of them; returns their ids.

        Forks, and the runs they left, stay: they can't be derived again.
        """
        with self._writing() as connection:
            gone = sorted(set(column(connection, select(RUN.c.run_id).distinct())) - set(kept) - _of_forks(connection))
            _take_out(connection, gone)
        return gone

    def absorb(self, traces: Collection[str]) -> list[str]:
        """Take out the runs that were derived of these traces alone, which turned out to belong to another run; returns their ids."""
        with self._reading() as connection:
            batches = contents.batched(traces, BATCH)
            known = {run_id for batch in batches for run_id in column(connection, select(RUN.c.run_id).where(RUN.c.run_id.in_(batch)))}
        if not known:
            return []
        with self._writing() as connection:
            gone = sorted(known - _of_forks(connection))
            _take_out(connection, gone)
        return gone

    def run_ids(self) -> list[str]:
        """All runs, oldest first; those without a time stand last."""
        with self._engine.connect() as connection:
            return column(connection, select(RUN.c.run_id).where(RUN.c.seq.in_(NEWEST)).order_by(*OLDEST_FIRST))

    def overviews(self) -> list[Overview]:
        """What a list of runs says of each, in the order of `run_ids`. What was counted in another way before is counted anew."""
        return list(map(Overview._make, zip(*self.overview_columns(), strict=True)))

    def overview_columns(self) -> list[list[Any]]:
        """The same column by column, in the order of `Overview`: there may be a million, and most of what a list is for needs no value for each."""
        query = select(*(RUN.c[name] for name in Overview._fields), RUN.c.overview, RUN.c.seq).where(RUN.c.seq.in_(NEWEST)).order_by(*OLDEST_FIRST)
        with self._reading() as connection:
            *columns, versions, seqs = columns_of(connection, query)
        outdated = [place for place, version in enumerate(versions) if version != overview.VERSION]
        if outdated:
            self._recount({seqs[place]: columns[0][place] for place in outdated})
            return self.overview_columns()
        read = {text: tuple(json.loads(text)) for text in set(columns[-1])}
        return [*columns[:-1], list(map(read.__getitem__, columns[-1]))]

    def _recount(self, run_ids: Mapping[int, str]) -> None:
        """Count anew what a list says of these rows' runs; one that can't be read stays as it is, which is logged."""
        damaged: dict[str, str] = {}
        found = {seq: overview_of(run) for seq, run_id in run_ids.items() for run in self.runs([run_id], damaged)}
        with self._writing() as connection:
            for seq, run_id in run_ids.items():
                counted = _columns_of(found[seq]) if run_id not in damaged else {"overview": overview.VERSION}
                connection.execute(RUN.update().where(RUN.c.seq == seq).values(counted))
        for told in damaged.values():
            logger.warning("%s; it is listed as it was counted before", told)

    def step_columns(self, run_id: str) -> list[list[Json]] | None:
        """The steps of a long run column by column, as `workbench.frames.columns_frame` takes them; None for a run whose steps have to be read."""
        query = select(RUN.c.step_columns, RUN.c.overview).where(RUN.c.run_id == run_id).order_by(RUN.c.seq.desc()).limit(1)
        with self._reading() as connection:
            stored, version = connection.execute(query).one()
        return None if stored is None or version != overview.VERSION else from_bytes(contents.unshut_checked(stored))

    def runs(self, run_ids: Iterable[str] | None = None, damaged: dict[str, str] | None = None) -> Iterator[Run]:
        """These runs (all of them by default), whole, one at a time.

        DamagedRunError for one that can't be read; where `damaged` is given it is left out and told there, by its id, and the others go on.
        """
        with self._engine.connect() as connection:
            for run_id in self.run_ids() if run_ids is None else run_ids:
                try:
                    yield self._run(connection, run_id)[0]
                except DamagedRunError as error:
                    if damaged is None:
                        raise
                    damaged[run_id] = str(error)

    def headers(self) -> Iterator[Run]:
        """Every run without its steps, in the order of `run_ids`: a payload each, so that many can be gone through."""
        query = select(RUN.c.run_id, RUN.c.sha256).where(RUN.c.seq.in_(NEWEST)).order_by(*OLDEST_FIRST)
        with self._reading() as connection:
            for _, header in loaded(connection, query):
                yield Run.model_validate({name: value for name, value in header.items() if name != "prefix"})

    def run(self, run_id: str) -> Run:
        """One run, by its id or by a start of it (`resolve`). RunNotFoundError names the nearest."""
        return next(self.runs([self.resolve(run_id)]))

    def resolve(self, run_id: str) -> str:
        """The full id of a run, given it, a start of it that no other run but its own forks shares, or the id of a trace in it, as its vendor spells it."""
        with self._engine.connect() as connection:
            if column(connection, select(RUN.c.run_id).where(RUN.c.run_id == run_id).limit(1)):
                return run_id
            forks = set(column(connection, select(RUN.c.run_id).where(RUN.c.forked_from.is_not(None))))
        known = sorted(self.run_ids(), key=forks.__contains__)  # recorded runs before forks
        starts = [one for one in known if one.startswith(run_id)]
        meant = [one for one in starts if one.rpartition("~")[0] not in starts]  # a fork begins as the run it is of
        if run_id and len(meant) == 1:
            return meant[0]
        if (of_trace := self._run_of_trace(run_id)) in known:
            return str(of_trace)
        if not known:
            raise RunNotFoundError(f"there is no run {run_id!r}: {self.path} holds none; `workbench ingest PATH --store {self.path}` adds some")
        recorded = known[: len(known) - len(forks)]
        near = starts[:NAMES_SHOWN] or [*get_close_matches(run_id, recorded, n=3), *get_close_matches(run_id, forks, n=3)][:3]
        said = f"it could be any of {', '.join(near)}" if starts else f"the nearest is {' or '.join(near)}" if near else f"it holds {_some(known)}"
        raise RunNotFoundError(f"there is no run {run_id!r} in {self.path}; {said}")

    def _run_of_trace(self, trace: str) -> str | None:
        """The id that the run of a trace would have: that of its conversation, else its own. None for what can be no trace's."""
        trace_id = made_id(trace, TRACE_DIGITS)
        with self._engine.connect() as connection:
            named = column(connection, select(SPAN.c.conversation_id).where(SPAN.c.trace_id == trace_id, SPAN.c.conversation_id.is_not(None)).limit(1))
        return named[0] if named else trace_id

    def _run(self, connection: Connection, run_id: str) -> tuple[Run, str]:
        """A run and its revision. DamagedRunError where it can't be put together."""
        try:
            return self._whole_run(connection, run_id)
        except (MissingError, ValueError) as error:
            raise DamagedRunError(f"run {run_id} can't be read: {error.args[0] if error.args else error}") from error

    def _whole_run(self, connection: Connection, run_id: str) -> tuple[Run, str]:
        columns = RUN.c.sha256, RUN.c.revision, RUN.c.forked_from
        row = connection.execute(select(*columns).where(RUN.c.run_id == run_id).order_by(RUN.c.seq.desc()).limit(1)).one()
        header = load_json(connection, row.sha256)
        prefix = header.pop("prefix")
        addresses = column(connection, select(STEP.c.sha256).where(STEP.c.revision == row.revision).order_by(STEP.c.position))
        steps = tuple(unpacked(connection, addresses))
        if prefix:
            steps = self._whole_run(connection, row.forked_from)[0].steps[:prefix] + steps
        return Run.model_validate(header | {"steps": ()}).model_copy(update={"steps": steps}), row.revision

    def search(self, words: str, *, limit: int = 50) -> list[Hit]:
        """The steps in which all these words were said, the best first. The index is brought up to date before."""
        if not words.replace('"', "").strip():
            return []
        with self._writing() as connection:
            for run_id, revision in searching.outdated(connection):
                searching.take_in(connection, self._run(connection, run_id)[0], revision)
            return searching.find(connection, words.replace("\0", " "), limit)


def _of_forks(connection: Connection) -> set[str]:
    """The forks, which can't be derived again, and the runs they left."""
    forked = select(RUN.c.run_id, RUN.c.forked_from).where(RUN.c.forked_from.is_not(None))
    return {run_id for row in connection.execute(forked) for run_id in row}


def _take_out(connection: Connection, run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        connection.execute(FINDING.delete().where(FINDING.c.run_id == run_id))
        connection.execute(EXAMINATION.delete().where(EXAMINATION.c.run_id == run_id))
        connection.execute(STEP.delete().where(STEP.c.revision.in_(select(RUN.c.revision).where(RUN.c.run_id == run_id))))
        connection.execute(RUN.delete().where(RUN.c.run_id == run_id))
    if run_ids:
        searching.drop(connection)


def _rows_of_run(run: Run, prefix: int, payloads: Payloads) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """The row of a run and those of its steps but the first `prefix`; their contents go to `payloads`."""
    steps = [payloads.put_json(step) for step in packed(run.steps[prefix:], payloads)]
    header = run.model_dump(mode="json", exclude={"steps"}) | {"prefix": prefix}
    revision = hashlib.sha256(canonical([header, steps]).encode("utf-8", "surrogatepass")).hexdigest()
    row = {"revision": revision, "sha256": payloads.put_json(header), **_columns_of(overview_of(run))}
    row["step_columns"] = contents.shut_checked(to_bytes(step_columns(run))) if len(run.steps) >= LONG_RUN else None
    return row, [{"revision": revision, "position": number, "sha256": address} for number, address in enumerate(steps)]


def _columns_of(found: Overview) -> dict[str, Json]:
    """An overview as columns of `run`."""
    return {**found._asdict(), "sources": json.dumps(found.sources), "overview": overview.VERSION}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")
