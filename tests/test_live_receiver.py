"""The receiver answers only what is durable, bounds what it holds, and speaks OTLP as the SDK's own exporters do."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from sqlalchemy.exc import OperationalError

from workbench import collection
from workbench.cli import main
from workbench.live import requests
from workbench.live.intake import Budget, OverloadedError, TooLargeError, UnavailableError, origin_of
from workbench.live.receiver import Receiver, ReceiverError, Settings
from workbench.live.requests import UnreadableError, gunzipped, read_request
from workbench.model import Log, Skip, Span
from workbench.store import Store, StoreError

KILLS = int(os.environ.get("WORKBENCH_KILLS", "15"))
TRACE = "0af7651916cd43dd8448eb211c80319c"
SHORT = {"traceId": TRACE, "spanId": "12", "name": "no usable id"}


def span(number: int, **fields) -> dict:
    return {"traceId": TRACE, "spanId": f"{number:016x}", "name": f"span {number}", "startTimeUnixNano": "1750000000000000000", **fields}


def body(*spans: dict) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}]}).encode()


def message(*numbers: int, text: str = "") -> bytes:
    """The same as protobuf; an id of 0 is one that can't be used."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in numbers:
        one = spans.add(trace_id=bytes.fromhex(TRACE), span_id=number.to_bytes(8, "big"), name=f"span {number}")
        one.attributes.add(key="text").value.string_value = text
    return request.SerializeToString()


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "workbench.db") as opened:
        yield opened


@pytest.fixture
def start(store: Store):
    started: list[Receiver] = []

    def start(**settings) -> Receiver:
        receiver = Receiver(store, Settings(**{"http_port": 0, "grpc_port": None, **settings}))
        started.append(receiver)
        receiver.start()
        return receiver

    yield start
    for receiver in started:
        receiver.close()


def post(port: int, content: bytes, path: str = "/v1/traces", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, content, {"content-type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def names(store: Store) -> list[str]:
    return sorted(span.name for group in store.groups([TRACE], []) for span in group.spans)


# ---- requests


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf"])
def test_what_is_acknowledged_is_stored(store: Store, start, kind: str, packed: bool):
    """A request in either encoding, packed or not, is in the store when its answer comes."""
    port = start().http_port
    content = body(span(1), span(2)) if kind.endswith("json") else message(1, 2)
    headers = {"content_type": kind} | ({"content_encoding": "gzip"} if packed else {})
    status, answered, answer = post(port, gzip.compress(content) if packed else content, **headers)
    assert (status, answered["content-type"], answer) == (200, kind, b"{}" if kind.endswith("json") else b"")
    assert names(store) == ["span 1", "span 2"]


def test_a_chunked_body_is_read_whole(store: Store, start):
    """A body of unknown length, as JavaScript's exporter sends it packed, is taken."""
    connection = http.client.HTTPConnection("127.0.0.1", start().http_port, timeout=60)
    packed = gzip.compress(body(span(1)))
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    for _ in range(2):  # twice on one connection: nothing of the first is left over
        connection.request("POST", "/v1/traces", iter([packed[:10], packed[10:]]), headers, encode_chunked=True)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"{}")
    connection.close()
    assert names(store) == ["span 1"]


@pytest.mark.parametrize("size", ["-5", "+5", "x", "", "fffffffff"])
def test_a_chunk_without_a_size_is_refused(store: Store, start, size: str):
    """A chunk size that is no plain number is refused, and takes nothing from what is counted."""
    receiver = start()
    connection = http.client.HTTPConnection("127.0.0.1", receiver.http_port, timeout=60)
    connection.putrequest("POST", "/v1/traces")
    for name, value in {"content-type": "application/json", "transfer-encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(f"{size}\r\n".encode())
    assert connection.getresponse().status == 400
    connection.close()
    assert receiver.service.budget.used == 0


def test_bad_spans_are_rejected_and_the_good_ones_kept(store: Store, start):
    """Spans without usable ids are counted in the partial success with the reason, and in the store's skips; the others are stored."""
    port = start().http_port
    status, _, answer = post(port, body(span(1), SHORT))
    partial = json.loads(answer)["partialSuccess"]
    assert (status, partial["rejectedSpans"]) == (200, "1")
    assert "want 32 and 16 hex digits" in partial["errorMessage"]
    status, _, answer = post(port, message(2, 0, 0), content_type="application/x-protobuf")
    found = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (status, found.rejected_spans) == (200, 2)
    assert names(store) == ["span 1", "span 2"]
    assert sum(skip.count for _, skip in store.skips()) == 3


def test_a_damaged_message_gives_what_can_be_read_of_it(store: Store, start):
    """One span with broken UTF-8 among good ones costs that span, not the request."""
    good, bad = message(1), message(2).replace(b"span 2", b"sp\xff\xfen2")
    status, _, answer = post(start().http_port, good + bad, content_type="application/x-protobuf")
    found = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (status, found.rejected_spans, names(store)) == (200, 1, ["span 1"])


@pytest.mark.parametrize(("content", "kind", "encoding", "status"), [
    (b"{", "application/json", "identity", 400),
    (b'{"resourceSpans": 7}', "application/json", "identity", 400),
    (b"\xff\xff\xff", "application/x-protobuf", "identity", 400),
    (b"no gzip", "application/json", "gzip", 400),
    (gzip.compress(body(span(1)))[:-9], "application/json", "gzip", 400),
    (b"{}", "text/plain", "identity", 415),
    (b"{}", "application/json", "br", 415),
])  # fmt: skip
def test_what_is_no_request_is_refused_for_good(store: Store, start, content: bytes, kind: str, encoding: str, status: int):
    """A body that is no OTLP gets an answer that says so and that no peer retries."""
    port = start().http_port
    found, headers, answer = post(port, content, content_type=kind, content_encoding=encoding)
    assert (found, "retry-after" in headers) == (status, False)
    text = ExportTracePartialSuccess.FromString(answer).error_message if kind.endswith("protobuf") else json.loads(answer)["message"]
    assert text
    assert names(store) == []


@pytest.mark.parametrize(("content", "kind"), [(b"", "application/x-protobuf"), (b"{}", "application/json"), (b'{"resourceSpans": []}', "application/json")])
def test_an_empty_request_is_welcome(start, content: bytes, kind: str):
    """A request without spans, with which peers try a connection, is accepted."""
    assert post(start().http_port, content, content_type=kind)[0] == 200


def test_another_path_is_named(start):
    """A path that takes nothing answers which do."""
    status, _, answer = post(start().http_port, b"{}", "/v1/metrics")
    assert (status, "/v1/traces" in json.loads(answer)["message"]) == (404, True)


def test_logs_go_to_the_collector_as_json(monkeypatch):
    """A log request in protobuf reaches the collector as JSON that says it is logs, and what comes of it is counted."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(trace_id=bytes.fromhex(TRACE), span_id=b"12345678", event_name="said")
    seen = []

    def collected(source):
        seen.append(json.loads(source.read()))
        return [Log(trace_id=TRACE, span_id="ab" * 8)]

    monkeypatch.setattr(requests, "_collected", collected)
    taken = read_request(request.SerializeToString(), "logs", "protobuf", "here")
    assert (len(taken.records), taken.rejected) == (1, 0)
    assert seen[0]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["eventName"] == "said"


# ---- bounds


def test_past_the_bound_a_request_is_told_to_come_again(store: Store, start):
    """With too many bytes in flight the answer is 429 with a delay; when they are done, the same request is taken."""
    receiver = start(in_flight_bytes=1000, request_bytes=1000)
    content = body(span(1))
    with receiver.service.budget.share() as share:
        share.grow(1000 - len(content) + 1)
        status, headers, answer = post(receiver.http_port, content)
        assert (status, headers["retry-after"], json.loads(answer)["code"]) == (429, "1", 8)
    assert post(receiver.http_port, content)[0] == 200
    assert receiver.service.budget.used == 0


def test_a_request_past_its_bound_is_refused_for_good(store: Store, start):
    """A body larger than allowed, plain or only once unpacked, gets 413 and nothing of it is kept."""
    receiver = start(request_bytes=100_000)
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    assert post(receiver.http_port, bomb, content_encoding="gzip")[0] == 413
    assert post(receiver.http_port, b" " * 100_001)[0] == 413
    assert (receiver.service.budget.used, names(store)) == (0, [])


def test_a_bomb_is_unpacked_no_further_than_its_bound():
    """Of a body that unpacks to far more than is allowed, only one block past the bound is ever unpacked."""
    budget, told = Budget(1_000_000, 200_000), []
    bomb = gzip.compress(bytes(100_000_000))
    with budget.share() as share:

        def grow(size: int) -> None:
            told.append(size)
            share.grow(size)

        with pytest.raises(TooLargeError):
            gunzipped([bomb], grow)
    assert sum(told) <= 200_000 + requests.BLOCK_BYTES


def test_two_members_are_no_body():
    """A gzip body of two members is refused rather than cut at the first."""
    with pytest.raises(UnreadableError, match="more than one member"):
        gunzipped([gzip.compress(b"one") + gzip.compress(b"two")], lambda _: None)


def test_a_share_is_given_back():
    """What a request held is free again, also when it was refused."""
    budget = Budget(10, 10)
    with budget.share() as share:
        share.grow(6)
        with budget.share() as other, pytest.raises(OverloadedError):
            other.grow(5)
    assert budget.used == 0


def test_only_the_token_opens(start):
    """Without the token, with another, or under another scheme, the answer is 401; with it, 200, however the scheme is written."""
    port = start(token="s3cret").http_port
    assert post(port, body(span(1)))[0] == 401
    for header, status in (("Bearer s3cre", 401), ("Basic s3cret", 401), ("Bearer", 401), ("s3cret", 401), ("Bearer s3cret", 200), ("bearer s3cret", 200)):
        assert post(port, body(span(1)), authorization=header)[0] == status


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"host": "0.0.0.0", "allow_remote": True}, {"host": "::", "token": "t"}, {"host": "example.org"}])
def test_it_listens_to_no_other_machine_unasked(store: Store, settings: dict):
    """An address that others reach is refused unless it is asked for and a token is given."""
    with pytest.raises(ReceiverError, match=r"--allow-remote and a token"):
        Receiver(store, Settings(http_port=0, grpc_port=None, **settings))


def test_without_grpcio_it_says_so(store: Store, monkeypatch):
    """Where grpcio is missing, the error says how to get it and how to do without."""
    monkeypatch.setattr("workbench.live.receiver.has_grpc", lambda: False)
    with pytest.raises(ReceiverError, match=r"pip install 'replay-workbench\[receive\]'.*--no-grpc"):
        Receiver(store, Settings(http_port=0, grpc_port=0))


def test_a_port_that_is_taken_is_named(store: Store, start):
    """A port that something else listens on is an error that names it."""
    taken = start().http_port
    with pytest.raises(ReceiverError, match=rf"can't listen on 127.0.0.1:{taken}"):
        Receiver(store, Settings(http_port=taken, grpc_port=None))


# ---- durable, or not acknowledged


def test_a_store_that_cannot_be_written_is_not_acknowledged(store: Store, start, monkeypatch):
    """While the store fails the answer is 503 with a delay; nothing is stored, and later the same request is taken."""
    receiver = start()

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(collection, "add_live", full)
        status, headers, answer = post(receiver.http_port, body(span(1)))
    assert (status, headers["retry-after"]) == (503, "5")
    assert "disk is full" in json.loads(answer)["message"]
    assert names(store) == []
    assert post(receiver.http_port, body(span(1)))[0] == 200


def test_requests_that_wait_share_one_transaction(store: Store, start, monkeypatch):
    """What arrives while a transaction is written goes into the next one together, and all of it is answered after."""
    receiver = start()
    entered, go, sizes = threading.Event(), threading.Event(), []
    whole = collection.add_live

    def slow(store, origin, records):
        records = list(records)
        sizes.append(len(records))
        entered.set()
        assert go.wait(60)
        return whole(store, origin, records)

    monkeypatch.setattr(collection, "add_live", slow)
    threads = [threading.Thread(target=post, args=(receiver.http_port, body(span(1))))]
    threads[0].start()
    assert entered.wait(60)
    threads += [threading.Thread(target=post, args=(receiver.http_port, body(span(number)))) for number in range(2, 7)]
    for thread in threads[1:]:
        thread.start()
    with receiver.service.intake._changed:
        while len(receiver.service.intake._waiting) < 5:
            receiver.service.intake._changed.wait(60)
    go.set()
    for thread in threads:
        thread.join()
    assert sizes == [1, 5]
    assert len(names(store)) == 6


def test_closing_keeps_what_was_taken_and_refuses_the_rest(store: Store, start):
    """After closing, what was acknowledged is stored and in a run; a request that comes then is refused with a delay."""
    receiver = start()
    assert post(receiver.http_port, body(span(1)))[0] == 200
    receiver.service.intake.close()
    status, headers, _ = post(receiver.http_port, body(span(2)))
    assert (status, headers["retry-after"]) == (503, "5")
    assert names(store) == ["span 1"]
    assert store.run_ids() == [TRACE]
    with pytest.raises(UnavailableError):
        receiver.service.take(body(span(3)), "traces", "json")


def test_what_a_dead_receiver_left_is_derived_by_whoever_comes_next(store: Store):
    """Spans that were stored live become runs when the store is next looked at, once."""
    record = Span(trace_id=TRACE, span_id="ab" * 8, name="agent", start_ns=1_750_000_000_000_000_000)
    collection.add_live(store, origin_of("otlp-receiver", "s"), [record, Skip(place="p", reason="r")])
    assert (store.run_ids(), store.pending().traces) == ([], {TRACE})
    assert collection.catch_up(store) == [TRACE]
    assert (store.pending().upto, collection.catch_up(store)) == (0, [])


def test_what_comes_while_runs_are_derived_stays_pending(store: Store):
    """Settling what was derived leaves the mark of a span that arrived meanwhile, also after all marks were gone once."""
    origin = origin_of("otlp-receiver", "s")
    collection.add_live(store, origin, [Span(trace_id=TRACE, span_id="ab" * 8, name="a")])
    seen = store.pending()
    store.settle(seen)
    collection.add_live(store, origin, [Span(trace_id=TRACE, span_id="cd" * 8, name="b")])
    store.settle(seen)
    assert store.pending().traces == {TRACE}


def test_a_trace_that_cannot_be_derived_keeps_no_other_from_its_run(store: Store, monkeypatch, caplog):
    """An error in deriving one trace is logged with its id, that trace stays pending, and the others have their runs."""
    other, whole = "ff" * 16, collection.normalise

    def broken(spans, checkpoints, logs, read):
        if spans[0].trace_id == TRACE:
            raise ZeroDivisionError("unforeseen")
        return whole(spans, checkpoints, logs, read)

    monkeypatch.setattr(collection, "normalise", broken)
    collection.add_live(store, origin_of("otlp-receiver", "s"), [Span(trace_id=trace, span_id="ab" * 8, name="a") for trace in (TRACE, other)])
    assert collection.catch_up(store) == [other]
    assert f"no run could be derived of {TRACE}" in caplog.text
    monkeypatch.undo()
    assert (store.pending().traces, collection.catch_up(store)) == ({TRACE}, [TRACE])


def test_a_store_that_cannot_be_written_to_is_told_once(store: Store, monkeypatch, caplog):
    """On a full disk no trace is tried by itself, one line says so, and all has its runs once there is room."""

    def full(*_: object) -> None:
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    collection.add_live(store, origin_of("otlp-receiver", "s"), [Span(trace_id=trace, span_id="ab" * 8, name="a") for trace in (TRACE, "ff" * 16)])
    monkeypatch.setattr(Store, "save_changed", full)
    assert collection.catch_up(store) == []
    (said,) = caplog.messages
    assert said.endswith("the store can't be written to: database or disk is full")
    monkeypatch.undo()
    assert sorted(collection.catch_up(store)) == [TRACE, "ff" * 16]


# ---- real peers


@pytest.mark.parametrize("kind", ["http", "http gzip", "grpc"])
def test_the_sdks_own_exporters_are_served(store: Store, start, kind: str):
    """Spans sent by OpenTelemetry's exporters, over HTTP and gRPC, are stored and become a run."""
    receiver = start(grpc_port=0, token="s3cret")
    headers = {"authorization": "Bearer s3cret"}
    if kind == "grpc":
        exporter = GrpcExporter(endpoint=f"127.0.0.1:{receiver.grpc_port}", insecure=True, headers=headers, timeout=60)
    else:
        compression = Compression.Gzip if "gzip" in kind else Compression.NoCompression
        exporter = HttpExporter(endpoint=f"http://127.0.0.1:{receiver.http_port}/v1/traces", headers=headers, compression=compression, timeout=60)
    provider = TracerProvider(resource=Resource({"service.name": "peer"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("peer").start_as_current_span("agent", attributes={"gen_ai.operation.name": "invoke_agent"}) as root:
        trace = f"{root.get_span_context().trace_id:032x}"
    provider.shutdown()
    receiver.service.intake.close()
    assert [(run.run_id, run.agent, run.span_count) for run in store.runs()] == [(trace, "peer", 1)]


def test_grpc_says_when_to_come_again_and_what_is_refused(store: Store, start):
    """Over gRPC, overload is RESOURCE_EXHAUSTED with RetryInfo, a bad token UNAUTHENTICATED, a bomb RESOURCE_EXHAUSTED without it."""
    receiver = start(grpc_port=0, token="s3cret", in_flight_bytes=800_000, request_bytes=400_000)
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export", response_deserializer=ExportTraceServiceResponse.FromString)

        def failed(content: bytes, token: str = "s3cret", **options) -> grpc.RpcError:
            with pytest.raises(grpc.RpcError) as caught:
                call(content, metadata=[("authorization", f"Bearer {token}")], timeout=60, **options)
            return caught.value

        with receiver.service.budget.share() as share, receiver.service.budget.share() as other:
            share.grow(400_000)
            other.grow(400_000)
            busy = failed(message(1))
        details = Status.FromString(dict(busy.trailing_metadata())["grpc-status-details-bin"]).details[0]
        info = RetryInfo()
        assert (busy.code(), details.Unpack(info), info.retry_delay.seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True, 1)
        assert failed(message(1), "another").code() == grpc.StatusCode.UNAUTHENTICATED
        assert failed(b"\xff\xff").code() == grpc.StatusCode.INVALID_ARGUMENT
        bomb = failed(message(1, text=" " * 30_000_000), compression=grpc.Compression.Gzip)
        assert (bomb.code(), "grpc-status-details-bin" in dict(bomb.trailing_metadata())) == (grpc.StatusCode.RESOURCE_EXHAUSTED, False)
        assert names(store) == []
        partial = call(message(1, 0), metadata=[("authorization", "Bearer s3cret")], timeout=60).partial_success
    assert (partial.rejected_spans, names(store)) == (1, ["span 1"])


# ---- the command, killed


def receive(path: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "workbench.cli", "receive", "--store", str(path), "--http-port", "0", "--no-grpc", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return process, int(json.loads(line)["http"].rpartition(":")[2])


def send(port: int, numbers: list[int], acknowledged: list[int], enough: threading.Event, after: int) -> None:
    """Post one span a request until the peer is gone; note each number once it is acknowledged, and say when there are enough."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for number in numbers:
            connection.request("POST", "/v1/traces", body(span(number)), {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                acknowledged.append(number)
            if len(acknowledged) >= after:
                enough.set()
    except (OSError, http.client.HTTPException):
        return  # killed
    finally:
        connection.close()
        enough.set()


def test_a_killed_receiver_loses_nothing_it_acknowledged(tmp_path: Path):
    """SIGKILL under load at random moments, again and again on one store: every acknowledged span is there once, and the store is whole."""
    path, chosen, acknowledged = tmp_path / "workbench.db", random.Random(3), []
    for life in range(KILLS):
        process, port = receive(path)
        enough, after = threading.Event(), len(acknowledged) + chosen.randint(1, 60)
        first = 1 + life * 100_000
        peers = [threading.Thread(target=send, args=(port, list(range(first + n, first + 10_000, 4)), acknowledged, enough, after)) for n in range(4)]
        for peer in peers:
            peer.start()
        assert enough.wait(60)
        process.kill()
        process.communicate()
        for peer in peers:
            peer.join()
    with Store.open(path) as store:
        stored = names(store)
        assert len(acknowledged) >= KILLS
        assert {f"span {number}" for number in acknowledged} <= set(stored)
        assert len(stored) == len(set(stored))
        assert store.verify() == []
        assert collection.catch_up(store) in ([], [TRACE])
        assert next(store.runs()).span_count == len(stored)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_receiver_ends_well(tmp_path: Path, number: int):
    """On SIGTERM and Ctrl-C it exits with 0 and says what it took in and replaced, and what it acknowledged is stored and in a run."""
    process, port = receive(tmp_path / "workbench.db")
    secret = {"key": "password", "value": {"stringValue": "hunter2zz"}}
    assert post(port, body({**span(1), "attributes": [secret]}))[0] == 200
    process.send_signal(number)
    told, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert json.loads(told) == {"received": {"Span": 1}, "redacted": {"secret": 1}}
    with Store.open(tmp_path / "workbench.db") as store:
        assert (names(store), store.run_ids(), store.pending().upto) == (["span 1"], [TRACE], 0)


def test_the_command_says_why_it_does_not_start(tmp_path: Path, monkeypatch, capsys):
    """An address that others reach is one line on standard error and exit status 2."""
    monkeypatch.setattr(sys, "argv", ["workbench", "receive", "--host", "0.0.0.0", "--store", str(tmp_path / "workbench.db")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, "--allow-remote and a token" in " ".join(capsys.readouterr().err.split())) == (2, True)
