"""Every RPC of BillingService, over real gRPC."""

import time

import grpc
import pytest
from auditron.billing.v1 import billing_pb2, billing_pb2_grpc

from libs.pg import uuid7
from libs.rpc import reason_of
from libs.testkit import eventually
from services.billing.tests.conftest import new_organization
from services.billing.tests.fake_stripe import SECRET, signature, webhook

Get, Change = billing_pb2.GetSubscriptionRequest, billing_pb2.ChangePlanRequest
Cancel = billing_pb2.CancelSubscriptionRequest


async def refused(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def test_plans_are_listed_for_everybody(billing):
    anonymous = billing.anonymous(billing_pb2_grpc.BillingServiceStub)
    plans = (await anonymous.ListPlans(billing_pb2.ListPlansRequest())).plans
    assert [plan.plan_code for plan in plans] == ["free", "team", "business", "unlimited"]
    assert plans[1].price.currency_code == "EUR"


async def test_a_subscription_is_still_to_come_before_the_event(billing):
    client = billing.client(billing_pb2_grpc.BillingServiceStub)
    assert await refused(client.GetSubscription(Get())) == "SUBSCRIPTION_NOT_FOUND"
    assert await refused(client.ChangePlan(Change(plan_code="team"))) == "SUBSCRIPTION_NOT_FOUND"


async def test_without_payment_a_plan_changes_at_once_and_once(billing):
    client = await new_organization(billing)
    request = Change(plan_code="team", request_id=uuid7())
    changed = await client.ChangePlan(request)
    assert (changed.plan_code, changed.etag) == ("team", "2")
    assert await client.ChangePlan(request) == changed
    request.plan_code = "business"
    assert await refused(client.ChangePlan(request)) == "REQUEST_ID_REUSED"
    assert (await client.CancelSubscription(Cancel())).plan_code == "free"
    assert await refused(client.CancelSubscription(Cancel())) == "SUBSCRIPTION_FREE"


async def test_a_plan_that_is_none_is_refused(billing):
    client = await new_organization(billing)
    assert await refused(client.ChangePlan(Change(plan_code="gold"))) == "PLAN_NOT_FOUND"


async def test_who_may_read_may_not_change(billing):
    client = billing.client(
        billing_pb2_grpc.BillingServiceStub, permissions="billing.read invoices.read"
    )
    assert await refused(client.ChangePlan(Change(plan_code="team"))) == "PERMISSION_DENIED"


async def test_without_a_key_a_webhook_is_refused(billing):
    anonymous = billing.anonymous(billing_pb2_grpc.BillingServiceStub)
    request = billing_pb2.ReceiveStripeWebhookRequest()
    assert await refused(anonymous.ReceiveStripeWebhook(request)) == "PAYMENT_NOT_SET_UP"


async def test_with_payment_a_plan_changes_when_it_is_paid(paid, stripe):
    client = await new_organization(paid)
    request = Change(plan_code="team", request_id=uuid7())
    asked = await client.ChangePlan(request)
    assert asked.plan_code == "free"
    assert asked.checkout_url.startswith("https://pay.example/")
    sessions = len(stripe.sessions)
    assert (await client.ChangePlan(request)).checkout_url == asked.checkout_url
    assert len(stripe.sessions) == sessions
    await paid_for(paid, stripe)
    found = await until(client, "team")
    assert found.period_end_time.seconds == 1_900_000_000
    changed = await client.ChangePlan(Change(plan_code="business"))
    assert not changed.checkout_url
    await until(client, "business")
    await client.CancelSubscription(Cancel())
    cancelled = await eventually(
        lambda: client.GetSubscription(Get()),
        lambda found: found.state == billing_pb2.SUBSCRIPTION_STATE_CANCELLING,
    )
    assert cancelled.plan_code == "business"


async def test_an_answer_of_stripe_that_was_lost_makes_no_second_checkout(paid, stripe):
    client = await new_organization(paid)
    request = Change(plan_code="team", request_id=uuid7())
    before = len(stripe.sessions)
    stripe.fails_after_effect, stripe.failures = True, [500, 500]
    try:
        assert await refused(client.ChangePlan(request)) == "PAYMENT_UNAVAILABLE"
    finally:
        stripe.fails_after_effect, stripe.failures = False, []
    assert (await client.ChangePlan(request)).checkout_url
    assert len(stripe.sessions) == before + 1


async def test_a_webhook_that_stripe_did_not_sign_is_refused(paid):
    anonymous = paid.anonymous(billing_pb2_grpc.BillingServiceStub)
    body, right = webhook("customer.subscription.updated", {"id": "sub_1"}, "evt_forged")
    old = signature(body, SECRET, int(time.time()) - 3600)
    for wrong in ("", "t=1,v1=00", old, signature(body, "whsec_other", int(time.time()))):
        request = billing_pb2.ReceiveStripeWebhookRequest()
        request.payload.data = body
        call = anonymous.ReceiveStripeWebhook(request, metadata=[("http-stripe-signature", wrong)])
        assert await refused(call) == "SIGNATURE_INVALID"
    request.payload.data = body + b" "
    call = anonymous.ReceiveStripeWebhook(request, metadata=[("http-stripe-signature", right)])
    assert await refused(call) == "SIGNATURE_INVALID"


async def test_another_organization_sees_its_own_subscription_alone(billing):
    one, other = await new_organization(billing), await new_organization(billing)
    await one.ChangePlan(Change(plan_code="unlimited"))
    assert (await other.GetSubscription(Get())).plan_code == "free"


async def paid_for(harness, stripe):
    session_id = list(stripe.sessions)[-1]
    stripe.pay(session_id)
    body, signed = webhook(
        "checkout.session.completed", stripe.sessions[session_id], f"evt_{session_id}"
    )
    request = billing_pb2.ReceiveStripeWebhookRequest()
    request.payload.data = body
    anonymous = harness.anonymous(billing_pb2_grpc.BillingServiceStub)
    await anonymous.ReceiveStripeWebhook(request, metadata=[("http-stripe-signature", signed)])


async def until(client, plan_code):
    return await eventually(
        lambda: client.GetSubscription(Get()), lambda found: found.plan_code == plan_code
    )
