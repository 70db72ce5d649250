"""CSV of any bank, line by line."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, BinaryIO

from stdnum import iban

from .columns import plain_title
from .dialect import PENDING, Dialect, amount_of, cell, cell_amount, find_dialect
from .faults import Malformed
from .ledger import Ledger, statement_header, transaction
from .values import read_date

SAMPLE_BYTES = 1 << 18


def read(file: BinaryIO, sample: bytes, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the header, the transactions and the totals of the one statement in the file."""
    dialect = find_dialect(sample, options, whole=len(sample) < SAMPLE_BYTES)
    account = dialect.account_iban or str(options.get("account_iban") or "")
    yield _header(dialect, account)
    table = _Table(dialect, Ledger(account), account)
    yield from table.lines(file)
    yield table.totals()


def _header(dialect: Dialect, account: str) -> dict[str, Any]:
    known = iban.is_valid(account)
    return statement_header(
        "csv",
        account_iban=account if known else "",
        account_number="" if known else account,
        currency_code=dialect.currency_code,
        encoding=dialect.encoding,
        delimiter=dialect.delimiter,
        date_style=dialect.date_style,
        decimal_mark=dialect.decimal_mark,
        titles=list(dialect.titles),
        columns={role: [n + 1 for n in several] for role, several in dialect.roles.items()},
        explanation=list(dialect.explanation),
    )


class _Table:
    """Reads the lines of one table and follows its running balance."""

    def __init__(self, dialect: Dialect, ledger: Ledger, account: str) -> None:
        self._dialect, self._ledger, self._account = dialect, ledger, account
        self._several = False
        self._opening: Decimal | None = None
        self._closing: Decimal | None = None
        self._before: tuple[Decimal, Decimal] | None = None
        self._strange: tuple[int, str] | None = None
        self._pending = 0

    def lines(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        """The transactions; raises Malformed at the first line that is none."""
        text = io.TextIOWrapper(file, encoding=self._dialect.encoding, newline="")
        reader = csv.reader(text, delimiter=self._dialect.delimiter)
        line = 1
        try:
            for row in reader:
                if line >= self._dialect.first_line and any(map(str.strip, row)):
                    transaction = self._line(row, line)
                    if transaction:
                        yield self._ledger.add(transaction)
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            message = (
                f"Not readable as {self._dialect.encoding}: byte {error.object[error.start]:#x}."
            )
            raise Malformed(line, "encoding", message) from None
        except csv.Error as error:
            raise Malformed(line, "", f"Not readable as CSV: {error}.") from None
        finally:
            text.detach()

    def _line(self, row: Sequence[str], line: int) -> dict[str, Any] | None:
        dialect = self._dialect
        day, amount = cell(dialect, row, "booking_date"), amount_of(dialect, row)
        if self._is_pending(row):
            self._pending += 1
            return None
        if len(row) < dialect.width / 2 or (not day and amount is None):
            # What stands below the last line, e.g. a closing balance; above a line it is an error.
            self._strange = self._strange or (line, dialect.delimiter.join(row)[:80])
            return None
        if self._strange:
            where, what = self._strange
            raise Malformed(where, "", f"{what!r} is not a line of this table.")
        booking = self._date(day, "booking_date", line)
        if amount is None:
            role = "amount" if "amount" in dialect.roles else "debit"
            raise Malformed(line, "amount", f"{cell(dialect, row, role)[:40]!r} is not an amount.")
        value = cell(dialect, row, "value_date")
        fee = cell_amount(dialect, row, "fee")
        if dialect.fee_is_extra and fee:
            amount -= abs(fee)
        return transaction(
            line=line,
            account_iban=self._own_account(row, line),
            booking_date=booking,
            value_date=self._date(value, "value_date", line) if value else booking,
            amount=f"{amount:f}",
            currency_code=cell(dialect, row, "currency").upper() or dialect.currency_code,
            **self._texts(row, amount),
            original_amount=self._plain(row, "original_amount"),
            original_currency_code=cell(dialect, row, "original_currency").upper(),
            exchange_rate=self._plain(row, "exchange_rate"),
            charges=f"{abs(fee):f}" if fee else None,
            balance=self._balance(row, amount, line),
        )

    def _own_account(self, row: Sequence[str], line: int) -> str:
        """The account that the line names; a second one in a file is worth a warning."""
        account = "".join(cell(self._dialect, row, "account").split()) or self._account
        if self._account and account != self._account and not self._several:
            self._several = True
            message = f"The file holds lines of {self._account} and of {account}."
            self._ledger.warn("SEVERAL_ACCOUNTS", message, line)
        return account

    def _is_pending(self, row: Sequence[str]) -> bool:
        return plain_title(cell(self._dialect, row, "status")).replace(" ", "_") in PENDING

    def _date(self, text: str, field: str, line: int) -> str:
        found = read_date(text, self._dialect.date_style)
        if found is None:
            style = self._dialect.date_style
            raise Malformed(line, field, f"{text[:40]!r} is not a date in the order {style}.")
        return found.isoformat()

    def _plain(self, row: Sequence[str], role: str) -> str | None:
        found = cell_amount(self._dialect, row, role)
        return None if found is None else f"{found:f}"

    def _texts(self, row: Sequence[str], amount: Decimal) -> dict[str, Any]:
        dialect = self._dialect
        side = "payer_name" if amount > 0 else "payee_name"
        texts = [row[n].strip() for n in dialect.roles.get("remittance_text", ()) if n < len(row)]
        account = cell(dialect, row, "counterparty_iban")
        type_text = cell(dialect, row, "type")
        return {
            "counterparty_name": cell(dialect, row, side)
            or cell(dialect, row, "counterparty_name"),
            "counterparty_iban": "".join(account.split()),
            "remittance_text": " ".join(" ".join(filter(None, texts)).split()),
            "end_to_end_id": cell(dialect, row, "end_to_end_id"),
            "bank_reference": cell(dialect, row, "bank_reference"),
            "type": type_text,
            "type_text": type_text,
        }

    def _balance(self, row: Sequence[str], amount: Decimal, line: int) -> str | None:
        """The balance stated on this line, checked against the line before."""
        stated = cell_amount(self._dialect, row, "balance")
        if stated is None or not self._dialect.balance_holds:
            return None if stated is None else f"{stated:f}"
        newest = self._dialect.newest_first
        if self._before is None:
            self._opening, self._closing = stated - amount, stated
        else:
            balance, moved = self._before
            expected = balance - moved if newest else balance + amount
            if expected != stated:
                self._ledger.warn(
                    "BALANCE_GAP",
                    f"The balance should be {expected} here and is {stated}: "
                    f"lines of {abs(stated - expected)} are missing or double.",
                    line,
                )
            if newest:
                self._opening = stated - amount
            else:
                self._closing = stated
        self._before = (stated, amount)
        return f"{stated:f}"

    def totals(self) -> dict[str, Any]:
        """The closing event."""
        if self._strange:
            self._ledger.warn("FOOTER", f"Left out: {self._strange[1]!r}.", self._strange[0])
        if self._pending:
            self._ledger.warn(
                "PENDING", f"{self._pending} lines that are not booked were left out."
            )
        return self._ledger.totals(self._opening, self._closing)
