"""Jobs: seen, followed, run again, cancelled."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import Job

from libs.pg import Database, Tx, requests
from libs.rpc import caller, check, page_asked, page_of, uuid_or

from .. import errors, store

Context = grpc.aio.ServicerContext[Any, Any]
LOOK_S = 0.3  # between two looks at a job that is followed
REPEAT_S = 20.0  # a stream without a message ends after 60 s
CANCELLED = "The job was cancelled."


class WorkflowsApi:
    """The jobs of an organization."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetJob(self, request: agent_pb2.GetJobRequest, context: Context) -> Job:
        return await store.get_job(self._db, caller().organization_id, _id(request.job_id))

    async def ListJobs(
        self, request: agent_pb2.ListJobsRequest, context: Context
    ) -> agent_pb2.ListJobsResponse:
        if request.state not in agent_pb2.JobState.values():
            check([("state", "must be a state")])
        size, filters, before = page_asked(request, str)
        found = await store.list_jobs(
            self._db, caller().organization_id, request.state or None, before, size + 1
        )
        page, token = page_of(found, size, filters, lambda last: [last.job_id])
        return agent_pb2.ListJobsResponse(jobs=page, next_page_token=token)

    async def WatchJob(
        self, request: agent_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[Job]:
        organization_id, job_id = caller().organization_id, _id(request.job_id)
        job = await store.get_job(self._db, organization_id, job_id)
        version, said = 0, 0.0
        while True:
            changed = await store.get_changed_job(self._db, organization_id, job_id, version)
            if changed:
                job, version = changed
            if changed or time.monotonic() - said > REPEAT_S:
                said = time.monotonic()
                yield job
            if job.state in store.ENDED:
                return
            await asyncio.sleep(LOOK_S)

    async def RetryJob(self, request: agent_pb2.RetryJobRequest, context: Context) -> Job:
        organization_id, job_id = caller().organization_id, _id(request.job_id)
        async with self._db.tenant(organization_id) as tx:
            before = await _before(tx, organization_id, request, "RetryJob")
            if before is not None:
                return before
            work = await store.lock_work(tx, organization_id, job_id)
            if not work.ended:
                raise errors.JobNotEnded("The job still waits or runs.")
            if work.job.state == agent_pb2.JOB_STATE_SUCCEEDED:
                raise errors.JobSucceeded("The job has succeeded.")
            job = (await store.retry_job(tx, work, caller().actor)).job
            await requests.remember(tx, organization_id, request.request_id, job)
        return job

    async def CancelJob(self, request: agent_pb2.CancelJobRequest, context: Context) -> Job:
        organization_id, job_id = caller().organization_id, _id(request.job_id)
        async with self._db.tenant(organization_id) as tx:
            before = await _before(tx, organization_id, request, "CancelJob")
            if before is not None:
                return before
            work = await store.lock_work(tx, organization_id, job_id)
            if work.ended:
                raise errors.JobEnded("The job has ended already.")
            work.job.state = agent_pb2.JOB_STATE_CANCELLED
            for step in work.job.steps:
                if step.state == agent_pb2.STEP_STATE_RUNNING:
                    step.state, step.failure = agent_pb2.STEP_STATE_FAILED, CANCELLED
            job = (await store.update_job(tx, work, caller().actor)).job
            await requests.remember(tx, organization_id, request.request_id, job)
        return job


async def _before(
    tx: Tx,
    organization_id: str,
    request: agent_pb2.RetryJobRequest | agent_pb2.CancelJobRequest,
    method: str,
) -> Job | None:
    return await requests.once(tx, organization_id, request.request_id, method, request, Job)


def _id(text: str) -> str:
    return uuid_or(errors.JobNotFound("There is no such job."), text)
