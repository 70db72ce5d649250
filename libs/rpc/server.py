"""Serves contracts over gRPC, with health and reflection, until it is drained."""

import asyncio
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf import descriptor, message_factory
from grpc_health.v1 import (  # type: ignore[import-untyped]
    health,
    health_pb2,
    health_pb2_grpc,
)
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from libs.rpc import permissions
from libs.rpc.calls import Calls, Method, Verifier
from libs.rpc.credentials import server_credentials
from libs.rpc.settings import MESSAGE_BYTES_MAX, RpcSettings

CALLS_MAX = 2_000  # at a time; one more is refused with RESOURCE_EXHAUSTED

Served = tuple[descriptor.ServiceDescriptor, object]  # a contract and its servicer

_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a share of the calls
    # Connections end in time: callers find new replicas, and withdrawn certificates lose effect.
    ("grpc.max_connection_age_ms", 10 * 60_000),
    ("grpc.max_connection_age_grace_ms", 10 * 60_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
]


class Server:
    """A server that answers; `port` is the one it listens on."""

    def __init__(
        self, server: grpc.aio.Server, checks: health.aio.HealthServicer, port: int
    ) -> None:
        self._server = server
        self._health = checks
        self.port = port

    async def drain(self, grace_s: float, wait_s: float = 0) -> None:
        """Stop without a lost call: unhealthy, `wait_s` for all to notice, `grace_s` to finish."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(wait_s)
        await self._server.stop(grace_s)

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()


def joined(parts: Iterable[object]) -> SimpleNamespace:
    """Return one servicer of several objects, each of which answers some of a contract's RPCs."""
    return SimpleNamespace(
        **{name: getattr(part, name) for part in parts for name in dir(part) if name[0].isupper()}
    )


async def serve(
    name: str,
    address: str,
    served: Sequence[Served],
    *,
    verifier: Verifier,
    settings: RpcSettings,
) -> Server:
    """Serve the contracts at "host:port" (port 0: any free one) under the service's name.

    Raises ValueError for a method without permission or handler, UnsafeTransport (see
    credentials), OSError if the address cannot be had.
    """
    credentials = server_credentials(settings, address)
    server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=CALLS_MAX)
    for contract, servicer in served:
        handlers = {
            method.name: _handler(
                Calls(_method(name, method, servicer), verifier, secure=credentials is not None)
            )
            for method in contract.methods
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(contract.full_name, handlers),)
        )
    names = [contract.full_name for contract, _ in served]
    checks = health.aio.HealthServicer()
    for served_name in names:
        await checks.set(served_name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection(
        [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    port = _listen(server, address, credentials)
    await server.start()
    return Server(server, checks, port)


def _listen(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None
) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error


def _method(service: str, method: descriptor.MethodDescriptor, servicer: object) -> Method:
    handler = getattr(servicer, method.name, None)
    # The generated base class has a handler for each method, which only says that it has none.
    if handler is None or handler.__module__.endswith("_pb2_grpc"):
        raise ValueError(f"{type(servicer).__name__} does not answer {method.full_name}")
    return Method(
        service=service,
        name=f"{method.containing_service.name}/{method.name}",
        permission=permissions.permission_of(method),
        parse=message_factory.GetMessageClass(method.input_type).FromString,
        handler=handler,
        streams_in=method.client_streaming,
        streams_out=method.server_streaming,
    )


def _handler(calls: Calls) -> "grpc.RpcMethodHandler[Any, Any]":
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    # No (de)serializers: bytes of a caller who may not call are never parsed.
    return kinds[calls.method.streams_in, calls.method.streams_out](calls.answer)
