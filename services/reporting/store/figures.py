"""What the accounts came to: one statement a report, so that its figures are of one moment."""

from datetime import date

from libs.pg import Database, Record

from .. import errors

# On every row, also where there are no others: whose books these are and how far they go.
_BOOKS = "o.display_name as organization_name, o.base_currency_code, o.last_entry_number"


async def list_figures(
    db: Database, organization_id: str, control_account: str | None, start: date | None, end: date
) -> list[Record]:
    """The rows of a report: ages if it is of a control account, else balances.

    Raises LedgerNotReady.
    """
    if control_account is not None:
        return await list_ages(db, organization_id, control_account, end)
    return await list_balances(db, organization_id, start or end, end)


async def list_balances(db: Database, organization_id: str, start: date, end: date) -> list[Record]:
    """Every account with what it came to before a period, within it, and at its end.

    Debits are positive in `opening` and `balance`. A reversal lessens the side that it takes back
    and does not swell the other. Raises LedgerNotReady.
    """
    rows = await db.read(
        organization_id,
        f"""
        select {_BOOKS}, a.account_code, a.display_name, a.type,
          coalesce(s.opening, 0) as opening, coalesce(s.debit, 0) as debit,
          coalesce(s.credit, 0) as credit, coalesce(s.balance, 0) as balance
        from organizations o
        join accounts a on a.organization_id = o.organization_id
        left join (
          select account_code, sum(amount) as balance,
            sum(amount) filter (where posting_date < $1) as opening,
            sum(amount) filter (where posting_date >= $1 and (amount > 0) <> is_reversal) as debit,
            -sum(amount) filter (where posting_date >= $1 and (amount > 0) = is_reversal) as credit
          from postings where posting_date <= $2 group by account_code
        ) s on s.account_code = a.account_code
        order by a.account_code collate "C"
        """,
        start, end,
    )  # fmt: skip
    return _opened(rows)


async def list_ages(
    db: Database, organization_id: str, account_code: str, end: date
) -> list[Record]:
    """What is open on payables or receivables by counterparty and days overdue.

    The account's `balance` is on every row; a row without counterparty says that nothing is open.
    Raises LedgerNotReady.
    """
    rows = await db.read(
        organization_id,
        f"""
        select {_BOOKS}, b.balance, s.*
        from organizations o
        cross join lateral (
          select coalesce(sum(amount), 0) as balance from postings
          where account_code = $1 and posting_date <= $2
        ) b
        left join (
          select coalesce(i.counterparty, p.counterparty) as counterparty,
            coalesce(sum(amount) filter (where overdue <= 0), 0) as not_due,
            coalesce(sum(amount) filter (where overdue between 1 and 30), 0) as days_1_30,
            coalesce(sum(amount) filter (where overdue between 31 and 60), 0) as days_31_60,
            coalesce(sum(amount) filter (where overdue between 61 and 90), 0) as days_61_90,
            coalesce(sum(amount) filter (where overdue > 90), 0) as days_over_90
          from postings p
          left join open_items i
            on i.organization_id = p.organization_id and i.invoice_id = p.invoice_id
          cross join lateral (select $2::date - coalesce(i.due_date, $2) as overdue) d
          where account_code = $1 and posting_date <= $2
          group by 1
        ) s on (not_due, days_1_30, days_31_60, days_61_90, days_over_90) <> (0, 0, 0, 0, 0)
        order by lower(s.counterparty), s.counterparty
        """,
        account_code, end,
    )  # fmt: skip
    return _opened(rows)


def _opened(rows: list[Record]) -> list[Record]:
    if not rows:
        raise errors.LedgerNotReady("The ledger is being opened.", retry_after_s=1)
    return rows
