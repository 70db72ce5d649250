"""Keeps count while a statement is read: fingerprints, sums, balances and what is odd."""

from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any

IDENTITY = (
    "booking_date", "currency_code", "counterparty_iban", "counterparty_name",
    "remittance_text", "end_to_end_id", "bank_reference",
)  # fmt: skip
# What a header and a line say where a format, or a file, does not; in this order.
_HEADER: dict[str, Any] = {
    **dict.fromkeys(("statement_id", "sequence_number", "create_time", "from_date", "to_date"), ""),
    **dict.fromkeys(("account_iban", "account_number", "account_name", "bank_bic"), ""),
    "currency_code": "",
    "opening_balance": None,
    "closing_balance": None,
}
_LINE: dict[str, Any] = {
    "line": 0,
    **dict.fromkeys(("account_iban", "booking_date", "value_date", "amount"), ""),
    **dict.fromkeys(("currency_code", "counterparty_name", "counterparty_iban"), ""),
    **dict.fromkeys(
        ("remittance_text", "end_to_end_id", "bank_reference", "type", "type_text"), ""
    ),
    "is_reversal": False,
    "original_amount": None,
    "original_currency_code": "",
    "exchange_rate": None,
    "charges": None,
    "balance": None,
}
MOST_WARNINGS = 100
# So many different lines are remembered to tell equal ones apart; then the oldest days go.
MOST_REMEMBERED = 1_000_000


def statement_header(form: str, **said: Any) -> dict[str, Any]:
    """The event that begins a statement: what the file says of it, by the names above."""
    return {"event": "header", "format": form, **_HEADER, "columns": {}, "explanation": []} | said


def transaction(**said: Any) -> dict[str, Any]:
    """A transaction as the readers hand it out; amounts and days as text."""
    return {**_LINE, "details": []} | said


class Ledger:
    """What has been read of one statement so far."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._seen: OrderedDict[str, dict[bytes, int]] = OrderedDict()
        self._remembered = 0
        self._warnings: list[dict[str, Any]] = []
        self.count = 0
        self.total = Decimal(0)
        self.credits, self.debits = Decimal(0), Decimal(0)
        self.first_date, self.last_date = "", ""

    def fingerprint(self, transaction: Mapping[str, Any]) -> str:
        """The same for the same line in any statement; other for the next equal one of a day.

        Spacing and letter case of texts do not count: exports of one bank differ in them.
        """
        identity = [str(transaction.get("account_iban") or self._account)]
        identity += ["".join(str(transaction[name]).split()).casefold() for name in IDENTITY]
        # 12.0 and 12.00 are one amount, whatever a bank's export of the day prefers.
        identity.append(str(Decimal(transaction["amount"]).normalize()))
        digest = blake2b("\x1f".join(identity).encode(), digest_size=16).digest()
        day = self._seen.setdefault(transaction["booking_date"], {})
        self._seen.move_to_end(transaction["booking_date"])
        occurrence = day.get(digest, 0)
        self._remembered += not occurrence
        day[digest] = occurrence + 1
        while self._remembered > MOST_REMEMBERED and len(self._seen) > 1:
            self._remembered -= len(self._seen.popitem(last=False)[1])
        if not occurrence:
            return digest.hex()
        return blake2b(digest + str(occurrence).encode(), digest_size=16).hexdigest()

    def add(self, transaction: dict[str, Any]) -> dict[str, Any]:
        """Counts a transaction in and gives it its fingerprint."""
        amount = Decimal(transaction["amount"])
        self.count += 1
        self.total += amount
        if amount > 0:
            self.credits += amount
        else:
            self.debits += amount
        day = transaction["booking_date"]
        self.first_date = min(self.first_date or day, day)
        self.last_date = max(self.last_date, day)
        return {**transaction, "fingerprint": self.fingerprint(transaction)}

    def warn(self, code: str, message: str, line: int = 0) -> None:
        """Notes something odd; only the first hundred are kept."""
        if len(self._warnings) < MOST_WARNINGS:
            self._warnings.append({"code": code, "message": message, "line": line})

    def totals(self, opening: Decimal | None, closing: Decimal | None) -> dict[str, Any]:
        """The closing event: counts, sums, and whether opening + lines = closing."""
        difference = None
        if opening is not None and closing is not None:
            difference = closing - opening - self.total
            if difference:
                self.warn(
                    "BALANCE_DIFFERENCE",
                    f"Opening balance {opening} and lines of {self.total} give "
                    f"{opening + self.total}, but the closing balance is {closing}.",
                )
        return {
            "event": "totals",
            "transaction_count": self.count,
            "total": str(self.total),
            "credits": str(self.credits),
            "debits": str(self.debits),
            "first_date": self.first_date,
            "last_date": self.last_date,
            "opening_balance": None if opening is None else str(opening),
            "closing_balance": None if closing is None else str(closing),
            "adds_up": None if difference is None else not difference,
            "difference": None if difference is None else str(difference),
            "warnings": self._warnings,
        }
