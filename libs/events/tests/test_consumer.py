import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from auditron.event.v1.event_pb2 import Event, ListEventsRequest, ListEventsResponse
from auditron.type.v1.money_pb2 import Money
from google.protobuf.wrappers_pb2 import StringValue
from prometheus_client import REGISTRY

from libs.events import Consumer, Relay, append, list_dead_letters, set_cursor
from libs.events.cursors import Cursor, common_position
from libs.events.tests.trial.world import World, book, change, redis_client, rows
from libs.pg import Tx, uuid7
from libs.rpc.errors import Fault, Unavailable
from libs.telemetry import current
from libs.testkit import eventually

ORGANIZATION = "0192f0c0-0000-7000-8000-000000000003"  # partition 3
EFFECTS = "select account_id, version, amount from follower.effects order by number"


def relay_of(world: World) -> Relay:
    return Relay(world.producer, world.redis, "producer")


def consumer_of(world: World, handler=book, **options) -> Consumer:
    options = {"redis": world.redis, "stub": world.stub} | options
    redis, stub = options.pop("redis"), options.pop("stub")
    return Consumer(world.follower, redis, "producer", stub, {Money: handler}, **options)


async def effects(world: World, count: int) -> list[tuple[str, int]]:
    """Wait until that many effects are there, and return account and version of each."""
    found = await eventually(lambda: rows(world.admin_url, EFFECTS), lambda it: len(it) >= count)
    return [(row["account_id"], row["version"]) for row in found]


async def cursor_of(world: World) -> int:
    sql = "select position from follower.cursors where partition = 3 and consumer = 'main'"
    found = await rows(world.admin_url, sql)
    return found[0][0] if found else 0


async def dead_letters(world: World, count: int) -> list:
    sql = "select * from follower.dead_letters order by create_time"
    return await eventually(lambda: rows(world.admin_url, sql), lambda it: len(it) == count)


async def test_effects_come_in_order_and_each_once(world: World, running) -> None:
    organizations = [uuid7() for _ in range(5)]
    async with running(
        relay_of(world).run, consumer_of(world).run, consumer_of(world, page_size=7).run
    ):
        for number in range(40):
            await change(world.producer, organizations[number % 5], f"of {number % 5}", 1)
        found = await effects(world, 40)
    for number in range(5):
        assert [version for account, version in found if account == f"of {number}"] == [
            *range(1, 9)
        ]
    assert len(found) == 40


async def test_a_handler_works_in_the_context_of_the_event(world: World, running) -> None:
    seen = []

    async def handle(tx: Tx, event: Event, money: Money) -> None:
        seen.append((current().organization_id, await tx.fetchval("select count(*) from effects")))
        await book(tx, event, money)

    other = "0192f0c0-0000-7000-8000-000000000013"  # partition 3 too
    for organization in (ORGANIZATION, other, ORGANIZATION):
        await change(world.producer, organization, "cash", 1)
    async with running(relay_of(world).run, consumer_of(world, handle).run):
        await effects(world, 3)
    # Each saw the effects of its own organization alone.
    assert sorted(seen) == [(ORGANIZATION, 0), (ORGANIZATION, 1), (other, 0)]


async def test_an_event_of_an_unknown_type_is_passed_over(world: World, running) -> None:
    async with world.producer.tenant(ORGANIZATION) as tx:
        await append(
            tx,
            organization_id=ORGANIZATION,
            aggregate_type="note",
            aggregate_id="1",
            aggregate_version=1,
            payload=StringValue(value="?"),
            actor="user:1",
        )
    await change(world.producer, ORGANIZATION, "cash", 1)
    async with running(relay_of(world).run, consumer_of(world).run):
        assert await effects(world, 1) == [("cash", 1)]
    assert await cursor_of(world) == 2


class AccountClosed(Fault):
    reason = "ACCOUNT_CLOSED"


def failing_on(account_id: str, error: Exception, tries: list[float]) -> Callable:
    async def handle(tx: Tx, event: Event, money: Money) -> None:
        await book(tx, event, money)
        if event.aggregate_id == account_id:
            tries.append(time.monotonic())
            raise error

    return handle


async def test_a_fault_makes_a_dead_letter_and_the_log_goes_on(world: World, running) -> None:
    for account in ("a", "closed", "b"):
        await change(world.producer, ORGANIZATION, account, 1)
    tries: list[float] = []
    handler = failing_on("closed", AccountClosed("It is closed."), tries)
    async with running(relay_of(world).run, consumer_of(world, handler).run):
        assert await effects(world, 2) == [("a", 1), ("b", 1)]
    (letter,) = await dead_letters(world, 1)
    assert letter["error"] == "AccountClosed: It is closed."
    assert Event.FromString(letter["event"]).aggregate_id == "closed"
    assert str(letter["organization_id"]) == ORGANIZATION
    assert len(tries) <= 2  # in the batch, then alone
    assert await cursor_of(world) == 3
    async with world.follower.tenant(uuid7()) as tx:
        assert await tx.fetchval("select count(*) from dead_letters") == 0


@pytest.mark.parametrize("error", [KeyError("a bug"), Unavailable("Come back later.")])
async def test_what_may_pass_is_tried_five_times_with_growing_pauses(
    world: World, running, error: Exception
) -> None:
    for account in ("a", "odd", "b"):
        await change(world.producer, ORGANIZATION, account, 1)
    elsewhere = "0192f0c0-0000-7000-8000-000000000004"
    tries: list[float] = []
    async with running(
        relay_of(world).run, consumer_of(world, failing_on("odd", error, tries)).run
    ):
        assert await effects(world, 1) == [("a", 1)]
        await change(world.producer, elsewhere, "other partition", 1)
        assert await effects(world, 2) == [("a", 1), ("other partition", 1)]
        assert await effects(world, 3) == [("a", 1), ("other partition", 1), ("b", 1)]
    (letter,) = await dead_letters(world, 1)
    assert letter["tries"] == 5
    pauses = [after - before for before, after in itertools.pairwise(tries[-5:])]
    assert pauses[0] >= 0.2
    assert pauses[1] >= 0.4
    assert pauses[2] >= 0.8


async def test_a_dead_letter_is_handled_by_a_replay_once(world: World, running) -> None:
    event_id = await change(world.producer, ORGANIZATION, "closed", 1)
    failing = consumer_of(world, failing_on("closed", AccountClosed("It is closed."), []))
    async with running(relay_of(world).run, failing.run):
        await dead_letters(world, 1)
    with pytest.raises(AccountClosed):
        await failing.replay_dead_letter(ORGANIZATION, event_id)
    mended = consumer_of(world)
    assert await list_dead_letters(world.follower, "producer") == [(ORGANIZATION, event_id)]
    assert not await mended.replay_dead_letter(uuid7(), event_id)
    assert await mended.replay_dead_letter(ORGANIZATION, event_id)
    assert not await mended.replay_dead_letter(ORGANIZATION, event_id)
    assert await effects(world, 1) == [("closed", 1)]
    assert await list_dead_letters(world.follower, "producer") == []


async def test_what_waits_is_measured_by_its_age_until_it_is_handled(world: World, running) -> None:
    def waiting_s() -> float:
        labels = {"service": "follower", "producer": "producer"}
        return REGISTRY.get_sample_value("auditron_event_waiting_seconds", labels) or 0

    gate, begun = asyncio.Event(), asyncio.Event()

    async def handle(tx: Tx, event: Event, payload: Any) -> None:
        begun.set()
        await gate.wait()

    await change(world.producer, ORGANIZATION, "slow", 1)
    consumer = consumer_of(world, handle)
    assert waiting_s() == pytest.approx(0, abs=0.01)
    async with running(relay_of(world).run, consumer.run):
        await begun.wait()
        before = waiting_s()
        await asyncio.sleep(0.05)
        assert waiting_s() >= before + 0.05
        gate.set()

        async def now_s() -> float:
            return waiting_s()

        await eventually(now_s, lambda age_s: age_s == pytest.approx(0, abs=0.01))


async def test_a_replay_from_the_start_gives_the_same_effects(world: World, running) -> None:
    for number in range(30):
        await change(world.producer, uuid7(), "cash", number)
        await change(world.producer, ORGANIZATION, "cash", number)
    sums = (
        "select organization_id, count(*), max(version), sum(amount) from follower.effects"
        " group by organization_id order by organization_id"
    )
    async with running(relay_of(world).run, consumer_of(world).run):
        await effects(world, 60)
    before = await rows(world.admin_url, sums)
    await rows(world.admin_url, "truncate follower.effects")
    await set_cursor(world.follower, "producer")
    async with running(consumer_of(world).run):
        assert len(await effects(world, 60)) == 60
    assert await rows(world.admin_url, sums) == before


async def test_a_running_consumer_goes_where_its_cursor_is_set(world: World, running) -> None:
    for _ in range(3):
        await change(world.producer, ORGANIZATION, "cash", 1)
    async with running(relay_of(world).run, consumer_of(world).run):
        await effects(world, 3)
        await set_cursor(world.follower, "producer", 1, partition=3)
        await change(world.producer, ORGANIZATION, "cash", 1)
        found = await effects(world, 6)
    assert [version for _, version in found] == [1, 2, 3, 2, 3, 4]


async def test_two_purposes_have_cursors_of_their_own(world: World, running) -> None:
    await change(world.producer, ORGANIZATION, "cash", 1)
    parts = (consumer_of(world).run, consumer_of(world, name="statistics").run)
    async with running(relay_of(world).run, *parts):
        assert await effects(world, 2) == [("cash", 1), ("cash", 1)]


async def test_without_redis_the_log_is_polled(world: World, running) -> None:
    closed = redis_client("redis://127.0.0.1:9/0")
    async with running(relay_of(world).run, consumer_of(world, redis=closed).run):
        for number in range(1, 3):
            await change(world.producer, ORGANIZATION, "cash", 1)
            began = time.monotonic()
            await effects(world, number)
            assert time.monotonic() - began < 3
    await closed.aclose()


async def test_with_redis_effects_follow_at_once(world: World, running) -> None:
    async with running(relay_of(world).run, consumer_of(world).run):
        await asyncio.sleep(0.5)
        took = []
        for number in range(1, 6):
            began = time.monotonic()
            await change(world.producer, ORGANIZATION, "cash", 1)
            await effects(world, number)
            took.append(time.monotonic() - began)
    assert sorted(took)[2] < 0.5


class Answering:
    """A log that answers what it is told to."""

    def __init__(self, answer: Callable[[ListEventsRequest], ListEventsResponse]) -> None:
        self._answer = answer

    async def ListEvents(  # noqa: N802
        self, request: ListEventsRequest, **_: float
    ) -> ListEventsResponse:
        return self._answer(request)


def event(position: int, version: int) -> Event:
    made = Event(
        event_id=uuid7(),
        partition=3,
        position=position,
        organization_id=ORGANIZATION,
        aggregate_id="cash",
        aggregate_version=version,
    )
    made.payload.Pack(Money(amount="1", currency_code="EUR"))
    return made


def answer_from(log: list[Event], generation_id: str) -> Callable:
    def answer(request: ListEventsRequest) -> ListEventsResponse:
        mine = log if request.partition == 3 else []
        return ListEventsResponse(
            events=mine[request.after_position :],
            head_position=len(mine),
            generation_id=generation_id if request.partition == 3 else "",
        )

    return answer


async def test_a_restored_log_is_followed_again_from_the_last_common_position(
    world: World, running
) -> None:
    old = [event(position, position) for position in range(1, 6)]
    stub = Answering(answer_from(old, "x@0"))
    async with running(consumer_of(world, stub=stub).run):
        await effects(world, 5)
    new = [*old[:3], event(4, 40), event(5, 50)]
    stub = Answering(answer_from(new, "x@0,y@3"))
    async with running(consumer_of(world, stub=stub).run):
        found = await effects(world, 7)
    assert [version for _, version in found] == [1, 2, 3, 4, 5, 40, 50]
    async with running(consumer_of(world, stub=stub).run):
        await asyncio.sleep(0.3)
    assert len(await effects(world, 7)) == 7


async def test_a_log_with_a_gap_is_not_followed(world: World, running, caplog) -> None:
    stub = Answering(answer_from([event(1, 1), event(3, 3)], "x@0"))
    with caplog.at_level(logging.WARNING, "libs.events.consumer"):
        async with running(consumer_of(world, stub=stub).run):
            await eventually(lambda: asyncio.sleep(0, "LogBroken" in caplog.text))
    assert await cursor_of(world) == 0


@pytest.mark.parametrize(
    ("followed", "position", "now", "common"),
    [
        ("", 500, "x@0", 500),
        ("x@0", 70, "x@0", 70),
        ("x@0", 70, "x@0,y@50", 50),
        ("x@0", 30, "x@0,y@50", 30),
        ("x@0", 70, "x@0,y@50,z@40", 40),
        ("x@0,y@50", 75, "x@0,z@60", 50),
        ("x@0,y@50", 75, "x@0,z@40", 40),
        ("x@0,y@50", 75, "x@0", 50),
        ("x@0", 70, "other@0", 0),
        ("x@0", 70, "", 0),
    ],
)
def test_the_common_position_is_that_before_the_lives_parted(
    followed: str, position: int, now: str, common: int
) -> None:
    assert common_position(Cursor(position, followed), now) == common
