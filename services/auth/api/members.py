"""Members and invites."""

import hmac
from datetime import UTC, datetime

from auditron.auth.v1 import auth_events_pb2, auth_pb2
from google.protobuf.empty_pb2 import Empty

from libs.pg import Database, Tx, requests, use_organization, uuid7
from libs.rpc import caller, check, page_asked, page_of, uuid_or

from .. import errors, rules, store
from ..settings import Settings
from .credentials import Credentials
from .membership import join, lock_with_room, publish
from .requests import Context, device, note
from .revocation import Revocation
from .tokens import TokensApi


class MembersApi:
    """Who belongs to an organization."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        tokens: TokensApi,
        credentials: Credentials,
        revocation: Revocation,
    ) -> None:
        self._db = db
        self._settings = settings
        self._tokens = tokens
        self._credentials = credentials
        self._revocation = revocation

    async def ListMembers(
        self, request: auth_pb2.ListMembersRequest, context: Context
    ) -> auth_pb2.ListMembersResponse:
        size, filters, after = page_asked(request, datetime, str)
        async with self._db.tenant(caller().organization_id) as tx:
            found = await store.list_members(tx, after, size + 1)
        page, token = page_of(
            found, size, filters, lambda last: [last.create_time.ToDatetime(UTC), last.user_id]
        )
        return auth_pb2.ListMembersResponse(members=page, next_page_token=token)

    async def UpdateMember(
        self, request: auth_pb2.UpdateMemberRequest, context: Context
    ) -> auth_pb2.Member:
        wanted, organization_id = request.member, caller().organization_id
        check(rules.invite_violations("member@example.com", wanted.role))
        rules.check_role_within(wanted.role, caller().permissions)
        user_id = uuid_or(_no_member(), wanted.user_id)
        async with self._db.tenant(organization_id) as tx:
            await self._check_may_change(tx, user_id, stays_owner=_is_owner(wanted.role))
            row = await store.update_member(tx, user_id, role=wanted.role)
            changed = auth_events_pb2.MemberChanged
            member = await publish(tx, organization_id, row, changed, caller().actor)
            ended = await store.revoke_sessions(tx, user_id)
            await note(
                tx, context, organization_id, "member.role_changed", caller().actor,
                f"user:{user_id}",
            )  # fmt: skip
        await self._revocation.tell(ended)  # tokens hold the permissions of the old role
        return member

    async def RemoveMember(self, request: auth_pb2.RemoveMemberRequest, context: Context) -> Empty:
        organization_id = caller().organization_id
        user_id = uuid_or(_no_member(), request.user_id)
        async with self._db.tenant(organization_id) as tx:
            await self._check_may_change(tx, user_id, stays_owner=False)
            row = await store.delete_member(tx, user_id)
            await publish(tx, organization_id, row, auth_events_pb2.MemberRemoved, caller().actor)
            ended = await store.revoke_sessions(tx, user_id)
            await note(
                tx, context, organization_id, "member.removed", caller().actor, f"user:{user_id}"
            )
        await self._revocation.tell(ended)
        return Empty()

    async def CreateInvite(
        self, request: auth_pb2.CreateInviteRequest, context: Context
    ) -> auth_pb2.Invite:
        check(rules.invite_violations(request.email, request.role))
        rules.check_role_within(request.role, caller().permissions)
        organization_id, method = caller().organization_id, "CreateInvite"
        async with self._db.tenant(organization_id) as tx:
            invite = await requests.once(
                tx, organization_id, request.request_id, method, request, auth_pb2.Invite
            )
            if invite is None:
                invite = await self._insert_invite(tx, organization_id, request, context)
                await requests.remember(tx, organization_id, request.request_id, invite)
        invite.token = f"{invite.invite_id}.{self._secret_of(invite.invite_id).hex()}"
        return invite

    async def ListInvites(
        self, request: auth_pb2.ListInvitesRequest, context: Context
    ) -> auth_pb2.ListInvitesResponse:
        size, filters, before = page_asked(request, str)
        async with self._db.tenant(caller().organization_id) as tx:
            found = await store.list_invites(tx, before, size + 1)
        page, token = page_of(found, size, filters, lambda last: [last.invite_id])
        return auth_pb2.ListInvitesResponse(invites=page, next_page_token=token)

    async def AcceptInvite(
        self, request: auth_pb2.AcceptInviteRequest, context: Context
    ) -> auth_pb2.Tokens:
        invite_id = self._proven_id(request.token)
        async with self._db.unscoped() as tx:
            organization_id = await store.find_invite(tx, invite_id)
            if organization_id is None:
                raise _no_invite()
            await use_organization(tx, organization_id)
            email = (await store.lock_invite(tx, invite_id))["email"]
            user_id = await store.find_user(tx, email)
        encoded = None
        if user_id:  # whoever is known proves it
            await self._credentials.prove(email, request.password, context)
        else:
            check(rules.newcomer_violations(request))
            encoded = await self._credentials.hash(request.password)
        async with self._db.tenant(organization_id) as tx:
            invite = await store.lock_invite(tx, invite_id)
            await store.accept_invite(tx, invite_id)
            user_id = user_id or uuid7()
            await use_organization(tx, user_id)
            if encoded:
                name = request.display_name or email.partition("@")[0]
                await store.insert_user(tx, user_id, email, encoded, name)
            user = await lock_with_room(tx, user_id)
            await use_organization(tx, organization_id)
            await join(tx, organization_id, user, invite["role"])
            await note(
                tx, context, organization_id, "invite.accepted", f"user:{user_id}",
                f"invite:{invite_id}",
            )  # fmt: skip
            return await self._tokens.open_session(tx, organization_id, user_id, device(context))

    async def _insert_invite(
        self,
        tx: Tx,
        organization_id: str,
        request: auth_pb2.CreateInviteRequest,
        context: Context,
    ) -> auth_pb2.Invite:
        if await store.has_member(tx, request.email):
            raise errors.AlreadyMember("A person with this address is a member.")
        wanted = auth_pb2.Invite(invite_id=uuid7(), email=request.email, role=request.role)
        life = self._settings.invite_life
        invite = await store.insert_invite(tx, organization_id, wanted, life)
        await note(
            tx, context, organization_id, "invite.created", caller().actor,
            f"invite:{invite.invite_id}",
        )  # fmt: skip
        return invite

    def _secret_of(self, invite_id: str) -> bytes:
        return rules.secret_of(self._settings.key_encryption_key, "invite", invite_id)

    def _proven_id(self, token: str) -> str:
        """The id in an invite's token. Raises InviteInvalid where the secret is not its own."""
        text, _, secret = token.partition(".")
        invite_id = uuid_or(_no_invite(), text)
        if not hmac.compare_digest(secret.encode(), self._secret_of(invite_id).hex().encode()):
            raise _no_invite()
        return invite_id

    async def _check_may_change(self, tx: Tx, user_id: str, *, stays_owner: bool) -> None:
        owners = await store.list_owner_ids(tx)
        member = await store.get_member(tx, user_id)
        if member is None:
            raise _no_member()
        rules.check_role_within(member.role, caller().permissions)
        if owners == [member.user_id] and not stays_owner:
            raise errors.LastOwner("An organization needs an owner.")


def _is_owner(role: int) -> bool:
    return role == auth_pb2.ROLE_OWNER


def _no_member() -> errors.MemberNotFound:
    return errors.MemberNotFound("There is no such member.")


def _no_invite() -> errors.InviteInvalid:
    return errors.InviteInvalid("The invite is not valid.")
