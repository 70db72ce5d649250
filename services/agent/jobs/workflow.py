"""The orchestrator: runs a job's steps one after the other, each recorded and repeatable."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import GetJobRequest, JobStep
from auditron.invoice.v1 import invoice_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import Counter

from libs import jobs
from libs.jobs import Task
from libs.pg import Database
from libs.rpc import Caller, Fault, acting_as, reason_of
from libs.sandbox import SandboxKilled

from .. import errors, store
from . import steps
from .steps import Found, Results

log = logging.getLogger(__name__)

ACTOR = "service:agent"
FAILURE_LENGTH_MAX = 500
JOBS_ENDED = Counter("auditron_agent_jobs_ended_total", "Jobs that ended.", ("state",))
# What another attempt at the same call would not mend.
_REFUSALS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
)
Step = Callable[[store.Work, Results], Awaitable[Found]]


class TooLate(Exception):  # noqa: N818  # says what is so
    """The job has ended, or another task or attempt has it."""


class Workflow:
    """Runs jobs; `run` may be repeated at any point, and goes on where it was interrupted."""

    def __init__(self, db: Database, invoices: Any, by_name: Mapping[str, Step]) -> None:
        self._db = db
        self._invoices = invoices
        self._steps = by_name

    async def run(self, task: Task) -> None:
        """Take a job to its end. What it raises is tried again by the task."""
        job_id = GetJobRequest.FromString(task.payload).job_id
        try:
            work = await self._begin(task, job_id)
            who = Caller(organization_id=task.organization_id, on_behalf_of=work.job.actor)
            with acting_as(who):
                for name, step in self._steps.items():
                    work = await self._do(work, name, step)
                work = await self._hand_over(work)
            JOBS_ENDED.labels("SUCCEEDED").inc()
        except TooLate:
            log.info("job goes on without this attempt", extra={"job_id": job_id})
        except (errors.DocumentUnreadable, errors.DocumentGone, errors.ReadingRefused) as error:
            await fail(self._db, task, error)

    async def tell_invoice(self, task: Task) -> None:
        """Tell invoice that a job has ended without a result, unless it runs anew."""
        job_id = GetJobRequest.FromString(task.payload).job_id
        job = await store.get_job(self._db, task.organization_id, job_id)
        reasons = {
            agent_pb2.JOB_STATE_FAILED: job.failure.message or "The document could not be read.",
            agent_pb2.JOB_STATE_CANCELLED: "The reading was cancelled.",
        }
        if job.state not in reasons:
            return
        request = invoice_pb2.RecordReadingRequest(
            invoice_id=job.invoice_id, job_id=job_id, failure=reasons[job.state]
        )
        who = Caller(organization_id=task.organization_id, on_behalf_of=job.actor)
        with acting_as(who):
            try:
                await self._invoices.RecordReading(request)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _REFUSALS:
                    raise
                log.warning("invoice does not take a failure", extra={"reason": reason_of(error)})

    async def _begin(self, task: Task, job_id: str) -> store.Work:
        """Take the job for this attempt. Raises TooLate."""
        async with self._db.tenant(task.organization_id) as tx:
            work = await store.lock_work(tx, task.organization_id, job_id)
            if work.ended or work.task_id != task.task_id or work.task_attempt > task.attempt:
                raise TooLate
            work = store.with_job(work, task_attempt=task.attempt)
            work.job.state = agent_pb2.JOB_STATE_RUNNING
            return await store.update_job(tx, work, ACTOR)

    async def _do(self, work: store.Work, name: str, step: Step) -> store.Work:
        """Run a step, unless it has succeeded before or has nothing to do.

        Raises TooLate, and what the step raises.
        """
        if _step(work.job, name).state == agent_pb2.STEP_STATE_SUCCEEDED:
            return work
        work, results = await self._enter(work, name)
        if results is None:
            return work
        try:
            found = await step(work, results)
        except grpc.aio.AioRpcError as error:
            await self._leave(work, name, None, _described(error))
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise errors.DocumentGone("The document is not there any more.") from error
            raise
        except Exception as error:
            await self._leave(work, name, None, _described(error))
            raise
        return await self._leave(work, name, found, "")

    async def _enter(self, work: store.Work, name: str) -> tuple[store.Work, Results | None]:
        """Note that a step begins; return what those before it found, None if it is not needed."""
        async with self._db.tenant(work.organization_id) as tx:
            work = await self._locked(tx, work)
            results = await store.get_results(tx, work.job.job_id)
            if not steps.is_needed(name, results):
                return work, None
            step = _step(work.job, name)
            attempt = step.attempt + 1
            step.Clear()
            step.name, step.state, step.attempt = name, agent_pb2.STEP_STATE_RUNNING, attempt
            step.start_time.CopyFrom(_now())
            return await store.update_job(tx, work, ACTOR), results

    async def _leave(
        self, work: store.Work, name: str, found: Found | None, failure: str
    ) -> store.Work:
        """Note how a step ended, and keep what it found."""
        async with self._db.tenant(work.organization_id) as tx:
            work = await self._locked(tx, work)
            step = _step(work.job, name)
            step.end_time.CopyFrom(_now())
            step.failure = failure[:FAILURE_LENGTH_MAX]
            step.state = agent_pb2.STEP_STATE_FAILED
            if found is not None:
                step.state = agent_pb2.STEP_STATE_SUCCEEDED
                step.log.extend(found.log)
                if found.usage is not None:
                    step.model_usage.CopyFrom(found.usage)
                await store.upsert_result(tx, work, name, found.result)
            return await store.update_job(tx, work, ACTOR)

    async def _hand_over(self, work: store.Work) -> store.Work:
        """Give invoice what was found, and end the job with success."""
        async with self._db.tenant(work.organization_id) as tx:
            work = await self._locked(tx, work)
            results = await store.get_results(tx, work.job.job_id)
        try:
            await self._invoices.RecordReading(steps.outcome(work, results))
        except grpc.aio.AioRpcError as error:
            if error.code() not in _REFUSALS:
                raise
            raise errors.ReadingRefused(
                f"Invoice did not take what was read: {error.details()}", cause=reason_of(error)
            ) from error
        async with self._db.tenant(work.organization_id) as tx:
            work = await self._locked(tx, work)
            work.job.state = agent_pb2.JOB_STATE_SUCCEEDED
            return await store.update_job(tx, work, ACTOR)

    async def _locked(self, tx: Any, work: store.Work) -> store.Work:
        """Return the job as it stands now. Raises TooLate if it is not this attempt's any more."""
        now = await store.lock_work(tx, work.organization_id, work.job.job_id)
        ours = (work.task_id, work.task_attempt)
        if now.ended or (now.task_id, now.task_attempt) != ours:
            raise TooLate
        return now


async def fail(db: Database, task: Task, error: Fault) -> None:
    """End a task's job with a failure, unless it has ended or belongs to another task."""
    job_id = GetJobRequest.FromString(task.payload).job_id
    async with db.tenant(task.organization_id) as tx:
        work = await store.lock_work(tx, task.organization_id, job_id)
        if work.ended or work.task_id != task.task_id:
            return
        work.job.state = agent_pb2.JOB_STATE_FAILED
        work.job.failure.CopyFrom(error.to_status())
        for step in work.job.steps:
            if step.state == agent_pb2.STEP_STATE_RUNNING:
                step.state, step.failure = agent_pb2.STEP_STATE_FAILED, str(error)
                step.end_time.CopyFrom(_now())
        await store.update_job(tx, work, ACTOR)
    JOBS_ENDED.labels("FAILED").inc()


async def on_failed(db: Database, task: Task, error: Exception) -> None:
    """End the job of a task that has no attempt left."""
    last = ""
    if isinstance(error, jobs.AttemptsSpent):  # which knows of the last attempt only by hearsay
        job_id = GetJobRequest.FromString(task.payload).job_id
        job = await store.get_job(db, task.organization_id, job_id)
        last = next((step.failure for step in reversed(job.steps) if step.failure), "")
    text = f"Every attempt has failed; the last: {last or _described(error)}"
    await fail(db, task, errors.AttemptsSpent(text))


def _step(job: agent_pb2.Job, name: str) -> JobStep:
    """Return the job's step of that name, added if it is not there."""
    return next((each for each in job.steps if each.name == name), None) or job.steps.add(name=name)


def _described(error: Exception) -> str:
    """Return a failure in words that may be shown."""
    crashed = isinstance(error, SandboxKilled) and error.reason == "crash"
    if crashed or isinstance(error, jobs.AttemptsSpent):
        return "The process that read the document died."
    if isinstance(error, Fault | SandboxKilled):
        return str(error)
    if isinstance(error, grpc.aio.AioRpcError):
        # Not in grpc's own words, which name addresses.
        return f"Invoice answered {reason_of(error) or error.code().name}."
    return f"Something went wrong ({type(error).__name__})."


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now
