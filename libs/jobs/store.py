"""The record of tasks: every statement on their table, one function each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import Message

from libs import telemetry
from libs.pg import Record, Tx, uuid7

PAYLOAD_BYTES_MAX = 1 << 20
_ERROR_LENGTH_MAX = 2_000
_CARRIED_S = 30.0  # then an id that nobody has taken from Redis is handed out again
_KEPT_DAYS = 7  # a task that has succeeded; one that has failed stays
_COUNTED_MAX = 100_000

_ENQUEUE = """
with task as (
  insert into tasks (organization_id, task_id, kind, payload, max_attempts, run_time, due_time,
    actor, traceparent, request_id)
  select $1, $2, $3, $4, $5, t, t, $7, $8, $9
  from (select coalesce($6::timestamptz, now()) as t) given
  on conflict (organization_id, task_id) do nothing
)
select pg_notify(current_schema() || '.tasks', '')
"""
# A task whose lease has ended waits again.
_HAND_OUT = """
with due as (
  select organization_id, task_id from tasks
  where due_time <= now() and kind = any($1) order by due_time limit $2 for update skip locked
)
update tasks set state = 'QUEUED', owner = null, due_time = now() + make_interval(secs => $3)
from due where tasks.organization_id = due.organization_id and tasks.task_id = due.task_id
returning due.organization_id, due.task_id
"""
_CLAIMED = """
set state = 'RUNNING', attempt = attempt + 1, owner = $1,
  due_time = now() + make_interval(secs => $2)
"""
_RETURNING = """
returning tasks.organization_id, tasks.task_id, kind, payload, attempt, max_attempts, error, owner,
  actor, traceparent, request_id, extract(epoch from now() - run_time)::float8 as waited_s,
  extract(epoch from now() - create_time)::float8 as age_s
"""
_CLAIM = f"""
update tasks {_CLAIMED}
where organization_id = $3 and task_id = $4 and state = 'QUEUED' and run_time <= now()
  and kind = any($5) {_RETURNING}
"""
_CLAIM_NEXT = f"""
with due as (
  select organization_id, task_id from tasks
  where due_time <= now() and kind = any($3) order by due_time limit 1 for update skip locked
)
update tasks {_CLAIMED}
from due where tasks.organization_id = due.organization_id and tasks.task_id = due.task_id
{_RETURNING}
"""
_HELD = """
where organization_id = $1 and task_id = $2 and state = 'RUNNING' and owner = $3
"""
_RENEW = f"update tasks set due_time = now() + make_interval(secs => $4) {_HELD} returning true"
_FINISH = f"""
update tasks set state = $4, error = $5, due_time = null, owner = null, finish_time = now() {_HELD}
"""
_POSTPONE = f"""
update tasks set state = 'QUEUED', error = $4, owner = null, attempt = attempt - $5,
  run_time = now() + make_interval(secs => $6), due_time = now() + make_interval(secs => $6)
{_HELD}
"""
_RECALL = """
update tasks set due_time = run_time
where state = 'QUEUED' and due_time > run_time and kind = any($1)
"""
_COUNT = """
select count(*) from (
  select from tasks where due_time is not null and state = 'QUEUED' and run_time <= now() limit $1
) waiting
"""
_PURGE = """
delete from tasks where (organization_id, task_id) in (
  select organization_id, task_id from tasks
  where finish_time < now() - make_interval(days => $1) and state = 'SUCCEEDED' limit 1000)
"""


@dataclass(frozen=True)
class Task:
    """A task in the hands of a worker; `attempt` counts from 1."""

    task_id: str
    kind: str
    organization_id: str
    payload: bytes
    attempt: int
    max_attempts: int
    error: str  # of the attempt before
    owner: str  # of this claim alone: whoever has another one may not settle it
    actor: str
    traceparent: str
    request_id: str
    waited_s: float
    age_s: float


async def enqueue(
    tx: Tx,
    kind: str,
    payload: Message,
    *,
    organization_id: str,
    task_id: str | None = None,
    run_time: datetime | None = None,
    max_attempts: int = 6,
    actor: str = "",
) -> str:
    """Have a task run once the transaction commits, not before run_time; return its task_id.

    A task_id that the organization has used already changes nothing, so repeating does no harm.
    """
    body = payload.SerializeToString()
    assert len(body) <= PAYLOAD_BYTES_MAX, f"{kind} has {len(body)} bytes"
    task_id = task_id or uuid7()
    await tx.execute(
        _ENQUEUE,
        organization_id,
        task_id,
        kind,
        body,
        max_attempts,
        run_time,
        actor,
        telemetry.traceparent(),
        telemetry.current().request_id,
    )
    return task_id


async def hand_out(tx: Tx, kinds: Sequence[str], limit: int) -> list[Record]:
    """Return organization_id and task_id of what is due, and take it as handed out."""
    return await tx.fetch(_HAND_OUT, kinds, limit, _CARRIED_S)


async def recall(tx: Tx, kinds: Sequence[str]) -> None:
    """Make all due again that was handed out and not begun: what carried it is gone."""
    await tx.execute(_RECALL, kinds)


async def claim(
    tx: Tx, kinds: Sequence[str], lease_s: float, *, organization_id: str, task_id: str
) -> Task | None:
    """Begin a task that was handed out; None if it is not there to be begun."""
    row = await tx.fetchrow(_CLAIM, uuid7(), lease_s, organization_id, task_id, kinds)
    return None if row is None else _task(row)


async def claim_next(tx: Tx, kinds: Sequence[str], lease_s: float) -> Task | None:
    """Begin the task that is due first; None if there is none."""
    row = await tx.fetchrow(_CLAIM_NEXT, uuid7(), lease_s, kinds)
    return None if row is None else _task(row)


async def renew(tx: Tx, task: Task, lease_s: float) -> bool:
    """Make the lease end later; False if it is lost."""
    key = (task.organization_id, task.task_id, task.owner)
    return bool(await tx.fetchval(_RENEW, *key, lease_s))


async def finish(tx: Tx, task: Task, state: str, error: str = "") -> None:
    """End a task as SUCCEEDED or FAILED; nothing happens if the lease is lost."""
    key = (task.organization_id, task.task_id, task.owner)
    await tx.execute(_FINISH, *key, state, error[:_ERROR_LENGTH_MAX])


async def postpone(
    tx: Tx, task: Task, delay_s: float, error: str = "", *, uncounted: bool = False
) -> None:
    """Have a task run again later, the attempt not counted if told so; nothing if it is lost."""
    key = (task.organization_id, task.task_id, task.owner)
    await tx.execute(_POSTPONE, *key, error[:_ERROR_LENGTH_MAX], int(uncounted), delay_s)


async def count_waiting(tx: Tx) -> int:
    """Return how many tasks are due and not begun, at most 100,000."""
    return int(await tx.fetchval(_COUNT, _COUNTED_MAX))


async def purge(tx: Tx) -> None:
    """Delete some of the tasks that succeeded more than a week ago."""
    await tx.execute(_PURGE, _KEPT_DAYS)


def _task(row: Record) -> Task:
    ids = {"organization_id": str(row["organization_id"]), "task_id": str(row["task_id"])}
    return Task(**{**dict(row.items()), **ids})
