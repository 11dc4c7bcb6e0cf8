"""A conversation's id joins the traces of one agent: services that share nothing else have runs of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import workbench as wb
from workbench import collection
from workbench.model import Checkpoint, Run, Span, Write
from workbench.normalise import normalise
from workbench.reading.otlp import records_of_json
from workbench.store import Store

T0 = 1_795_000_000_000_000_000
SECOND = 1_000_000_000


def call(
    number: int, service: str | None = None, *, at: int = 0, conversation: str | None = "1", task: str = "", agent: str = "", name: str = "chat", **fields
):
    """The only span of the trace of this number: a model call, `at` seconds after the start."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", "gen_ai.usage.input_tokens": 1}
    attributes |= {"gen_ai.conversation.id": conversation} if conversation else {}
    attributes |= {"gen_ai.agent.name": agent} if agent else {}
    attributes |= {"traceloop.association.properties.langgraph_checkpoint_ns": task} if task else {}
    values = {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "start_ns": T0 + at * SECOND, "end_ns": T0 + (at + 1) * SECOND}
    return Span(name=name, attributes=attributes, resource={"service.name": service} if service else {}, **values, **fields)


def traces(runs: Iterable[Run]) -> dict[str, list[int]]:
    """Which traces became which run."""
    return {run.run_id: sorted(int(step.trace_id or "0", 16) for step in run.steps if step.trace_id) for run in runs}


def otlp(spans: Sequence[Span]) -> str:
    """These spans as lines of OTLP."""
    lines = []
    for span in spans:
        fields = {"traceId": span.trace_id, "spanId": span.span_id, "name": span.name, "startTimeUnixNano": span.start_ns, "endTimeUnixNano": span.end_ns}
        fields |= {"parentSpanId": span.parent_span_id} if span.parent_span_id else {}
        pairs = {"attributes": span.attributes, "links": [{"traceId": one} for one in span.links]}
        lines.append(json.dumps({"resourceSpans": [{"resource": {"attributes": span.resource}, "scopeSpans": [{"spans": [fields | pairs]}]}]}))
    return "\n".join(lines)


def test_services_that_share_only_a_conversation_id_are_runs_of_their_own() -> None:
    """The first keeps the id, the other is named by its service, each keeps the conversation and says whose the other traces are."""
    first, second = normalise([call(2, "hr", at=99), call(1, "billing"), call(3, "billing", at=5)], [])
    assert traces([first, second]) == {"1": [1, 3], "1~hr": [2]}
    assert (first.conversation_id, second.conversation_id) == ("1", "1")
    assert [note.partition(" have this")[0] for run in (first, second) for note in run.notes] == ["traces of hr", "traces of billing"]


def test_what_two_services_share_beyond_the_id_joins_them() -> None:
    """One trace of both services, a link, or a task of the same graph makes one run of them, without a note."""
    for spans in (
        [call(1, "web"), call(1, "worker", at=1).model_copy(update={"span_id": "f" * 16}), call(2, "web", at=3), call(3, "worker", at=5)],
        [call(1, "web"), call(2, "worker", links=(f"{1:032x}",))],
        [call(1, "web", task="ask:t1"), call(2, "worker", task="ask:t1")],
    ):
        (run,) = normalise(spans, [])
        assert (run.run_id, run.notes) == ("1", ())


def test_what_names_no_service_goes_with_what_is_nearest_in_time() -> None:
    """A trace without a service, one of an unknown service, and a client's call that names no conversation."""
    loose = [call(3, at=51), call(4, "unknown_service:python", at=1), call(5, "gateway", at=49, conversation=None)]
    assert traces(normalise([call(1, "billing"), call(2, "hr", at=50), *loose], [])) == {"1": [1, 4], "1~hr": [2, 3, 5]}


def test_traces_alike_in_nothing_but_the_id_are_said_to_be() -> None:
    """Where no service is named they stay one run, which says how many groups there are; the same agent or name of a root is enough to say nothing."""
    (run,) = normalise([call(1, name="llama"), call(2, name="autogen"), call(3, name="autogen")], [])
    assert [note.partition(" groups")[0] for note in run.notes] == ["joined by the conversation's id alone: 2"]
    for same in ({"name": "turn"}, {"agent": "helper"}):
        (run,) = normalise([call(1, **same), call(2, **{"name": "later"} | same)], [])
        assert run.notes == ()


def test_a_thread_has_the_services_that_worked_on_it() -> None:
    """Traces that name a task of the checkpoints, or none but lie in their time, are of the thread's run; another service's are not."""
    ids = [f"00000001-0000-6000-8000-{number:012x}" for number in (1, 2)]
    first = Checkpoint(thread_id="1", checkpoint_id=ids[0], step=-1, source="input", created_ns=T0)
    done = (Write(task_id="t1", node="ask", idx=0, channel="notes", value="x"),)
    last = Checkpoint(thread_id="1", checkpoint_id=ids[1], parent_checkpoint_id=ids[0], step=0, source="loop", created_ns=T0 + 9 * SECOND, writes=done)
    spans = [call(1, "web", task="ask:t1"), call(2, "worker", at=2), call(3, "other", at=3, task="ask:t9"), call(4, "late", at=99)]
    assert traces(normalise(spans, [first, last])) == {"1": [1, 2], "1~other": [3], "1~late": [4]}


def test_a_link_that_comes_late_makes_one_run_of_two(tmp_path: Path) -> None:
    """What was derived apart is taken out again once a span tells that the traces belong together."""
    (tmp_path / "apart.jsonl").write_text(otlp([call(1, "web"), call(2, "worker", at=5)]), "utf-8")
    (tmp_path / "linked.jsonl").write_text(otlp([call(3, "worker", at=7, links=(f"{1:032x}", f"{2:032x}"))]), "utf-8")
    with Store.open(tmp_path / "w.db") as store:
        collection.ingest(store, [tmp_path / "apart.jsonl"])
        assert sorted(store.run_ids()) == ["1", "1~worker"]
        collection.ingest(store, [tmp_path / "linked.jsonl"])
        assert traces(store.runs()) == {"1": [1, 2, 3]}


def test_a_case_of_one_service_holds_nothing_of_the_other(tmp_path: Path) -> None:
    """A bundle of either run has its own traces alone, and opens elsewhere under the same id."""
    (tmp_path / "spans.jsonl").write_text(otlp([call(1, "billing"), call(2, "hr", at=5)]), "utf-8")
    bench = wb.open(tmp_path / "w.db")
    bench.ingest(tmp_path / "spans.jsonl")
    for run_id, own in (("1", [1]), ("1~hr", [2])):
        bundle = tmp_path / f"{run_id}.wb"
        bench.share([run_id], bundle)
        there = wb.open(tmp_path / f"{run_id}.db")
        there.ingest(bundle)
        assert traces(there.store.runs()) == {run_id: own}


def test_sessions_that_were_hung_in_anothers_trace_are_runs_of_their_own(tmp_path: Path) -> None:
    """What began after its parent had ended, in another session, is no part of that run, in whatever order it came; a session's own traces stay its run."""

    def below(number: int, parent: int | None, session: str | None, *, at: int, lasts: int = 2) -> Span:
        span = call(1, at=at, conversation=session, name=f"call {number}")
        ids = {"span_id": f"{number:016x}", "parent_span_id": f"{parent:016x}" if parent else None}
        return span.model_copy(update=ids | {"end_ns": T0 + (at + lasts) * SECOND})

    spans = [
        below(1, None, "boss", at=0, lasts=4),
        below(2, 1, "inner", at=1),
        below(3, 1, "boss", at=5),
        below(4, 1, "guest", at=6, lasts=4),
        below(5, 4, None, at=7),
        below(6, 1, "guest", at=11),
        below(7, 1, "other", at=12),
    ]
    own, guest, other = normalise(spans, [])
    assert (own.run_id, guest.run_id, other.run_id) == ("boss", "guest~00000000", "other~00000000")
    assert [run.conversation_id for run in (own, guest, other)] == ["boss", "guest", "other"]
    assert [run.span_count for run in (own, guest, other)] == [3, 3, 1]
    assert "sessions guest, other" in str(own.notes)
    assert ["of another session" in str(run.notes) and "root span" not in str(run.notes) for run in (guest, other)] == [True, True]

    (tmp_path / "late.jsonl").write_text(otlp([*spans[3:], call(2, conversation="other")]), "utf-8")
    (tmp_path / "first.jsonl").write_text(otlp(spans[:3]), "utf-8")
    with Store.open(tmp_path / "w.db") as store:
        for name in ("late", "first"):
            collection.ingest(store, [tmp_path / f"{name}.jsonl"])
        assert set(store.run_ids()) == {"boss", "guest~00000000", "other~00000000", "other"}


def test_a_link_without_a_trace_is_left_out_and_said() -> None:
    """The span stands, with the links that can be used, each trace once."""
    links = [{"traceId": "A" * 32}, {"traceId": "a" * 32, "spanId": "b" * 16}, {"traceId": "0" * 32}, "x"]
    raw = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "n", "links": links}
    span, *skips = records_of_json({"resourceSpans": [{"scopeSpans": [{"spans": [raw]}]}]}, "f")
    assert isinstance(span, Span)
    assert span.links == ("a" * 32,)
    assert ["names no trace" in str(skip) for skip in skips] == [True, True]
