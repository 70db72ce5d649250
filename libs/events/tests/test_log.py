import asyncpg
import pytest
from auditron.event.v1.event_pb2 import ListEventsRequest, ListEventsResponse
from auditron.type.v1.money_pb2 import Money
from google.protobuf.wrappers_pb2 import BytesValue

from libs.events import EventLog, Relay, append
from libs.events.tests.trial.world import World, change
from libs.pg import audit_isolation, uuid7
from libs.rpc.errors import InvalidArgument
from libs.telemetry import bind
from libs.testkit import eventually

ORGANIZATION = "0192f0c0-0000-7000-8000-000000000003"  # partition 3


async def everything(world: World, count: int, **request: int) -> ListEventsResponse:
    """Ask for partition 3 until that many events are there."""

    async def ask() -> ListEventsResponse:
        return await world.stub.ListEvents(ListEventsRequest(partition=3, **request))

    return await eventually(ask, lambda answer: len(answer.events) == count)


async def test_an_event_comes_out_as_it_was_appended(world: World, running) -> None:
    with bind(request_id="request-1"):
        event_id = await change(world.producer, ORGANIZATION, "cash", 12)
    async with running(Relay(world.producer, world.redis, "producer").run):
        answer = await everything(world, 1)
    (event,) = answer.events
    money = Money()
    assert event.payload.Unpack(money)
    assert money == Money(amount="12", currency_code="EUR")
    assert (event.event_id, event.partition, event.position) == (event_id, 3, 1)
    assert (event.organization_id, event.aggregate_id) == (ORGANIZATION, "cash")
    assert (event.aggregate_type, event.aggregate_version) == ("account", 1)
    assert (event.actor, event.request_id, event.traceparent) == ("user:1", "request-1", "")
    assert event.occur_time.seconds > 1_700_000_000
    assert answer.head_position == 1
    assert answer.generation_id.endswith("@0")


async def change_and_think_again(world: World) -> None:
    async with world.producer.tenant(ORGANIZATION) as tx:
        await append(
            tx,
            organization_id=ORGANIZATION,
            aggregate_type="account",
            aggregate_id="cash",
            aggregate_version=1,
            payload=Money(),
            actor="user:1",
        )
        raise RuntimeError("second thoughts")


async def test_what_is_rolled_back_is_no_event(world: World, running) -> None:
    with pytest.raises(RuntimeError, match="second thoughts"):
        await change_and_think_again(world)
    await change(world.producer, ORGANIZATION, "cash", 1)
    async with running(Relay(world.producer, world.redis, "producer").run):
        answer = await everything(world, 1)
    assert answer.events[0].position == 1


async def test_pages_are_bounded_by_number_and_by_bytes(world: World, running) -> None:
    async with world.producer.tenant(ORGANIZATION) as tx:
        for version in range(5):
            await append(
                tx,
                organization_id=ORGANIZATION,
                aggregate_type="file",
                aggregate_id="big",
                aggregate_version=version,
                payload=BytesValue(value=b"x" * 1_000_000),
                actor="user:1",
            )
    async with running(Relay(world.producer, world.redis, "producer").run):
        first = await everything(world, 2)
    assert first.head_position == 5
    rest = await everything(world, 1, after_position=4)
    assert [event.position for event in rest.events] == [5]
    one = await everything(world, 1, page_size=1)
    assert [event.position for event in one.events] == [1]
    end = await everything(world, 0, after_position=5)
    assert end.head_position == 5


async def test_a_request_that_makes_no_sense_is_refused(world: World) -> None:
    log = EventLog(world.producer)
    for request in (
        ListEventsRequest(partition=16),
        ListEventsRequest(partition=-1),
        ListEventsRequest(page_size=-1),
        ListEventsRequest(after_position=-1),
    ):
        with pytest.raises(InvalidArgument):
            await log.ListEvents(request, None)


async def test_an_organization_sees_its_own_facts_and_changes_none(world: World) -> None:
    await change(world.producer, ORGANIZATION, "cash", 1)
    other = uuid7()
    async with world.producer.tenant(ORGANIZATION) as tx:
        assert await tx.fetchval("select count(*) from events") == 1
    async with world.producer.tenant(other) as tx:
        assert await tx.fetchval("select count(*) from events") == 0
    for statement in (
        "update events set actor = 'user:2'",
        "delete from events",
        "update heads set position = 0",
        f"insert into events (organization_id, position) values ('{other}', 1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with world.producer.tenant(other) as tx:
                await tx.execute(statement)


async def test_the_tables_keep_organizations_apart(world: World) -> None:
    con = await asyncpg.connect(world.admin_url)
    problems = await audit_isolation(con, "producer", allowed_indexes=["events_position"])
    await con.close()
    assert problems == []
