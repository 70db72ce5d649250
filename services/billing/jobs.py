"""What billing does outside a request: follows auth and invoice, asks Stripe how things stand."""

import logging
from datetime import UTC
from typing import TYPE_CHECKING

from auditron.auth.v1 import auth_events_pb2
from auditron.billing.v1 import billing_events_pb2, billing_pb2
from auditron.event.v1 import event_pb2
from auditron.invoice.v1 import invoice_events_pb2
from google.protobuf.wrappers_pb2 import StringValue
from google.type.date_pb2 import Date

from libs.events import append
from libs.jobs import Task, enqueue
from libs.pg import Database, Tx
from libs.run.loops import every
from libs.run.runtime import Loop

from . import publishing, rules, store

if TYPE_CHECKING:
    from .stripe_account import StripeAccount

log = logging.getLogger(__name__)

ACTOR = "service:billing"
SWEEP_EVERY_S = 3_600.0


async def on_organization_created(
    tx: Tx, event: event_pb2.Event, _: auth_events_pb2.OrganizationCreated
) -> None:
    """Begin on the free plan."""
    subscription = await store.insert_subscription(tx, event.organization_id, rules.FREE)
    if subscription is not None:
        await publishing.entitlements_changed(tx, event.organization_id, subscription, ACTOR)


async def on_invoice_received(
    tx: Tx, event: event_pb2.Event, payload: invoice_events_pb2.InvoiceReceived
) -> None:
    """Count a document, once, in the month in which it came."""
    invoice = payload.invoice
    if not invoice.HasField("document"):
        return
    if not await store.insert_document(tx, event.organization_id, invoice.invoice_id):
        return
    first, last = rules.month_of(event.occur_time.ToDatetime(UTC).date())
    count = await store.add_usage(tx, event.organization_id, first)
    plan_code = await store.get_plan_code(tx)
    if plan_code is None or not rules.reaches_limit(plan_code, count):
        return
    usage = billing_pb2.Usage(
        start_date=Date(year=first.year, month=first.month, day=first.day),
        end_date=Date(year=last.year, month=last.month, day=last.day),
        document_count=count,
        document_limit=count,
    )
    await append(
        tx,
        organization_id=event.organization_id,
        aggregate_type="usage",
        aggregate_id=first.isoformat(),
        aggregate_version=count,
        payload=billing_events_pb2.LimitReached(usage=usage),
        actor=ACTOR,
    )


def sweeping(db: Database) -> Loop:
    """Return the loop that forgets old webhooks every hour."""

    async def sweep() -> None:
        async with db.unscoped() as tx:
            await store.delete_old_stripe_events(tx)

    return every(SWEEP_EVERY_S, sweep)


class SubscriptionSync:
    """Brings our row to what Stripe says now; events of Stripe only say that it is time to ask."""

    def __init__(self, db: Database, account: "StripeAccount") -> None:
        self._db = db
        self._account = account

    async def run(self, task: Task) -> None:
        """The task `sync_subscription`; its payload is the id of a subscription at Stripe."""
        subscription_id = StringValue.FromString(task.payload).value
        organization_id = task.organization_id
        async with self._db.tenant(organization_id) as tx:
            look = await store.begin_look(tx, organization_id, subscription_id)
        wanted = await self._account.standing(subscription_id)
        async with self._db.tenant(organization_id) as tx:
            own = await store.lock_subscription(tx)
            if look != await store.get_look(tx, subscription_id):
                return  # a newer look at it is under way, and will see no less than this one
            if not rules.concerns(own.stripe_subscription_id, subscription_id, wanted):
                return
            superseded_id = rules.superseded(own, wanted)
            if superseded_id:
                await enqueue(
                    tx,
                    "end_subscription",
                    StringValue(value=superseded_id),
                    organization_id=organization_id,
                )
            if wanted != own and superseded_id != subscription_id:
                subscription = await store.update_subscription(tx, wanted)
                publish = (
                    publishing.subscription_changed
                    if wanted.plan_code == own.plan_code
                    else publishing.entitlements_changed
                )
                await publish(tx, organization_id, subscription, ACTOR)

    async def end(self, task: Task) -> None:
        """The task `end_subscription`: nobody pays for two; its payload is the older one's id."""
        subscription_id = StringValue.FromString(task.payload).value
        # What was paid for both is for a person to give back.
        log.warning("superseded subscription ends", extra={"subscription_id": subscription_id})
        await self._account.end(subscription_id)
