"""Every RPC of BillingService, over real gRPC."""

import contextlib
import time

import grpc
import pytest
from auditron.billing.v1 import billing_pb2, billing_pb2_grpc
from google.type.date_pb2 import Date

from libs.pg import uuid7
from libs.rpc import reason_of
from libs.testkit import eventually
from services.billing import rules, store
from services.billing.tests.conftest import new_organization
from services.billing.tests.fake_stripe import PRICES, SECRET, signature, webhook

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


async def test_the_same_request_id_of_two_organizations_is_two_requests(paid, stripe):
    request = Change(plan_code="team", request_id=uuid7())
    one, other = await new_organization(paid), await new_organization(paid)
    urls = {(await client.ChangePlan(request)).checkout_url for client in (one, other)}
    assert len(urls) == 2


async def test_with_payment_another_request_with_the_same_id_is_refused(paid):
    client = await new_organization(paid)
    request_id = uuid7()
    await client.ChangePlan(Change(plan_code="team", request_id=request_id))
    other = Change(plan_code="business", request_id=request_id)
    assert await refused(client.ChangePlan(other)) == "REQUEST_ID_REUSED"
    assert await refused(client.CancelSubscription(Cancel(request_id=request_id))) == (
        "REQUEST_ID_REUSED"
    )
    request = Change(plan_code="team", request_id="order-66")
    assert await refused(client.ChangePlan(request)) == "INVALID_ARGUMENT"
    assert await refused(client.CancelSubscription(Cancel())) == "SUBSCRIPTION_FREE"


async def test_a_new_checkout_closes_the_one_before(paid, stripe):
    client = await new_organization(paid)
    first = Change(plan_code="team", request_id=uuid7())
    await client.ChangePlan(first)
    session = list(stripe.sessions.values())[-1]
    second = Change(plan_code="business", request_id=uuid7())
    url = (await client.ChangePlan(second)).checkout_url
    assert session["status"] == "expired"
    assert await refused(client.ChangePlan(first)) == "CHECKOUT_CLOSED"
    assert (await client.ChangePlan(second)).checkout_url == url


async def test_a_checkout_that_was_paid_meanwhile_is_changed_and_not_paid_again(paid, stripe):
    client = await new_organization(paid)
    await client.ChangePlan(Change(plan_code="team"))
    subscription = stripe.pay(list(stripe.sessions)[-1])  # and no webhook has told so yet
    asked = await client.ChangePlan(Change(plan_code="business"))
    assert not asked.checkout_url
    assert subscription["items"]["data"][0]["price"]["id"] == PRICES["business"]
    await until(client, "business")


async def test_after_a_subscription_has_ended_a_plan_is_paid_anew(paid, stripe):
    client = await new_organization(paid)
    before = await client.ChangePlan(Change(plan_code="team"))
    subscription = await paid_for(paid, stripe)
    await until(client, "team")
    subscription["status"] = "canceled"
    await told(paid, "customer.subscription.deleted", subscription)
    await until(client, "free")
    again = await client.ChangePlan(Change(plan_code="team"))
    assert again.checkout_url not in ("", before.checkout_url)


async def test_a_checkout_that_is_overtaken_before_anybody_can_pay_it_is_closed(paid, stripe):
    client = await new_organization(paid)
    first, second = (Change(plan_code=plan, request_id=uuid7()) for plan in ("team", "business"))
    with down(stripe):
        assert await refused(client.ChangePlan(first)) == "PAYMENT_UNAVAILABLE"
    assert (await client.ChangePlan(second)).checkout_url
    assert await refused(client.ChangePlan(first)) == "CHECKOUT_CLOSED"


@pytest.mark.parametrize("request_type", [Change, Cancel])
async def test_what_stripe_is_asked_is_noted_before(paid, stripe, request_type):
    client = await new_organization(paid)
    await client.ChangePlan(Change(plan_code="team"))
    await paid_for(paid, stripe)
    await until(client, "team")
    request = request_type(request_id=uuid7())
    if request_type is Change:
        request.plan_code = "business"
    call = client.ChangePlan if request_type is Change else client.CancelSubscription
    with down(stripe):
        assert await refused(call(request)) == "PAYMENT_UNAVAILABLE"
    noted = rules.plan_change_id(client.organization_id, request.request_id)
    async with paid.runtime.db.tenant(client.organization_id) as tx:
        state = "select state from plan_changes where plan_change_id = $1"
        assert await tx.fetchval(state, noted) == store.ASKED
    await call(request)
    assert noted in stripe.answers
    calls = len(stripe.calls)
    await call(request)
    assert not [method for method, _ in stripe.calls[calls:] if method == "POST"]


async def test_a_month_at_the_end_of_time_has_no_usage(billing):
    client = await new_organization(billing)
    month = Date(year=9999, month=12, day=1)
    found = await client.GetUsage(billing_pb2.GetUsageRequest(month=month))
    assert (found.document_count, found.end_date.day) == (0, 31)


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


@contextlib.contextmanager
def down(stripe):
    """Stripe fails until the block ends."""
    stripe.failures = [500] * 1_000
    try:
        yield
    finally:
        stripe.failures = []


async def paid_for(harness, stripe):
    session_id = list(stripe.sessions)[-1]
    subscription = stripe.pay(session_id)
    await told(harness, "checkout.session.completed", stripe.sessions[session_id])
    return subscription


async def told(harness, kind, about):
    body, signed = webhook(kind, about, f"evt_{uuid7()}")
    request = billing_pb2.ReceiveStripeWebhookRequest()
    request.payload.data = body
    anonymous = harness.anonymous(billing_pb2_grpc.BillingServiceStub)
    await anonymous.ReceiveStripeWebhook(request, metadata=[("http-stripe-signature", signed)])


async def until(client, plan_code):
    return await eventually(
        lambda: client.GetSubscription(Get()), lambda found: found.plan_code == plan_code
    )
