"""What a person should look at before approving, said in words."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice
from auditron.type.v1.money_pb2 import Money
from stdnum import iban as iban_numbers
from stdnum.eu import vat

from libs import money

from .parties import RECEIVABLE, bare, counterparty

OLDEST = timedelta(days=400)  # a year's bills and the weeks in which they arrive
DUE_LATEST = timedelta(days=366)
_VAT_PREFIXES = frozenset({*map(str.upper, vat.MEMBER_STATES), "EL", "EU", "XI"})
WARNINGS_MAX, WARNING_LENGTH_MAX = 40, 300


def warnings(
    invoice: Invoice,
    notes: Sequence[str],
    today: date,
    *,
    known_ibans: Sequence[str] = (),
    same_number: bool = False,
    same_amount: bool = False,
) -> list[str]:
    """Return what speaks against booking the invoice unseen; empty where nothing does."""
    found = [
        *notes,
        *_missing(invoice),
        *_arithmetic(invoice),
        *_identifiers(invoice),
        *_account_changes(invoice, known_ibans),
        *_days(invoice, today),
    ]
    if same_number:
        found.append("another invoice has the same counterparty and number")
    if same_amount:
        found.append("an invoice of the same party, day and total is here under another number")
    return [each[:WARNING_LENGTH_MAX] for each in dict.fromkeys(found)][:WARNINGS_MAX]


def _missing(invoice: Invoice) -> Iterator[str]:
    """Yield which details a bill must state and does not (EU directive 2006/112, article 226)."""
    slip = invoice.document_type == invoice_pb2.DOCUMENT_TYPE_RECEIPT
    party = "customer" if invoice.direction == RECEIVABLE else "supplier"
    if not counterparty(invoice).display_name:
        yield f"{party}.display_name is missing"
    if not invoice.invoice_number and not slip:
        yield "invoice_number is missing"
    for name in ("issue_date", "gross"):
        if not invoice.HasField(name):
            yield f"{name} is missing"
    taxed = invoice.HasField("tax") and _decimal(invoice.tax) != 0
    if taxed and not slip and not invoice.supplier.tax_ids and invoice.direction != RECEIVABLE:
        yield "the supplier's tax id is missing, which input tax needs"


def _arithmetic(invoice: Invoice) -> Iterator[str]:
    if all(invoice.HasField(name) for name in ("net", "tax", "gross")):
        net, tax, gross = map(_decimal, (invoice.net, invoice.tax, invoice.gross))
        if abs(net + tax - gross) > _unit(invoice.gross):
            yield "net and tax do not add up to gross"
    for part in invoice.tax_subtotals:
        if not (part.tax_rate and part.HasField("taxable") and part.HasField("tax")):
            continue
        expected = _decimal(part.taxable) * Decimal(part.tax_rate) / 100
        # Tax may be summed over lines that were each rounded.
        if abs(expected - _decimal(part.tax)) > _unit(part.tax) * max(2, len(invoice.lines)):
            yield f"{part.tax_rate} % of {part.taxable.amount} is not {part.tax.amount}"
    amounts = [line.amount for line in invoice.lines if line.HasField("amount")]
    if amounts and len(amounts) == len(invoice.lines) and invoice.HasField("net"):
        total, slack = sum(map(_decimal, amounts), Decimal(0)), _unit(invoice.net) * len(amounts)
        totals = {
            _decimal(getattr(invoice, each)) for each in ("net", "gross") if invoice.HasField(each)
        }
        if all(abs(total - each) > slack for each in totals):
            yield f"the lines add up to {total}, which is neither net nor gross"


def _identifiers(invoice: Invoice) -> Iterator[str]:
    if invoice.supplier.iban and not iban_numbers.is_valid(invoice.supplier.iban):
        yield f"the bank account {invoice.supplier.iban} has wrong check digits"
    for tax_id in invoice.supplier.tax_ids:
        prefix = tax_id[:2].upper()
        if prefix in _VAT_PREFIXES and not vat.is_valid(tax_id):
            yield f"{tax_id} is not a valid VAT id"


def _account_changes(invoice: Invoice, known_ibans: Sequence[str]) -> Iterator[str]:
    """Yield whether a supplier asks for its money elsewhere than before: a common fraud."""
    if invoice.direction == RECEIVABLE or not invoice.supplier.iban or not known_ibans:
        return
    if bare(invoice.supplier.iban) not in {bare(each) for each in known_ibans}:
        yield (
            f"the bank account {invoice.supplier.iban} is not one that this supplier had before: "
            "ask the supplier before paying"
        )


def _days(invoice: Invoice, today: date) -> Iterator[str]:
    issued = _day(invoice, "issue_date")
    due = _day(invoice, "due_date")
    if issued and issued > today + timedelta(days=1):  # somewhere it is tomorrow already
        yield f"it is dated in the future: {issued}"
    if issued and issued < today - OLDEST:
        yield f"it is more than a year old: {issued}"
    if issued and due and due < issued:
        yield "due_date is before issue_date"
    if issued and due and due > issued + DUE_LATEST:
        yield f"it is due more than a year after its date: {due}"


def _day(invoice: Invoice, name: str) -> date | None:
    if not invoice.HasField(name):
        return None
    given = getattr(invoice, name)
    return date(given.year, given.month, given.day)


def _decimal(amount: Money) -> Decimal:
    return money.to_decimal(amount)


def _unit(amount: Money) -> Decimal:
    """Return the smallest amount of the currency: so much rounding may cost."""
    return Decimal(1).scaleb(-money.exponent(amount.currency_code))
