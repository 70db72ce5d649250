"""Organizations."""

from auditron.auth.v1.auth_pb2 import Organization

from libs.pg import Tx
from libs.pg.rows import columns_of, to_message

from .. import errors

ORGANIZATION = ", ".join((*columns_of(Organization, "etag"), "version::text as etag"))


async def insert_organization(tx: Tx, organization_id: str, wanted: Organization) -> Organization:
    """Add an organization."""
    row = await tx.fetchrow(
        f"""
        insert into organizations
          (organization_id, display_name, base_currency_code, region_code, tax_ids)
        values ($1, $2, $3, $4, $5) returning {ORGANIZATION}
        """,
        organization_id, wanted.display_name, wanted.base_currency_code, wanted.region_code,
        list(wanted.tax_ids),
    )  # fmt: skip
    return to_message(row, Organization)


async def get_organization(tx: Tx, organization_id: str) -> Organization:
    """An organization. Raises OrganizationNotFound."""
    row = await tx.fetchrow(
        f"select {ORGANIZATION} from organizations where organization_id = $1", organization_id
    )
    if row is None:
        raise errors.OrganizationNotFound("There is no such organization.")
    return to_message(row, Organization)


async def update_organization(tx: Tx, wanted: Organization) -> Organization:
    """Replace what may change. Raises EtagMismatch."""
    row = await tx.fetchrow(
        f"""
        update organizations
        set display_name = $2, region_code = $3, tax_ids = $4, version = version + 1
        where organization_id = $1 and ($5 = '' or version::text = $5) returning {ORGANIZATION}
        """,
        wanted.organization_id, wanted.display_name, wanted.region_code, list(wanted.tax_ids),
        wanted.etag,
    )  # fmt: skip
    if row is None:
        raise errors.EtagMismatch("The organization was changed meanwhile.")
    return to_message(row, Organization)


async def list_organization_ids(tx: Tx, user_id: str) -> list[str]:
    """The organizations that a person belongs to, in the order of joining."""
    rows = await tx.fetch("select organization_id from organizations_of($1)", user_id)
    return [str(row["organization_id"]) for row in rows]
