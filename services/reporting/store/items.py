"""Approved invoices, as matches need to know them."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from libs.pg import Record, Tx


async def upsert_item(
    tx: Tx,
    organization_id: str,
    invoice_id: str,
    version: int,
    *,
    direction: int,
    document_type: int,
    invoice_number: str,
    counterparty: str,
    due_date: date,
    currency_code: str,
    gross: Decimal,
    tax: Decimal,
    gross_base: Decimal,
) -> None:
    """Keep an invoice as it was approved."""
    await tx.execute(
        """
        insert into open_items (organization_id, invoice_id, version, is_approved, direction,
          document_type, invoice_number, counterparty, due_date, currency_code, gross, tax,
          gross_base)
        values ($1, $2, $3, true, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (organization_id, invoice_id) do update set
          version = $3, is_approved = true, direction = $4, document_type = $5, invoice_number = $6,
          counterparty = $7, due_date = $8, currency_code = $9, gross = $10, tax = $11,
          gross_base = $12
        where open_items.version < $3
        """,
        organization_id, invoice_id, version, direction, document_type, invoice_number,
        counterparty, due_date, currency_code, gross, tax, gross_base,
    )  # fmt: skip


async def reopen_item(tx: Tx, invoice_id: str, version: int) -> None:
    """Note that an invoice is back in review, unless a later version is known."""
    await tx.execute(
        """
        update open_items set is_approved = false, version = $2
        where invoice_id = $1 and version < $2
        """,
        invoice_id, version,
    )  # fmt: skip


async def list_items(
    tx: Tx, invoice_ids: Sequence[str], sequence: int | None, accounts: Sequence[str]
) -> list[Record]:
    """The approved invoices among these, with what is open of them on the accounts.

    `is_blocked` says whether a fact waits for the invoice that came before: before the waiting
    fact of this sequence, or before now if it is None.
    """
    return await tx.fetch(
        """
        select invoice_id::text, direction, document_type, counterparty, currency_code, gross, tax,
          gross_base, open_amount, open_base,
          exists (
            select from posting_needs n where n.need = 'invoice:' || invoice_id
              and ($2::bigint is null or n.sequence < $2)
          ) as is_blocked
        from open_items i
        cross join lateral (
          select coalesce(sum(original_amount), 0) as open_amount,
            coalesce(sum(amount), 0) as open_base
          from postings p where p.organization_id = i.organization_id
            and p.invoice_id = i.invoice_id and p.account_code = any($3)
        ) s
        where invoice_id = any($1::uuid[]) and is_approved
        """,
        invoice_ids, sequence, accounts,
    )  # fmt: skip
