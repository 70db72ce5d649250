"""How an approved invoice is posted.

Payable: debit cost and input VAT, credit payables. Receivable: debit receivables, credit income and
output VAT. A credit note stands on the reversed sides, a receipt is posted as an invoice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice
from auditron.reporting.v1.reporting_pb2 import JournalEntry, Posting
from auditron.type.v1.money_pb2 import Money

from libs import money

from . import chart
from .requests import to_date

NAME_LENGTH_MAX = 200
PAYABLE = invoice_pb2.DIRECTION_PAYABLE
RECEIVABLE = invoice_pb2.DIRECTION_RECEIVABLE
CREDIT_NOTE = invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE
_KINDS = {
    invoice_pb2.DOCUMENT_TYPE_INVOICE: "Invoice",
    CREDIT_NOTE: "Credit note",
    invoice_pb2.DOCUMENT_TYPE_RECEIPT: "Receipt",
}


class Unpostable(Exception):  # noqa: N818  # says what is so
    """The fact cannot be posted; `needs` is what has to come before, none if nothing helps."""

    def __init__(self, reason: str, message: str, needs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.needs = needs


@dataclass(frozen=True)
class Draft:
    """An entry without number, and for each posting the invoice whose balance it changes."""

    entry: JournalEntry
    invoice_ids: Sequence[str | None]


@dataclass(frozen=True)
class Amounts:
    """What an invoice comes to, in its own currency."""

    net: Decimal
    tax: Decimal
    gross: Decimal
    currency_code: str


@dataclass(frozen=True)
class Rates:
    """What one unit of each currency is worth in the base currency on the day."""

    base: str
    by_currency: Mapping[str, Decimal]

    def to_base(self, amount: Decimal, currency_code: str) -> Decimal:
        """Return the amount in the base currency, rounded to it."""
        rate = Decimal(1) if currency_code == self.base else self.by_currency[currency_code]
        return money.round_to_currency(amount * rate, self.base)


def to_money(amount: Decimal, currency_code: str) -> Money:
    """Return the amount as a message; Unpostable if it is larger than amounts may be."""
    try:
        return money.to_message(amount, currency_code)
    except money.InvalidMoney as error:
        raise Unpostable("AMOUNT_TOO_LARGE", str(error)) from None


def amounts_of(invoice: Invoice) -> Amounts:
    """Return the amounts. Unpostable if they are missing, do not add up, or differ in currency."""
    if not invoice.HasField("gross"):
        raise Unpostable("INVOICE_INCOMPLETE", "The invoice has no total.")
    given = [each for each in (invoice.net, invoice.tax, invoice.gross) if each.ByteSize()]
    currency = invoice.gross.currency_code
    if {each.currency_code for each in given} != {currency}:
        raise Unpostable("INVOICE_INCOMPLETE", "The invoice's amounts are of several currencies.")
    try:
        gross = money.to_decimal(invoice.gross)
        net = money.to_decimal(invoice.net) if invoice.HasField("net") else None
        tax = money.to_decimal(invoice.tax) if invoice.HasField("tax") else None
    except money.InvalidMoney as error:
        raise Unpostable("INVOICE_INCOMPLETE", str(error)) from None
    tax = gross - (gross if net is None else net) if tax is None else tax
    net = gross - tax if net is None else net
    if net + tax != gross:
        raise Unpostable("INVOICE_UNBALANCED", f"{net} and {tax} do not add up to {gross}.")
    return Amounts(net, tax, gross, currency)


def check_complete(invoice: Invoice) -> None:
    """Raise Unpostable for an invoice that lacks what its entry needs."""
    if invoice.direction not in (PAYABLE, RECEIVABLE) or invoice.document_type not in _KINDS:
        raise Unpostable("INVOICE_INCOMPLETE", "The invoice's direction or type is not known.")
    if to_date(invoice.issue_date) is None:
        raise Unpostable("INVOICE_INCOMPLETE", "The invoice has no issue date.")
    amounts_of(invoice)


def control_account(direction: int) -> str:
    """Return the account of what is owed: payables or receivables."""
    return chart.PAYABLES if direction == PAYABLE else chart.RECEIVABLES


def counterparty_of(invoice: Invoice) -> str:
    """Return the name of the other side, its blanks made single."""
    party = invoice.supplier if invoice.direction == PAYABLE else invoice.customer
    return " ".join(party.display_name.split())[:NAME_LENGTH_MAX]


def due_date_of(invoice: Invoice) -> date:
    """Return when it is due: the day of issue if it does not say."""
    due = to_date(invoice.due_date) or to_date(invoice.issue_date)
    assert due is not None, "checked before"
    return due


def invoice_entry(invoice: Invoice, rates: Rates, account_known: bool) -> tuple[Draft, Decimal]:
    """Return the entry of an invoice that is complete, and its gross in the base currency.

    `account_known` says whether the chart has the account that it names. A draft without postings
    means that there is nothing to post.
    """
    amounts = amounts_of(invoice)
    gross = rates.to_base(amounts.gross, amounts.currency_code)
    tax = rates.to_base(amounts.tax, amounts.currency_code)
    is_payable = invoice.direction == PAYABLE
    account, remark = _result_account(invoice, account_known)
    vat = chart.INPUT_VAT if is_payable else chart.OUTPUT_VAT
    sign = 1 if is_payable else -1
    if invoice.document_type == CREDIT_NOTE:
        sign = -sign
    lines = [
        (account, gross - tax, amounts.net, sign),
        (vat, tax, amounts.tax, sign),
        (control_account(invoice.direction), gross, amounts.gross, -sign),
    ]
    entry = JournalEntry(
        posting_date=invoice.issue_date,
        description=_description(invoice) + remark,
        source_type="invoice",
        source_id=invoice.invoice_id,
    )
    for code, amount, original, side in lines:
        if amount:
            is_control = code == lines[-1][0]
            entry.postings.append(
                Posting(
                    account_code=code,
                    amount=to_money(side * amount, rates.base),
                    original_amount=to_money(side * original, amounts.currency_code),
                    counterparty=counterparty_of(invoice) if is_control else "",
                )
            )
    ids = [invoice.invoice_id if p.account_code == lines[-1][0] else None for p in entry.postings]
    return Draft(entry, ids), gross


def _result_account(invoice: Invoice, account_known: bool) -> tuple[str, str]:
    """Return the account of cost or income, and a remark if it is not the one that was named."""
    default = chart.OTHER_EXPENSES if invoice.direction == PAYABLE else chart.REVENUE
    wanted = invoice.account_code
    if not wanted:
        return default, ""
    if wanted in chart.RESERVED:
        return default, f" (account {wanted} is kept for other postings: posted to {default})"
    if not account_known:
        return default, f" (account {wanted[:20]} is not in the chart: posted to {default})"
    return wanted, ""


def _description(invoice: Invoice) -> str:
    kind, number = _KINDS[invoice.document_type], " ".join(invoice.invoice_number.split())
    numbered = f"{kind} {number[:NAME_LENGTH_MAX]}" if number else kind
    name = counterparty_of(invoice)
    return f"{numbered}, {name}" if name else numbered
