import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from auditron.invoice.v1 import invoice_pb2
from redis.asyncio import Redis

from gateway import limits
from gateway.limits import Limits, address_key
from gateway.settings import Rate
from gateway.tests.conftest import KillableRedis, Person, World, answers, running_gateway
from gateway.tests.test_app import reason_in

SLOW = 0.001  # requests a second: while a test runs, none comes free


@pytest.fixture
async def redis(own_redis: KillableRedis) -> AsyncIterator[Redis]:
    async with own_redis.client() as client:
        yield client


async def test_so_many_pass_at_once_and_then_as_fast_as_the_rate(redis: Redis):
    asked, rate = Limits(redis), Rate(SLOW, 5)
    found = [await asked.take("k", rate) for _ in range(7)]
    assert [grant.allowed for grant in found] == [True] * 5 + [False] * 2
    assert [grant.remaining for grant in found] == [4, 3, 2, 1, 0, 0, 0]
    assert {grant.limit for grant in found} == {5}
    assert 0 < found[-1].retry_after_s <= 1 / SLOW
    await redis.incrbyfloat("k", -2_000_000 / SLOW)  # as if the time of two had passed
    again = [await asked.take("k", rate) for _ in range(4)]
    assert [grant.allowed for grant in again] == [True, True, False, False]


async def test_keys_are_counted_apart_and_gateways_together(redis: Redis):
    one, other, rate = Limits(redis), Limits(redis), Rate(SLOW, 2)
    assert (await one.take("a", rate)).allowed
    assert (await other.take("a", rate)).allowed
    assert not (await one.take("a", rate)).allowed
    assert not (await other.take("a", rate)).allowed
    assert (await one.take("b", rate)).allowed


async def test_what_is_asked_together_travels_together(redis: Redis):
    asked, rate = Limits(redis), Rate(SLOW, 30)
    await asked.take("warm", rate)
    before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    found = await asyncio.gather(*(asked.take(f"k{n % 2}", rate) for n in range(100)))
    after = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert after - before == 1
    assert sum(grant.allowed for grant in found) == 60
    assert max(grant.remaining for grant in found[::2]) == 29


async def test_what_was_counted_is_forgotten(redis: Redis):
    asked = Limits(redis)
    await asked.take("k", Rate(1, 3))
    assert 1_000 < await redis.pttl("k") <= 3_000


async def test_without_redis_the_same_is_counted_here(
    own_redis: KillableRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(limits, "REDIS_PAUSE_S", 3_600)
    async with own_redis.client() as client:
        asked, rate = Limits(client), Rate(SLOW, 5)
        await own_redis.kill()
        found = [await asked.take("k", rate) for _ in range(7)]
        assert [grant.allowed for grant in found] == [True] * 5 + [False] * 2
        assert [grant.remaining for grant in found] == [4, 3, 2, 1, 0, 0, 0]
        assert len(caplog.records) == 1  # a dead Redis is not asked each time
        await own_redis.start()
        asked._redis_rests_until = 0
        assert (await asked.take("k", rate)).allowed
        assert await client.get("k")


async def test_what_is_counted_here_does_not_grow_without_end(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "LOCAL_MAX", 10)
    asked = Limits(redis)
    for number in range(100):
        asked._take_here(str(number), Rate(1, 1))
    assert len(asked._local) == 10


async def test_who_asks_and_goes_harms_nobody(redis: Redis):
    asked, rate = Limits(redis), Rate(1, 10)
    goes = asyncio.create_task(asked.take("k", rate))
    stays = asyncio.create_task(asked.take("k", rate))
    await asyncio.sleep(0)
    goes.cancel()
    assert (await stays).allowed
    assert (await asked.take("k", rate)).allowed


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_is_counted_as_what_one_client_has(address: str, key: str):
    assert address_key(address) == key


def test_a_rate_that_lets_nothing_pass_is_refused():
    for text in ("0/1", "1/0", "-1/5", "x/1", "5"):
        with pytest.raises(ValueError, match=r"."):
            Rate.parse(text)


async def test_an_organization_may_ask_so_often_and_is_told(world: World, person: Person):
    world.services["invoice"].on["GetInvoice"] = answers(invoice_pb2.Invoice())
    settings = {"organization_rate": Rate(SLOW, 3)}
    await world.redis.delete(f"limit:o:{person.organization_id}")
    async with (
        running_gateway(world.env, **settings) as (_, url),
        httpx.AsyncClient(base_url=url) as http,
    ):
        found = [await http.get("/v1/invoices/i1", headers=person.headers) for _ in range(4)]
        assert [answer.status_code for answer in found] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in found] == ["2", "1", "0", "0"]
        assert found[0].headers["ratelimit-limit"] == "3"
        assert 2 / SLOW < int(found[-1].headers["ratelimit-reset"]) <= 3 / SLOW
        assert reason_in(found[-1]) == "RATE_LIMITED"
        assert 0 < int(found[-1].headers["retry-after"]) <= 1 / SLOW + 1
        other = await world.sign_up()
        assert (await http.get("/v1/users/me", headers=other.headers)).status_code == 200
    await world.redis.delete(f"limit:o:{person.organization_id}")


async def test_an_address_may_try_to_log_in_so_often(world: World):
    settings = {"public_write_rate": Rate(SLOW, 2), "public_read_rate": Rate(SLOW, 3)}
    await world.redis.delete("limit:w:127.0.0.1", "limit:r:127.0.0.1")
    body = {"email": "nobody@example.com", "password": "wrong password"}
    async with (
        running_gateway(world.env, **settings) as (_, url),
        httpx.AsyncClient(base_url=url) as http,
    ):
        found = [(await http.post("/v1/login", json=body)).status_code for _ in range(3)]
        assert found == [401, 401, 429]
        found = [(await http.get("/v1/jwks")).status_code for _ in range(4)]
        assert found == [200, 200, 200, 429]
        wrong = {"Authorization": f"Bearer aud_live_{'0' * 32}_{'0' * 72}"}
        answer = await http.get("/v1/users/me", headers=wrong)  # guessing keys is counted too
        assert answer.status_code == 429
        assert (await http.get("/healthz")).status_code == 200
    await world.redis.delete("limit:w:127.0.0.1", "limit:r:127.0.0.1")


async def test_a_gateway_without_redis_goes_on(
    world: World, person: Person, own_redis: KillableRedis
):
    world.services["invoice"].on["GetInvoice"] = answers(invoice_pb2.Invoice())
    env = world.env | {"REDIS_URL": own_redis.url}
    async with (
        running_gateway(env) as (_, url),
        httpx.AsyncClient(base_url=url, timeout=10) as http,
    ):
        await own_redis.kill()
        for _ in range(5):
            answer = await http.get("/v1/invoices/i1", headers=person.headers)
            assert answer.status_code == 200
            assert answer.headers["ratelimit-limit"] == "6000"
        answer = await http.get("/v1/events", headers=person.headers)
        assert (answer.status_code, reason_in(answer)) == (503, "EVENTS_UNAVAILABLE")
        await own_redis.start()
