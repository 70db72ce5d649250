"""Takes what the agent has read."""

from dataclasses import replace
from datetime import UTC, datetime

from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice

from libs.pg import Database, Tx, savepoint
from libs.rpc import caller, check

from .. import errors, rules, store
from .changes import Context, found_by, judged

BY_POLICY = "policy"


class ReadingsApi:
    """What a job says about an invoice; saying it again changes nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordReading(
        self, request: invoice_pb2.RecordReadingRequest, context: Context
    ) -> Invoice:
        check(rules.reading_violations(request))
        organization_id = caller().organization_id
        async with self._db.tenant(organization_id) as tx:
            kept = await store.lock_invoice(tx, request.invoice_id)
            if not request.job_id or request.job_id != kept.invoice.job_id:
                raise errors.InvoiceNotFound("There is no such invoice of this job.")
            invoice = rules.after_reading(kept.invoice, request, kept.confirmed_fields)
            warnings = rules.reading_warnings(kept.invoice, request, kept.reading_warnings)
            if (invoice, warnings) == (kept.invoice, kept.reading_warnings):
                return kept.invoice
            check(rules.invoice_violations(invoice))
            kept = await judged(tx, replace(kept, invoice=invoice, reading_warnings=warnings))
            kept = await store.update_invoice(tx, organization_id, kept, found_by(kept.invoice))
            fact = invoice_events_pb2.InvoiceExtracted
            await store.append_fact(tx, organization_id, fact, kept.invoice, caller().actor)
            if request.needs_review:
                return kept.invoice
            return await self._approved_by_policy(tx, kept)

    async def _approved_by_policy(self, tx: Tx, kept: store.Kept) -> Invoice:
        """Approve what the policy trusts; whatever speaks against it leaves it to a person."""
        organization_id = caller().organization_id
        policy = await store.get_policy(tx, organization_id)
        if not rules.is_trusted(kept.invoice, policy, kept.confirmed_fields):
            return kept.invoice
        invoice = Invoice()
        invoice.CopyFrom(kept.invoice)
        state = invoice_pb2.INVOICE_STATE_APPROVED
        reason = f"read with a confidence of at least {policy.auto_approve_confidence:g}"
        rules.decide(invoice, state, BY_POLICY, reason, datetime.now(UTC))
        try:
            async with savepoint(tx):
                invoice = await store.update_state(tx, invoice)
        except errors.InvoiceDuplicate:  # its twin was approved while this was read
            return kept.invoice
        fact = invoice_events_pb2.InvoiceApproved
        await store.append_fact(tx, organization_id, fact, invoice, caller().actor)
        return invoice
