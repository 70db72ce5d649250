"""Imports a statement: reads its file in a child process, and makes transactions of its lines.

The lines are kept aside until the file's end is known to be sound and those are out that files of
another layout have brought; then the rest goes over, some at a time. Of an account, one statement
at a time is compared and goes over. Whatever was killed at any moment, the next attempt goes on
from there.
"""

import asyncio
import logging
import tempfile
from collections.abc import Mapping
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

from auditron.recon.v1 import recon_events_pb2, recon_pb2

from libs.blobs import Blobs
from libs.events import append
from libs.jobs import Task
from libs.pg import Database, Record, Tx
from libs.sandbox import Sandbox, SandboxError, SandboxKilled

from .. import booking, rules, store
from ..statements import repeated_lines

log = logging.getLogger(__name__)

READ = "services.recon.statements:read_lines"
MOVED = 2_000  # lines that are compared, or go over, in one transaction
DELETED = 10_000
# Transactions that so many lines are compared with: their texts are held in memory.
OTHERS_MAX = 20_000
BUSY_PAUSE = timedelta(seconds=1)
# The sandbox's own, not the file's.
_PASSING_ERRORS = {"StartFailed"}
_TOO_MUCH = {
    "memory": "Reading the file takes more memory than it may.",
    "cpu": "Reading the file takes more time than it may.",
    "time": "Reading the file takes more time than it may.",
}
_TOO_MANY = (
    f"More than {OTHERS_MAX:,} lines that files of another format have brought are of the same "
    "days and amounts; what is new cannot be told."
)
_NOT_ALL = "Not every line could be imported; import the file again."


class CannotRead(Exception):  # noqa: N818  # says what is wrong
    """The file is no statement that can be imported; the message says why."""


class Importing:
    """Runs the task `import_statement`."""

    def __init__(self, db: Database, blobs: Blobs, readers: Sandbox) -> None:
        self._db = db
        self._blobs = blobs
        self._readers = readers

    async def run(self, task: Task) -> None:
        """Import the statement, or fail it for what is wrong with its file."""
        organization_id, statement_id = task.organization_id, named_statement(task)
        async with self._db.tenant(organization_id) as tx:
            statement = await store.lock_importing(tx, statement_id)
        if statement is None:
            return
        try:
            if not statement["staged"]:
                await self._stage(organization_id, statement_id, statement)
            if not await self._take_account(organization_id, statement_id, task.actor):
                return
            if not statement["compared"]:
                await self._compare(organization_id, statement_id)
        except CannotRead as error:
            await self.fail(organization_id, statement_id, str(error))
            return
        await self._move(organization_id, statement_id)

    async def failed(self, task: Task, error: Exception) -> None:
        """End what was tried often enough; where lines have gone over, only after a day."""
        organization_id, statement_id = task.organization_id, named_statement(task)
        async with self._db.tenant(organization_id) as tx:
            statement = await store.lock_importing(tx, statement_id)
            if statement is None:
                return
            if statement["imported_count"] and not statement["is_old"]:
                await store.insert_import(tx, organization_id, statement_id, task.actor)
                return
        if not statement["imported_count"]:
            text = "Something went wrong; import it again."
            text = _TOO_MUCH.get(getattr(error, "reason", ""), text)
            await self.fail(organization_id, statement_id, text)
            return
        await self._forget(organization_id, statement_id)
        async with self._db.tenant(organization_id) as tx:
            if await store.lock_importing(tx, statement_id) is not None:
                await self._finish(tx, organization_id, statement_id, _NOT_ALL)

    async def fail(self, organization_id: str, statement_id: str, failure: str) -> None:
        """Forget the lines and say why nothing was imported."""
        await self._forget(organization_id, statement_id)
        async with self._db.tenant(organization_id) as tx:
            if await store.lock_importing(tx, statement_id) is not None:
                state = recon_pb2.STATEMENT_STATE_FAILED
                await finish(tx, organization_id, statement_id, state, failure=failure)
        log.info("statement refused", extra={"statement_id": statement_id})

    async def _forget(self, organization_id: str, statement_id: str) -> None:
        left = True
        while left:
            async with self._db.tenant(organization_id) as tx:
                left = await store.delete_lines(tx, statement_id, DELETED)

    async def _stage(self, organization_id: str, statement_id: str, statement: Record) -> None:
        """Read the whole file and keep its lines aside. Raises CannotRead."""
        with tempfile.NamedTemporaryFile(prefix="auditron-statement-") as file:
            chunks = self._blobs.get_stream(rules.object_key(organization_id, statement_id))
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
            file.flush()
            options = {
                "account_iban": statement["iban"],
                "currency_code": statement["currency_code"],
            }
            events: Any = self._readers.stream(READ, Path(file.name), options)
            async with aclosing(events):
                await self._keep(organization_id, statement_id, events)

    async def _keep(self, organization_id: str, statement_id: str, events: Any) -> None:
        number = 1
        try:
            async for event in events:
                async with self._db.tenant(organization_id) as tx:
                    statement = await store.lock_importing(tx, statement_id)
                    if statement is None or statement["staged"]:
                        return  # another worker has taken over and gone ahead
                    if lines := event.get("lines"):
                        await store.insert_lines(tx, organization_id, statement_id, number, lines)
                        number += len(lines)
                    else:
                        await store.update_staged(tx, statement_id, event["end"])
        except SandboxError as error:
            if error.kind in _PASSING_ERRORS:
                raise
            text = error.message if error.kind == "Malformed" else "The file cannot be read."
            raise CannotRead(text) from error
        except SandboxKilled as error:
            if error.reason not in _TOO_MUCH:
                raise
            raise CannotRead(_TOO_MUCH[error.reason]) from error

    async def _take_account(self, organization_id: str, statement_id: str, actor: str) -> bool:
        """Have the account to itself, or come again later; False also if the import is over."""
        async with self._db.tenant(organization_id) as tx:
            if await store.lock_importing(tx, statement_id) is None:
                return False
            if await store.take_account(tx, statement_id):
                return True
            await store.insert_import(tx, organization_id, statement_id, actor, BUSY_PAUSE)
        return False

    async def _compare(self, organization_id: str, statement_id: str) -> None:
        """Take the lines out that files of another layout have brought. Raises CannotRead.

        All of it comes before the first line goes over: up to here nothing is imported.
        """
        async with self._db.tenant(organization_id) as tx:
            compares = await store.has_other_layouts(tx, statement_id)
        if compares:
            await self._mark_seen(organization_id, statement_id)
            last: int | None = 0
            while last is not None:
                last = await self._compare_some(organization_id, statement_id, last)
        async with self._db.tenant(organization_id) as tx:
            await store.update_compared(tx, statement_id)

    async def _mark_seen(self, organization_id: str, statement_id: str) -> None:
        """Take the lines out that are there word for word.

        Only then it is known what is left to be compared.
        """
        last: int | None = 0
        while last is not None:
            async with self._db.tenant(organization_id) as tx:
                last = await store.mark_seen(tx, statement_id, last, MOVED)

    async def _compare_some(
        self, organization_id: str, statement_id: str, after: int
    ) -> int | None:
        """Compare the next lines; the last one's number, None if there was none."""
        async with self._db.tenant(organization_id) as tx:
            lines = _plain(await store.list_lines(tx, statement_id, after, MOVED))
            if not lines:
                return None
            first, last = lines[0]["number"], lines[-1]["number"]
            others = await store.list_others(tx, statement_id, first, last, OTHERS_MAX + 1)
        if len(others) > OTHERS_MAX:
            raise CannotRead(_TOO_MANY)
        repeated = await asyncio.to_thread(repeated_lines, lines, _plain(others))
        async with self._db.tenant(organization_id) as tx:
            statement = await store.lock_importing(tx, statement_id)
            if statement is None or statement["compared"]:
                return None  # another worker has taken over and gone ahead
            await store.mark_repeated(tx, statement_id, repeated)
        return int(last)

    async def _move(self, organization_id: str, statement_id: str) -> None:
        """Let the lines that are left become transactions."""
        while True:
            async with self._db.tenant(organization_id) as tx:
                if await store.lock_importing(tx, statement_id) is None:
                    return
                if not await store.take_lines(tx, statement_id, MOVED):
                    await self._finish(tx, organization_id, statement_id)
                    return

    async def _finish(
        self, tx: Tx, organization_id: str, statement_id: str, *warnings: str
    ) -> None:
        own = await store.get_balances(tx, statement_id)
        near = _plain(await store.get_neighbours(tx, statement_id))
        gaps = rules.gaps(own["opening_balance"], own["closing_balance"], near)
        state = recon_pb2.STATEMENT_STATE_IMPORTED
        await finish(tx, organization_id, statement_id, state, warnings=[*warnings, *gaps])
        await booking.request_reconciliation(tx, organization_id)


async def finish(tx: Tx, organization_id: str, statement_id: str, state: int, **said: Any) -> None:
    """End an import and tell of it."""
    statement, version = await store.finish_statement(tx, statement_id, state, **said)
    await append(
        tx,
        organization_id=organization_id,
        aggregate_type="statement",
        aggregate_id=statement_id,
        aggregate_version=version,
        payload=recon_events_pb2.StatementImported(statement=statement),
        actor=booking.ACTOR,
    )


def named_statement(task: Task) -> str:
    """The statement that a task is about."""
    return recon_pb2.GetStatementRequest.FromString(task.payload).statement_id


def _plain(rows: list[Record]) -> list[Mapping[str, Any]]:
    return [dict(row.items()) for row in rows]
