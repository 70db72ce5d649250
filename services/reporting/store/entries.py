"""Journal entries and their postings."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from auditron.reporting.v1.reporting_pb2 import JournalEntry, Posting

from libs.pg import Database, Record, Tx, uuid7
from libs.pg.rows import to_message

from .. import errors

# An entry for each of its postings, newest entry first.
_ENTRY = """
select e.number, e.journal_entry_id, e.posting_date, e.description, e.source_type, e.source_id,
  e.reversed_entry_id, e.create_time, p.account_code, p.amount,
  o.base_currency_code as amount_currency_code, p.original_amount, p.original_amount_currency_code,
  p.counterparty
from organizations o
join journal_entries e on e.organization_id = o.organization_id
join postings p on p.organization_id = e.organization_id and p.entry_number = e.number
"""


async def insert_entry(
    tx: Tx,
    organization_id: str,
    entry: JournalEntry,
    invoice_ids: Sequence[str | None],
    source_version: int,
) -> JournalEntry:
    """Post an entry under the next number; return it with number, id and time.

    `invoice_ids` says for each posting whose balance it changes.
    """
    day = date(entry.posting_date.year, entry.posting_date.month, entry.posting_date.day)
    entry_id, postings = uuid7(), entry.postings
    row = await tx.fetchrow(
        """
        with counter as (
          update organizations set last_entry_number = last_entry_number + 1
          where organization_id = $1 returning last_entry_number as number
        ),
        lines as (
          insert into postings (organization_id, entry_number, line, posting_date, account_code,
            amount, original_amount, original_amount_currency_code, counterparty, invoice_id,
            is_reversal)
          select $1, number, line, $3, code, amount, original, currency, name, invoice_id, false
          from counter, unnest($8::text[], $9::numeric[], $10::numeric[], $11::text[], $12::text[],
            $13::uuid[])
            with ordinality as p (code, amount, original, currency, name, invoice_id, line)
        )
        insert into journal_entries (organization_id, number, journal_entry_id, posting_date,
          description, source_type, source_id, source_version, posting_count)
        select $1, number, $2, $3, $4, $5, $6, $7, cardinality($8::text[]) from counter
        returning number, journal_entry_id, create_time
        """,
        organization_id, entry_id, day, entry.description, entry.source_type, entry.source_id,
        source_version,
        [posting.account_code for posting in postings],
        [Decimal(posting.amount.amount) for posting in postings],
        [Decimal(posting.original_amount.amount) for posting in postings],
        [posting.original_amount.currency_code for posting in postings],
        [posting.counterparty for posting in postings],
        invoice_ids,
    )  # fmt: skip
    made = to_message(row, JournalEntry)
    made.MergeFrom(entry)
    return made


async def insert_reversal(
    tx: Tx, organization_id: str, number: int, source_version: int
) -> JournalEntry:
    """Post the reversal of an entry, of the same day, under the next number."""
    entry_id = uuid7()
    await tx.execute(
        """
        with counter as (
          update organizations set last_entry_number = last_entry_number + 1
          where organization_id = $1 returning last_entry_number as number
        ),
        lines as (
          insert into postings (organization_id, entry_number, line, posting_date, account_code,
            amount, original_amount, original_amount_currency_code, counterparty, invoice_id,
            is_reversal)
          select $1, number, line, posting_date, account_code, -amount, -original_amount,
            original_amount_currency_code, counterparty, invoice_id, true
          from counter, postings where organization_id = $1 and entry_number = $3
        )
        insert into journal_entries (organization_id, number, journal_entry_id, posting_date,
          description, source_type, source_id, source_version, reversed_entry_id, posting_count)
        select $1, counter.number, $2, posting_date,
          'Reversal of ' || e.number || ': ' || description, source_type, source_id, $4,
          journal_entry_id, posting_count
        from counter, journal_entries e where organization_id = $1 and e.number = $3
        """,
        organization_id, entry_id, number, source_version,
    )  # fmt: skip
    rows = await tx.fetch(f"{_ENTRY} where e.journal_entry_id = $1 order by p.line", entry_id)
    [made] = _entries(rows)
    return made


async def get_standing_entry(tx: Tx, source_type: str, source_id: str) -> Record | None:
    """Number and source_version of the entry of a source, unless it was reversed."""
    row = await tx.fetchrow(
        """
        select number, source_version, reversed_entry_id from journal_entries
        where source_type = $1 and source_id = $2 order by source_version desc limit 1
        """,
        source_type, source_id,
    )  # fmt: skip
    return row if row and row["reversed_entry_id"] is None else None


async def get_entry(db: Database, organization_id: str, journal_entry_id: str) -> JournalEntry:
    """One entry. Raises JournalEntryNotFound."""
    rows = await db.read(
        organization_id, f"{_ENTRY} where e.journal_entry_id = $1 order by p.line", journal_entry_id
    )
    for entry in _entries(rows):
        return entry
    raise errors.JournalEntryNotFound("There is no such entry.")


async def list_entries(
    db: Database,
    organization_id: str,
    before: int | None,
    limit: int,
    *,
    account_code: str = "",
    source_type: str = "",
    source_id: str = "",
) -> list[JournalEntry]:
    """Entries before a number, newest first; of an account or a source where these are given."""
    wanted, args = ["true"], []
    for condition, value in (
        ("number < {}", before),
        ("number in (select entry_number from postings where account_code = {})", account_code),
        ("source_type = {}", source_type),
        ("source_id = {}", source_id),
    ):
        if value:
            args.append(value)
            wanted.append(condition.format(f"${len(args)}"))
    rows = await db.read(
        organization_id,
        f"""
        {_ENTRY} where e.number in (
          select number from journal_entries where {" and ".join(wanted)}
          order by number desc limit ${len(args) + 1}
        )
        order by e.number desc, p.line
        """,
        *args, limit,
    )  # fmt: skip
    return _entries(rows)


def _entries(rows: Sequence[Record]) -> list[JournalEntry]:
    """Entries of the rows of their postings, in the order in which they come."""
    found: dict[int, JournalEntry] = {}
    for row in rows:
        entry = found.get(row["number"])
        if entry is None:
            entry = found[row["number"]] = to_message(row, JournalEntry)
        entry.postings.append(to_message(row, Posting))
    return list(found.values())
