"""What a request must look like, and what may settle what. Pure."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from auditron.invoice.v1 import invoice_pb2
from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Allocation, Match, Transaction
from google.protobuf.message import Message
from stdnum import iban

from libs import money
from libs.rpc import InvalidArgument, is_uuid

from . import errors
from .matching import Invoice

NAME_LENGTH_MAX = 200
ALLOCATIONS_MAX = 500
# A transaction may settle more than it is, by a discount, a fee or rounding: by so much of what
# it settles, or by so many units.
SHORT_SHARE, SHORT_UNITS = Decimal("0.15"), Decimal(30)
# In smallest units of a currency: what may be taken for rounding, and for a bank's charge.
ROUNDING_UNITS = 5
CHARGE_UNITS = 3_000
# What a person may call rounding: it drops at most what is behind the point.
ROUNDING_MAX = Decimal(1)
# Cash discounts, in per cent, that are usual; another shortfall of a customer is a bank's charge.
USUAL_DISCOUNTS = tuple(map(Decimal, ("1", "1.5", "2", "2.5", "3", "4", "5")))
STANDING = {
    invoice_pb2.INVOICE_STATE_APPROVED,
    invoice_pb2.INVOICE_STATE_PARTLY_PAID,
    invoice_pb2.INVOICE_STATE_PAID,
}

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}")
_NO_STATEMENT = (
    b"%PDF", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x89PNG", b"\xff\xd8\xff", b"GIF8",
    b"\x1f\x8b", b"II*\x00", b"MM\x00*", b"RIFF", b"Rar!", b"7z\xbc\xaf", b"\x7fELF", b"MZ",
    b"{", b"[{",
)  # fmt: skip
_CAMT = re.compile(rb"camt\.(05[234])\b|BkToCstmr(Stmt|AcctRpt|DbtCdtNtfctn)\b")
_CAMT_KINDS = {b"Stmt": "053", b"AcctRpt": "052", b"DbtCdtNtfctn": "054"}
# How messages of other formats begin.
_BEGINNINGS = {
    "MT940": re.compile(rb"\{1:F|:20:|:940:"),
    "BAI2": re.compile(rb"01,[^,/\r\n]*,[^,/\r\n]*,\d{6},"),
    "OFX": re.compile(rb"OFXHEADER|<\?OFX|(<\?xml[^>]*>\s*)?(<\?OFX|<OFX>)"),
    "QIF": re.compile(rb"!(Type|Account|Option|Clear)\b"),
}
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")

Violations = Sequence[tuple[str, str]]


def bank_account_violations(account: recon_pb2.BankAccount) -> Violations:
    """What is wrong with a bank account that shall be made; its IBAN is compact."""
    found = [*_name("bank_account.display_name", account.display_name)]
    if account.iban and not iban.is_valid(account.iban):
        found.append(("bank_account.iban", "must be an IBAN"))
    try:
        money.exponent(account.currency_code)
    except money.UnknownCurrency:
        found.append(("bank_account.currency_code", "must be a currency of ISO 4217, as EUR"))
    if account.account_code and not _CODE.fullmatch(account.account_code):
        found.append(("bank_account.account_code", "must be a ledger account, as 1800"))
    return found


def compact(text: str) -> str:
    """An IBAN without spaces, in capitals."""
    return "".join(text.split()).upper()


def filename_violations(filename: str) -> Violations:
    """What is wrong with the name of a file."""
    return [*_name("header.filename", filename)] if filename else []


def filter_violations(bank_account_id: str, state: int, states: Collection[int]) -> Violations:
    """What is wrong with what a list is filtered by."""
    found = []
    if bank_account_id and not is_uuid(bank_account_id):
        found.append(("bank_account_id", "must be the id of a bank account"))
    if state not in states:
        found.append(("state", "must be a state"))
    return found


def statement_format(head: bytes) -> str:
    """Say by how a file begins what it is: "CSV", "CAMT.053", "MT940".

    Raises StatementFormatUnsupported.
    """
    for mark in _MARKS:
        head = head.removeprefix(mark)
    text = head.lstrip(b"\x00 \t\r\n")
    plain = text.replace(b"\x00", b"") if text[:400].count(b"\x00") > len(text[:400]) // 3 else text
    for form, beginning in _BEGINNINGS.items():
        if beginning.match(plain):
            return form
    if plain.startswith(b"<"):
        if found := _CAMT.search(plain):
            return f"CAMT.{found[1].decode() if found[1] else _CAMT_KINDS[found[2]]}"
        raise errors.StatementFormatUnsupported("The XML is no CAMT.052, 053 or 054, nor OFX.")
    if plain.startswith(_NO_STATEMENT) or b"\x00" in plain:
        raise errors.StatementFormatUnsupported(
            "A statement is CAMT, MT940, MT942, BAI2, OFX, QIF or CSV; this is none of them."
        )
    return "CSV"


def object_key(organization_id: str, statement_id: str) -> str:
    """The key of the object that holds a statement's file."""
    return f"statements/{organization_id}/{statement_id}"


def gaps(
    opening: Decimal | None, closing: Decimal | None, near: Iterable[Mapping[str, Any]]
) -> list[str]:
    """What does not go on from the statement before, and to the one after."""
    found = []
    for each in near:
        own = opening if each["is_before"] else closing
        if own is None or own == each["balance"]:
            continue
        if each["is_before"]:
            found.append(
                f"It opens with {own}; the one before closed on {each['end_date']} with "
                f"{each['balance']}: lines between them are missing."
            )
        else:
            found.append(
                f"It closes with {own}; the one after opens on {each['start_date']} with "
                f"{each['balance']}: lines between them are missing."
            )
    return found


def open_invoice(invoice: invoice_pb2.Invoice) -> tuple[Invoice, bool]:
    """An invoice as the engine has it, all of it open, and whether it stands to be settled.

    One with a negative amount is a credit note, and the other way round.
    """
    payable = invoice.direction != invoice_pb2.DIRECTION_RECEIVABLE
    party = invoice.supplier if payable else invoice.customer
    gross = money.to_decimal(invoice.gross) if invoice.HasField("gross") else Decimal(0)
    credit = (invoice.document_type == invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE) != (gross < 0)
    issued = _day(invoice, "issue_date") or date(1970, 1, 1)
    made = Invoice(
        invoice_id=invoice.invoice_id,
        number=invoice.invoice_number,
        open_amount=abs(gross),
        currency_code=invoice.gross.currency_code,
        due_date=_day(invoice, "due_date") or issued,
        issue_date=issued,
        direction="PAYABLE" if payable else "RECEIVABLE",
        kind="CREDIT_NOTE" if credit else "INVOICE",
        counterparty_name=party.display_name,
        counterparty_iban=compact(party.iban),
    )
    return made, invoice.state in STANDING and invoice.HasField("gross")


def _day(message: Message, field: str) -> date | None:
    value = getattr(message, field)
    if not message.HasField(field) or not (value.year and value.month and value.day):
        return None
    return date(value.year, value.month, value.day)


def sign(invoice: Invoice) -> int:
    """1 where money comes in for it, -1 where money goes out."""
    return 1 if (invoice.direction == "RECEIVABLE") == (invoice.kind == "INVOICE") else -1


def amount_of(allocation: Allocation | Transaction) -> Decimal:
    """Its amount."""
    return money.to_decimal(allocation.amount)


def draft(
    transactions: Mapping[str, Transaction],
    allocations: Sequence[Allocation],
    *,
    confidence: float,
    reasons: Sequence[str],
    difference_kind: recon_pb2.DifferenceKind = recon_pb2.DIFFERENCE_KIND_UNSPECIFIED,
) -> Match:
    """A match of these allocations, without id and state; the transactions are of one account.

    What remains of the transactions is the difference, if all is of one currency; it is of the
    given kind, else of the one that it looks like.
    """
    held = [transactions[each] for each in dict.fromkeys(a.transaction_id for a in allocations)]
    currency = held[0].amount.currency_code
    paid, difference = sum(map(amount_of, held), Decimal(0)), Decimal(0)
    money_of = [each.amount for each in held] + [each.amount for each in allocations]
    if all(each.currency_code == currency for each in money_of):
        difference = paid - sum(
            amount_of(each) * (1 if amount_of(transactions[each.transaction_id]) > 0 else -1)
            for each in allocations
        )
    kind = recon_pb2.DIFFERENCE_KIND_UNSPECIFIED
    if difference:
        kind = difference_kind or _looks_like(difference, paid - difference, currency)
    last = max(held, key=lambda t: (_day(t, "booking_date") or date.min, t.transaction_id))
    return Match(
        allocations=allocations,
        bank_amount=money.to_message(paid, currency),
        difference=money.to_message(difference, currency),
        difference_kind=kind,
        confidence=confidence,
        reasons=reasons,
        posting_date=last.booking_date,
        bank_account_id=last.bank_account_id,
    )


def _looks_like(amount: Decimal, settled: Decimal, currency: str) -> recon_pb2.DifferenceKind:
    """What a difference is beside the money that settles invoices (positive is in).

    Too little from a customer is a discount if it is a usual part, else a bank's charge; too little
    to a supplier is a discount. Too much to a supplier is a bank's charge if it may be one; other
    money too much is owed back.
    """
    unit = _smallest_unit(currency)
    is_short = _is_short(amount, settled)
    if abs(amount) <= ROUNDING_UNITS * unit:
        return recon_pb2.DIFFERENCE_KIND_ROUNDING
    if settled < 0 and not is_short:
        is_charge = abs(amount) <= min(CHARGE_UNITS * unit, abs(settled) / 2)
    elif settled >= 0 and is_short:
        away = (abs(abs(amount) - settled * percent / 100) for percent in USUAL_DISCOUNTS)
        is_charge = min(away) > 2 * unit
    else:
        is_charge = False
    if is_charge:
        return recon_pb2.DIFFERENCE_KIND_BANK_CHARGE
    if is_short:
        return recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT
    return recon_pb2.DIFFERENCE_KIND_OVERPAYMENT


def check_kind(match: Match, kind: recon_pb2.DifferenceKind) -> None:
    """Raise InvalidArgument where a match's difference cannot be what a person says it is."""
    amount = money.to_decimal(match.difference)
    is_short = _is_short(amount, money.to_decimal(match.bank_amount) - amount)
    rounding = max(ROUNDING_MAX, ROUNDING_UNITS * _smallest_unit(match.difference.currency_code))
    can_be = {
        recon_pb2.DIFFERENCE_KIND_UNSPECIFIED: True,
        recon_pb2.DIFFERENCE_KIND_ROUNDING: 0 < abs(amount) <= rounding,
        recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT: amount and is_short,
        # What a bank keeps is lacking on the account, whoever has paid.
        recon_pb2.DIFFERENCE_KIND_BANK_CHARGE: amount < 0,
        recon_pb2.DIFFERENCE_KIND_OVERPAYMENT: amount and not is_short,
    }
    if not can_be[kind]:
        raise _wrong("difference_kind", f"cannot be what a difference of {amount} is")


def _is_short(difference: Decimal, settled: Decimal) -> bool:
    """Whether less was paid than is settled (positive is in)."""
    return (difference < 0) != (settled < 0)


def _smallest_unit(currency: str) -> Decimal:
    return Decimal(1).scaleb(-money.exponent(currency))


def claims(match: Match) -> dict[str, Decimal]:
    """How much of each invoice a match settles."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for each in match.allocations:
        found[each.invoice_id] += abs(amount_of(each))
    return found


def held_ids(match: Match) -> list[str]:
    """The transactions of a match."""
    return list(dict.fromkeys(each.transaction_id for each in match.allocations))


def pairs(match: Match) -> list[tuple[str, str]]:
    """(transaction_id, invoice_id) of a match."""
    return [(each.transaction_id, each.invoice_id) for each in match.allocations]


def check_free(
    match: Match, transactions: Mapping[str, Transaction], invoices: Mapping[str, Invoice]
) -> None:
    """Raise TransactionMatched or InvoiceSettled where a match cannot be confirmed any more."""
    for transaction_id in held_ids(match):
        transaction = transactions[transaction_id]
        matched = transaction.state == recon_pb2.TRANSACTION_STATE_MATCHED
        if matched and transaction.match_id != match.match_id:
            raise errors.TransactionMatched(
                "A confirmed match holds the transaction.", transaction_id=transaction_id
            )
    currencies = {each.invoice_id: each.amount.currency_code for each in match.allocations}
    for invoice_id, claim in claims(match).items():
        invoice = invoices.get(invoice_id)
        if (
            invoice is None
            or invoice.open_amount < claim
            or invoice.currency_code != currencies[invoice_id]
        ):
            raise errors.InvoiceSettled(
                "Less of the invoice is open than the match would settle.", invoice_id=invoice_id
            )


def canonical(allocations: Sequence[Allocation]) -> list[Allocation]:
    """Allocations as they are kept.

    Raises InvalidArgument, TransactionNotFound or InvoiceNotOpen for what can be no match.
    """
    if not 0 < len(allocations) <= ALLOCATIONS_MAX:
        raise _wrong("allocations", f"must be 1 to {ALLOCATIONS_MAX}")
    made: dict[tuple[str, str], Allocation] = {}
    for n, each in enumerate(allocations):
        if not is_uuid(each.transaction_id):
            raise errors.TransactionNotFound("There is no such transaction.")
        if not is_uuid(each.invoice_id):
            raise errors.InvoiceNotOpen("There is no such open invoice.")
        field = f"allocations.{n}.amount"
        try:
            amount = amount_of(each)
            digits = money.round_to_currency(amount, each.amount.currency_code)
        except money.InvalidMoney:
            raise _wrong(field, "must be an amount of a currency") from None
        if not amount or amount != digits:
            raise _wrong(field, "must not be 0, nor finer than the currency")
        if (pair := (each.transaction_id.lower(), each.invoice_id.lower())) in made:
            raise _wrong(f"allocations.{n}", "names a transaction and an invoice again")
        made[pair] = Allocation(
            transaction_id=pair[0],
            invoice_id=pair[1],
            amount=money.to_message(amount, each.amount.currency_code),
        )
    return list(made.values())


def check_by_hand(
    allocations: Sequence[Allocation],
    transactions: Mapping[str, Transaction],
    invoices: Mapping[str, Invoice],
) -> None:
    """Raise what CreateMatch says of allocations that go beyond what is open, or do not fit."""
    used = [transactions[each] for each in {a.transaction_id: None for a in allocations}]
    if len({(each.bank_account_id, each.amount.currency_code) for each in used}) > 1:
        raise _wrong("allocations", "must be of transactions of one bank account and currency")
    for n, each in enumerate(allocations):
        invoice, paid = invoices[each.invoice_id], amount_of(transactions[each.transaction_id])
        if each.amount.currency_code != invoice.currency_code:
            raise _wrong(f"allocations.{n}.amount", f"must be in {invoice.currency_code}")
        if (amount_of(each) > 0) != (sign(invoice) * paid > 0):
            raise _wrong(f"allocations.{n}.amount", "has the wrong sign for what it pays")
    for invoice_id, claim in claims(Match(allocations=allocations)).items():
        open_amount = invoices[invoice_id].open_amount
        if not open_amount:
            raise errors.InvoiceSettled("Nothing of the invoice is open.", invoice_id=invoice_id)
        if claim > open_amount:
            raise _wrong("allocations", f"exceed the {open_amount} that are open of an invoice")
    for transaction in used:
        _check_sum(transaction, [a for a in allocations if a.transaction_id ==
                                 transaction.transaction_id])  # fmt: skip


def _check_sum(transaction: Transaction, allocations: Sequence[Allocation]) -> None:
    """A transaction settles something, of one currency, and hardly more than it is."""
    settled, paid = sum(map(amount_of, allocations)), abs(amount_of(transaction))
    currencies = {each.amount.currency_code for each in allocations}
    if len(currencies) > 1 or settled <= 0:
        raise _wrong("allocations", "must of one transaction be of one currency and above 0")
    short = max(settled * SHORT_SHARE, min(SHORT_UNITS, settled / 2))
    if currencies == {transaction.amount.currency_code} and settled - paid > short:
        raise _wrong("allocations", f"exceed the {paid} of a transaction")


def _wrong(field: str, description: str) -> InvalidArgument:
    return InvalidArgument("The request is not valid.", violations=[(field, description)])


def _name(field: str, name: str) -> Violations:
    if name.strip() and len(name) <= NAME_LENGTH_MAX and name.isprintable():
        return []
    return [(field, f"must have 1 to {NAME_LENGTH_MAX} printable characters")]
