"""Looks up where the values that persons have corrected stand on their documents."""

from typing import Any

from auditron.invoice.v1 import invoice_pb2

from libs.jobs import Task
from libs.pg import Database
from libs.rpc import Caller, acting_as

from .. import errors, rules, store
from ..documents import fetched
from ..reading.hints import merged
from .extraction import Extraction


class Learning:
    """Has the reader find corrected values, and keeps their places by supplier."""

    def __init__(self, db: Database, invoices: Any, extraction: Extraction) -> None:
        self._db = db
        self._invoices = invoices
        self._extraction = extraction

    async def learn(self, task: Task) -> None:
        """Keep where the values that a person has corrected stand on the supplier's document."""
        request = invoice_pb2.GetInvoiceRequest.FromString(task.payload)
        with acting_as(Caller(organization_id=task.organization_id)):
            invoice = await self._invoices.GetInvoice(request)
            values = rules.corrected(invoice)
            if not values or not invoice.HasField("document"):
                return
            async with fetched(self._invoices, invoice.invoice_id) as path:
                kind, ocr = invoice.document.content_type, rules.was_recognised(invoice.readings)
                try:
                    hints = await self._extraction.learn(path, kind, values, ocr=ocr)
                except errors.DocumentUnreadable:  # it has no pages: an e-invoice
                    return
        if not hints:
            return
        name = invoice.supplier.display_name
        async with self._db.tenant(task.organization_id) as tx:
            own = await store.get_organization(tx)
            keys = rules.supplier_keys(invoice.supplier, own.tax_ids)
            supplier_id, known = await store.lock_supplier(tx, task.organization_id, keys, name)
            await store.update_hints(tx, supplier_id, merged(known, hints))
