"""A service's connections to its schema: short transactions and single reads of one tenant."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]

from libs.telemetry.metrics import DB_QUERY_SECONDS

from .connection import Record, Tx, checked, set_organization
from .tracing import traced

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # the server said good-bye while no query was running
    TimeoutError,  # the server said nothing for longer than it lets a statement take
)
_DATABASE_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
# An unset organization, in case something set one for the session.
_BEGIN = "begin; set local auditron.organization_id = ''"


class DatabaseUnavailable(Exception):  # noqa: N818
    """The database cannot be reached or was lost; nothing was written, the call may be repeated."""


class CommitUncertain(Exception):  # noqa: N818
    """The connection was lost while committing: the transaction happened in whole or not at all."""


@dataclass(frozen=True)
class PgSettings:
    """Where a service's database is (`postgresql://role:password@host:port/name`), and limits."""

    url: str = field(repr=False)
    system_url: str = field(repr=False)
    pool_size: int = 10
    system_pool_size: int = 4
    acquire_timeout_s: float = 2.0
    statement_timeout_s: float = 10.0
    idle_in_transaction_timeout_s: float = 10.0


def role_url(admin_url: str, role: str, password: str) -> str:
    """Return the URL by which another role reaches the same database."""
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    login = f"{quote(role, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{place}"))


class Database:
    """Two pools on one schema, one for each login role of the service. Made by `open`."""

    def __init__(self, app: Any, system: Any, settings: PgSettings, schema: str) -> None:
        self.schema = schema
        self._app = app
        self._system = system
        self.settings = settings
        self._read_seconds = DB_QUERY_SECONDS.labels(schema, "read")
        self._transaction_seconds = DB_QUERY_SECONDS.labels(schema, "transaction")

    @classmethod
    async def open(cls, settings: PgSettings, schema: str) -> Self:
        """Connect with the app role; DatabaseUnavailable if that fails. `close` it at the end."""
        try:
            app = await _pool(settings, settings.url, schema, 1, settings.pool_size)
        except (OSError, *_LOST) as error:
            raise DatabaseUnavailable(f"cannot connect: {error}") from error
        system = await _pool(settings, settings.system_url, schema, 0, settings.system_pool_size)
        return cls(app, system, settings, schema)

    async def close(self) -> None:
        """Wait for running transactions, at most 5 s, and close all connections."""
        for pool in (self._app, self._system):
            try:
                await asyncio.wait_for(pool.close(), 5)
            except TimeoutError:
                pool.terminate()

    def tenant(self, organization_id: str) -> AbstractAsyncContextManager[Tx]:
        """One short transaction that sees and writes the rows of one organization.

        Commits at the end, rolls back if anything is raised. ValueError if the id is no UUID;
        DatabaseUnavailable, CommitUncertain.
        """
        return self._transaction(self._app, f"begin; {set_organization(organization_id)}")

    def unscoped(self) -> AbstractAsyncContextManager[Tx]:
        """One short transaction of the app role without organization, as `tenant` otherwise.

        It sees tables without customers' data, and may call the look-up functions.
        """
        return self._transaction(self._app, _BEGIN)

    def system(self) -> AbstractAsyncContextManager[Tx]:
        """One short transaction of the system role: all organizations, but only a few tables."""
        return self._transaction(self._system, _BEGIN)

    async def read(self, organization_id: str, sql: str, *args: Any) -> list[Record]:
        """Return the rows of one select (no semicolon) of one organization, in one round trip.

        It is planned as if there were a typical number of rows an organization.
        Raises ValueError if the id is no UUID, DatabaseUnavailable.
        """
        organization = checked(organization_id)
        gated = _gated(sql, len(args) + 1)
        started = perf_counter()
        con = await self._acquire(self._app)
        try:
            with _losses_named(con), traced(con, self.schema):
                rows = await con.fetch(gated, *args, organization)
        finally:
            await _release(self._app, con)
        self._read_seconds.observe(perf_counter() - started)
        return cast("list[Record]", rows)

    @asynccontextmanager
    async def _transaction(self, pool: Any, begin: str) -> AsyncIterator[Tx]:
        started = perf_counter()
        con = await self._acquire(pool)
        try:
            with _losses_named(con):
                try:
                    await con.execute(begin)
                    with traced(con, self.schema):
                        yield con
                    await _commit(con)
                except BaseException:
                    await _rollback(con)
                    raise
        finally:
            await _release(pool, con)
            self._transaction_seconds.observe(perf_counter() - started)

    async def _acquire(self, pool: Any) -> Any:
        try:
            return await pool.acquire(timeout=self.settings.acquire_timeout_s)
        except TimeoutError as error:
            raise DatabaseUnavailable("no connection came free in time") from error
        except (OSError, *_LOST) as error:
            raise DatabaseUnavailable(f"cannot connect: {error}") from error


async def _pool(settings: PgSettings, url: str, schema: str, min_size: int, max_size: int) -> Any:
    return await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        max_queries=1_000_000,
        reset=_keep_session,
        statement_cache_size=200,
        max_cached_statement_lifetime=0,
        command_timeout=settings.statement_timeout_s + 1,  # the server's own limit comes first
        timeout=5,
        server_settings={
            "application_name": f"auditron {schema}",
            "search_path": f"{schema}, pg_catalog",
            "statement_timeout": str(int(settings.statement_timeout_s * 1000)),
            "idle_in_transaction_session_timeout": str(
                int(settings.idle_in_transaction_timeout_s * 1000)
            ),
            "jit": "off",
            "timezone": "UTC",
        },
    )


async def _keep_session(con: Any) -> None:
    """Reset nothing, and so save a round trip: all state that we set ends with its transaction."""


@lru_cache(maxsize=1024)
def _gated(sql: str, number: int) -> str:
    """Wrap a select so that the organization is set before its first row is looked for.

    The condition holds no column, so PostgreSQL checks it once, above the whole inner plan. "offset
    0" keeps the inner select apart: else its own such conditions ("where exists (select ...)")
    would stand beside ours and might be checked first, when nothing is to be seen yet.
    """
    inner = f"select * from (\n{sql}\n) s offset 0"  # noqa: S608
    gate = f"select set_config('auditron.organization_id', ${number}, true)"
    return f"select q.* from ({inner}) q where ({gate}) is not null"  # noqa: S608


@contextmanager
def _losses_named(con: Any) -> Iterator[None]:
    try:
        yield
    except asyncpg.InvalidCachedStatementError as error:
        raise DatabaseUnavailable(f"the schema has just changed: {error}") from error
    except _DATABASE_ERRORS as error:
        if _is_loss(con, error):
            raise DatabaseUnavailable(f"connection lost: {error}") from error
        raise


def _is_loss(con: Any, error: Exception) -> bool:
    """Say whether an error means that the connection is gone; then also let the client know."""
    if isinstance(error, _LOST):
        _terminate(con)
    return _is_closed(con)


def _terminate(con: Any) -> None:
    if not _is_closed(con):
        con.terminate()


def _is_closed(con: Any) -> bool:
    try:
        return bool(con.is_closed())
    except asyncpg.InterfaceError:  # the pool has taken the lost connection away already
        return True


async def _rollback(con: Any) -> None:
    """Roll back, unless the connection is lost and with it the transaction."""
    if _is_closed(con):
        return
    try:
        await con.execute("rollback")
    except _DATABASE_ERRORS:
        _terminate(con)
    except asyncio.CancelledError:
        _terminate(con)
        raise


async def _release(pool: Any, con: Any) -> None:
    """Give the connection back; one that was just lost is dropped by the pool."""
    releasing = asyncio.create_task(pool.release(con))
    # If we are cancelled meanwhile it goes on alone, and what it fails with is nobody's.
    releasing.add_done_callback(lambda done: done.cancelled() or done.exception())
    with suppress(*_DATABASE_ERRORS):
        await asyncio.shield(releasing)


async def _commit(con: Any) -> None:
    if _is_closed(con):
        raise DatabaseUnavailable("connection lost before the commit")
    try:
        status = await con.execute("commit")
    except asyncpg.InternalClientError as error:  # it was not even sent
        _terminate(con)
        raise DatabaseUnavailable("connection lost before the commit") from error
    except _DATABASE_ERRORS as error:
        if _is_loss(con, error):
            raise CommitUncertain(f"connection lost in the commit: {error}") from error
        raise
    if status != "COMMIT":
        raise RuntimeError("nothing was committed: an error of a statement was caught, not raised")
