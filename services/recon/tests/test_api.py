"""Every RPC of ReconService, over real gRPC."""

import asyncio
import importlib.resources
import json
from datetime import timedelta
from decimal import Decimal

import grpc
import pytest
from auditron.invoice.v1 import invoice_pb2
from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import (
    Allocation,
    BankAccount,
    ConfirmMatchRequest,
    CreateBankAccountRequest,
    CreateMatchRequest,
    CreateReconciliationRequest,
    GetBankAccountRequest,
    GetMatchRequest,
    GetReconciliationRequest,
    GetStatementRequest,
    ImportStatementRequest,
    ListBankAccountsRequest,
    ListMatchesRequest,
    ListStatementsRequest,
    ListTransactionsRequest,
    Match,
    RejectMatchRequest,
    UndoMatchRequest,
)

from libs.pg import uuid7
from libs.testkit import eventually
from services.recon import booking, errors, rules
from services.recon.api import statements
from services.recon.tests.conftest import DAY, IBAN, Books, Stub, csv, eur, refusal

PROPOSED, CONFIRMED = recon_pb2.MATCH_STATE_PROPOSED, recon_pb2.MATCH_STATE_CONFIRMED
REJECTED, UNDONE = recon_pb2.MATCH_STATE_REJECTED, recon_pb2.MATCH_STATE_UNDONE
OPEN = recon_pb2.TRANSACTION_STATE_OPEN
CHARGE = recon_pb2.DIFFERENCE_KIND_BANK_CHARGE
PAYABLE = invoice_pb2.DIRECTION_PAYABLE
CREDIT_NOTE = invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE


def allocation(transaction: recon_pb2.Transaction | str, invoice_id: str, amount: str, **more: str):
    key = transaction if isinstance(transaction, str) else transaction.transaction_id
    return Allocation(transaction_id=key, invoice_id=invoice_id, amount=eur(amount, **more))


def create(books: Books, *allocations: Allocation, **more: str):
    return books.client.CreateMatch(CreateMatchRequest(allocations=allocations, **more))


def confirm(books: Books, match: Match, **more: str):
    return books.client.ConfirmMatch(ConfirmMatchRequest(match_id=match.match_id, **more))


def reject(books: Books, match: Match):
    return books.client.RejectMatch(RejectMatchRequest(match_id=match.match_id))


def undo(books: Books, match: Match):
    return books.client.UndoMatch(UndoMatchRequest(match_id=match.match_id))


async def paid(books: Books, *amounts: str) -> list[recon_pb2.Transaction]:
    """Transactions of these amounts on a new account, with texts that say nothing."""
    account = await books.account()
    lines = [(DAY, amount, f"Somebody {n}", f"line {n}") for n, amount in enumerate(amounts)]
    await books.imported(account, csv(*lines))
    await books.settled()
    found = await books.transactions(bank_account_id=account.bank_account_id)
    return sorted(found, key=lambda each: each.remittance_text)


async def proposal(books: Books, transaction: recon_pb2.Transaction, invoice_id: str, amount: str):
    """A proposal as a run would make it."""
    async with books.recon.runtime.db.tenant(books.organization_id) as tx:
        held = await booking.hold(tx, [transaction.transaction_id], [invoice_id])
        draft = rules.draft(
            held.transactions, [allocation(transaction, invoice_id, amount)],
            confidence=0.5, reasons=["Because."],
        )  # fmt: skip
        return await booking.make(
            tx, books.organization_id, draft, PROPOSED, booking.ACTOR, held, uuid7()
        )


# Bank accounts.


async def test_a_bank_account_is_made_got_and_listed(books):
    made = await books.account(iban="de02 1203 0000 0000 2020 51")
    assert made.iban == IBAN
    assert made.create_time.seconds
    request = GetBankAccountRequest(bank_account_id=made.bank_account_id)
    assert await books.client.GetBankAccount(request) == made
    other = await books.account(display_name="Second", currency_code="USD", account_code="")
    listed = await books.client.ListBankAccounts(ListBankAccountsRequest())
    assert (list(listed.bank_accounts), listed.next_page_token) == ([made, other], "")
    third = await books.account()
    request = ListBankAccountsRequest(page_size=2)
    page = await books.client.ListBankAccounts(request)
    assert list(page.bank_accounts) == [made, other]
    request.page_token = page.next_page_token
    page = await books.client.ListBankAccounts(request)
    assert (list(page.bank_accounts), page.next_page_token) == ([third], "")
    request.page_token = "x"
    assert await refusal(books.client.ListBankAccounts(request)) == "PAGE_TOKEN_INVALID"


async def test_an_iban_has_one_account_in_an_organization(books, others):
    await books.account(iban=IBAN)
    assert await refusal(books.account(iban=IBAN.lower())) == "BANK_ACCOUNT_EXISTS"
    await others.account(iban=IBAN)
    await books.account()
    await books.account()


@pytest.mark.parametrize(
    "wrong",
    [
        {"display_name": " "}, {"display_name": "x" * 201}, {"iban": "DE02120300000000202052"},
        {"currency_code": "EURO"}, {"currency_code": ""}, {"account_code": "18 00"},
    ],
)  # fmt: skip
async def test_a_wrong_bank_account_names_its_field(books, wrong):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await books.account(**wrong)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert next(iter(wrong)) in str(caught.value.trailing_metadata())


async def test_a_request_id_makes_one_bank_account(books):
    account = BankAccount(display_name="One", currency_code="EUR")
    request = CreateBankAccountRequest(bank_account=account, request_id=uuid7())
    one, other = await asyncio.gather(*(books.client.CreateBankAccount(request) for _ in range(2)))
    assert one == other
    request.bank_account.display_name = "Another"
    assert await refusal(books.client.CreateBankAccount(request)) == "REQUEST_ID_REUSED"


# Statements.


async def test_an_upload_is_answered_at_once_and_imported(books):
    account = await books.account(iban=IBAN)
    data = csv((DAY, "119,00", "Muster", "RE 1"), (DAY, "-8,90", "", "fee"))
    sent = await books.send(account, data, filename="march.csv")
    assert (sent.state, sent.filename) == (recon_pb2.STATEMENT_STATE_IMPORTING, "march.csv")
    assert sent.size_bytes == len(data)
    done = await eventually(
        lambda: books.statement(sent.statement_id), lambda each: each.state != sent.state
    )
    assert (done.state, done.format) == (recon_pb2.STATEMENT_STATE_IMPORTED, "CSV")
    found = await books.transactions()
    assert [each.amount for each in found] == [eur("-8.90"), eur("119.00")]
    assert {each.state for each in found} == {OPEN}
    assert {each.statement_id for each in found} == {sent.statement_id}


async def test_an_upload_is_refused_for_what_shows_from_outside(books, monkeypatch):
    account = await books.account()
    monkeypatch.setattr(statements, "SIZE_BYTES_MAX", 1000)
    assert await refusal(books.send(account, b"")) == "STATEMENT_EMPTY"
    assert await refusal(books.send(account, b"x" * 1001)) == "STATEMENT_TOO_LARGE"
    assert await refusal(books.send(account, b"%PDF-1.7")) == "STATEMENT_FORMAT_UNSUPPORTED"
    nobody = BankAccount(bank_account_id=uuid7())
    assert await refusal(books.send(nobody, b"x")) == "BANK_ACCOUNT_NOT_FOUND"
    nobody.bank_account_id = "x"
    assert await refusal(books.send(nobody, b"x")) == "BANK_ACCOUNT_NOT_FOUND"
    assert await refusal(books.send(account, b"x", filename="x" * 201)) == "INVALID_ARGUMENT"
    listed = await books.client.ListStatements(ListStatementsRequest())
    assert not listed.statements


@pytest.mark.parametrize("parts", ["none", "chunk first", "two headers", "large chunk"])
async def test_an_upload_is_a_header_and_chunks(books, parts):
    account = await books.account()
    header = ImportStatementRequest(
        header=ImportStatementRequest.Header(bank_account_id=account.bank_account_id)
    )
    chunk = ImportStatementRequest(chunk=b"x")
    sent = {
        "none": [], "chunk first": [chunk], "two headers": [header, header],
        "large chunk": [header, ImportStatementRequest(chunk=b"x" * (256 * 1024 + 1))],
    }[parts]  # fmt: skip
    assert await refusal(books.client.ImportStatement(iter(sent))) == "INVALID_ARGUMENT"


async def test_a_request_id_makes_one_statement_and_one_object(books):
    account, request_id = await books.account(), uuid7()
    data = csv((DAY, "1,00", "A", "B"))
    first = await books.send(account, data, request_id=request_id)
    assert await books.send(account, data, request_id=request_id) == first
    other = books.send(account, data + b"\n", request_id=request_id)
    assert await refusal(other) == "REQUEST_ID_REUSED"
    prefix = f"statements/{books.organization_id}/"
    keys = [blob.key async for blob in books.recon.runtime.blobs.list(prefix)]
    assert f"{prefix}{first.statement_id}" in keys
    assert len(keys) <= 2  # what was sent with the wrong id is swept later


async def test_lists_go_on_page_by_page(books):
    account, second = await books.account(), await books.account()
    for n in range(3):
        lines = [(DAY + timedelta(n), f"{n},{k}0", "A", f"line {k}") for k in range(1, 3)]
        await books.imported(account, csv(*lines))
    statement = await books.imported(second, csv((DAY, "7,00", "A", "B")))
    seen, token = [], ""
    while True:
        request = ListTransactionsRequest(page_size=2, page_token=token)
        page = await books.client.ListTransactions(request)
        seen += page.transactions
        token = page.next_page_token
        if not token:
            break
    days = [each.booking_date.day for each in seen]
    assert days == sorted(days, reverse=True)
    assert len({each.transaction_id for each in seen}) == len(seen) == 7
    assert len(await books.transactions(bank_account_id=second.bank_account_id)) == 1
    assert len(await books.transactions(state=OPEN)) == 7
    assert not await books.transactions(state=recon_pb2.TRANSACTION_STATE_MATCHED)
    first = await books.client.ListStatements(ListStatementsRequest(page_size=1))
    assert first.statements[0].statement_id == statement.statement_id
    rest = await books.client.ListStatements(
        ListStatementsRequest(page_size=9, page_token=first.next_page_token)
    )
    assert len(rest.statements) == 3
    own = ListStatementsRequest(bank_account_id=second.bank_account_id)
    assert list((await books.client.ListStatements(own)).statements) == [statement]
    own.page_token = first.next_page_token
    assert await refusal(books.client.ListStatements(own)) == "PAGE_TOKEN_INVALID"


async def test_wrong_filters_are_refused(books):
    client = books.client
    for call in (
        client.ListTransactions(ListTransactionsRequest(bank_account_id="x")),
        client.ListTransactions(ListTransactionsRequest(state=77)),
        client.ListStatements(ListStatementsRequest(bank_account_id="x")),
        client.ListMatches(ListMatchesRequest(state=77)),
        client.ListMatches(ListMatchesRequest(page_size=-1)),
    ):
        assert await refusal(call) == "INVALID_ARGUMENT"
    for call in (
        client.ListTransactions(ListTransactionsRequest(page_token="x")),
        client.ListMatches(ListMatchesRequest(page_token="x")),
    ):
        assert await refusal(call) == "PAGE_TOKEN_INVALID"


# Matches by hand.


async def test_a_match_by_hand_counts_at_once(books):
    [transaction] = await paid(books, "119,00")
    invoice_id = await books.bill("A-1", "119.00", "Nobody in particular")
    match = await create(books, allocation(transaction, invoice_id.upper(), "119"))
    assert (match.state, match.confidence, match.etag) == (CONFIRMED, 1, "1")
    assert match.actor.startswith("user:")
    assert match.difference == eur("0.00")
    assert match.posting_date == transaction.booking_date
    assert (match.bank_account_id, match.account_code) == (transaction.bank_account_id, "1800")
    assert match.allocations[0] == allocation(transaction, invoice_id, "119.00")
    [held] = await books.transactions()
    assert held.state == recon_pb2.TRANSACTION_STATE_MATCHED
    assert held.match_id == match.match_id
    assert await books.open_amount(invoice_id) == 0
    got = await books.client.GetMatch(GetMatchRequest(match_id=match.match_id))
    assert got == match
    [(name, version, payload)] = await books.told("Match")
    assert (name, version, payload.match) == ("MatchConfirmed", 1, match)


async def test_what_remains_of_a_payment_is_the_difference(books):
    first, second, third = await paid(books, "98,00", "-49,00", "120,00")
    owed = await books.bill("A-1", "100.00", "X")
    match = await create(books, allocation(first, owed, "100"), difference_kind=CHARGE)
    assert (match.bank_amount, match.difference) == (eur("98.00"), eur("-2.00"))
    assert match.difference_kind == CHARGE
    due = await books.bill("B-1", "50.00", "Y", direction=PAYABLE)
    for wrong in (CHARGE, recon_pb2.DIFFERENCE_KIND_OVERPAYMENT, 77):
        call = create(books, allocation(second, due, "50"), difference_kind=wrong)
        assert await refusal(call) == "INVALID_ARGUMENT"
    assert (await create(books, allocation(second, due, "50"))).difference == eur("1.00")
    more = await books.bill("A-2", "100.00", "X")
    assert (await create(books, allocation(third, more, "100"))).difference == eur("20.00")


async def test_a_credit_note_is_netted(books):
    [transaction] = await paid(books, "-80,00")
    bill = await books.bill("B-1", "100.00", "Y", direction=PAYABLE)
    note = await books.bill("C-1", "20.00", "Y", direction=PAYABLE, document_type=CREDIT_NOTE)
    wrong = create(books, allocation(transaction, bill, "100"), allocation(transaction, note, "20"))
    assert await refusal(wrong) == "INVALID_ARGUMENT"
    match = await create(
        books, allocation(transaction, bill, "100"), allocation(transaction, note, "-20")
    )
    assert match.difference == eur("0.00")
    assert await books.open_amount(bill) == await books.open_amount(note) == 0


async def test_two_payments_settle_one_invoice_and_its_parts_stay_exact(books):
    first, second = await paid(books, "60,00", "40,00")
    invoice_id = await books.bill("A-1", "100.00", "X")
    match = await create(books, allocation(first, invoice_id, "60"))
    assert (match.difference, await books.open_amount(invoice_id)) == (eur("0.00"), Decimal(40))
    await create(books, allocation(second, invoice_id, "40"))
    assert await books.open_amount(invoice_id) == 0


async def test_amounts_are_in_the_invoices_currency(books):
    [transaction] = await paid(books, "92,00")
    invoice_id = await books.bill("A-1", "100.00", "X", currency_code="USD")
    assert await refusal(create(books, allocation(transaction, invoice_id, "92"))) == (
        "INVALID_ARGUMENT"
    )
    match = await create(books, allocation(transaction, invoice_id, "100", currency_code="USD"))
    assert match.difference == eur("0.00")
    assert await books.open_amount(invoice_id) == 0


async def test_every_failure_of_a_match_by_hand(books):
    one, other = await paid(books, "100,00", "100,00")
    invoice_id, second = await books.bill("A-1", "100.00", "X"), await books.bill("A-2", "50", "X")
    gone = await books.bill("A-3", "70.00", "X")
    await books.fact("reopened", gone)

    async def reason(*allocations: Allocation) -> str:
        return await refusal(create(books, *allocations))

    good = allocation(one, invoice_id, "100")
    assert await reason(allocation(uuid7(), invoice_id, "1")) == "TRANSACTION_NOT_FOUND"
    assert await reason(allocation("x", invoice_id, "1")) == "TRANSACTION_NOT_FOUND"
    assert await reason(allocation(one, uuid7(), "1")) == "INVOICE_NOT_OPEN"
    assert await reason(allocation(one, "x", "1")) == "INVOICE_NOT_OPEN"
    assert await reason(allocation(one, gone, "1")) == "INVOICE_NOT_OPEN"
    for wrong in ("100.01", "0", "1.001", "x", "-100", "1e2", ""):
        assert await reason(allocation(one, invoice_id, wrong)) == "INVALID_ARGUMENT", wrong
    assert await reason(allocation(one, invoice_id, "1", currency_code="XXX")) == "INVALID_ARGUMENT"
    assert await reason() == "INVALID_ARGUMENT"
    assert await reason(good, good) == "INVALID_ARGUMENT"
    both = (good, allocation(one, second, "50"))
    assert await reason(*both) == "INVALID_ARGUMENT"  # more than the transaction is
    await create(books, good)
    assert await reason(allocation(one, second, "50")) == "TRANSACTION_MATCHED"
    assert await reason(allocation(other, invoice_id, "1")) == "INVOICE_SETTLED"
    [far] = await paid(books, "50,00")
    two_accounts = (allocation(other, second, "10"), allocation(far, second, "40"))
    assert await reason(*two_accounts) == "INVALID_ARGUMENT"


async def test_a_request_id_makes_one_match(books):
    [transaction] = await paid(books, "10,00")
    wanted, request_id = allocation(transaction, await books.bill("A", "10.00"), "10"), uuid7()
    calls = [create(books, wanted, request_id=request_id) for _ in range(3)]
    made = await asyncio.gather(*calls)
    assert made[0] == made[1] == made[2]
    wanted.amount.amount = "9"
    assert await refusal(create(books, wanted, request_id=request_id)) == "REQUEST_ID_REUSED"


# Decisions.


async def test_a_proposal_is_confirmed_once(books):
    [transaction] = await paid(books, "10,00")
    invoice_id = await books.bill("A", "10.00", "Nobody")
    match = await proposal(books, transaction, invoice_id, "10.00")
    [held] = await books.transactions()
    assert (held.state, held.match_id) == (
        recon_pb2.TRANSACTION_STATE_PROPOSED, match.match_id,
    )  # fmt: skip
    assert await books.open_amount(invoice_id) == 10
    request_id = uuid7()
    confirmed = await confirm(books, match, request_id=request_id)
    assert (confirmed.state, confirmed.etag) == (CONFIRMED, "2")
    assert confirmed.actor.startswith("user:")
    assert await confirm(books, match, request_id=request_id) == confirmed
    assert await refusal(confirm(books, match)) == "MATCH_NOT_PROPOSED"
    assert await refusal(reject(books, match)) == "MATCH_NOT_PROPOSED"
    assert await books.open_amount(invoice_id) == 0


async def test_a_proposal_that_two_others_replace_is_withdrawn_once(books):
    one, other = await paid(books, "100,00", "200,00")
    first, second = await books.bill("A-1", "500.00", "X"), await books.bill("A-2", "500.00", "X")
    await books.settled()
    organization_id = books.organization_id

    def draft(held: booking.Held, *allocations: Allocation) -> Match:
        return rules.draft(held.transactions, allocations, confidence=0.5, reasons=["Because."])

    ids = [one.transaction_id, other.transaction_id]
    async with books.recon.runtime.db.tenant(organization_id) as tx:
        held = await booking.hold(tx, ids, [first, second])
        both = draft(held, allocation(one, first, "100"), allocation(other, first, "200"))
        both = await booking.make(tx, organization_id, both, PROPOSED, booking.ACTOR, held)
    async with books.recon.runtime.db.tenant(organization_id) as tx:
        held = await booking.hold(tx, ids, [first, second])
        parts = [
            await booking.make(tx, organization_id, draft(held, each), PROPOSED, "x", held)
            for each in (allocation(one, first, "100"), allocation(other, second, "200"))
        ]
        # What is made counts at once for what comes behind it.
        await booking.confirm(tx, organization_id, parts[0], "x", held)
        again = draft(held, allocation(one, second, "100"))
        with pytest.raises(errors.TransactionMatched):
            await booking.make(tx, organization_id, again, PROPOSED, "x", held)
    told = [
        (name, version)
        for name, version, fact in await books.told("Match", 5)
        if fact.match.match_id == both.match_id
    ]
    assert told == [("MatchProposed", 1), ("MatchRejected", 2)]
    states = [each.state for each in await books.matches()]
    assert sorted(states) == [PROPOSED, CONFIRMED, recon_pb2.MATCH_STATE_REJECTED]


async def test_a_rejected_proposal_frees_its_transaction(books):
    [transaction] = await paid(books, "10,00")
    invoice_id = await books.bill("A", "10.00", "Nobody")
    match = await reject(books, await proposal(books, transaction, invoice_id, "10.00"))
    assert match.state == REJECTED
    [free] = await books.transactions()
    assert (free.state, free.match_id) == (OPEN, "")
    assert await refusal(undo(books, match)) == "MATCH_NOT_CONFIRMED"
    names = [name for name, _, _ in await books.told("Match", 2)]
    assert names == ["MatchProposed", "MatchRejected"]


async def test_an_undone_match_frees_transaction_and_invoice(books):
    [transaction] = await paid(books, "10,00")
    invoice_id = await books.bill("A", "10.00", "Nobody")
    match = await create(books, allocation(transaction, invoice_id, "10"))
    undone = await undo(books, match)
    assert (undone.state, undone.etag) == (UNDONE, "2")
    assert undone.allocations == match.allocations
    [free] = await books.transactions()
    assert (free.state, free.match_id) == (OPEN, "")
    assert await books.open_amount(invoice_id) == 10
    assert await refusal(undo(books, match)) == "MATCH_NOT_CONFIRMED"
    assert await refusal(confirm(books, match)) == "MATCH_NOT_PROPOSED"
    again = await create(books, allocation(transaction, invoice_id, "10"))
    assert again.match_id != match.match_id


async def test_a_taken_transaction_or_a_settled_invoice_refuses_a_proposal(books):
    one, other = await paid(books, "10,00", "10,00")
    invoice_id, second = await books.bill("A", "10.00", "No"), await books.bill("B", "10.00", "No")
    first = await proposal(books, one, invoice_id, "10.00")
    rival = await proposal(books, other, invoice_id, "10.00")
    await confirm(books, first)
    assert await refusal(confirm(books, rival)) in ("INVOICE_SETTLED", "MATCH_NOT_PROPOSED")
    await books.settled()
    third = await proposal(books, other, second, "10.00")
    by_hand = await create(books, allocation(other, second, "10"))
    assert by_hand.state == CONFIRMED
    assert await refusal(confirm(books, third)) in ("TRANSACTION_MATCHED", "MATCH_NOT_PROPOSED")


@pytest.mark.parametrize("round_", range(3))
async def test_of_overlapping_confirms_at_once_exactly_one_wins(books, round_):
    transactions = await paid(books, *["10,00"] * 6)
    invoice_id = await books.bill("A", "10.00", "Nobody")
    rivals = [await proposal(books, each, invoice_id, "10.00") for each in transactions]
    calls = [confirm(books, each) for each in rivals]
    calls += [create(books, allocation(transactions[0], invoice_id, "10"))]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    won = [each for each in answers if isinstance(each, Match)]
    assert len(won) == 1
    codes = {each.code() for each in answers if isinstance(each, grpc.aio.AioRpcError)}
    assert codes <= {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED}
    assert await books.open_amount(invoice_id) == 0
    await books.settled()
    held = [each for each in await books.transactions() if each.match_id]
    assert [each.match_id for each in held] == [won[0].match_id]
    assert len(await books.matches(CONFIRMED)) == 1


async def test_decisions_at_once_about_one_match_are_taken_once(books):
    [transaction] = await paid(books, "10,00")
    invoice_id = await books.bill("A", "10.00", "Nobody")
    match = await proposal(books, transaction, invoice_id, "10.00")
    calls = [confirm(books, match), reject(books, match), confirm(books, match)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, Match) for each in answers) == 1


async def test_many_to_many_at_once_never_uses_anything_twice(books):
    transactions = await paid(books, *["10,00"] * 4)
    bills = [await books.bill(f"A{n}", "10.00", "Nobody") for n in range(4)]
    calls = [
        create(books, allocation(one, bills[a], "10"), allocation(other, bills[b], "10"))
        for n, one in enumerate(transactions)
        for m, other in enumerate(transactions)
        for a, b in ((n, m), (m, n))
        if n != m
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    won = [each for each in answers if isinstance(each, Match)]
    used = [each.transaction_id for match in won for each in match.allocations]
    assert len(used) == len(set(used)) == 2 * len(won) > 0
    rest = {each.code() for each in answers if not isinstance(each, Match)}
    assert rest <= {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED}
    settled = sum(row["settled"] for row in (await books.open_invoices()).values())
    assert settled == 20 * len(won)


# Who may see and do what.


async def test_another_organizations_ids_are_not_there(books, others):
    [transaction] = await paid(books, "10,00")
    invoice_id = await books.bill("A", "10.00", "Nobody")
    match = await proposal(books, transaction, invoice_id, "10.00")
    run = await books.reconciled()
    account_id, statement_id = transaction.bank_account_id, transaction.statement_id
    client = others.client
    for ids in ((account_id, statement_id, match.match_id, run.reconciliation_id), [uuid7()] * 4):
        account, statement, match_id, run_id = ids
        calls = {
            "BANK_ACCOUNT_NOT_FOUND": client.GetBankAccount(
                GetBankAccountRequest(bank_account_id=account)
            ),
            "STATEMENT_NOT_FOUND": client.GetStatement(GetStatementRequest(statement_id=statement)),
            "MATCH_NOT_FOUND": client.GetMatch(GetMatchRequest(match_id=match_id)),
            "RECONCILIATION_NOT_FOUND": client.GetReconciliation(
                GetReconciliationRequest(reconciliation_id=run_id)
            ),
        }
        for reason, call in calls.items():
            assert await refusal(call) == reason
        named = Match(match_id=match_id)
        for verb in (confirm, reject, undo):
            assert await refusal(verb(others, named)) == "MATCH_NOT_FOUND"
        assert await refusal(others.send(BankAccount(bank_account_id=account), b"x")) == (
            "BANK_ACCOUNT_NOT_FOUND"
        )
    own = await others.bill("A", "10.00")
    wanted = allocation(transaction, own, "10")
    assert await refusal(create(others, wanted)) == "TRANSACTION_NOT_FOUND"
    assert not await others.transactions()
    assert not await others.matches()


async def test_an_id_that_is_none_is_not_found(books):
    client, none = books.client, Match(match_id="x")
    for verb in (confirm, reject, undo):
        assert await refusal(verb(books, none)) == "MATCH_NOT_FOUND"
    assert await refusal(client.GetMatch(GetMatchRequest(match_id="x"))) == "MATCH_NOT_FOUND"
    statement = client.GetStatement(GetStatementRequest(statement_id="x"))
    assert await refusal(statement) == "STATEMENT_NOT_FOUND"
    account = client.GetBankAccount(GetBankAccountRequest(bank_account_id="x"))
    assert await refusal(account) == "BANK_ACCOUNT_NOT_FOUND"
    run = client.GetReconciliation(GetReconciliationRequest(reconciliation_id="x"))
    assert await refusal(run) == "RECONCILIATION_NOT_FOUND"


async def test_reading_and_writing_need_their_permissions(recon):
    reader = Books(recon, recon.client(Stub, permissions="bank.read"))
    writer = Books(recon, recon.client(Stub, permissions="bank.write matches.write"))
    calls = [
        reader.account(), reader.send(BankAccount(bank_account_id=uuid7()), b"x"),
        reader.client.CreateReconciliation(CreateReconciliationRequest()), create(reader),
        *(verb(reader, Match(match_id=uuid7())) for verb in (confirm, reject, undo)),
        writer.transactions(), writer.matches(),
        writer.client.ListBankAccounts(ListBankAccountsRequest()),
        writer.client.ListStatements(ListStatementsRequest()),
        writer.client.GetMatch(GetMatchRequest(match_id=uuid7())),
        writer.client.GetStatement(GetStatementRequest(statement_id=uuid7())),
        writer.client.GetBankAccount(GetBankAccountRequest(bank_account_id=uuid7())),
        writer.client.GetReconciliation(GetReconciliationRequest(reconciliation_id=uuid7())),
    ]  # fmt: skip
    assert {await refusal(call) for call in calls} == {"PERMISSION_DENIED"}


# Runs.


async def test_runs_asked_for_at_once_are_one(books):
    request = CreateReconciliationRequest()
    made = await asyncio.gather(*(books.client.CreateReconciliation(request) for _ in range(5)))
    assert len({each.reconciliation_id for each in made}) == 1
    run = await books.reconciled()
    assert run.state == recon_pb2.RECONCILIATION_STATE_DONE
    asked = CreateReconciliationRequest(request_id=uuid7())
    first = await books.client.CreateReconciliation(asked)
    await books.settled()
    assert await books.client.CreateReconciliation(asked) == first


def test_every_reason_stands_in_the_contract():
    comments = json.loads(
        importlib.resources.files("auditron").joinpath("comments.json").read_text()
    )
    said = " ".join(
        text
        for name, text in comments.items()
        if name.startswith("auditron.recon.v1.ReconService.")
    )
    reasons = {each.reason for each in vars(errors).values() if hasattr(each, "reason")}
    assert [reason for reason in sorted(reasons - {"INTERNAL"}) if reason not in said] == []
