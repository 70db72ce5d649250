"""Billing without payment, and billing with a Stripe account at a fake of ours."""

import pytest
from auditron.auth.v1 import auth_events_pb2, auth_pb2
from auditron.billing.v1 import billing_pb2_grpc
from auditron.event.v1 import event_pb2

from libs.pg import uuid7
from libs.testkit import Client, Harness, Stores, running_services
from services.billing import jobs
from services.billing.tests import fake_stripe


@pytest.fixture(scope="session")
async def billing(stores: Stores):
    async with running_services(stores, "billing") as services:
        yield services["billing"]


@pytest.fixture(scope="session")
async def stripe():
    fake = fake_stripe.FakeStripe()
    fake.base = await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture(scope="session")
async def paid(stores: Stores, stripe):
    settings = {
        "STRIPE_API_KEY": "sk_test_1",
        "STRIPE_WEBHOOK_SECRET": fake_stripe.SECRET,
        "BILLING_STRIPE_PRICES": ",".join(f"{k}={v}" for k, v in fake_stripe.PRICES.items()),
        "BILLING_STRIPE_API_BASE": stripe.base,
    }
    async with running_services(stores, "billing", settings=settings) as services:
        yield services["billing"]


async def new_organization(harness: Harness) -> Client:
    """An organization that billing has heard of."""
    client = harness.client(billing_pb2_grpc.BillingServiceStub, organization_id=uuid7())
    await organization_created(harness, client.organization_id)
    return client


async def organization_created(harness: Harness, organization_id: str) -> None:
    event = event_pb2.Event(event_id=uuid7(), organization_id=organization_id)
    organization = auth_pb2.Organization(organization_id=organization_id)
    payload = auth_events_pb2.OrganizationCreated(organization=organization)
    async with harness.runtime.db.tenant(organization_id) as tx:
        await jobs.on_organization_created(tx, event, payload)
