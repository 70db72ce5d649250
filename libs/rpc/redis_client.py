"""The client of Redis that every process has: it fails at once, and by a RedisError."""

from typing import Any

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

_CLOSED = "The connection was lost before the command was written."


class _Plain(Connection):
    """Over uvloop, writing to a connection that is lost raises RuntimeError: it gets its name."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(_CLOSED) from error


class _Encrypted(SSLConnection):
    """The same by TLS."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(_CLOSED) from error


def redis_client(url: str) -> Redis:
    """A client that fails at once instead of hiding a dead server behind retries."""
    pool: Any = ConnectionPool.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=1,
        socket_timeout=5,
        health_check_interval=30,
    )
    kinds = {Connection: _Plain, SSLConnection: _Encrypted}
    pool.connection_class = kinds.get(pool.connection_class, pool.connection_class)
    return Redis.from_pool(pool)
