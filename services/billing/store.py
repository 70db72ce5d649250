"""Every SQL statement of billing."""

from collections.abc import Sequence
from dataclasses import astuple
from datetime import date

from auditron.billing.v1 import billing_pb2

from libs.pg import Record, Tx
from libs.pg.rows import columns_of, to_message

from . import errors
from .rules import Checkout, Standing, with_entitlements

# The states of a plan change.
ASKED, DONE, CLOSED = "ASKED", "DONE", "CLOSED"
PLAN_CHANGE = "plan_change_id::text, plan_code, stripe_subscription_id, checkout_url, state"
STANDING = """
plan_code, state, period_end_time, stripe_customer_id, stripe_subscription_id, stripe_create_time
"""
SUBSCRIPTION = ", ".join(
    (
        *columns_of(billing_pb2.Subscription, "entitlements", "checkout_url", "etag"),
        "version::text as etag",
    )
)


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


async def lock_subscription(tx: Tx) -> Standing:
    """How the organization stands, locked. Raises SubscriptionNotFound."""
    row = await tx.fetchrow(f"select {STANDING} from subscriptions for update")
    if row is None:
        raise errors.SubscriptionNotFound("The subscription is still to come.")
    return Standing(**row)


async def update_subscription(tx: Tx, standing: Standing) -> billing_pb2.Subscription:
    """Replace what is subscribed to."""
    row = await tx.fetchrow(
        f"""
        update subscriptions set ({STANDING}) = ($1, $2, $3, $4, $5, $6), version = version + 1,
          update_time = now()
        returning {SUBSCRIPTION}
        """,
        *astuple(standing),
    )
    return _subscription(row)


async def begin_look(tx: Tx, organization_id: str, subscription_id: str) -> int:
    """The number of a look at a subscription at Stripe that begins now."""
    found = await tx.fetchval(
        """
        insert into looks (organization_id, stripe_subscription_id) values ($1, $2)
        on conflict (organization_id, stripe_subscription_id) do update set look = looks.look + 1
        returning look
        """,
        organization_id,
        subscription_id,
    )
    return int(found)


async def get_look(tx: Tx, subscription_id: str) -> int:
    """The number of the last look at it that has begun."""
    return int(
        await tx.fetchval(
            "select look from looks where stripe_subscription_id = $1", subscription_id
        )
    )


async def insert_plan_change(
    tx: Tx, organization_id: str, plan_change_id: str, plan_code: str, subscription_id: str
) -> Record:
    """Note what is to be asked of Stripe; the row that stands, be it an earlier one."""
    await tx.execute(
        """
        insert into plan_changes
          (organization_id, plan_change_id, plan_code, stripe_subscription_id)
        values ($1, $2, $3, $4) on conflict do nothing
        """,
        organization_id,
        plan_change_id,
        plan_code,
        subscription_id,
    )
    return await _plan_change(tx, plan_change_id)


async def open_checkouts(tx: Tx, plan_change_id: str) -> Sequence[str]:
    """The Checkout Sessions that could still be paid, beside that of a plan change.

    Those that nobody knows how to pay yet are closed at once.
    """
    await tx.execute(
        """
        update plan_changes set state = 'CLOSED'
        where stripe_subscription_id = '' and state = 'ASKED' and plan_change_id <> $1
        """,
        plan_change_id,
    )
    rows = await tx.fetch(
        """
        select checkout_session_id from plan_changes
        where stripe_subscription_id = '' and state = 'DONE' and plan_change_id <> $1
        """,
        plan_change_id,
    )
    return [row["checkout_session_id"] for row in rows]


async def finish_plan_change(
    tx: Tx,
    plan_change_id: str,
    subscription_id: str,
    checkout: Checkout,
    closed: Sequence[str],
) -> Record:
    """Note that Stripe has done it, and closed other Checkout Sessions; the row that then stands.

    One that was closed meanwhile stays so.
    """
    done = await tx.fetchval(
        """
        update plan_changes set state = 'DONE', stripe_subscription_id = $2,
          checkout_session_id = $3, checkout_url = $4
        where plan_change_id = $1 and state = 'ASKED' returning true
        """,
        plan_change_id,
        subscription_id,
        checkout.session_id,
        checkout.url,
    )
    if done:
        await tx.execute(
            "update plan_changes set state = 'CLOSED' where checkout_session_id = any($1)", closed
        )
    return await _plan_change(tx, plan_change_id)


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


async def _plan_change(tx: Tx, plan_change_id: str) -> Record:
    row = await tx.fetchrow(
        f"select {PLAN_CHANGE} from plan_changes where plan_change_id = $1", plan_change_id
    )
    assert row is not None, "it was inserted, now or before"
    return row


def _subscription(row: Record | None) -> billing_pb2.Subscription:
    return with_entitlements(to_message(row, billing_pb2.Subscription))
