"""The tree of a run's spans as the JSON a step-through view gets: a few columns for all of it, and what one span says when it is looked at.

The columns (about 30 bytes a span that is no step, 15 for one that is) let 20,000 spans open at once; steps have theirs in `packing` already.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from itertools import islice

from workbench.model import Json, Run, Span, SpanEvent
from workbench.normalise.tree import Row, span_tree
from workbench.report.quantities import plural
from workbench.widgets import packing
from workbench.widgets.excerpt import as_text, excerpt, sendable

MAX_SPANS = 50_000
"""A run of more is shown without its tree: the page would be sent some megabytes before anyone asks."""
MAX_ATTRIBUTES, MAX_EVENTS = 200, 50
MAX_NAME_CHARS = 200
LOST = {"parent": "parent not recorded", "circle": "parents in a circle"}
HEX_ID = re.compile(r"[0-9a-f]{16}")
STEP_NAME = re.compile(r"step-(\d+)")


class Spans:
    """The tree: its lines, and the id by which each span is known, `trace:span` where another trace has a span of that id."""

    def __init__(self, run: Run, spans: Iterable[Span]) -> None:
        self.run = run
        self.rows = span_tree(run, spans)
        self.ids = _ids(self.rows)
        self._places = {known: place for place, known in enumerate(self.ids) if known}

    def __bool__(self) -> bool:
        return any(row.span is not None for row in self.rows)

    def place(self, span_id: str) -> int:
        """The line of a span, by its id or an unambiguous start of it. LookupError names the nearest."""
        if span_id in self._places:
            return self._places[span_id]
        if (step := STEP_NAME.fullmatch(span_id)) and int(step[1]) in self._bare_steps:
            return self._bare_steps[int(step[1])]
        starts = [known for known in self._places if span_id and known.startswith(span_id)]
        if len(starts) == 1:
            return self._places[starts[0]]
        near = get_close_matches(span_id, self._places, n=1, cutoff=0.0)
        count = f"{len(starts):,} spans" if starts else "no span"
        raise LookupError(f"{count} of {self.run.run_id} with an id that begins with {span_id!r}" + (f": the nearest is {near[0]}" if near else ""))

    def name(self, place: int) -> str:
        """What the span on a line is known by: its id; of a step without a span `step-3`. `place` finds it again."""
        row = self.rows[place]
        return self.ids[place] or ("" if row.step is None else f"step-{self.run.steps[row.step].index}")

    @cached_property
    def _bare_steps(self) -> dict[int, int]:
        """By their indices, the lines of the steps that have no span."""
        return {self.run.steps[row.step].index: place for place, row in enumerate(self.rows) if row.step is not None and not self.ids[place]}

    def place_of_step(self, index: int) -> int:
        """The line of a step."""
        return next((place for place, row in enumerate(self.rows) if row.step is not None and self.run.steps[row.step].index == index), 0)

    @cached_property
    def origin_ns(self) -> int | None:
        """When the first span or step began."""
        times = [*(row.span.start_ns for row in self.rows if row.span is not None), *(step.started_ns for step in self.run.steps)]
        return min((time for time in times if time is not None), default=None)

    def columns(self, budget: int) -> dict[str, Json]:
        """Of each line its level and its step (a place among the run's steps, -1 for none); the rest is of those that are no step, in their order.

        The ids, by which one searches, are left out where they don't fit into `budget` bytes.
        """
        own = [row for row in self.rows if row.step is None]
        names, name_of = packing.table(_name(row) for row in own)
        columns: dict[str, Json] = {
            "count": sum(row.span is not None for row in self.rows),
            "step": [-1 if row.step is None else row.step for row in self.rows],
            "level": [row.level for row in self.rows],
            "kind": "".join(row.kind[0] for row in own),
            "status": "".join(row.status[0] for row in own),
            "names": names,
            "name": name_of,
            "start_us": packing.deltas([row.span.start_ns if row.span else None for row in own], self.origin_ns),
            "took_us": [_took_us(row.span) for row in own],
            "same_as": {number: row.same_as for number, row in enumerate(own) if row.same_as is not None},
            "attempt": {number: row.attempt for number, row in enumerate(own) if row.attempt > 1},
            "lost": {place: row.lost for place, row in enumerate(self.rows) if row.lost},
            "lost_says": self._lost_says(),
        }
        ids = self._packed_ids()
        return {**columns, "ids": ids} if packing.size([columns, ids]) <= budget else columns

    def _packed_ids(self) -> str | list[str]:
        """Eight bytes a line in base64 where all ids are 16 hex digits, zeros where there is none; else the ids as they are."""
        if all(HEX_ID.fullmatch(known) for known in self._places):
            return base64.b64encode(b"".join(bytes.fromhex(known or "0" * 16) for known in self.ids)).decode("ascii")
        return [sendable(known) for known in self.ids]

    def eager(self, step: int, budget: int) -> dict[int, Json]:
        """What the spans around a step say, by their lines, nearest first, until `budget` bytes are used."""
        start, found = self.place_of_step(step), dict[int, Json]()
        for place in sorted(range(len(self.rows)), key=lambda place: (abs(place - start), place < start)):
            if self.rows[place].span is not None:
                shown = self.detail(place)
                budget -= packing.size(shown) + 8
                if budget < 0:
                    break
                found[place] = shown
        return found

    def detail(self, place: int, cut: packing.Cut = excerpt) -> dict[str, Json]:
        """All that was recorded of the span on a line, its texts cut by `cut`. IndexError and ValueError where there is none."""
        row = self.rows[place]
        if row.span is None:
            raise ValueError("this step has no span: a checkpoint or messages tell of it")
        span = row.span
        return {
            "id": sendable(self.ids[place]),
            "facts": [sendable(fact[:500]) for fact in _facts(span)],
            "said": cut(span.status_message) if span.status_message else None,
            "attributes": _fields(span.attributes, cut),
            "events": [*(_event(event, span, cut) for event in span.events[:MAX_EVENTS]), *_more_events(len(span.events) - MAX_EVENTS)],
            "resource": _fields(span.resource, cut),
        }

    def _lost_says(self) -> str:
        """How many spans stand at the top for want of a parent, in words."""
        counts = Counter(row.lost for row in self.rows if row.lost)
        return " · ".join(f"{plural(count, 'span')} at the top: {LOST[why]}" for why, count in counts.items())


def _ids(rows: Sequence[Row]) -> list[str]:
    seen: set[str] = set()
    found = []
    for row in rows:
        known = "" if row.span is None else row.span.span_id
        if known and known in seen and row.span is not None:
            known = f"{row.span.trace_id}:{known}"
        seen.add(known)
        found.append(known)
    return found


def _name(row: Row) -> str:
    return row.span.name if row.span else ""


def _took_us(span: Span | None) -> int | None:
    return None if span is None or span.start_ns is None or span.end_ns is None else round((span.end_ns - span.start_ns) / 1000)


def _facts(span: Span) -> Iterator[str]:
    """When it began, how it ended in OpenTelemetry's words, what made it, and its ids."""
    if began := packing.moment(span.start_ns):
        yield began
    yield f"status {span.status}"
    if span.scope:
        yield f"scope {span.scope}"
    yield f"trace {span.trace_id}"
    yield f"span {span.span_id}"
    yield f"parent {span.parent_span_id}" if span.parent_span_id else "no parent"


def _fields(attributes: Mapping[str, Json], cut: packing.Cut) -> list[list[Json]]:
    """Names and values as text, in the order in which they were recorded; of very many, the first and how many more there are."""
    shown = [[sendable(name[:MAX_NAME_CHARS]), cut(as_text(value))] for name, value in islice(attributes.items(), MAX_ATTRIBUTES)]
    more = len(attributes) - MAX_ATTRIBUTES
    return [*shown, ["…", f"{more:,} more in the store"]] if more > 0 else shown


def _event(event: SpanEvent, span: Span, cut: packing.Cut) -> dict[str, Json]:
    after_us = None if event.at_ns is None or span.start_ns is None else (event.at_ns - span.start_ns) // 1000
    return {"name": sendable(event.name[:MAX_NAME_CHARS]), "after_us": after_us, "attributes": _fields(event.attributes, cut)}


def _more_events(more: int) -> Iterator[dict[str, Json]]:
    if more > 0:
        yield {"name": f"… {more:,} more events in the store", "after_us": None, "attributes": []}
