"""Decisions about an invoice: approve, reject, reopen."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice

from libs.pg import Database, Tx, requests
from libs.rpc import caller, check

from .. import errors, rules, store
from .changes import APPROVED, Context, duplicate_of, locked

Decide = Callable[[Tx, store.Kept], Awaitable[None]]


class DecisionsApi:
    """Moves invoices from state to state by a person's decision."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ApproveInvoice(
        self, request: invoice_pb2.ApproveInvoiceRequest, context: Context
    ) -> Invoice:
        async def approve(tx: Tx, kept: store.Kept) -> None:
            rules.check_in_review(kept.invoice)
            policy = await store.get_policy(tx, caller().organization_id)
            rules.check_approvable(
                kept.invoice,
                actor=caller().actor,
                last_editor=kept.last_editor,
                second_person_required=policy.second_person_required,
            )
            if other := await duplicate_of(tx, kept.invoice, APPROVED):
                raise errors.InvoiceDuplicate(
                    "An invoice of the same counterparty and number is approved.", invoice_id=other
                )
            state = invoice_pb2.INVOICE_STATE_APPROVED
            rules.decide(kept.invoice, state, caller().actor, "", datetime.now(UTC))

        fact = invoice_events_pb2.InvoiceApproved
        return await self._decided("ApproveInvoice", request, approve, fact)

    async def RejectInvoice(
        self, request: invoice_pb2.RejectInvoiceRequest, context: Context
    ) -> Invoice:
        async def reject(_: Tx, kept: store.Kept) -> None:
            rules.check_in_review(kept.invoice)
            state = invoice_pb2.INVOICE_STATE_REJECTED
            rules.decide(kept.invoice, state, caller().actor, request.reason, datetime.now(UTC))

        check(rules.reason_violations(request.reason))
        fact = invoice_events_pb2.InvoiceRejected
        return await self._decided("RejectInvoice", request, reject, fact)

    async def ReopenInvoice(
        self, request: invoice_pb2.ReopenInvoiceRequest, context: Context
    ) -> Invoice:
        async def reopen(_: Tx, kept: store.Kept) -> None:
            rules.check_reopenable(kept.invoice)
            state = invoice_pb2.INVOICE_STATE_IN_REVIEW
            rules.decide(kept.invoice, state, caller().actor, request.reason, datetime.now(UTC))

        check(rules.reason_violations(request.reason))
        fact = invoice_events_pb2.InvoiceReopened
        return await self._decided("ReopenInvoice", request, reopen, fact)

    async def _decided(self, method: str, request: Any, decide: Decide, fact: Any) -> Invoice:
        """Decide once about the invoice of a request; a repeated request has the first answer."""
        organization_id, request_id = caller().organization_id, request.request_id
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(tx, organization_id, request_id, method, request, Invoice)
            if before is not None:
                return before
            kept = await locked(tx, request.invoice_id, request.etag)
            await decide(tx, kept)
            invoice = await store.update_state(tx, kept.invoice)
            await store.append_fact(tx, organization_id, fact, invoice, caller().actor)
            await requests.remember(tx, organization_id, request_id, invoice)
        return invoice
