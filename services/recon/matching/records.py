"""What goes into the engine and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

# Amounts are compared as whole numbers of this many parts of a currency unit: no ISO 4217
# currency has more than four decimals.
PARTS = 10_000


@dataclass(frozen=True)
class Invoice:
    """An open invoice or credit note; `open_amount` is positive and in `currency_code`."""

    invoice_id: str
    number: str
    open_amount: Decimal
    currency_code: str
    due_date: date
    issue_date: date
    direction: str = "RECEIVABLE"
    kind: str = "INVOICE"
    counterparty_name: str = ""
    counterparty_iban: str = ""
    payment_reference: str = ""
    # Cash discount agreed on this invoice, in percent.
    discounts: tuple[Decimal, ...] = ()


@dataclass(frozen=True)
class Transaction:
    """A line of a bank statement; money in is positive."""

    transaction_id: str
    amount: Decimal
    currency_code: str
    booking_date: date
    counterparty_name: str = ""
    counterparty_iban: str = ""
    remittance_text: str = ""
    end_to_end_id: str = ""


@dataclass(frozen=True)
class Settings:
    """How far the engine goes."""

    # A group is booked by itself from this confidence on, and offered from the other.
    auto_confidence: float = 0.9995
    offer_confidence: float = 0.3
    # Cash discounts, in percent, that count as usual where an invoice names none.
    usual_discounts: tuple[Decimal, ...] = tuple(map(Decimal, ("1", "2", "2.5", "3", "4", "5")))
    # Largest bank charge, in currency units, that may be missing from a payment.
    largest_fee: Decimal = Decimal(30)
    # Rates by (from, to): one unit of `from` is so many of `to`; by day, the latest day counts.
    rates: Mapping[tuple[str, str], Mapping[date, Decimal]] = field(default_factory=dict)
    # A payment for many invoices without naming them: so many open ones are tried together.
    pool_size: int = 18
    largest_group: int = 12


@dataclass(frozen=True)
class Memory:
    """What people have decided before, per organization."""

    # (transaction_id, invoice_id) that a person has refused.
    rejected: frozenset[tuple[str, str]] = frozenset()
    # A payer's name or IBAN as the bank writes it → the counterparty's name on invoices.
    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Allocation:
    """So much of a transaction settles so much of an invoice.

    Negative where a document is netted against the others, as a credit note beside invoices.
    """

    transaction_id: str
    invoice_id: str
    # In the transaction's currency.
    amount: Decimal
    # In the invoice's currency; differs from `amount` by discount, fee, rounding or rate.
    settled: Decimal


@dataclass(frozen=True)
class Match:
    """A group of transactions and invoices that belong together."""

    transaction_ids: tuple[str, ...]
    invoice_ids: tuple[str, ...]
    allocations: tuple[Allocation, ...]
    # EXACT ROUNDED DISCOUNT FEE FX PARTIAL OVERPAID
    kind: str
    confidence: float
    auto: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class DoublePayment:
    """A transaction that pays again what another one has paid."""

    transaction_id: str
    invoice_id: str
    paid_by_transaction_id: str
    reason: str


def parts(amount: Decimal) -> int:
    """The amount in whole ten-thousandths."""
    return int((amount * PARTS).to_integral_value())


def to_decimal(count: int) -> Decimal:
    """The amount of so many ten-thousandths, with two decimals where those are enough."""
    exact = Decimal(count) / PARTS
    short = exact.quantize(Decimal("0.01"))
    return short if short == exact else exact


def invoice_of(row: Mapping[str, Any]) -> Invoice:
    """Reads an invoice from a JSON object; raises KeyError or ValueError."""
    return Invoice(
        invoice_id=row["invoice_id"],
        number=row.get("number") or "",
        open_amount=Decimal(row.get("open_amount") or row["total"]),
        currency_code=row.get("currency_code") or row["currency"],
        due_date=date.fromisoformat(row.get("due_date") or row["issue_date"]),
        issue_date=date.fromisoformat(row["issue_date"]),
        direction=row.get("direction") or "RECEIVABLE",
        kind=row.get("kind") or "INVOICE",
        counterparty_name=row.get("counterparty_name") or row.get("counterparty") or "",
        counterparty_iban=row.get("counterparty_iban") or "",
        payment_reference=row.get("payment_reference") or "",
        discounts=tuple(Decimal(each) for each in row.get("discounts") or ()),
    )


def transaction_of(row: Mapping[str, Any]) -> Transaction:
    """Reads a transaction from a JSON object; raises KeyError or ValueError."""
    return Transaction(
        transaction_id=row["transaction_id"],
        amount=Decimal(row["amount"]),
        currency_code=row.get("currency_code") or row["currency"],
        booking_date=date.fromisoformat(row["booking_date"]),
        counterparty_name=row.get("counterparty_name") or row.get("counterparty") or "",
        counterparty_iban=row.get("counterparty_iban") or "",
        remittance_text=row.get("remittance_text") or row.get("description") or "",
        end_to_end_id=row.get("end_to_end_id") or "",
    )
