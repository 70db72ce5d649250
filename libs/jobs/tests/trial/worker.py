"""A worker to be killed: `worker.py ADMIN_URL REDIS_URL SECONDS`, which is what a task takes."""

import asyncio
import sys

from libs.jobs import Task, Worker
from libs.jobs.tests.trial.world import SCHEMA, open_database, redis_client, write_down

LEASE_S = 1.5


async def main(admin_url: str, redis_url: str, seconds: str) -> None:
    """Work until killed."""
    db = await open_database(admin_url)

    async def handle(task: Task) -> None:
        await write_down(db, task, "begun")
        await asyncio.sleep(float(seconds))
        await write_down(db, task, "ended")

    worker = Worker(db, redis_client(redis_url), SCHEMA, {"long": handle}, lease_s=LEASE_S)
    await worker.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
