"""Turns what the engine answers into an invoice and its field readings, as invoice takes them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import FieldReading, Invoice
from google.type.date_pb2 import Date

from libs import money

from .splits import pages_text

# The engine's fields that are texts of an invoice, and how long they may be there.
_TEXTS = {
    "invoice_number": ("invoice_number", 200),
    "order_reference": ("order_reference", 200),
    "supplier_name": ("supplier.display_name", 200),
    "supplier_address": ("supplier.address", 2_000),
    "iban": ("supplier.iban", 50),
    "buyer_name": ("customer.display_name", 200),
}
_AMOUNTS = ("net", "tax", "gross")
_TYPES = {
    "INVOICE": invoice_pb2.DOCUMENT_TYPE_INVOICE,
    "CREDIT_NOTE": invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE,
    "RECEIPT": invoice_pb2.DOCUMENT_TYPE_RECEIPT,
}
_SOURCES = {
    "E_INVOICE": invoice_pb2.READING_SOURCE_E_INVOICE,
    "TEXT_LAYER": invoice_pb2.READING_SOURCE_TEXT_LAYER,
    "OCR": invoice_pb2.READING_SOURCE_OCR,
    "MODEL": invoice_pb2.READING_SOURCE_MODEL,
}
_DECIMAL = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,10})?", re.ASCII)
LINES_MAX, SUBTOTALS_MAX, TAX_IDS_MAX = 1_000, 50, 10
PARTS_BYTES_MAX = 380_000
TEXT_LENGTH_MAX = 500
CANDIDATES_MAX = 5


@dataclass
class Reading:
    """An invoice as far as it was read, each field's reading, and what a person should know."""

    invoice: Invoice = field(default_factory=Invoice)
    readings: list[FieldReading] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def to_reading(answer: Mapping[str, Any], base_currency_code: str) -> Reading:
    """Return what was read; what an invoice cannot hold is left out, with a note."""
    reading = Reading()
    fields = answer["fields"]
    currency = _currency(reading, fields, base_currency_code)
    _type(reading, fields)
    for name, (target, length) in _TEXTS.items():
        if name in fields:
            _set_text(reading, target, fields[name], length)
    _dates(reading, fields)
    _tax_ids(reading, fields)
    if currency:
        _totals(reading, fields, currency)
        _subtotals(reading, fields, currency)
        _lines(reading, answer["lines"], currency)
        _make_positive(reading)
    elif any(name in fields for name in _AMOUNTS):
        reading.notes.append("the amounts have no currency and were left out")
    reading.notes += _words_of(answer)
    return reading


def unreadable_text(cause: str, message: str) -> str:
    """Return why a document cannot be read, as a person is told it."""
    return f"The document could not be read: {message.rstrip('.') or cause.lower()}."


def _currency(reading: Reading, fields: Mapping[str, Any], base: str) -> str:
    """Return the amounts' currency: as read, else that of the books; '' if neither is known."""
    found = fields.get("currency_code")
    if found and _is_currency(str(found["value"])):
        reading.readings.append(_field("gross.currency_code", found))
        return str(found["value"])
    if not base or not any(name in fields for name in _AMOUNTS):
        return ""
    reading.notes.append(f"no currency is named; {base}, the currency of the books, was taken")
    return base


def _is_currency(code: str) -> bool:
    try:
        money.exponent(code)
    except money.UnknownCurrency:
        return False
    return True


def _type(reading: Reading, fields: Mapping[str, Any]) -> None:
    found = fields.get("document_type")
    if found and found["value"] in _TYPES:
        reading.invoice.document_type = _TYPES[found["value"]]
        reading.readings.append(_field("document_type", found))


def _set_text(reading: Reading, target: str, found: Mapping[str, Any], length: int) -> None:
    text = _clean(str(found["value"]), length)
    if not text:
        return
    message: Any = reading.invoice
    *path, name = target.split(".")
    for part in path:
        message = getattr(message, part)
    setattr(message, name, text)
    reading.readings.append(_field(target, found))


def _dates(reading: Reading, fields: Mapping[str, Any]) -> None:
    for name in ("issue_date", "due_date"):
        if name not in fields:
            continue
        try:
            day = date.fromisoformat(str(fields[name]["value"]))
        except ValueError:
            continue
        getattr(reading.invoice, name).CopyFrom(Date(year=day.year, month=day.month, day=day.day))
        reading.readings.append(_field(name, fields[name]))


def _tax_ids(reading: Reading, fields: Mapping[str, Any]) -> None:
    found = fields.get("supplier_tax_ids")
    ids = [_clean(str(each), 50) for each in found["value"]] if found else []
    if found and any(ids):
        reading.invoice.supplier.tax_ids.extend([each for each in ids if each][:TAX_IDS_MAX])
        reading.readings.append(_field("supplier.tax_ids", {**found, "value": ", ".join(ids)}))


def _totals(reading: Reading, fields: Mapping[str, Any], currency: str) -> None:
    amounts = {name: _amount(fields[name]["value"]) for name in _AMOUNTS if name in fields}
    known = {name: value for name, value in amounts.items() if value is not None}
    completed = _completed(known)
    for name, value in {**known, **completed}.items():
        if money.round_to_currency(value, currency) != value:
            reading.notes.append(f"{name} {value} has more digits than {currency} has")
            continue
        getattr(reading.invoice, name).CopyFrom(money.to_message(value, currency))
        found = fields.get(name) if name in known else None
        if found is None:
            sure = min(fields[each]["confidence"] for each in known)
            source = fields[next(iter(known))]["source"]
            found = {"confidence": sure, "source": source, "reason": "from the other two amounts"}
        reading.readings.append(_field(name, {**found, "value": format(value, "f")}))


def _completed(known: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the third of net, tax and gross where two are known."""
    match sorted(known):
        case ["gross", "net"]:
            return {"tax": known["gross"] - known["net"]}
        case ["gross", "tax"]:
            return {"net": known["gross"] - known["tax"]}
        case ["net", "tax"]:
            return {"gross": known["net"] + known["tax"]}
        case _:
            return {}


def _subtotals(reading: Reading, fields: Mapping[str, Any], currency: str) -> None:
    found = fields.get("tax_breakdown")
    for part in (found["value"] if found else [])[:SUBTOTALS_MAX]:
        base, tax = _amount(part.get("base")), _amount(part.get("amount"))
        subtotal = reading.invoice.tax_subtotals.add(tax_rate=_number(part.get("rate")))
        if base is not None:
            subtotal.taxable.CopyFrom(money.to_message(base, currency))
        if tax is not None:
            subtotal.tax.CopyFrom(money.to_message(tax, currency))
    if found and reading.invoice.tax_subtotals:
        rates = ", ".join(f"{each.tax_rate} %" for each in reading.invoice.tax_subtotals)
        reading.readings.append(_field("tax_subtotals", {**found, "value": rates}))


def _lines(reading: Reading, lines: list[dict[str, Any]], currency: str) -> None:
    used = 0
    for index, line in enumerate(lines):
        made = invoice_pb2.InvoiceLine(
            description=_clean(line["description"] or "", TEXT_LENGTH_MAX),
            unit=_clean(line["unit"] or "", 50),
            quantity=_number(line["quantity"]),
            unit_price=_number(line["unit_price"]),
            tax_rate=_number(line["tax_rate"]),
        )
        amount = _amount(line["amount"])
        if amount is not None:
            made.amount.CopyFrom(money.to_message(amount, currency))
        used += made.ByteSize()
        if index == LINES_MAX or used > PARTS_BYTES_MAX:
            reading.notes.append(f"only the first {index} of {len(lines)} lines were taken")
            return
        reading.invoice.lines.append(made)
        value = {"value": line["amount"] or "", "reason": "", "candidates": ()}
        reading.readings.append(_field(f"lines.{index}.amount", {**line, **value}))


def _make_positive(reading: Reading) -> None:
    """Have a credit note's amounts positive; a negative invoice is one."""
    invoice = reading.invoice
    if not invoice.HasField("gross") or money.to_decimal(invoice.gross) >= 0:
        return
    if invoice.document_type != invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE:
        invoice.document_type = invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE
        reading.notes.append("the total is negative, so it was taken as a credit note")
    for amount in _every_amount(invoice):
        turned = -money.to_decimal(amount)
        amount.CopyFrom(money.to_message(turned, amount.currency_code))
    for each in reading.readings:
        if each.field.split(".")[-1] in ("net", "tax", "gross", "amount") and each.value:
            each.value = format(-Decimal(each.value), "f")


def _every_amount(invoice: Invoice) -> Iterator[Any]:
    for message in (invoice, *invoice.lines, *invoice.tax_subtotals):
        for name in ("net", "tax", "gross", "amount", "taxable"):
            if name in message.DESCRIPTOR.fields_by_name and message.HasField(name):
                yield getattr(message, name)


# What a warning of the engine says, with the parts that stand behind its kind.
_SENTENCES = {
    "PAGE_DISAGREES": "the page shows another {what} than the e-invoice in it",
    "MODEL_DISAGREES": "the model reads another {what} than stands in the reading",
    "BLANK_PAGE": "page {name} is blank; it was passed over",
    "REPEATED_PAGE": "page {name} repeats one before it; it was passed over",
    "UNRECOGNISED_PAGE": "page {name} is a picture that was not recognised",
    "UNREAD_PAGES": "pages {name} were not looked at: the file has more than are read",
    "HIDDEN_TEXT": "{where} has text that nobody sees ({why}); it was not believed: {text}",
    "LOOKALIKE_LETTERS": "{where} has a word that looks like another ({why}): {text}",
    "PROMPT_INJECTION": "{where} gives orders to a program that reads it; it was not believed: "
    "{text}",
}


def _words_of(answer: Mapping[str, Any]) -> Iterator[str]:
    for warning in answer["warnings"]:
        kind, _, name = str(warning).partition(":")
        what = {"gross": "total", "iban": "bank account"}.get(name, name.replace("_", " "))
        page, _, why, text = (*name.split(":", 3), "", "", "", "")[:4]
        where = f"page {page}" if page != "0" else "the e-invoice"
        if kind == "MULTIPLE_DOCUMENTS":
            yield from _several(answer, name)
        else:
            said = _SENTENCES.get(kind, "{warning}")
            yield said.format(
                what=what, name=name, where=where, why=why, text=text, warning=warning
            )
    prepaid = answer["fields"].get("prepaid")
    paid = _amount(prepaid["value"]) if prepaid else None
    if paid:
        yield f"{paid} of it is paid already, as the document says"


def _several(answer: Mapping[str, Any], spans: str) -> Iterator[str]:
    """Yield that a file has several documents ("1-2,3-3"), and which of them say nothing."""
    ends = (each.partition("-") for each in spans.split(","))
    found = [(int(first), int(last)) for first, _, last in ends]
    read = [(each["first_page"], each["last_page"]) for each in answer.get("documents", ())]
    yield f"the file has several documents ({pages_text(*found)}); this invoice is the first"
    unread = [each for each in found if each not in read]
    if read and unread:
        yield f"nothing that reads like an invoice stands on {pages_text(*unread)} of the file"


def _field(target: str, found: Mapping[str, Any]) -> FieldReading:
    """Return a reading as invoice keeps it."""
    candidates = [_candidate(each) for each in found.get("candidates") or ()]
    return FieldReading(
        field=target,
        value=_clean(str(found["value"]), 2_000),
        confidence=min(1.0, max(0.0, float(found["confidence"]))),
        source=_SOURCES.get(found["source"], invoice_pb2.READING_SOURCE_UNSPECIFIED),
        page=found.get("page") or 0,
        box=found.get("box") or (),
        reason=_clean(found.get("reason") or "", TEXT_LENGTH_MAX),
        candidates=candidates[:CANDIDATES_MAX],
    )


def _candidate(found: Mapping[str, Any]) -> str:
    value = found["value"]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return _clean(text, TEXT_LENGTH_MAX)


def _amount(value: Any) -> Decimal | None:
    text = str(value) if value is not None else ""
    if not _DECIMAL.fullmatch(text):
        return None
    return Decimal(text)


def _number(value: Any) -> str:
    """Return a decimal number as it may travel; '' for what is none."""
    try:
        text = format(Decimal(str(value)), "f") if value is not None else ""
    except InvalidOperation:
        return ""
    return text if _DECIMAL.fullmatch(text) else ""


def _clean(text: str, length: int) -> str:
    """Return a text without what cannot be stored or shown, and not longer than may be."""
    kept = "".join(char for char in text if char in "\n\t" or ord(char) >= 32)
    return kept.encode("utf-8", "ignore").decode()[:length].strip()
