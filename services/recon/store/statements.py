"""Statements, and their lines on the way to transactions."""

# SQL is composed of constants only

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Statement

from libs.jobs import enqueue
from libs.pg import Database, Record, Tx, uuid7
from libs.pg.rows import columns_of, to_message

from .. import errors

STATEMENT = ", ".join(columns_of(Statement, one_currency=True))
LINE = """booking_date, value_date, amount, currency_code, counterparty_name, counterparty_iban,
  remittance_text, end_to_end_id, bank_reference, fingerprint"""
LINES_OF_L = ", ".join(f"l.{name.strip()}" for name in LINE.split(","))
# What tells whether two lines are the same.
COMPARED = """booking_date, amount, currency_code, counterparty_name, counterparty_iban,
  remittance_text, end_to_end_id"""
COMPARED_OF_T = ", ".join(f"t.{name.strip()}" for name in COMPARED.split(","))
DAYS = ("start_date", "end_date")
BALANCES = ("opening_balance", "closing_balance")
IMPORT = "import_statement"
IMPORTING = recon_pb2.STATEMENT_STATE_IMPORTING


async def insert_statement(
    tx: Tx, organization_id: str, wanted: Statement, sha256: str, currency_code: str
) -> Statement:
    """Add a statement that is to be imported."""
    row = await tx.fetchrow(
        f"""
        insert into statements (organization_id, statement_id, bank_account_id, state, filename,
          format, size_bytes, sha256, currency_code)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning {STATEMENT}
        """,
        organization_id, wanted.statement_id, wanted.bank_account_id, IMPORTING, wanted.filename,
        wanted.format, wanted.size_bytes, sha256, currency_code,
    )  # fmt: skip
    return to_message(row, Statement)


async def get_statement(db: Database, organization_id: str, statement_id: str) -> Statement:
    """A statement. Raises StatementNotFound."""
    found = await db.read(
        organization_id, f"select {STATEMENT} from statements where statement_id = $1", statement_id
    )
    if not found:
        raise errors.StatementNotFound("There is no such statement.")
    return to_message(found[0], Statement)


async def list_statements(
    db: Database,
    organization_id: str,
    bank_account_id: str | None,
    before_id: str | None,
    limit: int,
) -> list[Statement]:
    """Statements of one bank account or of all, newest first."""
    chosen = "and bank_account_id = $3" if bank_account_id else ""
    rows = await db.read(
        organization_id,
        f"""
        select {STATEMENT} from statements
        where ($1::uuid is null or statement_id < $1) {chosen}
        order by statement_id desc limit $2
        """,
        before_id, limit, *([bank_account_id] if bank_account_id else []),
    )  # fmt: skip
    return [to_message(row, Statement) for row in rows]


async def unnamed_statements(tx: Tx, ids: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of (organization_id, statement_id) those that are no statement's."""
    rows = await tx.fetch(
        "select organization_id, statement_id from unnamed_statements($1::uuid[], $2::uuid[])",
        [organization_id for organization_id, _ in ids], [statement_id for _, statement_id in ids],
    )  # fmt: skip
    return [(str(row["organization_id"]), str(row["statement_id"])) for row in rows]


async def lock_importing(tx: Tx, statement_id: str) -> Record | None:
    """A statement that is being imported, with what its account says; None if it is not.

    `is_old` says that it was sent more than a day ago.
    """
    return await tx.fetchrow(
        """
        select s.staged, s.compared, s.imported_count, b.iban, b.currency_code,
          s.create_time < now() - interval '1 day' as is_old
        from statements s join bank_accounts b using (organization_id, bank_account_id)
        where statement_id = $1 and state = $2 for update of s
        """,
        statement_id, IMPORTING,
    )  # fmt: skip


async def take_account(tx: Tx, statement_id: str) -> bool:
    """Let no other statement's lines come to the account until this one's import has ended.

    False while another one has the account. The statement is locked.
    """
    return bool(
        await tx.fetchval(
            """
            update bank_accounts b set importing_statement_id = $1 from statements s
            where s.statement_id = $1 and b.bank_account_id = s.bank_account_id
              and coalesce(b.importing_statement_id, $1) = $1
            returning true
            """,
            statement_id,
        )
    )


async def insert_import(
    tx: Tx, organization_id: str, statement_id: str, actor: str, pause: timedelta | None = None
) -> None:
    """Have a statement imported, at once or after a pause: the task."""
    payload = recon_pb2.GetStatementRequest(statement_id=statement_id)
    run_time = datetime.now(UTC) + pause if pause else None
    await enqueue(
        tx, IMPORT, payload, organization_id=organization_id, run_time=run_time, actor=actor
    )


async def insert_lines(
    tx: Tx, organization_id: str, statement_id: str, first: int, lines: Sequence[Sequence[str]]
) -> None:
    """Keep lines (in the order of LINE) aside; those that are there already stay."""
    columns: list[Sequence[Any]] = list(zip(*lines, strict=True))
    days = [[date.fromisoformat(day) for day in column] for column in columns[:2]]
    amounts = [Decimal(amount) for amount in columns[2]]
    fingerprints = [bytes.fromhex(each) for each in columns[-1]]
    await tx.execute(
        f"""
        insert into statement_lines
          (organization_id, statement_id, number, transaction_id, {LINE})
        select $1, $2, * from unnest($3::int[], $4::uuid[], $5::date[], $6::date[], $7::numeric[],
          $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[])
        on conflict do nothing
        """,
        organization_id, statement_id, range(first, first + len(lines)),
        [uuid7() for _ in lines], *days, amounts, *columns[3:-1], fingerprints,
    )  # fmt: skip


async def update_staged(tx: Tx, statement_id: str, end: Mapping[str, Any]) -> None:
    """Note that the whole file has been read, and what its end says."""
    days = [date.fromisoformat(end[day]) if end[day] else None for day in DAYS]
    balances = [None if end[each] is None else Decimal(end[each]) for each in BALANCES]
    await tx.execute(
        """
        update statements set staged = true, format = $2, layout = $3, transaction_count = $4,
          warnings = $5, start_date = $6, end_date = $7, opening_balance = $8,
          closing_balance = $9, currency_code = coalesce(nullif($10, ''), currency_code)
        where statement_id = $1
        """,
        statement_id, end["format"], end["layout"], end["transaction_count"], end["warnings"],
        *days, *balances, end["currency_code"],
    )  # fmt: skip


async def has_other_layouts(tx: Tx, statement_id: str) -> bool:
    """Whether files of another layout have brought lines of the same account and days."""
    return bool(
        await tx.fetchval(
            """
            select exists (
              select from statements s join statements o using (organization_id, bank_account_id)
              where s.statement_id = $1 and o.statement_id <> $1 and o.layout <> s.layout
                and o.staged and o.start_date <= s.end_date and o.end_date >= s.start_date)
            """,
            statement_id,
        )
    )


async def mark_seen(tx: Tx, statement_id: str, after: int, limit: int) -> int | None:
    """Take the next lines out that the account has word for word.

    Returns the last line's number, None if there was none.
    """
    last: int | None = await tx.fetchval(
        """
        with lines as (
          select number, fingerprint from statement_lines
          where statement_id = $1 and number > $2 order by number limit $3
        ), known as (
          select t.organization_id, t.transaction_id, l.number
          from lines l
          join statements s on s.statement_id = $1
          join transactions t on t.bank_account_id = s.bank_account_id
            and t.fingerprint = l.fingerprint
        ), marked as (
          insert into sightings (organization_id, statement_id, transaction_id)
          select organization_id, $1, transaction_id from known on conflict do nothing
        ), gone as (
          delete from statement_lines
          where statement_id = $1 and number in (select number from known)
        )
        select max(number) from lines
        """,
        statement_id, after, limit,
    )  # fmt: skip
    return last


async def list_lines(tx: Tx, statement_id: str, after: int, limit: int) -> list[Record]:
    """The next lines that are to be compared, by number."""
    return await tx.fetch(
        f"""
        select number, {COMPARED} from statement_lines
        where statement_id = $1 and number > $2 order by number limit $3
        """,
        statement_id, after, limit,
    )  # fmt: skip


async def list_others(tx: Tx, statement_id: str, first: int, last: int, limit: int) -> list[Record]:
    """Transactions by files of another layout that may be one of these lines.

    They have its day, amount and currency, and no other line of the statement is known to be them.
    """
    return await tx.fetch(
        f"""
        with sums as materialized (
          select distinct sum_key(booking_date, amount, currency_code) as sum_key
          from statement_lines where statement_id = $1 and number between $2 and $3
        )
        select t.transaction_id, {COMPARED_OF_T}
        from sums
        join statements s on s.statement_id = $1
        join transactions t on t.bank_account_id = s.bank_account_id and t.sum_key = sums.sum_key
        join statements o on o.statement_id = t.statement_id and o.layout <> s.layout
        where not exists (
          select from sightings g where g.statement_id = $1 and g.transaction_id = t.transaction_id)
        limit $4
        """,
        statement_id, first, last, limit,
    )  # fmt: skip


async def mark_repeated(tx: Tx, statement_id: str, repeated: Mapping[int, str]) -> None:
    """Take lines out that are known as transactions, each as one that no other line is."""
    await tx.execute(
        """
        with gone as (
          delete from statement_lines l
          using unnest($2::int[], $3::uuid[]) as known (number, transaction_id)
          where l.statement_id = $1 and l.number = known.number and not exists (
            select from sightings g
            where g.statement_id = $1 and g.transaction_id = known.transaction_id)
          returning l.organization_id, known.transaction_id
        )
        insert into sightings (organization_id, statement_id, transaction_id)
        select organization_id, $1, transaction_id from gone
        """,
        statement_id, list(repeated), list(repeated.values()),
    )  # fmt: skip


async def update_compared(tx: Tx, statement_id: str) -> None:
    """Note that what is left of the lines is new."""
    await tx.execute("update statements set compared = true where statement_id = $1", statement_id)


async def take_lines(tx: Tx, statement_id: str, limit: int) -> bool:
    """Make the next lines transactions, those that are none yet; False if no line was left."""
    return bool(
        await tx.fetchval(
            f"""
            with taken as (
              delete from statement_lines where statement_id = $1 and number < $2 + (
                select min(number) from statement_lines where statement_id = $1)
              returning *
            ), made as (
              insert into transactions
                (organization_id, transaction_id, bank_account_id, statement_id, {LINE})
              select organization_id, transaction_id, s.bank_account_id, $1, {LINES_OF_L}
              from taken l join statements s using (organization_id, statement_id)
              order by number
              on conflict (organization_id, bank_account_id, fingerprint) do nothing
              returning true
            ), counted as (
              update statements set imported_count = imported_count + (select count(*) from made)
              where statement_id = $1
            )
            select exists (select from taken)
            """,
            statement_id,
            limit,
        )
    )


async def delete_lines(tx: Tx, statement_id: str, limit: int) -> bool:
    """Forget some of the lines of a statement that is not to be imported; False if none is left."""
    status = await tx.execute(
        """
        delete from statement_lines where statement_id = $1 and number <= (
          select min(number) + $2 from statement_lines where statement_id = $1)
        """,
        statement_id, limit,
    )  # fmt: skip
    return int(status.split()[1]) > 0


async def get_balances(tx: Tx, statement_id: str) -> Record:
    """opening_balance and closing_balance of a statement that is there."""
    row = await tx.fetchrow(
        "select opening_balance, closing_balance from statements where statement_id = $1",
        statement_id,
    )
    assert row is not None, "the statement was locked before"
    return row


async def get_neighbours(tx: Tx, statement_id: str) -> list[Record]:
    """The statements with balances of the same account and currency just before and just after.

    closing_balance of the one, opening_balance of the other, and `is_before`.
    """
    return await tx.fetch(
        """
        with own as (select * from statements where statement_id = $1)
        (select n.start_date, n.end_date, n.closing_balance as balance, true as is_before
          from own, statements n
          where n.bank_account_id = own.bank_account_id and n.state = $2
            and n.currency_code = own.currency_code and n.closing_balance is not null
            and n.end_date < own.start_date
          order by n.end_date desc, n.statement_id desc limit 1)
        union all
        (select n.start_date, n.end_date, n.opening_balance, false
          from own, statements n
          where n.bank_account_id = own.bank_account_id and n.state = $2
            and n.currency_code = own.currency_code and n.opening_balance is not null
            and n.start_date > own.end_date
          order by n.start_date, n.statement_id limit 1)
        """,
        statement_id, recon_pb2.STATEMENT_STATE_IMPORTED,
    )  # fmt: skip


async def finish_statement(
    tx: Tx, statement_id: str, state: int, *, warnings: Sequence[str] = (), failure: str = ""
) -> tuple[Statement, int]:
    """End an import, and leave the account to others; the statement and its version."""
    await tx.execute(
        """
        update bank_accounts set importing_statement_id = null where importing_statement_id = $1
        """,
        statement_id,
    )
    row = await tx.fetchrow(
        f"""
        update statements set state = $2, failure = $3, warnings = warnings || $4::text[],
          version = version + 1
        where statement_id = $1 returning {STATEMENT}, version
        """,
        statement_id, state, failure, list(warnings),
    )  # fmt: skip
    assert row is not None, "the statement was locked before"
    return to_message(row, Statement), row["version"]
