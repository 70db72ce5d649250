"""Organizations, roles and the audit entries."""

from auditron.auth.v1 import auth_events_pb2, auth_pb2

from libs.events import append
from libs.pg import Database, requests, use_organization
from libs.rpc import caller, check, page_asked, page_of

from .. import rules, store
from ..settings import Settings
from .membership import create_organization, lock_with_room
from .requests import Context, note
from .sessions import person
from .tokens import TokensApi


class OrganizationsApi:
    """The legal entities of a person."""

    def __init__(self, db: Database, settings: Settings, tokens: TokensApi) -> None:
        self._db = db
        self._settings = settings
        self._tokens = tokens

    async def CreateOrganization(
        self, request: auth_pb2.CreateOrganizationRequest, context: Context
    ) -> auth_pb2.Organization:
        check(rules.organization_violations(request.organization))
        method, owner = "CreateOrganization", person()
        async with self._db.tenant(owner) as tx:
            before = await requests.once(
                tx, owner, request.request_id, method, request, auth_pb2.Organization
            )
            if before is not None:
                return before
            user = await lock_with_room(tx, owner)
            organization = await create_organization(tx, request.organization, user)
            await note(
                tx, context, organization.organization_id, "organization.created",
                caller().actor, f"organization:{organization.organization_id}",
            )  # fmt: skip
            await use_organization(tx, owner)
            await requests.remember(tx, owner, request.request_id, organization)
        return organization

    async def ListOrganizations(
        self, request: auth_pb2.ListOrganizationsRequest, context: Context
    ) -> auth_pb2.ListOrganizationsResponse:
        found = []
        async with self._db.tenant(person()) as tx:
            for organization_id in await store.list_organization_ids(tx, person()):
                await use_organization(tx, organization_id)
                found.append(await store.get_organization(tx, organization_id))
        return auth_pb2.ListOrganizationsResponse(organizations=found)

    async def GetCurrentOrganization(
        self, request: auth_pb2.GetCurrentOrganizationRequest, context: Context
    ) -> auth_pb2.Organization:
        async with self._db.tenant(caller().organization_id) as tx:
            return await store.get_organization(tx, caller().organization_id)

    async def UpdateCurrentOrganization(
        self, request: auth_pb2.UpdateCurrentOrganizationRequest, context: Context
    ) -> auth_pb2.Organization:
        organization_id = caller().organization_id
        async with self._db.tenant(organization_id) as tx:
            wanted = await store.get_organization(tx, organization_id)
            wanted.etag = request.organization.etag
            rules.merge(request.organization, wanted, request.update_mask)
            check(rules.organization_violations(wanted))
            organization = await store.update_organization(tx, wanted)
            await append(
                tx,
                organization_id=organization_id,
                aggregate_type="organization",
                aggregate_id=organization_id,
                aggregate_version=int(organization.etag),
                payload=auth_events_pb2.OrganizationUpdated(organization=organization),
                actor=caller().actor,
            )
            await note(
                tx, context, organization_id, "organization.updated", caller().actor,
                f"organization:{organization_id}",
            )  # fmt: skip
        return organization

    async def ListRoles(
        self, request: auth_pb2.ListRolesRequest, context: Context
    ) -> auth_pb2.ListRolesResponse:
        every = [
            auth_pb2.ListRolesResponse.RolePermissions(
                role=auth_pb2.Role.Name(role), permissions=held.split()
            )
            for role, held in rules.PERMISSIONS.items()
        ]
        return auth_pb2.ListRolesResponse(roles=every)

    async def ListAuditEntries(
        self, request: auth_pb2.ListAuditEntriesRequest, context: Context
    ) -> auth_pb2.ListAuditEntriesResponse:
        size, filters, before = page_asked(request, str)
        async with self._db.tenant(caller().organization_id) as tx:
            found = await store.list_audit_entries(tx, before, size + 1)
        page, token = page_of(found, size, filters, lambda last: [last.audit_entry_id])
        return auth_pb2.ListAuditEntriesResponse(audit_entries=page, next_page_token=token)
