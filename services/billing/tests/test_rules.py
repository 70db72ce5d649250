"""Plans, months, and what a subscription at Stripe means."""

import itertools
from datetime import date

import pytest
from auditron.billing.v1 import billing_pb2
from google.type.date_pb2 import Date

from libs.rpc import InvalidArgument
from services.billing import errors, rules

PRICES = {"team": "price_team"}


def subscription(status="active", price="price_team", cancels=False):
    item = {"price": {"id": price}, "current_period_end": 1_900_000_000}
    return {"status": status, "cancel_at_period_end": cancels, "items": {"data": [item]}}


@pytest.mark.parametrize(
    ("found", "plan", "state"),
    [
        (subscription(), "team", billing_pb2.SUBSCRIPTION_STATE_ACTIVE),
        (subscription("trialing"), "team", billing_pb2.SUBSCRIPTION_STATE_ACTIVE),
        (subscription("past_due"), "team", billing_pb2.SUBSCRIPTION_STATE_PAST_DUE),
        (subscription(cancels=True), "team", billing_pb2.SUBSCRIPTION_STATE_CANCELLING),
        (subscription("canceled"), "free", billing_pb2.SUBSCRIPTION_STATE_ACTIVE),
        (subscription("unpaid"), "free", billing_pb2.SUBSCRIPTION_STATE_ACTIVE),
        (subscription(price="price_of_others"), "free", billing_pb2.SUBSCRIPTION_STATE_ACTIVE),
    ],
)
def test_what_stripe_says_becomes_a_plan_and_a_state(found, plan, state):
    standing = rules.standing(found, PRICES)
    assert (standing.plan_code, standing.state) == (plan, state)
    assert (standing.period_end_time is None) == (plan == "free")


def test_an_ended_subscription_says_nothing_about_its_successor():
    ended = rules.standing(subscription("canceled"), PRICES)
    begun = rules.standing(subscription(), PRICES)
    assert rules.concerns("sub_1", "sub_1", ended)
    assert not rules.concerns("sub_2", "sub_1", ended)
    assert rules.concerns("", "sub_1", begun)


@pytest.mark.parametrize(("year", "month"), [*itertools.product((2024, 2026), range(1, 13))])
def test_a_month_has_its_first_and_last_day(year, month):
    first, last = rules.month_of(date(year, month, 15))
    assert first == date(year, month, 1)
    assert (last.month, date.fromordinal(last.toordinal() + 1).day) == (month, 1)


def test_a_month_that_is_none_is_refused():
    request = billing_pb2.GetUsageRequest(month=Date(year=2026, month=13, day=1))
    with pytest.raises(InvalidArgument):
        rules.month_asked(request, date(2026, 1, 1))


def test_a_plan_that_is_none_is_not_found():
    with pytest.raises(errors.PlanNotFound):
        rules.plan("gold")


def test_the_limit_is_reached_once():
    reached = [count for count in range(200) if rules.reaches_limit("free", count)]
    assert reached == [50]
    assert not any(rules.reaches_limit("unlimited", count) for count in range(1000))


@pytest.mark.parametrize(
    ("kind", "about", "found"),
    [
        ("customer.subscription.updated",
         {"id": "sub_1", "metadata": {"organization_id": "o"}}, ("o", "sub_1")),
        ("checkout.session.completed",
         {"id": "cs_1", "subscription": "sub_1", "metadata": {"organization_id": "o"}},
         ("o", "sub_1")),
        ("invoice.payment_failed", {"id": "in_1", "parent": {"subscription_details": {
            "subscription": "sub_1", "metadata": {"organization_id": "o"}}}}, ("o", "sub_1")),
        ("invoice.paid", {"id": "in_1", "parent": None}, None),
        ("customer.subscription.updated", {"id": "sub_1", "metadata": {}}, None),
        ("payout.paid", {"id": "po_1"}, None),
    ],
)  # fmt: skip
def test_a_webhook_names_its_organization_and_subscription(kind, about, found):
    assert rules.subject({"type": kind, "data": {"object": about}}) == found
