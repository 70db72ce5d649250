"""Invoices by hand: create, get, list, update."""

from dataclasses import replace

from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice

from libs.pg import Database, requests, uuid7
from libs.rpc import caller, check, encode_token, page_asked, uuid_or
from libs.rpc.pages import PageTokenInvalid

from .. import rules, store
from .changes import Context, found_by, judged, locked


class InvoicesApi:
    """What a person does with the fields of invoices."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateInvoice(
        self, request: invoice_pb2.CreateInvoiceRequest, context: Context
    ) -> Invoice:
        check(rules.invoice_violations(request.invoice))
        wanted = rules.made_by_hand(request.invoice, uuid7(), caller().actor)
        organization_id, method = caller().organization_id, "CreateInvoice"
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request.request_id, method, request, Invoice
            )
            if before is not None:
                return before
            kept = await judged(tx, store.Kept(wanted, last_editor=caller().actor))
            kept = await store.insert_invoice(tx, organization_id, kept, found_by(wanted))
            invoice, fact = kept.invoice, invoice_events_pb2.InvoiceReceived
            await store.append_fact(tx, organization_id, fact, invoice, caller().actor)
            await requests.remember(tx, organization_id, request.request_id, invoice)
        return invoice

    async def GetInvoice(self, request: invoice_pb2.GetInvoiceRequest, context: Context) -> Invoice:
        return await store.get_invoice(self._db, caller().organization_id, request.invoice_id)

    async def ListInvoices(
        self, request: invoice_pb2.ListInvoicesRequest, context: Context
    ) -> invoice_pb2.ListInvoicesResponse:
        wanted = rules.filters(request)
        size, hashed, last_id = page_asked(request, str)
        wrong = PageTokenInvalid("The page token is not valid.")
        before = None if last_id is None else uuid_or(wrong, last_id)
        found, more = await store.list_invoices(
            self._db, caller().organization_id, before=before, size=size, **vars(wanted)
        )
        page = invoice_pb2.ListInvoicesResponse(invoices=found)
        if more:
            page.next_page_token = encode_token([found[-1].invoice_id], hashed)
        return page

    async def UpdateInvoice(
        self, request: invoice_pb2.UpdateInvoiceRequest, context: Context
    ) -> Invoice:
        organization_id, given = caller().organization_id, request.invoice
        async with self._db.tenant(organization_id) as tx:
            kept = await locked(tx, given.invoice_id, given.etag)
            rules.check_in_review(kept.invoice)
            invoice = kept.invoice
            changed = rules.merge(given, invoice, request.update_mask)
            if not changed:
                return invoice
            check(rules.invoice_violations(invoice))
            rules.normalize(invoice)
            rules.person_readings(invoice, changed)
            confirmed = kept.confirmed_fields | changed
            kept = replace(kept, confirmed_fields=confirmed, last_editor=caller().actor)
            kept = await judged(tx, kept)
            kept = await store.update_invoice(tx, organization_id, kept, found_by(kept.invoice))
            fact = invoice_events_pb2.InvoiceUpdated
            await store.append_fact(tx, organization_id, fact, kept.invoice, caller().actor)
        return kept.invoice
