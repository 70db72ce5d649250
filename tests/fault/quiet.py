"""What is still under way in the databases, and how to wait until nothing is."""

import asyncio
import time
from typing import Any

import asyncpg  # type: ignore[import-untyped]

# Per schema; each says what is not done yet.
_UNFINISHED = {
    "events without a position": "select count(*) from {0}.events where position is null",
    "events not told to the live streams": """
        select coalesce(sum(position - published_position), 0) from {0}.heads
    """,
    "tasks not ended": """
        select count(*) from {0}.tasks where state in ('QUEUED', 'RUNNING')
    """,
}
_BEHIND = """
select coalesce(sum(h.position - coalesce(c.position, 0)), 0)
from {1}.heads h
left join {0}.cursors c on c.partition = h.partition and c.producer = '{1}' and c.consumer = $1
"""
# Who must have followed whom, by DESIGN.md: facts that nobody takes are lost for the reader.
FOLLOWED = {
    "agent": ["invoice"],
    "billing": ["auth", "invoice"],
    "invoice": ["billing", "recon"],
    "recon": ["invoice"],
    "reporting": ["auth", "invoice", "recon"],
}
QUIET_S = 1.5  # for so long nothing may begin anew


async def schemas(con: Any) -> list[str]:
    """The services that have a log."""
    rows = await con.fetch("select schemaname from pg_tables where tablename = 'events' order by 1")
    return [row[0] for row in rows]


async def cursors(con: Any) -> list[tuple[str, str, str]]:
    """Every (follower, producer, consumer): those there are, and those that must be there."""
    names = await schemas(con)
    found = {(name, producer, "main") for name in names for producer in FOLLOWED.get(name, [])}
    for name in names:
        rows = await con.fetch(f"select distinct producer, consumer from {name}.cursors")
        found |= {(name, row[0], row[1]) for row in rows}
    return sorted(found)


async def unfinished(con: Any) -> list[str]:
    """What is still to be done, in words; [] when everything is quiet."""
    left = []
    for name in await schemas(con):
        for what, sql in _UNFINISHED.items():
            if count := await con.fetchval(sql.format(name)):
                left.append(f"{name}: {count} {what}")
    for name, producer, consumer in await cursors(con):
        if count := await con.fetchval(_BEHIND.format(name, producer), consumer):
            left.append(f"{name} is {count} events behind {producer} ({consumer})")
    return left


async def wait(admin_url: str, within_s: float) -> list[str]:
    """Wait until nothing is under way for a while; what still is when the time is over."""
    con = await asyncpg.connect(admin_url)
    try:
        end = time.monotonic() + within_s
        quiet_since = None
        left = ["nothing was looked at"]
        while time.monotonic() < end:
            left = await unfinished(con)
            now = time.monotonic()
            quiet_since = None if left else quiet_since or now
            if quiet_since and now - quiet_since > QUIET_S:
                return []
            await asyncio.sleep(0.2)
        return left
    finally:
        await con.close()
