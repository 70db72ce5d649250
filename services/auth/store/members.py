"""Who belongs to an organization."""

from datetime import datetime

from auditron.auth.v1.auth_pb2 import ROLE_OWNER, Member, User

from libs.pg import Record, Tx
from libs.pg.rows import columns_of, to_message

from .. import errors

MEMBER = ", ".join(columns_of(Member))
# Rises with each change, also of a member who left and came back.
NEXT_VERSION = "nextval('member_versions')"


async def insert_member(tx: Tx, organization_id: str, user: User, role: int) -> Record:
    """Let a person join; the row with its version. Raises AlreadyMember."""
    row = await tx.fetchrow(
        f"""
        insert into members (organization_id, user_id, role, email, display_name)
        values ($1, $2, $3, $4, $5) on conflict do nothing
        returning {MEMBER}, version
        """,
        organization_id, user.user_id, role, user.email, user.display_name,
    )  # fmt: skip
    if row is None:
        raise errors.AlreadyMember("The person is a member.")
    return row


async def has_member(tx: Tx, email: str) -> bool:
    """Whether a person with this address belongs to the transaction's organization."""
    return bool(
        await tx.fetchval(
            "select exists (select from members where lower(email) = lower($1))", email
        )
    )


async def get_member(tx: Tx, user_id: str) -> Member | None:
    """A member of the transaction's organization; the row is kept from changing meanwhile."""
    row = await tx.fetchrow(f"select {MEMBER} from members where user_id = $1 for share", user_id)
    return to_message(row, Member) if row else None


async def list_members(tx: Tx, after: tuple[datetime, str] | None, limit: int) -> list[Member]:
    """Members in the order of joining."""
    rows = await tx.fetch(
        f"""
        select {MEMBER} from members
        where $1::timestamptz is null or (create_time, user_id) > ($1, $2)
        order by create_time, user_id limit $3
        """,
        *(after or (None, None)), limit,
    )  # fmt: skip
    return [to_message(row, Member) for row in rows]


async def list_owner_ids(tx: Tx) -> list[str]:
    """The owners of the transaction's organization, locked, so that the last one stays one."""
    rows = await tx.fetch(
        "select user_id from members where role = $1 order by user_id for update",
        ROLE_OWNER,
    )
    return [str(row["user_id"]) for row in rows]


async def update_member(
    tx: Tx, user_id: str, *, role: int | None = None, display_name: str | None = None
) -> Record:
    """Give a member who is there another role or name; the row with its version."""
    row = await tx.fetchrow(
        f"""
        update members set role = coalesce($2, role),
          display_name = coalesce($3, display_name), version = {NEXT_VERSION}
        where user_id = $1 returning {MEMBER}, version
        """,
        user_id, role, display_name,
    )  # fmt: skip
    assert row is not None, "the person belongs to the transaction's organization"
    return row


async def delete_member(tx: Tx, user_id: str) -> Record:
    """Take out a member who is there; the row that was, its version raised."""
    row = await tx.fetchrow(
        f"""
        delete from members where user_id = $1
        returning {MEMBER}, {NEXT_VERSION} as version
        """,
        user_id,
    )
    assert row is not None, "the member was locked before"
    return row


def to_member(row: Record) -> Member:
    """A member's row as the contract has it."""
    return to_message(row, Member)
