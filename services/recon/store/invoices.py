"""The copy of open invoices, and the pairs that a person has refused."""

# SQL is composed of constants only

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any

from libs.pg import Record, Tx

from ..matching import Invoice

INVOICE = """invoice_id, number, open_amount, currency_code, due_date, issue_date, direction, kind,
  counterparty_name, counterparty_iban"""


async def get_version(tx: Tx, invoice_id: str) -> Record | None:
    """Which version of an invoice is known and how much of it is open, locked; None if unknown."""
    return await tx.fetchrow(
        "select version, open_amount from open_invoices where invoice_id = $1 for update",
        invoice_id,
    )


async def upsert_invoice(
    tx: Tx, organization_id: str, invoice: Invoice, *, standing: bool, version: int
) -> Decimal:
    """Keep what is known of an invoice now, whose open amount is its gross; what is really open.

    What confirmed matches settle of it counts, also where the copy had been lost.
    """
    open_amount: Decimal = await tx.fetchval(
        """
        insert into open_invoices as o (organization_id, invoice_id, standing, direction, kind,
          number, counterparty_name, counterparty_iban, currency_code, gross, settled, open_amount,
          issue_date, due_date, version)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, settled,
          case when $3 then greatest($10 - settled, 0) else 0 end, $11, $12, $13
        from (
          select coalesce(sum(abs(a.amount)), 0) as settled
          from allocations a join matches m using (organization_id, match_id)
          where a.invoice_id = $2 and m.state = 2
        ) confirmed
        on conflict (organization_id, invoice_id) do update set standing = $3, direction = $4,
          kind = $5, number = $6, counterparty_name = $7, counterparty_iban = $8,
          currency_code = $9, gross = $10, issue_date = $11, due_date = $12, version = $13,
          open_amount = case when $3 then greatest($10 - o.settled, 0) else 0 end
        returning open_amount
        """,
        organization_id, invoice.invoice_id, standing, invoice.direction, invoice.kind,
        invoice.number, invoice.counterparty_name, invoice.counterparty_iban,
        invoice.currency_code, invoice.open_amount, invoice.issue_date, invoice.due_date, version,
    )  # fmt: skip
    return open_amount


async def lock_invoices(tx: Tx, invoice_ids: Collection[str]) -> dict[str, Invoice]:
    """Those of the invoices that stand approved, locked in the order of their ids."""
    rows = await tx.fetch(
        f"""
        select {INVOICE}, standing from open_invoices where invoice_id = any($1)
        order by invoice_id for update
        """,
        sorted(set(invoice_ids)),
    )
    return {str(row["invoice_id"]): to_invoice(row) for row in rows if row["standing"]}


async def list_open_invoices(tx: Tx, limit: int) -> list[Record]:
    """Invoices of which something is open, the newest first."""
    return await tx.fetch(
        f"""
        select {INVOICE} from open_invoices where open_amount > 0
        order by issue_date desc, invoice_id desc limit $1
        """,
        limit,
    )


async def settle_invoices(tx: Tx, match_id: str) -> int:
    """Take what a match settles from what is open; how many invoices it was.

    The database refuses more than is open.
    """
    status = await tx.execute(
        """
        update open_invoices o
        set settled = settled + a.amount, open_amount = open_amount - a.amount
        from (
          select invoice_id, sum(abs(amount)) as amount from allocations
          where match_id = $1 group by invoice_id
        ) a
        where o.invoice_id = a.invoice_id and o.standing
        """,
        match_id,
    )
    return int(status.split()[1])


async def unsettle_invoices(tx: Tx, match_id: str) -> None:
    """Give back what a match has settled."""
    await tx.execute(
        """
        update open_invoices o
        set settled = settled - a.amount,
          open_amount = case when standing then greatest(gross - settled + a.amount, 0) else 0 end
        from (
          select invoice_id, sum(abs(amount)) as amount from allocations
          where match_id = $1 group by invoice_id
        ) a
        where o.invoice_id = a.invoice_id
        """,
        match_id,
    )


async def insert_rejected_pairs(
    tx: Tx, organization_id: str, pairs: Iterable[tuple[str, str]]
) -> None:
    """Keep (transaction_id, invoice_id) that were refused."""
    transactions, invoices = _columns(pairs)
    await tx.execute(
        """
        insert into rejected_pairs (organization_id, transaction_id, invoice_id)
        select $1, * from unnest($2::uuid[], $3::uuid[]) on conflict do nothing
        """,
        organization_id, transactions, invoices,
    )  # fmt: skip


async def delete_rejected_pairs(tx: Tx, pairs: Iterable[tuple[str, str]]) -> None:
    """Forget that pairs were refused: a person has now chosen them."""
    await tx.execute(
        """
        delete from rejected_pairs r using unnest($1::uuid[], $2::uuid[]) as given (t, i)
        where r.transaction_id = given.t and r.invoice_id = given.i
        """,
        *_columns(pairs),
    )


async def list_rejected_pairs(tx: Tx, transaction_ids: Collection[str]) -> set[tuple[str, str]]:
    """The refused pairs of these transactions."""
    rows = await tx.fetch(
        "select transaction_id, invoice_id from rejected_pairs where transaction_id = any($1)",
        list(transaction_ids),
    )
    return {(str(row["transaction_id"]), str(row["invoice_id"])) for row in rows}


def _columns(pairs: Iterable[tuple[str, str]]) -> tuple[Sequence[str], Sequence[str]]:
    both = list(pairs)
    return [one for one, _ in both], [other for _, other in both]


def to_invoice(row: Record) -> Invoice:
    """An open invoice as the engine has it."""
    values: dict[str, Any] = {name: row[name] for name in INVOICE_FIELDS}
    return Invoice(**values | {"invoice_id": str(row["invoice_id"])})


INVOICE_FIELDS = tuple(name.strip() for name in INVOICE.split(","))
