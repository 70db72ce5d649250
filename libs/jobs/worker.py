"""Runs tasks: hands out what is due through Redis, claims it in PostgreSQL, settles the outcome."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from libs.pg import CommitUncertain, Database, DatabaseUnavailable, Tx
from libs.rpc import Unavailable, as_fault
from libs.telemetry import bind, remote_span
from libs.telemetry.metrics import TASK_OUTCOMES, TASK_QUEUE_LENGTH, TASK_WAIT_SECONDS

from . import store
from .store import Task

log = logging.getLogger(__name__)

TaskHandler = Callable[[Task], Awaitable[None]]
FailedCallback = Callable[[Task, Exception], Awaitable[None]]

_DATABASE_LOST = (DatabaseUnavailable, CommitUncertain, asyncpg.QueryCanceledError)
_CONNECTION_LOST = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server said good-bye while no query was running
)
_GROUP = "workers"  # its consumers share a name: whose hands a task is in stands in PostgreSQL
_CARRIED_MAX = 256  # ids that wait in the stream
_FULL_PAUSE_S = 0.01
_IDLE_PAUSE_S = 0.5  # between looks, unless a notification or Redis brings something
_READ_MS = 500
_SWEEP_S = 5.0
_DROPPED_MS = 5_000  # an id taken from the stream and not acknowledged for so long goes back
_RETRY_S = 0.5
_CANCEL_AGAIN_S = 1.0
_BACKOFF_MAX_S = 600.0
_OUTAGE_PAUSE_S = 10.0
_OUTAGE_MAX_S = 86_400.0


class Permanent(Exception):  # noqa: N818
    """A failure that no further attempt would mend: the task has failed."""


class AttemptsSpent(Exception):  # noqa: N818
    """There is no attempt left; the message is what the last one failed with."""


class Worker:
    """Runs up to `concurrency` tasks of the given kinds at a time; many may `run` side by side."""

    def __init__(
        self,
        db: Database,
        redis: Redis,
        schema: str,
        handlers: Mapping[str, TaskHandler],
        *,
        lane: str = "",
        concurrency: int = 2,
        on_failed: FailedCallback | None = None,
        lease_s: float = 10.0,
        backoff_s: float = 2.0,
    ) -> None:
        """Take handlers by kind. After n failures it waits up to backoff_s · 2ⁿ⁻¹, at most 10 min.

        A failure of what the task needs (database, Redis, object store, another service) is not
        counted as an attempt, until the task is a day old.
        Workers of other kinds need another `lane`: each carries its own ids.
        `on_failed` is called before a task ends as FAILED, and again later if it raises. A task
        whose worker is gone for lease_s is taken over.
        """
        self._db = db
        self._redis = redis
        self._schema = schema
        self._handlers = handlers
        self._kinds = sorted(handlers)
        self._concurrency = concurrency
        self._on_failed = on_failed
        self._lease_s = lease_s
        self._backoff_s = backoff_s
        self._stream = f"tasks:{schema}:{lane}".removesuffix(":")
        self._carried = False  # whether Redis is there; if not, PostgreSQL is polled
        self._woken = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` and finish what was begun; cancelled, give it back to others."""
        async with asyncio.TaskGroup() as group:
            around = [
                group.create_task(part)
                for part in (self._listen(), self._hand_out(), self._sweep())
            ]
            slots = [group.create_task(self._slot(stop)) for _ in range(self._concurrency)]
            try:
                await asyncio.wait(slots)
            finally:
                await _end(*around, *slots)

    async def _listen(self) -> None:
        """Be woken when a task is enqueued."""
        while True:
            with suppress(*_CONNECTION_LOST):
                await self._listen_once()
            await asyncio.sleep(_RETRY_S)

    async def _listen_once(self) -> None:
        lost = asyncio.Event()
        con = await asyncpg.connect(self._db.settings.system_url, timeout=5)
        try:
            con.add_termination_listener(lambda _: lost.set())
            await con.add_listener(f"{self._schema}.tasks", lambda *_: self._woken.set())
            await lost.wait()
        finally:
            con.terminate()

    async def _hand_out(self) -> None:
        """Put the ids of what is due into the stream, again and again."""
        while True:
            self._woken.clear()
            pause_s = _IDLE_PAUSE_S
            try:
                pause_s = await self._hand_out_some()
            except RedisError as error:
                await self._lose_redis(error)
            except _DATABASE_LOST as error:
                log.warning("worker lost its database", extra={"error": repr(error)})
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()

    async def _hand_out_some(self) -> float:
        """Fill the stream and return the pause until the next look, in seconds."""
        if not self._carried:
            await self._find_redis()
        room = _CARRIED_MAX - await self._redis.xlen(self._stream)
        if room <= 0:
            return _FULL_PAUSE_S
        async with self._db.system() as tx:
            ids = await store.hand_out(tx, self._kinds, room)
        if ids:
            async with self._redis.pipeline(transaction=False) as pipe:
                for organization_id, task_id in ids:
                    pipe.xadd(self._stream, {"task": f"{organization_id} {task_id}"})
                await pipe.execute()
        return _FULL_PAUSE_S if len(ids) == room else _IDLE_PAUSE_S

    async def _find_redis(self) -> None:
        """Make the stream; where there was none, all that it once carried is handed out again."""
        try:
            await self._redis.xgroup_create(self._stream, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        else:
            await self._recall()
        self._carried = True

    async def _lose_redis(self, error: RedisError) -> None:
        """Go over to polling PostgreSQL."""
        if self._carried:
            self._carried = False
            log.warning("worker lost Redis", extra={"error": repr(error)})
            with suppress(*_DATABASE_LOST):  # else it waits until it would be handed out again
                await self._recall()

    async def _recall(self) -> None:
        async with self._db.system() as tx:
            await store.recall(tx, self._kinds)

    async def _sweep(self) -> None:
        """Now and then: put back dropped ids, count what waits, delete what is old."""
        while True:
            with suppress(RedisError, *_DATABASE_LOST):
                async with self._db.system() as tx:
                    TASK_QUEUE_LENGTH.labels(self._schema).set(await store.count_waiting(tx))
                    await store.purge(tx)
                await self._put_back()
            await asyncio.sleep(_SWEEP_S)

    async def _put_back(self) -> None:
        """Return to the stream what was taken from it and not acknowledged: a worker died on it."""
        if not self._carried:
            return
        answer = await self._redis.xautoclaim(self._stream, _GROUP, _GROUP, _DROPPED_MS)
        for entry_id, fields in answer[1]:
            await self._redis.xadd(self._stream, fields)
            await self._acknowledge(entry_id)

    async def _slot(self, stop: asyncio.Event) -> None:
        """Run one task after the other."""
        while not stop.is_set():
            asked = time.monotonic()
            try:
                task = await (self._take() if self._carried else self._take_without_redis())
            except RedisError as error:
                await self._lose_redis(error)
            except _DATABASE_LOST:
                await asyncio.sleep(_RETRY_S)
            else:
                if task is not None:
                    await self._run(task, asked + self._lease_s)

    async def _take(self) -> Task | None:
        """Take an id from the stream and claim its task, if PostgreSQL says that it is due."""
        answer: Any = await self._redis.xreadgroup(
            _GROUP, _GROUP, {self._stream: ">"}, count=1, block=_READ_MS
        )
        if not answer:
            return None
        entry_id, fields = answer[0][1][0]
        organization_id, task_id = fields[b"task"].decode().split()
        async with self._db.system() as tx:
            task = await store.claim(
                tx,
                self._kinds,
                self._lease_s,
                organization_id=organization_id,
                task_id=task_id,
            )
        with suppress(RedisError):  # from here on PostgreSQL knows whose the task is
            await self._acknowledge(entry_id)
        return task

    async def _take_without_redis(self) -> Task | None:
        async with self._db.system() as tx:
            task = await store.claim_next(tx, self._kinds, self._lease_s)
        if task is None:
            await asyncio.sleep(_IDLE_PAUSE_S)
        return task

    async def _acknowledge(self, entry_id: bytes) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xack(self._stream, _GROUP, entry_id)
            pipe.xdel(self._stream, entry_id)
            await pipe.execute()

    async def _run(self, task: Task, lease_end: float) -> None:
        """Attempt a task for as long as its lease is ours."""
        TASK_WAIT_SECONDS.labels(self._schema, task.kind).observe(max(task.waited_s, 0))
        with (
            bind(request_id=task.request_id, organization_id=task.organization_id),
            remote_span(f"task {task.kind}", task.traceparent),
        ):
            attempt = asyncio.create_task(self._attempt(task))
            lease = asyncio.create_task(self._keep_lease(task, lease_end))
            try:
                await asyncio.wait((attempt, lease), return_when=asyncio.FIRST_COMPLETED)
                if attempt.done():
                    attempt.result()
                else:
                    log.warning("task lost its lease", extra=_named(task))
                    self._count(task, "lost")
            finally:
                interrupted = not attempt.done() and not lease.done()
                await _end(attempt, lease)
                if interrupted:
                    await self._give_back(task)

    async def _attempt(self, task: Task) -> None:
        try:
            await self._handle(task)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is an outcome
            await self._settle(task, error)
        else:
            await self._record(lambda tx: store.finish(tx, task, "SUCCEEDED"))
            self._count(task, "succeeded")

    async def _handle(self, task: Task) -> None:
        if task.attempt > task.max_attempts:
            raise AttemptsSpent(task.error or "The worker died.")
        await self._handlers[task.kind](task)

    async def _settle(self, task: Task, error: Exception) -> None:
        """Let a task that raised fail, or wait for its next attempt."""
        text = f"{type(error).__name__}: {error}"
        outage = task.age_s < _OUTAGE_MAX_S and _is_outage(error)
        spent = isinstance(error, Permanent) or task.attempt >= task.max_attempts
        if spent and not outage and await self._tell_failed(task, error):
            log.error("task failed", extra=_named(task), exc_info=error)
            await self._record(lambda tx: store.finish(tx, task, "FAILED", text))
            self._count(task, "failed")
            return
        ceiling_s = min(self._backoff_s * 2 ** min(task.attempt - 1, 20), _BACKOFF_MAX_S)
        if outage:
            ceiling_s = max(ceiling_s, _OUTAGE_PAUSE_S)
        delay_s = random.uniform(0, ceiling_s)  # noqa: S311  # full jitter
        extra = _named(task) | {"delay_s": delay_s}
        log.warning("task will be tried again", extra=extra, exc_info=error)
        await self._record(lambda tx: store.postpone(tx, task, delay_s, text, uncounted=outage))
        self._count(task, "retried")

    async def _tell_failed(self, task: Task, error: Exception) -> bool:
        if self._on_failed is None:
            return True
        try:
            await self._on_failed(task, error)
        except Exception:
            log.exception("what follows a failed task failed", extra=_named(task))
            return False
        return True

    async def _keep_lease(self, task: Task, lease_end: float) -> None:
        """Renew the lease; returns when it is lost, by PostgreSQL's word or by our own clock."""
        while (left_s := lease_end - time.monotonic()) > 0:
            await asyncio.sleep(min(self._lease_s / 3, left_s))
            asked = time.monotonic()
            with suppress(TimeoutError, *_DATABASE_LOST):
                async with asyncio.timeout(lease_end - asked), self._db.system() as tx:
                    if not await store.renew(tx, task, self._lease_s):
                        return
                lease_end = asked + self._lease_s

    async def _give_back(self, task: Task) -> None:
        """Let others run a task at once; if that cannot be written, they wait for the lease."""
        with suppress(*_DATABASE_LOST):
            async with self._db.system() as tx:
                await store.postpone(tx, task, 0, task.error, uncounted=True)

    async def _record(self, write: Callable[[Tx], Awaitable[None]]) -> None:
        """Write an outcome, again and again while the database is away and the lease lasts."""
        while True:
            try:
                async with self._db.system() as tx:
                    await write(tx)
            except _DATABASE_LOST:
                await asyncio.sleep(_RETRY_S)
            else:
                return

    def _count(self, task: Task, outcome: str) -> None:
        TASK_OUTCOMES.labels(self._schema, task.kind, outcome).inc()


async def _end(*parts: "asyncio.Task[None]") -> None:
    """Cancel until it has come through: before Python 3.12, wait_for may swallow it."""
    left = {part for part in parts if not part.done()}
    while left:
        for part in left:
            part.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)


def _is_outage(error: Exception) -> bool:
    return isinstance(error, CommitUncertain) or isinstance(as_fault(error), Unavailable)


def _named(task: Task) -> dict[str, object]:
    return {"task_id": task.task_id, "kind": task.kind, "attempt": task.attempt}
