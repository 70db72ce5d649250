"""Every RPC of ReportingService, over real gRPC."""

import csv
import importlib.resources
import io
import json

import grpc
import openpyxl
import pypdfium2
import pytest
from auditron.event.v1 import event_pb2, event_pb2_grpc
from auditron.reporting.v1 import reporting_events_pb2, reporting_pb2, reporting_pb2_grpc

from libs.pg import uuid7
from libs.rpc import reason_of
from libs.testkit import eventually
from services.reporting import errors

KINDS = reporting_pb2.ReportKind
FORMATS = reporting_pb2.ReportFormat
Stub = reporting_pb2_grpc.ReportingServiceStub
Entries = reporting_pb2.ListJournalEntriesRequest


async def refused(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


def reading(client, report_id: str):
    return client.GetReport(reporting_pb2.GetReportRequest(report_id=report_id))


async def written(books, made, kind: str, file_format: str) -> reporting_pb2.Report:
    wanted = reporting_pb2.Report(
        kind=KINDS.Value(f"REPORT_KIND_{kind}"),
        format=FORMATS.Value(f"REPORT_FORMAT_{file_format}"),
        start_date=made.day("2026-01-01"),
        end_date=made.day("2026-03-31"),
    )
    report = await books.client.CreateReport(reporting_pb2.CreateReportRequest(report=wanted))
    assert report.state == reporting_pb2.REPORT_STATE_GENERATING
    return await eventually(
        lambda: reading(books.client, report.report_id),
        lambda found: found.state != reporting_pb2.REPORT_STATE_GENERATING,
    )


async def downloaded(client, report_id: str) -> tuple[bytes, str, str]:
    call = client.DownloadReport(reporting_pb2.DownloadReportRequest(report_id=report_id))
    parts = [part async for part in call]
    metadata = dict(await call.initial_metadata())
    return b"".join(p.data for p in parts), parts[0].content_type, metadata["content-disposition"]


async def test_a_new_ledger_has_a_chart(books):
    accounts = (await books.client.ListAccounts(reporting_pb2.ListAccountsRequest())).accounts
    codes = [account.account_code for account in accounts]
    assert codes == sorted(codes)
    assert {"1200", "1400", "1600", "1800", "3806", "4400", "6300", "6855"} <= set(codes)


async def test_an_account_is_added_once(books, made):
    account = reporting_pb2.Account(account_code="6999", display_name="Tea", type=5)
    request = reporting_pb2.CreateAccountRequest(account=account)
    assert await books.client.CreateAccount(request) == account
    assert await refused(books.client.CreateAccount(request)) == "ACCOUNT_EXISTS"
    bill = made.invoice(account_code="6999")
    await books.approve(bill)
    assert made.amounts(await books.entry(bill))["6999"] == 100


async def test_a_request_id_makes_one_account(books):
    account = reporting_pb2.Account(account_code="6997", display_name="Tea", type=5)
    request = reporting_pb2.CreateAccountRequest(account=account, request_id=uuid7())
    assert await books.client.CreateAccount(request) == account
    assert await books.client.CreateAccount(request) == account
    request.account.display_name = "Coffee"
    assert await refused(books.client.CreateAccount(request)) == "REQUEST_ID_REUSED"


async def test_a_chart_has_at_most_so_many_accounts(reporting, books):
    async with reporting.runtime.db.tenant(books.organization_id) as tx:
        await tx.execute(
            """
            insert into accounts select $1, 'X' || n, 'Account', 5
            from generate_series(1, 1000 - (select count(*) from accounts)) n
            """,
            books.organization_id,
        )
    account = reporting_pb2.Account(account_code="6996", display_name="Tea", type=5)
    request = reporting_pb2.CreateAccountRequest(account=account)
    assert await refused(books.client.CreateAccount(request)) == "TOO_MANY_ACCOUNTS"
    listed = await books.client.ListAccounts(reporting_pb2.ListAccountsRequest())
    assert len(listed.accounts) == 1000


@pytest.mark.parametrize(
    "changes",
    [{"account_code": ""}, {"account_code": "a b"}, {"account_code": "1" * 21}, {"type": 0},
     {"type": 9}, {"display_name": " "}, {"display_name": "x" * 201}, {"display_name": "a\nb"}],
)  # fmt: skip
async def test_a_wrong_account_is_refused(books, changes):
    account = {"account_code": "6998", "display_name": "Tea", "type": 5} | changes
    call = books.client.CreateAccount(reporting_pb2.CreateAccountRequest(account=account))
    assert await refused(call) == "INVALID_ARGUMENT"


async def test_entries_are_listed_by_page_newest_first(books, made):
    await books.approve(*(made.invoice() for _ in range(5)))
    await books.entries(5)
    page = await books.client.ListJournalEntries(Entries(page_size=2))
    assert [entry.number for entry in page.journal_entries] == [5, 4]
    token = page.next_page_token
    page = await books.client.ListJournalEntries(Entries(page_size=3, page_token=token))
    assert [entry.number for entry in page.journal_entries] == [3, 2, 1]
    assert page.next_page_token == ""
    assert all(len(entry.postings) == 3 for entry in page.journal_entries)
    other = Entries(page_size=2, page_token=token, account_code="1600")
    assert await refused(books.client.ListJournalEntries(other)) == "PAGE_TOKEN_INVALID"
    assert await refused(books.client.ListJournalEntries(Entries(page_token="x"))) == (
        "PAGE_TOKEN_INVALID"
    )
    assert await refused(books.client.ListJournalEntries(Entries(page_size=-1))) == (
        "INVALID_ARGUMENT"
    )


async def test_entries_are_found_by_account_and_source(books, made):
    bill, claim = made.invoice(), made.invoice(direction=made.RECEIVABLE, account_code="")
    await books.approve(bill, claim)
    await books.entries(2)
    assert [e.source_id for e in await books.entries(account_code="3806")] == [claim.invoice_id]
    assert [e.number for e in await books.entries(source_type="invoice")] == [1, 2]
    found = await books.entries(source_id=bill.invoice_id, account_code="1600")
    assert [e.source_id for e in found] == [bill.invoice_id]
    assert await books.entries(source_id="nothing") == []


async def test_an_entry_is_read_by_its_id(books, made):
    await books.approve(made.invoice())
    [entry] = await books.entries(1)
    get = reporting_pb2.GetJournalEntryRequest
    found = await books.client.GetJournalEntry(get(journal_entry_id=entry.journal_entry_id))
    assert found == entry
    for unknown in (uuid7(), "x", ""):
        call = books.client.GetJournalEntry(get(journal_entry_id=unknown))
        assert await refused(call) == "JOURNAL_ENTRY_NOT_FOUND"


async def test_rates_are_set_and_listed(books, made):
    await books.set_rate("USD", "2026-01-10", "0.9")
    await books.set_rate("USD", "2026-01-11", "0.95")
    await books.set_rate("GBP", "2026-01-10", "1.1")
    await books.set_rate("USD", "2026-01-10", "0.91")
    request = reporting_pb2.ListExchangeRatesRequest
    listed = (await books.client.ListExchangeRates(request())).exchange_rates
    assert [(rate.currency_code, rate.rate_date.day, rate.rate) for rate in listed] == [
        ("USD", 11, "0.95"), ("GBP", 10, "1.1"), ("USD", 10, "0.91"),
    ]  # fmt: skip
    listed = (await books.client.ListExchangeRates(request(currency_code="GBP"))).exchange_rates
    assert len(listed) == 1
    call = books.client.ListExchangeRates(request(currency_code="gbp"))
    assert await refused(call) == "INVALID_ARGUMENT"
    assert await refused(books.set_rate("EUR", "2026-01-10", "1")) == "INVALID_ARGUMENT"


async def test_before_the_ledger_is_open_it_says_so(reporting, producers, made):
    books = made.Books(reporting, producers)
    assert await refused(books.report(2)) == "LEDGER_NOT_READY"
    assert await refused(books.set_rate("USD", "2026-01-10", "1")) == "LEDGER_NOT_READY"
    account = reporting_pb2.Account(account_code="1800", display_name="Tea", type=5)
    request = reporting_pb2.CreateAccountRequest(account=account, request_id=uuid7())
    assert await refused(books.client.CreateAccount(request)) == "LEDGER_NOT_READY"
    await books.create()
    await books.opened()
    assert await refused(books.client.CreateAccount(request)) == "ACCOUNT_EXISTS"


async def test_a_request_id_sets_one_rate(reporting, books, made):
    rate = {"currency_code": "USD", "rate_date": made.day("2026-01-10"), "rate": "0.9"}
    request = reporting_pb2.SetExchangeRateRequest(exchange_rate=rate, request_id=uuid7())
    first = await books.client.SetExchangeRate(request)
    assert await books.client.SetExchangeRate(request) == first
    async with reporting.runtime.db.tenant(books.organization_id) as tx:
        assert await tx.fetchval("select count(*) from exchange_rates") == 1
    request.exchange_rate.rate = "0.8"
    assert await refused(books.client.SetExchangeRate(request)) == "REQUEST_ID_REUSED"


async def test_rejections_are_listed_by_page_newest_first(books, made):
    bills = [made.in_currency("USD", "10.00") for _ in range(3)]
    for number, bill in enumerate(bills):
        await books.approve(bill)
        await books.rejections(number + 1)
    request = reporting_pb2.ListPostingRejectionsRequest(page_size=2)
    page = await books.client.ListPostingRejections(request)
    seen = [each.source_id for each in page.posting_rejections]
    request.page_token = page.next_page_token
    page = await books.client.ListPostingRejections(request)
    seen += [each.source_id for each in page.posting_rejections]
    assert seen == [bill.invoice_id for bill in reversed(bills)]
    assert page.next_page_token == ""
    request.page_token = "x"
    assert await refused(books.client.ListPostingRejections(request)) == "PAGE_TOKEN_INVALID"


async def test_every_report_is_answered_as_a_table(books, made):
    bill = made.invoice()
    late = made.in_currency("EUR", "50.00", due_date=made.day("2026-02-28"))
    claim = made.invoice(direction=made.RECEIVABLE, account_code="")
    await books.approve(bill, late, claim)
    await books.entries(3)
    await books.confirm(made.match((bill, "100.00")))
    await books.entries(4)
    tables = {kind: await books.report(kind, "2026-03-31") for kind in KINDS.values()[1:]}
    assert all(table.last_entry_number == 4 for table in tables.values())
    assert all(table.organization_name == "Acme AG" for table in tables.values())
    assert list(tables[1].rows[-1].amounts) == ["-50.00"]
    assert tables[1].rows[-1].label == "Loss"
    assert tables[2].rows[-1].amounts == ["38.00"]
    assert tables[3].rows[-1].amounts == ["0.00", "388.00", "388.00", "0.00"]
    [payables, _] = tables[4].rows
    assert payables.label == "Müller GmbH"
    assert payables.amounts == ["0.00", "0.00", "69.00", "0.00", "0.00", "69.00"]
    assert tables[5].rows[0].label == "Zażółć Sp. z o.o."
    earlier = await books.report(reporting_pb2.REPORT_KIND_PAYABLES_AGEING, "2026-01-15")
    assert earlier.rows[0].amounts == ["169.00", "0.00", "0.00", "0.00", "0.00", "169.00"]
    before = await books.report(reporting_pb2.REPORT_KIND_BALANCE_SHEET, "2025-12-31")
    assert before.rows[-1].amounts == ["0.00"]
    opening = await books.report(reporting_pb2.REPORT_KIND_TRIAL_BALANCE, start="2026-02-01")
    assert opening.rows[0].amounts[0] == opening.rows[0].amounts[3] != "0.00"


@pytest.mark.parametrize(
    ("kind", "start", "end"),
    [(0, "2026-01-01", "2026-01-31"), (99, "2026-01-01", "2026-01-31"), (1, None, "2026-01-31"),
     (3, "2026-02-01", "2026-01-31")],
)  # fmt: skip
async def test_a_wrong_query_is_refused(books, kind, start, end):
    assert await refused(books.report(kind, end, start)) == "INVALID_ARGUMENT"


async def test_a_query_without_end_or_with_no_day_is_refused(books):
    query = reporting_pb2.QueryReportRequest(kind=2)
    assert await refused(books.client.QueryReport(query)) == "INVALID_ARGUMENT"
    query.end_date.year, query.end_date.month, query.end_date.day = 2026, 2, 30
    assert await refused(books.client.QueryReport(query)) == "INVALID_ARGUMENT"


async def test_a_report_is_written_as_pdf(books, made):
    await books.approve(made.invoice())
    await books.entries(1)
    report = await written(books, made, "TRIAL_BALANCE", "PDF")
    assert report.state == reporting_pb2.REPORT_STATE_READY
    data, content_type, disposition = await downloaded(books.client, report.report_id)
    assert (len(data), content_type) == (report.size_bytes, "application/pdf")
    assert disposition == 'attachment; filename="trial-balance_2026-01-01_2026-03-31.pdf"'
    text = pypdfium2.PdfDocument(data)[0].get_textpage().get_text_bounded()
    assert "Acme AG" in text
    assert "Trade payables" in text


async def test_a_report_is_written_as_workbook_and_as_csv(books, made):
    await books.approve(made.invoice())
    await books.entries(1)
    report = await written(books, made, "PAYABLES_AGEING", "XLSX")
    data, _, _ = await downloaded(books.client, report.report_id)
    sheet = openpyxl.load_workbook(io.BytesIO(data)).active
    assert [cell.value for cell in sheet[7]][0::6] == ["Müller GmbH", 119]
    report = await written(books, made, "PAYABLES_AGEING", "CSV")
    assert report.filename == "payables-ageing_2026-03-31.csv"
    data, content_type, _ = await downloaded(books.client, report.report_id)
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    assert rows[1][2] == "Müller GmbH"
    assert content_type == "text/csv; charset=utf-8"


async def test_a_finished_report_is_told_of(reporting, books, made):
    report = await written(books, made, "BALANCE_SHEET", "CSV")
    log = reporting.service_client(event_pb2_grpc.EventLogServiceStub, "agent")
    request = event_pb2.ListEventsRequest(
        partition=int(books.organization_id[-1], 16), page_size=1000
    )

    async def facts():
        events = (await log.ListEvents(request)).events
        return [e for e in events if e.organization_id == books.organization_id]

    [event] = await eventually(facts)
    fact = reporting_events_pb2.ReportReady()
    assert event.payload.Unpack(fact)
    assert fact.report == report
    assert (event.aggregate_type, event.aggregate_id) == ("report", report.report_id)
    assert event.actor.startswith("user:")


async def test_the_same_request_makes_one_report(books, made):
    request = reporting_pb2.CreateReportRequest(request_id=uuid7())
    request.report.kind, request.report.format = 2, 3
    request.report.end_date.CopyFrom(made.day("2026-01-31"))
    first = await books.client.CreateReport(request)
    assert await books.client.CreateReport(request) == first
    request.report.format = 1
    assert await refused(books.client.CreateReport(request)) == "REQUEST_ID_REUSED"
    listed = await books.client.ListReports(reporting_pb2.ListReportsRequest())
    assert [report.report_id for report in listed.reports] == [first.report_id]


@pytest.mark.parametrize(
    "changes", [{"kind": 0}, {"kind": 77}, {"format": 0}, {"format": 9}, {"end_date": None}]
)
async def test_a_wrong_report_is_refused(books, made, changes):
    request = reporting_pb2.CreateReportRequest()
    fields = {"kind": 2, "format": 1, "end_date": made.day("2026-01-31")} | changes
    request.report.CopyFrom(reporting_pb2.Report(**fields))
    assert await refused(books.client.CreateReport(request)) == "INVALID_ARGUMENT"


async def test_reports_are_listed_by_page_newest_first(books, made):
    ids = [(await written(books, made, "BALANCE_SHEET", "CSV")).report_id for _ in range(3)]
    listing = reporting_pb2.ListReportsRequest
    page = await books.client.ListReports(listing(page_size=2))
    assert [report.report_id for report in page.reports] == ids[:0:-1]
    page = await books.client.ListReports(listing(page_size=2, page_token=page.next_page_token))
    assert [report.report_id for report in page.reports] == ids[:1]
    assert page.next_page_token == ""


async def test_a_report_that_is_not_ready_cannot_be_downloaded(reporting, books):
    report_id = uuid7()
    async with reporting.runtime.db.tenant(books.organization_id) as tx:
        await tx.execute(
            """
            insert into reports (organization_id, report_id, state, kind, format, end_date)
            values ($1, $2, 1, 2, 3, '2026-01-01')
            """,
            books.organization_id, report_id,
        )  # fmt: skip
    assert await refused(downloaded(books.client, report_id)) == "REPORT_NOT_READY"
    async with reporting.runtime.db.tenant(books.organization_id) as tx:
        await tx.execute("update reports set state = 2 where report_id = $1", report_id)
    assert await refused(downloaded(books.client, report_id)) == "REPORT_FILE_UNAVAILABLE"


async def test_others_reports_and_entries_are_as_unknown_ones(reporting, books, made):
    await books.approve(made.invoice())
    [entry] = await books.entries(1)
    report = await written(books, made, "BALANCE_SHEET", "CSV")
    other = reporting.client(Stub)
    get = reporting_pb2.GetJournalEntryRequest(journal_entry_id=entry.journal_entry_id)
    assert await refused(other.GetJournalEntry(get)) == "JOURNAL_ENTRY_NOT_FOUND"
    for report_id in (report.report_id, uuid7(), "x"):
        assert await refused(reading(other, report_id)) == "REPORT_NOT_FOUND"
        assert await refused(downloaded(other, report_id)) == "REPORT_NOT_FOUND"
    assert not (await other.ListJournalEntries(Entries())).journal_entries
    assert not (await other.ListReports(reporting_pb2.ListReportsRequest())).reports
    assert not (await other.ListAccounts(reporting_pb2.ListAccountsRequest())).accounts


@pytest.mark.parametrize(
    ("method", "request_type", "needed"),
    [
        ("ListAccounts", reporting_pb2.ListAccountsRequest, "ledger.read"),
        ("CreateAccount", reporting_pb2.CreateAccountRequest, "ledger.write"),
        ("ListJournalEntries", Entries, "ledger.read"),
        ("GetJournalEntry", reporting_pb2.GetJournalEntryRequest, "ledger.read"),
        ("ListPostingRejections", reporting_pb2.ListPostingRejectionsRequest, "ledger.read"),
        ("SetExchangeRate", reporting_pb2.SetExchangeRateRequest, "ledger.write"),
        ("ListExchangeRates", reporting_pb2.ListExchangeRatesRequest, "ledger.read"),
        ("QueryReport", reporting_pb2.QueryReportRequest, "reports.read"),
        ("CreateReport", reporting_pb2.CreateReportRequest, "reports.write"),
        ("GetReport", reporting_pb2.GetReportRequest, "reports.read"),
        ("ListReports", reporting_pb2.ListReportsRequest, "reports.read"),
    ],
)
async def test_every_call_needs_its_permission(reporting, method, request_type, needed):
    every = {"ledger.read", "ledger.write", "reports.read", "reports.write"}
    without = reporting.client(Stub, permissions=" ".join(sorted(every - {needed})))
    assert await refused(getattr(without, method)(request_type())) == "PERMISSION_DENIED"
    anonymous = reporting.anonymous(Stub)
    assert await refused(getattr(anonymous, method)(request_type())) == "TOKEN_MISSING"


def test_every_reason_stands_in_the_contract():
    comments = json.loads(
        importlib.resources.files("auditron").joinpath("comments.json").read_text()
    )
    said = " ".join(
        text
        for name, text in comments.items()
        if name.startswith("auditron.reporting.v1.ReportingService.")
    )
    reasons = {each.reason for each in vars(errors).values() if hasattr(each, "reason")}
    assert [
        reason for reason in sorted(reasons - {"INTERNAL", "UNAVAILABLE"}) if reason not in said
    ] == []
