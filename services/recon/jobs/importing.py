"""Imports a statement: reads its file in a child process, and makes transactions of its lines.

The lines are kept aside until the file's end is known to be sound; then they go over, some at a
time. Whatever was killed at any moment, the next attempt goes on from there.
"""

import asyncio
import logging
import tempfile
from collections.abc import Mapping
from contextlib import aclosing
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
MOVED = 2_000  # lines that go over in one transaction
DELETED = 10_000
# The sandbox's own, not the file's.
_PASSING_ERRORS = {"StartFailed"}
_TOO_MUCH = {
    "memory": "Reading the file takes more memory than it may.",
    "cpu": "Reading the file takes more time than it may.",
    "time": "Reading the file takes more time than it may.",
}


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
        if not statement["staged"]:
            try:
                await self._stage(organization_id, statement_id, statement)
            except CannotRead as error:
                await self.fail(organization_id, statement_id, str(error))
                return
        await self._move(organization_id, statement_id)

    async def failed(self, task: Task, error: Exception) -> None:
        """End what was tried often enough; what has begun to go over is never given up."""
        organization_id, statement_id = task.organization_id, named_statement(task)
        async with self._db.tenant(organization_id) as tx:
            statement = await store.lock_importing(tx, statement_id)
            if statement is not None and statement["staged"]:
                await store.insert_import(tx, organization_id, statement_id, task.actor)
                return
        text = _TOO_MUCH.get(getattr(error, "reason", ""), "Something went wrong; import it again.")
        await self.fail(organization_id, statement_id, text)

    async def fail(self, organization_id: str, statement_id: str, failure: str) -> None:
        """Forget the lines and say why nothing was imported."""
        left = True
        while left:
            async with self._db.tenant(organization_id) as tx:
                left = await store.delete_lines(tx, statement_id, DELETED)
        async with self._db.tenant(organization_id) as tx:
            if await store.lock_importing(tx, statement_id) is not None:
                state = recon_pb2.STATEMENT_STATE_FAILED
                await finish(tx, organization_id, statement_id, state, failure=failure)
        log.info("statement refused", extra={"statement_id": statement_id})

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

    async def _move(self, organization_id: str, statement_id: str) -> None:
        """Let the lines become transactions, those that are none yet."""
        marked = False
        while True:
            async with self._db.tenant(organization_id) as tx:
                if not await store.lock_moving(tx, statement_id):
                    return
                compares = await store.has_other_layouts(tx, statement_id)
                if marked or not compares:
                    if not await self._move_some(tx, statement_id, compares=compares):
                        await self._finish(tx, organization_id, statement_id)
                        return
                    continue
            await self._mark_seen(organization_id, statement_id)
            marked = True

    async def _move_some(self, tx: Tx, statement_id: str, *, compares: bool) -> bool:
        """Let the next lines go over; False if there is none."""
        lines = _plain(await store.list_lines(tx, statement_id, MOVED))
        if not lines:
            return False
        last, repeated = lines[-1]["number"], dict[int, str]()
        if compares:
            others = _plain(await store.list_others(tx, statement_id, last))
            repeated = repeated_lines(lines, others)
        await store.take_lines(tx, statement_id, last, repeated)
        return True

    async def _mark_seen(self, organization_id: str, statement_id: str) -> None:
        """Note which lines files of another layout have word for word.

        Only then it is known what is left to be compared.
        """
        last: int | None = 0
        while last is not None:
            async with self._db.tenant(organization_id) as tx:
                last = await store.mark_seen(tx, statement_id, last, MOVED)

    async def _finish(self, tx: Tx, organization_id: str, statement_id: str) -> None:
        own = await store.get_balances(tx, statement_id)
        near = _plain(await store.get_neighbours(tx, statement_id))
        warnings = rules.gaps(own["opening_balance"], own["closing_balance"], near)
        state = recon_pb2.STATEMENT_STATE_IMPORTED
        await finish(tx, organization_id, statement_id, state, warnings=warnings)
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
