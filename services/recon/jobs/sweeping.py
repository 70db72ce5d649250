"""Deletes the objects that no statement names: those of uploads that did not come to their end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from libs.blobs import Blobs, BlobsUnavailable
from libs.pg import CommitUncertain, Database, DatabaseUnavailable

from .. import rules, store

log = logging.getLogger(__name__)

EVERY_S = 3_600.0
# Longer than an upload may take.
UNNAMED_FOR = timedelta(hours=1)
LOOKED_UP = 1_000


async def sweep(db: Database, blobs: Blobs) -> None:
    """Look at every object once."""
    before = datetime.now(UTC) - UNNAMED_FOR
    some: list[tuple[str, str]] = []
    async for blob in blobs.list("statements/"):
        organization_id, _, statement_id = blob.key.removeprefix("statements/").partition("/")
        ours = rules.is_uuid(organization_id) and rules.is_uuid(statement_id)
        if ours and blob.modify_time < before:
            some.append((organization_id, statement_id))
        if len(some) == LOOKED_UP:
            await _delete_unnamed(db, blobs, some)
            some = []
    await _delete_unnamed(db, blobs, some)


async def _delete_unnamed(db: Database, blobs: Blobs, some: list[tuple[str, str]]) -> None:
    async with db.unscoped() as tx:
        unnamed = await store.unnamed_statements(tx, some)
    for organization_id, statement_id in unnamed:
        await blobs.delete(rules.object_key(organization_id, statement_id))


def sweeping(db: Database, blobs: Blobs) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Sweep every hour until told to stop."""

    async def run(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await sweep(db, blobs)
            except (DatabaseUnavailable, CommitUncertain, BlobsUnavailable) as error:
                log.warning("swept later", extra={"error": repr(error)})
            try:
                await asyncio.wait_for(stop.wait(), EVERY_S)
            except TimeoutError:
                continue

    return run
