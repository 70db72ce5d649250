"""Documents, and how many there may be."""

from collections.abc import Sequence

from auditron.invoice.v1.invoice_pb2 import Document

from libs.pg import Database, Tx
from libs.pg.rows import columns_of, places, values

DOCUMENT = columns_of(Document)
# By what a document is known: its bytes, or that it is the same pages of another one.
IDENTITY = ("sha256", "source_invoice_id", "first_page", "last_page")
SAME = "(sha256 = $1 or (source_invoice_id = $2 and first_page = $3 and last_page = $4))"


async def get_upload_standing(
    db: Database, organization_id: str, document: Document, default_limit: int
) -> tuple[bool, bool]:
    """Return whether the document is here already, and whether one more may come."""
    [row] = await db.read(
        organization_id,
        f"""
        select exists (select from documents where {SAME}) as is_known,
          l.most = 0 or l.most > coalesce((
            select document_count from document_counts
            where month = date_trunc('month', now() at time zone 'utc')::date
          ), 0) as is_allowed
        from (select coalesce((select documents_per_month from entitlements), $5) as most) l
        """,
        *values(document, *IDENTITY), default_limit,
    )  # fmt: skip
    return row["is_known"], row["is_allowed"]


async def insert_document(
    tx: Tx, organization_id: str, invoice_id: str, document: Document
) -> bool:
    """Add a document; False if it is here already. One being added is waited for."""
    new = await tx.fetchval(
        f"""
        insert into documents (organization_id, invoice_id, {", ".join(DOCUMENT)})
        values ($1, $2, {places(DOCUMENT, 3)})
        on conflict do nothing returning true
        """,
        organization_id, invoice_id, *values(document, *DOCUMENT),
    )  # fmt: skip
    return bool(new)


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
