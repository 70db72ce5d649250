"""Real stores for a test run: embedded ones, or those that the environment names."""

import asyncio
import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
from redis.asyncio import Redis

from libs.pg import role_url
from libs.run.schemas import bring_one_up_to_date

REDIS_DATABASES = 16  # as many as a server has if nobody says otherwise
PASSWORD = "for-tests-only"  # noqa: S105  # of logins in a server that lives as long as the tests


@dataclass(frozen=True)
class Stores:
    """The settings by which the stores are found."""

    env: Mapping[str, str] = field(repr=False)

    async def database(self) -> str:
        """A new empty database; its admin URL."""
        name = f"test_{secrets.token_hex(6)}"
        admin = self.env["ADMIN_DATABASE_URL"]
        connection = await asyncpg.connect(admin)
        await connection.execute(f'create database "{name}" template template0')
        await connection.close()
        return urlunsplit(urlsplit(admin)._replace(path=f"/{name}"))

    async def service_env(self, *names: str) -> dict[str, str]:
        """The environment of services whose schemas stand in a new database."""
        admin = await self.database()
        env = dict(self.env) | {"REDIS_URL": await self._redis_url()}
        async with _one_at_a_time:  # logins belong to the server, not to one database
            for name in names:
                await bring_one_up_to_date(admin, name, lambda _: PASSWORD)
        for name in names:
            upper = name.upper()
            env[f"{upper}_DATABASE_URL"] = role_url(admin, f"{name}_app", PASSWORD)
            env[f"{upper}_SYSTEM_DATABASE_URL"] = role_url(admin, f"{name}_system", PASSWORD)
        return env | {"ADMIN_DATABASE_URL": admin}

    async def _redis_url(self) -> str:
        """An empty database of Redis, so that services under test do not take each other's work."""
        number = next(_redis_numbers) % (REDIS_DATABASES - 1) + 1
        url = urlunsplit(urlsplit(self.env["REDIS_URL"])._replace(path=f"/{number}"))
        client = Redis.from_url(url)
        await client.flushdb()
        await client.aclose()
        return url


_one_at_a_time = asyncio.Lock()
_redis_numbers = itertools.count()
