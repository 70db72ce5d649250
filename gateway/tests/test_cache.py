import asyncio
from typing import Any

import httpx
import pytest
from auditron.reporting.v1 import reporting_pb2

from gateway import cache
from gateway.tests.conftest import KillableRedis, Person, World, fails, running_gateway
from gateway.tests.test_app import NotInReview

QUERY = "/v1/reports:query?kind=REPORT_KIND_TRIAL_BALANCE&end_date=2026-01-31"


@pytest.fixture
def asked(world: World) -> list[Any]:
    """Every question that reached the service; each answer has another number."""
    seen: list[Any] = []

    async def query(request: Any, context: Any) -> Any:
        seen.append(request)
        return reporting_pb2.ReportTable(title="T", last_entry_number=len(seen))

    world.services["reporting"].on["QueryReport"] = query
    return seen


async def test_an_answer_is_kept_until_the_next_event_of_its_service(
    world: World, asked: list[Any]
):
    person = await world.sign_up()
    version = f"version:{person.organization_id}:reporting"
    first = await world.http.get(QUERY, headers=person.headers)
    second = await world.http.get(QUERY, headers=person.headers)
    assert [first.headers["x-cache"], second.headers["x-cache"]] == ["miss", "hit"]
    assert first.content == second.content
    await world.redis.incr(version)  # as the relay does
    third = await world.http.get(QUERY, headers=person.headers)
    assert third.headers["x-cache"] == "miss"
    assert third.json()["last_entry_number"] == "2"
    await world.redis.incr(f"version:{person.organization_id}:invoice")
    fourth = await world.http.get(QUERY, headers=person.headers)
    assert fourth.headers["x-cache"] == "hit"
    assert len(asked) == 2


async def test_a_client_that_holds_the_answer_is_told_so(world: World, asked: list[Any]):
    person = await world.sign_up()
    first = await world.http.get(QUERY, headers=person.headers)
    assert first.headers["cache-control"] == "private, no-cache"
    etag = first.headers["etag"]
    for tag in (etag, f'"x", W/{etag}', "*"):
        answer = await world.http.get(QUERY, headers=person.headers | {"If-None-Match": tag})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    answer = await world.http.get(QUERY, headers=person.headers | {"If-None-Match": '"x"'})
    assert answer.status_code == 200


async def test_nobody_gets_what_was_kept_for_others(world: World, asked: list[Any]):
    one, other = await world.sign_up(), await world.sign_up()
    reader = (await world.api_key(one, "reports.read"))["key"]
    stranger = (await world.api_key(one, "invoices.read"))["key"]
    for headers, expected in (
        (one.headers, "miss"),
        (other.headers, "miss"),
        ({"X-Api-Key": reader}, "miss"),
        (one.headers, "hit"),
        ({"X-Api-Key": reader}, "hit"),
    ):
        answer = await world.http.get(QUERY, headers=headers)
        assert (answer.status_code, answer.headers["x-cache"]) == (200, expected)
    answer = await world.http.get(QUERY, headers={"X-Api-Key": stranger})
    assert answer.status_code == 403
    assert "x-cache" not in answer.headers


async def test_other_questions_have_other_answers(world: World, asked: list[Any]):
    person = await world.sign_up()
    same = "/v1/reports:query?end_date=2026-01-31&kind=3"
    for path, expected in (
        (QUERY, "miss"),
        (same, "hit"),
        (f"{QUERY}&start_date=2026-01-01", "miss"),
    ):
        answer = await world.http.get(path, headers=person.headers)
        assert answer.headers["x-cache"] == expected


async def test_failures_are_not_kept(world: World, person: Person, asked: list[Any]):
    query = world.services["reporting"].on["QueryReport"]
    world.services["reporting"].on["QueryReport"] = fails(NotInReview("No."))
    path = f"{QUERY}&start_date=2026-01-02"
    assert (await world.http.get(path, headers=person.headers)).status_code == 400
    world.services["reporting"].on["QueryReport"] = query
    assert (await world.http.get(path, headers=person.headers)).headers["x-cache"] == "miss"


async def test_what_changed_while_the_service_answered_is_asked_again(world: World):
    person = await world.sign_up()

    async def query(request: Any, context: Any) -> Any:
        await world.redis.incr(f"version:{person.organization_id}:reporting")
        return reporting_pb2.ReportTable(title="old")

    world.services["reporting"].on["QueryReport"] = query
    for _ in range(2):
        answer = await world.http.get(QUERY, headers=person.headers)
        assert answer.headers["x-cache"] == "miss"


async def test_answers_are_kept_for_a_time(world: World, asked: list[Any]):
    person = await world.sign_up()
    async with running_gateway(world.env, cache_s=1) as (_, url), httpx.AsyncClient() as http:
        await http.get(url + QUERY, headers=person.headers)
        await asyncio.sleep(1.1)
        answer = await http.get(url + QUERY, headers=person.headers)
        assert answer.headers["x-cache"] == "miss"


async def test_without_redis_every_question_reaches_the_service(
    world: World, person: Person, asked: list[Any], own_redis: KillableRedis
):
    env = world.env | {"REDIS_URL": own_redis.url}
    async with running_gateway(env) as (_, url), httpx.AsyncClient(base_url=url) as http:
        await own_redis.kill()
        for _ in range(3):
            answer = await http.get(QUERY, headers=person.headers)
            assert (answer.status_code, answer.headers["x-cache"]) == (200, "miss")
        await own_redis.start()
        await asyncio.sleep(cache.REDIS_PAUSE_S)
        found = [await http.get(QUERY, headers=person.headers) for _ in range(2)]
        assert [answer.headers["x-cache"] for answer in found] == ["miss", "hit"]
