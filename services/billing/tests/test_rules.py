"""Plans, months, and what a subscription at Stripe means."""

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from auditron.billing.v1 import billing_pb2
from google.type.date_pb2 import Date

from libs.pg import InvalidRequestId
from libs.rpc import InvalidArgument
from services.billing import errors, rules
from services.billing.settings import Settings

PRICES = {"team": "price_team"}


def subscription(status="active", price="price_team", cancels=False):
    item = {"price": {"id": price}, "current_period_end": 1_900_000_000}
    return {
        "id": "sub_1", "customer": "cus_1", "created": 1_800_000_000, "status": status,
        "cancel_at_period_end": cancels, "items": {"data": [item]},
    }  # fmt: skip


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
    assert standing.stripe_subscription_id == ("" if plan == "free" else "sub_1")


def test_an_ended_subscription_says_nothing_about_its_successor():
    ended = rules.standing(subscription("canceled"), PRICES)
    begun = rules.standing(subscription(), PRICES)
    assert rules.concerns("sub_1", "sub_1", ended)
    assert not rules.concerns("sub_2", "sub_1", ended)
    assert rules.concerns("", "sub_1", begun)


def test_of_two_subscriptions_the_one_that_began_later_stays():
    first = rules.standing(subscription(), PRICES)
    second = replace(first, stripe_subscription_id="sub_2")
    third = replace(first, stripe_subscription_id="sub_0", stripe_create_time=datetime.now(UTC))
    for one, other, older in ((first, second, "sub_1"), (first, third, "sub_0")):
        assert rules.superseded(one, other) == rules.superseded(other, one) == older
    free = rules.standing(subscription("canceled"), PRICES)
    for one, other in ((first, first), (first, free), (free, first)):
        assert not rules.superseded(one, other)


def test_every_plan_that_costs_money_needs_a_price():
    rules.check_prices(Settings())
    prices = {"team": "price_1", "business": "price_2", "unlimited": "price_3"}
    rules.check_prices(Settings(stripe_api_key="sk", stripe_prices=prices))
    with pytest.raises(ValueError, match="lacks business, unlimited"):
        rules.check_prices(Settings("sk", stripe_prices={"team": "price_1", "business": ""}))


def test_an_id_of_a_request_counts_within_its_organization():
    one, other, request_id = (str(uuid.uuid4()) for _ in range(3))
    found = rules.plan_change_id(one, request_id)
    assert found == rules.plan_change_id(one, request_id.upper())
    assert found != rules.plan_change_id(other, request_id)
    assert rules.plan_change_id(one, "") == ""
    with pytest.raises(InvalidRequestId):
        rules.plan_change_id(one, "order-66")


@pytest.mark.parametrize(("year", "month"), [*itertools.product((1, 2024, 2026), range(1, 13))])
def test_a_month_has_its_first_and_last_day(year, month):
    first, last = rules.month_of(date(year, month, 15))
    assert first == date(year, month, 1)
    assert (last.month, date.fromordinal(last.toordinal() + 1).day) == (month, 1)


def test_the_last_month_of_all_ends_too():
    request = billing_pb2.GetUsageRequest(month=Date(year=9999, month=12))
    found = rules.month_asked(request, date(2026, 1, 1))
    assert found == (date(9999, 12, 1), date(9999, 12, 31))


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
