"""Invoices: fields, state, and by what they are found."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from auditron.invoice.v1.invoice_pb2 import Document, Invoice
from google.protobuf.message import Message

from libs import events
from libs.pg import Database, Record, Tx
from libs.pg.rows import columns_of, places, to_message, values
from libs.rpc import uuid_or
from libs.rpc.pages import PAGE_BYTES_MAX

from .. import errors
from .documents import IDENTITY, SAME

# What the row's own version and defaults say.
BY_ITSELF = ("create_time", "update_time", "etag")
# What stays as it was inserted.
FIXED = ("invoice_id", "document", "job_id", "creator")
# What decisions and payments change.
DECIDED = ("state", "warnings", "decisions", "paid", "currency_code")
INSERTED = columns_of(Invoice, *BY_ITSELF, one_currency=True)
WRITTEN = columns_of(Invoice, *BY_ITSELF, *FIXED, one_currency=True)

ETAG = "version::text as etag"
LISTED = ", ".join((*columns_of(Invoice, "etag", "readings", one_currency=True), ETAG))
WHOLE = f"{LISTED}, readings"
KEPT = f"{WHOLE}, confirmed_fields, reading_warnings, last_editor"


@dataclass(frozen=True)
class Kept:
    """An invoice with what is kept of it beside the contract."""

    invoice: Invoice
    # The fields that no reading changes.
    confirmed_fields: frozenset[str] = frozenset()
    # Of the warnings those that came with the reading.
    reading_warnings: tuple[str, ...] = ()
    last_editor: str = ""


@dataclass(frozen=True)
class Found:
    """By what an invoice is found: its words, and what duplicates have in common."""

    words: Sequence[str] = ()
    name_key: str | None = None
    tax_key: str | None = None


async def get_invoice(db: Database, organization_id: str, invoice_id: str) -> Invoice:
    """Return an invoice, in one round trip. Raises InvoiceNotFound."""
    return (await get_kept(db, organization_id, invoice_id)).invoice


async def get_kept(db: Database, organization_id: str, invoice_id: str) -> Kept:
    """Return an invoice with what is kept beside it, in one round trip. Raises InvoiceNotFound."""
    sql = f"select {KEPT} from invoices where invoice_id = $1"
    rows = await db.read(organization_id, sql, _identifier(invoice_id))
    if not rows:
        raise errors.InvoiceNotFound("There is no such invoice.")
    return _kept(rows[0])


async def list_invoices(
    db: Database,
    organization_id: str,
    *,
    states: list[int] | None = None,
    direction: int | None = None,
    start_date: date | None = None,
    end_date: date | None = None,
    words: list[str] | None = None,
    before: str | None = None,
    size: int,
) -> tuple[list[Invoice], bool]:
    """Return invoices newest first, without readings, and whether more follow.

    At most `size`, and fewer where they are large. None does not narrow, no words find nothing.
    """
    given = (states, direction, start_date, end_date)
    if words is None:
        arguments: list[Any] = [before, *given]
        patterns = (
            "invoice_id < ${}", "state = any (${}::int[])", "direction = ${}",
            "issue_date >= ${}", "issue_date <= ${}",
        )  # fmt: skip
        used = [(pattern, one) for pattern, one in zip(patterns, arguments, strict=True) if one]
        arguments = [one for _, one in used]
        narrowing = [pattern.format(number) for number, (pattern, _) in enumerate(used, 1)]
    else:
        lexemes = (f"'{lexeme}':*" for lexeme in _lexemes(organization_id, words))
        arguments = [" & ".join(lexemes), before, *given, size + 1]
        narrowing = ["invoice_id = any (array(select find_invoices($1, $2, $3, $4, $5, $6, $7)))"]
    sql = _page(" and ".join(narrowing) or "true", len(arguments) + 1)
    rows = await db.read(organization_id, sql, *arguments, size)
    return [to_message(row, Invoice) for row in rows], bool(rows and rows[-1]["followed"])


def _page(condition: str, size: int) -> str:
    """Return the select of one page; $size is how many it holds at most."""
    return f"""
        select * from (
          select p.*, sum(list_bytes) over w as bytes_so_far, row_number() over w as place,
            lead(true) over w as followed
          from (
            select {LISTED}, list_bytes from invoices where {condition}
            order by invoice_id desc limit ${size} + 1
          ) p
          window w as (order by invoice_id desc)
        ) q
        where place <= ${size} and (bytes_so_far <= {PAGE_BYTES_MAX} or place = 1)
        order by invoice_id desc
        """


async def lock_invoice(tx: Tx, invoice_id: str) -> Kept:
    """Return an invoice that nobody else changes meanwhile. Raises InvoiceNotFound."""
    row = await tx.fetchrow(
        f"select {KEPT} from invoices where invoice_id = $1 for update", _identifier(invoice_id)
    )
    if row is None:
        raise errors.InvoiceNotFound("There is no such invoice.")
    return _kept(row)


async def insert_invoice(tx: Tx, organization_id: str, kept: Kept, found: Found) -> Kept:
    """Add an invoice."""
    row = await tx.fetchrow(
        f"""
        insert into invoices (organization_id, confirmed_fields, reading_warnings, last_editor,
          name_key, tax_key, search, list_bytes, {", ".join(INSERTED)})
        values ($1, $2, $3, $4, $5, $6, array_to_tsvector($7::text[]), $8, {places(INSERTED, 9)})
        returning {KEPT}
        """,
        organization_id, *_beside(organization_id, kept, found), *values(kept.invoice, *INSERTED),
    )  # fmt: skip
    assert row is not None, "returning"
    return _kept(row)


async def update_invoice(tx: Tx, organization_id: str, kept: Kept, found: Found) -> Kept:
    """Write an invoice that is locked. Raises InvoiceDuplicate."""
    assigned = [f"{name} = ${number}" for number, name in enumerate(WRITTEN, 9)]
    row = await _changed(
        tx,
        f"""
        update invoices set version = version + 1, update_time = now(), confirmed_fields = $2,
          reading_warnings = $3, last_editor = $4, name_key = $5, tax_key = $6,
          search = array_to_tsvector($7::text[]), list_bytes = $8, {", ".join(assigned)}
        where invoice_id = $1 returning {KEPT}
        """,
        kept.invoice.invoice_id, *_beside(organization_id, kept, found),
        *values(kept.invoice, *WRITTEN),
    )  # fmt: skip
    return _kept(row)


async def update_state(tx: Tx, invoice: Invoice) -> Invoice:
    """Write state, decisions and what is paid of a locked invoice. Raises InvoiceDuplicate."""
    assigned = [f"{name} = ${number}" for number, name in enumerate(DECIDED, 3)]
    row = await _changed(
        tx,
        f"""
        update invoices set version = version + 1, update_time = now(), list_bytes = $2,
          {", ".join(assigned)}
        where invoice_id = $1 returning {WHOLE}
        """,
        invoice.invoice_id, _list_bytes(invoice), *values(invoice, *DECIDED),
    )  # fmt: skip
    return to_message(row, Invoice)


async def get_invoice_of(tx: Tx, document: Document) -> Invoice:
    """Return the invoice that a document has made; pages cut again count before the same bytes."""
    row = await tx.fetchrow(
        f"""
        select {WHOLE} from invoices where invoice_id = (
          select invoice_id from documents where {SAME} order by sha256 = $1 limit 1)
        """,
        *values(document, *IDENTITY),
    )
    assert row is not None, "neither is ever deleted"
    return to_message(row, Invoice)


async def find_duplicate(
    tx: Tx, invoice_id: str, found: Found, states: Collection[int]
) -> str | None:
    """Return another invoice in one of the states with the same counterparty and number."""
    duplicate = await tx.fetchval(
        """
        select invoice_id from invoices where (name_key = $2 or tax_key = $3)
          and invoice_id <> $1 and state = any ($4::int[]) limit 1
        """,
        invoice_id, found.name_key, found.tax_key, list(states),
    )  # fmt: skip
    return str(duplicate) if duplicate else None


async def append_fact(
    tx: Tx, organization_id: str, fact: type[Message], invoice: Invoice, actor: str
) -> None:
    """State a fact about an invoice that this transaction has written."""
    payload: Any = fact
    await events.append(
        tx,
        organization_id=organization_id,
        aggregate_type="invoice",
        aggregate_id=invoice.invoice_id,
        aggregate_version=int(invoice.etag),
        payload=payload(invoice=invoice),
        actor=actor,
    )


async def update_payment(
    tx: Tx, organization_id: str, invoice_id: str, match_id: str, amount: Decimal, version: int
) -> bool:
    """Keep how much of an invoice a match pays; False if this or a later version is known."""
    new = await tx.fetchval(
        """
        insert into payments as p (organization_id, invoice_id, match_id, amount, version)
        values ($1, $2, $3, $4, $5)
        on conflict (organization_id, invoice_id, match_id) do update
        set amount = excluded.amount, version = excluded.version
        where p.version < excluded.version
        returning true
        """,
        organization_id, invoice_id, match_id, amount, version,
    )  # fmt: skip
    return bool(new)


async def get_paid(tx: Tx, invoice_id: str) -> Decimal:
    """Return how much of an invoice all matches together pay."""
    paid = await tx.fetchval("select sum(amount) from payments where invoice_id = $1", invoice_id)
    return Decimal(paid or 0)


def _identifier(invoice_id: str) -> str:
    """Return the id as it is stored. Raises InvoiceNotFound for what is none."""
    return uuid_or(errors.InvoiceNotFound("There is no such invoice."), invoice_id)


def _kept(row: Record) -> Kept:
    return Kept(
        to_message(row, Invoice),
        frozenset(row["confirmed_fields"]),
        tuple(row["reading_warnings"]),
        row["last_editor"],
    )


def _beside(organization_id: str, kept: Kept, found: Found) -> list[Any]:
    """Return the values of the columns that the contract does not have, the size last."""
    return [
        sorted(kept.confirmed_fields), list(kept.reading_warnings), kept.last_editor,
        found.name_key, found.tax_key, _lexemes(organization_id, found.words),
        _list_bytes(kept.invoice),
    ]  # fmt: skip


def _lexemes(organization_id: str, words: Sequence[str]) -> list[str]:
    """Return the words as they stand in the index; of two organizations they rarely meet."""
    prefix = organization_id[-12:].lower()
    return [f"{prefix}{word}" for word in words]


def _list_bytes(invoice: Invoice) -> int:
    readings = sum(reading.ByteSize() for reading in invoice.readings)
    return invoice.ByteSize() - readings


async def _changed(tx: Tx, sql: str, *arguments: Any) -> Record:
    try:
        row = await tx.fetchrow(sql, *arguments)
    except asyncpg.UniqueViolationError:
        raise errors.InvoiceDuplicate(
            "An invoice of the same counterparty and number is approved."
        ) from None
    assert row is not None, "it was locked"
    return row
