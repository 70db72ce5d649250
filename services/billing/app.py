"""Composition root of billing."""

from auditron.auth.v1 import auth_events_pb2
from auditron.billing.v1 import billing_pb2
from auditron.invoice.v1 import invoice_events_pb2

from libs.run.runtime import Runtime, Service

from . import jobs
from .api import BillingApi
from .settings import Settings
from .stripe_account import StripeAccount


async def assemble(runtime: Runtime) -> Service:
    """Put the service together."""
    settings = Settings.from_env(runtime.env)
    account = StripeAccount(settings)
    return Service(
        servicers=[
            (
                billing_pb2.DESCRIPTOR.services_by_name["BillingService"],
                BillingApi(runtime.db, settings, account),
            )
        ],
        handlers={
            "auth": {auth_events_pb2.OrganizationCreated: jobs.on_organization_created},
            "invoice": {invoice_events_pb2.InvoiceReceived: jobs.on_invoice_received},
        },
        closing=[account.close],
        tasks={"sync_subscription": jobs.SubscriptionSync(runtime.db, settings, account).run},
    )
