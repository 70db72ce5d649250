"""Names of reports' files, and what they are."""

from datetime import date

from auditron.reporting.v1 import reporting_pb2
from auditron.reporting.v1.reporting_pb2 import Report, ReportFormat, ReportKind

from .requests import OF_ONE_DAY, to_date

CONTENT_TYPES = {
    reporting_pb2.REPORT_FORMAT_PDF: "application/pdf",
    reporting_pb2.REPORT_FORMAT_XLSX: (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    ),
    reporting_pb2.REPORT_FORMAT_CSV: "text/csv; charset=utf-8",
}


def start_of(report: Report) -> date | None:
    """Return the day on which a report begins; None for one that is of one day."""
    return None if report.kind in OF_ONE_DAY else to_date(report.start_date)


def filename(report: Report) -> str:
    """Return a name in plain ASCII, as "profit-and-loss_2026-01-01_2026-03-31.pdf"."""
    kind = ReportKind.Name(report.kind).removeprefix("REPORT_KIND_").lower().replace("_", "-")
    days = [day.isoformat() for day in (start_of(report), to_date(report.end_date)) if day]
    suffix = ReportFormat.Name(report.format).removeprefix("REPORT_FORMAT_").lower()
    return f"{'_'.join([kind, *days])}.{suffix}"


def blob_key(organization_id: str, report_id: str) -> str:
    """Return where a report's file lies."""
    return f"reports/{organization_id}/{report_id}"


def ids_in(key: str) -> tuple[str, str]:
    """Return organization_id and report_id of a file; "" where the key is of another form."""
    parts = key.split("/")
    return (parts[1], parts[2]) if len(parts) == 3 else ("", "")
