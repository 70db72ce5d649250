"""What callers may ask of agent, and what they are answered."""

import asyncio
from pathlib import Path

import grpc
import pytest
from auditron.agent.v1 import agent_pb2, agent_pb2_grpc
from google.protobuf.field_mask_pb2 import FieldMask

from libs.pg import uuid7
from libs.rpc import reason_of
from libs.testkit import eventually, running_services
from services.agent import errors, store
from services.agent.tests.conftest import PEERS

QUEUED, RUNNING = agent_pb2.JOB_STATE_QUEUED, agent_pb2.JOB_STATE_RUNNING
SUCCEEDED, FAILED = agent_pb2.JOB_STATE_SUCCEEDED, agent_pb2.JOB_STATE_FAILED
CANCELLED = agent_pb2.JOB_STATE_CANCELLED


@pytest.fixture(scope="session")
async def idle(stores):
    """An api alone, without a worker, in a network whose addresses must be public."""
    async with running_services(stores, "agent", role="api", settings=PEERS | INVOICE) as running:
        yield running["agent"]


INVOICE = {"INVOICE_ADDRESS": "127.0.0.1:9"}


@pytest.fixture
def caller(idle):
    return idle.client(agent_pb2_grpc.AgentServiceStub)


async def queued(harness, client, **fields) -> agent_pb2.Job:
    job = agent_pb2.Job(job_id=uuid7(), invoice_id=uuid7(), actor="user:1", **fields)
    async with harness.runtime.db.tenant(client.organization_id) as tx:
        await store.insert_job(tx, client.organization_id, job, "application/pdf", 1)
    return job


async def put_in(harness, client, job: agent_pb2.Job, state: int) -> None:
    async with harness.runtime.db.tenant(client.organization_id) as tx:
        work = await store.lock_work(tx, client.organization_id, job.job_id)
        work.job.state = state
        await store.update_job(tx, work, "service:agent")


async def refused(call) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, reason_of(caught.value)


async def test_a_job_of_others_is_as_unknown_as_one_that_never_was(idle, caller):
    job = await queued(idle, caller)
    other = idle.client(agent_pb2_grpc.AgentServiceStub)
    for client, job_id in ((other, job.job_id), (caller, uuid7()), (caller, "7"), (caller, "")):
        request = {"job_id": job_id}
        for call in (
            client.GetJob(agent_pb2.GetJobRequest(**request)),
            client.RetryJob(agent_pb2.RetryJobRequest(**request)),
            client.CancelJob(agent_pb2.CancelJobRequest(**request)),
        ):
            assert await refused(call) == ("NOT_FOUND", "JOB_NOT_FOUND")
        watching = client.WatchJob(agent_pb2.WatchJobRequest(**request))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [job async for job in watching]
        assert reason_of(caught.value) == "JOB_NOT_FOUND"
    assert (await caller.GetJob(agent_pb2.GetJobRequest(job_id=job.job_id))).state == QUEUED
    assert not (await other.ListJobs(agent_pb2.ListJobsRequest())).jobs


async def test_who_may_only_read_jobs_can_neither_cancel_them_nor_see_webhooks(idle):
    reader = idle.client(agent_pb2_grpc.AgentServiceStub, permissions="jobs.read")
    job = await queued(idle, reader)
    assert (await reader.GetJob(agent_pb2.GetJobRequest(job_id=job.job_id))).job_id == job.job_id
    for call in (
        reader.CancelJob(agent_pb2.CancelJobRequest(job_id=job.job_id)),
        reader.RetryJob(agent_pb2.RetryJobRequest(job_id=job.job_id)),
        reader.ListWebhooks(agent_pb2.ListWebhooksRequest()),
        reader.ListDeliveries(agent_pb2.ListDeliveriesRequest()),
        reader.GetNotificationSettings(agent_pb2.GetNotificationSettingsRequest()),
        reader.UpdateModelBudget(agent_pb2.UpdateModelBudgetRequest()),
    ):
        assert await refused(call) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    anonymous = idle.anonymous(agent_pb2_grpc.AgentServiceStub)
    assert (await refused(anonymous.ListJobs(agent_pb2.ListJobsRequest())))[0] == "UNAUTHENTICATED"


async def test_jobs_are_listed_newest_first_page_by_page_and_by_state(idle, caller):
    jobs = [await queued(idle, caller) for _ in range(5)]
    await put_in(idle, caller, jobs[1], FAILED)
    seen, token = [], ""
    while True:
        request = agent_pb2.ListJobsRequest(page_size=2, page_token=token)
        page = await caller.ListJobs(request)
        seen += [job.job_id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert seen == [job.job_id for job in reversed(jobs)]
    failed = await caller.ListJobs(agent_pb2.ListJobsRequest(state=FAILED))
    assert [job.job_id for job in failed.jobs] == [jobs[1].job_id]
    first = await caller.ListJobs(agent_pb2.ListJobsRequest(page_size=2))
    other = agent_pb2.ListJobsRequest(page_token=first.next_page_token, state=FAILED)
    assert await refused(caller.ListJobs(other)) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    unknown = agent_pb2.ListJobsRequest(state=99)
    assert (await refused(caller.ListJobs(unknown)))[0] == "INVALID_ARGUMENT"


async def test_jobs_that_are_long_come_in_pages_that_fit_into_a_message(idle, caller):
    jobs = [await queued(idle, caller) for _ in range(8)]
    for job in jobs:
        async with idle.runtime.db.tenant(caller.organization_id) as tx:
            work = await store.lock_work(tx, caller.organization_id, job.job_id)
            work.job.steps.add(name="extraction", log=["x" * 900_000])
            await store.update_job(tx, work, "service:agent")
    request, pages = agent_pb2.ListJobsRequest(page_size=7), []
    while not pages or request.page_token:
        page = await caller.ListJobs(request)
        pages.append([job.job_id for job in page.jobs])
        request.page_token = page.next_page_token
    assert [len(page) for page in pages] == [3, 3, 2]
    seen = [job_id for page in pages for job_id in page]
    assert seen == [job.job_id for job in reversed(jobs)]


async def test_only_a_job_that_has_not_ended_is_cancelled_and_only_once(idle, caller):
    job = await queued(idle, caller)
    request = agent_pb2.CancelJobRequest(job_id=job.job_id, request_id=uuid7())
    cancelled = await caller.CancelJob(request)
    assert cancelled.state == CANCELLED
    assert cancelled.HasField("end_time")
    assert await caller.CancelJob(request) == cancelled
    again = agent_pb2.CancelJobRequest(job_id=job.job_id)
    assert await refused(caller.CancelJob(again)) == ("FAILED_PRECONDITION", "JOB_ENDED")


async def test_only_a_job_that_failed_or_was_cancelled_runs_again(idle, caller):
    job = await queued(idle, caller)
    request = agent_pb2.RetryJobRequest(job_id=job.job_id, request_id=uuid7())
    assert await refused(caller.RetryJob(request)) == ("FAILED_PRECONDITION", "JOB_NOT_ENDED")
    await put_in(idle, caller, job, FAILED)
    retried = await caller.RetryJob(request)
    assert (retried.state, retried.HasField("end_time")) == (QUEUED, False)
    assert await caller.RetryJob(request) == retried
    await put_in(idle, caller, job, SUCCEEDED)
    other = agent_pb2.RetryJobRequest(job_id=job.job_id)
    assert await refused(caller.RetryJob(other)) == ("FAILED_PRECONDITION", "JOB_SUCCEEDED")


async def test_who_watches_a_job_sees_it_now_after_each_change_and_its_end(idle, caller):
    job = await queued(idle, caller)
    seen: list[int] = []

    async for each in caller.WatchJob(agent_pb2.WatchJobRequest(job_id=job.job_id)):
        seen.append(each.state)
        if len(seen) < 3:
            await put_in(idle, caller, job, (RUNNING, SUCCEEDED)[len(seen) - 1])
    assert seen == [QUEUED, RUNNING, SUCCEEDED]
    ended = caller.WatchJob(agent_pb2.WatchJobRequest(job_id=job.job_id))
    assert [each.state async for each in ended] == [SUCCEEDED]


async def test_a_job_that_is_watched_is_repeated_before_the_stream_is_idle(
    idle, caller, monkeypatch
):
    monkeypatch.setattr("services.agent.api.workflows.REPEAT_S", 0.2)
    job = await queued(idle, caller)
    watching = caller.WatchJob(agent_pb2.WatchJobRequest(job_id=job.job_id))
    async with asyncio.timeout(5):
        assert [(await watching.read()).state for _ in range(3)] == [QUEUED] * 3
    watching.cancel()


async def test_a_webhook_has_a_secret_that_only_its_making_tells(services):
    client = services["agent"].client(agent_pb2_grpc.AgentServiceStub)
    request = agent_pb2.CreateWebhookRequest(
        webhook={"url": "http://127.0.0.1:1/hook"}, request_id=uuid7()
    )
    made = await client.CreateWebhook(request)
    assert made.secret.startswith("whsec_")
    assert (await client.CreateWebhook(request)) == made
    [listed] = (await client.ListWebhooks(agent_pb2.ListWebhooksRequest())).webhooks
    assert (listed.webhook_id, listed.secret) == (made.webhook_id, "")
    other = services["agent"].client(agent_pb2_grpc.AgentServiceStub)
    delete = agent_pb2.DeleteWebhookRequest(webhook_id=made.webhook_id)
    assert await refused(other.DeleteWebhook(delete)) == ("NOT_FOUND", "WEBHOOK_NOT_FOUND")
    await client.DeleteWebhook(delete)
    assert await refused(client.DeleteWebhook(delete)) == ("NOT_FOUND", "WEBHOOK_NOT_FOUND")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.com/hook",
        "ftp://example.com/",
        "https://",
        "https://user:secret@example.com/",
        "https://example.com/#fragment",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://localhost/",
        "https://10.1.2.3:8443/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://[fe80::1%25eth0]/",
        f"https://example.com/{'x' * 2000}",
    ],
)
async def test_a_webhook_must_be_a_public_https_url(caller, url):
    request = agent_pb2.CreateWebhookRequest(webhook={"url": url})
    assert await refused(caller.CreateWebhook(request)) == (
        "INVALID_ARGUMENT",
        "WEBHOOK_URL_FORBIDDEN",
    )


async def test_a_webhook_whose_name_server_is_silent_is_taken_in_time(caller, silence):
    request = agent_pb2.CreateWebhookRequest(webhook={"url": "https://slow.example/hook"})
    assert (await caller.CreateWebhook(request, timeout=2)).webhook_id
    assert silence.asked == ["slow.example"]


async def test_an_organization_has_a_limited_number_of_webhooks(services):
    client = services["agent"].client(agent_pb2_grpc.AgentServiceStub)
    request = agent_pb2.CreateWebhookRequest(webhook={"url": "http://127.0.0.1:1/"})
    made = await asyncio.gather(
        *(client.CreateWebhook(request) for _ in range(24)), return_exceptions=True
    )
    assert sum(not isinstance(each, Exception) for each in made) == 20


async def test_notification_settings_change_field_by_field(caller):
    empty = await caller.GetNotificationSettings(agent_pb2.GetNotificationSettingsRequest())
    assert empty == agent_pb2.NotificationSettings()
    emails = ["books@example.com", "books@example.com", "o'neil+x@sub.example.org"]
    given = agent_pb2.NotificationSettings(emails=emails)
    request = agent_pb2.UpdateNotificationSettingsRequest(notification_settings=given)
    assert list((await caller.UpdateNotificationSettings(request)).emails) == emails[1:]
    given = agent_pb2.NotificationSettings(failures_only=True)
    request = agent_pb2.UpdateNotificationSettingsRequest(notification_settings=given)
    after = await caller.UpdateNotificationSettings(request)
    assert (len(after.emails), after.failures_only) == (2, True)
    mask = FieldMask(paths=["emails"])
    request = agent_pb2.UpdateNotificationSettingsRequest(update_mask=mask)
    after = await caller.UpdateNotificationSettings(request)
    assert (len(after.emails), after.failures_only) == (0, True)
    assert after == await caller.GetNotificationSettings(agent_pb2.GetNotificationSettingsRequest())


async def test_without_a_model_there_is_no_budget_to_set(caller):
    budget = await caller.GetModelBudget(agent_pb2.GetModelBudgetRequest())
    assert (budget.monthly_tokens_max, budget.model) == (0, "")
    for given, paths in (
        ({"monthly_tokens_max": 1}, []),
        ({"monthly_tokens_max": -1}, []),
        ({}, []),
        ({"monthly_tokens_max": 0}, ["used_tokens"]),
    ):
        request = agent_pb2.UpdateModelBudgetRequest(
            model_budget=given, update_mask=FieldMask(paths=paths)
        )
        assert (await refused(caller.UpdateModelBudget(request)))[0] == "INVALID_ARGUMENT"
    given = {"monthly_tokens_max": 0}
    request = agent_pb2.UpdateModelBudgetRequest(model_budget=given)
    assert (await caller.UpdateModelBudget(request)).monthly_tokens_max == 0


async def waits_for_a_lock(harness) -> bool:
    async with harness.runtime.db.unscoped() as tx:
        return bool(await tx.fetchval("select exists (select from pg_locks where not granted)"))


async def test_notification_settings_that_two_change_at_once_keep_both_changes(idle, caller):
    def request(*paths: str, **given) -> agent_pb2.UpdateNotificationSettingsRequest:
        return agent_pb2.UpdateNotificationSettingsRequest(
            notification_settings=given, update_mask=FieldMask(paths=paths)
        )

    await caller.UpdateNotificationSettings(request("emails", emails=["old@example.com"]))
    async with idle.runtime.db.tenant(caller.organization_id) as tx:
        settings = await store.lock_settings(tx, caller.organization_id)
        other = caller.UpdateNotificationSettings(request("failures_only", failures_only=True))
        await eventually(lambda: waits_for_a_lock(idle))
        settings.emails[:] = ["new@example.com"]
        await store.update_settings(tx, settings)
    after = await other
    assert (list(after.emails), after.failures_only) == (["new@example.com"], True)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "a@b",
        "a@b.c\r\nBcc: x@y.org",
        "<a@b.org>",
        "a@b.org,c@d.org",
        "ä@b.org",
        "a b@c.org",
    ],
)
async def test_an_address_that_could_be_anything_else_is_refused(caller, email):
    given = agent_pb2.NotificationSettings(emails=[email])
    request = agent_pb2.UpdateNotificationSettingsRequest(notification_settings=given)
    assert (await refused(caller.UpdateNotificationSettings(request)))[0] == "INVALID_ARGUMENT"


def test_the_contract_names_every_reason():
    contract = (Path(__file__).parents[3] / "protos/auditron/agent/v1/agent.proto").read_text()
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    reasons = {kind.reason for kind in kinds if kind.__module__ == errors.__name__}
    unnamed = {reason for reason in reasons if reason not in contract}
    assert unnamed == {"DELIVERY_REFUSED"}  # which a delivery's outcome tells in words


async def test_a_delivery_that_was_not_made_is_not_found(caller):
    for delivery_id in (uuid7(), "x"):
        request = agent_pb2.RetryDeliveryRequest(delivery_id=delivery_id)
        assert await refused(caller.RetryDelivery(request)) == ("NOT_FOUND", "DELIVERY_NOT_FOUND")
