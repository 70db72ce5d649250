"""Ends processes as crashes do, one after the other, by a schedule that the seed makes."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from redis.asyncio import Redis

from libs.embedded import Server
from libs.run.platform import Platform

# What is done to the stores. To a process: its name, and it is killed; FROZEN and its name.
REDIS, STORE, CRASHED = "kill -9 of Redis", "kill -9 of the object store", "kill -9 of PostgreSQL"
STOPPED, EMPTIED = "immediate stop of PostgreSQL", "Redis emptied"
ENDED, LOCKED = "half of PostgreSQL's sessions ended", "invoices, matches, jobs locked for 3 s"
SILENT, SILENT_S = "Redis silent for 4 s", 4.0
MUTE, MUTE_S = "PostgreSQL silent for 12 s", 12.0  # longer than any statement may take
AWAY, AWAY_S = "object store away for 20 s", 20.0
FROZEN = "12 s without a step: "
FREEZE_S = 12.0  # longer than a task's lease
LOCK_S = 3.0  # longer than a call may take
DOWN_S = (0.05, 0.8)


def schedule(children: list[str], faults: int, dice: random.Random) -> list[str]:
    """What is done to whom: every process in turn, by chance, and the stores at set places."""
    turns = _turns([*children, REDIS, STORE, ENDED, ENDED, LOCKED, SILENT], dice)
    found = [next(turns) for _ in range(faults)]
    # Each of these at least once, whatever the length; most of the rest stays kills of processes.
    special = [STOPPED, EMPTIED]
    if faults >= 60:
        frozen = FROZEN + dice.choice(_workers(children))
        special += [CRASHED, AWAY, STOPPED, frozen, MUTE, STOPPED]
    for number, one in enumerate(special, 1):
        found[number * faults // (len(special) + 1)] = one
    return found


_END = """
select pg_terminate_backend(pid) from pg_stat_activity
where usename <> current_user and datname = current_database() and random() < 0.5
"""
_LOCK = f"""
begin;
lock table invoice.invoices, recon.matches, agent.jobs in exclusive mode;
select pg_sleep({LOCK_S});
commit
"""


class Killer:
    """Works through a schedule against a running platform."""

    def __init__(self, platform: Platform, dice: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._platform = platform
        self._dice = dice
        self._thaws: set[asyncio.Task[None]] = set()

    async def run(self, faults: list[str], pause_s: float) -> None:
        """Do one fault after the other, `pause_s` on average between them."""
        for fault in faults:
            await asyncio.sleep(self._dice.uniform(0.5, 1.5) * pause_s)
            if await self._do(fault):
                self.done[fault] += 1

    async def mend(self) -> None:
        """Have everything run again."""
        await asyncio.gather(*self._thaws)
        servers = self._platform.embedded
        for server in (servers.postgres, servers.redis, servers.s3):
            await server.start()

    async def _do(self, fault: str) -> bool:
        """Do what is named; False if there was nothing to do it to."""
        servers = self._platform.embedded
        killed = {REDIS: servers.redis, STORE: servers.s3, CRASHED: servers.postgres}
        if fault in killed:
            await killed[fault].kill()
            await self._start_later(killed[fault])
        elif fault == STOPPED:
            # As `pg_ctl stop -m immediate`: every session ends in the middle of what it does.
            os.kill(_pid(servers.postgres), signal.SIGQUIT)
            await servers.postgres.stop()  # waits; what was begun cannot be made gentler
            await self._start_later(servers.postgres)
        elif fault == EMPTIED:
            client: Any = Redis.from_url(servers.env()["REDIS_URL"])
            await client.flushall()
            await client.aclose()
        elif fault in (ENDED, LOCKED):
            await self._in_postgres(_END if fault == ENDED else _LOCK)
        elif fault == SILENT:
            self._freeze(SILENT_S, _pid(servers.redis))
        elif fault == MUTE:
            pid = _pid(servers.postgres)
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            self._freeze(MUTE_S, pid, *map(int, children))
            await asyncio.sleep(MUTE_S)
        elif fault == AWAY:
            await servers.s3.kill()
            await asyncio.sleep(AWAY_S)
            await servers.s3.start()
        else:
            return self._to_process(fault)
        return True

    def _to_process(self, fault: str) -> bool:
        """Kill or freeze one; False if it has just ended, and will be started again."""
        name = fault.removeprefix(FROZEN)
        child = self._platform.children[name]
        if child.pid is None:
            return False
        try:
            if name == fault:
                child.kill()
            else:
                self._freeze(FREEZE_S, child.pid)
        except ProcessLookupError:
            return False
        return True

    async def _in_postgres(self, sql: str) -> None:
        con = await asyncpg.connect(self._platform.embedded.env()["ADMIN_DATABASE_URL"])
        try:
            await con.execute(sql)
        finally:
            await con.close()

    async def _start_later(self, server: Server) -> None:
        await asyncio.sleep(self._dice.uniform(*DOWN_S))
        await server.start()

    def _freeze(self, seconds: float, *pids: int) -> None:
        """Stop processes without ending them, and let them go on later."""
        os.kill(pids[0], signal.SIGSTOP)
        _tell(signal.SIGSTOP, pids[1:])

        async def thaw() -> None:
            await asyncio.sleep(seconds)
            _tell(signal.SIGCONT, pids)

        self._thaws.add(asyncio.create_task(thaw()))


def _tell(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it has ended, or was killed meanwhile
            os.kill(pid, number)


def _pid(server: Server) -> int:
    assert server.pid is not None, "each fault waits until the one before is mended"
    return server.pid


def _turns(targets: list[str], dice: random.Random) -> Iterator[str]:
    while True:
        yield from dice.sample(targets, len(targets))


def _workers(children: list[str]) -> list[str]:
    return [name for name in children if name.endswith("-worker")]
