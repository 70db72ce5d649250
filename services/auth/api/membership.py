"""How persons come to belong to organizations, and what the log is told of members."""

from auditron.auth.v1 import auth_events_pb2, auth_pb2

from libs.events import append
from libs.pg import Record, Tx, use_organization, uuid7

from .. import errors, rules, store

MemberFact = type[auth_events_pb2.MemberChanged] | type[auth_events_pb2.MemberRemoved]


async def create_organization(
    tx: Tx, wanted: auth_pb2.Organization, owner: auth_pb2.User
) -> auth_pb2.Organization:
    """Add an organization with its owner; the transaction is left in its name."""
    organization_id, actor = uuid7(), f"user:{owner.user_id}"
    await use_organization(tx, organization_id)
    organization = await store.insert_organization(tx, organization_id, wanted)
    await append(
        tx,
        organization_id=organization_id,
        aggregate_type="organization",
        aggregate_id=organization_id,
        aggregate_version=1,
        payload=auth_events_pb2.OrganizationCreated(organization=organization),
        actor=actor,
    )
    await join(tx, organization_id, owner, auth_pb2.ROLE_OWNER)
    return organization


async def lock_with_room(tx: Tx, user_id: str) -> auth_pb2.User:
    """A person who may join one organization more, locked; the transaction names the person.

    Raises TooManyOrganizations.
    """
    user = await store.lock_user(tx, user_id)
    if len(await store.list_organization_ids(tx, user_id)) >= rules.ORGANIZATIONS_MAX:
        raise errors.TooManyOrganizations(
            f"A person belongs to at most {rules.ORGANIZATIONS_MAX} organizations."
        )
    return user


async def join(tx: Tx, organization_id: str, user: auth_pb2.User, role: int) -> None:
    """Let a person join the transaction's organization. Raises AlreadyMember."""
    row = await store.insert_member(tx, organization_id, user, role)
    await publish(tx, organization_id, row, auth_events_pb2.MemberChanged, f"user:{user.user_id}")


async def publish(
    tx: Tx, organization_id: str, row: Record, fact: MemberFact, actor: str
) -> auth_pb2.Member:
    """State what became of a member, whose row has its version, and return the member."""
    member = store.to_member(row)
    await append(
        tx,
        organization_id=organization_id,
        aggregate_type="member",
        aggregate_id=member.user_id,
        aggregate_version=row["version"],
        payload=fact(member=member),
        actor=actor,
    )
    return member
