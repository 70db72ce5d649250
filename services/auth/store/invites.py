"""Invites."""

from datetime import timedelta

from auditron.auth.v1.auth_pb2 import Invite

from libs.pg import Record, Tx
from libs.pg.rows import columns_of, to_message

from .. import errors

INVITE = ", ".join(columns_of(Invite, "token"))


async def insert_invite(tx: Tx, organization_id: str, invite: Invite, life: timedelta) -> Invite:
    """Add an invite."""
    row = await tx.fetchrow(
        f"""
        insert into invites (organization_id, invite_id, email, role, expire_time)
        values ($1, $2, $3, $4, now() + $5::interval)
        returning {INVITE}
        """,
        organization_id, invite.invite_id, invite.email, invite.role, life,
    )  # fmt: skip
    return to_message(row, Invite)


async def list_invites(tx: Tx, before_id: str | None, limit: int) -> list[Invite]:
    """Invites that can be accepted, newest first."""
    rows = await tx.fetch(
        f"""
        select {INVITE} from invites
        where accept_time is null and expire_time > now() and ($1::uuid is null or invite_id < $1)
        order by invite_id desc limit $2
        """,
        before_id, limit,
    )  # fmt: skip
    return [to_message(row, Invite) for row in rows]


async def find_invite(tx: Tx, invite_id: str) -> str | None:
    """The organization that an invite is to."""
    found = await tx.fetchval("select find_invite($1)", invite_id)
    return str(found) if found else None


async def lock_invite(tx: Tx, invite_id: str) -> Record:
    """The address and role of an invite that can be accepted. Raises InviteInvalid."""
    row = await tx.fetchrow(
        """
        select email, role from invites where invite_id = $1
          and accept_time is null and expire_time > now() for update
        """,
        invite_id,
    )
    if row is None:
        raise errors.InviteInvalid("The invite is not valid.")
    return row


async def accept_invite(tx: Tx, invite_id: str) -> None:
    """Use an invite up."""
    await tx.execute("update invites set accept_time = now() where invite_id = $1", invite_id)
