"""Sign-up, login, refresh, logout and sessions."""

import hmac
from contextlib import suppress

from auditron.auth.v1 import auth_pb2
from google.protobuf.empty_pb2 import Empty

from libs.pg import Database, Tx, use_organization, uuid7
from libs.rpc import caller, check, is_uuid, page_asked, page_of, uuid_or

from .. import errors, rules, store
from ..settings import Settings
from .credentials import Credentials
from .membership import create_organization
from .requests import Context, device, note
from .revocation import Revocation
from .tokens import TokensApi


class SessionsApi:
    """How a person comes in and goes out."""

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
        self._pepper = settings.key_encryption_key

    async def SignUp(self, request: auth_pb2.SignUpRequest, context: Context) -> auth_pb2.Tokens:
        check(rules.sign_up_violations(request))
        encoded = await self._credentials.hash(request.password)
        user_id = uuid7()
        name = request.display_name or request.email.partition("@")[0]
        wanted = auth_pb2.Organization(
            display_name=request.organization_name.strip(),
            base_currency_code=request.base_currency_code,
            region_code=request.region_code,
        )
        async with self._db.tenant(user_id) as tx:
            await store.insert_user(tx, user_id, request.email.strip(), encoded, name)
            user = await store.get_user(tx, user_id)
            organization = await create_organization(tx, wanted, user)
            tokens = await self._tokens.open_session(
                tx, organization.organization_id, user_id, device(context)
            )
            await note(
                tx, context, organization.organization_id, "organization.created",
                f"user:{user_id}", f"organization:{organization.organization_id}",
            )  # fmt: skip
        return tokens

    async def LogIn(self, request: auth_pb2.LogInRequest, context: Context) -> auth_pb2.Tokens:
        user_id = await self._credentials.prove(request.email, request.password, context)
        async with self._db.tenant(user_id) as tx:
            return await self._enter(tx, user_id, request.organization_id, context)

    async def SwitchOrganization(
        self, request: auth_pb2.SwitchOrganizationRequest, context: Context
    ) -> auth_pb2.Tokens:
        async with self._db.tenant(person()) as tx:
            return await self._enter(tx, person(), request.organization_id, context)

    async def RefreshTokens(
        self, request: auth_pb2.RefreshTokensRequest, context: Context
    ) -> auth_pb2.Tokens:
        session_id, secret = _parsed(request.refresh_token)
        async with self._db.unscoped() as tx:
            organization_id = await store.find_session(tx, session_id)
        if organization_id is None:
            raise errors.RefreshTokenInvalid("The refresh token is not valid.")
        async with self._db.tenant(organization_id) as tx:
            tokens = await self._refresh(tx, organization_id, session_id, secret)
            if tokens is None:
                row = await store.lock_session(tx, session_id)
                user_id = str(row["user_id"]) if row else ""
                await store.revoke_sessions(tx, user_id, session_id)
                await note(
                    tx, context, organization_id, "session.refresh_token_reused",
                    f"user:{user_id}", f"session:{session_id}",
                )  # fmt: skip
        if tokens is None:
            await self._revocation.tell([session_id])
            raise errors.RefreshTokenReused("This refresh token was used before.")
        return tokens

    async def LogOut(self, request: auth_pb2.LogOutRequest, context: Context) -> Empty:
        with suppress(errors.SessionNotFound):  # asked again, because the answer was lost
            await self._revoke(caller().session_id, context)
        return Empty()

    async def CheckSession(
        self, request: auth_pb2.CheckSessionRequest, context: Context
    ) -> auth_pb2.CheckSessionResponse:
        if not is_uuid(request.session_id):
            return auth_pb2.CheckSessionResponse(active=False)
        async with self._db.unscoped() as tx:
            organization_id = await store.find_session(tx, request.session_id)
            if organization_id is None:
                return auth_pb2.CheckSessionResponse(active=False)
            await use_organization(tx, organization_id)
            active = await store.is_active(tx, request.session_id)
        return auth_pb2.CheckSessionResponse(active=active)

    async def ListSessions(
        self, request: auth_pb2.ListSessionsRequest, context: Context
    ) -> auth_pb2.ListSessionsResponse:
        size, filters, before = page_asked(request, str)
        found, current = list[auth_pb2.Session](), caller().session_id
        async with self._db.tenant(person()) as tx:
            for organization_id in await store.list_organization_ids(tx, person()):
                await use_organization(tx, organization_id)
                found += await store.list_sessions(tx, person(), current, before, size + 1)
        found.sort(key=lambda session: session.session_id, reverse=True)
        page, token = page_of(found[: size + 1], size, filters, lambda last: [last.session_id])
        return auth_pb2.ListSessionsResponse(sessions=page, next_page_token=token)

    async def RevokeSession(
        self, request: auth_pb2.RevokeSessionRequest, context: Context
    ) -> Empty:
        return await self._revoke(request.session_id, context)

    async def _revoke(self, session_id: str, context: Context) -> Empty:
        session_id = uuid_or(_no_session(), session_id)
        async with self._db.tenant(person()) as tx:
            organization_id = await store.find_session(tx, session_id)
            if organization_id:
                await use_organization(tx, organization_id)
            ended = await store.revoke_sessions(tx, person(), session_id)
            if not ended or not organization_id:
                raise _no_session()
            await note(
                tx, context, organization_id, "session.revoked", caller().actor,
                f"session:{session_id}",
            )  # fmt: skip
        await self._revocation.tell(ended)
        return Empty()

    async def _enter(
        self, tx: Tx, user_id: str, organization_id: str, context: Context
    ) -> auth_pb2.Tokens:
        own = await store.list_organization_ids(tx, user_id)
        fault = errors.OrganizationNotFound("There is no such organization.")
        chosen = uuid_or(fault, organization_id or (own[0] if own else ""))
        if chosen not in own:
            raise fault
        tokens = await self._tokens.open_session(tx, chosen, user_id, device(context))
        await note(tx, context, chosen, "session.created", f"user:{user_id}", f"user:{user_id}")
        return tokens

    async def _refresh(
        self, tx: Tx, organization_id: str, session_id: str, secret: bytes
    ) -> auth_pb2.Tokens | None:
        """New tokens; None where the token was stolen. Raises RefreshTokenInvalid."""
        row = await store.lock_session(tx, session_id)
        if row is None or not row["active"]:
            raise errors.RefreshTokenInvalid("The refresh token is not valid.")
        following = rules.successor(self._pepper, secret)
        if hmac.compare_digest(rules.hashed(secret), row["refresh_hash"]):
            await store.update_session(tx, session_id, rules.hashed(following))
        else:
            verdict = rules.judge_reuse(
                self._pepper, secret, row["refresh_hash"], row["rotation_count"],
                row["since_rotation"],
            )  # fmt: skip
            if verdict is rules.Reuse.UNKNOWN:
                raise errors.RefreshTokenInvalid("The refresh token is not valid.")
            if verdict is rules.Reuse.STOLEN:
                return None
        member = await store.get_member(tx, str(row["user_id"]))
        if member is None:
            raise errors.RefreshTokenInvalid("The refresh token is not valid.")
        return await self._tokens.tokens(
            tx, organization_id, member, session_id, following, row["expire_time"]
        )


def person() -> str:
    """The calling person's id. Raises SessionNotFound for an API key, which has no person."""
    user_id = caller().user_id
    if not user_id:
        raise errors.SessionNotFound("An API key is no person.")
    return user_id


def _no_session() -> errors.SessionNotFound:
    return errors.SessionNotFound("There is no such session.")


def _parsed(token: str) -> tuple[str, bytes]:
    session_id, _, secret = token.partition(".")
    fault = errors.RefreshTokenInvalid("The refresh token is not valid.")
    try:
        if len(secret) != 64:
            raise ValueError
        return uuid_or(fault, session_id), bytes.fromhex(secret)
    except ValueError:
        raise fault from None
