"""A gateway before a real auth, and before services that answer as each test tells them."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
from auditron.agent.v1 import agent_pb2
from auditron.billing.v1 import billing_pb2
from auditron.invoice.v1 import invoice_pb2
from auditron.recon.v1 import recon_pb2
from auditron.reporting.v1 import reporting_pb2
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.__main__ import Server, configuration
from gateway.app import App
from gateway.settings import Rate, Settings
from libs.embedded import Embedded
from libs.embedded.server import free_port
from libs.pg import uuid7
from libs.rpc import Fault, RpcSettings, TokenVerifier, serve
from libs.rpc.server import Server as RpcServer
from libs.testkit import Harness, Stores, running_services

PASSWORD = "correct horse battery"
CONTRACTS = {
    "agent": agent_pb2.DESCRIPTOR.services_by_name["AgentService"],
    "billing": billing_pb2.DESCRIPTOR.services_by_name["BillingService"],
    "invoice": invoice_pb2.DESCRIPTOR.services_by_name["InvoiceService"],
    "recon": recon_pb2.DESCRIPTOR.services_by_name["ReconService"],
    "reporting": reporting_pb2.DESCRIPTOR.services_by_name["ReportingService"],
}


class Unimplemented(Fault):
    code, reason = grpc.StatusCode.UNIMPLEMENTED.value[0], "UNIMPLEMENTED"


class Scripted:
    """A servicer of any contract: `on` maps a method to what it does with request and context."""

    def __init__(self, contract: Any) -> None:
        self.on: dict[str, Callable[[Any, Any], Any]] = {}
        self.seen: list[Any] = []
        self.metadata: dict[str, Any] = {}
        self._streams = {method.name: method.server_streaming for method in contract.methods}

    def __getattr__(self, name: str) -> Any:
        if name not in self.__dict__.get("_streams", {}):
            raise AttributeError(name)

        async def one(request: Any, context: Any) -> Any:
            self._note(request, context)
            return await self._does(name)(request, context)

        async def many(request: Any, context: Any) -> AsyncIterator[Any]:
            self._note(request, context)
            async for answer in self._does(name)(request, context):
                yield answer

        return many if self._streams[name] else one

    def _note(self, request: Any, context: Any) -> None:
        self.seen.append(request)
        self.metadata = dict(context.invocation_metadata())

    def _does(self, name: str) -> Callable[[Any, Any], Any]:
        if name not in self.on:
            raise Unimplemented(f"The test does not say what {name} does.")
        return self.on[name]


def answers(message: Any) -> Callable[[Any, Any], Any]:
    async def answer(request: Any, context: Any) -> Any:
        return message

    return answer


def fails(fault: Exception) -> Callable[[Any, Any], Any]:
    async def fail(request: Any, context: Any) -> Any:
        raise fault

    return fail


async def said(port: int, data: bytes, wait_s: float = 2) -> bytes:
    """What comes back for these very bytes, until it ends or nothing more comes for a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    found = b""
    try:
        async with asyncio.timeout(wait_s):
            while piece := await reader.read(65_536):
                found += piece
                if b"content-length" in found.lower() and found.endswith((b"}", b">")):
                    break
    except (TimeoutError, ConnectionError):
        return found
    finally:
        writer.close()
    return found


@dataclass
class Person:
    email: str
    tokens: dict[str, Any]

    @property
    def organization_id(self) -> str:
        return self.tokens["organization"]["organization_id"]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}


@dataclass
class World:
    """Everything that a test may touch."""

    url: str
    http: httpx.AsyncClient
    app: App
    env: dict[str, str]
    redis: Redis
    services: dict[str, Scripted]
    servers: dict[str, RpcServer] = field(repr=False)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def sign_up(self) -> Person:
        email = f"{uuid7()}@example.com"
        body = {
            "email": email,
            "password": PASSWORD,
            "organization_name": "Acme",
            "base_currency_code": "EUR",
        }
        answer = await self.http.post("/v1/signup", json=body)
        assert answer.status_code == 200, answer.text
        return Person(email, answer.json())

    async def api_key(self, owner: Person, *permissions: str) -> dict[str, Any]:
        body = {"display_name": "key", "permissions": list(permissions)}
        answer = await self.http.post("/v1/api_keys", json=body, headers=owner.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def running_gateway(env: dict[str, str], **changes: Any) -> AsyncIterator[tuple[App, str]]:
    """Serve a gateway from this process, at a free port."""
    port = free_port()
    generous = Rate(10_000, 10_000)
    defaults: dict[str, Any] = {
        "redis_url": env["REDIS_URL"],
        "listen": f"127.0.0.1:{port}",
        "public_read_rate": generous,
        "public_write_rate": generous,
        "drain_s": 5,
    }
    settings = Settings(**defaults | changes)
    app = App(settings, env)
    server = Server(configuration(app, settings))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        assert not serving.done()
    try:
        yield app, f"http://127.0.0.1:{port}"
    finally:
        app.drain()
        server.should_exit = True
        await serving


@pytest.fixture(scope="session")
async def auth(stores: Stores) -> AsyncIterator[Harness]:
    settings = {"AUTH_KEY_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    settings["AUTH_SERVICE_SECRETS"] = f"agent={'0' * 64}"
    async with running_services(stores, "auth", settings=settings) as services:
        yield services["auth"]


@pytest.fixture(scope="session")
async def session_world(stores: Stores, auth: Harness) -> AsyncIterator[World]:
    services = {name: Scripted(contract) for name, contract in CONTRACTS.items()}
    # Its Redis too: auth publishes into one of its own.
    env = dict(stores.env) | {
        name: auth.runtime.env[name] for name in ("AUTH_ADDRESS", "REDIS_URL")
    }
    servers = {}
    runtime = auth.runtime
    for name, contract in CONTRACTS.items():
        verifier = TokenVerifier(runtime.auth.jwks, name, runtime.redis, runtime.auth.check_session)
        servers[name] = await serve(
            name,
            "127.0.0.1:0",
            [(contract, services[name])],
            verifier=verifier,
            settings=RpcSettings(name),
        )
        env[f"{name.upper()}_ADDRESS"] = f"127.0.0.1:{servers[name].port}"
    redis: Redis = Redis.from_url(env["REDIS_URL"])
    async with running_gateway(env) as (app, url), httpx.AsyncClient(base_url=url) as http:
        yield World(url, http, app, env, redis, services, servers)
    for server in servers.values():
        await server.drain(0)
    await redis.aclose()


@pytest.fixture
async def world(session_world: World) -> World:
    for service in session_world.services.values():
        service.on.clear()
        service.seen.clear()
    return session_world


@pytest.fixture(scope="session")
async def person(session_world: World) -> Person:
    """Somebody who has signed up, for tests that leave nothing behind."""
    return await session_world.sign_up()


@dataclass
class KillableRedis:
    """A Redis of a test's own, that may be killed, started again and emptied."""

    embedded: Embedded
    url: str

    def client(self) -> Redis:
        return Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), socket_timeout=2)

    async def kill(self) -> None:
        await self.embedded.redis.kill()

    async def start(self) -> None:
        await self.embedded.redis.start()


@pytest.fixture(scope="session")
async def session_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KillableRedis]:
    elsewhere = {"ADMIN_DATABASE_URL": "none", "S3_ENDPOINT_URL": "none"}
    async with Embedded(tmp_path_factory.mktemp("redis"), elsewhere) as embedded:
        yield KillableRedis(embedded, embedded.env()["REDIS_URL"])


@pytest.fixture
async def own_redis(session_redis: KillableRedis) -> KillableRedis:
    await session_redis.start()
    async with session_redis.client() as client:
        await client.flushall()
    return session_redis
