"""What the database itself guards."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest
from auditron.recon.v1 import recon_pb2

from libs.pg import audit_isolation, uuid7
from services.recon import booking, rules, store
from services.recon.tests.conftest import DAY, csv, eur

TABLES = (
    "bank_accounts", "statements", "statement_lines", "transactions", "matches", "allocations",
    "open_invoices", "rejected_pairs", "reconciliations", "reconciling", "sightings",
)  # fmt: skip


ID = uuid7()


async def test_the_schema_keeps_organizations_apart(recon):
    connection = await asyncpg.connect(recon.runtime.env["ADMIN_DATABASE_URL"])
    try:
        found = await audit_isolation(connection, "recon", allowed_indexes=["events_position"])
        assert found == []
    finally:
        await connection.close()


async def test_no_table_shows_anything_to_others(books, others):
    await books.matched([("RE-2026-0001", "10.00")], [("10,00", "RE-2026-0001")])
    await books.settled()
    counts = {}
    for who in (books, others):
        async with who.recon.runtime.db.tenant(who.organization_id) as tx:
            counts[who.organization_id] = {
                table: await tx.fetchval(f"select count(*) from {table}") for table in TABLES
            }
    assert counts[books.organization_id]["transactions"] == 1
    assert not any(counts[others.organization_id].values())
    async with books.recon.runtime.db.unscoped() as tx:
        assert await tx.fetchval("select count(*) from transactions") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with books.recon.runtime.db.system() as tx:
            await tx.fetch("select * from transactions")


async def made(books, amount: str = "10,00") -> recon_pb2.Transaction:
    account = await books.account()
    await books.imported(account, csv((DAY, amount, "Somebody", f"text {uuid7()}")))
    await books.settled()
    return (await books.transactions(bank_account_id=account.bank_account_id))[0]


async def test_the_database_refuses_to_settle_more_than_is_open(books):
    transaction, invoice_id = await made(books), await books.bill("A", "10.00", "Nobody")
    allocation = recon_pb2.Allocation(
        transaction_id=transaction.transaction_id, invoice_id=invoice_id, amount=eur("11.00")
    )
    draft = rules.draft({transaction.transaction_id: transaction}, [allocation],
                        confidence=1, reasons=[])  # fmt: skip
    draft.match_id, draft.state = uuid7(), recon_pb2.MATCH_STATE_CONFIRMED
    db, organization_id = books.recon.runtime.db, books.organization_id

    async def settle_too_much() -> None:
        async with db.tenant(organization_id) as tx:
            await store.insert_match(tx, organization_id, draft, None)
            await store.settle_invoices(tx, draft.match_id)

    with pytest.raises(asyncpg.CheckViolationError):
        await settle_too_much()
    assert await books.open_amount(invoice_id) == 10


async def test_a_transaction_is_in_one_match_or_in_none(books):
    transaction, invoice_id = await made(books), await books.bill("A", "10.00", "Nobody")
    db, organization_id = books.recon.runtime.db, books.organization_id
    for change in ("state = 3", f"match_id = '{uuid7()}'", f"state = 2, match_id = '{uuid7()}'"):
        with pytest.raises((asyncpg.CheckViolationError, asyncpg.ForeignKeyViolationError)):
            async with db.tenant(organization_id) as tx:
                await tx.execute(f"update transactions set {change}")
    allocation = recon_pb2.Allocation(
        transaction_id=transaction.transaction_id, invoice_id=invoice_id, amount=eur("10.00")
    )
    async with db.tenant(organization_id) as tx:
        held = await booking.hold(tx, [transaction.transaction_id], [invoice_id])
        draft = rules.draft(held.transactions, [allocation], confidence=1, reasons=[])
        state = recon_pb2.MATCH_STATE_CONFIRMED
        await booking.make(tx, organization_id, draft, state, "user:x", held)
        other = uuid7()
        ids = [transaction.transaction_id]
        assert await store.hold_transactions(tx, other, ids, state) == 0


async def test_a_line_of_an_account_stands_once(books):
    await made(books)
    columns = """organization_id, bank_account_id, statement_id, booking_date, value_date,
      amount, currency_code, counterparty_name, counterparty_iban, remittance_text, end_to_end_id,
      bank_reference, fingerprint"""
    with pytest.raises(asyncpg.UniqueViolationError):
        async with books.recon.runtime.db.tenant(books.organization_id) as tx:
            await tx.execute(
                f"insert into transactions (transaction_id, {columns}) "
                f"select gen_random_uuid(), {columns} from transactions"
            )


async def test_a_run_does_not_begin_before_who_asked_for_it_has_committed(books):
    db, organization_id = books.recon.runtime.db, books.organization_id
    async with db.tenant(organization_id) as tx:
        run, is_new = await store.upsert_reconciliation(tx, organization_id)
    assert is_new
    begun: list[str] = []

    async def begin() -> None:
        async with db.tenant(organization_id) as tx:
            await store.begin_reconciliation(tx, run.reconciliation_id)
            begun.append("begun")

    async with db.tenant(organization_id) as tx:
        again, is_new = await store.upsert_reconciliation(tx, organization_id)
        assert (again, is_new) == (run, False)
        beginning = asyncio.create_task(begin())
        await asyncio.sleep(0.2)
        assert not begun
    await beginning
    async with db.tenant(organization_id) as tx:
        later, is_new = await store.upsert_reconciliation(tx, organization_id)
    assert is_new
    assert later.reconciliation_id != run.reconciliation_id


async def test_a_turn_is_taken_by_one_and_ends_with_its_time(books):
    organization_id, one, other = books.organization_id, uuid7(), uuid7()
    async with books.recon.runtime.db.tenant(organization_id) as tx:
        second = timedelta(seconds=1)
        assert await store.take_turn(tx, organization_id, one, second)
        assert await store.take_turn(tx, organization_id, one, second)
        assert not await store.take_turn(tx, organization_id, other, second)
        await store.delete_turn(tx, other)
        assert not await store.take_turn(tx, organization_id, other, second)
        await store.delete_turn(tx, one)
        assert await store.take_turn(tx, organization_id, other, -second)
        assert await store.take_turn(tx, organization_id, one, second)


async def test_unnamed_objects_are_those_of_no_statement_whoevers_it_is(books, others):
    own, foreign = await made(books), await made(others)
    async with books.recon.runtime.db.unscoped() as tx:
        given = [
            (books.organization_id, own.statement_id), (others.organization_id, own.statement_id),
            (others.organization_id, foreign.statement_id),
        ]  # fmt: skip
        assert await store.unnamed_statements(tx, given) == [given[1]]
        assert await store.unnamed_statements(tx, []) == []


async def test_an_undone_match_gives_back_what_it_has_settled_of_a_changed_invoice(books):
    transaction, invoice_id = await made(books), await books.bill("A", "10.00", "Nobody")
    allocation = recon_pb2.Allocation(
        transaction_id=transaction.transaction_id, invoice_id=invoice_id, amount=eur("10.00")
    )
    create = recon_pb2.CreateMatchRequest(allocations=[allocation])
    match = await books.client.CreateMatch(create)
    await books.fact("approved", invoice_id, gross=eur("8.00"))
    rows = (await books.open_invoices())[invoice_id]
    assert (rows["settled"], rows["open_amount"]) == (10, 0)
    await books.fact("approved", invoice_id, gross=eur("12.00"))
    assert await books.open_amount(invoice_id) == 2
    await books.client.UndoMatch(recon_pb2.UndoMatchRequest(match_id=match.match_id))
    assert await books.open_amount(invoice_id) == Decimal(12)


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("true", "transactions_booking"),
        (f"bank_account_id = '{ID}'", "transactions_bank_account"),
        ("state = 1", "transactions_state"),
    ],
)
async def test_pages_of_transactions_come_from_an_index(books, condition, index):
    async with books.recon.runtime.db.tenant(books.organization_id) as tx:
        await tx.execute("set local enable_seqscan = off; set local enable_bitmapscan = off")
        plan = await tx.fetch(
            f"explain select * from transactions where {condition} and "
            f"(booking_date, transaction_id) < ('2026-03-01', '{ID}') "
            "order by booking_date desc, transaction_id desc limit 50"
        )
    text = "\n".join(row[0] for row in plan)
    assert f"Backward using {index}" in text
    assert "Sort" not in text


async def test_the_key_of_a_sum_is_that_of_its_day_amount_and_currency(books):
    async with books.recon.runtime.db.tenant(books.organization_id) as tx:
        rows = await tx.fetch(
            """
            select sum_key(day::date, amount::numeric, currency) as key from (values
              ('2026-03-10', '5.00', 'EUR'), ('2026-03-10', '5', 'EUR'),
              ('2026-03-11', '5', 'EUR'), ('2026-03-10', '-5', 'EUR'), ('2026-03-10', '5', 'USD'),
              ('2026-03-10', '50', 'EUR')
            ) given (day, amount, currency)
            """
        )
    keys = [row["key"] for row in rows]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5
