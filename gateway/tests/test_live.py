import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import httpx
import orjson
import pytest
from auditron.agent.v1 import agent_events_pb2
from auditron.auth.v1 import auth_events_pb2
from auditron.event.v1.event_pb2 import Event
from auditron.invoice.v1 import invoice_events_pb2
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway import live, streams
from gateway.live import Live
from gateway.problems import Problem
from gateway.streams import Beat, Item
from gateway.tests.conftest import KillableRedis, Person, World, running_gateway
from gateway.tests.test_app import reason_in
from gateway.tests.test_streams import Events, socket_url
from libs.pg import uuid7
from libs.rpc import Caller
from libs.testkit import eventually

ANY: frozenset[str] = frozenset()


def event_of(organization_id: str, payload: Any, kind: str = "invoice") -> Event:
    event = Event(
        event_id=uuid7(),
        organization_id=organization_id,
        aggregate_type=kind,
        aggregate_id="i1",
        aggregate_version=3,
        partition=4,
        position=9,
        actor="user:1",
        traceparent="00-1",
    )
    event.payload.Pack(payload)
    return event


async def publish(
    redis: Redis, organization_id: str, payload: Any = None, kind: str = "invoice"
) -> str:
    """As the relay does."""
    payload = payload or invoice_events_pb2.InvoiceApproved(invoice={"invoice_id": "i1"})
    fields = {"event": event_of(organization_id, payload, kind).SerializeToString()}
    fields["service"] = b"invoice"
    entry = await redis.xadd(f"live:{organization_id}", fields, maxlen=1_000, approximate=True)
    await redis.publish("live", f"{organization_id} {uuid7()}")
    return entry.decode()


async def heard(redis: Redis) -> None:
    """Wait until somebody hears the bells."""
    await eventually(lambda: redis.pubsub_numsub("live"), lambda found: found[0][1] > 0)


class Watching:
    """One who watches, and what comes."""

    def __init__(self, items: Any) -> None:
        self._items = items
        self._coming: asyncio.Task[Item] | None = None

    async def next(self, within_s: float = 5) -> Item:
        """The next item; beats are passed over. TimeoutError if none comes, and nothing is lost."""
        self._coming = self._coming or asyncio.create_task(self._item())
        async with asyncio.timeout(within_s):
            found = await asyncio.shield(self._coming)
        self._coming = None
        return found

    async def nothing(self, for_s: float = 0.2) -> None:
        with pytest.raises(TimeoutError):
            await self.next(for_s)

    async def aclose(self) -> None:
        if self._coming:
            self._coming.cancel()
            await asyncio.wait((self._coming,))
        await self._items.aclose()

    async def _item(self) -> Item:
        while isinstance(found := await anext(self._items), Beat):
            pass
        return found


@asynccontextmanager
async def watching(
    told: Live, who: Caller, kinds: frozenset[str] = frozenset(), last_id: str = ""
) -> AsyncIterator[Watching]:
    """Somebody who watches from now on, or from an id on."""
    items = told.watch(who, kinds, last_id)
    assert isinstance(await anext(items), Beat)
    async with aclosing(Watching(items)) as found:
        yield found


def reader(organization_id: str, *permissions: str) -> Caller:
    return Caller(organization_id=organization_id, permissions=frozenset(permissions or ("*",)))


@pytest.fixture
async def redis(own_redis: KillableRedis) -> AsyncIterator[Redis]:
    async with own_redis.client() as client:
        yield client


@pytest.fixture
async def told(redis: Redis) -> AsyncIterator[Live]:
    found = Live(redis)
    listening = asyncio.create_task(found.run())
    await heard(redis)
    yield found
    listening.cancel()
    await asyncio.wait((listening,))
    assert not found._feeds


async def test_what_happens_is_told_to_all_who_watch(told: Live, redis: Redis):
    mine, other = uuid7(), uuid7()
    async with (
        watching(told, reader(mine)) as first,
        watching(told, reader(mine)) as second,
        watching(told, reader(other)) as stranger,
    ):
        ids = [await publish(redis, mine) for _ in range(3)]
        for items in (first, second):
            assert [(await items.next()).id for _ in ids] == ids
        await stranger.nothing()


async def test_an_event_tells_what_a_client_may_know_of_it(told: Live, redis: Redis):
    organization_id = uuid7()
    async with watching(told, reader(organization_id)) as items:
        await publish(redis, organization_id)
        item = await items.next()
    assert item.event == "InvoiceApproved"
    data = orjson.loads(item.data)
    assert data.pop("event_id")
    assert data == {
        "organization_id": organization_id,
        "aggregate_type": "invoice",
        "aggregate_id": "i1",
        "aggregate_version": "3",
        "actor": "user:1",
        "service": "invoice",
        "payload": {
            "@type": "type.googleapis.com/auditron.invoice.v1.InvoiceApproved",
            "invoice": {"invoice_id": "i1"},
        },
    }


async def test_only_what_the_caller_may_read_is_told(told: Live, redis: Redis):
    organization_id = uuid7()
    payloads = [
        (invoice_events_pb2.InvoicePaid(), "invoice"),
        (agent_events_pb2.JobFinished(), "job"),
        (auth_events_pb2.MemberChanged(), "member"),
        (auth_events_pb2.OrganizationUpdated(), "organization"),
        (Event(), "unstated"),
    ]
    for permissions, kinds, expected in (
        (("*",), ANY, ["InvoicePaid", "JobFinished", "MemberChanged", "OrganizationUpdated"]),
        (("invoices.read",), ANY, ["InvoicePaid", "OrganizationUpdated"]),
        (("jobs.*",), ANY, ["JobFinished", "OrganizationUpdated"]),
        (("*",), frozenset({"job", "member"}), ["JobFinished", "MemberChanged"]),
        (("invoices.read",), frozenset({"job"}), []),
    ):
        who = reader(organization_id, *permissions)
        async with watching(told, who, kinds, "") as items:
            for payload, kind in payloads:
                await publish(redis, organization_id, payload, kind)
            assert [(await items.next()).event for _ in expected] == expected
            await items.nothing(0.1)


async def test_what_was_missed_is_told_after_a_break(told: Live, redis: Redis):
    organization_id = uuid7()
    ids = [await publish(redis, organization_id) for _ in range(250)]
    for place in (0, 100, 248):
        async with watching(told, reader(organization_id), ANY, ids[place]) as items:
            rest = ids[place + 1 :]
            assert [(await items.next()).id for _ in rest] == rest
            fresh = await publish(redis, organization_id)
            assert (await items.next()).id == fresh
            ids.append(fresh)


async def test_who_came_before_the_first_event_misses_none(told: Live, redis: Redis):
    organization_id = uuid7()
    ids = [await publish(redis, organization_id) for _ in range(3)]
    async with watching(told, reader(organization_id), ANY, "0-0") as items:
        assert [(await items.next()).id for _ in ids] == ids


async def test_a_break_that_was_too_long_is_said(told: Live, redis: Redis):
    organization_id = uuid7()
    old = await publish(redis, organization_id)
    await redis.xtrim(f"live:{organization_id}", maxlen=0, approximate=False)
    last = await publish(redis, organization_id)
    for forgotten in (old, "0-0", "999999999999999999-0"):
        async with watching(told, reader(organization_id), ANY, forgotten) as items:
            assert await items.next() == Item(last, "resync", b"{}")
            fresh = await publish(redis, organization_id)
            assert (await items.next()).id == fresh
            last = fresh


async def test_a_wrong_id_is_refused(told: Live):
    for wrong in ("x", "1", "1-", "-1-0", "1-0-0", "1 - 0", "9" * 30 + "-0", "$", "+"):
        with pytest.raises(Problem) as caught:
            await anext(told.watch(reader(uuid7()), ANY, wrong))
        assert caught.value.reason == "EVENT_ID_INVALID"


async def test_who_reads_slowly_gets_all_and_holds_nothing_here(told: Live, redis: Redis):
    organization_id = uuid7()
    async with watching(told, reader(organization_id)) as items:
        await publish(redis, organization_id)
        await items.next()
        ids = [await publish(redis, organization_id) for _ in range(3 * live.HELD_MAX)]
        await asyncio.sleep(0.2)
        assert len(told._feeds[organization_id].entries) == live.HELD_MAX
        assert [(await items.next()).id for _ in ids] == ids


async def test_who_reads_too_slowly_is_told_that_some_is_lost(told: Live, redis: Redis):
    organization_id = uuid7()
    async with watching(told, reader(organization_id)) as items:
        await publish(redis, organization_id)
        await items.next()
        for _ in range(150):
            last = await publish(redis, organization_id)
        await asyncio.sleep(0.2)
        await redis.xtrim(f"live:{organization_id}", maxlen=120, approximate=False)
        assert await items.next() == Item(last, "resync", b"{}")


async def test_rubbish_in_a_stream_is_passed_over(told: Live, redis: Redis):
    organization_id = uuid7()
    async with watching(told, reader(organization_id)) as items:
        name = f"live:{organization_id}"
        await redis.xadd(name, {"x": b"y"})
        await redis.xadd(name, {"event": b"\xff\xff", "service": b"x"})
        later = event_of(organization_id, invoice_events_pb2.InvoicePaid())
        later.payload.type_url = "type.googleapis.com/auditron.later.v9.Thing"
        await redis.xadd(name, {"event": later.SerializeToString(), "service": b"x"})
        last = await publish(redis, organization_id)
        assert (await items.next()).id == last


async def test_watchers_outlive_a_redis_that_was_killed_and_emptied(
    told: Live, own_redis: KillableRedis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live, "RETRY_S", 0.1)
    organization_id = uuid7()
    async with watching(told, reader(organization_id)) as items:
        async with own_redis.client() as redis:
            await publish(redis, organization_id)
        await items.next()
        await own_redis.kill()
        await items.nothing(0.3)
        with pytest.raises(Problem) as caught:
            await anext(told.watch(reader(uuid7()), ANY, ""))
        assert caught.value.reason == "EVENTS_UNAVAILABLE"
        await own_redis.start()
        async with own_redis.client() as redis:
            await redis.flushall()
            await heard(redis)
            await publish(redis, organization_id)
            assert (await items.next()).event == "resync"
            last = await publish(redis, organization_id)
            while (await items.next()).id != last:
                pass


async def test_events_of_a_real_service_come_by_sse_and_websocket(world: World):
    person = await world.sign_up()
    async with (
        world.http.stream("GET", "/v1/events?types=organization", headers=person.headers) as answer,
        connect(socket_url(world, "/v1/events"), additional_headers=person.headers) as socket,
    ):
        assert answer.headers["content-type"] == "text/event-stream"
        events = Events(answer)
        beat = await events.next()
        assert beat["id"]
        assert orjson.loads(await socket.recv())["event"] == "beat"
        change = {"display_name": "Renamed"}
        path = "/v1/organizations/current"
        assert (await world.http.patch(path, json=change, headers=person.headers)).is_success
        event = await asyncio.wait_for(events.named(), 10)
        while event["event"] != "OrganizationUpdated":
            event = await asyncio.wait_for(events.named(), 10)
        data = orjson.loads(event["data"])
        assert data["payload"]["organization"]["display_name"] == "Renamed"
        assert data["service"] == "auth"
        async with asyncio.timeout(10):
            message = orjson.loads(await socket.recv())
            while message["event"] != "OrganizationUpdated":
                message = orjson.loads(await socket.recv())
        assert message == {"id": event["id"], "event": "OrganizationUpdated", "data": data}
    resumed = person.headers | {"Last-Event-ID": beat["id"]}
    async with world.http.stream("GET", "/v1/events", headers=resumed) as answer:
        events = Events(answer)
        seen: list[str] = []
        while "OrganizationUpdated" not in seen:
            seen.append((await asyncio.wait_for(events.named(), 10))["event"])
        assert "resync" not in seen
    version = await world.redis.get(f"version:{person.organization_id}:auth")
    assert int(version) >= 1


async def test_a_quiet_stream_tells_the_id_to_come_back_with(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "BEAT_S", 0.2)
    person = await world.sign_up()
    invoice = invoice_events_pb2.InvoicePaid()
    path = f"/v1/events?types=job&access_token={person.tokens['access_token']}"
    async with world.http.stream("GET", path) as answer:
        events = Events(answer)
        await events.next()
        passed_over = await publish(world.redis, person.organization_id, invoice)
        async with asyncio.timeout(5):
            while live._place((await events.next()).get("id", "0-0")) < live._place(passed_over):
                pass


async def rest_of(socket: Any) -> AsyncIterator[Any]:
    """All that comes until the other side closes."""
    with suppress(ConnectionClosed):
        while True:
            yield await socket.recv()


async def test_a_stream_ends_with_its_session_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "BEAT_S", 0.3)
    person = await world.sign_up()
    token = person.tokens["access_token"]
    url = socket_url(world, "/v1/events")
    async with connect(url, subprotocols=["auditron", f"bearer.{token}"]) as socket:
        await socket.recv()
        await world.http.post("/v1/logout", headers=person.headers)
        async with asyncio.timeout(5):
            found = [orjson.loads(message) async for message in rest_of(socket)]
        assert found[-1]["data"]["reason"] == "TOKEN_REVOKED"
        assert (socket.close_code, socket.close_reason) == (4401, "TOKEN_REVOKED")


async def test_wrong_questions_are_refused(world: World, person: Person):
    for path, headers, status, reason in (
        ("/v1/events", {}, 401, "TOKEN_MISSING"),
        ("/v1/events?last_event_id=x", person.headers, 400, "EVENT_ID_INVALID"),
        ("/v1/events?kinds=x", person.headers, 400, "INVALID_ARGUMENT"),
    ):
        answer = await world.http.get(path, headers=headers)
        assert (answer.status_code, reason_in(answer)) == (status, reason)


async def test_too_many_connections_of_an_organization_are_refused(world: World, person: Person):
    async with (
        running_gateway(world.env, stream_connections_max=1) as (_, url),
        httpx.AsyncClient(base_url=url) as http,
        http.stream("GET", "/v1/events", headers=person.headers) as answer,
    ):
        events = Events(answer)  # kept: what nobody holds is closed
        await events.next()
        refused = await http.get("/v1/events", headers=person.headers)
        assert (refused.status_code, reason_in(refused)) == (429, "TOO_MANY_STREAMS")
        assert refused.headers["retry-after"]
        other = await world.sign_up()
        async with http.stream("GET", "/v1/events", headers=other.headers) as allowed:
            assert allowed.status_code == 200
        await answer.aclose()

        async def again() -> int:
            async with http.stream("GET", "/v1/events", headers=person.headers) as found:
                return found.status_code

        await eventually(again, lambda status: status == 200)
