import asyncio
import random
import time
from uuid import UUID

import asyncpg
from auditron.event.v1.event_pb2 import Event, ListEventsRequest

from libs.events import PARTITIONS, Relay
from libs.events.tests.trial.world import World, change, redis_client, rows
from libs.pg import uuid7
from libs.testkit import eventually

ORGANIZATION = "0192f0c0-0000-7000-8000-000000000003"  # partition 3


def relay_of(world: World) -> Relay:
    return Relay(world.producer, world.redis, "producer")


async def log_of(world: World, partition: int) -> list[Event]:
    """Read a partition to its head."""
    events: list[Event] = []
    while True:
        request = ListEventsRequest(partition=partition, after_position=len(events))
        answer = await world.stub.ListEvents(request)
        events += answer.events
        if len(events) == answer.head_position:
            return events


async def positioned(world: World, count: int) -> None:
    """Wait until that many events have their positions."""
    sql = "select count(position) from producer.events"
    await eventually(lambda: rows(world.admin_url, sql), lambda found: found[0][0] == count)


async def test_a_late_commit_gets_a_late_position(world: World, running) -> None:
    async with running(relay_of(world).run):
        late = asyncio.create_task(change(world.producer, ORGANIZATION, "slow", 1, hold_s=0.5))
        await asyncio.sleep(0.1)
        early = [await change(world.producer, ORGANIZATION, "quick", 1) for _ in range(3)]
        await positioned(world, 3)
        early.append(await late)
        await positioned(world, 4)
    log = await log_of(world, 3)
    assert [event.event_id for event in log] == early
    assert [event.position for event in log] == [1, 2, 3, 4]


async def test_positions_follow_the_commits_of_concurrent_writers(world: World, running) -> None:
    organizations = [uuid7() for _ in range(6)]
    began: dict[str, float] = {}
    ended: dict[str, float] = {}

    async def write(number: int) -> None:
        dice = random.Random(number)
        for _ in range(30):
            at = time.monotonic()
            account = f"account {dice.randrange(3)}"
            hold_s = dice.choice([0, 0, 0.003, 0.03])
            event_id = await change(world.producer, dice.choice(organizations), account, 1, hold_s)
            began[event_id], ended[event_id] = at, time.monotonic()

    async with running(relay_of(world).run, relay_of(world).run):
        await asyncio.gather(*(write(number) for number in range(8)))
        await positioned(world, 240)
    for partition in range(PARTITIONS):
        log = await log_of(world, partition)
        assert [event.position for event in log] == [*range(1, len(log) + 1)]
        versions: dict[tuple[str, str], int] = {}
        latest_begin = 0.0
        for event in log:
            account = (event.organization_id, event.aggregate_id)
            assert event.aggregate_version == versions.get(account, 0) + 1
            versions[account] = event.aggregate_version
            # It was not over before one that stands in front of it had begun.
            assert ended[event.event_id] > latest_begin
            latest_begin = max(latest_begin, began[event.event_id])


async def test_the_bell_and_the_live_stream_tell_of_an_event(world: World, running) -> None:
    async with world.redis.pubsub() as bell, running(relay_of(world).run):
        await bell.subscribe("bell:producer")
        assert (await bell.get_message(timeout=5) or {})["type"] == "subscribe"
        event_id = await change(world.producer, ORGANIZATION, "cash", 1)
        rung = await bell.get_message(timeout=5)
        assert rung is not None
        assert rung["data"] == b"3"
        key = f"live:{ORGANIZATION}"
        ((_, fields),) = await eventually(lambda: world.redis.xrange(key))
        assert fields[b"service"] == b"producer"
        assert Event.FromString(fields[b"event"]).event_id == event_id
        assert 0 < await world.redis.ttl(key) <= 86_400


async def test_without_redis_positions_are_given_and_telling_comes_later(
    world: World, running
) -> None:
    closed = redis_client("redis://127.0.0.1:9/0")
    async with running(Relay(world.producer, closed, "producer").run):
        await change(world.producer, ORGANIZATION, "cash", 1)
        await positioned(world, 1)
    assert await world.redis.exists(f"live:{ORGANIZATION}") == 0
    async with running(relay_of(world).run):
        await eventually(lambda: world.redis.exists(f"live:{ORGANIZATION}"))
    await closed.aclose()


async def test_another_relay_takes_over_when_the_first_loses_its_connection(
    world: World, running
) -> None:
    admin = await asyncpg.connect(world.admin_url)
    async with running(relay_of(world).run, relay_of(world).run):
        for count in (1, 2, 3):
            await change(world.producer, ORGANIZATION, "cash", 1)
            await positioned(world, count)
            killed = await admin.fetch(
                "select pg_terminate_backend(pid) from pg_locks"
                " where locktype = 'advisory' and granted and database ="
                " (select oid from pg_database where datname = current_database())"
            )
            assert len(killed) == 1
    await admin.close()
    assert len(await log_of(world, 3)) == 3


async def test_a_restored_log_begins_a_new_generation_at_its_heads(world: World, running) -> None:
    async with running(relay_of(world).run):
        await change(world.producer, ORGANIZATION, "cash", 1)
        await positioned(world, 1)
    first = (await world.stub.ListEvents(ListEventsRequest(partition=3))).generation_id
    async with running(relay_of(world).run):
        await change(world.producer, ORGANIZATION, "cash", 1)
        await positioned(world, 2)
    assert (await world.stub.ListEvents(ListEventsRequest(partition=3))).generation_id == first
    await rows(world.admin_url, "update producer.generations set origin = 'another timeline'")
    async with running(relay_of(world).run):
        await change(world.producer, ORGANIZATION, "cash", 1)
        await positioned(world, 3)
    second = (await world.stub.ListEvents(ListEventsRequest(partition=3))).generation_id
    other = (await world.stub.ListEvents(ListEventsRequest(partition=4))).generation_id
    assert second.split(",")[0] == first
    assert second.endswith("@2")
    assert other.endswith("@0")
    assert UUID(second.split(",")[1].partition("@")[0])


async def test_who_appends_need_not_notify_while_the_relay_is_busy(world: World, running) -> None:
    async def asleep() -> bool:
        return bool((await rows(world.admin_url, "select asleep from producer.relay"))[0][0])

    async def write() -> None:
        for _ in range(60):
            await change(world.producer, uuid7(), "cash", 1)

    async with running(relay_of(world).run):
        await asyncio.sleep(0.3)
        assert await asleep()
        writing = asyncio.gather(*(write() for _ in range(4)))
        await eventually(asleep, lambda it_is: not it_is)
        await writing
        await eventually(asleep)
