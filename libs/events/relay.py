"""Gives the service's facts their positions, in commit order, and tells those who wait for them."""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from auditron.event.v1.event_pb2 import Event
from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.pg import CommitUncertain, Database, DatabaseUnavailable

from .ending import end
from .log import page

log = logging.getLogger(__name__)

_DOWN = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server said good-bye while no query was running
    DatabaseUnavailable,
    CommitUncertain,
)
_STANDBY_S = 0.5  # how often a relay in reserve asks whether it must take over
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.005, 0.5
_DOZE_S = 0.04  # a longer pause with nothing to do, and the relay wants to be woken
_PUBLISH_RETRY_S = 1.0
_BUSY_S = 0.2  # so long without such a pause, and it need not be
_LIVE_LENGTH, _LIVE_SECONDS, _LIVE_PAGE = 1_000, 86_400, 500

# The heads move by what is found, never by max(): a position once given is never given again.
_POSITION = """
with batch as materialized (
  select seq, partition, row_number() over (partition by partition order by seq) as place
  from (select seq, partition from events where position is null order by seq limit 5000) waiting
), counted as (
  select partition, count(*) as number from batch group by partition
), moved as (
  update heads set position = heads.position + counted.number
  from counted where heads.partition = counted.partition
  returning heads.partition, heads.position - counted.number as before
), placed as (
  update events set position = moved.before + batch.place
  from batch join moved using (partition) where events.seq = batch.seq
)
select partition from moved
"""
# Restored or taken over by a replica, PostgreSQL runs on another timeline; a cluster made anew has
# another identifier.
_BEGIN_GENERATION = """
with now as (
  select (select system_identifier from pg_control_system())::text || '.'
    || left(pg_walfile_name(pg_current_wal_lsn()), 8) as origin
)
insert into generations (origin, positions)
select origin, array(select position from heads order by partition) from now
where origin is distinct from (select origin from generations order by number desc limit 1)
"""
_TRY_LOCK = "select pg_try_advisory_lock(hashtextextended($1, 0))"
_SLEEP = "update relay set asleep = $1"
_PLANS_REFUSED = ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin")
_BEHIND = "select partition, published_position from heads where published_position < position"
_PUBLISHED = """
update heads set published_position = $2 where partition = $1 and published_position < $2
"""


class Relay:
    """One of a service's relays works, the others stand by; `run` it in every worker."""

    def __init__(self, db: Database, redis: Redis, schema: str) -> None:
        self._db = db
        self._redis = redis
        self._schema = schema
        self._woken = asyncio.Event()
        self._positioned = asyncio.Event()
        self._unrung: set[int] = set()  # partitions with new positions

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; failures of PostgreSQL and Redis are logged and outlived."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work())
            try:
                await stop.wait()
            finally:
                await end(working)

    async def _work(self) -> None:
        while True:
            try:
                await self._lead()
            except _DOWN as error:
                log.warning("relay lost its database", extra={"error": repr(error)})
            await asyncio.sleep(_STANDBY_S)

    async def _lead(self) -> None:
        """Hold the service's lock and work; raises when the connection that holds it is lost."""
        con = await self._connect()
        try:
            while True:
                if await con.fetchval(_TRY_LOCK, f"{self._schema}.relay"):
                    break
                await asyncio.sleep(_STANDBY_S)
            await con.execute(_BEGIN_GENERATION)
            await con.add_listener(f"{self._schema}.events", lambda *_: self._woken.set())
            parts = [asyncio.create_task(part) for part in (self._position(con), self._publish())]
            try:
                await asyncio.gather(*parts)  # neither ends but by a failure
            finally:
                await end(*parts)
        finally:
            con.terminate()

    async def _connect(self) -> Any:
        """Open the connection that holds the lock, hears notifications and gives all positions."""
        return await asyncpg.connect(
            self._db.settings.system_url,
            timeout=5,
            command_timeout=10,
            server_settings={
                "application_name": f"auditron {self._schema} relay",
                "search_path": f"{self._schema}, pg_catalog",
                # A relay that is frozen or cut off gives way to another: it never rests so long.
                "idle_session_timeout": "5000",
                "jit": "off",
                # The statistics know nothing of the few rows that wait, so the plan is forced.
                **dict.fromkeys(_PLANS_REFUSED, "off"),
            },
        )

    async def _position(self, con: Any) -> None:
        """Give positions, at once when woken while it is calm, every 5 ms while it is not."""
        pause_s, asleep, calm = _PAUSE_MIN_S, False, time.monotonic()
        while True:
            self._woken.clear()
            if moved := await con.fetch(_POSITION):
                self._unrung.update(row["partition"] for row in moved)
                self._positioned.set()
                pause_s = _PAUSE_MIN_S
            else:
                pause_s = min(pause_s * 2, _PAUSE_MAX_S)
            if pause_s > _DOZE_S:
                calm = time.monotonic()
                if not asleep:
                    await con.execute(_SLEEP, True)
                    # Who found the relay awake may commit only now, so it looks again soon.
                    asleep, pause_s = True, _PAUSE_MIN_S
            elif asleep and time.monotonic() - calm > _BUSY_S:
                await con.execute(_SLEEP, False)
                asleep = False
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()

    async def _publish(self) -> None:
        failing = False
        while True:
            self._positioned.clear()
            try:
                more = await self._publish_pages()
                failing = False
            except (RedisError, *_DOWN) as error:
                if not failing:
                    log.warning("relay cannot publish", extra={"error": repr(error)})
                failing = True
                await asyncio.sleep(_PUBLISH_RETRY_S)
                continue
            if not more:
                await self._positioned.wait()

    async def _publish_pages(self) -> bool:
        """Ring the bell and feed the live streams; a page of every partition that is behind."""
        rung, self._unrung = self._unrung, set()
        await self._ring(rung)  # at once; what that misses stays behind and is rung below
        async with self._db.system() as tx:
            behind = await tx.fetch(_BEHIND)
        await self._ring({row["partition"] for row in behind} - rung)
        for row in behind:
            async with self._db.system() as tx:
                events = await page(tx, row["partition"], row["published_position"], _LIVE_PAGE)
            await self._feed(events)
            async with self._db.system() as tx:
                await tx.execute(_PUBLISHED, row["partition"], events[-1].position)
        return bool(behind)

    async def _ring(self, partitions: Collection[int]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.publish(f"bell:{self._schema}", partition)
            await pipe.execute()

    async def _feed(self, events: Sequence[Event]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for event in events:
                fields: dict[Any, Any] = {
                    "event": event.SerializeToString(),
                    "service": self._schema,
                }
                name = f"live:{event.organization_id}"
                pipe.xadd(name, fields, maxlen=_LIVE_LENGTH, approximate=True)
            organizations = {event.organization_id for event in events}
            for organization_id in organizations:
                # The version says to whoever keeps this service's answers that they are old.
                version = f"version:{organization_id}:{self._schema}"
                pipe.incr(version)
                for name in (f"live:{organization_id}", version):
                    pipe.expire(name, _LIVE_SECONDS)
            pipe.publish("live", " ".join(organizations))
            await pipe.execute()
