"""agent beside a real invoice service, with a webhook receiver, a mail server and a model."""

import io
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import grpc
import pypdfium2
import pytest
from auditron.agent.v1 import agent_pb2, agent_pb2_grpc
from auditron.invoice.v1 import invoice_pb2, invoice_pb2_grpc

from libs.pg import uuid7
from libs.testkit import Client, Harness, Stores, eventually, running_services
from services.agent import store
from services.agent.tests.peers import HttpPeer, Mailbox

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
OWN_NAME = "Harbour Lane Trading GmbH"
# Documents that are put into one file, and what they say.
THREE = ("01-*.pdf", "09-*.pdf", "02-*.pdf")
SAID = [("PN-2026-0417", "487.51"), ("HL-2026-0203", "804.00"), ("F2026/0931", "470.40")]
# The logs that are followed; nobody listens there.
PEERS = {f"{name}_ADDRESS": "127.0.0.1:9" for name in ("AUTH", "RECON", "BILLING", "REPORTING")} | {
    "AGENT_SERVICE_SECRET": "the agent's own"
}


@dataclass
class Company:
    """An organization's two clients."""

    organization_id: str
    invoices: Client
    agent: Client
    user_id: str

    async def upload(self, data: bytes, filename: str, **header: object) -> invoice_pb2.Invoice:
        return await self.invoices.UploadInvoice(chunks(data, filename, **header))

    async def upload_example(self, name: str) -> invoice_pb2.Invoice:
        [file] = EXAMPLES.glob(name)
        return await self.upload(file.read_bytes(), file.name)

    async def ended(self, job_id: str, within_s: float = 30) -> agent_pb2.Job:
        return await eventually(
            lambda: self.job(job_id), lambda job: bool(job) and job.state in store.ENDED, within_s
        )

    async def job(self, job_id: str) -> agent_pb2.Job | None:
        try:
            return await self.agent.GetJob(agent_pb2.GetJobRequest(job_id=job_id))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None

    async def invoice(self, invoice_id: str) -> invoice_pb2.Invoice:
        return await self.invoices.GetInvoice(invoice_pb2.GetInvoiceRequest(invoice_id=invoice_id))

    async def read(self, name: str) -> tuple[agent_pb2.Job, invoice_pb2.Invoice]:
        """Upload an example and wait until it is read."""
        uploaded = await self.upload_example(name)
        job = await self.ended(uploaded.job_id)
        return job, await self.invoice(uploaded.invoice_id)


def merged(*names: str) -> bytes:
    """The pages of examples in one file, each time another."""
    made = pypdfium2.PdfDocument.new()
    for name in names:
        [file] = EXAMPLES.glob(name)
        made.import_pages(pypdfium2.PdfDocument(file.read_bytes()))
    out = io.BytesIO()
    made.save(out)
    return out.getvalue() + f"\n% {uuid7()}\n".encode()


def chunks(data: bytes, filename: str, **header: object) -> Iterable[object]:
    yield invoice_pb2.UploadInvoiceRequest(header={"filename": filename, **header})
    for at in range(0, len(data), 200_000):
        yield invoice_pb2.UploadInvoiceRequest(chunk=data[at : at + 200_000])


async def company(services: dict[str, Harness], **own: object) -> Company:
    """A new organization that agent has heard of."""
    organization_id, user_id = uuid7(), uuid7()
    own = {"display_name": OWN_NAME, "base_currency_code": "EUR"} | own
    db = services["agent"].runtime.db
    async with db.tenant(organization_id) as tx:
        await store.upsert_organization(tx, organization_id, store.Organization(**own), 1)
    who = {"organization_id": organization_id, "user_id": user_id}
    return Company(
        organization_id,
        services["invoice"].client(invoice_pb2_grpc.InvoiceServiceStub, **who),
        services["agent"].client(agent_pb2_grpc.AgentServiceStub, **who),
        user_id,
    )


@pytest.fixture
def silence(monkeypatch):
    """A name server that answers nobody about *.example before it is told to."""
    asked: list[str] = []
    told, known = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host, *rest, flags=0, **options):
        if flags & socket.AI_NUMERICHOST or not str(host).endswith(".example"):
            return known(host, *rest, flags=flags, **options)
        asked.append(host)
        told.wait()
        raise socket.gaierror("nobody of that name")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield SimpleNamespace(asked=asked, told=told)
    told.set()


@pytest.fixture(scope="session")
async def receiver():
    peer = await HttpPeer().start()
    yield peer
    await peer.stop()


@pytest.fixture(scope="session")
async def mailbox():
    box = await Mailbox().start()
    yield box
    await box.stop()


@pytest.fixture(scope="session")
async def services(stores: Stores, mailbox):
    settings = PEERS | {"AGENT_WEBHOOK_ALLOW_PRIVATE": "1", "SMTP_URL": mailbox.url}
    async with running_services(stores, "invoice", "agent", settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
def agent(services) -> Harness:
    return services["agent"]


@pytest.fixture
async def acme(services) -> Company:
    return await company(services)
