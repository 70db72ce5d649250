"""Work that a worker does again and again."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from libs.blobs import BlobsUnavailable
from libs.pg import CommitUncertain, DatabaseUnavailable
from libs.run.runtime import Loop

log = logging.getLogger(__name__)

OUTLIVED = (DatabaseUnavailable, CommitUncertain, BlobsUnavailable, RedisError, OSError)


def every(pause_s: float, work: Callable[[], Awaitable[object]]) -> Loop:
    """Do the work, wait, and do it again until told to stop; a store that is down is outlived."""

    async def run(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await work()
            except OUTLIVED as error:
                log.warning("done again later", extra={"error": repr(error)})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)

    return run
