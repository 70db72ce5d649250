"""What the database itself guards."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest
from auditron.reporting.v1.reporting_pb2 import ExchangeRate, JournalEntry, Posting

from libs.pg import audit_isolation, uuid7
from services.reporting.rules import chart
from services.reporting.store import entries, figures, organizations

DAY = date(2026, 1, 10)


async def test_the_schema_keeps_organizations_apart(reporting):
    connection = await asyncpg.connect(reporting.runtime.env["ADMIN_DATABASE_URL"])
    try:
        allowed = ["events_position"]  # the relay's, which nobody can probe
        assert await audit_isolation(connection, "reporting", allowed_indexes=allowed) == []
    finally:
        await connection.close()


@pytest.fixture
async def ledger(reporting):
    """An organization whose ledger is open."""
    organization_id = uuid7()
    async with reporting.runtime.db.tenant(organization_id) as tx:
        await organizations.insert_organization(tx, organization_id, "Acme", "EUR", 1)
        await organizations.insert_accounts(tx, organization_id, chart.chart())
    return organization_id


def entry(made, *amounts: str) -> JournalEntry:
    postings = [
        Posting(account_code=code, amount=made.money(amount), original_amount=made.money(amount))
        for code, amount in zip(("1800", "2900", "6300"), amounts, strict=False)
    ]
    return JournalEntry(
        posting_date=made.day("2026-01-10"), description="x", source_type="t", source_id=uuid7(),
        postings=postings,
    )  # fmt: skip


async def post(db, organization_id: str, one: JournalEntry) -> JournalEntry:
    async with db.tenant(organization_id) as tx:
        return await entries.insert_entry(tx, organization_id, one, [None] * len(one.postings), 1)


async def test_an_entry_that_does_not_sum_to_zero_is_refused(reporting, ledger, made):
    db = reporting.runtime.db
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=r"out of balance by 0\.01"):
        await post(db, ledger, entry(made, "10.00", "-9.99"))
    with pytest.raises(asyncpg.CheckViolationError):
        await post(db, ledger, entry(made, "0.00"))
    assert (await post(db, ledger, entry(made, "10.00", "-9.99", "-0.01"))).number == 1


async def test_a_refused_entry_leaves_no_gap(reporting, ledger, made):
    db = reporting.runtime.db
    first = await post(db, ledger, entry(made, "1", "-1"))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await post(db, ledger, entry(made, "1", "-2"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await post(db, ledger, first)
    assert (await post(db, ledger, entry(made, "1", "-1"))).number == 2


async def test_a_number_that_would_leave_a_gap_is_refused(reporting, ledger):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="leaves a gap"):
        async with reporting.runtime.db.tenant(ledger) as tx:
            await _insert(tx, ledger, number=2)


async def test_a_standing_entry_gets_no_more_postings(reporting, ledger, made):
    db = reporting.runtime.db
    await post(db, ledger, entry(made, "1", "-1"))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="other postings"):
        async with db.tenant(ledger) as tx:
            await tx.execute(
                """
                insert into postings select organization_id, entry_number, line + 2, posting_date,
                  account_code, amount, original_amount, original_amount_currency_code,
                  counterparty, invoice_id, is_reversal from postings
                """
            )


@pytest.mark.parametrize("table", ["postings", "journal_entries", "exchange_rates", "accounts"])
async def test_the_ledger_only_grows(reporting, ledger, made, table):
    await post(reporting.runtime.db, ledger, entry(made, "1", "-1"))
    for statement in ("delete from {}", "update {} set organization_id = null", "truncate {}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with reporting.runtime.db.tenant(ledger) as tx:
                await tx.execute(statement.format(table))


async def test_the_system_role_sees_no_books(reporting):
    for table in ("postings", "journal_entries", "organizations", "reports", "posting_rejections"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with reporting.runtime.db.system() as tx:
                await tx.fetch(f"select * from {table}")


async def test_an_entry_is_reversed_once(reporting, ledger, made):
    db = reporting.runtime.db
    posted = await post(db, ledger, entry(made, "5.00", "-5.00"))
    async with db.tenant(ledger) as tx:
        reversal = await entries.insert_reversal(tx, ledger, posted.number, 2)
    assert reversal.reversed_entry_id == posted.journal_entry_id
    assert [p.amount.amount for p in reversal.postings] == ["-5.00", "5.00"]
    with pytest.raises(asyncpg.UniqueViolationError):
        async with db.tenant(ledger) as tx:
            await entries.insert_reversal(tx, ledger, posted.number, 3)


@pytest.mark.parametrize(
    ("occurred", "day", "rate"),
    [
        (6, DAY, "2"),  # the day's own, as it stood then
        (6, DAY + timedelta(10), "2"),  # the last before
        (6, DAY + timedelta(11), None),  # too old
        (6, DAY - timedelta(1), "1"),
        (6, DAY - timedelta(3), None),
        (1, DAY, "1"),  # there was none: the first that was set after, of the days that count
        (9, DAY, "3"),
    ],
)
async def test_a_rate_is_that_of_the_day_and_of_the_time(reporting, ledger, occurred, day, rate):
    start = datetime(2026, 2, 1, tzinfo=UTC)
    async with reporting.runtime.db.tenant(ledger) as tx:
        for hour, on, value in ((3, -2, 1), (5, 0, 2), (8, 0, 3)):
            await tx.execute(
                """
                insert into exchange_rates values ($1, 'USD', $2, $3, $4, 'user:u')
                """,
                ledger, DAY + timedelta(on), start + timedelta(hours=hour), Decimal(value),
            )  # fmt: skip
        found = await organizations.get_rate(tx, "USD", day, start + timedelta(hours=occurred), 10)
    assert found == (Decimal(rate) if rate else None)


async def test_the_rate_that_was_set_last_is_listed(reporting, ledger):
    db = reporting.runtime.db
    for rate in ("1.5", "1.25"):
        async with db.tenant(ledger) as tx:
            given = ExchangeRate(currency_code="USD", rate=rate)
            await organizations.insert_exchange_rate(tx, ledger, given, DAY, "user:u")
    [listed] = await organizations.list_exchange_rates(db, ledger, "", 10)
    assert listed.rate == "1.25"


async def test_reports_read_the_index_alone(reporting, ledger, made):
    db = reporting.runtime.db
    await post(db, ledger, entry(made, "1", "-1"))
    async with db.tenant(ledger) as tx:
        await tx.execute("set local enable_seqscan = off; set local enable_bitmapscan = off")
        plan = await tx.fetch(
            """
            explain select account_code, sum(amount) from postings
            where posting_date <= '2026-12-31' group by account_code
            """
        )
    text = "\n".join(row[0] for row in plan)
    assert "Index Only Scan using postings_account" in text
    assert "Index Cond: (organization_id =" in text


async def test_an_organization_sees_its_own_figures(reporting, ledger, made):
    db, other = reporting.runtime.db, uuid7()
    await post(db, ledger, entry(made, "1", "-1"))
    async with db.tenant(other) as tx:
        await organizations.insert_organization(tx, other, "Other", "EUR", 1)
        await organizations.insert_accounts(tx, other, chart.chart())
    rows = await figures.list_balances(db, other, DAY, DAY)
    assert {row["organization_name"] for row in rows} == {"Other"}
    assert not any(row["balance"] for row in rows)


async def _insert(tx, organization_id: str, number: int) -> None:
    await tx.execute(
        """
        with lines as (
          insert into postings
          select $1, $2, n, '2026-01-10', '1800', 3 - 2 * n, 0, 'EUR', '', null, false
          from generate_series(1, 2) n
        )
        insert into journal_entries (organization_id, number, journal_entry_id, posting_date,
          description, source_type, source_id, source_version, posting_count)
        values ($1, $2, $1, '2026-01-10', '', 't', 's', 1, 2)
        """,
        organization_id, number,
    )  # fmt: skip
