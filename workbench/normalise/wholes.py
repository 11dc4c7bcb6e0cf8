"""What a source records of a trace as a whole, beside its spans: no span, once spans of that trace are at hand.

Some tell session, user and scores of a trace in another file than its spans. A collector makes a span of such a record, so that it is kept and joined
like any other, and says in `OF_TRACE` what it tells. Whichever came first, the spans at the top then say it, as where one file tells both.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.model import Json, Span
from workbench.reading.spans import OF_TRACE


def without_wholes(spans: Sequence[Span]) -> Sequence[Span]:
    """The spans without records of traces that have others, whose topmost spans say what the records tell. A record that stands alone stays a span."""
    wholes = [span for span in spans if OF_TRACE in span.attributes]
    if not wholes:
        return spans
    known = {(span.trace_id, span.span_id) for span in spans if OF_TRACE not in span.attributes}
    traced = {trace_id for trace_id, _ in known}
    told: dict[str, dict[str, Json]] = {}
    for whole in wholes:
        said = whole.attributes[OF_TRACE]
        _add(told.setdefault(whole.trace_id, {}), said if isinstance(said, dict) else {})
    rest = (span for span in spans if OF_TRACE not in span.attributes or span.trace_id not in traced)
    return [_with(span, told.get(span.trace_id, {})) if (span.trace_id, span.parent_span_id) not in known else span for span in rest]


def _add(told: dict[str, Json], said: dict[str, Json]) -> None:
    """Add what one more record tells: to a list, such as that of scores, what it holds; what it repeats counts once."""
    for key, value in said.items():
        before = told.get(key)
        told[key] = before + [one for one in value if one not in before] if isinstance(before, list) and isinstance(value, list) else value


def _with(span: Span, told: dict[str, Json]) -> Span:
    return span.model_copy(update={"attributes": {**told, **span.attributes}}) if told else span
