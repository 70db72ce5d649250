"""Key rotation, what Redis is told, and the sweeper."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from auditron.auth.v1 import auth_pb2

from libs.pg import uuid7
from libs.rpc.sessions import READY, REVOKED
from libs.testkit import eventually
from services.auth import jobs, store
from services.auth.settings import Settings


async def test_a_key_is_made_once_however_often_it_is_asked_for(auth):
    settings = Settings.from_env(auth.runtime.env)
    async with auth.runtime.db.unscoped() as tx:
        before = await store.list_signing_keys(tx)
    await jobs.ensure_key(auth.runtime.db, settings)
    async with auth.runtime.db.unscoped() as tx:
        assert await store.list_signing_keys(tx) == before


async def test_the_next_key_is_published_before_it_signs(auth, people):
    settings = Settings.from_env(auth.runtime.env)
    rotating = replace(settings, key_publish=settings.key_life)
    await jobs.ensure_key(auth.runtime.db, rotating)
    jwks = await people.anonymous.GetJwks(auth_pb2.GetJwksRequest())
    assert len(jwks.keys) == 2
    assert all(key.alg == "ES256" and key.crv == "P-256" for key in jwks.keys)
    assert (await people.sign_up()).tokens.access_token


async def test_redis_is_told_of_ended_sessions_again_after_it_was_emptied(auth, people):
    person = await people.sign_up()
    session = (await person.client.ListSessions(auth_pb2.ListSessionsRequest())).sessions[0]
    await person.client.LogOut(auth_pb2.LogOutRequest())
    key = REVOKED + session.session_id
    assert await auth.runtime.redis.get(key)
    await auth.runtime.redis.delete(key, READY)
    await eventually(lambda: auth.runtime.redis.get(READY))
    assert await auth.runtime.redis.get(key)


async def test_pictures_that_nobody_names_are_swept_many_at_a_time(auth, monkeypatch):
    monkeypatch.setattr(jobs, "UNNAMED_FOR", timedelta(seconds=-5))
    monkeypatch.setattr(jobs, "BATCH", 2)
    blobs, user_id, looked_up = auth.runtime.blobs, uuid7(), []
    keys = [f"pictures/{user_id}/{number}.png" for number in range(5)]
    for key in keys:
        await blobs.put_bytes(key, b"x", "image/png")
    async with auth.runtime.db.tenant(user_id) as tx:
        await store.insert_user(tx, user_id, f"{user_id}@example.com", "hash", "One")
        await store.update_picture(tx, user_id, keys[3])
    list_unnamed = store.list_unnamed_pictures

    async def counted(tx, some):
        looked_up.append(len(some))
        return await list_unnamed(tx, some)

    monkeypatch.setattr(store, "list_unnamed_pictures", counted)
    everything = [blob async for blob in blobs.list("pictures/")]
    await jobs.sweep_pictures(auth.runtime.db, blobs)
    assert [blob.key async for blob in blobs.list(f"pictures/{user_id}/")] == [keys[3]]
    assert sum(looked_up) == len(everything)
    assert all(size == 2 for size in looked_up[:-1])


def test_settings_refuse_a_key_of_the_wrong_length():
    short = {"AUTH_KEY_ENCRYPTION_KEY": base64.b64encode(b"short").decode()}
    with pytest.raises(ValueError, match="32 bytes"):
        Settings.from_env(short)
