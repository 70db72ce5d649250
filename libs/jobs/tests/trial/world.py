"""A service with tasks over real stores, and what the tests do with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from google.protobuf.wrappers_pb2 import StringValue
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import libs.jobs
from libs.jobs import Task, enqueue
from libs.pg import Database, PgSettings, migrate, role_url, uuid7
from libs.testkit import eventually

FOLDER = Path(__file__).parent / "schema"
PASSWORD = "for-tests-only"
SCHEMA = "service"
ORGANIZATION = uuid7()


@dataclass(frozen=True)
class World:
    """The connections of one test."""

    admin_url: str
    redis_url: str
    db: Database
    redis: Redis

    async def enqueue(self, kind: str, text: str = "", **options: Any) -> str:
        """Enqueue a task of the organization in a transaction of its own."""
        async with self.db.tenant(ORGANIZATION) as tx:
            payload = StringValue(value=text)
            return await enqueue(tx, kind, payload, organization_id=ORGANIZATION, **options)

    async def rows(self, sql: str) -> list[asyncpg.Record]:
        """Do anything as the superuser, past row-level security."""
        con = await asyncpg.connect(self.admin_url, server_settings={"search_path": SCHEMA})
        try:
            return await con.fetch(sql)
        finally:
            await con.close()

    async def ended(self, task_id: str, state: str, within_s: float = 15) -> asyncpg.Record:
        """Wait until a task has a state, and return its row."""
        sql = f"select * from tasks where task_id = '{task_id}'"
        found = await eventually(
            lambda: self.rows(sql), lambda it: it[0]["state"] == state, within_s
        )
        return found[0]


def redis_client(url: str) -> Redis:
    """Make a client that says at once that Redis is down."""
    return Redis.from_url(
        url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=1, socket_timeout=5
    )


async def open_database(admin_url: str) -> Database:
    """Connect as the service."""
    urls = (role_url(admin_url, f"{SCHEMA}_{role}", PASSWORD) for role in ("app", "system"))
    return await Database.open(PgSettings(*urls), SCHEMA)


async def new_database(admin_url: str) -> str:
    """Make a database with the service's schema, and return its URL."""
    name = f"test_{uuid7().replace('-', '')}"
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"create database {name}")
    await admin.close()
    url = urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
    await migrate(
        url,
        SCHEMA,
        FOLDER,
        app_password=PASSWORD,
        system_password=PASSWORD,
        extra=[libs.jobs.SCHEMA],
    )
    return url


async def write_down(db: Database, task: Task, what: str) -> None:
    """Note what happens to a task."""
    async with db.tenant(task.organization_id) as tx:
        await tx.execute(
            "insert into runs (organization_id, task_id, attempt, what) values ($1, $2, $3, $4)",
            task.organization_id,
            task.task_id,
            task.attempt,
            what,
        )
