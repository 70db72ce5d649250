"""That keys come by themselves, read by one at a time."""

from datetime import UTC, datetime

import pytest

from libs.rpc import Unavailable
from libs.testkit import eventually
from services.auth import store
from services.auth.api import SigningKeys
from services.auth.settings import Settings


async def test_keys_are_read_in_the_background_by_one_reader(auth, monkeypatch):
    list_keys, reads = store.list_signing_keys, []

    async def counted(tx):
        reads.append(tx)
        return await list_keys(tx)

    monkeypatch.setattr(store, "list_signing_keys", counted)
    keys = SigningKeys(auth.runtime.db, Settings.from_env(auth.runtime.env))
    for _ in range(20):
        with pytest.raises(Unavailable):
            keys.active(datetime.now(UTC))

    async def at_hand():
        return keys._loading is None

    await eventually(at_hand)
    assert keys.active(datetime.now(UTC)).kid
    assert len(reads) == 1


async def test_old_keys_go_on_while_new_ones_cannot_be_read(auth, monkeypatch):
    keys = SigningKeys(auth.runtime.db, Settings.from_env(auth.runtime.env))
    await keys.load()
    key = keys.active(datetime.now(UTC))

    async def failing(tx):
        await tx.execute("select 1 / 0")

    monkeypatch.setattr(store, "list_signing_keys", failing)
    await keys._reload()
    assert keys.active(datetime.now(UTC)) is key
