"""Answers BillingService."""

import uuid
from datetime import UTC, date, datetime
from typing import Any

import grpc
from auditron.billing.v1 import billing_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import StringValue
from google.type.date_pb2 import Date

from libs.jobs import enqueue
from libs.pg import Database, requests, use_organization, uuid7
from libs.rpc import InvalidArgument, caller

from . import errors, publishing, rules, store
from .settings import Settings
from .stripe_account import StripeAccount

Context = grpc.aio.ServicerContext[Any, Any]
Subscription = billing_pb2.Subscription


class BillingApi:
    """Plans, subscriptions and usage."""

    def __init__(self, db: Database, settings: Settings, account: StripeAccount) -> None:
        self._db = db
        self._pays = bool(settings.stripe_api_key)
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
        plan = rules.plan(request.plan_code)
        organization_id = caller().organization_id
        if not self._pays:
            return await self._change(organization_id, request, plan.plan_code)
        async with self._db.tenant(organization_id) as tx:
            row = await store.lock_subscription(tx)
        if plan.plan_code == rules.FREE:
            return await self._cancel(organization_id)
        if row["stripe_subscription_id"]:
            key = request.request_id or uuid7()
            await self._account.change_plan(row["stripe_subscription_id"], plan.plan_code, key)
            return await self._look(organization_id, row["stripe_subscription_id"])
        return await self._check_out(organization_id, request)

    async def CancelSubscription(
        self, request: billing_pb2.CancelSubscriptionRequest, context: Context
    ) -> Subscription:
        organization_id = caller().organization_id
        if not self._pays:
            return await self._change(organization_id, request, rules.FREE)
        return await self._cancel(organization_id)

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
        if not self._pays:
            raise errors.PaymentNotSetUp("No Stripe key is set.")
        metadata = dict(context.invocation_metadata() or ())
        signature = str(metadata.get("http-stripe-signature", ""))
        event = self._account.event(request.payload.data, signature)
        found = rules.subject(event)
        async with self._db.unscoped() as tx:
            if await store.insert_stripe_event(tx, event["id"]) and found:
                organization_id, subscription_id = found
                await use_organization(tx, organization_id)
                # What the event says may be out of date: a task asks Stripe how things stand.
                await enqueue(
                    tx,
                    "sync_subscription",
                    StringValue(value=subscription_id),
                    organization_id=organization_id,
                )
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
            row = await store.lock_subscription(tx)
            is_cancel = isinstance(request, billing_pb2.CancelSubscriptionRequest)
            if is_cancel and row["plan_code"] == rules.FREE:
                raise errors.SubscriptionFree("The free plan needs no cancelling.")
            wanted = rules.Standing(plan_code, billing_pb2.SUBSCRIPTION_STATE_ACTIVE, None)
            subscription = await store.update_subscription(tx, wanted)
            await publishing.entitlements_changed(tx, organization_id, subscription, caller().actor)
            await requests.remember(tx, organization_id, request.request_id, subscription)
        return subscription

    async def _cancel(self, organization_id: str) -> Subscription:
        async with self._db.tenant(organization_id) as tx:
            row = await store.lock_subscription(tx)
        subscription_id = row["stripe_subscription_id"]
        if not subscription_id:
            raise errors.SubscriptionFree("The free plan needs no cancelling.")
        await self._account.cancel(subscription_id, f"cancel-{subscription_id}-{row['look']}")
        return await self._look(organization_id, subscription_id)

    async def _check_out(
        self, organization_id: str, request: billing_pb2.ChangePlanRequest
    ) -> Subscription:
        checkout_id = _uuid(request.request_id) or uuid7()
        async with self._db.tenant(organization_id) as tx:
            row = await store.insert_checkout(tx, organization_id, checkout_id, request.plan_code)
            subscription = await store.get_subscription(tx)
        url = row["url"] or await self._account.checkout_url(
            organization_id, checkout_id, row["plan_code"]
        )
        async with self._db.tenant(organization_id) as tx:
            await store.update_checkout(tx, checkout_id, url)
        subscription.checkout_url = url
        return subscription

    async def _look(self, organization_id: str, subscription_id: str) -> Subscription:
        """Have a task ask Stripe, and say how things stood before."""
        async with self._db.tenant(organization_id) as tx:
            await enqueue(
                tx,
                "sync_subscription",
                StringValue(value=subscription_id),
                organization_id=organization_id,
            )
            return await store.get_subscription(tx)


def _uuid(text: str) -> str:
    if not text:
        return ""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidArgument(
            "The request id is not valid.", violations=[("request_id", "must be a UUID")]
        ) from None


def _date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)
