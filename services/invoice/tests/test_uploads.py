import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice, UploadInvoiceRequest

from libs.pg import uuid7
from libs.testkit import Client
from services.invoice import documents, jobs
from services.invoice.tests import samples
from services.invoice.tests.conftest import Stub, World, complete, refusal

Header = UploadInvoiceRequest.Header
RECEIVED = invoice_pb2.INVOICE_STATE_RECEIVED
RECEIVABLE = invoice_pb2.DIRECTION_RECEIVABLE
MIB = 1_048_576


def large_pdf(size: int) -> bytes:
    """A sound PDF of that size."""
    around = len(samples.raw_pdf(b"q Q"))
    whole = samples.raw_pdf(b"q Q", extra=bytes(size - around - 7))
    return samples.raw_pdf(b"q Q", extra=bytes(2 * size - around - 7 - len(whole)))


async def download(client: Client, invoice_id: str) -> tuple[dict[str, str], set[str], bytes]:
    request = invoice_pb2.DownloadDocumentRequest(invoice_id=invoice_id)
    call = client.DownloadDocument(request)
    parts = [part async for part in call]
    metadata = {key: value for key, value in await call.initial_metadata()}  # noqa: C416
    return metadata, {part.content_type for part in parts}, b"".join(part.data for part in parts)


async def test_an_upload_makes_an_invoice_that_waits_to_be_read(world: World) -> None:
    person, data = world.person(), samples.pdf(uuid7())
    made = await world.upload(person, data, filename="C:\\Belege\\März.pdf", content_type="x/y")
    document = made.document
    assert (made.state, made.etag) == (RECEIVED, "1")
    assert (document.filename, document.content_type) == ("März.pdf", "application/pdf")
    assert document.size_bytes == len(data)
    assert made.job_id
    assert made.creator.startswith("user:")
    assert await world.get(person, made.invoice_id) == made
    [(name, version, fact)] = await world.events(person.organization_id)
    assert (name, version, fact.invoice) == ("InvoiceReceived", 1, made)
    key = f"documents/{person.organization_id}/{document.document_id}"
    assert await world.blobs(person.organization_id) == [key]


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("image/png", samples.image("PNG")),
        ("image/jpeg", samples.image("JPEG")),
        ("image/tiff", samples.image("TIFF", frames=2)),
        ("application/xml", samples.UBL),
    ],
)
async def test_every_kind_is_taken_and_comes_back_as_it_was(
    world: World, content_type: str, data: bytes
) -> None:
    person = world.person()
    made = await world.upload(person, data, chunk=50, filename='Ä "quoted"; a=b.bin')
    assert made.document.content_type == content_type
    metadata, types, body = await download(person, made.invoice_id)
    assert (types, body) == ({content_type}, data)
    named = "attachment; filename*=UTF-8''%C3%84%20%22quoted%22%3B%20a%3Db.bin"
    assert metadata["content-disposition"] == named
    assert metadata["x-content-length"] == str(len(data))


async def test_a_download_is_refused_with_its_reason(world: World) -> None:
    person, stranger = world.person(), world.person()
    by_hand = await world.create(person)
    made = await world.upload(person, samples.pdf(uuid7()))
    assert await refusal(download(person, by_hand.invoice_id)) == "DOCUMENT_NOT_FOUND"
    assert await refusal(download(stranger, made.invoice_id)) == "INVOICE_NOT_FOUND"
    assert await refusal(download(person, "x")) == "INVOICE_NOT_FOUND"
    unable = world.person(person.organization_id, permissions="invoices.write")
    assert await refusal(download(unable, made.invoice_id)) == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("DOCUMENT_EMPTY", b""),
        ("DOCUMENT_TYPE_UNSUPPORTED", b"just text, whatever the name says"),
        ("DOCUMENT_TYPE_UNSUPPORTED", b"PK\3\4" + bytes(100)),
        ("DOCUMENT_ENCRYPTED", samples.pdf(password="secret")),
        ("DOCUMENT_BROKEN", samples.pdf()[:400]),
        ("DOCUMENT_BROKEN", samples.image("PNG", (600, 400))[:-40]),
        ("DOCUMENT_BROKEN", b"<a><b></a>"),
        ("DOCUMENT_FORBIDDEN", samples.XXE),
        ("DOCUMENT_FORBIDDEN", samples.LAUGHS),
        ("DOCUMENT_FORBIDDEN", samples.huge_png()),
        ("DOCUMENT_FORBIDDEN", samples.pdf(pages=201)),
        ("DOCUMENT_FORBIDDEN", samples.flate_bomb()),
        ("DOCUMENT_FORBIDDEN", samples.operator_bomb()),
    ],
)
async def test_a_bad_document_is_refused_and_leaves_nothing(
    world: World, reason: str, data: bytes
) -> None:
    person = world.person()
    assert await refusal(world.upload(person, data, filename="invoice.pdf")) == reason
    assert await world.blobs(person.organization_id) == []
    for table in ("invoices", "documents", "document_counts", "events"):
        assert await world.count(table, person.organization_id) == 0


async def send(client: Client, parts: list[UploadInvoiceRequest]) -> Any:
    return await client.UploadInvoice(iter(parts))


async def test_the_header_comes_first_and_once(world: World) -> None:
    person = world.person()
    header = UploadInvoiceRequest(header=Header(filename="a"))
    chunk = UploadInvoiceRequest(chunk=b"x")
    for parts in ([], [chunk], [chunk, header], [header, chunk, header]):
        assert await refusal(send(person, parts)) == "INVALID_ARGUMENT"
    for wrong in (Header(filename="x" * 201), Header(direction=9)):
        parts = [UploadInvoiceRequest(header=wrong), chunk]
        assert await refusal(send(person, parts)) == "INVALID_ARGUMENT"
    unable = world.person(permissions="invoices.read")
    assert await refusal(send(unable, [header, chunk])) == "PERMISSION_DENIED"


async def test_the_same_bytes_make_one_invoice_per_organization(world: World) -> None:
    person, other, data = world.person(), world.person(), samples.pdf(uuid7())
    first = await world.upload(person, data)
    again = await world.upload(person, data, filename="another name.pdf")
    elsewhere = await world.upload(other, data)
    assert again == first
    assert elsewhere.invoice_id != first.invoice_id
    assert await counted(world, person) == 1
    assert len(await world.blobs(person.organization_id)) == 1
    assert len(await world.events(person.organization_id)) == 1


async def counted(world: World, person: Client) -> int:
    async with world.harness.runtime.db.tenant(person.organization_id) as tx:
        return await tx.fetchval("select coalesce(sum(document_count), 0) from document_counts")


async def test_the_same_bytes_at_the_same_time_make_one_invoice(world: World) -> None:
    person = world.person()
    datas = [samples.pdf(uuid7()) for _ in range(3)]
    answers = await asyncio.gather(*(world.upload(person, data) for data in datas * 6))
    assert len({each.invoice_id for each in answers}) == 3
    assert await world.count("invoices", person.organization_id) == 3
    assert await counted(world, person) == 3
    assert len(await world.blobs(person.organization_id)) == 3
    assert len(await world.events(person.organization_id)) == 3


async def test_a_request_id_is_for_one_document(world: World) -> None:
    person, request_id, data = world.person(), uuid7(), samples.pdf(uuid7())
    first = await world.upload(person, data, request_id=request_id)
    assert await world.upload(person, data, request_id=request_id) == first
    other = world.upload(person, samples.pdf(uuid7()), request_id=request_id)
    assert await refusal(other) == "REQUEST_ID_REUSED"
    wrong = world.upload(person, samples.pdf(uuid7()), request_id="x")
    assert await refusal(wrong) == "INVALID_ARGUMENT"
    assert len(await world.blobs(person.organization_id)) == 1
    assert await world.count("invoices", person.organization_id) == 1


async def test_the_plan_allows_so_many_documents_a_month_and_no_more(world: World) -> None:
    person = world.person()
    db = world.harness.runtime.db
    async with db.tenant(person.organization_id) as tx:
        await tx.execute("insert into entitlements values ($1, 3, 1)", person.organization_id)
    datas = [samples.pdf(uuid7()) for _ in range(8)]
    answers = await asyncio.gather(
        *(world.upload(person, data) for data in datas), return_exceptions=True
    )
    taken = [data for data, each in zip(datas, answers, strict=True) if isinstance(each, Invoice)]
    codes = {each.code() for each in answers if isinstance(each, grpc.aio.AioRpcError)}
    assert len(taken) == 3
    assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert await refusal(world.upload(person, samples.pdf(uuid7()))) == "DOCUMENT_LIMIT_REACHED"
    assert await counted(world, person) == 3
    assert len(await world.blobs(person.organization_id)) == 3
    known = await world.upload(person, taken[0])
    assert known.document.size_bytes == len(taken[0])
    assert (await world.create(person)).etag == "1"  # by hand is no document
    async with db.tenant(person.organization_id) as tx:
        await tx.execute("update entitlements set documents_per_month = 0")
    assert await world.upload(person, samples.pdf(uuid7()))


async def test_without_a_plan_the_setting_limits(world: World) -> None:
    person = world.person()
    async with world.harness.runtime.db.tenant(person.organization_id) as tx:
        await tx.execute(
            """
            insert into document_counts
            values ($1, date_trunc('month', now() at time zone 'utc'), 50)
            """,
            person.organization_id,
        )
    assert await refusal(world.upload(person, samples.pdf(uuid7()))) == "DOCUMENT_LIMIT_REACHED"


def new_peak_bytes() -> int:
    """Forget how much memory this process has had, and return how much it has."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def test_a_document_of_50_mb_is_streamed_in_bounded_memory(world: World) -> None:
    person = world.person()
    data = large_pdf(50_000_000)
    assert len(data) == documents.SIZE_BYTES_MAX
    before = new_peak_bytes()
    made = await world.upload(person, data)
    request = invoice_pb2.DownloadDocumentRequest(invoice_id=made.invoice_id)
    size = 0
    async for part in person.DownloadDocument(request, timeout=60):
        assert len(part.data) <= 256 * 1024
        size += len(part.data)
    assert size == made.document.size_bytes == len(data)
    assert peak_bytes() - before < 40 * MIB


async def test_a_document_is_refused_with_the_byte_that_is_too_many(world: World) -> None:
    person, sent = world.person(), 0

    async def endless() -> AsyncIterator[UploadInvoiceRequest]:
        nonlocal sent
        yield UploadInvoiceRequest(header=Header(filename="a.pdf"))
        while True:
            sent += 262_144
            yield UploadInvoiceRequest(chunk=b"%PDF-" * 52_428 + b"%PDF")

    assert await refusal(person.UploadInvoice(endless(), timeout=60)) == "DOCUMENT_TOO_LARGE"
    assert sent < documents.SIZE_BYTES_MAX + 10 * MIB
    assert await world.blobs(person.organization_id) == []


def spooled_files() -> int:
    links = Path("/proc/self/fd").iterdir()
    found = [str(link.readlink()) for link in links if link.is_symlink()]
    return sum("auditron-document-" in target for target in found)


async def test_an_upload_that_breaks_off_leaves_nothing(world: World) -> None:
    person, begun = world.person(), asyncio.Event()

    async def parts() -> AsyncIterator[UploadInvoiceRequest]:
        yield UploadInvoiceRequest(header=Header(filename="a.pdf"))
        yield UploadInvoiceRequest(chunk=samples.pdf())
        begun.set()
        await asyncio.sleep(60)

    call = person.UploadInvoice(parts(), timeout=60)
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for _ in range(100):
        if not spooled_files():
            break
        await asyncio.sleep(0.02)
    assert spooled_files() == 0
    assert await world.count("invoices", person.organization_id) == 0
    assert await world.blobs(person.organization_id) == []


async def test_the_sweeper_deletes_old_objects_that_no_row_names(world: World) -> None:
    person, runtime = world.person(), world.harness.runtime
    made = await world.upload(person, samples.pdf(uuid7()))
    lost = documents.key_of(person.organization_id, uuid7())
    await runtime.blobs.put_bytes(lost, b"an upload that ended before its row", "application/pdf")
    named = documents.key_of(person.organization_id, made.document.document_id)
    now = datetime.now(UTC)
    await jobs.sweep_documents(runtime.db, runtime.blobs, now)
    assert sorted(await world.blobs(person.organization_id)) == sorted([named, lost])
    await jobs.sweep_documents(runtime.db, runtime.blobs, now + timedelta(hours=2))
    assert await world.blobs(person.organization_id) == [named]


async def test_an_upload_is_as_good_as_a_retry_of_one_whose_answer_was_lost(world: World) -> None:
    """The object of a broken attempt lies there; the next attempt does not mind it."""
    person, data = world.person(), samples.pdf(uuid7())
    lost = documents.key_of(person.organization_id, uuid7())
    await world.harness.runtime.blobs.put_bytes(lost, data, "application/pdf")
    made = await world.upload(person, data)
    assert complete().state != made.state == RECEIVED
    assert await counted(world, person) == 1


# Pages of another document.


def cutter(world: World, person: Client) -> Client:
    """The agent, at work for a person."""
    organization_id = person.organization_id
    return world.harness.service_client(Stub, "agent", organization_id, on_behalf_of="user:u1")


async def test_cut_pages_say_whose_they_are_and_are_their_senders(world: World) -> None:
    person = world.person()
    whole = await world.upload(person, samples.pdf(uuid7(), pages=4), direction=RECEIVABLE)
    assert not whole.document.source_invoice_id
    agent, pages = cutter(world, person), of(whole, 3, 4)
    made = await world.upload(agent, samples.pdf(uuid7(), pages=2), **pages)
    document = made.document
    assert (document.source_invoice_id, document.first_page, document.last_page) == (
        whole.invoice_id, 3, 4,
    )  # fmt: skip
    assert (made.creator, made.direction) == ("user:u1", RECEIVABLE)
    assert await world.get(person, made.invoice_id) == made
    assert await world.get(person, whole.invoice_id) == whole
    async with world.harness.runtime.db.tenant(person.organization_id) as tx:
        actors = await tx.fetch("select actor from events order by seq")
        row = await tx.fetchrow("select * from documents order by document_id desc limit 1")
    assert [each["actor"] for each in actors] == [whole.creator, "user:u1"]
    assert (str(row["source_invoice_id"]), row["first_page"], row["last_page"]) == (
        whole.invoice_id, 3, 4,
    )  # fmt: skip
    read = invoice_pb2.RecordReadingRequest(
        invoice_id=made.invoice_id,
        job_id=made.job_id,
        invoice=complete(direction=invoice_pb2.DIRECTION_PAYABLE),
    )
    found = await world.agent(person.organization_id).RecordReading(read)
    assert found.direction == RECEIVABLE  # as the sender of the whole file said
    assert found.warnings[0].startswith("it was cut from pages 3-4 of a file with several")


async def test_a_direction_that_nobody_said_is_read_of_each_document(world: World) -> None:
    person = world.person()
    whole = await world.upload(person, samples.pdf(uuid7(), pages=2))
    made = await world.upload(person, samples.pdf(uuid7()), **of(whole, 2, 2))
    assert made.direction == invoice_pb2.DIRECTION_PAYABLE
    read = invoice_pb2.RecordReadingRequest(
        invoice_id=made.invoice_id, job_id=made.job_id, invoice=complete(direction=RECEIVABLE)
    )
    found = await world.agent(person.organization_id).RecordReading(read)
    assert found.direction == RECEIVABLE
    assert found.warnings[0].startswith("it was cut from page 2 of a file with several")


async def test_the_same_pages_make_one_invoice_however_they_were_cut(world: World) -> None:
    person = world.person()
    whole = await world.upload(person, samples.pdf(uuid7(), pages=4))
    pages, request_id = of(whole, 3, 4), uuid7()
    first = await world.upload(person, samples.pdf(uuid7()), request_id=request_id, **pages)
    async with world.harness.runtime.db.tenant(person.organization_id) as tx:
        await tx.execute("insert into entitlements values ($1, 2, 1)", person.organization_id)
    for again in ({"request_id": request_id}, {"request_id": uuid7()}, {}):
        assert await world.upload(person, samples.pdf(uuid7()), **pages, **again) == first
    assert await counted(world, person) == 2
    assert len(await world.blobs(person.organization_id)) == 2
    other = world.upload(person, samples.pdf(uuid7()), **of(whole, 2, 4))
    assert await refusal(other) == "DOCUMENT_LIMIT_REACHED"


async def test_the_same_pages_at_the_same_time_make_one_invoice(world: World) -> None:
    person = world.person()
    whole = await world.upload(person, samples.pdf(uuid7(), pages=4))
    datas = [samples.pdf(uuid7()) for _ in range(6)]
    answers = await asyncio.gather(
        *(world.upload(person, data, **of(whole, 3, 4)) for data in datas)
    )
    assert len({each.invoice_id for each in answers}) == 1
    assert len(await world.blobs(person.organization_id)) == 2


async def test_bytes_that_were_there_before_stay_one_invoice_as_pages_too(world: World) -> None:
    person, data = world.person(), samples.pdf(uuid7())
    alone = await world.upload(person, data)
    whole = await world.upload(person, samples.pdf(uuid7(), pages=2))
    assert await world.upload(person, data, **of(whole, 2, 2)) == alone
    cut = await world.upload(person, samples.pdf(uuid7()), **of(whole, 1, 1))
    assert await world.upload(person, data, **of(whole, 1, 1)) == cut


async def test_cut_pages_must_be_of_a_document_of_the_organization(world: World) -> None:
    person, stranger = world.person(), world.person()
    by_hand = await world.create(person)
    whole = await world.upload(person, samples.pdf(uuid7(), pages=4))
    data = samples.pdf(uuid7())
    for wrong in (
        of(whole, 0, 0), of(whole, 3, 2), of(whole, 0, 2), of(whole, -1, 2), of(whole, 1, 0),
        {"source_invoice_id": "x", "first_page": 1, "last_page": 1},
        {"first_page": 1, "last_page": 1},
    ):  # fmt: skip
        assert await refusal(world.upload(person, data, **wrong)) == "INVALID_ARGUMENT"
    for unknown, reason in (
        ({**of(whole, 1, 1), "source_invoice_id": uuid7()}, "INVOICE_NOT_FOUND"),
        (of(by_hand, 1, 1), "DOCUMENT_NOT_FOUND"),
    ):
        assert await refusal(world.upload(person, data, **unknown)) == reason
    assert await refusal(world.upload(stranger, data, **of(whole, 1, 1))) == "INVOICE_NOT_FOUND"
    capitals = {**of(whole, 1, 1), "source_invoice_id": whole.invoice_id.upper()}
    made = await world.upload(person, data, **capitals)
    assert made.document.source_invoice_id == whole.invoice_id
    assert len(await world.blobs(stranger.organization_id)) == 0


def of(invoice: Invoice, first_page: int, last_page: int) -> dict[str, Any]:
    """What the header of an upload says of pages that were cut from an invoice's document."""
    return {
        "source_invoice_id": invoice.invoice_id, "first_page": first_page, "last_page": last_page
    }  # fmt: skip
