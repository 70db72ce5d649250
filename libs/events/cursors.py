"""How far a consumer has come in another's log; setting it back, and what it had to leave out."""

from dataclasses import dataclass

from libs.pg import Database

from .log import PARTITIONS

_SET = """
insert into cursors (producer, consumer, partition, position) values ($1, $2, $3, $4)
on conflict (producer, consumer, partition) do update set position = $4
"""


@dataclass(frozen=True)
class Cursor:
    """How far a partition is handled, and in which lives of the log that was."""

    position: int
    generation_id: str


def common_position(cursor: Cursor, generation_id: str) -> int:
    """Return the last position up to which the log is still the one that the cursor followed.

    A generation id names each life of the log with the head at which it began, oldest first:
    "ID@0,ID@120". What was appended in lives that only one side knows is not common.
    """
    if not cursor.generation_id:
        return cursor.position
    before, now = cursor.generation_id.split(","), generation_id.split(",")
    shared = 0
    while before[shared:] and before[shared : shared + 1] == now[shared : shared + 1]:
        shared += 1
    starts = [int(life.partition("@")[2] or 0) for life in before[shared:] + now[shared:]]
    return min([cursor.position, *starts])


async def set_cursor(
    db: Database,
    producer: str,
    position: int = 0,
    *,
    partition: int | None = None,
    name: str = "main",
) -> None:
    """Make a consumer go on after a position, in one partition or in all: 0 replays everything.

    One that runs notices within 10 s. The effects must bear to be repeated, or be deleted before.
    """
    partitions = range(PARTITIONS) if partition is None else [partition]
    async with db.unscoped() as tx:
        await tx.executemany(_SET, [(producer, name, each, position) for each in partitions])


async def list_dead_letters(
    db: Database, producer: str, *, name: str = "main"
) -> list[tuple[str, str]]:
    """Return (organization_id, event_id) of what a consumer could not handle, the oldest first."""
    async with db.system() as tx:
        found = await tx.fetch(
            """
            select organization_id, event_id from dead_letters
            where producer = $1 and consumer = $2 and replay_time is null order by create_time
            """,
            producer,
            name,
        )
    return [(str(row["organization_id"]), str(row["event_id"])) for row in found]
