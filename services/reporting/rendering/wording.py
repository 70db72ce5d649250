"""What every format says in words: the days of a report, its currency, text that cannot harm."""

from typing import Any

from auditron.reporting.v1.reporting_pb2 import ReportTable

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
# A spreadsheet takes text that begins so for a formula.
_ACTIVE = ("=", "+", "-", "@", "\t", "\r", "\n")


def period(table: ReportTable) -> str:
    """Return the days that the report is about, "1 January 2026 to 31 March 2026"."""
    end = _day(table.end_date)
    return f"{_day(table.start_date)} to {end}" if table.HasField("start_date") else f"As of {end}"


def amounts_in(table: ReportTable) -> str:
    """Return the line that names currency and state of the ledger."""
    return f"Amounts in {table.currency_code}. Ledger up to entry {table.last_entry_number}."


def is_active(text: str) -> bool:
    """Whether a spreadsheet that reads the text would run it."""
    return text.startswith(_ACTIVE)


def printable(text: str) -> str:
    """Return the text in one line, without characters that no file format takes."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _day(day: Any) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
