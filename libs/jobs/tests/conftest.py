"""The fixtures: `stores` for the run, a `world` for each test, and `working` workers in it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from libs.embedded import Embedded
from libs.jobs import Worker
from libs.jobs.tests.trial.world import World, new_database, open_database, redis_client


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
    db = await open_database(url)
    yield World(url, stores["REDIS_URL"], db, redis)
    await db.close()
    await redis.aclose()


@pytest.fixture
def working() -> Callable[..., AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(*workers: Worker) -> AsyncIterator[None]:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(worker.run(stop)) for worker in workers]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    return run
