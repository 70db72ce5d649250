"""The lines of one account's statement file, checked and cut to size for being kept."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from hashlib import blake2b
from typing import Any, BinaryIO

from stdnum import iban

from libs import money

from .faults import Malformed
from .opening import read_statement

# What a line is, in this order; amounts and dates as text.
COLUMNS = (
    "booking_date", "value_date", "amount", "currency_code", "counterparty_name",
    "counterparty_iban", "remittance_text", "end_to_end_id", "bank_reference", "fingerprint",
)  # fmt: skip
LENGTHS = {
    "counterparty_name": 200, "counterparty_iban": 50, "remittance_text": 2_000,
    "end_to_end_id": 100, "bank_reference": 100,
}  # fmt: skip
MOST_WARNINGS = 100
LONGEST_WARNING = 300
FIRST_DAY, LAST_DAY = "1950-01-01", "2199-12-31"
NOTHING = frozenset({"NOTPROVIDED", "NOT PROVIDED", "NOTAVAILABLE", "NONREF"})
SPACES = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233), " ")


def read_lines(
    source: str | int | bytes | BinaryIO, options: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yields {"lines": rows in the order of COLUMNS}, and at last {"end": what the file says}.

    `source` and `options` as for `read_statement`; of several accounts in the file only the lines
    of `account_iban` count, or without it those of the first. The end has format, layout (files of
    one layout write a line in the same way), balances, days, count and warnings. Raises Malformed,
    possibly after some lines: nothing is to be kept then.
    """
    file = _File(_plain(options.get("account_iban") or ""))
    for event in read_statement(source, options):
        if event["event"] == "header":
            file.begin(event)
        elif event["event"] == "totals":
            file.finish(event)
        elif lines := [file.line(each) for each in event["transactions"] if file.is_own(each)]:
            yield {"lines": lines}
    yield {"end": file.end()}


class _File:
    """What was seen so far of one file, which may hold several statements."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._given = bool(account)
        self._named = False  # the file names the account by its IBAN
        self._number = ""  # by which the file names the account, where that is no IBAN
        self._header: dict[str, Any] = {}
        self._format = self._layout = ""
        self._balances: list[tuple[str | None, str | None]] = []
        self._currency = ""
        self._days: list[str] = []
        self._warnings: list[str] = []
        self._count = 0
        self._foreign: dict[str, int] = {}

    def begin(self, header: dict[str, Any]) -> None:
        """Takes the header of the next statement."""
        self._header = header
        self._format = self._format or header["format"][:8].upper()
        titles = "\x1f".join(header.get("titles", ()))
        digest = blake2b(titles.encode(), digest_size=8).hexdigest() if titles else ""
        self._layout = self._layout or f"{header['format']} {digest}".strip()

    def is_own(self, line: Mapping[str, Any]) -> bool:
        """Whether a line is of the account that is wanted; others are counted."""
        account = _plain(line["account_iban"])
        own = self._is_own(account)
        if not own:
            self._foreign[account] = self._foreign.get(account, 0) + 1
        return own

    def _is_own(self, account: str) -> bool:
        """Whether an account is the wanted one; a number that is no IBAN may be it, if alone.

        Raises Malformed where the file names several such numbers and an IBAN is wanted.
        """
        if not account:
            return True
        if not self._given or iban.is_valid(account):
            self._account = self._account or account
            self._named = self._named or account == self._account
            if not (self._named and self._number and self._given):
                return account == self._account
        elif self._named:
            return False
        self._number = self._number or account
        if account != self._number:
            which = f"{self._number[:50]}, {account[:50]}"
            raise Malformed(
                0,
                "account",
                f"The file is of several accounts ({which}); which is meant is not clear.",
            )
        return True

    def line(self, line: dict[str, Any]) -> list[str]:
        """A line's values; raises Malformed for one that cannot be kept."""
        self._count += 1
        where = line["line"]
        amount, currency = _amount(line["amount"], line["currency_code"], where)
        for field in ("booking_date", "value_date"):
            if not FIRST_DAY <= line[field] <= LAST_DAY:
                raise Malformed(where, field, f"{line[field]} is out of range.")
        texts = {name: _text(line[name], length) for name, length in LENGTHS.items()}
        if texts["end_to_end_id"].upper() in NOTHING:
            texts["end_to_end_id"] = ""
        self._currency = self._currency or currency
        self._days += [line["booking_date"]]
        if len(self._days) > 1000:
            self._days = [min(self._days), max(self._days)]
        values = {**line, **texts, "amount": amount, "currency_code": currency}
        return [values[name] for name in COLUMNS]

    def finish(self, totals: Mapping[str, Any]) -> None:
        """Takes the totals of the statement that has ended."""
        number, account = (_plain(self._header[f"account_{name}"]) for name in ("number", "iban"))
        self._account = self._account or number or account
        # an IBAN there may be the wanted one, for the file names none
        if not (self._is_own(number) if number else account in ("", self._account)):
            if not totals["transaction_count"]:
                self._foreign.setdefault(number or account, 0)
            return
        currency = self._header["currency_code"] or self._currency
        opening, closing = (
            None if totals[name] is None else _amount(totals[name], currency, 0)[0]
            for name in ("opening_balance", "closing_balance")
        )
        before = self._balances[-1][1] if self._balances else None
        if before is not None and opening is not None and Decimal(before) != Decimal(opening):
            self._warn(f"One statement closes with {before}, the next one opens with {opening}.")
        self._balances.append((opening, closing))
        self._currency = self._currency or currency
        days = (self._header["from_date"], self._header["to_date"])
        self._days += [day for day in days if _is_day(day)]
        for each in totals["warnings"]:
            where = f"Line {each['line']}: " if each["line"] else ""
            self._warn(f"{where}{each['message']}")

    def end(self) -> dict[str, Any]:
        """What the file says as a whole; raises Malformed if it is another account's."""
        if self._foreign and not self._count and not self._balances:
            others = ", ".join(sorted(self._foreign))[:200]
            raise Malformed(0, "account", f"The file is of {others}, not of {self._account}.")
        for account, count in sorted(self._foreign.items())[:10]:
            self._warn(f"{count} lines of account {account} were left out.")
        return {
            "format": self._format,
            "layout": self._layout,
            "currency_code": self._currency,
            "opening_balance": self._balances[0][0] if self._balances else None,
            "closing_balance": self._balances[-1][1] if self._balances else None,
            "start_date": min(self._days, default=""),
            "end_date": max(self._days, default=""),
            "transaction_count": self._count,
            "warnings": self._warnings,
        }

    def _warn(self, message: str) -> None:
        if len(self._warnings) < MOST_WARNINGS:
            self._warnings.append(_text(message, LONGEST_WARNING))


def _plain(account: Any) -> str:
    return "".join(str(account).split()).upper()


def _amount(text: str, currency: str, line: int) -> tuple[str, str]:
    """The amount as Money has it, and its currency."""
    try:
        found = money.to_message(Decimal(text), currency)
    except money.UnknownCurrency:
        message = f"{currency[:40]!r} is not a currency." if currency else "It is not said."
        raise Malformed(line, "currency", message) from None
    except money.InvalidMoney:
        raise Malformed(line, "amount", f"{text[:40]} has too many digits.") from None
    return found.amount, found.currency_code


def _text(value: str, length: int) -> str:
    """One line of printable text, cut."""
    return " ".join(value.translate(SPACES).split())[:length].rstrip()


def _is_day(text: str) -> bool:
    try:
        return FIRST_DAY <= date.fromisoformat(text).isoformat() <= LAST_DAY
    except ValueError:
        return False
