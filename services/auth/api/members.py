"""Members and invites."""

import secrets
from datetime import UTC, datetime

from auditron.auth.v1 import auth_events_pb2, auth_pb2
from google.protobuf.empty_pb2 import Empty

from libs.events import append
from libs.pg import Database, Tx, use_organization, uuid7
from libs.rpc import caller, decode_token, encode_token, filter_hash, page_size

from .. import errors, rules, store
from ..passwords import Passwords
from ..settings import Settings
from .requests import Context, device, note
from .revocation import Revocation
from .sessions import is_uuid
from .tokens import TokensApi


class MembersApi:
    """Who belongs to an organization."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        tokens: TokensApi,
        passwords: Passwords,
        revocation: Revocation,
    ) -> None:
        self._db = db
        self._settings = settings
        self._tokens = tokens
        self._passwords = passwords
        self._revocation = revocation

    async def ListMembers(
        self, request: auth_pb2.ListMembersRequest, context: Context
    ) -> auth_pb2.ListMembersResponse:
        size, filters = page_size(request.page_size), filter_hash(request)
        after = None
        if request.page_token:
            joined, user_id = decode_token(request.page_token, filters, datetime, str)
            after = (joined, user_id)
        async with self._db.tenant(caller().organization_id) as tx:
            found = await store.list_members(tx, after, size + 1)
        page = auth_pb2.ListMembersResponse(members=found[:size])
        if len(found) > size:
            last = found[size - 1]
            joined = last.create_time.ToDatetime(UTC)
            page.next_page_token = encode_token([joined, last.user_id], filters)
        return page

    async def UpdateMember(
        self, request: auth_pb2.UpdateMemberRequest, context: Context
    ) -> auth_pb2.Member:
        wanted, organization_id = request.member, caller().organization_id
        rules.check(rules.invite_violations("member@example.com", wanted.role))
        rules.check_role_within(wanted.role, caller().permissions)
        async with self._db.tenant(organization_id) as tx:
            await self._check_may_change(tx, wanted.user_id, stays_owner=_is_owner(wanted.role))
            row = await store.update_member_role(tx, wanted.user_id, wanted.role)
            member = store.to_member(row)
            payload = auth_events_pb2.MemberChanged(member=member)
            await self._publish(tx, organization_id, member, row["version"], payload)
            ended = await store.revoke_sessions(tx, wanted.user_id)
            await note(
                tx, context, organization_id, "member.role_changed", caller().actor,
                f"user:{wanted.user_id}",
            )  # fmt: skip
        await self._revocation.tell(ended)  # tokens hold the permissions of the old role
        return member

    async def RemoveMember(self, request: auth_pb2.RemoveMemberRequest, context: Context) -> Empty:
        organization_id = caller().organization_id
        async with self._db.tenant(organization_id) as tx:
            await self._check_may_change(tx, request.user_id, stays_owner=False)
            row = await store.delete_member(tx, request.user_id)
            member = store.to_member(row)
            payload = auth_events_pb2.MemberRemoved(member=member)
            await self._publish(tx, organization_id, member, row["version"], payload)
            ended = await store.revoke_sessions(tx, request.user_id)
            await note(
                tx, context, organization_id, "member.removed", caller().actor,
                f"user:{request.user_id}",
            )  # fmt: skip
        await self._revocation.tell(ended)
        return Empty()

    async def CreateInvite(
        self, request: auth_pb2.CreateInviteRequest, context: Context
    ) -> auth_pb2.Invite:
        rules.check(rules.invite_violations(request.email, request.role))
        rules.check_role_within(request.role, caller().permissions)
        wanted = auth_pb2.Invite(invite_id=uuid7(), email=request.email, role=request.role)
        secret = secrets.token_bytes(32)
        organization_id = caller().organization_id
        async with self._db.tenant(organization_id) as tx:
            invite = await store.insert_invite(
                tx, organization_id, wanted, rules.hashed(secret), self._settings.invite_life
            )
            await note(
                tx, context, organization_id, "invite.created", caller().actor,
                f"invite:{invite.invite_id}",
            )  # fmt: skip
        invite.token = f"{invite.invite_id}.{secret.hex()}"
        return invite

    async def ListInvites(
        self, request: auth_pb2.ListInvitesRequest, context: Context
    ) -> auth_pb2.ListInvitesResponse:
        async with self._db.tenant(caller().organization_id) as tx:
            return auth_pb2.ListInvitesResponse(invites=await store.list_invites(tx))

    async def AcceptInvite(
        self, request: auth_pb2.AcceptInviteRequest, context: Context
    ) -> auth_pb2.Tokens:
        invite_id, secret = _parsed(request.token)
        async with self._db.unscoped() as tx:
            organization_id = await store.find_invite(tx, invite_id)
            if organization_id is None:
                raise errors.InviteInvalid("The invite is not valid.")
            await use_organization(tx, organization_id)
            invite = await store.get_invite(tx, invite_id, rules.hashed(secret))
            user_id = await store.find_user(tx, invite["email"])
        encoded = await self._password_for(user_id, request)
        async with self._db.tenant(organization_id) as tx:
            invite = await store.get_invite(tx, invite_id, rules.hashed(secret))
            await store.accept_invite(tx, invite_id)
            await use_organization(tx, user_id or (new_id := uuid7()))
            if not user_id:
                name = request.display_name or invite["email"].partition("@")[0]
                await store.insert_user(tx, new_id, invite["email"], encoded, name)
                user_id = new_id
            user = await store.get_user(tx, user_id)
            await use_organization(tx, organization_id)
            member = await store.insert_member(tx, organization_id, user, invite["role"])
            payload = auth_events_pb2.MemberChanged(member=member)
            await self._publish(tx, organization_id, member, 1, payload, f"user:{user_id}")
            await note(
                tx, context, organization_id, "invite.accepted", f"user:{user_id}",
                f"invite:{invite_id}",
            )  # fmt: skip
            return await self._tokens.open_session(tx, organization_id, user_id, device(context))

    async def _password_for(
        self, user_id: str | None, request: auth_pb2.AcceptInviteRequest
    ) -> str:
        """The hash of a new person's password; a known person proves its own."""
        if user_id is None:
            rules.check(rules.password_violations("password", request.password))
            return await self._passwords.hash(request.password)
        async with self._db.tenant(user_id) as tx:
            encoded = await store.get_password_hash(tx, user_id)
        if not await self._passwords.check(encoded, request.password):
            raise errors.WrongCredentials("The password is wrong.")
        return encoded

    async def _check_may_change(self, tx: Tx, user_id: str, *, stays_owner: bool) -> None:
        owners = await store.list_owner_ids(tx)
        member = await store.get_member(tx, user_id) if is_uuid(user_id) else None
        if member is None:
            raise errors.MemberNotFound("There is no such member.")
        rules.check_role_within(member.role, caller().permissions)
        if owners == [user_id] and not stays_owner:
            raise errors.LastOwner("An organization needs an owner.")

    async def _publish(
        self,
        tx: Tx,
        organization_id: str,
        member: auth_pb2.Member,
        version: int,
        payload: auth_events_pb2.MemberChanged | auth_events_pb2.MemberRemoved,
        actor: str = "",
    ) -> None:
        await append(
            tx,
            organization_id=organization_id,
            aggregate_type="member",
            aggregate_id=member.user_id,
            aggregate_version=version,
            payload=payload,
            actor=actor or caller().actor,
        )


def _is_owner(role: int) -> bool:
    return role == auth_pb2.ROLE_OWNER


def _parsed(token: str) -> tuple[str, bytes]:
    invite_id, _, secret = token.partition(".")
    try:
        if not is_uuid(invite_id):
            raise ValueError
        return invite_id, bytes.fromhex(secret)
    except ValueError:
        raise errors.InviteInvalid("The invite is not valid.") from None
