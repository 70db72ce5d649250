"""What billing does outside a request: follows auth and invoice, asks Stripe how things stand."""

from datetime import UTC

from auditron.auth.v1 import auth_events_pb2
from auditron.billing.v1 import billing_events_pb2, billing_pb2
from auditron.event.v1 import event_pb2
from auditron.invoice.v1 import invoice_events_pb2
from google.protobuf.wrappers_pb2 import StringValue
from google.type.date_pb2 import Date

from libs.events import append
from libs.jobs import Task
from libs.pg import Database, Tx

from . import publishing, rules, store
from .settings import Settings
from .stripe_account import StripeAccount

ACTOR = "service:billing"


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


class SubscriptionSync:
    """Brings our row to what Stripe says now; events of Stripe only say that it is time to ask."""

    def __init__(self, db: Database, settings: Settings, account: StripeAccount) -> None:
        self._db = db
        self._settings = settings
        self._account = account

    async def run(self, task: Task) -> None:
        """The task `sync_subscription`; its payload is the id of a subscription at Stripe."""
        subscription_id = StringValue.FromString(task.payload).value
        async with self._db.tenant(task.organization_id) as tx:
            look = await store.begin_look(tx)
        found = await self._account.subscription(subscription_id)
        wanted = rules.standing(found, self._settings.stripe_prices)
        async with self._db.tenant(task.organization_id) as tx:
            row = await store.lock_subscription(tx)
            if look != row["look"]:
                return  # a newer look is under way, and will see no less than this one
            if not rules.concerns(row["stripe_subscription_id"], subscription_id, wanted):
                return
            ids = (
                ("", "") if wanted.plan_code == rules.FREE else (found["customer"], subscription_id)
            )
            same = (row["plan_code"], row["state"], row["period_end_time"]) == (
                wanted.plan_code,
                wanted.state,
                wanted.period_end_time,
            )
            if same and row["stripe_subscription_id"] == ids[1]:
                return
            subscription = await store.update_subscription(tx, wanted, *ids)
            publish = (
                publishing.subscription_changed
                if wanted.plan_code == row["plan_code"]
                else publishing.entitlements_changed
            )
            await publish(tx, task.organization_id, subscription, ACTOR)
