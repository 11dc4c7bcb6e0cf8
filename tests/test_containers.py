"""The containers spans come in: the same spans whatever they were exported to, known by their keys, bounded against bombs."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import zstandard
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from collectors import clickhouse, langfuse, langsmith, mlflow, otlp, phoenix
from workbench import source as sources
from workbench.collection import collector_of, ingest
from workbench.model import Json, Log, Record, Skip, Span
from workbench.normalise import normalise
from workbench.outline import having, outline
from workbench.reading import footers
from workbench.reading.tables import parquet_rows
from workbench.semconv import read
from workbench.source import Source, SourceError
from workbench.store import Store

TRACE = "0af7651916cd43dd8448eb211c80319c"
ROOT, CALL = "00a7ad6b71692033", "b7ad6b7169203331"
START = 1_772_355_600_000_000_000
END = START + 1_500_000_000
ATTRIBUTES: dict[str, Json] = {"gen_ai.operation.name": "chat", "gen_ai.conversation.id": "t", "gen_ai.usage.input_tokens": 12, "finish": ["stop"]}
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "spans"


def written(folder: Path, name: str, content: bytes | Json) -> Source:
    """A file with this content, or with this value as JSON."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return Source(path)


def collected(source: Source) -> list[Record]:
    """What the collector that accepts a file yields of it."""
    collector = collector_of(source)
    assert collector is not None
    return list(collector.collect(source))


def spans_in(source: Source) -> list[Span]:
    """The spans of a file that holds nothing else."""
    found = collected(source)
    assert all(isinstance(record, Span) for record in found), found
    return [record for record in found if isinstance(record, Span)]


# ---- one trace, in every container


def iso(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat()


def b64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def wrapped(value: Json) -> dict[str, Json]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [wrapped(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def as_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_otlp(parent: str | None, span_id: str) -> Json:
    pairs = [{"key": key, "value": wrapped(value)} for key, value in ATTRIBUTES.items()]
    times = {"startTimeUnixNano": str(START), "endTimeUnixNano": str(END)}
    return {
        "traceId": TRACE,
        "spanId": span_id,
        "parentSpanId": parent or "",
        "name": "chat",
        "status": {"code": 2, "message": "m"},
        "attributes": pairs,
        **times,
    }


def as_jaeger(parent: str | None, span_id: str) -> Json:
    tags = [{"key": key, "type": "int64" if isinstance(value, int) else "string", "value": as_text(value)} for key, value in ATTRIBUTES.items()]
    tags += [{"key": "otel.status_code", "type": "string", "value": "ERROR"}, {"key": "otel.status_description", "type": "string", "value": "m"}]
    references = [{"refType": "CHILD_OF", "traceID": TRACE.lstrip("0"), "spanID": parent.lstrip("0")}] if parent else []
    ids = {"traceID": TRACE.lstrip("0"), "spanID": span_id.lstrip("0"), "processID": "p1"}
    return {**ids, "operationName": "chat", "references": references, "startTime": START // 1000, "duration": (END - START) // 1000, "tags": tags}


def as_zipkin(parent: str | None, span_id: str) -> Json:
    tags = {key: as_text(value) for key, value in ATTRIBUTES.items()} | {"otel.status_code": "ERROR", "error": "m"}
    times = {"timestamp": START // 1000, "duration": (END - START) // 1000}
    return {"traceId": TRACE, "id": span_id, **({"parentId": parent} if parent else {}), "name": "chat", "tags": tags, **times}


def as_printed(parent: str | None, span_id: str) -> Json:
    context = {"trace_id": f"0x{TRACE}", "span_id": f"0x{span_id}"}
    status = {"status_code": "ERROR", "description": "m"}
    return {"name": "chat", "context": context, "parent_id": parent, "start_time": iso(START), "end_time": iso(END), "status": status, "attributes": ATTRIBUTES}


def as_phoenix(parent: str | None, span_id: str) -> Json:
    states = {"span_kind": "UNKNOWN", "status_code": "ERROR", "status_message": "m"}
    context = {"trace_id": TRACE, "span_id": span_id}
    return {
        "name": "chat",
        "context": context,
        **states,
        "parent_id": parent,
        "start_time": iso(START),
        "end_time": iso(END),
        "attributes": ATTRIBUTES,
        "events": [],
    }


def as_mlflow(parent: str | None, span_id: str) -> Json:
    times = {"start_time_unix_nano": START, "end_time_unix_nano": END}
    attributes = {key: json.dumps(value) for key, value in ATTRIBUTES.items()}
    ids = {"trace_id": b64(TRACE), "span_id": b64(span_id), "parent_span_id": b64(parent) if parent else None}
    return {**ids, "name": "chat", "status": {"code": "STATUS_CODE_ERROR", "message": "m"}, "attributes": attributes, **times}


def as_langfuse(parent: str | None, span_id: str) -> Json:
    ids = {"id": span_id, "traceId": TRACE, "parentObservationId": parent}
    metadata = json.dumps({"attributes": ATTRIBUTES})
    return {**ids, "type": "SPAN", "name": "chat", "startTime": iso(START), "endTime": iso(END), "level": "ERROR", "statusMessage": "m", "metadata": metadata}


def as_clickhouse(parent: str | None, span_id: str) -> Json:
    at = datetime.fromtimestamp(START / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f000")
    attributes = {key: as_text(value) for key, value in ATTRIBUTES.items()}
    ids = {"TraceId": TRACE, "SpanId": span_id, "ParentSpanId": parent or ""}
    return {**ids, "SpanName": "chat", "Timestamp": at, "Duration": END - START, "StatusCode": "Error", "StatusMessage": "m", "SpanAttributes": attributes}


CONTAINERS: dict[str, tuple[Callable[[str | None, str], Json], Callable[[list[Json]], Json]]] = {
    "otlp": (as_otlp, lambda spans: {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}),
    "tempo": (as_otlp, lambda spans: {"batches": [{"instrumentationLibrarySpans": [{"spans": spans}]}]}),
    "jaeger": (as_jaeger, lambda spans: {"data": [{"traceID": TRACE.lstrip("0"), "processes": {"p1": {"serviceName": "s"}}, "spans": spans}]}),
    "zipkin": (as_zipkin, lambda spans: spans),
    "printed": (as_printed, lambda spans: spans),
    "phoenix": (as_phoenix, lambda spans: {"next_cursor": None, "data": spans}),
    "mlflow": (as_mlflow, lambda spans: {"info": {"trace_metadata": {}}, "data": {"spans": spans}}),
    "langfuse": (as_langfuse, lambda spans: {"trace": {"id": TRACE, "projectId": "p", "timestamp": iso(START)}, "observations": spans}),
    "clickhouse": (as_clickhouse, lambda spans: {"meta": [], "data": spans, "rows": 2}),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_trace_is_the_same_in_every_container(container: str, tmp_path: Path):
    """Ids, parent, name, times and state of a span come out alike from every container, and so does what the conventions make of it."""
    shape, around = CONTAINERS[container]
    root, call = spans_in(written(tmp_path, "spans.json", around([shape(None, ROOT), shape(ROOT, CALL)])))
    assert (root.trace_id, root.span_id, root.parent_span_id) == (TRACE, ROOT, None)
    assert (call.trace_id, call.span_id, call.parent_span_id) == (TRACE, CALL, ROOT)
    assert (call.name, call.start_ns, call.end_ns, call.status, call.status_message) == ("chat", START, END, "error", "m")
    assert call.attributes["finish"] == ["stop"]
    reading = read(call)
    assert (reading.kind, reading.conversation_id, reading.tokens.input, reading.error) == ("model", "t", 12, "m")


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name not in {"otlp", "tempo"}])
def test_a_container_is_known_whatever_the_order_of_its_keys(container: str, tmp_path: Path):
    """Keys in any order, a prompt of a hundred kilobytes before them, and any white space leave a container known by its own collector alone."""
    shape, around = CONTAINERS[container]
    span = shape(None, ROOT)
    plain = written(tmp_path, "plain.json", around([span]))
    large = next(key for key in ("attributes", "SpanAttributes", "tags", "metadata") if key in span)
    padding = '"}{[ x' * 20_000
    value = span[large]
    padded = (
        [*value, {"key": "x", "type": "string", "value": padding}] if isinstance(value, list) else {**value, "x": padding} if isinstance(value, dict) else value
    )
    last_first = {large: padded} | {key: span[key] for key in reversed(span) if key != large}
    laid_out = json.dumps(around([last_first]), indent=3).replace("\n", "\r\n").encode()
    odd = written(tmp_path, "odd.json", b"\xef\xbb\xbf \n" + laid_out)
    first, second = collector_of(plain), collector_of(odd)
    assert first is not None
    assert second is not None
    assert first.name == second.name
    assert [one.span_id for one in spans_in(odd)] == [ROOT]


def test_the_outline_stops_at_the_first_object():
    """Only the first document, or the first item of a list, tells what a file is; text inside strings never does."""
    assert outline(b'{"a": {"b": "\\"c\\": {"}} {"d": 1}') == {("", "a"), ("a", "b")}
    assert outline(b'[{"a": 1}, {"b": 2}]') == {("[]", "a")}
    assert outline(b'{"a": [{"b": [{"c": {"too deep": 1}}]}, {"d": 2}]') == {("", "a"), ("a[]", "b"), ("a[].b[]", "c"), ("a[]", "d")}
    assert outline(b'{"a": "breaks off in a string with {\\"b\\": 1') == {("", "a")}
    assert outline(b"[" * 100_000) == frozenset()
    assert having(outline(b'{"x": {"a": 1, "b": 2}, "y": {"a": 1}}'), "a", "b") == {"x"}


# ---- bounds


def test_a_compressed_message_is_read_no_further_than_a_line_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A small zstd message that unpacks past the limit is skipped with the limit named, and the message after it is read."""
    monkeypatch.setattr(otlp, "MAX_LINE_BYTES", 100_000)
    compress = zstandard.ZstdCompressor().compress
    request = json.dumps(CONTAINERS["otlp"][1]([as_otlp(None, ROOT)])).encode()
    bomb = compress(request[:-1] + b" " * 10_000_000 + b"}")
    assert len(bomb) < 2_000
    messages = [compress(request), bomb, compress(request)]
    found = collected(written(tmp_path, "spans", b"".join(len(one).to_bytes(4, "big") + one for one in messages)))
    assert [type(record) for record in found] == [Span, Skip, Span]
    assert isinstance(found[1], Skip)
    assert "unpacks to more than 100,000 bytes" in found[1].reason


def test_a_file_compressed_as_a_whole_is_read_in_bounded_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A zstd file of several frames is one stream; a document in it that unpacks past the limit is a SourceError that names the limit."""
    compress = zstandard.ZstdCompressor().compress
    lines = [json.dumps(CONTAINERS["otlp"][1]([as_otlp(None, one)])).encode() + b"\n" for one in (ROOT, CALL)]
    assert [one.span_id for one in spans_in(written(tmp_path, "two.zst", b"".join(map(compress, lines))))] == [ROOT, CALL]
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 1_000_000)
    bomb = written(tmp_path, "bomb.zst", compress(b'{\n"resourceSpans": [' + b" " * 3_000_000 + b"]}"))
    with pytest.raises(SourceError, match="more than 1,000,000 bytes"):
        list(otlp.collect(bomb))


INGEST_AND_TELL_PEAK = """
import json, resource, sys
from pathlib import Path
from workbench.collection import ingest, redactor_of
from workbench.store import Store
with Store.open(Path(sys.argv[1])) as store:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    summary = ingest(store, [Path(sys.argv[2])], redactor=redactor_of(store))
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"bytes": kilobytes * 1024, "skips": summary.skips_told(), "runs": len(store.run_ids())}))
"""


def of_one_attribute(container: str, text: str) -> bytes:
    """A request of one span with this text, as OTLP's JSON document, JSON line or protobuf, and a second line."""
    own: dict[str, Json] = {"traceId": TRACE, "spanId": CALL, "name": "chat", "startTimeUnixNano": str(START), "endTimeUnixNano": str(END)}
    own["attributes"] = [{"key": "input.value", "value": {"stringValue": text}}]
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [own]}]}]}
    if container == "protobuf":  # whose JSON, other than OTLP's, has ids in base64
        of_bytes = {"traceId": base64.b64encode(bytes.fromhex(TRACE)).decode(), "spanId": base64.b64encode(bytes.fromhex(CALL)).decode()}
        return ParseDict({"resourceSpans": [{"scopeSpans": [{"spans": [own | of_bytes]}]}]}, TracesData()).SerializeToString()
    other = {"resourceSpans": [{"scopeSpans": [{"spans": [own | {"attributes": []}]}]}]}
    return json.dumps(document, indent=1).encode() if container == "document" else f"{json.dumps(document)}\n{json.dumps(other)}\n".encode()


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ("document", "input.value of span b7ad6b7169203331: 100,000,000 characters cut to 16,777,216"),
        ("protobuf", "input.value of span b7ad6b7169203331: 100,000,000 characters cut to 16,777,216"),
        ("lines", "a line of more than 67,108,864 bytes"),
    ],
)
def test_an_attribute_of_a_hundred_megabytes_is_cut_or_skipped_in_bounded_memory(container: str, said: str, tmp_path: Path):
    """The rest of its span, or of its file, becomes a run; reading takes at most twelve times the attribute (a process of its own measures its peak)."""
    size = 100_000_000
    (tmp_path / "huge").write_bytes(of_one_attribute(container, "x" * size))
    command = [sys.executable, "-c", INGEST_AND_TELL_PEAK, tmp_path / "w.db", tmp_path / "huge"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    told = json.loads(subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert [said in one for one in told["skips"]] == [True]
    assert told["runs"] == 1
    assert told["bytes"] < 12 * size


def test_a_cut_off_compressed_file_keeps_its_whole_lines_and_says_so(tmp_path: Path):
    """Wherever a zstd file breaks off, the lines before are read and the break is said, also where it falls between two lines."""
    lines = [json.dumps(CONTAINERS["otlp"][1]([as_otlp(None, one)])).encode() + b"\n" for one in map("{:016x}".format, range(1, 51))]
    packer = zstandard.ZstdCompressor().compressobj()
    begun = packer.compress(b"".join(lines)) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    found = collected(written(tmp_path, "cut.zst", begun))
    assert [type(record) for record in found] == [Span] * 50 + [Skip]
    assert isinstance(found[-1], Skip)
    assert "cut off or damaged" in found[-1].reason
    with pytest.raises(SourceError, match="cut off or damaged"):
        _ = written(tmp_path, "damaged.zst", begun[:6] + bytes(range(200)) + begun[206:]).head


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_nesting_bomb_is_no_crash(container: str, tmp_path: Path):
    """A span whose attributes are nested a hundred thousand deep makes its file unreadable, with the depth named, whatever the container."""
    shape, around = CONTAINERS[container]
    text = json.dumps(around([shape(None, ROOT), {"bomb": "HERE"}])).encode().replace(b'"HERE"', b"[" * 100_000 + b"]" * 100_000)
    source = written(tmp_path, "bomb.json", text)
    (skip,) = collected(source)
    assert isinstance(skip, Skip)
    assert "nested deeper than" in skip.reason


def pair(shape, around, *spans: tuple[str | None, str]) -> str:
    return json.dumps(around([shape(parent, span_id) for parent, span_id in spans]))


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


LATE = ((str(START), str(2**63 - 1)), (str(START // 1000), str((2**63 - 1) // 1000)), (iso(START), "2262-04-11T23:47:16+00:00"))
EARLY = ((str(START), "5"), (str(START // 1000), "5"), (iso(START), "1970-01-01T00:00:00+00:00"))
WRONG = ((ROOT, "xyz"), (ROOT.lstrip("0"), "xyz"), (b64(ROOT), "xyz"))
FAULTS: dict[str, Callable[..., bytes]] = {
    "invalid UTF-8": lambda *of: pair(*of, (None, ROOT)).encode().replace(b'"chat"', b'"ch\xffat"'),
    "an id of the wrong length": lambda *of: replaced(pair(*of, (None, ROOT)), *WRONG).encode(),
    "a time of 2262": lambda *of: replaced(pair(*of, (None, ROOT)), *LATE).encode(),
    "a time of 1970": lambda *of: replaced(pair(*of, (None, ROOT)), *EARLY).encode(),
    "parents in a circle": lambda *of: pair(*of, (CALL, ROOT), (ROOT, CALL)).encode(),
    "one id twice": lambda *of: replaced(pair(*of, (None, ROOT), (None, CALL)), (CALL, ROOT), (b64(CALL), b64(ROOT)), (CALL.lstrip("0"), ROOT)).encode(),
    "a text of megabytes": lambda *of: pair(*of, (None, ROOT)).replace('"stop"', f'"{"x" * 17_000_000}"').encode(),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_what_is_wrong_with_a_span_is_kept_or_said_with_its_place(container: str, fault: str, tmp_path: Path):
    """Whatever the container, something of the file is stored or a skip names the place, the store is whole, and its runs can be read."""
    source = written(tmp_path, "odd.json", FAULTS[fault](*CONTAINERS[container]))
    with Store.open(tmp_path / "w.db") as store:
        done = ingest(store, [source.path])
        (file,) = done.files
        assert file.new or file.skipped
        assert all(str(source.path) in skip.place for skip in file.skips)
        assert store.verify() == []
        assert len(list(store.runs())) == len(done.runs) <= 2


# ---- OTLP logs


def test_a_log_takes_the_time_it_was_observed_where_it_has_no_other(tmp_path: Path):
    """The time it happened wins; 0 is no time; a name may stand in the attribute event.name, and a body be nested values."""
    ids = {"traceId": TRACE, "spanId": CALL}
    body = {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "hi"}}]}}
    records = [
        {**ids, "timeUnixNano": str(START), "observedTimeUnixNano": str(END), "eventName": "gen_ai.user.message", "body": body},
        {**ids, "timeUnixNano": "0", "observedTimeUnixNano": str(END), "attributes": [{"key": "event.name", "value": {"stringValue": "gen_ai.choice"}}]},
        {"timeUnixNano": str(START), "body": {"stringValue": "of no span"}},
    ]
    first, second, skip = collected(written(tmp_path, "logs.jsonl", {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}))
    assert first == Log(trace_id=TRACE, span_id=CALL, name="gen_ai.user.message", at_ns=START, body={"content": "hi"})
    assert isinstance(second, Log)
    assert (second.name, second.at_ns, second.body) == ("gen_ai.choice", END, None)
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.count) == ("a log record outside any span", 1)


# ---- what single containers do


def test_phoenix_attributes_are_put_together_again(tmp_path: Path):
    """`metadata.*` is one object again, and a dataframe's nested messages are flattened as OpenInference writes them."""
    row = {
        "name": "n",
        "span_kind": "LLM",
        "start_time": START // 1_000_000,
        "context.trace_id": TRACE,
        "context.span_id": CALL,
        "attributes.metadata": {"thread_id": "t"},
        "attributes.llm.input_messages": [{"message.role": "user", "message.tool_calls": [{"tool_call.id": "c"}]}, {"message": {"role": "user"}}],
        "attributes.llm.token_count.total": None,
    }
    (span,) = spans_in(written(tmp_path, "rows.jsonl", row))
    assert span.start_ns == START
    assert span.attributes == {
        "metadata": {"thread_id": "t"},
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.tool_calls.0.tool_call.id": "c",
        "llm.input_messages.1.message.role": "user",
        "openinference.span.kind": "LLM",
    }
    (rest,) = spans_in(written(tmp_path, "rest.json", {"data": [as_phoenix(None, ROOT) | {"attributes": {"metadata.a.b": 1, "metadata.c": [2]}}]}))
    assert rest.attributes == {"metadata": {"a": {"b": 1}, "c": [2]}}
    assert phoenix.accepts(Source(tmp_path / "rest.json"))


def test_mlflow_keeps_what_is_known_of_the_whole_trace_on_its_root(tmp_path: Path):
    """Session and summed tokens are attributes of the root alone; every attribute is decoded once, and no more."""
    spans = [as_mlflow(None, ROOT), as_mlflow(ROOT, CALL) | {"attributes": {"mlflow.spanType": '"TOOL"', "twice": '"{\\"a\\": 1}"', "plain": "{no json"}}]
    info = {"trace_metadata": {"mlflow.trace.session": "t", "mlflow.trace.tokenUsage": '{"input_tokens": 3}', "mlflow.traceInputs": "{}"}}
    root, call = spans_in(written(tmp_path, "t.jsonl", {"data": {"spans": spans}, "info": info}))
    assert (root.attributes["mlflow.trace.session"], root.attributes["mlflow.trace.tokenUsage"]) == ("t", {"input_tokens": 3})
    assert call.attributes == {"mlflow.spanType": "TOOL", "twice": '{"a": 1}', "plain": "{no json"}
    assert mlflow.accepts(Source(tmp_path / "t.jsonl"))


def test_a_langfuse_trace_told_in_another_file_is_no_span(tmp_path: Path):
    """The API's two pages come to the run that one file tells, whichever is read first: session and user are known, and nothing is left running."""
    whole = {"id": TRACE, "projectId": "p", "timestamp": iso(START), "name": "agent", "sessionId": "s-1", "userId": "ana", "scores": []}
    pages = {
        "traces.json": [whole | {"observations": [ROOT, CALL]}],
        "observations.json": [as_langfuse(*ids) | {"metadata": None, "level": "DEFAULT"} for ids in ((None, ROOT), (ROOT, CALL))],
    }
    paths = [tmp_path / name for name in pages]
    for path, rows in zip(paths, pages.values(), strict=True):
        path.write_text(json.dumps({"data": rows, "meta": {"page": 1}}))
    told = []
    for name, order in (("together.db", [paths]), ("before.db", [[path] for path in paths]), ("after.db", [[path] for path in paths[::-1]])):
        with Store.open(tmp_path / name) as store:
            for given in order:
                ingest(store, given)
            told += [(run.run_id, run.status, run.span_count, run.root_name, run.metadata) for run in store.runs()]
    assert told == [("s-1", "ok", 2, told[0][3], {"user.id": "ana"})] * 3


def test_a_langfuse_trace_without_observations_is_a_run_that_ended_as_it_says(tmp_path: Path):
    """A trace's record stands for the trace while nothing else of it is known; it ended after its latency, which is in seconds."""
    whole = {"id": TRACE, "projectId": "p", "timestamp": iso(START), "name": "agent", "sessionId": "s-1", "observations": ["a"], "latency": 1.5}
    (one,) = spans_in(written(tmp_path, "t.json", {"data": [whole]}))
    assert (one.name, one.end_ns - one.start_ns) == ("agent", 1_500_000_000)
    (run,) = normalise([one], [])
    assert (run.run_id, run.status, run.span_count) == ("s-1", "ok", 1)


def test_a_damaged_parquet_file_is_said_to_be_damaged(tmp_path: Path):
    """It is no file of unknown format: what is wrong with it is the reason of its skip, in a folder too."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "spans.parquet").write_bytes(clickhouse_parquet()[:-9])
    with Store.open(tmp_path / "w.db") as store:
        summary = ingest(store, [tmp_path / "in"])
    assert (summary.skipped, summary.nothing_read) == (1, True)
    assert summary.skips_told()[0].startswith("skipped 1 × Parquet, cut off or damaged: ")


def test_langfuse_zeros_that_stand_for_nothing_are_not_recorded(tmp_path: Path):
    """Counts of 0 without any details are left out; with details they are what was recorded; scores stand where they were given."""
    call = as_langfuse(ROOT, CALL) | {"type": "GENERATION", "metadata": "{}", "totalCost": 0, "usageDetails": {}, "usage": {"input": 0, "unit": "TOKENS"}}
    free = as_langfuse(ROOT, "1234567890abcdef") | {
        "type": "GENERATION",
        "metadata": None,
        "costDetails": {"total": 0},
        "usageDetails": {"input": 5, "output": 0},
    }
    scores = [{"name": "a", "value": 1, "observationId": None}, {"name": "b", "value": 0, "observationId": CALL}]
    trace = {"id": TRACE, "projectId": "p", "timestamp": iso(START), "sessionId": "t", "scores": scores}
    root, unknown, nothing = spans_in(written(tmp_path, "t.json", {"trace": trace, "observations": [as_langfuse(None, ROOT), call, free]}))
    assert (read(unknown).kind, read(unknown).cost_usd, read(unknown).tokens.input) == ("model", None, None)
    assert (read(nothing).cost_usd, read(nothing).tokens.input, read(nothing).tokens.output) == (0.0, 5, 0)
    assert [score["name"] for score in root.attributes["langfuse.scores"]] == ["a"]
    assert [score["name"] for score in unknown.attributes["langfuse.scores"]] == ["b"]
    assert (read(root).conversation_id, root.attributes["langfuse.trace.sessionId"]) == ("t", "t")
    assert langfuse.accepts(Source(tmp_path / "t.json"))


LANGSMITH_ROOT = "0af76519-16cd-43dd-8448-eb211c80319c"


def langsmith_runs() -> list[dict[str, Json]]:
    """A LangGraph run, a model call and a tool call of it, as LangSmith's API tells them."""
    of_root = {"trace_id": LANGSMITH_ROOT, "parent_run_id": LANGSMITH_ROOT, "start_time": iso(START), "end_time": iso(END), "status": "success"}
    message = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"], "kwargs": {"content": "", "tool_calls": [TOOL_CALL]}}
    model = {
        **of_root,
        "id": "1af76519-16cd-43dd-8448-eb211c80319c",
        "name": "ChatOpenAI",
        "run_type": "llm",
        "inputs": {"messages": [[{"type": "constructor", "id": ["HumanMessage"], "kwargs": {"content": "Weather?"}}]]},
        "outputs": {"generations": [[{"text": "", "message": message}]]},
        "extra": {"metadata": {"ls_model_name": "gpt-x", "thread_id": "t"}, "invocation_params": {"tools": [{"function": {"name": "get_weather"}}]}},
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "total_cost": "0.001",
    }
    tool = {
        **of_root,
        "id": "2af76519-16cd-43dd-8448-eb211c80319c",
        "name": "get_weather",
        "run_type": "tool",
        "inputs": {"input": "{'city': 'Paris'}"},
        "outputs": {"output": {"type": "tool", "content": "rain", "tool_call_id": "c1", "status": "success"}},
    }
    root = {**of_root, "id": LANGSMITH_ROOT, "parent_run_id": None, "name": "LangGraph", "run_type": "chain", "inputs": {}, "extra": {}}
    return [root, model, tool]


TOOL_CALL = {"name": "get_weather", "args": {"city": "Paris"}, "id": "c1", "type": "tool_call"}


def test_langsmith_runs_are_read_alike_flat_and_nested(tmp_path: Path):
    """One run a line, and runs nested under `child_runs` that don't repeat where they belong, give the same spans and the same readings."""
    root, model, tool = langsmith_runs()
    flat = spans_in(written(tmp_path, "runs.jsonl", b"\n".join(json.dumps(run).encode() for run in (root, model, tool))))
    bare = [{key: value for key, value in run.items() if key not in {"trace_id", "parent_run_id"}} for run in (model, tool)]
    nested = spans_in(written(tmp_path, "run.json", root | {"child_runs": bare}))
    assert nested == flat
    assert {span.trace_id for span in flat} == {TRACE}
    assert flat[1].parent_span_id == flat[2].parent_span_id == flat[0].span_id
    called, executed = read(flat[1]), read(flat[2])
    assert (called.kind, called.model, called.conversation_id, called.tools, called.cost_usd) == ("model", "gpt-x", "t", ("get_weather",), 0.001)
    assert called.tokens.model_dump(exclude_none=True) == {"input": 7, "output": 3, "total": 10}
    assert called.output is not None
    assert called.output.tool_calls[0].arguments == {"city": "Paris"}
    assert (executed.kind, executed.tool_name, executed.arguments, executed.call_id, executed.result) == (
        "tool",
        "get_weather",
        {"city": "Paris"},
        "c1",
        "rain",
    )


# ---- Parquet


def parquet(rows: list[dict[str, Json]], **columns: pl.Expr) -> bytes:
    """Rows as a Parquet file, with some columns made by expressions."""
    stream = io.BytesIO()
    pl.DataFrame(rows).with_columns(**columns).write_parquet(stream)
    return stream.getvalue()


def as_csv(rows: list[dict[str, Json]], delimiter: str = ",") -> bytes:
    """Rows as pandas writes CSV: Python's own text of every value, nothing for None."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return stream.getvalue().encode()


def by_columns(rows: list[dict[str, Json]]) -> bytes:
    """Rows as pandas' `to_json` writes them when it isn't told otherwise."""
    return json.dumps({name: {str(number): row[name] for number, row in enumerate(rows)} for name in rows[0]}).encode()


def test_a_dataframe_of_phoenix_reads_alike_however_it_was_written(tmp_path: Path):
    """Parquet, CSV, TSV and pandas' columns give the spans that the rows give one a line; a literal of Python's is read and never evaluated."""
    messages = [{"message.role": "user", "message.content": 'Book "NH 11",\nnow'}, {"message.role": "assistant", "message.content": "it's done"}]
    row = {"name": "chat", "span_kind": "LLM", "parent_id": None, "start_time": "2026-03-01T09:00:00+00:00", "end_time": "2026-03-01T09:00:01+00:00"}
    row |= {"status_code": "OK", "context.trace_id": TRACE, "context.span_id": ROOT, "attributes.llm.input_messages": messages}
    rows = [row, row | {"context.span_id": CALL, "parent_id": ROOT, "attributes.input.value": '{"a": 1}'}]
    rows = [{"attributes.input.value": None, **one} for one in rows]
    want = spans_in(written(tmp_path, "rows.jsonl", b"\n".join(json.dumps(one).encode() for one in rows)))
    assert [message.content for message in read(want[0]).messages] == [one["message.content"] for one in messages]
    forms = {"a.parquet": parquet(rows), "a.csv": as_csv(rows), "a.tsv": as_csv(rows, "\t"), "columns.json": by_columns(rows)}
    for name, content in forms.items():
        assert spans_in(written(tmp_path, name, content)) == want, name


def test_a_dataframe_of_mlflow_reads_alike_however_it_was_written(tmp_path: Path):
    """`search_traces` gives a row a trace, whose spans and metadata are JSON text in Parquet and pandas' columns, and Python's in CSV."""
    spans = [as_mlflow(None, ROOT), as_mlflow(ROOT, CALL)]
    info = {"trace_metadata": {"mlflow.trace.session": "t"}}
    want = spans_in(written(tmp_path, "t.jsonl", {"data": {"spans": spans}, "info": info}))
    plain = {"trace_id": f"tr-{TRACE}", "state": "OK", "spans": spans, "trace_metadata": info["trace_metadata"]}
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in plain.items()}
    for name, content in {"a.parquet": parquet([told]), "a.csv": as_csv([plain]), "columns.json": by_columns([told])}.items():
        assert spans_in(written(tmp_path, name, content)) == want, name


def test_clickhouse_tables_of_text_give_the_spans_of_its_rows(tmp_path: Path):
    """CSV, TSV and JSONCompactEachRow, with the columns' types or without, name their columns in the first line."""
    row = {"Timestamp": "2026-03-01 09:00:00.000000001", "TraceId": TRACE, "SpanId": ROOT, "SpanName": "chat", "Duration": "5"}
    row |= {"SpanAttributes": {"gen_ai.operation.name": "chat", "said": 'it\'s [{"a": 1}]'}, "Events.Name": ["e"], "Events.Attributes": [{"b": "c"}]}
    want = spans_in(written(tmp_path, "rows.jsonl", row))
    compact = [json.dumps(one).encode() for one in (list(row), list(row.values()))]
    typed = [compact[0], json.dumps(["String"] * len(row)).encode(), compact[1]]
    forms = {"a.csv": as_csv([row]), "a.tsv": as_csv([row], "\t"), "compact.jsonl": b"\n".join(compact), "typed.jsonl": b"\n".join(typed)}
    for name, content in forms.items():
        assert spans_in(written(tmp_path, name, content)) == want, name


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"a,b,c\n1,2,3\n", b"trace, of: a!, program\n", b"", b"[1, 2]\n"])
def test_a_table_of_something_else_is_claimed_by_nobody(content: bytes, tmp_path: Path):
    """Only a table with the columns of a format is read as that."""
    assert collector_of(written(tmp_path, "a.csv", content)) is None


def test_clickhouse_rows_are_read_where_their_columns_are_named_once(tmp_path: Path):
    """JSONCompact has the names in `meta` and a list for each row: the spans are those of the same rows as objects."""
    rows = [as_clickhouse(None, ROOT), as_clickhouse(ROOT, CALL)]
    compact = {"meta": [{"name": name, "type": "String"} for name in rows[0]], "data": [list(row.values()) for row in rows], "rows": 2}
    plain, listed = (spans_in(written(tmp_path, f"{name}.json", told)) for name, told in (("plain", {"meta": [], "data": rows}), ("compact", compact)))
    assert listed == plain
    assert [one.span_id for one in listed] == [ROOT, CALL]


def clickhouse_parquet() -> bytes:
    """Two spans as ClickHouse writes Parquet: a map is a list of keys and values, times are of nanoseconds."""
    pairs = [{"key": key, "value": as_text(value)} for key, value in ATTRIBUTES.items()]
    events = {"Events.Timestamp": [START], "Events.Name": ["exception"], "Events.Attributes": [[{"key": "exception.type", "value": "TimeoutError"}]]}
    rows = [as_clickhouse(parent, span_id) | {"SpanAttributes": pairs, "Timestamp": START, **events} for parent, span_id in ((None, ROOT), (ROOT, CALL))]
    return parquet(
        rows, Timestamp=pl.col("Timestamp").cast(pl.Datetime("ns")), **{"Events.Timestamp": pl.col("Events.Timestamp").cast(pl.List(pl.Datetime("ns")))}
    )


def test_clickhouse_rows_are_read_from_parquet(tmp_path: Path):
    """Maps, times of nanoseconds and parallel lists of events come out of Parquet as they do out of JSON."""
    root, call = spans_in(written(tmp_path, "otel_traces.parquet", clickhouse_parquet()))
    assert (root.span_id, call.parent_span_id, call.start_ns, call.end_ns, call.status) == (ROOT, ROOT, START, END, "error")
    assert call.attributes["gen_ai.usage.input_tokens"] == "12"
    assert call.attributes["finish"] == ["stop"]
    (event,) = call.events
    assert (event.name, event.at_ns, event.attributes) == ("exception", START, {"exception.type": "TimeoutError"})
    assert clickhouse.accepts(Source(tmp_path / "otel_traces.parquet"))


def test_a_bulk_export_of_langsmith_is_read_from_parquet(tmp_path: Path):
    """A bulk export keeps objects as JSON text in Parquet; its runs are those of the API."""
    rows = [{key: json.dumps(value) if isinstance(value, dict) else value for key, value in run.items()} for run in langsmith_runs()]
    found = spans_in(written(tmp_path, "runs.parquet", parquet(rows)))
    assert [read(span) for span in found] == [
        read(span) for span in spans_in(written(tmp_path, "runs.jsonl", b"\n".join(json.dumps(run).encode() for run in langsmith_runs())))
    ]
    assert langsmith.accepts(Source(tmp_path / "runs.parquet"))


@settings(derandomize=True, max_examples=60)
@given(data=st.data())
def test_a_damaged_parquet_file_is_an_error_or_fewer_spans(tmp_path: Path, data: st.DataObject):
    """Cut off or with bytes flipped, a Parquet file raises SourceError or yields what it still holds."""
    content = bytearray(clickhouse_parquet())
    for position in data.draw(st.lists(st.integers(4, len(content) - 5), min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    source = written(tmp_path, "spans.parquet", bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))]))
    clickhouse.accepts(source)
    found = until_error(source)
    assert len(found) <= 2
    assert all(isinstance(record, Span | Skip) for record in found)


def until_error(source: Source) -> list[Record]:
    """What a file yields until it can't be read on."""
    found: list[Record] = []
    with contextlib.suppress(SourceError):
        found.extend(clickhouse.collect(source))
    return found


# ---- real files


def shared(*parts: str) -> Path:
    """A file of the corpus beside the repository; the test is skipped, visibly, where it isn't there."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {'/'.join(parts)} beside the repository")
    return path


def test_phoenix_gives_back_the_spans_it_was_sent():
    """Every form of a real Phoenix export tells of each span the conversation, kind, tokens, arguments and times of the OTLP file it was sent."""
    sent = {span.span_id: span for span in spans_in(Source(shared("langgraph-openinference-otlp", "raw", "traces.jsonl")))}
    for name in ("rest_spans.json", "rest_spans_otlpv1.json", "spans_dataframe.jsonl"):
        told = {span.span_id: span for span in spans_in(Source(shared("phoenix-export", "raw", name)))}
        assert told.keys() == sent.keys()
        for key, span in told.items():
            mine, theirs = read(span), read(sent[key])
            fields = ("kind", "conversation_id", "node", "namespace", "model", "tokens", "tools", "tool_name", "arguments", "result", "interrupted")
            assert {field: getattr(mine, field) for field in fields} == {field: getattr(theirs, field) for field in fields}, f"{name} {key}"
            assert span.start_ns is not None
            assert abs(span.start_ns - (sent[key].start_ns or 0)) < 1_000_000


def test_every_span_of_a_real_export_is_read():
    """Jaeger, Langfuse, MLflow and flat exports are read span for span, without a skip."""
    for folder, name, count in (
        ("kagent-adk-jaeger", "helm.json", 96),
        ("langfuse-langgraph-python", "langgraph-python-2025-08-22.trace.json", 9),
        ("langfuse-openai-agents", "openai-agents-2025-09-30.trace.json", 5),
        ("mlflow-langgraph-export", "traces.jsonl", 39),
        ("google-adk-live-flat", "adk_live_spans.json", 7),
        ("openai-agents-openllmetry-live", "spans.json", 17),
    ):
        assert len(spans_in(Source(shared(folder, "raw", name)))) == count


def test_a_parquet_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of a few kilobytes whose pages hold megabytes, or whose one row group has millions of rows, is an error that says how large it is."""
    rows = [as_clickhouse(None, ROOT) | {"SpanName": "a" * 8_000_000}]
    bomb = written(tmp_path, "bomb.parquet", parquet(rows))
    assert bomb.path.stat().st_size < 50_000
    monkeypatch.setattr("workbench.reading.footers.MAX_GROUP_BYTES", 4_000_000)
    with pytest.raises(SourceError, match="row group 0 unpacks to more than 4,000,000 bytes"):
        list(clickhouse.collect(bomb))
    monkeypatch.setattr("workbench.reading.footers.MAX_GROUP_ROWS", 1)
    with pytest.raises(SourceError, match="row group 0 has 2 rows; at most 1 are read at once"):
        list(clickhouse.collect(written(tmp_path, "rows.parquet", clickhouse_parquet())))


def test_a_text_that_a_column_repeats_is_told_once_at_a_time(tmp_path: Path):
    """Two thousand rows that share one text of a megabyte are read within a fraction of the two gigabytes they would be as rows."""
    shared = pl.DataFrame([as_clickhouse(None, ROOT)]).select(pl.all().repeat_by(2_000).explode()).with_columns(SpanName=pl.lit("a" * 1_000_000))
    stream = io.BytesIO()
    shared.write_parquet(stream)
    source = written(tmp_path, "shared.parquet", stream.getvalue())
    tracemalloc.start()
    try:
        assert sum(1 for _ in parquet_rows(source)) == 2_000
        assert tracemalloc.get_traced_memory()[1] < 300_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("groups", [1, 3])
def test_the_sizes_in_a_footer_are_those_that_polars_wrote(tmp_path: Path, groups: int):
    """Every row group and page is found: the unpacked sizes add up to what the texts need, and a file cut off has no sizes."""
    path = tmp_path / "many.parquet"
    pl.DataFrame({"text": [f"{number:08}" for number in range(3_000)]}).write_parquet(path, row_group_size=3_000 // groups)
    with path.open("rb") as stream:
        found = footers._groups(stream)
        assert [group[footers.GROUP_ROWS] for group in found] == [3_000 // groups] * groups
        assert 24_000 < sum(sum(footers._pages(stream, group[footers.COLUMNS][0][footers.CHUNK_METADATA])) for group in found) < 60_000
    assert footers.oversized(path) is None
    path.write_bytes(path.read_bytes()[:-20])
    assert footers.oversized(path) is None


def test_an_agents_trace_is_told_by_a_record_of_its_own(tmp_path: Path):
    """Its conversation and name stand there, before its spans, after them or in another file; and its run is found by the vendor's id of it."""
    trace = {"object": "trace", "id": "trace_1", "workflow_name": "orders", "group_id": "thread-7"}
    span = {"object": "trace.span", "id": "span_1", "trace_id": "trace_1", "started_at": "2026-03-01T09:00:00Z", "ended_at": "2026-03-01T09:00:01Z"}
    data = {"type": "custom", "name": "task", "data": {"sdk_span_type": "task"}}
    lone = {**span, "id": "span_2", "trace_id": "trace_2"}
    sources = [written(tmp_path, f"{number}.jsonl", row | ({"span_data": data} if row is not trace else {})) for number, row in enumerate((span, lone, trace))]
    with Store.open(tmp_path / "w.db") as store:
        ingest(store, [source.path for source in sources])
        assert store.resolve("trace_1") == "thread-7"
        told, other = store.run("thread-7"), store.run("trace_2")
        assert (told.conversation_id, told.root_name, told.span_count) == ("thread-7", "orders", 1)
        assert (other.conversation_id, other.root_name) == (None, "task")
