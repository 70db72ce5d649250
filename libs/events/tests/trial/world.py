"""Two services over real stores: a producer changes accounts, a follower books the changes."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import grpc
from auditron.event.v1.event_pb2 import Event
from auditron.event.v1.event_pb2_grpc import (
    EventLogServiceStub,
    add_EventLogServiceServicer_to_server,
)
from auditron.type.v1.money_pb2 import Money
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import libs.events
from libs.events import EventLog, append
from libs.pg import Database, PgSettings, Tx, migrate, role_url, uuid7

FOLDER = Path(__file__).parent / "schema"
PASSWORD = "for-tests-only"


@dataclass(frozen=True)
class World:
    """The connections of one test."""

    admin_url: str
    redis_url: str
    producer: Database
    follower: Database
    redis: Redis
    stub: EventLogServiceStub


def redis_client(url: str) -> Redis:
    """Make a client that says at once that Redis is down."""
    return Redis.from_url(
        url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=1, socket_timeout=5
    )


async def open_database(admin_url: str, schema: str) -> Database:
    """Connect as the service of that name."""
    urls = (role_url(admin_url, f"{schema}_{role}", PASSWORD) for role in ("app", "system"))
    return await Database.open(PgSettings(*urls), schema)


async def new_database(admin_url: str) -> str:
    """Make a database with the schemas producer and follower, and return its URL."""
    name = f"test_{uuid7().replace('-', '')}"
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"create database {name}")
    await admin.close()
    url = urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
    for schema in ("producer", "follower"):
        await migrate(
            url,
            schema,
            FOLDER,
            app_password=PASSWORD,
            system_password=PASSWORD,
            extra=[libs.events.SCHEMA],
        )
    return url


async def serve(db: Database, port: int = 0) -> tuple[grpc.aio.Server, int]:
    """Serve the log of a service on a port, a free one if it is 0."""
    server = grpc.aio.server()
    add_EventLogServiceServicer_to_server(EventLog(db), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, port


async def change(
    db: Database, organization_id: str, account_id: str, amount: int, hold_s: float = 0
) -> str:
    """Change an account, hold the transaction open for a while, and return the event_id."""
    async with db.tenant(organization_id) as tx:
        version = await tx.fetchval(
            "insert into accounts values ($1, $2, 1) on conflict (organization_id, account_id)"
            " do update set version = accounts.version + 1 returning version",
            organization_id,
            account_id,
        )
        event_id = await append(
            tx,
            organization_id=organization_id,
            aggregate_type="account",
            aggregate_id=account_id,
            aggregate_version=version,
            payload=Money(amount=str(amount), currency_code="EUR"),
            actor="user:1",
        )
        await asyncio.sleep(hold_s)
    return event_id


async def book(tx: Tx, event: Event, money: Money) -> None:
    """Write one effect of a change."""
    await tx.execute(
        "insert into effects (organization_id, event_id, account_id, version, amount)"
        " values ($1, $2, $3, $4, $5)",
        event.organization_id,
        event.event_id,
        event.aggregate_id,
        event.aggregate_version,
        Decimal(money.amount),
    )


async def rows(admin_url: str, sql: str) -> list[asyncpg.Record]:
    """Read as the superuser, past row-level security."""
    con = await asyncpg.connect(admin_url)
    try:
        return await con.fetch(sql)
    finally:
        await con.close()
