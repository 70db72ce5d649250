"""Reports that are written to files."""

from collections.abc import Sequence
from datetime import date

from auditron.reporting.v1 import reporting_pb2
from auditron.reporting.v1.reporting_pb2 import Report
from google.rpc.status_pb2 import Status

from libs.pg import Database, Tx
from libs.pg.rows import columns_of, to_message

from .. import errors

_REPORT = ", ".join(columns_of(Report))


async def insert_report(
    tx: Tx, organization_id: str, report: Report, start_date: date | None, end_date: date
) -> Report:
    """Add a report that is to be written."""
    row = await tx.fetchrow(
        f"""
        insert into reports
          (organization_id, report_id, state, kind, format, start_date, end_date, filename)
        values ($1, $2, $3, $4, $5, $6, $7, $8) returning {_REPORT}
        """,
        organization_id, report.report_id, reporting_pb2.REPORT_STATE_GENERATING, report.kind,
        report.format, start_date, end_date, report.filename,
    )  # fmt: skip
    return to_message(row, Report)


async def get_report(db: Database, organization_id: str, report_id: str) -> Report:
    """One report. Raises ReportNotFound."""
    rows = await db.read(
        organization_id,
        f"select {_REPORT} from reports where report_id = $1",
        report_id,
    )
    if not rows:
        raise errors.ReportNotFound("There is no such report.")
    return to_message(rows[0], Report)


async def list_reports(
    db: Database, organization_id: str, before: str | None, limit: int
) -> list[Report]:
    """Reports, newest first, older than that of an id."""
    rows = await db.read(
        organization_id,
        f"""
        select {_REPORT} from reports where $1::uuid is null or report_id < $1
        order by report_id desc limit $2
        """,
        before, limit,
    )  # fmt: skip
    return [to_message(row, Report) for row in rows]


async def end_report(
    tx: Tx, report_id: str, state: int, size_bytes: int, failure: Status | None
) -> tuple[Report, int] | None:
    """Note how the writing of a report ended; return it and its version, None if it had ended."""
    row = await tx.fetchrow(
        f"""
        update reports set state = $2, size_bytes = $3, failure = $4, version = version + 1
        where report_id = $1 and state = $5 returning {_REPORT}, version
        """,
        report_id, state, size_bytes, failure.SerializeToString() if failure else None,
        reporting_pb2.REPORT_STATE_GENERATING,
    )  # fmt: skip
    return (to_message(row, Report), row["version"]) if row else None


async def list_named(db: Database, organization_id: str, report_ids: Sequence[str]) -> set[str]:
    """Those of the reports whose file is wanted, or will be."""
    rows = await db.read(
        organization_id,
        "select report_id::text from reports where report_id = any($1::uuid[]) and state <> $2",
        report_ids, reporting_pb2.REPORT_STATE_FAILED,
    )  # fmt: skip
    return {row["report_id"] for row in rows}
