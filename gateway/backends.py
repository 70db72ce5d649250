"""The services behind the gateway: a channel to each, and what every call carries."""

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from gateway.asgi import Exchange
from gateway.problems import Problem
from gateway.routes import Route
from libs import telemetry
from libs.rpc import RpcSettings
from libs.rpc.credentials import UnsafeTransport, channel_credentials, version

log = logging.getLogger(__name__)

UNARY_S = 2.0
HEALTH_S = 1.0
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
LOOK_S = 10.0  # between two looks whether the certificate files changed
CLOSE_S = 60.0  # for calls on a channel whose certificate was replaced

_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 20_000),  # finds a peer that is gone without a word
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
_RETRIES = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
Metadata = list[tuple[str, str]]


class Backends:
    """One channel to each service whose address is set. Raises UnsafeTransport, OSError."""

    def __init__(self, settings: RpcSettings, routes: Iterable[Route]) -> None:
        by_service: dict[str, list[Route]] = {}
        for route in routes:
            by_service.setdefault(route.service, []).append(route)
        self._backends = {
            name: _Backend(settings, settings.addresses[name], found)
            for name, found in by_service.items()
            if settings.addresses.get(name)
        }
        for backend in self._backends.values():
            backend.open()  # wrong credentials stop the start, not the first request
        for name in by_service.keys() - self._backends.keys():
            log.warning("service without address", extra={"variable": f"{name.upper()}_ADDRESS"})

    def method(self, route: Route) -> Any:
        """Return the function that calls the route's RPC. Raises Problem if it has no address."""
        backend = self._backends.get(route.service)
        if backend is None:
            raise Problem(503, "SERVICE_NOT_SET_UP", "This part of the platform is not set up.")
        return backend.method(route)

    async def health(self) -> Mapping[str, bool]:
        """Return for each service whether it says that it serves."""
        answers = await asyncio.gather(*(one.serves() for one in self._backends.values()))
        return dict(zip(self._backends, answers, strict=True))

    async def close(self) -> None:
        """Close every channel; calls under way are cancelled."""
        await asyncio.gather(*(backend.close() for backend in self._backends.values()))


class _Backend:
    def __init__(self, settings: RpcSettings, address: str, routes: Iterable[Route]) -> None:
        self._settings = settings
        self._address = address
        self._options = [*_OPTIONS, ("grpc.service_config", _service_config(routes))]
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}
        self._version: tuple[int, ...] = ()
        self._look_from = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    def method(self, route: Route) -> Any:
        channel = self.open()
        found = self._methods.get(route.rpc)
        if found is None:
            method = route.method
            streams = (method.client_streaming, method.server_streaming)
            kind = "_".join("stream" if stream else "unary" for stream in streams)
            request: Any = message_factory.GetMessageClass(method.input_type)
            answer: Any = message_factory.GetMessageClass(method.output_type)
            found = self._methods[route.rpc] = getattr(channel, kind)(
                route.rpc,
                request_serializer=request.SerializeToString,
                response_deserializer=answer.FromString,
            )
        return found

    async def serves(self) -> bool:
        try:
            stub = health_pb2_grpc.HealthStub(self.open())
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_S)
        except (grpc.aio.AioRpcError, OSError, UnsafeTransport):
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def open(self) -> grpc.aio.Channel:
        """Return the channel, made anew when its certificate was replaced."""
        tls = self._settings.tls
        if self._channel is not None and (tls is None or time.monotonic() < self._look_from):
            return self._channel
        self._look_from = time.monotonic() + LOOK_S
        try:
            now = version(tls) if tls else ()
            if self._channel is None or now != self._version:
                self._replace(now)
        except (OSError, UnsafeTransport) as error:
            if self._channel is None:
                raise
            log.warning("new certificate not usable", extra={"error": repr(error)})
        assert self._channel is not None
        return self._channel

    def _replace(self, files: tuple[int, ...]) -> None:
        credentials = channel_credentials(self._settings, self._address)
        old = self._channel
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(self._address, self._options)
        else:
            self._channel = grpc.aio.secure_channel(self._address, credentials, self._options)
        self._version = files
        self._methods.clear()
        if old is not None:
            closing = asyncio.create_task(old.close(CLOSE_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        for closing in list(self._closing):
            closing.cancel()
        if self._channel is not None:
            await self._channel.close()


def _service_config(routes: Iterable[Route]) -> str:
    """Return the configuration by which what only reads is retried.

    Whether another call was carried out before its answer was lost, nobody knows; its client
    decides whether to repeat it.
    """
    names = {route.rpc for route in routes if route.verb == "GET"}
    services = [name.lstrip("/").split("/") for name in sorted(names)]
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": service, "method": method} for service, method in services],
                "retryPolicy": _RETRIES,
            }
        ],
        # When more than half of the calls fail, retries only add to the trouble.
        "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.5},
    }
    return json.dumps(config)


def metadata_of(exchange: Exchange, token: str) -> Metadata:
    """Return what a call carries beside its request: who asks, from where, and the ids to log."""
    found = [
        ("x-request-id", exchange.request_id),
        ("x-client-ip", exchange.client_ip),
        ("x-user-agent", exchange.user_agent()),
    ]
    if token:
        found.append(("authorization", f"Bearer {token}"))
    if trace := telemetry.traceparent():
        found.append(("traceparent", trace))
    return found
