"""QIF, the older exchange format of Intuit's Quicken, record by record in bounded memory.

By Intuit's "Quicken Interchange Format (QIF) files" of the Quicken help. It names neither currency
nor the order of day and month nor the decimal mark: the first is asked for, and the others are
found in a first pass over the file.
"""

import io
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, BinaryIO

from stdnum import iban

from .encodings import find_encoding
from .faults import Malformed
from .ledger import Ledger, statement_header, transaction
from .values import date_style, decimal_mark, read_amount, read_date

CASH = frozenset({"bank", "ccard", "cash", "oth a", "oth l", "otha", "othl"})
OPENINGS = frozenset({
    "opening balance", "anfangssaldo", "eröffnungssaldo", "anfangsbestand", "solde initial",
    "solde d'ouverture", "saldo inicial", "saldo iniziale", "beginsaldo",
})  # fmt: skip
LONGEST = 10_000
MOST_IN_RECORD = 10_000
MOST_SAMPLES = 2_000
DIGITS = 15
TITLE = re.compile(r"!\s*(Type|Account|Option|Clear)\s*:?\s*(.*)", re.IGNORECASE)
QUICKEN_DATE = re.compile(r"(\d{1,2})\s*([/.\-])\s*(\d{1,2})\s*(['/.\-])\s*(\d{4}|\d{1,2})")
STYLES = ("DMY", "MDY", "YMD")


@dataclass
class Record:
    """The lines between two ^, by their letter; splits apart."""

    line: int
    values: dict[str, tuple[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    splits: list[dict[str, str]] = field(default_factory=list)
    size: int = 0

    def text(self, letter: str) -> str:
        """The value of a letter, or nothing."""
        return self.values.get(letter, ("", 0))[0]


@dataclass(frozen=True)
class Section:
    """What begins with an exclamation mark: its name, and whether lines of an account follow."""

    name: str
    cash: bool
    line: int


def looks_like(sample: bytes) -> bool:
    """Whether the file begins as QIF does."""
    start = sample[:8192].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return bool(re.match(rb"!\s*(Type\s*:|Account|Option\s*:|Clear\s*:)", start, re.IGNORECASE))


def read(file: BinaryIO, sample: bytes, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields header, transactions and totals for each section of an account in the file."""
    currency = str(options.get("currency_code") or "").upper()
    if not currency:
        raise Malformed(0, "currency_code", "The format does not name it: it must be given.")
    encoding = str(options.get("encoding") or find_encoding(sample)[0])
    first: BinaryIO = file if file.seekable() else io.BytesIO(sample)
    start = first.tell()
    with closing(_lines(first, encoding)) as lines:
        style, mark, explanation, guessed = _habits(lines, options)
    first.seek(start)
    reader = _Reader(options, style, mark, [f"The file is in {encoding}.", *explanation])
    with closing(_lines(file, encoding)) as lines:
        yield from reader.events(lines, guessed=guessed)


def _lines(file: BinaryIO, encoding: str) -> Generator[tuple[int, str], None, None]:
    """The lines that are not empty, with their numbers."""
    number = 0
    try:
        text = io.TextIOWrapper(file, encoding=encoding)
    except (LookupError, ValueError):
        raise Malformed(0, "encoding", f"{encoding[:40]!r} is not known.") from None
    try:
        while line := text.readline(LONGEST + 2):
            number += 1
            if len(line) > LONGEST + 1:
                raise Malformed(number, "", f"It is longer than {LONGEST} characters.")
            if not line.isascii():
                line.encode()  # refuses what no text may hold, whatever the encoding lets pass
            if line.strip().strip(" \0\x1a"):
                yield number, line.rstrip("\r\n")
    except UnicodeError as error:
        message = f"Not readable as {encoding}: {getattr(error, 'reason', error)}."
        raise Malformed(number + 1, "encoding", message) from None
    finally:
        with suppress(ValueError):  # when who reads gives up, the file may be closed already
            text.detach()


def _records(lines: Iterator[tuple[int, str]]) -> Iterator[Section | Record]:
    """Sections and records in their order; those of no account come as a section only."""
    section: Section | None = None
    record = Record(0)
    for number, line in lines:
        value = line.strip()
        if value.startswith("!"):
            if record.size:
                raise Malformed(record.line, "^", "The record is not closed.")
            if title := _section(value, number):
                section = title
                yield section
        elif section is None:
            raise Malformed(number, "!Type", f"{value[:40]!r} stands before any section.")
        elif not section.cash and section.name != "account":
            continue
        elif value.startswith("^"):
            if record.size:
                yield record
            record = Record(0)
        else:
            record.line = record.line or number
            _keep(record, line.lstrip(), number)
    if record.size:
        raise Malformed(record.line, "^", "The file ends within this record.")


def _section(line: str, number: int) -> Section | None:
    found = TITLE.fullmatch(line)
    if found is None:
        raise Malformed(number, "!Type", f"{line[:40]!r} is not the beginning of a section.")
    kind, name = found[1].casefold(), " ".join(found[2].casefold().split())
    if kind in {"option", "clear"}:
        return None
    if kind == "account":
        return Section("account", cash=False, line=number)
    return Section(name, cash=name in CASH, line=number)


def _keep(record: Record, line: str, number: int) -> None:
    letter, value = line[:1].upper(), " ".join(line[1:].split())
    record.size += 1
    if record.size > MOST_IN_RECORD:
        raise Malformed(number, "^", f"The record has more than {MOST_IN_RECORD} lines.")
    if not (letter.isascii() and (letter.isalpha() or letter in {"$", "%", "/"})):
        raise Malformed(number, "", f"{line[:40]!r} does not begin with a letter of the format.")
    if letter in {"D", "T"} and letter in record.values:
        raise Malformed(number, letter, "It comes twice; between them a ^ is missing.")
    if letter == "S":
        record.splits.append({"S": value, "line": str(number)})
    elif letter in {"E", "$"} and record.splits:
        record.splits[-1].setdefault(letter, value)
    elif letter == "M":
        record.notes.append(value)
    else:
        record.values.setdefault(letter, (value, number))


def _plain_date(text: str) -> str:
    """A date with a year of four digits: Quicken writes 1/ 5'26 and, before 2000, 1/ 5/99."""
    found = QUICKEN_DATE.fullmatch(text.strip())
    if not found:
        return text.strip()
    year = int(found[5])
    if len(found[5]) < 4:
        year += 1900 if year >= 70 and found[4] != "'" else 2000
    return f"{found[1]}{found[2]}{found[3]}{found[2]}{year}"


def _habits(
    lines: Iterator[tuple[int, str]], options: Mapping[str, Any]
) -> tuple[str, str, list[str], bool]:
    """The order of dates, the decimal mark, why, and whether the order is no more than likely."""
    dates: list[str] = []
    amounts: list[str] = []
    cash = True
    for number, line in lines:
        value = line.strip()
        if value.startswith("!"):
            title = _section(value, number)
            cash = title.cash if title else cash
        elif cash and value[:1] in {"D", "d"}:
            _sample(dates, _plain_date(value[1:]), decides=_decides)
        elif cash and value[:1] in {"T", "t", "$"}:
            _sample(amounts, value[1:], decides=lambda text: "," in text and "." in text)
    mark = str(options.get("decimal_mark") or "") or decimal_mark(amounts)
    if mark not in {".", ","}:
        raise Malformed(0, "decimal_mark", f"{mark[:10]!r} is neither a point nor a comma.")
    style, why = str(options.get("date_style") or ""), "as it was given"
    if not style:
        style, why = date_style(dates, american=mark == ".") if dates else ("YMD", "no dates")
    if style not in STYLES:
        raise Malformed(0, "date_style", f"{style[:10]!r} is not one of {', '.join(STYLES)}.")
    explanation = [f"Dates are in the order {style}: {why}.", f"The decimal mark is {mark!r}."]
    return style, mark, explanation, why.startswith("both orders are possible")


def _sample(kept: list[str], text: str, decides: Any) -> None:
    """Keeps the first values, and of those behind them the ones that decide something."""
    if len(kept) < MOST_SAMPLES or (len(kept) < 2 * MOST_SAMPLES and decides(text)):
        kept.append(text[:50])


def _decides(text: str) -> bool:
    return (read_date(text, "DMY") is None) != (read_date(text, "MDY") is None)


class _Reader:
    """Follows the records of one file."""

    def __init__(
        self, options: Mapping[str, Any], style: str, mark: str, explanation: Sequence[str]
    ) -> None:
        self._style, self._mark = style, mark
        self._explanation = list(explanation)
        self._currency = str(options["currency_code"]).upper()
        self._given = "".join(str(options.get("account_iban") or "").split())
        self._name = ""
        self._header: dict[str, Any] = {}
        self._ledger: Ledger | None = None
        self._opening: Decimal | None = None
        self._skipped: list[Section] = []

    def events(
        self, lines: Iterator[tuple[int, str]], *, guessed: bool
    ) -> Iterator[dict[str, Any]]:
        """Reads to the end of the file; totals wait until it is known what was passed over."""
        section, statements = Section("", cash=False, line=0), 0
        for each in _records(lines):
            if isinstance(each, Record):
                if section.name == "account":
                    self._name = each.text("N")
                else:
                    yield from self._record(each)
                continue
            section = each
            if section.cash:
                if statements:
                    yield from self._end()
                statements += 1
                self._header, self._ledger, self._opening = {}, None, None
            elif section.name != "account":
                self._skipped.append(section)
        if not statements:
            raise Malformed(0, "!Type", "No section of a bank, card or cash account is here.")
        yield from self._end(guessed=guessed)

    def _record(self, record: Record) -> Iterator[dict[str, Any]]:
        """A line, or the opening balance, which some write as one."""
        if self._is_opening(record):
            self._opening = self._amount(record, "T" if record.text("T") else "U")
            if not self._header:
                yield from self._header_once()
            return
        yield from self._header_once()
        assert self._ledger is not None
        yield self._ledger.add(self._entry(record, self._ledger))

    def _is_opening(self, record: Record) -> bool:
        """By its payee, or as a transfer of the account to itself; the first one only."""
        label = record.text("L")
        inner = label[1:-1].strip() if label.startswith("[") and label.endswith("]") else ""
        named = record.text("P").casefold().rstrip(".: ") in OPENINGS
        if self._opening is not None or not (named or (inner and inner == self._name)):
            return False
        if named and inner and not self._name and not self._header:
            self._name = inner
        return True

    def _header_once(self) -> Iterator[dict[str, Any]]:
        if self._header:
            return
        known = bool(self._given) and iban.is_valid(self._given)
        self._header = statement_header(
            "QIF",
            account_iban=self._given if known else "",
            account_number=self._name or ("" if known else self._given),
            account_name=self._name,
            currency_code=self._currency,
            opening_balance=None if self._opening is None else f"{self._opening:f}",
            explanation=self._explanation,
        )
        self._ledger = Ledger(self._given or self._name)
        yield self._header

    def _end(self, *, guessed: bool = False) -> Iterator[dict[str, Any]]:
        yield from self._header_once()
        assert self._ledger is not None
        if guessed:
            message = f"Day and month could be either way round; {self._style} was taken."
            self._ledger.warn("DATE_ORDER", message)
        for section in self._skipped:
            message = f"The section {section.name[:40]!r} is of no account and was left out."
            self._ledger.warn("LEFT_OUT", message, section.line)
        self._skipped = []
        yield self._ledger.totals(self._opening, None)

    def _entry(self, record: Record, ledger: Ledger) -> dict[str, Any]:
        amount = self._amount(record, "T" if record.text("T") else "U")
        if record.text("T") and record.text("U") and self._amount(record, "U") != amount:
            ledger.warn("AMOUNTS_DIFFER", "T and U differ; T was taken.", record.line)
        day, details = self._date(record), self._details(record)
        given = [Decimal(each["amount"]) for each in details if each["amount"]]
        if given and len(given) == len(details) and sum(given) != amount:
            message = f"{len(given)} splits of {sum(given)} do not add up to the line's {amount}."
            ledger.warn("DETAILS_DIFFER", message, record.line)
        number = record.text("N")
        check = f"Check {number}" if number.isdigit() else ""
        notes = " ".join(filter(None, (*record.notes, check)))
        return transaction(
            line=record.line,
            account_iban=self._header["account_iban"] or self._header["account_number"],
            booking_date=day,
            value_date=day,
            amount=f"{amount:f}",
            currency_code=self._currency,
            counterparty_name=record.text("P"),
            remittance_text=notes,
            type="" if check else number,
            type_text=record.text("L"),
            details=details,
        )

    def _details(self, record: Record) -> list[dict[str, Any]]:
        """The splits of a line: category, text and amount."""
        return [
            {
                "amount": f"{self._number(each['$'], int(each['line']), '$'):f}"
                if each.get("$")
                else "",
                "counterparty_name": record.text("P"),
                "counterparty_iban": "",
                "remittance_text": each.get("E", ""),
                "end_to_end_id": "",
                "mandate_id": "",
                "bank_reference": "",
                "type": each["S"],
                "original_amount": None,
                "original_currency_code": "",
                "exchange_rate": None,
                "charges": None,
            }
            for each in record.splits
        ]

    def _date(self, record: Record) -> str:
        text, line = record.values.get("D", ("", record.line))
        if not text:
            raise Malformed(line, "D", "The date is missing.")
        found = read_date(_plain_date(text), self._style)
        if found is None:
            message = f"{text[:40]!r} is not a date in the order {self._style}."
            raise Malformed(line, "D", message)
        return found.isoformat()

    def _amount(self, record: Record, letter: str) -> Decimal:
        text, line = record.values.get(letter, ("", record.line))
        if not text:
            raise Malformed(line, "T", "The amount is missing.")
        return self._number(text, line, letter)

    def _number(self, text: str, line: int, letter: str) -> Decimal:
        found = read_amount(text, self._mark) if len(text) <= 50 else None
        if found is None or (found and found.adjusted() > DIGITS):
            raise Malformed(line, letter, f"{text[:40]!r} is not an amount.")
        return found
