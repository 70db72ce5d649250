"""Counting documents, and bringing our row to what Stripe says."""

import asyncio
import itertools
from datetime import UTC, datetime

import pytest
from auditron.billing.v1 import billing_pb2, billing_pb2_grpc
from auditron.event.v1 import event_pb2
from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

from libs.jobs import Task
from libs.pg import uuid7
from libs.testkit import eventually
from services.billing import jobs, rules, store
from services.billing.settings import Settings
from services.billing.stripe_account import StripeAccount
from services.billing.tests.conftest import new_organization, organization_created
from services.billing.tests.fake_stripe import webhook


async def receive(harness, organization_id, invoice, when=None):
    stamp = Timestamp()
    stamp.FromDatetime(when or datetime.now(UTC))
    event = event_pb2.Event(event_id=uuid7(), organization_id=organization_id, occur_time=stamp)
    async with harness.runtime.db.tenant(organization_id) as tx:
        payload = invoice_events_pb2.InvoiceReceived(invoice=invoice)
        await jobs.on_invoice_received(tx, event, payload)


def with_document():
    return invoice_pb2.Invoice(
        invoice_id=uuid7(), document=invoice_pb2.Document(document_id=uuid7())
    )


async def usage(client, **request):
    return await client.GetUsage(billing_pb2.GetUsageRequest(**request))


async def test_a_document_counts_once_and_an_invoice_by_hand_not_at_all(billing):
    client = await new_organization(billing)
    invoice = with_document()
    for _ in range(3):  # a replay of the log
        await receive(billing, client.organization_id, invoice)
    await receive(billing, client.organization_id, invoice_pb2.Invoice(invoice_id=uuid7()))
    found = await usage(client)
    assert (found.document_count, found.document_limit) == (1, 50)


async def test_a_document_counts_in_the_month_in_which_it_came(billing):
    client = await new_organization(billing)
    await receive(
        billing, client.organization_id, with_document(), datetime(2026, 2, 28, tzinfo=UTC)
    )
    found = await usage(client, month={"year": 2026, "month": 2})
    assert (found.document_count, found.end_date.day) == (1, 28)
    assert (await usage(client)).document_count == 0


async def test_the_last_document_of_the_plan_is_told(billing):
    client = await new_organization(billing)
    for _ in range(52):
        await receive(billing, client.organization_id, with_document())
    async with billing.runtime.db.system() as tx:
        told = await tx.fetchval(
            "select count(*) from events where organization_id = $1 and aggregate_type = 'usage'",
            client.organization_id,
        )
    assert told == 1


async def test_an_organization_begins_once_however_often_it_is_told(billing):
    client = await new_organization(billing)
    await organization_created(billing, client.organization_id)
    async with billing.runtime.db.system() as tx:
        told = await tx.fetchval(
            "select count(*) from events where organization_id = $1", client.organization_id
        )
    assert told == 1


async def test_webhooks_in_any_order_and_twice_end_in_one_state(paid, stripe):
    kinds = ["checkout.session.completed", "customer.subscription.created", "invoice.paid"]
    for order in itertools.permutations(kinds):
        client = await new_organization(paid)
        request = billing_pb2.ChangePlanRequest(plan_code="team", request_id=uuid7())
        await client.ChangePlan(request)
        session = list(stripe.sessions.values())[-1]
        subscription = stripe.pay(session["id"])
        invoice = {"id": "in_1", "parent": {"subscription_details": {
            "subscription": subscription["id"], "metadata": subscription["metadata"]}}}  # fmt: skip
        about = dict(zip(kinds, (session, subscription, invoice), strict=True))
        anonymous = paid.anonymous(billing_pb2_grpc.BillingServiceStub)
        for kind in [*order, order[0]]:
            await send(anonymous, kind, about[kind], f"evt_{subscription['id']}_{kind}")
        found = await eventually(
            lambda client=client: client.GetSubscription(billing_pb2.GetSubscriptionRequest()),
            lambda found: found.plan_code == "team",
        )
        assert found.entitlements.documents_per_month == 500
        assert found.etag == "2"


async def test_an_older_look_at_stripe_does_not_overwrite_a_newer_one(paid, stripe):
    client = await new_organization(paid)
    await client.ChangePlan(billing_pb2.ChangePlanRequest(plan_code="business"))
    subscription = stripe.pay(list(stripe.sessions)[-1])
    task = task_about(client, subscription)

    async def newer(sync):
        subscription["cancel_at_period_end"] = True
        await sync.run(task)

    await run_overtaken(paid, task, newer)
    found = await client.GetSubscription(billing_pb2.GetSubscriptionRequest())
    assert found.state == billing_pb2.SUBSCRIPTION_STATE_CANCELLING
    assert found.plan_code == "business"
    assert rules.PLANS["business"].entitlements == found.entitlements


async def test_a_look_at_an_ended_subscription_does_not_hide_its_successor(paid, stripe):
    client = await new_organization(paid)
    ended = await subscribed(client, stripe)
    begun = await subscribed(client, stripe)
    ended["status"] = "canceled"

    async def late(sync):
        await sync.run(task_about(client, ended))

    await run_overtaken(paid, task_about(client, begun), late)
    found = await client.GetSubscription(billing_pb2.GetSubscriptionRequest())
    assert found.plan_code == "team"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_paid_subscriptions_the_older_ends(paid, stripe, order):
    client = await new_organization(paid)
    both = [await subscribed(client, stripe) for _ in range(2)]
    anonymous = paid.anonymous(billing_pb2_grpc.BillingServiceStub)
    for number in order:
        about = both[number]
        await send(anonymous, "customer.subscription.created", about, f"evt_two_{about['id']}")

    async def states():
        return [subscription["status"] for subscription in both]

    await eventually(states, lambda found: found == ["canceled", "active"])
    sync = jobs.SubscriptionSync(paid.runtime.db, account := account_of(paid))
    await sync.end(task_about(client, both[0]))  # repeated, it changes nothing
    await sync.run(task_about(client, both[0]))
    await account.close()
    async with paid.runtime.db.tenant(client.organization_id) as tx:
        assert (await store.lock_subscription(tx)).stripe_subscription_id == both[1]["id"]


async def test_old_webhooks_are_forgotten(billing):
    old, new = uuid7(), uuid7()
    async with billing.runtime.db.unscoped() as tx:
        await store.insert_stripe_event(tx, new)
        await tx.execute("insert into stripe_events values ($1, now() - interval '31 days')", old)
    stop = asyncio.Event()
    sweeping = [asyncio.ensure_future(loop(stop)) for loop in billing.service.loops]

    async def left():
        async with billing.runtime.db.unscoped() as tx:
            return [
                row["event_id"]
                for row in await tx.fetch(
                    "select event_id from stripe_events where event_id = any($1)", [old, new]
                )
            ]

    await eventually(left, lambda found: found == [new])
    stop.set()
    await asyncio.gather(*sweeping)


async def subscribed(client, stripe):
    """A subscription begun by a checkout that was not closed in time."""
    await client.ChangePlan(billing_pb2.ChangePlanRequest(plan_code="team", request_id=uuid7()))
    session = list(stripe.sessions.values())[-1]
    session["status"] = "open"
    return stripe.pay(session["id"])


def account_of(harness):
    return StripeAccount(Settings.from_env(harness.runtime.env))


def task_about(client, subscription):
    return Task(
        task_id=uuid7(), kind="sync_subscription", organization_id=client.organization_id,
        payload=StringValue(value=subscription["id"]).SerializeToString(), attempt=1,
        max_attempts=1, error="", owner="", actor="", traceparent="", request_id="", waited_s=0,
        age_s=0,
    )  # fmt: skip


async def run_overtaken(harness, task, meanwhile):
    """Run a sync; once Stripe has answered it, another one does something before it goes on."""
    account = account_of(harness)
    sync = jobs.SubscriptionSync(harness.runtime.db, account)
    asked = account.standing

    async def overtaken(subscription_id):
        found = await asked(subscription_id)
        account.standing = asked
        await meanwhile(sync)
        return found

    account.standing = overtaken
    await sync.run(task)
    await account.close()


async def send(client, kind, about, event_id):
    body, signed = webhook(kind, about, event_id)
    request = billing_pb2.ReceiveStripeWebhookRequest()
    request.payload.data = body
    await client.ReceiveStripeWebhook(request, metadata=[("http-stripe-signature", signed)])
