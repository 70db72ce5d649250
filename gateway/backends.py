"""The services behind the gateway: a channel to each, and what every call carries."""

import asyncio
import logging
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
from libs.rpc.channel import Channel
from libs.rpc.credentials import UnsafeTransport

log = logging.getLogger(__name__)

UNARY_S = 2.0
HEALTH_S = 1.0
Metadata = list[tuple[str, str]]


class Backends:
    """One channel to each service whose address is set. Raises UnsafeTransport, OSError."""

    def __init__(self, settings: RpcSettings, routes: Iterable[Route]) -> None:
        reads: dict[str, list[str]] = {}
        for route in routes:
            found = reads.setdefault(route.service, [])
            # Whether a call that writes was carried out before its answer was lost, nobody knows;
            # its client decides whether to repeat it.
            found += [route.rpc] if route.verb == "GET" else []
        self._channels = {
            name: Channel(settings, settings.addresses[name], found)
            for name, found in reads.items()
            if settings.addresses.get(name)
        }
        for channel in self._channels.values():
            channel.open()  # wrong credentials stop the start, not the first request
        for name in reads.keys() - self._channels.keys():
            log.warning("service without address", extra={"variable": f"{name.upper()}_ADDRESS"})

    def method(self, route: Route) -> Any:
        """Return the function that calls the route's RPC. Raises Problem if it has no address."""
        channel = self._channels.get(route.service)
        if channel is None:
            raise Problem(503, "SERVICE_NOT_SET_UP", "This part of the platform is not set up.")
        method = route.method
        streams = (method.client_streaming, method.server_streaming)
        kind = "_".join("stream" if stream else "unary" for stream in streams)
        request: Any = message_factory.GetMessageClass(method.input_type)
        answer: Any = message_factory.GetMessageClass(method.output_type)
        coders = {
            "request_serializer": request.SerializeToString,
            "response_deserializer": answer.FromString,
        }
        return channel.method(kind, route.rpc, coders)

    async def health(self) -> Mapping[str, bool]:
        """Return for each service whether it says that it serves."""
        answers = await asyncio.gather(*map(_serves, self._channels.values()))
        return dict(zip(self._channels, answers, strict=True))

    async def close(self) -> None:
        """Close every channel; calls under way are cancelled."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))


async def _serves(channel: Channel) -> bool:
    try:
        stub = health_pb2_grpc.HealthStub(channel.open())
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_S)
    except (grpc.aio.AioRpcError, OSError, UnsafeTransport):
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


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
