import asyncio

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from libs.rpc.redis_client import redis_client


async def test_a_connection_that_was_just_lost_is_told_as_one_over_uvloop_too(stores):
    async def ask() -> None:
        redis = redis_client(stores.env()["REDIS_URL"])
        await redis.ping()
        [connection] = redis.connection_pool._available_connections
        connection._writer.transport.abort()
        await asyncio.sleep(0.01)
        with pytest.raises(RedisConnectionError):
            await connection.send_command("PING", check_health=False)
        assert await redis.ping()
        await redis.aclose()

    await stores.redis.start()
    await asyncio.to_thread(uvloop.run, ask())


async def test_a_dead_server_is_told_at_once():
    redis = redis_client("redis://127.0.0.1:1/0")
    with pytest.raises(RedisConnectionError):
        await redis.ping()
    await redis.aclose()


def test_an_encrypted_address_gets_an_encrypted_connection():
    kind = redis_client("rediss://127.0.0.1:1/0").connection_pool.connection_class
    assert kind.__name__ == "_Encrypted"
