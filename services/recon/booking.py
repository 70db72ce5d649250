"""Books matches and takes them back: what a decision does to transactions and open invoices."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from auditron.recon.v1 import recon_events_pb2, recon_pb2
from auditron.recon.v1.recon_pb2 import Match, Transaction

from libs.events import append
from libs.jobs import enqueue
from libs.pg import Tx, uuid7

from . import errors, rules, store
from .matching import Invoice

ACTOR = "service:recon"
RECONCILE = "reconcile"
PAUSE = timedelta(seconds=0.25)
FACTS = {
    recon_pb2.MATCH_STATE_PROPOSED: recon_events_pb2.MatchProposed,
    recon_pb2.MATCH_STATE_CONFIRMED: recon_events_pb2.MatchConfirmed,
    recon_pb2.MATCH_STATE_REJECTED: recon_events_pb2.MatchRejected,
    recon_pb2.MATCH_STATE_UNDONE: recon_events_pb2.MatchUndone,
}


@dataclass(frozen=True)
class Held:
    """Rows that are locked: matches, transactions (theirs too), and invoices that stand.

    Matches and transactions follow what is made of them here.
    """

    matches: dict[str, Match]
    transactions: Mapping[str, Transaction]
    invoices: Mapping[str, Invoice]


async def hold(
    tx: Tx,
    transaction_ids: Collection[str],
    invoice_ids: Collection[str],
    match_ids: Collection[str] = (),
) -> Held:
    """Lock matches, transactions and invoices, each in the order of their ids.

    Locked with them are the proposals that hold the transactions, and what else those hold.
    """
    holders = await store.list_holders(tx, transaction_ids)
    matches = await store.lock_matches(tx, {*holders, *match_ids})
    transactions = await store.lock_transactions(tx, transaction_ids, matches)
    return Held(matches, transactions, await store.lock_invoices(tx, invoice_ids))


async def make(
    tx: Tx,
    organization_id: str,
    draft: Match,
    state: recon_pb2.MatchState,
    actor: str,
    held: Held,
    reconciliation_id: str | None = None,
) -> Match:
    """Make a match PROPOSED, or CONFIRMED at once; proposals in its way are withdrawn.

    Everything that it touches is held. Raises TransactionMatched, InvoiceSettled.
    """
    rules.check_free(draft, held.transactions, held.invoices)
    in_the_way = {held.transactions[each].match_id for each in rules.held_ids(draft)} - {""}
    for match_id in sorted(in_the_way & held.matches.keys()):
        if held.matches[match_id].state == recon_pb2.MATCH_STATE_PROPOSED:
            await withdraw(tx, organization_id, held.matches.pop(match_id))
    wanted = Match()
    wanted.CopyFrom(draft)
    wanted.MergeFrom(Match(match_id=uuid7(), state=state, actor=actor))
    wanted.account_code = await store.get_account_code(tx, draft.bank_account_id)
    match = await store.insert_match(tx, organization_id, wanted, reconciliation_id)
    await _take(tx, match, held)
    await _publish(tx, organization_id, match)
    return match


async def confirm(tx: Tx, organization_id: str, match: Match, actor: str, held: Held) -> Match:
    """Let a proposal count. It is held, as what it touches. Raises as `make`."""
    rules.check_free(match, held.transactions, held.invoices)
    state = recon_pb2.MATCH_STATE_CONFIRMED
    match = await store.update_match(tx, match.match_id, state, actor)
    await _take(tx, match, held)
    await _publish(tx, organization_id, match)
    return match


async def reject(tx: Tx, organization_id: str, match: Match, actor: str) -> Match:
    """Refuse a proposal for good: its pairs do not come again."""
    await store.insert_rejected_pairs(tx, organization_id, rules.pairs(match))
    return await _end(tx, organization_id, match, recon_pb2.MATCH_STATE_REJECTED, actor)


async def withdraw(tx: Tx, organization_id: str, match: Match) -> Match:
    """Take back a proposal that something better has replaced; its pairs may come again."""
    return await _end(tx, organization_id, match, recon_pb2.MATCH_STATE_REJECTED, ACTOR)


async def undo(tx: Tx, organization_id: str, match: Match, actor: str) -> Match:
    """Let a match that counted do so no more; its pairs do not come again."""
    await store.insert_rejected_pairs(tx, organization_id, rules.pairs(match))
    await store.unsettle_invoices(tx, match.match_id)
    return await _end(tx, organization_id, match, recon_pb2.MATCH_STATE_UNDONE, actor)


async def request_reconciliation(
    tx: Tx, organization_id: str, actor: str = ACTOR
) -> recon_pb2.Reconciliation:
    """Have the organization reconciled soon: the run that waits, else a new one.

    The run sees whatever this transaction commits.
    """
    run, is_new = await store.upsert_reconciliation(tx, organization_id)
    if is_new:
        await enqueue_reconciliation(tx, organization_id, run.reconciliation_id, actor)
    return run


async def enqueue_reconciliation(
    tx: Tx, organization_id: str, reconciliation_id: str, actor: str, pause: timedelta | None = None
) -> None:
    """Have a run begin after a pause in which more may come together."""
    payload = recon_pb2.GetReconciliationRequest(reconciliation_id=reconciliation_id)
    await enqueue(
        tx,
        RECONCILE,
        payload,
        organization_id=organization_id,
        run_time=datetime.now(UTC) + (pause or PAUSE),
        actor=actor,
    )


async def _take(tx: Tx, match: Match, held: Held) -> None:
    """Give a match its transactions, and if it counts, what it settles of its invoices."""
    confirmed = match.state == recon_pb2.MATCH_STATE_CONFIRMED
    state = (
        recon_pb2.TRANSACTION_STATE_MATCHED if confirmed else recon_pb2.TRANSACTION_STATE_PROPOSED
    )
    wanted = rules.held_ids(match)
    if await store.hold_transactions(tx, match.match_id, wanted, state) != len(wanted):
        raise errors.TransactionMatched("A confirmed match holds a transaction.")
    if confirmed and await store.settle_invoices(tx, match.match_id) != len(rules.claims(match)):
        raise errors.InvoiceSettled("An invoice does not stand approved.")
    held.matches[match.match_id] = match
    for each in wanted:
        held.transactions[each].MergeFrom(Transaction(match_id=match.match_id, state=state))


async def _end(
    tx: Tx, organization_id: str, match: Match, state: recon_pb2.MatchState, actor: str
) -> Match:
    await store.release_transactions(tx, match.match_id)
    match = await store.update_match(tx, match.match_id, state, actor)
    await _publish(tx, organization_id, match)
    return match


async def _publish(tx: Tx, organization_id: str, match: Match) -> None:
    await append(
        tx,
        organization_id=organization_id,
        aggregate_type="match",
        aggregate_id=match.match_id,
        aggregate_version=int(match.etag),
        payload=FACTS[match.state](match=match),
        actor=match.actor,
    )
