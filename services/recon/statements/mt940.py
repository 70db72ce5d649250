"""MT940 and MT942, field by field in bounded memory (SWIFT category 9, customer statements)."""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, BinaryIO

from stdnum import iban

from .encodings import find_encoding
from .faults import Malformed
from .information import Information, read_information, read_supplement
from .ledger import Ledger, statement_header, transaction
from .values import read_short_date

TAG = re.compile(r":(\d{2}[A-Z]?):")
BALANCE = re.compile(r"([CD])(\d{6})([A-Z]{3})(\d{1,15}(?:[.,]\d{0,5})?)")
# Value date, entry date, side, funds code, amount, kind, references.
LINE = re.compile(
    r"(\d{6})(\d{4})?(RC|RD|EC|ED|C|D)([A-Z])?(\d{1,15}(?:[.,]\d{0,5})?)([NFS][A-Z0-9]{3})?(.*)"
)
SUMS = re.compile(r"(\d{1,5})([A-Z]{3})(\d{1,15}(?:[.,]\d{0,5})?)")
LONGEST_FIELD = 20_000
NOTHING = frozenset({"NONREF", "NOREF", "NOTPROVIDED"})


def looks_like(sample: bytes) -> bool:
    """Whether the file begins as such messages do, with or without their envelope."""
    head = sample[:4000].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\x01")
    return head.startswith((b"{1:", b":20:", b":940:", b"0000 01")) or (
        re.search(rb"(?m)^:20:", head) is not None and b":25" in head
    )


def read(file: BinaryIO, sample: bytes, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields header, transactions and totals for each message in the file."""
    encoding, _ = find_encoding(sample)
    text = io.TextIOWrapper(file, encoding=encoding, newline=None)
    try:
        yield from _events(_fields(text), options)
    except UnicodeDecodeError as error:
        message = f"Not readable as {encoding}: byte {error.object[error.start]:#x}."
        raise Malformed(0, "encoding", message) from None
    finally:
        text.detach()


@dataclass
class _Field:
    """A field: its tag, where it begins, and its lines."""

    tag: str
    line: int
    rows: list[str]
    size: int = 0


def _fields(text: io.TextIOWrapper) -> Iterator[_Field]:
    """Yields the fields of all messages; one with the tag "" where a message ends."""
    found: _Field | None = None
    number = 0
    while row := text.readline(LONGEST_FIELD + 1):
        number += 1
        row = row.rstrip("\r\n").strip("\x01\x03")
        row = row.rpartition("{4:")[2] if row.startswith("{") else row
        tag = TAG.match(row)
        ends = row.strip() in ("-", "-}") or row.startswith("-}")
        if (tag or ends) and found is not None:
            yield found
            found = None
        if ends:
            yield _Field("", number, [])
        elif tag:
            found = _Field(tag[1], number, [row[tag.end() :]])
        elif found is not None:
            found.rows.append(row)
        if found is not None:
            found.size += len(row)
            if found.size > LONGEST_FIELD:
                raise Malformed(found.line, f":{found.tag}:", "The field is too long.")
    if found is not None:
        yield found


def _events(fields: Iterator[_Field], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    message: _Message | None = None
    seen = False
    for each in fields:
        if each.tag in ("", "20"):
            if message is not None:
                yield from message.end()
            message = _Message(options, each) if each.tag else None
            seen = seen or message is not None
        elif message is not None:
            yield from message.take(each)
    if message is not None:
        yield from message.end()
    elif not seen:
        raise Malformed(0, "", "No MT940 or MT942 message is in this file.")


@dataclass
class _Line:
    """A statement line as it stands, until what explains it has been read."""

    line: int
    booking: str
    value: str
    amount: Decimal
    reversal: bool
    kind: str
    customer_reference: str
    bank_reference: str
    information: Information = field(default_factory=Information)


class _Message:
    """Follows the fields of one message."""

    def __init__(self, options: Mapping[str, Any], first: _Field) -> None:
        self._options = options
        self._reference = first.rows[0].strip()
        self._at = first.line
        self._account = self._iban = self._sequence = self._currency = ""
        self._opening: Decimal | None = None
        self._closing: Decimal | None = None
        self._days: list[str] = []
        self._said: dict[str, tuple[int, Decimal, int]] = {}
        self._expected = 0
        self._interim = False
        self._ledger: Ledger | None = None
        self._last: _Line | None = None

    def take(self, each: _Field) -> Iterator[dict[str, Any]]:
        """Takes the next field; a line is handed out once the next one begins."""
        tag, text = each.tag, each.rows[0].strip()
        if tag == "61":
            yield from self._flush()
            yield from self._header()
            self._last = self._line(each)
        elif tag == "86":
            if self._last is not None:
                information = read_information(each.rows)
                self._last.information = self._last.information.joined(information)
        elif tag in ("25", "25P"):
            self._name_account(text)
        elif tag in ("28", "28C"):
            self._sequence = text
        elif tag in ("60F", "60M", "62F", "62M"):
            yield from self._flush()
            self._take_balance(each)
        elif tag in ("90C", "90D", "34F", "13", "13D"):
            yield from self._flush()
            self._interim = True
            if tag.startswith("90"):
                self._take_sums(each)

    def end(self) -> Iterator[dict[str, Any]]:
        """What is left, and the totals."""
        yield from self._flush()
        yield from self._header()
        assert self._ledger is not None
        if self._opening is not None and self._closing is None:
            raise Malformed(self._at, ":62F:", "The statement has no closing balance.")
        if self._expected:
            self._ledger.warn(
                "PENDING", f"{self._expected} lines that are not booked were left out."
            )
        self._verify_sums(self._ledger)
        yield self._ledger.totals(self._opening, self._closing)

    def _name_account(self, text: str) -> None:
        self._account = text.lstrip("/")
        plain = re.sub(r"[^A-Z0-9]", "", self._account.upper())
        for found in re.finditer(r"[A-Z]{2}\d{2}", plain):
            rest = plain[found.start() :]
            for length in range(min(34, len(rest)), 14, -1):
                if iban.is_valid(rest[:length]):
                    self._iban = rest[:length]
                    return

    def _take_balance(self, each: _Field) -> None:
        name = f":{each.tag}:"
        found = BALANCE.match(each.rows[0].strip().replace(" ", ""))
        if found is None:
            raise Malformed(each.line, name, f"{each.rows[0][:40]!r} is not a balance.")
        side, day, currency, amount = found.groups()
        value = _amount(amount) if side == "C" else -_amount(amount)
        self._days.append(_day(day, each.line, name).isoformat())
        if self._currency and currency != self._currency:
            message = f"The balance is in {currency}, the one before in {self._currency}."
            raise Malformed(each.line, name, message)
        self._currency = currency
        if each.tag.startswith("60"):
            self._opening = value
        else:
            self._closing = value

    def _take_sums(self, each: _Field) -> None:
        found = SUMS.match(each.rows[0].strip())
        if found is None:
            raise Malformed(each.line, f":{each.tag}:", f"{each.rows[0][:40]!r} is no sum.")
        self._currency = self._currency or found[2]
        self._said[each.tag] = int(found[1]), _amount(found[3]), each.line

    def _verify_sums(self, ledger: Ledger) -> None:
        for tag, (_, amount, line) in self._said.items():
            own = ledger.credits if tag == "90C" else -ledger.debits
            if amount != own:
                side = "credits" if tag == "90C" else "debits"
                ledger.warn(
                    "SUM_DIFFERENCE", f"The file says {amount} of {side}; in it are {own}.", line
                )

    def _header(self) -> Iterator[dict[str, Any]]:
        if self._ledger is not None:
            return
        account = self._iban or str(self._options.get("account_iban") or "")
        opening = None if self._opening is None else str(self._opening)
        interim = self._interim or self._opening is None
        kind = "mt942" if interim else "mt940"
        self._ledger = Ledger(account or self._account)
        yield statement_header(
            kind,
            statement_id=self._reference,
            sequence_number=self._sequence,
            from_date=self._days[0] if self._days else "",
            account_iban=account,
            account_number="" if self._iban else self._account,
            currency_code=self._currency or str(self._options.get("currency_code") or ""),
            opening_balance=opening,
            explanation=[f"The file is {kind.upper()} by its fields."],
        )

    def _line(self, each: _Field) -> _Line | None:
        text = each.rows[0].strip()
        found = LINE.fullmatch(text)
        if found is None:
            raise Malformed(each.line, ":61:", f"{text[:60]!r} is not a statement line.")
        value_day, entry_day, side, _, amount, kind, references = found.groups()
        if side in ("EC", "ED"):
            self._expected += 1
            return None
        value = _day(value_day, each.line, ":61:")
        booking = _entry_day(entry_day, value, each.line) if entry_day else value
        customer, _, bank = references.strip().partition("//")
        credit = side in ("C", "RD")
        return _Line(
            line=each.line,
            booking=booking.isoformat(),
            value=value.isoformat(),
            amount=_amount(amount) if credit else -_amount(amount),
            reversal=side in ("RC", "RD"),
            kind=kind or "",
            customer_reference="" if customer.strip().upper() in NOTHING else customer.strip(),
            bank_reference="" if bank.strip().upper() in NOTHING else bank.strip(),
            information=read_supplement(each.rows[1:]),
        )

    def _flush(self) -> Iterator[dict[str, Any]]:
        if self._last is None:
            return
        each, self._last = self._last, None
        assert self._ledger is not None
        said = each.information
        yield self._ledger.add(
            transaction(
                line=each.line,
                account_iban=self._iban or self._account,
                booking_date=each.booking,
                value_date=each.value,
                amount=str(each.amount),
                currency_code=self._currency or str(self._options.get("currency_code") or ""),
                counterparty_name=said.name,
                counterparty_iban=said.account,
                remittance_text=said.text,
                end_to_end_id=said.end_to_end_id or each.customer_reference,
                bank_reference=each.bank_reference,
                type=said.code or each.kind,
                type_text=said.kind,
                is_reversal=each.reversal,
                original_amount=said.original_amount,
                original_currency_code=said.original_currency_code,
                exchange_rate=said.exchange_rate,
                charges=said.charges,
            )
        )


def _amount(text: str) -> Decimal:
    return Decimal(text.replace(",", ".").rstrip("."))


def _day(text: str, line: int, name: str) -> date:
    found = read_short_date(text)
    if found is None:
        raise Malformed(line, name, f"{text!r} is not a day.")
    return found


def _entry_day(text: str, value: date, line: int) -> date:
    """The entry day as mmdd: of the year in which it is nearest to the value day."""
    found = []
    for year in (value.year - 1, value.year, value.year + 1):
        try:
            found.append(date(year, int(text[:2]), int(text[2:4])))
        except ValueError:
            continue  # the 29th of February is not of every year
    if not found:
        raise Malformed(line, ":61:", f"{text!r} is not a day.")
    return min(found, key=lambda day: abs(day - value))
