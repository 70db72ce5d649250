"""Servers of the probe contract over loopback, and a Redis that a test may kill."""

from collections.abc import AsyncIterator

import grpc
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from libs.embedded import Embedded
from libs.rpc import RpcSettings, serve
from libs.rpc.tests.probe import CONTRACT, Auth, Probes, ProbeServiceStub, Running


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
async def running(auth: Auth) -> AsyncIterator[Running]:
    probes = Probes()
    server = await serve(
        "probe",
        "127.0.0.1:0",
        [(CONTRACT, probes)],
        verifier=auth.verifier(),
        settings=RpcSettings("probe"),
    )
    made = Running(server, probes, auth, f"127.0.0.1:{server.port}")
    yield made
    for channels in made.channels:
        await channels.close()
    await server.drain(0)


@pytest.fixture
async def bare(running: Running) -> AsyncIterator[ProbeServiceStub]:
    """A stub over a plain channel: what a foreign client is."""
    async with grpc.aio.insecure_channel(running.address) as channel:
        yield ProbeServiceStub(channel)


@pytest.fixture(scope="session")
async def stores(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    """Redis alone."""
    elsewhere = {"ADMIN_DATABASE_URL": "none", "S3_ENDPOINT_URL": "none"}
    async with Embedded(tmp_path_factory.mktemp("stores"), elsewhere) as found:
        yield found


@pytest.fixture
async def redis(stores: Embedded) -> AsyncIterator[Redis]:
    await stores.redis.start()
    client: Redis = Redis.from_url(stores.env()["REDIS_URL"], retry=Retry(NoBackoff(), 0))
    await client.flushall()
    yield client
    await client.aclose()
