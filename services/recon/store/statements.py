"""Statements, and their lines on the way to transactions."""

# SQL is composed of constants only

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Statement

from libs.jobs import enqueue
from libs.pg import Database, Record, Tx, uuid7
from libs.pg.rows import to_message

from .. import errors

STATEMENT = """statement_id, bank_account_id, state, filename, format, size_bytes, opening_balance,
  closing_balance, currency_code, start_date, end_date, transaction_count, imported_count, warnings,
  failure, create_time"""
LINE = """booking_date, value_date, amount, currency_code, counterparty_name, counterparty_iban,
  remittance_text, end_to_end_id, bank_reference, fingerprint"""
LINES_OF_L = ", ".join(f"l.{name.strip()}" for name in LINE.split(","))
LINES_OF_T = ", ".join(f"t.{name.strip()}" for name in LINE.split(","))
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
    """A statement that is being imported, with what its account says; None if it is not."""
    return await tx.fetchrow(
        """
        select s.bank_account_id, s.staged, s.layout, s.size_bytes, s.start_date, s.end_date,
          b.iban, b.currency_code
        from statements s join bank_accounts b using (organization_id, bank_account_id)
        where statement_id = $1 and state = $2 for update of s
        """,
        statement_id, IMPORTING,
    )  # fmt: skip


async def lock_moving(tx: Tx, statement_id: str) -> bool:
    """Lock a statement that is being imported, and its account, so that no other one's lines come.

    False if it is not being imported.
    """
    return bool(
        await tx.fetchval(
            """
            select true from statements s
            join bank_accounts b using (organization_id, bank_account_id)
            where statement_id = $1 and state = $2 for no key update of s, b
            """,
            statement_id,
            IMPORTING,
        )
    )


async def insert_import(tx: Tx, organization_id: str, statement_id: str, actor: str) -> None:
    """Have a statement imported: the task."""
    payload = recon_pb2.GetStatementRequest(statement_id=statement_id)
    await enqueue(tx, IMPORT, payload, organization_id=organization_id, actor=actor)


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
    """Note of the next lines which stand, word for word, in files of another layout.

    Returns the last line's number, None if there was none.
    """
    last: int | None = await tx.fetchval(
        """
        with lines as (
          select number, fingerprint from statement_lines
          where statement_id = $1 and number > $2 order by number limit $3
        ), marked as (
          insert into sightings (organization_id, statement_id, transaction_id)
          select t.organization_id, $1, t.transaction_id
          from lines l
          join statements s on s.statement_id = $1
          join transactions t on t.bank_account_id = s.bank_account_id
            and t.fingerprint = l.fingerprint and t.statement_id <> $1
          on conflict do nothing
        )
        select max(number) from lines
        """,
        statement_id, after, limit,
    )  # fmt: skip
    return last


async def list_lines(tx: Tx, statement_id: str, limit: int) -> list[Record]:
    """The next lines that are to become transactions."""
    return await tx.fetch(
        f"""
        select number, {LINE} from statement_lines
        where statement_id = $1 order by number limit $2
        """,
        statement_id, limit,
    )  # fmt: skip


async def list_others(tx: Tx, statement_id: str, last: int) -> list[Record]:
    """Transactions by files of another layout that may be one of the lines up to `last`.

    They have its day, amount and currency, and no other line of the statement is known to be them.
    """
    return await tx.fetch(
        f"""
        select distinct t.transaction_id, {LINES_OF_T}
        from statement_lines l
        join statements s on s.statement_id = l.statement_id
        join transactions t on t.bank_account_id = s.bank_account_id
          and t.sum_key = sum_key(l.booking_date, l.amount, l.currency_code)
        join statements o on o.statement_id = t.statement_id
        where l.statement_id = $1 and l.number <= $2 and o.layout <> s.layout
          and not exists (
            select from sightings g where g.statement_id = $1
              and g.transaction_id = t.transaction_id)
        """,
        statement_id, last,
    )  # fmt: skip


async def take_lines(tx: Tx, statement_id: str, last: int, repeated: Mapping[int, str]) -> None:
    """Make the lines up to `last` transactions, except those that are there.

    `repeated` says which lines are known as which transactions.
    """
    await tx.execute(
        f"""
        with seen as (
          insert into sightings (organization_id, statement_id, transaction_id)
          select organization_id, $1, unnest($4::uuid[]) from statements where statement_id = $1
        ), taken as (
          delete from statement_lines where statement_id = $1 and number <= $2 returning *
        ), made as (
          insert into transactions
            (organization_id, transaction_id, bank_account_id, statement_id, {LINE})
          select organization_id, transaction_id, s.bank_account_id, $1, {LINES_OF_L}
          from taken l join statements s using (organization_id, statement_id)
          where number <> all($3) order by number
          on conflict (organization_id, bank_account_id, fingerprint) do nothing
          returning true
        )
        update statements set imported_count = imported_count + (select count(*) from made)
        where statement_id = $1
        """,
        statement_id, last, list(repeated), list(repeated.values()),
    )  # fmt: skip


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
    """End an import; the statement and its version."""
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
