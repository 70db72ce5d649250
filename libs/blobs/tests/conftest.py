"""The S3 of the environment, or else an embedded one without its neighbours."""

import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest_asyncio

from libs.blobs import Blobs, BlobSettings
from libs.embedded import Embedded

NO_NEIGHBOURS = {"ADMIN_DATABASE_URL": "unused", "REDIS_URL": "unused"}


@pytest_asyncio.fixture(scope="session")
async def env() -> AsyncIterator[Mapping[str, str]]:
    folder = Path(tempfile.mkdtemp(prefix="auditron-blobs-"))
    embedded = Embedded(folder, {**os.environ, **NO_NEIGHBOURS})
    await embedded.start()
    opened = Blobs(BlobSettings.from_env(embedded.env()))
    await opened.ensure_bucket()
    await opened.close()
    yield embedded.env()
    await embedded.erase()


@pytest_asyncio.fixture
async def blobs(env: Mapping[str, str]) -> AsyncIterator[Blobs]:
    opened = Blobs(BlobSettings.from_env(env))
    yield opened
    await opened.close()
