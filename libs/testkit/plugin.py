"""The fixtures: `stores`."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.blobs import Blobs, BlobSettings
from libs.embedded import Embedded
from libs.testkit.stores import Stores


@pytest.fixture(scope="session")
async def stores() -> AsyncIterator[Stores]:
    """The stores of this test run; gone at its end, unless the environment names real ones."""
    embedded = Embedded(Path(tempfile.mkdtemp(prefix="auditron-test-")))
    await embedded.start()
    try:
        env = embedded.env()
        await Blobs(BlobSettings.from_env(env)).ensure_bucket()
        yield Stores(env)
    finally:
        await embedded.erase()
