"""Real stores for a test run: embedded ones, or those that the environment names."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]

from libs.pg import role_url
from libs.run.schemas import bring_one_up_to_date

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
        env = dict(self.env)
        async with _one_at_a_time:  # logins belong to the server, not to one database
            for name in names:
                await bring_one_up_to_date(admin, name, lambda _: PASSWORD)
        for name in names:
            upper = name.upper()
            env[f"{upper}_DATABASE_URL"] = role_url(admin, f"{name}_app", PASSWORD)
            env[f"{upper}_SYSTEM_DATABASE_URL"] = role_url(admin, f"{name}_system", PASSWORD)
        return env | {"ADMIN_DATABASE_URL": admin}


_one_at_a_time = asyncio.Lock()
