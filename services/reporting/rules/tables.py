"""The reports as tables, made of what the ledger's accounts came to.

Every function takes the rows of a query: those of balances have account_code, display_name, type
and sums, those of ageing have counterparty and one sum for each column.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from auditron.reporting.v1 import reporting_pb2
from auditron.reporting.v1.reporting_pb2 import ReportTable

from libs import money

from . import chart

Row = Any  # what has a value for each column's name, and items()
DETAIL, HEADING, TOTAL = (
    ReportTable.Row.KIND_DETAIL,
    ReportTable.Row.KIND_HEADING,
    ReportTable.Row.KIND_TOTAL,
)
AGES = ("not_due", "days_1_30", "days_31_60", "days_61_90", "days_over_90")
_AGE_COLUMNS = (
    "Not due",
    "1\N{EN DASH}30 days",
    "31\N{EN DASH}60 days",
    "61\N{EN DASH}90 days",
    "Over 90 days",
    "Total",
)
_TITLES: dict[int, str] = {
    reporting_pb2.REPORT_KIND_PROFIT_AND_LOSS: "Profit and loss",
    reporting_pb2.REPORT_KIND_BALANCE_SHEET: "Balance sheet",
    reporting_pb2.REPORT_KIND_TRIAL_BALANCE: "Trial balance",
    reporting_pb2.REPORT_KIND_PAYABLES_AGEING: "Payables ageing",
    reporting_pb2.REPORT_KIND_RECEIVABLES_AGEING: "Receivables ageing",
}
_ZERO = Decimal(0)


def control_account(kind: int) -> str | None:
    """Return the account that a report is about; None if it is about all."""
    if kind == reporting_pb2.REPORT_KIND_PAYABLES_AGEING:
        return chart.PAYABLES
    return chart.RECEIVABLES if kind == reporting_pb2.REPORT_KIND_RECEIVABLES_AGEING else None


def table(kind: int, rows: Sequence[Row], start: date | None, end: date) -> ReportTable:
    """Return a report; rows are those of its figures, never none."""
    if control_account(kind):
        return ageing(kind, rows, end)
    if kind == reporting_pb2.REPORT_KIND_BALANCE_SHEET:
        return balance_sheet(rows, end)
    assert start is not None, "checked before"
    make = profit_and_loss if kind == reporting_pb2.REPORT_KIND_PROFIT_AND_LOSS else trial_balance
    return make(rows, start, end)


class Table:
    """A table that is filled row by row; amounts are in the books' currency."""

    def __init__(self, kind: int, books: Row, start: date | None, end: date) -> None:
        """Take name, currency and last entry of the books, and the days."""
        self.made = ReportTable(
            kind=kind,  # type: ignore[arg-type]
            title=_TITLES[kind],
            organization_name=books["organization_name"],
            currency_code=books["base_currency_code"],
            last_entry_number=books["last_entry_number"],
        )
        for field, day in (("start_date", start), ("end_date", end)):
            if day is not None:
                target = getattr(self.made, field)
                target.year, target.month, target.day = day.year, day.month, day.day

    def add(self, kind: int, label: str, *amounts: Decimal, account_code: str = "") -> None:
        """Add a row."""
        currency = self.made.currency_code
        self.made.rows.add(
            kind=kind,
            account_code=account_code,
            label=label,
            amounts=[money.to_message(each, currency).amount for each in amounts],
        )

    def section(self, heading: str, rows: Sequence[Row], sign: int, total: str) -> Decimal:
        """Add the accounts that have a balance, between heading and total; return the total."""
        self.add(HEADING, heading)
        for row in rows:
            if row["balance"]:
                amount = sign * row["balance"]
                self.add(DETAIL, row["display_name"], amount, account_code=row["account_code"])
        result = sign * sum((row["balance"] for row in rows), _ZERO)
        self.add(TOTAL, total, result)
        return result


def profit_and_loss(rows: Sequence[Row], start: date, end: date) -> ReportTable:
    """Income and expenses of a period; rows have its `debit` and `credit`."""
    rows = [{**dict(row.items()), "balance": row["debit"] - row["credit"]} for row in rows]
    table = Table(reporting_pb2.REPORT_KIND_PROFIT_AND_LOSS, rows[0], start, end)
    table.made.columns.append("Amount")
    income = table.section("Income", _of(rows, chart.INCOME), -1, "Total income")
    expenses = table.section("Expenses", _of(rows, chart.EXPENSE), 1, "Total expenses")
    table.add(TOTAL, "Profit" if income >= expenses else "Loss", income - expenses)
    return table.made


def balance_sheet(rows: Sequence[Row], end: date) -> ReportTable:
    """Assets, liabilities and equity on a day; rows have `balance`, all up to that day.

    Income and expenses up to that day are one line of equity: the result.
    """
    table = Table(reporting_pb2.REPORT_KIND_BALANCE_SHEET, rows[0], None, end)
    table.made.columns.append("Amount")
    assets = table.section("Assets", _of(rows, chart.ASSET), 1, "Total assets")
    liabilities = table.section("Liabilities", _of(rows, chart.LIABILITY), -1, "Total liabilities")
    results = [*_of(rows, chart.INCOME), *_of(rows, chart.EXPENSE)]
    result = {
        "account_code": "",
        "display_name": "Result to date",
        "balance": sum((row["balance"] for row in results), _ZERO),
    }
    equity = table.section("Equity", [*_of(rows, chart.EQUITY), result], -1, "Total equity")
    assert assets == liabilities + equity, "the ledger is out of balance"
    table.add(TOTAL, "Total liabilities and equity", liabilities + equity)
    return table.made


def trial_balance(rows: Sequence[Row], start: date, end: date) -> ReportTable:
    """Every account with a figure; rows have `opening`, `debit`, `credit` and `balance`."""
    table = Table(reporting_pb2.REPORT_KIND_TRIAL_BALANCE, rows[0], start, end)
    table.made.columns.extend(("Opening balance", "Debit", "Credit", "Closing balance"))
    columns = ("opening", "debit", "credit", "balance")
    for row in rows:
        sums = [row[column] for column in columns]
        if any(sums):
            table.add(DETAIL, row["display_name"], *sums, account_code=row["account_code"])
    opening, debit, credit, closing = (
        sum((row[column] for row in rows), _ZERO) for column in columns
    )
    assert debit == credit, "debits and credits differ"
    assert opening == closing == 0, "the ledger is out of balance"
    table.add(TOTAL, "Total", opening, debit, credit, closing)
    return table.made


def ageing(kind: int, rows: Sequence[Row], end: date) -> ReportTable:
    """What is owed on a day by counterparty and days overdue; rows have AGES and `balance`.

    `balance` is that of the account, which the total ties to.
    """
    table = Table(kind, rows[0], None, end)
    table.made.columns.extend(_AGE_COLUMNS)
    sign = -1 if kind == reporting_pb2.REPORT_KIND_PAYABLES_AGEING else 1
    totals = [_ZERO] * len(AGES)
    for row in rows:
        if row["counterparty"] is None:  # nobody owes or is owed
            continue
        sums = [sign * row[age] for age in AGES]
        totals = [total + each for total, each in zip(totals, sums, strict=True)]
        table.add(DETAIL, row["counterparty"] or "Not named", *sums, sum(sums, _ZERO))
    total = sum(totals, _ZERO)
    assert total == sign * rows[0]["balance"], "ageing does not tie to the account"
    table.add(TOTAL, "Total", *totals, total)
    return table.made


def _of(rows: Sequence[Row], type_: int) -> list[Row]:
    return [row for row in rows if row["type"] == type_]
