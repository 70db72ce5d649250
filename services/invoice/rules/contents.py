"""What an invoice, an upload and the approval policy may contain, and how fields are changed."""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import ApprovalPolicy, FieldReading, Invoice, Party
from auditron.type.v1.money_pb2 import Money
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.type.date_pb2 import Date

from libs import money
from libs.pg import is_uuid
from libs.rpc import Violation, changeable, check, settable

# What a person or a reading may set.
FIELDS = settable(Invoice.DESCRIPTOR)
# All of an invoice are in one currency.
AMOUNTS = tuple(name for name in FIELDS if isinstance(getattr(Invoice(), name), Money))

NAME_LENGTH_MAX = 200
TEXT_LENGTH_MAX = 2_000
# Of the fields whose length is another than a name's.
LENGTHS_MAX = {"account_code": 20}
TAX_IDS_MAX = 10
SUBTOTALS_MAX = 50
LINES_MAX = 1_000
# With readings, warnings and decisions an invoice stays below the 1 MiB that an event may have.
INVOICE_BYTES_MAX = 400_000
READINGS_BYTES_MAX = 250_000

_DECIMAL = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,10})?", re.ASCII)
_IDENTITY = {"invoice_id", "etag"}
_NO_MACHINE = (invoice_pb2.READING_SOURCE_UNSPECIFIED, invoice_pb2.READING_SOURCE_PERSON)


def invoice_violations(invoice: Invoice) -> Iterator[Violation]:
    """Yield what is wrong with the fields that may be set, whatever the state."""
    for name in FIELDS:
        yield from _value(f"invoice.{name}", invoice, name)
    if len(currencies(invoice)) > 1:
        yield "invoice.gross", "must have the same currency as net and tax"
    yield from _details(invoice)
    set_here = {field.name: value for field, value in invoice.ListFields() if field.name in FIELDS}
    if Invoice(**set_here).ByteSize() > INVOICE_BYTES_MAX:
        yield "invoice", f"must have at most {INVOICE_BYTES_MAX // 1000} kB"


def policy_violations(policy: ApprovalPolicy) -> Iterator[Violation]:
    """Yield what is wrong with an approval policy."""
    if not 0 <= policy.auto_approve_confidence <= 1:  # refuses NaN too
        yield "approval_policy.auto_approve_confidence", "must be 0 to 1"
    if policy.HasField("auto_approve_limit"):
        yield from _amount("approval_policy.auto_approve_limit", policy.auto_approve_limit)


def upload_violations(header: invoice_pb2.UploadInvoiceRequest.Header) -> Iterator[Violation]:
    """Yield what is wrong with the header of an upload."""
    yield from text("header.filename", header.filename)
    yield from text("header.content_type", header.content_type)
    yield from _value("header.direction", header, "direction")
    if not (header.source_invoice_id or header.first_page or header.last_page):
        return
    if not is_uuid(header.source_invoice_id):
        yield "header.source_invoice_id", "must be the id of the invoice that the pages are of"
    if not 1 <= header.first_page <= header.last_page:
        yield "header.first_page", "must be 1 or more, and last_page not before it"


def reason_violations(reason: str) -> Iterator[Violation]:
    """Yield what is wrong with the reason of a decision."""
    if not reason.strip():
        yield "reason", "is required"
    yield from text("reason", reason, TEXT_LENGTH_MAX)


def filename_of(given: str) -> str:
    """Return a file's bare name, without folders and what cannot be printed."""
    bare = re.split(r"[/\\]", given)[-1]
    return "".join(char for char in bare if char.isprintable()).strip() or "document"


def seconds_to_next_month(now: datetime) -> float:
    """Return how long it takes until documents are counted anew; `now` is in UTC."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return ((first + timedelta(days=32)).replace(day=1) - now).total_seconds()


def merge(given: Message, into: Message, mask: FieldMask) -> set[str]:
    """Copy the fields that the mask names (none named: those that are set); return their names.

    Raises InvalidArgument for a path that is none, or that nobody may change.
    """
    paths = [path for path in mask.paths if path not in _IDENTITY]
    descriptor: Any = given.DESCRIPTOR
    allowed = changeable(descriptor)
    wrong = [
        path
        for path in paths
        if path.partition(".")[0] not in allowed
        or not FieldMask(paths=[path]).IsValidForDescriptor(descriptor)
    ]
    check((path, "is no field that can be changed") for path in wrong)
    if not mask.paths:
        paths = [field.name for field, _ in given.ListFields() if field.name in allowed]
    copy_fields(given, into, paths)
    return {path.partition(".")[0] for path in paths}


def made_by_hand(given: Invoice, invoice_id: str, creator: str) -> Invoice:
    """Return a valid invoice that a person has typed, ready for review."""
    invoice = Invoice(
        invoice_id=invoice_id,
        state=invoice_pb2.INVOICE_STATE_IN_REVIEW,
        creator=creator,
    )
    copy_fields(given, invoice, FIELDS)
    invoice.direction = invoice.direction or invoice_pb2.DIRECTION_PAYABLE
    invoice.document_type = invoice.document_type or invoice_pb2.DOCUMENT_TYPE_INVOICE
    normalize(invoice)
    return invoice


def copy_fields(given: Message, into: Message, paths: Sequence[str]) -> None:
    """Replace what the paths name."""
    FieldMask(paths=paths).MergeMessage(
        given, into, replace_message_field=True, replace_repeated_field=True
    )


def currencies(invoice: Invoice) -> set[str]:
    """Return the currencies of the invoice's amounts."""
    return {getattr(invoice, name).currency_code for name in AMOUNTS if invoice.HasField(name)}


def normalize(invoice: Invoice) -> None:
    """Write every amount as its currency is written; the amounts must be valid."""
    details = [*invoice.lines, *invoice.tax_subtotals]
    fields = [(invoice, AMOUNTS), *((each, ("amount", "taxable", "tax")) for each in details)]
    for message, names in fields:
        for name in names:
            if name in message.DESCRIPTOR.fields_by_name and message.HasField(name):
                given = getattr(message, name)
                plain = money.to_message(money.to_decimal(given), given.currency_code)
                given.CopyFrom(plain)


def person_readings(invoice: Invoice, changed: set[str]) -> None:
    """Note that a person has set these fields, beside how each was read before."""
    kept = [each for each in invoice.readings if top(each) not in changed]
    before = [each for each in invoice.readings if top(each) in changed]
    unread = changed.difference(each.field for each in before)
    originals = [*before, *(FieldReading(field=name) for name in unread)]
    typed = [_typed(invoice, original) for original in originals if _stands(invoice, original)]
    put_readings(invoice, [*kept, *typed])


def _typed(invoice: Invoice, before: FieldReading) -> FieldReading:
    """Return the reading of what a person has set, with what was read there at first."""
    typed = FieldReading(
        field=before.field,
        value=_as_text(_at(invoice, before.field)),
        confidence=1,
        source=invoice_pb2.READING_SOURCE_PERSON,
    )
    original = before.original if before.HasField("original") else before
    if original.source not in _NO_MACHINE:
        typed.original.CopyFrom(original)
    return typed


def _stands(invoice: Invoice, reading: FieldReading) -> bool:
    """Whether the invoice still has the part that the reading is of."""
    return "." not in reading.field or _at(invoice, reading.field) is not None


def _at(invoice: Invoice, path: str) -> Any:
    """Return the value at a reading's field; None for a part that the invoice does not have."""
    value: Any = invoice
    for name in path.split("."):
        if value is None:
            return None
        if name.isdecimal():
            value = value[int(name)] if int(name) < len(value) else None
        else:
            value = _named(value, name)
    return value


def _named(message: Message, name: str) -> Any:
    """Return a field's value, an enum's as its bare name; None where there is no such field."""
    known = message.DESCRIPTOR.fields_by_name.get(name)
    if known is None:
        return None
    value = getattr(message, name)
    if known.enum_type is None:
        return value
    if not value:
        return ""
    names = known.enum_type.values_by_number
    return names[value].name.removeprefix(names[0].name.removesuffix("UNSPECIFIED"))


def put_readings(invoice: Invoice, readings: Sequence[FieldReading]) -> None:
    """Replace the readings, in one order however they came, and no more than an event can hold.

    Those of the whole invoice come before those of its lines.
    """
    del invoice.readings[:]
    used = 0
    for reading in sorted(readings, key=lambda each: (top(each) == "lines", each.field)):
        used += reading.ByteSize()
        if used > READINGS_BYTES_MAX:
            return
        invoice.readings.append(reading)


def top(reading: FieldReading) -> str:
    """Return the field of the invoice that a reading is of, or of a part of."""
    return reading.field.partition(".")[0]


def text(field: str, given: str, length_max: int = NAME_LENGTH_MAX) -> Iterator[Violation]:
    """Yield what is wrong with a text."""
    if len(given) > length_max or "\x00" in given:
        yield field, f"must have at most {length_max} characters, none of them NUL"


def day(field: str, given: Any) -> Iterator[Violation]:
    """Yield what is wrong with a google.type.Date."""
    try:
        date(given.year, given.month, given.day)
    except ValueError:
        yield field, "must be a day of the calendar, with year, month and day"


def _value(field: str, message: Any, name: str) -> Iterator[Violation]:
    """Yield what is wrong with a field's value, as far as its type says."""
    value, enum = getattr(message, name), message.DESCRIPTOR.fields_by_name[name].enum_type
    if isinstance(value, str):
        yield from text(field, value, LENGTHS_MAX.get(name, NAME_LENGTH_MAX))
    elif isinstance(value, int) and enum and value not in enum.values_by_number:
        yield field, f"must be one of {', '.join(enum.values_by_name)}"
    elif isinstance(value, Party):
        yield from _party(field, value)
    elif isinstance(value, Date) and message.HasField(name):
        yield from day(field, value)
    elif isinstance(value, Money) and message.HasField(name):
        yield from _amount(field, value)


def _party(field: str, party: Party) -> Iterator[Violation]:
    yield from text(f"{field}.display_name", party.display_name)
    yield from text(f"{field}.address", party.address, TEXT_LENGTH_MAX)
    yield from text(f"{field}.iban", party.iban, 50)
    if len(party.tax_ids) > TAX_IDS_MAX or any(len(each) > 50 for each in party.tax_ids):
        yield f"{field}.tax_ids", f"must be at most {TAX_IDS_MAX}, each of at most 50 characters"


def _amount(field: str, given: Money, *, rounded: bool = True) -> Iterator[Violation]:
    try:
        amount = money.to_decimal(given)
    except money.InvalidMoney as error:
        yield field, str(error)
        return
    if rounded and money.round_to_currency(amount, given.currency_code) != amount:
        yield field, f"has more digits than {given.currency_code} has"


def _details(invoice: Invoice) -> Iterator[Violation]:
    if len(invoice.lines) > LINES_MAX:
        yield "invoice.lines", f"must be at most {LINES_MAX}"
    if len(invoice.tax_subtotals) > SUBTOTALS_MAX:
        yield "invoice.tax_subtotals", f"must be at most {SUBTOTALS_MAX}"
    for index, line in enumerate(invoice.lines[:LINES_MAX]):
        field = f"invoice.lines.{index}"
        yield from text(f"{field}.description", line.description, TEXT_LENGTH_MAX)
        yield from text(f"{field}.unit", line.unit, 50)
        for name in ("quantity", "unit_price", "tax_rate"):
            yield from _number(f"{field}.{name}", getattr(line, name))
        if line.HasField("amount"):
            yield from _amount(f"{field}.amount", line.amount, rounded=False)
    for index, subtotal in enumerate(invoice.tax_subtotals[:SUBTOTALS_MAX]):
        field = f"invoice.tax_subtotals.{index}"
        yield from _number(f"{field}.tax_rate", subtotal.tax_rate)
        for name in ("taxable", "tax"):
            if subtotal.HasField(name):
                yield from _amount(f"{field}.{name}", getattr(subtotal, name), rounded=False)


def _number(field: str, given: str) -> Iterator[Violation]:
    if given and not _DECIMAL.fullmatch(given):
        yield field, 'must be a decimal number, as "19" or "2.50"'


def _as_text(value: Any) -> str:
    """Return a simple value as a reading states it; '' for what has parts of its own."""
    if isinstance(value, str):
        return value
    if isinstance(value, Money):
        return value.amount
    if isinstance(value, Sequence):
        return ", ".join(each for each in value if isinstance(each, str))
    if {"year", "month", "day"} <= {*getattr(value, "DESCRIPTOR", Party.DESCRIPTOR).fields_by_name}:
        return f"{value.year:04}-{value.month:02}-{value.day:02}" if value.year else ""
    return ""
