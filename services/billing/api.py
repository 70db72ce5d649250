"""Answers BillingService."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import grpc
from auditron.billing.v1 import billing_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import StringValue
from google.type.date_pb2 import Date

from libs.jobs import enqueue
from libs.pg import Database, Record, RequestIdReused, Tx, requests, use_organization, uuid7
from libs.rpc import caller

from . import errors, publishing, rules, store

if TYPE_CHECKING:
    from .stripe_account import StripeAccount

Context = grpc.aio.ServicerContext[Any, Any]
Subscription = billing_pb2.Subscription


class BillingApi:
    """Plans, subscriptions and usage."""

    def __init__(self, db: Database, account: "StripeAccount | None") -> None:
        """Without an account at Stripe plans change without payment."""
        self._db = db
        self._account = account

    async def ListPlans(
        self, request: billing_pb2.ListPlansRequest, context: Context
    ) -> billing_pb2.ListPlansResponse:
        return billing_pb2.ListPlansResponse(plans=rules.PLANS.values())

    async def GetSubscription(
        self, request: billing_pb2.GetSubscriptionRequest, context: Context
    ) -> Subscription:
        async with self._db.tenant(caller().organization_id) as tx:
            return await store.get_subscription(tx)

    async def ChangePlan(
        self, request: billing_pb2.ChangePlanRequest, context: Context
    ) -> Subscription:
        plan_code = rules.plan(request.plan_code).plan_code
        if self._account is None:
            return await self._change(caller().organization_id, request, plan_code)
        return await self._ask(self._account, request.request_id, plan_code)

    async def CancelSubscription(
        self, request: billing_pb2.CancelSubscriptionRequest, context: Context
    ) -> Subscription:
        if self._account is None:
            return await self._change(caller().organization_id, request, rules.FREE)
        return await self._ask(self._account, request.request_id, rules.FREE)

    async def GetUsage(
        self, request: billing_pb2.GetUsageRequest, context: Context
    ) -> billing_pb2.Usage:
        first, last = rules.month_asked(request, datetime.now(UTC).date())
        async with self._db.tenant(caller().organization_id) as tx:
            subscription = await store.get_subscription(tx)
            count = await store.get_usage(tx, first)
        return billing_pb2.Usage(
            start_date=_date(first),
            end_date=_date(last),
            document_count=count,
            document_limit=subscription.entitlements.documents_per_month,
        )

    async def ReceiveStripeWebhook(
        self, request: billing_pb2.ReceiveStripeWebhookRequest, context: Context
    ) -> Empty:
        if self._account is None:
            raise errors.PaymentNotSetUp("No Stripe key is set.")
        metadata = dict(context.invocation_metadata() or ())
        signature = str(metadata.get("http-stripe-signature", ""))
        event = self._account.event(request.payload.data, signature)
        found = rules.subject(event)
        async with self._db.unscoped() as tx:
            if await store.insert_stripe_event(tx, event["id"]) and found:
                organization_id, subscription_id = found
                await use_organization(tx, organization_id)
                await _sync(tx, organization_id, subscription_id)
        return Empty()

    async def _change(
        self,
        organization_id: str,
        request: billing_pb2.ChangePlanRequest | billing_pb2.CancelSubscriptionRequest,
        plan_code: str,
    ) -> Subscription:
        """Change at once, without payment."""
        method = type(request).__name__
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request.request_id, method, request, Subscription
            )
            if before is not None:
                return before
            own = await store.lock_subscription(tx)
            is_cancel = isinstance(request, billing_pb2.CancelSubscriptionRequest)
            if is_cancel and own.plan_code == rules.FREE:
                raise errors.SubscriptionFree("The free plan needs no cancelling.")
            wanted = rules.Standing(plan_code, billing_pb2.SUBSCRIPTION_STATE_ACTIVE)
            subscription = await store.update_subscription(tx, wanted)
            await publishing.entitlements_changed(tx, organization_id, subscription, caller().actor)
            await requests.remember(tx, organization_id, request.request_id, subscription)
        return subscription

    async def _ask(self, account: "StripeAccount", request_id: str, plan_code: str) -> Subscription:
        """Have Stripe change the plan, once for each request; how things stood before."""
        organization_id = caller().organization_id
        change_id = rules.plan_change_id(organization_id, request_id) or uuid7()
        async with self._db.tenant(organization_id) as tx:
            own = await store.lock_subscription(tx)
            change = await store.insert_plan_change(
                tx, organization_id, change_id, plan_code, own.stripe_subscription_id
            )
            is_checkout = not change["stripe_subscription_id"]
            if change["plan_code"] != plan_code:
                raise RequestIdReused(request_id)
            if is_checkout and plan_code == rules.FREE:
                raise errors.SubscriptionFree("The free plan needs no cancelling.")
            is_asked = change["state"] == store.ASKED
            others = await store.open_checkouts(tx, change_id) if is_asked and is_checkout else ()
        if is_asked:
            change = await self._do(account, organization_id, change, others)
        if change["state"] == store.CLOSED:
            raise errors.CheckoutClosed("Another plan was asked for since.")
        async with self._db.tenant(organization_id) as tx:
            if change["stripe_subscription_id"]:
                await _sync(tx, organization_id, change["stripe_subscription_id"])
            subscription = await store.get_subscription(tx)
        subscription.checkout_url = change["checkout_url"]
        return subscription

    async def _do(
        self,
        account: "StripeAccount",
        organization_id: str,
        change: Record,
        others: Sequence[str],
    ) -> Record:
        """Have Stripe do what was noted; the other checkouts are closed, so that one can be paid.

        What one of them has begun already is changed instead.
        """
        key, plan_code = change["plan_change_id"], change["plan_code"]
        subscription_id = change["stripe_subscription_id"]
        for other in others:
            paid_id = await account.close_checkout(other)
            if paid_id and (await account.standing(paid_id)).plan_code != rules.FREE:
                subscription_id = paid_id
        checkout = rules.Checkout()
        if not subscription_id:
            checkout = await account.check_out(organization_id, plan_code, key)
        elif plan_code == rules.FREE:
            await account.cancel(subscription_id, key)
        else:
            await account.change_plan(subscription_id, plan_code, key)
        async with self._db.tenant(organization_id) as tx:
            return await store.finish_plan_change(tx, key, subscription_id, checkout, others)


async def _sync(tx: Tx, organization_id: str, subscription_id: str) -> None:
    """Have a task ask Stripe how things stand: what a webhook says of it may be out of date."""
    await enqueue(
        tx,
        "sync_subscription",
        StringValue(value=subscription_id),
        organization_id=organization_id,
    )


def _date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)
