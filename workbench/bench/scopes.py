"""Which runs one means: of an agent, a version, since a moment. A name that nothing has is refused: no runs would look like an all-clear."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches

from workbench import collection
from workbench.cohorts.baseline import version_of
from workbench.incident import Scope
from workbench.model import Run
from workbench.overview import Overview
from workbench.plugins import detectors
from workbench.store import Store


class StoredRuns(Collection[Run]):
    """Runs of a store, read anew, one at a time, whenever they are gone through."""

    def __init__(self, store: Store, run_ids: list[str]) -> None:
        self.store, self.run_ids = store, run_ids

    def __iter__(self) -> Iterator[Run]:
        return self.store.runs(self.run_ids)

    def __len__(self) -> int:
        return len(self.run_ids)

    def __contains__(self, run: object) -> bool:
        return isinstance(run, Run) and run.run_id in self.run_ids


def cohort(store: Store, *, agent: str | None, version: str | None, since: datetime | str | None, status: str | None = None) -> StoredRuns:
    """Which recorded runs one means; forks don't count. ValueError for a moment that is none."""
    collection.catch_up(store)
    from_ns = moment_ns(since)
    chosen = [
        one.run_id
        for one in store.overviews()
        if one.forked_from is None
        and agent in {None, one.agent}
        and status in {None, one.status}
        and (from_ns is None or (one.started_ns is not None and one.started_ns >= from_ns))
    ]
    return StoredRuns(store, [run.run_id for run in store.runs(chosen) if version in run.metadata.values()] if version else chosen)


def moment_ns(moment: datetime | str | None) -> int | None:
    """A moment as nanoseconds since 1970; one without a zone is this machine's. ValueError for a text that is none."""
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return None if found is None else int(found.astimezone(UTC).timestamp() * 1e9)


def check_scope(scope: Scope, overviews: Iterable[Overview], headers: Mapping[str, Run]) -> None:
    """LookupError for an agent, version or detector that there is none of, with the nearest: an incident over no runs looks like an all-clear."""
    known = {
        "agent": {one.agent for one in overviews if one.agent},
        "version": {version for run in headers.values() if (version := version_of(run))},
        "detector": set(detectors()),
    }
    for what, names in known.items():
        asked = getattr(scope, what)
        if asked is not None and asked not in names:
            near = get_close_matches(asked, names, n=1, cutoff=0.0)
            raise LookupError(f"there is no {what} {asked!r}" + (f"; the nearest is {near[0]!r}" if near else f": no {what} is recorded"))
