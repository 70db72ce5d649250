"""Facts of other services become entries, once, in whatever order they come."""

import asyncio
import itertools
import sys
from datetime import date, timedelta
from decimal import Decimal

import asyncpg
import pytest
from auditron.auth.v1 import auth_pb2
from auditron.auth.v1.auth_events_pb2 import OrganizationCreated
from auditron.event.v1.event_pb2 import Event
from auditron.invoice.v1.invoice_events_pb2 import InvoiceApproved, InvoiceReopened
from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_events_pb2 import MatchConfirmed, MatchUndone
from auditron.reporting.v1 import reporting_pb2
from auditron.reporting.v1.reporting_pb2 import ExchangeRate, Report
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from libs.events import set_cursor
from libs.jobs import Permanent, Task
from libs.pg import uuid7
from libs.sandbox import MIB, Limits, Sandbox, SandboxError, SandboxKilled
from libs.testkit import eventually
from services.reporting.jobs import ledger
from services.reporting.jobs.reports import Writer, sweep_files
from services.reporting.rules import chart, files, tables
from services.reporting.settings import Settings
from services.reporting.store import entries, figures, organizations, rejections, reports

D = Decimal
DISCOUNT = recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT


async def test_a_payable_invoice_is_posted(books, made):
    bill = made.invoice()
    await books.approve(bill)
    [entry] = await books.entries(1)
    assert entry.number == 1
    assert entry.description == "Invoice R-1, Müller GmbH"
    assert (entry.source_type, entry.source_id) == ("invoice", bill.invoice_id)
    assert made.amounts(entry) == {"6815": D(100), "1400": D(19), "1600": D(-119)}
    [owed] = [p for p in entry.postings if p.counterparty]
    assert (owed.account_code, owed.counterparty) == ("1600", "Müller GmbH")
    assert owed.amount == made.money("-119.00")


async def test_receivables_credit_notes_and_receipts_stand_on_their_sides(books, made):
    await books.approve(
        made.invoice(direction=made.RECEIVABLE, account_code=""),
        made.invoice(document_type=made.CREDIT_NOTE),
        made.invoice(direction=made.RECEIVABLE, document_type=made.CREDIT_NOTE, account_code=""),
        made.invoice(document_type=3),
    )
    found = [made.amounts(entry) for entry in await books.entries(4)]
    assert found == [
        {"4400": D(-100), "3806": D(-19), "1200": D(119)},
        {"6815": D(-100), "1400": D(-19), "1600": D(119)},
        {"4400": D(100), "3806": D(19), "1200": D(-119)},
        {"6815": D(100), "1400": D(19), "1600": D(-119)},
    ]


async def test_an_account_that_cannot_be_used_is_replaced_and_named(books, made):
    await books.approve(
        made.invoice(account_code="9999"),
        made.invoice(account_code="1600"),
        made.invoice(account_code="x", direction=made.RECEIVABLE),
    )
    entries = await books.entries(3)
    assert [made.amounts(entry).get("6300") for entry in entries] == [D(100), D(100), None]
    assert "9999 is not in the chart: posted to 6300" in entries[0].description
    assert "1600 is kept for other postings" in entries[1].description
    assert "x is not in the chart: posted to 4400" in entries[2].description


async def test_a_match_clears_the_invoice_and_moves_the_bank(books, made):
    bill, claim = made.invoice(), made.invoice(direction=made.RECEIVABLE)
    await books.approve(bill, claim)
    paid = made.match((bill, "119.00"))
    received = made.match((claim, "59.00"), account_code="9")
    await books.confirm(paid, received)
    assert made.amounts(await books.entry(paid)) == {"1800": D(-119), "1600": D(119)}
    entry = await books.entry(received)
    assert made.amounts(entry) == {"1800": D(59), "1200": D(-59)}
    assert "account 9 is none of a bank: posted to 1800" in entry.description


async def test_a_credit_note_is_set_off(books, made):
    bill, credit = made.invoice(), made.in_currency("EUR", "20.00", document_type=made.CREDIT_NOTE)
    await books.approve(bill, credit)
    paid = made.match((bill, "119.00"), (credit, "-20.00"))
    await books.confirm(paid)
    assert made.amounts(await books.entry(paid)) == {"1800": D(-99), "1600": D(99)}
    assert "1600" not in await books.balances()


async def test_what_comes_back_for_a_credit_note_alone_is_money_in(books, made):
    credit = made.in_currency("EUR", "20.00", document_type=made.CREDIT_NOTE)
    await books.approve(credit)
    received = made.match((credit, "20.00"))
    await books.confirm(received)
    assert made.amounts(await books.entry(received)) == {"1800": D(20), "1600": D(-20)}


async def test_a_discount_lessens_the_tax_too(books, made):
    bill, claim = made.invoice(), made.invoice(direction=made.RECEIVABLE)
    await books.approve(bill, claim)
    paid = made.match((bill, "119.00"), difference="2.38", kind=DISCOUNT)
    received = made.match((claim, "119.00"), difference="-2.38", kind=DISCOUNT)
    await books.confirm(paid, received)
    assert made.amounts(await books.entry(paid)) == {
        "1800": D("-116.62"), "1600": D(119), "1400": D("-0.38"), "5730": D("-2.00"),
    }  # fmt: skip
    assert made.amounts(await books.entry(received)) == {
        "1800": D("116.62"), "1200": D(-119), "3806": D("0.38"), "4730": D("2.00"),
    }  # fmt: skip


async def test_reopening_reverses_and_approving_again_posts_anew(books, made):
    bill = made.invoice()
    await books.approve(bill)
    await books.reopen(bill)
    bill.account_code = "6837"
    await books.approve(bill)
    first, reversal, second = await books.entries(3)
    assert reversal.reversed_entry_id == first.journal_entry_id
    assert reversal.posting_date == first.posting_date
    assert reversal.description == "Reversal of 1: Invoice R-1, Müller GmbH"
    assert made.amounts(reversal) == {"6815": D(-100), "1400": D(-19), "1600": D(119)}
    assert made.amounts(second)["6837"] == D(100)
    table = await books.report(reporting_pb2.REPORT_KIND_TRIAL_BALANCE)
    by_code = {row.account_code: list(row.amounts) for row in table.rows}
    assert "6815" not in by_code
    assert by_code["1600"] == ["0.00", "0.00", "119.00", "-119.00"]


async def test_an_undone_match_is_reversed(books, made):
    bill = made.invoice()
    await books.approve(bill)
    await books.entries(1)
    paid = made.match((bill, "119.00"))
    await books.confirm(paid)
    await books.undo(paid)
    entries = await books.entries(3)
    assert entries[2].reversed_entry_id == entries[1].journal_entry_id
    assert (await books.balances())["1600"] == D(-119)


async def test_a_match_that_comes_before_its_invoice_waits_for_it(books, made):
    bill, other = made.invoice(), made.invoice()
    await books.confirm(made.match((bill, "119.00"), (other, "119.00")))
    [waiting] = await books.rejections(1)
    assert waiting.reason == "INVOICE_NOT_POSTED"
    await books.approve(bill)
    await books.entries(1)
    assert len(await books.rejections(1)) == 1
    await books.approve(other)
    entries = await books.entries(3)
    assert made.amounts(entries[2]) == {"1800": D(-238), "1600": D(238)}
    await books.rejections(0)


async def test_a_match_behind_one_that_waits_keeps_its_place(books, made):
    first, second = made.invoice(), made.invoice()
    await books.approve(first)
    await books.entries(1)
    big = made.match((first, "19.00"), (second, "119.00"))
    small = made.match((first, "100.00"))
    await books.confirm(big, small)
    found = await books.rejections(2)
    assert {one.reason for one in found} == {"INVOICE_NOT_POSTED", "EARLIER_MATCH_WAITS"}
    await books.approve(second)
    entries = await books.entries(4)
    assert [entry.source_id for entry in entries[2:]] == [big.match_id, small.match_id]
    assert "1600" not in await books.balances()


async def test_undoing_a_match_that_waits_frees_those_behind_it(books, made):
    first = made.invoice()
    await books.approve(first)
    await books.entries(1)
    big = made.match((first, "19.00"), (made.invoice(), "119.00"))
    await books.confirm(big, made.match((first, "100.00")))
    await books.rejections(2)
    await books.undo(big)
    await books.entries(2)
    await books.rejections(0)


async def test_facts_that_come_before_their_organization_wait_for_it(reporting, producers, made):
    books = made.Books(reporting, producers)
    bill = made.invoice()
    await books.approve(bill)
    await books.confirm(made.match((bill, "119.00")))
    found = await books.rejections(2)
    assert {one.reason for one in found} == {"LEDGER_NOT_READY"}
    await books.create()
    entries = await books.entries(2)
    assert [entry.source_type for entry in entries] == ["invoice", "match"]
    await books.rejections(0)


async def test_what_has_waited_for_a_ledger_is_posted_some_at_a_time(
    reporting, producers, made, monkeypatch
):
    monkeypatch.setattr(ledger, "WAITING_PAGE", 2)
    books, db = made.Books(reporting, producers), reporting.runtime.db
    await books.approve(*(made.invoice() for _ in range(5)))
    await books.rejections(5)
    organization = auth_pb2.Organization(display_name="Acme", base_currency_code="EUR")
    event = Event(organization_id=books.organization_id, aggregate_version=1, actor="user:u1")
    async with db.tenant(books.organization_id) as tx:
        fact = OrganizationCreated(organization=organization)
        await ledger.organization_created(tx, event, fact)
        assert await tx.fetchval("select count(*) from journal_entries") == 0
    assert [entry.number for entry in await books.entries(5)] == [1, 2, 3, 4, 5]
    await books.rejections(0)
    async with db.tenant(books.organization_id) as tx:
        await ledger.organization_created(tx, event, fact)  # as in a replay
        assert await tx.fetchval("select count(*) from tasks where kind = 'post_waiting'") == 1


async def test_without_a_rate_nothing_is_posted_until_it_is_set(books, made):
    bill = made.in_currency("USD", "110.00", "10.00")
    await books.approve(bill)
    await books.confirm(made.match((bill, "110.00"), currency="USD"))
    found = await books.rejections(2)
    assert {one.reason for one in found} == {"EXCHANGE_RATE_MISSING"}
    assert await books.entries() == []
    await books.set_rate("USD", "2025-12-30", "0.5")  # too old for the invoice of 10 January
    await books.set_rate("USD", "2026-01-03", "0.9")
    [entry] = await books.entries(1)
    assert made.amounts(entry) == {"6815": D(90), "1400": D(9), "1600": D(-99)}
    [waiting] = await books.rejections(1)
    assert waiting.source_type == "match"
    await books.set_rate("USD", "2026-01-20", "0.95")
    entries = await books.entries(2)
    assert made.amounts(entries[1]) == {"1800": D("-104.50"), "1600": D(99), "6880": D("5.50")}
    [bank, *_] = entries[1].postings
    assert bank.original_amount == made.money("-110.00", "USD")
    await books.rejections(0)


async def test_a_reopened_invoice_waits_no_longer(books, made):
    bill = made.in_currency("USD", "110.00")
    await books.approve(bill)
    await books.rejections(1)
    await books.reopen(bill)
    await books.rejections(0)
    await books.approve(made.invoice(invoice_id=bill.invoice_id))
    await books.entries(1)


async def test_an_invoice_paid_in_parts_ends_at_zero_in_both_currencies(books, made):
    await books.set_rate("USD", "2026-01-10", "0.3333")
    await books.set_rate("USD", "2026-01-20", "0.3")
    claim = made.in_currency("USD", "100.00", direction=made.RECEIVABLE, account_code="")
    await books.approve(claim)
    await books.entries(1)
    for amount in ("33.33", "33.33", "33.34"):
        await books.confirm(made.match((claim, amount), currency="USD"))
    entries = await books.entries(4)
    cleared = [made.amounts(entry)["1200"] for entry in entries]
    assert cleared == [D("33.33"), D("-11.11"), D("-11.11"), D("-11.11")]
    balances = await books.balances()
    assert "1200" not in balances
    assert balances == {"4400": D("-33.33"), "1800": D("30.00"), "6880": D("3.33")}


async def test_what_cannot_be_posted_says_why(books, made):
    bill = made.invoice()
    await books.approve(
        made.invoice(net=made.money("90.00")), made.invoice(gross=None), made.invoice(direction=0)
    )
    await books.confirm(made.match(), made.match((made.invoice(invoice_id="x"), "1.00")))
    await books.confirm(made.match((bill, "9.00"), difference="1.00", kind=0))
    wrong = made.match((bill, "9.00"))
    wrong.bank_amount.amount = "9.00"
    await books.approve(bill)
    await books.entries(1)
    await books.confirm(wrong)
    await books.set_rate("USD", "2026-01-10", "9999999999")
    await books.approve(made.in_currency("USD", "999999999999999"))
    found = sorted(one.reason for one in await books.rejections(8))
    assert found == [
        "AMOUNT_TOO_LARGE",
        "INVOICE_INCOMPLETE", "INVOICE_INCOMPLETE", "INVOICE_UNBALANCED", "MATCH_INCOMPLETE",
        "MATCH_INCOMPLETE", "MATCH_INCONSISTENT", "MATCH_INCONSISTENT",
    ]  # fmt: skip


async def test_a_name_follows_the_organization(books):
    await books.rename("Acme SE")

    async def name() -> str:
        return (await books.report(reporting_pb2.REPORT_KIND_BALANCE_SHEET)).organization_name

    await eventually(name, lambda found: found == "Acme SE")


async def test_a_rate_counts_from_when_it_is_set(books, made):
    await books.set_rate("USD", "2026-01-10", "0.5")
    await books.approve(made.in_currency("USD", "100.00"))
    [first] = await books.entries(1)
    await books.set_rate("USD", "2026-01-10", "0.6")
    await books.approve(made.in_currency("USD", "100.00"))
    entries = await books.entries(2)
    assert entries[0] == first
    assert [made.amounts(entry)["1600"] for entry in entries] == [D(-50), D(-60)]


async def test_a_replay_of_all_logs_gives_the_same_figures(reporting, producers, books, made):
    bill, other, foreign = made.invoice(), made.invoice(), made.in_currency("USD", "100.00")
    claim = made.in_currency("USD", "33.33", direction=made.RECEIVABLE, account_code="")
    undone = made.match((other, "20.00"))
    await books.confirm(made.match((bill, "19.00"), (other, "60.00")), undone)
    await books.undo(undone)
    await books.approve(foreign, claim, bill)
    await books.rejections(3)
    await books.set_rate("USD", "2026-01-08", "0.5")
    await books.entries(3)
    await books.set_rate("USD", "2026-01-10", "0.7")
    await books.confirm(made.match((claim, "33.33"), difference="-1", currency="USD"))
    await books.approve(other)
    await books.set_rate("USD", "2026-01-19", "0.8")
    await books.entries(6)
    await books.reopen(foreign)
    await books.entries(7)
    await books.approve(made.in_currency("USD", "90.00", invoice_id=foreign.invoice_id))
    await books.entries(8)
    kinds = reporting_pb2.ReportKind.values()[1:]

    async def rows() -> list[object]:
        return [list((await books.report(kind)).rows) for kind in kinds]

    before = await rows()
    await _empty_and_replay(reporting, producers)
    # The undone match may have been posted this time, before it was reversed.
    await eventually(rows, lambda found: found == before)
    await books.rejections(0)


async def test_a_second_reading_of_the_logs_posts_nothing_twice(reporting, producers, books, made):
    bill = made.invoice()
    paid = made.match((bill, "119.00"))
    await books.approve(bill)
    await books.entries(1)
    await books.confirm(paid)
    await books.undo(paid)
    await books.entries(3)
    await books.reopen(bill)
    before = await books.entries(4)
    await _replay(reporting, producers)
    last = made.invoice()
    await books.approve(last)
    entries = await books.entries(5)
    assert entries[:4] == before
    await books.confirm(made.match((last, "119.00")))
    await books.entries(6)


async def _replay(reporting, producers) -> None:
    for name in producers.logs:
        await set_cursor(reporting.runtime.db, name)
    for _ in range(2):  # at the first bell a cursor that is remembered is forgotten
        for name, partition in itertools.product(producers.logs, range(16)):
            await reporting.runtime.redis.publish(f"bell:{name}", partition)
        await asyncio.sleep(0.2)


async def _empty_and_replay(reporting, producers) -> None:
    connection = await asyncpg.connect(reporting.runtime.env["ADMIN_DATABASE_URL"])
    try:
        await connection.execute(
            """
            truncate reporting.postings, reporting.journal_entries, reporting.open_items,
              reporting.posting_rejections, reporting.posting_needs;
            update reporting.organizations set last_entry_number = 0
            """
        )
    finally:
        await connection.close()
    await _replay(reporting, producers)


# What may happen to a small organization: (what, which invoice or match, amount in cents).
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("confirm", "undo", "reopen", "approve")),
        st.integers(0, 3),
        st.integers(1, 13_000),
        st.sampled_from(("0", "0", "-0.03", "2.38", "-7", "40")),
    ),
    max_size=14,
)


@examples(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, picks=st.randoms(use_true_random=False))
async def test_whatever_happens_the_books_balance_and_ageing_ties(reporting, made, steps, picks):
    """In both orders in which the two logs may be read."""
    invoices, matches = await _events(made, steps)
    figures = []
    for order in (lambda: picks.random() < 0.5, lambda: picks.random() < 0.2):
        left, right, merged = list(invoices), list(matches), []
        while left or right:
            merged.append((left if (not right or order()) and left else right).pop(0))
        figures.append(await _figures_of(reporting, merged))
    numbers, *rest = figures[0]
    assert numbers == [*range(1, len(numbers) + 1)]
    assert rest == figures[1][1:]


async def _events(made, steps) -> tuple[list[Event], list[Event]]:
    """What invoice and recon would state; an invoice with matches is not reopened, as there."""
    currencies = ("EUR", "USD", "EUR", "JPY")
    bills = [
        made.in_currency(
            currency, "119", "19", direction=1 + number % 2, document_type=1 + number // 3,
            account_code="",
        )
        for number, currency in enumerate(currencies)
    ]  # fmt: skip
    approved, in_use, confirmed = set(), set(), []
    invoices, matches = Facts("invoice"), Facts("recon")
    at_first = [("approve", number, 0, "0") for number in range(len(bills))]
    for what, number, cents, difference in at_first + steps:
        bill = bills[number]
        if what == "approve" and number not in approved:
            approved.add(number)
            invoices.state(bill.invoice_id, InvoiceApproved(invoice=bill))
        elif what == "reopen" and number in approved - in_use:
            approved.remove(number)
            invoices.state(bill.invoice_id, InvoiceReopened(invoice=bill))
        elif what == "confirm" and number in approved:
            second = bills[(number + 2) % 4] if number in (0, 2) else None
            pairs = [(bill, D(cents) / 100)]
            if second is not None and (number + 2) % 4 in approved:
                pairs.append((second, D(cents) / 200))
                in_use.add((number + 2) % 4)
            in_use.add(number)
            match = made.match(
                *pairs, difference=D(difference), currency=currencies[number],
                posting_date=f"2026-01-{11 + number}",
            )  # fmt: skip
            confirmed.append(match)
            matches.state(match.match_id, MatchConfirmed(match=match))
        elif what == "undo" and number < len(confirmed):
            match = confirmed.pop(number)
            matches.state(match.match_id, MatchUndone(match=match))
    return invoices.events, matches.events


class Facts:
    """The events of one producer, in their order."""

    def __init__(self, producer: str) -> None:
        self.producer = producer
        self.events: list[Event] = []
        self._versions: dict[str, int] = {}

    def state(self, aggregate_id: str, fact) -> None:
        version = self._versions[aggregate_id] = self._versions.get(aggregate_id, 0) + 1
        event = Event(
            event_id=uuid7(), aggregate_type=self.producer, aggregate_id=aggregate_id,
            aggregate_version=version, actor="user:u1",
        )  # fmt: skip
        event.occur_time.FromSeconds(2_000_000_000)  # after every rate was set
        event.payload.Pack(fact)
        self.events.append(event)


async def _figures_of(reporting, events: list[Event]) -> list[object]:
    """A new organization's entry numbers and reports after these events."""
    organization_id, db = uuid7(), reporting.runtime.db
    async with db.tenant(organization_id) as tx:
        for currency, rate in (("USD", "0.917"), ("JPY", "0.0061")):
            for on, factor in ((date(2026, 1, 10), D(1)), (date(2026, 1, 12), D("1.03"))):
                rated = ExchangeRate(currency_code=currency, rate=str(D(rate) * factor))
                await organizations.insert_exchange_rate(tx, organization_id, rated, on, "user:u")
        await organizations.insert_organization(tx, organization_id, "Acme", "EUR", 1)
        await organizations.insert_accounts(tx, organization_id, chart.chart())
    known = {
        kind.DESCRIPTOR.full_name: (kind, handler)
        for handlers in reporting.service.handlers.values()
        for kind, handler in handlers.items()
    }
    async with db.tenant(organization_id) as tx:
        for event in events:
            copy = Event(organization_id=organization_id)
            copy.MergeFrom(event)
            kind, handler = known[event.payload.type_url.rpartition("/")[2]]
            await handler(tx, copy, kind.FromString(event.payload.value))
    posted = await entries.list_entries(db, organization_id, None, 1000)
    assert all(sum(D(p.amount.amount) for p in entry.postings) == 0 for entry in posted)
    made: list[object] = [sorted(entry.number for entry in posted)]
    start, end = date(2026, 1, 1), date(2026, 2, 20)
    for kind in reporting_pb2.ReportKind.values()[1:]:
        account = tables.control_account(kind)
        rows = await figures.list_figures(db, organization_id, account, start, end)
        made.append(list(tables.table(kind, rows, start, end).rows))
    assert await rejections.list_rejections(db, organization_id, None, 1000) == []
    return made


async def _report(reporting, books) -> Report:
    async with reporting.runtime.db.tenant(books.organization_id) as tx:
        wanted = Report(report_id=uuid7(), kind=2, format=1, filename="x.pdf")
        return await reports.insert_report(
            tx, books.organization_id, wanted, None, date(2026, 1, 31)
        )


def _task(books, report: Report) -> Task:
    return Task(
        task_id=report.report_id, kind="write_report", organization_id=books.organization_id,
        payload=report.SerializeToString(), attempt=1, max_attempts=6, error="",
        owner="", actor="user:u1", traceparent="", request_id="", waited_s=0.0, age_s=0.0,
    )  # fmt: skip


async def test_a_report_that_is_too_large_fails_visibly(reporting, books):
    runtime, report = reporting.runtime, await _report(reporting, books)
    sandbox = Sandbox(Limits(memory_bytes=45 * MIB, cpu_s=5, wall_s=5))
    writer, task = Writer(runtime.db, runtime.blobs, sandbox), _task(books, report)
    try:
        with pytest.raises(Permanent) as caught:
            await writer.write(task)
    finally:
        await sandbox.close()
    await writer.fail(task, caught.value)
    await writer.fail(task, caught.value)
    found = await reports.get_report(runtime.db, books.organization_id, report.report_id)
    assert found.state == reporting_pb2.REPORT_STATE_FAILED
    assert found.failure.message == str(caught.value)
    await writer.write(task)  # it has ended


async def test_a_report_whose_writer_is_killed_from_outside_is_tried_again(
    reporting, books, monkeypatch
):
    runtime, report = reporting.runtime, await _report(reporting, books)
    task = _task(books, report)
    killed, slow, unborn = Sandbox(Limits()), Sandbox(Limits(wall_s=0)), Sandbox(Limits())
    await killed.close()
    for sandbox, error in ((killed, SandboxKilled), (slow, SandboxKilled), (unborn, SandboxError)):
        with monkeypatch.context() as patch:
            if sandbox is unborn:
                patch.setattr(sys, "executable", "/nowhere/python")
            with pytest.raises(error) as caught:
                await Writer(runtime.db, runtime.blobs, sandbox).write(task)
        await sandbox.close()
    assert getattr(caught.value, "kind", "") == "StartFailed"
    found = await reports.get_report(runtime.db, books.organization_id, report.report_id)
    assert found.state == reporting_pb2.REPORT_STATE_GENERATING
    [good] = reporting.service.worker_sandboxes
    writer = Writer(runtime.db, runtime.blobs, good)
    await writer.write(task)
    found = await reports.get_report(runtime.db, books.organization_id, report.report_id)
    assert found.state == reporting_pb2.REPORT_STATE_READY
    spent = await _report(reporting, books)
    await writer.fail(_task(books, spent), SandboxKilled("crash"))
    found = await reports.get_report(runtime.db, books.organization_id, spent.report_id)
    assert found.failure.code == code_pb2.UNAVAILABLE
    assert found.failure.message == "The report could not be written; ask for it again."


async def test_a_report_is_written_once_however_often_its_task_runs(reporting, books):
    runtime, report = reporting.runtime, await _report(reporting, books)
    [sandbox] = reporting.service.worker_sandboxes
    writer, task = Writer(runtime.db, runtime.blobs, sandbox), _task(books, report)
    await asyncio.gather(writer.write(task), writer.write(task))
    found = await reports.get_report(runtime.db, books.organization_id, report.report_id)
    assert found.state == reporting_pb2.REPORT_STATE_READY
    async with runtime.db.tenant(books.organization_id) as tx:
        count = "select count(*) from events where aggregate_id = $1"
        assert await tx.fetchval(count, report.report_id) == 1


async def test_files_that_no_report_names_are_swept(reporting, books):
    runtime = reporting.runtime
    named, failed = [await _report(reporting, books) for _ in range(2)]
    async with runtime.db.tenant(books.organization_id) as tx:
        await reports.end_report(
            tx, failed.report_id, reporting_pb2.REPORT_STATE_FAILED, 0, Status(code=8)
        )
    keys = {
        name: files.blob_key(books.organization_id, report_id)
        for name, report_id in (
            ("named", named.report_id), ("failed", failed.report_id), ("unknown", uuid7()),
        )
    }  # fmt: skip
    for key in keys.values():
        await runtime.blobs.put_bytes(key, b"x", "text/plain")
    prefix = f"reports/{books.organization_id}/"
    await sweep_files(runtime.db, runtime.blobs, timedelta(hours=1))
    assert len([blob async for blob in runtime.blobs.list(prefix)]) == 3
    await sweep_files(runtime.db, runtime.blobs, timedelta(seconds=-5))
    assert [blob.key async for blob in runtime.blobs.list(prefix)] == [keys["named"]]


async def test_a_rejection_is_told_of_once_and_only_where_a_person_can_help(reporting, books, made):
    bill = made.in_currency("USD", "110.00")
    waiting = made.match((made.invoice(), "1.00"))
    await books.approve(bill)
    await books.confirm(waiting)
    await books.rejections(2)
    await books.set_rate("USD", "2025-06-01", "0.9")  # tried again, in vain

    async def facts() -> list[str]:
        async with reporting.runtime.db.tenant(books.organization_id) as tx:
            rows = await tx.fetch("select aggregate_type, aggregate_id from events")
            tasks = await tx.fetchval("select count(*) from tasks where state = 'SUCCEEDED'")
        return [f"{row['aggregate_type']} {row['aggregate_id']}" for row in rows] if tasks else []

    assert await eventually(facts) == [f"posting_rejection {bill.invoice_id}"]


def test_settings_are_read_from_the_environment():
    read = Settings.from_env({"REPORTING_RENDER_WORKERS": "3", "REPORTING_UNNAMED_HOURS": "0.5"})
    assert (read.render_workers, read.unnamed_for) == (3, timedelta(minutes=30))
    with pytest.raises(ValueError, match="invalid literal"):
        Settings.from_env({"REPORTING_RENDER_WORKERS": "many"})
