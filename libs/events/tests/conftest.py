"""The fixtures: `stores` for the run, a `world` for each test, and `running` parts in it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import pytest
from auditron.event.v1.event_pb2_grpc import EventLogServiceStub

from libs.embedded import Embedded
from libs.events.tests.trial.world import (
    World,
    new_database,
    open_database,
    redis_client,
    serve,
)

Run = Callable[[asyncio.Event], Awaitable[None]]


@pytest.fixture(scope="session")
async def stores(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    embedded = Embedded(tmp_path_factory.mktemp("embedded"))
    await embedded.start()
    yield embedded.env()
    await embedded.erase()


@pytest.fixture
async def world(stores: dict[str, str]) -> AsyncIterator[World]:
    url = await new_database(stores["ADMIN_DATABASE_URL"])
    redis = redis_client(stores["REDIS_URL"])
    await redis.flushall()
    producer, follower = [await open_database(url, name) for name in ("producer", "follower")]
    server, port = await serve(producer)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = EventLogServiceStub(channel)
        yield World(url, stores["REDIS_URL"], producer, follower, redis, stub)
    await server.stop(0)
    await producer.close()
    await follower.close()
    await redis.aclose()


@pytest.fixture
def running() -> Callable[..., AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(*parts: Run) -> AsyncIterator[None]:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(part(stop)) for part in parts]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    return run
