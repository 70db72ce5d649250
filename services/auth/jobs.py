"""What auth does outside a request: rotates keys, keeps Redis told of ended sessions, sweeps."""

import logging
from datetime import UTC, datetime, timedelta

from libs.blobs import Blobs
from libs.pg import Database
from libs.rpc.sessions import READY, REVOKED
from libs.run.loops import every
from libs.run.runtime import Loop, Runtime

from . import rules, signing, store
from .settings import Settings

log = logging.getLogger(__name__)

KEYS_EVERY_S = 60.0
REVOCATIONS_EVERY_S = 2.0
SWEEP_EVERY_S = 3_600.0
UNNAMED_FOR = timedelta(hours=1)
BATCH = 1_000
# Redis may come back with what it knew long ago: that it knows all has to be said again and again.
READY_S = 10


async def ensure_key(db: Database, settings: Settings) -> None:
    """Make the next signing key when it is time, and forget what nobody needs."""
    async with db.unscoped() as tx:
        await store.lock_signing_keys(tx)
        times = rules.next_key_times(await store.list_signing_keys(tx), settings, datetime.now(UTC))
        if times:
            key_id, sealed, public = signing.make_key(settings.key_encryption_key)
            await store.insert_signing_key(tx, key_id, sealed, public, times)
            log.info("signing key made", extra={"key_id": key_id})
        await store.delete_signing_keys(tx, settings.access_life * 2)
        await store.delete_old_attempts(tx)


async def tell_revocations(runtime: Runtime, settings: Settings) -> None:
    """Have Redis know every session whose tokens must not count, and that it knows them all."""
    async with runtime.db.unscoped() as tx:
        ended = await store.revoked_since(tx, settings.access_life)
    life_s = int(settings.access_life.total_seconds()) + 60
    async with runtime.redis.pipeline(transaction=True) as pipe:
        for session_id in ended:
            pipe.set(REVOKED + session_id, 1, ex=life_s, nx=True)
        pipe.set(READY, 1, ex=READY_S)
        await pipe.execute()


async def sweep_pictures(db: Database, blobs: Blobs) -> None:
    """Delete pictures that no user names any more."""
    before = datetime.now(UTC) - UNNAMED_FOR
    found: list[str] = []
    async for blob in blobs.list("pictures/"):
        if blob.modify_time <= before:
            found.append(blob.key)
        if len(found) == BATCH:
            await _delete_unnamed(db, blobs, found)
            found = []
    await _delete_unnamed(db, blobs, found)


async def _delete_unnamed(db: Database, blobs: Blobs, keys: list[str]) -> None:
    if not keys:
        return
    async with db.unscoped() as tx:
        unnamed = await store.list_unnamed_pictures(tx, keys)
    for key in unnamed:
        await blobs.delete(key)


def loops(runtime: Runtime, settings: Settings) -> list[Loop]:
    """The work of the worker role."""
    return [
        every(KEYS_EVERY_S, lambda: ensure_key(runtime.db, settings)),
        every(REVOCATIONS_EVERY_S, lambda: tell_revocations(runtime, settings)),
        every(SWEEP_EVERY_S, lambda: sweep_pictures(runtime.db, runtime.blobs)),
    ]
