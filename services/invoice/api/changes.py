"""How every change of an invoice begins and ends."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import grpc
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice

from libs.pg import Tx

from .. import errors, rules, store

Context = grpc.aio.ServicerContext[Any, Any]

APPROVED = (
    invoice_pb2.INVOICE_STATE_APPROVED,
    invoice_pb2.INVOICE_STATE_PARTLY_PAID,
    invoice_pb2.INVOICE_STATE_PAID,
)
# Of a rejected invoice the next one is no duplicate.
STANDING = (
    invoice_pb2.INVOICE_STATE_RECEIVED,
    invoice_pb2.INVOICE_STATE_IN_REVIEW,
    *APPROVED,
)


async def locked(tx: Tx, invoice_id: str, etag: str) -> store.Kept:
    """Return the invoice for this transaction alone. Raises InvoiceNotFound, EtagMismatch."""
    kept = await store.lock_invoice(tx, invoice_id)
    if etag and etag != kept.invoice.etag:
        raise errors.EtagMismatch("The invoice was changed meanwhile.", etag=kept.invoice.etag)
    return kept


async def judged(tx: Tx, kept: store.Kept) -> store.Kept:
    """Return it with what a person should look at, as it stands now."""
    duplicate = await duplicate_of(tx, kept.invoice, STANDING)
    found = rules.warnings(kept.invoice, kept.reading_warnings, is_duplicate=duplicate is not None)
    invoice = Invoice()
    invoice.CopyFrom(kept.invoice)
    del invoice.warnings[:]
    invoice.warnings.extend(found)
    rules.keep_paid(invoice)
    return replace(kept, invoice=invoice)


async def duplicate_of(tx: Tx, invoice: Invoice, states: Collection[int]) -> str | None:
    """Return another invoice of the same counterparty and number in one of the states."""
    found = found_by(invoice)
    if not found.name_key and not found.tax_key:
        return None
    return await store.find_duplicate(tx, invoice.invoice_id, found, states)


def found_by(invoice: Invoice) -> store.Found:
    """Return by what an invoice is found."""
    keys = rules.keys(invoice)
    return store.Found(rules.search_words(invoice), keys.name_key, keys.tax_key)
