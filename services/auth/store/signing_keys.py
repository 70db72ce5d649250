"""Signing keys."""

import json
from datetime import datetime, timedelta
from typing import Any

from libs.pg import Tx

from ..rules import SigningKey


async def lock_signing_keys(tx: Tx) -> None:
    """Let one process at a time decide whether a key is needed."""
    await tx.execute("select pg_advisory_xact_lock(hashtext('signing_keys'))")


async def list_signing_keys(tx: Tx) -> list[SigningKey]:
    """Every key that is kept."""
    rows = await tx.fetch("select key_id, sealed_key, activate_time, retire_time from signing_keys")
    return [SigningKey(**row) for row in rows]


async def list_public_keys(tx: Tx, life: timedelta) -> list[dict[str, Any]]:
    """The public keys of tokens that may live, and of those to come."""
    rows = await tx.fetch(
        """
        select public_key from signing_keys where retire_time > now() - $1::interval
        order by activate_time
        """,
        life,
    )
    return [json.loads(row["public_key"]) for row in rows]


async def insert_signing_key(
    tx: Tx, key_id: str, sealed_key: bytes, public_key: dict[str, str],
    times: tuple[datetime, datetime],
) -> None:  # fmt: skip
    """Add a key that is active from the first of the times to the second."""
    await tx.execute(
        """
        insert into signing_keys (key_id, sealed_key, public_key, activate_time, retire_time)
        values ($1, $2, $3, $4, $5)
        """,
        key_id, sealed_key, json.dumps(public_key), *times,
    )  # fmt: skip


async def delete_signing_keys(tx: Tx, life: timedelta) -> None:
    """Forget keys whose last token has expired."""
    await tx.execute("delete from signing_keys where retire_time < now() - $1::interval", life)
