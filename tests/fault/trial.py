"""One run: the platform, its clients, the killer, the quiet afterwards, and the checker's word."""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from examples.demo import NOTHING_FOREIGN
from libs.embedded import free_port
from libs.embedded.embedded import REPLACED_BY
from libs.run.platform import ROOT, Platform, Progress
from tests.fault import load, quiet
from tests.fault.history import History
from tests.fault.killer import Killer, schedule
from tests.fault.rest import Client, Traffic

ANSWERED_WITHIN_S = 60.0  # after the last fault every request has its answer
QUIET_WITHIN_S = 300.0  # what was tried in vain waits longer and longer
CLERKS = 2


@dataclass(frozen=True)
class Outcome:
    """What happened, and what the checker found."""

    seed: int
    seconds: float  # of load under faults
    faults: Counter[str]
    acknowledged: Counter[str]
    attempts: Counter[str]
    waits_s: list[float]
    quiet_after_s: float
    verdict: dict[str, Any]

    @property
    def violations(self) -> list[str]:
        """Every breach of a rule, in words."""
        return [
            f"{rule['name']}: {text}"
            for rule in self.verdict["rules"]
            for text in rule["violations"]
        ]


@dataclass(frozen=True)
class Load:
    """The clients of a run."""

    history: History
    traffic: Traffic
    companies: int
    seed: int

    async def run(self, http: httpx.AsyncClient, until: float) -> list[load.Books]:
        """Work until it is time, and finish what was begun."""

        def make(number: int) -> Client:
            dice = random.Random(f"{self.seed} {number}")
            return Client(http, self.history, self.traffic, dice, f"person{number}@example.com")

        opened = await asyncio.gather(
            *(load.open_books(make(number), number) for number in range(self.companies))
        )
        all_books = [books for books in opened if books]
        dice = random.Random(self.seed)
        work = [load.clerk(books, until) for books in all_books for _ in range(CLERKS)]
        work += [load.approver(books, until) for books in all_books]
        work += [load.banker(books, until) for books in all_books]
        work.append(load.reporter(list(all_books), dice, until))
        work.append(load.newcomers(make, all_books, dice, until))
        work.append(load.visitor(make(-1), [], until))
        await asyncio.gather(*work)
        return all_books


async def run(
    folder: Path, *, seconds: float, faults: int, companies: int, seed: int, progress: Progress
) -> Outcome:
    """Run it all in a folder, which then holds platform/, mail/ and history.jsonl.

    RuntimeError if the platform itself does not come up.
    """
    dice = random.Random(seed)
    history, traffic = History(folder / "history.jsonl"), Traffic()
    with alone():
        platform = Platform(
            folder / "platform",
            split=True,
            settings=NOTHING_FOREIGN | {"AGENT_MAIL_FOLDER": str(folder / "mail")},
            gateway_port=free_port(),
        )
        try:
            await platform.start(progress)
            progress(f"{faults} faults in {seconds:.0f} s, seed {seed}")
            killer = Killer(platform, dice)
            plan = schedule(list(platform.children), faults, dice)
            quiet_after_s = await _torment(
                platform, killer, plan, seconds, Load(history, traffic, companies, seed)
            )
            progress("checking")
            verdict = await check(folder, platform.embedded.env()["ADMIN_DATABASE_URL"])
        finally:
            history.close()
            await platform.stop()
    return Outcome(
        seed, seconds, killer.done, history.counts, traffic.attempts, traffic.waits_s,
        quiet_after_s, verdict,
    )  # fmt: skip


async def _torment(
    platform: Platform, killer: Killer, plan: list[str], seconds: float, made: Load
) -> float:
    """Load and faults side by side, then quiet; how long that took to come, in seconds."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=platform.url, timeout=12, limits=limits) as http:
        began = time.monotonic()
        working = asyncio.create_task(made.run(http, began + seconds))
        try:
            await killer.run(plan, seconds / (len(plan) + 1))
            await killer.mend()
            made.traffic.give_up_at = max(time.monotonic(), began + seconds) + ANSWERED_WITHIN_S
            books = await working
        finally:
            working.cancel()
        ended = time.monotonic()
        await quiet.wait(platform.embedded.env()["ADMIN_DATABASE_URL"], QUIET_WITHIN_S)
        quiet_after_s = time.monotonic() - ended
        await load.look_again(books)
    return quiet_after_s


async def check(folder: Path, admin_url: str) -> dict[str, Any]:
    """The verdict of the checker, which is a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fault.checker", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "ADMIN_DATABASE_URL": admin_url},
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the checker ended with {process.returncode}")
    verdict: dict[str, Any] = json.loads(out)
    return verdict


@contextmanager
def alone() -> Iterator[None]:
    """Name no real stores and nobody outside meanwhile: what is killed must be our own."""
    names = [*REPLACED_BY.values(), "OPENAI_API_KEY", "STRIPE_API_KEY", "SMTP_URL"]
    taken = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
