"""OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp): POST /v1/traces and /v1/logs, protobuf or JSON, gzip or not.

200 comes after the data is durable, with a partial success for spans that could not be used. 429 and 503 carry `retry-after`; 400, 401, 413 and
415 mean that sending the same again won't help.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse

from workbench.live.intake import OverloadedError, RefusedError, Share, TooLargeError
from workbench.live.requests import BLOCK_BYTES, Encoding, Request, Signal, UnreadableError, gunzipped
from workbench.live.service import Service
from workbench.model import Json

logger = logging.getLogger("workbench.live")

PATHS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/logs": "logs"}
ENCODINGS: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
REJECTED = {"traces": "rejectedSpans", "logs": "rejectedLogRecords"}
CONNECTIONS = 128
IDLE_SECONDS = 30
BODY_SECONDS = 60
MOST_DIGITS = 18  # of a content-length
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
GRPC_CODES = {400: 3, 401: 16, 413: 3, 415: 3, 404: 12, 405: 12, 411: 3, 429: 8, 503: 14}
"""The numbers of google.rpc.Code, which stand in the body of an error."""


class Refusal(Exception):  # noqa: N818  # it is an answer, not an error of ours
    """An HTTP answer other than 200."""

    def __init__(self, status: HTTPStatus, message: str, retry_seconds: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_seconds = status, retry_seconds


class HttpServer(ThreadingHTTPServer):
    """One thread a connection, and no more connections than `CONNECTIONS`; the next ones wait in the listening queue."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(self, host: str, port: int, service: Service) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.service = service
        self._free = BoundedSemaphore(CONNECTIONS)
        super().__init__((host, port), Handler)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own, once one is free."""
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As inherited; the connection is free again afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # inherited signature
        """A peer that went away is nothing; anything else is logged."""
        logger.debug("a connection broke off", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: HttpServer
    protocol_version = "HTTP/1.1"
    server_version = "replay-workbench"
    sys_version = ""
    timeout = IDLE_SECONDS

    def do_POST(self) -> None:  # the name http.server looks for
        """Take one request."""
        with self.server.service.answering():
            self._take()

    def _take(self) -> None:
        """One request to its answer, whatever becomes of it."""
        encoding = ENCODINGS.get(self.headers.get_content_type())
        self._unread = True
        try:
            signal = self._signal()
            taken = self._taken(signal, encoding)
        except OSError:
            raise  # the peer is gone
        except Exception as error:  # noqa: BLE001  # whatever it is, the peer is told, and the log
            self._refuse(_refusal_of(error), encoding)
        else:
            self._answer(HTTPStatus.OK, _accepted(taken, signal, encoding or "json"))

    def _signal(self) -> Signal:
        if (signal := PATHS.get(self.path.partition("?")[0])) is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is no {self.path}; there are {', '.join(PATHS)}")
        if not self.server.service.allows(self.headers.get("authorization")):
            raise Refusal(HTTPStatus.UNAUTHORIZED, "this receiver wants `authorization: Bearer TOKEN`, with the token it was started with")
        return signal

    def _taken(self, signal: Signal, encoding: Encoding | None) -> Request:
        if encoding is None:
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-type should be one of {', '.join(ENCODINGS)}")
        with self.server.service.budget.share() as share:
            return self.server.service.take(self._body(share), signal, encoding)

    def do_GET(self) -> None:  # as above
        """Say what this is for."""
        self._unread = False
        self._refuse(Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"POST OTLP to {' or '.join(PATHS)}"), "json")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # inherited signature
        """Keep requests out of the terminal."""
        logger.debug(format, *args)

    def _body(self, share: Share) -> bytes:
        compression = self.headers.get("content-encoding", "identity").lower()
        if compression not in {"identity", "gzip"}:
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-encoding should be gzip or none, found {compression[:40]}")
        blocks = self._blocks(share)
        return gunzipped(blocks, share.grow) if compression == "gzip" else b"".join(blocks)

    def _blocks(self, share: Share) -> Iterator[bytes]:
        """The body as it arrives, counted before it is read."""
        until = time.monotonic() + BODY_SECONDS
        for size in self._sizes(share):
            left = size
            while left:
                block = self.rfile.read(min(left, BLOCK_BYTES))
                if not block or time.monotonic() > until:
                    raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive whole")
                left -= len(block)
                yield block
        self._unread = False

    def _sizes(self, share: Share) -> Iterator[int]:
        """How many bytes come next: all of them, or chunk by chunk (RFC 9112, 7.1)."""
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            yield self._length(share)
            return
        while size := self._chunk_size():
            share.grow(size)
            yield size
            self.rfile.readline(3)
        while self.rfile.readline(BLOCK_BYTES) not in {b"\r\n", b"\n", b""}:
            pass  # trailers say nothing of use

    def _length(self, share: Share) -> int:
        text = self.headers.get("content-length")
        if text is None or not text.isdecimal() or len(text) > MOST_DIGITS:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the request needs a content-length, or transfer-encoding chunked")
        share.grow(int(text))
        return int(text)

    def _chunk_size(self) -> int:
        digits = self.rfile.readline(BLOCK_BYTES).partition(b";")[0].strip()
        if not CHUNK_SIZE.fullmatch(digits):
            raise Refusal(HTTPStatus.BAD_REQUEST, "a chunk of the body has no size, or one past all bounds")
        return int(digits, 16)

    def _refuse(self, refusal: Refusal, encoding: Encoding | None) -> None:
        """Answer, and close the connection where a body is left on it that would be taken for the next request."""
        code, text = GRPC_CODES.get(refusal.status, 2), str(refusal)
        # google.rpc.Status has the same fields under the same numbers as a partial success: 1 is a number, 2 a text.
        message = ExportTracePartialSuccess(rejected_spans=code, error_message=text)
        body = message.SerializeToString() if encoding == "protobuf" else json.dumps({"code": code, "message": text}).encode()
        if self._unread:
            self._drain()
        self._answer(refusal.status, (encoding or "json", body), refusal.retry_seconds)

    def _drain(self) -> None:
        """Read a small body that nobody wants, so that the peer gets to read its answer; leave a larger one."""
        self.close_connection = True
        text = self.headers.get("content-length", "")
        left = min(int(text), self.server.service.budget.each) if text.isdecimal() and len(text) <= MOST_DIGITS else 0
        until = time.monotonic() + IDLE_SECONDS
        self.connection.settimeout(1.0)
        try:
            while left > 0 and time.monotonic() < until and (block := self.rfile.read1(min(left, BLOCK_BYTES))):
                left -= len(block)
        except OSError:
            logger.debug("the rest of a refused body did not come", exc_info=True)

    def _answer(self, status: HTTPStatus, content: tuple[str, bytes], retry_seconds: int | None = None) -> None:
        encoding, body = content
        self.send_response(status)
        self.send_header("content-type", next(name for name, known in ENCODINGS.items() if known == encoding))
        self.send_header("content-length", str(len(body)))
        if retry_seconds is not None:
            self.send_header("retry-after", str(retry_seconds))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _refusal_of(error: Exception) -> Refusal:
    """The answer that tells a peer what went wrong, and so whether to try again."""
    match error:
        case Refusal():
            return error
        case OverloadedError():
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, str(error), error.retry_seconds)
        case RefusedError():
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), error.retry_seconds)
        case TooLargeError():
            return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        case UnreadableError():
            return Refusal(HTTPStatus.BAD_REQUEST, str(error))
        case _:
            logger.error("a request could not be handled", exc_info=error)
            return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the receiver failed on this request; its log says how")


def _accepted(request: Request, signal: Signal, encoding: Encoding) -> tuple[str, bytes]:
    """The body of a 200: empty where all went well, else a partial success."""
    if encoding == "json":
        partial: Json = {REJECTED[signal]: str(request.rejected), "errorMessage": request.message}
        return encoding, json.dumps({"partialSuccess": partial} if request.message or request.rejected else {}).encode()
    return encoding, response(request, signal).SerializeToString()


def response(request: Request, signal: Signal) -> ExportTraceServiceResponse | ExportLogsServiceResponse:
    """The protobuf answer to a request that was taken."""
    answer = ExportTraceServiceResponse() if signal == "traces" else ExportLogsServiceResponse()
    if request.message or request.rejected:
        answer.partial_success.error_message = request.message
        setattr(answer.partial_success, "rejected_spans" if signal == "traces" else "rejected_log_records", request.rejected)
    return answer
