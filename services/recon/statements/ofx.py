"""OFX and QFX 1.x (SGML) and 2.x (XML), tag by tag in bounded memory.

By the OFX 1.6 and 2.2 specifications, chapters 2, 3 and 11. Tags are read by a scanner of our own,
as the older files leave most of them open; without a parser no entity can be declared either.
"""

import codecs
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any, BinaryIO, NamedTuple

from .encodings import find_encoding
from .faults import Malformed
from .ledger import Ledger, statement_header, transaction
from .values import read_iban

STATEMENTS = frozenset({"STMTRS", "CCSTMTRS"})
ACCOUNTS = frozenset({"BANKACCTFROM", "CCACCTFROM"})
LINES = frozenset({"STMTTRN"})
# Which tags hold others, and within which they may stand.
ANYWHERE: frozenset[str] = frozenset()
PLACES: Mapping[str, frozenset[str]] = {
    "OFX": ANYWHERE, "SIGNONMSGSRSV1": ANYWHERE, "SONRS": ANYWHERE, "STATUS": ANYWHERE,
    "FI": ANYWHERE, "BANKMSGSRSV1": ANYWHERE, "CREDITCARDMSGSRSV1": ANYWHERE,
    "STMTTRNRS": ANYWHERE, "CCSTMTTRNRS": ANYWHERE, "IMAGEDATA": ANYWHERE, "REWARDINFO": ANYWHERE,
    "STMTRS": frozenset({"STMTTRNRS", "BANKMSGSRSV1"}),
    "CCSTMTRS": frozenset({"CCSTMTTRNRS", "CREDITCARDMSGSRSV1"}),
    "BANKACCTFROM": STATEMENTS, "CCACCTFROM": STATEMENTS, "BANKTRANLIST": STATEMENTS,
    "LEDGERBAL": STATEMENTS, "AVAILBAL": STATEMENTS, "BALLIST": STATEMENTS,
    "BAL": frozenset({"BALLIST"}), "STMTTRN": frozenset({"BANKTRANLIST"}), "PAYEE": LINES,
    "EXTDPAYEE": LINES, "BANKACCTTO": LINES, "CCACCTTO": LINES,
    "CURRENCY": ANYWHERE, "ORIGCURRENCY": ANYWHERE,
}  # fmt: skip
# What is passed over as a whole, up to its closing tag.
SKIPPED = frozenset({"INVSTMTMSGSRSV1", "BANKTRANLISTP", "LOANMSGSRSV1"})
LONGEST = 10_000
CHUNK = 1 << 16
MOST_FIELDS = 100
MARK = re.compile(
    r"<(?:(?P<close>/?)(?P<name>[A-Za-z][A-Za-z0-9_.\-]{0,63})(?:\s[^<>]{0,1000}?)?\s{0,9}"
    r"(?P<empty>/?)>|!--.*?-->|!\[CDATA\[(?P<cdata>.*?)\]\]>|\?.*?\?>"
    r"|(?P<refused>!(?:DOCTYPE|ENTITY))|(?P<open>!--|!\[CDATA\[|\?))",
    re.DOTALL,
)
ENTITY = re.compile(r"&(?:(amp|lt|gt|nbsp|quot|apos)|#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6}));")
ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "nbsp": " ", "quot": '"', "apos": "'"}
DATE = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9]{2}){0,3}(?:\.[0-9]{1,6})?\s*(?:\[[^\]]{0,40}\]?)?"
)
AMOUNT = re.compile(r"[+-]?(?:[0-9]{1,18}(?:[.,][0-9]{0,10})?|[.,][0-9]{1,10})")
GROUPED = re.compile(
    r"[+-]?[0-9]{1,3}(?:(?:,[0-9]{3}){1,5}\.[0-9]{1,10}|(?:\.[0-9]{3}){1,5},[0-9]{1,10})"
)
CODE = re.compile(r"[A-Z]{3}")
BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
CHARSET = re.compile(rb"CHARSET\s*:\s*(UTF-?8|125[0-8]|ISO-?8859-1|8859-1)", re.IGNORECASE)
ENCODING = re.compile(rb"ENCODING\s*:\s*(UTF-?8|UNICODE)", re.IGNORECASE)
XML_ENCODING = re.compile(
    rb"""<\?xml[^>]{0,200}encoding\s*=\s*["'](UTF-?8|ISO-8859-\d{1,2}|WINDOWS-125\d)["']""",
    re.IGNORECASE,
)


class Tag(NamedTuple):
    """A tag, what stands behind it up to the next one, and its line."""

    name: str
    closing: bool
    text: str
    line: int


def looks_like(sample: bytes) -> bool:
    """Whether the file begins as OFX or QFX does."""
    start = sample[:8192].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if re.match(rb"OFXHEADER\s*:", start, re.IGNORECASE):
        return True
    return start[:1] == b"<" and bool(re.search(rb"<\?OFX\s|<OFX[\s>]", start, re.IGNORECASE))


def read(file: BinaryIO, sample: bytes, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields header, transactions and totals for each statement in the file."""
    encoding = _encoding(sample)
    text = io.TextIOWrapper(file, encoding=encoding)
    scanner = _Scanner(text)
    try:
        yield from _Reader(options).events(scanner.tags())
    except UnicodeError as error:
        message = f"Not readable as {encoding}: {getattr(error, 'reason', error)}."
        raise Malformed(scanner.line, "encoding", message) from None
    finally:
        with suppress(ValueError):  # when who reads gives up, the file may be closed already
            text.detach()


def _encoding(sample: bytes) -> str:
    """What the header says, unless the bytes show that it is wrong: banks often copy it."""
    found, _ = find_encoding(sample)
    if found.startswith("utf-16") or found == "utf-8-sig":
        return found
    if found == "utf-8" and not sample.isascii():
        return found
    head = sample[:2048]
    said = XML_ENCODING.search(head) or CHARSET.search(head)
    name = said[1].decode().lower() if said else "utf-8" if ENCODING.search(head) else ""
    if name.endswith("8859-1"):
        name = "1252"  # as everybody reads it
    name = f"cp{name}" if name.startswith("125") else name
    if name.startswith("utf"):
        return found  # "utf-8" if it is, and what its letters show if it is not
    with suppress(LookupError):
        return codecs.lookup(name).name if name else "cp1252" if sample.isascii() else found
    return found


def _character(found: re.Match[str]) -> str:
    name, decimal, hexadecimal = found.groups()
    if name:
        return ENTITIES[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000 or not number:
        return "\ufffd"
    return chr(number)


class _Scanner:
    """Cuts text into tags, however long its lines are."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text, self.line = text, 1
        self._name, self._closing, self._begin = "", False, 1
        self._parts: list[str] = []
        self._length = 0

    def tags(self) -> Iterator[Tag]:
        """Reads to the end of the file; text before the first tag comes as a tag without name."""
        rest = ""
        while chunk := self._text.read(CHUNK):
            buffer, at = rest + chunk, 0
            for mark in MARK.finditer(buffer):
                if mark["open"]:
                    break  # a comment or the like, whose end is in the next chunk
                self._take(buffer[at : mark.start()])
                yield from self._mark(mark)
                self.line += mark.group().count("\n")
                at = mark.end()
            rest = self._bounded(buffer[at:])
        if re.match(r"[^<]*<[/!?A-Za-z]", rest):
            raise Malformed(self.line, self._name, "The file ends within a tag.")
        self._take(rest)
        yield self._tag()

    def _bounded(self, rest: str) -> str:
        """What is not read yet: white space is done with, and a long rest is refused."""
        if not rest.strip():
            self.line += rest.count("\n")
            return ""
        if len(rest.strip()) + self._length > LONGEST or len(rest) > 4 * LONGEST:
            raise self._too_long()
        return rest

    def _too_long(self) -> Malformed:
        return Malformed(self._begin, self._name, f"It is longer than {LONGEST} characters.")

    def _take(self, text: str) -> None:
        if text.strip():
            self._keep(ENTITY.sub(_character, text) if "&" in text else text)
        self.line += text.count("\n")

    def _keep(self, text: str) -> None:
        self._length += len(text.strip())
        if self._length > LONGEST:
            raise self._too_long()
        self._parts.append(text)

    def _mark(self, mark: re.Match[str]) -> Iterator[Tag]:
        if mark["refused"]:
            raise Malformed(self.line, "", "A document type declaration is not allowed.")
        if mark["cdata"]:
            self._keep(mark["cdata"])
        elif mark["name"]:
            yield self._tag()
            self._name, self._closing = mark["name"].upper(), bool(mark["close"])
            self._begin = self.line
            if mark["empty"]:
                yield self._tag()
                self._closing = True

    def _tag(self) -> Tag:
        text = " ".join("".join(self._parts).split())
        self._parts, self._length = [], 0
        return Tag(self._name, self._closing, text, self._begin)


class _Reader:
    """Follows the tags of one file."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._stack: list[str] = []
        self._skipping = ""
        self._skipped: list[tuple[str, int]] = []
        self._header: dict[str, Any] = {}
        self._ledger: Ledger | None = None
        self._done: tuple[Ledger, Decimal | None] | None = None
        self._fields: dict[str, tuple[str, int]] = {}
        self._line: dict[str, tuple[str, int]] = {}
        self._begin = 0

    def events(self, tags: Iterator[Tag]) -> Iterator[dict[str, Any]]:
        """Reads to the last tag; totals wait until it is known what was passed over."""
        last = 0
        for tag in tags:
            last = tag.line
            if self._skipping:
                if tag.closing and tag.name == self._skipping:
                    self._skipping = ""
            elif tag.name in SKIPPED and not tag.closing:
                self._skipping = tag.name
                self._skipped.append((tag.name, tag.line))
            elif tag.name not in PLACES:
                self._leaf(tag)
            elif tag.closing:
                yield from self._close(tag)
            else:
                yield from self._open(tag)
        if open_tag := self._skipping or "".join(self._stack[-1:]):
            raise Malformed(last, open_tag, "The file ends before this tag is closed.")
        if self._done is None:
            raise Malformed(0, "OFX", "No bank or credit card statement is in this file.")
        yield from self._totals()

    def _totals(self) -> Iterator[dict[str, Any]]:
        if self._done is None:
            return
        (ledger, closing), self._done = self._done, None
        for name, line in self._skipped:
            code = "PENDING" if name == "BANKTRANLISTP" else "LEFT_OUT"
            what = "not booked" if code == "PENDING" else f"in {name}"
            ledger.warn(code, f"Lines that are {what} were left out.", line)
        self._skipped = []
        yield ledger.totals(None, closing)

    def _open(self, tag: Tag) -> Iterator[dict[str, Any]]:
        places, parent = PLACES[tag.name], self._stack[-1] if self._stack else ""
        inside = bool(self._stack) != (tag.name == "OFX")
        if not inside or (places and parent not in places) or tag.name in self._stack:
            raise Malformed(tag.line, tag.name, f"It is out of place within {parent or 'nothing'}.")
        if tag.text:
            raise Malformed(tag.line, tag.name, f"{tag.text[:40]!r} stands where tags belong.")
        if tag.name in STATEMENTS:
            yield from self._totals()
            self._fields, self._header, self._ledger = {}, {}, None
        elif tag.name in LINES:
            yield from self._header_once(tag.line)
            self._line, self._begin = {}, tag.line
        elif tag.name in ACCOUNTS and self._header:
            raise Malformed(tag.line, tag.name, "The account stands behind its lines.")
        self._stack.append(tag.name)

    def _close(self, tag: Tag) -> Iterator[dict[str, Any]]:
        if not self._stack or self._stack[-1] != tag.name:
            expected = f"</{self._stack[-1]}>" if self._stack else "no closing tag"
            raise Malformed(tag.line, tag.name, f"It is closed where {expected} is expected.")
        self._stack.pop()
        if tag.name in LINES:
            assert self._ledger is not None
            yield self._ledger.add(self._entry())
        elif tag.name in STATEMENTS:
            yield from self._header_once(tag.line)
            assert self._ledger is not None
            stated = self._fields.get("LEDGERBAL/BALAMT")
            closing = _amount(*stated, "LEDGERBAL/BALAMT") if stated else None
            self._done = (self._ledger, closing)

    def _leaf(self, tag: Tag) -> None:
        """Keeps the first value of a tag, by its path below the line or the statement."""
        if tag.closing or not tag.name:
            return
        if "STMTTRN" in self._stack:
            start, fields = self._stack.index("STMTTRN"), self._line
        elif at := [n for n, name in enumerate(self._stack) if name in STATEMENTS]:
            start, fields = at[0], self._fields
        elif tag.name in {"DTPOSTED", "TRNAMT", "CURDEF"}:
            raise Malformed(tag.line, tag.name, "It is out of place.")
        else:
            return
        if tag.name == "CURDEF" and self._header:
            raise Malformed(tag.line, "CURDEF", "The currency stands behind the lines.")
        if len(fields) >= MOST_FIELDS:
            raise Malformed(tag.line, tag.name, f"More than {MOST_FIELDS} tags in one place.")
        fields.setdefault("/".join((*self._stack[start + 1 :], tag.name)), (tag.text, tag.line))

    def _header_once(self, line: int) -> Iterator[dict[str, Any]]:
        """Before the first line everything of the header has been read."""
        if self._header:
            return
        account = self._stated("BANKACCTFROM/ACCTID", "CCACCTFROM/ACCTID")
        currency = self._stated("CURDEF").upper() or str(self._options.get("currency_code") or "")
        if not CODE.fullmatch(currency):
            at = self._fields.get("CURDEF", ("", line))[1]
            raise Malformed(at, "CURDEF", f"{currency[:40]!r} is not a currency code.")
        own = read_iban(account)
        known = own or "".join(str(self._options.get("account_iban") or "").split())
        bank = self._stated("BANKACCTFROM/BANKID").upper()
        first, last = (
            _date(*self._fields[path], path) if self._stated(path).strip("0") else ""
            for path in ("BANKTRANLIST/DTSTART", "BANKTRANLIST/DTEND")
        )
        self._header = statement_header(
            "OFX",
            from_date=first,
            to_date=last,
            account_iban=known,
            account_number="" if own else account,
            bank_bic=bank if BIC.fullmatch(bank) else "",
            currency_code=currency,
            explanation=["The file is OFX by its tags."],
        )
        self._ledger = Ledger(known or account)
        yield self._header

    def _stated(self, *paths: str) -> str:
        return next((self._fields[path][0] for path in paths if path in self._fields), "")

    def _text(self, *paths: str) -> str:
        """The text of the first path that has any."""
        return next((self._line[each][0] for each in paths if self._line.get(each, ("",))[0]), "")

    def _required(self, name: str) -> tuple[str, int, str]:
        value, line = self._line.get(name, ("", self._begin))
        if not value:
            raise Malformed(line, f"STMTTRN/{name}", "It is missing.")
        return value, line, f"STMTTRN/{name}"

    def _entry(self) -> dict[str, Any]:
        assert self._ledger is not None
        booking, amount = _date(*self._required("DTPOSTED")), _amount(*self._required("TRNAMT"))
        value = booking
        if self._text("DTAVAIL").strip("0"):
            value = _date(*self._line["DTAVAIL"], "STMTTRN/DTAVAIL")
        currency, kind = self._header["currency_code"], self._text("TRNTYPE").upper()
        if (other := self._text("CURRENCY/CURSYM").upper()) and other != currency:
            if not CODE.fullmatch(other):
                path = "CURRENCY/CURSYM"
                raise Malformed(self._line[path][1], f"STMTTRN/{path}", "It is no currency code.")
            message = f"The amount is in {other}, the account in {currency}."
            self._ledger.warn("OTHER_CURRENCY", message, self._begin)
        if self._text("CORRECTFITID"):
            self._ledger.warn("CORRECTION", "It corrects an earlier line.", self._begin)
        return transaction(
            line=self._begin,
            account_iban=self._header["account_iban"] or self._header["account_number"],
            booking_date=booking,
            value_date=value,
            amount=f"{amount:f}",
            currency_code=other or currency,
            counterparty_name=self._text("NAME", "PAYEE/NAME"),
            counterparty_iban=read_iban(self._text("BANKACCTTO/ACCTID")),
            remittance_text=self._remittance(),
            bank_reference=self._text("FITID"),
            type=kind,
            type_text=kind,
            original_currency_code=self._text("ORIGCURRENCY/CURSYM").upper(),
            exchange_rate=self._rate(),
        )

    def _rate(self) -> str | None:
        for path in ("ORIGCURRENCY/CURRATE", "CURRENCY/CURRATE"):
            if self._text(path):
                return f"{_amount(*self._line[path], f'STMTTRN/{path}'):f}"
        return None

    def _remittance(self) -> str:
        check, reference = self._text("CHECKNUM"), self._text("REFNUM")
        parts = (check and f"Check {check}", reference and f"Reference {reference}")
        return " ".join(filter(None, (self._text("MEMO"), *parts)))


def _date(text: str, line: int, field: str) -> str:
    """The day as written: the zone behind the time says where it was that day."""
    found = DATE.fullmatch(text)
    with suppress(ValueError):
        if found and 1970 <= int(found[1]) <= 2199:
            return date(int(found[1]), int(found[2]), int(found[3])).isoformat()
    raise Malformed(line, field, f"{text[:40]!r} is not a date.")


def _amount(text: str, line: int, field: str) -> Decimal:
    """A number with a comma or a point before its decimals; the other one may part thousands."""
    if GROUPED.fullmatch(text):
        text = text.replace("," if text.rfind(".") > text.rfind(",") else ".", "")
    elif not AMOUNT.fullmatch(text):
        raise Malformed(line, field, f"{text[:40]!r} is not an amount.")
    return Decimal(text.replace(",", "."))
