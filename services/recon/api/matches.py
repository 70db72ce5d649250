"""Matches: made by hand, confirmed, rejected and undone."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Match
from google.protobuf.message import Message

from libs.pg import Database, Tx, requests
from libs.rpc import caller, check, is_uuid, page_asked, page_of

from .. import booking, errors, rules, store

Context = grpc.aio.ServicerContext[Any, Any]
Decide = Callable[[Tx, Match, booking.Held], Awaitable[Match]]
DIFFERENCE_KINDS = recon_pb2.DifferenceKind.values()
MATCH_STATES = recon_pb2.MatchState.values()
# So much is said of a match that a person has made.
BY_HAND = "Matched by hand."


class MatchesApi:
    """Transactions and invoices that belong together."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetMatch(self, request: recon_pb2.GetMatchRequest, context: Context) -> Match:
        _check_id(request.match_id)
        return await store.get_match(self._db, caller().organization_id, request.match_id)

    async def ListMatches(
        self, request: recon_pb2.ListMatchesRequest, context: Context
    ) -> recon_pb2.ListMatchesResponse:
        check(rules.filter_violations("", request.state, MATCH_STATES))
        size, filters, before = page_asked(request, str)
        found = await store.list_matches(
            self._db, caller().organization_id, request.state, before, size + 1
        )
        page, token = page_of(found, size, filters, lambda last: [last.match_id])
        return recon_pb2.ListMatchesResponse(matches=page, next_page_token=token)

    async def CreateMatch(self, request: recon_pb2.CreateMatchRequest, context: Context) -> Match:
        allocations = rules.canonical(request.allocations)
        if request.difference_kind not in DIFFERENCE_KINDS:
            check([("difference_kind", "must be a kind of difference")])
        transaction_ids = {each.transaction_id for each in allocations}
        invoice_ids = {each.invoice_id for each in allocations}
        organization_id, actor = caller().organization_id, caller().actor

        async def create(tx: Tx) -> Match:
            held = await booking.hold(tx, transaction_ids, invoice_ids)
            if not transaction_ids <= held.transactions.keys():
                raise errors.TransactionNotFound("There is no such transaction.")
            if not invoice_ids <= held.invoices.keys():
                raise errors.InvoiceNotOpen("There is no such open invoice.")
            rules.check_by_hand(allocations, held.transactions, held.invoices)
            draft = rules.draft(
                held.transactions,
                allocations,
                confidence=1,
                reasons=[BY_HAND],
                difference_kind=request.difference_kind,
            )
            rules.check_kind(draft, request.difference_kind)
            await store.delete_rejected_pairs(tx, rules.pairs(draft))
            state = recon_pb2.MATCH_STATE_CONFIRMED
            match = await booking.make(tx, organization_id, draft, state, actor, held)
            await self._tidy(tx, match)
            return match

        return await self._once(request, "CreateMatch", create)

    async def ConfirmMatch(self, request: recon_pb2.ConfirmMatchRequest, context: Context) -> Match:
        async def confirm(tx: Tx, match: Match, held: booking.Held) -> Match:
            _check_proposed(match)
            confirmed = await booking.confirm(
                tx, caller().organization_id, match, caller().actor, held
            )
            await self._tidy(tx, confirmed)
            return confirmed

        return await self._decide(request, "ConfirmMatch", confirm)

    async def RejectMatch(self, request: recon_pb2.RejectMatchRequest, context: Context) -> Match:
        async def reject(tx: Tx, match: Match, _: booking.Held) -> Match:
            _check_proposed(match)
            return await booking.reject(tx, caller().organization_id, match, caller().actor)

        return await self._decide(request, "RejectMatch", reject)

    async def UndoMatch(self, request: recon_pb2.UndoMatchRequest, context: Context) -> Match:
        async def undo(tx: Tx, match: Match, _: booking.Held) -> Match:
            if match.state != recon_pb2.MATCH_STATE_CONFIRMED:
                raise errors.MatchNotConfirmed("Only a confirmed match can be undone.")
            return await booking.undo(tx, caller().organization_id, match, caller().actor)

        return await self._decide(request, "UndoMatch", undo)

    async def _decide(
        self,
        request: recon_pb2.ConfirmMatchRequest
        | recon_pb2.RejectMatchRequest
        | recon_pb2.UndoMatchRequest,
        method: str,
        decide: Decide,
    ) -> Match:
        """Decide about a match that is locked with all that it touches."""
        _check_id(request.match_id)
        known = await store.get_match(self._db, caller().organization_id, request.match_id)
        transaction_ids, invoice_ids = rules.held_ids(known), rules.claims(known).keys()

        async def decided(tx: Tx) -> Match:
            held = await booking.hold(tx, transaction_ids, invoice_ids, [known.match_id])
            return await decide(tx, held.matches[known.match_id], held)

        return await self._once(request, method, decided)

    async def _once(
        self, request: Any, method: str, work: Callable[[Tx], Awaitable[Match]]
    ) -> Match:
        """Do the work in a transaction; a request that was answered before is answered the same."""
        organization_id, message = caller().organization_id, request
        assert isinstance(message, Message)
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request.request_id, method, message, Match
            )
            if before is not None:
                return before
            match = await work(tx)
            await requests.remember(tx, organization_id, request.request_id, match)
        return match

    async def _tidy(self, tx: Tx, match: Match) -> None:
        """Where other proposals wanted the same, a run takes back what does not stand any more."""
        if await store.has_rivals(tx, match.match_id):
            await booking.request_reconciliation(tx, caller().organization_id)


def _check_id(match_id: str) -> None:
    if not is_uuid(match_id):
        raise errors.MatchNotFound("There is no such match.")


def _check_proposed(match: Match) -> None:
    if match.state != recon_pb2.MATCH_STATE_PROPOSED:
        raise errors.MatchNotProposed("The match does not wait for a decision.")
