"""Follows invoice: keeps the copy of open invoices."""

from collections.abc import Mapping
from typing import Protocol

from auditron.event.v1.event_pb2 import Event
from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from google.protobuf.message import Message

from libs.events import EventHandler
from libs.pg import Tx

from .. import booking, rules, store


class InvoiceFact(Protocol):
    """Any fact of invoice: it holds the whole invoice."""

    @property
    def invoice(self) -> invoice_pb2.Invoice:
        """The invoice after the change."""


async def follow_invoice(tx: Tx, event: Event, payload: InvoiceFact) -> None:
    """Keep what an invoice is now; what is known of a later version stays.

    A run follows where more or less of it is open than before: it matches what is new, and takes
    back proposals for what does not stand any more.
    """
    invoice, standing = rules.open_invoice(payload.invoice)
    organization_id, version = event.organization_id, event.aggregate_version
    known = await store.get_version(tx, invoice.invoice_id)
    if known is None and not standing:
        return
    if known is not None and known["version"] >= version:
        return
    open_amount = await store.upsert_invoice(
        tx, organization_id, invoice, standing=standing, version=version
    )
    if open_amount != (known["open_amount"] if known else 0):
        await booking.request_reconciliation(tx, organization_id)


FACTS: tuple[type[Message], ...] = (
    invoice_events_pb2.InvoiceApproved,
    invoice_events_pb2.InvoiceReopened,
    invoice_events_pb2.InvoiceRejected,
    invoice_events_pb2.InvoiceUpdated,
    invoice_events_pb2.InvoicePaid,
)
HANDLERS: Mapping[str, Mapping[type[Message], EventHandler]] = {
    "invoice": dict.fromkeys(FACTS, follow_invoice)
}
