"""Composition root of billing."""

from auditron.auth.v1 import auth_events_pb2
from auditron.billing.v1 import billing_pb2
from auditron.invoice.v1 import invoice_events_pb2

from libs.run.runtime import Runtime, Service

from . import jobs, rules
from .api import BillingApi
from .settings import Settings


async def assemble(runtime: Runtime) -> Service:
    """Put the service together."""
    settings = Settings.from_env(runtime.env)
    rules.check_prices(settings)
    account = sync = None
    if settings.stripe_api_key:
        # What takes long to import is imported before anybody waits, and only where it is wanted.
        from .stripe_account import StripeAccount  # noqa: PLC0415

        account = StripeAccount(settings)
        sync = jobs.SubscriptionSync(runtime.db, account)
    return Service(
        servicers=[
            (
                billing_pb2.DESCRIPTOR.services_by_name["BillingService"],
                BillingApi(runtime.db, account),
            )
        ],
        handlers={
            "auth": {auth_events_pb2.OrganizationCreated: jobs.on_organization_created},
            "invoice": {invoice_events_pb2.InvoiceReceived: jobs.on_invoice_received},
        },
        tasks={"sync_subscription": sync.run, "end_subscription": sync.end} if sync else {},
        loops=[jobs.sweeping(runtime.db)],
        closing=[account.close] if account else [],
    )
