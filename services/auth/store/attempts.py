"""Passwords that were tried."""

from datetime import timedelta

from libs.pg import Tx

from ..rules import AttemptKeys


async def insert_attempt(
    tx: Tx, attempt_key: bytes, free: int, delay_max: timedelta
) -> bool | None:
    """Count a password before it is looked at; None if it comes too early.

    Else whether the right one came under this key before. The wait doubles with each failure after
    the free ones, and a day without failures forgives.
    """
    # By the clock, not by the transaction's begin: those that waited for the row are later.
    row = await tx.fetchrow(
        """
        insert into login_attempts as a (attempt_key, failures, next_time)
        values ($1, 1, clock_timestamp())
        on conflict (attempt_key) do update set
          failures = case when a.next_time < now() - interval '1 day' then 1
            else a.failures + 1 end,
          next_time = clock_timestamp() + case
            when a.next_time < now() - interval '1 day' or a.failures < $2 then interval '0'
            else least($3, interval '1 second' * power(2, least(a.failures - $2, 20))) end
        where a.next_time <= clock_timestamp()
        returning proven
        """,
        attempt_key, free, delay_max,
    )  # fmt: skip
    return bool(row["proven"]) if row else None


async def get_attempt_wait(tx: Tx, attempt_key: bytes) -> float:
    """Seconds until the next password is looked at."""
    found = await tx.fetchval(
        """
        select extract(epoch from next_time - clock_timestamp()) from login_attempts
        where attempt_key = $1
        """,
        attempt_key,
    )
    return max(0.0, float(found or 0))


async def forgive_attempts(tx: Tx, keys: AttemptKeys) -> None:
    """Forget the failures after a right password, and remember the network that it came from."""
    await tx.execute(
        """
        update login_attempts set failures = 0, next_time = clock_timestamp(), proven = true
        where attempt_key = $1
        """,
        keys.here,
    )
    await tx.execute("delete from login_attempts where attempt_key = $1", keys.anywhere)


async def delete_old_attempts(tx: Tx) -> None:
    """Forget failures that a day has forgiven, and networks without a login for 90 days."""
    await tx.execute(
        """
        delete from login_attempts
        where next_time < now() - interval '1 day' * case when proven then 90 else 2 end
        """
    )
