"""Deletes the objects that no statement names: those of uploads that did not come to their end."""

from datetime import UTC, datetime, timedelta

from libs.blobs import Blobs
from libs.pg import Database
from libs.rpc import is_uuid
from libs.run.loops import every
from libs.run.runtime import Loop

from .. import rules, store

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
        ours = is_uuid(organization_id) and is_uuid(statement_id)
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


def sweeper(db: Database, blobs: Blobs) -> Loop:
    """Sweep every hour until told to stop."""
    return every(EVERY_S, lambda: sweep(db, blobs))
