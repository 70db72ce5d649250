"""Sessions, and whether what a token was given for still stands."""

from datetime import datetime, timedelta

from auditron.auth.v1.auth_pb2 import Session

from libs.pg import Record, Tx
from libs.pg.rows import columns_of, to_message

SESSION = ", ".join(columns_of(Session, "is_current"))


async def insert_session(
    tx: Tx, organization_id: str, session_id: str, user_id: str, device: tuple[str, str],
    refresh_hash: bytes, expire_time: datetime,
) -> None:  # fmt: skip
    """Open a session; device is its name and address."""
    await tx.execute(
        """
        insert into sessions (organization_id, session_id, user_id, device_name, ip_address,
          refresh_hash, expire_time) values ($1, $2, $3, $4, $5, $6, $7)
        """,
        organization_id, session_id, user_id, *device, refresh_hash, expire_time,
    )  # fmt: skip


async def find_session(tx: Tx, session_id: str) -> str | None:
    """The organization that a session, or an API key's token, belongs to."""
    found = await tx.fetchval("select coalesce(find_session($1), find_api_key($1))", session_id)
    return str(found) if found else None


async def lock_session(tx: Tx, session_id: str) -> Record | None:
    """A session's row, locked."""
    return await tx.fetchrow(
        """
        select user_id, refresh_hash, rotation_count, expire_time,
          now() - refresh_time as since_rotation,
          revoke_time is null and expire_time > now() as active
        from sessions where session_id = $1 for update
        """,
        session_id,
    )


async def update_session(tx: Tx, session_id: str, refresh_hash: bytes) -> None:
    """Rotate the refresh token."""
    await tx.execute(
        """
        update sessions set refresh_hash = $2, rotation_count = rotation_count + 1,
          refresh_time = now() where session_id = $1
        """,
        session_id, refresh_hash,
    )  # fmt: skip


async def is_active(tx: Tx, session_id: str) -> bool:
    """Whether a session, or an API key, stands."""
    return bool(
        await tx.fetchval(
            """
            select exists (select from sessions where session_id = $1 and revoke_time is null
                and expire_time > now())
              or exists (select from api_keys where api_key_id = $1 and revoke_time is null
                and (expire_time is null or expire_time > now()))
            """,
            session_id,
        )
    )


async def list_sessions(
    tx: Tx, user_id: str, current_id: str, before_id: str | None, limit: int
) -> list[Session]:
    """A person's standing sessions in the transaction's organization, newest first."""
    rows = await tx.fetch(
        f"""
        select {SESSION}, session_id::text = $2 as is_current from sessions
        where user_id = $1 and revoke_time is null and expire_time > now()
          and ($3::uuid is null or session_id < $3)
        order by session_id desc limit $4
        """,
        user_id, current_id, before_id, limit,
    )  # fmt: skip
    return [to_message(row, Session) for row in rows]


async def revoke_sessions(
    tx: Tx, user_id: str, session_id: str | None = None, keep_id: str | None = None
) -> list[str]:
    """End one of a person's sessions, or all but one; the ids of those that were ended."""
    rows = await tx.fetch(
        """
        update sessions set revoke_time = now()
        where user_id = $1 and revoke_time is null and ($2::uuid is null or session_id = $2)
          and ($3::uuid is null or session_id <> $3)
        returning session_id
        """,
        user_id, session_id, keep_id,
    )  # fmt: skip
    return [str(row["session_id"]) for row in rows]


async def revoked_since(tx: Tx, life: timedelta) -> list[str]:
    """Sessions and API keys of every organization whose tokens may still live."""
    rows = await tx.fetch("select session_id from revoked_since(now() - $1::interval)", life)
    return [str(row["session_id"]) for row in rows]
