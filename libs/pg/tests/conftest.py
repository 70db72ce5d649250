"""A server for the session, a database for each module, a service's schema in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from libs.embedded import Embedded
from libs.pg import Database, PgSettings, migrate, role_url, uuid7

SCHEMA = Path(__file__).parent / "trial" / "schema"


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    embedded = Embedded(tmp_path_factory.mktemp("embedded"))
    await embedded.start()
    yield embedded.env()["ADMIN_DATABASE_URL"]
    await embedded.erase()


@pytest.fixture(scope="module")
async def admin_url(postgres: str) -> AsyncIterator[str]:
    name = f"test_{uuid7().replace('-', '')}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"create database {name}")
    yield f"{postgres.rpartition('/')[0]}/{name}"
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture(scope="module")
async def settings(admin_url: str) -> PgSettings:
    await migrate(admin_url, "trial", SCHEMA, app_password="a:p/p@ %", system_password="s")
    return PgSettings(
        role_url(admin_url, "trial_app", "a:p/p@ %"),
        role_url(admin_url, "trial_system", "s"),
        pool_size=4,
    )


@pytest.fixture(scope="module")
async def db(settings: PgSettings) -> AsyncIterator[Database]:
    database = await Database.open(settings, schema="trial")
    yield database
    await database.close()


@pytest.fixture
async def admin(admin_url: str) -> AsyncIterator[asyncpg.Connection]:
    con = await asyncpg.connect(admin_url, server_settings={"search_path": "trial"})
    yield con
    await con.close()
