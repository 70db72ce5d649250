"""Copies of what other services know: the organization itself, and its invoices."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from libs.pg import Database, Record, Tx


@dataclass(frozen=True)
class Organization:
    """Who the organization is; empty until auth has said so."""

    display_name: str = ""
    tax_ids: tuple[str, ...] = ()
    base_currency_code: str = ""


@dataclass(frozen=True)
class KnownInvoice:
    """What is kept of an invoice; keys as rules.keys makes them."""

    invoice_id: str
    version: int
    direction: int
    name_key: str
    tax_key: str
    number_key: str
    issue_date: date | None
    gross: Decimal | None
    gross_currency_code: str | None
    iban: str
    account_code: str
    account_confirmed: bool
    approved: bool
    rejected: bool
    update_time: datetime


@dataclass(frozen=True)
class Past:
    """What earlier invoices of the same party say."""

    # The account that a person chose or approved last.
    account_code: str = ""
    # The bank accounts on approved invoices.
    ibans: tuple[str, ...] = ()
    # Whether the same number is there already.
    same_number: bool = False
    # Whether the same amount is there for the same day, under another number.
    same_amount: bool = False


async def upsert_organization(
    tx: Tx, organization_id: str, organization: Organization, version: int
) -> None:
    """Keep who the organization is, unless a later version is known."""
    await tx.execute(
        """
        insert into organizations
          (organization_id, display_name, tax_ids, base_currency_code, version)
        values ($1, $2, $3, $4, $5)
        on conflict (organization_id) do update set display_name = excluded.display_name,
          tax_ids = excluded.tax_ids, base_currency_code = excluded.base_currency_code,
          version = excluded.version
        where organizations.version < excluded.version
        """,
        organization_id, organization.display_name, list(organization.tax_ids),
        organization.base_currency_code, version,
    )  # fmt: skip


async def get_organization(tx: Tx) -> Organization:
    """Who the transaction's organization is."""
    row = await tx.fetchrow("select display_name, tax_ids, base_currency_code from organizations")
    if row is None:
        return Organization()
    return Organization(row["display_name"], tuple(row["tax_ids"]), row["base_currency_code"])


async def upsert_known_invoice(tx: Tx, organization_id: str, known: KnownInvoice) -> None:
    """Keep what is known of an invoice, unless a later version is known."""
    await tx.execute(
        """
        insert into known_invoices (organization_id, invoice_id, version, direction, name_key,
          tax_key, number_key, issue_date, gross, gross_currency_code, iban, account_code,
          account_confirmed, approved, rejected, update_time)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        on conflict (organization_id, invoice_id) do update set version = excluded.version,
          direction = excluded.direction, name_key = excluded.name_key,
          tax_key = excluded.tax_key, number_key = excluded.number_key,
          issue_date = excluded.issue_date, gross = excluded.gross,
          gross_currency_code = excluded.gross_currency_code, iban = excluded.iban,
          account_code = excluded.account_code, account_confirmed = excluded.account_confirmed,
          approved = excluded.approved, rejected = excluded.rejected,
          update_time = excluded.update_time
        where known_invoices.version < excluded.version
        """,
        organization_id, known.invoice_id, known.version, known.direction, known.name_key,
        known.tax_key, known.number_key, known.issue_date, known.gross,
        known.gross_currency_code, known.iban, known.account_code, known.account_confirmed,
        known.approved, known.rejected, known.update_time,
    )  # fmt: skip


async def get_past(db: Database, organization_id: str, now: KnownInvoice) -> Past:
    """What the other invoices of an invoice's party say about it."""
    rows = await db.read(
        organization_id,
        """
        with others as (
          select * from known_invoices
          where direction = $2 and invoice_id <> $1 and not rejected
            and (($3 <> '' and name_key = $3) or ($4 <> '' and tax_key = $4))
        )
        select
          coalesce((select account_code from others
            where account_confirmed and account_code <> '' order by update_time desc limit 1), '')
            as account_code,
          array(select distinct iban from others where approved and iban <> '' limit 100) as ibans,
          exists (select from others where number_key = $5 and $5 <> '') as same_number,
          exists (select from others where issue_date = $6 and gross = $7
            and gross_currency_code = $8 and number_key <> $5) as same_amount
        """,
        now.invoice_id, now.direction, now.name_key, now.tax_key, now.number_key,
        now.issue_date, now.gross, now.gross_currency_code,
    )  # fmt: skip
    return _past(rows[0])


def _past(row: Record) -> Past:
    return Past(row["account_code"], tuple(row["ibans"]), row["same_number"], row["same_amount"])
