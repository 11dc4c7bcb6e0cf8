"""Every collector, whoever wrote it: its examples are read as it says, and broken input is an error or a counted skip, never a crash."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors import chat_log, langfuse, otlp
from tests.postgres import Server
from workbench.collection import ingest
from workbench.database import location
from workbench.model import Conversation, Json, Record, Skip, Span
from workbench.normalise import normalise
from workbench.normalise.wholes import without_wholes
from workbench.plugins import Collector, Example, collector_of, collectors
from workbench.reading import spans
from workbench.source import Source, SourceError
from workbench.store import Store

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
EVERY = [pytest.param(collector, example, id=f"{name}-{example.name}") for name, collector in collectors().items() for example in collector.examples]
EXAMPLES, DATABASES = ([one for one in EVERY if bool(one.values[0].schemes) is of_urls] for of_urls in (False, True))
MOST_CUTS = 300
DAMAGES = 60


def written(folder: Path, name: str, content: bytes) -> Source:
    """A file with this content, as a source."""
    path = folder / name
    path.write_bytes(content)
    return Source(path)


def records(collector: Collector, source: Source) -> list[Record]:
    """Everything a collector yields of a source, whether it accepts it or not; nothing where it raises the error it may raise."""
    try:
        collector.accepts(source)
        return list(collector.collect(source))
    except SourceError:
        return []


def spans_of(source: Source) -> list[Span]:
    """The spans of an OTLP file."""
    return [record for record in otlp.collect(source) if isinstance(record, Span)]


def skips_of(found: list[Record]) -> list[Skip]:
    """The skips among records."""
    return [record for record in found if isinstance(record, Skip)]


def shared(*parts: str) -> list[Path]:
    """Files of the corpus beside the repository; the test is skipped, visibly, where it isn't there."""
    found = sorted(SHARED.glob("/".join(parts)))
    if not found:
        pytest.skip(f"no {'/'.join(parts)} beside the repository")
    return found


@pytest.mark.parametrize(("collector", "example"), EXAMPLES)
def test_an_example_is_accepted_by_its_collector_alone(collector: Collector, example: Example, tmp_path: Path):
    """Each example is accepted by the collector whose example it is, and by no other."""
    source = written(tmp_path, example.name, example.content)
    assert [one.name for one in collectors().values() if one.accepts(source)] == [collector.name]


@pytest.mark.parametrize(("collector", "example"), EXAMPLES)
def test_an_example_yields_what_it_says(collector: Collector, example: Example, tmp_path: Path):
    """Each example yields as many records of each kind as it says, and reading it leaves its file and folder as they were."""
    source = written(tmp_path, example.name, example.content)
    assert Counter(type(record).__name__ for record in collector.collect(source)) == example.yields
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {example.name: example.content}


@pytest.mark.parametrize(("collector", "example"), DATABASES)
def test_an_example_of_a_database_is_accepted_and_yields_what_it_says(collector: Collector, example: Example, postgres: Server):
    """A database made by an example's SQL is accepted by the collector whose example it is, and yields what the example says."""
    database = location(postgres.create(example.content))
    assert collector_of(database) == collector
    assert Counter(type(record).__name__ for record in collector.collect(database)) == example.yields


@pytest.mark.parametrize(("collector", "example"), EXAMPLES)
def test_a_cut_off_example_is_an_error_or_fewer_records(collector: Collector, example: Example, tmp_path: Path):
    """However a file is cut off, its collector raises SourceError or yields no more than the whole file's records, and changes nothing."""
    whole = sum(count for kind, count in example.yields.items() if kind != "Skip")
    for size in range(0, len(example.content), max(7, len(example.content) // MOST_CUTS)):
        source = written(tmp_path, example.name, example.content[:size])
        found = records(collector, source)
        assert len(found) - len(skips_of(found)) <= whole, f"cut after {size} bytes"
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {example.name: example.content[:size]}


@pytest.mark.parametrize(("collector", "example"), EXAMPLES)
def test_a_damaged_example_raises_nothing_but_a_source_error(collector: Collector, example: Example, tmp_path: Path):
    """Whichever bytes of a file are flipped, every collector that looks at it raises SourceError or goes on, and changes nothing."""
    chance = random.Random(example.name)
    for _ in range(DAMAGES):
        content = bytearray(example.content)
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        source = written(tmp_path, example.name, bytes(content))
        records(collector, source)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {example.name: bytes(content)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"just text\n",
        b'{"data": [{"id": "1", "name": "a list of something else", "traces": [{"traceID": "d497", "spans": []}]}]}',
        b'{"trace": "of nothing", "observations": "none"}',
        b'[{"id": "52", "attributes": {"trace_id": "f6", "llm.input_messages.0.message.role": "user"}}]',
        b'{"resourceMetrics": [{"scopeMetrics": []}]}',
        b'{"info": {"title": "an OpenAPI document"}, "data": {"paths": []}}',
        b'{"text": "a log that says \\"messages\\": and \\"resourceSpans\\": in its text"}',
        b"\nA\n text whose first bytes could be protobuf",
        bytes(range(256)) * 20,
    ],
)
def test_a_foreign_file_is_accepted_by_none(content: bytes, tmp_path: Path):
    """Text, other tools' exports and random bytes are claimed by no collector."""
    source = written(tmp_path, "foreign", content)
    assert [name for name, collector in collectors().items() if collector.accepts(source)] == []


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_a_counted_skip_that_says_what_to_do(compression: int, tmp_path: Path):
    """A zip, a bomb among them, and a compressed tar are not unpacked: each is one skip that says so, in a folder as well as named alone."""
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "traces.zip", "w", compression) as archive:
        archive.writestr("traces.json", request(span()))
        archive.writestr("bomb.json", bytes(10_000_000))
    with tarfile.open(tmp_path / "in" / "traces.tgz", "w:gz") as packed:
        packed.add(tmp_path / "in" / "traces.zip", "traces.json")
    with Store.open(tmp_path / "w.db") as store:
        for given in ([tmp_path / "in"], sorted((tmp_path / "in").iterdir())):
            summary = ingest(store, given)
            assert (summary.skipped, summary.runs) == (2, [])
            assert [line.partition(",")[0] for line in summary.skips_told()] == ["skipped 1 × a tar archive", "skipped 1 × a zip archive"]


def test_what_a_folder_holds_besides_traces_is_counted(tmp_path: Path):
    """Text that a collector knows is read in a folder as it is when named; what is not opened is told by its kind and count, what is not known by name."""
    folder = tmp_path / "in"
    (folder / ".git").mkdir(parents=True)
    for name, content in {"printed.txt": request(span()), "table.csv": b"a,b\n1,2\n", "a.md": b"x", "b.md": b"x", ".git/HEAD": b"x"}.items():
        (folder / name).write_bytes(content)
    with Store.open(tmp_path / "w.db") as store:
        summary = ingest(store, [folder])
    assert [file.path.name for file in summary.files if file.collector] == ["printed.txt"]
    assert (len(summary.runs), summary.skipped, summary.nothing_read) == (1, 0, False)
    assert dict(summary.unopened) == {".md": 2, "hidden": 1}
    told = summary.left_alone_told()
    assert told == f"of no format known here, and left alone: {folder}/table.csv, 2 × .md (not opened), 1 × hidden (not opened)"


# ---- OTLP


def request(*spans: Json, **resource_spans: Json) -> bytes:
    """One ExportTraceServiceRequest as JSON."""
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}], **resource_spans}]}).encode()


def span(**fields: Json) -> dict[str, Json]:
    """A small valid span as OTLP's JSON has it."""
    return {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "n", "startTimeUnixNano": "1750000000000000000", **fields}


def test_values_of_every_kind_are_read(tmp_path: Path):
    """64-bit integers as text, doubles, booleans, lists, objects and bytes come as plain values; what no JSON can hold comes as text."""
    values = {
        "int": {"intValue": "9007199254740993"},
        "float": {"doubleValue": 0.5},
        "nan": {"doubleValue": "NaN"},
        "huge": {"doubleValue": "1e999"},
        "yes": {"boolValue": True},
        "list": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}]}},
        "object": {"kvlistValue": {"values": [{"key": "k", "value": {"arrayValue": {}}}]}},
        "bytes": {"bytesValue": "AAE="},
        "empty": {},
    }
    attributes = [{"key": key, "value": value} for key, value in values.items()]
    (found,) = spans_of(written(tmp_path, "f", request(span(attributes=attributes))))
    assert found.attributes == {
        "int": 9007199254740993,
        "float": 0.5,
        "nan": "nan",
        "huge": "inf",
        "yes": True,
        "list": ["a", 1],
        "object": {"k": []},
        "bytes": "AAE=",
        "empty": None,
    }


def test_protobuf_and_json_of_the_same_spans_are_the_same(tmp_path: Path):
    """The same request reads the same from JSON, from protobuf, and from two messages with their lengths before them."""
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "travel"
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "s"
    one = scope_spans.spans.add(trace_id=bytes(range(16)), span_id=bytes(range(8)), parent_span_id=bytes(range(1, 9)), name="n")
    one.start_time_unix_nano, one.end_time_unix_nano = 1_750_000_000_000_000_000, 1_750_000_001_000_000_000
    one.status.code, one.status.message = 2, "broke"
    one.attributes.add(key="list").value.array_value.values.add().int_value = -3
    one.attributes.add(key="object").value.kvlist_value.values.add(key="k").value.bytes_value = b"\x00\x01"
    one.events.add(name="exception", time_unix_nano=1_750_000_000_500_000_000).attributes.add(key="exception.type").value.string_value = "E"
    one.links.add(trace_id=bytes(range(1, 17)))
    wire = message.SerializeToString()
    as_json = request(
        {
            "trace_id": bytes(range(16)).hex().upper(),
            "span_id": "AAECAwQFBgc=",
            "parent_span_id": bytes(range(1, 9)).hex(),
            "name": "n",
            "start_time_unix_nano": 1_750_000_000_000_000_000,
            "end_time_unix_nano": "1750000001000000000",
            "status": {"code": "STATUS_CODE_ERROR", "message": "broke"},
            "attributes": [
                {"key": "list", "value": {"array_value": {"values": [{"int_value": "-3"}]}}},
                {"key": "object", "value": {"kvlist_value": {"values": [{"key": "k", "value": {"bytes_value": "AAE="}}]}}},
            ],
            "events": [
                {"name": "exception", "time_unix_nano": "1750000000500000000", "attributes": [{"key": "exception.type", "value": {"string_value": "E"}}]}
            ],
            "links": [{"trace_id": bytes(range(1, 17)).hex()}],
        },
        resource={"attributes": [{"key": "service.name", "value": {"stringValue": "travel"}}]},
    )
    (expected,) = spans_of(written(tmp_path, "f.json", as_json))
    assert expected.status == "error"
    assert expected.resource == {"service.name": "travel"}
    assert expected.links == (bytes(range(1, 17)).hex(),)
    assert spans_of(written(tmp_path, "plain.pb", wire)) == [expected]
    assert spans_of(written(tmp_path, "two.pb", (len(wire).to_bytes(4, "big") + wire) * 2)) == [expected, expected]
    assert spans_of(written(tmp_path, "plain.pb.xz", lzma.compress(wire))) == [expected]


@pytest.mark.parametrize(
    "document",
    [
        {"resource": {}, "scopeSpans": [{"spans": [span()]}]},
        {"batches": [{"instrumentationLibrarySpans": [{"instrumentationLibrary": {"name": "s"}, "spans": [span()]}]}]},
        {"resource_spans": [{"scope_spans": [{"scope": None, "spans": [span(attributes=None)]}]}]},
        [{"resourceSpans": [{"scopeSpans": [{"spans": [span()]}]}]}],
    ],
)
def test_the_shapes_of_other_writers_are_read(document: Json, tmp_path: Path):
    """A bare ResourceSpans, Tempo's batches, snake_case with nulls and a list of requests are all read."""
    source = written(tmp_path, "f.json", json.dumps(document).encode())
    assert otlp.accepts(source)
    assert [found.name for found in spans_of(source)] == ["n"]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (span(traceId="abc"), "without usable ids"),
        (span(traceId="0" * 32), "without usable ids"),
        (span(spanId=None), "without usable ids"),
        (span(spanId="b7ad6b7169203331b7"), "without usable ids"),
        (span(spanId={"a": 1}), "without usable ids"),
        ("not a span", "not a span"),
        (span(events=5), "b7ad6b7169203331"),
    ],
)
def test_a_span_that_cannot_be_read_is_skipped_alone(broken: Json, says: str, tmp_path: Path):
    """One unusable span is a skip with its place and value; the spans around it are read."""
    source = written(tmp_path, "f.jsonl", request(span(name="first")) + b"\n" + request(span(name="before"), broken, span(name="after")))
    found = list(otlp.collect(source))
    assert [record.name for record in found if isinstance(record, Span)] == ["first", "before", "after"]
    (skip,) = skips_of(found)
    assert skip.place == f"{source.path}:2"
    assert says in skip.reason


@pytest.mark.parametrize("value", ["5", "9000000000000000000", 10**30, "soon", -1, 1e300, "9" * 5000])
def test_an_absurd_time_is_dropped_and_said(value: Json, tmp_path: Path):
    """A time before 1970-01-02, after 2200 or no number at all becomes "not recorded", with a skip; the span stays."""
    found = list(otlp.collect(written(tmp_path, "f", request(span(endTimeUnixNano=value)))))
    assert [(record.start_ns, record.end_ns) for record in found if isinstance(record, Span)] == [(1_750_000_000_000_000_000, None)]
    assert "time left out, end of span b7ad6b7169203331" in skips_of(found)[0].reason


def test_a_missing_time_is_not_an_absurd_one(tmp_path: Path):
    """A time of 0 is OTLP's word for unset: None, and nothing to say about it."""
    (found,) = otlp.collect(written(tmp_path, "f", request(span(startTimeUnixNano=0, endTimeUnixNano=""))))
    assert isinstance(found, Span)
    assert found.start_ns is None
    assert found.end_ns is None


def test_a_bad_parent_is_left_out_and_said(tmp_path: Path):
    """A parent id that can't be one makes the span a root, with a skip that shows the id; an empty or zero one is simply a root."""
    content = request(span(parentSpanId="xyz"), span(parentSpanId=""), span(parentSpanId="0000000000000000"))
    found = list(otlp.collect(written(tmp_path, "f", content)))
    assert [record.parent_span_id for record in found if isinstance(record, Span)] == [None, None, None]
    assert [skip.reason for skip in skips_of(found)] == ['parent of span b7ad6b7169203331 left out: want 16 hex digits, found "xyz"']


def test_an_oversized_value_is_cut_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A text past the limit is cut to it, wherever in an attribute it stands, and the skip gives both sizes."""
    monkeypatch.setattr(spans, "MAX_VALUE_CHARACTERS", 10)
    attributes = [{"key": "a", "value": {"stringValue": "x" * 11}}, {"key": "b", "value": {"arrayValue": {"values": [{"stringValue": "y" * 12}]}}}]
    found = list(otlp.collect(written(tmp_path, "f", request(span(attributes=attributes)))))
    assert [record.attributes for record in found if isinstance(record, Span)] == [{"a": "x" * 10, "b": ["y" * 10]}]
    assert [skip.reason for skip in skips_of(found)] == [
        "a of span b7ad6b7169203331: 11 characters cut to 10",
        "b of span b7ad6b7169203331: 12 characters cut to 10",
    ]


def test_a_bad_attribute_is_left_out_alone(tmp_path: Path):
    """An attribute of another shape is a skip; the span keeps its other attributes."""
    attributes = [{"key": "good", "value": {"intValue": "1"}}, {"key": "bad", "value": {"intValue": "one"}}, "worse", {"value": {"intValue": 1}}]
    found = list(otlp.collect(written(tmp_path, "f", request(span(attributes=attributes)))))
    assert [record.attributes for record in found if isinstance(record, Span)] == [{"good": 1}]
    assert len(skips_of(found)) == 3


def test_a_deeply_nested_line_is_skipped(tmp_path: Path):
    """Nesting deeper than any trace needs is a skip, and the next line is read."""
    deep = b'{"resourceSpans": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    found = list(otlp.collect(written(tmp_path, "f.jsonl", deep + b"\n" + request(span()))))
    assert [type(record).__name__ for record in found] == ["Skip", "Span"]
    assert "nested deeper than" in skips_of(found)[0].reason


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path: Path):
    """Text that can't be encoded would fail wherever it is stored or shown, so its half characters are replaced on the way in; whole ones stay."""
    content = request(span(name="@")).replace(b"@", b"\\ud83d \\ud83d\\ude00")
    assert [found.name for found in spans_of(written(tmp_path, "f", content))] == ["\ufffd \U0001f600"]


def test_the_spans_before_a_break_in_protobuf_are_kept(tmp_path: Path):
    """A protobuf file that breaks off within its last span yields the spans before it, and says where it broke."""
    message = ExportTraceServiceRequest()
    scope_spans = message.resource_spans.add().scope_spans.add()
    for number in range(1, 4):
        one = scope_spans.spans.add(trace_id=bytes([number] * 16), span_id=bytes([number] * 8), name=f"span {number}")
        one.attributes.add(key="tool.name").value.string_value = "book_flight"
    found = list(otlp.collect(written(tmp_path, "cut.pb", message.SerializeToString()[:-5])))
    assert [record.name for record in found if isinstance(record, Span)] == ["span 1", "span 2"]
    assert any("cut off or damaged" in skip.reason for skip in skips_of(found))


def test_the_lines_before_the_end_of_a_cut_off_archive_are_kept(tmp_path: Path):
    """A gzip file that breaks off yields the lines that could still be unpacked, and a skip where it broke."""
    content = gzip.compress(b"\n".join(request(span(name=f"{number} {number * 7919 % 1013}")) for number in range(400)))
    found = list(otlp.collect(written(tmp_path, "cut.jsonl.gz", content[: len(content) // 2])))
    assert len(found) > 50
    assert "cut off or damaged" in skips_of(found)[-1].reason


def test_a_first_line_that_is_cut_off_costs_only_itself(tmp_path: Path):
    """JSON lines whose first line is broken are still JSON lines."""
    found = list(otlp.collect(written(tmp_path, "f.jsonl", request(span())[:-9] + b"\n" + request(span()) + b"\n" + request(span()))))
    assert [type(record).__name__ for record in found] == ["Skip", "Span", "Span"]


def test_a_cut_off_document_names_file_and_line(tmp_path: Path):
    """One JSON document over several lines that breaks off can't be read at all: SourceError, with the file and where it broke."""
    source = written(tmp_path, "f.json", json.dumps(json.loads(request(span())), indent=1).encode()[:-9])
    with pytest.raises(SourceError, match=r"f\.json: neither JSON lines nor one whole JSON document: .* line \d+ column"):
        list(otlp.collect(source))


# ---- chat logs


def conversations(tmp_path: Path, *documents: Json) -> Iterator[Conversation]:
    """What a chat log of these documents, one a line, yields; a skip fails the test."""
    source = written(tmp_path, "log.jsonl", b"\n".join(json.dumps(document).encode() for document in documents))
    assert chat_log.accepts(source)
    for record in chat_log.collect(source):
        assert isinstance(record, Conversation), record
        yield record


def test_a_run_keeps_what_stands_beside_its_messages(tmp_path: Path):
    """Run id, conversation, agent, start, tools and metadata are read; fields without a place of their own are kept as metadata."""
    (run,) = conversations(
        tmp_path,
        {
            "run_id": 7,
            "thread_id": "t",
            "thread": "repetitions of one task",
            "agent": "travel",
            "started_at": "2026-03-01T09:00:00",
            "tools": ["book", {"type": "function", "function": {"name": "pay"}}],
            "metadata": {"domain": "air"},
            "messages": [{"role": "user", "content": "hi", "timestamp": "2026-03-01T10:00:00+01:00"}],
        },
    )
    assert (run.run_id, run.conversation_id, run.agent, run.tools) == ("7", "t", "travel", ("book", "pay"))
    assert run.started_ns == run.messages[0].at_ns == 1_772_355_600_000_000_000
    assert run.metadata == {"thread_id": "t", "thread": "repetitions of one task", "domain": "air"}


@pytest.mark.parametrize("key", ["messages", "traj", "trajectory", "history"])
def test_a_run_without_an_id_gets_one_of_its_content(key: str, tmp_path: Path):
    """The list of messages may have any of four names; equal runs without an id get the same id, and other runs another."""
    same, again, other = conversations(tmp_path, *({key: [{"role": "user", "content": text}]} for text in ("a", "a", "b")))
    assert same.run_id == again.run_id != other.run_id


def test_calls_with_repeated_ids_and_broken_arguments_are_kept(tmp_path: Path):
    """Ids may repeat and arguments may be no JSON object: the call stays, with its text in `raw`."""
    calls = [{"id": "c", "type": "function", "function": {"name": "book", "arguments": text}} for text in ('{"a": 1}', '{"a": ', "[1]")]
    (run,) = conversations(tmp_path, {"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]})
    assert [(call.call_id, call.arguments, call.raw) for call in run.messages[0].tool_calls] == [
        ("c", {"a": 1}, None),
        ("c", None, '{"a": '),
        ("c", None, "[1]"),
    ]


def test_other_names_for_roles_are_known(tmp_path: Path):
    """human, ai and function are user, assistant and tool; a role that is a speaker's name is that speaker, assistant or terminal."""
    roles = ["human", "ai", "function", "developer", "Orchestrator (-> WebSurfer)", "ComputerTerminal"]
    (run,) = conversations(tmp_path, {"messages": [{"role": role, "content": "x"} for role in roles]})
    assert [message.role for message in run.messages] == ["user", "assistant", "tool", "system", "assistant", "tool"]
    assert [message.name for message in run.messages][-2:] == ["Orchestrator", "ComputerTerminal"]


def test_an_item_that_is_no_message_keeps_its_place(tmp_path: Path):
    """A step is its message's index, so an item that is no message stays as text at its index, and a skip says so."""
    source = written(tmp_path, "log.json", json.dumps({"messages": [{"role": "user", "content": "a"}, 5, {"role": "ai", "content": "b"}]}).encode())
    run, skip = chat_log.collect(source)
    assert isinstance(run, Conversation)
    assert [message.content for message in run.messages] == ["a", "5", "b"]
    assert isinstance(skip, Skip)
    assert "message 1" in skip.reason


# ---- real files


@pytest.mark.parametrize("dialect", ["openinference", "traceloop", "langsmith", "genai"])
def test_every_span_of_a_recorded_agent_is_read(dialect: str):
    """Each instrumentor's file of the same LangGraph agent is read without a skip, span for span."""
    for path in shared("langgraph", f"{dialect}.otlp.jsonl"):
        wanted = [
            one["spanId"]
            for line in path.read_text("utf-8").splitlines()
            for resource_spans in json.loads(line)["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"]
            for one in scope_spans["spans"]
        ]
        assert [record.span_id if isinstance(record, Span) else record for record in otlp.collect(Source(path))] == wanted


@pytest.mark.parametrize("name", ["agentdojo", "intercode", "swe_agent", "tau2_bench", "tau_bench", "who_and_when"])
def test_every_run_of_a_detection_set_is_a_conversation(name: str):
    """Every run of the labelled sets becomes a Conversation with its id, its messages and its tool calls, none lost and none skipped."""
    (path,) = shared("detection", "unified", f"{name}.jsonl.xz")
    runs = chat_log.collect(Source(path))
    count = 0
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line, run in zip(lines, runs, strict=True):
            raw = json.loads(line)
            assert isinstance(run, Conversation), run
            assert (run.run_id, len(run.messages)) == (raw["run_id"], len(raw["messages"]))
            assert [message.content for message in run.messages] == [message["content"] for message in raw["messages"]]
            assert [len(message.tool_calls) for message in run.messages] == [len(message.get("tool_calls") or ()) for message in raw["messages"]]
            count += 1
    assert count > 50


def test_files_of_other_projects_are_known_by_their_collectors_alone():
    """The raw logs of five benchmarks are read as conversations; exports of Jaeger, Langfuse and flat spans by the one collector for each."""
    accepted = {path.name: [name for name, collector in collectors().items() if collector.accepts(Source(path))] for path in shared("sample", "*", "*.json")}
    exports = {name: names for name, names in accepted.items() if names != ["chat-log"]}
    assert exports == {
        "openinference_smolagents_spans.json": ["flat-spans"],
        "langfuse_langgraph-python.trace.json": ["langfuse"],
        "jaeger_adk_k8s-agent.json": ["jaeger"],
    }
    assert len(accepted) - len(exports) == 9


def test_one_enormous_message_is_cut_and_said(tmp_path: Path) -> None:
    """A small compressed file with a message of gigabytes is bounded like a span's attribute, and the cut is counted."""
    path = tmp_path / "bomb.jsonl.gz"
    text = "a" * (17 * 1024 * 1024)
    path.write_bytes(gzip.compress(json.dumps({"run_id": "r", "messages": [{"role": "user", "content": text}]}).encode()))
    conversation, skip = collectors()["chat-log"].collect(Source(path))
    assert len(conversation.messages[0].content) == 16 * 1024 * 1024
    assert skip.reason == "run r, message 0: 17,825,792 characters cut to 16,777,216"


def test_a_span_that_ends_before_it_starts_loses_its_end_and_that_is_said(tmp_path: Path) -> None:
    """A negative duration is never stored: the end is left out, counted, with its place."""
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "late", "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1700000000000000000"}
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))
    read, skip = collectors()["otlp"].collect(Source(path))
    assert (read.start_ns, read.end_ns) == (1790000000000000000, None)
    assert "before its start" in skip.reason


def test_scores_of_a_langfuse_export_join_their_trace(tmp_path: Path):
    """Scores in a file of their own stand at the trace's topmost observation, whichever file came first, each once; none is a span of the run."""
    seen = {"trace_id": "t", "project_id": "p"}
    root = {**seen, "id": "r", "type": "AGENT", "name": "travel", "start_time": "2026-03-01 09:00:00.000", "parent_observation_id": None}
    given = {**seen, "timestamp": "2026-03-01 09:00:05.000", "name": "helpful", "source": "EVAL", "data_type": "NUMERIC"}
    scores = [{**given, "id": "s1", "observation_id": None, "value": 1}, {**given, "id": "s2", "observation_id": "r", "value": 0}]
    for number, name in enumerate(("observations", "scores")):
        lines = [root] if name == "observations" else [*scores, scores[0]]
        written(tmp_path, f"{number}.jsonl", "\n".join(map(json.dumps, lines)).encode())
    spans = [span for name in ("1.jsonl", "0.jsonl") for span in langfuse.collect(Source(tmp_path / name)) if isinstance(span, Span)]
    (top,) = without_wholes(spans)
    assert (top.name, [score["id"] for score in top.attributes["langfuse.scores"]]) == ("travel", ["s1", "s2"])
    (run,) = normalise(spans, [])
    assert (run.span_count, run.root_name) == (1, "travel")
