import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from auditron.auth.v1 import auth_pb2
from auditron.invoice.v1 import invoice_pb2
from auditron.recon.v1 import recon_pb2
from google.rpc import code_pb2

from gateway import asgi
from gateway.tests.conftest import Person, World, fails, running_gateway, said
from gateway.tests.test_app import reason_in
from libs.rpc import Fault
from libs.testkit import eventually

KEY = "0192f0c0-0000-7000-8000-00000000000a"
UPLOAD = "/v1/invoices:upload"


class DocumentBroken(Fault):
    code, reason = code_pb2.INVALID_ARGUMENT, "DOCUMENT_BROKEN"


class Taken:
    """What an upload's RPC got."""

    def __init__(self) -> None:
        self.header: Any = None
        self.sizes: list[int] = []
        self.sha = hashlib.sha256()
        self.cancelled = False
        self.ended = False

    async def upload(self, requests: AsyncIterator[Any], _: Any) -> Any:
        try:
            async for request in requests:
                if request.WhichOneof("part") == "header":
                    assert self.header is None
                    self.header = request.header
                else:
                    assert self.header is not None
                    self.sizes.append(len(request.chunk))
                    self.sha.update(request.chunk)
            await asyncio.sleep(0.05)  # as who stores what came; a cancelled call ends here
            self.ended = True
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return invoice_pb2.Invoice(invoice_id="i1")


@pytest.fixture
def taken(world: World) -> Taken:
    found = Taken()
    world.services["invoice"].on["UploadInvoice"] = found.upload
    world.services["recon"].on["ImportStatement"] = import_by(found)
    return found


def import_by(taken: Taken) -> Any:
    async def do(requests: Any, context: Any) -> Any:
        await taken.upload(requests, context)
        return recon_pb2.Statement(statement_id="s1")

    return do


async def pieces(size: int, piece: int = 60_000, pause_s: float = 0) -> AsyncIterator[bytes]:
    """A body of so many bytes, without a length."""
    while size > 0:
        yield bytes(min(piece, size))
        size -= piece
        await asyncio.sleep(pause_s)


async def test_a_raw_body_becomes_a_header_and_chunks(world: World, person: Person, taken: Taken):
    body = bytes(range(256)) * 3_000
    headers = person.headers | {
        "Content-Type": "application/pdf",
        "Content-Disposition": 'attachment; filename="a b.pdf"',
        "Idempotency-Key": KEY,
    }
    answer = await world.http.post(
        f"{UPLOAD}?direction=DIRECTION_RECEIVABLE", content=body, headers=headers
    )
    assert (answer.status_code, answer.json()) == (200, {"invoice_id": "i1"})
    assert taken.header == invoice_pb2.UploadInvoiceRequest.Header(
        filename="a b.pdf", content_type="application/pdf", direction=2, request_id=KEY
    )
    assert taken.sha.digest() == hashlib.sha256(body).digest()
    assert taken.sizes == [262_144, 262_144, 243_712]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename*=UTF-8''M%C3%BCller%20%22a%22.pdf", 'Müller "a".pdf'),
        ("attachment; filename=\"x.pdf\"; FileName* = utf-8'de'%E8%AB%8B.pdf", "請.pdf"),
        ("attachment; filename*=ISO-8859-1''%FC.pdf; filename=x.pdf", "ü.pdf"),
        ("attachment; filename*=UTF-8''%FF; filename=x.pdf", "x.pdf"),
        ("attachment; filename*=UTF-16''a; filename=x.pdf", "x.pdf"),
        ("attachment; filename=\"a; filename*=UTF-8''b\"", "a; filename*=UTF-8''b"),
        ("attachment", ""),
    ],
)
async def test_a_name_may_be_given_in_either_form(
    world: World, person: Person, taken: Taken, disposition: str, name: str
):
    headers = person.headers | {"Content-Disposition": disposition}
    answer = await world.http.post(UPLOAD, content=b"x", headers=headers)
    assert answer.status_code == 200, answer.text
    assert taken.header.filename == name


async def test_a_form_becomes_a_header_and_chunks(world: World, person: Person, taken: Taken):
    body = b"\r\n--x" * 100_000
    answer = await world.http.post(
        UPLOAD,
        data={"direction": "DIRECTION_PAYABLE"},
        files={"file": ("Müller.xml", body, "text/xml")},
        headers=person.headers,
    )
    assert answer.status_code == 200, answer.text
    expected = {"filename": "Müller.xml", "content_type": "text/xml", "direction": 1}
    assert taken.header == invoice_pb2.UploadInvoiceRequest.Header(**expected)
    assert taken.sha.digest() == hashlib.sha256(body).digest()
    assert max(taken.sizes) <= 262_144


async def test_the_path_is_part_of_the_header(world: World, person: Person, taken: Taken):
    answer = await world.http.post(
        "/v1/bank_accounts/b1/statements:import?filename=x.csv",
        content=b"a;b",
        headers=person.headers,
    )
    assert answer.json() == {"statement_id": "s1"}
    assert (taken.header.bank_account_id, taken.header.filename) == ("b1", "x.csv")


async def test_an_empty_body_is_a_header_alone(world: World, person: Person, taken: Taken):
    answer = await world.http.post(UPLOAD, headers=person.headers)
    assert answer.status_code == 200
    assert taken.header is not None
    assert taken.sizes == []


@pytest.mark.parametrize("query", ["nothing=1", "direction=UP", "request_id=1&request_id=2"])
async def test_a_wrong_parameter_is_named(world: World, person: Person, taken: Taken, query: str):
    answer = await world.http.post(f"{UPLOAD}?{query}", content=b"x", headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (400, "INVALID_ARGUMENT")
    assert taken.header is None


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


FILE = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
FIELD = b'Content-Disposition: form-data; name="direction"\r\n\r\n1'
MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (form(FIELD), MULTIPART, "FORM_WRONG"),
        (form(FILE, FIELD), MULTIPART, "FORM_WRONG"),
        (form(FILE, FILE), MULTIPART, "FORM_WRONG"),
        (form(FILE, end=b""), MULTIPART, "FORM_WRONG"),
        (form(*[FIELD] * 60, FILE), MULTIPART, "FORM_WRONG"),
        (form(FIELD + b"x" * 10_000, FILE), MULTIPART, "FORM_WRONG"),
        (form(b"X: " + b"y" * 20_000 + b"\r\n\r\n", FILE), MULTIPART, "FORM_WRONG"),
        (form(FIELD.replace(b"direction", b"nothing"), FILE), MULTIPART, "INVALID_ARGUMENT"),
        (form(FIELD, FIELD, FILE), MULTIPART, "INVALID_ARGUMENT"),
        (b"no form", MULTIPART, "FORM_WRONG"),
        (b"", MULTIPART, "FORM_WRONG"),
        (form(FILE), "multipart/form-data", "FORM_WRONG"),
        (form(FILE), f"multipart/form-data; boundary={'x' * 300}", "FORM_WRONG"),
        (b"--x\r\nbad header\r\n\r\n", MULTIPART, "FORM_WRONG"),
    ],
)
async def test_a_form_that_is_not_as_we_take_it_is_refused(
    world: World, person: Person, taken: Taken, body: bytes, content_type: str, reason: str
):
    headers = person.headers | {"Content-Type": content_type}
    answer = await world.http.post(UPLOAD, content=body, headers=headers)
    assert (answer.status_code, reason_in(answer)) == (400, reason)
    assert not taken.ended


async def test_a_body_that_says_that_it_is_too_long_is_refused_at_once(
    world: World, person: Person, taken: Taken
):
    head = f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: 50000001\r\n"
    head += f"Authorization: {person.headers['Authorization']}\r\n\r\n"
    answer = await said(world.port, head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"BODY_TOO_LARGE" in answer
    assert taken.sizes == []


async def test_a_body_that_turns_out_too_long_is_cut_off_and_its_call_cancelled(
    world: World, person: Person
):
    received = 0

    async def upload(requests: Any, context: Any) -> Any:
        nonlocal received
        async for request in requests:
            received += len(request.chunk)
        return auth_pb2.User()

    world.services["invoice"].on["UploadInvoice"] = upload
    route = world.app._router.find("POST", UPLOAD)[0]
    object.__setattr__(route, "body_bytes_max", 1_000_000)
    try:
        for extra in ({}, {"Content-Type": MULTIPART}):
            body = pieces(3_000_000)
            if extra:

                async def formed(data: Any = body) -> AsyncIterator[bytes]:
                    yield b"--x\r\n" + FILE
                    async for piece in data:
                        yield piece

                body = formed()
            answer = await world.http.post(UPLOAD, content=body, headers=person.headers | extra)
            assert (answer.status_code, reason_in(answer)) == (413, "BODY_TOO_LARGE")
        assert received <= 2_000_000
    finally:
        object.__setattr__(route, "body_bytes_max", 50_000_000)


async def test_the_picture_has_its_own_limit(world: World, person: Person):
    answer = await world.http.post(
        "/v1/users/me/picture", content=bytes(2_000_001), headers=person.headers
    )
    assert (answer.status_code, reason_in(answer)) == (413, "BODY_TOO_LARGE")
    answer = await world.http.post(
        "/v1/users/me/picture", content=b"no picture", headers=person.headers
    )
    assert (answer.status_code, reason_in(answer)) == (400, "PICTURE_INVALID")


async def test_a_service_that_refuses_early_is_heard_while_the_body_still_comes(
    world: World, person: Person
):
    world.services["invoice"].on["UploadInvoice"] = fails(DocumentBroken("Broken."))
    answer = await world.http.post(UPLOAD, content=pieces(5_000_000), headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (400, "DOCUMENT_BROKEN")
    key = await world.api_key(person, "invoices.read")
    answer = await world.http.post(
        UPLOAD, content=pieces(5_000_000), headers={"X-Api-Key": key["key"]}
    )
    assert (answer.status_code, reason_in(answer)) == (403, "PERMISSION_DENIED")


async def test_a_client_that_goes_cancels_the_call(world: World, person: Person, taken: Taken):
    sending = asyncio.create_task(
        world.http.post(UPLOAD, content=pieces(10**7, 300_000, 0.05), headers=person.headers)
    )

    async def sizes() -> list[int]:
        return taken.sizes

    await eventually(sizes)
    sending.cancel()

    async def cancelled() -> bool:
        return taken.cancelled

    await eventually(cancelled, within_s=3)
    assert not taken.ended


async def test_a_client_that_goes_while_the_service_thinks_cancels_the_call(
    world: World, person: Person
):
    states: list[str] = []

    async def think(requests: Any, context: Any) -> Any:
        async for _ in requests:
            pass
        states.append("thinking")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            states.append("cancelled")
            raise

    world.services["invoice"].on["UploadInvoice"] = think
    sending = asyncio.create_task(world.http.post(UPLOAD, content=b"x", headers=person.headers))

    async def begun() -> list[str]:
        return states

    await eventually(begun)
    sending.cancel()
    await eventually(begun, lambda found: "cancelled" in found, within_s=3)


async def test_a_body_that_stops_coming_is_given_up(
    world: World, person: Person, taken: Taken, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asgi, "IDLE_S", 0.3)

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(3)

    answer = await world.http.post(UPLOAD, content=stuck(), headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (408, "BODY_TOO_SLOW")
    assert not taken.ended


async def test_a_body_that_drips_is_given_up(
    world: World, person: Person, taken: Taken, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asgi, "IDLE_S", 0.3)
    answer = await world.http.post(UPLOAD, content=pieces(100, 1, 0.02), headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (408, "BODY_TOO_SLOW")


async def test_a_slow_service_holds_the_sender_back_and_memory_stays_small(
    world: World, person: Person
):
    received = 0

    async def slow(requests: Any, context: Any) -> Any:
        nonlocal received
        async for request in requests:
            received += len(request.chunk)
            await asyncio.sleep(0.005)
        return invoice_pb2.Invoice(invoice_id="i1")

    world.services["invoice"].on["UploadInvoice"] = slow
    body = pieces(30_000_000, 100_000)
    tracemalloc.start()
    answer = await world.http.post(UPLOAD, content=body, headers=person.headers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 200
    assert received == 30_000_000
    assert peak < 12_000_000  # what waits, waits in the kernel's buffers


async def test_uploads_that_a_service_is_down_for_are_503(world: World, person: Person):
    env = world.env | {"INVOICE_ADDRESS": "127.0.0.1:1"}
    async with running_gateway(env) as (_, url), httpx.AsyncClient(base_url=url) as http:
        answer = await http.post(UPLOAD, content=pieces(1_000_000), headers=person.headers)
        assert (answer.status_code, reason_in(answer)) == (503, "UNAVAILABLE")
