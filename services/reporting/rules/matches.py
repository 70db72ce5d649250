"""How a confirmed match is posted.

The bank gets what its transactions came to, at the rate of the day. What is owed is cleared at the
rate at which it was booked, and what lies between is an exchange gain or loss.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Match
from auditron.reporting.v1.reporting_pb2 import JournalEntry, Posting

from libs import money
from libs.rpc import is_uuid

from . import chart
from .invoices import (
    CREDIT_NOTE,
    RECEIVABLE,
    Draft,
    Rates,
    Unpostable,
    control_account,
    to_money,
)
from .requests import to_date

# Where a difference goes: of money in for invoices, and of money out.
_ACCOUNTS = {
    recon_pb2.DIFFERENCE_KIND_ROUNDING: (chart.ROUNDING, chart.ROUNDING),
    recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT: (chart.DISCOUNTS_GRANTED, chart.DISCOUNTS_RECEIVED),
    recon_pb2.DIFFERENCE_KIND_BANK_CHARGE: (chart.BANK_CHARGES, chart.BANK_CHARGES),
    recon_pb2.DIFFERENCE_KIND_OVERPAYMENT: (chart.RECEIVABLES, chart.PAYABLES),
}


@dataclass(frozen=True)
class Item:
    """An invoice as it was posted, and what of it is still open on its account."""

    invoice_id: str
    direction: int
    document_type: int
    counterparty: str
    currency_code: str
    gross: Decimal
    tax: Decimal
    # In the base currency.
    gross_base: Decimal
    # The account's balance of this invoice, debits positive: in its currency and in the base's.
    open_amount: Decimal
    open_base: Decimal

    @property
    def flow(self) -> int:
        """1 if settling it brings money in, -1 if it takes money out."""
        sign = 1 if self.direction == RECEIVABLE else -1
        if (self.document_type == CREDIT_NOTE) != (self.gross < 0):
            return -sign
        return sign


# An invoice, and the money that its part of the match brings in (out: negative), in its currency.
Flow = tuple[Item, Decimal]


@dataclass(frozen=True)
class Line:
    """A posting in the making; amounts are debits if positive."""

    account_code: str
    amount: Decimal
    original: Decimal
    currency_code: str
    counterparty: str = ""
    invoice_id: str | None = None


def settled_of(match: Match) -> dict[str, tuple[Decimal, str]]:
    """Return how much of each invoice is settled (never negative), with its currency; Unpostable.

    Which way the money goes is said by the invoice; in a match the sign says only that a document
    is set off against the others of a transaction, which it need not be in the next one.
    """
    if to_date(match.posting_date) is None:
        raise Unpostable("MATCH_INCOMPLETE", "The match has no posting date.")
    if not match.allocations:
        raise Unpostable("MATCH_INCOMPLETE", "The match has no allocations.")
    found: dict[str, tuple[Decimal, str]] = {}
    try:
        for each in match.allocations:
            if not is_uuid(each.invoice_id):
                raise Unpostable("MATCH_INCONSISTENT", "An allocation names no invoice.")
            key = each.invoice_id.lower()
            before, currency = found.get(key, (Decimal(0), each.amount.currency_code))
            if currency != each.amount.currency_code:
                raise Unpostable("MATCH_INCONSISTENT", "An invoice is settled in two currencies.")
            found[key] = (before + abs(money.to_decimal(each.amount)), currency)
        money.to_decimal(match.bank_amount)
        if money.to_decimal(match.difference) and match.difference_kind not in _ACCOUNTS:
            raise Unpostable("MATCH_INCOMPLETE", "The match does not say what its difference is.")
    except money.InvalidMoney as error:
        raise Unpostable("MATCH_INCOMPLETE", str(error)) from None
    return found


def currencies_of(match: Match) -> set[str]:
    """Return the currencies whose rates the entry needs."""
    return {each.amount.currency_code for each in match.allocations} | {
        match.bank_amount.currency_code
    }


def match_entry(match: Match, items: Sequence[Item], rates: Rates, bank_known: bool) -> Draft:
    """Return the entry of a match whose invoices are these; no postings: nothing to post.

    `bank_known` says whether the chart has the match's account as an asset or a debt. Raises
    Unpostable.
    """
    settled = settled_of(match)
    for item in items:
        if settled[item.invoice_id][1] != item.currency_code:
            wrong = f"An invoice in {item.currency_code} is settled in another currency."
            raise Unpostable("MATCH_INCONSISTENT", wrong)
    flows = [(item, item.flow * settled[item.invoice_id][0]) for item in items]
    account, remark = _bank_account(match, bank_known)
    paid, currency = money.to_decimal(match.bank_amount), match.bank_amount.currency_code
    rest = money.to_decimal(match.difference)
    if {item.currency_code for item in items} == {currency} and paid != rest + sum(
        flow for _, flow in flows
    ):
        raise Unpostable("MATCH_INCONSISTENT", "The amounts of the match do not add up.")
    lines = [Line(account, rates.to_base(paid, currency), paid, currency)]
    lines += [_cleared(item, flow, rates.base) for item, flow in flows]
    lines += _difference(match, flows, rates)
    lines += _exchange(lines, rates.base)
    used = [line for line in lines if line.amount or line.original]
    entry = JournalEntry(
        posting_date=match.posting_date,
        description=_description(items) + remark,
        source_type="match",
        source_id=match.match_id,
        postings=[_posting(line, rates.base) for line in used],
    )
    return Draft(entry, [line.invoice_id for line in used])


def _cleared(item: Item, flow: Decimal, base: str) -> Line:
    """The posting on the invoice's account: at its booked rate, or all that is left of it.

    With that, an invoice that is paid in parts ends at zero in both currencies.
    """
    if flow and flow == item.open_amount:
        cleared = item.open_base
    elif item.gross:
        cleared = money.round_to_currency(flow * abs(item.gross_base / item.gross), base)
    else:
        cleared = Decimal(0)
    account = control_account(item.direction)
    return Line(account, -cleared, -flow, item.currency_code, item.counterparty, item.invoice_id)


def _difference(match: Match, flows: Sequence[Flow], rates: Rates) -> Iterator[Line]:
    """What remains of the transactions: positive is money in, and so a credit."""
    amount, currency = money.to_decimal(match.difference), match.difference.currency_code
    if not amount:
        return
    moved = [rates.to_base(flow, item.currency_code) for item, flow in flows]
    in_base = rates.to_base(amount, currency)
    account = _ACCOUNTS[match.difference_kind][sum(moved) < 0]
    weights, taxed = [abs(each) for each in moved], Decimal(0)
    if account in (chart.DISCOUNTS_GRANTED, chart.DISCOUNTS_RECEIVED) and any(weights):
        # A discount lessens the VAT as much as the price. What is set off counts by its size: the
        # documents' shares are weighed, and none of them is left behind.
        shares = (w * i.tax / i.gross for w, (i, _) in zip(weights, flows, strict=True) if i.gross)
        taxed = sum(shares, Decimal(0)) / sum(weights)
    vat_base = money.round_to_currency(in_base * taxed, rates.base)
    vat = money.round_to_currency(amount * taxed, currency)
    if vat_base or vat:
        code = chart.INPUT_VAT if account == chart.DISCOUNTS_RECEIVED else chart.OUTPUT_VAT
        yield Line(code, -vat_base, -vat, currency)
    names = {item.counterparty for item, _ in flows}
    is_owed = account in (chart.RECEIVABLES, chart.PAYABLES)
    name = names.pop() if is_owed and len(names) == 1 else ""
    yield Line(account, vat_base - in_base, vat - amount, currency, name)


def _exchange(lines: Sequence[Line], base: str) -> list[Line]:
    rest = -sum((line.amount for line in lines), Decimal(0))
    if not rest:
        return []
    account = chart.EXCHANGE_LOSSES if rest > 0 else chart.EXCHANGE_GAINS
    if {line.currency_code for line in lines} == {base}:  # amounts finer than the currency
        account = chart.ROUNDING
    return [Line(account, rest, rest, base)]


def _bank_account(match: Match, bank_known: bool) -> tuple[str, str]:
    wanted = match.account_code
    if not wanted:
        return chart.BANK, ""
    if not bank_known or wanted in chart.RESERVED:
        return chart.BANK, f" (account {wanted[:20]} is none of a bank: posted to {chart.BANK})"
    return wanted, ""


def _description(items: Sequence[Item]) -> str:
    names = sorted({item.counterparty for item in items if item.counterparty})
    what = "1 document" if len(items) == 1 else f"{len(items)} documents"
    if not names:
        return f"Payment of {what}"
    return f"Payment of {what}, {names[0]}" + (" and others" if len(names) > 1 else "")


def _posting(line: Line, base: str) -> Posting:
    return Posting(
        account_code=line.account_code,
        amount=to_money(line.amount, base),
        original_amount=to_money(line.original, line.currency_code),
        counterparty=line.counterparty,
    )
