"""OTLP over gRPC: the Export calls of TraceService and LogsService. Needs the optional extra `receive` (grpcio, googleapis-common-protos)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc  # type: ignore[import-untyped]
from google.protobuf.any_pb2 import Any as Packed  # type: ignore[import-untyped]
from google.protobuf.duration_pb2 import Duration  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from workbench.live.http_server import response
from workbench.live.intake import OverloadedError, RefusedError, TooLargeError
from workbench.live.requests import Signal, UnreadableError
from workbench.live.service import Service

SERVICES: dict[str, Signal] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
}
CALLS = 8
"""Calls that are worked on at once. gRPC has read a message before it asks us, so this and the bound on a message bound the memory."""


class GrpcServer:
    """A gRPC server for a service. Listens once constructed; OSError when it can't."""

    def __init__(self, host: str, port: int, service: Service) -> None:
        most = min(service.budget.each, service.budget.total // CALLS)
        options = [("grpc.max_receive_message_length", most), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(CALLS, "workbench-grpc"), options=options, maximum_concurrent_rpcs=CALLS)
        for name, signal in SERVICES.items():
            call = grpc.unary_unary_rpc_method_handler(partial(_export, service, signal), response_serializer=lambda answer: answer.SerializeToString())
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": call}),))
        try:
            self.port: int = self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"can't listen on {host}:{port} for gRPC: {error}") from error

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self, seconds: float) -> None:
        """Take no more calls; let those that run come to their end within this time."""
        self._server.stop(seconds).wait()


def _export(service: Service, signal: Signal, body: bytes, context: grpc.ServicerContext) -> object:
    """One Export call. Aborts with a status the protocol calls retryable, with RetryInfo, or with one it does not."""
    metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    if not service.allows(metadata.get("authorization")):
        raise _aborted(context, grpc.StatusCode.UNAUTHENTICATED, "this receiver wants the metadata `authorization: Bearer TOKEN`")
    try:
        with service.budget.share() as share:
            share.grow(len(body))
            return response(service.take(body, signal, "protobuf"), signal)
    except RefusedError as error:
        code = grpc.StatusCode.RESOURCE_EXHAUSTED if isinstance(error, OverloadedError) else grpc.StatusCode.UNAVAILABLE
        raise _retryable(context, code, error) from error
    except (TooLargeError, UnreadableError) as error:
        raise _aborted(context, grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _aborted(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> Exception:
    """Aborts the call, which raises; the return type is for the reader and the type checker."""
    context.abort(code, message)
    return RuntimeError(f"gRPC did not abort: {message}")


def _retryable(context: grpc.ServicerContext, code: grpc.StatusCode, error: RefusedError) -> Exception:
    """Abort with a delay to retry after, as error details: RESOURCE_EXHAUSTED is retried only with them."""
    info, packed = RetryInfo(retry_delay=Duration(seconds=error.retry_seconds)), Packed()
    packed.Pack(info)
    status = Status(code=code.value[0], message=str(error), details=[packed])
    # The second spelling is what OpenTelemetry's Python exporter looks for.
    details = (("grpc-status-details-bin", status.SerializeToString()), ("google.rpc.retryinfo-bin", info.SerializeToString()))
    context.set_trailing_metadata(details)
    return _aborted(context, code, str(error))
