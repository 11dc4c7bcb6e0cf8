"""The receiver: an OTLP endpoint on this machine that answers only when what it was sent is durable in the store."""

from __future__ import annotations

import ipaddress
import secrets
import signal
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from workbench.live.http_server import HttpServer
from workbench.live.intake import Budget, Intake, origin_of
from workbench.live.service import Service
from workbench.store import Store

if TYPE_CHECKING:
    from workbench.live.grpc_server import GrpcServer

MEBIBYTE = 1024 * 1024
HTTP_PORT, GRPC_PORT = 4318, 4317
STOP_SECONDS = 5.0


class ReceiverError(ValueError):
    """A receiver that can't or must not be started so. The message says what would be right."""


@dataclass(frozen=True)
class Settings:
    """How to receive. A port of 0 takes any that is free; `grpc_port` None leaves gRPC out. Bounds are in bytes, decompressed."""

    host: str = "127.0.0.1"
    http_port: int = HTTP_PORT
    grpc_port: int | None = GRPC_PORT
    token: str | None = None
    allow_remote: bool = False
    in_flight_bytes: int = 64 * MEBIBYTE
    request_bytes: int = 20 * MEBIBYTE


class Receiver:
    """A running receiver: `http_port` and `grpc_port` are where it listens. `close` leaves everything that was acknowledged durable, and derived."""

    def __init__(self, store: Store, settings: Settings) -> None:
        _check(settings)
        intake = Intake(store, origin_of("otlp-receiver", secrets.token_hex(16)))
        self.service = Service(intake, Budget(settings.in_flight_bytes, settings.request_bytes), settings.token)
        try:
            self._http = HttpServer(settings.host, settings.http_port, self.service)
        except OSError as error:
            raise ReceiverError(f"can't listen on {settings.host}:{settings.http_port}: {error}; --http-port takes another") from error
        self._grpc: GrpcServer | None = None
        if settings.grpc_port is not None:
            self._grpc = self._listen_grpc(settings.host, settings.grpc_port)
        self._serving = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, name="workbench-http", daemon=True)

    @property
    def http_port(self) -> int:
        """The port of OTLP over HTTP."""
        return self._http.port

    @property
    def grpc_port(self) -> int | None:
        """The port of OTLP over gRPC, None without it."""
        return self._grpc.port if self._grpc else None

    def start(self) -> None:
        """Begin to receive."""
        self.service.intake.start()
        self._serving.start()
        if self._grpc:
            self._grpc.start()

    def close(self) -> None:
        """Refuse what comes, make durable and answer what was taken, derive its runs, let go of the ports."""
        self.service.intake.close()
        self.service.wait_answered(STOP_SECONDS)
        if self._grpc:
            self._grpc.stop(STOP_SECONDS)
        self._http.shutdown()
        self._http.server_close()

    def _listen_grpc(self, host: str, port: int) -> GrpcServer:
        from workbench.live.grpc_server import GrpcServer  # noqa: PLC0415  # grpcio is an optional extra

        try:
            return GrpcServer(host, port, self.service)
        except OSError as error:
            self._http.server_close()
            raise ReceiverError(f"{error}; --grpc-port takes another, --no-grpc none") from error


def has_grpc() -> bool:
    """Whether what gRPC needs is installed."""
    return all(find_spec(name) for name in ("grpc", "google.rpc"))


def until_signalled() -> int:
    """Wait for SIGTERM or SIGINT; returns its number."""
    caught: list[int] = []
    stop = threading.Event()

    def note(number: int, _: object) -> None:
        caught.append(number)
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    stop.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return caught[0]


def _check(settings: Settings) -> None:
    """ReceiverError for what would open the store to others unasked, or can't work."""
    if not _is_loopback(settings.host) and not (settings.allow_remote and settings.token):
        raise ReceiverError(f"{settings.host} is not this machine alone: to listen there, give --allow-remote and a token (WORKBENCH_TOKEN)")
    if settings.token is not None and (not settings.token.strip() or not settings.token.isprintable()):
        raise ReceiverError("the token is empty or has characters that no header can carry")
    if settings.grpc_port is not None and not has_grpc():
        raise ReceiverError("gRPC needs grpcio: pip install 'replay-workbench[receive]', or leave it out with --no-grpc")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
