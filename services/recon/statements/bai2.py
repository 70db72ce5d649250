"""BAI2 cash management reports (version 2), record by record in bounded memory.

A file is 01 (file), 02 (group of one day), 03 (account), 16 (transaction), 49, 98, 99 (trailers);
88 continues the record before it. Records stand on lines of their own: files of fixed-length
records without line ends are not read.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, BinaryIO

from stdnum import iban

from libs import money

from .encodings import find_encoding
from .faults import Malformed
from .ledger import Ledger, statement_header, transaction
from .values import read_short_date

LONGEST_RECORD = 100_000
# Which records may follow which; "" is the file's beginning.
FOLLOWING = {
    "": ("01",), "01": ("02", "99"), "02": ("03", "98"), "03": ("16", "49"), "16": ("16", "49"),
    "49": ("03", "98"), "98": ("02", "99"), "99": ("01",),
}  # fmt: skip
OPENING, CLOSING = "010", "015"
# Codes of bookings; those from 920 on are a bank's own. Of loans (7xx) it is not said whether a
# line is a booking or a part of one; 890 is a message without an amount.
CREDITS, DEBITS = ((100, 399), (920, 959)), ((400, 699), (960, 999))
MESSAGE = "890"
DEFAULT_CURRENCY = "USD"
NO_STATEMENTS = {"2": "deletes an earlier one", "4": "is a test"}
CODE = re.compile(r"([0-9]{2})[ \t]*(?:,|/|$)")
TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9])")
SUM = re.compile(r"[+-]?[0-9]{1,30}")
AMOUNT = re.compile(r"\+?[0-9]{1,18}")
SIGNED = re.compile(r"(?:[+-]?[0-9]{1,18})?")
TYPE = re.compile(r"[0-9]{3}")
COUNT = re.compile(r"[0-9]{1,3}")
BLANKS = " \t\r\n\0\x1a\ufeff"
BEGINNING = re.compile(rb"01 *,[^,\r\n]*,[^,\r\n]*,[0-9]{6,8},[0-9]{0,4},[^\r\n]*[\r\n]+(02|88) *,")


def looks_like(sample: bytes) -> bool:
    """Whether the file begins as BAI2 does, in any of the usual encodings."""
    plain = sample[:4000].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return BEGINNING.match(plain) is not None


def read(file: BinaryIO, sample: bytes, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields header, transactions and totals for each account record in the file."""
    yield from _Reader(options).events(file, sample)


@dataclass
class _Record:
    """A record with its continuations, taken apart field by field."""

    code: str
    line: int
    pieces: list[tuple[int, str]] = field(default_factory=list)
    size: int = 0
    _piece: int = 0
    _at: int = 0

    def append(self, line: int, text: str) -> None:
        """Takes one physical line's fields; a slash at its end is the mark of the end."""
        self.size += len(text)
        if self.size > LONGEST_RECORD:
            message = f"The record has more than {LONGEST_RECORD} characters."
            raise Malformed(line, "record", message)
        self.pieces.append((line, text.removesuffix("/")))

    @property
    def more(self) -> bool:
        """Whether there are fields left."""
        return self._piece < len(self.pieces)

    @property
    def at_start(self) -> bool:
        """Whether the next field is the first one of a line."""
        return not self._at

    def next(self) -> str:
        """The next field, "" behind the last one."""
        if not self.more:
            return ""
        self.line, text = self.pieces[self._piece]
        end = text.find(",", self._at)
        found = text[self._at : end if end >= 0 else len(text)]
        self._at = end + 1
        if end < 0:
            self._piece, self._at = self._piece + 1, 0
        return found.strip(BLANKS)

    def rest(self) -> str:
        """All that is left, as text: commas and slashes belong to it."""
        texts = [text for _, text in self.pieces[self._piece :]]
        if texts:
            texts[0] = texts[0][self._at :]
        self._piece = len(self.pieces)
        return " ".join(" ".join(texts).split())

    def match(self, pattern: re.Pattern[str], name: str, what: str) -> str:
        """The next field, which must be as the pattern says."""
        found = self.next()
        if not pattern.fullmatch(found):
            message = f"{found[:40]!r} is not {what}." if found else "It is missing."
            raise Malformed(self.line, name, message)
        return found

    def iso(self, found: str, name: str) -> str:
        """A date in ISO's way, from yymmdd; some banks write the century."""
        if day := read_short_date(found):
            return day.isoformat()
        raise Malformed(self.line, name, f"{found[:40]!r} is not a date.")


@dataclass
class _Count:
    """What a trailer is checked against."""

    total: int = 0
    parts: int = 0
    records: int = 0

    def take(self, inner: "_Count") -> None:
        """Counts in what has ended."""
        self.total += inner.total
        self.records += inner.records
        self.parts += 1


def _records(file: BinaryIO, sample: bytes) -> Iterator[_Record]:
    """The file's records, each with its continuations."""
    text = io.TextIOWrapper(file, encoding=find_encoding(sample)[0], newline=None)
    record, line = None, 0
    try:
        while raw := text.readline(LONGEST_RECORD + 1):
            line += 1
            if len(raw) > LONGEST_RECORD:
                message = f"The line has more than {LONGEST_RECORD} characters."
                raise Malformed(line, "record", message)
            body = raw.strip(BLANKS)
            if not body:
                continue
            code = CODE.match(body)
            if not code or (code[1] != "88" and code[1] not in FOLLOWING):
                raise Malformed(line, "record", f"{body[:40]!r} does not begin as a BAI2 record.")
            if code[1] != "88":
                if record:
                    yield record
                record = _Record(code[1], line)
            elif not record:
                raise Malformed(line, "record", "There is nothing that 88 could continue.")
            record.append(line, body[code.end() :] if body[code.end() - 1] == "," else "")
        if record:
            yield record
    except UnicodeError as error:
        raise Malformed(
            line + 1, "encoding", f"Not readable: {error.__class__.__name__}."
        ) from None
    finally:
        text.detach()


class _Reader:
    """Follows the records of one file; totals wait for trailers, which may add warnings."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._file, self._group, self._account = _Count(), _Count(), _Count()
        self._id = self._create_time = self._day = self._group_currency = ""
        self._header: dict[str, Any] = {}
        self._ledger: Ledger | None = None
        self._number = self._currency = ""
        self._places = 2
        self._left: dict[str, int] = {}
        self._early: list[tuple[str, str, int]] = []
        self._plain_account = ""

    def events(self, file: BinaryIO, sample: bytes) -> Iterator[dict[str, Any]]:
        """Reads to the end of the file."""
        before, last = "", 0
        for record in _records(file, sample):
            if record.code not in FOLLOWING[before]:
                wanted = " or ".join(FOLLOWING[before])
                raise Malformed(record.line, "record", f"{record.code} stands where {wanted} must.")
            before, last = record.code, record.pieces[-1][0]
            yield from self._take(record)
        if before != "99":
            raise Malformed(last, "record", "The file ends before its trailer 99: it is cut off.")
        if self._ledger is None:
            raise Malformed(0, "record", "No account is in this file.")
        yield self._totals()

    def _take(self, record: _Record) -> Iterator[dict[str, Any]]:
        lines = len(record.pieces)
        if record.code == "01":
            self._file = _Count(records=lines)
            self._begin_file(record)
        elif record.code == "02":
            self._group = _Count(records=lines)
            self._begin_group(record)
        elif record.code == "03":
            if self._ledger:
                yield self._totals()
            self._account = _Count(records=lines)
            yield self._begin_account(record)
        elif record.code == "16":
            self._account.records += lines
            entry = self._entry(record)
            if entry:
                assert self._ledger is not None
                yield self._ledger.add(entry)
        else:
            self._end(record, lines)

    def _begin_file(self, record: _Record) -> None:
        fields = [record.next() for _ in range(8)]
        self._create_time = record.iso(fields[2], "file date") if fields[2] else ""
        if self._create_time and (time := TIME.fullmatch(fields[3])):
            self._create_time += f"T{time[1]}:{time[2]}:00"
        self._id, version = fields[4][:100], fields[7]
        if version not in {"2", ""}:
            message = f"{version[:40]!r}: only version 2, with a line for each record, is read."
            raise Malformed(record.line, "version", message)

    def _begin_group(self, record: _Record) -> None:
        _, _, status = (record.next() for _ in range(3))
        if status in NO_STATEMENTS:
            message = f"The group {NO_STATEMENTS[status]}: it is not a statement."
            raise Malformed(record.line, "group status", message)
        if status == "3":
            self._warn("CORRECTION", "The group corrects an earlier one.", record.line)
        self._day = record.iso(record.next(), "as-of date")
        record.next()
        self._group_currency = record.next().upper()

    def _begin_account(self, record: _Record) -> dict[str, Any]:
        """The header, with what the summary says."""
        account = "".join(record.next().split()) or str(self._options.get("account_iban") or "")
        if not account:
            raise Malformed(record.line, "account", "The account number is missing.")
        currency = record.next().upper() or self._group_currency
        self._currency = currency or self._options.get("currency_code") or DEFAULT_CURRENCY
        try:
            self._places = money.exponent(self._currency)
        except money.UnknownCurrency:
            message = f"{self._currency[:40]!r} is not a currency."
            raise Malformed(record.line, "currency", message) from None
        known = iban.is_valid(account)
        balances = self._summary(record)
        self._number = iban.compact(account) if known else account
        self._header = statement_header(
            "BAI2",
            sequence_number=self._id,
            create_time=self._create_time,
            from_date=self._day,
            to_date=self._day,
            account_iban=self._number if known else "",
            account_number="" if known else account,
            currency_code=self._currency,
            opening_balance=balances.get(OPENING),
            closing_balance=balances.get(CLOSING),
            explanation=["The file is BAI2 by its records."],
        )
        self._ledger, self._left = Ledger(self._number), {}
        for early in self._early:
            self._ledger.warn(*early)
        self._early = []
        self._watch_accounts(known, record.pieces[0][0])
        return self._header

    def _watch_accounts(self, known: bool, line: int) -> None:
        """A second account that is not an IBAN is worth a warning: numbers tell less."""
        first = self._plain_account = self._plain_account or ("" if known else self._number)
        if not known and first != self._number:
            message = f"The file holds lines of {first[:40]} and of {self._number[:40]}."
            self._warn("SEVERAL_ACCOUNTS", message, line)

    def _summary(self, record: _Record) -> dict[str, str]:
        """The balances in an account's record; all its amounts count for the control total."""
        balances: dict[str, str] = {}
        while record.more:
            code, line = record.next(), record.line
            if code and not TYPE.fullmatch(code):
                raise Malformed(line, "type code", f"{code[:40]!r} is not a type code.")
            if not code and record.at_start:
                continue
            if amount := record.match(SIGNED, "amount", "an amount"):
                self._account.total += int(amount)
                if code in {OPENING, CLOSING}:
                    balances[code] = str(Decimal(int(amount)).scaleb(-self._places))
            record.next()
            self._funds(record)
        return balances

    def _funds(self, record: _Record) -> str:
        """Reads over the funds type; the value date if it gives one."""
        kind = record.next().upper()
        if kind == "S":
            for _ in range(3):
                record.match(SIGNED, "funds type", "an amount")
        elif kind == "V":
            found = record.next()
            day = record.iso(found, "value date") if found else ""
            record.next()
            return day
        elif kind == "D":
            for _ in range(int(record.match(COUNT, "funds type", "a number of distributions"))):
                record.match(COUNT, "funds type", "a number of days")
                record.match(SIGNED, "funds type", "an amount")
        elif kind not in {"", "0", "1", "2", "Z"}:
            raise Malformed(record.line, "funds type", f"{kind[:40]!r} is not a funds type.")
        return ""

    def _entry(self, record: _Record) -> dict[str, Any] | None:
        """One transaction; None for what is not booked, which is counted only."""
        line = record.line
        code = record.match(TYPE, "type code", "a type code")
        sign = _sign(int(code))
        amount = record.next()
        if (amount or sign) and not AMOUNT.fullmatch(amount):
            message = f"{amount[:40]!r} is not an amount." if amount else "The amount is missing."
            raise Malformed(record.line, "amount", message)
        self._account.total += int(amount or 0)
        if not sign:
            self._left[code] = self._left.get(code, 0) + 1
            return None
        value = self._funds(record)
        bank, customer = record.next(), record.next()
        return transaction(
            line=line,
            account_iban=self._number,
            booking_date=self._day,
            value_date=value or self._day,
            amount=str(Decimal(sign * int(amount)).scaleb(-self._places)),
            currency_code=self._currency,
            remittance_text=record.rest(),
            end_to_end_id=customer,
            bank_reference=bank,
            type=code,
        )

    def _end(self, record: _Record, lines: int) -> None:
        """Checks a trailer: the sum of the amounts as written, what is inside, and the records."""
        parts = {"49": "", "98": "accounts", "99": "groups"}[record.code]
        count = {"49": self._account, "98": self._group, "99": self._file}[record.code]
        count.records += lines
        for name, counted in (
            ("control total", count.total), (parts, count.parts), ("records", count.records),
        ):  # fmt: skip
            stated = record.next() if name else ""
            if not stated:
                continue
            if not SUM.fullmatch(stated):
                raise Malformed(record.line, name, f"{stated[:40]!r} is not a number.")
            if int(stated) != counted:
                message = f"The trailer {record.code} says {name} {stated}; in the file: {counted}."
                self._warn("CONTROL_DIFFERENCE", message, record.line)
        if record.code == "49":
            self._group.take(count)
        elif record.code == "98":
            self._file.take(count)

    def _warn(self, code: str, message: str, line: int) -> None:
        """Warns on the statement that was read last; before the first account on that one."""
        if self._ledger is None or code == "CORRECTION":
            if len(self._early) < 100:
                self._early.append((code, message, line))
        else:
            self._ledger.warn(code, message, line)

    def _totals(self) -> dict[str, Any]:
        assert self._ledger is not None
        for code, count in self._left.items():
            if code != MESSAGE:
                message = f"{count} lines of type {code} are not bookings and were left out."
                self._ledger.warn("NOT_BOOKED", message)
        opening, closing = self._header["opening_balance"], self._header["closing_balance"]
        return self._ledger.totals(
            None if opening is None else Decimal(opening),
            None if closing is None else Decimal(closing),
        )


def _sign(code: int) -> int:
    """1 for a type code of credits, -1 for one of debits, 0 for what is not a booking."""
    if any(first <= code <= last for first, last in CREDITS):
        return 1
    return -1 if any(first <= code <= last for first, last in DEBITS) else 0
