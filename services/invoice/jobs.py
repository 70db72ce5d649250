"""What invoice does outside a request: follows plans and payments, sweeps the object store."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from auditron.billing.v1.billing_events_pb2 import EntitlementsChanged
from auditron.event.v1.event_pb2 import Event
from auditron.invoice.v1.invoice_events_pb2 import InvoicePaid
from auditron.recon.v1.recon_events_pb2 import MatchConfirmed, MatchUndone
from auditron.recon.v1.recon_pb2 import Match
from google.protobuf.message import Message

from libs.blobs import Blobs
from libs.events import EventHandler
from libs.pg import Database, Tx
from libs.run.loops import every
from libs.run.runtime import Loop

from . import documents, rules, store

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 3_600.0
UNNAMED_FOR = timedelta(hours=1)
BATCH = 1_000


async def keep_entitlements(tx: Tx, event: Event, fact: EntitlementsChanged) -> None:
    """Keep what the organization's plan allows."""
    most = fact.subscription.entitlements.documents_per_month
    await store.update_entitlements(tx, event.organization_id, most, event.aggregate_version)


async def confirm_match(tx: Tx, event: Event, fact: MatchConfirmed) -> None:
    """Count what a match pays."""
    await _settle(tx, event, fact.match, undone=False)


async def undo_match(tx: Tx, event: Event, fact: MatchUndone) -> None:
    """Count no more what a match paid."""
    await _settle(tx, event, fact.match, undone=True)


HANDLERS: Mapping[str, Mapping[type[Message], EventHandler]] = {
    "billing": {EntitlementsChanged: keep_entitlements},
    "recon": {MatchConfirmed: confirm_match, MatchUndone: undo_match},
}


async def _settle(tx: Tx, event: Event, match: Match, *, undone: bool) -> None:
    """Bring the match's invoices up to date, each in the same order, so that none waits in turn."""
    for invoice_id, amount in sorted(rules.payments(match).items()):
        kept = await store.lock_invoice(tx, invoice_id)
        is_new = await store.update_payment(
            tx,
            event.organization_id,
            invoice_id,
            match.match_id,
            amount * (not undone),
            event.aggregate_version,
        )
        if not is_new:
            continue
        invoice = kept.invoice
        before = (invoice.state, invoice.paid.SerializeToString())
        rules.settle(invoice, await store.get_paid(tx, invoice_id))
        if (invoice.state, invoice.paid.SerializeToString()) != before:
            invoice = await store.update_state(tx, invoice)
            await store.append_fact(tx, event.organization_id, InvoicePaid, invoice, event.actor)


async def sweep_documents(db: Database, blobs: Blobs, now: datetime) -> None:
    """Delete objects that are older than an hour and that no document names."""
    found: list[tuple[str, str]] = []
    async for blob in blobs.list(documents.PREFIX):
        if blob.modify_time < now - UNNAMED_FOR:
            found.append(documents.parsed(blob.key))
        if len(found) == BATCH:
            await _delete_unnamed(db, blobs, found)
            found = []
    await _delete_unnamed(db, blobs, found)


async def _delete_unnamed(db: Database, blobs: Blobs, keys: list[tuple[str, str]]) -> None:
    if not keys:
        return
    async with db.unscoped() as tx:
        unnamed = await store.list_unnamed_documents(tx, keys)
    for organization_id, document_id in unnamed:
        await blobs.delete(documents.key_of(organization_id, document_id))
        log.info("unnamed document deleted", extra={"document_id": document_id})


def sweeping(db: Database, blobs: Blobs) -> Loop:
    """Return the loop that sweeps every hour."""
    return every(SWEEP_EVERY_S, lambda: sweep_documents(db, blobs, datetime.now(UTC)))
