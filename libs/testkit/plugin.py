"""The fixtures: `stores`."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from libs.blobs import Blobs, BlobSettings
from libs.embedded import Embedded, EmbeddedError
from libs.testkit.containers import containers
from libs.testkit.stores import Stores


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run choose its stores."""
    parser.addoption("--stores", choices=("embedded", "containers"), default="embedded")


def pytest_configure(config: pytest.Config) -> None:
    """Start the stores in containers, if they are wanted, for all that the run starts."""
    if config.getoption("--stores") == "containers":
        running = ExitStack()
        config.add_cleanup(running.close)
        try:
            os.environ.update(running.enter_context(containers()))
        except EmbeddedError as error:
            raise pytest.UsageError(str(error)) from error


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
