"""Running recon and invoice services, and what tests ask of them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from auditron.event.v1 import event_pb2, event_pb2_grpc
from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from auditron.recon.v1 import recon_pb2, recon_pb2_grpc
from auditron.type.v1.money_pb2 import Money
from google.protobuf import descriptor_pool, message_factory
from google.type.date_pb2 import Date

from libs.jobs import Task
from libs.pg import uuid7
from libs.rpc import reason_of
from libs.testkit import Client, Harness, Stores, eventually, running_services
from services.recon import booking
from services.recon.jobs.facts import follow_invoice

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
IBAN = "DE02120300000000202051"
DAY = date(2026, 3, 10)
Stub = recon_pb2_grpc.ReconServiceStub
FACTS = {
    "approved": invoice_events_pb2.InvoiceApproved,
    "reopened": invoice_events_pb2.InvoiceReopened,
    "rejected": invoice_events_pb2.InvoiceRejected,
    "updated": invoice_events_pb2.InvoiceUpdated,
    "paid": invoice_events_pb2.InvoicePaid,
}
STATES = {
    "approved": invoice_pb2.INVOICE_STATE_APPROVED,
    "reopened": invoice_pb2.INVOICE_STATE_IN_REVIEW,
    "rejected": invoice_pb2.INVOICE_STATE_REJECTED,
    "updated": invoice_pb2.INVOICE_STATE_IN_REVIEW,
    "paid": invoice_pb2.INVOICE_STATE_PAID,
}


def eur(amount: str, currency_code: str = "EUR") -> Money:
    return Money(amount=amount, currency_code=currency_code)


def on(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


async def refusal(call: Any) -> str:
    """The reason that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is not grpc.StatusCode.INTERNAL, caught.value.details()
    return reason_of(caught.value)


def csv(*lines: tuple[Any, ...]) -> bytes:
    """A statement: (day, amount, name, text[, IBAN]) a line."""
    rows = ["Booking date;Value date;Payee;IBAN;Purpose;Amount;Currency"]
    for day, amount, name, text, *iban in lines:
        rows.append(f"{day:%d.%m.%Y};{day:%d.%m.%Y};{name};{''.join(iban)};{text};{amount};EUR")
    return "\n".join(rows).encode()


@dataclass
class Books:
    """One organization, as a person of it uses recon."""

    recon: Harness
    client: Client
    known: dict[str, tuple[invoice_pb2.Invoice, int]] = field(default_factory=dict)

    @property
    def organization_id(self) -> str:
        return self.client.organization_id

    async def account(self, **changes: Any) -> recon_pb2.BankAccount:
        fields = {"display_name": "Giro", "currency_code": "EUR", "account_code": "1800"} | changes
        return await self.client.CreateBankAccount(
            recon_pb2.CreateBankAccountRequest(bank_account=recon_pb2.BankAccount(**fields))
        )

    async def send(self, account: recon_pb2.BankAccount, data: bytes, **header: Any) -> Any:
        """Upload a statement; the answer."""

        def parts() -> Iterator[recon_pb2.ImportStatementRequest]:
            named = {"bank_account_id": account.bank_account_id, "filename": "a.csv"} | header
            yield recon_pb2.ImportStatementRequest(
                header=recon_pb2.ImportStatementRequest.Header(**named)
            )
            for start in range(0, len(data), 262_144):
                yield recon_pb2.ImportStatementRequest(chunk=data[start : start + 262_144])

        return await self.client.ImportStatement(parts(), timeout=60)

    async def statement(self, statement_id: str) -> recon_pb2.Statement:
        return await self.client.GetStatement(
            recon_pb2.GetStatementRequest(statement_id=statement_id)
        )

    async def imported(
        self, account: recon_pb2.BankAccount, data: bytes, within_s: float = 30, **header: Any
    ) -> recon_pb2.Statement:
        """Upload a statement and wait for its end."""
        sent = await self.send(account, data, **header)
        return await eventually(
            lambda: self.statement(sent.statement_id), lambda s: s.state != sent.state, within_s
        )

    async def transactions(self, **filters: Any) -> list[recon_pb2.Transaction]:
        request = recon_pb2.ListTransactionsRequest(page_size=1000, **filters)
        return list((await self.client.ListTransactions(request)).transactions)

    async def matches(self, state: int = 0) -> list[recon_pb2.Match]:
        request = recon_pb2.ListMatchesRequest(page_size=1000, state=state)
        return list((await self.client.ListMatches(request)).matches)

    async def reconciled(self) -> recon_pb2.Reconciliation:
        """Have a run made and wait for its end."""
        run = await self.client.CreateReconciliation(recon_pb2.CreateReconciliationRequest())
        request = recon_pb2.GetReconciliationRequest(reconciliation_id=run.reconciliation_id)
        return await eventually(
            lambda: self.client.GetReconciliation(request), lambda r: r.state != run.state, 30
        )

    async def fact(self, kind: str, invoice_id: str, version: int = 0, **changes: Any) -> None:
        """Let recon handle a fact of invoice; its version is the next one unless given."""
        before, last = self.known.get(invoice_id, (invoice_pb2.Invoice(), 0))
        invoice = invoice_pb2.Invoice()
        invoice.CopyFrom(before)
        for name, value in (changes | {"invoice_id": invoice_id, "state": STATES[kind]}).items():
            invoice.ClearField(name)
            invoice.MergeFrom(invoice_pb2.Invoice(**{name: value}))
        version = version or last + 1
        self.known[invoice_id] = (invoice, version)
        await self.handle(kind, invoice, version)

    async def handle(self, kind: str, invoice: invoice_pb2.Invoice, version: int) -> None:
        event = event_pb2.Event(
            event_id=uuid7(),
            organization_id=self.organization_id,
            aggregate_type="invoice",
            aggregate_id=invoice.invoice_id,
            aggregate_version=version,
        )
        event.payload.Pack(FACTS[kind](invoice=invoice))
        async with self.recon.runtime.db.tenant(self.organization_id) as tx:
            await follow_invoice(tx, event, FACTS[kind](invoice=invoice))

    async def bill(self, number: str, gross: str, name: str = "Muster GmbH", **changes: Any) -> str:
        """An approved invoice that a customer owes (direction: that we owe); its id."""
        invoice_id = uuid7()
        party = invoice_pb2.Party(display_name=name, iban=changes.pop("iban", ""))
        direction = changes.setdefault("direction", invoice_pb2.DIRECTION_RECEIVABLE)
        side = "customer" if direction == invoice_pb2.DIRECTION_RECEIVABLE else "supplier"
        fields = {
            "document_type": invoice_pb2.DOCUMENT_TYPE_INVOICE,
            "invoice_number": number,
            "gross": eur(gross, changes.pop("currency_code", "EUR")),
            "issue_date": on(DAY - timedelta(days=20)),
            "due_date": on(DAY),
            side: party,
        }
        await self.fact("approved", invoice_id, **(fields | changes))
        return invoice_id

    async def open_invoices(self) -> dict[str, Any]:
        """The copy of open invoices as it stands, by id."""
        rows = await self.recon.runtime.db.read(
            self.organization_id, "select * from open_invoices order by invoice_id"
        )
        return {str(row["invoice_id"]): dict(row.items()) for row in rows}

    async def open_amount(self, invoice_id: str) -> Decimal:
        return (await self.open_invoices())[invoice_id]["open_amount"]

    async def events(self) -> list[tuple[str, int, Any]]:
        """Facts that recon has published about this organization: (type, version, payload)."""
        log = event_pb2_grpc.EventLogServiceStub(self.recon.channel)
        service = self.recon.service_client(lambda _: log, "reporting")
        partition, found, after = int(self.organization_id[-1], 16), [], 0
        while True:
            page = await service.ListEvents(
                event_pb2.ListEventsRequest(
                    partition=partition, after_position=after, page_size=1000
                )
            )
            for event in page.events:
                after = event.position
                if event.organization_id == self.organization_id:
                    name = event.payload.type_url.rpartition("/")[2]
                    kind = descriptor_pool.Default().FindMessageTypeByName(name)
                    payload = message_factory.GetMessageClass(kind).FromString(event.payload.value)
                    found.append((name.rpartition(".")[2], event.aggregate_version, payload))
            if not page.events:
                return found

    async def told(self, word: str, count: int = 1) -> list[tuple[str, int, Any]]:
        """The facts with this word in their name, once there are so many."""

        async def some() -> list[tuple[str, int, Any]]:
            return [fact for fact in await self.events() if word in fact[0]]

        return await eventually(some, lambda found: len(found) >= count)

    def task(self, kind: str, payload: Any, attempt: int = 1) -> Task:
        return Task(
            task_id=uuid7(), kind=kind, organization_id=self.organization_id,
            payload=payload.SerializeToString(), attempt=attempt, max_attempts=6, error="",
            owner="", actor="user:test", traceparent="", request_id="", waited_s=0, age_s=0,
        )  # fmt: skip

    async def matched(
        self, bills: Sequence[tuple[str, str]], paid: Sequence[tuple[str, str]], **more: Any
    ) -> recon_pb2.BankAccount:
        """Bills (number, gross) and payments (amount, text) of one customer, on a new account."""
        for number, gross in bills:
            await self.bill(number, gross, **more)
        account = await self.account()
        lines = [(DAY, amount, "Muster GmbH", text) for amount, text in paid]
        statement = await self.imported(account, csv(*lines))
        assert statement.state == recon_pb2.STATEMENT_STATE_IMPORTED, statement.failure
        return account

    async def settled(self) -> None:
        """Wait until no run is waiting or at work."""
        sql = "select count(*) as running from reconciliations where state = 1"

        async def idle() -> bool:
            rows = await self.recon.runtime.db.read(self.organization_id, sql)
            return rows[0]["running"] == 0

        await eventually(idle, within_s=30)


@pytest.fixture(scope="session")
async def recon(stores: Stores) -> AsyncIterator[Harness]:
    booking.PAUSE = timedelta(seconds=0.02)  # nobody here waits for more to come together
    async with running_services(stores, "recon") as running:
        yield running["recon"]


@pytest.fixture
def books(recon: Harness) -> Books:
    return Books(recon, recon.client(Stub))


@pytest.fixture
def others(recon: Harness) -> Books:
    """Another organization."""
    return Books(recon, recon.client(Stub))
