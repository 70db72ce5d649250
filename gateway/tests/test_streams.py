import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from auditron.agent.v1 import agent_pb2
from google.api import httpbody_pb2
from google.rpc import code_pb2
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import asgi, streams
from gateway.tests.conftest import Person, World, running_gateway
from gateway.tests.test_app import InvoiceNotFound, reason_in
from libs.rpc import Fault
from libs.testkit import eventually

DOCUMENT = "/v1/invoices/i1/document"
WATCH = "/v1/jobs/j1:watch"


class JobNotFound(Fault):
    code, reason = code_pb2.NOT_FOUND, "JOB_NOT_FOUND"


class StreamIdle(Fault):
    code, reason = code_pb2.DEADLINE_EXCEEDED, "STREAM_IDLE"


def file_of(*chunks: bytes, then: Exception | None = None, **metadata: str) -> Any:
    async def send(request: Any, context: Any) -> AsyncIterator[Any]:
        said = [(key.replace("_", "-"), value) for key, value in metadata.items()]
        await context.send_initial_metadata(said)
        for number, chunk in enumerate(chunks):
            kind = "application/pdf" if number == 0 else ""
            yield httpbody_pb2.HttpBody(content_type=kind, data=chunk)
        if then:
            raise then

    return send


def jobs_of(*states: int, then: Any = None) -> Any:
    async def send(request: Any, context: Any) -> AsyncIterator[Any]:
        for state in states:
            yield agent_pb2.Job(job_id=request.job_id, state=state)
        if isinstance(then, Exception):
            raise then
        if then is not None:
            await then.wait()

    return send


class Events:
    """Reads server-sent events."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, str]:
        found: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                return found
            name, _, value = line.partition(":")
            found[name or "comment"] = value.strip()
        return found

    async def named(self) -> dict[str, str]:
        """The next that is no heartbeat."""
        while True:
            found = await self.next()
            if not found or "event" in found:
                return found


async def test_a_download_comes_as_it_is_with_what_the_service_says_of_it(
    world: World, person: Person
):
    chunks = [bytes([number]) * 262_144 for number in range(20)]
    disposition = "attachment; filename=\"a.pdf\"; filename*=UTF-8''a%CC%88.pdf"
    world.services["invoice"].on["DownloadDocument"] = file_of(
        *chunks, content_disposition=disposition, x_content_length=str(20 * 262_144)
    )
    answer = await world.http.get(DOCUMENT, headers=person.headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == disposition
    assert answer.headers["content-length"] == str(20 * 262_144)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["cache-control"] == "no-store"
    expected = hashlib.sha256(b"".join(chunks)).digest()
    assert hashlib.sha256(answer.content).digest() == expected


async def test_a_download_keeps_the_longest_name(world: World, person: Person):
    disposition = "attachment; filename*=UTF-8''" + "%F0%9F%93%84" * 255
    world.services["invoice"].on["DownloadDocument"] = file_of(
        b"a", content_disposition=disposition
    )
    answer = await world.http.get(DOCUMENT, headers=person.headers)
    assert answer.headers["content-disposition"] == disposition


async def test_a_download_of_unknown_length_is_an_attachment(world: World, person: Person):
    world.services["invoice"].on["DownloadDocument"] = file_of(b"a", b"b")
    answer = await world.http.get(DOCUMENT, headers=person.headers)
    assert answer.content == b"ab"
    assert answer.headers["content-disposition"] == "attachment"
    assert "content-length" not in answer.headers


async def test_an_empty_download_is_empty(world: World, person: Person):
    world.services["invoice"].on["DownloadDocument"] = file_of()
    answer = await world.http.get(DOCUMENT, headers=person.headers)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_download_that_fails_at_once_is_a_problem(world: World, person: Person):
    fault = InvoiceNotFound("No such invoice.")
    world.services["invoice"].on["DownloadDocument"] = file_of(then=fault)
    answer = await world.http.get(DOCUMENT, headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (404, "INVOICE_NOT_FOUND")


async def test_a_download_that_fails_later_breaks_off(world: World, person: Person):
    world.services["invoice"].on["DownloadDocument"] = file_of(b"a", then=RuntimeError("x"))
    with pytest.raises(httpx.RemoteProtocolError):
        await world.http.get(DOCUMENT, headers=person.headers)


async def test_a_client_that_goes_ends_the_download(world: World, person: Person):
    states: list[str] = []

    async def endless(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            while True:
                yield httpbody_pb2.HttpBody(data=bytes(200_000))
        finally:
            states.append("ended")

    world.services["invoice"].on["DownloadDocument"] = endless
    async with world.http.stream("GET", DOCUMENT, headers=person.headers) as answer:
        assert answer.status_code == 200
        async for _ in answer.aiter_raw():
            break

    async def ended() -> list[str]:
        return states

    await eventually(ended, within_s=3)


async def test_a_reader_that_is_stuck_is_given_up(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asgi, "IDLE_S", 0.5)
    sent = 0
    states: list[str] = []

    async def endless(request: Any, context: Any) -> AsyncIterator[Any]:
        nonlocal sent
        try:
            while True:
                sent += 200_000
                yield httpbody_pb2.HttpBody(data=bytes(200_000))
        finally:
            states.append("ended")

    world.services["invoice"].on["DownloadDocument"] = endless
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1_024)
    authorization = person.headers["Authorization"]
    writer.write(
        f"GET {DOCUMENT} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode()
    )

    async def ended() -> list[str]:
        return states

    await eventually(ended, within_s=5)
    assert sent < 40_000_000
    writer.close()
    assert reader


async def test_a_stream_of_messages_is_server_sent_events(world: World, person: Person):
    world.services["agent"].on["WatchJob"] = jobs_of(1, 2, 2, 3)
    answer = await world.http.get(WATCH, headers=person.headers)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == (
        'id: 1\nevent: Job\ndata: {"job_id":"j1","state":"JOB_STATE_QUEUED"}\n\n'
        'id: 2\nevent: Job\ndata: {"job_id":"j1","state":"JOB_STATE_RUNNING"}\n\n'
        'id: 3\nevent: Job\ndata: {"job_id":"j1","state":"JOB_STATE_SUCCEEDED"}\n\n'
        "event: end\ndata: {}\n\n"
    )


async def test_a_stream_that_fails_at_once_is_a_problem(world: World, person: Person):
    world.services["agent"].on["WatchJob"] = jobs_of(then=JobNotFound("No such job."))
    answer = await world.http.get(WATCH, headers=person.headers)
    assert (answer.status_code, reason_in(answer)) == (404, "JOB_NOT_FOUND")


async def test_a_stream_that_fails_later_says_why(world: World, person: Person):
    world.services["agent"].on["WatchJob"] = jobs_of(1, then=JobNotFound("No such job."))
    async with world.http.stream("GET", WATCH, headers=person.headers) as answer:
        events = Events(answer)
        assert (await events.named())["event"] == "Job"
        last = await events.named()
        assert last["event"] == "error"
        assert orjson.loads(last["data"])["reason"] == "JOB_NOT_FOUND"
        assert await events.next() == {}


async def test_a_stream_that_was_idle_goes_on_without_repeating_itself(
    world: World, person: Person
):
    turns = [jobs_of(1, then=StreamIdle("Idle.")), jobs_of(1, 3)]

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        async for job in turns.pop(0)(request, context):
            yield job

    world.services["agent"].on["WatchJob"] = watch
    answer = await world.http.get(WATCH, headers=person.headers)
    assert answer.text.count("event: Job") == 2
    assert answer.text.endswith("event: end\ndata: {}\n\n")


async def test_a_quiet_stream_says_that_it_lives_and_looks_at_the_token(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "BEAT_S", 0.3)
    person = await world.sign_up()
    world.services["agent"].on["WatchJob"] = jobs_of(1, then=asyncio.Event())
    async with world.http.stream("GET", WATCH, headers=person.headers) as answer:
        events = Events(answer)
        assert (await events.next())["event"] == "Job"
        assert "comment" in await events.next()
        await world.http.post("/v1/logout", headers=person.headers)
        last = await events.named()
        assert last["event"] == "error"
        assert orjson.loads(last["data"])["reason"] == "TOKEN_REVOKED"


async def test_a_stream_that_begins_late_begins(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "PATIENCE_S", 0.1)

    async def late(request: Any, context: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0.4)
        yield agent_pb2.Job(job_id="j1")

    world.services["agent"].on["WatchJob"] = late
    async with world.http.stream("GET", WATCH, headers=person.headers) as answer:
        assert (await Events(answer).named())["event"] == "Job"


async def test_a_client_that_goes_ends_the_stream(world: World, person: Person):
    states: list[str] = []

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield agent_pb2.Job(job_id="j1")
            await asyncio.sleep(60)
        finally:
            states.append("ended")

    world.services["agent"].on["WatchJob"] = watch
    async with world.http.stream("GET", WATCH, headers=person.headers) as answer:
        await Events(answer).named()

    async def ended() -> list[str]:
        return states

    await eventually(ended, within_s=3)


async def test_a_gateway_that_ends_says_so_to_those_who_listen(world: World, person: Person):
    world.services["agent"].on["WatchJob"] = jobs_of(1, then=asyncio.Event())
    async with (
        running_gateway(world.env) as (app, url),
        httpx.AsyncClient(base_url=url) as http,
        http.stream("GET", WATCH, headers=person.headers) as answer,
    ):
        events = Events(answer)
        await events.named()
        app.drain()
        last = await events.named()
        assert orjson.loads(last["data"])["reason"] == "GATEWAY_ENDING"


def socket_url(world: World, path: str) -> str:
    return f"ws://127.0.0.1:{world.port}{path}"


async def test_the_same_stream_comes_over_a_websocket(world: World, person: Person):
    world.services["agent"].on["WatchJob"] = jobs_of(1, 3)
    token = person.tokens["access_token"]
    ways: list[dict[str, Any]] = [
        {"uri": socket_url(world, WATCH), "additional_headers": person.headers},
        {"uri": socket_url(world, f"{WATCH}?access_token={token}")},
        {"uri": socket_url(world, WATCH), "subprotocols": [f"bearer.{token}"]},
        {"uri": socket_url(world, WATCH), "subprotocols": ["auditron", f"bearer.{token}"]},
    ]
    for way in ways:
        async with connect(**way) as socket:
            found = [orjson.loads(message) async for message in socket]
            offered = way.get("subprotocols", [None])
            assert socket.subprotocol == offered[0]
        assert found == [
            {"id": "1", "event": "Job", "data": {"job_id": "j1", "state": "JOB_STATE_QUEUED"}},
            {"id": "2", "event": "Job", "data": {"job_id": "j1", "state": "JOB_STATE_SUCCEEDED"}},
            {"id": "", "event": "end", "data": {}},
        ]


async def test_a_websocket_that_may_not_be_is_refused_with_a_problem(world: World, person: Person):
    world.services["agent"].on["WatchJob"] = jobs_of(then=JobNotFound("No such job."))
    for path, headers, status in (
        (WATCH, {}, 401),
        (WATCH, person.headers, 404),
        ("/v1/nothing", person.headers, 404),
        ("/v1/invoices", person.headers, 400),
        (f"{WATCH}?x=1", person.headers, 400),
    ):
        with pytest.raises(InvalidStatus) as caught:
            await connect(socket_url(world, path), additional_headers=headers)
        answer = caught.value.response
        assert answer.status_code == status
        assert orjson.loads(answer.body)["status"] == status


async def test_a_websocket_that_fails_later_says_why_and_closes(world: World, person: Person):
    world.services["agent"].on["WatchJob"] = jobs_of(1, then=JobNotFound("No such job."))
    async with connect(socket_url(world, WATCH), additional_headers=person.headers) as socket:
        await socket.recv()
        assert orjson.loads(await socket.recv())["data"]["reason"] == "JOB_NOT_FOUND"
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4404, "JOB_NOT_FOUND")


async def test_what_a_client_says_over_a_websocket_is_passed_over_and_bounded(
    world: World, person: Person
):
    go_on = asyncio.Event()

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield agent_pb2.Job(job_id="j1")
        await go_on.wait()
        yield agent_pb2.Job(job_id="j2")

    world.services["agent"].on["WatchJob"] = watch
    async with connect(socket_url(world, WATCH), additional_headers=person.headers) as socket:
        await socket.recv()
        for _ in range(50):
            await socket.send("hello")
        go_on.set()
        assert orjson.loads(await socket.recv())["data"] == {"job_id": "j2"}
    go_on.clear()
    async with connect(socket_url(world, WATCH), additional_headers=person.headers) as socket:
        await socket.recv()
        await socket.send("x" * 100_000)
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd.code == 1009


async def test_events_may_not_be_asked_for_by_upgrade_of_a_plain_route(world: World):
    headers = {"Upgrade": "h2c", "Connection": "Upgrade"}
    answer = await world.http.get("/healthz", headers=headers)
    assert answer.status_code in (200, 400)
