"""Spans read straight off the wire are those that reading them in full gives, and what is not regular is left to that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from workbench.model import Skip, Span
from workbench.reading import otlp
from workbench.reading.spans import EARLIEST_NS, LATEST_NS
from workbench.reading.wire import IrregularError, regular_span

TEXTS = st.text(max_size=6)
TIMES = st.sampled_from([0, 5, EARLIEST_NS, EARLIEST_NS + 7, LATEST_NS - 1, LATEST_NS])
PLAIN = st.one_of(
    st.builds(lambda value: AnyValue(string_value=value), TEXTS),
    st.builds(lambda value: AnyValue(int_value=value), st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda value: AnyValue(double_value=value), st.floats()),
    st.builds(lambda value: AnyValue(bool_value=value), st.booleans()),
    st.builds(lambda value: AnyValue(bytes_value=value), st.binary(max_size=4)),
    st.just(AnyValue()),
)


def listed(values: list[AnyValue]) -> AnyValue:
    found = AnyValue()
    found.array_value.values.extend(values)
    return found


def keyed(values: dict[str, AnyValue]) -> AnyValue:
    found = AnyValue()
    for key, value in values.items():
        found.kvlist_value.values.add(key=key).value.CopyFrom(value)
    return found


VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3).map(listed) | st.dictionaries(TEXTS, inner, max_size=3).map(keyed), max_leaves=5)


@st.composite
def requests(draw) -> bytes:
    """A request with some spans as exporters send them, and as they should not."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.scope.name = draw(TEXTS)
    for _ in range(draw(st.integers(0, 3))):
        span = scope.spans.add(trace_id=draw(st.sampled_from([bytes(16), bytes(range(16)), b"short"])), name=draw(TEXTS))
        span.span_id, span.parent_span_id = (draw(st.sampled_from([bytes(8), bytes(range(8)), b"12345678", b"x"])) for _ in range(2))
        span.start_time_unix_nano, span.end_time_unix_nano = draw(TIMES), draw(TIMES)
        if draw(st.booleans()):
            span.status.code, span.status.message = draw(st.integers(0, 3)), draw(TEXTS)
        for _ in range(draw(st.integers(0, 3))):
            span.attributes.add(key=draw(TEXTS)).value.CopyFrom(draw(VALUES))
        for _ in range(draw(st.integers(0, 2))):
            event = span.events.add(name=draw(TEXTS), time_unix_nano=draw(TIMES))
            event.attributes.add(key=draw(TEXTS)).value.CopyFrom(draw(VALUES))
    return request.SerializeToString()


def in_full(message: bytes, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The records of a message, every span of it read in full."""

    def never(*_: object) -> Span:
        raise IrregularError

    with monkeypatch.context() as patched:
        patched.setattr(otlp, "regular_span", never)
        return list(otlp.records_of_protobuf(message, "f"))


@given(message=requests())
def test_reading_straight_and_reading_in_full_give_the_same(message: bytes):
    """Spans, the order of their attributes, and what is skipped and said, are the same either way."""
    straight = list(otlp.records_of_protobuf(message, "f"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        full = in_full(message, monkeypatch)
    assert [repr(one) for one in straight] == [repr(one) for one in full]


@given(st.binary(max_size=60))
def test_bytes_that_are_no_span_are_left_to_reading_in_full(data: bytes):
    """Whatever the bytes are, there is a span or they are not regular; nothing else is raised."""
    try:
        assert isinstance(regular_span(data, None, {}), Span)
    except IrregularError:
        assert True


def test_a_span_whose_text_is_no_utf8_is_one_skip():
    """An attribute that can't be decoded makes its span a counted skip, and leaves the others."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in (1, 2):
        span = scope.spans.add(trace_id=bytes(range(16)), span_id=bytes([number] * 8), name="call")
        span.attributes.add(key="input.value").value.string_value = f"said {number}"
    found = list(otlp.records_of_protobuf(request.SerializeToString().replace(b"said 1", b"said \xff"), "f"))
    assert [type(one) for one in found] == [Span, Skip]
    assert found[1].count == 1
