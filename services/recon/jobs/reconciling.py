"""Reconciles an organization: what is open goes through the engine, what it finds is booked.

The engine runs in a child process and outside any transaction; what it found is looked at again,
some matches at a time, when everything that they touch is locked.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Allocation, Match

from libs import money
from libs.jobs import Permanent, Task
from libs.pg import Database, Record, Tx
from libs.sandbox import Sandbox, SandboxError, SandboxKilled

from .. import booking, rules, store
from ..errors import InvoiceSettled, TransactionMatched
from ..settings import Settings

log = logging.getLogger(__name__)

ENGINE = "services.recon.matching.exchange:reconcile_json"
# Longer than the engine may run; each step renews it.
TURN = timedelta(minutes=20)
BUSY_PAUSE = timedelta(seconds=2)
BOOKED = 25  # matches in one transaction
# What the engine has seen in a difference; the rest is what it looks like.
DIFFERENCES = {
    "ROUNDED": recon_pb2.DIFFERENCE_KIND_ROUNDING,
    "DISCOUNT": recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT,
}
CONFIRMED = recon_pb2.MATCH_STATE_CONFIRMED
PROPOSED = recon_pb2.MATCH_STATE_PROPOSED


class TurnLost(Exception):  # noqa: N818  # says what happened
    """Nothing was heard of the run for so long that another one has begun."""


@dataclass(frozen=True)
class Run:
    """One run."""

    organization_id: str
    reconciliation_id: str


@dataclass(frozen=True)
class Opened:
    """What was open when a run began."""

    transaction_ids: frozenset[str]
    # Invoice → currency.
    currencies: Mapping[str, str]
    # What the engine takes.
    data: bytes


class Reconciling:
    """Runs the task `reconcile`."""

    def __init__(self, db: Database, matchers: Sandbox, settings: Settings) -> None:
        self._db = db
        self._matchers = matchers
        self._settings = settings

    async def run(self, task: Task) -> None:
        """Reconcile, once it is this run's turn."""
        run = named_run(task)
        if not await self._begin(run, task.actor):
            return
        opened = await self._open(run)
        found = await self._match(opened)
        for n in range(0, len(found), BOOKED):
            await self._book(run, opened, found[n : n + BOOKED])
        await self._withdraw(run, opened)
        async with self._db.tenant(run.organization_id) as tx:
            await self._end(tx, run, recon_pb2.RECONCILIATION_STATE_DONE, "")

    async def failed(self, task: Task, error: Exception) -> None:
        """Say why a run has failed, and let others have their turn."""
        run = named_run(task)
        failure = str(error) if isinstance(error, Permanent) else "Something went wrong."
        async with self._db.tenant(run.organization_id) as tx:
            await self._end(tx, run, recon_pb2.RECONCILIATION_STATE_FAILED, failure)

    async def _begin(self, run: Run, actor: str) -> bool:
        """Take the organization's turn, or come again later."""
        organization_id, reconciliation_id = run.organization_id, run.reconciliation_id
        async with self._db.tenant(organization_id) as tx:
            if not await store.take_turn(tx, organization_id, reconciliation_id, TURN):
                await booking.enqueue_reconciliation(
                    tx, organization_id, reconciliation_id, actor, BUSY_PAUSE
                )
                return False
            if not await store.begin_reconciliation(tx, reconciliation_id):
                await store.delete_turn(tx, reconciliation_id)
                return False
        return True

    async def _open(self, run: Run) -> Opened:
        """Load what is open, the newest first, as much as one run takes."""
        async with self._db.tenant(run.organization_id) as tx:
            transactions = await store.list_unmatched(tx, self._settings.transactions_max)
            invoices = await store.list_open_invoices(tx, self._settings.invoices_max)
            ids = [str(row["transaction_id"]) for row in transactions]
            rejected = await store.list_rejected_pairs(tx, ids)
        extra = {"transactions": len(transactions), "invoices": len(invoices)}
        log.info("reconciliation begun", extra=extra)
        data = await asyncio.to_thread(_packed, transactions, invoices, rejected)
        currencies = {str(row["invoice_id"]): row["currency_code"] for row in invoices}
        return Opened(frozenset(ids), currencies, data)

    async def _match(self, opened: Opened) -> Sequence[Mapping[str, Any]]:
        """What the engine finds. Raises Permanent for what another attempt would not mend."""
        if not (opened.transaction_ids and opened.currencies):
            return []
        try:
            answer: bytes = await self._matchers.run(ENGINE, opened.data)
        except SandboxKilled as error:
            if error.reason == "crash":
                raise
            raise Permanent(f"Matching takes more {error.reason} than it may.") from error
        except SandboxError as error:
            if error.kind == "StartFailed":
                raise
            raise Permanent("Matching failed.") from error
        outcome = await asyncio.to_thread(orjson.loads, answer)
        found: Sequence[Mapping[str, Any]] = outcome["matches"]
        return found

    async def _book(self, run: Run, opened: Opened, found: Sequence[Mapping[str, Any]]) -> None:
        """Book some of what the engine has found, as far as it still stands."""
        transaction_ids = {each for one in found for each in one["transaction_ids"]}
        invoice_ids = {each for one in found for each in one["invoice_ids"]}
        async with self._db.tenant(run.organization_id) as tx:
            if not await store.take_turn(tx, run.organization_id, run.reconciliation_id, TURN):
                raise TurnLost(run.reconciliation_id)
            held = await booking.hold(tx, transaction_ids, invoice_ids)
            rejected = await store.list_rejected_pairs(tx, transaction_ids)
            again = []
            for one in found:
                draft = _draft(one, held, opened)
                if draft is None or not rejected.isdisjoint(rules.pairs(draft)):
                    continue
                standing = _standing(draft, held)
                again += [standing.match_id] if standing else []
                await self._book_one(tx, run, draft, one["auto"], held, standing)
            await store.update_found_again(tx, again, run.reconciliation_id)

    async def _book_one(
        self, tx: Tx, run: Run, draft: Match, auto: bool, held: booking.Held, standing: Match | None
    ) -> None:
        organization_id = run.organization_id
        try:
            if standing is None:
                state = CONFIRMED if auto else PROPOSED
                run_id = run.reconciliation_id
                await booking.make(tx, organization_id, draft, state, booking.ACTOR, held, run_id)
            elif auto:
                await booking.confirm(tx, organization_id, standing, booking.ACTOR, held)
        except (TransactionMatched, InvoiceSettled) as error:
            # Somebody was faster. It was found before anything was written, for all is locked.
            log.info("a match does not stand any more", extra={"reason": error.reason})

    async def _withdraw(self, run: Run, opened: Opened) -> None:
        """Take back the proposals that this run has looked at and not found again."""
        after: str | None = None
        while True:
            async with self._db.tenant(run.organization_id) as tx:
                stale = await store.list_stale(tx, run.reconciliation_id, after, BOOKED)
                if not stale:
                    return
                after = stale[-1][0]
                gone = [
                    match_id
                    for match_id, transaction_ids in stale
                    if not opened.transaction_ids.isdisjoint(transaction_ids)
                    or not await store.holds_any(tx, match_id)
                ]
                held = await booking.hold(tx, [], [], gone)
                for match in held.matches.values():
                    if match.state == PROPOSED:
                        await booking.withdraw(tx, run.organization_id, match)

    async def _end(self, tx: Tx, run: Run, state: int, failure: str) -> None:
        done = await store.finish_reconciliation(tx, run.reconciliation_id, state, failure)
        await store.delete_turn(tx, run.reconciliation_id)
        if done is not None:
            extra = {"confirmed": done.confirmed_count, "proposed": done.proposed_count}
            log.info("reconciliation ended", extra=extra)


def named_run(task: Task) -> Run:
    """The run that a task is about."""
    named = recon_pb2.GetReconciliationRequest.FromString(task.payload)
    return Run(task.organization_id, named.reconciliation_id)


def _packed(
    transactions: Sequence[Record], invoices: Sequence[Record], rejected: set[tuple[str, str]]
) -> bytes:
    given = {
        "transactions": [dict(row.items()) for row in transactions],
        "invoices": [dict(row.items()) for row in invoices],
        "rejected": sorted(rejected),
    }
    return orjson.dumps(given, default=str)


def _draft(one: Mapping[str, Any], held: booking.Held, opened: Opened) -> Match | None:
    """What the engine has found as a match; None if there is nothing left to be settled."""
    allocations = [
        Allocation(
            transaction_id=each["transaction_id"],
            invoice_id=each["invoice_id"],
            amount=money.to_message(
                Decimal(each["settled"]), opened.currencies[each["invoice_id"]]
            ),
        )
        for each in one["allocations"]
        if Decimal(each["settled"])
    ]
    if not allocations:
        return None
    return rules.draft(
        held.transactions,
        allocations,
        confidence=one["confidence"],
        reasons=one["reasons"],
        difference_kind=DIFFERENCES.get(one["kind"], recon_pb2.DIFFERENCE_KIND_UNSPECIFIED),
    )


def _standing(draft: Match, held: booking.Held) -> Match | None:
    """The proposal that says the same already."""
    holders = {held.transactions[each].match_id for each in rules.held_ids(draft)}
    known = held.matches.get(holders.pop()) if len(holders) == 1 else None
    if known is None or known.state != PROPOSED or rules.held_ids(known) != rules.held_ids(draft):
        return None
    return known if list(known.allocations) == list(draft.allocations) else None
