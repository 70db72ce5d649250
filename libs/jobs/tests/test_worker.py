import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.wrappers_pb2 import StringValue

from libs.blobs import BlobsUnavailable
from libs.embedded import Embedded
from libs.jobs import AttemptsSpent, Permanent, Task, Worker, store
from libs.jobs.tests.trial import worker as killed_worker
from libs.jobs.tests.trial.world import (
    ORGANIZATION,
    SCHEMA,
    World,
    new_database,
    open_database,
    redis_client,
    write_down,
)
from libs.pg import CommitUncertain, DatabaseUnavailable, uuid7
from libs.rpc import Unavailable
from libs.telemetry import bind, current
from libs.testkit import eventually

ROOT = Path(__file__).parents[3]


def worker_of(world: World, handlers: dict[str, Callable], **options) -> Worker:
    options = {"redis": world.redis, "backoff_s": 0.2} | options
    return Worker(world.db, options.pop("redis"), SCHEMA, handlers, **options)


async def test_a_task_runs_with_what_it_was_given(world: World, working) -> None:
    seen: list[tuple[Task, str]] = []

    async def handle(task: Task) -> None:
        seen.append((task, current().organization_id + current().request_id))

    with bind(request_id="request-1"):
        task_id = await world.enqueue("read", "payload", actor="user:1")
    async with working(worker_of(world, {"read": handle})):
        row = await world.ended(task_id, "SUCCEEDED")
    ((task, bound),) = seen
    assert (task.task_id, task.kind, task.organization_id) == (task_id, "read", ORGANIZATION)
    assert StringValue.FromString(task.payload).value == "payload"
    assert (task.attempt, task.actor, task.request_id) == (1, "user:1", "request-1")
    assert bound == ORGANIZATION + "request-1"
    assert row["finish_time"] is not None
    assert row["due_time"] is None
    assert await world.redis.xlen(f"tasks:{SCHEMA}") == 0


async def test_a_task_begins_within_a_moment(world: World, working) -> None:
    begun: list[float] = []

    async def handle(task: Task) -> None:
        begun.append(time.monotonic())

    took = []
    async with working(worker_of(world, {"read": handle})):
        await asyncio.sleep(0.5)
        for _ in range(5):
            enqueued = time.monotonic()
            await world.ended(await world.enqueue("read"), "SUCCEEDED")
            took.append(begun[-1] - enqueued)
    assert sorted(took)[2] < 0.2


async def test_a_task_does_not_run_before_its_time(world: World, working) -> None:
    begun: list[datetime] = []

    async def handle(task: Task) -> None:
        begun.append(datetime.now(UTC))

    run_time = datetime.now(UTC) + timedelta(seconds=1)
    task_id = await world.enqueue("read", run_time=run_time)
    async with working(worker_of(world, {"read": handle})):
        await world.ended(task_id, "SUCCEEDED")
    assert begun[0] >= run_time


async def test_a_failure_is_tried_again_with_growing_pauses(
    world: World, working, monkeypatch
) -> None:
    monkeypatch.setattr("libs.jobs.worker.random.uniform", lambda _, ceiling: ceiling)
    tried: list[float] = []

    async def handle(task: Task) -> None:
        tried.append(time.monotonic())
        if task.attempt < 4:
            raise ConnectionError(f"no answer {task.attempt}")
        assert task.error == "ConnectionError: no answer 3"

    task_id = await world.enqueue("call")
    async with working(worker_of(world, {"call": handle})):
        row = await world.ended(task_id, "SUCCEEDED")
    assert row["attempt"] == 4
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses[0] >= 0.2
    assert pauses[1] >= 0.4
    assert pauses[2] >= 0.8


async def test_after_the_last_attempt_a_task_has_failed_and_says_why(world: World, working) -> None:
    told: list[tuple[str, int, str]] = []

    async def handle(task: Task) -> None:
        raise ConnectionError("no answer")

    async def on_failed(task: Task, error: Exception) -> None:
        told.append((task.task_id, task.attempt, repr(error)))

    task_id = await world.enqueue("call", max_attempts=3)
    async with working(worker_of(world, {"call": handle}, on_failed=on_failed)):
        row = await world.ended(task_id, "FAILED")
    assert (row["attempt"], row["error"]) == (3, "ConnectionError: no answer")
    assert told == [(task_id, 3, "ConnectionError('no answer')")]


async def test_an_outage_is_no_attempt(world: World, working, monkeypatch) -> None:
    monkeypatch.setattr("libs.jobs.worker.random.uniform", lambda *_: 0)
    kinds = (DatabaseUnavailable, Unavailable, CommitUncertain, BlobsUnavailable)
    outages = [kind("away") for kind in kinds]

    async def handle(task: Task) -> None:
        if outages:
            raise outages.pop()

    task_id = await world.enqueue("call", max_attempts=2)
    async with working(worker_of(world, {"call": handle})):
        row = await world.ended(task_id, "SUCCEEDED")
    assert (row["attempt"], outages) == (1, [])


async def test_who_has_lost_a_claim_settles_nothing_though_the_attempt_is_the_same(
    world: World,
) -> None:
    task_id = await world.enqueue("call")
    claims = []
    for _ in range(2):
        async with world.db.system() as tx:
            task = await store.claim_next(tx, ["call"], 10)
            assert task is not None
            claims.append(task)
            if len(claims) == 1:
                await store.postpone(tx, task, 0, "away", uncounted=True)
    assert [task.attempt for task in claims] == [1, 1]
    async with world.db.system() as tx:  # as a postponement whose first commit was uncertain
        await store.postpone(tx, claims[0], 0, "away", uncounted=True)
        assert not await store.renew(tx, claims[0], 10)
        await store.finish(tx, claims[0], "FAILED", "away")
        assert await store.renew(tx, claims[1], 10)
    assert (await world.ended(task_id, "RUNNING"))["attempt"] == 1


async def test_an_outage_that_lasts_for_days_is_one(world: World, working, monkeypatch) -> None:
    monkeypatch.setattr("libs.jobs.worker.random.uniform", lambda *_: 0)

    async def handle(task: Task) -> None:
        raise Unavailable("away")

    task_id = await world.enqueue("call", max_attempts=2)
    await world.rows("update tasks set create_time = now() - interval '25 hours'")
    async with working(worker_of(world, {"call": handle})):
        row = await world.ended(task_id, "FAILED")
    assert (row["attempt"], row["error"]) == (2, "Unavailable: away")


async def test_a_permanent_failure_is_not_tried_again(world: World, working) -> None:
    async def handle(task: Task) -> None:
        raise Permanent("The file is encrypted.")

    task_id = await world.enqueue("read")
    async with working(worker_of(world, {"read": handle})):
        row = await world.ended(task_id, "FAILED")
    assert (row["attempt"], row["error"]) == (1, "Permanent: The file is encrypted.")


async def test_a_failure_is_told_again_until_that_succeeds(world: World, working) -> None:
    told: list[Exception] = []

    async def handle(task: Task) -> None:
        raise ConnectionError("no answer")

    async def on_failed(task: Task, error: Exception) -> None:
        told.append(error)
        if len(told) == 1:
            raise ConnectionError("nor here")

    task_id = await world.enqueue("call", max_attempts=1)
    async with working(worker_of(world, {"call": handle}, on_failed=on_failed)):
        await world.ended(task_id, "FAILED")
    assert isinstance(told[0], ConnectionError)
    assert isinstance(told[1], AttemptsSpent)
    assert str(told[1]) == "ConnectionError: no answer"


async def test_a_worker_leaves_kinds_that_it_does_not_know(world: World, working) -> None:
    done: list[str] = []

    async def handle(task: Task) -> None:
        done.append(task.kind)

    new = await world.enqueue("new")
    old = await world.enqueue("old")
    async with working(worker_of(world, {"old": handle})):
        await world.ended(old, "SUCCEEDED")
        await world.ended(new, "QUEUED")
    async with working(worker_of(world, {"old": handle, "new": handle})):
        await world.ended(new, "SUCCEEDED")
    assert done == ["old", "new"]


async def test_no_task_runs_twice_at_once_though_its_id_is_there_many_times(
    world: World, working
) -> None:
    runs: list[str] = []

    async def handle(task: Task) -> None:
        runs.append(task.task_id)
        await asyncio.sleep(0.02)

    ids = [await world.enqueue("read") for _ in range(30)]
    for task_id in ids * 3:
        await world.redis.xadd(f"tasks:{SCHEMA}", {"task": f"{ORGANIZATION} {task_id}"})
    async with working(*(worker_of(world, {"read": handle}, concurrency=4) for _ in range(3))):
        for task_id in ids:
            await world.ended(task_id, "SUCCEEDED")
        await eventually(lambda: world.redis.xlen(f"tasks:{SCHEMA}"), lambda length: length == 0)
    assert sorted(runs) == sorted(ids)


async def test_without_redis_postgres_is_polled(world: World, working) -> None:
    async def handle(task: Task) -> None:
        await asyncio.sleep(0)

    closed = redis_client("redis://127.0.0.1:9/0")
    async with working(worker_of(world, {"read": handle}, redis=closed)):
        for task_id in [await world.enqueue("read") for _ in range(5)]:
            await world.ended(task_id, "SUCCEEDED", within_s=5)
    await closed.aclose()


async def test_what_redis_forgets_is_handed_out_again(world: World, working) -> None:
    release = asyncio.Event()

    async def handle(task: Task) -> None:
        await release.wait()

    ids = [await world.enqueue("read") for _ in range(10)]
    async with working(worker_of(world, {"read": handle}, concurrency=1)):
        await eventually(lambda: world.redis.xlen(f"tasks:{SCHEMA}"), lambda it: it == 9)
        await world.redis.flushall()
        release.set()
        for task_id in ids:
            await world.ended(task_id, "SUCCEEDED", within_s=5)


async def test_a_task_that_is_taken_away_is_interrupted(world: World, working) -> None:
    begun, interrupted = asyncio.Event(), asyncio.Event()

    async def handle(task: Task) -> None:
        begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            interrupted.set()
            raise

    task_id = await world.enqueue("read")
    async with working(worker_of(world, {"read": handle}, lease_s=0.6)):
        await begun.wait()
        # With a lease that outlasts the test: else this worker takes the task back.
        await world.rows(
            "update tasks set owner = 'another', due_time = now() + interval '1 minute'"
        )
        await asyncio.wait_for(interrupted.wait(), 5)
    assert (await world.ended(task_id, "RUNNING"))["owner"] == "another"


async def test_a_stopping_worker_finishes_what_it_has_begun(world: World, working) -> None:
    begun = asyncio.Event()

    async def handle(task: Task) -> None:
        begun.set()
        await asyncio.sleep(0.5)

    task_id = await world.enqueue("read")
    async with working(worker_of(world, {"read": handle})):
        await begun.wait()
    await world.ended(task_id, "SUCCEEDED", within_s=0)


async def test_a_cancelled_worker_gives_back_what_it_has_begun(world: World, working) -> None:
    begun = asyncio.Event()

    async def hang(task: Task) -> None:
        begun.set()
        await asyncio.sleep(30)

    async def handle(task: Task) -> None:
        await asyncio.sleep(0)

    task_id = await world.enqueue("read")
    leaving = asyncio.create_task(worker_of(world, {"read": hang}).run(asyncio.Event()))
    await begun.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    async with working(worker_of(world, {"read": handle})):
        row = await world.ended(task_id, "SUCCEEDED", within_s=3)
    assert row["attempt"] == 1


async def start_worker(admin_url: str, redis_url: str, seconds: float):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, killed_worker.__file__, admin_url, redis_url, str(seconds)),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def test_a_killed_worker_is_taken_over_after_its_lease(world: World) -> None:
    task_id = await world.enqueue("long")
    first = await start_worker(world.admin_url, world.redis_url, 30)
    await eventually(lambda: world.rows("select * from runs"))
    first.kill()
    await first.wait()
    killed = time.monotonic()
    second = await start_worker(world.admin_url, world.redis_url, 0.1)
    row = await world.ended(task_id, "SUCCEEDED")
    assert row["attempt"] == 2
    assert time.monotonic() - killed < killed_worker.LEASE_S + 6
    second.kill()
    await second.wait()


async def test_a_task_that_kills_its_workers_fails_in_the_end(world: World, working) -> None:
    told: list[str] = []

    async def handle(task: Task) -> None:
        told.append("run")

    async def on_failed(task: Task, error: Exception) -> None:
        told.append(str(error))

    task_id = await world.enqueue("long", max_attempts=1)
    process = await start_worker(world.admin_url, world.redis_url, 30)
    await eventually(lambda: world.rows("select * from runs"))
    process.kill()
    await process.wait()
    async with working(worker_of(world, {"long": handle}, on_failed=on_failed)):
        row = await world.ended(task_id, "FAILED")
    assert told == ["The worker died."]
    assert row["error"] == "AttemptsSpent: The worker died."


async def test_tasks_outlive_the_stores_and_the_workers(tmp_path: Path) -> None:
    """Kills workers, Redis and PostgreSQL while tasks run; each ends, none runs twice at once."""
    async with Embedded(tmp_path, environ={}) as embedded:
        url = await new_database(embedded.env()["ADMIN_DATABASE_URL"])
        redis_url = embedded.env()["REDIS_URL"]
        world = World(url, redis_url, await open_database(url), redis_client(redis_url))
        ids = [await world.enqueue("long", max_attempts=50) for _ in range(40)]
        workers = [await start_worker(url, redis_url, 0.2) for _ in range(2)]
        for number in range(2):
            await asyncio.sleep(1.5)
            workers[number].kill()
            await workers[number].wait()
            workers[number] = await start_worker(url, redis_url, 0.2)
        await embedded.redis.kill()
        await asyncio.sleep(1)
        await embedded.redis.start()
        await embedded.postgres.kill()
        await embedded.postgres.start()
        for task_id in ids:
            await world.ended(task_id, "SUCCEEDED", within_s=30)
        runs = await world.rows("select task_id, attempt, what from runs order by number")
        for process in workers:
            process.kill()
            await process.wait()
        await world.db.close()
        await world.redis.aclose()
    for task_id in ids:
        own = [(run["attempt"], run["what"]) for run in runs if str(run["task_id"]) == task_id]
        attempts = [attempt for attempt, _ in own]
        assert attempts == sorted(attempts), "an attempt went on beside the next"
        assert "ended" in [what for _, what in own]


async def test_what_a_handler_writes_is_seen_by_others(world: World, working) -> None:
    async def handle(task: Task) -> None:
        await write_down(world.db, task, "done")

    task_id = await world.enqueue("read", task_id=uuid7())
    async with working(worker_of(world, {"read": handle})):
        await world.ended(task_id, "SUCCEEDED")
    ((what,),) = await world.rows("select what from runs")
    assert what == "done"


async def test_what_waits_for_others_takes_no_slot_from_another_lane(world: World, working) -> None:
    silent = asyncio.Event()

    async def wait(task: Task) -> None:
        await silent.wait()

    async def handle(task: Task) -> None:
        pass

    deliveries = [await world.enqueue("deliver") for _ in range(3)]
    slow = worker_of(world, {"deliver": wait}, lane="foreign")
    async with working(slow), working(worker_of(world, {"read": handle})):
        await world.ended(deliveries[0], "RUNNING")
        await world.ended(await world.enqueue("read"), "SUCCEEDED")
        silent.set()
        for task_id in deliveries:
            await world.ended(task_id, "SUCCEEDED")
