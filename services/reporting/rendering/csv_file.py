"""A report as CSV (RFC 4180, UTF-8 with a byte order mark, so that Excel sees the encoding)."""

import csv
import io

from auditron.reporting.v1.reporting_pb2 import ReportTable

from .wording import is_active, printable

_KINDS = {
    ReportTable.Row.KIND_DETAIL: "detail",
    ReportTable.Row.KIND_HEADING: "heading",
    ReportTable.Row.KIND_TOTAL: "total",
}


def write(table: ReportTable) -> bytes:
    """Return the file: one line of column names, then one line for each row."""
    out = io.StringIO(newline="")
    lines = csv.writer(out, lineterminator="\r\n")
    columns = [f"{_text(column)} ({table.currency_code})" for column in table.columns]
    lines.writerow(["Row", "Account", "Name", *columns])
    for row in table.rows:
        amounts = row.amounts or [""] * len(columns)
        kind = _KINDS.get(row.kind, "")
        lines.writerow([kind, _text(row.account_code), _text(row.label), *amounts])
    return out.getvalue().encode("utf-8-sig")


def _text(text: str) -> str:
    """Return text that a spreadsheet does not run; amounts are numbers and need no such guard."""
    shown = printable(text)
    return f"'{shown}" if is_active(shown) or is_active(text) else shown
