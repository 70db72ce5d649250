"""What a request must look like; each function returns what is wrong, or raises with it."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from auditron.reporting.v1 import reporting_pb2

from libs import money

NAME_LENGTH_MAX = 200
# Of one chart: it is listed as a whole, and stands as a whole in reports.
ACCOUNTS_MAX = 1_000
# Those that need no start_date: they say how things stand on one day.
OF_ONE_DAY = frozenset(
    {
        reporting_pb2.REPORT_KIND_BALANCE_SHEET,
        reporting_pb2.REPORT_KIND_PAYABLES_AGEING,
        reporting_pb2.REPORT_KIND_RECEIVABLES_AGEING,
    }
)

_CODE = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,19}", re.ASCII)
_RATE = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10})?", re.ASCII)

Violations = Sequence[tuple[str, str]]


def to_date(value: Any) -> date | None:
    """Return a google.type.Date as a date; None if it is no day."""
    try:
        return date(value.year, value.month, value.day)
    except ValueError:
        return None


def account_violations(account: reporting_pb2.Account) -> Violations:
    """What is wrong with an account that shall be added."""
    found = []
    if not _CODE.fullmatch(account.account_code):
        found.append(("account.account_code", "must be 1 to 20 letters, digits, points or hyphens"))
    name = account.display_name
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        found.append(("account.display_name", "must have 1 to 200 printable characters"))
    if account.type not in reporting_pb2.AccountType.values() or not account.type:
        found.append(("account.type", "must be an account type"))
    return found


def rate_violations(rate: reporting_pb2.ExchangeRate, base: str, today: date) -> Violations:
    """What is wrong with an exchange rate that shall be set."""
    found = currency_violations("exchange_rate.currency_code", rate.currency_code)
    if rate.currency_code == base:
        found = [("exchange_rate.currency_code", "must be another than that of the books")]
    day = to_date(rate.rate_date)
    if day is None or day > today:
        found = [*found, ("exchange_rate.rate_date", "must be a day that is not in the future")]
    if not _RATE.fullmatch(rate.rate) or not Decimal(rate.rate):
        wrong = "must be a number above 0 with up to 10 digits before and behind the point"
        found = [*found, ("exchange_rate.rate", wrong)]
    return found


def currency_violations(field: str, code: str) -> Violations:
    """What is wrong with a currency."""
    try:
        money.exponent(code)
    except money.UnknownCurrency:
        return [(field, "must be a currency of ISO 4217, as EUR")]
    return []


def report_violations(kind: int, start_date: Any, end_date: Any, prefix: str = "") -> Violations:
    """What is wrong with kind and dates of a report."""
    found = []
    if kind not in reporting_pb2.ReportKind.values() or not kind:
        found.append((f"{prefix}kind", "must be a kind of report"))
    end = to_date(end_date)
    if end is None:
        found.append((f"{prefix}end_date", "must be a day"))
    if kind in OF_ONE_DAY:
        return found
    start = to_date(start_date)
    if start is None:
        found.append((f"{prefix}start_date", "must be a day"))
    elif end is not None and start > end:
        found.append((f"{prefix}start_date", "must not be after end_date"))
    return found


def new_report_violations(report: reporting_pb2.Report) -> Violations:
    """What is wrong with a report that shall be written."""
    found = [*report_violations(report.kind, report.start_date, report.end_date, "report.")]
    if report.format not in reporting_pb2.ReportFormat.values() or not report.format:
        found.append(("report.format", "must be a format of reports"))
    return found
