"""Kills everything while changes are made, and counts what has become of them."""

import asyncio
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from libs.embedded import Embedded
from libs.events.tests.trial import worker
from libs.events.tests.trial.world import (
    change,
    new_database,
    open_database,
    redis_client,
    rows,
    serve,
)
from libs.pg import CommitUncertain, Database, DatabaseUnavailable, uuid7
from libs.testkit import eventually

log = logging.getLogger(__name__)

SECONDS = 8
KILLS_MIN = 4
ROOT = Path(__file__).parents[3]


class Process:
    """A relay or a consumer in a process of its own, started again as often as it is killed."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self.kills = 0

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, worker.__file__, *self._arguments),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"ready\n"

    async def kill(self) -> None:
        assert self._process is not None
        assert self._process.returncode is None, "it ended by itself"
        self._process.kill()
        await self._process.wait()
        self.kills += 1


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Embedded]:
    """Servers that may be killed."""
    embedded = Embedded(tmp_path, environ={})
    await embedded.start()
    yield embedded
    await embedded.erase()


@asynccontextmanager
async def processes(*arguments: str) -> AsyncIterator[list[Process]]:
    found = [Process(role, *arguments) for role in ("relay", "consumer") * 2]
    await asyncio.gather(*(process.start() for process in found))
    try:
        yield found
    finally:
        await asyncio.gather(*(process.kill() for process in found))


async def write(db: Database, organizations: list[str], dice: random.Random) -> list[str]:
    """Move amounts between two accounts until time is up; return the events acknowledged."""
    acknowledged = []
    end = asyncio.get_running_loop().time() + SECONDS
    while asyncio.get_running_loop().time() < end:
        organization = dice.choice(organizations)
        amount = dice.randrange(1_000)
        for account, change_of_it in (("from", -amount), ("to", amount)):
            done = False
            while not done:
                try:
                    hold_s = dice.choice([0, 0, 0.01])
                    event_id = await change(db, organization, account, change_of_it, hold_s)
                except DatabaseUnavailable:
                    await asyncio.sleep(0.05)
                except CommitUncertain:
                    done = True  # and nothing is said about it
                else:
                    acknowledged.append(event_id)
                    done = True
        await asyncio.sleep(dice.random() * 0.02)
    return acknowledged


async def torment(embedded: Embedded, victims: list[Process], redis, dice: random.Random) -> None:
    """Kill and restart one thing after the other until time is up, and enough has died."""
    end = asyncio.get_running_loop().time() + SECONDS
    while asyncio.get_running_loop().time() < end or sum(v.kills for v in victims) < KILLS_MIN:
        await asyncio.sleep(0.2 + dice.random() * 0.3)
        victim = dice.choice([*victims, *victims, "redis down", "redis emptied"])
        if isinstance(victim, Process):
            await victim.kill()
            await victim.start()
        elif victim == "redis down":
            await embedded.redis.kill()
            await asyncio.sleep(0.3)
            await embedded.redis.start()
        else:
            with suppress(RedisError):  # a connection from before it was killed
                await redis.flushall()


async def restart_postgres_at_once(embedded: Embedded) -> None:
    """Stop it in the middle of everything, as `pg_ctl stop -m immediate` does."""
    await asyncio.sleep(SECONDS / 2)
    assert embedded.postgres.pid is not None
    os.kill(embedded.postgres.pid, signal.SIGQUIT)
    await eventually(lambda: asyncio.sleep(0, embedded.postgres.pid is None))
    await embedded.postgres.start()


async def test_nothing_is_lost_doubled_or_out_of_order_under_kills(own: Embedded) -> None:
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(10**6))
    log.info("FAULT_SEED=%s", seed)
    dice = random.Random(seed)
    url = await new_database(own.env()["ADMIN_DATABASE_URL"])
    redis_url = own.env()["REDIS_URL"]
    redis = redis_client(redis_url)
    db = await open_database(url, "producer")
    server, port = await serve(db)
    organizations = [uuid7() for _ in range(20)]
    async with processes(url, redis_url, str(port)) as victims:
        *written, _, _ = await asyncio.gather(
            *(write(db, organizations, random.Random(seed + number)) for number in range(8)),
            torment(own, victims, redis, dice),
            restart_postgres_at_once(own),
        )
        await eventually(lambda: unhandled(url), lambda count: count == 0, within_s=30)
        kills = sum(victim.kills for victim in victims)
    acknowledged = [event_id for found in written for event_id in found]
    await check(url, acknowledged)
    log.info("%s changes acknowledged, %s processes killed", len(acknowledged), kills)
    assert len(acknowledged) > 100
    assert kills >= KILLS_MIN
    await server.stop(0)
    await db.close()
    await redis.aclose()


async def unhandled(url: str) -> int:
    """Count the events that have no effect yet."""
    sql = (
        "select count(*) from producer.events where event_id not in"
        " (select event_id from follower.effects)"
    )
    return (await rows(url, sql))[0][0]


async def check(url: str, acknowledged: list[str]) -> None:
    """Read what the two services have, and compare."""
    events = await rows(url, "select * from producer.events order by partition, position")
    effects = await rows(url, "select * from follower.effects order by number")
    written = [event["event_id"] for event in events]
    assert {str(event_id) for event_id in written} >= set(acknowledged), "lost before the log"
    booked = [effect["event_id"] for effect in effects]
    assert len(booked) == len(set(booked)), "doubled"
    assert set(booked) == set(written), "lost after the log"
    places: dict[int, int] = {}
    for event in events:
        places[event["partition"]] = places.get(event["partition"], 0) + 1
        assert event["position"] == places[event["partition"]], "a gap in the log"
    versions: dict[tuple[str, str], int] = {}
    for effect in effects:
        account = (effect["organization_id"], effect["account_id"])
        assert effect["version"] == versions.get(account, 0) + 1, "out of order"
        versions[account] = effect["version"]
    heads = await rows(url, "select partition, position from producer.heads where position > 0")
    cursors = await rows(url, "select partition, position from follower.cursors where position > 0")
    assert sorted(heads) == sorted(cursors), "the cursor is not at the head"
