import logging
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from libs.embedded import Embedded
from tests.fault import report, trial
from tests.fault.planted import DAMAGE

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fault")


@pytest.fixture(scope="module")
async def outcome(folder: Path) -> trial.Outcome:
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(10**6))
    print(f"FAULT_SEED={seed}")  # noqa: T201  # pytest shows it when a test fails
    return await trial.run(folder, seconds=25, faults=20, companies=2, seed=seed, progress=log.info)


@pytest.fixture
async def admin_url(folder: Path, outcome: trial.Outcome) -> AsyncIterator[str]:
    """The run's databases, after it."""
    embedded = Embedded(folder / "platform", environ={})
    await embedded.start()
    yield embedded.env()["ADMIN_DATABASE_URL"]
    await embedded.erase()


def test_nothing_acknowledged_is_lost_or_done_twice_while_processes_are_killed(
    outcome: trial.Outcome,
) -> None:
    assert not outcome.violations, f"FAULT_SEED={outcome.seed}\n" + "\n".join(outcome.violations)
    assert report.acknowledged(outcome) > 50
    assert sum(outcome.faults.values()) >= 15


async def test_the_checker_finds_what_is_planted(
    admin_url: str, folder: Path, outcome: trial.Outcome
) -> None:
    con = await asyncpg.connect(admin_url)
    await con.execute("set session_replication_role = replica")
    planted = {rule: await con.execute(sql) for rule, sql in DAMAGE.items()}
    await con.close()
    assert not [rule for rule, status in planted.items() if status.endswith(" 0")]
    verdict = await trial.check(folder, admin_url)
    found = {rule["name"] for rule in verdict["rules"] if rule["count"]}
    assert not DAMAGE.keys() - found
    assert all(verdict[kind] for kind in ("lost", "doubled", "broken"))
