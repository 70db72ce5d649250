"""Writes a report's table to a file: PDF, Excel or CSV. Pure, and run in a sandbox.

`python -m services.reporting.rendering TABLE.json OUT.pdf` writes one by hand.
"""

from auditron.reporting.v1.reporting_pb2 import ReportTable

from . import csv_file, pdf, workbook

_WRITERS = {"PDF": pdf.write, "XLSX": workbook.write, "CSV": csv_file.write}
FORMATS = tuple(_WRITERS)


def write(format_name: str, table: bytes) -> dict[str, bytes]:
    """Return {"file": bytes} in one of FORMATS; `table` is a serialized ReportTable.

    Raises KeyError for another format, ValueError for a table whose rows do not fit its columns.
    """
    parsed = ReportTable.FromString(table)
    if any(len(row.amounts) not in (0, len(parsed.columns)) for row in parsed.rows):
        raise ValueError("a row has other columns than the table")
    return {"file": _WRITERS[format_name](parsed)}
