"""Follows auth and invoice: who the organization is, what is known of invoices, what is to read."""

from collections.abc import Mapping
from datetime import UTC, date

from auditron.agent.v1 import agent_pb2
from auditron.auth.v1 import auth_events_pb2
from auditron.event.v1 import event_pb2
from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from google.protobuf.message import Message

from libs import money
from libs.events import EventHandler
from libs.pg import Tx

from .. import rules, store

_APPROVED = frozenset(
    (
        invoice_pb2.INVOICE_STATE_APPROVED,
        invoice_pb2.INVOICE_STATE_PARTLY_PAID,
        invoice_pb2.INVOICE_STATE_PAID,
    )
)


async def on_invoice_received(
    tx: Tx, event: event_pb2.Event, payload: invoice_events_pb2.InvoiceReceived
) -> None:
    """Queue the job that reads the document; one made by hand has none."""
    invoice = payload.invoice
    if invoice.HasField("document"):
        job = agent_pb2.Job(job_id=invoice.job_id, invoice_id=invoice.invoice_id, actor=event.actor)
        kind, direction = invoice.document.content_type, invoice.direction
        await store.insert_job(tx, event.organization_id, job, kind, direction)
    await _keep(tx, event, invoice)


async def on_invoice_changed(
    tx: Tx,
    event: event_pb2.Event,
    payload: invoice_events_pb2.InvoiceExtracted
    | invoice_events_pb2.InvoiceRejected
    | invoice_events_pb2.InvoiceReopened,
) -> None:
    """Learn from how an invoice stands now."""
    await _keep(tx, event, payload.invoice)


async def on_invoice_updated(
    tx: Tx, event: event_pb2.Event, payload: invoice_events_pb2.InvoiceUpdated
) -> None:
    """Have what a person has corrected looked up in the document."""
    invoice = payload.invoice
    await _keep(tx, event, invoice)
    if invoice.HasField("document") and rules.corrected(invoice):
        await store.enqueue_learning(tx, event.organization_id, invoice.invoice_id)


async def on_invoice_approved(
    tx: Tx, event: event_pb2.Event, payload: invoice_events_pb2.InvoiceApproved
) -> None:
    """Note what was read rightly, where a person has approved it."""
    invoice = payload.invoice
    await _keep(tx, event, invoice)
    read = await store.get_outcomes(tx, invoice.invoice_id)
    if not read or not rules.is_persons(invoice):
        return
    keys = rules.supplier_keys(invoice.supplier, (await store.get_organization(tx)).tax_ids)
    name = invoice.supplier.display_name
    supplier_id, _ = await store.lock_supplier(tx, event.organization_id, keys, name)
    found = rules.rightly_read(invoice, read)
    await store.check_outcomes(tx, invoice.invoice_id, supplier_id, found)


async def on_organization(
    tx: Tx,
    event: event_pb2.Event,
    payload: auth_events_pb2.OrganizationCreated | auth_events_pb2.OrganizationUpdated,
) -> None:
    """Keep who the organization is."""
    given = payload.organization
    organization = store.Organization(
        given.display_name, tuple(given.tax_ids), given.base_currency_code
    )
    version = event.aggregate_version
    await store.upsert_organization(tx, event.organization_id, organization, version)


async def _keep(tx: Tx, event: event_pb2.Event, invoice: invoice_pb2.Invoice) -> None:
    known = known_invoice(event, invoice)
    await store.upsert_known_invoice(tx, event.organization_id, known)


def known_invoice(event: event_pb2.Event, invoice: invoice_pb2.Invoice) -> store.KnownInvoice:
    """Return what is kept of an invoice as of an event."""
    keys = rules.keys(rules.counterparty(invoice))
    issued, has_gross = invoice.issue_date, invoice.HasField("gross")
    return store.KnownInvoice(
        invoice_id=invoice.invoice_id,
        version=event.aggregate_version,
        direction=invoice.direction or invoice_pb2.DIRECTION_PAYABLE,
        name_key=keys.name_key,
        tax_key=keys.tax_key,
        number_key=rules.bare(invoice.invoice_number),
        issue_date=date(issued.year, issued.month, issued.day) if issued.year else None,
        gross=money.to_decimal(invoice.gross) if has_gross else None,
        gross_currency_code=invoice.gross.currency_code if has_gross else None,
        iban=rules.bare(invoice.supplier.iban),
        account_code=invoice.account_code,
        account_confirmed=_account_confirmed(invoice),
        approved=invoice.state in _APPROVED,
        rejected=invoice.state == invoice_pb2.INVOICE_STATE_REJECTED,
        update_time=event.occur_time.ToDatetime(UTC),
    )


def _account_confirmed(invoice: invoice_pb2.Invoice) -> bool:
    """Whether a person has chosen the account, or has approved the invoice with it."""
    typed = any(
        each.field == "account_code" and each.source == invoice_pb2.READING_SOURCE_PERSON
        for each in invoice.readings
    )
    decided = invoice.decisions[-1] if invoice.decisions else invoice_pb2.Decision()
    by_person = decided.actor.startswith(("user:", "api_key:"))
    return typed or (invoice.state in _APPROVED and by_person)


HANDLERS: Mapping[str, Mapping[type[Message], EventHandler]] = {
    "auth": {
        auth_events_pb2.OrganizationCreated: on_organization,
        auth_events_pb2.OrganizationUpdated: on_organization,
    },
    "invoice": {
        invoice_events_pb2.InvoiceReceived: on_invoice_received,
        invoice_events_pb2.InvoiceExtracted: on_invoice_changed,
        invoice_events_pb2.InvoiceUpdated: on_invoice_updated,
        invoice_events_pb2.InvoiceApproved: on_invoice_approved,
        invoice_events_pb2.InvoiceRejected: on_invoice_changed,
        invoice_events_pb2.InvoiceReopened: on_invoice_changed,
    },
}
