"""Bank accounts."""

# SQL is composed of constants only

import asyncpg  # type: ignore[import-untyped]
from auditron.recon.v1.recon_pb2 import BankAccount

from libs.pg import Database, Tx, uuid7
from libs.pg.rows import columns_of, places, to_message, values

from .. import errors

BANK_ACCOUNT = ", ".join(columns_of(BankAccount))
INSERTED = columns_of(BankAccount, "bank_account_id", "create_time")


async def insert_bank_account(tx: Tx, organization_id: str, wanted: BankAccount) -> BankAccount:
    """Add a bank account. Raises BankAccountExists."""
    try:
        row = await tx.fetchrow(
            f"""
            insert into bank_accounts (organization_id, bank_account_id, {", ".join(INSERTED)})
            values ($1, $2, {places(INSERTED, 3)}) returning {BANK_ACCOUNT}
            """,
            organization_id, uuid7(), *values(wanted, *INSERTED),
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise errors.BankAccountExists("There is a bank account of this IBAN.") from None
    return to_message(row, BankAccount)


async def get_bank_account(db: Database, organization_id: str, bank_account_id: str) -> BankAccount:
    """A bank account. Raises BankAccountNotFound."""
    found = await db.read(
        organization_id,
        f"select {BANK_ACCOUNT} from bank_accounts where bank_account_id = $1",
        bank_account_id,
    )
    if not found:
        raise errors.BankAccountNotFound("There is no such bank account.")
    return to_message(found[0], BankAccount)


async def list_bank_accounts(
    db: Database, organization_id: str, after_id: str | None, limit: int
) -> list[BankAccount]:
    """The bank accounts in the order of their making."""
    rows = await db.read(
        organization_id,
        f"""
        select {BANK_ACCOUNT} from bank_accounts where $1::uuid is null or bank_account_id > $1
        order by bank_account_id limit $2
        """,
        after_id, limit,
    )  # fmt: skip
    return [to_message(row, BankAccount) for row in rows]


async def get_account_code(tx: Tx, bank_account_id: str) -> str:
    """The ledger account of a bank account that is there."""
    return str(
        await tx.fetchval(
            "select account_code from bank_accounts where bank_account_id = $1", bank_account_id
        )
    )
