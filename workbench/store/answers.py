"""Which trace tells a model's answer that another trace tells too.

An instrumentor that does not pass its context on leaves the calls of the model's client in traces of their own, beside the agent's that made them. Both
tell what the provider called its answer. A trace that begins with such a call, told by another instrumentor at the same time, belongs with the agent's.
The same id at another time is another call, as where a cache answers.

Where the agent's instrumentor leaves out what the provider called its answer, the tokens that both counted take its place: those of a call that was made
within the agent's, in one process. Where the calls of several traces may be meant, none is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from workbench.model import COUNTED, Json, Span
from workbench.store import dialect

_SAME = "own.response_id = other.response_id AND own.trace_id <> other.trace_id AND own.scope <> other.scope"
_MEANWHILE = "own.start_ns <= other.end_ns AND other.start_ns <= own.end_ns"
_COUNTED = f"substr(own.response_id, 1, {len(COUNTED)}) = '{COUNTED}'"
HOSTS_OF_TRACE = f"""SELECT other.trace_id FROM answer own JOIN answer other ON {_SAME} AND {_MEANWHILE}
    WHERE own.trace_id = ? AND own.is_top = 1 AND other.is_top = 0 AND NOT {_COUNTED}
    ORDER BY other.start_ns, other.trace_id"""  # noqa: S608  # all parts are ours
HOSTS_BY_TOKENS = f"""SELECT DISTINCT other.trace_id FROM answer own JOIN answer other ON {_SAME}
    WHERE own.trace_id = ? AND own.is_top = 1 AND other.is_top = 0 AND {_COUNTED}
    AND other.start_ns <= own.start_ns AND own.end_ns <= other.end_ns"""  # noqa: S608  # as above
GUESTS_OF_TRACE = f"""SELECT DISTINCT other.trace_id FROM answer own JOIN answer other ON {_SAME} AND {_MEANWHILE}
    WHERE own.trace_id = ? AND own.is_top = 0 AND other.is_top = 1"""  # noqa: S608  # as above


def rows_of(span: Span, marks: Iterable[str]) -> Iterator[dict[str, Json]]:
    """The rows of a span that tells of an answer, one for each mark of it; none where it isn't known to have ended."""
    if span.start_ns is None or span.end_ns is None:
        return
    row: dict[str, Json] = {"trace_id": span.trace_id, "span_id": span.span_id, "is_top": int(span.parent_span_id is None)}
    row |= {"scope": span.scope or "", "start_ns": span.start_ns, "end_ns": span.end_ns}
    yield from (row | {"response_id": mark} for mark in marks)


def host_of(connection: Connection, trace: str) -> str | None:
    """The agent's trace that a client's call belongs to, though it may be told by three; None where it is known in no other."""
    way = [trace]
    while found := _hosts(connection, way[-1]):
        if found[0] in way:  # each begins with a call of the other
            return min(way) if min(way) != trace else None
        way.append(str(found[0]))
    return way[-1] if len(way) > 1 else None


def _hosts(connection: Connection, trace: str) -> list[Json]:
    """The traces that tell the answer a trace begins with; by tokens only where no other trace can be meant."""
    if found := dialect.first_column(connection, HOSTS_OF_TRACE, trace):
        return found
    counted = dialect.first_column(connection, HOSTS_BY_TOKENS, trace)
    return counted if len(counted) == 1 else []


def guests_of(connection: Connection, traces: Iterable[str]) -> set[str]:
    """The traces of clients' calls that these agents' traces tell of."""
    own = set(traces)
    found, waiting = set[str](), list(own)
    while waiting:
        told = set(map(str, dialect.first_column(connection, GUESTS_OF_TRACE, waiting.pop()))) - own - found
        waiting += told
        found |= told
    return {guest for guest in found if host_of(connection, guest) in own}
