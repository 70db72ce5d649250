"""Follows another service's log: effects and cursor commit together, failures are kept."""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import grpc
from auditron.event.v1.event_pb2 import Event, ListEventsRequest, ListEventsResponse
from google.protobuf.message import Message
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from libs.pg import CommitUncertain, Database, DatabaseUnavailable, Tx, use_organization
from libs.rpc.errors import Fault
from libs.telemetry import bind, remote_span
from libs.telemetry.metrics import (
    DEAD_LETTERS,
    EVENT_LAG_SECONDS,
    EVENT_WAITING_SECONDS,
    EVENTS_HANDLED,
)

from .cursors import Cursor, common_position
from .ending import end
from .log import PAGE_SIZE, PARTITIONS

log = logging.getLogger(__name__)

EventHandler = Callable[[Tx, Event, Any], Awaitable[None]]

_PULL_TIMEOUT_S = 2.0
_POLL_S = 1.0  # between looks at a partition while no bell can be heard
_SWEEP_S = 10.0  # and while one can
_HELD_S = 0.05  # another worker is at it
_TRIES = 5
_TRY_PAUSE_S = 0.2  # doubles
_SILENCE_S = 5.0  # then Redis is asked whether it is there, and given up after as long again
_ERROR_LENGTH_MAX = 2_000
_DATABASE_LOST = (DatabaseUnavailable, CommitUncertain)
_PASSING = {
    code.value[0]
    for code in (
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
    )
}

_START = """
insert into cursors (producer, consumer, partition) values ($1, $2, $3) on conflict do nothing
"""
_READ = """
select position, generation_id from cursors
where producer = $1 and consumer = $2 and partition = $3
"""
# Locks the cursor and moves it, or returns nothing: it was moved by others, or is being moved.
_MOVE = """
with held as (
  select ctid from cursors
  where producer = $1 and consumer = $2 and partition = $3 and position = $4
    and generation_id = $5
  for update skip locked
)
update cursors set position = $6, generation_id = $7 from held where cursors.ctid = held.ctid
returning true
"""
_BURY = """
insert into dead_letters (organization_id, producer, consumer, event_id, event, tries, error)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (organization_id, producer, consumer, event_id)
do update set tries = $6, error = $7, create_time = now(), replay_time = null
"""
_RAISE = """
update dead_letters set replay_time = now()
where producer = $1 and consumer = $2 and event_id = $3 and replay_time is null
returning event
"""


class LogStub(Protocol):
    """What is needed of another service's EventLogService."""

    def ListEvents(  # noqa: N802
        self, request: ListEventsRequest, *, timeout: float | None = None
    ) -> Awaitable[ListEventsResponse]:
        """Return the events after a position."""


class CursorTaken(Exception):  # noqa: N818
    """Another worker moves this cursor, or has moved it."""


class LogBroken(Exception):  # noqa: N818
    """The producer's answer is not the continuation of what was handled."""


class Consumer:
    """Follows one producer for one purpose; `run` it in every worker, each event is handled once.

    A handler writes its effects with the given transaction, which names the event's organization,
    and does nothing else. A Fault that it raises puts the event among the dead letters; any other
    failure, and a Fault that may pass, does so after five tries.
    """

    def __init__(
        self,
        db: Database,
        redis: Redis,
        producer: str,
        stub: LogStub,
        handlers: Mapping[type[Message], EventHandler],
        *,
        name: str = "main",
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._db = db
        self._redis = redis
        self._producer = producer
        self._stub = stub
        self._name = name
        self._page_size = page_size
        self._handlers = {
            kind.DESCRIPTOR.full_name: (kind, handler) for kind, handler in handlers.items()
        }
        self._cursors: dict[int, Cursor] = {}
        self._tries: dict[int, int] = {}  # of the event after the cursor of a partition
        self._due = dict.fromkeys(range(PARTITIONS), 0.0)  # when to look, by time.monotonic()
        self._rung = asyncio.Event()
        self._interval_s = _POLL_S
        self._failing = False
        self._oldest: dict[int, float] = {}  # per partition, when what it waits for occurred
        waiting = EVENT_WAITING_SECONDS.labels(db.schema, producer)
        waiting.set_function(lambda: time.time() - min(self._oldest.values(), default=time.time()))
        self._lag = EVENT_LAG_SECONDS.labels(db.schema, producer)
        self._handled = EVENTS_HANDLED.labels(db.schema, producer)
        self._buried = DEAD_LETTERS.labels(db.schema, producer)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`; what goes wrong is logged and tried again."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen())
            stopping = group.create_task(self._stop_at(stop))
            try:
                while not stop.is_set():
                    await self._look()
            finally:
                await end(listening, stopping)

    async def replay_dead_letter(self, organization_id: str, event_id: str) -> bool:
        """Handle a dead letter again; False if there is none. Raises what the handler raises."""
        async with self._db.tenant(organization_id) as tx:
            serialized = await tx.fetchval(_RAISE, self._producer, self._name, event_id)
            if serialized is None:
                return False
            await self._handle(tx, Event.FromString(serialized))
        return True

    async def _stop_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._rung.set()

    async def _look(self) -> None:
        """Look at the partition that is due first, or wait until one is or the bell rings."""
        partition = min(self._due, key=self._due.__getitem__)
        wait_s = self._due[partition] - time.monotonic()
        if wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._rung.wait()
            self._rung.clear()
            return
        self._due[partition] = time.monotonic() + self._interval_s
        try:
            pause_s = await self._follow(partition)
            self._failing = False
        except CursorTaken:  # whoever holds it tells what waits there
            self._oldest.pop(partition, None)
            self._forget(partition)
            pause_s = _HELD_S
        except Exception as error:  # noqa: BLE001  # a call, the database, a bug: we go on
            self._report(partition, error)
            self._forget(partition)
            pause_s = _POLL_S
        due = time.monotonic() + pause_s
        # A bell that rang meanwhile stands, but for the pause before the next try.
        self._due[partition] = due if partition in self._tries else min(self._due[partition], due)

    async def _follow(self, partition: int) -> float:
        """Pull and handle a page; return the seconds until the partition is due again."""
        cursor = self._cursors.get(partition) or await self._read(partition)
        request = ListEventsRequest(
            partition=partition, after_position=cursor.position, page_size=self._page_size
        )
        answer = await self._stub.ListEvents(request, timeout=_PULL_TIMEOUT_S)
        common = common_position(cursor, answer.generation_id)
        if common < cursor.position:
            extra = {"producer": self._producer, "partition": partition, "position": common}
            log.warning("the log was restored, going back", extra=extra)
            async with self._db.unscoped() as tx:
                await self._move(tx, partition, cursor, Cursor(common, answer.generation_id))
            self._forget(partition)
            return 0
        if not answer.events:
            self._oldest.pop(partition, None)
            self._forget(partition)  # it may be set back for a replay
            return self._interval_s
        self._oldest[partition] = answer.events[0].occur_time.ToMicroseconds() / 1e6
        positions = [event.position for event in answer.events]
        if positions != [*range(cursor.position + 1, cursor.position + 1 + len(positions))]:
            raise LogBroken(f"{positions[0]} to {positions[-1]} came after {cursor.position}")
        pause_s = await self._take(partition, cursor, answer)
        if partition not in self._tries:
            self._oldest.pop(partition, None)
        if pause_s == 0 and positions[-1] == answer.head_position:
            return self._interval_s
        return pause_s

    async def _take(self, partition: int, cursor: Cursor, answer: ListEventsResponse) -> float:
        """Handle events at once, or one by one if one fails; return a pause until the next try."""
        if len(answer.events) > 1 and partition not in self._tries:
            try:
                await self._commit(cursor, answer.events, answer.generation_id)
            except (CursorTaken, *_DATABASE_LOST):
                raise
            except Exception as error:  # noqa: BLE001  # a handler's; its event is looked for below
                log.info("a batch failed, going one by one", extra={"error": repr(error)})
            else:
                return 0
        for event in answer.events:
            try:
                await self._commit(cursor, [event], answer.generation_id)
            except (CursorTaken, *_DATABASE_LOST):
                raise
            except Exception as error:
                tries = self._tries.get(partition, 0) + 1
                passing = not isinstance(error, Fault) or error.code in _PASSING
                if passing and tries < _TRIES:
                    self._tries[partition] = tries
                    log.warning("an event failed", extra=_named(event), exc_info=error)
                    return float(_TRY_PAUSE_S * 2 ** (tries - 1))
                await self._bury(cursor, event, answer.generation_id, tries, error)
            self._tries.pop(partition, None)
            cursor = self._cursors[partition]
        return 0

    async def _commit(self, cursor: Cursor, events: Sequence[Event], generation_id: str) -> None:
        """Commit the effects of events that follow each other together with the cursor."""
        partition, moved = events[-1].partition, Cursor(events[-1].position, generation_id)
        ours = [event for event in events if _kind(event) in self._handlers]
        async with self._db.unscoped() as tx:
            await self._move(tx, partition, cursor, moved)
            # Order counts within an organization alone, and naming one costs a round trip.
            ours.sort(key=lambda event: event.organization_id)
            for organization_id, its_events in itertools.groupby(ours, lambda e: e.organization_id):
                await use_organization(tx, organization_id)
                for event in its_events:
                    await self._handle(tx, event)
        self._cursors[partition] = moved
        self._handled.inc(len(ours))
        now = time.time()
        for event in ours:
            self._lag.observe(now - event.occur_time.seconds - event.occur_time.nanos / 1e9)

    async def _handle(self, tx: Tx, event: Event) -> None:
        kind, handler = self._handlers[_kind(event)]
        payload = kind.FromString(event.payload.value)
        with (
            bind(request_id=event.request_id, organization_id=event.organization_id),
            remote_span(f"handle {_kind(event)}", event.traceparent),
        ):
            await handler(tx, event, payload)

    async def _bury(
        self, cursor: Cursor, event: Event, generation_id: str, tries: int, error: Exception
    ) -> None:
        """Put an event among the dead letters, so that the log goes on."""
        log.error("an event is a dead letter", extra=_named(event), exc_info=error)
        moved = Cursor(event.position, generation_id)
        async with self._db.unscoped() as tx:
            await self._move(tx, event.partition, cursor, moved)
            await use_organization(tx, event.organization_id)
            await tx.execute(
                _BURY,
                event.organization_id,
                self._producer,
                self._name,
                event.event_id,
                event.SerializeToString(),
                tries,
                f"{type(error).__name__}: {error}"[:_ERROR_LENGTH_MAX],
            )
        self._cursors[event.partition] = moved
        self._buried.inc()

    async def _read(self, partition: int) -> Cursor:
        key = (self._producer, self._name, partition)
        async with self._db.unscoped() as tx:
            row = await tx.fetchrow(_READ, *key)
            if row is None:
                await tx.execute(_START, *key)
                return Cursor(0, "")
        cursor = self._cursors[partition] = Cursor(row["position"], row["generation_id"])
        return cursor

    async def _move(self, tx: Tx, partition: int, cursor: Cursor, to: Cursor) -> None:
        key = (self._producer, self._name, partition)
        before, after = (cursor.position, cursor.generation_id), (to.position, to.generation_id)
        if not await tx.fetchval(_MOVE, *key, *before, *after):
            raise CursorTaken

    def _report(self, partition: int, error: Exception) -> None:
        """Log a failure: an outage once, until something has worked again."""
        outage = isinstance(error, (grpc.aio.AioRpcError, *_DATABASE_LOST))
        if not (outage and self._failing):
            extra = {"producer": self._producer, "partition": partition, "error": repr(error)}
            log.warning("following failed", extra=extra, exc_info=None if outage else error)
        self._failing = outage

    def _forget(self, partition: int) -> None:
        self._cursors.pop(partition, None)
        self._tries.pop(partition, None)

    async def _listen(self) -> None:
        """Hear the producer's bell as long as Redis is there, and begin again when it was not."""
        while True:
            with suppress(RedisError, OSError):
                async with self._redis.pubsub() as bell:
                    await bell.subscribe(f"bell:{self._producer}")
                    await self._hear(bell)
            self._interval_s = _POLL_S
            self._look_everywhere()
            await asyncio.sleep(_POLL_S)

    async def _hear(self, bell: PubSub) -> None:
        """Note which partition rings; raises a RedisError when Redis is gone or silent."""
        silent = False
        while True:
            message = await bell.get_message(timeout=_SILENCE_S)
            if message is None and silent:
                raise RedisConnectionError("no answer to a ping")
            silent = message is None
            if message is None:
                await bell.ping()
            elif message["type"] == "subscribe":
                self._interval_s = _SWEEP_S
                self._look_everywhere()
            elif message["type"] == "message":
                partition = int(message["data"])
                if partition not in self._tries:  # its pause before the next try stands
                    self._due[partition] = 0.0
                    self._rung.set()

    def _look_everywhere(self) -> None:
        for partition in self._due:
            if partition not in self._tries:
                self._due[partition] = 0.0
        self._rung.set()


def _kind(event: Event) -> str:
    return event.payload.type_url.rpartition("/")[2]


def _named(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "event_type": _kind(event),
        "partition": event.partition,
        "position": event.position,
        "event_organization_id": event.organization_id,
    }
