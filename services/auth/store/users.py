"""Persons. The transaction names the person in the organization's place."""

from collections.abc import Sequence

import asyncpg  # type: ignore[import-untyped]
from auditron.auth.v1.auth_pb2 import User

from libs.pg import Tx
from libs.pg.rows import columns_of, to_message

from .. import errors

USER = ", ".join(
    (
        *columns_of(User, "has_picture", "etag"),
        "picture_key <> '' as has_picture",
        "version::text as etag",
    )
)


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


async def get_user(tx: Tx, user_id: str) -> User:
    """The person's profile."""
    row = await tx.fetchrow(f"select {USER} from users where user_id = $1", user_id)
    return to_message(row, User)


async def lock_user(tx: Tx, user_id: str) -> User:
    """The person's profile, kept from changing meanwhile."""
    row = await tx.fetchrow(f"select {USER} from users where user_id = $1 for update", user_id)
    return to_message(row, User)


async def get_password_hash(tx: Tx, user_id: str) -> str:
    """The encoded hash of the person's password."""
    return str(await tx.fetchval("select password_hash from users where user_id = $1", user_id))


async def update_password(
    tx: Tx, user_id: str, password_hash: str, instead_of: str | None = None
) -> None:
    """Replace the hash; where another is named, only if it is still that one."""
    await tx.execute(
        """
        update users set password_hash = $2
        where user_id = $1 and ($3::text is null or password_hash = $3)
        """,
        user_id, password_hash, instead_of,
    )  # fmt: skip


async def update_user(tx: Tx, user: User) -> User:
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
    return to_message(row, User)


async def update_picture(tx: Tx, user_id: str, picture_key: str) -> User:
    """Name the object that holds the picture."""
    row = await tx.fetchrow(
        f"""
        update users set picture_key = $2, version = version + 1 where user_id = $1
        returning {USER}
        """,
        user_id, picture_key,
    )  # fmt: skip
    return to_message(row, User)


async def get_picture_key(tx: Tx, user_id: str) -> str:
    """The object that holds the picture. Raises PictureNotFound."""
    found = await tx.fetchval("select picture_key from users where user_id = $1", user_id)
    if not found:
        raise errors.PictureNotFound("There is no such picture.")
    return str(found)


async def list_unnamed_pictures(tx: Tx, keys: Sequence[str]) -> list[str]:
    """Return those of the objects that are nobody's picture."""
    rows = await tx.fetch("select key from unnamed_pictures($1)", list(keys))
    return [row["key"] for row in rows]
