"""API keys."""

from datetime import datetime

from auditron.auth.v1.auth_pb2 import ApiKey

from libs.pg import Record, Tx
from libs.pg.rows import columns_of, to_message

from .. import errors

API_KEY = ", ".join(columns_of(ApiKey, "key"))


async def insert_api_key(
    tx: Tx, organization_id: str, key: ApiKey, creator: str, expire_time: datetime | None
) -> ApiKey:
    """Add an API key."""
    row = await tx.fetchrow(
        f"""
        insert into api_keys (organization_id, api_key_id, display_name, permissions, prefix,
          creator, expire_time) values ($1, $2, $3, $4, $5, $6, $7)
        returning {API_KEY}
        """,
        organization_id, key.api_key_id, key.display_name, list(key.permissions), key.prefix,
        creator, expire_time,
    )  # fmt: skip
    return to_message(row, ApiKey)


async def find_api_key(tx: Tx, api_key_id: str) -> str | None:
    """The organization that a key belongs to."""
    found = await tx.fetchval("select find_api_key($1)", api_key_id)
    return str(found) if found else None


async def use_api_key(tx: Tx, api_key_id: str) -> Record | None:
    """A standing key's permissions and end, its use noted at most once a minute."""
    await tx.execute(
        """
        update api_keys set last_use_time = now() where api_key_id = $1
          and (last_use_time is null or last_use_time < now() - interval '1 minute')
        """,
        api_key_id,
    )
    return await tx.fetchrow(
        """
        select permissions, expire_time from api_keys
        where api_key_id = $1 and revoke_time is null
          and (expire_time is null or expire_time > now())
        """,
        api_key_id,
    )


async def list_api_keys(tx: Tx, before_id: str | None, limit: int) -> list[ApiKey]:
    """The keys that were not revoked, newest first."""
    rows = await tx.fetch(
        f"""
        select {API_KEY} from api_keys
        where revoke_time is null and ($1::uuid is null or api_key_id < $1)
        order by api_key_id desc limit $2
        """,
        before_id, limit,
    )  # fmt: skip
    return [to_message(row, ApiKey) for row in rows]


async def revoke_api_key(tx: Tx, api_key_id: str) -> None:
    """End a key. Raises ApiKeyNotFound."""
    done = await tx.fetchval(
        """
        update api_keys set revoke_time = now() where api_key_id = $1 and revoke_time is null
        returning true
        """,
        api_key_id,
    )
    if not done:
        raise errors.ApiKeyNotFound("There is no such key.")
