"""Writes reports to files in the sandbox, and sweeps files that no report names."""

import logging
from datetime import UTC, datetime, timedelta

from auditron.reporting.v1 import reporting_pb2
from auditron.reporting.v1.reporting_events_pb2 import ReportFailed, ReportReady
from auditron.reporting.v1.reporting_pb2 import Report, ReportFormat
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from libs.blobs import Blobs
from libs.events import append
from libs.jobs import Permanent, Task
from libs.pg import Database
from libs.rpc import is_uuid
from libs.sandbox import Sandbox, SandboxError, SandboxKilled

from ..rules.files import CONTENT_TYPES, blob_key, ids_in
from ..rules.requests import to_date
from ..rules.tables import control_account, table
from ..store import figures, reports

log = logging.getLogger(__name__)

WRITE_REPORT = "write_report"
NAMED_PAGE = 500
# What befalls a sandbox from outside, another attempt may be spared.
_PASSING = frozenset({"crash", "time"})


class Writer:
    """Writes reports."""

    def __init__(self, db: Database, blobs: Blobs, sandbox: Sandbox) -> None:
        self._db = db
        self._blobs = blobs
        self._sandbox = sandbox

    async def write(self, task: Task) -> None:
        """Write a report's file and say that it can be fetched; done again, it writes it anew.

        Raises Permanent for a report that cannot be written; other errors another attempt may mend.
        """
        organization_id = task.organization_id
        report_id = Report.FromString(task.payload).report_id
        report = await reports.get_report(self._db, organization_id, report_id)
        if report.state != reporting_pb2.REPORT_STATE_GENERATING:
            return
        data = await self._render(organization_id, report)
        key = blob_key(organization_id, report_id)
        await self._blobs.put_bytes(key, data, CONTENT_TYPES[report.format])
        await self._end(task, reporting_pb2.REPORT_STATE_READY, len(data))

    async def fail(self, task: Task, error: Exception) -> None:
        """Note that a report could not be written; other tasks have nothing to note."""
        if task.kind != WRITE_REPORT:
            return
        log.info("report failed", extra={"error": repr(error)})
        if isinstance(error, Permanent):
            status = Status(code=code_pb2.RESOURCE_EXHAUSTED, message=str(error))
        else:
            message = "The report could not be written; ask for it again."
            status = Status(code=code_pb2.UNAVAILABLE, message=message)
        await self._end(task, reporting_pb2.REPORT_STATE_FAILED, 0, status)

    async def _render(self, organization_id: str, report: Report) -> bytes:
        start, end = to_date(report.start_date), to_date(report.end_date)
        assert end is not None, "checked when it was created"
        rows = await figures.list_figures(
            self._db, organization_id, control_account(report.kind), start, end
        )
        made = table(report.kind, rows, start, end)
        try:
            answer = await self._sandbox.run(
                "services.reporting.rendering:write",
                ReportFormat.Name(report.format).removeprefix("REPORT_FORMAT_"),
                made.SerializeToString(),
            )
        except SandboxKilled as killed:
            if killed.reason in _PASSING:
                raise
            raise Permanent(f"The report is too large to be written: {killed.reason}.") from None
        except SandboxError as error:
            if error.kind == "StartFailed":
                raise
            log.exception("rendering failed", extra={"kind": error.kind})
            raise Permanent("The report could not be written.") from None
        data: bytes = answer["file"]
        return data

    async def _end(
        self, task: Task, state: int, size_bytes: int, failure: Status | None = None
    ) -> None:
        report_id = Report.FromString(task.payload).report_id
        async with self._db.tenant(task.organization_id) as tx:
            ended = await reports.end_report(tx, report_id, state, size_bytes, failure)
            if ended is None:
                return
            report, version = ended
            kind = ReportReady if state == reporting_pb2.REPORT_STATE_READY else ReportFailed
            await append(
                tx,
                organization_id=task.organization_id,
                aggregate_type="report",
                aggregate_id=report_id,
                aggregate_version=version,
                payload=kind(report=report),
                actor=task.actor,
            )


async def sweep_files(db: Database, blobs: Blobs, unnamed_for: timedelta) -> None:
    """Delete old files that no report names: a worker died, or the report failed after all."""
    before = datetime.now(UTC) - unnamed_for
    old: dict[str, list[str]] = {}
    async for blob in blobs.list("reports/"):
        organization_id, report_id = ids_in(blob.key)
        if blob.modify_time > before or not (is_uuid(organization_id) and is_uuid(report_id)):
            continue
        if old and (organization_id not in old or len(old[organization_id]) >= NAMED_PAGE):
            await _delete_unnamed(db, blobs, old)
            old = {}
        old.setdefault(organization_id, []).append(report_id)
    await _delete_unnamed(db, blobs, old)


async def _delete_unnamed(db: Database, blobs: Blobs, found: dict[str, list[str]]) -> None:
    for organization_id, report_ids in found.items():
        named = await reports.list_named(db, organization_id, report_ids)
        for report_id in report_ids:
            if report_id not in named:
                await blobs.delete(blob_key(organization_id, report_id))
