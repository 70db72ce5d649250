"""Every SQL statement of invoice."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
from auditron.invoice.v1.invoice_pb2 import ApprovalPolicy, Document, Invoice
from google.protobuf.message import Message

from libs import events
from libs.pg import Database, Record, Tx
from libs.pg.rows import to_message, values

from . import errors

# Of one answer, so that it stays below a message's 4 MB.
PAGE_BYTES_MAX = 3_000_000

DECIDED = ("state", "warnings", "decisions", "paid", "currency_code")
WRITTEN = (
    "direction", "document_type", "invoice_number", "supplier", "customer", "issue_date",
    "due_date", "net", "tax", "gross", "tax_subtotals", "lines", "order_reference", "account_code",
    "readings", "reading_failure", *DECIDED,
)  # fmt: skip
INSERTED = ("invoice_id", "document", "job_id", "creator", *WRITTEN)

LISTED = """invoice_id, state, direction, document_type, invoice_number, supplier, customer,
  issue_date, due_date, net, tax, gross, paid, currency_code, tax_subtotals, lines,
  order_reference, account_code, document, job_id, warnings, reading_failure, decisions, creator,
  create_time, update_time, version::text as etag"""
WHOLE = f"{LISTED}, readings"
KEPT = f"{WHOLE}, confirmed_fields, reading_warnings, last_editor"
POLICY = """auto_approve_confidence, auto_approve_limit, auto_approve_limit_currency_code,
  second_person_required, version::text as etag"""


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


# Invoices.


async def get_invoice(db: Database, organization_id: str, invoice_id: str) -> Invoice:
    """Return an invoice, in one round trip. Raises InvoiceNotFound."""
    sql = f"select {WHOLE} from invoices where invoice_id = $1"
    rows = await db.read(organization_id, sql, _identifier(invoice_id))
    if not rows:
        raise errors.InvoiceNotFound("There is no such invoice.")
    return to_message(rows[0], Invoice)


async def list_invoices(
    db: Database,
    organization_id: str,
    *,
    states: list[int] | None = None,
    direction: int | None = None,
    start_date: date | None = None,
    end_date: date | None = None,
    words: list[str] | None = None,
    before: UUID | None = None,
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
        values ({_places(1, 7)}, array_to_tsvector($7::text[]), {_places(8, 9 + len(INSERTED))})
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


# Documents, and how many there may be.


async def get_upload_standing(
    db: Database, organization_id: str, sha256: str, default_limit: int
) -> tuple[bool, bool]:
    """Return whether a document of these bytes is here already, and whether one more may come."""
    [row] = await db.read(
        organization_id,
        """
        select exists (select from documents where sha256 = $1) as is_known,
          l.most = 0 or l.most > coalesce((
            select document_count from document_counts
            where month = date_trunc('month', now() at time zone 'utc')::date
          ), 0) as is_allowed
        from (select coalesce((select documents_per_month from entitlements), $2) as most) l
        """,
        sha256, default_limit,
    )  # fmt: skip
    return row["is_known"], row["is_allowed"]


async def insert_document(
    tx: Tx, organization_id: str, invoice_id: str, document: Document
) -> bool:
    """Add a document; False if there is one of the same bytes. One being added is waited for."""
    columns = ("document_id", "filename", "content_type", "size_bytes", "sha256")
    new = await tx.fetchval(
        f"""
        insert into documents (organization_id, invoice_id, {", ".join(columns)})
        values ({_places(1, 3 + len(columns))})
        on conflict (organization_id, sha256) do nothing returning true
        """,
        organization_id, invoice_id, *values(document, *columns),
    )  # fmt: skip
    return bool(new)


async def get_invoice_of(tx: Tx, sha256: str) -> Invoice:
    """Return the invoice that a document of these bytes has made."""
    row = await tx.fetchrow(
        f"""
        select {WHOLE} from invoices
        where invoice_id = (select invoice_id from documents where sha256 = $1)
        """,
        sha256,
    )
    assert row is not None, "neither is ever deleted"
    return to_message(row, Invoice)


async def count_document(tx: Tx, organization_id: str, default_limit: int) -> bool:
    """Count one more document of this month; False if the plan allows no more."""
    counted = await tx.fetchval(
        """
        insert into document_counts as c (organization_id, month, document_count)
        values ($1, date_trunc('month', now() at time zone 'utc')::date, 1)
        on conflict (organization_id, month) do update set document_count = c.document_count + 1
        where c.document_count < (
          select coalesce(nullif(coalesce((select documents_per_month from entitlements), $2), 0),
            2147483647)
        )
        returning true
        """,
        organization_id, default_limit,
    )  # fmt: skip
    return bool(counted)


async def list_unnamed_documents(tx: Tx, keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of (organization_id, document_id) that no row has."""
    rows = await tx.fetch(
        "select * from unnamed_documents($1, $2)", *map(list, zip(*keys, strict=True))
    )
    return [(str(row["organization_id"]), str(row["document_id"])) for row in rows]


async def update_entitlements(
    tx: Tx, organization_id: str, documents_per_month: int, version: int
) -> None:
    """Keep what the plan allows, unless a later version is known."""
    await tx.execute(
        """
        insert into entitlements as e (organization_id, documents_per_month, version)
        values ($1, $2, $3)
        on conflict (organization_id) do update
        set documents_per_month = excluded.documents_per_month, version = excluded.version
        where e.version < excluded.version
        """,
        organization_id, documents_per_month, version,
    )  # fmt: skip


# Payments.


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


# The approval policy.


async def get_policy(tx: Tx, organization_id: str) -> ApprovalPolicy:
    """Return the policy; one that asks for a person every time where none was set."""
    row = await tx.fetchrow(
        f"select {POLICY} from approval_policies where organization_id = $1", organization_id
    )
    return to_message(row, ApprovalPolicy) if row else ApprovalPolicy(etag="0")


async def read_policy(db: Database, organization_id: str) -> ApprovalPolicy:
    """Return the policy as get_policy does, in one round trip."""
    rows = await db.read(organization_id, f"select {POLICY} from approval_policies")
    return to_message(rows[0], ApprovalPolicy) if rows else ApprovalPolicy(etag="0")


async def update_policy(tx: Tx, organization_id: str, policy: ApprovalPolicy) -> ApprovalPolicy:
    """Replace the policy whose etag this one has. Raises EtagMismatch."""
    columns = (
        "auto_approve_confidence", "auto_approve_limit", "auto_approve_limit_currency_code",
        "second_person_required",
    )  # fmt: skip
    row = await tx.fetchrow(
        f"""
        insert into approval_policies as p (organization_id, {", ".join(columns)})
        values ({_places(1, 2 + len(columns))})
        on conflict (organization_id) do update
        set {", ".join(f"{name} = excluded.{name}" for name in columns)}, version = p.version + 1
        where p.version::text = $6
        returning {POLICY}
        """,
        organization_id, *values(policy, *columns), policy.etag,
    )  # fmt: skip
    if row is None:
        raise errors.EtagMismatch("The policy was changed meanwhile.")
    return to_message(row, ApprovalPolicy)


def _identifier(invoice_id: str) -> UUID:
    """Return the id as PostgreSQL takes it. Raises InvoiceNotFound for what is none."""
    try:
        return UUID(invoice_id)
    except ValueError:
        raise errors.InvoiceNotFound("There is no such invoice.") from None


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


def _places(first: int, end: int) -> str:
    return ", ".join(f"${number}" for number in range(first, end))


async def _changed(tx: Tx, sql: str, *arguments: Any) -> Record:
    try:
        row = await tx.fetchrow(sql, *arguments)
    except asyncpg.UniqueViolationError:
        raise errors.InvoiceDuplicate(
            "An invoice of the same counterparty and number is approved."
        ) from None
    assert row is not None, "it was locked"
    return row
