"""Posts the facts of others, each once, in whatever order their logs bring them.

Every handler locks the ledger first. A fact that lacks something waits as a posting rejection, with
its event; whoever brings what it lacks posts it in the same transaction. What many facts may wait
for, the ledger and exchange rates, has them posted by a task.
"""

from collections.abc import Sequence
from datetime import UTC, date

from auditron.auth.v1.auth_events_pb2 import OrganizationCreated, OrganizationUpdated
from auditron.event.v1.event_pb2 import Event
from auditron.invoice.v1.invoice_events_pb2 import InvoiceApproved, InvoiceReopened
from auditron.invoice.v1.invoice_pb2 import Invoice
from auditron.recon.v1.recon_events_pb2 import MatchConfirmed, MatchUndone
from auditron.recon.v1.recon_pb2 import Match
from auditron.reporting.v1.reporting_events_pb2 import JournalEntryPosted, PostingRejected
from auditron.reporting.v1.reporting_pb2 import JournalEntry, PostingRejection
from google.protobuf.wrappers_pb2 import StringValue

from libs.events import append
from libs.jobs import Task
from libs.pg import Database, Record, Tx

from ..rules import chart
from ..rules.invoices import (
    Draft,
    Rates,
    Unpostable,
    amounts_of,
    check_complete,
    counterparty_of,
    due_date_of,
    invoice_entry,
)
from ..rules.matches import Item, currencies_of, match_entry, settled_of
from ..rules.requests import to_date
from ..store import entries, items, organizations, rejections

RATE_DAYS_BACK = 10
WAITING_PAGE = 100
# Reasons that pass by themselves, when another service's fact arrives: nobody has to be told.
PASSING = frozenset({"LEDGER_NOT_READY", "INVOICE_NOT_POSTED", "EARLIER_MATCH_WAITS"})


async def organization_created(tx: Tx, event: Event, fact: OrganizationCreated) -> None:
    """Open the ledger, with its chart of accounts."""
    organization, organization_id = fact.organization, event.organization_id
    await organizations.lock_ledger(tx, organization_id)
    await organizations.insert_organization(
        tx,
        organization_id,
        organization.display_name,
        organization.base_currency_code,
        event.aggregate_version,
    )
    await organizations.insert_accounts(tx, organization_id, chart.chart())
    if await rejections.list_waiting(tx, "ledger", limit=1):
        await rejections.insert_posting(tx, organization_id, "ledger", event.actor)


async def organization_updated(tx: Tx, event: Event, fact: OrganizationUpdated) -> None:
    """Follow the organization's name."""
    await organizations.update_organization(
        tx, event.organization_id, fact.organization.display_name, event.aggregate_version
    )


async def invoice_approved(tx: Tx, event: Event, fact: InvoiceApproved) -> None:
    """Post an invoice, and the matches that waited for it."""
    await organizations.lock_ledger(tx, event.organization_id)
    await post_awaiting(tx, await post_invoice(tx, event, fact.invoice))


async def invoice_reopened(tx: Tx, event: Event, fact: InvoiceReopened) -> None:
    """Reverse what the invoice's approval has posted."""
    invoice_id = fact.invoice.invoice_id
    await organizations.lock_ledger(tx, event.organization_id)
    await rejections.delete_rejection(tx, "invoice", invoice_id, event.aggregate_version)
    await items.reopen_item(tx, invoice_id, event.aggregate_version)
    await reverse(tx, event, "invoice", invoice_id)


async def match_confirmed(tx: Tx, event: Event, fact: MatchConfirmed) -> None:
    """Post a match."""
    await organizations.lock_ledger(tx, event.organization_id)
    await post_awaiting(tx, await post_match(tx, event, fact.match))


async def match_undone(tx: Tx, event: Event, fact: MatchUndone) -> None:
    """Reverse a match; one that still waited leaves the way free for those behind it."""
    match_id = fact.match.match_id
    await organizations.lock_ledger(tx, event.organization_id)
    met = await rejections.delete_rejection(tx, "match", match_id, event.aggregate_version)
    await reverse(tx, event, "match", match_id)
    await post_awaiting(tx, met)


class Waiting:
    """The task that posts what was rejected for want of a ledger or an exchange rate."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def post(self, task: Task) -> None:
        """Post what waits for the task's need, some at a time."""
        need, after = StringValue.FromString(task.payload).value, 0
        while True:
            async with self._db.tenant(task.organization_id) as tx:
                await organizations.lock_ledger(tx, task.organization_id)
                page = await rejections.list_waiting(tx, need, after, WAITING_PAGE)
                for row in page:
                    await post_awaiting(tx, await post_again(tx, row))
            if len(page) < WAITING_PAGE:
                return
            after = page[-1]["sequence"]


async def post_awaiting(tx: Tx, needs: Sequence[str]) -> None:
    """Post what waited for any of this, and what waited for that in turn."""
    left = list(needs)
    while left:  # each round posts a fact, or has one need less
        for row in await rejections.list_waiting(tx, left.pop()):
            left += await post_again(tx, row)


async def post_again(tx: Tx, row: Record) -> Sequence[str]:
    """Try again what has waited; return what it has brought for others."""
    event = Event.FromString(row["event"])
    if event.payload.type_url.endswith(MatchConfirmed.DESCRIPTOR.full_name):
        return await post_match(tx, event, MatchConfirmed.FromString(event.payload.value).match)
    fact = InvoiceApproved.FromString(event.payload.value)
    return await post_invoice(tx, event, fact.invoice)


async def post_invoice(tx: Tx, event: Event, invoice: Invoice) -> Sequence[str]:
    """Post an approved invoice or let it wait; return what others may have waited for."""
    source, invoice_id = ("invoice", invoice.invoice_id), invoice.invoice_id
    place = await organizations.get_place(tx, *source, invoice.account_code, invoice_id)
    if place is not None and (place["version"] or 0) >= event.aggregate_version:
        return ()
    try:
        check_complete(invoice)
        rates = await find_rates(
            tx, event, place, {invoice.gross.currency_code}, to_date(invoice.issue_date)
        )
        assert place is not None, "there are no rates without a ledger"
        is_known = place["account_type"] is not None
        draft, gross_base = invoice_entry(invoice, rates, is_known)
    except Unpostable as problem:
        return await reject(tx, event, source, problem)
    await post(tx, event, draft)
    amounts = amounts_of(invoice)
    await items.upsert_item(
        tx,
        event.organization_id,
        invoice_id,
        event.aggregate_version,
        direction=invoice.direction,
        document_type=invoice.document_type,
        invoice_number=invoice.invoice_number,
        counterparty=counterparty_of(invoice),
        due_date=due_date_of(invoice),
        currency_code=amounts.currency_code,
        gross=amounts.gross,
        tax=amounts.tax,
        gross_base=gross_base,
    )
    await _settle(tx, event, source, place)
    return [f"invoice:{invoice_id}"] if place["is_awaited"] else ()


async def post_match(tx: Tx, event: Event, match: Match) -> Sequence[str]:
    """Post a confirmed match or let it wait; return what others may have waited for."""
    source = ("match", match.match_id)
    place = await organizations.get_place(tx, *source, match.account_code)
    if place is not None and (place["version"] or 0) >= event.aggregate_version:
        return ()
    try:
        settled = settled_of(match)
        needs = [f"invoice:{invoice_id}" for invoice_id in settled]
        rates = await find_rates(
            tx, event, place, currencies_of(match), to_date(match.posting_date), needs
        )
        assert place is not None, "there are no rates without a ledger"
        found = await items.list_items(
            tx, list(settled), place["sequence"], (chart.PAYABLES, chart.RECEIVABLES)
        )
        if len(found) < len(settled):
            message = f"{len(settled) - len(found)} of its invoices are not posted."
            raise Unpostable("INVOICE_NOT_POSTED", message, needs)
        if any(row["is_blocked"] for row in found):
            message = "An earlier match of the same invoice waits."
            raise Unpostable("EARLIER_MATCH_WAITS", message, needs)
        is_bank = place["account_type"] in (chart.ASSET, chart.LIABILITY)
        draft = match_entry(match, [_item(row) for row in found], rates, is_bank)
    except Unpostable as problem:
        return await reject(tx, event, source, problem)
    await post(tx, event, draft)
    return await _settle(tx, event, source, place)


async def find_rates(
    tx: Tx,
    event: Event,
    place: Record | None,
    currencies: set[str],
    day: date | None,
    needs: Sequence[str] = (),
) -> Rates:
    """The rates of a day. Unpostable, with the needs, if one is missing or there are no books."""
    if place is None:
        message = "The organization is not known yet."
        raise Unpostable("LEDGER_NOT_READY", message, ["ledger", *needs])
    base, found = place["base_currency_code"], {}
    assert day is not None, "checked before"
    occurred = event.occur_time.ToDatetime(tzinfo=UTC)
    for currency in sorted(currencies - {base}):
        rate = await organizations.get_rate(tx, currency, day, occurred, RATE_DAYS_BACK)
        if rate is None:
            message = (
                f"There is no exchange rate of {currency} for {day}, nor for the "
                f"{RATE_DAYS_BACK} days before."
            )
            raise Unpostable("EXCHANGE_RATE_MISSING", message, [f"rate:{currency}", *needs])
        found[currency] = rate
    return Rates(base, found)


async def post(tx: Tx, event: Event, draft: Draft) -> None:
    """Post an entry and say so; one that would move nothing is left out."""
    if len(draft.entry.postings) < 2:
        return
    made = await entries.insert_entry(
        tx, event.organization_id, draft.entry, draft.invoice_ids, event.aggregate_version
    )
    await _announce(tx, event, made)


async def reverse(tx: Tx, event: Event, source_type: str, source_id: str) -> None:
    """Reverse the entry of a source that stands, unless it is younger than the event."""
    standing = await entries.get_standing_entry(tx, source_type, source_id)
    if standing is None or standing["source_version"] >= event.aggregate_version:
        return
    made = await entries.insert_reversal(
        tx, event.organization_id, standing["number"], event.aggregate_version
    )
    await _announce(tx, event, made)


async def reject(
    tx: Tx, event: Event, source: tuple[str, str], problem: Unpostable
) -> Sequence[str]:
    """Let a fact wait for its needs, and say so where a person has to act; it brings nothing."""
    rejection, is_new = await rejections.upsert_rejection(
        tx,
        event,
        PostingRejection(
            source_type=source[0],
            source_id=source[1],
            reason=problem.reason,
            message=str(problem),
        ),
        problem.needs,
    )
    if is_new and problem.reason not in PASSING:
        await append(
            tx,
            organization_id=event.organization_id,
            aggregate_type="posting_rejection",
            aggregate_id=source[1],
            aggregate_version=event.aggregate_version,
            payload=PostingRejected(posting_rejection=rejection),
            actor=event.actor,
        )
    return ()


async def _settle(tx: Tx, event: Event, source: tuple[str, str], place: Record) -> Sequence[str]:
    """Take a fact that is posted from among those that wait; return what stood behind it."""
    if place["sequence"] is None:
        return ()
    return await rejections.delete_rejection(tx, *source, event.aggregate_version + 1)


async def _announce(tx: Tx, event: Event, entry: JournalEntry) -> None:
    await append(
        tx,
        organization_id=event.organization_id,
        aggregate_type="journal_entry",
        aggregate_id=entry.journal_entry_id,
        aggregate_version=1,
        payload=JournalEntryPosted(journal_entry=entry),
        actor=event.actor,
    )


def _item(row: Record) -> Item:
    values = dict(row.items())
    values.pop("is_blocked")
    return Item(**values)
