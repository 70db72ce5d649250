"""Approval policies."""

from auditron.invoice.v1.invoice_pb2 import ApprovalPolicy

from libs.pg import Database, Tx
from libs.pg.rows import columns_of, places, to_message, values

from .. import errors

WRITTEN = columns_of(ApprovalPolicy, "etag")
POLICY = ", ".join((*WRITTEN, "version::text as etag"))


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
    assigned = ", ".join(f"{name} = excluded.{name}" for name in WRITTEN)
    row = await tx.fetchrow(
        f"""
        insert into approval_policies as p (organization_id, {", ".join(WRITTEN)})
        values ($1, {places(WRITTEN, 3)})
        on conflict (organization_id) do update set {assigned}, version = p.version + 1
        where p.version::text = $2
        returning {POLICY}
        """,
        organization_id, policy.etag, *values(policy, *WRITTEN),
    )  # fmt: skip
    if row is None:
        raise errors.EtagMismatch("The policy was changed meanwhile.")
    return to_message(row, ApprovalPolicy)
