"""Every SQL statement of auth."""

import json
from datetime import datetime, timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from auditron.auth.v1 import auth_pb2

from libs.pg import Record, Tx, uuid7
from libs.pg.rows import to_message

from . import errors
from .rules import SigningKey

USER = """user_id, email, display_name, locale, time_zone, picture_key <> '' as has_picture,
  create_time, version::text as etag"""
ORGANIZATION = """organization_id, display_name, base_currency_code, region_code, tax_ids,
  create_time, version::text as etag"""
MEMBER = "user_id, email, display_name, role, create_time"
API_KEY = "api_key_id, display_name, permissions, expire_time, prefix, create_time, last_use_time"


# Persons. The transaction names the person in the organization's place.


async def insert_user(tx: Tx, user_id: str, email: str, password_hash: str, name: str) -> None:
    """Add a person. Raises EmailTaken."""
    try:
        await tx.execute(
            """
            insert into users (user_id, email, password_hash, display_name)
            values ($1, $2, $3, $4)
            """,
            user_id, email, password_hash, name,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise errors.EmailTaken("A user with this address exists.") from None


async def find_user(tx: Tx, email: str) -> str | None:
    """The id of the person with this address."""
    found = await tx.fetchval("select find_user($1)", email)
    return str(found) if found else None


async def get_user(tx: Tx, user_id: str) -> auth_pb2.User:
    """The person's profile."""
    row = await tx.fetchrow(f"select {USER} from users where user_id = $1", user_id)
    return to_message(row, auth_pb2.User)


async def get_password_hash(tx: Tx, user_id: str) -> str:
    """The encoded hash of the person's password."""
    return str(await tx.fetchval("select password_hash from users where user_id = $1", user_id))


async def update_password(tx: Tx, user_id: str, password_hash: str) -> None:
    """Replace the password."""
    await tx.execute(
        "update users set password_hash = $2, version = version + 1 where user_id = $1",
        user_id, password_hash,
    )  # fmt: skip


async def update_user(tx: Tx, user: auth_pb2.User) -> auth_pb2.User:
    """Replace the profile. Raises EtagMismatch unless the etag, where given, is the row's."""
    row = await tx.fetchrow(
        f"""
        update users set display_name = $2, locale = $3, time_zone = $4, version = version + 1
        where user_id = $1 and ($5 = '' or version::text = $5) returning {USER}
        """,
        user.user_id, user.display_name, user.locale, user.time_zone, user.etag,
    )  # fmt: skip
    if row is None:
        raise errors.EtagMismatch("The profile was changed meanwhile.")
    return to_message(row, auth_pb2.User)


async def update_picture(tx: Tx, user_id: str, picture_key: str) -> auth_pb2.User:
    """Name the object that holds the picture."""
    row = await tx.fetchrow(
        f"""
        update users set picture_key = $2, version = version + 1 where user_id = $1
        returning {USER}
        """,
        user_id, picture_key,
    )  # fmt: skip
    return to_message(row, auth_pb2.User)


async def get_picture_key(tx: Tx, user_id: str) -> str:
    """The object that holds the picture. Raises PictureNotFound."""
    found = await tx.fetchval("select picture_key from users where user_id = $1", user_id)
    if not found:
        raise errors.PictureNotFound("There is no such picture.")
    return str(found)


async def picture_is_named(tx: Tx, key: str) -> bool:
    """Whether any person's picture is this object."""
    return bool(await tx.fetchval("select picture_is_named($1)", key))


async def insert_attempt(tx: Tx, email_hash: bytes, free: int, delay_max: timedelta) -> bool:
    """Count a login before its password is looked at; False if it comes too early.

    The wait doubles with each failure after the free ones, and a day without failures forgives.
    """
    row = await tx.fetchrow(
        """
        insert into login_attempts as a (email_hash, failures, next_time) values ($1, 1, now())
        on conflict (email_hash) do update set
          failures = case when a.next_time < now() - interval '1 day' then 1
            else a.failures + 1 end,
          next_time = now() + case
            when a.next_time < now() - interval '1 day' or a.failures < $2 then interval '0'
            else least($3, interval '1 second' * power(2, least(a.failures - $2, 20))) end
        where a.next_time <= now()
        returning true
        """,
        email_hash, free, delay_max,
    )  # fmt: skip
    return row is not None


async def get_attempt_wait(tx: Tx, email_hash: bytes) -> float:
    """Seconds until the next login for this address is looked at."""
    found = await tx.fetchval(
        "select extract(epoch from next_time - now()) from login_attempts where email_hash = $1",
        email_hash,
    )
    return max(0.0, float(found or 0))


async def delete_attempts(tx: Tx, email_hash: bytes) -> None:
    """Forget the failures after a login that succeeded."""
    await tx.execute("delete from login_attempts where email_hash = $1", email_hash)


# Organizations and members.


async def insert_organization(
    tx: Tx, organization_id: str, wanted: auth_pb2.Organization
) -> auth_pb2.Organization:
    """Add an organization."""
    row = await tx.fetchrow(
        f"""
        insert into organizations
          (organization_id, display_name, base_currency_code, region_code, tax_ids)
        values ($1, $2, $3, $4, $5) returning {ORGANIZATION}
        """,
        organization_id, wanted.display_name, wanted.base_currency_code, wanted.region_code,
        list(wanted.tax_ids),
    )  # fmt: skip
    return to_message(row, auth_pb2.Organization)


async def get_organization(tx: Tx, organization_id: str) -> auth_pb2.Organization:
    """An organization. Raises OrganizationNotFound."""
    row = await tx.fetchrow(
        f"select {ORGANIZATION} from organizations where organization_id = $1", organization_id
    )
    if row is None:
        raise errors.OrganizationNotFound("There is no such organization.")
    return to_message(row, auth_pb2.Organization)


async def update_organization(tx: Tx, wanted: auth_pb2.Organization) -> auth_pb2.Organization:
    """Replace what may change. Raises EtagMismatch."""
    row = await tx.fetchrow(
        f"""
        update organizations
        set display_name = $2, region_code = $3, tax_ids = $4, version = version + 1
        where organization_id = $1 and ($5 = '' or version::text = $5) returning {ORGANIZATION}
        """,
        wanted.organization_id, wanted.display_name, wanted.region_code, list(wanted.tax_ids),
        wanted.etag,
    )  # fmt: skip
    if row is None:
        raise errors.EtagMismatch("The organization was changed meanwhile.")
    return to_message(row, auth_pb2.Organization)


async def list_organization_ids(tx: Tx, user_id: str) -> list[str]:
    """The organizations that a person belongs to, in the order of joining."""
    rows = await tx.fetch("select organization_id from organizations_of($1)", user_id)
    return [str(row["organization_id"]) for row in rows]


async def insert_member(
    tx: Tx, organization_id: str, user: auth_pb2.User, role: int
) -> auth_pb2.Member:
    """Let a person join; a person who belongs already gets the role."""
    row = await tx.fetchrow(
        f"""
        insert into members (organization_id, user_id, role, email, display_name)
        values ($1, $2, $3, $4, $5)
        on conflict (organization_id, user_id) do update
        set role = excluded.role, version = members.version + 1
        returning {MEMBER}
        """,
        organization_id, user.user_id, role, user.email, user.display_name,
    )  # fmt: skip
    return to_message(row, auth_pb2.Member)


async def get_member(tx: Tx, user_id: str) -> auth_pb2.Member | None:
    """A member of the transaction's organization; the row is kept from changing meanwhile."""
    row = await tx.fetchrow(f"select {MEMBER} from members where user_id = $1 for share", user_id)
    return to_message(row, auth_pb2.Member) if row else None


async def list_members(
    tx: Tx, after: tuple[datetime, str] | None, limit: int
) -> list[auth_pb2.Member]:
    """Members in the order of joining."""
    rows = await tx.fetch(
        f"""
        select {MEMBER} from members
        where $1::timestamptz is null or (create_time, user_id) > ($1, $2)
        order by create_time, user_id limit $3
        """,
        *(after or (None, None)), limit,
    )  # fmt: skip
    return [to_message(row, auth_pb2.Member) for row in rows]


async def list_owner_ids(tx: Tx) -> list[str]:
    """The owners of the transaction's organization, locked, so that the last one stays one."""
    rows = await tx.fetch(
        "select user_id from members where role = $1 order by user_id for update",
        auth_pb2.ROLE_OWNER,
    )
    return [str(row["user_id"]) for row in rows]


async def update_member_role(tx: Tx, user_id: str, role: int) -> Record:
    """Give another role to a member who is there; the row with its version."""
    row = await tx.fetchrow(
        f"""
        update members set role = $2, version = version + 1 where user_id = $1
        returning {MEMBER}, version
        """,
        user_id, role,
    )  # fmt: skip
    assert row is not None, "the member was locked before"
    return row


async def update_member_name(tx: Tx, user_id: str, display_name: str) -> None:
    """Follow a change of the person's name."""
    await tx.execute(
        "update members set display_name = $2 where user_id = $1", user_id, display_name
    )


async def delete_member(tx: Tx, user_id: str) -> Record:
    """Take out a member who is there; the row that was, its version raised."""
    row = await tx.fetchrow(
        f"delete from members where user_id = $1 returning {MEMBER}, version + 1 as version",
        user_id,
    )
    assert row is not None, "the member was locked before"
    return row


def to_member(row: Record) -> auth_pb2.Member:
    """A member's row as the contract has it."""
    return to_message(row, auth_pb2.Member)


# Sessions.


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
        select user_id, refresh_hash, previous_hash, rotation_count, expire_time,
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
        update sessions set previous_hash = refresh_hash, refresh_hash = $2,
          rotation_count = rotation_count + 1, refresh_time = now() where session_id = $1
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


async def list_sessions(tx: Tx, user_id: str, current_id: str) -> list[auth_pb2.Session]:
    """A person's standing sessions in the transaction's organization, newest first."""
    rows = await tx.fetch(
        """
        select session_id, device_name, ip_address, create_time, refresh_time, expire_time,
          session_id::text = $2 as is_current
        from sessions where user_id = $1 and revoke_time is null and expire_time > now()
        order by session_id desc limit 1000
        """,
        user_id, current_id,
    )  # fmt: skip
    return [to_message(row, auth_pb2.Session) for row in rows]


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


# API keys and invites.


async def insert_api_key(
    tx: Tx, organization_id: str, key: auth_pb2.ApiKey, key_hash: bytes, creator: str,
    expire_time: datetime | None,
) -> auth_pb2.ApiKey:  # fmt: skip
    """Add an API key."""
    row = await tx.fetchrow(
        f"""
        insert into api_keys (organization_id, api_key_id, display_name, permissions, prefix,
          key_hash, creator, expire_time) values ($1, $2, $3, $4, $5, $6, $7, $8)
        returning {API_KEY}
        """,
        organization_id, key.api_key_id, key.display_name, list(key.permissions), key.prefix,
        key_hash, creator, expire_time,
    )  # fmt: skip
    return to_message(row, auth_pb2.ApiKey)


async def find_api_key(tx: Tx, api_key_id: str) -> str | None:
    """The organization that a key belongs to."""
    found = await tx.fetchval("select find_api_key($1)", api_key_id)
    return str(found) if found else None


async def use_api_key(tx: Tx, api_key_id: str) -> Record | None:
    """A standing key's hash, permissions and end, its use noted at most once a minute."""
    await tx.execute(
        """
        update api_keys set last_use_time = now() where api_key_id = $1
          and (last_use_time is null or last_use_time < now() - interval '1 minute')
        """,
        api_key_id,
    )
    return await tx.fetchrow(
        """
        select key_hash, permissions, expire_time from api_keys
        where api_key_id = $1 and revoke_time is null
          and (expire_time is null or expire_time > now())
        """,
        api_key_id,
    )


async def list_api_keys(tx: Tx) -> list[auth_pb2.ApiKey]:
    """The keys that were not revoked, newest first."""
    rows = await tx.fetch(
        f"""
        select {API_KEY} from api_keys where revoke_time is null
        order by api_key_id desc limit 1000
        """
    )
    return [to_message(row, auth_pb2.ApiKey) for row in rows]


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


async def insert_invite(
    tx: Tx, organization_id: str, invite: auth_pb2.Invite, token_hash: bytes, life: timedelta
) -> auth_pb2.Invite:
    """Add an invite."""
    row = await tx.fetchrow(
        """
        insert into invites (organization_id, invite_id, email, role, token_hash, expire_time)
        values ($1, $2, $3, $4, $5, now() + $6::interval)
        returning invite_id, email, role, expire_time, create_time
        """,
        organization_id, invite.invite_id, invite.email, invite.role, token_hash, life,
    )  # fmt: skip
    return to_message(row, auth_pb2.Invite)


async def list_invites(tx: Tx) -> list[auth_pb2.Invite]:
    """Invites that can be accepted, newest first."""
    rows = await tx.fetch(
        """
        select invite_id, email, role, expire_time, create_time from invites
        where accept_time is null and expire_time > now() order by invite_id desc limit 1000
        """
    )
    return [to_message(row, auth_pb2.Invite) for row in rows]


async def find_invite(tx: Tx, invite_id: str) -> str | None:
    """The organization that an invite is to."""
    found = await tx.fetchval("select find_invite($1)", invite_id)
    return str(found) if found else None


async def get_invite(tx: Tx, invite_id: str, token_hash: bytes) -> Record:
    """The address and role of an invite that can be accepted. Raises InviteInvalid."""
    row = await tx.fetchrow(
        """
        select email, role from invites where invite_id = $1 and token_hash = $2
          and accept_time is null and expire_time > now() for update
        """,
        invite_id, token_hash,
    )  # fmt: skip
    if row is None:
        raise errors.InviteInvalid("The invite is not valid.")
    return row


async def accept_invite(tx: Tx, invite_id: str) -> None:
    """Use an invite up."""
    await tx.execute("update invites set accept_time = now() where invite_id = $1", invite_id)


# Audit entries and signing keys.


async def insert_audit_entry(
    tx: Tx, organization_id: str, action: str, actor: str, subject: str, ip_address: str,
    request_id: str,
) -> None:  # fmt: skip
    """Note what happened."""
    await tx.execute(
        """
        insert into audit_entries (organization_id, audit_entry_id, action, actor, subject,
          ip_address, request_id) values ($1, $2, $3, $4, $5, $6, $7)
        """,
        organization_id, uuid7(), action, actor, subject, ip_address, request_id,
    )  # fmt: skip


async def list_audit_entries(tx: Tx, before: str | None, limit: int) -> list[auth_pb2.AuditEntry]:
    """Entries, newest first, older than an entry's id."""
    rows = await tx.fetch(
        """
        select audit_entry_id, action, actor, subject, ip_address, request_id, occur_time
        from audit_entries where $1::uuid is null or audit_entry_id < $1
        order by audit_entry_id desc limit $2
        """,
        before, limit,
    )  # fmt: skip
    return [to_message(row, auth_pb2.AuditEntry) for row in rows]


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


async def delete_old_attempts(tx: Tx) -> None:
    """Forget failures that a day has forgiven."""
    await tx.execute("delete from login_attempts where next_time < now() - interval '2 days'")
