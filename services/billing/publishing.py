"""States the facts about a subscription."""

from auditron.billing.v1 import billing_events_pb2, billing_pb2

from libs.events import append
from libs.pg import Tx


async def entitlements_changed(
    tx: Tx, organization_id: str, subscription: billing_pb2.Subscription, actor: str
) -> None:
    """What the organization may do is another than before."""
    payload = billing_events_pb2.EntitlementsChanged(subscription=subscription)
    await _append(tx, organization_id, subscription, payload, actor)


async def subscription_changed(
    tx: Tx, organization_id: str, subscription: billing_pb2.Subscription, actor: str
) -> None:
    """Its state has changed, what it allows has not."""
    payload = billing_events_pb2.SubscriptionChanged(subscription=subscription)
    await _append(tx, organization_id, subscription, payload, actor)


async def _append(
    tx: Tx,
    organization_id: str,
    subscription: billing_pb2.Subscription,
    payload: billing_events_pb2.EntitlementsChanged | billing_events_pb2.SubscriptionChanged,
    actor: str,
) -> None:
    await append(
        tx,
        organization_id=organization_id,
        aggregate_type="subscription",
        aggregate_id=organization_id,
        aggregate_version=int(subscription.etag),
        payload=payload,
        actor=actor,
    )
