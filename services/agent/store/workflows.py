"""Jobs, what their steps found, and what models were asked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from auditron.agent.v1 import agent_events_pb2, agent_pb2
from auditron.agent.v1.agent_pb2 import Job

from libs import events, jobs
from libs.pg import Database, Record, Tx, uuid7
from libs.pg.rows import columns_of, to_message, values

from .. import errors
from . import notifications

# Kinds of tasks. The first two carry a GetJobRequest, the third a RetryDeliveryRequest.
RUN_JOB = "run_job"
TELL_INVOICE = "tell_invoice"

ATTEMPTS = 10  # the last comes after up to 17 minutes: as long may others be away
TELL_ATTEMPTS = 12  # it takes over an hour until the last
ENDED = frozenset(
    (agent_pb2.JOB_STATE_SUCCEEDED, agent_pb2.JOB_STATE_FAILED, agent_pb2.JOB_STATE_CANCELLED)
)
_JOB = ", ".join(columns_of(Job))
_WORK = f"{_JOB}, version, task_id, task_attempt, content_type, direction"


@dataclass(frozen=True)
class Work:
    """A job and what only its workers need to know."""

    organization_id: str
    job: Job
    version: int
    task_id: str
    task_attempt: int
    content_type: str
    direction: int

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.job.state in ENDED


async def insert_job(
    tx: Tx, organization_id: str, job: Job, content_type: str, direction: int
) -> None:
    """Queue a job; one that is there already is left as it stands."""
    task_id = uuid7()
    row = await tx.fetchrow(
        f"""
        insert into jobs (organization_id, job_id, invoice_id, state, actor, task_id,
          content_type, direction)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict do nothing returning {_WORK}
        """,
        organization_id, job.job_id, job.invoice_id, agent_pb2.JOB_STATE_QUEUED, job.actor,
        task_id, content_type, direction,
    )  # fmt: skip
    if row is not None:
        await _enqueue(tx, _work(organization_id, row), job.actor)


async def get_job(db: Database, organization_id: str, job_id: str) -> Job:
    """A job. Raises JobNotFound."""
    rows = await db.read(organization_id, f"select {_JOB} from jobs where job_id = $1", job_id)
    if not rows:
        raise errors.JobNotFound("There is no such job.")
    return to_message(rows[0], Job)


async def get_changed_job(
    db: Database, organization_id: str, job_id: str, known_version: int
) -> tuple[Job, int] | None:
    """A job and its version; None unless that is later than the one known."""
    rows = await db.read(
        organization_id,
        f"select {_JOB}, version from jobs where job_id = $1 and version > $2",
        job_id,
        known_version,
    )
    return (to_message(rows[0], Job), int(rows[0]["version"])) if rows else None


async def list_jobs(
    db: Database, organization_id: str, state: int | None, before: str | None, limit: int
) -> list[Job]:
    """Jobs, newest first; of one state, if given."""
    rows = await db.read(
        organization_id,
        f"""
        select {_JOB} from jobs
        where ($1::int is null or state = $1) and ($2::uuid is null or job_id < $2)
        order by job_id desc limit $3
        """,
        state,
        before,
        limit,
    )
    return [to_message(row, Job) for row in rows]


async def lock_work(tx: Tx, organization_id: str, job_id: str) -> Work:
    """A job, kept from changing until the transaction ends. Raises JobNotFound."""
    row = await tx.fetchrow(f"select {_WORK} from jobs where job_id = $1 for update", job_id)
    if row is None:
        raise errors.JobNotFound("There is no such job.")
    return _work(organization_id, row)


async def update_job(tx: Tx, work: Work, actor: str) -> Work:
    """Write a locked job's state, steps and failure, and state the fact.

    With its end those are told who want to know, and invoice, unless it has its result.
    """
    columns = ("state", "steps", "failure")
    row = await tx.fetchrow(
        f"""
        update jobs set state = $2, steps = $3, failure = $4, task_attempt = $5,
          end_time = case when $6 then now() end, update_time = now(), version = version + 1
        where job_id = $1 returning {_WORK}
        """,
        work.job.job_id, *values(work.job, *columns), work.task_attempt, work.ended,
    )  # fmt: skip
    assert row is not None, "the job was locked before"
    after = _work(work.organization_id, row)
    await _state(tx, after, actor)
    if after.ended:
        await tx.execute("delete from step_results where job_id = $1", after.job.job_id)
        await notifications.insert_deliveries(tx, after.organization_id, after.job)
    if after.ended and after.job.state != agent_pb2.JOB_STATE_SUCCEEDED:
        await jobs.enqueue(
            tx, TELL_INVOICE, agent_pb2.GetJobRequest(job_id=after.job.job_id),
            organization_id=after.organization_id, max_attempts=TELL_ATTEMPTS, actor=actor,
        )  # fmt: skip
    return after


async def retry_job(tx: Tx, work: Work, actor: str) -> Work:
    """Queue a locked job that has ended anew, for another task."""
    row = await tx.fetchrow(
        f"""
        update jobs set state = $2, steps = '{{}}', failure = null, end_time = null,
          task_id = $3, task_attempt = 0, update_time = now(), version = version + 1
        where job_id = $1 returning {_WORK}
        """,
        work.job.job_id, agent_pb2.JOB_STATE_QUEUED, uuid7(),
    )  # fmt: skip
    assert row is not None, "the job was locked before"
    after = _work(work.organization_id, row)
    await _enqueue(tx, after, actor)
    return after


async def get_results(tx: Tx, job_id: str) -> dict[str, Any]:
    """What the job's steps have found, by the step."""
    rows = await tx.fetch("select step, result from step_results where job_id = $1", job_id)
    return {row["step"]: json.loads(row["result"]) for row in rows}


async def upsert_result(tx: Tx, work: Work, step: str, result: Mapping[str, Any]) -> None:
    """Keep what a step has found."""
    await tx.execute(
        """
        insert into step_results (organization_id, job_id, step, result) values ($1, $2, $3, $4)
        on conflict (organization_id, job_id, step) do update set result = excluded.result
        """,
        work.organization_id, work.job.job_id, step, json.dumps(result),
    )  # fmt: skip


def _work(organization_id: str, row: Record) -> Work:
    return Work(
        organization_id=organization_id,
        job=to_message(row, Job),
        version=row["version"],
        task_id=str(row["task_id"]),
        task_attempt=row["task_attempt"],
        content_type=row["content_type"],
        direction=row["direction"],
    )


async def _enqueue(tx: Tx, work: Work, actor: str) -> None:
    """State that the job is queued, and give it to the workers."""
    await _state(tx, work, actor)
    await jobs.enqueue(
        tx, RUN_JOB, agent_pb2.GetJobRequest(job_id=work.job.job_id), task_id=work.task_id,
        organization_id=work.organization_id, max_attempts=ATTEMPTS, actor=work.job.actor,
    )  # fmt: skip


async def _state(tx: Tx, work: Work, actor: str) -> None:
    fact = agent_events_pb2.JobFinished if work.ended else agent_events_pb2.JobProgressed
    await events.append(
        tx,
        organization_id=work.organization_id,
        aggregate_type="job",
        aggregate_id=work.job.job_id,
        aggregate_version=work.version,
        payload=fact(job=work.job),
        actor=actor,
    )


def with_job(work: Work, **changes: Any) -> Work:
    """A copy whose job may be changed without changing the given one."""
    job = Job()
    job.CopyFrom(work.job)
    return replace(work, job=job, **changes)
