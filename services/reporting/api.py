"""Answers ReportingService."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
from auditron.reporting.v1 import reporting_pb2, reporting_pb2_grpc
from google.api.httpbody_pb2 import HttpBody

from libs.blobs import BlobNotFound, Blobs, BlobsUnavailable
from libs.jobs import enqueue
from libs.pg import Database, requests, uuid7
from libs.rpc import caller, check, encode_token, fitting, page_asked, page_of, uuid_or

from . import errors
from .rules import files, tables
from .rules import requests as rules
from .store import entries, figures, organizations, rejections, reports

Context = grpc.aio.ServicerContext[Any, Any]

LISTED_MAX = 1_000


class ReportingApi(reporting_pb2_grpc.ReportingServiceServicer):
    """The ledger and its reports."""

    def __init__(self, db: Database, blobs: Blobs) -> None:
        self._db = db
        self._blobs = blobs

    async def ListAccounts(
        self, request: reporting_pb2.ListAccountsRequest, context: Context
    ) -> reporting_pb2.ListAccountsResponse:
        found = await organizations.list_accounts(self._db, caller().organization_id)
        return reporting_pb2.ListAccountsResponse(accounts=found)

    async def CreateAccount(
        self, request: reporting_pb2.CreateAccountRequest, context: Context
    ) -> reporting_pb2.Account:
        check(rules.account_violations(request.account))
        organization_id, method = caller().organization_id, "CreateAccount"
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request.request_id, method, request, reporting_pb2.Account
            )
            if before is not None:
                return before
            # The chart comes with the ledger, and would leave out a code that is taken.
            await organizations.lock_ledger(tx, organization_id)
            await organizations.get_base_currency(tx)
            if await organizations.count_accounts(tx) >= rules.ACCOUNTS_MAX:
                raise errors.TooManyAccounts(f"A chart has at most {rules.ACCOUNTS_MAX} accounts.")
            account = await organizations.insert_account(tx, organization_id, request.account)
            await requests.remember(tx, organization_id, request.request_id, account)
        return account

    async def ListJournalEntries(
        self, request: reporting_pb2.ListJournalEntriesRequest, context: Context
    ) -> reporting_pb2.ListJournalEntriesResponse:
        size, filters, before = page_asked(request, int)
        found = await entries.list_entries(
            self._db,
            caller().organization_id,
            before,
            size + 1,
            account_code=request.account_code,
            source_type=request.source_type,
            source_id=request.source_id,
        )
        page, token = page_of(found, size, filters, lambda last: [last.number])
        return reporting_pb2.ListJournalEntriesResponse(journal_entries=page, next_page_token=token)

    async def GetJournalEntry(
        self, request: reporting_pb2.GetJournalEntryRequest, context: Context
    ) -> reporting_pb2.JournalEntry:
        fault = errors.JournalEntryNotFound("There is no such entry.")
        journal_entry_id = uuid_or(fault, request.journal_entry_id)
        return await entries.get_entry(self._db, caller().organization_id, journal_entry_id)

    async def ListPostingRejections(
        self, request: reporting_pb2.ListPostingRejectionsRequest, context: Context
    ) -> reporting_pb2.ListPostingRejectionsResponse:
        size, filters, before = page_asked(request, int)
        found = await rejections.list_rejections(
            self._db, caller().organization_id, before, size + 1
        )
        count = fitting([each for _, each in found], size)
        page = reporting_pb2.ListPostingRejectionsResponse(
            posting_rejections=[each for _, each in found[:count]]
        )
        if count < len(found):
            page.next_page_token = encode_token([found[count - 1][0]], filters)
        return page

    async def SetExchangeRate(
        self, request: reporting_pb2.SetExchangeRateRequest, context: Context
    ) -> reporting_pb2.ExchangeRate:
        rate, organization_id = request.exchange_rate, caller().organization_id
        request_id, actor = request.request_id, caller().actor
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request_id, "SetExchangeRate", request,
                reporting_pb2.ExchangeRate,
            )  # fmt: skip
            if before is not None:
                return before
            base = await organizations.get_base_currency(tx)
            check(rules.rate_violations(rate, base, datetime.now(UTC).date()))
            day = rules.to_date(rate.rate_date)
            assert day is not None, "checked above"
            # Whoever has just missed this rate has written down that it waits for it.
            await organizations.lock_ledger(tx, organization_id)
            await organizations.insert_exchange_rate(tx, organization_id, rate, day, actor)
            need = f"rate:{rate.currency_code}"
            await rejections.insert_posting(tx, organization_id, need, actor)
            await requests.remember(tx, organization_id, request_id, rate)
        return rate

    async def ListExchangeRates(
        self, request: reporting_pb2.ListExchangeRatesRequest, context: Context
    ) -> reporting_pb2.ListExchangeRatesResponse:
        if request.currency_code:
            check(rules.currency_violations("currency_code", request.currency_code))
        found = await organizations.list_exchange_rates(
            self._db, caller().organization_id, request.currency_code, LISTED_MAX
        )
        return reporting_pb2.ListExchangeRatesResponse(exchange_rates=found)

    async def QueryReport(
        self, request: reporting_pb2.QueryReportRequest, context: Context
    ) -> reporting_pb2.ReportTable:
        check(rules.report_violations(request.kind, request.start_date, request.end_date))
        start, end = rules.to_date(request.start_date), rules.to_date(request.end_date)
        assert end is not None, "checked above"
        rows = await figures.list_figures(
            self._db, caller().organization_id, tables.control_account(request.kind), start, end
        )
        return tables.table(request.kind, rows, start, end)

    async def CreateReport(
        self, request: reporting_pb2.CreateReportRequest, context: Context
    ) -> reporting_pb2.Report:
        check(rules.new_report_violations(request.report))
        organization_id, method = caller().organization_id, "CreateReport"
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request.request_id, method, request, reporting_pb2.Report
            )
            if before is not None:
                return before
            wanted = reporting_pb2.Report(
                report_id=uuid7(),
                kind=request.report.kind,
                format=request.report.format,
                filename=files.filename(request.report),
            )
            end = rules.to_date(request.report.end_date)
            assert end is not None, "checked above"
            report = await reports.insert_report(
                tx, organization_id, wanted, files.start_of(request.report), end
            )
            await enqueue(
                tx,
                "write_report",
                report,
                organization_id=organization_id,
                task_id=report.report_id,
                actor=caller().actor,
            )
            await requests.remember(tx, organization_id, request.request_id, report)
        return report

    async def GetReport(
        self, request: reporting_pb2.GetReportRequest, context: Context
    ) -> reporting_pb2.Report:
        return await self._report(request.report_id)

    async def ListReports(
        self, request: reporting_pb2.ListReportsRequest, context: Context
    ) -> reporting_pb2.ListReportsResponse:
        size, filters, before = page_asked(request, str)
        found = await reports.list_reports(self._db, caller().organization_id, before, size + 1)
        page, token = page_of(found, size, filters, lambda last: [last.report_id])
        return reporting_pb2.ListReportsResponse(reports=page, next_page_token=token)

    async def DownloadReport(
        self, request: reporting_pb2.DownloadReportRequest, context: Context
    ) -> AsyncIterator[HttpBody]:
        report = await self._report(request.report_id)
        if report.state != reporting_pb2.REPORT_STATE_READY:
            raise errors.ReportNotReady("The report's file is not there.")
        key = files.blob_key(caller().organization_id, report.report_id)
        content_type = files.CONTENT_TYPES[report.format]
        disposition = f'attachment; filename="{report.filename}"'
        is_first = True
        try:
            async for chunk in self._blobs.get_stream(key):
                if is_first:  # before that it may still fail
                    await context.send_initial_metadata((("content-disposition", disposition),))
                    is_first = False
                yield HttpBody(content_type=content_type, data=chunk)
        except (BlobNotFound, BlobsUnavailable):
            raise errors.ReportFileUnavailable("The file cannot be read.") from None

    async def _report(self, report_id: str) -> reporting_pb2.Report:
        fault = errors.ReportNotFound("There is no such report.")
        found = uuid_or(fault, report_id)
        return await reports.get_report(self._db, caller().organization_id, found)
