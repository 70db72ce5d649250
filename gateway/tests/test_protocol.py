import asyncio
import contextlib
import gc
import resource
import socket
import tracemalloc
from collections.abc import AsyncIterator
from http.client import HTTPConnection

import httpx
import pytest
from auditron.invoice.v1 import invoice_pb2

from gateway import asgi, protocol
from gateway.protocol import Protocol
from gateway.routes import contracts, routes_of
from gateway.tests.conftest import Person, World, answers, running_gateway, said
from gateway.tests.test_app import reason_in
from gateway.uploads import FORM_BYTES_MAX

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes tenths of them."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    monkeypatch.setattr(protocol, "LEFT_S", 0.3)
    monkeypatch.setattr(asgi, "BODY_S", 0.3)


class Wire:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        async with asyncio.timeout(3):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
            body = await self.reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
        return int(head.split()[1]), body

    async def pour(self, data: bytes, times: int, pause_s: float = 0) -> None:
        """Send the same again and again."""
        for _ in range(times):
            await self.send(data)
            await asyncio.sleep(pause_s)

    async def closed(self, within_s: float = 3) -> bool:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(within_s):
                while await self.reader.read(65_536):
                    pass
        return True


@pytest.fixture
async def wire(world: World) -> AsyncIterator[Wire]:
    found = Wire(*await asyncio.open_connection("127.0.0.1", world.port))
    yield found
    found.writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS handshake
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HELLO\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n : b\r\n\r\n",
        b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/login HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_ended(world: World, data: bytes):
    answer = await said(world.port, data)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"connection: close" in answer.lower()
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "data",
    [
        GET + b"A: " + b"x" * 20_000 + b"\r\n\r\n",
        GET + b"".join(b"A%d: x\r\n" % number for number in range(200)) + b"\r\n",
        GET + b"".join(b"A%d: %s\r\n" % (number, b"x" * 1_000) for number in range(20)) + b"\r\n",
        b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        GET + b"A: " + b"x" * 5_000_000,
        GET + b"x" * 5_000_000,
        b"GET /" + b"x" * 5_000_000,
    ],
)
async def test_a_head_that_is_too_long_is_refused_before_it_has_ended(world: World, data: bytes):
    answer = await said(world.port, data)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), answer[:100]


async def test_a_head_without_end_is_cut_off(wire: Wire):
    await wire.send(GET + b"A: ")
    with pytest.raises(ConnectionError):
        await wire.pour(b"x" * 10_000, 2_000)


async def test_the_longest_token_that_is_taken_fits_in(world: World):
    headers = {"Authorization": "Bearer " + "a" * 7_900, "Cookie": "c" * 7_000}
    answer = await world.http.get("/v1/users/me", headers=headers)
    assert (answer.status_code, reason_in(answer)) == (401, "TOKEN_INVALID")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("data", [b"", b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost"])
async def test_a_head_that_does_not_come_is_not_waited_for(world: World, data: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    wire = Wire(reader, writer)
    await wire.send(data)
    assert await wire.closed()
    writer.close()


@pytest.mark.usefixtures("hurried")
async def test_a_head_that_drips_is_not_waited_for(wire: Wire):
    await wire.send(b"GET /")
    with pytest.raises(ConnectionError):
        await wire.pour(b"x", 100, 0.05)


@pytest.mark.usefixtures("hurried")
async def test_the_second_head_on_a_connection_is_not_waited_for_longer(wire: Wire):
    await wire.send(GET + b"\r\n")
    assert (await wire.answer())[0] == 200
    await wire.send(b"GET /heal")
    assert await wire.closed()


@pytest.mark.usefixtures("hurried")
async def test_line_ends_alone_do_not_keep_a_connection(wire: Wire):
    await wire.send(GET + b"\r\n")
    await wire.answer()
    with pytest.raises(ConnectionError):
        await wire.pour(b"\r\n", 100, 0.05)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_answered_408(wire: Wire, length: str):
    head = f"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{length}\r\n"
    await wire.send(head.encode() + b"\r\n")
    status, body = await wire.answer()
    assert status == 408
    assert b"BODY_TOO_SLOW" in body
    assert await wire.closed()


async def test_a_chunked_body_beyond_the_limit_is_answered_413(world: World, wire: Wire):
    head = b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    await wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(21):
        await wire.send(b"c350\r\n" + b" " * 50_000 + b"\r\n")
    status, body = await wire.answer()
    assert status == 413
    assert b"BODY_TOO_LARGE" in body
    await wire.send(b"0\r\n\r\n" + GET + b"\r\n")  # the connection still serves
    assert (await wire.answer())[0] == 200


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_who_sends_all_before_it_reads_gets_an_early_answer(world: World, connection: str):
    size, piece = 40_000_000, bytes(100_000)

    def ask() -> tuple[int, bytes]:
        http = HTTPConnection("127.0.0.1", world.port, timeout=20)
        headers = {"Connection": connection, "Content-Length": str(size)}
        http.request("POST", "/v1/login", (piece for _ in range(size // len(piece))), headers)
        answer = http.getresponse()
        found = answer.status, answer.read()
        http.close()
        return found

    tracemalloc.start()
    status, body = await asyncio.to_thread(ask)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert status == 413
    assert b"BODY_TOO_LARGE" in body
    assert peak < 5_000_000


def test_the_rest_of_the_longest_body_is_thrown_away():
    longest = max(route.body_bytes_max for route in routes_of(contracts()))
    assert longest + FORM_BYTES_MAX < protocol.LEFT_BYTES_MAX


async def test_a_last_answer_ends_the_connection_once_the_body_has_come(wire: Wire):
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    await wire.send(head + b"Content-Length: 200000\r\n\r\n")
    assert (await wire.answer())[0] == 404
    await wire.send(b" " * 200_000 + GET + b"\r\n")  # what follows the last request is none
    async with asyncio.timeout(3):
        assert await wire.reader.read() == b""


@pytest.mark.usefixtures("hurried")
async def test_the_body_behind_a_last_answer_is_not_waited_for_long(wire: Wire):
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    await wire.send(head + b"Content-Length: 200000\r\n\r\n")
    assert (await wire.answer())[0] == 404
    assert await wire.closed()


@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
async def test_a_body_that_never_ends_is_not_thrown_away_for_ever(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, connection: bytes
):
    monkeypatch.setattr(protocol, "LEFT_BYTES_MAX", 3_000_000)
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n" % connection
    await wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
    assert (await wire.answer())[0] == 404
    with pytest.raises(ConnectionError):
        await wire.pour(b"186a0\r\n" + b" " * 100_000 + b"\r\n", 1_000)


@pytest.mark.parametrize(
    "data",
    [
        b"0\r\nTrailer: " + b"x" * 1_000_000,
        b"0\r\n" + b"T: x\r\n" * 200_000,
        b"1;" + b"e" * 1_000_000,
        b"1;e=x\r\na\r\n" * 200_000,
    ],
)
async def test_what_lies_around_a_body_may_not_grow(world: World, data: bytes):
    head = b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    gc.collect()
    answer = await said(world.port, head + b"Transfer-Encoding: chunked\r\n\r\n" + data, 1)
    assert answer[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 413"), answer[:200]


async def test_small_pieces_are_taken(wire: Wire):
    body = b'{"email": "a@example.com", "password": "wrong password"}'
    head = b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    await wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
    for byte in body:
        await wire.send(b"1\r\n%c\r\n" % byte)
    await wire.send(b"0\r\n\r\n")
    assert (await wire.answer())[0] == 401


async def test_requests_behind_one_another_are_answered_in_order(wire: Wire):
    await wire.send((GET + b"\r\n") * 20 + b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [(await wire.answer())[0] for _ in range(21)] == [200] * 20 + [404]


async def test_long_bodies_behind_one_another_are_no_attack(wire: Wire):
    body = b" " * 400_000
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(10):
        await wire.send((head + body) * 2)
        assert [(await wire.answer())[0] for _ in range(2)] == [404, 404]


async def test_a_head_that_begins_behind_a_body_is_waited_for(wire: Wire):
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
    await wire.send(head + b" " * 200_000 + GET)
    assert (await wire.answer())[0] == 404
    await wire.send(b"\r\n")
    assert (await wire.answer())[0] == 200


async def test_what_is_no_http_behind_a_request_ends_the_connection(wire: Wire):
    await wire.send(GET + b"\r\n")
    assert (await wire.answer())[0] == 200
    await wire.send(b"NONSENSE\r\n\r\n")
    assert (await wire.answer())[0] == 400
    assert await wire.closed()


async def test_a_request_in_a_body_is_no_request(world: World, wire: Wire):
    inner = GET + b"\r\n"
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner)
    await wire.send(head + inner + b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await wire.answer())[0] == 404
    status, body = await wire.answer()
    assert (status, body[:9]) == (200, b"<!doctype")


async def test_who_asks_first_is_told_to_go_on(world: World, person: Person, wire: Wire):
    world.services["invoice"].on["CreateInvoice"] = answers(invoice_pb2.Invoice(invoice_id="i1"))
    head = "POST /v1/invoices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Authorization: {person.headers['Authorization']}\r\n"
    head += "Expect: 100-continue\r\nContent-Length: 2\r\n"
    await wire.send(head.encode() + b"\r\n")
    assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wire.send(b"{}")
    assert (await wire.answer())[0] == 200
    refused = Wire(*await asyncio.open_connection("127.0.0.1", world.port))
    await refused.send(head.encode().replace(b"Authorization", b"X-Nothing") + b"\r\n")
    assert (await refused.answer())[0] == 401  # before the body is sent
    refused.writer.close()


async def test_a_client_that_does_not_take_its_answer_is_let_go(world: World, person: Person):
    big = invoice_pb2.Invoice(warnings=["x" * 1_000] * 3_000)
    world.services["invoice"].on["GetInvoice"] = answers(big)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", world.port))
    protocols = {found for found in gc.get_objects() if isinstance(found, Protocol)}
    head = "GET /v1/invoices/i1 HTTP/1.1\r\nHost: x\r\n"
    head += f"Authorization: {person.headers['Authorization']}\r\n\r\n"
    await loop.sock_sendall(sock, head.encode())
    await asyncio.sleep(0.5)
    stuck = [found for found in protocols if found.transport.get_write_buffer_size()]
    assert len(stuck) == 1
    stuck[0].timeout_keep_alive_handler()
    await asyncio.sleep(0.1)
    assert stuck[0].transport.is_closing()
    assert not stuck[0].transport.get_write_buffer_size()
    sock.close()


async def test_too_many_connections_are_not_taken(world: World):
    async with running_gateway(world.env, connections_max=3) as (_, url):
        try:
            port = int(url.rpartition(":")[2])
            held = [Wire(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(3)]
            for wire in held:
                await wire.send(GET + b"\r\n")
                assert (await wire.answer())[0] == 200
            more = Wire(*await asyncio.open_connection("127.0.0.1", port))
            assert await more.closed()
            held[0].writer.close()
            await asyncio.sleep(0.1)
            async with httpx.AsyncClient(base_url=url) as http:
                assert (await http.get("/healthz")).status_code == 200
            for wire in [*held, more]:
                wire.writer.close()
        finally:
            Protocol.connections_max = 20_000


async def test_memory_does_not_grow_with_hostile_clients(world: World):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(30):
        await said(world.port, GET + b"A: " + b"x" * 3_000_000, 0.5)
        await said(
            world.port, b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", 0.01
        )
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 60_000  # KiB
