"""Organizations, their accounts and exchange rates."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from auditron.reporting.v1.reporting_pb2 import Account, ExchangeRate

from libs.pg import Database, Record, Tx
from libs.pg.rows import to_message

from .. import errors


async def lock_ledger(tx: Tx, organization_id: str) -> None:
    """Let one transaction at a time post to a ledger, be it open yet or not.

    Producers' logs are not ordered against each other: what one transaction finds missing, another
    must not bring unseen. Statements after this one see what was committed before.
    """
    await tx.execute(
        "select pg_advisory_xact_lock(hashtext('ledger'), hashtext($1))", organization_id
    )


async def insert_organization(
    tx: Tx, organization_id: str, display_name: str, base_currency_code: str, version: int
) -> None:
    """Open an organization's ledger, unless it is open."""
    await tx.execute(
        """
        insert into organizations (organization_id, display_name, base_currency_code, version)
        values ($1, $2, $3, $4) on conflict do nothing
        """,
        organization_id, display_name, base_currency_code, version,
    )  # fmt: skip


async def update_organization(
    tx: Tx, organization_id: str, display_name: str, version: int
) -> None:
    """Follow a change of name, unless a later one is known."""
    await tx.execute(
        """
        update organizations set display_name = $2, version = $3
        where organization_id = $1 and version < $3
        """,
        organization_id, display_name, version,
    )  # fmt: skip


async def get_base_currency(tx: Tx) -> str:
    """The currency of the books. Raises LedgerNotReady."""
    found = await tx.fetchval("select base_currency_code from organizations")
    if found is None:
        raise errors.LedgerNotReady("The ledger is being opened.", retry_after_s=1)
    return str(found)


async def insert_accounts(tx: Tx, organization_id: str, accounts: Sequence[Account]) -> None:
    """Add the accounts that are not there."""
    await tx.execute(
        """
        insert into accounts (organization_id, account_code, display_name, type)
        select $1, * from unnest($2::text[], $3::text[], $4::int[]) on conflict do nothing
        """,
        organization_id,
        [account.account_code for account in accounts],
        [account.display_name for account in accounts],
        [account.type for account in accounts],
    )


async def insert_account(tx: Tx, organization_id: str, account: Account) -> Account:
    """Add an account. Raises AccountExists."""
    row = await tx.fetchrow(
        """
        insert into accounts (organization_id, account_code, display_name, type)
        values ($1, $2, $3, $4) on conflict do nothing returning account_code, display_name, type
        """,
        organization_id, account.account_code, account.display_name, account.type,
    )  # fmt: skip
    if row is None:
        raise errors.AccountExists(
            "An account of this code exists.", account_code=account.account_code
        )
    return to_message(row, Account)


async def count_accounts(tx: Tx) -> int:
    """How many accounts the chart has."""
    return int(await tx.fetchval("select count(*) from accounts"))


async def list_accounts(db: Database, organization_id: str) -> list[Account]:
    """The chart of accounts, by code."""
    rows = await db.read(
        organization_id,
        """
        select account_code, display_name, type from accounts
        order by account_code collate "C"
        """,
    )
    return [to_message(row, Account) for row in rows]


async def insert_exchange_rate(
    tx: Tx, organization_id: str, rate: ExchangeRate, day: date, actor: str
) -> None:
    """Set the rate of a day; it stands beside those that were set before."""
    await tx.execute(
        """
        insert into exchange_rates (organization_id, currency_code, rate_date, rate, actor)
        values ($1, $2, $3, $4, $5)
        """,
        organization_id, rate.currency_code, day, Decimal(rate.rate), actor,
    )  # fmt: skip


async def list_exchange_rates(
    db: Database, organization_id: str, currency_code: str, limit: int
) -> list[ExchangeRate]:
    """The rates that count, latest day first; of one currency, or of all if it is empty."""
    rows = await db.read(
        organization_id,
        """
        select distinct on (rate_date, currency_code) currency_code, rate_date, rate
        from exchange_rates where $1 = '' or currency_code = $1
        order by rate_date desc, currency_code, set_time desc limit $2
        """,
        currency_code, limit,
    )  # fmt: skip
    return [to_message(row, ExchangeRate) for row in rows]


async def get_rate(
    tx: Tx, currency_code: str, day: date, occur_time: datetime, days_back: int
) -> Decimal | None:
    """The rate at which a fact that occurred then, and counts on that day, is posted.

    It is the rate of the day or of the last day before it that was set when the fact occurred; if
    there was none, the first such that was set after. So a replay finds what was found before.
    """
    found: Decimal | None = await tx.fetchval(
        """
        select rate from exchange_rates
        where currency_code = $1 and rate_date between $2::date - $4::int and $2
        order by set_time > $3,
          case when set_time > $3 then null else rate_date end desc,
          case when set_time > $3 then null else set_time end desc,
          set_time
        limit 1
        """,
        currency_code, day, occur_time, days_back,
    )  # fmt: skip
    return found


async def get_place(
    tx: Tx, source_type: str, source_id: str, account_code: str, invoice_id: str | None = None
) -> Record | None:
    """What is known where a fact shall be posted; None if the ledger is not open.

    `version` is that of the source which was handled last, `sequence` that of its rejection,
    `account_type` that of the account, `is_awaited` whether others wait for the source.
    """
    return await tx.fetchrow(
        """
        select base_currency_code,
          greatest(
            (select max(source_version) from journal_entries
             where source_type = $1 and source_id = $2),
            (select version from open_items where invoice_id = $4)
          ) as version,
          (select sequence from posting_rejections
           where source_type = $1 and source_id = $2) as sequence,
          (select type from accounts where account_code = $3) as account_type,
          exists (select from posting_needs where need = $1 || ':' || $2) as is_awaited
        from organizations
        """,
        source_type, source_id, account_code, invoice_id,
    )  # fmt: skip
