"""Answers a repeated request with the first answer, by the id that the caller gave it (AIP-155)."""

import hashlib
from typing import TypeVar

from google.protobuf.message import Message

from .connection import Tx
from .identifiers import is_uuid

Answer = TypeVar("Answer", bound=Message)


class RequestIdReused(Exception):  # noqa: N818
    """The id came with another request before."""


class InvalidRequestId(ValueError):  # noqa: N818
    """The id is no UUID."""


async def once(
    tx: Tx,
    organization_id: str,
    request_id: str,
    method: str,
    request: Message,
    answer_type: type[Answer],
) -> Answer | None:
    """Return the answer if this request was answered before, None if it is to be done now.

    None obliges to `remember` in the same transaction. A duplicate that comes while the first is at
    work waits for its end. Without an id the answer is None. Raises RequestIdReused,
    InvalidRequestId.
    """
    if not request_id:
        return None
    key = _parsed(request_id)
    content = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    new = await tx.fetchval(
        """
        insert into requests (organization_id, request_id, method, request_hash)
        values ($1, $2, $3, $4) on conflict do nothing returning true
        """,
        organization_id,
        key,
        method,
        content,
    )
    if new:
        return None
    row = await tx.fetchrow(
        """
        select method, request_hash, answer from requests
        where organization_id = $1 and request_id = $2
        """,
        organization_id,
        key,
    )
    assert row is not None, "the transaction is of another organization"
    if (row["method"], row["request_hash"]) != (method, content):
        raise RequestIdReused(request_id)
    assert row["answer"] is not None, "once() without remember()"
    return answer_type.FromString(row["answer"])


async def remember(tx: Tx, organization_id: str, request_id: str, answer: Message) -> None:
    """Keep the answer for seven days for those who ask again; without an id do nothing."""
    if not request_id:
        return
    await tx.execute(
        "update requests set answer = $3 where organization_id = $1 and request_id = $2",
        organization_id,
        _parsed(request_id),
        answer.SerializeToString(),
    )


async def forget_old(system_tx: Tx) -> int:
    """Delete at most 1,000 answers older than seven days and return how many; call until 0."""
    status = await system_tx.execute(
        """
        delete from requests where (organization_id, request_id) in (
          select organization_id, request_id from requests
          where create_time < now() - interval '7 days' order by create_time limit 1000
        )
        """
    )
    return int(status.split()[1])


def _parsed(request_id: str) -> str:
    if not is_uuid(request_id):
        raise InvalidRequestId(request_id)
    return request_id.lower()
