"""The plans, and what follows from a subscription at Stripe. Pure."""

import uuid
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from auditron.billing.v1 import billing_pb2
from auditron.type.v1.money_pb2 import Money

from libs.pg import InvalidRequestId
from libs.rpc import InvalidArgument, uuid_or

from . import errors
from .settings import Settings

FREE = "free"
CURRENCY = "EUR"


def _plan(code: str, name: str, price: str, documents: int) -> billing_pb2.Plan:
    return billing_pb2.Plan(
        plan_code=code,
        display_name=name,
        price=Money(amount=price, currency_code=CURRENCY),
        entitlements=billing_pb2.Entitlements(documents_per_month=documents),
    )


PLANS = {
    plan.plan_code: plan
    for plan in (
        _plan(FREE, "Free", "0", 50),
        _plan("team", "Team", "29", 500),
        _plan("business", "Business", "149", 5_000),
        _plan("unlimited", "Unlimited", "499", 0),
    )
}


@dataclass(frozen=True)
class Standing:
    """What a subscription at Stripe means for us; a free one is none there."""

    plan_code: str
    state: int
    period_end_time: datetime | None = None
    stripe_customer_id: str = ""
    stripe_subscription_id: str = ""
    stripe_create_time: datetime | None = None


@dataclass(frozen=True)
class Checkout:
    """Where a plan can be paid; empty for a change that needs no payment."""

    session_id: str = ""
    url: str = ""


def plan(code: str) -> billing_pb2.Plan:
    """The plan of that code. Raises PlanNotFound."""
    if code not in PLANS:
        raise errors.PlanNotFound("There is no such plan.", plan_code=code[:50])
    return PLANS[code]


def check_prices(settings: Settings) -> None:
    """Raise ValueError if Stripe is set up and a plan that costs money has no price there."""
    lacking = [code for code in PLANS if code != FREE and not settings.stripe_prices.get(code)]
    if settings.stripe_api_key and lacking:
        raise ValueError(f"BILLING_STRIPE_PRICES lacks {', '.join(lacking)}")


def plan_change_id(organization_id: str, request_id: str) -> str:
    """The id of what a request asks of Stripe, where ids of all organizations meet.

    Empty for a request without an id. Raises InvalidRequestId.
    """
    if not request_id:
        return ""
    given = uuid_or(InvalidRequestId(request_id), request_id)
    return str(uuid.uuid5(uuid.UUID(organization_id), given))


def with_entitlements(subscription: billing_pb2.Subscription) -> billing_pb2.Subscription:
    """The subscription with what its plan allows."""
    subscription.entitlements.CopyFrom(PLANS[subscription.plan_code].entitlements)
    return subscription


def standing(stripe: Mapping[str, Any], prices: Mapping[str, str]) -> Standing:
    """Read a Subscription object of Stripe; prices are price ids by plan code.

    What does not stand any more, or is for a price that is none of ours, is the free plan.
    """
    item = stripe["items"]["data"][0]
    codes = {price: code for code, price in prices.items()}
    code = codes.get(item["price"]["id"], FREE)
    state = {
        "active": billing_pb2.SUBSCRIPTION_STATE_ACTIVE,
        "trialing": billing_pb2.SUBSCRIPTION_STATE_ACTIVE,
        "past_due": billing_pb2.SUBSCRIPTION_STATE_PAST_DUE,
    }.get(stripe["status"])
    if state is None or code == FREE:
        return Standing(FREE, billing_pb2.SUBSCRIPTION_STATE_ACTIVE)
    if stripe.get("cancel_at_period_end"):
        state = billing_pb2.SUBSCRIPTION_STATE_CANCELLING
    return Standing(
        plan_code=code,
        state=state,
        period_end_time=datetime.fromtimestamp(item["current_period_end"], UTC),
        stripe_customer_id=stripe["customer"],
        stripe_subscription_id=stripe["id"],
        stripe_create_time=datetime.fromtimestamp(stripe["created"], UTC),
    )


def month_of(day: date) -> tuple[date, date]:
    """The first and the last day of the day's month."""
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])


def month_asked(request: billing_pb2.GetUsageRequest, today: date) -> tuple[date, date]:
    """The month that a request names, or this one. Raises InvalidArgument for no day."""
    if not request.HasField("month"):
        return month_of(today)
    try:
        return month_of(date(request.month.year, request.month.month, request.month.day or 1))
    except ValueError:
        raise InvalidArgument(
            "The month is not valid.", violations=[("month", "must be a day of it")]
        ) from None


def reaches_limit(code: str, count: int) -> bool:
    """Whether this document is the last that the plan allows."""
    limit = PLANS[code].entitlements.documents_per_month
    return bool(limit) and count == limit


def subject(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """The organization and the subscription at Stripe that a webhook is about; None: neither.

    The organization is what we told Stripe ourselves, in the metadata.
    """
    found = event["data"]["object"]
    match event["type"].split("."):
        case ["customer", "subscription", *_]:
            metadata, subscription_id = found.get("metadata"), found["id"]
        case ["checkout", "session", *_]:
            metadata, subscription_id = found.get("metadata"), found.get("subscription")
        case ["invoice", *_]:
            details = (found.get("parent") or {}).get("subscription_details") or {}
            metadata, subscription_id = details.get("metadata"), details.get("subscription")
        case _:
            return None
    organization_id = (metadata or {}).get("organization_id", "")
    return (organization_id, subscription_id) if organization_id and subscription_id else None


def concerns(own_id: str, subscription_id: str, wanted: Standing) -> bool:
    """Whether a subscription at Stripe is, or becomes, the organization's own.

    An old one that has ended says nothing about the one that replaced it.
    """
    return subscription_id == own_id or wanted.plan_code != FREE


def superseded(own: Standing, other: Standing) -> str:
    """Which of two subscriptions at Stripe the other, begun later, replaces; '' if neither."""
    if own.stripe_subscription_id in ("", other.stripe_subscription_id) or other.plan_code == FREE:
        return ""
    ids = [(str(each.stripe_create_time), each.stripe_subscription_id) for each in (own, other)]
    return min(ids)[1]
