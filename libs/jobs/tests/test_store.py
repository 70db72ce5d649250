from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from libs.jobs import store
from libs.jobs.tests.trial.world import ORGANIZATION, World
from libs.pg import audit_isolation, uuid7


async def test_the_same_task_id_is_one_task(world: World) -> None:
    task_id = uuid7()
    assert await world.enqueue("read", "first", task_id=task_id) == task_id
    assert await world.enqueue("read", "second", task_id=task_id) == task_id
    (row,) = await world.rows("select * from tasks")
    assert b"first" in row["payload"]
    assert row["state"] == "QUEUED"


async def test_an_organization_sees_its_own_tasks_and_settles_none(world: World) -> None:
    await world.enqueue("read")
    async with world.db.tenant(ORGANIZATION) as tx:
        assert await tx.fetchval("select count(*) from tasks") == 1
    async with world.db.tenant(uuid7()) as tx:
        assert await tx.fetchval("select count(*) from tasks") == 0
    for statement in ("update tasks set state = 'FAILED'", "delete from tasks"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with world.db.tenant(ORGANIZATION) as tx:
                await tx.execute(statement)


async def test_the_table_keeps_organizations_apart(world: World) -> None:
    con = await asyncpg.connect(world.admin_url)
    problems = await audit_isolation(con, "service")
    await con.close()
    assert problems == []


async def test_what_is_due_is_counted(world: World) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    await world.enqueue("read")
    await world.enqueue("read", run_time=later)
    async with world.db.system() as tx:
        assert await store.count_waiting(tx) == 1


async def test_a_task_that_succeeded_is_deleted_after_a_week(world: World) -> None:
    for state, days in (("SUCCEEDED", 8), ("SUCCEEDED", 6), ("FAILED", 8)):
        task_id = await world.enqueue("read")
        await world.rows(
            f"update tasks set state = '{state}', due_time = null,"
            f" finish_time = now() - interval '{days} days' where task_id = '{task_id}'"
        )
    async with world.db.system() as tx:
        await store.purge(tx)
    left = await world.rows("select state from tasks order by state")
    assert [row["state"] for row in left] == ["FAILED", "SUCCEEDED"]
