"""What a transaction and a row offer to those who use them."""

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol


class Record(Protocol):
    """A row: its values by column name or by index."""

    def __getitem__(self, key: str | int) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def get(self, key: str, default: Any = None) -> Any: ...  # noqa: D102
    def keys(self) -> Iterator[str]: ...  # noqa: D102
    def values(self) -> Iterator[Any]: ...  # noqa: D102
    def items(self) -> Iterator[tuple[str, Any]]: ...  # noqa: D102


class Tx(Protocol):
    """An asyncpg connection inside a transaction that others begin and end."""

    async def execute(self, query: str, *args: Any) -> str:
        """Run a statement, or several if there are no arguments, and return the last's status."""

    async def executemany(self, command: str, args: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each sequence of arguments, all in few round trips."""

    async def fetch(self, query: str, *args: Any) -> list[Record]:
        """Return all rows."""

    async def fetchrow(self, query: str, *args: Any) -> Record | None:
        """Return the first row, None if there is none."""

    async def fetchval(self, query: str, *args: Any, column: int = 0) -> Any:
        """Return a value of the first row, None if there is none."""

    def cursor(self, query: str, *args: Any, prefetch: int | None = None) -> AsyncIterator[Record]:
        """Go through the rows without holding all of them."""


def checked(organization_id: str) -> str:
    """Return the id as PostgreSQL writes it; ValueError if it is no UUID."""
    return str(uuid.UUID(organization_id))


def set_organization(organization_id: str) -> str:
    """Return the statement that names the transaction's organization; ValueError if no UUID."""
    return f"set local auditron.organization_id = '{checked(organization_id)}'"


async def use_organization(tx: Tx, organization_id: str) -> None:
    """Set the organization whose rows the transaction sees from here on; ValueError if no UUID."""
    await tx.execute(set_organization(organization_id))


@asynccontextmanager
async def savepoint(tx: Tx) -> AsyncIterator[None]:
    """Undo what is done inside if it raises, and leave the transaction usable. May be nested.

    An organization set inside is undone with it.
    """
    await tx.execute("savepoint inner_part")
    try:
        yield
    except BaseException:
        await tx.execute("rollback to savepoint inner_part; release savepoint inner_part")
        raise
    await tx.execute("release savepoint inner_part")
