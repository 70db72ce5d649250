"""A small contract made at test time, its servicer, its stub, and an auth for its tokens."""

import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from auditron.options.v1 import options_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from joserfc import jwt
from joserfc.jwk import ECKey

from libs.rpc import (
    AuthClients,
    Channels,
    RpcSettings,
    Server,
    ServiceToken,
    ServiceTokens,
    TokenVerifier,
)

ORGANIZATION = "018f0000-0000-7000-8000-000000000001"
PACKAGE = "auditron.probe.v1"
METHODS = {  # name: permission, streams in, streams out
    "Read": ("probes.read", False, False),
    "Open": ("public", False, False),
    "Mine": ("member", False, False),
    "Tell": ("service", False, False),
    "Watch": ("probes.read", False, True),
    "Upload": ("probes.write", True, False),
    "Chat": ("probes.write", True, True),
}


def build_contract(
    package: str, methods: dict[str, tuple[str, bool, bool]], pool: descriptor_pool.DescriptorPool
) -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}/probe.proto", package=package, syntax="proto3"
    )
    file.dependency.append("auditron/options/v1/options.proto")
    message = file.message_type.add(name="Probe")
    message.field.add(name="text", number=1, type=9, label=1)
    message.field.add(name="number", number=2, type=3, label=1)
    service = file.service.add(name="ProbeService")
    for name, (permission, streams_in, streams_out) in methods.items():
        method = service.method.add(
            name=name,
            input_type=f".{package}.Probe",
            output_type=f".{package}.Probe",
            client_streaming=streams_in,
            server_streaming=streams_out,
        )
        if permission:
            method.options.Extensions[options_pb2.permission] = permission
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{package}.ProbeService")


CONTRACT = build_contract(PACKAGE, METHODS, descriptor_pool.Default())
Probe: Any = message_factory.GetMessageClass(CONTRACT.methods_by_name["Read"].input_type)


class ProbeServiceStub:
    """As protoc writes it."""

    __module__ = f"{PACKAGE}.probe_pb2_grpc"

    def __init__(self, channel: Any) -> None:
        for name, (_, streams_in, streams_out) in METHODS.items():
            kind = f"{'stream' if streams_in else 'unary'}_{'stream' if streams_out else 'unary'}"
            call = getattr(channel, kind)(
                f"/{PACKAGE}.ProbeService/{name}",
                request_serializer=Probe.SerializeToString,
                response_deserializer=Probe.FromString,
                _registered_method=True,
            )
            setattr(self, name, call)


class Probes:
    """Answers as each test tells it: `on` maps a method to what it does."""

    def __init__(self) -> None:
        self.on: dict[str, Callable[[Any, Any], Any]] = {}
        self.seen: list[Any] = []

    async def _one(self, name: str, request: Any, context: Any) -> Any:
        self.seen.append(request)
        do = self.on.get(name)
        return await do(request, context) if do else Probe(text=f"{name}:{request.text}")

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("Read", request, context)

    async def Open(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("Open", request, context)

    async def Mine(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("Mine", request, context)

    async def Tell(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("Tell", request, context)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        do = self.on.get("Watch")
        if do:
            async for answer in do(request, context):
                yield answer
        for number in range(request.number):
            yield Probe(number=number)

    async def Upload(self, requests: Any, context: Any) -> Any:  # noqa: N802
        do = self.on.get("Upload")
        if do:
            return await do(requests, context)
        texts = [request.text async for request in requests]
        return Probe(text=",".join(texts), number=len(texts))

    async def Chat(self, requests: Any, _: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for request in requests:
            yield Probe(text=request.text.upper())


class Auth:
    """What auth does for the others, done with a key of the test's own."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
        self.keys = [self.key]
        self.ended: set[str] = set()
        self.down = False
        self.fetches = 0
        self.checks = 0
        self.issued: list[tuple[str, ...]] = []

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": "auditron",
            "aud": "auditron",
            "sub": "u1",
            "org": ORGANIZATION,
            "sid": secrets.token_hex(8),
            "scope": "probes.read probes.write",
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changes: Any) -> str:
        return self.sign(self.claims(**changes))

    def service_token(self, service: str, audience: str, **changes: Any) -> str:
        gone = {"sid": None, "scope": None, "org": None}
        return self.token(**gone | {"svc": service, "sub": service, "aud": audience} | changes)

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        header = {"alg": "ES256", "typ": "at+jwt", "kid": self.key.kid} | header
        return jwt.encode(header, claims, self.key, algorithms=["ES256"])

    async def jwks(self) -> Any:
        self._answer()
        self.fetches += 1
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    async def check_session(self, session_id: str) -> bool:
        self._answer()
        self.checks += 1
        return session_id not in self.ended

    async def issue(self, service: str, *purpose: str) -> ServiceToken:
        self._answer()
        self.issued.append((service, *purpose))
        _, audience, organization_id, on_behalf_of = purpose
        token = self.service_token(
            service, audience, org=organization_id or None, obo=on_behalf_of or None
        )
        return ServiceToken(token, time.time() + 60)

    def clients(self) -> AuthClients:
        return AuthClients(self.jwks, self.check_session, self.issue)

    def verifier(self, redis: Any = None, audience: str = "probe") -> TokenVerifier:
        return TokenVerifier(self.jwks, audience, redis, self.check_session)

    def _answer(self) -> None:
        if self.down:
            raise ConnectionError("auth is down")


@dataclass
class Running:
    """A server of the contract and what a test needs around it."""

    server: Server
    probes: Probes
    auth: Auth
    address: str
    channels: list[Channels] = field(default_factory=list)

    def stub(self, service: str = "tester") -> Any:
        """A stub over our Channels, calling with tokens of that service."""
        channels = Channels(RpcSettings(service, "s3cret", {"probe": self.address}))
        channels.use_service_tokens(ServiceTokens(service, "s3cret", self.auth.issue))
        self.channels.append(channels)
        return channels.stub(ProbeServiceStub)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """Return how a call failed."""
    reading = read_to_end(call) if hasattr(call, "__aiter__") else call
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reading
    return caught.value


async def read_to_end(answers: AsyncIterator[Any]) -> list[Any]:
    return [answer async for answer in answers]


def bearer(token: str) -> dict[str, Any]:
    return {"metadata": [("authorization", f"Bearer {token}")], "timeout": 5}
