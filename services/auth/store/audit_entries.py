"""Audit entries."""

from auditron.auth.v1.auth_pb2 import AuditEntry

from libs.pg import Tx, uuid7
from libs.pg.rows import columns_of, to_message

AUDIT_ENTRY = ", ".join(columns_of(AuditEntry))


async def insert_audit_entry(
    tx: Tx, organization_id: str, action: str, actor: str, subject: str, ip_address: str,
    request_id: str,
) -> None:  # fmt: skip
    """Note what happened."""
    await tx.execute(
        """
        insert into audit_entries (organization_id, audit_entry_id, action, actor, subject,
          ip_address, request_id) values ($1, $2, $3, $4, $5, $6, $7)
        """,
        organization_id, uuid7(), action, actor, subject, ip_address, request_id,
    )  # fmt: skip


async def list_audit_entries(tx: Tx, before: str | None, limit: int) -> list[AuditEntry]:
    """Entries, newest first, older than an entry's id."""
    rows = await tx.fetch(
        f"""
        select {AUDIT_ENTRY} from audit_entries where $1::uuid is null or audit_entry_id < $1
        order by audit_entry_id desc limit $2
        """,
        before, limit,
    )  # fmt: skip
    return [to_message(row, AuditEntry) for row in rows]
