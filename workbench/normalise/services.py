"""Tells apart the traces of several services that share a conversation's id: two services may both have a session "1" and have nothing else in common.

A conversation's id joins the traces of one agent. What joins those of several services is stronger: a trace they share, a link from one to the other,
or a task of a graph that one began and the other went on with.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from workbench.model import Reading, Span
from workbench.reading.tasks import task_of

Readings = Mapping[tuple[str, str], Reading]
"""What the conventions make of each span, by trace and span id."""
Mark = tuple[str, str]
UNNAMED_SERVICE = "unknown_service"
"""How the name begins that OpenTelemetry gives to a service that has none (semantic conventions, *Service*)."""


def service_of(span: Span) -> str | None:
    """The service that made a span, None where nobody named it."""
    name = str(span.resource.get("service.name") or "")
    return None if not name or name.startswith(UNNAMED_SERVICE) else name


class Part(NamedTuple):
    """The traces of a conversation that belong together, and the service that began them: None where there are no other parts.

    `strangers` are the services that began the others.
    """

    spans: list[Span]
    service: str | None = None
    strangers: tuple[str, ...] = ()

    @property
    def began_ns(self) -> int:
        """When its first span began, 0 where that is not known."""
        return min((span.start_ns for span in self.spans if span.start_ns is not None), default=0)

    @property
    def ended_ns(self) -> int:
        """When its last span ended, 0 where that is not known."""
        return max((span.end_ns for span in self.spans if span.end_ns is not None), default=0)


def parts_of(spans: Sequence[Span], readings: Readings) -> list[Part]:
    """The spans of one conversation in the parts that share more than its id, oldest first: most often one.

    Traces that name no service, and calls of a client's that name no conversation, go with those nearest in time.
    """
    if len(named_services(spans)) < 2:  # noqa: PLR2004  # which is the usual case, and seen at a glance
        return [Part(list(spans))]
    groups = _connected(_by_trace(spans), lambda trace: _marks(trace, readings))
    own = {services[0]: group for group in groups if (services := _services_of(group, readings))}
    if len(own) < 2:  # noqa: PLR2004
        return [Part(list(spans))]
    starts = {name: _starts(group) for name, group in own.items()}
    for group in groups:
        if not _services_of(group, readings):
            own[min(own, key=lambda name: _apart_ns(_starts(group), starts[name]))].extend(group)
    parts = [Part(group, name, tuple(other for other in own if other != name)) for name, group in own.items()]
    return sorted(parts, key=lambda part: (part.began_ns, part.service))


def named_services(spans: Sequence[Span]) -> set[str]:
    """The services whose spans these are, as far as they were named."""
    return {name for span in spans if (name := service_of(span)) is not None}


def unlike(spans: Sequence[Span], readings: Readings) -> int:
    """In how many groups of traces a run falls that share the conversation's id and nothing else: no service, agent or name of a root; usually 1."""
    traces = [trace for trace in _by_trace(spans) if _names_conversation(trace, readings)]
    return len(_connected(traces, lambda trace: (*_marks(trace, readings), *_looks(trace, readings)))) if len(traces) > 1 else 1


def _by_trace(spans: Sequence[Span]) -> list[list[Span]]:
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        traces[span.trace_id].append(span)
    return list(traces.values())


def _connected(traces: Sequence[list[Span]], marks_of: Callable[[list[Span]], Iterable[Mark]]) -> list[list[Span]]:
    """The traces in groups: those that share a mark, or are joined by others that do, in one."""
    first: dict[Mark, int] = {}
    leader = list(range(len(traces)))

    def leader_of(number: int) -> int:
        while leader[number] != number:
            leader[number] = number = leader[leader[number]]
        return number

    for number, trace in enumerate(traces):
        for mark in marks_of(trace):
            leader[leader_of(number)] = leader_of(first.setdefault(mark, number))
    groups: dict[int, list[Span]] = defaultdict(list)
    for number, trace in enumerate(traces):
        groups[leader_of(number)] += trace
    return list(groups.values())


def _marks(trace: list[Span], readings: Readings) -> Iterator[Mark]:
    """What joins a trace with others beyond doubt."""
    yield from (("service", name) for name in _services_of(trace, readings))
    for span in trace:
        yield from (("trace", linked) for linked in (span.trace_id, *span.links))
        if task := task_of(_reading(span, readings).namespace):
            yield "task", task


def _looks(trace: list[Span], readings: Readings) -> Iterator[Mark]:
    """What makes it likely that another trace is of the same agent."""
    for span in trace:
        if agent := _reading(span, readings).agent:
            yield "agent", agent
        if span.parent_span_id is None:
            yield "root", span.name


def _services_of(spans: list[Span], readings: Readings) -> list[str]:
    """The services of traces that name a conversation, oldest first; none for what a client recorded of its own calls."""
    if not _names_conversation(spans, readings):
        return []
    ordered = sorted(spans, key=lambda span: (span.start_ns or 0, span.span_id))
    return list(dict.fromkeys(name for span in ordered if (name := service_of(span)) is not None))


def _names_conversation(spans: list[Span], readings: Readings) -> bool:
    return any(_reading(span, readings).conversation_id for span in spans)


def _reading(span: Span, readings: Readings) -> Reading:
    return readings[span.trace_id, span.span_id]


def _starts(spans: list[Span]) -> list[int]:
    return sorted(span.start_ns for span in spans if span.start_ns is not None)


def _apart_ns(these: list[int], others: list[int]) -> int:
    """How far the first of these moments is from the nearest of the others, both in order; far where that is not known."""
    place = bisect_left(others, these[0]) if these else 0
    return min((abs(moment - these[0]) for moment in others[max(0, place - 1) : place + 1] if these), default=1 << 63)
