"""Every span of a run as one tree, with the run's steps at their places among them: what stands around the steps one knows.

A step stands where its span does; one without a span (told by a checkpoint or by messages) under the span that was open when it began. Parents that were
not recorded, or that lead in a circle, leave their spans at the top, and each says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Literal, NamedTuple

from workbench.model import Json, Reading, Run, Span, Step
from workbench.normalise.forest import CALLS, TOP, WALLS, Key, climb, overlap, without_circles
from workbench.semconv import glance, read

MAX_LEVEL = 200
"""What is nested deeper stands on this level."""
MAX_SOUGHT = 200
"""How far below a wrapper the call it wraps is looked for, in rows."""
RESENT = "http.request.resend_count"

Item = Key | int
"""What stands in the tree: a span by its key, or a step without one by its place in the run."""


class Row(NamedTuple):
    """One line of the tree, below the line it belongs to. `kind` is the step's, else what the conventions make of the span."""

    level: int
    kind: str
    status: str
    span: Span | None = None
    step: int | None = None
    """The place in `run.steps` of the step that it is."""
    same_as: int | None = None
    """The index of the step whose call this span tells of once more: a wrapper, or another instrumentor's record."""
    attempt: int = 1
    lost: Literal["", "parent", "circle"] = ""
    """Why it stands at the top: its parent was not recorded, or its parents led back to it."""


def span_tree(run: Run, spans: Iterable[Span]) -> list[Row]:
    """The spans and steps of a run, each line after the one it hangs under, brothers in time order.

    Of a span given twice the one that has ended counts. A fork is told in its parent's spans too: of those, only what its own steps are part of.
    """
    return _Tree(run, spans).rows()


class _Tree:
    def __init__(self, run: Run, spans: Iterable[Span]) -> None:
        self.steps = run.steps
        self.spans = _unique(spans)
        self.step_of = self._steps_of_spans()
        self.recorded = {key: (span.trace_id, span.parent_span_id or "") for key, span in self.spans.items()}
        self.parents = without_circles(self.recorded)
        if run.forked_from:
            self._keep_those_of_steps()
        self.children: dict[Key, list[Item]] = defaultdict(list)
        for key in self.spans:
            self.children[self._parent(key)].append(key)
        for place, host in self._hosts():
            self.children[host].append(place)

    def _steps_of_spans(self) -> dict[Key, int]:
        found: dict[Key, int] = {}
        for place, step in enumerate(self.steps):
            if (key := _key(step)) in self.spans:
                found.setdefault(key, place)
        return found

    def _parent(self, key: Key) -> Key:
        parent = self.parents[key]
        return parent if parent in self.spans else TOP

    def _above(self, key: Key) -> Iterator[Key]:
        return climb(self.parents, key)

    def _keep_those_of_steps(self) -> None:
        """Leave only spans that are steps, or stand above or below one."""
        kept = {above for key in self.step_of for above in (key, *self._above(key))}
        self.spans = {key: span for key, span in self.spans.items() if key in kept or any(above in self.step_of for above in self._above(key))}

    def _hosts(self) -> Iterator[tuple[int, Key]]:
        """Each step without a span of its own, and the span it stands under."""
        before = TOP
        for place, step in enumerate(self.steps):
            key = _key(step)
            if self.step_of.get(key) == place:
                before = key
            else:
                yield place, key if key in self.spans else self._open_around(before, step.started_ns)

    def _open_around(self, before: Key, at_ns: int | None) -> Key:
        """The innermost span above the step before that was still open at a moment."""
        above = self._above(before) if before != TOP else iter(())
        return next((key for key in above if at_ns is None or _open_at(self.spans[key], at_ns)), TOP)

    # ---- in order

    @cached_property
    def _times(self) -> list[int]:
        """When each step began; where that was not recorded, when the one before it did."""
        times, last = [], 0
        for step in self.steps:
            last = last if step.started_ns is None else step.started_ns
            times.append(last)
        return times

    def _began(self, item: Item) -> tuple[int, bool, int]:
        """By this brothers are ordered. What was said when a span began is what it began with: it stands before it."""
        if isinstance(item, int):
            return self._times[item], False, item
        place = self.step_of.get(item, -1)
        return self.spans[item].start_ns or (self._times[place] if place >= 0 else 0), True, place

    def rows(self) -> list[Row]:
        """The tree from top to bottom."""
        found: list[Row] = []
        waiting = [(row, item) for item, row in reversed(list(self._brothers(TOP, 0)))]
        while waiting:
            row, item = waiting.pop()
            found.append(row)
            if not isinstance(item, int):
                waiting += [(inner, one) for one, inner in reversed(list(self._brothers(item, min(row.level + 1, MAX_LEVEL))))]
        return [row if row.step is not None else row._replace(same_as=self._same_as(found, at)) for at, row in enumerate(found)]

    def _brothers(self, parent: Key, level: int) -> Iterator[tuple[Item, Row]]:
        before: dict[str, Row] = {}
        for item in sorted(self.children.get(parent, ()), key=self._began):
            row = self._row(item, level)
            if row.span is not None and row.step is None:
                name = row.span.name
                row = before[name] = row._replace(attempt=_attempt(row, before.get(name)))
            yield item, row

    def _row(self, item: Item, level: int) -> Row:
        if isinstance(item, int):
            return Row(level, self.steps[item].kind, self.steps[item].status, step=item)
        span, place = self.spans[item], self.step_of.get(item)
        if place is not None:
            return Row(level, self.steps[place].kind, self.steps[place].status, span, place, lost=self._lost(item))
        told = glance(span)
        return Row(level, told.kind, _status(span, told), span, lost=self._lost(item))

    def _lost(self, key: Key) -> Literal["", "parent", "circle"]:
        if self._parent(key) != TOP or not self.spans[key].parent_span_id:
            return ""
        return "circle" if self.recorded[key] in self.spans else "parent"

    # ---- calls told once more

    def _same_as(self, rows: Sequence[Row], at: int) -> int | None:
        row = rows[at]
        if row.kind not in CALLS or row.span is None:
            return None
        place = self._tool_around(row.span) if row.kind == "tool" else self._call_inside(rows, at)
        if place is None and row.kind == "model":
            place = self._twin(row.span)
        return None if place is None else self.steps[place].index

    def _tool_around(self, span: Span) -> int | None:
        above = next((key for key in self._above((span.trace_id, span.span_id)) if key in self.step_of), None)
        return self.step_of[above] if above is not None and self.steps[self.step_of[above]].kind == "tool" else None

    def _call_inside(self, rows: Sequence[Row], at: int) -> int | None:
        """The one step of this kind below a span, on this side of other agents' and tools' work; None where there are several."""
        found, wall = [], MAX_LEVEL + 1
        for row in islice(rows, at + 1, at + 1 + MAX_SOUGHT):
            if row.level <= rows[at].level:
                break
            if row.level > wall:
                continue
            wall = row.level if row.kind in WALLS else MAX_LEVEL + 1
            if row.kind == rows[at].kind and row.step is not None:
                found.append(row.step)
        return found[0] if len(found) == 1 else None

    def _twin(self, span: Span) -> int | None:
        """The step of another instrumentor's span for the same answer at the same time, in whichever trace."""
        place = self._answers.get(read(span).response_id or "")
        step = None if place is None else self.steps[place]
        return place if step is not None and overlap(self.spans[_key(step)], span) else None

    @cached_property
    def _answers(self) -> dict[str, int]:
        models = [(key, place) for key, place in self.step_of.items() if self.steps[place].kind == "model"]
        return {told: place for key, place in models if (told := read(self.spans[key]).response_id)}


def _unique(spans: Iterable[Span]) -> dict[Key, Span]:
    found: dict[Key, Span] = {}
    for span in spans:
        key = span.trace_id, span.span_id
        if key not in found or found[key].end_ns is None:
            found[key] = span
    return found


def _key(step: Step) -> Key:
    return step.trace_id or "", step.span_id or ""


def _open_at(span: Span, at_ns: int) -> bool:
    return span.start_ns is not None and span.start_ns <= at_ns and (span.end_ns is None or at_ns <= span.end_ns)


def _status(span: Span, told: Reading) -> str:
    if told.interrupted:
        return "ok" if told.handoff else "interrupted"
    if told.error is not None:
        return "error"
    return "running" if span.end_ns is None else "ok"


def _attempt(row: Row, before: Row | None) -> int:
    """Which attempt a span is: the one after its brother of the same name that had failed when it began, or what its HTTP client counted."""
    sent: Json = row.span.attributes.get(RESENT) if row.span else None
    if isinstance(sent, int) and sent > 0:
        return sent + 1
    return before.attempt + 1 if before is not None and before.status == "error" and _follows(row.span, before.span) else 1


def _follows(span: Span | None, before: Span | None) -> bool:
    return span is not None and before is not None and None not in (span.start_ns, before.end_ns) and (before.end_ns or 0) <= (span.start_ns or 0)
