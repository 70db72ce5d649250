"""Signs access tokens, publishes the keys, gives tokens to services."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from auditron.auth.v1 import auth_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from libs.pg import Database, Tx, use_organization, uuid7

from .. import errors, rules, signing, store
from ..settings import Settings
from .requests import Context, Device
from .signing_keys import SigningKeys

REFRESH_BYTES = 32


class TokensApi:
    """Issues tokens."""

    def __init__(self, db: Database, settings: Settings, keys: SigningKeys) -> None:
        self._db = db
        self._settings = settings
        self._keys = keys

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Context) -> auth_pb2.Jwks:
        async with self._db.unscoped() as tx:
            keys = await store.list_public_keys(tx, self._settings.access_life * 2)
        return auth_pb2.Jwks(keys=[auth_pb2.Jwk(**key) for key in keys])

    async def IssueServiceToken(
        self, request: auth_pb2.IssueServiceTokenRequest, context: Context
    ) -> auth_pb2.ServiceToken:
        wanted = self._settings.service_secrets.get(request.service, "")
        given = hashlib.sha256(request.secret.encode()).hexdigest()
        if not wanted or not hmac.compare_digest(given, wanted):
            raise errors.WrongCredentials("The service or its secret is not known.")
        claims = {
            "sub": request.service,
            "svc": request.service,
            "aud": request.audience,
            "org": request.organization_id,
            "obo": request.on_behalf_of,
            "scope": rules.SERVICE_PERMISSIONS.get(request.service, ""),
        }
        token, expire = self.sign(claims, self._settings.service_token_life)
        return auth_pb2.ServiceToken(token=token, expire_time=expire)

    def sign(self, claims: Mapping[str, str], life: timedelta) -> tuple[str, Timestamp]:
        """A signed token and when it expires. Raises Unavailable while there is no key."""
        now = datetime.now(UTC)
        expire = Timestamp()
        expire.FromSeconds(int((now + life).timestamp()))
        return signing.sign(self._keys.active(now), claims, now, now + life), expire

    def new_secret(self) -> bytes:
        """A refresh token's random part."""
        return secrets.token_bytes(REFRESH_BYTES)

    async def open_session(
        self, tx: Tx, organization_id: str, user_id: str, device: Device
    ) -> auth_pb2.Tokens:
        """Open a session in the transaction, which is left in the organization's name."""
        await use_organization(tx, organization_id)
        member = await store.get_member(tx, user_id)
        if member is None:
            raise errors.OrganizationNotFound("There is no such organization.")
        session_id, secret = uuid7(), self.new_secret()
        expire = datetime.now(UTC) + self._settings.session_life
        await store.insert_session(
            tx,
            organization_id,
            session_id,
            user_id,
            (device.name, device.ip_address),
            rules.hashed(secret),
            expire,
        )
        return await self.tokens(tx, organization_id, member, session_id, secret, expire)

    async def tokens(
        self,
        tx: Tx,
        organization_id: str,
        member: auth_pb2.Member,
        session_id: str,
        secret: bytes,
        expire: datetime,
    ) -> auth_pb2.Tokens:
        """The answer to a login or a refresh."""
        claims = {
            "sub": member.user_id,
            "org": organization_id,
            "sid": session_id,
            "scope": rules.PERMISSIONS[member.role],
        }
        access, access_expire = self.sign(claims, self._settings.access_life)
        refresh_expire = Timestamp()
        refresh_expire.FromDatetime(expire)
        organization = await store.get_organization(tx, organization_id)
        await use_organization(tx, member.user_id)
        user = await store.get_user(tx, member.user_id)
        await use_organization(tx, organization_id)
        return auth_pb2.Tokens(
            access_token=access,
            access_expire_time=access_expire,
            refresh_token=f"{session_id}.{secret.hex()}",
            refresh_expire_time=refresh_expire,
            user=user,
            organization=organization,
            role=member.role,
        )
