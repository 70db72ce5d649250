"""Proves persons by address and password, and slows down who guesses."""

from datetime import timedelta

from libs.pg import Database, Tx, use_organization

from .. import errors, rules, store
from ..passwords import Passwords
from .requests import Context, device, note


class Credentials:
    """The one way to a person's password: whoever asks, each try counts."""

    def __init__(self, db: Database, passwords: Passwords) -> None:
        self._db = db
        self._passwords = passwords

    async def hash(self, password: str) -> str:
        """The encoded hash of a new password. Raises Unavailable when too many wait."""
        return await self._passwords.hash(password)

    async def prove(self, email: str, password: str, context: Context) -> str:
        """The id of the person whose address and password these are.

        Raises WrongCredentials, the same for an unknown address and a wrong password;
        TooManyAttempts with the time to wait.
        """
        email = email.strip()
        keys = rules.attempt_keys(email, device(context).ip_address)
        encoded = None
        async with self._db.unscoped() as tx:
            # Counted before the password is looked at: a thousand at once are a thousand tries.
            await _count(tx, keys)
            user_id = await store.find_user(tx, email)
            if user_id:
                await use_organization(tx, user_id)
                encoded = await store.get_password_hash(tx, user_id)
        right = await self._passwords.check(encoded, password)
        if not right or encoded is None or user_id is None:
            await self._note_refusal(user_id, context)
            raise errors.WrongCredentials("The address or the password is wrong.")
        is_dated = self._passwords.is_dated(encoded)
        renewed = await self._passwords.hash(password) if is_dated else None
        async with self._db.tenant(user_id) as tx:
            await store.forgive_attempts(tx, keys)
            if renewed:
                await store.update_password(tx, user_id, renewed, instead_of=encoded)
        return user_id

    async def _note_refusal(self, user_id: str | None, context: Context) -> None:
        if user_id is None:
            return
        async with self._db.tenant(user_id) as tx:
            for organization_id in (await store.list_organization_ids(tx, user_id))[:1]:
                await use_organization(tx, organization_id)
                await note(tx, context, organization_id, "session.refused", "", f"user:{user_id}")


async def _count(tx: Tx, keys: rules.AttemptKeys) -> None:
    """Count a try. Raises TooManyAttempts.

    The limit over all networks is not for those from which the right password came before: so
    strangers, however many, keep nobody out for good.
    """
    if not await _admit(tx, keys.here, rules.FREE_ATTEMPTS, rules.DELAY_MAX):
        free, delay_max = rules.FREE_ATTEMPTS_ANYWHERE, rules.DELAY_ANYWHERE_MAX
        await _admit(tx, keys.anywhere, free, delay_max)


async def _admit(tx: Tx, key: bytes, free: int, delay_max: timedelta) -> bool:
    """Whether the right password came from there before. Raises TooManyAttempts."""
    is_proven = await store.insert_attempt(tx, key, free, delay_max)
    if is_proven is None:
        wait = await store.get_attempt_wait(tx, key)
        raise errors.TooManyAttempts("Wait before the next try.", retry_after_s=wait)
    return is_proven
