"""A running reporting service, and the logs of the services that it follows."""

import itertools
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from auditron.auth.v1 import auth_events_pb2, auth_pb2
from auditron.event.v1.event_pb2 import Event, ListEventsRequest, ListEventsResponse
from auditron.event.v1.event_pb2_grpc import (
    EventLogServiceServicer,
    add_EventLogServiceServicer_to_server,
)
from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from auditron.recon.v1 import recon_events_pb2, recon_pb2
from auditron.reporting.v1 import reporting_pb2, reporting_pb2_grpc
from auditron.type.v1.money_pb2 import Money
from google.type.date_pb2 import Date

from libs.pg import uuid7
from libs.testkit import Client, Harness, Stores, eventually, running_services

PAYABLE, RECEIVABLE = invoice_pb2.DIRECTION_PAYABLE, invoice_pb2.DIRECTION_RECEIVABLE
INVOICE = invoice_pb2.DOCUMENT_TYPE_INVOICE
CREDIT_NOTE = invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE


class Log(EventLogServiceServicer):
    """The log of one producer, as its EventLogService serves it."""

    def __init__(self) -> None:
        self.events: dict[int, list[Event]] = {partition: [] for partition in range(16)}

    async def ListEvents(  # noqa: N802
        self, request: ListEventsRequest, _context: object
    ) -> ListEventsResponse:
        events = self.events[request.partition]
        page = events[request.after_position :][: request.page_size or 500]
        return ListEventsResponse(
            events=page, head_position=len(events), generation_id=f"{id(self)}@0"
        )

    def append(self, event: Event) -> None:
        partition = int(event.organization_id[-1], 16)
        event.partition, event.position = partition, len(self.events[partition]) + 1
        self.events[partition].append(event)


@dataclass
class Producers:
    """auth, invoice and recon: what they have stated."""

    logs: dict[str, Log] = field(
        default_factory=lambda: {name: Log() for name in ("auth", "invoice", "recon")}
    )
    ports: dict[str, int] = field(default_factory=dict)
    servers: list[Any] = field(default_factory=list)

    async def start(self) -> None:
        for name, log in self.logs.items():
            server = grpc.aio.server()
            add_EventLogServiceServicer_to_server(log, server)
            self.ports[name] = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            self.servers.append(server)

    async def stop(self) -> None:
        for server in self.servers:
            await server.stop(None)

    def env(self) -> dict[str, str]:
        return {f"{name.upper()}_ADDRESS": f"127.0.0.1:{port}" for name, port in self.ports.items()}


def money(amount: object, currency: str = "EUR") -> Money:
    return Money(amount=str(amount), currency_code=currency)


def day(text: str) -> Date:
    parsed = date.fromisoformat(text)
    return Date(year=parsed.year, month=parsed.month, day=parsed.day)


def invoice(**changes: Any) -> invoice_pb2.Invoice:
    """A supplier's invoice of 119.00, 19.00 of it VAT."""
    made = invoice_pb2.Invoice(
        invoice_id=uuid7(),
        direction=PAYABLE,
        document_type=INVOICE,
        invoice_number="R-1",
        supplier={"display_name": "Müller GmbH"},
        customer={"display_name": "Zażółć Sp. z o.o."},
        issue_date=day("2026-01-10"),
        due_date=day("2026-02-09"),
        net=money("100.00"),
        tax=money("19.00"),
        gross=money("119.00"),
        account_code="6815",
    )
    for name, value in changes.items():
        made.ClearField(name)
        if value is None:
            continue
        if isinstance(value, (str, int)):
            setattr(made, name, value)
        else:
            getattr(made, name).CopyFrom(value)
    return made


def in_currency(currency: str, gross: str, tax: str = "0", **changes: Any) -> invoice_pb2.Invoice:
    net = Decimal(gross) - Decimal(tax)
    return invoice(
        net=money(net, currency), tax=money(tax, currency), gross=money(gross, currency), **changes
    )


def match(
    *allocations: tuple[invoice_pb2.Invoice, object],
    difference: object = 0,
    kind: int = recon_pb2.DIFFERENCE_KIND_BANK_CHARGE,
    currency: str = "EUR",
    **changes: Any,
) -> recon_pb2.Match:
    """A confirmed match of (invoice, amount) pairs, and of the money that they and the rest are."""
    made = recon_pb2.Match(
        match_id=uuid7(),
        state=recon_pb2.MATCH_STATE_CONFIRMED,
        posting_date=day(changes.pop("posting_date", "2026-01-20")),
        account_code=changes.pop("account_code", ""),
    )
    transaction_id, paid = uuid7(), Decimal(str(difference))
    for each, amount in allocations:
        is_credit = each.document_type == invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE
        comes_in = (each.direction == RECEIVABLE) != is_credit
        paid += abs(Decimal(str(amount))) * (1 if comes_in else -1)
        made.allocations.add(
            transaction_id=transaction_id,
            invoice_id=each.invoice_id,
            amount=money(amount, currency),
        )
    made.bank_amount.CopyFrom(money(paid, currency))
    made.difference.CopyFrom(money(difference, currency))
    made.difference_kind = kind if difference else recon_pb2.DIFFERENCE_KIND_UNSPECIFIED
    return made


class Books:
    """One organization: what happens to it in other services, and its client here."""

    def __init__(self, reporting: Harness, producers: Producers, currency: str = "EUR") -> None:
        self.organization_id = uuid7()
        self.currency = currency
        self.client: Client = reporting.client(
            reporting_pb2_grpc.ReportingServiceStub, organization_id=self.organization_id
        )
        self._logs = producers.logs
        self._redis = reporting.runtime.redis
        self._versions: dict[str, itertools.count[int]] = {}

    async def create(self, name: str = "Acme AG") -> None:
        await self._organization(auth_events_pb2.OrganizationCreated, name)

    async def rename(self, name: str) -> None:
        await self._organization(auth_events_pb2.OrganizationUpdated, name)

    async def approve(self, *invoices: invoice_pb2.Invoice) -> None:
        for each in invoices:
            fact = invoice_events_pb2.InvoiceApproved(invoice=each)
            await self.state("invoice", each.invoice_id, fact)

    async def reopen(self, one: invoice_pb2.Invoice) -> None:
        fact = invoice_events_pb2.InvoiceReopened(invoice=one)
        await self.state("invoice", one.invoice_id, fact)

    async def confirm(self, *matches: recon_pb2.Match) -> None:
        for each in matches:
            await self.state("recon", each.match_id, recon_events_pb2.MatchConfirmed(match=each))

    async def undo(self, one: recon_pb2.Match) -> None:
        await self.state("recon", one.match_id, recon_events_pb2.MatchUndone(match=one))

    async def state(self, producer: str, aggregate_id: str, fact: Any) -> None:
        versions = self._versions.setdefault(aggregate_id, itertools.count(1))
        event = Event(
            event_id=uuid7(),
            organization_id=self.organization_id,
            aggregate_type=producer,
            aggregate_id=aggregate_id,
            aggregate_version=next(versions),
            actor="user:u1",
        )
        event.occur_time.FromDatetime(datetime.now(UTC))
        event.payload.Pack(fact)
        self._logs[producer].append(event)
        await self._redis.publish(f"bell:{producer}", event.partition)

    async def entries(self, count: int | None = None, **filters: Any) -> list[Any]:
        """Entries, oldest first; with a count, as soon as there are so many."""
        request = reporting_pb2.ListJournalEntriesRequest(page_size=1000, **filters)

        async def ask() -> list[Any]:
            answer = await self.client.ListJournalEntries(request)
            return list(reversed(answer.journal_entries))

        return await eventually(ask, lambda found: count is None or len(found) == count)

    async def entry(self, source: Any) -> Any:
        """The last entry of an invoice or a match, as soon as there is one."""
        source_id = getattr(source, "match_id", "") or source.invoice_id

        async def ask() -> list[Any]:
            return await self.entries(source_id=source_id)

        return (await eventually(ask))[-1]

    async def rejections(self, count: int) -> list[Any]:
        async def ask() -> list[Any]:
            request = reporting_pb2.ListPostingRejectionsRequest()
            return list((await self.client.ListPostingRejections(request)).posting_rejections)

        return await eventually(ask, lambda found: len(found) == count)

    async def opened(self) -> None:
        async def ask() -> int:
            answer = await self.client.ListAccounts(reporting_pb2.ListAccountsRequest())
            return len(answer.accounts)

        await eventually(ask)

    async def set_rate(self, currency: str, on: str, rate: str) -> None:
        request = reporting_pb2.SetExchangeRateRequest(
            exchange_rate={"currency_code": currency, "rate_date": day(on), "rate": rate}
        )
        await self.client.SetExchangeRate(request)

    async def report(
        self, kind: int, end: str = "2026-12-31", start: str | None = "2026-01-01"
    ) -> reporting_pb2.ReportTable:
        request = reporting_pb2.QueryReportRequest(kind=kind, end_date=day(end))
        if start:
            request.start_date.CopyFrom(day(start))
        return await self.client.QueryReport(request)

    async def balances(self) -> dict[str, Decimal]:
        """Closing balances by account, those of zero left out."""
        table = await self.report(reporting_pb2.REPORT_KIND_TRIAL_BALANCE)
        found = {row.account_code: Decimal(row.amounts[3]) for row in table.rows[:-1]}
        return {code: amount for code, amount in found.items() if amount}

    async def _organization(self, kind: Any, name: str) -> None:
        organization = auth_pb2.Organization(
            organization_id=self.organization_id,
            display_name=name,
            base_currency_code=self.currency,
        )
        await self.state("auth", self.organization_id, kind(organization=organization))


def amounts(entry: Any) -> dict[str, Decimal]:
    """An entry's amounts by account."""
    found: dict[str, Decimal] = {}
    for posting in entry.postings:
        amount = Decimal(posting.amount.amount)
        found[posting.account_code] = found.get(posting.account_code, Decimal(0)) + amount
    return found


@pytest.fixture(scope="session")
async def producers():
    made = Producers()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="session")
async def reporting(stores: Stores, producers: Producers):
    async with running_services(stores, "reporting", settings=producers.env()) as services:
        yield services["reporting"]


@pytest.fixture
async def books(reporting: Harness, producers: Producers) -> Books:
    """A new organization whose ledger is open."""
    made = Books(reporting, producers)
    await made.create()
    await made.opened()
    return made


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """What tests make facts with."""
    return SimpleNamespace(
        invoice=invoice, in_currency=in_currency, match=match, money=money, day=day,
        amounts=amounts, Books=Books, PAYABLE=PAYABLE, RECEIVABLE=RECEIVABLE,
        CREDIT_NOTE=CREDIT_NOTE,
    )  # fmt: skip
