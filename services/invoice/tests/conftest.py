"""A running invoice service, and what tests ask of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import grpc
import pytest
from auditron.event.v1 import event_pb2, event_pb2_grpc
from auditron.invoice.v1 import invoice_pb2, invoice_pb2_grpc
from auditron.invoice.v1.invoice_pb2 import Invoice
from auditron.type.v1.money_pb2 import Money
from google.protobuf import descriptor_pool, message_factory
from google.type.date_pb2 import Date

from libs.embedded.server import free_port
from libs.pg import uuid7
from libs.rpc import reason_of
from libs.testkit import Client, Harness, Stores, eventually, running_services

Stub = invoice_pb2_grpc.InvoiceServiceStub


def eur(amount: str, currency_code: str = "EUR") -> Money:
    return Money(amount=amount, currency_code=currency_code)


def complete(**changes: Any) -> Invoice:
    """An invoice that may be approved."""
    fields = {
        "invoice_number": f"R-{uuid7()}",
        "supplier": invoice_pb2.Party(display_name="Muster GmbH", tax_ids=["DE123456789"]),
        "issue_date": Date(year=2026, month=3, day=31),
        "net": eur("100.00"),
        "tax": eur("19.00"),
        "gross": eur("119.00"),
        "lines": [invoice_pb2.InvoiceLine(description="Schrauben", amount=eur("100.00"))],
    }
    return Invoice(**(fields | changes))


async def refusal(call: Any) -> str:
    """The reason that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is not grpc.StatusCode.INTERNAL, caught.value.details()
    return reason_of(caught.value)


@dataclass
class Log:
    """The log of another service, as its events are served."""

    events: list[event_pb2.Event] = field(default_factory=list)
    port: int = 0

    def state(self, organization_id: str, aggregate_id: str, version: int, payload: Any) -> None:
        partition = int(organization_id[-1], 16)
        there = sum(event.partition == partition for event in self.events)
        event = event_pb2.Event(
            event_id=uuid7(),
            partition=partition,
            position=there + 1,
            organization_id=organization_id,
            aggregate_id=aggregate_id,
            aggregate_version=version,
            actor="user:someone",
        )
        event.payload.Pack(payload)
        self.events.append(event)

    async def ListEvents(self, request: Any, _: Any) -> event_pb2.ListEventsResponse:  # noqa: N802
        of_partition = [each for each in self.events if each.partition == request.partition]
        rest = of_partition[request.after_position :]
        return event_pb2.ListEventsResponse(
            events=rest, head_position=len(of_partition), generation_id="one@0"
        )


@dataclass
class World:
    """The service, the logs that it follows, and ways to use it."""

    harness: Harness
    admin_url: str
    billing: Log
    recon: Log

    def person(self, organization_id: str = "", **more: str) -> Client:
        return self.harness.client(Stub, organization_id=organization_id or None, **more)

    def agent(self, organization_id: str) -> Client:
        return self.harness.service_client(Stub, "agent", organization_id)

    async def upload(self, client: Client, data: bytes, chunk: int = 262_144, **header: Any) -> Any:
        def parts() -> Iterator[invoice_pb2.UploadInvoiceRequest]:
            named = {"filename": "a.pdf"} | header
            yield invoice_pb2.UploadInvoiceRequest(
                header=invoice_pb2.UploadInvoiceRequest.Header(**named)
            )
            for start in range(0, len(data), chunk):
                yield invoice_pb2.UploadInvoiceRequest(chunk=data[start : start + chunk])

        return await client.UploadInvoice(parts(), timeout=60)

    async def create(self, client: Client, **changes: Any) -> Invoice:
        request = invoice_pb2.CreateInvoiceRequest(invoice=complete(**changes))
        return await client.CreateInvoice(request)

    async def approved(self, client: Client, **changes: Any) -> Invoice:
        invoice = await self.create(client, **changes)
        request = invoice_pb2.ApproveInvoiceRequest(invoice_id=invoice.invoice_id)
        return await client.ApproveInvoice(request)

    async def get(self, client: Client, invoice_id: str) -> Invoice:
        return await client.GetInvoice(invoice_pb2.GetInvoiceRequest(invoice_id=invoice_id))

    async def events(self, organization_id: str) -> list[tuple[str, int, Any]]:
        """What was stated of an organization: name, version and payload."""
        async with self.harness.runtime.db.tenant(organization_id) as tx:
            rows = await tx.fetch("select aggregate_version, payload from events order by seq")
        found = []
        for row in rows:
            event = event_pb2.Event()
            event.payload.ParseFromString(row["payload"])
            name = event.payload.TypeName()
            kind = descriptor_pool.Default().FindMessageTypeByName(name)
            payload = message_factory.GetMessageClass(kind)()
            event.payload.Unpack(payload)
            found.append((name.rpartition(".")[2], row["aggregate_version"], payload))
        return found

    async def count(self, table: str, organization_id: str) -> int:
        async with self.harness.runtime.db.tenant(organization_id) as tx:
            return await tx.fetchval(f"select count(*) from {table}")

    async def blobs(self, organization_id: str) -> list[str]:
        found = self.harness.runtime.blobs.list(f"documents/{organization_id}/")
        return [blob.key async for blob in found]

    async def admin(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.admin_url)


@pytest.fixture(scope="session")
async def world(stores: Stores) -> AsyncIterator[World]:
    servers, logs = [], {"billing": Log(), "recon": Log()}
    settings = {"AUTH_ADDRESS": "127.0.0.1:9"}  # never asked: the tokens are signed by the test
    for name, log in logs.items():
        server = grpc.aio.server()
        event_pb2_grpc.add_EventLogServiceServicer_to_server(log, server)  # type: ignore[arg-type]
        log.port = server.add_insecure_port(f"127.0.0.1:{free_port()}")
        await server.start()
        servers.append(server)
        settings[f"{name.upper()}_ADDRESS"] = f"127.0.0.1:{log.port}"
    try:
        async with running_services(stores, "invoice", settings=settings) as running:
            harness = running["invoice"]
            yield World(harness, harness.runtime.env["ADMIN_DATABASE_URL"], **logs)
    finally:
        await asyncio.gather(*(server.stop(0) for server in servers))


__all__ = ["World", "complete", "eur", "eventually", "refusal"]
