"""Every SQL statement of billing."""

from datetime import date

from auditron.billing.v1 import billing_pb2

from libs.pg import Record, Tx
from libs.pg.rows import to_message

from . import errors
from .rules import Standing, with_entitlements

SUBSCRIPTION = "plan_code, state, period_end_time, update_time, version::text as etag"


async def insert_subscription(
    tx: Tx, organization_id: str, plan_code: str
) -> billing_pb2.Subscription | None:
    """Begin a subscription; None if there is one."""
    row = await tx.fetchrow(
        f"""
        insert into subscriptions (organization_id, plan_code, state) values ($1, $2, $3)
        on conflict do nothing returning {SUBSCRIPTION}
        """,
        organization_id,
        plan_code,
        billing_pb2.SUBSCRIPTION_STATE_ACTIVE,
    )
    return _subscription(row) if row else None


async def get_subscription(tx: Tx) -> billing_pb2.Subscription:
    """The organization's subscription. Raises SubscriptionNotFound."""
    row = await tx.fetchrow(f"select {SUBSCRIPTION} from subscriptions")
    if row is None:
        raise errors.SubscriptionNotFound("The subscription is still to come.")
    return _subscription(row)


async def get_plan_code(tx: Tx) -> str | None:
    """What is subscribed to; None while nothing is."""
    found = await tx.fetchval("select plan_code from subscriptions")
    return str(found) if found else None


async def lock_subscription(tx: Tx) -> Record:
    """The row with what Stripe knows it by, locked. Raises SubscriptionNotFound."""
    row = await tx.fetchrow(
        """
        select plan_code, state, period_end_time, stripe_customer_id, stripe_subscription_id, look
        from subscriptions for update
        """
    )
    if row is None:
        raise errors.SubscriptionNotFound("The subscription is still to come.")
    return row


async def update_subscription(
    tx: Tx, standing: Standing, customer_id: str = "", subscription_id: str = ""
) -> billing_pb2.Subscription:
    """Replace what is subscribed to, and the ids by which Stripe knows it."""
    row = await tx.fetchrow(
        f"""
        update subscriptions set plan_code = $1, state = $2, period_end_time = $3,
          stripe_customer_id = $4, stripe_subscription_id = $5, version = version + 1,
          update_time = now()
        returning {SUBSCRIPTION}
        """,
        standing.plan_code,
        standing.state,
        standing.period_end_time,
        customer_id,
        subscription_id,
    )
    return _subscription(row)


async def begin_look(tx: Tx) -> int | None:
    """The number of a look at Stripe that begins now; None without a subscription."""
    found = await tx.fetchval("update subscriptions set look = look + 1 returning look")
    return None if found is None else int(found)


async def insert_checkout(tx: Tx, organization_id: str, checkout_id: str, plan_code: str) -> Record:
    """Note that a payment is asked for; the row that stands, be it an earlier one."""
    await tx.execute(
        """
        insert into checkouts (organization_id, checkout_id, plan_code) values ($1, $2, $3)
        on conflict do nothing
        """,
        organization_id,
        checkout_id,
        plan_code,
    )
    row = await tx.fetchrow(
        "select plan_code, url from checkouts where checkout_id = $1", checkout_id
    )
    assert row is not None, "it was inserted, now or before"
    return row


async def update_checkout(tx: Tx, checkout_id: str, url: str) -> None:
    """Note where it can be paid."""
    await tx.execute("update checkouts set url = $2 where checkout_id = $1", checkout_id, url)


async def insert_document(tx: Tx, organization_id: str, invoice_id: str) -> bool:
    """Note that a document was counted; False if it was before."""
    return bool(
        await tx.fetchval(
            """
            insert into documents (organization_id, invoice_id) values ($1, $2)
            on conflict do nothing returning true
            """,
            organization_id,
            invoice_id,
        )
    )


async def add_usage(tx: Tx, organization_id: str, start_date: date) -> int:
    """Count one document of the month; how many it has now."""
    found = await tx.fetchval(
        """
        insert into usage as u (organization_id, start_date, document_count) values ($1, $2, 1)
        on conflict (organization_id, start_date) do update
        set document_count = u.document_count + 1 returning document_count
        """,
        organization_id,
        start_date,
    )
    return int(found)


async def get_usage(tx: Tx, start_date: date) -> int:
    """How many documents the month has."""
    found = await tx.fetchval("select document_count from usage where start_date = $1", start_date)
    return int(found or 0)


async def insert_stripe_event(tx: Tx, event_id: str) -> bool:
    """Note a webhook; False if it came before."""
    return bool(
        await tx.fetchval(
            """
            insert into stripe_events (event_id) values ($1) on conflict do nothing returning true
            """,
            event_id,
        )
    )


async def delete_old_stripe_events(tx: Tx) -> None:
    """Forget webhooks that Stripe does not repeat any more (it tries for three days)."""
    await tx.execute("delete from stripe_events where create_time < now() - interval '30 days'")


def _subscription(row: Record | None) -> billing_pb2.Subscription:
    return with_entitlements(to_message(row, billing_pb2.Subscription))
