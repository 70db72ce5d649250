"""Statements: taken as a stream of bytes, looked at from the outside, handed to the import."""

import asyncio
import errno
import hashlib
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from auditron.recon.v1 import recon_pb2

from libs.blobs import Blobs, BlobsUnavailable
from libs.pg import Database, requests, uuid7
from libs.rpc import InvalidArgument, Unavailable, caller, check, is_uuid, page_asked, page_of

from .. import errors, rules, store

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
SIZE_BYTES_MAX = 200_000_000
CHUNK_BYTES_MAX = 256 * 1024
HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Spooled:
    """A whole file on disk."""

    path: Path
    head: bytes
    size_bytes: int
    # Hexadecimal.
    sha256: str


class StatementsApi:
    """The files that banks give."""

    def __init__(self, db: Database, blobs: Blobs) -> None:
        self._db = db
        self._blobs = blobs

    async def ImportStatement(
        self, requests_in: AsyncIterator[recon_pb2.ImportStatementRequest], context: Context
    ) -> recon_pb2.Statement:
        header = await _header(requests_in)
        organization_id = caller().organization_id
        account = await store.get_bank_account(self._db, organization_id, header.bank_account_id)
        async with _spooled(_chunks(requests_in)) as file:
            statement = recon_pb2.Statement(
                statement_id=uuid7(),
                bank_account_id=account.bank_account_id,
                filename=header.filename,
                format=rules.statement_format(file.head),
                size_bytes=file.size_bytes,
            )
            key = rules.object_key(organization_id, statement.statement_id)
            try:
                await self._blobs.put_file(key, file.path, "application/octet-stream")
            except BlobsUnavailable as error:
                raise Unavailable("The file store is not reachable.", retry_after_s=2) from error
            made = await self._insert(header, statement, file.sha256, account.currency_code)
        if made.statement_id != statement.statement_id:
            with suppress(BlobsUnavailable):  # then it is swept
                await self._blobs.delete(key)
        return made

    async def GetStatement(
        self, request: recon_pb2.GetStatementRequest, context: Context
    ) -> recon_pb2.Statement:
        if not is_uuid(request.statement_id):
            raise errors.StatementNotFound("There is no such statement.")
        return await store.get_statement(self._db, caller().organization_id, request.statement_id)

    async def ListStatements(
        self, request: recon_pb2.ListStatementsRequest, context: Context
    ) -> recon_pb2.ListStatementsResponse:
        check(rules.filter_violations(request.bank_account_id, 0, {0}))
        size, filters, before = page_asked(request, str)
        found = await store.list_statements(
            self._db, caller().organization_id, request.bank_account_id or None, before, size + 1
        )
        page, token = page_of(found, size, filters, lambda last: [last.statement_id])
        return recon_pb2.ListStatementsResponse(statements=page, next_page_token=token)

    async def _insert(
        self,
        header: recon_pb2.ImportStatementRequest.Header,
        statement: recon_pb2.Statement,
        sha256: str,
        currency_code: str,
    ) -> recon_pb2.Statement:
        """Add the statement and the task that imports it; the answer given before if there is."""
        organization_id, request_id = caller().organization_id, header.request_id
        # What makes the request the same: the header and the bytes.
        content = recon_pb2.ImportStatementRequest(header=header)
        content.header.filename += f" {sha256}"
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request_id, "ImportStatement", content, recon_pb2.Statement
            )
            if before is not None:
                return before
            made = await store.insert_statement(
                tx, organization_id, statement, sha256, currency_code
            )
            await store.insert_import(tx, organization_id, statement.statement_id, caller().actor)
            await requests.remember(tx, organization_id, request_id, made)
        return made


async def _header(
    requests_in: AsyncIterator[recon_pb2.ImportStatementRequest],
) -> recon_pb2.ImportStatementRequest.Header:
    """The first message. Raises InvalidArgument, BankAccountNotFound for an id that is none."""
    first = await anext(requests_in, None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidArgument("The first message must be the header.")
    check(rules.filename_violations(first.header.filename))
    if not is_uuid(first.header.bank_account_id):
        raise errors.BankAccountNotFound("There is no such bank account.")
    return first.header


async def _chunks(
    requests_in: AsyncIterator[recon_pb2.ImportStatementRequest],
) -> AsyncIterator[bytes]:
    async for request in requests_in:
        if request.WhichOneof("part") != "chunk":
            raise InvalidArgument("After the header come chunks alone.")
        if len(request.chunk) > CHUNK_BYTES_MAX:
            raise InvalidArgument("A chunk has at most 256 KiB.")
        yield request.chunk


@asynccontextmanager
async def _spooled(chunks: AsyncIterator[bytes]) -> AsyncIterator[Spooled]:
    """Write the bytes to a file that lives as long as the block.

    Raises StatementTooLarge with the byte that is too many, StatementEmpty, Unavailable on a full
    disk.
    """
    size, digest, head = 0, hashlib.sha256(), b""

    def take(chunk: bytes) -> None:
        digest.update(chunk)
        file.write(chunk)

    with tempfile.NamedTemporaryFile(prefix="auditron-statement-") as file:
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > SIZE_BYTES_MAX:
                    raise errors.StatementTooLarge(
                        f"The statement has more than {SIZE_BYTES_MAX // 10**6} MB."
                    )
                head += chunk[: HEAD_BYTES - len(head)]
                await asyncio.to_thread(take, chunk)
            file.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Unavailable("There is no room for uploads.", retry_after_s=10) from error
        if not size:
            raise errors.StatementEmpty("The statement is empty.")
        yield Spooled(Path(file.name), head, size, digest.hexdigest())
