"""A folder that every user can reach, and its removal."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.embedded import Embedded


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="auditron-embedded-"))


@pytest.fixture
def folder() -> Iterator[Path]:
    made = new_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest_asyncio.fixture(scope="session")
async def running() -> AsyncIterator[Embedded]:
    """Servers for all tests that leave them whole."""
    servers = Embedded(new_folder(), environ={})
    await servers.start()
    yield servers
    await servers.erase()


@pytest_asyncio.fixture
async def embedded(running: Embedded) -> Embedded:
    """Those servers, started again if the test before has failed halfway."""
    for server in (running.postgres, running.redis, running.s3):
        await server.start()
    return running
