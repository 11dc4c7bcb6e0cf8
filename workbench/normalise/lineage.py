"""Tells apart checkpoint lineages that share a thread id: two databases may both have a thread "1" and have nothing else in common."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workbench.model import Checkpoint, Span
from workbench.normalise.services import Part, Readings, parts_of
from workbench.normalise.strays import strays_among
from workbench.reading.tasks import task_of

SUFFIX_DIGITS = 8


@dataclass(eq=False)
class Lineage:
    """Checkpoints that descend from one root, and the spans of the same execution. `root` is None for spans alone.

    `service` is the one whose traces these are, where those of `strangers` share the conversation's id and nothing else. `host` is the trace that spans of
    another session were hung in, `guests` the sessions whose spans were hung in the trace of these.
    """

    root: str | None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    service: str | None = None
    strangers: tuple[str, ...] = ()
    host: str | None = None
    guests: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """What is added to the conversation's id where it isn't the first of several: of its root's or its trace's id the beginning, or else its service."""
        return (self.root or self.host or "").replace("-", "")[:SUFFIX_DIGITS] or self.service or ""

    @property
    def began_ns(self) -> int:
        """When its first checkpoint was made, 0 where that is not known."""
        return min((one.created_ns for one in self.checkpoints if one.created_ns is not None), default=0)

    @property
    def ended_ns(self) -> int:
        """When its last checkpoint was made, 0 where that is not known."""
        return max((one.created_ns for one in self.checkpoints if one.created_ns is not None), default=0)


def split(spans: Sequence[Span], checkpoints: Sequence[Checkpoint], readings: Readings) -> list[Lineage]:
    """The lineages, oldest first, each with the traces whose tasks it knows; traces that name no task go to the nearest in time.

    After them those of services that share nothing with these but the conversation's id, and those of other sessions that were hung in these traces.
    """
    own, strays = strays_among(spans, readings)
    hung = [Lineage(None, spans=below, host=trace) for (trace, _), below in strays.items()]
    found = _split(own, checkpoints, readings)
    found[0].guests = tuple(dict.fromkeys(session for _, session in strays))
    return [*found, *hung]


def _split(spans: Sequence[Span], checkpoints: Sequence[Checkpoint], readings: Readings) -> list[Lineage]:
    parts = parts_of(spans, readings)
    found = _lineages(checkpoints)
    if not found:
        return [_alone(part) for part in parts]
    owners = {task: lineage for lineage in found for one in lineage.checkpoints for task in {write.task_id for write in one.writes}}
    strange = [part for part in parts if part.service is not None and not _concerns(part, found, owners, readings)]
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in (span for part in parts if part not in strange for span in part.spans):
        traces[span.trace_id].append(span)
    for trace in traces.values():
        (found[0] if len(found) == 1 else _owner(trace, found, owners, readings)).spans.extend(trace)
    return [*found, *map(_alone, strange)]


def _alone(part: Part) -> Lineage:
    return Lineage(None, spans=part.spans, service=part.service, strangers=part.strangers)


def _concerns(part: Part, found: Sequence[Lineage], owners: Mapping[str, Lineage], readings: Readings) -> bool:
    """Whether a service's traces tell of these checkpoints: they name a task of theirs, or where they name none, were recorded in their time."""
    tasks = {task for span in part.spans if (task := task_of(readings[span.trace_id, span.span_id].namespace))}
    if tasks:
        return not tasks.isdisjoint(owners)
    return any(part.began_ns <= lineage.ended_ns and lineage.began_ns <= part.ended_ns for lineage in found)


def _lineages(checkpoints: Sequence[Checkpoint]) -> list[Lineage]:
    roots = _roots([one for one in checkpoints if not one.namespace])
    found: dict[str, Lineage] = {}
    for checkpoint in checkpoints:
        if not checkpoint.namespace:
            root = roots[checkpoint.checkpoint_id]
            found.setdefault(root, Lineage(root)).checkpoints.append(checkpoint)
    for checkpoint in checkpoints:
        if checkpoint.namespace:
            lineage = _around(checkpoint, found, roots) or found.setdefault(checkpoint.checkpoint_id, Lineage(checkpoint.checkpoint_id))
            lineage.checkpoints.append(checkpoint)
    return sorted(found.values(), key=lambda lineage: (lineage.began_ns, lineage.root or ""))


def _roots(checkpoints: Sequence[Checkpoint]) -> dict[str, str]:
    """For each checkpoint the first of its line. A parent that was not kept is the first of its line; a circle ends where it closes."""
    parents = {one.checkpoint_id: one.parent_checkpoint_id for one in checkpoints}
    found: dict[str, str] = {}
    for start in parents:
        path: list[str] = []
        current = start
        seen: set[str] = set()
        while current not in found and current not in seen and (parent := parents.get(current)):
            path.append(current)
            seen.add(current)
            current = parent
        root = found.get(current) or (min(seen) if current in seen else current)
        found.update(dict.fromkeys([*path, current], root))
    return found


def _around(checkpoint: Checkpoint, found: dict[str, Lineage], roots: Mapping[str, str]) -> Lineage | None:
    """The lineage a subgraph's checkpoint belongs to: by the root checkpoint it names, by its task, else by time."""
    parents = checkpoint.metadata.get("parents")
    outer = parents.get("") if isinstance(parents, dict) else None
    if isinstance(outer, str) and outer in roots:
        return found[roots[outer]]
    task = task_of(checkpoint.namespace.partition("|")[0])
    for lineage in found.values():
        if any(write.task_id == task for one in lineage.checkpoints for write in one.writes):
            return lineage
    return _nearest(list(found.values()), checkpoint.created_ns)


def _owner(trace: Sequence[Span], found: list[Lineage], owners: Mapping[str, Lineage], readings: Readings) -> Lineage:
    votes: Counter[int] = Counter()
    for span in trace:
        reading = readings.get((span.trace_id, span.span_id))
        owner = owners.get(task_of(reading.namespace) or "") if reading else None
        if owner:
            votes[found.index(owner)] += 1
    if votes:
        return found[votes.most_common(1)[0][0]]
    return _nearest(found, min((span.start_ns for span in trace if span.start_ns is not None), default=None)) or found[0]


def _nearest(found: Sequence[Lineage], at_ns: int | None) -> Lineage | None:
    if not found:
        return None
    times = [[abs(one.created_ns - at_ns) for one in lineage.checkpoints if one.created_ns is not None] for lineage in found] if at_ns is not None else []
    return min(zip(times, found, strict=True), key=lambda pair: min(pair[0], default=1 << 63))[1] if times else found[0]
