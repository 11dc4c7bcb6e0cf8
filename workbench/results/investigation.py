"""An incident as a notebook holds it: a static card, the affected runs, the worst of them, what was found, notes, and a report."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from workbench.incident import Incident
from workbench.incident.values import key_of
from workbench.model import Finding, Note, NotEvaluated
from workbench.overview import Overview
from workbench.report import Report, incident_report, save, static
from workbench.store import Store

if TYPE_CHECKING:
    import polars as pl

Held_co = TypeVar("Held_co", covariant=True)
Told_co = TypeVar("Told_co", covariant=True)


class Opens(Protocol[Held_co, Told_co]):
    """What an investigation asks of a bench."""

    @property
    def store(self) -> Store:
        """Where runs and notes are kept."""

    def run(self, run_id: str) -> Held_co:
        """One run, to look at."""

    def with_records(self, report: Report) -> Report:
        """A report with what people here made of what it tells of."""

    def said_of(self, run_ids: Sequence[str]) -> Told_co:
        """What the detectors said of these runs."""


class Investigation(Generic[Held_co, Told_co]):
    """An incident that is looked into; `incident` is the frozen value, and everything shown comes from it."""

    def __init__(self, bench: Opens[Held_co, Told_co], incident: Incident) -> None:
        self._bench = bench
        self.incident = incident

    def runs(self) -> pl.DataFrame:
        """One row an affected run, the worst first; the columns are described in `workbench.frames.RUNS`."""
        from workbench.frames import overviews_frame  # noqa: PLC0415  # polars takes a third of a second to import

        return overviews_frame(self._overviews())

    def _overviews(self) -> list[Overview]:
        place = {run_id: number for number, run_id in enumerate(self.incident.affected)}
        return sorted((one for one in self._bench.store.overviews() if one.run_id in place), key=lambda one: place[one.run_id])

    @property
    def worst(self) -> Held_co:
        """The worst affected run. LookupError where no run is affected."""
        if self.incident.worst is None:
            raise LookupError(f"no run is affected: {self.incident.reach.runs:,} runs were looked at, and nothing grave was found in any")
        return self._bench.run(self.incident.worst)

    def findings(self) -> Told_co:
        """What was found in the affected runs, the gravest first."""
        return self._bench.said_of(self.incident.affected)

    def note(self, text: str) -> Investigation[Held_co, Told_co]:
        """Write something down about this incident: kept in the store, shown on the card and in reports, by the incident's name or else by what it is about.

        Returns the investigation with the note on it. LookupError where no run is affected, ValueError for an empty text.
        """
        if not text.strip():
            raise ValueError("an empty note says nothing: note('what you saw')")
        if self.incident.worst is None:
            raise LookupError("no run is affected, so there is nothing to write down about")
        note = Note(incident=key_of(self.incident.scope), run_id=self.incident.worst, text=text, noted_ns=time.time_ns())
        self._bench.store.save_note(note)
        return Investigation(self._bench, self.incident.model_copy(update={"notes": (*self.incident.notes, note)}))

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """A report on the incident; written to `path` when one is given, in the format of its ending (`workbench.report.save`)."""
        made = self._bench.with_records(incident_report(self.incident, self._bench.store.runs, self._overviews(), *_said(self._bench.store, self.incident)))
        if path is not None:
            save(made, Path(path))
        return made

    def __repr__(self) -> str:
        return static.incident_text(self.incident)

    def _repr_html_(self) -> str:
        return static.incident_html(self.incident)


def _said(store: Store, incident: Incident) -> tuple[list[Finding], list[NotEvaluated]]:
    """What the detectors said of the affected runs."""
    pairs = store.examined(set(incident.affected)).values()
    return [one for findings, _ in pairs for one in findings], [one for _, lacks in pairs for one in lacks]
