"""Which fields of an invoice are measured, what they say as text, and what persons corrected."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import FieldReading, Invoice
from auditron.type.v1.money_pb2 import Money
from google.type.date_pb2 import Date

from .parties import RECEIVABLE, bare, name_key, tax_key

MEASURED = (
    "document_type", "direction", "invoice_number", "issue_date", "due_date",
    "supplier.display_name", "supplier.tax_ids", "supplier.iban", "customer.display_name",
    "gross.currency_code", "net", "tax", "gross", "order_reference", "account_code",
)  # fmt: skip
# The reader's names of those whose place on the page it learns.
_TAUGHT = {
    "invoice_number": "invoice_number",
    "order_reference": "order_reference",
    "issue_date": "issue_date",
    "due_date": "due_date",
    "net": "net",
    "tax": "tax",
    "gross": "gross",
    "supplier.iban": "iban",
    "supplier.display_name": "supplier_name",
    "gross.currency_code": "currency_code",
}
_PERSON = invoice_pb2.READING_SOURCE_PERSON
PERSONS = ("user:", "api_key:")


def value_of(invoice: Invoice, field: str) -> str:
    """Return what a measured field says: dates ISO, amounts as plain decimals; '' for nothing."""
    value: Any = invoice
    for name in field.split("."):
        value = getattr(value, name)
    if isinstance(value, Money):
        return value.amount
    if isinstance(value, Date):
        return f"{value.year:04}-{value.month:02}-{value.day:02}" if value.year else ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):
        return str(value) if value else ""
    return ", ".join(sorted(value))


def is_same_value(field: str, one: str, other: str) -> bool:
    """Return whether two values of a field say the same, whatever their blanks and signs."""
    if field in ("net", "tax", "gross"):
        try:
            return Decimal(one) == Decimal(other)
        except InvalidOperation:
            return one == other
    return bare(one) == bare(other)


def rightly_read(invoice: Invoice, read: Mapping[str, str]) -> dict[str, bool | None]:
    """Return of each field, by what was read in it, whether that stands; None: nothing was read."""
    return {
        field: is_same_value(field, value, value_of(invoice, field)) if value else None
        for field, value in read.items()
    }


def needed(invoice: Invoice) -> tuple[str, ...]:
    """Return the fields that no invoice passes without."""
    party = "customer" if invoice.direction == RECEIVABLE else "supplier"
    found = ("invoice_number", "issue_date", f"{party}.display_name", "gross")
    # A till need not number its receipts.
    return found[1:] if invoice.document_type == invoice_pb2.DOCUMENT_TYPE_RECEIPT else found


def corrected(invoice: Invoice) -> dict[str, str]:
    """Return the values that a person has set and that were read otherwise, by the reader's names.

    Not what a person has cleared.
    """
    readings = {each.field: each for each in invoice.readings}
    found = {}
    for field, name in _TAUGHT.items():
        reading = readings.get(field) or readings.get(field.partition(".")[0])
        value = value_of(invoice, field)
        if reading is None or reading.source != _PERSON or not value:
            continue
        before = reading.original.value if reading.field == field else ""
        if not is_same_value(field, value, before):
            found[name] = value
    return found


def was_recognised(readings: Iterable[FieldReading]) -> bool:
    """Return whether the document was read from pictures of its pages."""
    return any(
        invoice_pb2.READING_SOURCE_OCR in (each.source, each.original.source) for each in readings
    )


def is_persons(invoice: Invoice) -> bool:
    """Return whether a person has taken the last decision about the invoice."""
    return bool(invoice.decisions) and invoice.decisions[-1].actor.startswith(PERSONS)


def issuer(answer: Mapping[str, Any]) -> invoice_pb2.Party:
    """Return the party that the reader says has issued the document."""
    fields = answer["fields"]
    name, ids, iban = (
        fields.get(each, {}).get("value") for each in ("supplier_name", "supplier_tax_ids", "iban")
    )
    return invoice_pb2.Party(display_name=str(name or ""), tax_ids=ids or (), iban=str(iban or ""))


def supplier_keys(party: invoice_pb2.Party, own_tax_ids: Iterable[str]) -> tuple[str, str, str]:
    """Return by what a supplier is found: keys of name, tax id and bank account, '' if unknown.

    Not by the organization's own tax id: where it was taken for the supplier's, all would be one.
    """
    own = {bare(each) for each in own_tax_ids}
    others = [each for each in party.tax_ids if bare(each) not in own]
    return name_key(party.display_name), tax_key(others), bare(party.iban)
